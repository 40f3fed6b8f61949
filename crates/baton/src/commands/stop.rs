//! `baton stop` and `baton resume`: the kill switch.

use baton_core::audit::{Action, Draft, Level};
use baton_core::clock;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Store;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::{Shared, operator, reason, require_human};
use crate::reply::Reply;

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
    let store = session.store()?;
    let reason = reason(&session, matches);
    let by = operator(&session).unwrap_or_else(|_| session.actor.name().to_owned());
    let fresh = switch_on(&session, store, &by, &reason)?;
    let said = if fresh {
        "STOP is on: everything halts"
    } else {
        "STOP was on already"
    };
    Ok(
        Reply::ok(json!({"command": "stop", "status": "OK", "stop": true, "was_on": !fresh}))
            .line(said)
            .line("  lift it with: baton resume"),
    )
}

/// Switches STOP on and records it; says whether it was off before.
pub(super) fn switch_on(
    session: &Session,
    store: &Store,
    by: &str,
    reason: &str,
) -> Result<bool, Problem> {
    let text = format!(
        "{}\n",
        json!({"by": by, "at": clock::rfc3339(clock::now()), "reason": reason})
    );
    let fresh = store.set_stop(&text)?;
    let mut draft = Draft::new(session.actor, Action::StopSet, "baton")?
        .meta("by", by)
        .meta("reason", reason)
        .meta("was_on", !fresh);
    draft.level = Level::Warn;
    store.log()?.append(draft)?;
    Ok(fresh)
}

/// Lifts STOP: recorded first, then done.
pub(super) fn resume(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    require_human(&session, "lifting STOP")?;
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
