//! S7: says what went wrong, what it means and what to do, and takes the task out of the way.

use baton_core::audit::Action;
use baton_core::clock;
use baton_core::driver::{Skill, Upstream, plan_finding};
use baton_core::envelope::{
    ArtifactKind, Decision, Envelope, Finding, Severity, Signals, Status, ToolClass,
};
use baton_core::ids;
use baton_core::outcome::Outcome;
use baton_core::outputs::{IncidentBrief, IncidentSeverity, to_map};
use baton_core::policy::Policy;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::Unrecorded;
use clap::{ArgMatches, Args as _, FromArgMatches as _};

mod brief;

/// The skill.
pub const SKILL: Skill = Skill {
    name: "incident-brief",
    envelope: "incident-brief",
    about: "Write the incident report of a task that ended badly and move the task to blocked",
    examples: [
        "decision-router --task T-1 | incident-brief",
        "incident-brief --task T-1 --severity SEV2",
    ],
    classes: &[ToolClass::Write, ToolClass::Move],
    action: Action::IncidentRaised,
    upstream: Upstream::Act,
    acts_under_stop: true,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |_| false,
    run,
    refused: |refused| {
        to_map(&IncidentBrief {
            incident_id: "INC-NONE".to_owned(),
            severity: IncidentSeverity::Sev3,
            headline: format!("no incident was written: {}", refused.problem.code),
            impact: None,
            actions: vec![refused.problem.message.clone()]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect(),
            recovery_refs: Vec::new(),
            notify_template: None,
        })
    },
};

#[derive(clap::Args)]
struct Arguments {
    /// Say how bad it is: SEV1, SEV2 or SEV3 (default: from what was found)
    #[arg(long, value_name = "SEV1..3", value_parser = severity)]
    severity: Option<IncidentSeverity>,
}

fn severity(text: &str) -> Result<IncidentSeverity, String> {
    match text {
        "SEV1" => Ok(IncidentSeverity::Sev1),
        "SEV2" => Ok(IncidentSeverity::Sev2),
        "SEV3" => Ok(IncidentSeverity::Sev3),
        _ => Err("expected SEV1, SEV2 or SEV3".to_owned()),
    }
}

/// What the incident is about, from upstream or from the task's last kept envelope.
struct Cause {
    skill: String,
    status: Status,
    decision: Option<Decision>,
    summary: String,
    signals: Signals,
    findings: Vec<Finding>,
    /// The target has the task's change, and the log does not say so yet.
    landed: Option<Unrecorded>,
}

impl From<&Envelope> for Cause {
    fn from(envelope: &Envelope) -> Self {
        Self {
            skill: envelope.skill.clone(),
            status: envelope.status,
            decision: envelope.decision,
            summary: envelope.summary.clone(),
            signals: envelope.signals.unwrap_or_default(),
            findings: envelope.findings.clone(),
            landed: None,
        }
    }
}

impl Cause {
    fn is_incident(&self) -> bool {
        !matches!(self.status, Status::Ok | Status::Partial)
            || self.decision == Some(Decision::ZeroStop)
    }

    /// The target has the change: its landing is to be finished, and the task stays where that is done.
    fn has_landed(&self) -> bool {
        let mut codes = self.findings.iter().map(|one| one.code.as_str());
        self.landed.is_some() || codes.any(|code| code == "LANDING_UNRECORDED")
    }

    fn worst(&self) -> Option<&Finding> {
        self.findings.iter().max_by_key(|finding| finding.severity)
    }
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    session.authorize(&[ToolClass::Write, ToolClass::Move])?;
    let mut cause = cause(session)?;
    if !cause.is_incident() {
        return Ok(Outcome::ok(
            format!("{} ended well; there is no incident", cause.skill),
            &none(&cause.summary),
        ));
    }
    cause.landed = landed(session);
    let data = brief::write(
        &cause,
        arguments.severity,
        session.policy()?,
        ids::fresh("INC", clock::now())?,
    );
    let mut outcome =
        Outcome::ok(format!("{}: {}", data.incident_id, data.headline), &data).hint(format!(
            "recovery {}: see .autodev_ssot/POLICY.md",
            data.recovery_refs.join(", ")
        ));
    outcome.decision = cause.decision;
    if session.is_plan() {
        return Ok(outcome.findings([plan_finding(
            "the report would be kept and the task moved to blocked",
        )]));
    }
    if session.has_task() {
        outcome = file(session, outcome, &cause, &data)?;
    }
    Ok(outcome)
}

/// The landing of the task that happened all the same; from here on nobody lands it either. A log or a
/// repository that cannot be asked is an incident itself, and keeps none from being written.
fn landed(session: &Session) -> Option<Unrecorded> {
    if !session.has_task() || session.task().ok()?.state() != State::Pr {
        return None;
    }
    if !session.is_plan() {
        session.merge_lock().ok()?;
    }
    session.unrecorded_landing().ok()?
}

fn none(summary: &str) -> IncidentBrief {
    IncidentBrief {
        incident_id: "INC-NONE".to_owned(),
        severity: IncidentSeverity::Sev3,
        headline: "no incident".to_owned(),
        impact: Some(summary.to_owned()),
        actions: Vec::new(),
        recovery_refs: Vec::new(),
        notify_template: None,
    }
}

fn cause(session: &Session) -> Result<Cause, Problem> {
    if let Some(upstream) = &session.upstream {
        return Ok(Cause::from(upstream));
    }
    let kept = session.task()?.envelopes()?;
    let last = kept
        .iter()
        .rev()
        .find(|kept| kept.envelope.skill != SKILL.envelope);
    last.map(|kept| Cause::from(&kept.envelope)).ok_or_else(|| {
        Problem::fail(
            "NOTHING_TO_EXPLAIN",
            "the task has no kept result that an incident could be about",
        )
        .hint("pipe the result that went wrong in")
    })
}

/// Keeps the report with the task and moves the task to blocked, unless somebody else holds it: a
/// lock conflict must not take the task away from its owner.
fn file(
    session: &Session,
    mut outcome: Outcome,
    cause: &Cause,
    data: &IncidentBrief,
) -> Result<Outcome, Problem> {
    if cause
        .findings
        .iter()
        .any(|finding| finding.code == "LOCK_CONFLICT")
    {
        return Ok(outcome);
    }
    let task = match session.task() {
        Ok(task) => task,
        // What cannot be found cannot be moved; the report itself still stands in the log.
        Err(problem) if matches!(problem.code.as_str(), "TASK_NOT_FOUND" | "TASK_ID_INVALID") => {
            return Ok(outcome);
        }
        Err(problem) => return Err(problem),
    };
    if task.state() == State::Done {
        // What is done stays as it is; the log holds the report.
        return Ok(outcome);
    }
    let text = brief::report(task.id().as_str(), cause, data);
    let artifact = task.write_next(
        ArtifactKind::IncidentReport,
        "incident/incident.md",
        text.as_bytes(),
    )?;
    outcome = outcome.artifacts([artifact]);
    if cause.has_landed() {
        let id = task.id().to_string();
        return Ok(outcome.hint(format!("finish the landing: baton run {id}")));
    }
    if task.state().may_move_to(State::Blocked) {
        outcome = outcome.transition(State::Blocked);
        outcome.unlock = true;
    }
    let id = task.id().to_string();
    Ok(outcome.hint(match &*cause.skill {
        // A task is never rewritten, so that it would break the same rule again.
        "intake-validate" => "correct the task and submit it under another id".to_owned(),
        _ => format!("once it is mended: baton retry {id}"),
    }))
}

/// The recovery entry for what happened, by the skill that reported it.
fn recovery_of(cause: &Cause, policy: &Policy) -> Vec<String> {
    let codes = |code: &str| cause.findings.iter().any(|finding| finding.code == code);
    let by_code = [
        ("LOCK_CONFLICT", "R1"),
        ("LOG_WRITE_FAILED", "R7"),
        ("LOG_BROKEN", "R7"),
        ("LOG_MISSING", "R7"),
        ("CHECKOUT_NOT_UPDATED", "R6"),
        ("LANDED_TREE_DIFFERS", "R6"),
    ];
    let mut refs: Vec<String> = by_code
        .into_iter()
        .filter(|(code, _)| codes(code))
        .map(|(_, reference)| reference.to_owned())
        .collect();
    let called = policy
        .recovery
        .iter()
        .filter(|recovery| recovery.called_by == cause.skill);
    refs.extend(called.map(|recovery| recovery.id.clone()));
    // A patch that is refused at the door is refused like one that the scan finds dangerous.
    if matches!(
        &*cause.skill,
        "decision-router" | "diff-risk-scan" | "patch-draft-request"
    ) {
        refs.push("R3".to_owned());
    }
    if cause
        .worst()
        .is_some_and(|finding| finding.severity == Severity::Critical)
        || refs.is_empty()
    {
        refs.push("R8".to_owned());
    }
    refs.sort();
    refs.dedup();
    refs
}
