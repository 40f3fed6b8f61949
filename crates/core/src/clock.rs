//! Wall time, as the log and the leases write it, and the machine's own clock, by which they end.

use std::io;
use std::ops::Add;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// A point in time by both clocks. Somebody may set the wall clock; the other one only runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For people, and for what comes from another machine or from before a restart.
    pub wall: SystemTime,
    /// Since this machine was started, its sleep included; absent where the system has no such clock.
    pub boot: Option<Duration>,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall: now(),
            boot: since_boot(),
        }
    }

    /// The boot clock in whole milliseconds.
    #[must_use]
    pub fn boot_ms(self) -> Option<u64> {
        self.boot.and_then(|boot| boot.as_millis().try_into().ok())
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self {
            wall: self.wall + length,
            boot: self.boot.map(|boot| boot + length),
        }
    }
}

/// How long it still is to an end that is written down by both clocks: within its boot, for which the caller
/// gives `boot_ms`, the boot clock alone decides, elsewhere the wall clock. Nothing when the end is no time.
#[must_use]
pub fn left(end: &str, boot_ms: Option<u64>, now: Moment) -> Option<Duration> {
    match (boot_ms, now.boot) {
        (Some(end), Some(now)) => Some(Duration::from_millis(end).saturating_sub(now)),
        _ => parse_rfc3339(end).map(|end| end.duration_since(now.wall).unwrap_or_default()),
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    machines(Duration::new(seconds, nanos))
}

/// The machine's boot clock by that of this process; none where that cannot be told.
fn machines(own: Duration) -> Option<Duration> {
    let nanos = i128::try_from(own.as_nanos()).ok()? - ahead()?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// How far the boot clock of this process is ahead of the machine's, in nanoseconds: a container may have a time
/// namespace of its own, and shares the id of the boot with all others. None where it cannot be told.
pub(crate) fn ahead() -> Option<i128> {
    static AHEAD: OnceLock<Option<i128>> = OnceLock::new();
    *AHEAD.get_or_init(|| {
        let offsets = match std::fs::read_to_string("/proc/self/timens_offsets") {
            Ok(offsets) => offsets,
            // A kernel without such namespaces.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(0),
            Err(_) => return None,
        };
        // The file tells of the namespace that children get, which need not be this process's own.
        let inode =
            |name| std::fs::metadata(format!("/proc/self/ns/{name}")).map(|found| found.ino());
        let own = inode("time").ok()?;
        (own == inode("time_for_children").ok()?).then(|| offset_in(&offsets))?
    })
}

/// The boot clock's offset in such a file, in nanoseconds.
fn offset_in(offsets: &str) -> Option<i128> {
    let line = offsets
        .lines()
        .find_map(|line| line.strip_prefix("boottime"))?;
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<i128>);
    let (seconds, nanos) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(seconds * 1_000_000_000 + nanos)
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Option<Duration> {
    None
}

/// The last time that RFC 3339 can write, `9999-12-31T23:59:59Z`, in seconds since 1970.
const LATEST: Duration = Duration::from_secs(253_402_300_799);
/// The longest duration that is taken from a command line, in days.
const MOST_DAYS: u64 = 36_500;

/// The current wall time.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Writes a time as RFC 3339 in UTC with milliseconds; one that the form has no room for as its first or last.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let time = time.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LATEST);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Reads an RFC 3339 time in UTC (`Z`).
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

/// Reads an RFC 3339 time with any offset, such as `2026-02-08T18:00:00+09:00`: what people write, where
/// [`parse_rfc3339`] reads what baton wrote.
#[must_use]
pub fn parse_with_offset(text: &str) -> Option<SystemTime> {
    if let Some(time) = parse_rfc3339(text) {
        return Some(time);
    }
    let (time, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, clock) = offset.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.len() == 2);
    let offset = Duration::from_secs(number(hours)? * 3600 + number(minutes)? * 60);
    let there = parse_rfc3339(&format!("{time}Z"))?;
    match sign {
        "+" => there.checked_sub(offset),
        "-" => there.checked_add(offset),
        _ => None,
    }
}

/// Reads a duration such as `15m`, `2h 30m` or `90s`.
///
/// # Errors
/// Says what was got and shows the form, also of one that is longer than anybody means.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let shown = text.escape_debug();
    let length = humantime::parse_duration(text).map_err(|error| {
        format!("got \"{shown}\", expected a duration such as 90s, 15m or 2h: {error}")
    })?;
    if length > Duration::from_secs(MOST_DAYS * 24 * 3600) {
        return Err(format!(
            "got \"{shown}\", expected at most {MOST_DAYS}d, such as 90s, 15m or 2h"
        ));
    }
    Ok(length)
}

/// As [`parse_duration`], where no time at all would be nothing: as much as the log can write at least.
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_length(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        length if length < Duration::from_millis(1) => Err(format!(
            "got \"{}\", expected at least 1ms, such as 15m or 2h",
            text.escape_debug()
        )),
        length => Ok(length),
    }
}

/// How long ago `time` was, in whole units a person reads at a glance (`3m`, `2h`, `5d`).
#[must_use]
pub fn age(time: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_bounds_and_no_time_is_too_late_to_be_written() {
        for long in [
            "9000000d",
            "99999999999d",
            "18446744073709551615s",
            "36501d",
        ] {
            let why = parse_duration(long).unwrap_err();
            assert!(why.contains(long) && why.contains("expected"), "{why}");
        }
        let most = parse_duration("36500d").unwrap();
        assert!(rfc3339(now() + most).ends_with('Z'));
        assert!(parse_length("0s").is_err() && parse_length("999us").is_err());
        assert_eq!(parse_length("2h"), Ok(Duration::from_secs(7200)));
        let late = SystemTime::UNIX_EPOCH + LATEST * 2;
        assert_eq!(rfc3339(late), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn the_machines_clock_is_told_from_that_of_a_time_namespace() {
        let nobody = "monotonic           0         0\nboottime            0         0\n";
        assert_eq!(offset_in(nobody), Some(0));
        let ahead = "monotonic      100000         0\nboottime            -2 500000000\n";
        assert_eq!(offset_in(ahead), Some(-1_500_000_000));
        assert_eq!(offset_in("monotonic 0 0\n"), None);
        assert_eq!(offset_in("boottime x 0\n"), None);
    }

    #[test]
    fn an_offset_is_taken_into_account_and_nonsense_is_no_time() {
        let utc = parse_rfc3339("2026-02-08T09:00:00Z");
        for same in [
            "2026-02-08T09:00:00Z",
            "2026-02-08T18:00:00+09:00",
            "2026-02-08T03:30:00.000-05:30",
        ] {
            assert_eq!(parse_with_offset(same), utc, "{same}");
        }
        for none in [
            "",
            "+09:00",
            "2026-02-08T18:00:00",
            "2026-02-08T18:00:00*09:00",
            "é+09:00",
        ] {
            assert_eq!(parse_with_offset(none), None, "{none}");
        }
    }
}
