//! Giving a task back where it lies, and letting it rest when the try went wrong.

use super::{Attempts, Backoff, FAILED, Store, TaskFolder};
use crate::audit::Draft;
use crate::clock::Moment;
use crate::lease::Lease;
use crate::problem::Problem;

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
        let held = task.lease()?;
        if held.is_none_or(|held| held.owner != lease.owner || held.fence != lease.fence) {
            return Ok(false);
        }
        let mut draft = event()?;
        let rest = failed.map(|code| self.rest(task, code)).transpose()?;
        if let Some(rest) = &rest {
            draft = draft
                .meta(FAILED, rest.reason.clone())
                .meta("failed_tries", rest.failed)
                .meta("not_before", rest.not_before.clone());
        }
        self.log()?.append(draft)?;
        if let Some(rest) = &rest {
            task.write_backoff(rest)?;
        }
        self.unlock(task)?;
        Ok(true)
    }

    fn rest(&self, task: &TaskFolder, code: &str) -> Result<Backoff, Problem> {
        let events = self.log()?.events_of(task.id().as_str())?;
        let failed = Attempts::of(events.iter().map(|(event, _)| event)).failed + 1;
        Backoff::after(failed, code, Moment::now())
    }
}
