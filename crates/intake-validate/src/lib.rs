//! S2: stops a task that breaks a rule before any work goes into it.

mod checks;

use std::path::PathBuf;

use baton_core::audit::Action;
use baton_core::driver::{Refused, Skill, Upstream, plan_finding};
use baton_core::envelope::{Finding, Severity, Signals, Status, ToolClass};
use baton_core::evidence::SHADOW;
use baton_core::outcome::Outcome;
use baton_core::outputs::{CheckStatus, IntakeValidate, to_map};
use baton_core::problem::Problem;
use baton_core::session::{Session, wrong_state};
use baton_core::state::State;
use baton_core::{digest, task};
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde_json::{Map, Value};

use crate::checks::Checked;

/// The skill.
pub const SKILL: Skill = Skill {
    name: "intake-validate",
    envelope: "intake-validate",
    about: "Check a task's form, paths, base and limits before work starts",
    examples: [
        "claim-lock --next | intake-validate",
        "intake-validate --file task.json",
    ],
    classes: &[ToolClass::Read, ToolClass::Move],
    action: Action::TaskValidated,
    upstream: Upstream::PassOn,
    acts_under_stop: false,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |matches| matches.contains_id("file"),
    run,
    refused,
};

#[derive(clap::Args)]
struct Arguments {
    /// Check this task file and touch no queue; - is standard input
    #[arg(long, value_name = "task.json", conflicts_with = "task")]
    file: Option<PathBuf>,
}

fn refused(refused: &Refused<'_>) -> Map<String, Value> {
    to_map(&IntakeValidate {
        is_valid: false,
        checks: Vec::new(),
        blocked_reason_codes: vec![refused.problem.code.clone()],
    })
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    if let Some(path) = &arguments.file {
        session.authorize(&[ToolClass::Read])?;
        let bytes = session.read_named(path, task::MAX_BYTES)?;
        return Ok(outcome(&checks::all(session, &bytes, None)?, &bytes));
    }
    session.authorize(&[ToolClass::Read, ToolClass::Move])?;
    let task = session.task()?;
    if !matches!(task.state(), State::Claimed | State::Work) {
        let expected = "it is checked once it is claimed";
        return Err(wrong_state(task.id(), task.state(), expected));
    }
    let bytes = session.store()?.asked_bytes(task)?;
    let mut outcome = outcome(&checks::all(session, &bytes, Some(task.id()))?, &bytes);
    if session.is_plan() {
        return Ok(outcome.findings([plan_finding("a valid task would move to work")]));
    }
    if outcome.status == Status::Ok && task.state() == State::Claimed {
        outcome = outcome.transition(State::Work);
    }
    Ok(outcome)
}

fn outcome(checked: &Checked, bytes: &[u8]) -> Outcome {
    let failed: Vec<_> = checked
        .checks
        .iter()
        .filter(|check| check.status == CheckStatus::Fail)
        .collect();
    let data = IntakeValidate {
        is_valid: failed.is_empty(),
        checks: checked.checks.clone(),
        blocked_reason_codes: checked.reason_codes(),
    };
    let (status, summary) = match failed.first() {
        None => (
            Status::Ok,
            format!("the task is valid: {} checks", checked.checks.len()),
        ),
        Some(first) => (
            Status::Fail,
            format!(
                "{} failed: {}",
                first.check_id,
                first.note.as_deref().unwrap_or("see the checks")
            ),
        ),
    };
    let findings = failed.iter().map(|check| {
        Finding::new(
            Severity::High,
            &check.check_id,
            check.note.clone().unwrap_or_default(),
        )
    });
    let mut outcome = Outcome::new(status, summary, &data).findings(findings);
    if checked.is_spared {
        outcome = outcome.meta(SHADOW, "yes");
    }
    outcome.inputs_sha256 = Some(digest::sha256(bytes));
    let has_failed = |id: &str| failed.iter().any(|check| check.check_id == id);
    outcome.signals = Some(Signals {
        allowlist_violation: has_failed("ALLOWLIST") || has_failed("DENY_PATHS"),
        protected_zone_touched: Some(has_failed("PROTECTED_ZONE")),
        ..Signals::default()
    });
    if status == Status::Fail {
        outcome =
            outcome.hint("correct the task and submit it again; baton show TASK lists every check");
    }
    outcome
}
