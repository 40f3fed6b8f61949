//! The queue, and the only way to it: tasks, locks, artifacts, approvals, STOP and log.
//!
//! Skills name tasks and artifacts; where these lie, in folders on disk or in a database, is known here alone:
//! the rules stand over [`Directory`], and [`database`] says what a database must be able to do.

mod agreement;
mod apart;
mod approvals;
mod asked;
mod attempts;
mod backoff;
mod begun;
mod bring;
mod calls;
mod claim;
mod copy;
pub mod database;
mod directory;
mod envelopes;
mod hold;
mod intake;
mod keys;
mod landed;
mod let_go;
mod liveness;
mod lookout;
mod making;
mod mending;
mod merge_lock;
mod names;
mod network;
mod order;
mod parts;
mod pinned;
mod placed;
mod rights;
mod second_names;
mod set_aside;
mod stall;
mod started;
mod stop;
mod submit;
mod task_folder;
mod wait;
mod watchdog;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use apart::Picking;
pub use approvals::{Doer, Ledger, RECENT};
pub use attempts::{Attempts, FAILED};
pub use backoff::Backoff;
pub use begun::Begun;
pub use calls::{CallCost, Calls};
pub use claim::{Claim, Conflict};
pub use copy::Copied;
pub use database::{Database, Driver};
pub use directory::{Directory, Identity, Lock};
pub use envelopes::KeptEnvelope;
pub use hold::Held;
pub use landed::Unrecorded;
pub use liveness::{Wedge, of_problem, wedge};
pub use merge_lock::MergeLock;
pub use started::Started;
pub use stop::{STOP, Stop};
pub use submit::Submitted;
pub use task_folder::TaskFolder;
pub use wait::Waiter;
pub use watchdog::{Act, Patrol, Spent, Watch, What};

use crate::audit::Log;
use crate::clock;
use crate::envelope::QUEUE_ROOT;
use crate::files::Folder;
use crate::git::{ObjectStore, Repository};
use crate::manifest;
use crate::outputs::{Counts, TaskEntry};
use crate::policy::AuditRules;
use crate::problem::{self, Problem};
use crate::state::State;
use crate::task::TaskId;

/// The open queue of one repository.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// What is this machine's own: its copy of the log, the private objects, a STOP for it alone.
    local: Folder,
    queue: Directory,
    database: Option<Arc<dyn Database>>,
    log: OnceLock<Log>,
    lookout: OnceLock<lookout::Lookout>,
    audit: Mutex<AuditRules>,
}

impl Store {
    /// Opens the queue of the repository at `root`.
    ///
    /// # Errors
    /// `STORE_UNTRUSTED`, `STORE_UNREACHABLE`, `STORE_VERSION` where it lies in a database;
    /// `QUEUE_MISSING` when `baton init` was not run, `QUEUE_BROKEN` when a part of it is gone, a
    /// link, or unreadable.
    pub fn open(root: &Path) -> Result<Self, Problem> {
        let path = root.join(QUEUE_ROOT);
        let local = Folder::open(&path).map_err(|error| missing(root, &error))?;
        Self::at(root, local, Self::address(root)?)
    }

    /// The address of the database that holds the queue, as the manifest says and a person chose for this
    /// checkout; `None` for folders, which must be what was chosen too. Nothing is connected to.
    ///
    /// # Errors
    /// `MANIFEST_INVALID`, `STORE_UNTRUSTED`.
    pub fn address(root: &Path) -> Result<Option<String>, Problem> {
        let address = manifest::store_of(root)?;
        pinned::check(root, address.as_deref())?;
        Ok(address)
    }

    fn at(root: &Path, local: Folder, address: Option<String>) -> Result<Self, Problem> {
        network::refuse(root, &local, address.as_deref())?;
        let database = address.map(|address| database::connect(&address, root));
        let database = database.transpose()?;
        let queue = match &database {
            Some(database) => Directory::in_database(Arc::clone(database)),
            None => Directory::Disk(
                local
                    .sub_self()
                    .map_err(|error| broken(QUEUE_ROOT, &error))?,
            ),
        };
        Ok(Self {
            root: root.to_owned(),
            local,
            queue,
            database,
            log: OnceLock::new(),
            lookout: OnceLock::new(),
            audit: Mutex::default(),
        })
    }

    /// The repository's top folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The queue's top folder, for who copies a queue or packs a part of it.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.queue
    }

    /// The log.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn log(&self) -> Result<&Log, Problem> {
        if let Some(log) = self.log.get() {
            return Ok(log);
        }
        let folder = self.local.sub("audit");
        let log = Log::new(folder.map_err(|error| broken("audit", &error))?, &self.root);
        let log = match &self.database {
            Some(database) => log.with_lines_of(Arc::clone(database)),
            None => log,
        };
        log.set_rules(*self.audit.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(self.log.get_or_init(|| log))
    }

    /// Takes over what the policy says of the log.
    pub fn set_audit_rules(&self, rules: AuditRules) {
        *self.audit.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        if let Some(log) = self.log.get() {
            log.set_rules(rules);
        }
    }

    /// The private object store of this machine, with the candidates of all open tasks.
    ///
    /// # Errors
    /// `GIT_FAILED`, `QUEUE_BROKEN`.
    pub fn objects(&self, repository: &Repository) -> Result<ObjectStore, Problem> {
        let path = self.local.path().join("git");
        if path.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(broken("git", &error));
        }
        let objects = ObjectStore::open(&path, repository)?;
        if self.database.is_some() {
            self.bring_candidates(&objects)?;
        }
        Ok(objects)
    }

    /// Where gates' results lie that may be used again; made on first use.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn results(&self) -> Result<Directory, Problem> {
        let made = self.queue.sub_or_new("results");
        made.map_err(|error| broken("results", &error))
    }

    /// Where every accepted policy is kept under its digest; made on first use.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn policies(&self) -> Result<Directory, Problem> {
        let made = self.queue.sub_or_new("policies");
        made.map_err(|error| broken("policies", &error))
    }

    /// A kept policy's folder on this machine, fetched when the queue lies in a database. `last` is the file
    /// that is written last: where it is, all are.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`; the inner one when there is no such policy.
    pub(crate) fn policy_folder(
        &self,
        sha256: &str,
        last: &str,
    ) -> Result<io::Result<Folder>, Problem> {
        if self.database.is_none() {
            let kept = self.local.sub("policies");
            return Ok(kept.and_then(|kept| kept.sub(sha256)));
        }
        let kept = self.policies()?.sub(sha256);
        let here = self.local.sub_or_new("policies");
        let here = here.map_err(|error| broken("policies", &error))?;
        Ok(kept.and_then(|kept| {
            let here = here.sub_or_new(sha256)?;
            if !here.exists(last)? {
                kept.copy_to(&here, last)?;
            }
            Ok(here)
        }))
    }

    fn folder(&self, name: &str) -> Result<Directory, Problem> {
        self.queue.sub(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let why = format!("the queue has no folder {name}: somebody took it away");
                Problem::fail("QUEUE_BROKEN", why).hint(format!(
                    "put .autodev_queue/{name} back with what was in it; baton init makes an empty one"
                ))
            }
            _ => broken(name, &error),
        })
    }

    fn state_folder(&self, state: State) -> Result<Directory, Problem> {
        self.folder(state.name())
    }

    /// Lists the tasks of the given states, by state and then by name, and counts them. Loose task
    /// files in the inbox are listed by their file's stem.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn scan(&self, states: &[State]) -> Result<(Counts, Vec<TaskEntry>), Problem> {
        let mut counts = Counts::default();
        let mut tasks = Vec::new();
        for state in states.iter().copied() {
            let folder = self.state_folder(state)?;
            let mut entries = folder
                .list_with_times()
                .map_err(|error| broken(state.name(), &error))?;
            entries.sort_unstable_by(|(a, _), (b, _)| a.name.cmp(&b.name));
            for (entry, modified) in entries {
                let Some(id) = self.task_of(state, &entry.name, entry.is_folder) else {
                    continue;
                };
                *counts.of(state) += 1;
                tasks.push(TaskEntry {
                    task_id: id,
                    state,
                    path: [QUEUE_ROOT, state.name(), &entry.name].join("/"),
                    updated_at: Some(clock::rfc3339(modified)),
                });
            }
        }
        Ok((counts, tasks))
    }

    #[expect(clippy::unused_self, reason = "reads as a question to the store")]
    fn task_of(&self, state: State, name: &str, is_folder: bool) -> Option<String> {
        if is_folder {
            return TaskId::parse(name).ok().map(|id| id.to_string());
        }
        let stem = name
            .strip_suffix(".json")
            .filter(|_| state == State::Inbox)?;
        TaskId::parse(stem).ok().map(|id| id.to_string())
    }

    /// Finds the state that a task lies in.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, also when it lies in two.
    pub fn find(&self, id: &TaskId) -> Result<Option<State>, Problem> {
        // Who looks from the first state to the last misses a task that goes back meanwhile.
        match self.find_in(id, State::ALL.into_iter())? {
            None => self.find_in(id, State::ALL.into_iter().rev()),
            found => Ok(found),
        }
    }

    fn find_in(
        &self,
        id: &TaskId,
        states: impl Iterator<Item = State>,
    ) -> Result<Option<State>, Problem> {
        let lies_in = |state: State| -> Result<bool, Problem> {
            self.state_folder(state)?
                .exists(id.as_str())
                .map_err(|error| broken(state.name(), &error))
        };
        let mut found = None;
        for state in states {
            if !lies_in(state)? {
                continue;
            }
            // A task that moved while we looked was seen twice and lies in one place.
            if let Some(first) = found.filter(|first| lies_in(*first).unwrap_or(true)) {
                return Err(Problem::fail(
                    "QUEUE_BROKEN",
                    format!("task {id} lies in {first} and in {state}"),
                )
                .hint("keep the folder of the later state and move the other one away"));
            }
            found = Some(state);
        }
        Ok(found)
    }

    /// Opens a task's folder, wherever it lies.
    ///
    /// # Errors
    /// `TASK_NOT_FOUND`, `QUEUE_BROKEN`.
    pub fn task(&self, id: &TaskId) -> Result<TaskFolder, Problem> {
        // A move may happen between finding and opening; then it is found again, further on.
        for _ in 0..3 {
            let Some(state) = self.find(id)? else { break };
            match self.state_folder(state)?.sub(id.as_str()) {
                Ok(folder) => return Ok(TaskFolder::new(id.clone(), state, folder)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(broken(id.as_str(), &error)),
            }
        }
        Err(Problem::fail(
            "TASK_NOT_FOUND",
            format!("there is no task {id} in the queue"),
        )
        .hint("baton status lists the tasks; baton submit makes one"))
    }

    /// Moves a task that the caller holds to another state, and takes its lock off where `unlock` says so.
    /// The fencing number is looked at, and the task moved, while nobody else can change either.
    ///
    /// # Errors
    /// `STATE_RULE`, `LEASE_LOST` when the lock's fencing number is another one by now,
    /// `QUEUE_BROKEN`.
    pub fn transition(
        &self,
        task: &mut TaskFolder,
        to: State,
        fence: Option<u64>,
        unlock: bool,
    ) -> Result<(), Problem> {
        let _held = task.hold()?;
        task.check_fence(fence)?;
        // Whoever sees a task in the inbox may claim it, so its old lock must not come along.
        if unlock && to == State::Inbox {
            self.check_move(task, to)?;
            self.unlock(task)?;
        }
        self.relocate(task, to)?;
        if unlock && to != State::Inbox {
            self.unlock(task)?;
        }
        Ok(())
    }

    /// Moves a task that the caller keeps from everybody else, whoever's lock it has.
    pub(super) fn relocate(&self, task: &mut TaskFolder, to: State) -> Result<(), Problem> {
        self.check_move(task, to)?;
        let from = task.state();
        let (source, target) = (self.state_folder(from)?, self.state_folder(to)?);
        let id = task.id().clone();
        source
            .move_to(id.as_str(), &target, id.as_str())
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Problem::fail(
                    "LEASE_LOST",
                    format!("task {id} is not in {from} any more; somebody moved it"),
                ),
                io::ErrorKind::AlreadyExists => Problem::fail(
                    "QUEUE_BROKEN",
                    format!("there is a task {id} in {to} already; nothing was overwritten"),
                ),
                _ => broken(id.as_str(), &error),
            })?;
        let folder = target
            .sub(id.as_str())
            .map_err(|error| broken(id.as_str(), &error))?;
        task.moved(to, folder);
        if to == State::Inbox {
            self.enqueue(&id);
        }
        Ok(())
    }

    /// Whether the task may move there, and still lies where it was opened.
    fn check_move(&self, task: &TaskFolder, to: State) -> Result<(), Problem> {
        let (id, from) = (task.id(), task.state());
        if !from.may_move_to(to) {
            let why = format!("task {id} cannot move from {from} to {to}");
            return Err(Problem::fail("STATE_RULE", why));
        }
        if self.lies_there(task)? {
            return Ok(());
        }
        let why = format!("task {id} is not in {from} any more; somebody moved it");
        Err(Problem::fail("LEASE_LOST", why))
    }
}

fn missing(root: &Path, error: &io::Error) -> Problem {
    if error.kind() != io::ErrorKind::NotFound {
        return broken(QUEUE_ROOT, error);
    }
    let why = format!("there is no {QUEUE_ROOT} in {}", root.display());
    Problem::fail("QUEUE_MISSING", why).hint("run: baton init")
}

/// Whether it is the database that is gone, or did not answer in time, and the queue in it is whole.
fn is_lost(error: &io::Error) -> bool {
    [io::ErrorKind::ConnectionAborted, io::ErrorKind::TimedOut].contains(&error.kind())
}

fn broken(what: &str, error: &io::Error) -> Problem {
    if is_lost(error) {
        return database::lost(what, error);
    }
    let why = format!("the queue in {QUEUE_ROOT} cannot be used at {what}: {error}");
    let hint = match error.kind() {
        io::ErrorKind::NotFound => {
            "bring it back from a copy; where it was empty, a person runs: baton init"
        }
        io::ErrorKind::NotADirectory => {
            "put a folder there in place of what lies there; no part of the queue may be a link"
        }
        _ => problem::way_out(error).unwrap_or("see what is wrong with it: baton doctor --queue"),
    };
    Problem::fail("QUEUE_BROKEN", why).hint(hint)
}
