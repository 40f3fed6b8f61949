//! `baton reject` and `baton revoke-approval`: a person's no to a candidate, and a yes taken back.

use std::time::Duration;

use baton_core::approval::Verdict;
use baton_core::audit::{Action, Draft};
use baton_core::envelope::ToolClass;
use baton_core::problem::Problem;
use baton_core::state::State;
use baton_core::store::Doer;
use clap::ArgMatches;
use serde_json::json;

use super::approve::{DEFAULT_LENGTH, draft, write};
use super::block::block;
use super::{Shared, named_task, reason, require_human};
use crate::reply::Reply;

/// Says no, for good: the same bytes are never asked for again.
pub(super) fn reject(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_human(&session, "rejecting")?;
    let task = session.task()?;
    if task.state() == State::Done {
        let why = format!("task {} is over, a denial would undo nothing", task.id());
        return Err(Problem::fail("STATE_RULE", why)
            .hint(format!("undo what it landed: baton rollback {}", task.id())));
    }
    let candidate = session.candidate()?;
    let all = vec![ToolClass::Pr, ToolClass::Merge];
    let length = matches.get_one::<Duration>("for").copied();
    let length = length.unwrap_or(DEFAULT_LENGTH);
    let approval = draft(&session, matches, &candidate, Verdict::Denied, all, length)?;
    write(&session, &candidate, &approval, None, None)?;
    // A denied task waits for nobody any more.
    let said = match &approval.reason {
        reason if reason.is_empty() => approval.approved_by.clone(),
        reason => format!("{}: {reason}", approval.approved_by),
    };
    let blocked = block(
        &session,
        ("a person denied the candidate", Some(&said)),
        Vec::new(),
        |_| Ok(()),
    )?;
    Ok(Reply::ok(json!({
        "command": "reject", "status": "OK", "task_id": candidate.task_id, "approval_id": approval.approval_id, "blocked": blocked,
    }))
    .line(format!("denied exactly this change (tree {}); the same bytes stay denied", candidate.tree))
    .line(format!("  ask for another with: baton retry {}", candidate.task_id)))
}

/// Takes back what was approved, for good; another approval can be given.
pub(super) fn revoke(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_human(&session, "withdrawing an approval")?;
    let task = session.task()?;
    let (id, state) = (task.id().to_string(), task.state());
    let candidate = task
        .candidate()?
        .ok_or_else(|| Problem::fail("CANDIDATE_MISSING", format!("task {id} has no candidate")))?;
    let store = session.store()?;
    let only = matches.get_one::<String>("approval");
    let given = store.approvals_for(&candidate)?.into_iter();
    let ids: Vec<_> = given
        .filter(|one| one.verdict == Verdict::Approved)
        .map(|one| one.approval_id)
        .filter(|one| only.is_none_or(|only| only == one))
        .collect();
    if ids.is_empty() {
        return Err(Problem::fail(
            "APPROVAL_MISSING",
            format!("task {id} has no such approval"),
        )
        .hint(format!("baton show {id}")));
    }
    let (by, reason) = (Doer::here(session.repository()?), reason(&session, matches));
    store.revoke_approvals(&candidate, &ids, || {
        // The branch may have moved, and the log not know it yet.
        session.check_not_landed("APPROVAL_USED")?;
        for approval in &ids {
            let mut draft = Draft::new(session.actor, Action::ApprovalRevoked, "baton")?
                .task(&id, Some(state), Some(state))
                .meta("approval_id", approval.clone())
                .meta("reason", reason.clone());
            for (key, text) in by.clone().meta() {
                draft = draft.meta(key, text);
            }
            draft.repo_ref.clone_from(&candidate.base);
            draft.inputs_sha256.clone_from(&candidate.patch_sha256);
            store.log()?.append(draft)?;
        }
        Ok(())
    })?;
    Ok(Reply::ok(json!({
        "command": "revoke-approval", "status": "OK", "task_id": id, "revoked": ids,
    }))
    .line(format!("withdrawn, for good: {}", ids.join(", ")))
    .line(format!(
        "  the change waits for another approval: baton approve {id}"
    )))
}
