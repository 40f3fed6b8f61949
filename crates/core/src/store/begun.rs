//! Files whose name is taken before their content is known: the log of a gate is, before the gate starts.

use std::io;

use super::{Started, TaskFolder};
use crate::digest;
use crate::envelope::{Artifact, ArtifactKind};
use crate::problem::Problem;

/// Where evidence lies in a task's folder.
const EVIDENCE: &str = "evidence";
/// So many runs of one gate leave their files.
const MOST: u32 = 10_000;

/// A file of the evidence that is there, empty, and ours to fill.
#[derive(Debug)]
pub struct Begun {
    started: Started,
}

impl TaskFolder {
    /// Makes an empty file in `evidence/`, `<stem>.log`, or with `.2`, `.3`… before its ending when
    /// earlier runs left theirs. What lies there already is never opened.
    ///
    /// # Errors
    /// `IO_ERROR`, `FILE_EXISTS` after ten thousand runs, and as [`TaskFolder::guard`].
    pub fn begin_log(&self, stem: &str) -> Result<Begun, Problem> {
        let _held = self.guard()?;
        let trouble = |error: &io::Error| Problem::io(self.path(EVIDENCE), error);
        let folder = self
            .folder()
            .sub_or_new(EVIDENCE)
            .map_err(|error| trouble(&error))?;
        for number in 1..MOST {
            let name = match number {
                1 => format!("{stem}.log"),
                number => format!("{stem}.{number}.log"),
            };
            match folder.start(&name) {
                Ok(started) => {
                    self.remember(EVIDENCE, &name);
                    return Ok(Begun { started });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(trouble(&error)),
            }
        }
        Err(Problem::fail(
            "FILE_EXISTS",
            format!("{} was written too often", self.path(stem)),
        ))
    }

    /// Fills the file, syncs it and names it as an artifact with its SHA-256.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn fill(
        &self,
        begun: Begun,
        kind: ArtifactKind,
        bytes: &[u8],
    ) -> Result<Artifact, Problem> {
        let path = self.path(&format!("{EVIDENCE}/{}", begun.started.name()));
        let _held = self.guard()?;
        begun
            .started
            .fill(bytes)
            .map_err(|error| Problem::io(&path, &error))?;
        let sha256 = digest::sha256(bytes);
        Ok(Artifact::new(kind, path, format!("sha256={sha256}")))
    }

    /// Takes the file away again: what it was for did not happen.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn give_back(&self, begun: &Begun) -> Result<(), Problem> {
        let name = begun.started.name();
        self.forget(EVIDENCE, name);
        let removed = begun.started.give_back();
        removed.map_err(|error| Problem::io(self.path(name), &error))
    }
}
