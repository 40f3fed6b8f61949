//! G0 to G6 on a candidate, each with kept evidence.
//!
//! The built-in gates give verdicts that the change cannot write. The command gates run code of the
//! change, in a fresh tree each, and make claims; what walls them in is recorded as it was reached.

mod builtin;
mod command;
pub mod counts;
mod evidence;
pub mod export;
mod subject;

use std::path::PathBuf;

use baton_core::audit::{Action, Draft};
use baton_core::driver::{Skill, Upstream, plan_finding};
use baton_core::envelope::{Artifact, Finding, Severity, Status, ToolClass};
use baton_core::outcome::Outcome;
use baton_core::outputs::{CheckStatus, GateResult, GateRunner, to_map};
use baton_core::policy::{Gate, GateKind};
use baton_core::problem::Problem;
use baton_core::session::{Session, stop_problem};
use baton_core::store::Stop;
use baton_risk::RuleBook;
use clap::{ArgMatches, Args as _, FromArgMatches as _};

use crate::subject::Subject;

/// The skill.
pub const SKILL: Skill = Skill {
    name: "gate-runner",
    envelope: "gate-runner",
    about: "Run the gates G0 to G6 on a candidate and keep the evidence",
    examples: [
        "gate-runner --task T-1",
        "git diff --binary origin/main | gate-runner --patch - --base origin/main --only G1,G2,G3",
    ],
    classes: &[ToolClass::Exec],
    action: Action::GatesFinished,
    upstream: Upstream::PassOn,
    acts_under_stop: false,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |matches| matches.contains_id("patch") || matches.get_flag("list"),
    run,
    refused: |_| {
        to_map(&GateRunner {
            all_pass: false,
            gates: Vec::new(),
        })
    },
};

#[derive(clap::Args)]
struct Arguments {
    /// Run the gates on this patch, without a queue; - is standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "task")]
    patch: Option<PathBuf>,
    /// Apply the patch to this revision
    #[arg(
        long,
        value_name = "REV",
        requires = "patch",
        default_value_if("patch", clap::builder::ArgPredicate::IsPresent, "HEAD")
    )]
    base: Option<String>,
    /// Run only these gates; the others are SKIP
    #[arg(long, value_name = "G1,G4", value_delimiter = ',')]
    only: Vec<String>,
    /// Say what each gate would run, and run nothing
    #[arg(long)]
    list: bool,
}

/// What one gate came to, and the evidence it left.
pub(crate) struct Ran {
    pub(crate) result: GateResult,
    pub(crate) artifacts: Vec<Artifact>,
    /// The gate was cut off by STOP.
    pub(crate) stopped: bool,
}

impl Ran {
    pub(crate) fn skip(gate: &Gate, note: impl Into<String>) -> Self {
        Self::new(gate, CheckStatus::Skip, note)
    }

    pub(crate) fn new(gate: &Gate, status: CheckStatus, note: impl Into<String>) -> Self {
        let note = note.into();
        let result = GateResult {
            gate_id: gate.id.clone(),
            status,
            evidence_paths: Vec::new(),
            note: Some(note),
        };
        Self {
            result,
            artifacts: Vec::new(),
            stopped: false,
        }
    }
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    check_only(session, &arguments.only)?;
    session.authorize(&[ToolClass::Exec])?;
    if arguments.list {
        return list(session);
    }
    let subject = Subject::open(
        session,
        arguments.patch.as_deref(),
        arguments.base.as_deref(),
    )?;
    if session.is_plan() {
        return Ok(
            list(session)?.findings([plan_finding("these gates would be run on the candidate")])
        );
    }
    if subject.task.is_some() {
        record_start(session, &subject)?;
    }
    let ran = run_all(session, &subject, &arguments.only)?;
    if ran.iter().any(|ran| ran.stopped) {
        let why = match session.store()?.stop() {
            Stop::Present(why) => why,
            Stop::Absent => "STOP appeared while a gate ran".to_owned(),
        };
        return Err(stop_problem(&why));
    }
    outcome(session, &subject, ran)
}

fn check_only(session: &Session, only: &[String]) -> Result<(), Problem> {
    let known = &session.policy()?.gates;
    match only
        .iter()
        .find(|id| !known.iter().any(|gate| gate.id == **id))
    {
        Some(unknown) => Err(Problem::usage(format!(
            "no gate is called \"{}\"; gate-runner --list shows them",
            unknown.escape_debug()
        ))),
        None => Ok(()),
    }
}

fn list(session: &Session) -> Result<Outcome, Problem> {
    let describe = |gate: &Gate| {
        let what = match (gate.kind, gate.argv.is_empty()) {
            (GateKind::Builtin, _) => "built in".to_owned(),
            (GateKind::Command, true) => "NOT_CONFIGURED: set its argv in POLICY.json".to_owned(),
            (GateKind::Command, false) => format!("would run: {}", gate.argv.join(" ")),
        };
        Ran::skip(gate, what).result
    };
    let gates: Vec<_> = session.policy()?.gates.iter().map(describe).collect();
    Ok(Outcome::ok(
        format!("{} gates; nothing was run", gates.len()),
        &GateRunner {
            all_pass: false,
            gates,
        },
    ))
}

/// The log names the run before any code of the change starts.
fn record_start(session: &Session, subject: &Subject) -> Result<(), Problem> {
    let task = session.task()?;
    let gates = &session.policy()?.gates;
    let fingerprints: Vec<_> = gates
        .iter()
        .filter(|gate| gate.is_command())
        .map(|gate| {
            format!(
                "{}={}",
                gate.id,
                evidence::fingerprint(gate, &session_policy_sha(session))
            )
        })
        .collect();
    let mut draft = Draft::new(session.actor, Action::GatesStarted, SKILL.envelope)?
        .task(task.id().as_str(), Some(task.state()), Some(task.state()))
        .meta("commands", fingerprints.join(" "))
        .meta("tree", subject.tree.to_string());
    draft.repo_ref = subject.base.to_string();
    draft.inputs_sha256.clone_from(&subject.patch_sha256);
    session.store()?.log()?.append(draft).map(drop)
}

pub(crate) fn session_policy_sha(session: &Session) -> String {
    session
        .policy()
        .map(|policy| policy.sha256.clone())
        .unwrap_or_default()
}

/// Runs the gates in order. When one of G0 to G3 fails, code of the change is not run at all.
fn run_all(session: &Session, subject: &Subject, only: &[String]) -> Result<Vec<Ran>, Problem> {
    let mut gates: Vec<&Gate> = session.policy()?.gates.iter().collect();
    gates.sort_by(|a, b| a.id.cmp(&b.id));
    let book = RuleBook::of_session(session)?;
    let scan = subject.scan(session, &book)?;
    let mut done: Vec<Ran> = Vec::with_capacity(gates.len());
    for gate in gates {
        let failed_before = done
            .iter()
            .any(|ran| ran.result.status == CheckStatus::Fail);
        // Asked before every gate: code of the change must not start once STOP is on.
        let stopped = session
            .store_if_any()?
            .is_some_and(|store| store.stop().is_present());
        let ran = if stopped || done.iter().any(|ran| ran.stopped) {
            Ran {
                stopped: true,
                ..Ran::skip(gate, "STOP_PRESENT")
            }
        } else if !only.is_empty() && !only.contains(&gate.id) {
            Ran::skip(gate, "NOT_SELECTED")
        } else if gate.is_command()
            && failed_before
            && done.iter().any(|ran| {
                ran.result.status == CheckStatus::Fail && ran.result.gate_id.as_str() < "G4"
            })
        {
            Ran::skip(
                gate,
                "DEPENDENCY_FAILED: a gate before it failed, so code of the change is not run",
            )
        } else if gate.is_command() {
            session.tell(&format!("gate-runner: {} {}", gate.id, gate.argv.join(" ")));
            command::run(session, subject, gate, &book)?
        } else {
            builtin::run(session, subject, gate, (&book, &scan), &done)?
        };
        done.push(ran);
    }
    Ok(done)
}

fn outcome(session: &Session, subject: &Subject, ran: Vec<Ran>) -> Result<Outcome, Problem> {
    let policy = session.policy()?;
    let required = |id: &str| {
        policy
            .gates
            .iter()
            .any(|gate| gate.id == id && gate.required)
    };
    let all_pass = ran
        .iter()
        .all(|ran| ran.result.status == CheckStatus::Pass || !required(&ran.result.gate_id));
    let mut findings: Vec<Finding> = ran.iter().filter_map(|ran| finding(&ran.result)).collect();
    if ran.iter().any(|ran| {
        ran.result
            .note
            .as_deref()
            .is_some_and(|note| note.contains("isolation=I1"))
    }) {
        findings.push(Finding::new(
            Severity::Info,
            "ISOLATION_I1",
            "commands ran with bounded time, output and environment and without a boundary: what they claim can be written by the change",
        ));
    }
    let mut artifacts = vec![subject.name(session)?];
    artifacts.extend(ran.iter().flat_map(|ran| ran.artifacts.clone()));
    let gates: Vec<_> = ran.into_iter().map(|ran| ran.result).collect();
    let summary = summary(&gates);
    let status = if all_pass { Status::Ok } else { Status::Fail };
    let mut outcome = Outcome::new(status, summary, &GateRunner { all_pass, gates })
        .findings(findings)
        .artifacts(artifacts);
    outcome.inputs_sha256 = Some(subject.patch_sha256.clone());
    if !all_pass {
        outcome = outcome.hint("the evidence of each gate says why; a failed gate can still be decided on: decision-router");
    }
    Ok(outcome)
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
