//! Which program a gate runs, so that a result of another program is never taken for this one's.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_core::{digest, environment, files};
use baton_sandbox::{Limits, Profile};
use serde_json::{Value, json};

use crate::attempt::Ground;
use crate::walls;

/// The largest program whose bytes are hashed; of a larger one size and time stand for them.
const HASHED: u64 = 256 << 20;
/// How long a program may take to say its version, in milliseconds.
const VERSION_MS: u64 = 5_000;

/// The program, the places that it reads and the walls around it, as they are now.
///
/// # Errors
/// `GATE_PLACE`, as for the run itself.
pub(crate) fn fingerprint(ground: &Ground<'_>, gate: &Gate) -> Result<Value, Problem> {
    let places: Vec<_> = walls::places(gate, ground.root)?
        .iter()
        .chain(&borrowed(gate, ground.root))
        .map(|place| state(place))
        .collect();
    let empty = files::temporary_folder("baton-")?;
    let mut unborrowed = gate.clone();
    unborrowed.borrow.clear();
    ".".clone_into(&mut unborrowed.cwd);
    let profile = walls::profile(&unborrowed, ground.policy, empty.path(), ground.root)?;
    let variables = digest::sha256_canonical(&json!(profile.environment));
    Ok(json!({
        "program": program(gate, ground, profile), "places": places, "environment_sha256": variables,
        "walls": ground.sandbox.walls(),
    }))
}

fn borrowed(gate: &Gate, root: &Path) -> Vec<PathBuf> {
    gate.borrow.iter().map(|name| root.join(name)).collect()
}

/// The file behind the first word of the command, and what it says of itself behind the walls.
fn program(gate: &Gate, ground: &Ground<'_>, mut profile: Profile) -> Value {
    let Some(word) = gate.argv.first() else {
        return Value::Null;
    };
    let Some(path) = find(word, &profile) else {
        // A path within the tree is named by the tree; a program that is not there is not run.
        return json!({"name": word});
    };
    profile.argv = vec![word.clone(), "--version".to_owned()];
    profile.limits = Limits {
        wall_ms: VERSION_MS,
        log_bytes: 4096,
        ..Limits::default()
    };
    let said = ground.sandbox.run(&profile, ground.is_stopped).ok();
    let version = said
        .filter(|outcome| outcome.ended_by.is_success())
        .map(|outcome| String::from_utf8_lossy(&outcome.log.text()).into_owned())
        .and_then(|text| {
            text.lines()
                .next()
                .map(|line| line.escape_debug().to_string())
        });
    json!({"name": word, "path": path.display().to_string(), "state": state(&path), "version": version})
}

fn find(word: &str, profile: &Profile) -> Option<PathBuf> {
    if word.contains('/') {
        return Some(PathBuf::from(word)).filter(|path| path.is_absolute() && path.is_file());
    }
    let path = profile.environment.get(environment::PATH)?;
    std::env::split_paths(path)
        .map(|folder| folder.join(word))
        .find(|path| {
            path.metadata()
                .is_ok_and(|status| status.is_file() && status.permissions().mode() & 0o111 != 0)
        })
}

/// What tells one state of a file or a folder from another. Of a folder the entries' names, sizes
/// and times: an installation or an update changes them.
fn state(path: &Path) -> Value {
    let place = path.display().to_string();
    let Ok(status) = path.metadata() else {
        return json!({"place": place, "missing": true});
    };
    if status.is_dir() {
        let mut entries: Vec<String> = fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| {
                let status = entry.metadata().ok();
                let (size, time) = status.map_or((0, 0), |status| (status.size(), status.mtime()));
                format!("{:?} {size} {time}", entry.file_name())
            })
            .collect();
        entries.sort_unstable();
        return json!({"place": place, "entries_sha256": digest::sha256(entries.join("\n").as_bytes())});
    }
    let limit = usize::try_from(HASHED).unwrap_or(usize::MAX);
    let hashed = (status.len() <= HASHED)
        .then(|| files::read_named(path, limit).ok())
        .flatten();
    match hashed {
        Some(bytes) => json!({"place": place, "sha256": digest::sha256(&bytes)}),
        None => json!({"place": place, "size": status.len(), "modified": status.mtime()}),
    }
}
