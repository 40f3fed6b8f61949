//! `baton bundle`: everything that a stranger needs to check a task, in one file.
//!
//! The file is a few lines of text, an empty line, and a git pack: the base commit with all its files, the
//! commit that landed, and a tree with what the queue and the single source of truth hold of the task.

mod format;
mod gather;
mod unpack;

use std::path::PathBuf;

use baton_core::audit::{Action, Event};
use baton_core::digest;
use baton_core::git::{ObjectStore, Oid};
use baton_core::output_file;
use baton_core::problem::Problem;
use baton_core::session::Session;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use serde_json::json;

use super::Shared;
use crate::reply::Reply;
use format::Header;
pub(super) use unpack::unpack;

/// The flags.
#[derive(Clone, Debug, clap::Args)]
struct Arguments {
    /// The task's id
    #[arg(value_name = "TASK")]
    task: String,
    /// The file to make; one that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    Arguments::augment_args(command)
}

/// Writes the bundle.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let arguments = Arguments::from_arg_matches(matches);
    let arguments = arguments.map_err(|error| Problem::usage(error.to_string()))?;
    let session = shared.session(Some(&arguments.task))?;
    let (task, repository) = (session.task()?, session.repository()?);
    let candidate = task.candidate()?.ok_or_else(|| {
        let why = format!(
            "task {} has no candidate yet: there is nothing to check",
            task.id()
        );
        Problem::fail("CANDIDATE_MISSING", why).hint("take it further first: baton run TASK")
    })?;
    let landed = landed(&session)?;
    let base = repository.commit(&candidate.base)?;
    let files = gather::files(&session)?;
    let (_folder, store) = ObjectStore::temporary(repository)?;
    let record = store.store_files(&files)?;
    let before = bases_before(&session)?;
    let whole = [&base, &record].into_iter().chain(&landed);
    let whole: Vec<_> = whole.chain(&before).collect();
    let pack = store.pack_whole(&whole)?;
    let header = Header {
        task: task.id().clone(),
        record,
        objects: repository.objects()?.1,
    };
    let bytes = [header.to_text().as_bytes(), &pack].concat();
    let shown = arguments.out.display().to_string();
    output_file::write_new(&arguments.out, &bytes)?;
    let sha256 = digest::sha256(&bytes);
    let json = json!({
        "command": "bundle", "status": "OK", "task_id": task.id(), "file": shown, "bytes": bytes.len(),
        "sha256": sha256, "files": files.len(), "base": base.to_string(),
    });
    Ok(Reply::ok(json)
        .line(format!("{shown}: {} bytes, SHA-256 {sha256}", bytes.len()))
        .line("  it holds the base's files, the whole log and what was kept of the task")
        .line(format!(
            "check it anywhere: baton verify --bundle {shown} --key LOG_KEY"
        )))
}

/// The commit that came of the task, if there is one.
fn landed(session: &Session) -> Result<Option<Oid>, Problem> {
    let events = session
        .store()?
        .log()?
        .events_of(session.task_id()?.as_str())?;
    let commit = |event: &Event| {
        let ends = matches!(event.action, Action::ChangeLanded | Action::PrBranchCreated);
        let commit = event.meta.get("commit")?.as_str()?;
        ends.then(|| Oid::parse(commit))
    };
    let mut commits = events.iter().rev().filter_map(|(event, _)| commit(event));
    commits.next().transpose()
}

/// What earlier attempts stood on: an approval that was carried over came from one of them.
fn bases_before(session: &Session) -> Result<Vec<Oid>, Problem> {
    let task = session.task()?;
    let mut bases = Vec::new();
    for number in 1..=task.attempts()? {
        if let Some(candidate) = task.attempt(number)?.candidate()? {
            bases.push(session.repository()?.commit(&candidate.base)?);
        }
    }
    Ok(bases)
}
