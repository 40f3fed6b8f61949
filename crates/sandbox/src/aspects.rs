//! What each level covers, what the profile gave up, and what the canary found.

use std::collections::BTreeMap;

use crate::level::{Aspect, Cover, Level, Relax};
use crate::outcome::Covered;
use crate::profile::Profile;
use crate::wire::{Ready, Trial};

/// What a level covers before anything is tried.
fn promised(level: Level, aspect: Aspect) -> (Cover, &'static str) {
    use Cover::{Enforced, None, Weaker};
    match (level, aspect) {
        (Level::I3, Aspect::FilesRead) => (
            Enforced,
            "empty root: the system's programs, the tree and what the profile names",
        ),
        (Level::I3, Aspect::FilesWrite) => (
            Enforced,
            "only the tree and temporary file systems of its own",
        ),
        (Level::I3, Aspect::Network) => {
            (Enforced, "a network namespace with a loopback of its own")
        }
        (Level::I3, Aspect::UnixSockets) => (Enforced, "none of the host's is in reach"),
        (Level::I3, Aspect::Processes) => (Enforced, "a pid namespace of its own"),
        (Level::I3, Aspect::Ipc) => (Enforced, "an ipc namespace of its own, and refused calls"),
        (_, Aspect::Environment) if level >= Level::I2 => (Enforced, "only what the profile names"),
        (_, Aspect::Terminal) if level >= Level::I2 => (Enforced, "a session without a terminal"),
        (Level::I2, Aspect::FilesRead) => (
            Weaker,
            "contents are held; names, sizes and times of files can be asked for",
        ),
        (Level::I2, Aspect::FilesWrite) => (
            Weaker,
            "contents are held; modes and times of the account's own files are not",
        ),
        (Level::I2, Aspect::Network) => {
            (Enforced, "no socket can be made, its own loopback included")
        }
        (Level::I2, Aspect::UnixSockets) => (Enforced, "no socket can be made or reached"),
        (Level::I2, Aspect::Processes) => (
            Weaker,
            "others cannot be signalled or traced, but are seen; a daemon may outlive a kill",
        ),
        (Level::I2, Aspect::Ipc) => (Enforced, "refused calls"),
        (_, Aspect::Environment) => (
            Weaker,
            "only what the profile names; other processes' may be readable",
        ),
        (_, Aspect::Terminal) => (Weaker, "a session without a terminal"),
        _ => (None, "no wall at this level"),
    }
}

/// The evidence for each aspect.
pub(crate) fn covered(
    level: Level,
    profile: &Profile,
    trials: &[Trial],
) -> BTreeMap<Aspect, Covered> {
    Aspect::ALL
        .into_iter()
        .map(|aspect| (aspect, cover(level, aspect, &profile.relax, trials)))
        .collect()
}

fn cover(level: Level, aspect: Aspect, relaxed: &[Relax], trials: &[Trial]) -> Covered {
    let (mut cover, note) = promised(level, aspect);
    let mut note = note.to_owned();
    if cfg!(target_os = "macos") && level == Level::I2 {
        cover = match aspect {
            Aspect::Processes => Cover::None,
            _ => Cover::Weaker,
        };
        note = "by Seatbelt, untested; processes are seen and may outlive the gate".to_owned();
    }
    let lifted: Vec<String> = relaxed
        .iter()
        .filter(|what| level >= Level::I2 && what.weakens() == aspect)
        .map(|what| format!("{what:?}"))
        .collect();
    if !lifted.is_empty() && cover == Cover::Enforced {
        cover = Cover::Weaker;
        note = format!("{note}; lifted by the profile: {}", lifted.join(", "));
    }
    let mut own = trials
        .iter()
        .filter(|trial| trial.aspect == aspect)
        .peekable();
    let tried = own.peek().is_some();
    let through: Vec<&str> = own
        .filter(|trial| !trial.held)
        .map(|trial| trial.what.as_str())
        .collect();
    if !through.is_empty() {
        note = format!("{note}; got through: {}", through.join(", "));
        if cover == Cover::Enforced {
            cover = Cover::Weaker;
        }
    }
    Covered {
        cover,
        verified: tried && through.is_empty() && cover != Cover::None,
        note,
    }
}

/// Whether the walls are those of the level; otherwise what got through.
pub(crate) fn judge(
    level: Level,
    outside: &BTreeMap<String, String>,
    ready: &Ready,
) -> Result<(), String> {
    if level < Level::I2 {
        return Ok(());
    }
    if let Some(trial) = ready.trials.iter().find(|trial| !trial.held) {
        return Err(format!(
            "the canary got through: {} ({})",
            trial.what, trial.answer
        ));
    }
    if level == Level::I3 {
        for name in ["ipc", "mnt", "net", "pid", "user", "uts"] {
            let (inside, outside) = (ready.namespaces.get(name), outside.get(name));
            if inside.is_none() || inside == outside {
                return Err(format!("the {name} namespace is the host's"));
            }
        }
    }
    Ok(())
}
