//! How long a task rests after a try that went wrong, or that its owner never came back from: kept with
//! the task.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Directory, TaskFolder, broken};
use crate::clock::Moment;
use crate::problem::Problem;
use crate::{clock, ids, wire};

const FILE: &str = "backoff.json";
const MAX_BYTES: usize = 4096;
/// After the first try, the second, and every further one, in seconds.
const STEPS: [u64; 3] = [60, 180, 600];
/// So much of a step may come on top, by chance, in percent: what failed together is not to be tried
/// together again.
const JITTER: u64 = 25;

/// When a task may be picked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// Always `1.0.0`.
    pub schema_version: String,
    /// Not before this time, RFC 3339.
    pub not_before: String,
    /// The boot of the machine that wrote it; empty where nothing but the wall clock is known.
    #[serde(default)]
    pub boot_id: String,
    /// The same time in milliseconds since that boot; within it this alone decides.
    #[serde(default)]
    pub boot_not_before_ms: Option<u64>,
    /// How many tries went wrong.
    pub failed: u64,
    /// The code of what went wrong last.
    pub reason: String,
    /// Whether the queue lies where no other machine can be at it; known where the file is read.
    #[serde(skip)]
    of_one_machine: bool,
}

impl Backoff {
    /// After so many tries that went wrong, from `now` on.
    ///
    /// # Errors
    /// `NO_RANDOMNESS`.
    pub fn after(failed: u64, reason: &str, now: Moment) -> Result<Self, Problem> {
        let at = usize::try_from(failed.saturating_sub(1)).unwrap_or(STEPS.len());
        let step = STEPS.get(at).or(STEPS.last()).copied().unwrap_or_default() * 1000;
        let chance = u64::from(u16::from_le_bytes(ids::random_bytes::<2>()?));
        let length = step + step * JITTER * chance / (100 * u64::from(u16::MAX));
        Ok(Self::until(
            now + Duration::from_millis(length),
            failed,
            reason,
        ))
    }

    pub(super) fn until(not_before: Moment, failed: u64, reason: &str) -> Self {
        Self {
            schema_version: "1.0.0".to_owned(),
            not_before: clock::rfc3339(not_before.wall),
            boot_id: ids::boot_id(),
            boot_not_before_ms: not_before.boot_ms(),
            failed,
            reason: reason.to_owned(),
            of_one_machine: false,
        }
    }

    /// Whether the task rests. An end that lies further ahead than any of ours was written by hand, or
    /// by a clock that was wrong, and holds nobody up.
    #[must_use]
    pub fn is_on(&self, now: Moment) -> bool {
        let longest = STEPS.last().copied().unwrap_or_default() * (100 + JITTER) / 100;
        // Another machine may have the same boot, going on from one saved memory.
        let is_ours = self.of_one_machine && self.boot_id == ids::boot_id();
        let boot_ms = self.boot_not_before_ms.filter(|_| is_ours);
        let left = clock::left(&self.not_before, boot_ms, now);
        left.is_some_and(|left| !left.is_zero() && left <= Duration::from_secs(longest))
    }
}

/// What lies in a task's folder; what cannot be read holds nobody up.
pub(super) fn of_folder(folder: &Directory) -> Option<Backoff> {
    let bytes = folder.read(FILE, MAX_BYTES).ok()?;
    let backoff = wire::parse(&bytes, MAX_BYTES, FILE, "BACKOFF_BROKEN").ok();
    backoff.map(|backoff| Backoff {
        of_one_machine: folder.is_of_one_machine(),
        ..backoff
    })
}

impl TaskFolder {
    /// When the task may be picked again, if it had to rest.
    #[must_use]
    pub fn backoff(&self) -> Option<Backoff> {
        of_folder(self.folder())
    }

    /// Puts that down, in place of what was there.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub(super) fn write_backoff(&self, backoff: &Backoff) -> Result<(), Problem> {
        let mut bytes = serde_json::to_vec(backoff)
            .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
        bytes.push(b'\n');
        let written = self.folder().replace(FILE, &bytes);
        written.map_err(|error| broken(FILE, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time of which only people know.
    fn at(text: &str) -> Moment {
        Moment {
            wall: clock::parse_rfc3339(text).unwrap(),
            boot: None,
        }
    }

    fn length(failed: u64, now: Moment) -> Duration {
        let backoff = Backoff::after(failed, "OWNER_DEAD", now).unwrap();
        let end = clock::parse_rfc3339(&backoff.not_before).unwrap();
        end.duration_since(now.wall).unwrap()
    }

    #[test]
    fn one_three_and_ten_minutes_and_a_little_more_by_chance() {
        let now = at("2026-01-01T00:00:00Z");
        for (failed, least) in [(1, 60), (2, 180), (3, 600), (4, 600), (u64::MAX, 600)] {
            let lengths: Vec<_> = (0..50).map(|_| length(failed, now)).collect();
            let (least, most) = (
                Duration::from_secs(least),
                Duration::from_secs(least * 5 / 4),
            );
            assert!(
                lengths.iter().all(|length| (least..=most).contains(length)),
                "{lengths:?}"
            );
            assert!(
                lengths.iter().any(|length| *length != lengths[0]),
                "no chance in it"
            );
        }
    }

    #[test]
    fn it_is_over_at_its_end_and_a_planted_one_holds_nobody_up() {
        let now = at("2026-01-01T00:00:00Z");
        let second = Duration::from_secs(1);
        let backoff = Backoff::until(now + 60 * second, 1, "LEASE_OVER");
        assert!(backoff.is_on(now) && backoff.is_on(now + 59 * second));
        assert!(!backoff.is_on(now + 60 * second));
        assert!(!Backoff::until(now + 86_400 * second, 1, "X").is_on(now));
    }

    #[test]
    fn a_step_of_the_wall_clock_neither_ends_nor_extends_it() {
        let made = Moment::now();
        let mut backoff = Backoff::until(made + Duration::from_secs(60), 1, "LEASE_OVER");
        backoff.of_one_machine = true;
        let day = Duration::from_secs(86_400);
        for wall in [made.wall - day, made.wall + day] {
            let at = |seconds| Moment {
                wall,
                boot: made.boot.map(|boot| boot + Duration::from_secs(seconds)),
            };
            assert!(backoff.is_on(at(59)) && !backoff.is_on(at(60)));
        }
    }
}
