//! The lock on a claimed task: who holds it, until when, and with which fencing number.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::{clock, ids, wire};

/// The largest lock file that is read, in bytes.
pub const MAX_BYTES: usize = 4096;

/// The content of a task's `.lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Always `1.0.0`.
    pub schema_version: String,
    /// The name the holder claims under; renewing and releasing ask for the same name.
    pub owner: String,
    /// The machine.
    pub host: String,
    /// The machine's boot; a lock of another boot on the same host is dead.
    pub boot_id: String,
    /// The claiming process. A shell chain outlives it, so a dead pid alone frees nothing.
    pub pid: u32,
    /// When that process started, in ticks since boot; absent where the system does not tell.
    pub pid_start: Option<u64>,
    /// When it was claimed, RFC 3339.
    pub claimed_at: String,
    /// When the lease ends, RFC 3339.
    pub lease_until: String,
    /// Rises with every claim of the task; a write with an older number is refused.
    pub fence: u64,
}

impl Lease {
    /// Makes a lease for this process.
    #[must_use]
    pub fn new(owner: &str, fence: u64, now: SystemTime, length: Duration) -> Self {
        let pid = std::process::id();
        Self {
            schema_version: "1.0.0".to_owned(),
            owner: owner.to_owned(),
            host: ids::host(),
            boot_id: ids::boot_id(),
            pid,
            pid_start: ids::process_start(pid),
            claimed_at: clock::rfc3339(now),
            lease_until: clock::rfc3339(now + length),
            fence,
        }
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// `LOCK_BROKEN`; a lock that cannot be read counts as held.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let lease: Self = wire::parse(bytes, MAX_BYTES, "lock", "LOCK_BROKEN")?;
        if clock::parse_rfc3339(&lease.lease_until).is_none() {
            return Err(Problem::fail(
                "LOCK_BROKEN",
                format!(
                    "lock: lease_until \"{}\" is not an RFC 3339 time",
                    lease.lease_until.escape_debug()
                ),
            ));
        }
        Ok(lease)
    }

    /// The lock file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Whether the process that took the lease still runs on this machine. A shell chain outlives
    /// the process that claimed for it, so a dead process says nothing; a living one is at work.
    #[must_use]
    pub fn is_in_living_hands(&self) -> bool {
        let here = self.host == ids::host() && self.boot_id == ids::boot_id();
        let running = ids::process_start(self.pid);
        here && self.pid != std::process::id() && running.is_some() && running == self.pid_start
    }

    /// Whether the process that took the lease is known to be gone: same machine, same boot, and no
    /// process of that id and start.
    #[must_use]
    pub fn is_claimant_gone(&self) -> bool {
        let here = self.host == ids::host() && self.boot_id == ids::boot_id();
        here && self.pid_start.is_some() && ids::process_start(self.pid) != self.pid_start
    }

    /// Whether a worker of this name may take the task: the lease has ended, or somebody claimed the task
    /// in the worker's name and is not at work on it. What a worker itself holds carries a longer name.
    #[must_use]
    pub fn is_free_for(&self, name: &str, now: SystemTime) -> bool {
        self.is_over(now) || (self.owner == name && !self.is_in_living_hands())
    }

    /// Whether the lease has ended, or its machine was started anew since.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        let restarted =
            self.host == ids::host() && !self.boot_id.is_empty() && self.boot_id != ids::boot_id();
        restarted || clock::parse_rfc3339(&self.lease_until).is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(length: Duration) -> Lease {
        Lease::new("me", 7, clock::now(), length)
    }

    #[test]
    fn a_lock_reads_back_and_a_broken_one_is_an_error() {
        let lease = lease(Duration::from_secs(60));
        assert_eq!(Lease::parse(&lease.to_bytes()).unwrap(), lease);
        for bytes in [&b""[..], b"{}", b"not json"] {
            assert_eq!(Lease::parse(bytes).unwrap_err().code, "LOCK_BROKEN");
        }
    }

    #[test]
    fn a_lease_ends_with_its_time_or_with_its_boot() {
        let now = clock::now();
        assert!(!lease(Duration::from_secs(60)).is_over(now));
        assert!(lease(Duration::ZERO).is_over(now + Duration::from_secs(1)));
        let mut other_boot = lease(Duration::from_secs(60));
        "another".clone_into(&mut other_boot.boot_id);
        assert!(other_boot.is_over(now));
        "elsewhere".clone_into(&mut other_boot.host);
        assert!(
            !other_boot.is_over(now),
            "another machine's boot says nothing"
        );
    }

    #[test]
    fn a_worker_takes_what_is_over_or_claimed_in_its_name() {
        let now = clock::now();
        let mut lease = lease(Duration::from_secs(60));
        assert!(lease.is_free_for("me", now));
        assert!(!lease.is_free_for("other", now));
        assert!(lease.is_free_for("other", now + Duration::from_secs(61)));
        lease.pid = 1;
        lease.pid_start = ids::process_start(1);
        assert!(!lease.is_free_for("me", now), "somebody is at work on it");
        "me/1234".clone_into(&mut lease.owner);
        lease.pid_start = Some(u64::MAX);
        assert!(
            !lease.is_free_for("me", now),
            "another process of that name held it, and a dead pid frees nothing"
        );
    }

    #[test]
    fn hands_are_living_when_another_process_with_the_same_start_runs() {
        let mut lease = lease(Duration::from_secs(60));
        assert!(
            !lease.is_in_living_hands(),
            "our own process is not somebody else"
        );
        lease.pid = 1;
        lease.pid_start = ids::process_start(1);
        assert!(lease.is_in_living_hands());
        assert!(!lease.is_claimant_gone());
        lease.pid_start = Some(u64::MAX);
        assert!(lease.is_claimant_gone());
        assert!(
            !lease.is_in_living_hands(),
            "the pid was given to another process"
        );
    }
}
