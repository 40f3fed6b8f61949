//! The files of a skill, bounded, and no link in it followed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use baton_core::files::{Folder, Kind};
use baton_core::problem::Problem;
use serde_json::Value;

use super::Report;

/// The file that makes a folder a skill.
pub(super) const SKILL: &str = "SKILL.md";
const MAX_FILES: usize = 100;
const MAX_DEPTH: usize = 4;
const MAX_BYTES: usize = 256 << 10;

/// The files of a skill by their paths below it.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, File>,
}

/// One file.
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) is_executable: bool,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Problem {
    move |error| Problem::io(path.display(), &error)
}

/// The folders in a folder, sorted, without hidden ones. A link to a folder is one: an install puts links
/// where an agent looks elsewhere.
pub(super) fn folders(path: &Path) -> Result<Vec<String>, Problem> {
    let entries = std::fs::read_dir(path).map_err(io(path))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names: Vec<_> = names.collect::<Result<_, _>>().map_err(io(path))?;
    let mut names: Vec<_> = names
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !name.starts_with('.') && path.join(name).is_dir())
        .collect();
    names.sort();
    Ok(names)
}

/// Reads every file of a skill.
pub(super) fn read(path: &Path, report: &mut Report<'_>) -> Result<Tree, Problem> {
    let mut tree = Tree::default();
    walk(path, "", 0, &mut tree, report)?;
    Ok(tree)
}

fn walk(
    path: &Path,
    prefix: &str,
    depth: usize,
    tree: &mut Tree,
    report: &mut Report<'_>,
) -> Result<(), Problem> {
    let folder = Folder::open(path).map_err(io(path))?;
    let entries = std::fs::read_dir(path).map_err(io(path))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = names.collect::<Result<_, _>>().map_err(io(path))?;
    // What is left unread of too large a skill is the same everywhere, and never the skill itself.
    names.sort_by_key(|name| (name != SKILL, name.clone()));
    for name in names {
        let shown = format!("{prefix}{}", name.to_string_lossy());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let Some(name) = name.to_str().filter(|name| name.chars().all(plain)) else {
            let message = "a name of other characters than letters, digits and ._-";
            report.add("FILE_KIND", &shown, None, message);
            continue;
        };
        match folder.kind(name).map_err(io(path))? {
            Some(Kind::Folder) if depth + 1 < MAX_DEPTH => {
                let inner = format!("{shown}/");
                walk(&path.join(name), &inner, depth + 1, tree, report)?;
            }
            Some(Kind::Folder) => {
                let message = format!("got a folder {} deep", depth + 1);
                report.add("TREE_SIZE", &shown, None, message);
            }
            Some(Kind::File) => file(&folder, name, shown, tree, report)?,
            Some(Kind::Link | Kind::Other) => {
                let message = "a link, a pipe or a device; expected a file";
                report.add("FILE_KIND", &shown, None, message);
            }
            None => {}
        }
    }
    Ok(())
}

fn file(
    folder: &Folder,
    name: &str,
    shown: String,
    tree: &mut Tree,
    report: &mut Report<'_>,
) -> Result<(), Problem> {
    let path = folder.path().join(name);
    let metadata = path.symlink_metadata().map_err(io(&path))?;
    if tree.files.len() == MAX_FILES {
        let message = format!("more than {MAX_FILES} files; this one was not read");
        report.add("TREE_SIZE", &shown, None, message);
        return Ok(());
    }
    if metadata.len() > MAX_BYTES as u64 {
        let message = format!("got {} bytes, at most {MAX_BYTES}", metadata.len());
        report.add("TREE_SIZE", &shown, None, message);
        return Ok(());
    }
    let bytes = folder.read(name, MAX_BYTES).map_err(io(&path))?;
    let is_executable = metadata.permissions().mode() & 0o100 != 0;
    let file = File {
        bytes,
        is_executable,
    };
    tree.files.insert(shown, file);
    Ok(())
}

/// The rules about single files.
pub(super) fn check(tree: &Tree, report: &mut Report<'_>) {
    for (path, file) in &tree.files {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let stem = name.split('.').next().unwrap_or(&name);
        if matches!(stem, "readme" | "changelog") {
            report.add("FILE_STRAY", path, None, "say it in SKILL.md, or outside");
        }
        if name.ends_with(".json")
            && let Err(error) = serde_json::from_slice::<Value>(&file.bytes)
        {
            report.add("JSON_INVALID", path, Some(error.line()), error.to_string());
        }
        if path.starts_with("scripts/") && !file.is_executable {
            report.add("SCRIPT_MODE", path, None, "chmod +x it");
        }
    }
}
