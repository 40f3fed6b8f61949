//! Which program a gate runs, so that a result of another program is never taken for this one's.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use baton_core::environment::PATH;
use baton_core::policy::{Gate, Policy};
use baton_core::problem::Problem;
use baton_core::{digest, files};
use baton_sandbox::{Limits, Profile};
use serde_json::{Value, json};

use crate::attempt::Ground;
use crate::walls;

/// How long a program may take to say its version, in milliseconds.
const VERSION_MS: u64 = 5_000;

/// What a gate runs with.
pub(crate) struct Tools {
    /// For the evidence, and for the key of its results.
    pub(crate) told: Value,
    /// Any change of it shows in `told`. Otherwise no result is used again.
    pub(crate) is_whole: bool,
}

/// The program, the places that it reads and the walls around it, as they are now.
///
/// # Errors
/// `GATE_PLACE`, as for the run itself.
pub(crate) fn fingerprint(ground: &Ground<'_>, gate: &Gate) -> Result<Tools, Problem> {
    let mut is_whole = true;
    let mut state = |path: &Path| {
        let state = ground.places.state(path);
        is_whole &= state.is_whole;
        state.told
    };
    let places: Vec<_> = walls::places(gate, ground.root)?
        .iter()
        .chain(&borrowed(gate, ground.root))
        .map(|place| state(place))
        .collect();
    let environment = walls::environment(gate)?;
    let file = program(gate, ground.policy, ground.root)?;
    let program = gate.argv.first().map(|word| match file {
        Some(path) => json!({"name": word, "file": state(&path)}),
        // A path within the tree is named by the tree; a program that is not there is not run.
        None => json!({"name": word}),
    });
    let told = json!({
        "program": program, "places": places,
        "environment_sha256": digest::sha256_canonical(&json!(environment)),
        "walls": ground.sandbox.walls(),
    });
    Ok(Tools { told, is_whole })
}

/// The file that the gate finds behind its walls for the first word of its command; none for a word
/// that names a place in the tree, and none when there is no such program.
///
/// # Errors
/// `GATE_PLACE`.
pub fn program(gate: &Gate, policy: &Policy, root: &Path) -> Result<Option<PathBuf>, Problem> {
    let mut alone = gate.clone();
    alone.borrow.clear();
    let profile = walls::profile(&alone, policy, root, root)?;
    Ok(gate.argv.first().and_then(|word| find(word, &profile)))
}

/// What the program says of itself, asked behind the walls of the gate and on an empty tree; none
/// when it says nothing. A text for people: it decides nothing.
pub(crate) fn version(ground: &Ground<'_>, gate: &Gate) -> Option<String> {
    let empty = files::temporary_folder("baton-").ok()?;
    let mut alone = gate.clone();
    alone.borrow.clear();
    ".".clone_into(&mut alone.cwd);
    let mut profile = walls::profile(&alone, ground.policy, empty.path(), ground.root).ok()?;
    let word = gate.argv.first()?;
    find(word, &profile)?;
    profile.argv = vec![word.clone(), "--version".to_owned()];
    profile.limits = Limits {
        wall_ms: VERSION_MS,
        log_bytes: 4096,
        ..Limits::default()
    };
    let said = ground.sandbox.run(&profile, ground.is_stopped).ok()?;
    let text = said.log.text();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().filter(|_| said.ended_by.is_success())?;
    Some(line.escape_debug().to_string())
}

fn borrowed(gate: &Gate, root: &Path) -> Vec<PathBuf> {
    gate.borrow.iter().map(|name| root.join(name)).collect()
}

fn find(word: &str, profile: &Profile) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        let is_program =
            |status: Metadata| status.is_file() && status.permissions().mode() & 0o111 != 0;
        profile.shows(path) && path.metadata().is_ok_and(is_program)
    };
    if word.contains('/') {
        return Some(PathBuf::from(word)).filter(|path| path.is_absolute() && runs(path));
    }
    let path = profile.environment.get(PATH)?;
    std::env::split_paths(path)
        .map(|folder| folder.join(word))
        .find(runs)
}
