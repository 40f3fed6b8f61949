//! Approvals and denials for candidates: one file each, never rewritten, each bound to a log line.

use std::collections::HashMap;

use super::{Store, broken};
use crate::approval::{Approval, Verdict};
use crate::audit::{Action, Receipt};
use crate::candidate::Candidate;
use crate::digest;
use crate::envelope::QUEUE_ROOT;
use crate::problem::Problem;

/// The largest approval file that is read, in bytes.
const MAX_BYTES: usize = 64 << 10;

impl Store {
    /// Keeps an approval or a denial. `record` writes the log line that holds the file's SHA-256,
    /// before the file can count.
    ///
    /// # Errors
    /// `IO_ERROR`, and what `record` says.
    pub fn write_approval(
        &self,
        approval: &Approval,
        record: impl FnOnce(&str) -> Result<Receipt, Problem>,
    ) -> Result<(String, Receipt), Problem> {
        let bytes = approval.to_bytes();
        // A landing holds it from its last look at the approvals until the reference has moved.
        let _mutex = self.mutex()?;
        let receipt = record(&digest::sha256(&bytes))?;
        let name = format!("{}.json", approval.approval_id);
        let folder = self.folder("approved")?;
        folder
            .write_new(&name, &bytes)
            .map_err(|error| Problem::io(&name, &error))?;
        Ok((format!("{QUEUE_ROOT}/approved/{name}"), receipt))
    }

    /// The approvals and denials for exactly this candidate, oldest first, each checked against
    /// the log.
    ///
    /// # Errors
    /// `APPROVAL_CHANGED` (a full stop) when a file that names this candidate is not the one that
    /// was recorded; `APPROVAL_INVALID`, `QUEUE_BROKEN`, `LOG_BROKEN`.
    pub fn approvals_for(&self, candidate: &Candidate) -> Result<Vec<Approval>, Problem> {
        let found = self.read_approvals(candidate)?;
        let mut recorded = HashMap::new();
        let mut denials = Vec::new();
        self.log()?.verify(|event, _| {
            let is_ours =
                event.inputs_sha256 == candidate.patch_sha256 && event.repo_ref == candidate.base;
            let id = event.meta.get("approval_id").and_then(|id| id.as_str());
            let (
                Action::ApprovalGranted | Action::ApprovalCarried | Action::ApprovalDenied,
                Some(id),
            ) = (event.action, id)
            else {
                return;
            };
            recorded.insert(id.to_owned(), event.outputs_sha256.clone());
            if event.action == Action::ApprovalDenied && is_ours {
                denials.push(id.to_owned());
            }
        })?;
        // A denial counts for good, so taking its file away is tampering.
        let is_there = |id: &String| {
            found
                .iter()
                .any(|(approval, _)| approval.approval_id == *id)
        };
        if let Some(gone) = denials.iter().find(|id| !is_there(id)) {
            return Err(Problem::zero_stop(
                "APPROVAL_CHANGED",
                format!("the log records denial {gone} of this candidate, and its file is gone"),
            )
            .hint("put the file back; denied stays denied"));
        }
        found
            .into_iter()
            .map(
                |(approval, sha256)| match recorded.get(&approval.approval_id) {
                    Some(expected) if *expected == sha256 => Ok(approval),
                    _ => Err(Problem::zero_stop(
                        "APPROVAL_CHANGED",
                        format!(
                            "approval {} is not the one that the log records",
                            approval.approval_id
                        ),
                    )
                    .hint("move the file away and approve again: baton approve TASK")),
                },
            )
            .collect()
    }

    fn read_approvals(&self, candidate: &Candidate) -> Result<Vec<(Approval, String)>, Problem> {
        let folder = self.folder("approved")?;
        let mut entries = folder.list().map_err(|error| broken("approved", &error))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut found = Vec::new();
        for entry in entries.into_iter().filter(|entry| !entry.is_folder) {
            let bytes = folder
                .read(&entry.name, MAX_BYTES)
                .map_err(|error| broken(&entry.name, &error))?;
            let approval = Approval::parse(&bytes)?;
            if approval.binds(&candidate.base, &candidate.tree, &candidate.patch_sha256) {
                found.push((approval, digest::sha256(&bytes)));
            }
        }
        Ok(found)
    }

    /// The denial of this candidate, if a person denied it. Denied stays denied: a later approval of
    /// the same bytes does not lift it.
    ///
    /// # Errors
    /// As [`Self::approvals_for`].
    pub fn denial_of(&self, candidate: &Candidate) -> Result<Option<Approval>, Problem> {
        Ok(self
            .approvals_for(candidate)?
            .into_iter()
            .find(|approval| approval.verdict == Verdict::Denied))
    }
}
