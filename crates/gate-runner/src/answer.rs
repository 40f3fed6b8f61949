//! From the gates' results to the envelope.

use baton_core::envelope::{Finding, Severity, Status};
use baton_core::outcome::Outcome;
use baton_core::outputs::{CheckStatus, GateResult, GateRunner};
use baton_core::policy::Isolation;
use baton_core::problem::Problem;
use baton_core::session::Session;
use serde_json::Map;

use crate::Ran;
use crate::cache::Cache;
use crate::subject::Subject;

/// The whole answer.
pub(crate) fn outcome(
    session: &Session,
    subject: &Subject,
    ran: Vec<Ran>,
    only: &[String],
) -> Result<Outcome, Problem> {
    let policy = session.policy()?;
    let required = |id: &str| {
        policy
            .gates
            .iter()
            .any(|gate| gate.id == id && gate.required)
    };
    let all_pass = ran
        .iter()
        .all(|ran| ran.counts_as_passed() || !required(&ran.result.gate_id));
    // Who asks for some gates is answered about these; the others were not asked for.
    let is_asked = |ran: &&Ran| only.contains(&ran.result.gate_id);
    let is_well = match only.is_empty() {
        true => all_pass,
        false => ran.iter().filter(is_asked).all(Ran::counts_as_passed),
    };
    let mut findings: Vec<Finding> = ran.iter().filter_map(|ran| finding(&ran.result)).collect();
    findings.extend(ran.iter().filter_map(weaker));
    findings.extend(ran.iter().filter_map(missing));
    let mut results = Map::new();
    for kept in ran.iter().map(|ran| &ran.results) {
        results.extend(kept.clone());
    }
    let mut artifacts = vec![subject.name(session)?];
    artifacts.extend(ran.iter().flat_map(|ran| ran.artifacts.clone()));
    let gates: Vec<_> = ran.into_iter().map(|ran| ran.result).collect();
    let summary = summary(&gates);
    let status = if is_well { Status::Ok } else { Status::Fail };
    let mut outcome = Outcome::new(status, summary, &GateRunner { all_pass, gates })
        .findings(findings)
        .artifacts(artifacts);
    outcome.inputs_sha256 = Some(subject.patch_sha256.clone());
    outcome.meta.extend(Cache::meta(results));
    if !is_well {
        outcome = outcome.hint("the evidence of each gate says why; a failed gate can still be decided on: decision-router");
    }
    Ok(outcome)
}

/// A test with another name is one that is gone and one that is new; only a person can tell that from
/// one that was taken away.
fn missing(ran: &Ran) -> Option<Finding> {
    const SHOWN: usize = 5;
    let names: Vec<_> = ran.missing.iter().take(SHOWN).map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        let text = format!(
            "{}: {} tests that ran on the base are not among the tests now: {}",
            ran.result.gate_id,
            ran.missing.len(),
            names.join(", ")
        );
        Finding::new(Severity::Medium, "TESTS_MISSING", text)
    })
}

/// A gate that ran behind less than the strongest walls says so.
fn weaker(ran: &Ran) -> Option<Finding> {
    let level = ran.isolation.filter(|level| *level < Isolation::I3)?;
    Some(Finding::new(
        Severity::Info,
        "ISOLATION_WEAKER",
        format!(
            "{} ran at {}: its evidence says aspect by aspect what stood between it and this machine",
            ran.result.gate_id,
            level.name()
        ),
    ))
}

fn finding(result: &GateResult) -> Option<Finding> {
    let note = result.note.clone().unwrap_or_default();
    let (severity, code) = match result.status {
        CheckStatus::Pass => return None,
        CheckStatus::Fail => (Severity::High, "GATE_FAILED"),
        CheckStatus::Skip => (Severity::Medium, "GATE_SKIPPED"),
    };
    let mut finding = Finding::new(severity, code, format!("{}: {note}", result.gate_id));
    finding.evidence_paths.clone_from(&result.evidence_paths);
    Some(finding)
}

fn summary(gates: &[GateResult]) -> String {
    let count = |status: CheckStatus| gates.iter().filter(|gate| gate.status == status).count();
    let failed: Vec<_> = gates
        .iter()
        .filter(|gate| gate.status == CheckStatus::Fail)
        .map(|gate| gate.gate_id.as_str())
        .collect();
    let skipped: Vec<_> = gates
        .iter()
        .filter(|gate| gate.status == CheckStatus::Skip)
        .map(|gate| gate.gate_id.as_str())
        .collect();
    let mut parts = vec![format!("{} passed", count(CheckStatus::Pass))];
    if !failed.is_empty() {
        parts.push(format!("{} failed", failed.join(", ")));
    }
    if !skipped.is_empty() {
        parts.push(format!("{} skipped", skipped.join(", ")));
    }
    format!("gates: {}", parts.join("; "))
}
