//! `baton orch render`: the queue as a `QUEUE.md`, in one step or not at all, and over nobody's work.

use std::path::{Path, PathBuf};

use baton_core::envelope::ToolClass;
use baton_core::files::Folder;
use baton_core::output_file;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use serde_json::json;

use super::table::{self, MAX_BYTES, MOST_ROWS};
use super::{default_file, rows};
use crate::reply::Reply;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write this file; - is standard output (default: .autodev_queue/QUEUE.md)
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// Leave what is done out
    #[arg(long)]
    open: bool,
    /// Write over a file that was not rendered, or was changed since
    #[arg(long)]
    force: bool,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<Reply, Problem> {
    let states = State::ALL.into_iter();
    let states: Vec<_> = states
        .filter(|state| !arguments.open || *state != State::Done)
        .collect();
    let rows = rows::all(session, &states)?;
    let text = table::render(&rows);
    if rows.len() > MOST_ROWS || text.len() > MAX_BYTES {
        let why = format!(
            "{} tasks make a table that nobody reads, at most {MOST_ROWS}",
            rows.len()
        );
        return Err(Problem::fail("LIMITS_EXCEEDED", why).hint("baton orch render --open"));
    }
    let named = arguments.file.clone();
    if named.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        return Ok(Reply::payload(text));
    }
    session.check_stop()?;
    session.authorize(&[ToolClass::Write])?;
    if named.is_some() {
        // A file of the user's: whoever may only propose names none.
        session.authorize(&[ToolClass::Move])?;
    }
    let place = place(session, named.as_deref())?;
    write(&place, text.as_bytes(), arguments.force)?;
    let shown = place.0.display().to_string();
    Ok(Reply::ok(json!({
        "command": "orch render", "status": "OK", "file": shown, "rows": rows.len(),
    }))
    .line(format!("{} rows are in {shown}", rows.len())))
}

/// Where the table goes: the queue's own file, or one that was named.
fn place(session: &Session, named: Option<&Path>) -> Result<(PathBuf, Folder, String), Problem> {
    let own = default_file(session)?;
    match named {
        Some(file) if file != own => {
            let (folder, name) = output_file::place(file)?;
            Ok((file.to_owned(), folder, name))
        }
        _ => {
            let (parent, name) = (own.parent(), own.file_name());
            let folder = Folder::open(parent.unwrap_or(Path::new(".")));
            let folder = folder.map_err(|error| Problem::io(own.display(), &error))?;
            let name = name.unwrap_or_default().to_string_lossy().into_owned();
            Ok((own, folder, name))
        }
    }
}

fn write(
    (file, folder, name): &(PathBuf, Folder, String),
    bytes: &[u8],
    force: bool,
) -> Result<(), Problem> {
    let trouble = |error: std::io::Error| Problem::io(file.display(), &error);
    if !folder.exists(name).map_err(trouble)? {
        return folder.write_new(name, bytes).map_err(trouble);
    }
    let is_ours = folder
        .read(name, MAX_BYTES)
        .is_ok_and(|old| table::is_as_rendered(&old));
    if !is_ours && !force {
        let why = format!("{} was not rendered, or was changed since", file.display());
        return Err(Problem::fail("FILE_EXISTS", why)
            .hint("take its rows in: baton orch import FILE; or write over it: --force"));
    }
    folder.replace(name, bytes).map_err(trouble)
}
