//! The lock on a claimed task: who holds it, until when, and with which fencing number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::ids::Life;
use crate::problem::Problem;
use crate::{clock, ids, wire};

/// The largest lock file that is read, in bytes.
pub const MAX_BYTES: usize = 4096;

/// The longest lease that a policy can give, and that anybody can ask for.
pub const LONGEST: Duration = Duration::from_secs(86_400);

/// Two starts of one machine lie further apart than what the wall clock is corrected by while it runs.
const CLEARLY: Duration = Duration::from_secs(60);

/// The content of a task's `.lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Always `1.0.0`.
    pub schema_version: String,
    /// The name the holder claims under; renewing and releasing ask for the same name.
    pub owner: String,
    /// The machine's name; two machines may have one name, and one machine another name than before.
    pub host: String,
    /// The machine's boot. No two machines have the same, but those that go on from one saved memory.
    pub boot_id: String,
    /// The claiming process. A shell chain outlives it, so a dead pid alone frees nothing.
    pub pid: u32,
    /// When that process started, in ticks since the machine's boot; absent where the system does not tell.
    pub pid_start: Option<u64>,
    /// The process namespace that the pid counts in; absent where the system does not tell.
    #[serde(default)]
    pub pid_namespace: Option<u64>,
    /// Whether the task is held by that very process, as a worker holds it, and by nobody after it.
    #[serde(default)]
    pub of_process: bool,
    /// When it was claimed, RFC 3339.
    pub claimed_at: String,
    /// When the lease ends, RFC 3339: what people read, and what decides on other machines.
    pub lease_until: String,
    /// The same end in milliseconds since the boot that `boot_id` names. As long as that boot lasts it alone
    /// decides there, whatever the wall clock was set to; absent in locks of older programs.
    #[serde(default)]
    pub boot_until_ms: Option<u64>,
    /// Rises with every claim of the task; a write with an older number is refused.
    pub fence: u64,
    /// Whether the queue lies where no other machine can be at it; known where the lock is read.
    #[serde(skip)]
    pub of_one_machine: bool,
}

/// Who takes a lease.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The name that renewing and releasing ask for.
    pub name: &'a str,
    /// Whether this process holds it itself, so that the lease ends with the process.
    pub of_process: bool,
}

impl Holder<'_> {
    /// Their lease, from now on.
    #[must_use]
    pub fn lease(self, fence: u64, now: Moment, length: Duration) -> Lease {
        let lease = Lease::new(self.name, fence, now, length);
        Lease {
            of_process: self.of_process,
            ..lease
        }
    }
}

/// Why nobody works under a lease any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The process that held it is gone.
    OwnerDead,
    /// Its time is over, or its machine was started anew.
    LeaseOver,
}

impl Stale {
    /// The code by which it is named everywhere.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::OwnerDead => "OWNER_DEAD",
            Self::LeaseOver => "LEASE_OVER",
        }
    }
}

/// The problem of a lock that cannot be read. It counts as held.
#[must_use]
pub fn broken(path: &str, why: &dyn std::fmt::Display) -> Problem {
    Problem::fail("LOCK_BROKEN", format!("{path}: {why}")).hint(format!(
        "it counts as held: look at {path}, and remove it when nobody works"
    ))
}

impl Lease {
    /// Makes a lease for this process.
    #[must_use]
    pub fn new(owner: &str, fence: u64, now: Moment, length: Duration) -> Self {
        let pid = std::process::id();
        Self {
            schema_version: "1.0.0".to_owned(),
            owner: owner.to_owned(),
            host: ids::host(),
            boot_id: ids::boot_id(),
            pid,
            pid_start: ids::process_start(pid),
            pid_namespace: ids::pid_namespace(),
            of_process: false,
            claimed_at: clock::rfc3339(now.wall),
            lease_until: clock::rfc3339((now + length).wall),
            boot_until_ms: (now + length).boot_ms(),
            fence,
            of_one_machine: false,
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

    /// Reads the lock file at `path`, which is named where it is broken; and whether only one machine can be
    /// at it.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn read(bytes: &[u8], path: &str, of_one_machine: bool) -> Result<Self, Problem> {
        let lease = Self::parse(bytes).map_err(|problem| {
            let why = problem.message.strip_prefix("lock: ");
            broken(path, &why.unwrap_or(&problem.message))
        })?;
        Ok(Self {
            of_one_machine,
            ..lease
        })
    }

    /// Whether both are one lock, byte for byte.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
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
        let runs = || match ids::life(self.pid) {
            Life::Since(start) => self.pid_start.is_none_or(|own| own == start),
            Life::Gone => false,
            // It has the id, and might be the one.
            Life::Unknown => true,
        };
        self.is_here() && !self.is_of_this_process() && runs()
    }

    /// Whether the process that took the lease is known to be gone: same machine, same boot, same
    /// namespace, and no process of that id and start. One that cannot be looked at is not.
    #[must_use]
    pub fn is_claimant_gone(&self) -> bool {
        let is_gone = || match ids::life(self.pid) {
            Life::Since(start) => self.pid_start != Some(start),
            Life::Gone => true,
            Life::Unknown => false,
        };
        self.is_here() && self.pid_start.is_some() && is_gone()
    }

    /// Whether its pid means the same process to us.
    fn is_here(&self) -> bool {
        let without_boots = || {
            let is_none = self.boot_id.is_empty() && ids::boot_id().is_empty();
            is_none && self.host == ids::host()
        };
        let same_machine = self.is_of_this_boot() || without_boots();
        same_machine && self.pid_namespace == ids::pid_namespace()
    }

    /// Whether it was taken on this machine since it was started. Where only one machine can be at the lock the
    /// boot tells, whatever the machine is called. Elsewhere the name has to be the same as well: machines that go
    /// on from one saved memory have one boot.
    fn is_of_this_boot(&self) -> bool {
        let same_boot = !self.boot_id.is_empty() && self.boot_id == ids::boot_id();
        same_boot && (self.of_one_machine || self.host == ids::host())
    }

    /// Whether this process took it.
    #[must_use]
    pub fn is_of_this_process(&self) -> bool {
        let own = std::process::id();
        self.is_here() && self.pid == own && self.pid_start == ids::process_start(own)
    }

    /// Why nobody works under it any more, if that is so: its process, where it is a process's, is
    /// gone, or its time or its boot is over.
    #[must_use]
    pub fn staleness(&self, now: Moment) -> Option<Stale> {
        if self.of_process && self.is_claimant_gone() {
            return Some(Stale::OwnerDead);
        }
        self.is_over(now).then_some(Stale::LeaseOver)
    }

    /// Whether a worker of this name may take the task: the lease is stale, or somebody claimed the task
    /// in the worker's name and is not at work on it. What a worker itself holds carries a longer name.
    #[must_use]
    pub fn is_free_for(&self, name: &str, now: Moment) -> bool {
        self.staleness(now).is_some() || (self.owner == name && !self.is_in_living_hands())
    }

    /// Whether the lease has ended, or its machine was started anew since.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        self.was_restarted(now) || self.left(now).is_some_and(|left| left.is_zero())
    }

    /// Whether its machine is known to have been started anew. Another boot is another machine's as well, and
    /// machines made of one image have one name: only where no other machine can have written the lock it is
    /// this one's before it was started. And containers may each have a boot id of their own: only what was
    /// claimed before the kernel's start, and given or renewed by the clock of an earlier one, is from before it.
    fn was_restarted(&self, now: Moment) -> bool {
        let other_boot = !self.boot_id.is_empty() && self.boot_id != ids::boot_id();
        let is_older = || {
            let started = now.wall.checked_sub(now.boot?)?;
            let end = clock::parse_rfc3339(&self.lease_until)?;
            let of_giver = end.checked_sub(Duration::from_millis(self.boot_until_ms?))?;
            let claimed = clock::parse_rfc3339(&self.claimed_at)?;
            Some(claimed < started && of_giver + CLEARLY < started)
        };
        let was_here = self.of_one_machine && other_boot && self.host == ids::host();
        was_here && is_older().unwrap_or_default()
    }

    /// How long it still lasts: by the boot clock within its boot, else by wall time.
    #[must_use]
    pub fn left(&self, now: Moment) -> Option<Duration> {
        let boot_ms = self.boot_until_ms.filter(|_| self.is_of_this_boot());
        clock::left(&self.lease_until, boot_ms, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(length: Duration) -> Lease {
        Lease::new("me", 7, Moment::now(), length)
    }

    #[test]
    fn an_owner_that_ended_is_gone_before_its_exit_code_is_fetched() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let now = Moment::now();
        let mut lease = Lease::new("me/1", 1, now, Duration::from_secs(900));
        (lease.pid, lease.of_process) = (child.id(), true);
        lease.pid_start = ids::process_start(child.id());
        assert!(lease.staleness(now).is_none() && lease.pid_start.is_some());
        child.kill().unwrap();
        let ended = || ids::life(child.id()) == Life::Gone;
        while !ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(
            ids::process_start(child.id()).is_some(),
            "its entry is there"
        );
        assert!(matches!(lease.staleness(now), Some(Stale::OwnerDead)));
        child.wait().unwrap();
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
        let now = Moment::now();
        assert!(!lease(Duration::from_secs(60)).is_over(now));
        assert!(lease(Duration::ZERO).is_over(now + Duration::from_secs(1)));
        let mut other_boot = lease(Duration::from_secs(60));
        "another".clone_into(&mut other_boot.boot_id);
        assert!(
            !other_boot.is_over(now),
            "another machine may have this name"
        );
        other_boot.of_one_machine = true;
        assert!(
            !other_boot.is_over(now),
            "a container's, since the kernel's start"
        );
        "1970-01-02T00:00:00Z".clone_into(&mut other_boot.claimed_at);
        assert!(!other_boot.is_over(now), "it was renewed since");
        other_boot.boot_until_ms = other_boot.boot_until_ms.map(|ms| ms + 3_600_000);
        assert!(other_boot.is_over(now));
        "elsewhere".clone_into(&mut other_boot.host);
        assert!(
            !other_boot.is_over(now),
            "another machine's boot says nothing"
        );
    }

    #[test]
    fn a_machine_is_known_by_its_boot_whatever_it_is_called() {
        let now = Moment::now();
        let mut lease = lease(Duration::from_secs(60));
        (lease.of_process, lease.pid_start) = (true, Some(u64::MAX));
        assert_eq!(lease.staleness(now), Some(Stale::OwnerDead));
        "renamed".clone_into(&mut lease.host);
        assert_eq!(
            lease.staleness(now),
            None,
            "a copy of its memory has its boot"
        );
        lease.of_one_machine = true;
        assert_eq!(lease.staleness(now), Some(Stale::OwnerDead));
        "another".clone_into(&mut lease.boot_id);
        assert_eq!(lease.staleness(now), None);
        // A claimer that did not know when it was started, among those who do.
        let mut unknown = Lease::new("me", 7, now, Duration::from_secs(60));
        unknown.pid_start = None;
        assert!(!unknown.is_claimant_gone() && !unknown.is_of_this_process());
    }

    #[test]
    fn a_step_of_the_wall_clock_neither_ends_nor_extends_a_lease_of_this_boot() {
        const DAY: Duration = Duration::from_secs(86_400);
        let made = Moment {
            boot: Some(Duration::from_secs(1000)),
            ..Moment::now()
        };
        let lease = Lease::new("me", 7, made, Duration::from_secs(60));
        let at = |wall, seconds| Moment {
            wall,
            boot: made.boot.map(|boot| boot + Duration::from_secs(seconds)),
        };
        for wall in [made.wall - DAY, made.wall, made.wall + DAY] {
            assert!(!lease.is_over(at(wall, 59)), "it lasts a minute");
            assert!(lease.is_over(at(wall, 60)), "and no longer");
            assert_eq!(lease.left(at(wall, 20)), Some(Duration::from_secs(40)));
        }
        // Of another machine only the wall clock says anything.
        let mut elsewhere = lease.clone();
        "elsewhere".clone_into(&mut elsewhere.host);
        "another".clone_into(&mut elsewhere.boot_id);
        assert!(elsewhere.is_over(at(made.wall + DAY, 0)));
        assert!(!elsewhere.is_over(at(made.wall - DAY, 86_400)));
    }

    #[test]
    fn a_lock_from_before_there_was_a_boot_clock_in_it_ends_by_wall_time() {
        let mut old = serde_json::to_value(lease(Duration::from_secs(60))).unwrap();
        old.as_object_mut().unwrap().remove("boot_until_ms");
        let read = Lease::parse(old.to_string().as_bytes()).unwrap();
        let now = Moment::now();
        assert!(!read.is_over(now));
        let wall = now.wall + Duration::from_secs(61);
        assert!(read.is_over(Moment { wall, ..now }));
    }

    #[test]
    fn a_worker_takes_what_is_over_or_claimed_in_its_name() {
        let now = Moment::now();
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
    fn a_process_s_own_lease_ends_with_it_where_its_pid_can_be_looked_at() {
        let now = Moment::now();
        let holder = Holder {
            name: "me",
            of_process: true,
        };
        let mut lease = holder.lease(7, now, Duration::from_secs(60));
        assert_eq!(lease.staleness(now), None);
        lease.pid_start = Some(u64::MAX);
        assert_eq!(lease.staleness(now), Some(Stale::OwnerDead));
        assert!(lease.is_free_for("other", now));
        lease.pid_namespace = Some(1);
        assert_eq!(
            lease.staleness(now),
            None,
            "another namespace's pid says nothing"
        );
        let later = now + Duration::from_secs(61);
        assert_eq!(lease.staleness(later), Some(Stale::LeaseOver));
    }

    #[test]
    fn a_lock_from_before_there_were_namespaces_in_it_is_still_read() {
        let mut old = serde_json::to_value(lease(Duration::ZERO)).unwrap();
        let fields = old.as_object_mut().unwrap();
        fields.remove("pid_namespace");
        fields.remove("of_process");
        let read = Lease::parse(old.to_string().as_bytes()).unwrap();
        assert!(!read.of_process && !read.is_claimant_gone());
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
