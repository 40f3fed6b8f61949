//! Whether STOP was set by a line and not lifted since. A note beside the log says that there may be such a line:
//! whoever asks ten times a second reads no log.

use std::io;
use std::ops::ControlFlow;

use super::{Action, Log};
use crate::problem::Problem;

/// Lies there from before a line that sets STOP until after one that lifts it. It only says that the log is
/// worth reading: one that a killed process left behind is taken away then.
const NOTE: &str = "stopped";

impl Log {
    /// Adds lines by `write`; `set` says whether one of them sets STOP, or whether the last one of that kind
    /// lifts it. The caller has the lock of this machine's log.
    pub(super) fn noting<T>(
        &self,
        set: Option<bool>,
        write: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if set == Some(true) {
            // It may lie there already. Where there is no room for it, the line is worth more than the note.
            let _ = self.folder.write_new(NOTE, b"");
        }
        let written = write()?;
        if set == Some(false) {
            // Left behind, it is found to say nothing.
            let _ = self.folder.remove(NOTE);
        }
        Ok(written)
    }

    /// Whether the log says that STOP was set and nobody lifted it. Nearly always that is one look for the note.
    ///
    /// # Errors
    /// As [`Self::back`]; `IO_ERROR`.
    pub(crate) fn says_stopped(&self) -> Result<bool, Problem> {
        let failed = |error: io::Error| Problem::io(NOTE, &error);
        if !self.folder.exists(NOTE).map_err(failed)? {
            return Ok(false);
        }
        let (mut end, mut stopped) = (0, None);
        self.back(|seen| {
            end = end.max(seen.seq());
            stopped = halts(seen.action());
            Ok(match stopped {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            })
        })?;
        if stopped == Some(true) {
            return Ok(true);
        }
        let _lock = self.try_lock().map_err(failed)?;
        // Whoever set STOP meanwhile needs the note.
        if self.parts_to_write()?.tail()?.head.seq == end {
            let _ = self.folder.remove(NOTE);
        }
        Ok(false)
    }
}

/// What a line says of STOP: that it is on, that it is off, or nothing.
pub(super) fn halts(action: Action) -> Option<bool> {
    match action {
        Action::StopSet => Some(true),
        Action::StopLifted => Some(false),
        _ => None,
    }
}
