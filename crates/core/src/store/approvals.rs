//! Approvals and denials for candidates: one file each, never rewritten, each bound to a log line.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::{Store, broken};
use crate::approval::{Approval, Verdict};
use crate::audit::{Action, Event, Receipt};
use crate::candidate::Candidate;
use crate::digest;
use crate::envelope::QUEUE_ROOT;
use crate::problem::Problem;

/// Lines of the log that are always asked, so that what was denied a while ago under another task's
/// name is known: tens of milliseconds.
pub const RECENT: u64 = 20_000;

/// What the log says of approvals and denials.
#[derive(Default)]
struct Recorded {
    /// The digest of each file by its approval's id.
    recorded: HashMap<String, String>,
    /// The denials of the candidate at hand.
    denials: Vec<String>,
}

impl Recorded {
    /// Takes up a line; what was said last comes first and stays.
    fn add(&mut self, id: &str, event: &Event, candidate: &Candidate) {
        let is_ours =
            event.inputs_sha256 == candidate.patch_sha256 && event.repo_ref == candidate.base;
        if event.action == Action::ApprovalDenied && is_ours {
            self.denials.push(id.to_owned());
        }
        let sha256 = &event.outputs_sha256;
        let known = self.recorded.entry(id.to_owned());
        known.or_insert_with(|| sha256.clone());
    }
}

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
    /// the log: back to the lines that record them and to the task's own first line, and at least
    /// [`RECENT`] lines. A denial under another task that lies further back, and whose file was taken
    /// away, is seen by [`Self::approvals_over_whole_log`].
    ///
    /// # Errors
    /// `APPROVAL_CHANGED` (a full stop) when a file that names this candidate is not the one that
    /// was recorded; `APPROVAL_INVALID`, `QUEUE_BROKEN`, `LOG_BROKEN`.
    pub fn approvals_for(&self, candidate: &Candidate) -> Result<Vec<Approval>, Problem> {
        self.approvals_back(candidate, RECENT)
    }

    /// As [`Self::approvals_for`], and no denial is too old.
    ///
    /// # Errors
    /// As [`Self::approvals_for`].
    pub fn approvals_over_whole_log(
        &self,
        candidate: &Candidate,
    ) -> Result<Vec<Approval>, Problem> {
        self.approvals_back(candidate, u64::MAX)
    }

    fn approvals_back(&self, candidate: &Candidate, least: u64) -> Result<Vec<Approval>, Problem> {
        let found = self.read_approvals(candidate)?;
        let Recorded { recorded, denials } = self.recorded_approvals(candidate, &found, least)?;
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

    fn recorded_approvals(
        &self,
        candidate: &Candidate,
        found: &[(Approval, String)],
        least: u64,
    ) -> Result<Recorded, Problem> {
        let mut lines = Recorded::default();
        let mut open: HashSet<_> = found
            .iter()
            .map(|(approval, _)| approval.approval_id.as_str())
            .collect();
        let (mut walked, mut has_begun) = (0_u64, false);
        self.log()?.back(|seen| {
            walked += 1;
            has_begun |= seen.begins(&candidate.task_id);
            if let Action::ApprovalGranted | Action::ApprovalCarried | Action::ApprovalDenied =
                seen.action()
            {
                let event = seen.event()?;
                if let Some(id) = event.meta.get("approval_id").and_then(|id| id.as_str()) {
                    open.remove(id);
                    lines.add(id, &event, candidate);
                }
            }
            Ok(if has_begun && open.is_empty() && walked >= least {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        Ok(lines)
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
