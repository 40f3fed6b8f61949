//! Appending: one line, one write, in one order for all writers; a torn end is cut off first, and what
//! was signed is held against what is there.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use baton_transparency::{Checkpoint, check_inclusion, inclusion, leaf_hash};

use super::checkpoint::rewritten;
use super::glance::Glance;
use super::halting::halts;
use super::index::{Index, Indexed};
use super::line::{Line, Ready};
use super::segments::{Parts, SEGMENTS, Tail, segment_name};
use super::shared::publish;
use super::{Action, Draft, FILE, Head, Level, Log, Receipt, broken, write_failed};
use crate::envelope::QUEUE_ROOT;
use crate::policy::{Actor, CheckpointRule};
use crate::problem::Problem;
use crate::store::database::Database;
use crate::{digest, masking};

/// An empty log file that waits to take the place of a full one.
const FRESH: &str = ".tmp-events";

impl Log {
    /// Appends one event: linked, numbered, written in one go, durable when this returns; signed as
    /// well, if the policy says so of every line.
    ///
    /// # Errors
    /// `LOG_MISSING`, `LOG_BROKEN`, `LOG_REWRITTEN`, `LOG_WRITE_FAILED`, `LOG_KEY_…`, `CHECKPOINT_…`:
    /// the log ends as before. `LOG_SYNC_FAILED`, and failures to write a checkpoint: the line stands,
    /// and nobody may count on it.
    pub fn append(&self, mut draft: Draft) -> Result<Receipt, Problem> {
        // A log is read by many and cannot be cleaned: what the secret rules know does not get in.
        masking::draft(&mut draft);
        self.check_synced()?;
        self.signing_key()?;
        // Others wait while the lock is held: what can be made ready is made ready before.
        let stops = halts(draft.action);
        let ready = Ready::new(draft)?;
        let indexed = match self.rules().checkpoint {
            CheckpointRule::Append => Indexed::Whole,
            CheckpointRule::Every(_) if self.was_held.load(Ordering::Relaxed) => {
                Indexed::Nearly(self.index_to_write()?)
            }
            CheckpointRule::Every(_) => Indexed::Nearly(None),
        };
        let mut lock = self.lock()?;
        let mut end = self.open_checked(&indexed)?;
        if end.parts.active().length >= self.rules().segment_bytes {
            drop(lock);
            self.rotate()?;
            lock = self.lock()?;
            end = self.open_checked(&indexed)?;
        }
        let whole = matches!(indexed, Indexed::Whole);
        let line = self.noting(stops, || end.write(ready, whole))?;
        // Let others write while this line goes to the disk: a sync covers all earlier bytes.
        drop(lock);
        self.make_durable(&end.parts.active().file, line.seq)?;
        Ok(line.receipt())
    }

    /// Looks whether the log can be appended to, and mends what an append would: a power cut may leave a torn
    /// last line, or zeros at the end of the index, which is never synced.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn mend(&self) -> Result<(), Problem> {
        self.signing_key()?;
        let _lock = self.lock()?;
        self.open_checked(&Indexed::Nearly(None)).map(drop)
    }

    /// A checkpoint covers only lines that are on the disk; where each line gets one, its sync is the
    /// line's, shared with all who wait for it.
    fn make_durable(&self, file: &File, seq: u64) -> Result<(), Problem> {
        if self.rules().checkpoint == CheckpointRule::Append {
            return self.seal(seq).map(drop);
        }
        self.sync(file)?;
        match self.signed_with(seq) {
            Some(_) if !self.is_signed_by_others(seq) => self.seal_if_free(seq),
            _ => Ok(()),
        }
    }

    /// Up to which line a head must be signed when line `seq` is written, if it is its turn.
    pub(super) fn signed_with(&self, seq: u64) -> Option<u64> {
        match self.rules().checkpoint {
            CheckpointRule::Append => Some(seq),
            CheckpointRule::Every(lines) => {
                let last = self.seen().as_ref().map_or(0, |seen| seen.checkpoint.size);
                let before = seq.checked_sub(lines).filter(|before| last <= *before);
                before.map(|before| before + 1)
            }
        }
    }

    /// The end of the log, fit to be written to: a torn last line cut off, the index brought up to it
    /// as far as it is asked for, and the signed head held against it. An index that does not match is made anew from the lines
    /// before anybody is accused, and the log says so. The caller holds the append lock.
    pub(super) fn open_checked(&self, indexed: &Indexed) -> Result<End, Problem> {
        let mut end = self.open_end(indexed)?;
        if end.tail.torn > 0 {
            self.cut_torn(&end)?;
            end = self.open_end(indexed)?;
        }
        // Once is enough: whoever signs the next head holds it against this one first.
        let seen = self.seen().clone();
        let sealed = match seen.filter(|_| self.was_held.load(Ordering::Relaxed)) {
            Some(seen) => seen,
            None => self.sealed()?,
        };
        let size = sealed.checkpoint.size;
        let is_known = sealed.held && self.was_held.load(Ordering::Relaxed);
        if size > end.tail.head.seq {
            return Err(rewritten(&format!(
                "it ends at line {}, and its signed head says {size}",
                end.tail.head.seq
            )));
        }
        if !is_known && end.index.leaves()? < size {
            end = self.open_end(&Indexed::Whole)?;
        }
        let holds = |end: &End| {
            self.check_root(&sealed, &end.index)?;
            if self.was_held.load(Ordering::Relaxed) {
                return Ok(());
            }
            end.unsigned_match(&sealed.checkpoint)
        };
        let held: Result<(), Problem> = holds(&end);
        if held.is_err() {
            end.index = self.rebuild_index(&end.parts, end.tail.head.seq)?;
            end.was_wrong = true;
            holds(&end)?;
        }
        self.remember(sealed);
        if end.was_wrong {
            end.write(Ready::new(note(Action::IndexRebuilt)?)?, true)?;
            end = self.open_end(indexed)?;
        }
        Ok(end)
    }

    fn open_end(&self, indexed: &Indexed) -> Result<End, Problem> {
        let parts = self.parts_to_write()?;
        let tail = parts.tail()?;
        let (index, was_wrong) = self.current_index(&parts, &tail, indexed)?;
        Ok(End {
            parts,
            tail,
            index,
            was_wrong,
            shared: self.shared.clone(),
        })
    }

    /// A writer was killed or the disk was full: the bytes are kept aside, and the log says so.
    fn cut_torn(&self, end: &End) -> Result<(), Problem> {
        let failed = |error: io::Error| write_failed(&error);
        let part = end.parts.active();
        let keep = part.length - end.tail.torn;
        let mut torn = vec![0; usize::try_from(end.tail.torn).unwrap_or(usize::MAX)];
        part.file.read_exact_at(&mut torn, keep).map_err(failed)?;
        let sha256 = digest::sha256(&torn);
        let name = sha256.get(..16).unwrap_or(&sha256);
        let aside = format!("torn-{}-{name}", end.tail.head.seq);
        match self.folder.write_new(&aside, &torn) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        part.file.set_len(keep).map_err(failed)?;
        let draft = note(Action::LogRepaired)?
            .meta("torn_bytes", end.tail.torn)
            .meta("torn_sha256", sha256)
            .meta("kept_as", format!("{QUEUE_ROOT}/audit/{aside}"));
        end.write(Ready::new(draft)?, false).map(drop)
    }

    /// Closes the file that is appended to and begins an empty one. Each step leaves something that the
    /// next append, and every reader, takes for what it is.
    fn rotate(&self) -> Result<(), Problem> {
        let failed = |error: io::Error| write_failed(&error);
        let sealing = self.lock_checkpoint()?;
        let _lock = self.lock()?;
        let end = self.open_checked(&Indexed::Whole)?;
        if end.parts.active().length < self.rules().segment_bytes {
            // Somebody else was first.
            return Ok(());
        }
        let Some(first) = end.parts.first_active()? else {
            return Ok(());
        };
        self.sync(&end.parts.active().file)?;
        self.seal_locked(end.tail.head.seq, &sealing)?;
        let segments = self.folder.sub_or_new(SEGMENTS).map_err(failed)?;
        let head = format!("checkpoint.{:016}", end.tail.head.seq);
        let bytes = self.checkpoint_bytes()?.unwrap_or_default();
        for made in [
            segments.write_new(&head, &bytes),
            self.folder.link_to(FILE, &segments, &segment_name(first)),
        ] {
            match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(failed)?,
            }
        }
        if !end.parts.is_linked(first)? {
            return Err(broken(first, "another segment of this name is there"));
        }
        self.folder
            .make_file(FRESH)
            .and_then(|fresh| fresh.sync_all())
            .and_then(|()| self.folder.rename_over(FRESH, FILE))
            .and_then(|()| self.folder.sync())
            .map_err(failed)
    }
}

/// The end of the log, with what it takes to write on.
pub(super) struct End {
    parts: Parts,
    tail: Tail,
    pub(super) index: Index,
    /// Whether the index had to be made anew because it did not match.
    was_wrong: bool,
    shared: Option<Arc<dyn Database>>,
}

impl End {
    /// Writes one line, and its hashes where the index holds all before it.
    fn write(&self, ready: Ready, to_index: bool) -> Result<Line, Problem> {
        let line = ready.after(&self.tail.head)?;
        if let Some(database) = &self.shared {
            publish(database.as_ref(), line.seq, line.body())?;
        }
        let index = to_index.then_some(&self.index);
        let active = self.parts.active();
        let before = active.length - self.tail.torn;
        write_line(&active.file, before, index, &line)?;
        Ok(line)
    }

    /// Whether the lines after the signed ones are chained to them, and in the index as they are.
    fn unsigned_match(&self, signed: &Checkpoint) -> Result<(), Problem> {
        let (mut head, size) = (Head::empty(), signed.size);
        let indexed = self.index.leaves()?;
        self.parts.forwards(size.max(1), |line| {
            let glance = Glance::parse(line, head.seq.max(size) + 1)?;
            // The tree vouches for the last signed line, and that line for its successor.
            if glance.seq == size {
                let proof = inclusion(size - 1, size, &self.index)?;
                check_inclusion(&leaf_hash(line), size - 1, size, &proof, &signed.root)
                    .map_err(|error| rewritten(&format!("line {size}: {error}")))?;
            } else {
                glance.follows(&head)?;
            }
            if glance.seq <= indexed && !self.index.has(glance.seq, line)? {
                return Err(broken(glance.seq, "the index has another hash for it"));
            }
            head = glance.head(line);
            Ok(ControlFlow::Continue(()))
        })
    }
}

fn note(action: Action) -> Result<Draft, Problem> {
    let mut draft = Draft::new(Actor::System, action, "audit-append")?;
    draft.level = Level::Warn;
    Ok(draft)
}

fn write_line(
    mut file: &File,
    before: u64,
    index: Option<&Index>,
    line: &Line,
) -> Result<(), Problem> {
    let written = match file.write(&line.bytes) {
        Ok(count) if count == line.bytes.len() => {
            index.map_or(Ok(()), |index| index.push(line.seq - 1, line.body()))
        }
        Ok(_) => Err(write_failed(&io::ErrorKind::StorageFull.into())),
        Err(error) => Err(write_failed(&error)),
    };
    if written.is_err() {
        // A short write means a full disk: take the half line back before anybody reads it.
        file.set_len(before).map_err(|error| write_failed(&error))?;
    }
    written
}
