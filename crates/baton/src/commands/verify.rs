//! `baton verify`: derives everything about a task again, read-only, and compares.

use baton_core::candidate;
use baton_core::decision::decide;
use baton_core::envelope::Decision;
use baton_core::evidence::{Court, statements};
use baton_core::git::{ObjectStore, Oid};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use clap::{ArgMatches, Command};
use serde_json::json;

use super::{Shared, named_task, task_argument};
use crate::reply::Reply;

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(task_argument())
}

/// Says VERIFIED, or every point that does not match.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    let id = session.task_id()?.to_string();
    let mut checked = Vec::new();
    let mut wrong = Vec::new();
    let mut note = |what: &str, outcome: Result<(), Problem>| match outcome {
        Ok(()) => checked.push(what.to_owned()),
        Err(problem) => wrong.push(format!("{what}: {}", problem.message)),
    };
    note("audit log", session.store()?.log()?.check(0).map(drop));
    note("candidate", check_candidate(&session));
    note("evidence and decision", check_decision(&session));
    note(
        "evidence manifest and statements",
        check_statements(&session),
    );
    note("approvals", check_approvals(&session));
    if session.task()?.state() == State::Done {
        note("landed tree", check_landed(&session));
    }
    let status = if wrong.is_empty() {
        "VERIFIED"
    } else {
        "MISMATCH"
    };
    let mut reply = Reply::ok(json!({"command": "verify", "status": status, "task_id": id, "checked": checked, "wrong": wrong}))
        .code(u8::from(!wrong.is_empty()));
    reply = reply.line(format!("{id}: {status}"));
    for point in &checked {
        reply = reply.line(format!("  matches: {point}"));
    }
    for point in &wrong {
        reply = reply.line(format!("  DIFFERS: {point}"));
    }
    Ok(reply)
}

/// Applies the canonical patch to the base once more, in a throw-away object store.
fn check_candidate(session: &Session) -> Result<(), Problem> {
    let task = session.task()?;
    let candidate = task
        .candidate()?
        .ok_or_else(|| Problem::fail("CANDIDATE_MISSING", "there is no candidate yet"))?;
    let repository = session.repository()?;
    let (_folder, objects) = ObjectStore::temporary(repository)?;
    candidate::verify(
        repository,
        &objects,
        &candidate,
        &task.patch()?,
        &candidate::limits(session.policy()?),
    )
    .map(drop)
}

fn check_decision(session: &Session) -> Result<(), Problem> {
    let task = session.task()?;
    let repository = session.repository()?;
    let store = session.store()?;
    let (_folder, objects) = ObjectStore::temporary(repository)?;
    let mut facts = Court {
        store,
        repository,
        objects: &objects,
        policy: session.policy()?,
    }
    .facts(task);
    // STOP says something of the present, not of this task.
    facts.stop.clear();
    if let Some(unbound) = facts.unbound.first() {
        return Err(Problem::fail("EVIDENCE_UNBOUND", unbound.clone()));
    }
    let now = decide(session.policy()?, &facts).decision;
    let recorded = task.recorded_decision()?;
    match recorded {
        Some(recorded) if recorded == now => Ok(()),
        // A stop at the time decides harder than the evidence alone would.
        Some(Decision::ZeroStop) => Ok(()),
        recorded => Err(Problem::fail(
            "DECISION_CHANGED",
            format!("recorded {recorded:?}, derived {now:?}"),
        )),
    }
}

/// Only a gate result that names a manifest has statements. No key is trusted for them yet, so they
/// must be unsigned.
fn check_statements(session: &Session) -> Result<(), Problem> {
    let task = session.task()?;
    match task.candidate()? {
        Some(candidate) => statements::check(task, &candidate, |_, _, _| None).map(drop),
        None => Ok(()),
    }
}

fn check_approvals(session: &Session) -> Result<(), Problem> {
    let Some(candidate) = session.task()?.candidate()? else {
        return Ok(());
    };
    let store = session.store()?;
    store.approvals_over_whole_log(&candidate).map(drop)
}

/// Looks for the landing that the log records and compares its tree with the approved one.
fn check_landed(session: &Session) -> Result<(), Problem> {
    use baton_core::audit::Action;
    let task = session.task()?;
    let candidate = task
        .candidate()?
        .ok_or_else(|| Problem::fail("CANDIDATE_MISSING", "there is no candidate"))?;
    let mut commit = None;
    for (event, _) in session.store()?.log()?.events_of(task.id().as_str())? {
        if matches!(event.action, Action::ChangeLanded | Action::PrBranchCreated) {
            commit = event
                .meta
                .get("commit")
                .and_then(|commit| commit.as_str())
                .map(str::to_owned);
        }
    }
    let commit =
        commit.ok_or_else(|| Problem::fail("EVIDENCE_MISSING", "the log records no landing"))?;
    let tree = session.repository()?.tree_of(&Oid::parse(&commit)?)?;
    if tree.as_str() == candidate.tree {
        return Ok(());
    }
    Err(Problem::fail(
        "LANDED_TREE_DIFFERS",
        format!("{commit} has tree {tree}, approved was {}", candidate.tree),
    ))
}
