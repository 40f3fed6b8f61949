//! An attempt set aside: its files under `attempts/<n>/`, the task in the inbox. The line in the log comes
//! first, so what a run that was killed left half done is known and can be finished.

use std::io;

use super::calls::CALLS;
use super::task_folder::{LOCK_FILE, TASK_FILE};
use super::{Store, TaskFolder, broken};
use crate::audit::{Action, Event};
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

const ATTEMPTS: &str = "attempts";
/// What is no attempt's and stays with the task.
const STAYS: [&str; 4] = [TASK_FILE, ATTEMPTS, LOCK_FILE, CALLS];

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

impl TaskFolder {
    /// Whether there is anything that an attempt made and that was not set aside.
    ///
    /// # Errors
    /// `FILE_UNREADABLE`.
    pub fn has_attempt(&self) -> Result<bool, Problem> {
        let entries = self.folder().list();
        let entries = entries.map_err(|error| self.trouble(".", &error))?;
        Ok(entries
            .iter()
            .any(|entry| !STAYS.contains(&entry.name.as_str())))
    }

    /// Moves everything that the last attempt made into `attempts/<number>/`; the task itself stays.
    /// What a killed run moved there already stays there.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn set_attempt_aside(&self, number: u32) -> Result<(), Problem> {
        let target = self
            .folder()
            .sub_or_new(ATTEMPTS)
            .and_then(|attempts| attempts.sub_or_new(&number.to_string()))
            .map_err(|error| self.trouble(ATTEMPTS, &error))?;
        for entry in self
            .folder()
            .list()
            .map_err(|error| self.trouble(".", &error))?
        {
            if STAYS.contains(&entry.name.as_str()) {
                continue;
            }
            self.folder()
                .move_to(&entry.name, &target, &entry.name)
                .map_err(|error| self.trouble(&entry.name, &error))?;
        }
        Ok(())
    }

    /// An attempt that was set aside, to be read like the task itself.
    ///
    /// # Errors
    /// `FILE_MISSING`, `FILE_UNREADABLE`.
    pub fn attempt(&self, number: u32) -> Result<Self, Problem> {
        let folder = self
            .folder()
            .sub(ATTEMPTS)
            .and_then(|folder| folder.sub(&number.to_string()))
            .map_err(|error| self.trouble(ATTEMPTS, &error))?;
        Ok(Self::new(self.id().clone(), self.state(), folder))
    }

    /// How many attempts were set aside.
    ///
    /// # Errors
    /// `FILE_UNREADABLE`.
    pub fn attempts(&self) -> Result<u32, Problem> {
        match self.folder().sub(ATTEMPTS).and_then(|folder| folder.list()) {
            Ok(entries) => Ok(u32::try_from(entries.len()).unwrap_or(u32::MAX)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(broken(ATTEMPTS, &error)),
        }
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
