//! What a session knows of landings: the merge lock, and whether a person said yes or no.

use std::time::{Duration, Instant};

use super::Session;
use crate::approval::{Approval, Verdict};
use crate::candidate::Candidate;
use crate::envelope::{ApprovalEntry, ApprovalState, ToolClass};
use crate::evidence::Court;
use crate::problem::Problem;
use crate::store::{Conflict, MergeLock};
use crate::{clock, environment};

/// How long a landing waits for the one before it.
const LANDING_WAIT: Duration = Duration::from_secs(120);
/// How often it looks whether it is its turn.
const LANDING_POLL: Duration = Duration::from_millis(20);

impl Session {
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
            let held = match self.store()?.lock_landing(&owner, length, clock::now())? {
                Ok(lock) => return Ok(self.merge_lock.get_or_init(|| lock)),
                Err(Conflict::Held { owner, .. }) => owner,
                Err(Conflict::NotFound) => String::new(),
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

    /// Asks for an approval of exactly this candidate for PR or MERGE. The policy's matrix must
    /// allow the actor the class as well.
    ///
    /// # Errors
    /// `DENIED_DIGEST`, `APPROVAL_CHANGED`, and as [`Self::authorize`].
    pub fn candidate_approval(
        &self,
        candidate: &Candidate,
        class: ToolClass,
    ) -> Result<ApprovalEntry, Problem> {
        self.check_not_denied(candidate)?;
        self.check_accepted()?;
        let now = clock::now();
        let mut entry = self.policy()?.authorize(self.actor, class, now);
        if entry.state == ApprovalState::Denied {
            return Ok(entry);
        }
        entry.state = ApprovalState::Pending;
        entry.note = Some("needs an approval of this candidate: baton approve TASK".to_owned());
        let given = self
            .store()?
            .approvals_for(candidate)?
            .into_iter()
            .rev()
            .find(|approval| {
                approval.verdict == Verdict::Approved
                    && approval.covers(class)
                    && approval.is_valid_at(now)
            });
        if let Some(approval) = given
            && self.proves(&approval, candidate)?
        {
            entry.state = ApprovalState::Approved;
            entry.approved_by = Some(approval.approved_by);
            entry.approved_at = Some(approval.approved_at);
            entry.note = Some(format!("approval={}", approval.approval_id));
        }
        Ok(entry)
    }

    /// An approval that was carried over counts as long as the proof holds.
    fn proves(&self, approval: &Approval, candidate: &Candidate) -> Result<bool, Problem> {
        if approval.carried_from.is_none() {
            return Ok(true);
        }
        let (store, repository) = (self.store()?, self.repository()?);
        let court = Court {
            store,
            repository,
            objects: &store.objects(repository)?,
            policy: self.policy()?,
        };
        court.proves(self.task()?, approval, candidate)
    }
}
