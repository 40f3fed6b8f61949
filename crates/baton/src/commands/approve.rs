//! `baton approve` and `baton reject`: a person's yes or no to exactly one candidate.

use std::time::Duration;

use baton_core::approval::{Approval, Verdict, Way};
use baton_core::audit::{Action, Draft};
use baton_core::candidate::{self, Candidate};
use baton_core::clock;
use baton_core::envelope::{Decision, ToolClass};
use baton_core::ids;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::task::TaskId;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::{Shared, named_task, operator, require_human, show, task_argument};
use crate::reply::Reply;

/// How long an approval counts unless --for says otherwise.
const DEFAULT_LENGTH: Duration = Duration::from_secs(24 * 3600);

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    command
        .arg(task_argument())
        .arg(
            Arg::new("reason")
                .long("reason")
                .value_name("TEXT")
                .default_value("")
                .help("Say why"),
        )
        .arg(
            Arg::new("for")
                .long("for")
                .value_name("DUR")
                .value_parser(clock::parse_duration)
                .help("Let it count this long (default: 24h)"),
        )
}

/// Says yes.
pub(super) fn approve(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_human(&session, "approving")?;
    session.check_stop()?;
    let (candidate, decision) = decided(&session)?;
    let landing = &session.policy()?.landing;
    let mut classes = match decision {
        // What may land may also become a branch for review, should it conflict by then.
        Decision::AutoMerge => vec![ToolClass::Merge, ToolClass::Pr],
        _ => vec![ToolClass::Pr],
    };
    let mut allowed = classes.first().map_or(String::new(), ToString::to_string);
    if let Some(remote) = landing.remote.as_ref().filter(|_| landing.push) {
        classes.push(ToolClass::External);
        allowed = format!("{allowed} (a branch for review is pushed to {remote})");
    }
    session.check_not_denied(&candidate)?;
    check_candidate(&session, &candidate)?;
    let mut lines = show::change(&session, &candidate)?;
    lines.extend(in_shadow(&session)?);
    let approval = write(&session, matches, &candidate, Verdict::Approved, classes)?;
    let mut reply = Reply::ok(json!({
        "command": "approve", "status": "OK", "task_id": candidate.task_id, "approval_id": approval.approval_id,
        "tool_classes": approval.tool_classes, "tree": candidate.tree, "until": approval.until,
    }));
    reply.text = lines;
    Ok(reply
        .line(format!(
            "approved {allowed} of exactly this change (tree {}) until {}",
            candidate.tree, approval.until
        ))
        .line(format!("  go on with: baton run {}", candidate.task_id)))
}

/// Says no, for good: the same bytes are never asked for again.
pub(super) fn reject(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_human(&session, "rejecting")?;
    let candidate = session.candidate()?;
    let all = vec![ToolClass::Pr, ToolClass::Merge];
    let approval = write(&session, matches, &candidate, Verdict::Denied, all)?;
    let blocked = block(&session)?;
    Ok(Reply::ok(json!({
        "command": "reject", "status": "OK", "task_id": candidate.task_id, "approval_id": approval.approval_id, "blocked": blocked,
    }))
    .line(format!("denied exactly this change (tree {}); the same bytes stay denied", candidate.tree))
    .line(format!("  ask for another with: baton retry {}", candidate.task_id)))
}

/// What shadow mode kept from stopping the change: the one who approves has to know.
fn in_shadow(session: &Session) -> Result<Vec<String>, Problem> {
    let kept = session.task()?.envelopes()?;
    let mut decisions = kept.iter().rev().map(|kept| &kept.envelope);
    let Some(last) = decisions.find(|envelope| envelope.skill == "decision-router") else {
        return Ok(Vec::new());
    };
    let is_shadow = last
        .findings
        .iter()
        .any(|finding| finding.code == "SHADOW_MODE");
    let findings = last.findings.iter().filter(|_| is_shadow);
    Ok(findings
        .map(|finding| format!("SHADOW MODE: {}", finding.message))
        .collect())
}

/// The candidate and what was decided on it; only a decided candidate can be approved.
fn decided(session: &Session) -> Result<(Candidate, Decision), Problem> {
    let task = session.task()?;
    if task.state() != State::Pr {
        return Err(Problem::fail(
            "STATE_RULE",
            format!(
                "task {} is in {}, approvals are given in pr",
                task.id(),
                task.state()
            ),
        )
        .hint(format!("baton show {}", task.id())));
    }
    let candidate = session.candidate()?;
    let decision = task.recorded_decision()?;
    match decision {
        Some(decision @ (Decision::AutoMerge | Decision::PrOnly)) => Ok((candidate, decision)),
        _ => Err(Problem::fail(
            "DECISION_MISSING",
            format!("task {} has no decision that could be approved", task.id()),
        )
        .hint(format!("baton run {}", task.id()))),
    }
}

/// What is shown must be what is approved: everything is derived again first.
fn check_candidate(session: &Session, candidate: &Candidate) -> Result<(), Problem> {
    let repository = session.repository()?;
    let objects = session.store()?.objects(repository)?;
    let patch = session.task()?.patch()?;
    candidate::verify(
        repository,
        &objects,
        candidate,
        &patch,
        &candidate::limits(session.policy()?),
    )
    .map(drop)
}

fn write(
    session: &Session,
    matches: &ArgMatches,
    candidate: &Candidate,
    verdict: Verdict,
    tool_classes: Vec<ToolClass>,
) -> Result<Approval, Problem> {
    let now = clock::now();
    let length = matches
        .get_one::<Duration>("for")
        .copied()
        .unwrap_or(DEFAULT_LENGTH);
    let approval = Approval {
        schema_version: "1.0.0".to_owned(),
        approval_id: ids::fresh("APR", now)?,
        verdict,
        task_id: TaskId::parse(&candidate.task_id)?,
        tool_classes,
        base: candidate.base.clone(),
        tree: candidate.tree.clone(),
        patch_sha256: candidate.patch_sha256.clone(),
        approved_by: operator(session)?,
        approved_at: clock::rfc3339(now),
        until: clock::rfc3339(now + length),
        way: Way::Cli,
        reason: matches
            .get_one::<String>("reason")
            .cloned()
            .unwrap_or_default(),
        carried_from: None,
    };
    let action = match verdict {
        Verdict::Approved => Action::ApprovalGranted,
        Verdict::Denied => Action::ApprovalDenied,
    };
    let store = session.store()?;
    store.write_approval(&approval, |sha256| {
        let mut draft = Draft::new(session.actor, action, "baton")?
            .task(
                &candidate.task_id,
                Some(session.task()?.state()),
                Some(session.task()?.state()),
            )
            .meta("approval_id", approval.approval_id.clone())
            .meta("approved_by", approval.approved_by.clone())
            .meta("until", approval.until.clone());
        draft.repo_ref.clone_from(&candidate.base);
        draft.inputs_sha256.clone_from(&candidate.patch_sha256);
        sha256.clone_into(&mut draft.outputs_sha256);
        store.log()?.append(draft)
    })?;
    Ok(approval)
}

/// A denied task waits for nobody any more.
fn block(session: &Session) -> Result<bool, Problem> {
    let store = session.store()?;
    // A landing that is under way ends first.
    session.merge_lock()?;
    let mut task = store.task(&session.task_id()?)?;
    let from = task.state();
    if !from.may_move_to(State::Blocked) {
        return Ok(false);
    }
    let fence = task.lease()?.map(|lease| lease.fence);
    let draft = Draft::new(session.actor, Action::TaskBlocked, "baton")?
        .task(task.id().as_str(), Some(from), Some(State::Blocked))
        .meta("reason", "a person denied the candidate");
    store.log()?.append(draft)?;
    store.transition(&mut task, State::Blocked, fence)?;
    store.unlock(&task)?;
    Ok(true)
}
