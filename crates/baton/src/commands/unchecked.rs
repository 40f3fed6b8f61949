//! What nobody and nothing checked of a candidate, for the one who approves it.

use baton_core::envelope::Envelope;
use baton_core::outputs::{self, CheckStatus, GateRunner};
use baton_core::problem::Problem;
use baton_core::session::Session;

/// The finding of the scan that says that something was not looked at as a whole. Binary files are
/// named by what is shown of the change.
const NOT_SCANNED: &str = "LIMIT_EXCEEDED";

/// One line for each gap: gates that did not run or failed, files that the scan did not read, shadow
/// mode.
pub(super) fn of(session: &Session) -> Result<Vec<String>, Problem> {
    let kept = session.task()?.envelopes()?;
    let last = |skill: &str| {
        let mut kept = kept.iter().rev().map(|kept| &kept.envelope);
        kept.find(|envelope| envelope.skill == skill)
    };
    let mut gaps = Vec::new();
    match last("gate-runner") {
        None => gaps.push("no gate ran".to_owned()),
        Some(envelope) => gates(session, envelope, &mut gaps)?,
    }
    match last("diff-risk-scan") {
        None => gaps.push("the change was not scanned".to_owned()),
        Some(envelope) => {
            let found = envelope.findings.iter();
            let found = found.filter(|finding| finding.code == NOT_SCANNED);
            gaps.extend(found.map(|finding| format!("scan: {}", finding.message)));
        }
    }
    if let Some(envelope) = last("decision-router") {
        let in_shadow = envelope
            .findings
            .iter()
            .any(|one| one.code == "SHADOW_MODE");
        let found = envelope.findings.iter().filter(|_| in_shadow);
        gaps.extend(found.map(|finding| format!("SHADOW MODE: {}", finding.message)));
    }
    Ok(gaps)
}

/// Gates that gave no verdict, or one that was not heeded.
fn gates(session: &Session, envelope: &Envelope, gaps: &mut Vec<String>) -> Result<(), Problem> {
    let data: GateRunner = outputs::from_map(&envelope.data)?;
    for gate in &session.policy()?.gates {
        let result = data.gates.iter().find(|result| result.gate_id == gate.id);
        let note = |note: &Option<String>| -> String {
            note.as_deref()
                .unwrap_or("no reason given")
                .chars()
                .take(160)
                .collect()
        };
        let whether = if gate.required { "" } else { " (not required)" };
        let id = &gate.id;
        match result {
            None => gaps.push(format!("gate {id}{whether} did not run")),
            Some(result) if result.status == CheckStatus::Skip => {
                gaps.push(format!(
                    "gate {id}{whether} was skipped: {}",
                    note(&result.note)
                ));
            }
            Some(result) if result.status == CheckStatus::Fail => {
                gaps.push(format!("gate {id}{whether} FAILED: {}", note(&result.note)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
