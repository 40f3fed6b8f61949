//! `baton rollback`: recovery R6. What a task landed is undone forwards, by a revert that is a task
//! and a candidate of its own and goes through the same gates and the same approval.

use std::ops::ControlFlow;

use baton_core::audit::{Action, Draft};
use baton_core::clock;
use baton_core::digest;
use baton_core::envelope::ToolClass;
use baton_core::git::{Merged, ObjectStore, Oid};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::Doer;
use baton_core::task::{Task, TaskId};
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::{Shared, named_task, reason, task_argument};
use crate::reply::Reply;

/// The highest number in a rollback's name.
const MOST: u32 = 100;

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(task_argument()).arg(
        Arg::new("reason")
            .long("reason")
            .value_name("TEXT")
            .default_value("no reason given")
            .help("Say why"),
    )
}

/// A revert that waits in the inbox.
pub(super) struct Made {
    /// The task.
    pub(super) id: String,
    /// Its change, for patch-draft; none when an earlier run drafted it already.
    pub(super) patch: Option<Vec<u8>>,
    /// Files that the landing added, which the revert deletes.
    deletes: Vec<String>,
    commit: Oid,
}

/// Makes the revert and takes it as far as it may go.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    session.check_stop()?;
    session.authorize(&[ToolClass::Write, ToolClass::Move])?;
    let made = make(&session, &reason(&session, matches))?;
    let file = made
        .patch
        .as_deref()
        .map(super::run::temporary)
        .transpose()?;
    let from = file.as_ref().map(|file| file.path().to_owned());
    let reply = super::run::take(shared, &made.id, from)?;
    Ok(made.explain(reply))
}

impl Made {
    fn explain(&self, reply: Reply) -> Reply {
        let mut reply = reply.line(format!("{} undoes {}", self.id, self.commit));
        if !self.deletes.is_empty() {
            reply = reply
                .line(format!(
                    "  the revert deletes what the landing added: {}; every deletion is stopped (D2)",
                    self.deletes.join(", ")
                ))
                .line(format!("  a person undoes that by hand: git revert {}", self.commit));
        }
        reply
    }
}

/// Puts the revert of what a task landed into the inbox, or finds the one that is under way.
pub(super) fn make(session: &Session, reason: &str) -> Result<Made, Problem> {
    let of = session.task_id()?;
    let commit = landed(session, &of)?;
    let repository = session.repository()?;
    let store = session.store()?;
    let objects = store.objects(repository)?;
    let (now, tree) = reverted(session, &objects, &of, &commit)?;
    let deletes = objects.deleted_paths(&now, &tree)?;
    let (id, is_new) = name(session, &objects, &of, &commit)?;
    let mut made = Made {
        id: id.to_string(),
        patch: Some(objects.patch_between(&now, &tree)?),
        deletes,
        commit,
    };
    if is_new {
        submit(
            session,
            &made,
            &of,
            objects.changed_paths(&now, &tree)?,
            reason,
        )?;
    } else if store.task(&id)?.has_recorded_draft()? {
        made.patch = None;
    }
    Ok(made)
}

/// The target's tree, and the same without what `commit` changed.
fn reverted(
    session: &Session,
    objects: &ObjectStore,
    of: &TaskId,
    commit: &Oid,
) -> Result<(Oid, Oid), Problem> {
    let repository = session.repository()?;
    let target = &session.policy()?.landing.target;
    let tip = repository.commit(target)?;
    let by_hand = format!("undo it by hand: git revert {commit}");
    if !repository.is_ancestor(commit, &tip)? {
        return Err(Problem::fail(
            "ROLLBACK_NOTHING",
            format!("{commit}, which {of} landed, is not in {target} any more"),
        ));
    }
    let parent = repository.parent(commit)?.ok_or_else(|| {
        Problem::fail(
            "ROLLBACK_NOTHING",
            format!("{commit} has no parent to go back to"),
        )
    })?;
    let before = repository.tree_of(&parent)?;
    let tree = match objects.transplant(commit, &before, &tip)? {
        Merged::Clean(tree) => tree,
        Merged::Conflict(paths) => {
            return Err(Problem::fail(
                "ROLLBACK_CONFLICT",
                format!(
                    "what landed since conflicts with the revert in {}",
                    paths.join(", ")
                ),
            )
            .hint(by_hand));
        }
    };
    let now = repository.tree_of(&tip)?;
    if tree == now {
        return Err(Problem::fail(
            "ROLLBACK_NOTHING",
            format!("{target} holds nothing of {commit} any more"),
        ));
    }
    Ok((now, tree))
}

/// The commit that a task landed on the target.
fn landed(session: &Session, of: &TaskId) -> Result<Oid, Problem> {
    session.store()?.task(of)?;
    let (mut commit, mut branch) = (None, None);
    for (event, _) in session.store()?.log()?.events_of(of.as_str())? {
        let named = event.meta.get("commit").and_then(|commit| commit.as_str());
        match event.action {
            Action::ChangeLanded => commit = named.map(str::to_owned),
            Action::PrBranchCreated => branch = named.map(str::to_owned),
            _ => {}
        }
    }
    match (commit, branch) {
        (Some(commit), _) => Oid::parse(&commit),
        (None, Some(_)) => Err(Problem::fail(
            "ROLLBACK_NOTHING",
            format!("task {of} became a branch for review; baton landed nothing of it"),
        )
        .hint("close the review; if people merged it, revert their merge: git revert -m 1 COMMIT")),
        (None, None) => Err(Problem::fail(
            "ROLLBACK_NOTHING",
            format!("the log records no landing of task {of}"),
        )
        .hint(format!("baton show {of}"))),
    }
}

/// The rollback's name: the first that is free, or the one that is under way. Anybody may have given
/// a task such a name, so only the log says which one is the revert.
fn name(
    session: &Session,
    objects: &ObjectStore,
    of: &TaskId,
    commit: &Oid,
) -> Result<(TaskId, bool), Problem> {
    let ours = submitted(session, of, commit)?;
    let stem: String = of.as_str().chars().take(50).collect();
    for number in 1..=MOST {
        let ending = match number {
            1 => String::new(),
            number => format!("-{number}"),
        };
        let id = TaskId::parse(&format!("{stem}-rollback{ending}"))?;
        match session.store()?.find(&id)? {
            None => return Ok((id, true)),
            Some(State::Done | State::Blocked) => {}
            Some(_) if ours.contains(&id) && reverts(session, objects, &id, commit)? => {
                return Ok((id, false));
            }
            Some(_) => {}
        }
    }
    Err(Problem::fail(
        "TASK_EXISTS",
        format!("task {of} was rolled back {MOST} times"),
    ))
}

/// The tasks that were made to undo this commit, since it landed.
fn submitted(session: &Session, of: &TaskId, commit: &Oid) -> Result<Vec<TaskId>, Problem> {
    let mut made = Vec::new();
    session.store()?.log()?.back(|seen| {
        if seen.begins(of.as_str()) {
            return Ok(ControlFlow::Break(()));
        }
        if seen.action() == Action::TaskSubmitted {
            let event = seen.event()?;
            let is = |name: &str, expected: &str| {
                event.meta.get(name).and_then(|value| value.as_str()) == Some(expected)
            };
            if is("rollback_of", of.as_str()) && is("commit", commit.as_str()) {
                made.extend(TaskId::parse(&event.task_id));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    made.reverse();
    Ok(made)
}

/// Whether what was drafted for a rollback, if anything was, is the revert and nothing else.
fn reverts(
    session: &Session,
    objects: &ObjectStore,
    id: &TaskId,
    commit: &Oid,
) -> Result<bool, Problem> {
    let Some(candidate) = session.store()?.task(id)?.candidate()? else {
        return Ok(true);
    };
    let repository = session.repository()?;
    let (Some(parent), Ok(base)) = (repository.parent(commit)?, Oid::parse(&candidate.base)) else {
        return Ok(false);
    };
    let before = repository.tree_of(&parent)?;
    let merged = objects.transplant(commit, &before, &base)?;
    Ok(matches!(merged, Merged::Clean(tree) if tree.as_str() == candidate.tree))
}

fn submit(
    session: &Session,
    made: &Made,
    of: &TaskId,
    paths: Vec<String>,
    reason: &str,
) -> Result<(), Problem> {
    let store = session.store()?;
    let title = store.asked(&store.task(of)?)?.title;
    let title: String = format!("Roll back: {title}").chars().take(200).collect();
    let text = json!({
        "task_id": made.id,
        "title": title,
        "goal": format!("Undo what task {of} landed as {}: {reason}", made.commit),
        "scope": {"target_files": [], "allow_patch_on_files": paths, "deny_paths_glob": []},
        "priority": "P0",
        "meta": {
            "created_by": session.actor.name(), "created_at": clock::rfc3339(clock::now()),
            "rollback_of": of, "commit": made.commit.as_str(),
        },
    });
    let bytes = text.to_string().into_bytes();
    let task = Task::parse(&bytes)?;
    let doer = Doer::here(session.repository()?);
    store
        .submit(&task, |id| {
            let mut draft = Draft::new(session.actor, Action::TaskSubmitted, "baton")?
                .task(id.as_str(), None, Some(State::Inbox))
                .meta("title", task.title.clone())
                .meta("rollback_of", of.as_str())
                .meta("commit", made.commit.to_string())
                .meta("reason", reason);
            for (key, text) in doer.clone().meta() {
                draft = draft.meta(key, text);
            }
            draft.inputs_sha256 = digest::sha256(&bytes);
            draft.outputs_sha256 = digest::sha256(&task.to_bytes());
            store.log()?.append(draft).map(drop)
        })
        .map(drop)
}
