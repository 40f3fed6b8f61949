//! Putting a task into the inbox: once for each idempotency key, under an id that no other task
//! has in any spelling.

use std::io;

use super::{Directory, Store, broken};
use crate::ids;
use crate::problem::Problem;
use crate::state::State;
use crate::task::{Task, TaskId};

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// A new task.
    New(TaskId),
    /// The same key came with the same content before; this is that task.
    Known(TaskId),
}

impl Submitted {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        match self {
            Self::New(id) | Self::Known(id) => id,
        }
    }
}

impl Store {
    /// Puts a task into the inbox. `record` writes the log line, before the task can be seen.
    ///
    /// # Errors
    /// `TASK_EXISTS`, `IDEMPOTENCY_CONFLICT`, `QUEUE_BROKEN`, and what `record` says.
    pub fn submit(
        &self,
        task: &Task,
        record: impl FnOnce(&TaskId) -> Result<(), Problem>,
    ) -> Result<Submitted, Problem> {
        let _mutex = self.mutex()?;
        if let Some(known) = self.known_by_key(task)? {
            return Ok(Submitted::Known(known));
        }
        self.check_free(&task.task_id)?;
        record(&task.task_id)?;
        // Before the task: whoever ends in between leaves a key of no task, which is free, and never a
        // task whose key somebody else can use.
        self.keep_key(task)?;
        self.put_into_inbox(&task.task_id, &task.to_bytes())?;
        Ok(Submitted::New(task.task_id.clone()))
    }

    /// Makes the task's folder under a temporary name and shows it in one step.
    pub(super) fn put_into_inbox(&self, id: &TaskId, bytes: &[u8]) -> Result<(), Problem> {
        let inbox = self.state_folder(State::Inbox)?;
        self.put_into(&inbox, id.as_str(), bytes)?;
        self.take_name(id);
        self.enqueue(id);
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "only a store makes task folders")]
    pub(super) fn put_into(
        &self,
        target: &Directory,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Problem> {
        let temporary = format!(".tmp-{}", ids::random_hex()?);
        let trouble = |error: &io::Error| broken(name, error);
        let folder = target
            .new_sub(&temporary)
            .map_err(|error| trouble(&error))?;
        folder
            .write_new("task.json", bytes)
            .map_err(|error| trouble(&error))?;
        target
            .move_to(&temporary, target, name)
            .map_err(|error| trouble(&error))
    }
}
