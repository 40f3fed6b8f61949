//! An attempt set aside: its files under `attempts/<n>/`, the task in the inbox. The line in the log comes
//! first, so what a run that was killed left half done is known and can be finished.

use super::{Store, TaskFolder};
use crate::audit::{Action, Event};
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

impl Store {
    /// Sets an attempt aside as the log says already. The caller holds the merge lock.
    ///
    /// # Errors
    /// `IO_ERROR`, `QUEUE_BROKEN`, `LOCK_BROKEN`.
    pub fn set_aside(&self, task: &mut TaskFolder, number: u32) -> Result<(), Problem> {
        let _held = task.hold()?;
        task.set_attempt_aside(number)?;
        if task.state() == State::Inbox {
            return self.unlock(task);
        }
        let fence = task.lease()?.map(|lease| lease.fence);
        self.transition(task, State::Inbox, fence, true)
    }

    /// The task, and the number of the attempt that the log says is set aside, when nothing was done with
    /// the task since and it is not in the inbox.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, and those of reading the log.
    pub fn cut_off(&self, id: &TaskId) -> Result<Option<(TaskFolder, u32)>, Problem> {
        if matches!(self.find(id)?, None | Some(State::Inbox)) {
            return Ok(None);
        }
        let events = self.log()?.events_of(id.as_str())?;
        let Some(number) = announced(events.iter().map(|(event, _)| event)) else {
            return Ok(None);
        };
        let task = self.task(id)?;
        Ok((task.state() != State::Inbox).then_some((task, number)))
    }
}

/// The number of the attempt that the log says is set aside, when no line of the task goes on from there.
pub(super) fn announced<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<u32> {
    let mut number = None;
    for event in events {
        let begins = matches!(event.action, Action::TaskRetried | Action::TaskRebased);
        let goes_on = matches!(event.action, Action::TaskClaimed | Action::TaskBlocked);
        if begins || goes_on {
            let said = event.meta.get("attempt_set_aside").and_then(|n| n.as_u64());
            number = said.filter(|_| begins);
        }
    }
    number.and_then(|number| u32::try_from(number).ok())
}
