//! What the policy lets the actor do.

use super::Session;
use crate::envelope::{ApprovalEntry, ApprovalState, ToolClass};
use crate::manifest::SSOT;
use crate::policy::Actor;
use crate::problem::Problem;
use crate::signers::{self, ALLOWED, REVOKED, Signers};
use crate::store::RECENT;
use crate::{accepted, clock};

impl Session {
    /// Asks the policy whether the actor may do these things; the answers go into the envelope. Beside a
    /// queue only a policy that a person accepted allows more than reading.
    ///
    /// # Errors
    /// `APPROVAL_REQUIRED` (a denial) naming the class and what to do, `POLICY_NOT_ACCEPTED`.
    pub fn authorize(&self, classes: &[ToolClass]) -> Result<(), Problem> {
        if classes.iter().any(|class| *class != ToolClass::Read) {
            self.check_accepted()?;
        }
        for class in classes.iter().copied() {
            let entry = self.standing(class)?;
            let refused =
                (entry.state != ApprovalState::Approved).then(|| not_approved(self.actor, &entry));
            self.add_approval(entry);
            if let Some(problem) = refused {
                return Err(problem);
            }
        }
        Ok(())
    }

    /// The standing approval that speaks for the actor and the class now, or why none does. A caller that
    /// was granted moves by one alone moves by no other.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn standing(&self, class: ToolClass) -> Result<ApprovalEntry, Problem> {
        let grant = self.caller.as_ref().and_then(|caller| caller.grant());
        let only = grant.filter(|_| class == ToolClass::Move);
        let policy = self.policy()?;
        Ok(policy.authorize_by(self.actor, class, clock::now(), only.as_deref()))
    }

    /// The same before a yes is given or acted on: the queue's note is held against the log's last lines too.
    ///
    /// # Errors
    /// As [`Self::check_accepted`], and those of the log.
    pub fn check_acceptance(&self) -> Result<(), Problem> {
        self.check_accepted()?;
        match self.store_if_any()? {
            Some(store) => accepted::check_recorded(store, RECENT),
            None => Ok(()),
        }
    }

    /// The keys that may sign approvals; they lie beside the policy. None where nobody may. Where the branch
    /// that changes land on has them they are its keys, and what it revokes is revoked, whatever was done to
    /// the checkout.
    ///
    /// # Errors
    /// `SIGNERS_DIFFER`, `SIGNERS_INVALID`.
    pub fn signers(&self) -> Result<Option<Signers>, Problem> {
        let Some(signers) = Signers::read(&self.policy_folder())? else {
            return Ok(None);
        };
        let target = &self.policy()?.landing.target;
        let Ok(repository) = self.repository() else {
            return Ok(Some(signers));
        };
        if let Some(tip) = repository.tip(target)? {
            let committed = |name: &str| {
                repository.file_at(&tip, &format!("{SSOT}/{name}"), signers::MAX_BYTES)
            };
            signers.check_allowed(committed(ALLOWED)?.as_deref(), target)?;
            signers.check_revoked(committed(REVOKED)?.as_deref(), target)?;
        }
        Ok(Some(signers))
    }

    /// A policy that cannot be used, with the file that it is in.
    pub(super) fn in_its_file(&self, mut problem: Problem) -> Problem {
        let path = match &self.common.policy {
            Some(named) => named.display().to_string(),
            None => format!("{SSOT}/POLICY.json"),
        };
        problem.message = format!("{path}: {}", problem.message);
        if problem.hints.is_empty() {
            problem = problem.hint(format!("mend {path}, or restore it from a commit"));
        }
        problem
    }

    /// Refuses, beside a queue, a policy that no person accepted. Whatever lets something through asks this
    /// first; what only holds back does not.
    ///
    /// # Errors
    /// `POLICY_NOT_ACCEPTED`, and as [`Self::policy`].
    pub fn check_accepted(&self) -> Result<(), Problem> {
        let Some(store) = self.store_if_any()? else {
            return Ok(());
        };
        let policy = self.policy()?;
        let is_noted = accepted::check(store, policy)?;
        if is_noted || self.is_plan() {
            return Ok(());
        }
        // The log was read for it once; from here on the note will do.
        accepted::note_once(store, &policy.sha256)
    }
}

fn not_approved(actor: Actor, entry: &ApprovalEntry) -> Problem {
    let note = entry.note.clone().unwrap_or_default();
    Problem::deny(
        "APPROVAL_REQUIRED",
        format!("{} may not do {}: {note}", actor.name(), entry.tool_class),
    )
    .hint(format!(
        "leave it to a person, or let a person grant it: {SSOT}/POLICY.json, by a reviewed commit"
    ))
}
