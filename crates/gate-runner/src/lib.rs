//! G0 to G6 on a candidate, each with kept evidence.
//!
//! The built-in gates give verdicts that the change cannot write. The command gates run code of the
//! change, in a fresh tree each, and make claims; what walls them in is recorded as it was reached.

mod attempt;
mod attest;
mod builtin;
mod cache;
pub mod counts;
pub mod export;
mod job;
mod keep;
mod progress;
mod reports;
mod schedule;
mod subject;
mod tools;
mod walls;

use std::path::PathBuf;

use baton_core::audit::{Action, Draft};
use baton_core::clock;
use baton_core::driver::{Skill, Upstream, plan_finding};
use baton_core::envelope::{Artifact, Finding, Severity, Status, ToolClass};
use baton_core::evidence::manifest::set_unrecorded_aside;
use baton_core::outcome::Outcome;
use baton_core::outputs::{CheckStatus, GateResult, GateRunner, to_map};
use baton_core::policy::{Gate, GateKind, Isolation};
use baton_core::problem::Problem;
use baton_core::session::{Session, stop_problem};
use baton_core::store::Stop;
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde_json::{Map, Value};

use crate::cache::Cache;
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
    /// Run every gate, also where a result for the same tree, gate and tools is at hand
    #[arg(long)]
    no_cache: bool,
}

/// What one gate came to, and the evidence it left.
pub(crate) struct Ran {
    pub(crate) result: GateResult,
    pub(crate) artifacts: Vec<Artifact>,
    /// The gate was cut off by STOP.
    pub(crate) stopped: bool,
    /// The isolation that its command reached.
    pub(crate) isolation: Option<Isolation>,
    /// The digests of results that may be used again, for the log.
    pub(crate) results: Map<String, Value>,
    /// The number in its name.
    pub(crate) number: u32,
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
            isolation: None,
            results: Map::new(),
            number: schedule::number(gate),
        }
    }

    /// Passed, or not concerned by the change.
    fn counts_as_passed(&self) -> bool {
        self.result.status == CheckStatus::Pass || self.is_untouched()
    }

    fn is_untouched(&self) -> bool {
        let note = self.result.note.as_deref().unwrap_or_default();
        self.result.status == CheckStatus::Skip && note.starts_with("NOT_TOUCHED:")
    }

    /// Status and the word that says why, for people.
    pub(crate) fn headline(&self) -> String {
        let note = self.result.note.as_deref().unwrap_or_default();
        let why = note.split(' ').next().unwrap_or_default();
        match self.result.status {
            CheckStatus::Pass => "passed".to_owned(),
            CheckStatus::Fail => format!("failed ({why})"),
            CheckStatus::Skip => format!("was not run ({})", why.trim_end_matches(':')),
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
        set_unrecorded_aside(session.task()?)?;
        record_start(session, &subject)?;
    }
    let started = clock::now();
    let cache = match (&subject.task, arguments.no_cache) {
        (Some(_), false) => Cache::open(session)?,
        _ => Cache::off(),
    };
    let ran = schedule::run(session, &subject, &arguments.only, &cache)?;
    if ran.iter().any(|ran| ran.stopped) {
        let why = match session.store()?.stop() {
            Stop::Present(why) => why,
            Stop::Absent => "STOP appeared while a gate ran".to_owned(),
        };
        return Err(stop_problem(&why));
    }
    let over = attest::attest(session, &subject, &ran, started)?;
    Ok(outcome(session, &subject, ran)?.artifacts(over))
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
                keep::fingerprint(gate, &session_policy_sha(session))
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
        .all(|ran| ran.counts_as_passed() || !required(&ran.result.gate_id));
    let mut findings: Vec<Finding> = ran.iter().filter_map(|ran| finding(&ran.result)).collect();
    findings.extend(ran.iter().filter_map(weaker));
    let mut results = Map::new();
    for kept in ran.iter().map(|ran| &ran.results) {
        results.extend(kept.clone());
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
    outcome.meta.extend(Cache::meta(results));
    if !all_pass {
        outcome = outcome.hint("the evidence of each gate says why; a failed gate can still be decided on: decision-router");
    }
    Ok(outcome)
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
