//! The log as a whole: opened, created, locked, synced.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use baton_transparency::SigningKey;
use rustix::fs::{FlockOperation, OFlags};

use super::checkpoint::Sealed;
use super::index::{self, Index};
use super::kept::{Kept, Lock, Locked};
use super::segments::{Parts, SEGMENTS, open_active, unopened};
use super::shared::Writing;
use super::{FILE, path};
use crate::files::Folder;
use crate::manifest::SSOT;
use crate::policy::AuditRules;
use crate::problem::Problem;
use crate::store::database::Database;

const LOCK: &str = ".lock";

/// Logs, by their folder and its device and inode, that this process could not sync. The system may say of
/// the next sync that all is well though the bytes never reached the disk.
static UNSYNCED: Mutex<Vec<LogId>> = Mutex::new(Vec::new());

type LogId = (PathBuf, u64, u64);

/// The last line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 for an empty log.
    pub seq: u64,
    /// Its event.
    pub event_id: Option<String>,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// The open log.
#[derive(Debug)]
pub struct Log {
    pub(super) folder: Folder,
    /// Where the public keys lie.
    pub(super) ssot: PathBuf,
    rules: Mutex<AuditRules>,
    /// Where the lines lie, when not in the folder alone.
    pub(super) shared: Option<Arc<dyn Database>>,
    pub(super) key: OnceLock<SigningKey>,
    /// The checkpoint that was read last.
    seen: Mutex<Option<Sealed>>,
    /// The size that a head was seen to claim, believed for nothing but whose turn it is to sign.
    pub(super) claimed: AtomicU64,
    /// The folder of closed segments, and the index's.
    segments: OnceLock<Arc<Folder>>,
    pub(super) tree: OnceLock<Folder>,
    lock: Lock,
    pub(super) checkpoint_lock: Lock,
    /// What lines are written to, and their hashes.
    active: Kept,
    pub(super) hashes: Kept,
    /// Whether one was held against the log, the lines after it included.
    pub(super) was_held: AtomicBool,
}

impl Log {
    /// Opens the `audit` folder of the queue of the repository at `root`.
    #[must_use]
    pub fn new(folder: Folder, root: &Path) -> Self {
        Self {
            folder,
            ssot: root.join(SSOT),
            rules: Mutex::default(),
            shared: None,
            key: OnceLock::new(),
            seen: Mutex::default(),
            claimed: AtomicU64::new(0),
            segments: OnceLock::new(),
            tree: OnceLock::new(),
            lock: Lock::default(),
            checkpoint_lock: Lock::default(),
            active: Kept::default(),
            hashes: Kept::default(),
            was_held: AtomicBool::new(false),
        }
    }

    /// Takes over what the policy says of the log. Without it the strictest rules hold.
    pub fn set_rules(&self, rules: AuditRules) {
        *taken(&self.rules) = rules;
    }

    pub(super) fn rules(&self) -> AuditRules {
        *taken(&self.rules)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Option<Sealed>> {
        taken(&self.seen)
    }

    /// Makes what is missing: the empty log, its key, its first signed head. Says whether key or head
    /// were made. Only `init` does that.
    ///
    /// # Errors
    /// `IO_ERROR`, `LOG_KEY_EXPOSED`, `LOG_KEY_FOREIGN`.
    pub fn create(&self) -> Result<bool, Problem> {
        let failed = |error: io::Error| Problem::io(path(), &error);
        for name in [SEGMENTS, index::FOLDER] {
            self.folder.sub_or_new(name).map_err(failed)?;
        }
        if !self.folder.exists(FILE).map_err(failed)? {
            self.folder.write_new(FILE, b"").map_err(failed)?;
        }
        let has_key = self.make_key()?;
        let has_head = self.checkpoint_bytes()?.is_none();
        if has_head {
            self.seal_empty()?;
        }
        Ok(has_key || has_head)
    }

    /// The last line, without changing or checking anything.
    ///
    /// # Errors
    /// `LOG_MISSING`, `LOG_BROKEN`.
    pub fn head(&self) -> Result<Head, Problem> {
        self.refresh()?;
        Ok(self.parts()?.tail()?.head)
    }

    /// The log's files as they are now.
    pub(super) fn parts(&self) -> Result<Parts, Problem> {
        let active = open_active(&self.folder, OFlags::RDONLY);
        let active = active.and_then(|file| Ok((file.metadata()?.len(), Arc::new(file))));
        let (length, active) = active.map_err(|error| unopened(&error))?;
        self.parts_with(active, length)
    }

    /// As [`Self::parts`], to write to.
    pub(super) fn parts_to_write(&self) -> Result<Parts, Problem> {
        let open = || open_active(&self.folder, OFlags::RDWR);
        let active = self.active.get(&self.folder, FILE, open);
        let (active, length) = active.map_err(|error| unopened(&error))?;
        self.parts_with(active, length)
    }

    fn parts_with(&self, active: Arc<File>, length: u64) -> Result<Parts, Problem> {
        let segments = match self.segments.get() {
            Some(folder) => Some(Arc::clone(folder)),
            None => match self.folder.sub(SEGMENTS) {
                Ok(folder) => Some(Arc::clone(self.segments.get_or_init(|| Arc::new(folder)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(Problem::io(path(), &error)),
            },
        };
        Ok(Parts::of(segments, active, length))
    }

    /// As [`Self::parts`], at a moment when nobody is in the middle of a line, with the index as it was
    /// then and its lines. Where the lock cannot be had because nothing may be written here, nobody
    /// writes.
    pub(super) fn at_rest(&self) -> Result<(Parts, Option<Index>, u64), Problem> {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let lock = match self.try_lock() {
            Ok(lock) => Some(lock),
            Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => None,
            Err(error) => return Err(Problem::io("audit lock", &error)),
        };
        if let Some(lock) = &lock {
            self.pull(lock)?;
        }
        let index = self.open_index()?;
        let leaves = index.as_ref().map_or(Ok(0), Index::leaves)?;
        Ok((self.parts()?, index, leaves))
    }

    /// As [`Self::at_rest`], for those who want the lines alone.
    pub(super) fn parts_at_rest(&self) -> Result<Parts, Problem> {
        Ok(self.at_rest()?.0)
    }

    pub(super) fn lock(&self) -> Result<Writing<'_>, Problem> {
        let here = self.try_lock();
        self.write_lock(here.map_err(|error| Problem::io("audit lock", &error))?)
    }

    pub(super) fn try_lock(&self) -> io::Result<Locked<'_>> {
        self.lock
            .take(&self.folder, LOCK, FlockOperation::LockExclusive)
    }

    /// Makes a file's bytes durable. After one failure this process writes nothing more to this log.
    pub(super) fn sync(&self, file: &File) -> Result<(), Problem> {
        sync_data(file).map_err(|error| {
            if let Ok(id) = self.id() {
                taken(&UNSYNCED).push(id);
            }
            unsynced(&error.to_string())
        })
    }

    /// Refuses after a failed sync.
    pub(super) fn check_synced(&self) -> Result<(), Problem> {
        // Nearly always there is none, and then it need not be asked which log this is.
        if taken(&UNSYNCED).is_empty() {
            return Ok(());
        }
        let id = self.id()?;
        if taken(&UNSYNCED).contains(&id) {
            return Err(unsynced("an earlier sync failed in this process"));
        }
        Ok(())
    }

    fn id(&self) -> Result<LogId, Problem> {
        let id = self.folder.identity();
        let (device, inode) = id.map_err(|error| Problem::io(path(), &error))?;
        Ok((self.folder.path().to_owned(), device, inode))
    }
}

/// What is in a mutex, also when a thread ended while it had it: each value is whole at any time.
pub(super) fn taken<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(not(test))]
fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

#[cfg(test)]
use super::tests::sync_data;

fn unsynced(why: &str) -> Problem {
    Problem::fail(
        "LOG_SYNC_FAILED",
        format!("the audit log could not be made durable: {why}"),
    )
    .hint("look after the disk first; then run baton audit verify, in a new process (recovery R7)")
}
