//! Idempotency keys: under one key there is one task. Each is a file in `keys/`, named by the key's
//! SHA-256, so that no key can be a path.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Store, broken};
use crate::problem::Problem;
use crate::state::State;
use crate::task::{self, Task, TaskId};
use crate::{digest, wire};

/// The largest key file that is read, in bytes: an id, a digest and the JSON around them.
const MAX_BYTES: usize = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRecord {
    task_id: TaskId,
    content_sha256: String,
}

impl KeyRecord {
    /// The record of a task, as it is written.
    fn of(task: &Task) -> io::Result<Vec<u8>> {
        let record = Self {
            task_id: task.task_id.clone(),
            content_sha256: content_sha256(task),
        };
        serde_json::to_vec(&record).map_err(io::Error::from)
    }
}

/// As much of a task as its key.
#[derive(Deserialize)]
struct Keyed {
    #[serde(default)]
    idempotency_key: Option<String>,
}

impl Store {
    /// The task that came under this one's key before, with the same content. One that is not in the
    /// queue any more is none.
    ///
    /// # Errors
    /// `IDEMPOTENCY_CONFLICT` when the content was another, `QUEUE_BROKEN`.
    pub(super) fn known_by_key(&self, task: &Task) -> Result<Option<TaskId>, Problem> {
        let key = task.idempotency_key.as_deref();
        if key.is_some() {
            self.names().map_err(|error| broken("keys", &error))?;
        }
        let Some(record) = key.map(|key| self.key_record(key)).transpose()?.flatten() else {
            return Ok(None);
        };
        if record.content_sha256 == content_sha256(task) {
            let is_there = self.find(&record.task_id)?.is_some();
            return Ok(is_there.then_some(record.task_id));
        }
        let why = format!(
            "the idempotency key was used for task {} with other content",
            record.task_id
        );
        Err(Problem::fail("IDEMPOTENCY_CONFLICT", why)
            .hint("use a new key for a new task, or submit the same content again"))
    }

    /// Puts down that the task came under its key.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub(super) fn keep_key(&self, task: &Task) -> Result<(), Problem> {
        let Some(key) = &task.idempotency_key else {
            return Ok(());
        };
        let bytes = KeyRecord::of(task).map_err(|error| broken("keys", &error))?;
        // What stands there is of a task that is gone, or never came.
        let kept = self.folder("keys")?.replace(&key_file(key), &bytes);
        kept.map_err(|error| broken("keys", &error))
    }

    /// Puts down every key again of which there is a task and no record. Of several tasks under one key, as
    /// they come when keys were lost before, one that is done counts. The caller holds the queue's mutex.
    pub(super) fn remake_keys(&self) -> io::Result<()> {
        let keys = self.queue.sub("keys")?;
        for state in [State::Done].into_iter().chain(State::ALL) {
            let folder = self.queue.sub(state.name())?;
            for entry in folder.list()?.into_iter().filter(|entry| entry.is_folder) {
                let read = folder.sub(&entry.name);
                let read = read.and_then(|task| task.read("task.json", task::MAX_BYTES));
                // One that cannot be read is named among what is stuck.
                let Some(task) = read.ok().and_then(|bytes| Task::parse(&bytes).ok()) else {
                    continue;
                };
                let Some(key) = &task.idempotency_key else {
                    continue;
                };
                let (name, bytes) = (key_file(key), KeyRecord::of(&task)?);
                if task.task_id.as_str() == entry.name && !keys.exists(&name)? {
                    keys.write_new(&name, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// The other task of this one's key, where that is done: then this one is not picked. A task that
    /// cannot be read has no key that anybody knows.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn done_under_its_key(&self, id: &TaskId) -> Result<Option<TaskId>, Problem> {
        let read = self.state_folder(State::Inbox)?.sub(id.as_str());
        let read = read.and_then(|folder| folder.read("task.json", task::MAX_BYTES));
        let keyed = read
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(key) = keyed.and_then(|keyed: Keyed| keyed.idempotency_key) else {
            return Ok(None);
        };
        let Some(record) = self
            .key_record(&key)?
            .filter(|record| record.task_id != *id)
        else {
            return Ok(None);
        };
        let is_done = self.find(&record.task_id)? == Some(State::Done);
        Ok(is_done.then_some(record.task_id))
    }

    /// Whether a task of the inbox may be picked as far as its key goes. One whose key cannot be read may not:
    /// it is named among what is stuck, and the others must not wait for it.
    ///
    /// # Errors
    /// `STORE_UNREACHABLE`.
    pub(super) fn is_wanted(&self, id: &TaskId) -> Result<bool, Problem> {
        match self.done_under_its_key(id) {
            Ok(done) => Ok(done.is_none()),
            Err(problem) if problem.code == "QUEUE_BROKEN" => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    fn key_record(&self, key: &str) -> Result<Option<KeyRecord>, Problem> {
        match self.folder("keys")?.read(&key_file(key), MAX_BYTES) {
            Ok(bytes) => {
                wire::parse(&bytes, MAX_BYTES, "idempotency key", "QUEUE_BROKEN").map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken("keys", &error)),
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
