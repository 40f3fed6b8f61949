//! `baton audit verify` and `baton audit summary`.

use std::collections::BTreeMap;

use baton_core::audit::Checked;
use baton_core::problem::Problem;
use baton_core::session::Session;
use clap::{ArgMatches, Command};
use serde::Serialize;
use serde_json::{Value, json};

use super::Shared;
use crate::reply::Reply;

/// Adds the two verbs.
pub(super) fn arguments(command: Command) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("verify").about("Check every line and every link of the log"))
        .subcommand(Command::new("summary").about("Count the log's actions, actors and levels"))
}

/// Runs the verb that was named.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    match matches.subcommand_name() {
        Some("verify") => verify(&session),
        _ => summary(&session),
    }
}

fn verify(session: &Session) -> Result<Reply, Problem> {
    let Checked {
        head,
        root,
        checkpoint,
        not_indexed,
    } = session.store()?.log()?.check(0)?;
    Ok(Reply::ok(json!({
        "command": "audit verify", "status": "OK", "lines": head.seq, "head_event_id": head.event_id, "head_sha256": head.sha256,
        "root": root.to_string(), "origin": checkpoint.origin, "signed_lines": checkpoint.size,
        "signed_root": checkpoint.root.to_string(), "lines_not_indexed": not_indexed,
    }))
    .line(format!("the log holds: {} lines, every link right, head {}", head.seq, head.sha256))
    .line(format!("  {} of them are signed by {}, tree root {}", checkpoint.size, checkpoint.origin, checkpoint.root))
    .line("  keep the checkpoint somewhere else: whoever has the log's key can write a whole new log"))
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
