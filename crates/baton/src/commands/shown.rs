//! What a person is shown before they say yes, held against what is there once they have said it: while
//! somebody reads, others go on.

use baton_core::audit::Action;
use baton_core::candidate::Candidate;
use baton_core::envelope::Decision;
use baton_core::evidence::statements;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;

/// What an approval speaks of besides the candidate's own bytes.
pub(super) struct Shown {
    pub(super) candidate: Candidate,
    pub(super) decision: Decision,
    /// The manifest over the evidence of the gates.
    pub(super) evidence_sha256: Option<String>,
    /// Where a branch for review goes, as the log names it.
    pub(super) push_to: Option<String>,
}

impl Shown {
    /// The candidate and what was decided on it under the policy that counts; only a decided candidate can
    /// be approved.
    pub(super) fn of(session: &Session) -> Result<Self, Problem> {
        let task = session.task()?;
        check_state(task)?;
        let candidate = session.candidate()?;
        let decision = match task.recorded_decision()? {
            Some(decision @ (Decision::AutoMerge | Decision::PrOnly)) => decision,
            _ => {
                let why = format!("task {} has no decision that could be approved", task.id());
                return Err(
                    Problem::fail("DECISION_MISSING", why).hint(format!("baton run {}", task.id()))
                );
            }
        };
        check_policy(session, task)?;
        Ok(Self {
            decision,
            evidence_sha256: statements::manifest_sha256(task)?,
            push_to: session.push_to()?,
            candidate,
        })
    }

    /// Looks once more before the yes is recorded. What nobody was shown is signed by nobody.
    pub(super) fn check(&self, session: &Session) -> Result<(), Problem> {
        session.check_stop()?;
        session.check_accepted()?;
        session.check_not_denied(&self.candidate)?;
        let task = session.store()?.task(session.task()?.id())?;
        check_state(&task)?;
        let evidence = statements::manifest_sha256(&task)?;
        let what = if evidence != self.evidence_sha256 {
            "its gates ran again"
        } else if task.candidate()?.as_ref() != Some(&self.candidate) {
            "its candidate is another one"
        } else if task.recorded_decision()? != Some(self.decision) {
            "it was decided in another way"
        } else {
            return Ok(());
        };
        let id = task.id();
        let why = format!("nothing was approved: since task {id} was shown, {what}");
        Err(Problem::fail("CHANGED_SINCE_SHOWN", why)
            .hint(format!("look at what is there now: baton approve {id}")))
    }
}

fn check_state(task: &TaskFolder) -> Result<(), Problem> {
    let (id, state) = (task.id(), task.state());
    if state == State::Pr {
        return Ok(());
    }
    let why = format!("task {id} is in {state}, approvals are given in pr");
    Err(Problem::fail("STATE_RULE", why).hint(format!("baton show {id}")))
}

/// What was decided under another policy lands under none, so nobody looks through it in vain.
fn check_policy(session: &Session, task: &TaskFolder) -> Result<(), Problem> {
    let id = task.id();
    let events = session.store()?.log()?.events_of(id.as_str())?;
    let mut decided = events.iter().rev().map(|(event, _)| event);
    let decided = decided.find(|event| event.action == Action::DecisionMade);
    let then = decided.and_then(|event| event.meta.get("policy_sha256")?.as_str());
    let now = &session.policy()?.sha256;
    if then.is_none_or(|then| then == now) {
        return Ok(());
    }
    let then = then.unwrap_or_default();
    let why = format!("task {id} was decided under the policy {then}, and {now} counts by now");
    Err(Problem::fail("DECISION_MISSING", why).hint(format!(
        "have it decided anew: baton retry {id}, then baton run {id} --from FILE.patch (its change is kept as draft.patch under attempts)"
    )))
}
