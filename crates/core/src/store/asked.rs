//! The task as it was asked for. Whoever can write into the queue can write into `task.json`, and scope,
//! base and title stand there, so it counts as the log holds the digest of it and not as it lies there.

use std::ops::ControlFlow;

use super::{Store, TaskFolder};
use crate::audit::{Action, Event};
use crate::digest;
use crate::problem::Problem;
use crate::task::{Task, TaskId};

impl Store {
    /// The task, from the bytes that the last line which holds their digest names.
    ///
    /// # Errors
    /// `TASK_CHANGED`, `TASK_INVALID`, `FILE_MISSING`, and those of reading the log.
    pub fn asked(&self, task: &TaskFolder) -> Result<Task, Problem> {
        Task::parse(&self.asked_bytes(task)?)
    }

    /// As [`Self::asked`], for whoever says what is wrong with a task.
    ///
    /// # Errors
    /// `TASK_CHANGED`, `FILE_MISSING`, and those of reading the log.
    pub fn asked_bytes(&self, task: &TaskFolder) -> Result<Vec<u8>, Problem> {
        let bytes = task.task_bytes()?;
        let sha256 = digest::sha256(&bytes);
        let id = task.id().as_str();
        let mut told = None;
        self.log()?.back(|seen| {
            if seen.task_id() == id && tells(seen.action()) {
                told = Some(seen.event()?).filter(|event| task_sha256(event).is_some());
            }
            Ok(match told.is_some() || seen.begins(id) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        check(task.id(), told.as_ref(), &sha256)?;
        Ok(bytes)
    }
}

impl TaskFolder {
    /// Whether `task.json` is the one of all these lines, which are the task's from its submission on. Says
    /// whether any of them holds its digest. What an attempt before the last retry was made from does not
    /// count any more.
    ///
    /// # Errors
    /// `TASK_CHANGED`, `FILE_MISSING`, `FILE_UNREADABLE`.
    pub fn check_asked<'e>(
        &self,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<bool, Problem> {
        let sha256 = digest::sha256(&self.task_bytes()?);
        let mut telling: Vec<&Event> = Vec::new();
        for event in events {
            match event.action {
                Action::TaskRetried => {
                    telling.retain(|event| event.action == Action::TaskSubmitted);
                }
                _ if task_sha256(event).is_some() => telling.push(event),
                _ => {}
            }
        }
        for event in &telling {
            check(self.id(), Some(event), &sha256)?;
        }
        Ok(!telling.is_empty())
    }
}

/// Whether lines of this kind may hold the digest.
fn tells(action: Action) -> bool {
    matches!(
        action,
        Action::TaskSubmitted | Action::TaskClaimed | Action::TaskValidated
    )
}

/// The digest of `task.json` that a line holds. Submissions did not always hold it.
fn task_sha256(event: &Event) -> Option<&str> {
    let sha256 = match event.action {
        Action::TaskSubmitted => &event.outputs_sha256,
        Action::TaskClaimed | Action::TaskValidated => &event.inputs_sha256,
        _ => return None,
    };
    Some(sha256.as_str()).filter(|sha256| *sha256 != digest::sha256(b""))
}

fn check(id: &TaskId, told: Option<&Event>, sha256: &str) -> Result<(), Problem> {
    let told = told.and_then(|event| Some((event, task_sha256(event)?)));
    let Some((event, expected)) = told.filter(|(_, expected)| *expected != sha256) else {
        return Ok(());
    };
    let why = format!(
        "task.json of {id} hashes to {sha256}, line {} of the log says {expected}",
        event.seq
    );
    Err(Problem::fail("TASK_CHANGED", why).hint(format!(
        "put the task.json back that was submitted, then baton retry {id}; or submit the changed one under another id"
    )))
}
