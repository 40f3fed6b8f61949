//! `baton submit`: a task from a file, from standard input, or from flags.

use std::path::{Path, PathBuf};

use baton_core::audit::{Action, Draft};
use baton_core::envelope::ToolClass;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::{Doer, Submitted};
use baton_core::task::{self, Task, TaskId};
use baton_core::{clock, digest, git, ids};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use serde_json::{Map, Value, json};

use super::Shared;
use crate::reply::Reply;

#[derive(clap::Args)]
struct Arguments {
    /// Read the task from this file; - is standard input
    #[arg(value_name = "FILE|-", conflicts_with_all = ["title", "goal", "allow"])]
    file: Option<PathBuf>,
    /// Name the task (default: made from the date)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Say in one line what it is about
    #[arg(long, value_name = "TEXT", requires_all = ["goal", "allow"])]
    title: Option<String>,
    /// Say what must be true afterwards
    #[arg(long, value_name = "TEXT", requires = "title")]
    goal: Option<String>,
    /// Allow changes to this path or glob; may be given several times
    #[arg(long, value_name = "GLOB", requires = "title")]
    allow: Vec<String>,
    /// Show this file to the proposer; may be given several times
    #[arg(long, value_name = "FILE", requires = "title")]
    target: Vec<String>,
    /// Set the priority
    #[arg(long, value_name = "P0|P1|P2", requires = "title", value_parser = ["P0", "P1", "P2"])]
    priority: Option<String>,
    /// Make the task on this revision (default: the policy's target branch)
    #[arg(long, value_name = "REV", requires = "title")]
    base: Option<String>,
    /// Submit at most once under this key
    #[arg(long, value_name = "KEY", requires = "title")]
    key: Option<String>,
    /// Give up after this time, RFC 3339
    #[arg(long, value_name = "TIME", requires = "title")]
    due: Option<String>,
}

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    Arguments::augment_args(command).after_help(
        "Examples:\n  baton submit --id T-1 --title 'Fix it' --goal 'Fix the typo' --allow README.md\n  \
         baton submit task.json",
    )
}

/// Puts the task into the inbox.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    let session = shared.session(None)?;
    let bytes = match (&arguments.file, &arguments.title) {
        (Some(path), _) => session.read_named(Path::new(path), task::MAX_BYTES)?,
        (None, Some(_)) => from_flags(&arguments, session.actor.name())?,
        (None, None) => {
            return Err(Problem::usage(
                "nothing to submit: name a file, - for standard input, or pass --title, --goal and --allow",
            ));
        }
    };
    let submitted = put(&session, &bytes)?;
    let known = matches!(submitted, Submitted::Known(_));
    let id = submitted.id().to_string();
    let said = if known {
        format!("{id} was submitted before under this key")
    } else {
        format!("{id} waits in the inbox")
    };
    Ok(
        Reply::ok(json!({"command": "submit", "status": "OK", "task_id": id, "known": known}))
            .line(said)
            .line(format!("  go on with: baton run {id} --from FILE.patch")),
    )
}

/// Puts a task into the inbox, or finds the one that came under its key before.
///
/// # Errors
/// `STOP_PRESENT`, `APPROVAL_REQUIRED`, `TASK_TEXT_REFUSED`, `TASK_INVALID`, `TASK_EXISTS`,
/// `IDEMPOTENCY_CONFLICT`, and those of the queue and the log.
pub(super) fn put(session: &Session, bytes: &[u8]) -> Result<Submitted, Problem> {
    session.check_stop()?;
    let repository = session.repository()?;
    let (task, operator) = git::at_one_time(
        || {
            session.authorize(&[ToolClass::Write])?;
            task::refuse_secrets(bytes)?;
            Task::parse(bytes)
        },
        || Ok(repository.ask_operator()),
    )?;
    let store = session.store()?;
    // The policy's rules mask the name; they are read by now.
    let doer = Doer::of_operator(&operator);
    store.submit(&task, |id| {
        let mut draft = Draft::new(session.actor, Action::TaskSubmitted, "baton")?
            .task(id.as_str(), None, Some(State::Inbox))
            .meta("title", task.title.clone());
        for (key, text) in doer.clone().meta() {
            draft = draft.meta(key, text);
        }
        draft.inputs_sha256 = digest::sha256(bytes);
        draft.outputs_sha256 = digest::sha256(&task.to_bytes());
        store.log()?.append(draft).map(drop)
    })
}

/// An id for a task that nobody named.
///
/// # Errors
/// `NO_RANDOMNESS`.
pub(super) fn fresh_id() -> Result<String, Problem> {
    let now = clock::rfc3339(clock::now());
    let date: String = now.chars().take(10).filter(char::is_ascii_digit).collect();
    let random = ids::random_hex()?;
    Ok(format!("T{date}-{}", random.get(..6).unwrap_or("000000")))
}

fn from_flags(arguments: &Arguments, actor: &str) -> Result<Vec<u8>, Problem> {
    let now = clock::rfc3339(clock::now());
    let id = match &arguments.id {
        Some(id) => TaskId::parse(id)?.to_string(),
        None => fresh_id()?,
    };
    let mut task = Map::new();
    let mut put = |key: &str, value: Value| task.insert(key.to_owned(), value);
    put("task_id", json!(id));
    put("title", json!(arguments.title));
    put("goal", json!(arguments.goal));
    put(
        "scope",
        json!({"target_files": arguments.target, "allow_patch_on_files": arguments.allow, "deny_paths_glob": []}),
    );
    put("meta", json!({"created_by": actor, "created_at": now}));
    for (key, value) in [
        ("priority", &arguments.priority),
        ("base", &arguments.base),
        ("idempotency_key", &arguments.key),
        ("due_at", &arguments.due),
    ] {
        if let Some(value) = value {
            put(key, json!(value));
        }
    }
    serde_json::to_vec(&Value::Object(task))
        .map_err(|error| Problem::fail("TASK_INVALID", error.to_string()))
}
