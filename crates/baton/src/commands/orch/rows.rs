//! The queue as rows: what each task's cells say.

use std::collections::{HashMap, HashSet};

use baton_core::audit::{Action, Event};
use baton_core::clock::{self, Moment};
use baton_core::envelope::{Envelope, Status};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;
use baton_core::task::{Priority, Task, TaskId};

use super::table::{QueueStatus, Row, cell, notes_cell, to_kst};
use crate::commands::block::{FAILED, SPENT};

/// Every task of these states as a row, by state and then by name.
///
/// # Errors
/// `QUEUE_BROKEN`, and those of the log.
pub(super) fn all(session: &Session, states: &[State]) -> Result<Vec<Row>, Problem> {
    let store = session.store()?;
    let (_, entries) = store.scan(states)?;
    let ids: HashSet<String> = entries.iter().map(|entry| entry.task_id.clone()).collect();
    let histories = store.log()?.histories(ids)?;
    let mut rows = Vec::new();
    for entry in entries {
        // A loose file, which no claim has taken in yet, or a task that went away meanwhile.
        let Ok(task) = TaskId::parse(&entry.task_id).and_then(|id| store.task(&id)) else {
            continue;
        };
        rows.push(of(&task, &histories));
    }
    Ok(rows)
}

/// One task as a row.
pub(super) fn of(task: &TaskFolder, histories: &HashMap<String, Vec<Event>>) -> Row {
    let events = histories.get(task.id().as_str());
    let events = events.map(Vec::as_slice).unwrap_or_default();
    let what = task.task().ok();
    let status = status(task, events);
    let held = task.lease().ok().flatten();
    let held = held.filter(|lease| !lease.is_over(Moment::now()));
    let held = held.filter(|_| status == QueueStatus::InProgress);
    let text = |of: fn(&Task) -> Option<&str>| {
        let text = what.as_ref().and_then(of);
        text.map(cell).unwrap_or_default()
    };
    let due = what.as_ref().and_then(|task| task.due_at.as_deref());
    Row {
        id: task.id().clone(),
        priority: what
            .as_ref()
            .map_or_else(Priority::default, |task| task.priority),
        status,
        owner_session: held.map(|lease| cell(&lease.owner)).unwrap_or_default(),
        task: text(|task| Some(&task.title)),
        success_criteria: text(|task| task.success_criteria.as_deref()),
        due_at_kst: due
            .and_then(clock::parse_with_offset)
            .map(to_kst)
            .unwrap_or_default(),
        notes: notes_cell(&notes(task, events, what.as_ref())),
    }
}

/// What a person wrote last, or what the incident says that came after, or what came with the task.
fn notes(folder: &TaskFolder, events: &[Event], task: Option<&Task>) -> String {
    let meta = |event: &Event, key: &str| Some(event.meta.get(key)?.as_str()?.to_owned());
    let said = |event: &Event| match meta(event, "notes") {
        None if event.action == Action::IncidentRaised => incident(folder),
        None if event.action == Action::TaskBlocked => meta(event, "reason"),
        notes => notes,
    };
    let said = events.iter().rev().find_map(said);
    said.unwrap_or_else(|| {
        task.map(|task| task.context.notes.clone())
            .unwrap_or_default()
    })
}

/// What the last incident that lies with the task says in one line.
fn incident(folder: &TaskFolder) -> Option<String> {
    let kept = folder.envelopes().ok()?.into_iter().rev();
    let mut kept = kept.map(|kept| kept.envelope);
    let found = kept.find(|envelope| envelope.skill == incident_brief::SKILL.envelope);
    found.map(|envelope| envelope.summary)
}

/// Where a task stands, in the words of the table.
pub(super) fn status(task: &TaskFolder, events: &[Event]) -> QueueStatus {
    match task.state() {
        State::Inbox => QueueStatus::Pending,
        State::Claimed | State::Work | State::Pr => QueueStatus::InProgress,
        State::Done => QueueStatus::Done,
        State::Blocked => why_blocked(task, events),
    }
}

/// A try that went wrong is FAILED: by a person's word, or by the result that the incident is about.
/// Whatever needs somebody first (an approval, an answer, the policy) is BLOCKED.
fn why_blocked(task: &TaskFolder, events: &[Event]) -> QueueStatus {
    let moves = |event: &&Event| event.moves_to() == Some(State::Blocked);
    let failed = match events.iter().rev().find(moves) {
        Some(line) if line.action == Action::IncidentRaised => is_about_failure(task),
        Some(line) => {
            let reason = line.meta.get("reason").and_then(|reason| reason.as_str());
            reason.is_some_and(|reason| [FAILED, SPENT].contains(&reason))
        }
        None => false,
    };
    if failed {
        QueueStatus::Failed
    } else {
        QueueStatus::Blocked
    }
}

fn is_about_failure(task: &TaskFolder) -> bool {
    let Ok(kept) = task.envelopes() else {
        return false;
    };
    let has =
        |envelope: &Envelope, code: &str| envelope.findings.iter().any(|one| one.code == code);
    let mut kept = kept.iter().rev().map(|kept| &kept.envelope);
    if kept
        .clone()
        .next()
        .is_some_and(|last| has(last, "ATTEMPTS_SPENT"))
    {
        return true;
    }
    let cause = kept.find(|envelope| envelope.skill != incident_brief::SKILL.envelope);
    cause.is_some_and(|cause| cause.status == Status::Fail && !has(cause, "NEED_INPUT"))
}
