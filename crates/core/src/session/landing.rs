//! What a session knows of landings: the merge lock, and whether a person said yes or no.

use std::time::{Duration, Instant};

use super::Session;
use crate::approval::Approval;
use crate::candidate::Candidate;
use crate::clock::{self, Moment};
use crate::envelope::{ApprovalEntry, ApprovalState, ToolClass};
use crate::environment;
use crate::evidence::Court;
use crate::git::{Alone, RemoteUrl};
use crate::masking;
use crate::problem::Problem;
use crate::quorum::{Answer, Purpose, Quorum};
use crate::store::{Conflict, MergeLock, TaskFolder, Unrecorded};

/// How long a landing waits for the one before it.
const LANDING_WAIT: Duration = Duration::from_secs(120);
/// How often it looks whether it is its turn.
const LANDING_POLL: Duration = Duration::from_millis(20);

impl Session {
    /// Where branches for review are pushed to; none where the policy pushes none. It is read once, so that
    /// what is judged is what is pushed to.
    ///
    /// # Errors
    /// `REMOTE_MISSING`, `REMOTE_REFUSED`.
    pub fn remote(&self) -> Result<Option<&RemoteUrl>, Problem> {
        let landing = &self.policy()?.landing;
        let Some(name) = landing.remote.as_deref().filter(|_| landing.push) else {
            return Ok(None);
        };
        if let Some(remote) = self.remote.get() {
            return Ok(Some(remote));
        }
        let remote = self.repository()?.remote_url(name)?;
        Ok(Some(self.remote.get_or_init(|| remote)))
    }

    /// The same as the log has it, in the line of an approval.
    ///
    /// # Errors
    /// As [`Self::remote`].
    pub fn push_to(&self) -> Result<Option<String>, Problem> {
        let remote = self.remote()?;
        Ok(remote.map(|remote| masking::text(remote.as_str()).into_owned()))
    }

    /// Takes the merge lock and holds it until this run is recorded; waits while another landing has
    /// it.
    ///
    /// # Errors
    /// `LANDING_BUSY` when it takes too long, `QUEUE_BROKEN`, `LOCK_BROKEN`.
    pub fn merge_lock(&self) -> Result<&MergeLock, Problem> {
        if let Some(lock) = self.merge_lock.get() {
            return Ok(lock);
        }
        let length = Duration::from_secs(self.policy()?.caps.lease_seconds);
        let owner = environment::default_owner();
        let started = Instant::now();
        let mut told = false;
        loop {
            let held = match self.store()?.lock_landing(&owner, length, Moment::now())? {
                Ok(lock) => return Ok(self.merge_lock.get_or_init(|| lock)),
                Err(Conflict::Held { owner, .. }) => owner,
                Err(Conflict::NotFound | Conflict::Overlaps { .. }) => String::new(),
            };
            if started.elapsed() >= LANDING_WAIT {
                let message = format!("another landing is under way: {held} holds the merge lock");
                return Err(Problem::fail("LANDING_BUSY", message)
                    .hint("nothing was moved; run it again when that landing is over"));
            }
            if !told {
                self.tell(&format!("waiting for another landing: {held}"));
                told = true;
            }
            std::thread::sleep(LANDING_POLL);
        }
    }

    /// Keeps the landings of other queues from the repository, whose checkouts are the same. Another one
    /// is waited for as for the merge lock.
    ///
    /// # Errors
    /// `LANDING_BUSY`, `GIT_FAILED`, `IO_ERROR`.
    pub fn alone(&self) -> Result<Alone, Problem> {
        let repository = self.repository()?;
        let started = Instant::now();
        loop {
            if let Some(alone) = repository.alone()? {
                return Ok(alone);
            }
            if started.elapsed() >= LANDING_WAIT {
                let why = "another landing is under way: one of another queue has the repository";
                return Err(Problem::fail("LANDING_BUSY", why)
                    .hint("nothing was moved; run it again when that landing is over"));
            }
            std::thread::sleep(LANDING_POLL);
        }
    }

    /// Refuses what would take the change of the task at hand back on paper only: its landing has moved
    /// the target, and only the record is missing.
    ///
    /// # Errors
    /// `code`, and those of log and git.
    pub fn check_not_landed(&self, code: &str) -> Result<(), Problem> {
        match self.unrecorded_landing()? {
            Some(landed) => Err(landed.refusal(code)),
            None => Ok(()),
        }
    }

    /// The landing of the task at hand that moved the target and was not recorded.
    ///
    /// # Errors
    /// As [`crate::store::Store::unrecorded_landing`].
    pub fn unrecorded_landing(&self) -> Result<Option<Unrecorded>, Problem> {
        let id = self.task_id()?;
        self.store()?
            .unrecorded_landing(self.repository()?, id.as_str())
    }

    /// Refuses a candidate that a person denied before, without asking again.
    ///
    /// # Errors
    /// `DENIED_DIGEST`.
    pub fn check_not_denied(&self, candidate: &Candidate) -> Result<(), Problem> {
        match self.store()?.denial_of(candidate)? {
            None => Ok(()),
            Some(denial) => Err(Problem::deny(
                "DENIED_DIGEST",
                format!(
                    "{} denied exactly this change at {}: {}",
                    denial.approved_by, denial.approved_at, denial.reason
                ),
            )
            .hint("propose another change; the same bytes are not asked for again")),
        }
    }

    /// Asks for the approvals of exactly this candidate for PR or MERGE. The policy's matrix must
    /// allow the actor the class as well.
    ///
    /// # Errors
    /// `DENIED_DIGEST`, `APPROVAL_CHANGED`, and as [`Self::authorize`].
    pub fn candidate_approval(
        &self,
        candidate: &Candidate,
        class: ToolClass,
        purpose: Purpose,
    ) -> Result<ApprovalEntry, Problem> {
        self.check_not_denied(candidate)?;
        self.check_accepted()?;
        let mut entry = self.policy()?.authorize(self.actor, class, clock::now());
        if entry.state == ApprovalState::Denied {
            return Ok(entry);
        }
        let answer = self.quorum(candidate, class, purpose)?;
        if !answer.is_enough() {
            entry.state = ApprovalState::Pending;
            (entry.approved_by, entry.approved_at) = (None, None);
            entry.note = Some(format!(
                "needs an approval of this candidate, baton approve TASK: {}",
                answer.says()
            ));
            return Ok(entry);
        }
        let each = |of: fn(&Approval) -> &str| {
            let all: Vec<_> = answer.counted.iter().map(of).collect();
            all
        };
        entry.state = ApprovalState::Approved;
        entry.approved_by = Some(each(|one| &one.approved_by).join(", "));
        entry.approved_at = each(|one| &one.approved_at)
            .last()
            .map(|at| (*at).to_owned());
        entry.note = Some(format!(
            "approval={}",
            each(|one| &one.approval_id).join(",")
        ));
        Ok(entry)
    }

    /// Judges the approvals of a candidate of the task at hand.
    ///
    /// # Errors
    /// As [`Quorum::judge`].
    pub fn quorum(
        &self,
        candidate: &Candidate,
        class: ToolClass,
        purpose: Purpose,
    ) -> Result<Answer, Problem> {
        self.quorum_of(self.task()?, candidate, class, purpose)
    }

    /// The same for any task of the queue.
    ///
    /// # Errors
    /// As [`Quorum::judge`].
    pub fn quorum_of(
        &self,
        task: &TaskFolder,
        candidate: &Candidate,
        class: ToolClass,
        purpose: Purpose,
    ) -> Result<Answer, Problem> {
        let (store, repository) = (self.store()?, self.repository()?);
        let court = Court {
            store,
            repository,
            objects: &store.objects(repository)?,
            policy: self.policy()?,
        };
        let signers = self.signers()?;
        let push_to = match class {
            ToolClass::External => self.push_to()?,
            _ => None,
        };
        let quorum = Quorum {
            push_to: push_to.as_deref(),
            court: &court,
            signers: signers.as_ref(),
            task,
            candidate,
            now: clock::now(),
        };
        quorum.judge(class, purpose)
    }
}
