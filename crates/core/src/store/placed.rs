//! Where the file of a database may lie: where git never takes it up, for it holds the log's key, and not among
//! the queue's tasks.

use std::path::{Component, Path};

use super::STOP;
use crate::envelope::QUEUE_ROOT;
use crate::git::Repository;
use crate::problem::Problem;

/// What SQLite and the locks put beside the file.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", ".locks/1"];

/// Refuses a new database whose file would be committed, or would lie among the tasks.
pub(super) fn check(root: &Path, address: &str) -> Result<(), Problem> {
    let Some(file) = address.strip_prefix("sqlite:") else {
        return Ok(());
    };
    let file = root.join(file);
    let (Some(Ok(folder)), Some(name), Ok(top)) = (
        file.parent().map(Path::canonicalize),
        file.file_name(),
        root.canonicalize(),
    ) else {
        // The driver says what is wrong with it.
        return Ok(());
    };
    let file = folder.join(name);
    let Ok(inside) = file.strip_prefix(&top) else {
        return Ok(());
    };
    let first = inside.components().next();
    let is_in = |name: &str| first == Some(Component::Normal(name.as_ref()));
    if is_in(QUEUE_ROOT) {
        if inside.components().count() == 2 && name != STOP {
            return Ok(());
        }
        return Err(refused(inside, "among the queue's own folders and files"));
    }
    if is_in(".git") {
        return Ok(());
    }
    let paths = BESIDE.map(|end| format!("{}{end}", inside.display()));
    match Repository::open(root)?.ignores(&paths)? {
        true => Ok(()),
        false => Err(refused(
            inside,
            "where git takes it up, with the log's key in it",
        )),
    }
}

fn refused(file: &Path, why: &str) -> Problem {
    let why = format!("the database would lie {why}: {}", file.display());
    Problem::fail("STORE_PLACE", why).hint(format!(
        "name a file right in {QUEUE_ROOT}, such as sqlite:{QUEUE_ROOT}/queue.db, or one outside of the repository"
    ))
}
