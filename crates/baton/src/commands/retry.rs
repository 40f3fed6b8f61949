//! `baton retry`: the last attempt aside, the task back into the inbox.

use baton_core::audit::{Action, Draft};
use baton_core::clock::Moment;
use baton_core::envelope::ToolClass;
use baton_core::environment;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;
use clap::{ArgMatches, Command};
use serde_json::json;

use super::block::landing_is_over;
use super::{Shared, named_task, task_argument};
use crate::reply::Reply;

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(task_argument())
}

/// Puts the task back.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    again(&shared.session(Some(named_task(matches)?))?, "retry", None)
}

/// The same for another command; `notes` go into the log line and to the next proposer.
///
/// # Errors
/// `STOP_PRESENT`, `APPROVAL_REQUIRED`, `MAX_ATTEMPTS`, `STATE_RULE`, `LOCK_CONFLICT`, and those of the
/// queue and the log.
pub(super) fn again(
    session: &Session,
    command: &str,
    notes: Option<&str>,
) -> Result<Reply, Problem> {
    session.check_stop()?;
    session.authorize(&[ToolClass::Move])?;
    finish_cut_off(session)?;
    // A landing may be under way, or another run that sets the attempt aside.
    session.merge_lock()?;
    let mut task = session.store()?.task(&session.task_id()?)?;
    let id = task.id().to_string();
    let most = session.policy()?.caps.max_attempts;
    let attempts = u64::from(task.attempts()?) + 1;
    let counted = counted(session, &task)?;
    if counted >= most {
        return Err(Problem::deny(
            "MAX_ATTEMPTS",
            format!("task {id} was tried {counted} times, the policy allows {most}"),
        )
        .hint("look at what went wrong (baton show TASK), then submit a new task"));
    }
    // With notes it is planned anew, whether or not it ran.
    if notes.is_none() && task.state() == State::Inbox && !task.has_attempt()? {
        let why =
            format!("task {id} waits in the inbox and did not run since: nothing is to be retried");
        return Err(Problem::fail("STATE_RULE", why).hint(format!("baton run {id}")));
    }
    put_back(
        session,
        &mut task,
        Action::TaskRetried,
        |draft| match notes {
            Some(notes) => draft.meta("notes", notes),
            None => draft,
        },
    )?;
    Ok(Reply::ok(
        json!({"command": command, "status": "OK", "task_id": id, "attempt": attempts + 1}),
    )
    .line(format!(
        "{id} waits in the inbox again; attempt {attempts} is kept under attempts/{attempts}"
    ))
    .line(format!("  go on with: baton run {id} --from FILE.patch")))
}

/// How often a task was tried, the present attempt with it.
fn counted(session: &Session, task: &TaskFolder) -> Result<u64, Problem> {
    Ok(u64::from(task.attempts()?) + 1 - times_rebased(session, task)?)
}

/// What a person can do next about a blocked task: write anew what was written wrongly, else try it again
/// as long as the policy lets it.
pub(super) fn next(session: &Session, task: &TaskFolder) -> Result<String, Problem> {
    let id = task.id();
    let kept = task.envelopes()?;
    let mut skills = kept.iter().rev().map(|kept| kept.envelope.skill.as_str());
    if skills.find(|skill| *skill != "incident-brief") == Some("intake-validate") {
        return Ok(format!(
            "baton submit the task, corrected, under another id (baton retry {id} where the policy was wrong)"
        ));
    }
    let most = session.policy()?.caps.max_attempts;
    Ok(match counted(session, task)? {
        tries if tries >= most => {
            format!(
                "baton submit a new task: this one was tried {tries} times, the policy allows {most}"
            )
        }
        _ => format!("baton retry {id}"),
    })
}

/// How many attempts were set aside because the target moved; these are nobody's failure.
fn times_rebased(session: &Session, task: &TaskFolder) -> Result<u64, Problem> {
    let events = session.store()?.log()?.events_of(task.id().as_str())?;
    let rebased = events
        .iter()
        .filter(|(event, _)| event.action == Action::TaskRebased);
    Ok(rebased.count() as u64)
}

/// Sets the attempt of a task that nobody holds aside and moves it into the inbox; `more` adds to the
/// log line, which comes first.
pub(super) fn put_back(
    session: &Session,
    task: &mut TaskFolder,
    action: Action,
    more: impl FnOnce(Draft) -> Draft,
) -> Result<(), Problem> {
    let store = session.store()?;
    let (id, from) = (task.id().to_string(), task.state());
    if from != State::Inbox && !from.may_move_to(State::Inbox) {
        return Err(Problem::fail(
            "STATE_RULE",
            format!("task {id} is in {from}; what is done stays done"),
        )
        .hint("baton submit makes a new task"));
    }
    if matches!(from, State::Pr | State::Blocked) {
        landing_is_over(session, from)?;
    }
    // From the look at the lock to the move, nobody else changes either.
    let _held = task.hold()?;
    let lease = task.lease()?;
    if let Some(lease) = lease.as_ref().filter(|lease| !lease.is_over(Moment::now()))
        && (lease.is_in_living_hands() || lease.owner != environment::default_owner())
    {
        return Err(Problem::fail(
            "LOCK_CONFLICT",
            format!(
                "task {id} is held by {} until {}",
                lease.owner, lease.lease_until
            ),
        )
        .hint("wait until the lease is over, or ask the owner to release it"));
    }
    let number = task.attempts()? + 1;
    let draft = Draft::new(session.actor, action, "baton")?
        .task(&id, Some(from), Some(State::Inbox))
        .meta("attempt_set_aside", number);
    store.log()?.append(more(draft))?;
    store.set_aside(task, number)
}

/// Finishes what a run that was killed recorded and did not do: an attempt that lies half here and
/// half under `attempts/` is nothing that could be gone on with.
pub(super) fn finish_cut_off(session: &Session) -> Result<(), Problem> {
    let (store, id) = (session.store()?, session.task_id()?);
    if store.cut_off(&id)?.is_none() {
        return Ok(());
    }
    // The one who sets it aside may just be at it; then there is nothing to finish afterwards.
    session.merge_lock()?;
    match store.cut_off(&id)? {
        Some((mut task, number)) => store.set_aside(&mut task, number),
        None => Ok(()),
    }
}
