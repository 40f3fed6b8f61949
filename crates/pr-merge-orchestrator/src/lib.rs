//! Plans how a decided candidate leaves the queue, and with an approval does it.
//!
//! A landing is: the merge lock, everything checked once more, a commit of exactly the candidate's
//! tree on exactly its base, one reference moved by compare-and-swap, what landed compared afterwards.

mod checkouts;
mod describe;
mod landing;
mod message;
mod review;
mod tool;

use baton_core::audit::Action;
use baton_core::candidate::Candidate;
use baton_core::decision::decide;
use baton_core::driver::{Refused, Skill, Upstream, plan_finding};
use baton_core::envelope::{ApprovalEntry, ApprovalState, Decision, Finding, Severity, ToolClass};
use baton_core::evidence::Court;
use baton_core::outcome::Outcome;
use baton_core::outputs::{LandingMode, PrMerge, to_map};
use baton_core::problem::Problem;
use baton_core::quorum::Purpose;
use baton_core::session::Session;
use baton_core::state::State;
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde_json::{Map, Value};

use crate::landing::{Landing, Standing};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "pr-merge-orchestrator",
    envelope: "pr-merge-orchestrator",
    about: "Plan the landing of a decided candidate, or land it with --execute",
    examples: [
        "pr-merge-orchestrator --task T-1",
        "pr-merge-orchestrator --task T-1 --execute",
    ],
    classes: &[ToolClass::Pr, ToolClass::Merge],
    action: Action::LandingPlanned,
    upstream: Upstream::PassOn,
    acts_under_stop: false,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |_| false,
    run,
    refused,
};

#[derive(clap::Args)]
struct Arguments {
    /// Do it: land on the target branch, or make the branch for review
    #[arg(long)]
    execute: bool,
}

fn refused(refused: &Refused<'_>) -> Map<String, Value> {
    to_map(&PrMerge {
        mode: LandingMode::PrOnly,
        plan: vec![format!("stopped: {}", refused.problem)],
        pr_url: None,
    })
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    let task = session.task()?;
    if task.state() != State::Pr {
        return Err(Problem::fail(
            "STATE_RULE",
            format!(
                "task {} is in {}, landing starts from pr",
                task.id(),
                task.state()
            ),
        )
        .hint(match task.state() {
            State::Done | State::Blocked => format!("baton show {}", task.id()),
            _ => format!("baton run {}", task.id()),
        }));
    }
    let acts = arguments.execute && !session.is_plan();
    if acts {
        session.check_acceptance()?;
    }
    if !session.is_plan() {
        hold(session)?;
    }
    let candidate = session.candidate()?;
    let (landing, standing) = stand(session, &candidate)?;
    let purpose = match standing {
        // What has landed is recorded, and nothing moves any more.
        Standing::Landed(_) => Purpose::Finish,
        _ => Purpose::Act,
    };
    let mut approvals = Vec::new();
    for class in landing.classes() {
        let approval = session.candidate_approval(&candidate, class, purpose)?;
        session.add_approval(approval.clone());
        approvals.push(approval);
    }
    if session.actor == baton_core::policy::Actor::Openclaw {
        // The floor, whatever the policy says.
        return Err(denied(ToolClass::Merge, "openclaw only proposes"));
    }
    let missing = approvals
        .iter()
        .find(|approval| approval.state != ApprovalState::Approved);
    let Some(approval) = missing.or(approvals.first()) else {
        return Err(Problem::fail("INTERNAL_ERROR", "a landing does nothing"));
    };
    if acts {
        // Of a host that nobody named it is said first, whoever approved what.
        review::may_leave(&landing)?;
        require(approval, approval.tool_class, task.id().as_str())?;
        return landing.execute(&standing, approval);
    }
    let mut outcome = plan(&landing, &standing, approval)?;
    outcome.artifacts.push(task.candidate_artifact(&candidate)?);
    if session.is_plan() {
        outcome = outcome.findings([plan_finding(match arguments.execute {
            true if missing.is_none() => "it would be done now",
            true => "it would be refused, as long as the approval is missing",
            false => "the plan would be recorded",
        })]);
    }
    Ok(outcome)
}

/// What has landed and was not recorded is recorded, whatever would be decided about it now. Anything else
/// is judged again.
fn stand<'a>(
    session: &'a Session,
    candidate: &'a Candidate,
) -> Result<(Landing<'a>, Standing), Problem> {
    let mut landing = Landing::new(session, candidate)?;
    if let Some(commit) = landing.already_landed()? {
        return Ok((landing, Standing::Landed(commit)));
    }
    landing.aim(checked_mode(session)?);
    let standing = landing.standing()?;
    Ok((landing, standing))
}

/// From here on nobody else lands, and nobody takes the task away while it is looked at.
fn hold(session: &Session) -> Result<(), Problem> {
    session.merge_lock()?;
    let id = session.task_id()?;
    match session.store()?.find(&id)? {
        Some(State::Pr) => Ok(()),
        _ => Err(landing::moved_on(id.as_str())),
    }
}

/// Judges the evidence again, now, and demands the decision that was recorded.
fn checked_mode(session: &Session) -> Result<LandingMode, Problem> {
    let task = session.task()?;
    let repository = session.repository()?;
    let store = session.store()?;
    let objects = store.objects(repository)?;
    let facts = Court {
        store,
        repository,
        objects: &objects,
        policy: session.policy()?,
    }
    .facts(task)?;
    let verdict = decide(session.policy()?, &facts);
    let recorded = task.recorded_decision()?;
    let reasons: Vec<_> = verdict
        .matched
        .iter()
        .map(|matched| format!("{}: {}", matched.rule, matched.because))
        .collect();
    match (verdict.decision, recorded) {
        (Decision::AutoMerge, Some(Decision::AutoMerge)) => Ok(LandingMode::AutoMerge),
        (Decision::PrOnly | Decision::AutoMerge, Some(Decision::PrOnly | Decision::AutoMerge)) => {
            Ok(LandingMode::PrOnly)
        }
        (Decision::ZeroStop, _) => {
            let findings = verdict.matched.iter().map(|matched| {
                Finding::new(Severity::Critical, &matched.rule, matched.because.clone())
            });
            Err(Problem::zero_stop(
                "DECISION_CHANGED",
                format!(
                    "checked again, the decision is ZERO_STOP: {}",
                    reasons.join("; ")
                ),
            )
            .hint(format!(
                "baton retry {}, and let it be gated and approved again",
                task.id()
            ))
            .with_findings(findings))
        }
        (now, then) => Err(Problem::fail(
            "DECISION_MISSING",
            format!("no decision that allows a landing: recorded {then:?}, now {now:?}"),
        )
        .hint(format!("baton retry {}", task.id()))),
    }
}

fn require(approval: &ApprovalEntry, class: ToolClass, id: &str) -> Result<(), Problem> {
    match approval.state {
        ApprovalState::Approved => Ok(()),
        ApprovalState::Denied => Err(denied(
            class,
            approval.note.as_deref().unwrap_or("the policy forbids it"),
        )),
        ApprovalState::Pending | ApprovalState::NotRequired => Err(Problem::deny(
            "APPROVAL_REQUIRED",
            format!(
                "{class} of task {id} waits: {}",
                approval
                    .note
                    .as_deref()
                    .unwrap_or("it needs an approval of this candidate")
            ),
        )
        .hint(format!(
            "look at it and approve: baton show {id}; baton approve {id}"
        ))),
    }
}

fn denied(class: ToolClass, why: &str) -> Problem {
    Problem::deny("APPROVAL_REQUIRED", format!("{class} is denied: {why}"))
        .hint("leave it to a person: baton run TASK")
}

/// What a landing would do, step by step.
fn steps(landing: &Landing<'_>, standing: &Standing, approval: &ApprovalEntry) -> Vec<String> {
    let (id, policy) = (&landing.candidate.task_id, landing.policy);
    let approved = approval.state == ApprovalState::Approved;
    let mut plan = vec![match (approved, &approval.approved_by) {
        (true, Some(by)) => format!("approved by {by}"),
        _ => format!("wait for an approval: baton approve {id}"),
    }];
    if let Standing::Moved(tip) = standing {
        plan.push(format!(
            "make it anew on {tip}, where {} is by now",
            policy.target
        ));
    }
    plan.push("check candidate, evidence, approval, STOP and base once more".to_owned());
    match landing.mode {
        LandingMode::AutoMerge => plan.extend([
            format!(
                "commit exactly the candidate's tree and move {} forward by compare-and-swap",
                policy.target
            ),
            "compare what landed with the candidate, then move the task to done".to_owned(),
        ]),
        LandingMode::PrOnly => {
            plan.push(format!(
                "commit exactly the candidate's tree as new branch {}",
                landing.branch
            ));
            if let Some(remote) = policy.remote.as_ref().filter(|_| policy.push) {
                plan.push(format!("push that branch to {remote}"));
            }
            if policy.forge.is_some() {
                plan.push("ask for a review of it".to_owned());
            }
            plan.push("people review and merge that branch; the task moves to done".to_owned());
        }
    }
    plan
}

fn plan(
    landing: &Landing<'_>,
    standing: &Standing,
    approval: &ApprovalEntry,
) -> Result<Outcome, Problem> {
    let id = &landing.candidate.task_id;
    let (mode, policy) = (landing.mode, landing.policy);
    let approved = approval.state == ApprovalState::Approved;
    let plan = steps(landing, standing, approval);
    let what = match (standing, mode) {
        (Standing::Landed(commit), _) => {
            format!(
                "be recorded as landed: {} has it as {commit}",
                landing.branch
            )
        }
        (_, LandingMode::AutoMerge) => format!("land on {}", policy.target),
        (_, LandingMode::PrOnly) => "become a branch for review".to_owned(),
    };
    let (summary, next) = if approved {
        (
            format!("{id} is approved and ready to {what}"),
            format!("baton run {id}"),
        )
    } else {
        (
            format!("{id} may {what} once approved"),
            format!("baton approve {id}, then baton run {id}"),
        )
    };
    let data = PrMerge {
        mode,
        plan,
        pr_url: None,
    };
    let mut outcome = Outcome::ok(summary, &data).hint(next);
    // Approvals that are there and not enough, or do not count, are worth a word.
    let note = approval.note.as_deref().filter(|_| !approved);
    if let Some(note) = note.filter(|note| note.contains("; ")) {
        outcome = outcome.hint(note);
    }
    let mut outcome = outcome.findings(landing.findings());
    if let Standing::Moved(tip) = standing {
        let message = format!("{} is at {tip} by now", policy.target);
        let finding = Finding::new(Severity::Info, "BASE_MOVED", message);
        outcome = outcome.findings([finding]);
    }
    outcome.decision = Some(decision(mode));
    Ok(outcome)
}

pub(crate) fn decision(mode: LandingMode) -> Decision {
    match mode {
        LandingMode::AutoMerge => Decision::AutoMerge,
        LandingMode::PrOnly => Decision::PrOnly,
    }
}
