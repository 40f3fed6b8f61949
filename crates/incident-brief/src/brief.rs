//! The text of an incident.

use std::fmt::Write;

use baton_core::envelope::{Decision, Finding, Severity, Status};
use baton_core::outputs::{IncidentBrief, IncidentSeverity};
use baton_core::policy::Policy;

use crate::{Cause, recovery_of};

/// How many findings the report lists; the kept envelopes hold them all.
const MOST_FINDINGS: usize = 20;

/// Fills the envelope's data.
pub(crate) fn write(
    cause: &Cause,
    severity: Option<IncidentSeverity>,
    policy: &Policy,
    incident_id: String,
) -> IncidentBrief {
    let severity = severity.unwrap_or_else(|| severity_of(cause));
    let headline = headline(cause);
    let recovery_refs = recovery_of(cause, policy);
    let first = if cause.has_landed() {
        "Mend the cause, then finish the landing: baton run TASK"
    } else {
        "Leave the task in blocked until the cause is understood"
    };
    let mut actions = vec![first.to_owned()];
    for reference in &recovery_refs {
        if let Some(recovery) = policy
            .recovery
            .iter()
            .find(|recovery| recovery.id == *reference)
        {
            actions.push(format!(
                "{reference} {}: {}",
                recovery.title, recovery.definition
            ));
        }
    }
    if cause.signals.stop_detected {
        actions.push("Find out who set STOP and why; lift it with: baton resume".to_owned());
    }
    let impact = impact(cause);
    let notify_template = Some(notify(
        &incident_id,
        severity,
        &headline,
        &impact,
        &recovery_refs,
    ));
    IncidentBrief {
        incident_id,
        severity,
        headline,
        impact: Some(impact),
        actions,
        recovery_refs,
        notify_template,
    }
}

fn severity_of(cause: &Cause) -> IncidentSeverity {
    let worst = cause.worst().map(|finding| finding.severity);
    match (cause.status, cause.decision, worst) {
        (Status::ZeroStop, _, _)
        | (_, Some(Decision::ZeroStop), _)
        | (_, _, Some(Severity::Critical)) => IncidentSeverity::Sev1,
        (Status::Fail, _, _) | (_, _, Some(Severity::High)) => IncidentSeverity::Sev2,
        _ => IncidentSeverity::Sev3,
    }
}

fn headline(cause: &Cause) -> String {
    match cause.worst() {
        Some(finding) => format!(
            "{} in {}: {}",
            finding.code,
            cause.skill,
            shorten(&finding.message)
        ),
        None => format!("{}: {}", cause.skill, shorten(&cause.summary)),
    }
}

/// Keeps a message on one line. What gates and patches print is quoted here, never obeyed.
fn shorten(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    line.trim().to_owned()
}

fn impact(cause: &Cause) -> String {
    let landed_wrong = cause
        .findings
        .iter()
        .any(|finding| finding.code == "LANDED_TREE_DIFFERS");
    let reached = match &cause.landed {
        _ if landed_wrong => "The target branch holds something that was not approved".to_owned(),
        Some(landed) => format!("The change is on the target branch: {landed}"),
        None if cause.has_landed() => "The change is on the target branch".to_owned(),
        None => "This step changed nothing on the target branch".to_owned(),
    };
    let mut parts = vec![reached];
    for (seen, text) in [
        (cause.signals.stop_detected, "the kill switch was on"),
        (
            cause.signals.allowlist_violation,
            "the change left its allowlist",
        ),
        (
            cause.signals.external_io_attempt,
            "the change reaches outside",
        ),
        (cause.signals.delete_detected, "the change deletes"),
    ] {
        if seen {
            parts.push(text.to_owned());
        }
    }
    parts.join("; ")
}

fn notify(
    id: &str,
    severity: IncidentSeverity,
    headline: &str,
    impact: &str,
    refs: &[String],
) -> String {
    format!(
        "[{severity}] {id}: {headline}\nImpact: {impact}\nRecovery: {}\nWho acts: <name>\nNext word by: <time>",
        refs.join(", ")
    )
}

/// The report for people, kept beside the task.
pub(crate) fn report(task_id: &str, cause: &Cause, data: &IncidentBrief) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "# {} ({}): {}\n",
        data.incident_id, data.severity, data.headline
    );
    let _ = writeln!(
        text,
        "Task {task_id}, reported by {} with {}.\n",
        cause.skill, cause.status
    );
    let _ = writeln!(
        text,
        "## Impact\n{}.\n",
        data.impact.as_deref().unwrap_or("unknown")
    );
    let _ = writeln!(text, "## What was found");
    for finding in cause.findings.iter().take(MOST_FINDINGS) {
        let _ = writeln!(text, "{}", line(finding));
    }
    if cause.findings.len() > MOST_FINDINGS {
        let _ = writeln!(
            text,
            "- and {} more, in the kept envelopes",
            cause.findings.len() - MOST_FINDINGS
        );
    }
    let _ = writeln!(text, "\n## What to do");
    for action in &data.actions {
        let _ = writeln!(text, "- {action}");
    }
    let _ = writeln!(
        text,
        "\n## To send (nothing was sent)\n{}",
        data.notify_template.as_deref().unwrap_or_default()
    );
    text
}

fn line(finding: &Finding) -> String {
    format!(
        "- {} {}: {}",
        finding.severity,
        finding.code,
        shorten(&finding.message)
    )
}
