//! One task, kept from everybody else: its lock is made, changed and taken off, its results are written
//! and its folder is moved only by who holds the folder itself (on disk an flock on its inode, which
//! goes along with every rename). So a fencing number that was looked at stays what it was until the act is done.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Lock, Store, TaskFolder, broken};
use crate::problem::Problem;

/// How long to wait for somebody who is in the middle of a change; each takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(2);

/// What the task folders of one run share: the lock, and how often it was taken.
#[derive(Debug, Default)]
pub(super) struct Depth {
    lock: Option<Lock>,
    count: u32,
}

/// Keeps a task from everybody else until dropped. Whoever has one may take another.
#[derive(Debug)]
#[must_use]
pub struct Held(Arc<Mutex<Depth>>);

impl Drop for Held {
    fn drop(&mut self) {
        let mut depth = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        depth.count = depth.count.saturating_sub(1);
        if depth.count == 0 {
            depth.lock = None;
        }
    }
}

impl TaskFolder {
    /// Waits until nobody else is in the middle of a change of this task, and keeps it so.
    ///
    /// # Errors
    /// `TASK_BUSY` after twenty seconds, `QUEUE_BROKEN`.
    pub fn hold(&self) -> Result<Held, Problem> {
        let began = Instant::now();
        loop {
            if let Some(held) = self.hold_if_free()? {
                return Ok(held);
            }
            if began.elapsed() >= PATIENCE {
                let why = format!("somebody has been changing task {} for too long", self.id());
                return Err(Problem::fail("TASK_BUSY", why)
                    .hint("look for a stopped baton process: baton doctor --queue"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The same without waiting; `None` while somebody is in the middle of a change.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn hold_if_free(&self) -> Result<Option<Held>, Problem> {
        let mut depth = self.depth().lock().unwrap_or_else(PoisonError::into_inner);
        if depth.lock.is_none() {
            match self.folder().hold() {
                Ok(lock) => depth.lock = Some(lock),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(broken(self.id().as_str(), &error)),
            }
        }
        depth.count += 1;
        drop(depth);
        Ok(Some(Held(Arc::clone(self.depth()))))
    }

    /// Holds the task, and refuses when it is somebody else's by now: its lock has another fencing number
    /// than the one that the run is bound to.
    ///
    /// # Errors
    /// `LEASE_LOST`, `LOCK_BROKEN`, and as [`Self::hold`].
    pub fn guard(&self) -> Result<Held, Problem> {
        let held = self.hold()?;
        match self.bound() {
            Some(fence) => self.check_fence(fence).map(|()| held),
            None => Ok(held),
        }
    }
}

impl Store {
    /// Whether the open folder is what lies under the task's name in its state.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub(super) fn lies_there(&self, task: &TaskFolder) -> Result<bool, Problem> {
        let name = task.id().as_str();
        let own = task.folder().identity();
        let own = own.map_err(|error| broken(name, &error))?;
        let there = self.state_folder(task.state())?.identity_of(name);
        let there = there.map_err(|error| broken(name, &error))?;
        Ok(there == Some(own))
    }
}
