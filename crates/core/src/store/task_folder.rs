//! One task's folder: its files, read within bounds and written once.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::{Arc, Mutex};

use super::claim::is_nobodys;
use super::hold::Depth;
use super::{Directory, database, is_lost};
use crate::candidate::Candidate;
use crate::clock::Moment;
use crate::envelope::{Artifact, ArtifactKind, Envelope, QUEUE_ROOT, Status};
use crate::lease::{self, Lease};
use crate::problem::Problem;
use crate::state::State;
use crate::task::{Task, TaskId};
use crate::{candidate, digest, task};

pub(super) const TASK_FILE: &str = "task.json";
pub(super) const LOCK_FILE: &str = ".lock";
const CANDIDATE_FILE: &str = "candidate.json";
const PATCH_FILE: &str = "draft.patch";
/// Evidence files and the like: the largest that is read back, in bytes.
const MAX_FILE: usize = 256 << 20;

/// An open task folder.
#[derive(Debug)]
pub struct TaskFolder {
    id: TaskId,
    state: State,
    folder: Directory,
    written: RefCell<Vec<(Option<String>, String)>>,
    depth: Arc<Mutex<Depth>>,
    /// The fencing number that this run's writes need; none of its own until it is bound to one.
    bound: Cell<Option<Option<u64>>>,
}

impl TaskFolder {
    pub(super) fn new(id: TaskId, state: State, folder: Directory) -> Self {
        Self {
            id,
            state,
            folder,
            written: RefCell::new(Vec::new()),
            depth: Arc::default(),
            bound: Cell::new(None),
        }
    }

    /// From now on nothing is written here unless the lock has this fencing number, or there is none
    /// where this is `None`.
    pub fn bind(&self, fence: Option<u64>) {
        self.bound.set(Some(fence));
    }

    pub(super) fn bound(&self) -> Option<Option<u64>> {
        self.bound.get()
    }

    pub(super) fn depth(&self) -> &Arc<Mutex<Depth>> {
        &self.depth
    }

    pub(super) fn moved(&mut self, state: State, folder: Directory) {
        self.state = state;
        self.folder = folder;
    }

    pub(crate) fn folder(&self) -> &Directory {
        &self.folder
    }

    /// The task's id.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// The state it lies in.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// A file's path as envelopes write it.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        format!("{QUEUE_ROOT}/{}/{}/{name}", self.state.name(), self.id)
    }

    fn place(&self, name: &str) -> Result<(Option<Directory>, String), Problem> {
        let Some((folder, file)) = name.split_once('/') else {
            return Ok((None, name.to_owned()));
        };
        let folder = self
            .folder
            .sub(folder)
            .map_err(|error| self.trouble(name, &error))?;
        Ok((Some(folder), file.to_owned()))
    }

    pub(super) fn trouble(&self, name: &str, error: &io::Error) -> Problem {
        if is_lost(error) {
            return database::lost(&self.path(name), error);
        }
        let code = if error.kind() == io::ErrorKind::NotFound {
            "FILE_MISSING"
        } else {
            "FILE_UNREADABLE"
        };
        Problem::fail(code, format!("{}: {error}", self.path(name)))
    }

    /// Reads a file of the task, at most one folder deep.
    ///
    /// # Errors
    /// `FILE_MISSING`, `FILE_UNREADABLE`.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Problem> {
        self.read_within(name, MAX_FILE)
    }

    fn read_within(&self, name: &str, limit: usize) -> Result<Vec<u8>, Problem> {
        let (folder, file) = self.place(name)?;
        folder
            .as_ref()
            .unwrap_or(&self.folder)
            .read(&file, limit)
            .map_err(|error| self.trouble(name, &error))
    }

    /// Reads a file if it is there.
    ///
    /// # Errors
    /// `FILE_UNREADABLE`.
    pub fn read_if_there(&self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        match self.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(problem) if problem.code == "FILE_MISSING" => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Reads the file that an artifact of this task names, in whatever state the task was then, and
    /// checks the SHA-256 in its note.
    ///
    /// # Errors
    /// `EVIDENCE_CHANGED`, `FILE_MISSING`, `FILE_UNREADABLE`.
    pub fn read_artifact(&self, artifact: &Artifact) -> Result<Vec<u8>, Problem> {
        let not_ours = || {
            Problem::fail(
                "FILE_MISSING",
                format!("{} is no file of task {}", artifact.path, self.id),
            )
        };
        let mut parts = artifact.path.splitn(4, '/');
        let name = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(QUEUE_ROOT), Some(state), Some(id), Some(name))
                if State::from_name(state).is_some() && id == self.id.as_str() =>
            {
                name
            }
            _ => return Err(not_ours()),
        };
        let bytes = self.read(name)?;
        let got = digest::sha256(&bytes);
        match artifact.note_value("sha256") {
            Some(expected) if expected == got => Ok(bytes),
            expected => Err(Problem::fail(
                "EVIDENCE_CHANGED",
                format!(
                    "{} hashes to {got}, the envelope says {}",
                    artifact.path,
                    expected.unwrap_or("nothing")
                ),
            )),
        }
    }

    /// Writes a file that must not exist yet and names it as an artifact with its SHA-256.
    ///
    /// # Errors
    /// `FILE_EXISTS`, `IO_ERROR`, and as [`Self::guard`].
    pub fn write_new(
        &self,
        kind: ArtifactKind,
        name: &str,
        bytes: &[u8],
    ) -> Result<Artifact, Problem> {
        let _held = self.guard()?;
        let (sub, file) = match name.split_once('/') {
            Some((sub, file)) => (Some(sub.to_owned()), file),
            None => (None, name),
        };
        let folder = match &sub {
            Some(sub) => Some(
                self.folder
                    .sub_or_new(sub)
                    .map_err(|error| self.trouble(name, &error))?,
            ),
            None => None,
        };
        folder
            .as_ref()
            .unwrap_or(&self.folder)
            .write_new(file, bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Problem::fail(
                    "FILE_EXISTS",
                    format!(
                        "{} is there already; nothing is overwritten",
                        self.path(name)
                    ),
                )
                .hint(format!(
                    "baton retry {} moves the last attempt aside",
                    self.id
                )),
                _ => Problem::io(self.path(name), &error),
            })?;
        self.written.borrow_mut().push((sub, file.to_owned()));
        Ok(Artifact::new(
            kind,
            self.path(name),
            format!("sha256={}", digest::sha256(bytes)),
        ))
    }

    /// Writes a file under `name`, or under `name` with `.2`, `.3`… before its ending when earlier
    /// runs left theirs.
    ///
    /// # Errors
    /// As [`Self::write_new`].
    pub fn write_next(
        &self,
        kind: ArtifactKind,
        name: &str,
        bytes: &[u8],
    ) -> Result<Artifact, Problem> {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        for number in 1..10_000 {
            let name = if number == 1 {
                name.to_owned()
            } else {
                format!("{stem}.{number}.{ending}")
            };
            match self.write_new(kind, &name, bytes) {
                Err(problem) if problem.code == "FILE_EXISTS" => {}
                outcome => return outcome,
            }
        }
        Err(Problem::fail(
            "FILE_EXISTS",
            format!("{} was written too often", self.path(name)),
        ))
    }

    /// Counts a file among those that this run wrote.
    pub(super) fn remember(&self, sub: &str, file: &str) {
        let written = (Some(sub.to_owned()), file.to_owned());
        self.written.borrow_mut().push(written);
    }

    /// Counts it no more.
    pub(super) fn forget(&self, sub: &str, file: &str) {
        let mut written = self.written.borrow_mut();
        written.retain(|(own, name)| own.as_deref() != Some(sub) || name != file);
    }

    /// Takes back what this run wrote, because it could not be recorded.
    pub fn undo_writes(&self) {
        // What another has taken by now is another's, whoever wrote it first.
        let Ok(_held) = self.guard() else { return };
        for (sub, file) in self.written.borrow_mut().drain(..).rev() {
            let removed = match sub {
                Some(sub) => self
                    .folder
                    .sub(&sub)
                    .and_then(|folder| folder.remove(&file)),
                None => self.folder.remove(&file),
            };
            // Nothing more can be done; the file is in no log and no envelope.
            drop(removed);
        }
    }

    /// Takes back a lock that this run wrote, because the move that it was for did not happen.
    pub fn undo_lock(&self) {
        let Ok(_held) = self.guard() else { return };
        let mut written = self.written.borrow_mut();
        if let Some(at) = written
            .iter()
            .position(|(sub, file)| sub.is_none() && file == LOCK_FILE)
        {
            written.remove(at);
            // A lock that stays is over when its lease is.
            drop(self.folder.remove(LOCK_FILE));
        }
    }

    /// The task itself.
    ///
    /// # Errors
    /// `TASK_INVALID`, `FILE_MISSING`.
    pub fn task(&self) -> Result<Task, Problem> {
        Task::parse(&self.read_within(TASK_FILE, task::MAX_BYTES)?)
    }

    /// The bytes of `task.json`.
    ///
    /// # Errors
    /// `FILE_MISSING`, `FILE_UNREADABLE`.
    pub fn task_bytes(&self) -> Result<Vec<u8>, Problem> {
        self.read_within(TASK_FILE, task::MAX_BYTES)
    }

    /// The lock, if the task is held.
    ///
    /// # Errors
    /// `LOCK_BROKEN`.
    pub fn lease(&self) -> Result<Option<Lease>, Problem> {
        match self.folder.read(LOCK_FILE, lease::MAX_BYTES) {
            Ok(bytes) => {
                let of_one_machine = self.folder.is_of_one_machine();
                Lease::read(&bytes, &self.path(LOCK_FILE), of_one_machine).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(lease::broken(&self.path(LOCK_FILE), &error)),
        }
    }

    /// The lock, if the task is held and somebody stands behind it.
    ///
    /// # Errors
    /// As [`Self::lease`].
    pub fn held(&self, now: Moment) -> Result<Option<Lease>, Problem> {
        let held = |lease: &Lease| !is_nobodys(lease, self.state, now);
        Ok(self.lease()?.filter(held))
    }

    /// Refuses when the lock's fencing number is not the one that the caller started with.
    ///
    /// # Errors
    /// `LEASE_LOST`, `LOCK_BROKEN`.
    pub fn check_fence(&self, fence: Option<u64>) -> Result<(), Problem> {
        let held = self.lease()?.map(|lease| lease.fence);
        if held == fence {
            return Ok(());
        }
        let show = |fence: Option<u64>| fence.map_or("none".to_owned(), |fence| fence.to_string());
        Err(Problem::fail(
            "LEASE_LOST",
            format!(
                "the lock of task {} has fencing number {}, this run started with {}",
                self.id,
                show(held),
                show(fence)
            ),
        )
        .hint(match held {
            Some(_) => "somebody else holds the task by now; look with: baton status".to_owned(),
            None => format!(
                "nobody holds it: it was cancelled, given back or taken back; baton show {}",
                self.id
            ),
        }))
    }

    /// The candidate, once there is one.
    ///
    /// # Errors
    /// `CANDIDATE_INVALID`, `FILE_UNREADABLE`.
    pub fn candidate(&self) -> Result<Option<Candidate>, Problem> {
        match self.read_within(CANDIDATE_FILE, candidate::MAX_BYTES) {
            Ok(bytes) => Candidate::parse(&bytes).map(Some),
            Err(problem) if problem.code == "FILE_MISSING" => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Whether a draft of this attempt was recorded. Files that a killed run left behind without a
    /// record are no draft.
    ///
    /// # Errors
    /// `EVIDENCE_CHANGED`.
    pub fn has_recorded_draft(&self) -> Result<bool, Problem> {
        let is_draft = |envelope: &Envelope| {
            envelope.skill == "patch-draft-request" && envelope.status == Status::Ok
        };
        let kept = self.envelopes()?;
        Ok(self.candidate()?.is_some() && kept.iter().any(|kept| is_draft(&kept.envelope)))
    }

    /// Moves what a killed run drafted and never recorded into `unrecorded/`.
    ///
    /// # Errors
    /// `FILE_UNREADABLE`, and as [`Self::guard`].
    pub fn set_unrecorded_aside(&self) -> Result<(), Problem> {
        let _held = self.guard()?;
        for name in [CANDIDATE_FILE, PATCH_FILE, "rationale.md", "report.json"] {
            let trouble = |error: io::Error| self.trouble(name, &error);
            if !self.folder.exists(name).map_err(trouble)? {
                continue;
            }
            let aside = self.folder.sub_or_new("unrecorded").map_err(trouble)?;
            let number = aside.list().map_err(trouble)?.len() + 1;
            self.folder
                .move_to(name, &aside, &format!("{number}-{name}"))
                .map_err(trouble)?;
        }
        Ok(())
    }

    /// The candidate's canonical patch.
    ///
    /// # Errors
    /// `FILE_MISSING`, `FILE_UNREADABLE`.
    pub fn patch(&self) -> Result<Vec<u8>, Problem> {
        self.read(PATCH_FILE)
    }

    /// Keeps a candidate: its record, its patch and the note that binds envelopes to it.
    ///
    /// # Errors
    /// As [`Self::write_new`].
    pub fn write_candidate(
        &self,
        candidate: &Candidate,
        patch: &[u8],
    ) -> Result<Vec<Artifact>, Problem> {
        let patch = self.write_new(ArtifactKind::DraftPatch, PATCH_FILE, patch)?;
        let record = self.write_new(ArtifactKind::Other, CANDIDATE_FILE, &candidate.to_bytes())?;
        Ok(vec![patch, bind(record, candidate)])
    }

    /// The artifact by which an envelope names the candidate it is about.
    ///
    /// # Errors
    /// `CANDIDATE_MISSING`.
    pub fn candidate_artifact(&self, candidate: &Candidate) -> Result<Artifact, Problem> {
        let bytes = self.read_within(CANDIDATE_FILE, candidate::MAX_BYTES)?;
        let note = format!("sha256={}", digest::sha256(&bytes));
        Ok(bind(
            Artifact::new(ArtifactKind::Other, self.path(CANDIDATE_FILE), note),
            candidate,
        ))
    }
}

fn bind(mut artifact: Artifact, candidate: &Candidate) -> Artifact {
    let note = artifact.note.take().unwrap_or_default();
    artifact.note = Some(format!("{note} {}", candidate.binding()));
    artifact
}
