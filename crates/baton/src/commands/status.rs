//! `baton status`: what waits, for what or whom, and since when.

use baton_core::approval::Verdict;
use baton_core::clock::{self, Moment};
use baton_core::envelope::{Decision, ToolClass};
use baton_core::lease::Lease;
use baton_core::problem::Problem;
use baton_core::quorum::Purpose;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::{Stop, Store, TaskFolder, Wedge, wedge};
use baton_core::task::TaskId;
use baton_core::terminal::visible_line;
use clap::ArgMatches;
use serde_json::{Value, json};

use super::{Shared, retry, stuck};
use crate::reply::{self, Reply};

/// How much of what was said of a task stands in its line, in characters.
const MOST_WORDS: usize = 160;

/// Lists every task that is not done, with what it waits for.
pub(super) fn run(shared: &Shared, _: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    let store = session.store()?;
    let (counts, entries) = match store.scan(&State::ALL) {
        Ok(scanned) => scanned,
        Err(problem) => return broken(&session, &problem),
    };
    let stop = match store.stop() {
        Stop::Absent => None,
        Stop::Present(why) => Some(match session.stop_said() {
            Some(said) => format!("{why}; {said}"),
            None => why,
        }),
    };
    let now = clock::now();
    let mut tasks = Vec::new();
    let mut lines = Vec::new();
    for entry in entries.iter().filter(|entry| entry.state != State::Done) {
        let waits = waits_for(&session, &entry.task_id, entry.state);
        let since = entry.updated_at.clone().unwrap_or_default();
        let age = clock::parse_rfc3339(&since)
            .map_or_else(|| "?".to_owned(), |since| clock::age(since, now));
        lines.push(format!(
            "  {:<8} {:<24} {age:>4}  {waits}",
            entry.state.name(),
            entry.task_id
        ));
        tasks.push(json!({"task_id": entry.task_id, "state": entry.state, "since": since, "waits_for": waits}));
    }
    let summary = format!(
        "inbox {}  claimed {}  work {}  pr {}  done {}  blocked {}",
        counts.inbox, counts.claimed, counts.work, counts.pr, counts.done, counts.blocked
    );
    let found = stuck::find(&session, None, stuck::PATIENCE)?;
    let mut reply = Reply::ok(
        json!({"command": "status", "status": "OK", "stop": stop, "counts": counts, "tasks": Value::Array(tasks), "stuck": found}),
    );
    if let Some(why) = stop {
        reply = reply.line(format!("STOP is on: {why}; lift it with: baton resume"));
    }
    reply = reply.line(summary);
    for line in lines {
        reply = reply.line(line);
    }
    // What waits for people, and what nobody holds, the list above says already.
    let said = [
        "STOP_ON",
        "PERSON_WAITED_FOR",
        "READY_TO_LAND",
        "DENIED",
        "NO_CANDIDATE",
        "LANDING_UNRECORDED",
        "UNHELD",
    ];
    for one in found.iter().filter(|one| !said.contains(&one.code)) {
        reply = reply.line(format!("stuck: {}", one.line(now)));
    }
    Ok(reply)
}

/// The tasks cannot be listed. What keeps the queue from moving is said all the same.
fn broken(session: &Session, problem: &Problem) -> Result<Reply, Problem> {
    let found = stuck::find(session, None, stuck::PATIENCE)?;
    let reply = reply::problem("status", problem).field("stuck", json!(found));
    let now = clock::now();
    let lines = found.iter().map(|one| format!("stuck: {}", one.line(now)));
    Ok(lines.fold(reply, Reply::line))
}

/// Says in one phrase what a task waits for. Trouble with one task must not hide the others.
fn waits_for(session: &Session, id: &str, state: State) -> String {
    let told = TaskId::parse(id)
        .and_then(|id| session.store()?.task(&id))
        .and_then(|task| match state {
            State::Inbox => in_inbox(session.store()?, &task),
            State::Claimed | State::Work => in_hand(&task),
            State::Pr => in_pr(session, &task).map(|one| one.why),
            State::Blocked => why_blocked(session, &task),
            State::Done => Ok("nothing".to_owned()),
        });
    match told {
        Ok(text) => text,
        Err(problem) if state == State::Inbox && problem.code == "TASK_NOT_FOUND" => {
            "intake: a loose file, taken in by the next claim".to_owned()
        }
        Err(problem) => format!("somebody to mend it: {}", problem.message),
    }
}

fn in_inbox(store: &Store, task: &TaskFolder) -> Result<String, Problem> {
    let id = task.id();
    Ok(match store.done_under_its_key(id)? {
        None => format!("a worker: baton run {id}"),
        Some(done) => format!("nothing: {done} is done under the same idempotency key"),
    })
}

fn in_hand(task: &TaskFolder) -> Result<String, Problem> {
    let id = task.id();
    Ok(match task.lease()? {
        None => format!("a worker: nobody holds it; baton run {id}"),
        Some(lease) if lease.is_over(Moment::now()) => {
            format!(
                "a worker: the lease of {} is over; baton run {id}",
                lease.owner
            )
        }
        Some(Lease {
            owner, lease_until, ..
        }) => format!("{owner}, who holds it until {lease_until}"),
    })
}

/// What a task in `pr` waits for: a person, or somebody to land it.
pub(super) fn in_pr(session: &Session, task: &TaskFolder) -> Result<Wedge, Problem> {
    let id = task.id();
    let named = Some(id.as_str());
    let one = |code, why: String, next: String| Ok(wedge(code, named, why, next));
    let Some(candidate) = task.candidate()? else {
        let why = "a candidate; baton retry it".to_owned();
        return one("NO_CANDIDATE", why, format!("baton retry {id}"));
    };
    let store = session.store()?;
    if let Some(landed) = store.unrecorded_landing(session.repository()?, id.as_str())? {
        let next = format!("baton run {id}");
        let why = format!("its record: {landed}; {next}");
        return Ok(wedge("LANDING_UNRECORDED", named, why, next).broken());
    }
    let ledger = store.ledger(&candidate)?;
    if ledger
        .given
        .iter()
        .any(|one| one.verdict == Verdict::Denied)
    {
        let why = format!("nothing: a person denied it; baton retry {id}");
        return one("DENIED", why, format!("baton retry {id}"));
    }
    let (what, class) = match task.recorded_decision()? {
        Some(Decision::AutoMerge) => ("AUTO_MERGE", ToolClass::Merge),
        _ => ("PR_ONLY", ToolClass::Pr),
    };
    let ask = format!("a person's approval ({what}): baton show {id}; baton approve {id}");
    let approve = format!("baton approve {id}");
    if ledger.given.is_empty() && ledger.revoked.is_empty() {
        return one("PERSON_WAITED_FOR", ask, approve);
    }
    let answer = session.quorum_of(task, &candidate, class, Purpose::Finish)?;
    let by: Vec<_> = answer
        .counted
        .iter()
        .map(|one| one.approved_by.as_str())
        .collect();
    let by = by.join(", ");
    if answer.is_enough() {
        let why = format!("landing, approved by {by}: baton run {id}");
        return one("READY_TO_LAND", why, format!("baton run {id}"));
    }
    let more = match (answer.counted.is_empty(), answer.refused.is_empty()) {
        (false, _) => format!("; by now {by}, but {}", answer.says()),
        (true, false) => format!("; {}", answer.refused.join("; ")),
        (true, true) => String::new(),
    };
    one("PERSON_WAITED_FOR", format!("{ask}{more}"), approve)
}

fn why_blocked(session: &Session, task: &TaskFolder) -> Result<String, Problem> {
    let (id, next) = (task.id(), retry::next(session, task)?);
    let why: String = match said_by_a_person(session, task)? {
        Some(said) => said,
        None => why_ended(task)?,
    };
    let why: String = why.chars().take(MOST_WORDS).collect();
    Ok(format!("a person: {why}; baton show {id}; {next}"))
}

/// Why a person, or a dispatcher, stopped a task, where its last move was their word.
pub(super) fn said_by_a_person(
    session: &Session,
    task: &TaskFolder,
) -> Result<Option<String>, Problem> {
    if task.state() != State::Blocked {
        return Ok(None);
    }
    let events = session.store()?.log()?.events_of(task.id().as_str())?;
    let last = events.iter().rev().map(|(event, _)| event);
    let last = last
        .clone()
        .find(|event| event.moves_to() == Some(State::Blocked));
    let said = |key: &str| {
        let said = last?.meta.get(key)?.as_str()?;
        Some(visible_line(said))
    };
    Ok(match (said("reason"), said("notes")) {
        (Some(reason), Some(notes)) => Some(format!("{reason}; {notes}")),
        (reason, _) => reason,
    })
}

fn why_ended(task: &TaskFolder) -> Result<String, Problem> {
    let kept = task.envelopes()?;
    let why = kept
        .iter()
        .rev()
        .find(|kept| kept.envelope.skill == "incident-brief")
        .or(kept.last());
    Ok(why.map_or_else(
        || "see the log".to_owned(),
        |kept| kept.envelope.summary.clone(),
    ))
}
