//! Old decisions, made once more under two policies.

use std::path::Path;

use baton_core::accepted::Flip;
use baton_core::candidate::{self, Candidate};
use baton_core::decision::decide;
use baton_core::envelope::{Decision, Envelope};
use baton_core::evidence::{self, Scanned};
use baton_core::git::Oid;
use baton_core::policy::Policy;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;
use baton_core::task::{Scope, TaskId};
use baton_risk::{Origin, RiskReport, RuleBook, ScanInput, Subject};

use super::hostile::Hostile;

/// A policy and its rules.
pub(super) struct Rules<'p> {
    policy: &'p Policy,
    pub(super) book: RuleBook<'p>,
}

impl<'p> Rules<'p> {
    /// The rules of a policy whose secret rules lie in `folder`.
    pub(super) fn of(policy: &'p Policy, folder: &Path) -> Result<Self, Problem> {
        let book = RuleBook::of_policy(policy, folder)?;
        Ok(Self { policy, book })
    }
}

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
                    let mut facts = baton_core::decision::Facts::default();
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
    facts: impl Fn(&Rules<'_>) -> Result<baton_core::decision::Facts, Problem>,
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

/// What is kept of a task that was decided on.
struct Replayed {
    base: Oid,
    base_tree: Oid,
    tree: Oid,
    patch: Vec<u8>,
    scope: Scope,
    gates: Option<Envelope>,
    changed: Vec<Vec<u8>>,
}

impl Replayed {
    fn of(session: &Session, task: &TaskFolder, candidate: &Candidate) -> Result<Self, Problem> {
        let repository = session.repository()?;
        let objects = session.store()?.objects(repository)?;
        let patch = task.patch()?;
        let limits = candidate::limits(session.policy()?);
        let derived = candidate::verify(repository, &objects, candidate, &patch, &limits)?;
        let kept = task.envelopes()?.into_iter().rev();
        let mut kept = kept.map(|kept| kept.envelope);
        Ok(Self {
            base: derived.base,
            base_tree: derived.base_tree,
            tree: derived.tree,
            changed: derived.changed,
            scope: task.task()?.scope,
            gates: kept.find(|envelope| envelope.skill == "gate-runner"),
            patch,
        })
    }

    fn facts(
        &self,
        session: &Session,
        rules: &Rules<'_>,
    ) -> Result<baton_core::decision::Facts, Problem> {
        let objects = session.store()?.objects(session.repository()?)?;
        let subject = Subject {
            store: &objects,
            base: &self.base,
            base_tree: &self.base_tree,
            tree: &self.tree,
            patch: &self.patch,
            checkout: None,
        };
        let report = baton_risk::scan_candidate(&subject, &rules.book, Some(&self.scope))?;
        let gates = self.gates.as_ref().map(|gates| (gates, &*self.changed));
        evidence::replayed(&scanned(&report), gates, rules.policy)
    }
}

fn scanned(report: &RiskReport) -> Scanned<'_> {
    Scanned {
        flags: report.flags,
        signals: report.signals,
        level: report.level,
        findings: &report.findings,
    }
}
