//! `baton ops`: what an operator asks and decides while others work.

use std::collections::BTreeMap;

use baton_core::clock::{self, Moment};
use baton_core::envelope::ToolClass;
use baton_core::lease::Lease;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::task::TaskId;
use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand as _};
use serde_json::{Value, json};

use super::block::{block, checked};
use super::{Shared, orch, require_human, retry};
use crate::reply::Reply;

/// The verbs.
#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Count the tasks by status
    Status,
    /// Say who holds which task, since when and until when
    Workers,
    /// Stop a task, whoever is at it: BLOCKED
    Cancel {
        /// The task's id
        #[arg(long, value_name = "ID")]
        id: String,
        /// Say why
        #[arg(long, value_name = "TEXT")]
        notes: Option<String>,
    },
    /// Set a task's attempt aside and put it back with notes for the next proposer: PENDING
    Replan {
        /// The task's id
        #[arg(long, value_name = "ID")]
        id: String,
        /// What the next attempt must know
        #[arg(long, value_name = "TEXT")]
        notes: String,
    },
    /// Set a task's attempt aside and put it back, as `baton retry` does: PENDING
    Retry {
        /// The task's id
        #[arg(long, value_name = "ID")]
        id: String,
    },
}

/// Adds the verbs.
pub(super) fn arguments(command: Command) -> Command {
    Verb::augment_subcommands(command)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Examples:\n  baton ops status\n  baton ops replan --id T-1 --notes 'the helper is in src/util.py'",
        )
}

/// Runs the verb that was named.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let verb = Verb::from_arg_matches(matches);
    match verb.map_err(|error| Problem::usage(error.to_string()))? {
        Verb::Status => status(&shared.session(None)?),
        Verb::Workers => workers(&shared.session(None)?),
        Verb::Cancel { id, notes } => cancel(&shared.session(Some(&id))?, notes.as_deref()),
        Verb::Replan { id, notes } => {
            let session = shared.session(Some(&id))?;
            require_human(&session, "telling a proposer what to do")?;
            let notes = checked(&session, &notes)?;
            retry::again(&session, "ops replan", Some(&notes))
        }
        Verb::Retry { id } => retry::again(&shared.session(Some(&id))?, "ops retry", None),
    }
}

fn status(session: &Session) -> Result<Reply, Problem> {
    let counts: BTreeMap<_, _> = orch::counts(session)?.into_iter().collect();
    let stop = session.store()?.stop().is_present();
    let said: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let mut reply =
        Reply::ok(json!({"command": "ops status", "status": "OK", "stop": stop, "counts": counts}));
    if stop {
        reply = reply.line("STOP is on; lift it with: baton resume");
    }
    Ok(reply.line(said.join("  ")))
}

fn workers(session: &Session) -> Result<Reply, Problem> {
    let store = session.store()?;
    let (_, entries) = store.scan(&[State::Inbox, State::Claimed, State::Work, State::Pr])?;
    let (mut workers, mut lines) = (Vec::new(), Vec::new());
    for entry in entries {
        let Ok(task) = TaskId::parse(&entry.task_id).and_then(|id| store.task(&id)) else {
            continue;
        };
        match task.lease() {
            Ok(None) => {}
            Ok(Some(lease)) => {
                lines.push(line(&entry.task_id, task.state(), &lease));
                workers.push(worker(&entry.task_id, task.state(), &lease));
            }
            Err(problem) => {
                lines.push(format!("  {}: {}", entry.task_id, problem.message));
                workers.push(
                    json!({"task_id": entry.task_id, "state": task.state(), "code": problem.code}),
                );
            }
        }
    }
    if lines.is_empty() {
        lines.push("nobody holds a task".to_owned());
    }
    let reply = Reply::ok(json!({"command": "ops workers", "status": "OK", "workers": workers}));
    Ok(lines.into_iter().fold(reply, Reply::line))
}

fn worker(id: &str, state: State, lease: &Lease) -> Value {
    json!({
        "task_id": id, "state": state, "owner": lease.owner, "host": lease.host, "pid": lease.pid,
        "since": lease.claimed_at, "until": lease.lease_until, "fence": lease.fence,
        "gone": lease.staleness(Moment::now()).map(|stale| stale.code()),
    })
}

fn line(id: &str, state: State, lease: &Lease) -> String {
    let since = clock::parse_rfc3339(&lease.claimed_at);
    let since = since.map_or("?".to_owned(), |since| clock::age(since, clock::now()));
    let gone = lease
        .staleness(Moment::now())
        .map(|stale| format!("  {}", stale.code()));
    format!(
        "  {:<32} {id:<24} {state:<8} for {since}, until {}{}",
        lease.owner,
        lease.lease_until,
        gone.unwrap_or_default()
    )
}

/// Takes a task away from whoever is at it: their lock comes off, and what they bring is refused.
fn cancel(session: &Session, notes: Option<&str>) -> Result<Reply, Problem> {
    session.check_stop()?;
    require_human(session, "cancelling a task")?;
    session.authorize(&[ToolClass::Move])?;
    let notes = notes.map(|notes| checked(session, notes)).transpose()?;
    let id = session.task_id()?.to_string();
    let by = vec![session.standing(ToolClass::Move)?];
    if !block(session, ("CANCELLED", notes.as_deref()), by, |_| Ok(()))? {
        let why = format!("task {id} is done or blocked already");
        return Err(Problem::fail("STATE_RULE", why).hint(format!("baton show {id}")));
    }
    Ok(
        Reply::ok(json!({"command": "ops cancel", "status": "OK", "task_id": id}))
            .line(format!("{id} is BLOCKED"))
            .line(format!("  put it back with: baton retry {id}")),
    )
}
