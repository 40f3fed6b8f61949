//! Taking in loose task files: `inbox/<name>.json` becomes `inbox/<TASK_ID>/task.json`.

use std::time::Duration;

use serde::de::IgnoredAny;

use super::submit::put_into;
use super::{Directory, Store, broken};
use crate::audit::{Action, Draft, Level};
use crate::policy::Actor;
use crate::problem::Problem;
use crate::state::State;
use crate::task::{self, Task, TaskId};
use crate::{clock, digest, ids};

/// So long may pass between two writes of somebody who writes a file into the inbox piece by piece.
const SETTLES: Duration = Duration::from_secs(5);

/// Whether this is the beginning of a JSON document and no more.
fn is_cut_short(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_err_and(|error| error.is_eof())
}

/// Whether somebody may still be writing a file: the next look takes it as it is then.
fn is_fresh(inbox: &Directory, name: &str) -> bool {
    let age = inbox.modified(name).ok();
    let age = age.map(|modified| clock::now().duration_since(modified).unwrap_or_default());
    age.is_some_and(|age| age < SETTLES)
}

impl Store {
    /// Takes in every loose file. One that is no task, or whose id is taken, goes to `blocked` with
    /// its bytes as they are, so that it holds nobody up and is not lost.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, and what the log says.
    pub fn take_in_loose_files(&self, actor: Actor) -> Result<(), Problem> {
        if !self.has_loose_files()? {
            return Ok(());
        }
        let inbox = self.state_folder(State::Inbox)?;
        let _mutex = self.mutex()?;
        for name in self.loose_files()? {
            self.take_in(&inbox, &name, actor)?;
        }
        Ok(())
    }

    /// Whether a file was dropped into the inbox.
    pub(super) fn has_loose_files(&self) -> Result<bool, Problem> {
        Ok(!self.loose_files()?.is_empty())
    }

    fn loose_files(&self) -> Result<Vec<String>, Problem> {
        let entries = self.state_folder(State::Inbox)?.list();
        let entries = entries
            .map_err(|error| broken("inbox", &error))?
            .into_iter();
        let loose = entries.filter(|entry| !entry.is_folder && entry.name.ends_with(".json"));
        Ok(loose.map(|entry| entry.name).collect())
    }

    fn take_in(&self, inbox: &Directory, name: &str, actor: Actor) -> Result<(), Problem> {
        let Ok(bytes) = inbox.read(name, task::MAX_BYTES) else {
            return self.block_unread(inbox, name, actor);
        };
        if is_cut_short(&bytes) && is_fresh(inbox, name) {
            return Ok(());
        }
        let task = task::refuse_secrets(&bytes).and_then(|()| Task::parse(&bytes));
        let task = match task {
            Ok(task) => task,
            Err(problem) => return self.block_loose(inbox, name, &bytes, &problem.message, actor),
        };
        if self.is_same_task(&task.task_id, &bytes) {
            // A crash after the folder was made and before the loose file was removed.
            return inbox.remove(name).map_err(|error| broken(name, &error));
        }
        let known = self.known_by_key(&task);
        if let Ok(Some(known)) = &known {
            return self.skip_loose(inbox, name, (&bytes, known), actor);
        }
        if let Err(problem) = known.and_then(|_| self.check_free(&task.task_id)) {
            return self.block_loose(inbox, name, &bytes, &problem.message, actor);
        }
        let mut draft = Draft::new(actor, Action::TaskSubmitted, "claim-lock")?
            .task(task.task_id.as_str(), None, Some(State::Inbox))
            .meta("loose_file", name);
        draft.inputs_sha256 = digest::sha256(&bytes);
        draft.outputs_sha256.clone_from(&draft.inputs_sha256);
        self.log()?.append(draft)?;
        self.keep_key(&task)?;
        self.put_into_inbox(&task.task_id, &bytes)?;
        inbox.remove(name).map_err(|error| broken(name, &error))
    }

    /// A file that says again what came under its key before: that task is there, so the file goes.
    fn skip_loose(
        &self,
        inbox: &Directory,
        name: &str,
        (bytes, known): (&[u8], &TaskId),
        actor: Actor,
    ) -> Result<(), Problem> {
        let state = self.find(known)?;
        let mut draft = Draft::new(actor, Action::TaskSkipped, "claim-lock")?
            .task(known.as_str(), state, state)
            .meta(
                "reason",
                "the same content came under this idempotency key before",
            )
            .meta("loose_file", name);
        draft.inputs_sha256 = digest::sha256(bytes);
        self.log()?.append(draft)?;
        inbox.remove(name).map_err(|error| broken(name, &error))
    }

    /// One that cannot be read is another one: its id is taken, and the file must not keep others waiting.
    fn is_same_task(&self, id: &TaskId, bytes: &[u8]) -> bool {
        let there = self.task(id).and_then(|task| task.task_bytes());
        there.is_ok_and(|there| there == bytes)
    }

    fn block_loose(
        &self,
        inbox: &Directory,
        name: &str,
        bytes: &[u8],
        why: &str,
        actor: Actor,
    ) -> Result<(), Problem> {
        let sha256 = digest::sha256(bytes);
        let id = format!("INVALID-{}", sha256.get(..16).unwrap_or(&sha256));
        let blocked = self.state_folder(State::Blocked)?;
        let mut draft = Draft::new(actor, Action::TaskBlocked, "claim-lock")?
            .task(&id, Some(State::Inbox), Some(State::Blocked))
            .meta("reason", why)
            .meta("loose_file", name);
        draft.level = Level::Error;
        draft.inputs_sha256 = sha256;
        self.log()?.append(draft)?;
        if !blocked.exists(&id).map_err(|error| broken(&id, &error))? {
            put_into(&blocked, &id, bytes)?;
        }
        inbox.remove(name).map_err(|error| broken(name, &error))
    }

    /// A file that cannot be read, or is too large to be a task, is moved as it is: its bytes stay.
    fn block_unread(&self, inbox: &Directory, name: &str, actor: Actor) -> Result<(), Problem> {
        let id = format!("INVALID-{}", ids::random_hex()?);
        let why = format!("{name} cannot be read or is too large; it is kept as loose.json");
        let mut draft = Draft::new(actor, Action::TaskBlocked, "claim-lock")?
            .task(&id, Some(State::Inbox), Some(State::Blocked))
            .meta("reason", why)
            .meta("loose_file", name);
        draft.level = Level::Error;
        self.log()?.append(draft)?;
        let blocked = self.state_folder(State::Blocked)?;
        put_into(&blocked, &id, b"{}")?;
        let folder = blocked.sub(&id).map_err(|error| broken(&id, &error))?;
        inbox
            .move_to(name, &folder, "loose.json")
            .map_err(|error| broken(name, &error))
    }
}
