//! Places in a file system: another disk, a share, a folder that only grows.

use std::path::Path;

use baton_core::digest;
use baton_core::files::Folder;
use baton_core::output_file;
use baton_core::problem::Problem;
use rustix::fs::{FlockOperation, flock};

use super::push::{Handover, Taken};
use crate::commands::audit::named::MAX_PROOF_BYTES;

/// Puts the checkpoint into the file, in place of an older one of the same log.
pub(super) fn to_file(path: &Path, handover: &Handover<'_>) -> Result<Taken, Problem> {
    let (folder, name) = output_file::place(path)?;
    let before = kept(&folder, &name)?;
    if !handover.is_news_after(before.as_deref())? {
        return Ok(Taken::Already);
    }
    folder
        .replace(&name, handover.text().as_bytes())
        .map_err(|error| Problem::io(path.display(), &error))?;
    Ok(Taken::Kept)
}

/// Adds the checkpoint to the folder as a file of its own; nothing there is ever replaced.
pub(super) fn to_folder(path: &Path, handover: &Handover<'_>) -> Result<Taken, Problem> {
    let failed = |error: std::io::Error| Problem::io(path.display(), &error);
    let folder = Folder::open(path).map_err(failed)?;
    let origin = digest::sha256(handover.head().origin.as_bytes());
    let folder = folder.sub_or_new(&origin).map_err(failed)?;
    let lock = folder.lock_file(".lock").map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let entries = folder.list().map_err(failed)?;
    let names = entries.into_iter().map(|entry| entry.name);
    let newest = names.filter(|name| name.ends_with(".checkpoint")).max();
    let before = newest
        .map(|name| kept(&folder, &name))
        .transpose()?
        .flatten();
    if !handover.is_news_after(before.as_deref())? {
        return Ok(Taken::Already);
    }
    let name = format!("{:020}.checkpoint", handover.head().size);
    folder
        .write_new(&name, handover.text().as_bytes())
        .map_err(failed)?;
    Ok(Taken::Kept)
}

fn kept(folder: &Folder, name: &str) -> Result<Option<Vec<u8>>, Problem> {
    match folder.read(name, MAX_PROOF_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::io(folder.path().join(name).display(), &error)),
    }
}
