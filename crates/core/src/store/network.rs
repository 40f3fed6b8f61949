//! A queue in files is for one machine: on a network's file system it is refused.

use std::path::Path;

use super::{Directory, Store, broken};
use crate::envelope::QUEUE_ROOT;
use crate::files::Folder;
use crate::problem::Problem;

impl Directory {
    /// Whether no other machine can be at this folder at the same time: it lies on a disk of this one, or in a
    /// database that is one's own.
    pub(super) fn is_of_one_machine(&self) -> bool {
        match self {
            Self::Disk(folder) => folder.is_of_one_machine(),
            Self::Rows(rows) => rows.database().is_of_one_machine(),
        }
    }
}

impl Store {
    /// Whether the queue lies in folders of an overlay file system.
    #[must_use]
    pub fn is_layered(&self) -> bool {
        self.database.is_none() && self.local.is_layered()
    }
}

/// A queue in files needs what only this machine's own disks promise.
pub(super) fn refuse(root: &Path, local: &Folder, address: Option<&str>) -> Result<(), Problem> {
    let file = address.map(|address| address.strip_prefix("sqlite:"));
    let found = match file {
        // A server's own matter.
        Some(None) => None,
        Some(Some(file)) => on_network(local, QUEUE_ROOT)?.or(of_file(&root.join(file))?),
        None => on_network(local, QUEUE_ROOT)?,
    };
    let Some((place, name)) = found else {
        return Ok(());
    };
    let why = format!(
        "{place} lies on {name}, where a rename may be told as failed and done, and a lock may be lost"
    );
    Err(Problem::fail("QUEUE_ON_NETWORK", why).hint(
        "keep the checkout on a disk of this machine; for several machines keep the queue in PostgreSQL: \
         baton init --store postgres://USER@HOST/DATABASE",
    ))
}

/// A folder's name and that of the network file system it lies on.
type OnNetwork = Option<(String, &'static str)>;

fn on_network(folder: &Folder, place: &str) -> Result<OnNetwork, Problem> {
    let found = folder.network().map_err(|error| broken(place, &error))?;
    Ok(found.map(|name| (place.to_owned(), name)))
}

/// The same for the folder of a database's file; one that is not there is the driver's to complain of.
fn of_file(file: &Path) -> Result<OnNetwork, Problem> {
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    match folder.and_then(|folder| Folder::open(&folder).ok()) {
        Some(folder) => on_network(&folder, &file.display().to_string()),
        None => Ok(None),
    }
}
