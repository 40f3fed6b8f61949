//! Approvals and denials for candidates: one file each, never rewritten, each bound to a log line.
//! What became of one later, used or withdrawn, stands in the log.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::{Store, broken};
use crate::approval::{Approval, Verdict};
use crate::audit::{Action, Event, EventStatus, Receipt};
use crate::candidate::Candidate;
use crate::envelope::QUEUE_ROOT;
use crate::git::{Operator, Repository};
use crate::policy::Actor;
use crate::problem::Problem;
use crate::{digest, ids};

/// Lines of the log that are always asked, so that what was denied a while ago under another task's
/// name is known: tens of milliseconds.
pub const RECENT: u64 = 20_000;

/// The largest approval file that is read, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Who did something, as far as the log tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doer {
    /// The name that git knows here, `Name <address>`.
    pub by: String,
    /// The operating system's session: [`crate::ids::sitting`].
    pub sitting: String,
}

impl Doer {
    /// Who runs this process, as far as it can tell.
    #[must_use]
    pub fn here(repository: &Repository) -> Self {
        Self::of_operator(&repository.ask_operator())
    }

    /// The same for a person of whom git was asked before.
    #[must_use]
    pub fn of_operator(operator: &Operator) -> Self {
        let person = operator.person();
        Self {
            by: format!("{} <{}>", person.name, person.email),
            sitting: ids::sitting(),
        }
    }

    /// What goes into the `meta` of a log line.
    #[must_use]
    pub fn meta(self) -> [(&'static str, String); 2] {
        [("by", self.by), ("sitting", self.sitting)]
    }

    fn of(event: &Event) -> Self {
        let text = |key: &str| {
            let value = event.meta.get(key).and_then(|value| value.as_str());
            value.unwrap_or_default().to_owned()
        };
        Self {
            by: text("by"),
            sitting: text("sitting"),
        }
    }
}

/// The approvals and denials for one candidate, with what the log says around them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// This queue: the SHA-256 of its log's first line.
    pub queue: String,
    /// What was given for exactly this candidate and not withdrawn, oldest first.
    pub given: Vec<Approval>,
    /// Those that were given for it and withdrawn later.
    pub revoked: Vec<Approval>,
    /// The approvals that a landing was recorded with.
    pub used: HashSet<String>,
    /// Who gave an approval, by its name.
    pub givers: HashMap<String, Doer>,
    /// Where an approval lets a branch be pushed to, by its name.
    pub push_to: HashMap<String, String>,
    /// Whether there was a file of revoked keys when an approval was signed last.
    pub had_revoked: bool,
    /// Who submitted the task, and who drafted what stands.
    pub proposers: Vec<(Actor, Doer)>,
}

/// What the log says, before the files are held against it.
#[derive(Default)]
struct Recorded {
    ledger: Ledger,
    files: HashMap<String, String>,
    denials: Vec<String>,
    revoked: HashSet<String>,
    drafted: Vec<(Actor, Doer)>,
    /// An approval that was recorded a second time.
    twice: Option<String>,
    /// The task's change was made anew, and whoever did so proposed nothing of their own.
    anew: bool,
}

impl Recorded {
    fn take_in(&mut self, event: &Event, candidate: &Candidate) {
        let id = event.meta.get("approval_id").and_then(|id| id.as_str());
        match (event.action, id) {
            (
                Action::ApprovalGranted | Action::ApprovalCarried | Action::ApprovalDenied,
                Some(id),
            ) => self.given(event, id, candidate),
            (Action::ApprovalRevoked, Some(id)) => {
                self.revoked.insert(id.to_owned());
            }
            (Action::ChangeLanded | Action::PrBranchCreated, _) => {
                let names = event
                    .approvals
                    .iter()
                    .filter_map(|entry| entry.note.as_deref());
                let names = names.filter_map(|note| note.strip_prefix("approval="));
                let names = names.flat_map(|names| names.split(','));
                self.ledger.used.extend(names.map(str::to_owned));
            }
            _ if event.task_id == candidate.task_id => self.proposed(event),
            _ => {}
        }
    }

    fn given(&mut self, event: &Event, id: &str, candidate: &Candidate) {
        let sha256 = event.outputs_sha256.clone();
        if self.files.insert(id.to_owned(), sha256).is_some() {
            self.twice = Some(id.to_owned());
        }
        self.ledger.givers.insert(id.to_owned(), Doer::of(event));
        let push_to = event.meta.get("push_to").and_then(|one| one.as_str());
        let push_to = push_to.map(|one| (id.to_owned(), one.to_owned()));
        self.ledger.push_to.extend(push_to);
        if event.meta.contains_key("signers_sha256") {
            self.ledger.had_revoked = event.meta.contains_key("revoked_sha256");
        }
        let is_ours =
            event.inputs_sha256 == candidate.patch_sha256 && event.repo_ref == candidate.base;
        if event.action == Action::ApprovalDenied && is_ours {
            self.denials.push(id.to_owned());
        }
    }

    fn proposed(&mut self, event: &Event) {
        let doer = (event.actor, Doer::of(event));
        match event.action {
            Action::TaskSubmitted => self.ledger.proposers.push(doer),
            Action::TaskRetried => {
                self.drafted.clear();
                self.anew = false;
            }
            Action::TaskRebased => self.anew = true,
            Action::PatchProposed if event.status == EventStatus::Ok && !self.anew => {
                self.drafted.push(doer);
            }
            _ => {}
        }
    }
}

fn records_approval(action: Action) -> bool {
    matches!(
        action,
        Action::ApprovalGranted | Action::ApprovalCarried | Action::ApprovalDenied
    )
}

fn speaks_of_approvals(action: Action) -> bool {
    records_approval(action)
        || matches!(
            action,
            Action::ApprovalRevoked | Action::ChangeLanded | Action::PrBranchCreated
        )
}

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

    /// Withdraws approvals: `record` writes the log lines, while no landing takes its last look. An
    /// approval that a landing was recorded with cannot be withdrawn any more.
    ///
    /// # Errors
    /// `APPROVAL_USED`, and what `record` says.
    pub fn revoke_approvals(
        &self,
        candidate: &Candidate,
        ids: &[String],
        record: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let _mutex = self.mutex()?;
        let used = self.ledger(candidate)?.used;
        if let Some(id) = ids.iter().find(|id| used.contains(*id)) {
            let why = format!("approval {id} was used: the change has landed");
            let next = format!("undo it: baton rollback {}", candidate.task_id);
            return Err(Problem::fail("APPROVAL_USED", why).hint(next));
        }
        record()
    }

    /// This queue's name, which approvals carry: the SHA-256 of its log's first line.
    ///
    /// # Errors
    /// `LOG_BROKEN`, `QUEUE_BROKEN`.
    pub fn name(&self) -> Result<String, Problem> {
        let first = self.log()?.line(1)?;
        Ok(first.map(|(_, receipt)| receipt.sha256).unwrap_or_default())
    }

    /// The approvals and denials for exactly this candidate that were not withdrawn, oldest first,
    /// each checked against the log.
    ///
    /// # Errors
    /// As [`Self::ledger`].
    pub fn approvals_for(&self, candidate: &Candidate) -> Result<Vec<Approval>, Problem> {
        Ok(self.ledger(candidate)?.given)
    }

    /// The same, with what the log says around them: back to the lines that record them and to the task's
    /// own first line, and at least [`RECENT`] lines. A denial under another task that lies further back,
    /// and whose file was taken away, is seen by [`Self::whole_ledger`].
    ///
    /// # Errors
    /// `APPROVAL_CHANGED` (a full stop) when a file that names this candidate is not the one that
    /// was recorded, or was recorded twice; `APPROVAL_INVALID`, `QUEUE_BROKEN`, `LOG_BROKEN`.
    pub fn ledger(&self, candidate: &Candidate) -> Result<Ledger, Problem> {
        self.ledger_back(candidate, RECENT)
    }

    /// As [`Self::ledger`], from the whole log: no denial is too old.
    ///
    /// # Errors
    /// As [`Self::ledger`].
    pub fn whole_ledger(&self, candidate: &Candidate) -> Result<Ledger, Problem> {
        self.ledger_back(candidate, u64::MAX)
    }

    fn ledger_back(&self, candidate: &Candidate, least: u64) -> Result<Ledger, Problem> {
        let found = self.read_approvals(candidate)?;
        let mut recorded = Recorded::default();
        for event in self.events_around(candidate, &found, least)?.iter().rev() {
            recorded.take_in(event, candidate);
        }
        recorded.ledger.queue = self.name()?;
        if let Some(id) = &recorded.twice {
            let why = format!("the log records approval {id} twice");
            return Err(Problem::zero_stop("APPROVAL_CHANGED", why)
                .hint("somebody wrote into the log; baton audit verify, and follow R8"));
        }
        // A denial counts for good, so taking its file away is tampering.
        let is_there = |id: &String| found.iter().any(|(one, _)| one.approval_id == *id);
        if let Some(gone) = recorded.denials.iter().find(|id| !is_there(id)) {
            return Err(Problem::zero_stop(
                "APPROVAL_CHANGED",
                format!("the log records denial {gone} of this candidate, and its file is gone"),
            )
            .hint("put the file back; denied stays denied"));
        }
        let mut ledger = recorded.ledger;
        ledger.proposers.append(&mut recorded.drafted);
        for (approval, sha256) in found {
            let id = &approval.approval_id;
            if recorded.files.get(id) != Some(&sha256) {
                let why = format!("approval {id} is not the one that the log records");
                return Err(Problem::zero_stop("APPROVAL_CHANGED", why)
                    .hint("move the file away and approve again: baton approve TASK"));
            }
            let is_revoked = recorded.revoked.contains(id);
            match approval.verdict {
                Verdict::Approved if is_revoked => ledger.revoked.push(approval),
                _ => ledger.given.push(approval),
            }
        }
        Ok(ledger)
    }

    /// Every event that may say something of approvals of this candidate, the latest first.
    fn events_around(
        &self,
        candidate: &Candidate,
        found: &[(Approval, String)],
        least: u64,
    ) -> Result<Vec<Event>, Problem> {
        let ids = found.iter().map(|(one, _)| one.approval_id.as_str());
        let mut open: HashSet<&str> = ids.collect();
        let (mut walked, mut has_begun) = (0_u64, false);
        let mut events = Vec::new();
        self.log()?.back(|seen| {
            walked += 1;
            has_begun |= seen.begins(&candidate.task_id);
            if speaks_of_approvals(seen.action()) || seen.task_id() == candidate.task_id {
                let event = seen.event()?;
                if records_approval(event.action)
                    && let Some(id) = event.meta.get("approval_id").and_then(|id| id.as_str())
                {
                    open.remove(id);
                }
                events.push(event);
            }
            let is_all = has_begun && open.is_empty() && walked >= least;
            Ok(match is_all {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok(events)
    }

    /// The files that speak of this candidate: denials of its bytes for any task, approvals for its
    /// own task.
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
            let is_ours = approval.verdict == Verdict::Denied
                || approval.task_id.as_str() == candidate.task_id;
            if is_ours && approval.binds(&candidate.base, &candidate.tree, &candidate.patch_sha256)
            {
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
