//! Signed heads. A checkpoint says how many lines the log has and what their tree's root is; it is
//! written once all of these lines are on the disk, so it never says more than a power cut leaves.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use baton_transparency::{Checkpoint, SignedNote, VerifyingKey, root};
use rustix::fs::{FlockOperation, OFlags};

use super::index::{Index, Indexed};
use super::kept::Locked;
use super::segments::{open_active, unopened};
use super::{Log, path, write_failed};
use crate::envelope::QUEUE_ROOT;
use crate::policy::CheckpointRule;
use crate::problem::Problem;

/// So many heads that others signed a writer takes for signed before it looks at one.
const BELIEVED: u64 = 8;
/// The latest signed head, in the `audit` folder.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// What the next head is written to, before the two change names: neither takes new room, so that a
/// full disk refuses a line and not its head.
const NEXT: &str = ".checkpoint.next";
const LOCK: &str = ".checkpoint.lock";
/// The largest checkpoint that is read, witnesses' lines included, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// A checkpoint that was read, with the bytes it was read from.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) checkpoint: Checkpoint,
    bytes: Vec<u8>,
    /// Whether it was held against the log.
    pub(super) held: bool,
}

fn checkpoint_path() -> String {
    format!("{QUEUE_ROOT}/audit/{CHECKPOINT}")
}

impl Log {
    /// The latest signed head, its signature checked. It says nothing yet of the lines.
    ///
    /// # Errors
    /// `CHECKPOINT_MISSING`, `CHECKPOINT_INVALID`, `LOG_KEY_MISSING`.
    pub fn checkpoint(&self) -> Result<(SignedNote, Checkpoint), Problem> {
        let sealed = self.sealed()?;
        Ok((parse(&sealed.bytes)?, sealed.checkpoint))
    }

    /// As [`Self::checkpoint`]; a signature that was checked is not checked again.
    pub(super) fn sealed(&self) -> Result<Sealed, Problem> {
        let mut bytes = self.checkpoint_bytes()?.ok_or_else(missing)?;
        loop {
            let seen = self.seen().clone();
            if let Some(seen) = seen.filter(|seen| seen.bytes == bytes) {
                return Ok(seen);
            }
            let opened = parse(&bytes).and_then(|note| self.opened(&note));
            // A file that is read while it changes places may be written to; then it reads otherwise now.
            let again = match &opened {
                Ok(_) => None,
                Err(_) => self.checkpoint_bytes()?.filter(|again| *again != bytes),
            };
            if let Some(again) = again {
                bytes = again;
                continue;
            }
            let sealed = Sealed {
                checkpoint: opened?,
                bytes,
                held: false,
            };
            *self.seen() = Some(sealed.clone());
            return Ok(sealed);
        }
    }

    /// Remembers that this one was held against the log.
    pub(super) fn remember(&self, sealed: Sealed) {
        if sealed.held && self.was_held.load(Ordering::Relaxed) {
            return;
        }
        let held = true;
        *self.seen() = Some(Sealed { held, ..sealed });
        self.was_held.store(true, Ordering::Relaxed);
    }

    pub(super) fn checkpoint_bytes(&self) -> Result<Option<Vec<u8>>, Problem> {
        match self.folder.read(CHECKPOINT, MAX_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Problem::io(checkpoint_path(), &error)),
        }
    }

    /// The checkpoint in a note, signed by the key that is committed for its log. Where this queue's own
    /// key can be read, it must be that one.
    pub(super) fn opened(&self, note: &SignedNote) -> Result<Checkpoint, Problem> {
        let claimed = Checkpoint::parse(&note.text).map_err(|error| invalid(&error))?;
        if let Some(ours) = self.key.get() {
            return by_key(note, ours.verifying_key());
        }
        let keys = self.public_keys()?;
        let key = keys.iter().find(|key| key.name() == claimed.origin);
        let key = key.ok_or_else(|| {
            invalid(&format!(
                "it is of {}, whose key is not in {}",
                claimed.origin,
                super::public_keys_path()
            ))
        })?;
        by_key(note, key)
    }

    /// Signs the log's head once all its lines are on the disk, unless a checkpoint for line `least`
    /// stands: whoever comes after a sync by another process needs none of its own. Until this returns
    /// no line that it covers was promised to anybody.
    ///
    /// # Errors
    /// `LOG_REWRITTEN`, `LOG_WRITE_FAILED`, `LOG_SYNC_FAILED`, and those of [`Self::checkpoint`].
    pub(super) fn seal(&self, least: u64) -> Result<Checkpoint, Problem> {
        let lock = self.lock_checkpoint()?;
        self.seal_locked(least, &lock)
    }

    /// Whether the head that is there says that another writer signed lately, so that it is nobody's turn
    /// yet. This looks at no signature, of which each writer would check every one; whoever signs next does.
    /// A head is believed for no more lines than lie between two, and so are no more than [`BELIEVED`] in a
    /// row, so that soon one is looked at whatever they say.
    pub(super) fn is_signed_by_others(&self, seq: u64) -> bool {
        let CheckpointRule::Every(lines) = self.rules().checkpoint else {
            return false;
        };
        let looked_at = self.seen().as_ref().map_or(0, |seen| seen.checkpoint.size);
        if seq.saturating_sub(looked_at) >= lines.saturating_mul(BELIEVED) {
            return false;
        }
        let is_recent = |size: u64| seq.abs_diff(size) < lines;
        if is_recent(self.claimed.load(Ordering::Relaxed)) {
            return true;
        }
        let note = self.checkpoint_bytes().ok().flatten();
        let note = note.and_then(|bytes| parse(&bytes).ok());
        let claimed = note.and_then(|note| Checkpoint::parse(&note.text).ok());
        let size = claimed.map_or(0, |checkpoint| checkpoint.size);
        self.claimed.store(size, Ordering::Relaxed);
        is_recent(size)
    }

    /// As [`Self::seal`], if it is line `seq`'s turn still and nobody else is at it. The caller has synced
    /// all lines up to that one, and nothing later is signed.
    pub(super) fn seal_if_free(&self, seq: u64) -> Result<(), Problem> {
        let _lock = match self.try_lock_checkpoint(FlockOperation::NonBlockingLockExclusive) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Problem::io("checkpoint lock", &error)),
        };
        let before = self.sealed()?;
        if self.signed_with(seq).is_none() {
            return Ok(());
        }
        let ahead = self.hashed_ahead(seq)?;
        let index = {
            let _lock = self.lock()?;
            ahead.map_or(Ok(()), |hashes| self.write_ahead(hashes))?;
            self.open_checked(&Indexed::Whole)?.index
        };
        self.check_root(&before, &index)?;
        self.write_checkpoint(seq, &index).map(drop)
    }

    /// As [`Self::seal`]. Who needs both locks takes the checkpoint's first.
    pub(super) fn seal_locked(
        &self,
        least: u64,
        _lock: &Locked<'_>,
    ) -> Result<Checkpoint, Problem> {
        let before = self.sealed()?;
        if before.checkpoint.size >= least {
            return Ok(before.checkpoint);
        }
        let index = self.index()?;
        let size = index.leaves()?;
        // Opened after the size was read: what lies in an earlier segment was synced when it was closed.
        let file = open_active(&self.folder, OFlags::RDWR).map_err(|error| unopened(&error))?;
        self.sync(&file)?;
        self.check_root(&before, &index)?;
        self.write_checkpoint(size, &index)
    }

    /// As [`Self::seal`] over everything, and durable when this returns: for showing to others.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_now(&self) -> Result<(SignedNote, Checkpoint), Problem> {
        self.signing_key()?;
        {
            let _lock = self.lock()?;
            self.open_checked(&Indexed::Whole)?;
        }
        self.seal(self.head()?.seq)?;
        self.folder.sync().map_err(|error| write_failed(&error))?;
        self.checkpoint()
    }

    /// Signs the empty log. Only a fresh log, or one that never had a key, gets a head in this way.
    pub(super) fn seal_empty(&self) -> Result<(), Problem> {
        let key = self.signing_key()?;
        let origin = key.verifying_key().name();
        let empty = Checkpoint::new(origin, 0, baton_transparency::empty_root());
        let note = empty.sign(key)?.to_string();
        let failed = |error: io::Error| write_failed(&error);
        self.folder.replace(NEXT, note.as_bytes()).map_err(failed)?;
        self.folder
            .write_new(CHECKPOINT, note.as_bytes())
            .map_err(failed)
    }

    fn write_checkpoint(&self, size: u64, index: &Index) -> Result<Checkpoint, Problem> {
        let key = self.signing_key()?;
        let checkpoint = Checkpoint::new(key.verifying_key().name(), size, root(size, index)?);
        let bytes = checkpoint.sign(key)?.to_string().into_bytes();
        self.put_checkpoint(&bytes)
            .map_err(|error| write_failed(&error))?;
        self.remember(Sealed {
            checkpoint: checkpoint.clone(),
            bytes,
            held: false,
        });
        Ok(checkpoint)
    }

    /// Writes over the head before the last one, and lets the two change names. The folder is not
    /// synced: after a power cut the last one may have its name back, and holds as well.
    fn put_checkpoint(&self, bytes: &[u8]) -> io::Result<()> {
        let next = match self.folder.open_file(NEXT, OFlags::RDWR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.folder.make_file(NEXT)?,
            opened => opened?,
        };
        next.write_all_at(bytes, 0)?;
        if next.metadata()?.len() != bytes.len() as u64 {
            next.set_len(bytes.len() as u64)?;
        }
        next.sync_data()?;
        self.folder.exchange(CHECKPOINT, NEXT)
    }

    /// Whether the index still has the root that was signed.
    pub(super) fn check_root(&self, sealed: &Sealed, index: &Index) -> Result<(), Problem> {
        if sealed.held {
            return Ok(());
        }
        let size = sealed.checkpoint.size;
        match Self::root_by(index, size)? {
            Some(root) if root == sealed.checkpoint.root => Ok(()),
            _ => Err(rewritten(&format!(
                "the tree over its first {size} lines has another root than the one that was signed"
            ))),
        }
    }

    pub(super) fn lock_checkpoint(&self) -> Result<Locked<'_>, Problem> {
        self.try_lock_checkpoint(FlockOperation::LockExclusive)
            .map_err(|error| Problem::io("checkpoint lock", &error))
    }

    fn try_lock_checkpoint(&self, how: FlockOperation) -> io::Result<Locked<'_>> {
        self.checkpoint_lock.take(&self.folder, LOCK, how)
    }
}

fn by_key(note: &SignedNote, key: &VerifyingKey) -> Result<Checkpoint, Problem> {
    Checkpoint::open(note, key).map_err(|error| invalid(&error))
}

pub(super) fn parse(bytes: &[u8]) -> Result<SignedNote, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(&error))?;
    text.parse().map_err(|error| invalid(&error))
}

fn invalid(why: &impl std::fmt::Display) -> Problem {
    Problem::fail(
        "CHECKPOINT_INVALID",
        format!("{} cannot be believed: {why}", checkpoint_path()),
    )
    .hint("compare with a checkpoint kept elsewhere; nothing is appended meanwhile")
}

fn missing() -> Problem {
    Problem::fail(
        "CHECKPOINT_MISSING",
        format!("{} is gone", checkpoint_path()),
    )
    .hint("restore it from a copy; a queue that never had one gets it from: baton init")
}

/// The log is not what was signed.
pub(super) fn rewritten(why: &str) -> Problem {
    Problem::fail(
        "LOG_REWRITTEN",
        format!("the audit log {} is not the one that was signed: {why}", path()),
    )
    .hint("keep everything as it is, compare with a copy and with checkpoints kept elsewhere (recovery R8)")
}
