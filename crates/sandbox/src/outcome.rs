//! What a run was: which walls stood, which were tried, how it ended, what it used.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::level::{Aspect, Cover, Level, Relax};
use crate::log::Log;
use crate::refused::Tried;
use crate::wire::Trial;

/// A gate that has ended; nothing of it is left where the level can promise that.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The level that was reached, as measured.
    pub level: Level,
    /// The caller asserted a throw-away machine. Never measured.
    pub throwaway_asserted: bool,
    /// What built the walls.
    pub backend: Backend,
    /// Each aspect, and whether the canary tried it in this run.
    pub aspects: BTreeMap<Aspect, Covered>,
    /// Every attempt of the canary.
    pub canary: Vec<Trial>,
    /// The refusals that the profile lifted.
    pub relaxed: Vec<Relax>,
    /// The account of the gate as the host sees it.
    pub uid_outside: u32,
    /// The account of the gate as it sees itself.
    pub uid_inside: u32,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's Landlock version; 0 is none.
    pub landlock_abi: u32,
    /// What Landlock does for this run, in words.
    pub landlock: String,
    /// What seccomp does for this run, in words.
    pub seccomp: String,
    /// Each limit.
    pub limits: Vec<Limit>,
    /// How the gate ended.
    pub ended_by: EndedBy,
    /// Wall time of the gate in milliseconds, from its start to the end of its main process.
    pub duration_ms: u64,
    /// Time to build the walls and to try them, in microseconds.
    pub setup_us: u64,
    /// Processor time in milliseconds: of what was reaped, or as last seen when it was killed.
    pub cpu_ms: u64,
    /// Highest memory of all processes together that a look saw, in bytes.
    pub peak_memory_bytes: u64,
    /// How many processes had to be killed after the main one had ended.
    pub leaks: u64,
    /// Whether everything is known to be dead: the namespace's first process is gone, or the
    /// account has no process left.
    pub all_dead: bool,
    /// What it wrote.
    pub log: Log,
    /// Stronger levels that were tried first, with the exact error.
    pub fallback_from: Vec<Tried>,
}

/// The program or mechanism behind a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// `bwrap`, `landlock`, `seatbelt` or `process-group`.
    pub name: &'static str,
    /// As the program says it itself.
    pub version: Option<String>,
    /// Where the program lies.
    pub path: Option<PathBuf>,
}

/// What a machine builds its strongest walls with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walls {
    /// The program.
    pub backend: Backend,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's Landlock version; 0 is none.
    pub landlock_abi: u32,
}

/// How one aspect was covered in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// How well.
    pub cover: Cover,
    /// Whether the canary tried it in this run, in this sandbox, and it held.
    pub verified: bool,
    /// What gets through, or what holds.
    pub note: String,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Its name in the profile.
    pub name: &'static str,
    /// What the profile asks for.
    pub asked: u64,
    /// What holds it.
    pub mechanism: &'static str,
    /// Whether the kernel holds it; otherwise a watch kills after it was passed.
    pub hard: bool,
    /// The highest that was seen, where it is looked at.
    pub peak: Option<u64>,
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Killed at the time limit.
    Timeout,
    /// Killed because the caller said stop.
    Stopped,
    /// Killed at this limit: `memory`, `processes`, `tree_growth` or `output`.
    Limit(&'static str),
    /// The sandbox died without saying how the gate ended.
    Lost,
}

impl EndedBy {
    /// Whether the gate ended by itself with code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl std::fmt::Display for EndedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit:{code}"),
            Self::Signal(signal) => write!(f, "signal:{signal}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Stopped => f.write_str("stopped"),
            Self::Limit(name) => write!(f, "limit:{name}"),
            Self::Lost => f.write_str("lost"),
        }
    }
}

impl Serialize for EndedBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
