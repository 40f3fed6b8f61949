//! Putting a task into the inbox: once for each idempotency key, under an id that no other task
//! has in any spelling.

use std::io;

use super::{Directory, Store, broken};
use crate::ids;
use crate::problem::Problem;
use crate::state::State;
use crate::task::{self, Task, TaskId};

/// The task's own file in its folder.
const TASK: &str = "task.json";
/// What the folder of a task that is not shown yet is called, before its id.
const STAGED: &str = ".tmp-new-";

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
        let inbox = self.state_folder(State::Inbox)?;
        // Before the line: whoever ends in between leaves what it takes to complete the submission.
        let staged = staged_name(&task.task_id);
        discard(&inbox, &staged).map_err(|error| broken(&staged, &error))?;
        stage(&inbox, &staged, &task.to_bytes())?;
        if let Err(problem) = record(&task.task_id) {
            // A line may stand that could not be made durable. What cannot be taken away now, the
            // watchdog takes away.
            if let Ok(false) = self.is_told(&task.task_id) {
                let _ = discard(&inbox, &staged);
            }
            return Err(problem);
        }
        // Before the task: whoever ends in between leaves a key of no task, which is free, and never a
        // task whose key somebody else can use.
        self.keep_key(task)?;
        self.show(&inbox, &staged, &task.task_id)?;
        Ok(Submitted::New(task.task_id.clone()))
    }

    /// Tasks that a submission made ready and has not shown: one that is under way, or was cut off.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub(super) fn unshown(&self) -> Result<Vec<TaskId>, Problem> {
        staged_in(&self.state_folder(State::Inbox)?)
    }

    /// Ends a submission that was cut off: its task is shown where the log tells of it, and else taken
    /// away, for then nobody was promised anything. `record` writes the line before it is shown; with
    /// `plan` nothing but that is done.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, those of the task, and what `record` says.
    pub(super) fn complete_submission(
        &self,
        id: &TaskId,
        plan: bool,
        record: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        // A submission that is under way has it.
        let _mutex = self.mutex()?;
        let inbox = self.state_folder(State::Inbox)?;
        let staged = staged_name(id);
        let is_there = inbox.exists(&staged);
        if !is_there.map_err(|error| broken(&staged, &error))? {
            return Ok(());
        }
        let is_owed = self.is_told(id)? && self.find(id)?.is_none();
        if is_owed {
            record()?;
        }
        match (plan, is_owed) {
            (true, _) => Ok(()),
            (false, true) => self.show_late(&inbox, &staged, id),
            (false, false) => discard(&inbox, &staged).map_err(|error| broken(&staged, &error)),
        }
    }

    fn show_late(&self, inbox: &Directory, staged: &str, id: &TaskId) -> Result<(), Problem> {
        let read = inbox.sub(staged);
        let read = read.and_then(|folder| folder.read(TASK, task::MAX_BYTES));
        self.keep_key(&Task::parse(
            &read.map_err(|error| broken(staged, &error))?,
        )?)?;
        self.show(inbox, staged, id)
    }

    /// Whether the log says that the task came into the inbox, and of no move since.
    fn is_told(&self, id: &TaskId) -> Result<bool, Problem> {
        let events = self.log()?.events_of(id.as_str())?;
        let said = events.iter().rev().find_map(|(event, _)| event.moves_to());
        Ok(said == Some(State::Inbox))
    }

    /// Makes the task's folder under a temporary name and shows it in one step.
    pub(super) fn put_into_inbox(&self, id: &TaskId, bytes: &[u8]) -> Result<(), Problem> {
        let inbox = self.state_folder(State::Inbox)?;
        let temporary = format!(".tmp-{}", ids::random_hex()?);
        stage(&inbox, &temporary, bytes)?;
        self.show(&inbox, &temporary, id)
    }

    fn show(&self, inbox: &Directory, temporary: &str, id: &TaskId) -> Result<(), Problem> {
        let shown = inbox.move_to(temporary, inbox, id.as_str());
        shown.map_err(|error| broken(id.as_str(), &error))?;
        self.take_name(id);
        self.enqueue(id);
        Ok(())
    }
}

/// Makes a task's folder in `target` under a temporary name and shows it in one step.
pub(super) fn put_into(target: &Directory, name: &str, bytes: &[u8]) -> Result<(), Problem> {
    let temporary = format!(".tmp-{}", ids::random_hex()?);
    stage(target, &temporary, bytes)?;
    let shown = target.move_to(&temporary, target, name);
    shown.map_err(|error| broken(name, &error))
}

fn stage(target: &Directory, temporary: &str, bytes: &[u8]) -> Result<(), Problem> {
    let folder = target.new_sub(temporary);
    let written = folder.and_then(|folder| folder.write_unseen(TASK, bytes));
    written.map_err(|error| broken(temporary, &error))
}

/// Takes away what was made ready, if it is there.
fn discard(target: &Directory, temporary: &str) -> io::Result<()> {
    let folder = match target.sub(temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    for name in folder.names(usize::MAX)?.unwrap_or_default() {
        folder.remove(&String::from_utf8_lossy(&name))?;
    }
    match target.remove_if_empty(temporary)? {
        true => Ok(()),
        false => Err(io::ErrorKind::DirectoryNotEmpty.into()),
    }
}

fn staged_name(id: &TaskId) -> String {
    format!("{STAGED}{id}")
}

fn staged_in(inbox: &Directory) -> Result<Vec<TaskId>, Problem> {
    let names = inbox.names(usize::MAX);
    let names = names.map_err(|error| broken("inbox", &error))?;
    let ids = names.unwrap_or_default().into_iter().filter_map(|name| {
        let name = String::from_utf8(name).ok()?;
        TaskId::parse(name.strip_prefix(STAGED)?).ok()
    });
    Ok(ids.collect())
}
