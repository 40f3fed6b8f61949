//! A queue in a database is reached by the front door alone, which links the drivers: the small programs
//! hand such a run over to it, with their arguments and their standard input as they are.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::Skill;
use crate::git::Repository;
use crate::manifest;
use crate::store::database;

/// Becomes `baton <skill> …` where the queue's store needs it. Comes back where this program can go on, and
/// where there is no front door beside it: then opening the queue says what is missing.
pub(super) fn if_needed(skill: &Skill, repo: Option<&Path>, arguments: &[OsString]) {
    let Ok(root) = Repository::find_root(repo.unwrap_or(Path::new("."))) else {
        return;
    };
    let Ok(Some(address)) = manifest::store_of(&root) else {
        return;
    };
    if database::is_linked(&address) {
        return;
    }
    let Some(door) = std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(|at| at.join("baton")))
    else {
        return;
    };
    // It only comes back when it could not be started.
    drop(
        Command::new(door)
            .arg(skill.name)
            .args(arguments.iter().skip(1))
            .exec(),
    );
}
