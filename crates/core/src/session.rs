//! What a skill's `run` gets: who acts, under which policy, on which task of which queue.
//!
//! Everything is opened on first use, so a tool that needs no queue works where there is none.

mod calling;
mod landing;
mod named;
mod rights;

pub use calling::wrong_state;

use std::cell::{OnceCell, RefCell};
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::caller::Caller;
use crate::candidate::Candidate;
use crate::envelope::{ApprovalEntry, ArtifactKind, Envelope, NO_TASK};
use crate::git::{RemoteUrl, Repository};
use crate::manifest::{Manifest, SSOT};
use crate::policy::{Actor, Mode, Policy};
use crate::problem::Problem;
use crate::state::State;
use crate::store::{Held, MergeLock, Picking, Stop, Store, TaskFolder};
use crate::task::TaskId;
use crate::{files, masking};

/// The largest policy or manifest that is read, in bytes.
const MAX_SSOT_BYTES: usize = 4 << 20;

/// The flags that every skill has, as given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Work in the repository at this folder (default: search upward for .git)
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Work on this task
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// Act as openclaw, cursor, claude_code, human or system (default: BATON_ACTOR, else human)
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Use this policy where the repository has no .autodev_ssot/POLICY.json
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Say what would happen and change nothing
    #[arg(long)]
    pub plan: bool,
    /// Decide and record, and stop nothing: every change goes to a person
    #[arg(long)]
    pub shadow: bool,
    /// Print the envelope over several lines, for people
    #[arg(long)]
    pub pretty: bool,
    /// Print a summary line on standard error even when it is no terminal
    #[arg(short, long)]
    pub verbose: bool,
    /// Print the JSON Schema of this skill's output and exit
    #[arg(long)]
    pub schema: bool,
}

/// A task that is open in this run, with the fencing number it started with.
#[derive(Debug)]
pub struct OpenTask {
    /// Its folder.
    pub folder: TaskFolder,
    /// The lock's number at the start; `None` when the task was not locked.
    pub fence: Option<u64>,
    /// The state it was in at the start.
    pub before: State,
}

/// Where the upstream envelope comes from.
pub enum Input {
    /// The process's own standard input, where no subject is named.
    Process,
    /// A program that calls in process hands it over, or there is none.
    Given(Option<Box<Envelope>>),
}

/// One run of one skill.
pub struct Session {
    /// The flags.
    pub common: Common,
    /// Who acts.
    pub actor: Actor,
    /// The envelope that came down the pipe.
    pub upstream: Option<Envelope>,
    root: OnceCell<PathBuf>,
    repository: OnceCell<Repository>,
    policy: OnceCell<Policy>,
    store: OnceCell<Store>,
    task: OnceCell<OpenTask>,
    merge_lock: OnceCell<MergeLock>,
    remote: OnceCell<RemoteUrl>,
    approvals: RefCell<Vec<ApprovalEntry>>,
    /// The task kept from everybody else until this run is recorded.
    held: RefCell<Option<Held>>,
    /// Others kept from picking what may be in this run's way.
    picking: RefCell<Option<Picking>>,
    caller: Option<Rc<dyn Caller>>,
}

impl Session {
    /// Starts a run.
    #[must_use]
    pub fn new(common: Common, actor: Actor, upstream: Option<Envelope>) -> Self {
        Self {
            common,
            actor,
            upstream,
            root: OnceCell::new(),
            repository: OnceCell::new(),
            policy: OnceCell::new(),
            store: OnceCell::new(),
            task: OnceCell::new(),
            merge_lock: OnceCell::new(),
            remote: OnceCell::new(),
            approvals: RefCell::new(Vec::new()),
            held: RefCell::new(None),
            picking: RefCell::new(None),
            caller: None,
        }
    }

    /// Whether this run only says what it would do.
    #[must_use]
    pub fn is_plan(&self) -> bool {
        self.common.plan
    }

    /// The repository's top folder.
    ///
    /// # Errors
    /// `NO_REPOSITORY`.
    pub fn root(&self) -> Result<&Path, Problem> {
        if let Some(root) = self.root.get() {
            return Ok(root);
        }
        let start = self
            .common
            .repo
            .clone()
            .unwrap_or_else(|| PathBuf::from("."));
        let root = Repository::find_root(&start)?;
        Ok(self.root.get_or_init(|| root))
    }

    /// The user's repository.
    ///
    /// # Errors
    /// `NO_REPOSITORY`, `GIT_FAILED`.
    pub fn repository(&self) -> Result<&Repository, Problem> {
        if let Some(repository) = self.repository.get() {
            return Ok(repository);
        }
        let repository = Repository::open(self.root()?)?;
        Ok(self.repository.get_or_init(|| repository))
    }

    /// The policy: the repository's own, or the one named with `--policy` where it has none.
    ///
    /// # Errors
    /// `POLICY_MISSING`, `POLICY_INVALID`, `POLICY_LOOSENED`, and a usage error when `--policy`
    /// would stand in for a policy that is there.
    pub fn policy(&self) -> Result<&Policy, Problem> {
        if let Some(policy) = self.policy.get() {
            return Ok(policy);
        }
        let bytes = self.policy_bytes()?;
        let policy = Policy::parse(&bytes).map_err(|problem| self.in_its_file(problem))?;
        if let Some(store) = self.store.get() {
            store.set_audit_rules(policy.audit);
        }
        masking::use_rules(&policy.secret_rules, &self.policy_folder());
        Ok(self.policy.get_or_init(|| policy))
    }

    /// Whether answers are recorded and not carried out, by the policy or by `--shadow`.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn is_shadow(&self) -> Result<bool, Problem> {
        if self.common.shadow && self.actor != Actor::Human {
            return Err(Problem::deny(
                "HUMAN_ONLY",
                format!(
                    "{:?} asked for shadow mode, which is a person's to ask for",
                    self.actor
                ),
            )
            .hint("a person sets --shadow, or mode in POLICY.json"));
        }
        Ok(self.common.shadow || self.policy()?.mode == Mode::Shadow)
    }

    fn policy_bytes(&self) -> Result<Vec<u8>, Problem> {
        let own = self
            .root()
            .ok()
            .map(|root| root.join(SSOT).join("POLICY.json"));
        let own_is_there = own
            .as_deref()
            .is_some_and(|path| path.symlink_metadata().is_ok());
        match (&self.common.policy, own) {
            (Some(named), _) if !own_is_there => read_policy(named),
            (Some(named), Some(own)) => {
                let bytes = read_ssot(&own, "POLICY_MISSING")?;
                if read_policy(named)? == bytes {
                    return Ok(bytes);
                }
                Err(Problem::fail(
                    "POLICY_AMBIGUOUS",
                    format!(
                        "--policy {} differs from the policy of this repository",
                        named.display()
                    ),
                )
                .hint(format!(
                    "leave --policy out, or change {SSOT}/POLICY.json by a reviewed commit"
                )))
            }
            (_, Some(own)) => read_ssot(&own, "POLICY_MISSING"),
            (_, None) => {
                let no_root = self.root().err().map(|problem| problem.message);
                Err(Problem::fail(
                    "POLICY_MISSING",
                    format!("there is no policy here: {}", no_root.unwrap_or_default()),
                )
                .hint("run it inside a repository, after baton init, or name one with --repo DIR; a tool on a bare patch takes --policy FILE"))
            }
        }
    }

    /// The secret rule files that the policy names, each with its name: they lie beside the policy
    /// and have the SHA-256 that it pins. None may be larger than `most` bytes.
    ///
    /// # Errors
    /// As [`Self::policy`]; `SECRET_RULES_MISSING`, `SECRET_RULES_CHANGED`.
    pub fn secret_rules(&self, most: usize) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        self.policy()?
            .secret_rules
            .read(&self.policy_folder(), most)
    }

    /// Where the policy lies: the repository's own, or that of `--policy`.
    fn policy_folder(&self) -> PathBuf {
        let own = self.root().ok().map(|root| root.join(SSOT));
        let own = own.filter(|folder| folder.join("POLICY.json").symlink_metadata().is_ok());
        let named = self.common.policy.as_deref().and_then(Path::parent);
        own.or_else(|| named.map(Path::to_owned))
            .unwrap_or_default()
    }

    /// The manifest.
    ///
    /// # Errors
    /// `MANIFEST_MISSING`, `MANIFEST_INVALID`.
    pub fn manifest(&self) -> Result<Manifest, Problem> {
        let path = self.root()?.join(SSOT).join("MANIFEST.json");
        Manifest::parse(&read_ssot(&path, "MANIFEST_MISSING")?)
    }

    /// The queue.
    ///
    /// # Errors
    /// `QUEUE_MISSING`, `QUEUE_BROKEN`, `NO_REPOSITORY`.
    pub fn store(&self) -> Result<&Store, Problem> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(self.root()?)?;
        if let Some(policy) = self.policy.get() {
            store.set_audit_rules(policy.audit);
        }
        Ok(self.store.get_or_init(|| store))
    }

    /// The queue, where there is one. A queue that is there and broken is an error all the same.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn store_if_any(&self) -> Result<Option<&Store>, Problem> {
        match self.store() {
            Ok(store) => Ok(Some(store)),
            Err(problem) if matches!(problem.code.as_str(), "QUEUE_MISSING" | "NO_REPOSITORY") => {
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Refuses while STOP is on.
    ///
    /// # Errors
    /// `STOP_PRESENT` (a full stop).
    pub fn check_stop(&self) -> Result<(), Problem> {
        match self.store_if_any()?.map(Store::stop) {
            Some(Stop::Present(why)) => Err(stop_problem(&why)),
            _ => Ok(()),
        }
    }

    /// The id of the task at hand, from `--task` or from upstream.
    ///
    /// # Errors
    /// `TASK_ID_INVALID`, or a usage error when none is named.
    pub fn task_id(&self) -> Result<TaskId, Problem> {
        if let Some(id) = &self.common.task {
            return TaskId::parse(id);
        }
        match self
            .upstream
            .as_ref()
            .map(|envelope| envelope.task.task_id.as_str())
        {
            Some(id) if id != NO_TASK => TaskId::parse(id),
            _ => Err(Problem::usage(
                "no task was named: pass --task ID, or pipe in the output of claim-lock",
            )),
        }
    }

    /// Whether the run is about a task of the queue.
    #[must_use]
    pub fn has_task(&self) -> bool {
        self.common.task.is_some()
            || self
                .upstream
                .as_ref()
                .is_some_and(|envelope| envelope.task.task_id != NO_TASK)
    }

    /// Opens the task at hand. When upstream carries the claim, the lock must still have its
    /// fencing number.
    ///
    /// # Errors
    /// `TASK_NOT_FOUND`, `LEASE_LOST`, `QUEUE_BROKEN`.
    pub fn task(&self) -> Result<&TaskFolder, Problem> {
        if let Some(open) = self.task.get() {
            return Ok(&open.folder);
        }
        let folder = self.store()?.task(&self.task_id()?)?;
        let fence = folder.lease()?.map(|lease| lease.fence);
        let called = self.caller.as_ref().and_then(|caller| caller.fence());
        for claimed in self.upstream_fence().into_iter().chain(called) {
            folder.check_fence(Some(claimed))?;
        }
        self.set_task(folder, fence)
    }

    /// Makes a task that the skill found itself the task at hand. What is written into it from here on
    /// needs the same fencing number.
    ///
    /// # Errors
    /// Never; the result fits into a chain of questions.
    pub fn set_task(&self, folder: TaskFolder, fence: Option<u64>) -> Result<&TaskFolder, Problem> {
        let before = folder.state();
        folder.bind(fence);
        Ok(&self
            .task
            .get_or_init(|| OpenTask {
                folder,
                fence,
                before,
            })
            .folder)
    }

    fn upstream_fence(&self) -> Option<u64> {
        let lock = self
            .upstream
            .as_ref()?
            .artifacts
            .iter()
            .rev()
            .find(|artifact| artifact.kind == ArtifactKind::LockFile)?;
        lock.note_value("fence")?.parse().ok()
    }

    /// The candidate of the task at hand, not denied by anybody.
    ///
    /// # Errors
    /// `CANDIDATE_MISSING`, `DENIED_DIGEST` (a denial), `CANDIDATE_INVALID`.
    pub fn candidate(&self) -> Result<Candidate, Problem> {
        let task = self.task()?;
        let candidate = task.candidate()?.ok_or_else(|| {
            Problem::fail(
                "CANDIDATE_MISSING",
                format!("task {} has no candidate yet", task.id()),
            )
            .hint(format!("patch-draft --task {} --from FILE", task.id()))
        })?;
        self.check_not_denied(&candidate)?;
        Ok(candidate)
    }

    /// Puts an approval's state into the envelope.
    pub fn add_approval(&self, entry: ApprovalEntry) {
        self.approvals.borrow_mut().push(entry);
    }

    /// Leaves the policy's memory to the end of the process, which frees it at once and not text by text.
    pub(crate) fn leave_policy(&mut self) {
        if let Some(policy) = self.policy.take() {
            std::mem::forget(policy);
        }
    }

    pub(crate) fn take_approvals(&self) -> Vec<ApprovalEntry> {
        self.approvals.borrow().clone()
    }

    pub(crate) fn open_task(&self) -> Option<&OpenTask> {
        self.task.get()
    }

    pub(crate) fn open_task_mut(&mut self) -> Option<&mut OpenTask> {
        self.task.get_mut()
    }
}

/// The problem that every effect meets while STOP is on.
#[must_use]
pub fn stop_problem(why: &str) -> Problem {
    Problem::zero_stop("STOP_PRESENT", format!("STOP is on: {why}"))
        .hint("an operator lifts it with: baton resume")
}

fn read_ssot(path: &Path, missing: &str) -> Result<Vec<u8>, Problem> {
    let read = files::read_placed(path, MAX_SSOT_BYTES);
    read.map_err(|error| unread(path, missing, &error))
}

/// Reads the policy that `--policy` names, which may come out of a pipe.
fn read_policy(path: &Path) -> Result<Vec<u8>, Problem> {
    let read = files::read_named(path, MAX_SSOT_BYTES);
    read.map_err(|error| unread(path, "POLICY_MISSING", &error))
}

fn unread(path: &Path, missing: &str, error: &io::Error) -> Problem {
    Problem::fail(missing, format!("{}: {error}", path.display()))
        .hint("run baton init, or restore the file from the base commit; there is no default")
}

/// Reads all of standard input, within bounds.
///
/// # Errors
/// `UPSTREAM_INVALID`.
pub(crate) fn read_upstream(mut stdin: impl Read) -> Result<Envelope, Problem> {
    let bytes = files::read_bounded(&mut stdin, crate::envelope::MAX_BYTES)
        .map_err(|error| Problem::fail("UPSTREAM_INVALID", format!("standard input: {error}")))?;
    Envelope::parse(&bytes)
}

/// The arguments of a run as the log names them when nothing came down the pipe.
#[must_use]
pub(crate) fn arguments_sha256(arguments: &[OsString]) -> String {
    let joined: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    crate::digest::sha256(joined.join("\0").as_bytes())
}
