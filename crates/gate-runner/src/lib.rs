//! G0 to G6 on a candidate, each with kept evidence.
//!
//! The built-in gates give verdicts that the change cannot write. The command gates run code of the
//! change, in a fresh tree each, and make claims; what walls them in is recorded as it was reached.

pub mod ahead;
mod answer;
mod attempt;
mod attest;
mod builtin;
mod cache;
pub mod counts;
mod ending;
pub mod export;
mod job;
mod keep;
mod places;
mod progress;
mod ran;
mod reports;
mod schedule;
mod subject;
mod tools;
mod walk;
mod walls;

use std::path::PathBuf;

use baton_core::audit::{Action, Draft};
use baton_core::clock;
use baton_core::driver::{Skill, Upstream, plan_finding};
use baton_core::envelope::ToolClass;
use baton_core::evidence::manifest::set_unrecorded_aside;
use baton_core::outcome::Outcome;
use baton_core::outputs::{GateRunner, to_map};
use baton_core::policy::{Gate, GateKind};
use baton_core::problem::Problem;
use baton_core::session::{Session, stop_problem};
use baton_core::store::Stop;
use clap::{ArgMatches, Args as _, FromArgMatches as _};

use crate::cache::Cache;
pub(crate) use crate::ran::Ran;
use crate::subject::Subject;
pub use crate::tools::program;

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
    /// Run only these gates; the others are SKIP, and the exit code is about these
    #[arg(long, value_name = "G1,G4", value_delimiter = ',')]
    only: Vec<String>,
    /// Say what each gate would run, and run nothing
    #[arg(long)]
    list: bool,
    /// Run every gate, also where a result for the same tree, gate and tools is at hand
    #[arg(long)]
    no_cache: bool,
    /// Write the results as JUnit XML into this new file too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write what was found as SARIF into this new file too
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    check_only(session, &arguments.only)?;
    session.authorize(&[ToolClass::Exec])?;
    if arguments.list {
        return list(session, None);
    }
    let base = arguments.base.as_deref();
    let (book, subject) = Subject::open(session, arguments.patch.as_deref(), base)?;
    if session.is_plan() {
        return Ok(list(session, Some(&subject))?
            .findings([plan_finding("these gates would be run on the candidate")]));
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
    let (ran, scan) = schedule::run(session, (&subject, &book), &arguments.only, &cache)?;
    export::write(&arguments.junit, || export::junit::of(&ran))?;
    export::write(&arguments.sarif, || export::sarif::of(&ran, &scan))?;
    if ran.iter().any(|ran| ran.stopped) {
        let why = match session.store()?.stop() {
            Stop::Present(why) => why,
            Stop::Absent => "STOP appeared while a gate ran".to_owned(),
        };
        return Err(stop_problem(&why));
    }
    let over = attest::attest(session, &subject, &ran, started)?;
    Ok(answer::outcome(session, &subject, ran, &arguments.only)?.artifacts(over))
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

/// What each gate would do, on the candidate where there is one, and runs nothing.
fn list(session: &Session, subject: Option<&Subject>) -> Result<Outcome, Problem> {
    let minimum = session.policy()?.isolation.minimum;
    let describe = |gate: &Gate| {
        let concerns = subject.is_none_or(|subject| gate.applies(&subject.changed) != Ok(false));
        let what = match (gate.kind, gate.argv.is_empty(), concerns) {
            (GateKind::Builtin, _, _) => "built in".to_owned(),
            (_, true, _) => "NOT_CONFIGURED: set its argv in POLICY.json".to_owned(),
            (_, _, false) => "NOT_TOUCHED: the change touches none of its paths".to_owned(),
            _ => format!(
                "would run: {} ({})",
                gate.argv.join(" "),
                conditions(gate, minimum.name())
            ),
        };
        Ran::skip(gate, what).result
    };
    let gates: Vec<_> = session.policy()?.gates.iter().map(describe).collect();
    for gate in &gates {
        let note = gate.note.as_deref().unwrap_or_default();
        session.tell(&format!("{:<4} {note}", gate.gate_id));
    }
    Ok(Outcome::ok(
        format!("{} gates; nothing was run", gates.len()),
        &GateRunner {
            all_pass: false,
            gates,
        },
    ))
}

/// Under what a command runs, in words.
fn conditions(gate: &Gate, minimum: &str) -> String {
    let mut words = vec![
        format!("in {}", gate.cwd),
        format!("at most {} s", gate.timeout_seconds),
        format!("isolation {minimum} or more"),
    ];
    for (what, list) in [
        ("after", &gate.needs),
        ("only for", &gate.paths),
        ("also with the base's", &gate.protected_base),
        ("reads", &gate.read_only),
        ("borrows", &gate.borrow),
        ("reports in", &gate.reports),
    ] {
        if !list.is_empty() {
            words.push(format!("{what} {}", list.join(" ")));
        }
    }
    words.join("; ")
}

/// The log names the run before any code of the change starts.
fn record_start(session: &Session, subject: &Subject) -> Result<(), Problem> {
    let task = session.task()?;
    let mut draft = Draft::new(session.actor, Action::GatesStarted, SKILL.envelope)?
        .task(task.id().as_str(), Some(task.state()), Some(task.state()))
        .meta("commands", session.policy()?.gate_fingerprints())
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
