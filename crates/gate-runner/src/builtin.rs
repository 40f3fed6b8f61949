//! The gates that baton carries out itself.

use baton_core::decision::SECRET_FOUND;
use baton_core::envelope::Finding;
use baton_core::outputs::CheckStatus;
use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::{Stop, Store};
use baton_risk::{RiskReport, RuleBook};

use crate::subject::Subject;
use crate::{Ran, keep};

/// The gate that looks at what the others left.
pub(crate) const LAST: &str = "G6";

/// Runs one built-in gate and keeps its evidence.
pub(crate) fn run(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    (book, scan): (&RuleBook<'_>, &RiskReport),
    done: &[Ran],
) -> Result<Ran, Problem> {
    let found = match gate.id.as_str() {
        "G0" => no_stop(session)?,
        "G1" => well_formed(subject),
        "G2" => places(scan),
        "G3" => contents(scan),
        "G6" => complete(session, subject, book, done),
        other => vec![format!("there is no built-in gate {other}")],
    };
    let (status, note) = match found.first() {
        None => (CheckStatus::Pass, "built in".to_owned()),
        Some(first) => (CheckStatus::Fail, format!("{} found: {first}", found.len())),
    };
    let mut ran = Ran::new(gate, status, note);
    keep::builtin(session, subject, gate, &mut ran, &found)?;
    Ok(ran)
}

fn no_stop(session: &Session) -> Result<Vec<String>, Problem> {
    Ok(match session.store_if_any()?.map(Store::stop) {
        Some(Stop::Present(why)) => vec![why],
        _ => Vec::new(),
    })
}

/// The patch is git's own grammar, applies to the base, and makes exactly this tree: all of it was
/// derived again when the run began, and the run does not begin otherwise. What is left to say is that
/// something changes.
fn well_formed(subject: &Subject) -> Vec<String> {
    let nothing = subject.changed.is_empty() || subject.tree == subject.base_tree;
    let said = nothing.then(|| "the patch changes nothing".to_owned());
    said.into_iter().collect()
}

fn places(scan: &RiskReport) -> Vec<String> {
    messages(scan, &["ALLOWLIST_VIOLATION", "PROTECTED_ZONE_TOUCHED"])
}

fn contents(scan: &RiskReport) -> Vec<String> {
    messages(scan, &[SECRET_FOUND, "EXTERNAL_IO_ATTEMPT"])
}

fn messages(scan: &RiskReport, codes: &[&str]) -> Vec<String> {
    let speaks = |finding: &&Finding| codes.contains(&finding.code.as_str());
    scan.findings
        .iter()
        .filter(speaks)
        .map(|finding| finding.message.clone())
        .collect()
}

/// Evidence whole, scan there and about this candidate, policy true to its examples, log unbroken.
fn complete(
    session: &Session,
    subject: &Subject,
    book: &RuleBook<'_>,
    done: &[Ran],
) -> Vec<String> {
    let mut wrong = Vec::new();
    // For a bare patch the rules that looked at it were tried as they were used.
    let Some(candidate) = &subject.task else {
        return wrong;
    };
    if let Err(problem) = book.check_others() {
        wrong.push(problem.message);
    }
    let check = || -> Result<Vec<String>, Problem> {
        let mut wrong = Vec::new();
        let task = session.task()?;
        for artifact in done.iter().flat_map(|ran| &ran.artifacts) {
            if let Err(problem) = task.read_artifact(artifact) {
                wrong.push(problem.message);
            }
        }
        session.store()?.log()?.quick_check()?;
        let binding = candidate.binding();
        let kept = task.envelopes()?;
        let scanned = kept.iter().map(|kept| &kept.envelope).any(|envelope| {
            envelope.skill == "diff-risk-scan"
                && envelope.artifacts.iter().any(|artifact| {
                    artifact
                        .note
                        .as_deref()
                        .is_some_and(|note| note.ends_with(&binding))
                })
        });
        if !scanned {
            wrong.push("there is no diff-risk-scan result about this candidate".to_owned());
        }
        Ok(wrong)
    };
    match check() {
        Ok(more) => wrong.extend(more),
        Err(problem) => wrong.push(problem.message),
    }
    wrong
}
