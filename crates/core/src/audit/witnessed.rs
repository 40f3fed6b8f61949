//! What others have seen: the list of places that checkpoints are handed to, and the newest checkpoint
//! with their signatures. And the lines as they are, for whoever shows them to others.

use std::io;
use std::ops::ControlFlow;

use baton_transparency::{Checkpoint, SignedNote};

use super::Log;
use super::checkpoint::{CHECKPOINT, parse};
use crate::envelope::QUEUE_ROOT;
use crate::problem::Problem;

/// The list of places, in the `audit` folder.
const PLACES: &str = "witnesses.json";
/// The newest checkpoint that was handed to all of them.
const WITNESSED: &str = "witnessed";
/// The largest of both that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

fn failed(name: &str) -> impl Fn(io::Error) -> Problem + '_ {
    move |error| Problem::io(format!("{QUEUE_ROOT}/audit/{name}"), &error)
}

impl Log {
    /// Gives `each` the lines as they are on the disk, without newlines, from number `from` on. Nothing
    /// is checked.
    ///
    /// # Errors
    /// `LOG_MISSING`, `IO_ERROR`, and what `each` says.
    pub fn lines(
        &self,
        from: u64,
        each: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Problem>,
    ) -> Result<(), Problem> {
        let (parts, _, _) = self.at_rest()?;
        parts.forwards(from, each)
    }

    /// Reads a signed checkpoint that somebody kept, and verifies it by the committed key of its log.
    ///
    /// # Errors
    /// `CHECKPOINT_INVALID`, `LOG_KEY_MISSING`.
    pub fn signed_head(&self, note: &SignedNote) -> Result<Checkpoint, Problem> {
        self.opened(note)
    }

    /// The list of places as it was written; `None` when there is none.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn places(&self) -> Result<Option<Vec<u8>>, Problem> {
        self.read_if_any(PLACES)
    }

    /// Replaces the list of places.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn set_places(&self, bytes: &[u8]) -> Result<(), Problem> {
        let written = self.folder.replace(PLACES, bytes);
        written.map_err(failed(PLACES))
    }

    /// The newest checkpoint that was handed out, with the signatures that came back.
    ///
    /// # Errors
    /// `CHECKPOINT_INVALID`, `IO_ERROR`.
    pub fn witnessed(&self) -> Result<Option<(SignedNote, Checkpoint)>, Problem> {
        let Some(bytes) = self.read_if_any(WITNESSED)? else {
            return Ok(None);
        };
        let note = parse(&bytes)?;
        let head = self.opened(&note)?;
        Ok(Some((note, head)))
    }

    /// Keeps a checkpoint with what witnesses signed beneath, unless a newer one is kept. Where it still
    /// is the latest, they stand beneath that too.
    ///
    /// # Errors
    /// `CHECKPOINT_INVALID`, `IO_ERROR`.
    pub fn set_witnessed(&self, note: &SignedNote) -> Result<(), Problem> {
        let head = self.opened(note)?;
        let _lock = self.lock_checkpoint()?;
        let bytes = note.to_string();
        let newer = self
            .witnessed()?
            .is_some_and(|(_, known)| known.size > head.size);
        if newer {
            return Ok(());
        }
        let kept = self.folder.replace(WITNESSED, bytes.as_bytes());
        kept.map_err(failed(WITNESSED))?;
        let (latest, _) = self.checkpoint()?;
        if latest.text != note.text {
            return Ok(());
        }
        let replaced = self.folder.replace(CHECKPOINT, bytes.as_bytes());
        replaced.map_err(failed(CHECKPOINT))
    }

    fn read_if_any(&self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        match self.folder.read(name, MAX_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name)(error)),
        }
    }
}
