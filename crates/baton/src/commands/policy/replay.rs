//! Old decisions, made once more under two policies.

use baton_core::accepted::Flip;
use baton_core::candidate;
use baton_core::decision::{Facts, decide};
use baton_core::envelope::Decision;
use baton_core::evidence;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::task::TaskId;
use baton_risk::{Origin, ScanInput};

use super::super::replayed::{Replayed, Rules, scanned};
use super::hostile::Hostile;

/// One change, judged under both.
pub(super) struct Case {
    pub(super) what: String,
    from: Decision,
    to: Decision,
    rules: Vec<String>,
}

impl Case {
    /// Whether the new policy would let it land.
    pub(super) fn lands(&self) -> bool {
        self.to == Decision::AutoMerge
    }

    /// What is another decision now.
    pub(super) fn flip(self) -> Option<Flip> {
        (self.from != self.to).then_some(Flip {
            what: self.what,
            from: self.from,
            to: self.to,
            rules: self.rules,
        })
    }
}

/// Every task of the queue on which a decision is recorded: its change is scanned and its gates are judged
/// under both policies. The evidence is taken as it was; the gates are not run again.
pub(super) fn tasks(
    session: &Session,
    old: &Rules<'_>,
    new: &Rules<'_>,
) -> Result<Vec<Case>, Problem> {
    let store = session.store()?;
    let (_, entries) = store.scan(&State::ALL)?;
    let mut cases = Vec::new();
    for entry in entries {
        let Ok(task) = store.task(&TaskId::parse(&entry.task_id)?) else {
            // It moved on, or is a loose file that nobody took in.
            continue;
        };
        let Some(candidate) = task.candidate()? else {
            continue;
        };
        if task.recorded_decision()?.is_none() {
            continue;
        }
        let of_task = Replayed::of(session, &task, &candidate)?;
        let case = case(task.id().to_string(), old, new, |rules| {
            of_task.facts(session, rules)
        })?;
        cases.push(case);
    }
    Ok(cases)
}

/// The hostile set, judged as bare text; every gate is taken to have passed, so that only what the policy
/// sees in the change itself speaks.
pub(super) fn hostile(
    set: &[Hostile],
    old: &Rules<'_>,
    new: &Rules<'_>,
) -> Result<Vec<Case>, Problem> {
    let judge = |one: &Hostile| {
        case(format!("hostile: {}", one.name), old, new, |rules| {
            let limits = candidate::limits(rules.policy);
            let facts = match baton_patch::parse(&one.patch, &limits) {
                // What the reader refuses never becomes a candidate.
                Err(refusal) => {
                    let mut facts = Facts::default();
                    facts.unbound.push(refusal.to_string());
                    facts
                }
                Ok(patch) => {
                    let input = ScanInput::from_patch(&patch);
                    let report = baton_risk::scan(&input, &rules.book, None, &Origin::Text)?;
                    evidence::replayed(&scanned(&report), None, rules.policy)?
                }
            };
            Ok(facts)
        })
    };
    set.iter().map(judge).collect()
}

fn case(
    what: String,
    old: &Rules<'_>,
    new: &Rules<'_>,
    facts: impl Fn(&Rules<'_>) -> Result<Facts, Problem>,
) -> Result<Case, Problem> {
    let from = decide(old.policy, &facts(old)?);
    let to = decide(new.policy, &facts(new)?);
    Ok(Case {
        what,
        from: from.decision,
        to: to.decision,
        rules: to.matched.into_iter().map(|matched| matched.rule).collect(),
    })
}
