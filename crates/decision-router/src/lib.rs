//! Decides what may happen to a candidate: AUTO_MERGE, PR_ONLY or ZERO_STOP.

use std::path::PathBuf;

use baton_core::audit::Action;
use baton_core::decision::{Facts, Verdict, decide};
use baton_core::driver::{Skill, Upstream, plan_finding};
use baton_core::envelope::{Artifact, Decision, Envelope, Finding, MAX_BYTES, Severity, ToolClass};
use baton_core::evidence::{self, Court};
use baton_core::outcome::Outcome;
use baton_core::outputs::{DecisionRouter, Next, to_map};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use clap::{ArgMatches, Args as _, FromArgMatches as _};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "decision-router",
    envelope: "decision-router",
    about: "Decide AUTO_MERGE, PR_ONLY or ZERO_STOP from the evidence of a candidate",
    examples: [
        "decision-router --task T-1",
        "decision-router --risk risk.json --gates gates.json --policy POLICY.json",
    ],
    classes: &[ToolClass::Read, ToolClass::Move],
    action: Action::DecisionMade,
    upstream: Upstream::Act,
    acts_under_stop: true,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |matches| {
        ["risk", "gates", "stop"]
            .iter()
            .any(|flag| matches.contains_id(flag))
    },
    run,
    refused: |refused| {
        to_map(&DecisionRouter {
            decision: Decision::ZeroStop,
            next: Next {
                skill: "incident-brief".to_owned(),
                note: Some(refused.problem.code.clone()),
            },
            reasoning: vec![refused.problem.to_string()],
        })
    },
};

#[derive(clap::Args)]
struct Arguments {
    /// Decide on this diff-risk-scan envelope, where there is no queue
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    risk: Option<PathBuf>,
    /// Decide on this gate-runner envelope, where there is no queue
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    gates: Option<PathBuf>,
    /// Take this stop-check envelope into account
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    stop: Option<PathBuf>,
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    if (SKILL.has_subject)(matches) {
        session.authorize(&[ToolClass::Read])?;
        return decide_on_files(session, &arguments);
    }
    session.authorize(&[ToolClass::Read, ToolClass::Move])?;
    decide_on_task(session)
}

fn decide_on_task(session: &Session) -> Result<Outcome, Problem> {
    let task = session.task()?;
    if !matches!(task.state(), State::Claimed | State::Work) {
        return Err(Problem::fail(
            "STATE_RULE",
            format!(
                "task {} is in {}, decisions are made in work",
                task.id(),
                task.state()
            ),
        )
        .hint(format!("baton show {}", task.id())));
    }
    let mut bound = Vec::new();
    if let Some(candidate) = task.candidate()? {
        session
            .check_not_denied(&candidate)
            .or_else(|problem| match problem.code.as_str() {
                "DENIED_DIGEST" => Err(problem),
                // Anything wrong with the approvals is a fact for the table.
                _ => Ok(()),
            })?;
        bound.push(task.candidate_artifact(&candidate)?);
    }
    let repository = session.repository()?;
    let store = session.store()?;
    let objects = store.objects(repository)?;
    let mut facts = Court {
        store,
        repository,
        objects: &objects,
        policy: session.policy()?,
    }
    .facts(task)?;
    if let Some(upstream) = &session.upstream {
        add_upstream(upstream, &mut facts);
    }
    facts.shadow |= session.is_shadow()?;
    let verdict = decide(session.policy()?, &facts);
    let mut outcome = answer(&verdict, task.id().as_str(), bound);
    if session.is_plan() {
        return Ok(outcome.findings([plan_finding("the task would move on")]));
    }
    let to = if verdict.decision == Decision::ZeroStop {
        State::Blocked
    } else {
        State::Pr
    };
    if task.state().may_move_to(to) {
        outcome = outcome.transition(to);
        outcome.unlock = true;
    }
    Ok(outcome)
}

/// What came down the pipe can only make it worse.
fn add_upstream(upstream: &Envelope, facts: &mut Facts) {
    use baton_core::envelope::Status;
    evidence::add_signals(&upstream.signals.unwrap_or_default(), facts);
    let summary = || {
        format!(
            "{} ended with {}: {}",
            upstream.skill, upstream.status, upstream.summary
        )
    };
    match upstream.status {
        Status::ZeroStop
            if upstream
                .signals
                .is_some_and(|signals| signals.stop_detected) =>
        {
            facts.stop.push(summary())
        }
        Status::ZeroStop | Status::Deny => facts.unbound.push(summary()),
        // A failed gate run is judged gate by gate, from its kept result.
        Status::Fail if upstream.skill != "gate-runner" => facts.unbound.push(summary()),
        Status::Ok | Status::Partial | Status::Fail => {}
    }
}

fn decide_on_files(session: &Session, arguments: &Arguments) -> Result<Outcome, Problem> {
    let read = |path: &Option<PathBuf>| match path {
        None => Ok(None),
        Some(path) => Envelope::parse(&session.read_named(path, MAX_BYTES)?).map(Some),
    };
    let (risk, gates, stop) = (
        read(&arguments.risk)?,
        read(&arguments.gates)?,
        read(&arguments.stop)?,
    );
    for (envelope, expected) in [
        (&risk, "diff-risk-scan"),
        (&gates, "gate-runner"),
        (&stop, "stop-check"),
    ] {
        if let Some(envelope) = envelope
            .as_ref()
            .filter(|envelope| envelope.skill != expected)
        {
            return Err(Problem::fail(
                "UPSTREAM_INVALID",
                format!(
                    "got an envelope of {}, expected one of {expected}",
                    envelope.skill
                ),
            ));
        }
    }
    let mut facts = evidence::facts_of_files(risk.as_ref(), gates.as_ref(), session.policy()?)?;
    for envelope in [&risk, &gates, &stop].into_iter().flatten() {
        evidence::add_signals(&envelope.signals.unwrap_or_default(), &mut facts);
    }
    if let Some(stop) = stop.filter(|stop| stop.status != baton_core::envelope::Status::Ok) {
        facts.stop.push(stop.summary);
    }
    if let Some(baton_core::store::Stop::Present(why)) =
        session.store_if_any()?.map(baton_core::store::Store::stop)
    {
        facts.stop.push(why);
    }
    facts.shadow |= session.is_shadow()?;
    Ok(answer(
        &decide(session.policy()?, &facts),
        "TASK",
        Vec::new(),
    ))
}

fn answer(verdict: &Verdict, task_id: &str, bound: Vec<Artifact>) -> Outcome {
    let (skill, note) = match verdict.decision {
        Decision::AutoMerge => ("pr-merge-orchestrator", "may land once approved"),
        Decision::PrOnly => ("pr-merge-orchestrator", "only as a branch for review"),
        Decision::ZeroStop | Decision::NotApplicable => ("incident-brief", "nothing may happen"),
    };
    let reasoning = verdict
        .matched
        .iter()
        .map(|matched| format!("{}: {}", matched.rule, matched.because))
        .collect();
    let data = DecisionRouter {
        decision: verdict.decision,
        next: Next {
            skill: skill.to_owned(),
            note: Some(note.to_owned()),
        },
        reasoning,
    };
    let rules: Vec<_> = verdict
        .matched
        .iter()
        .map(|matched| matched.rule.as_str())
        .collect();
    let summary = format!("{} by {}", verdict.would, rules.join(", "));
    let shadow = verdict.would != verdict.decision;
    let mut outcome = Outcome::ok(
        match shadow {
            true => format!("{} in shadow mode: it would be {summary}", verdict.decision),
            false => summary,
        },
        &data,
    )
    .findings(verdict.matched.iter().map(finding))
    .artifacts(bound)
    .meta("rules", rules.join(" "));
    if shadow {
        outcome = outcome
            .meta(evidence::SHADOW, "yes")
            .meta("would", verdict.would.to_string())
            .findings([Finding::new(
                Severity::Info,
                "SHADOW_MODE",
                format!(
                    "outside shadow mode this would be {}; nothing was stopped",
                    verdict.would
                ),
            )]);
    }
    outcome.decision = Some(verdict.decision);
    outcome.hint(match verdict.decision {
        Decision::ZeroStop | Decision::NotApplicable => {
            format!("see why: baton show {task_id}; once mended: baton retry {task_id}")
        }
        _ => format!("look and approve: baton show {task_id}; baton approve {task_id}"),
    })
}

fn finding(matched: &baton_core::decision::Matched) -> Finding {
    let severity = match matched.then {
        Decision::ZeroStop => Severity::Critical,
        Decision::PrOnly => Severity::Medium,
        Decision::AutoMerge | Decision::NotApplicable => Severity::Info,
    };
    Finding::new(severity, &matched.rule, matched.because.clone())
}
