//! `baton orch import`: the rows of a `QUEUE.md` become tasks. A row can add a task, and, where that is asked
//! for, put one back that stopped; whatever else it says, the queue knows better.

use std::path::PathBuf;

use baton_core::audit::Event;
use baton_core::envelope::Status;
use baton_core::exit;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Submitted;
use baton_core::task::TaskId;
use serde_json::{Value, json};

use super::table::{self, MAX_BYTES, QueueStatus, Row};
use super::{Add, default_file, reading, rows, to_task};
use crate::commands::{Shared, retry, submit};
use crate::reply::Reply;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Read this file; - is standard input (default: .autodev_queue/QUEUE.md)
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// Allow every task of it changes to this path or glob; may be given several times (default: all that
    /// the policy allows)
    #[arg(long, value_name = "GLOB")]
    allow: Vec<String>,
    /// Put tasks back that are FAILED or BLOCKED here and PENDING in the file
    #[arg(long)]
    retry: bool,
}

/// What became of the rows.
#[derive(Default)]
struct Imported {
    added: Vec<String>,
    retried: Vec<String>,
    known: Vec<String>,
    differs: Vec<Value>,
    skipped: Vec<Value>,
    failed: Vec<Value>,
}

pub(super) fn run(
    shared: &Shared,
    session: &Session,
    arguments: &Arguments,
) -> Result<Reply, Problem> {
    session.check_stop()?;
    let file = arguments.file.clone();
    let file = file.map_or_else(|| default_file(session), Ok)?;
    let rows = reading::parse(&session.read_named(&file, MAX_BYTES)?)?;
    let mut imported = Imported::default();
    for row in &rows {
        session.check_stop()?;
        // One row must not keep the others out.
        if let Err(problem) = imported.take(shared, session, arguments, row) {
            imported.failed.push(json!({
                "task_id": row.id, "code": problem.code, "message": problem.message,
            }));
        }
    }
    Ok(imported.reply(rows.len()))
}

impl Imported {
    fn take(
        &mut self,
        shared: &Shared,
        session: &Session,
        arguments: &Arguments,
        row: &Row,
    ) -> Result<(), Problem> {
        let id = row.id.to_string();
        if let Some(is) = current(session, &row.id)? {
            return self.known(shared, arguments, row, &is);
        }
        if row.status != QueueStatus::Pending {
            let why = format!(
                "it is {} and not in the queue: only PENDING is taken in",
                row.status.name()
            );
            self.skipped.push(json!({"task_id": id, "why": why}));
            return Ok(());
        }
        let add = added(arguments, row)?;
        match submit::put(session, &to_task(session, &add)?) {
            Ok(Submitted::New(id) | Submitted::Known(id)) => self.added.push(id.to_string()),
            // Somebody else may have taken it in since we looked, from the same file.
            Err(problem) if problem.code == "TASK_EXISTS" => match current(session, &row.id)? {
                Some(is) => return self.known(shared, arguments, row, &is),
                None => return Err(problem),
            },
            Err(problem) => return Err(problem),
        }
        Ok(())
    }

    fn known(
        &mut self,
        shared: &Shared,
        arguments: &Arguments,
        row: &Row,
        is: &Row,
    ) -> Result<(), Problem> {
        let id = row.id.to_string();
        let says = |row: &Row| json!({"priority": row.priority, "task": row.task, "success_criteria": row.success_criteria, "due_at_kst": row.due_at_kst});
        if says(row) != says(is) {
            let why = "a task stays what it was when it came; give a new id to what is new";
            self.differs
                .push(json!({"task_id": id, "row": says(row), "task": says(is), "why": why}));
            return Ok(());
        }
        let stopped = matches!(is.status, QueueStatus::Failed | QueueStatus::Blocked);
        if arguments.retry && row.status == QueueStatus::Pending && stopped {
            retry::again(&shared.session(Some(&id))?, "orch import", None)?;
            self.retried.push(id);
        } else {
            self.known.push(id);
        }
        Ok(())
    }

    fn reply(self, rows: usize) -> Reply {
        let is_whole = self.failed.is_empty() && self.differs.is_empty();
        let status = if is_whole {
            Status::Ok
        } else {
            Status::Partial
        };
        let count = |what: &str, count: usize| format!("{count} {what}");
        let said = [
            count("added", self.added.len()),
            count("put back", self.retried.len()),
            count("known", self.known.len()),
            count("differ", self.differs.len()),
            count("left out", self.skipped.len()),
            count("refused", self.failed.len()),
        ];
        let mut reply = Reply::ok(json!({
            "command": "orch import", "status": status, "rows": rows, "added": self.added,
            "retried": self.retried, "known": self.known, "differs": self.differs,
            "skipped": self.skipped, "failed": self.failed,
        }))
        .code(exit::code(status, None))
        .line(format!("{rows} rows: {}", said.join(", ")));
        let told = self.differs.iter().chain(&self.skipped).chain(&self.failed);
        for one in told {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            reply = reply.line(format!(
                "  {}: {}{}",
                text("task_id"),
                text("why"),
                text("message")
            ));
        }
        reply
    }
}

/// The task that a row asks for.
fn added(arguments: &Arguments, row: &Row) -> Result<Add, Problem> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Add {
        id: Some(row.id.to_string()),
        priority: Some(format!("{:?}", row.priority)),
        task: row.task.clone(),
        success_criteria: text(&row.success_criteria),
        due_at_kst: text(&row.due_at_kst)
            .map(|due| table::from_kst(&due).map_err(Problem::usage))
            .transpose()?,
        allow: arguments.allow.clone(),
        key: None,
        notes: text(&row.notes),
    })
}

/// The row of a task that is in the queue already.
fn current(session: &Session, id: &TaskId) -> Result<Option<Row>, Problem> {
    let store = session.store()?;
    if store.find(id)?.is_none() {
        return Ok(None);
    }
    let task = store.task(id)?;
    let events = store.log()?.events_of(id.as_str())?.into_iter();
    let events: Vec<Event> = events.map(|(event, _)| event).collect();
    Ok(Some(rows::of(&task, &[(id.to_string(), events)].into())))
}
