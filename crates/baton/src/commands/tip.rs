//! After a landing: the gates run once more on what the target holds now. If one that passed does not
//! pass there, the queue stops and a revert is ready.

use std::collections::HashMap;

use baton_core::audit::Action;
use baton_core::candidate::Candidate;
use baton_core::envelope::Envelope;
use baton_core::outputs::{self, CheckStatus, GateRunner};
use baton_core::problem::Problem;
use baton_core::session::Session;

/// What the gates are to look at.
pub(super) struct Tip {
    /// From the candidate's base to the target's tip.
    pub(super) patch: Vec<u8>,
    /// That base.
    pub(super) base: String,
}

/// What landed, when the policy wants the gates to run on it.
pub(super) fn of(session: &Session) -> Result<Option<Tip>, Problem> {
    let landing = &session.policy()?.landing;
    let Some(candidate) = session
        .task()?
        .candidate()?
        .filter(|_| landing.gates_on_tip)
    else {
        return Ok(None);
    };
    if !has_landed(session, &candidate)? {
        return Ok(None);
    }
    let repository = session.repository()?;
    let objects = session.store()?.objects(repository)?;
    let base = repository.commit(&candidate.base)?;
    let tip = repository.commit(&landing.target)?;
    let patch = objects.patch_between(&repository.tree_of(&base)?, &repository.tree_of(&tip)?)?;
    Ok(Some(Tip {
        patch,
        base: candidate.base,
    }))
}

fn has_landed(session: &Session, candidate: &Candidate) -> Result<bool, Problem> {
    let events = session.store()?.log()?.events_of(&candidate.task_id)?;
    Ok(events
        .iter()
        .any(|(event, _)| event.action == Action::ChangeLanded))
}

/// The gates that passed on the candidate and do not pass on the tip.
pub(super) fn worse(session: &Session, now: &Envelope) -> Result<Vec<String>, Problem> {
    let kept = session.task()?.envelopes()?;
    let mut kept = kept.iter().rev().map(|kept| &kept.envelope);
    let then = kept.find(|envelope| envelope.skill == "gate-runner");
    let then: Option<GateRunner> = then
        .map(|envelope| outputs::from_map(&envelope.data))
        .transpose()?;
    let passed = |gates: GateRunner| {
        let gates = gates.gates.into_iter();
        gates.map(|gate| (gate.gate_id, gate.status == CheckStatus::Pass))
    };
    // A run that could not begin has no results.
    let now: HashMap<_, _> = outputs::from_map(&now.data)
        .map_or_else(|_| HashMap::new(), |gates| passed(gates).collect());
    let then = then.map(passed).into_iter().flatten();
    let worse = then.filter(|(gate, did)| *did && now.get(gate) != Some(&true));
    Ok(worse.map(|(gate, _)| gate).collect())
}
