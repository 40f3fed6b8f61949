//! Records a result or an event in the append-only log; a result that is recorded already is
//! checked against the log instead.

use std::path::PathBuf;

use baton_core::audit::{self, Action, Level};
use baton_core::driver::{Skill, Upstream, plan_finding};
use baton_core::envelope::{Artifact, Envelope, Finding, MAX_BYTES, Severity, ToolClass};
use baton_core::outcome::Outcome;
use baton_core::outputs::{AuditAppend, to_map};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::{digest, wire};
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "audit-append",
    envelope: "audit-append",
    about: "Record a result in the audit log, or check that it is recorded",
    examples: [
        "gate-runner --task T-1 | audit-append",
        "audit-append --event note.json",
    ],
    classes: &[ToolClass::Write],
    action: Action::EnvelopeRecorded,
    upstream: Upstream::Act,
    acts_under_stop: true,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |matches| matches.contains_id("event") || matches.contains_id("envelope"),
    run,
    refused: |_| {
        to_map(&AuditAppend {
            appended: false,
            audit_path: audit::path(),
            record_digest: None,
        })
    },
};

#[derive(clap::Args)]
struct Arguments {
    /// Record this event: a JSON object with message, level and meta
    #[arg(long, value_name = "FILE", conflicts_with = "envelope")]
    event: Option<PathBuf>,
    /// Record this envelope
    #[arg(long, value_name = "FILE")]
    envelope: Option<PathBuf>,
}

/// What a caller may say in an event of its own. The log adds who, when and where; what happened to
/// tasks is for the skills to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    #[serde(deserialize_with = "wire::non_empty")]
    message: String,
    #[serde(default = "info")]
    level: Level,
    #[serde(default)]
    meta: Map<String, Value>,
}

fn info() -> Level {
    Level::Info
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    session.authorize(&[ToolClass::Write])?;
    if let Some(path) = &arguments.event {
        return record_event(session, &session.read_named(path, audit::MAX_LINE)?);
    }
    let given = match &arguments.envelope {
        Some(path) => Some(Envelope::parse(&session.read_named(path, MAX_BYTES)?)?),
        None => session.upstream.clone(),
    };
    let Some(envelope) = given else {
        return Err(Problem::usage(
            "nothing to record: pipe an envelope in, or pass --envelope FILE or --event FILE",
        ));
    };
    match envelope.receipt().cloned() {
        Some(receipt) => check(session, &envelope, &receipt),
        None => record_envelope(session, &envelope),
    }
}

/// What is said of something that is recorded, or would be.
fn said(session: &Session, what: &str) -> (String, Option<Finding>) {
    match session.is_plan() {
        false => (format!("recorded {what}"), None),
        true => {
            let plan = plan_finding("it would stand in the log as its next line");
            (format!("would record {what}"), Some(plan))
        }
    }
}

/// Takes an envelope into the log: the driver's own line for this run carries its digest.
fn record_envelope(session: &Session, envelope: &Envelope) -> Result<Outcome, Problem> {
    let digest = envelope.payload_sha256();
    let data = AuditAppend {
        appended: !session.is_plan(),
        audit_path: audit::path(),
        record_digest: Some(format!("sha256:{digest}")),
    };
    let (said, plan) = said(session, &format!("the result of {}", envelope.skill));
    let mut outcome = Outcome::ok(said, &data)
        .findings(plan)
        .action(Action::EnvelopeRecorded)
        .meta("recorded_skill", envelope.skill.clone())
        .meta("recorded_event_id", envelope.audit.event_id.clone())
        .meta(
            "recorded_status",
            serde_json::to_value(envelope.status).unwrap_or_default(),
        )
        .meta("recorded_sha256", digest.clone());
    outcome.inputs_sha256 = Some(digest);
    Ok(outcome)
}

fn record_event(session: &Session, bytes: &[u8]) -> Result<Outcome, Problem> {
    let note: Note = wire::parse(bytes, audit::MAX_LINE, "event", "EVENT_INVALID")?;
    let digest = digest::sha256(bytes);
    let data = AuditAppend {
        appended: !session.is_plan(),
        audit_path: audit::path(),
        record_digest: Some(format!("sha256:{digest}")),
    };
    let (said, plan) = said(session, "an event");
    let mut outcome = Outcome::ok(said, &data)
        .findings(plan)
        .action(Action::EventRecorded)
        .meta("message", note.message)
        .meta(
            "level",
            serde_json::to_value(note.level).unwrap_or_default(),
        )
        .meta("event", note.meta);
    outcome.inputs_sha256 = Some(digest);
    Ok(outcome)
}

/// Finds the line that the receipt names and compares: line digest, event, and what the envelope
/// says. Nothing is added.
fn check(session: &Session, envelope: &Envelope, receipt: &Artifact) -> Result<Outcome, Problem> {
    let seq = receipt
        .note_value("seq")
        .and_then(|seq| seq.parse::<u64>().ok());
    let log = session.store()?.log()?;
    let found = seq.map(|seq| log.line(seq)).transpose()?.flatten();
    let mismatch = |what: String| {
        Problem::zero_stop(
            "RECEIPT_MISMATCH",
            format!("the receipt of {} does not hold: {what}", envelope.skill),
        )
        .hint("the envelope or the log was changed; compare with: baton audit verify")
    };
    let Some((event, line)) = found else {
        return Err(mismatch(format!(
            "the log has no line {}",
            receipt.note_value("seq").unwrap_or("(none named)")
        )));
    };
    if receipt.note_value("sha256") != Some(line.sha256.as_str()) {
        return Err(mismatch(format!(
            "line {} hashes to {}",
            line.seq, line.sha256
        )));
    }
    if line.event_id != envelope.audit.event_id {
        return Err(mismatch(format!(
            "line {} is event {}",
            line.seq, line.event_id
        )));
    }
    if event.outputs_sha256 != envelope.payload_sha256() {
        return Err(mismatch(
            "the envelope is not the one that was recorded".to_owned(),
        ));
    }
    let data = AuditAppend {
        appended: false,
        audit_path: audit::path(),
        record_digest: Some(format!("sha256:{}", line.sha256)),
    };
    let mut outcome = Outcome::ok(
        format!(
            "the result of {} stands in the log as line {}",
            envelope.skill, line.seq
        ),
        &data,
    )
    .findings([Finding::new(
        Severity::Info,
        "RECEIPT_VERIFIED",
        format!("line {} holds this result", line.seq),
    )]);
    outcome.verified_only = true;
    outcome.decision = envelope.decision;
    Ok(outcome)
}
