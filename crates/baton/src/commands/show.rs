//! `baton show`: one task, its change, its results and its timeline.

use baton_core::candidate::{self, Candidate};
use baton_core::git::Oid;
use baton_core::masking;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::terminal::visible_line;
use baton_risk::RuleBook;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::audit::name;
use super::{Shared, named_task, status, task_argument, unchecked};
use crate::reply::Reply;
use crate::view::{self, Settings, View, code, glyphs};

/// How many rows of a change are shown; with --diff all are.
const MOST_ROWS: usize = 200;

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    command
        .arg(task_argument())
        .arg(flag(
            "diff",
            "Show all of the change as approve does, with its code",
        ))
        .arg(flag("unfold", "Show generated files and lockfiles whole").requires("diff"))
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
    let why = status::said_by_a_person(&session, folder)?;
    let mut reply = Reply::ok(json!({
        "command": "show", "status": "OK", "task_id": id, "state": state, "title": title, "stopped": why,
        "candidate": candidate, "results": results, "timeline": timeline.iter().map(|(json, _)| json).collect::<Vec<_>>(),
    }));
    reply = reply.line(format!("{id} in {state}: {}", visible_line(&title)));
    if let Some(why) = &why {
        reply = reply.line(format!("  stopped: {why}"));
    }
    for kept in &kept {
        reply = reply.line(format!(
            "  {:<34} {:<9} {}",
            kept.name,
            name(&kept.envelope.status),
            visible_line(&kept.envelope.summary)
        ));
    }
    if let Some(candidate) = &candidate {
        for line in lines(&session, candidate, matches)? {
            reply = reply.line(line);
        }
    }
    reply = reply.line("timeline:");
    for (_, line) in timeline {
        reply = reply.line(format!("  {line}"));
    }
    Ok(reply)
}

fn lines(
    session: &Session,
    candidate: &Candidate,
    matches: &ArgMatches,
) -> Result<Vec<String>, Problem> {
    if matches.get_flag("diff") {
        return review(session, candidate, matches.get_flag("unfold"));
    }
    Ok(match change(session, candidate, MOST_ROWS, false) {
        Ok(mut view) => {
            let left = view.not_shown.into_iter();
            view.lines
                .extend(left.map(|what| format!("not shown: {what}")));
            view.lines
        }
        // The rest of the task is worth showing all the same.
        Err(problem) => vec![format!("the change cannot be shown: {}", problem.message)],
    })
}

/// The change itself, as lines for people.
fn change(
    session: &Session,
    candidate: &Candidate,
    most: usize,
    unfold: bool,
) -> Result<View, Problem> {
    let policy = session.policy()?;
    // The log of a terminal outlives a secret's use.
    let book = RuleBook::of_session(session)?;
    let mask = |text: &[u8]| baton_risk::masked(&book, text);
    let repository = session.repository()?;
    let objects = session.store()?.objects(repository)?;
    let trees = (
        &Oid::parse(&candidate.base_tree)?,
        &Oid::parse(&candidate.tree)?,
    );
    let settings = Settings {
        policy,
        limits: candidate::limits(policy),
        width: view::width(),
        most,
        unfold,
        mask: &mask,
    };
    let mut view = view::of(&objects, trees, &settings)?;
    let title = [
        format!("change on base {}", candidate.base),
        format!("making tree {}:", candidate.tree),
    ];
    view.lines.splice(0..0, title);
    Ok(view)
}

/// The whole of what a person looks at before they approve: the change, what was not checked, and the
/// code at the end.
pub(super) fn review(
    session: &Session,
    candidate: &Candidate,
    unfold: bool,
) -> Result<Vec<String>, Problem> {
    let mut lines = asked(session)?;
    let view = change(session, candidate, usize::MAX, unfold)?;
    lines.extend(view.lines);
    let unchecked = unchecked::of(session)?;
    if view.not_shown.is_empty() && unchecked.is_empty() {
        lines.push("everything is shown, and every check ran".to_owned());
    } else {
        lines.push("NOT shown or NOT checked:".to_owned());
        let all = view.not_shown.into_iter().chain(unchecked);
        lines.extend(all.map(|what| format!("  - {what}")));
    }
    if let Some(push_to) = session.push_to()? {
        lines.push(format!("a branch for review is pushed to {push_to}"));
    }
    lines.push(format!("code of this candidate: {}", code::of(candidate)));
    Ok(view::wrapped(lines, view::width()))
}

/// What was asked for: the change lands under this title, and was held against this scope.
fn asked(session: &Session) -> Result<Vec<String>, Problem> {
    let task = session.store()?.asked(session.task()?)?;
    let paths = |paths: &[String]| {
        let shown = paths.iter().map(|path| glyphs::path(path.as_bytes()));
        shown.collect::<Vec<_>>().join(" ")
    };
    let title = glyphs::line(masking::text(&task.title).as_bytes());
    let allowed = paths(&task.scope.allow_patch_on_files);
    let mut lines = vec![
        format!("task {}: {title}", task.task_id),
        format!("  may change {allowed}"),
    ];
    if !task.scope.deny_paths_glob.is_empty() {
        let denied = paths(&task.scope.deny_paths_glob);
        lines.push(format!("  may not change {denied}"));
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
