//! `baton show`: one task, its change, its results and its timeline.

use baton_core::candidate::{self, Candidate};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::terminal::visible_line;
use baton_risk::RuleBook;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::audit::name;
use super::{Shared, named_task, task_argument};
use crate::reply::Reply;

/// How many lines of a patch are shown; draft.patch holds them all.
const MOST_LINES: usize = 200;

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(task_argument())
}

/// Shows the task.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    let folder = session.task()?;
    let id = folder.id().to_string();
    let state = folder.state();
    let candidate = folder.candidate()?;
    let timeline = timeline(&session, &id)?;
    let kept = folder.envelopes()?;
    let results: Vec<Value> = kept
        .iter()
        .map(|kept| json!({"kept": kept.name, "skill": kept.envelope.skill, "status": kept.envelope.status, "summary": kept.envelope.summary}))
        .collect();
    let title = folder.task().map_or_else(
        |problem| format!("({})", problem.message),
        |task| task.title,
    );
    let mut reply = Reply::ok(json!({
        "command": "show", "status": "OK", "task_id": id, "state": state, "title": title,
        "candidate": candidate, "results": results, "timeline": timeline.iter().map(|(json, _)| json).collect::<Vec<_>>(),
    }));
    reply = reply.line(format!("{id} in {state}: {}", visible_line(&title)));
    for kept in &kept {
        reply = reply.line(format!(
            "  {:<34} {:<9} {}",
            kept.name,
            name(&kept.envelope.status),
            visible_line(&kept.envelope.summary)
        ));
    }
    if let Some(candidate) = &candidate {
        for line in change(&session, candidate)? {
            reply = reply.line(line);
        }
    }
    reply = reply.line("timeline:");
    for (_, line) in timeline {
        reply = reply.line(format!("  {line}"));
    }
    Ok(reply)
}

/// The change itself, as lines for people.
pub(super) fn change(session: &Session, candidate: &Candidate) -> Result<Vec<String>, Problem> {
    let patch = session.task()?.patch()?;
    let read = baton_patch::parse(&patch, &candidate::limits(session.policy()?))
        .map_err(|refusal| candidate::refused(&refusal))?;
    let mut lines = vec![format!(
        "change on base {} making tree {}: {} files",
        candidate.base,
        candidate.tree,
        read.sections.len()
    )];
    // The log of a terminal outlives a secret's use.
    let book = RuleBook::of_session(session)?;
    let text = String::from_utf8_lossy(&baton_risk::masked(&book, &patch)?).into_owned();
    let all = text.lines().count();
    lines.extend(
        text.lines()
            .take(MOST_LINES)
            .map(|line| format!("  | {}", visible_line(line))),
    );
    if all > MOST_LINES {
        lines.push(format!(
            "  | … {} more lines in draft.patch, not shown here",
            all - MOST_LINES
        ));
    }
    Ok(lines)
}

fn timeline(session: &Session, id: &str) -> Result<Vec<(Value, String)>, Problem> {
    let mut lines = Vec::new();
    for (event, receipt) in session.store()?.log()?.events_of(id)? {
        let (from, to) = (name(&event.from_state), name(&event.to_state));
        let moved = if from == to {
            String::new()
        } else {
            format!("  {from} -> {to}")
        };
        let decision = name(&event.decision);
        let decision = if decision == "NA" {
            String::new()
        } else {
            format!("  {decision}")
        };
        let line = format!(
            "{:>4}  {}  {:<11} {:<17} {:<9}{moved}{decision}",
            receipt.seq,
            event.ts,
            event.actor.name(),
            name(&event.action),
            name(&event.status)
        );
        let json = json!({"seq": event.seq, "ts": event.ts, "actor": event.actor, "action": event.action, "status": event.status, "decision": event.decision, "from_state": event.from_state, "to_state": event.to_state, "event_id": event.event_id});
        lines.push((json, line));
    }
    Ok(lines)
}
