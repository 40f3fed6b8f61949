//! `baton orch`: the queue as rows of a table, and `QUEUE.md`. Every verb goes the way that the other
//! commands go; the table is a view, and the folders stay the queue.

mod hidden;
mod import;
mod reading;
mod render;
mod rows;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use baton_core::audit::{Action, Draft};
use baton_core::clock::{self, Moment};
use baton_core::driver;
use baton_core::envelope::{Envelope, Status, ToolClass};
use baton_core::environment;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::{Doer, Submitted, TaskFolder};
use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand as _};
use serde_json::{Value, json};

use self::table::{QueueStatus, Row};
use super::block::{FAILED, block, checked, nobody_is_at};
use super::{Shared, require_human, submit};
use crate::reply::Reply;

/// What a task may change when nobody says: all that the policy allows.
const ANYTHING: &str = "**";

/// The verbs.
#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// List the tasks as rows
    List {
        /// Those with this status only
        #[arg(long, value_name = "STATUS", value_enum)]
        status: Option<QueueStatus>,
    },
    /// Add a task: PENDING
    Add(Add),
    /// Take the next task, if there is one: IN_PROGRESS
    Pick {
        /// Claim under this name (default: BATON_OWNER, else account@host)
        #[arg(long, value_name = "NAME")]
        owner_session: Option<String>,
    },
    /// Say that a task is done without a change, and how: DONE
    Done(Ended),
    /// Give a task up, and say why: FAILED
    Fail(Ended),
    /// Take the PENDING rows of a QUEUE.md in
    Import(import::Arguments),
    /// Write the queue as a QUEUE.md
    Render(render::Arguments),
}

#[derive(Clone, Debug, Default, clap::Args)]
struct Add {
    /// Name the task (default: made from the date)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Set the priority
    #[arg(long, value_name = "P0|P1|P2", value_parser = ["P0", "P1", "P2"])]
    priority: Option<String>,
    /// Say in one line what is to be done
    #[arg(long, value_name = "TEXT")]
    task: String,
    /// Say how to tell that it is done
    #[arg(long, value_name = "TEXT")]
    success_criteria: Option<String>,
    /// Give up after this time in Korea, such as "2026-02-08 18:00"
    #[arg(long, value_name = "TIME", value_parser = table::from_kst)]
    due_at_kst: Option<String>,
    /// Allow changes to this path or glob; may be given several times (default: all that the policy allows)
    #[arg(long, value_name = "GLOB")]
    allow: Vec<String>,
    /// Submit at most once under this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Say what helps
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
struct Ended {
    /// The task's id
    #[arg(long, value_name = "ID")]
    id: String,
    /// What was done, or what went wrong
    #[arg(long, value_name = "TEXT")]
    notes: String,
}

/// Where the file lies unless it is said: in the queue, which is never committed.
fn default_file(session: &Session) -> Result<PathBuf, Problem> {
    Ok(session
        .root()?
        .join(baton_core::envelope::QUEUE_ROOT)
        .join("QUEUE.md"))
}

/// Adds the verbs.
pub(super) fn arguments(command: Command) -> Command {
    Verb::augment_subcommands(command)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Examples:\n  baton orch list\n  baton orch done --id T-1 --notes 'done by hand'",
        )
}

/// Runs the verb that was named.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let verb = Verb::from_arg_matches(matches);
    let verb = verb.map_err(|error| Problem::usage(error.to_string()))?;
    let named = match &verb {
        Verb::Done(ended) | Verb::Fail(ended) => Some(ended.id.as_str()),
        _ => None,
    };
    let session = shared.session(named)?;
    match &verb {
        Verb::List { status } => list(&session, *status),
        Verb::Add(add) => added(&session, add),
        Verb::Pick { owner_session } => pick(shared, &session, owner_session.as_deref()),
        Verb::Done(ended) => done(&session, &ended.notes),
        Verb::Fail(ended) => fail(&session, &ended.notes),
        Verb::Import(arguments) => import::run(shared, &session, arguments),
        Verb::Render(arguments) => render::run(&session, arguments),
    }
}

fn list(session: &Session, only: Option<QueueStatus>) -> Result<Reply, Problem> {
    let mut rows = rows::all(session, &State::ALL)?;
    rows.retain(|row| only.is_none_or(|only| row.status == only));
    let lines: Vec<_> = rows.iter().map(line).collect();
    let reply = Reply::ok(json!({"command": "orch list", "status": "OK", "tasks": rows}));
    Ok(lines.into_iter().fold(reply, Reply::line))
}

/// How many tasks have each status.
///
/// # Errors
/// `QUEUE_BROKEN`, and those of the log.
pub(super) fn counts(session: &Session) -> Result<Vec<(&'static str, usize)>, Problem> {
    let rows = rows::all(session, &State::ALL)?;
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    let counts = QueueStatus::ALL.map(|status| (status.name(), count(status)));
    Ok(counts.to_vec())
}

fn line(row: &Row) -> String {
    let (priority, status) = (format!("{:?}", row.priority), row.status.name());
    let more = [&row.owner_session, &row.due_at_kst, &row.notes];
    let more: Vec<_> = more
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(String::as_str)
        .collect();
    let more = if more.is_empty() {
        String::new()
    } else {
        format!("  ({})", more.join("; "))
    };
    format!(
        "  {:<24} {priority} {status:<11}  {}{more}",
        row.id.as_str(),
        row.task
    )
}

fn added(session: &Session, add: &Add) -> Result<Reply, Problem> {
    let submitted = submit::put(session, &to_task(session, add)?)?;
    let known = matches!(submitted, Submitted::Known(_));
    let id = submitted.id().to_string();
    let said = match known {
        true => format!("{id} was added before under this key"),
        false => format!("{id} is PENDING"),
    };
    Ok(
        Reply::ok(json!({"command": "orch add", "status": "OK", "task_id": id, "known": known}))
            .line(said),
    )
}

/// The task of a row.
fn to_task(session: &Session, add: &Add) -> Result<Vec<u8>, Problem> {
    let id = match &add.id {
        Some(id) => id.clone(),
        None => submit::fresh_id()?,
    };
    let allow = match add.allow.as_slice() {
        [] => vec![ANYTHING.to_owned()],
        some => some.to_vec(),
    };
    let goal = add.success_criteria.as_ref().unwrap_or(&add.task);
    let now = clock::rfc3339(clock::now());
    let mut task = json!({
        "task_id": id, "title": add.task, "goal": goal, "scope": {"allow_patch_on_files": allow},
        "context": {"notes": add.notes.as_deref().unwrap_or_default()},
        "meta": {"created_by": session.actor.name(), "created_at": now},
    });
    for (key, text) in [
        ("priority", &add.priority),
        ("success_criteria", &add.success_criteria),
        ("due_at", &add.due_at_kst),
        ("idempotency_key", &add.key),
    ] {
        if let (Some(fields), Some(text)) = (task.as_object_mut(), text) {
            fields.insert(key.to_owned(), json!(text));
        }
    }
    serde_json::to_vec(&task).map_err(|error| Problem::fail("TASK_INVALID", error.to_string()))
}

/// Claims the next task. Nothing is changed when there is none, not even in the log.
fn pick(shared: &Shared, session: &Session, owner: Option<&str>) -> Result<Reply, Problem> {
    session.check_stop()?;
    session.authorize(&[ToolClass::Move])?;
    if !session.store()?.has_next(Moment::now())? {
        return Ok(nothing());
    }
    let mut line: Vec<OsString> = ["claim-lock", "--next", "--actor", session.actor.name()]
        .map(Into::into)
        .to_vec();
    let owner = owner.map_or_else(environment::default_owner, str::to_owned);
    line.extend(["--owner".into(), owner.into()]);
    if let Some(repo) = &shared.repo {
        line.extend(["--repo".into(), repo.into()]);
    }
    let done = driver::invoke(&claim_lock::SKILL, line, None)?;
    let envelope = &done.envelope;
    if envelope.status == Status::Ok {
        let id = &envelope.task.task_id;
        return Ok(Reply::ok(json!({
            "command": "orch pick", "status": "OK", "task_id": id, "summary": envelope.summary,
        }))
        .line(format!("{id} is IN_PROGRESS: {}", envelope.summary))
        .line(format!("  go on with: baton run {id} --from FILE.patch")));
    }
    match is_nothing(envelope) {
        true => Ok(nothing()),
        false => Ok(Reply::ok(json!({
            "command": "orch pick", "status": envelope.status, "task_id": Value::Null,
            "summary": envelope.summary, "next": done.hints,
        }))
        .line(envelope.summary.clone())
        .code(done.code)),
    }
}

/// Somebody else was quicker, or a dropped file was no task.
fn is_nothing(envelope: &Envelope) -> bool {
    envelope
        .findings
        .iter()
        .any(|one| one.code == "TASK_NOT_FOUND")
}

fn nothing() -> Reply {
    Reply::ok(json!({"command": "orch pick", "status": "OK", "task_id": Value::Null}))
        .line("no task is PENDING")
}

/// Closes a task without a change, by a person's word. What has a change is done when that has landed.
fn done(session: &Session, notes: &str) -> Result<Reply, Problem> {
    session.check_stop()?;
    require_human(session, "saying that a task is done without a change")?;
    session.authorize(&[ToolClass::Move])?;
    let notes = checked(session, notes)?;
    let store = session.store()?;
    let mut task = store.task(&session.task_id()?)?;
    let _held = task.hold()?;
    let (id, from) = (task.id().to_string(), task.state());
    may_close(&task)?;
    let fence = task.lease()?.map(|lease| lease.fence);
    let mut draft = Draft::new(session.actor, Action::TaskClosed, "baton")?
        .task(&id, Some(from), Some(State::Done))
        .meta("notes", notes);
    for (key, text) in Doer::here(session.repository()?).meta() {
        draft = draft.meta(key, text);
    }
    draft.approvals = vec![session.standing(ToolClass::Move)?];
    store.log()?.append(draft)?;
    if from != State::Done {
        store.transition(&mut task, State::Done, fence, true)?;
    }
    Ok(Reply::ok(
        json!({"command": "orch done", "status": "OK", "task_id": id, "moved": from != State::Done}),
    )
    .line(format!("{id} is DONE; nothing was changed for it")))
}

fn may_close(task: &TaskFolder) -> Result<(), Problem> {
    let (id, state) = (task.id(), task.state());
    let refuse = |why: &str, next: String| {
        Err(Problem::fail("STATE_RULE", format!("task {id} is in {state}: {why}")).hint(next))
    };
    match state {
        State::Done => return Ok(()),
        State::Inbox => return refuse("nobody has taken it", "baton orch pick".to_owned()),
        State::Blocked => return refuse("it stopped there", format!("baton retry {id}")),
        State::Claimed | State::Work | State::Pr => {}
    }
    if task.candidate()?.is_some() {
        let next = format!("baton run {id}; without its change: baton retry {id}");
        return refuse("it has a change, and is done when that has landed", next);
    }
    nobody_is_at(task)
}

fn fail(session: &Session, notes: &str) -> Result<Reply, Problem> {
    session.check_stop()?;
    session.authorize(&[ToolClass::Move])?;
    let notes = checked(session, notes)?;
    let id = session.task_id()?.to_string();
    let by = vec![session.standing(ToolClass::Move)?];
    if !block(session, (FAILED, Some(&notes)), by, nobody_is_at)? {
        let why = format!("task {id} is done or blocked already");
        return Err(Problem::fail("STATE_RULE", why).hint(format!("baton show {id}")));
    }
    Ok(
        Reply::ok(json!({"command": "orch fail", "status": "OK", "task_id": id}))
            .line(format!("{id} is FAILED"))
            .line(format!("  once it is mended: baton retry {id}")),
    )
}
