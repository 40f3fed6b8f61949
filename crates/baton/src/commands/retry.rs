//! `baton retry`: the last attempt aside, the task back into the inbox.

use baton_core::audit::{Action, Draft};
use baton_core::clock;
use baton_core::envelope::ToolClass;
use baton_core::environment;
use baton_core::problem::Problem;
use baton_core::state::State;
use clap::{ArgMatches, Command};
use serde_json::json;

use super::{Shared, named_task, task_argument};
use crate::reply::Reply;

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(task_argument())
}

/// Puts the task back.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    session.check_stop()?;
    session.authorize(&[ToolClass::Move])?;
    let store = session.store()?;
    let mut task = store.task(&session.task_id()?)?;
    let (id, from) = (task.id().to_string(), task.state());
    if from != State::Inbox && !from.may_move_to(State::Inbox) {
        return Err(Problem::fail(
            "STATE_RULE",
            format!("task {id} is in {from}; what is done stays done"),
        )
        .hint("baton submit makes a new task"));
    }
    let lease = task.lease()?;
    if let Some(lease) = lease.as_ref().filter(|lease| !lease.is_over(clock::now()))
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
    let most = session.policy()?.caps.max_attempts;
    let attempts = u64::from(task.attempts()?) + 1;
    if attempts >= most {
        return Err(Problem::deny(
            "MAX_ATTEMPTS",
            format!("task {id} was tried {attempts} times, the policy allows {most}"),
        )
        .hint("look at what went wrong (baton show TASK), then submit a new task"));
    }
    let draft = Draft::new(session.actor, Action::TaskRetried, "baton")?
        .task(&id, Some(from), Some(State::Inbox))
        .meta("attempt_set_aside", attempts);
    store.log()?.append(draft)?;
    let fence = lease.map(|lease| lease.fence);
    task.set_attempt_aside()?;
    // Whoever sees a task in the inbox may claim it, so its old lock must not come along.
    task.check_fence(fence)?;
    store.unlock(&task)?;
    if from != State::Inbox {
        store.transition(&mut task, State::Inbox, None)?;
    }
    Ok(Reply::ok(
        json!({"command": "retry", "status": "OK", "task_id": id, "attempt": attempts + 1}),
    )
    .line(format!(
        "{id} waits in the inbox again; attempt {attempts} is kept under attempts/{attempts}"
    ))
    .line(format!("  go on with: baton run {id} --from FILE.patch")))
}
