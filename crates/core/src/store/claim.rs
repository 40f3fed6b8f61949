//! Claiming: an exclusive lock inside the task's folder, then the move.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::task_folder::LOCK_FILE;
use super::{Held, Lock, Store, TaskFolder, broken};
use crate::clock::Moment;
use crate::envelope::ArtifactKind;
use crate::lease::{Holder, Lease};
use crate::policy::Actor;
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

/// Serialises intake, approvals and landings. A task's own lock is kept by holding the task.
pub(super) const MUTEX: &str = ".mutex";

/// A task that the caller holds by now.
#[derive(Debug)]
pub struct Claim {
    /// Its folder; still in the inbox when the claim was a fresh one.
    pub task: TaskFolder,
    /// The lock.
    pub lease: Lease,
}

/// Why a task could not be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Somebody holds it until then.
    Held {
        /// The holder's name.
        owner: String,
        /// RFC 3339.
        until: String,
        /// Where the lock lies, as envelopes write it.
        lock_path: String,
    },
    /// What it may change overlaps with what another held task may change.
    Overlaps {
        /// The other task.
        with: TaskId,
    },
    /// There is no such task, or none to claim.
    NotFound,
}

impl Store {
    /// Locks a task. A lock whose lease is over, or whose machine was started anew, is taken over
    /// with a higher fencing number, in whatever open state the task lies.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, `LOCK_BROKEN`, `LOG_BROKEN`.
    pub fn lock(
        &self,
        id: &TaskId,
        holder: Holder<'_>,
        length: Duration,
        now: Moment,
    ) -> Result<Result<Claim, Conflict>, Problem> {
        let task = match self.task(id) {
            Ok(task) => task,
            Err(problem) if problem.code == "TASK_NOT_FOUND" => return Ok(Err(Conflict::NotFound)),
            Err(problem) => return Err(problem),
        };
        if matches!(task.state(), State::Done | State::Blocked) {
            return Ok(Err(Conflict::NotFound));
        }
        let held = task.hold()?;
        self.lock_held(task, &held, holder, length, now)
    }

    /// The same, but passes a task by that somebody is in the middle of changing, or that this account cannot read
    /// or write to: it is named among what is stuck, and the others must not wait for it.
    pub(super) fn lock_if_free(
        &self,
        id: &TaskId,
        holder: Holder<'_>,
        length: Duration,
        now: Moment,
    ) -> Result<Result<Claim, Conflict>, Problem> {
        let task = match self.task(id) {
            Ok(task) if task.state() == State::Inbox && task.is_usable() => task,
            Ok(_) => return Ok(Err(Conflict::NotFound)),
            Err(problem) if ["TASK_NOT_FOUND", "QUEUE_BROKEN"].contains(&problem.code.as_str()) => {
                return Ok(Err(Conflict::NotFound));
            }
            Err(problem) => return Err(problem),
        };
        let Some(held) = task.hold_if_free()? else {
            return Ok(Err(Conflict::NotFound));
        };
        match self.lock_held(task, &held, holder, length, now) {
            Err(problem) if problem.code == "LOCK_BROKEN" => Ok(Err(Conflict::NotFound)),
            locked => locked,
        }
    }

    fn lock_held(
        &self,
        task: TaskFolder,
        _held: &Held,
        holder: Holder<'_>,
        length: Duration,
        now: Moment,
    ) -> Result<Result<Claim, Conflict>, Problem> {
        if !self.lies_there(&task)? {
            // The folder moved away under us: somebody else was quicker.
            return Ok(Err(Conflict::NotFound));
        }
        let Some(held) = task.lease()? else {
            let lease = holder.lease(self.next_fence(0)?, now, length);
            task.write_new(ArtifactKind::LockFile, LOCK_FILE, &lease.to_bytes())?;
            return Ok(Ok(Claim { task, lease }));
        };
        if !is_nobodys(&held, task.state(), now) {
            return Ok(Err(Conflict::Held {
                owner: held.owner,
                until: held.lease_until,
                lock_path: task.path(LOCK_FILE),
            }));
        }
        let lease = holder.lease(self.next_fence(held.fence)?, now, length);
        task.folder()
            .replace(LOCK_FILE, &lease.to_bytes())
            .map_err(|error| broken(LOCK_FILE, &error))?;
        Ok(Ok(Claim { task, lease }))
    }

    /// Takes a task that lies in claimed or work for a worker called `name`, under `owner`, a name of that
    /// process alone, with a higher fencing number: one that nobody holds, whose lease is over, or that
    /// somebody claimed in the worker's name. `record` writes the log line while nobody else can take it.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, `LOCK_BROKEN`, `LOG_BROKEN`, and what `record` says.
    pub fn take(
        &self,
        id: &TaskId,
        (name, owner): (&str, &str),
        length: Duration,
        record: impl FnOnce(&TaskFolder, &Lease) -> Result<(), Problem>,
    ) -> Result<Option<Claim>, Problem> {
        let now = Moment::now();
        let task = match self.task(id) {
            Ok(task) if matches!(task.state(), State::Claimed | State::Work) => task,
            Ok(_) => return Ok(None),
            Err(problem) if problem.code == "TASK_NOT_FOUND" => return Ok(None),
            Err(problem) => return Err(problem),
        };
        let _held = task.hold()?;
        let held = task.lease()?;
        let is_free = |held: &Lease| held.is_free_for(name, now);
        if !self.lies_there(&task)? || !held.as_ref().is_none_or(is_free) {
            return Ok(None);
        }
        let fence = self.next_fence(held.as_ref().map_or(0, |held| held.fence))?;
        // A worker's own: it ends with the worker.
        let holder = Holder {
            name: owner,
            of_process: true,
        };
        let lease = holder.lease(fence, now, length);
        let written = task.folder().replace(LOCK_FILE, &lease.to_bytes());
        written.map_err(|error| broken(LOCK_FILE, &error))?;
        if let Err(problem) = record(&task, &lease) {
            self.unlock(&task)?;
            return Err(problem);
        }
        Ok(Some(Claim { task, lease }))
    }

    /// The next fencing number: the number of the log's next line. It rises with every claim,
    /// because a claim is recorded before the next one of the same task can succeed.
    pub(super) fn next_fence(&self, held: u64) -> Result<u64, Problem> {
        let next = held.checked_add(1).ok_or_else(|| {
            Problem::fail(
                "LOCK_BROKEN",
                format!("lock: {held} is no fencing number, none comes after it"),
            )
            .hint("a lock was written by hand; look at it, and remove it when nobody works")
        })?;
        Ok((self.log()?.head()?.seq + 1).max(next))
    }

    /// Locks the task that is next in order: P0 before P1 before P2, then what is due first, then the oldest;
    /// none that waits after a try that went wrong, and none whose idempotency key is done by another.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub fn lock_next(
        &self,
        holder: Holder<'_>,
        length: Duration,
        now: Moment,
        actor: Actor,
    ) -> Result<Result<Claim, Conflict>, Problem> {
        let found = self.in_order(now, Some(actor), |(id, _)| {
            if !self.is_wanted(&id)? {
                return Ok(ControlFlow::Continue(()));
            }
            match self.lock_if_free(&id, holder, length, now)? {
                Ok(claim) if claim.task.state() == State::Inbox => Ok(ControlFlow::Break(claim)),
                _ => Ok(ControlFlow::Continue(())),
            }
        })?;
        Ok(found.ok_or(Conflict::NotFound))
    }

    /// Whether there is anything in the inbox that may be claimed now.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn has_next(&self, now: Moment) -> Result<bool, Problem> {
        let found = self.in_order(now, None, |(id, _)| {
            let is_usable = self.task(&id).is_ok_and(|task| task.is_usable());
            Ok(match is_usable && self.is_wanted(&id)? {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok(found.is_some() || self.has_loose_files()?)
    }

    /// Extends the caller's own lease.
    ///
    /// # Errors
    /// `NOT_OWNER`, `LEASE_LOST`, `QUEUE_BROKEN`.
    pub fn renew(
        &self,
        task: &TaskFolder,
        owner: &str,
        length: Duration,
        now: Moment,
    ) -> Result<Lease, Problem> {
        let _held = task.hold()?;
        let held = own_lease(task, owner)?;
        let mut lease = Lease::new(owner, held.fence, now, length);
        // Who else renews in the holder's name does not hold it with a process of its own.
        lease.of_process = held.of_process && held.is_of_this_process();
        lease.claimed_at = held.claimed_at;
        task.folder()
            .replace(LOCK_FILE, &lease.to_bytes())
            .map_err(|error| broken(LOCK_FILE, &error))?;
        Ok(lease)
    }

    /// Says whether the caller may give the task back; the move and the removal follow.
    ///
    /// # Errors
    /// `NOT_OWNER`, `LEASE_LOST`.
    pub fn may_release(&self, task: &TaskFolder, owner: &str) -> Result<Lease, Problem> {
        own_lease(task, owner)
    }

    /// Removes the lock of a task that came to rest.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn unlock(&self, task: &TaskFolder) -> Result<(), Problem> {
        match task.folder().remove(LOCK_FILE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(broken(LOCK_FILE, &error)),
            _ => Ok(()),
        }
    }

    /// Holds off intake, approvals and landings by others until dropped.
    pub(super) fn mutex(&self) -> Result<Lock, Problem> {
        let lock = self.folder("keys")?.lock(MUTEX);
        lock.map_err(|error| broken(MUTEX, &error))
    }
}

/// Whether nobody stands behind a task's lock any more.
pub(super) fn is_nobodys(lease: &Lease, state: State, now: Moment) -> bool {
    // A lock in the inbox lasts from its making to the move right after; when its maker is gone in
    // between, the claim never was.
    let never_was = || state == State::Inbox && lease.is_claimant_gone();
    lease.staleness(now).is_some() || never_was()
}

fn own_lease(task: &TaskFolder, owner: &str) -> Result<Lease, Problem> {
    match task.lease()? {
        Some(lease) if lease.owner == owner => Ok(lease),
        Some(lease) => Err(Problem::fail(
            "NOT_OWNER",
            format!(
                "task {} is held by {}, not by {owner}",
                task.id(),
                lease.owner
            ),
        )
        .hint("pass the owner's name with --owner, or wait until the lease is over")),
        None => Err(
            Problem::fail("LEASE_LOST", format!("task {} is not locked", task.id()))
                .hint(format!("claim it first: claim-lock --task {}", task.id())),
        ),
    }
}
