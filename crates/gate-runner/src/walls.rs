//! From a gate of the policy to the profile that the sandbox runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use baton_core::envelope::QUEUE_ROOT;
use baton_core::environment;
use baton_core::policy::{Caps, Gate, Isolation, Policy, Relax};
use baton_core::problem::Problem;
use baton_sandbox::{Level, Limits, Profile};

/// Names that the walls set themselves.
const OURS: [&str; 4] = ["HOME", "TMPDIR", "USER", "LOGNAME"];

/// Folders of the checkout that no gate may see.
const OWN: [&str; 2] = [".git", QUEUE_ROOT];

/// What the gate gets to see and to use.
///
/// # Errors
/// `GATE_PLACE` when a place that it asks for cannot be shown.
pub(crate) fn profile(
    gate: &Gate,
    policy: &Policy,
    tree: &Path,
    root: &Path,
) -> Result<Profile, Problem> {
    let mut profile = Profile::new(tree, gate.argv.clone());
    profile.cwd = PathBuf::from(&gate.cwd);
    profile.environment = environment(gate)?;
    profile.read_only = places(gate, root)?;
    profile.read_only.extend(borrow(gate, tree, root)?);
    profile.limits = limits(gate, &policy.caps);
    profile.minimum = level(policy.isolation.minimum);
    profile.fallback = policy.isolation.fallback;
    profile.throwaway = policy.isolation.throwaway;
    profile.relax = gate.relax.iter().copied().map(relax).collect();
    Ok(profile)
}

fn level(isolation: Isolation) -> Level {
    match isolation {
        Isolation::E => Level::E,
        Isolation::I1 => Level::I1,
        Isolation::I2 => Level::I2,
        Isolation::I3 => Level::I3,
    }
}

/// The policy's word for a level that was reached.
pub(crate) fn reached(level: Level) -> Isolation {
    match level {
        Level::E => Isolation::E,
        Level::I1 => Isolation::I1,
        Level::I2 => Isolation::I2,
        Level::I3 => Isolation::I3,
    }
}

fn relax(relax: Relax) -> baton_sandbox::Relax {
    match relax {
        Relax::Memfd => baton_sandbox::Relax::Memfd,
        Relax::SysvIpc => baton_sandbox::Relax::SysvIpc,
        Relax::PosixQueues => baton_sandbox::Relax::PosixQueues,
        Relax::Ptrace => baton_sandbox::Relax::Ptrace,
        Relax::Perf => baton_sandbox::Relax::Perf,
    }
}

fn limits(gate: &Gate, caps: &Caps) -> Limits {
    let seconds = gate.timeout_seconds.min(caps.gate_timeout_seconds);
    Limits {
        wall_ms: seconds.saturating_mul(1000),
        memory_bytes: caps.gate_memory_bytes,
        processes: caps.gate_processes,
        file_bytes: caps.gate_disk_bytes,
        tree_growth_bytes: caps.gate_disk_bytes,
        log_bytes: usize::try_from(caps.gate_log_bytes).unwrap_or(usize::MAX),
        ..Limits::default()
    }
}

/// The whole environment of a gate: nothing is inherited but what is named here or in the policy.
pub(crate) fn environment(gate: &Gate) -> Result<BTreeMap<String, String>, Problem> {
    let mut variables = BTreeMap::from([
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("CI".to_owned(), "true".to_owned()),
    ]);
    let passed = gate.env_pass.iter().map(String::as_str);
    for name in passed.chain([environment::PATH]) {
        if OURS.contains(&name) {
            continue;
        }
        if let Some(value) = variable(name)? {
            variables.insert(name.to_owned(), value);
        }
    }
    variables.extend(gate.env.clone());
    Ok(variables)
}

/// A variable of ours, or where a toolchain lies when its variable is not set.
fn variable(name: &str) -> Result<Option<String>, Problem> {
    let found = match name {
        // A gate that wants a folder of its tree says so in its `env`.
        environment::PATH => environment::search_path(),
        _ => environment::read(name).or_else(|| toolchain_home(name)),
    };
    let Some(value) = found else {
        return Ok(None);
    };
    value.into_string().map(Some).map_err(|value| {
        Problem::fail(
            "GATE_PLACE",
            format!("the variable {name} is not UTF-8: \"{}\"", value.display()),
        )
        .hint(format!(
            "take {name} out of the gate's env_pass, or set it anew"
        ))
    })
}

/// Where a toolchain lies when its variable is not set: under the home that the gate does not see.
fn toolchain_home(name: &str) -> Option<std::ffi::OsString> {
    let folder = match name {
        "RUSTUP_HOME" => ".rustup",
        "CARGO_HOME" => ".cargo",
        "GOMODCACHE" => "go/pkg/mod",
        _ => return None,
    };
    let path = PathBuf::from(environment::read(environment::HOME)?).join(folder);
    path.is_dir().then(|| path.into_os_string())
}

/// The places of the host that the gate may read; what is not there is left out.
pub(crate) fn places(gate: &Gate, root: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut places = Vec::new();
    for named in &gate.read_only {
        let Some(path) = expand(named)? else { continue };
        // The real place: what a link leads to is what would be shown.
        let Ok(real) = path.canonicalize() else {
            continue;
        };
        let home = environment::read(environment::HOME).map(PathBuf::from);
        for (what, ours) in [
            ("the repository", Some(root)),
            ("the home folder", home.as_deref()),
        ] {
            let Some(ours) = ours.and_then(|ours| ours.canonicalize().ok()) else {
                continue;
            };
            if ours.starts_with(&real) {
                return Err(Problem::fail(
                    "GATE_PLACE",
                    format!("gate {}: read_only {named} would show {what}", gate.id),
                )
                .hint("name the smallest folder that the command needs"));
            }
        }
        places.push(path);
    }
    Ok(places)
}

/// Writes out `~/` and `$NAME/`; none when the variable is not set.
fn expand(named: &str) -> Result<Option<PathBuf>, Problem> {
    if let Some(rest) = named.strip_prefix("~/") {
        return Ok(variable(environment::HOME)?.map(|home| Path::new(&home).join(rest)));
    }
    let Some(rest) = named.strip_prefix('$') else {
        return Ok(Some(PathBuf::from(named)));
    };
    let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
    let value = variable(name)?;
    Ok(value.map(|value| match below {
        "" => PathBuf::from(value),
        _ => Path::new(&value).join(below),
    }))
}

/// Whether one of two places holds the other.
fn shares(place: &Path, own: &Path) -> bool {
    place.starts_with(own) || own.starts_with(place)
}

/// Links folders of the user's checkout that git does not track into the tree; gives their real
/// places, which the gate must be shown.
fn borrow(gate: &Gate, tree: &Path, root: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut places = Vec::new();
    for name in &gate.borrow {
        let refused = |why: &str| {
            Problem::fail(
                "GATE_PLACE",
                format!("gate {}: {name} cannot be borrowed: {why}", gate.id),
            )
            .hint(format!(
                "make the folder {name} in the checkout, or take it out of borrow"
            ))
        };
        let place = root
            .join(name)
            .canonicalize()
            .map_err(|error| refused(&error.to_string()))?;
        let top = root
            .canonicalize()
            .map_err(|error| Problem::io(root.display(), &error))?;
        if !place.starts_with(&top) || place == top || !place.is_dir() {
            return Err(refused("it is no folder of the checkout"));
        }
        if place.to_str().is_none() {
            return Err(refused("the path of the checkout is not UTF-8"));
        }
        // The name is checked with the policy; what a link leads to is known only here.
        if OWN.iter().any(|own| shares(&place, &top.join(own))) {
            return Err(refused("it would show the queue or git's own folder"));
        }
        let link = tree.join(name);
        if link.symlink_metadata().is_ok() {
            return Err(refused("the candidate holds it itself"));
        }
        let parent = link.parent().and_then(|parent| parent.canonicalize().ok());
        let inside = tree.canonicalize().ok().zip(parent);
        if !inside.is_some_and(|(tree, parent)| parent.starts_with(tree)) {
            return Err(refused("its folder is not in the candidate"));
        }
        std::os::unix::fs::symlink(&place, &link)
            .map_err(|error| Problem::io(link.display(), &error))?;
        places.push(place);
    }
    Ok(places)
}
