//! `baton stop` and `baton resume`: the kill switch.

use std::sync::mpsc;
use std::time::Duration;

use baton_core::audit::{Action, Draft, Level};
use baton_core::envelope::Status;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Store;
use baton_core::{clock, exit, threads};
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::{Shared, operator, reason, require_person};
use crate::reply::Reply;

/// How long a database may take until this machine is halted alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(
        Arg::new("reason")
            .long("reason")
            .value_name("TEXT")
            .default_value("no reason given")
            .help("Say why"),
    )
}

/// Switches STOP on. Anybody may: stopping is always safe. The switch comes before the record,
/// because a log that cannot be written must not keep anybody from stopping.
pub(super) fn stop(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    let reason = reason(&session, matches);
    let by = operator(&session).unwrap_or_else(|_| session.actor.name().to_owned());
    let fresh = match everywhere(&session, text(&by, &reason)) {
        Ok(fresh) => fresh,
        // Whatever keeps it from being set where the queue is, a broken MANIFEST say: this machine can halt.
        Err(problem) => {
            return here(&session, &by, &reason, &problem).map_err(|_| problem);
        }
    };
    let store = session.store()?;
    let said = if fresh {
        "STOP is on: everything halts"
    } else {
        "STOP was on already"
    };
    if let Err(problem) = record(&session, store, &by, &reason, fresh) {
        let reply = json!({"command": "stop", "status": "PARTIAL", "stop": true, "was_on": !fresh,
            "everywhere": true, "why": problem.message});
        return Ok(Reply::ok(reply)
            .code(exit::code(Status::Partial, None))
            .line(said)
            .line(format!("  it is not recorded: {}", problem.message))
            .line("  run baton stop again when the log can be written to"));
    }
    Ok(
        Reply::ok(json!({"command": "stop", "status": "OK", "stop": true, "was_on": !fresh}))
            .line(said)
            .line("  lift it with: baton resume"),
    )
}

/// Whether the queue lies in a database.
fn is_shared(session: &Session) -> bool {
    let address = session.root().and_then(Store::address);
    matches!(address, Ok(Some(_)))
}

/// Switches STOP on where the queue is; says whether it was off before. A database that takes the question and
/// does not answer is waited for no longer than [`PATIENCE`]; should it get to it later, all halt, which is safe.
/// A file in a folder needs nobody to wait for it, and no thread, which may not be had when it is most needed.
fn everywhere(session: &Session, text: String) -> Result<bool, Problem> {
    let root = session.root()?.to_owned();
    let set = move || Store::open(&root).and_then(|store| store.set_stop(&text));
    if !is_shared(session) {
        return set();
    }
    let (say, said) = mpsc::channel();
    threads::spawn(move || {
        // Nobody waits any more: then this machine was halted.
        let _ = say.send(set());
    })?;
    said.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let why = format!("the store has not answered for {} s", PATIENCE.as_secs());
        Err(Problem::fail("STORE_UNREACHABLE", why))
    })
}

/// The store cannot be reached, or be told which one it is: this machine at least halts, and the exit code says that others do not.
fn here(session: &Session, by: &str, reason: &str, why: &Problem) -> Result<Reply, Problem> {
    let fresh = Store::stop_here(session.root()?, &text(by, reason))?;
    let reply = json!({"command": "stop", "status": "PARTIAL", "stop": true, "was_on": !fresh,
        "everywhere": false, "why": why.message});
    Ok(Reply::ok(reply)
        .code(exit::code(Status::Partial, None))
        .line("STOP is on for this machine alone")
        .line(format!("  {}", why.message))
        .line("  run baton stop again when the store can be reached: nothing is recorded yet"))
}

fn text(by: &str, reason: &str) -> String {
    let at = clock::rfc3339(clock::now());
    format!("{}\n", json!({"by": by, "at": at, "reason": reason}))
}

/// Switches STOP on and records it; says whether it was off before.
pub(super) fn switch_on(
    session: &Session,
    store: &Store,
    by: &str,
    reason: &str,
) -> Result<bool, Problem> {
    let fresh = store.set_stop(&text(by, reason))?;
    record(session, store, by, reason, fresh)?;
    Ok(fresh)
}

fn record(
    session: &Session,
    store: &Store,
    by: &str,
    reason: &str,
    fresh: bool,
) -> Result<(), Problem> {
    let mut draft = Draft::new(session.actor, Action::StopSet, "baton")?
        .meta("by", by)
        .meta("reason", reason)
        .meta("was_on", !fresh);
    draft.level = Level::Warn;
    store.log()?.append(draft).map(drop)
}

/// Lifts STOP: recorded first, then done.
pub(super) fn resume(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    require_person(&session, "lifting STOP")?;
    let store = session.store()?;
    if !store.stop().is_present() {
        return Ok(Reply::ok(
            json!({"command": "resume", "status": "OK", "stop": false, "was_on": false}),
        )
        .line("STOP is not on"));
    }
    let mut draft = Draft::new(session.actor, Action::StopLifted, "baton")?
        .meta("by", operator(&session)?)
        .meta("reason", reason(&session, matches));
    draft.level = Level::Warn;
    store.log()?.append(draft)?;
    store.lift_stop()?;
    Ok(
        Reply::ok(json!({"command": "resume", "status": "OK", "stop": false, "was_on": true}))
            .line("STOP is lifted")
            .line("  blocked tasks go on with: baton retry TASK"),
    )
}
