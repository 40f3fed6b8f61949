//! `baton audit`: the log checked, shown, proven to others and handed to witnesses.

mod check;
mod export;
mod filter;
pub(super) mod named;
mod prove;
mod walk;
mod witness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use baton_core::audit::{Checked, Log};
use baton_core::clock;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_transparency::Checkpoint;
use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::Shared;
use crate::reply::Reply;

/// So many differences one message names.
const MOST_NAMED: usize = 20;

/// The verbs.
#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Check every line, link, root and signature of the log
    Verify {
        /// Also that the log begins with what this kept checkpoint signs
        #[arg(long, value_name = "CHECKPOINT")]
        against: Vec<PathBuf>,
    },
    /// Count the log's actions, actors and levels
    Summary,
    /// Prove to others that the log holds a line, or begins with an older checkpoint
    Prove(prove::Arguments),
    /// Check such a proof; needs no repository and no log
    CheckProof(check::Arguments),
    /// Write the log's lines to standard output for other systems
    Export(walk::Export),
    /// Show the last lines, and go on with new ones
    Tail(walk::Tail),
    /// Show the lines that match; exit 1 when none does
    Search(walk::Search),
    /// Hand checkpoints to second places, or be one for others
    #[command(subcommand)]
    Witness(witness::Verb),
}

/// Adds the verbs.
pub(super) fn arguments(command: Command) -> Command {
    let command = Verb::augment_subcommands(command);
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help("Examples:\n  baton audit verify\n  baton audit search --task T-1 --level WARN")
}

/// Runs the verb that was named.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let verb = Verb::from_arg_matches(matches);
    let verb = verb.map_err(|error| Problem::usage(error.to_string()))?;
    let session = shared.session(None)?;
    match &verb {
        Verb::Verify { against } => verify(&session, against),
        Verb::Summary => summary(&session),
        Verb::Prove(arguments) => prove::run(&session, arguments),
        Verb::CheckProof(arguments) => check::run(arguments),
        Verb::Export(arguments) => walk::export(&session, arguments),
        Verb::Tail(arguments) => walk::tail(&session, arguments, shared.json),
        Verb::Search(arguments) => walk::search(&session, arguments, shared.json),
        Verb::Witness(verb) => witness::run(&session, verb),
    }
}

/// STOP is on as long as the log says so.
///
/// # Errors
/// `STOP_TAKEN_AWAY`.
pub(super) fn check_stop(session: &Session, checked: &Checked) -> Result<(), Problem> {
    if !checked.stopped || session.store()?.stop().is_present() {
        return Ok(());
    }
    let why = "the log says that STOP was set and not lifted, and it is not there: somebody took it away by hand";
    Err(Problem::fail("STOP_TAKEN_AWAY", why).hint(
        "set it again: baton stop; find out who did it; then a person lifts it: baton resume",
    ))
}

fn verify(session: &Session, against: &[PathBuf]) -> Result<Reply, Problem> {
    let store = session.store()?;
    let log = store.log()?;
    let checked = log.check(0)?;
    let mut kept = Vec::new();
    for path in against {
        kept.push(held_against(log, &checked, path)?);
    }
    let differs = store.differs_from(&checked.states)?;
    if !differs.is_empty() {
        return Err(queue_differs(&differs));
    }
    check_stop(session, &checked)?;
    let Checked {
        head,
        root,
        checkpoint,
        not_indexed,
        states,
        ..
    } = checked;
    let mut reply = Reply::ok(json!({
        "command": "audit verify", "status": "OK", "lines": head.seq, "head_event_id": head.event_id, "head_sha256": head.sha256,
        "root": root.to_string(), "origin": checkpoint.origin, "signed_lines": checkpoint.size,
        "signed_root": checkpoint.root.to_string(), "lines_not_indexed": not_indexed, "against": kept,
        "tasks": states.len(),
    }))
    .line(format!("the log holds: {} lines, every link right, head {}", head.seq, head.sha256))
    .line(format!("  {} of them are signed by {}, tree root {}", checkpoint.size, checkpoint.origin, checkpoint.root));
    reply = reply.line(format!(
        "  the queue's {} tasks lie where it says",
        states.len()
    ));
    for size in kept {
        reply = reply.line(format!(
            "  it begins with the {size} lines of the checkpoint that was kept"
        ));
    }
    if against.is_empty() {
        reply = reply.line("  who has the key can rewrite it all: hold it against a checkpoint kept elsewhere, with --against");
    }
    Ok(reply)
}

/// Whether the log begins with what a kept checkpoint signs; of how many lines that is.
pub(super) fn held_against(log: &Log, checked: &Checked, path: &Path) -> Result<u64, Problem> {
    let older = log.signed_head(&named::note(path)?)?;
    let now = Checkpoint::new(&checked.checkpoint.origin, checked.head.seq, checked.root);
    prove::comes_before(&older, &now)?;
    prove::is_root(&older, log.root_of(older.size)?)?;
    Ok(older.size)
}

/// The log holds, and the folders are not as it says.
fn queue_differs(differs: &[String]) -> Problem {
    let mut message = differs
        .iter()
        .take(MOST_NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if differs.len() > MOST_NAMED {
        message.push_str(&format!("; and {} more", differs.len() - MOST_NAMED));
    }
    Problem::fail("QUEUE_DIFFERS", message).hint(
        "every line and link of the log holds; the folders were changed by hand, or a run was killed \
         between its line and its move: baton status, then put the folder where the log says",
    )
}

fn summary(session: &Session) -> Result<Reply, Problem> {
    let mut actions = BTreeMap::new();
    let mut actors = BTreeMap::new();
    let mut levels = BTreeMap::new();
    session.store()?.log()?.verify(|event, _| {
        *actions.entry(name(&event.action)).or_insert(0_u64) += 1;
        *actors.entry(name(&event.actor)).or_insert(0_u64) += 1;
        *levels.entry(name(&event.level)).or_insert(0_u64) += 1;
    })?;
    let mut reply = Reply::ok(
        json!({"command": "audit summary", "status": "OK", "actions": actions, "actors": actors, "levels": levels}),
    );
    for (title, counts) in [
        ("actions", &actions),
        ("actors", &actors),
        ("levels", &levels),
    ] {
        reply = reply.line(format!("{title}:"));
        let mut sorted: Vec<_> = counts.iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        for (name, count) in sorted {
            reply = reply.line(format!("  {count:>6}  {name}"));
        }
    }
    Ok(reply)
}

/// A value's name as the log writes it.
pub(super) fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => "?".to_owned(),
    }
}

/// Seconds since 1970 as the log writes times.
fn time(seconds: u64) -> String {
    // Beyond the year 9999 there is no such text.
    let seconds = seconds.min(253_402_300_799);
    clock::rfc3339(UNIX_EPOCH + Duration::from_secs(seconds))
}
