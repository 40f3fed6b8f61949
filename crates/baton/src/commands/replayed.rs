//! A task's change, scanned and judged again from what is kept of it: for a changed policy, and for
//! whoever does not take our word.

use std::path::Path;

use baton_core::candidate::{self, Candidate, Match};
use baton_core::decision::Facts;
use baton_core::envelope::Envelope;
use baton_core::evidence::{self, Scanned};
use baton_core::git::{ObjectStore, Oid};
use baton_core::policy::Policy;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_core::task::Scope;
use baton_risk::{RiskReport, RuleBook, Subject};

/// A policy and its rules.
pub(super) struct Rules<'p> {
    pub(super) policy: &'p Policy,
    pub(super) book: RuleBook<'p>,
}

impl<'p> Rules<'p> {
    /// The rules of a policy whose secret rules lie in `folder`.
    pub(super) fn of(policy: &'p Policy, folder: &Path) -> Result<Self, Problem> {
        let book = RuleBook::of_policy(policy, folder)?;
        Ok(Self { policy, book })
    }
}

/// What is kept of a task that was decided on.
pub(super) struct Replayed {
    _folder: tempfile::TempDir,
    objects: ObjectStore,
    base: Oid,
    base_tree: Oid,
    tree: Oid,
    patch: Vec<u8>,
    scope: Scope,
    gates: Option<Envelope>,
    matched: Match,
    changed: Vec<Vec<u8>>,
}

impl Replayed {
    pub(super) fn of(
        session: &Session,
        policy: &Policy,
        task: &TaskFolder,
        candidate: &Candidate,
    ) -> Result<Self, Problem> {
        let repository = session.repository()?;
        let (folder, objects) = ObjectStore::temporary(repository)?;
        let patch = task.patch()?;
        let limits = candidate::limits(policy);
        let derived = candidate::verify(repository, &objects, candidate, &patch, &limits)?;
        let kept = task.envelopes()?.into_iter().rev();
        let mut kept = kept.map(|kept| kept.envelope);
        Ok(Self {
            _folder: folder,
            objects,
            base: derived.base,
            base_tree: derived.base_tree,
            tree: derived.tree,
            changed: derived.changed,
            scope: task.task()?.scope,
            gates: kept.find(|envelope| envelope.skill == "gate-runner"),
            patch,
            matched: candidate.matched,
        })
    }

    /// Scans the change under these rules.
    pub(super) fn scan(&self, rules: &Rules<'_>) -> Result<RiskReport, Problem> {
        let subject = Subject {
            store: &self.objects,
            base: &self.base,
            base_tree: &self.base_tree,
            tree: &self.tree,
            patch: &self.patch,
            checkout: None,
            matched: self.matched,
            given: b"",
        };
        baton_risk::scan_candidate(&subject, &rules.book, Some(&self.scope))
    }

    /// What the decision table gets: a new scan, and the gates as they ran.
    pub(super) fn facts(&self, rules: &Rules<'_>) -> Result<Facts, Problem> {
        let report = self.scan(rules)?;
        let gates = self.gates.as_ref().map(|gates| (gates, &*self.changed));
        evidence::replayed(&scanned(&report), gates, rules.policy)
    }
}

/// What the table asks of a scan.
pub(super) fn scanned(report: &RiskReport) -> Scanned<'_> {
    Scanned {
        flags: report.flags,
        signals: report.signals,
        level: report.level,
        findings: &report.findings,
    }
}
