//! A bundle laid out again as the repository and queue that it was made from.

use std::path::Path;

use baton_core::envelope::QUEUE_ROOT;
use baton_core::files::{self, Folder};
use baton_core::git::{ObjectStore, Repository, TreeEntry};
use baton_core::manifest::SSOT;
use baton_core::problem::Problem;
use baton_core::state::State;
use baton_core::task::TaskId;

use super::format::{Header, MAX_BYTES, broken};

/// The most files that a record has.
const MOST_FILES: usize = 20_000;
/// The most that its files may be together, in bytes.
const MOST: u64 = 256 << 20;
/// The largest manifest that is read, in bytes.
const MOST_MANIFEST: usize = 1 << 20;
/// The most parts of a path.
const DEEPEST: usize = 12;

/// Lays the bundle out in a temporary folder; says which task it is about.
pub(in crate::commands) fn unpack(file: &Path) -> Result<(tempfile::TempDir, TaskId), Problem> {
    let bytes = files::read_named(file, MAX_BYTES).map_err(|error| {
        let why = format!("{}: {error}", file.display());
        Problem::fail("FILE_UNREADABLE", why).hint("name a bundle as `baton bundle` writes it")
    })?;
    let (header, pack) = Header::split(&bytes)?;
    let folder = files::temporary_folder("baton-bundle-")?;
    let root = folder.path();
    let repository = Repository::of_pack(root, &header.objects, pack.to_vec())?;
    let (_store, objects) = ObjectStore::temporary(&repository)?;
    let entries = objects.entries(&header.record)?;
    check(&entries)?;
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
    let sizes = objects.blob_sizes(&ids)?;
    let total = sizes
        .into_iter()
        .try_fold(0_u64, |sum, size| sum.checked_add(size?));
    if total.is_none_or(|total| total > MOST) {
        return Err(broken(&format!(
            "its files are missing, or more than {MOST} bytes"
        )));
    }
    objects.check_out(&header.record, root)?;
    fill(root)?;
    Ok((folder, header.task))
}

/// Only plain files in the two folders that a bundle has, whatever somebody packed.
fn check(entries: &[TreeEntry]) -> Result<(), Problem> {
    if entries.len() > MOST_FILES {
        return Err(broken(&format!(
            "it has {} files, at most {MOST_FILES}",
            entries.len()
        )));
    }
    for entry in entries {
        let path = std::str::from_utf8(&entry.path).unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        let is_ours = matches!(parts.first(), Some(&(SSOT | QUEUE_ROOT)));
        let plain = |part: &&str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.chars().any(|c| c.is_control() || c == '\\')
        };
        let plain = parts.iter().skip(1).all(plain);
        if entry.mode != "100644" || !is_ours || !plain || !(2..=DEEPEST).contains(&parts.len()) {
            let path = entry.path.escape_ascii();
            return Err(broken(&format!(
                "it holds \"{path}\" with mode {}",
                entry.mode
            )));
        }
    }
    Ok(())
}

/// Makes the folders that a queue has and git does not carry, as they are empty.
fn fill(root: &Path) -> Result<(), Problem> {
    let failed = |error: std::io::Error| Problem::io("bundle", &error);
    let top = Folder::open(root).map_err(failed)?;
    let queue = top.sub_or_new(QUEUE_ROOT).map_err(failed)?;
    let states = State::ALL.into_iter().map(State::name);
    for name in states.chain(["approved", "audit", "keys", "policies"]) {
        queue.sub_or_new(name).map_err(failed)?;
    }
    lies_here(root)
}

/// What a bundle's manifest says of the store is where its maker's queue lies; its files are all here, and
/// nothing that a stranger wrote names a database to connect to.
fn lies_here(root: &Path) -> Result<(), Problem> {
    let path = root.join(SSOT).join("MANIFEST.json");
    let Ok(bytes) = files::read_named(&path, MOST_MANIFEST) else {
        return Ok(());
    };
    let manifest: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_slice(&bytes).ok();
    let Some(mut fields) = manifest.filter(|fields| fields.contains_key("store")) else {
        return Ok(());
    };
    fields.remove("store");
    let text = serde_json::to_vec_pretty(&fields).unwrap_or_default();
    std::fs::write(&path, text).map_err(|error| Problem::io(SSOT, &error))
}
