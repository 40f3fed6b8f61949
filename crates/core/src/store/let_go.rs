//! Giving a task back, where it lies or into the inbox, and letting it rest when the try went wrong.

use super::{Attempts, Backoff, FAILED, Store, TaskFolder};
use crate::audit::Draft;
use crate::clock::Moment;
use crate::lease::Lease;
use crate::problem::Problem;
use crate::state::State;

impl Store {
    /// Takes the caller's own lock off a task that stays where it is. The line that `event` makes is written
    /// first. `failed` is the code of what went wrong, when this counts as a try: then the task rests as
    /// after any other bad try. Says whether the lock was still the caller's.
    ///
    /// # Errors
    /// `LOCK_BROKEN`, `QUEUE_BROKEN`, those of the log, and what `event` says.
    pub fn let_go(
        &self,
        task: &TaskFolder,
        lease: &Lease,
        failed: Option<&str>,
        event: impl FnOnce() -> Result<Draft, Problem>,
    ) -> Result<bool, Problem> {
        let _held = task.hold()?;
        let is_ours = self.record_release(task, lease, failed, event)?;
        if is_ours {
            self.unlock(task)?;
        }
        Ok(is_ours)
    }

    /// The same, and the task goes back into the inbox with everything it has.
    ///
    /// # Errors
    /// As [`Self::let_go`].
    pub fn put_back(
        &self,
        task: &mut TaskFolder,
        lease: &Lease,
        failed: Option<&str>,
        event: impl FnOnce() -> Result<Draft, Problem>,
    ) -> Result<bool, Problem> {
        let _held = task.hold()?;
        let is_ours = self.record_release(task, lease, failed, event)?;
        if is_ours {
            self.transition(task, State::Inbox, Some(lease.fence), true)?;
        }
        Ok(is_ours)
    }

    /// How often a task went wrong, with the try that is under way.
    ///
    /// # Errors
    /// Those of the log.
    pub fn tries(&self, task: &TaskFolder) -> Result<u64, Problem> {
        let events = self.log()?.events_of(task.id().as_str())?;
        Ok(Attempts::of(events.iter().map(|(event, _)| event)).failed + 1)
    }

    fn record_release(
        &self,
        task: &TaskFolder,
        lease: &Lease,
        failed: Option<&str>,
        event: impl FnOnce() -> Result<Draft, Problem>,
    ) -> Result<bool, Problem> {
        let held = task.lease()?;
        if held.is_none_or(|held| held.owner != lease.owner || held.fence != lease.fence) {
            return Ok(false);
        }
        let mut draft = event()?;
        let Some(code) = failed else {
            self.log()?.append(draft)?;
            return Ok(true);
        };
        let rest = Backoff::after(self.tries(task)?, code, Moment::now())?;
        draft = draft
            .meta(FAILED, code)
            .meta("failed_tries", rest.failed)
            .meta("not_before", rest.not_before.clone());
        self.log()?.append(draft)?;
        task.write_backoff(&rest)?;
        Ok(true)
    }
}
