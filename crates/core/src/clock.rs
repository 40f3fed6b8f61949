//! Wall time, as the log and the leases write it, and the machine's own clock, by which they end.

use std::ops::Add;
use std::time::{Duration, SystemTime};

use crate::ids;

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

/// How long it still is to an end that is written down by both clocks: within the boot that `boot_id` names
/// the boot clock alone decides, elsewhere and where that is not written the wall clock. Nothing when the end
/// is no time.
#[must_use]
pub fn left(end: &str, boot_id: &str, boot_ms: Option<u64>, now: Moment) -> Option<Duration> {
    let is_of_this_boot = !boot_id.is_empty() && boot_id == ids::boot_id();
    match (boot_ms, now.boot) {
        (Some(end), Some(now)) if is_of_this_boot => {
            Some(Duration::from_millis(end).saturating_sub(now))
        }
        _ => parse_rfc3339(end).map(|end| end.duration_since(now.wall).unwrap_or_default()),
    }
}

#[cfg(target_os = "linux")]
#[expect(clippy::unnecessary_wraps, reason = "other systems have no such clock")]
fn since_boot() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Some(Duration::new(seconds, nanos))
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Option<Duration> {
    None
}

/// The current wall time.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Writes a time as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
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
/// Says what was got and shows the form.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| {
        format!("got \"{text}\", expected a duration such as 90s, 15m or 2h: {error}")
    })
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
