//! What this machine gives a gate, for a doctor.

use std::path::PathBuf;

use serde::Serialize;

use crate::level::{Cover, Level};
use crate::outcome::Outcome;
use crate::{account, fixes, sandbox, sys};

/// The machine, looked at by trying.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// The strongest level that is reached; none when not even a plain process could be watched.
    pub level: Option<Level>,
    /// Each level as it was tried, strongest first.
    pub levels: Vec<Reached>,
    /// Where `bwrap` is, and its version.
    pub bwrap: Option<(PathBuf, String)>,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's Landlock version; 0 is none.
    pub landlock_abi: u32,
    /// Whether the caller is root; gates then run under an account of their own.
    pub root: bool,
    /// What is missing or weaker, each with one line that says what to do.
    pub gaps: Vec<Gap>,
}

/// One level of one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    /// Which.
    pub level: Level,
    /// Whether a gate ran at it and every promise was tried and held.
    pub reached: bool,
    /// The exact words of what refused it.
    pub error: Option<String>,
    /// How long its walls took to build and to try, in microseconds.
    pub setup_us: Option<u64>,
}

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// What.
    pub what: String,
    /// What to do about it, in one line.
    pub fix: String,
}

/// Looks, by way of `run_at`, which runs a program that does nothing at one level.
pub(crate) fn look(run_at: &dyn Fn(Level) -> Result<Outcome, String>) -> Probe {
    let mut gaps = Vec::new();
    let mut levels = Vec::new();
    for level in [Level::I3, Level::I2, Level::I1] {
        let result = run_at(level);
        if let Err(error) = &result {
            gaps.push(Gap {
                what: format!("{level} is not reached: {error}"),
                fix: fixes::fix(level, error).to_owned(),
            });
        }
        if let (Level::I3, Ok(outcome)) = (level, &result) {
            gaps.extend(unverified(outcome));
        }
        levels.push(Reached {
            level,
            reached: result.is_ok(),
            setup_us: result.as_ref().ok().map(|outcome| outcome.setup_us),
            error: result.err(),
        });
    }
    let abi = sys::landlock_abi();
    if abi == 0 {
        gaps.push(Gap {
            what: "the kernel has no Landlock: I3 stands on namespaces and seccomp alone".into(),
            fix: "boot with lsm=landlock,... or use a kernel that has it".into(),
        });
    }
    Probe {
        level: levels
            .iter()
            .find(|tried| tried.reached)
            .map(|tried| tried.level),
        levels,
        bwrap: sandbox::bwrap().ok(),
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        landlock_abi: abi,
        root: account::is_root(),
        gaps,
    }
}

fn unverified(outcome: &Outcome) -> Vec<Gap> {
    outcome
        .aspects
        .iter()
        .filter(|(_, covered)| !covered.verified || covered.cover != Cover::Enforced)
        .map(|(aspect, covered)| Gap {
            what: format!("I3, {aspect:?}: {}", covered.note),
            fix: "run the doctor outside of any other sandbox and compare".to_owned(),
        })
        .collect()
}
