//! `baton store`: where the queue is kept, its tables, and its way to another place.

use baton_core::audit::{Action, Draft, Level};
use baton_core::manifest::FOLDERS;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::{Store, database};
use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand as _};
use serde_json::json;

use super::{Shared, operator, require_human};
use crate::reply::Reply;

/// The verbs.
#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Say where the queue is kept, as the manifest names it
    Show,
    /// Bring the tables of the manifest's database to this program's version
    Migrate,
    /// Copy the queue and its log to an empty store, while STOP is on, and compare every byte
    Copy {
        /// From here (default: where the manifest says)
        #[arg(long, value_name = "ADDRESS")]
        from: Option<String>,
        /// To here: folder, sqlite:PATH or postgres://USER@HOST/DATABASE
        #[arg(long, value_name = "ADDRESS")]
        to: String,
    },
}

/// Adds the verbs.
pub(super) fn arguments(command: Command) -> Command {
    Verb::augment_subcommands(command)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Examples:\n  baton init --store sqlite:.autodev_queue/queue.db\n  \
             baton stop && baton store copy --to postgres://baton@db.example/queue\n\n\
             Exit codes:\n  0 done  1 it cannot be done, nothing was changed  2 usage error  3 not for agents",
        )
}

/// Runs the verb.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let verb =
        Verb::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    let session = shared.session(None)?;
    match verb {
        Verb::Show => show(&session),
        Verb::Migrate => migrate(&session),
        Verb::Copy { from, to } => copy(&session, from, &to),
    }
}

fn address(session: &Session) -> Result<String, Problem> {
    Ok(Store::address(session.root()?)?.unwrap_or_else(|| FOLDERS.to_owned()))
}

fn show(session: &Session) -> Result<Reply, Problem> {
    let said = check(session)?;
    let shown = database::shown(&address(session)?);
    let reply = json!({"command": "store", "status": "OK", "store": shown});
    Ok(Reply::ok(reply).line(said))
}

/// Says where the queue is kept, once it was reached.
pub(super) fn check(session: &Session) -> Result<String, Problem> {
    let address = address(session)?;
    session.store()?;
    Ok(format!(
        "the queue is kept at {}",
        database::shown(&address)
    ))
}

fn migrate(session: &Session) -> Result<Reply, Problem> {
    require_human(session, "changing the store's tables")?;
    let address = address(session)?;
    if address == FOLDERS {
        let reply =
            json!({"command": "store", "status": "OK", "store": FOLDERS, "from": null, "to": null});
        return Ok(Reply::ok(reply).line("The queue is kept in folders: there are no tables"));
    }
    let (from, to) = database::migrate(&address, session.root()?, false)?;
    let shown = database::shown(&address);
    let said = match from == to {
        true => format!("The tables of {shown} have version {to} already"),
        false => format!("The tables of {shown} went from version {from} to {to}"),
    };
    let reply = json!({"command": "store", "status": "OK", "store": shown, "from": from, "to": to});
    Ok(Reply::ok(reply).line(said))
}

fn copy(session: &Session, from: Option<String>, to: &str) -> Result<Reply, Problem> {
    require_human(session, "moving a queue")?;
    let from = from.map_or_else(|| address(session), Ok)?;
    let (shown_from, shown_to) = (database::shown(&from), database::shown(to));
    if from == to {
        return Err(Problem::usage(format!(
            "the queue is at {shown_to} already"
        )));
    }
    let source = Store::open_at(session.root()?, &from)?;
    if !source.is_stopped_everywhere()? {
        let why = "a queue is copied while everything halts, on all machines";
        return Err(Problem::fail("STOP_NEEDED", why).hint("run: baton stop, then this again"));
    }
    let mut draft = Draft::new(session.actor, Action::QueueCopied, "baton")?
        .meta("by", operator(session)?)
        .meta("from", shown_from.clone())
        .meta("to", shown_to.clone());
    draft.level = Level::Warn;
    let copied = source.copy_to(to, || source.log()?.append(draft).map(drop))?;
    let reply = json!({"command": "store", "status": "OK", "from": shown_from, "to": shown_to,
        "tasks": copied.tasks, "files": copied.files, "lines": copied.lines});
    Ok(Reply::ok(reply)
        .line(format!(
            "Copied {} tasks, {} files and {} lines of the log from {shown_from} to {shown_to}; every byte was compared",
            copied.tasks, copied.files, copied.lines
        ))
        .line(format!(
            "  use it: set \"store\": \"{to}\" in .autodev_ssot/MANIFEST.json, commit that, then: baton init && baton resume"
        ))
        .line("  the old store is as it was; put it away, so that nobody works on it"))
}
