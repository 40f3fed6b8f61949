//! Putting a task into the inbox: once for each idempotency key, under an id that no other task
//! has in any spelling.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Directory, Store, broken};
use crate::problem::Problem;
use crate::state::State;
use crate::task::{Task, TaskId};
use crate::{digest, ids, wire};

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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRecord {
    task_id: TaskId,
    content_sha256: String,
}

const KEY_LIMIT: usize = 4096;

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
        if let Some(known) = self.known_key(task)?
            && self.find(&known)?.is_some()
        {
            return Ok(Submitted::Known(known));
        }
        self.check_free(&task.task_id)?;
        record(&task.task_id)?;
        self.put_into_inbox(&task.task_id, &task.to_bytes())?;
        self.keep_key(task)?;
        Ok(Submitted::New(task.task_id.clone()))
    }

    /// Refuses an id that some task has already, in any state and any case.
    pub(super) fn check_free(&self, id: &TaskId) -> Result<(), Problem> {
        let folded = id.folded();
        for state in State::ALL {
            let entries = self
                .state_folder(state)?
                .list()
                .map_err(|error| broken(state.name(), &error))?;
            let taken = entries
                .into_iter()
                .find(|entry| entry.is_folder && entry.name.to_ascii_lowercase() == folded);
            if let Some(taken) = taken {
                return Err(Problem::fail(
                    "TASK_EXISTS",
                    format!("there is a task {} in {state} already", taken.name),
                )
                .hint("choose another task_id; upper and lower case make no difference"));
            }
        }
        Ok(())
    }

    /// Makes the task's folder under a temporary name and shows it in one step.
    pub(super) fn put_into_inbox(&self, id: &TaskId, bytes: &[u8]) -> Result<(), Problem> {
        let inbox = self.state_folder(State::Inbox)?;
        self.put_into(&inbox, id.as_str(), bytes)
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

    fn known_key(&self, task: &Task) -> Result<Option<TaskId>, Problem> {
        let Some(key) = &task.idempotency_key else {
            return Ok(None);
        };
        let bytes = match self.folder("keys")?.read(&key_file(key), KEY_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken("keys", &error)),
        };
        let record: KeyRecord = wire::parse(&bytes, KEY_LIMIT, "idempotency key", "QUEUE_BROKEN")?;
        if record.content_sha256 == content_sha256(task) {
            return Ok(Some(record.task_id));
        }
        Err(Problem::fail(
            "IDEMPOTENCY_CONFLICT",
            format!(
                "the idempotency key was used for task {} with other content",
                record.task_id
            ),
        )
        .hint("use a new key for a new task, or submit the same content again"))
    }

    fn keep_key(&self, task: &Task) -> Result<(), Problem> {
        let Some(key) = &task.idempotency_key else {
            return Ok(());
        };
        let record = KeyRecord {
            task_id: task.task_id.clone(),
            content_sha256: content_sha256(task),
        };
        let bytes = serde_json::to_vec(&record)
            .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
        match self.folder("keys")?.write_new(&key_file(key), &bytes) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(broken("keys", &error))
            }
            _ => Ok(()),
        }
    }
}

fn key_file(key: &str) -> String {
    format!("key-{}.json", digest::sha256(key.as_bytes()))
}

/// What makes two submissions the same: everything but the id and when and by whom it was written.
fn content_sha256(task: &Task) -> String {
    let mut value = serde_json::to_value(task).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("task_id");
        fields.remove("meta");
    }
    digest::sha256_canonical(&value)
}
