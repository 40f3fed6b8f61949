//! Wall time, as the log and the leases write it.

use std::time::{Duration, SystemTime};

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
