//! A change is made anew on a target that moved: the attempt is set aside, and what it changed is
//! taken over to the new head, for scan, gates and decision to look at again.

use baton_core::approval::Approval;
use baton_core::audit::{Action, Draft, Event};
use baton_core::candidate::{Candidate, Match};
use baton_core::digest;
use baton_core::envelope::{Decision, ToolClass};
use baton_core::evidence::Court;
use baton_core::git::{Merged, Oid};
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;

use super::retry;

/// What an attempt that was set aside comes to on the target as it is now.
pub(super) struct Again {
    /// For patch-draft.
    pub(super) patch: Vec<u8>,
    /// Who proposed it.
    pub(super) actor: Actor,
    /// How near the proposer's text was to it.
    pub(super) matched: Match,
}

/// Sets the attempt aside, so that the task is claimed again and its change made anew.
pub(super) fn begin(session: &Session) -> Result<(), Problem> {
    session.check_stop()?;
    session.authorize(&[ToolClass::Move])?;
    session.merge_lock()?;
    let mut task = session.store()?.task(&session.task_id()?)?;
    let candidate = task.candidate()?.ok_or_else(|| {
        Problem::fail(
            "CANDIDATE_MISSING",
            format!("task {} has no candidate", task.id()),
        )
    })?;
    if task.state() != State::Pr {
        return Err(Problem::fail(
            "STATE_RULE",
            format!("task {} is in {} by now", task.id(), task.state()),
        ));
    }
    retry::put_back(session, &mut task, Action::TaskRebased, |mut draft| {
        draft.repo_ref.clone_from(&candidate.base);
        draft.inputs_sha256.clone_from(&candidate.patch_sha256);
        draft.meta("tree", candidate.tree.clone())
    })
}

/// Whether a task can be made anew on the target's head: one that names a base of its own is not.
pub(super) fn is_possible(session: &Session) -> Result<bool, Problem> {
    let target = &session.policy()?.landing.target;
    let repository = session.repository()?;
    let asked = session.store()?.asked(session.task()?)?.base;
    let base = asked.map(|base| repository.commit(&base)).transpose()?;
    Ok(base.is_none() || base == repository.tip(target)?)
}

/// The line by which the present attempt began, if it is one that is made anew.
fn line(session: &Session, task: &TaskFolder) -> Result<Option<Event>, Problem> {
    let events = session.store()?.log()?.events_of(task.id().as_str())?;
    let mut events = events.into_iter().map(|(event, _)| event).rev();
    let last =
        events.find(|event| matches!(event.action, Action::TaskRetried | Action::TaskRebased));
    Ok(last.filter(|event| event.action == Action::TaskRebased))
}

/// Whether a task comes with its change: drafted already, or to be made anew. A loose file has none yet.
pub(super) fn has_change(session: &Session) -> Result<bool, Problem> {
    match session.task() {
        Ok(task) => Ok(task.has_recorded_draft()? || line(session, task)?.is_some()),
        Err(problem) if problem.code == "TASK_NOT_FOUND" => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// The attempt before, as the log records it.
fn before(task: &TaskFolder, line: &Event) -> Result<(TaskFolder, Candidate), Problem> {
    let changed = |what: &str| {
        Problem::fail(
            "EVIDENCE_CHANGED",
            format!("{what} of the attempt that was set aside is not what the log records"),
        )
        .hint("baton retry TASK, and give the patch again with --from")
    };
    let number = line.meta.get("attempt_set_aside").and_then(|n| n.as_u64());
    let number = number.and_then(|n| u32::try_from(n).ok());
    let attempt = task.attempt(number.ok_or_else(|| changed("the number"))?)?;
    let candidate = attempt
        .candidate()?
        .ok_or_else(|| changed("the candidate"))?;
    let tree = line.meta.get("tree").and_then(|tree| tree.as_str());
    if candidate.base != line.repo_ref
        || candidate.patch_sha256 != line.inputs_sha256
        || tree != Some(&candidate.tree)
    {
        return Err(changed("the candidate"));
    }
    Ok((attempt, candidate))
}

/// The change of the attempt before on the target's head, where the present attempt waits for it.
pub(super) fn again(session: &Session) -> Result<Option<Again>, Problem> {
    let task = session.task()?;
    let Some(line) = line(session, task)? else {
        return Ok(None);
    };
    let (attempt, candidate) = before(task, &line)?;
    if digest::sha256(&attempt.patch()?) != candidate.patch_sha256 {
        return Err(Problem::fail(
            "EVIDENCE_CHANGED",
            "the patch of the attempt that was set aside is not what the log records",
        ));
    }
    let repository = session.repository()?;
    let objects = session.store()?.objects(repository)?;
    let target = &session.policy()?.landing.target;
    let tip = repository.commit(target)?;
    let (base, tree) = (Oid::parse(&candidate.base)?, Oid::parse(&candidate.tree)?);
    match objects.transplant(&base, &tree, &tip)? {
        Merged::Clean(tree) => Ok(Some(Again {
            patch: objects.patch_between(&objects.tree_of(&tip)?, &tree)?,
            actor: candidate.actor,
            matched: candidate.matched,
        })),
        Merged::Conflict(paths) => Err(Problem::fail(
            "MERGE_CONFLICT",
            format!(
                "{target} moved on, and the change conflicts with it in {}",
                paths.join(", ")
            ),
        )
        .hint(format!(
            "baton retry {}, with a patch on the new head",
            task.id()
        ))),
    }
}

/// Carries the approval of the attempt before over, where the policy allows it and the proof holds.
/// Says in one line what came of it; nothing where there is nothing to carry.
pub(super) fn carry(session: &Session) -> Result<Option<String>, Problem> {
    if !session.policy()?.landing.carry_approvals {
        return Ok(None);
    }
    let task = session.task()?;
    let (Some(line), Some(candidate)) = (line(session, task)?, task.candidate()?) else {
        return Ok(None);
    };
    let store = session.store()?;
    if !store.approvals_for(&candidate)?.is_empty() {
        return Ok(None);
    }
    let (attempt, old) = before(task, &line)?;
    let class = match task.recorded_decision()? {
        Some(Decision::AutoMerge) => ToolClass::Merge,
        Some(Decision::PrOnly) => ToolClass::Pr,
        _ => return Ok(None),
    };
    if attempt.recorded_decision()? != task.recorded_decision()? {
        return Ok(Some("not carried: the decision is another one".to_owned()));
    }
    let repository = session.repository()?;
    let court = Court {
        store,
        repository,
        objects: &store.objects(repository)?,
        policy: session.policy()?,
    };
    let carried = match court.carried(task, &old, &candidate, class)? {
        Ok(carried) => carried,
        Err(why) => return Ok(Some(format!("the approval is not carried over: {why}"))),
    };
    for approval in &carried {
        record(session, approval, &old, &candidate)?;
    }
    let by: Vec<_> = carried.iter().map(|one| one.approved_by.as_str()).collect();
    Ok(Some(format!(
        "the approval of {} is carried over: the same change, drift elsewhere, gates green again",
        by.join(", ")
    )))
}

/// Keeps a carried approval; the log line names both bindings and comes first.
fn record(
    session: &Session,
    approval: &Approval,
    old: &Candidate,
    candidate: &Candidate,
) -> Result<(), Problem> {
    let store = session.store()?;
    store
        .write_approval(approval, |sha256| {
            let mut draft = Draft::new(session.actor, Action::ApprovalCarried, "baton")?
                .task(&candidate.task_id, Some(State::Pr), Some(State::Pr))
                .meta("approval_id", approval.approval_id.clone())
                .meta("approved_by", approval.approved_by.clone())
                .meta("until", approval.until.clone())
                .meta("carried", true)
                .meta("from", old.binding())
                .meta("to", candidate.binding());
            if let Some(from) = &approval.carried_from {
                draft = draft.meta("from_approval_id", from.approval_id.clone());
            }
            draft.repo_ref.clone_from(&candidate.base);
            draft.inputs_sha256.clone_from(&candidate.patch_sha256);
            sha256.clone_into(&mut draft.outputs_sha256);
            store.log()?.append(draft)
        })
        .map(drop)
}
