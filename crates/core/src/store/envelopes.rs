//! The envelopes that skills kept in a task's folder, numbered in the order in which they were made.

use std::io;

use super::{Directory, TaskFolder};
use crate::envelope::{self, Decision, Envelope};
use crate::problem::Problem;

/// Their folder in the task's.
const ENVELOPES: &str = "envelopes";

/// An envelope that a skill kept in the task's folder.
#[derive(Clone, Debug)]
pub struct KeptEnvelope {
    /// Its place, such as `envelopes/03-gate-runner.json`.
    pub name: String,
    /// What it says.
    pub envelope: Envelope,
}

impl TaskFolder {
    /// Keeps an envelope as `envelopes/NN-<skill>.json`.
    ///
    /// # Errors
    /// `IO_ERROR`, and as [`Self::guard`].
    pub fn keep_envelope(&self, envelope: &Envelope) -> Result<(), Problem> {
        let _held = self.guard()?;
        let mut bytes = serde_json::to_vec(envelope)
            .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
        bytes.push(b'\n');
        let folder = self
            .folder()
            .sub_or_new(ENVELOPES)
            .map_err(|error| self.trouble(ENVELOPES, &error))?;
        let mut number = folder
            .list()
            .map_err(|error| self.trouble(ENVELOPES, &error))?
            .len()
            + 1;
        loop {
            match folder.write_new(&format!("{number:02}-{}.json", envelope.skill), &bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(self.trouble(ENVELOPES, &error)),
            }
        }
    }

    /// The kept envelopes, oldest first. One that cannot be read is an error: evidence that is
    /// broken is no evidence.
    ///
    /// # Errors
    /// `EVIDENCE_CHANGED` naming the file.
    pub fn envelopes(&self) -> Result<Vec<KeptEnvelope>, Problem> {
        let folder = match self.folder().sub(ENVELOPES) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.trouble(ENVELOPES, &error)),
        };
        let mut names: Vec<_> = folder
            .list()
            .map_err(|error| self.trouble(ENVELOPES, &error))?
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        // 02 before 10 before 100: by number, not by text.
        names.sort_by_key(|name| {
            (
                name.split('-')
                    .next()
                    .and_then(|digits| digits.parse::<u64>().ok()),
                name.clone(),
            )
        });
        names
            .into_iter()
            .map(|name| self.kept_envelope(&folder, &name))
            .collect()
    }

    /// The decision that decision-router recorded last. A run that was refused, as one on a task that has
    /// moved on already, decided nothing and takes nothing back.
    ///
    /// # Errors
    /// `EVIDENCE_CHANGED`.
    pub fn recorded_decision(&self) -> Result<Option<Decision>, Problem> {
        let kept = self.envelopes()?;
        let routed = kept.iter().map(|kept| &kept.envelope);
        let mut routed = routed.filter(|envelope| envelope.skill == "decision-router");
        Ok(routed
            .rfind(|envelope| envelope.decision.is_some())
            .and_then(|envelope| envelope.decision))
    }

    fn kept_envelope(&self, folder: &Directory, name: &str) -> Result<KeptEnvelope, Problem> {
        let shown = format!("{ENVELOPES}/{name}");
        let bytes = folder
            .read(name, envelope::MAX_BYTES)
            .map_err(|error| self.trouble(&shown, &error))?;
        let envelope = Envelope::parse(&bytes).map_err(|problem| {
            Problem::fail(
                "EVIDENCE_CHANGED",
                format!("{}: {}", self.path(&shown), problem.message),
            )
        })?;
        Ok(KeptEnvelope {
            name: shown,
            envelope,
        })
    }
}
