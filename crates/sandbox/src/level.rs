//! How strong the walls are, and which side of a gate each of them stands on.

use serde::{Deserialize, Serialize};

/// How far a gate is kept from the machine it runs on, weakest first.
///
/// A run *reaches* one of the last three. `E` is what a caller may ask for as its minimum when it
/// says itself that the machine is thrown away afterwards: it is asserted, never measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// The caller asserts a throw-away container or machine.
    E,
    /// A process group, limits and a watchdog: no boundary.
    I1,
    /// Landlock, seccomp without any socket, limits and a watchdog.
    I2,
    /// Own user, mount, pid, network, ipc and uts namespaces with an empty root; seccomp; limits.
    I3,
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::E => "E",
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I3 => "I3",
        })
    }
}

/// One side of a gate that a wall may cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Reading files outside of the tree and the named read-only places.
    FilesRead,
    /// Writing outside of the tree.
    FilesWrite,
    /// The network, the loopback of the host included.
    Network,
    /// Unix sockets of the host, by path and by abstract name.
    UnixSockets,
    /// Seeing, signalling and tracing other processes.
    Processes,
    /// Shared memory, queues and semaphores, kernel keyrings.
    Ipc,
    /// The environment of the caller.
    Environment,
    /// The terminal of the caller.
    Terminal,
}

impl Aspect {
    /// Every aspect, in the order of the evidence.
    pub const ALL: [Self; 8] = [
        Self::FilesRead,
        Self::FilesWrite,
        Self::Network,
        Self::UnixSockets,
        Self::Processes,
        Self::Ipc,
        Self::Environment,
        Self::Terminal,
    ];
}

/// How well one aspect is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cover {
    /// A wall of the kernel stands there.
    Enforced,
    /// Something is in the way, but not everywhere; the note says what gets through.
    Weaker,
    /// Nothing.
    None,
}

/// A refusal of the second stage that a profile may lift by name, because a tool needs the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relax {
    /// `memfd_create`: some just-in-time compilers. Memory held so is not seen by the size of a
    /// temporary file system, only by the watchdog.
    Memfd,
    /// System V shared memory, semaphores and queues: some databases in tests.
    SysvIpc,
    /// POSIX message queues.
    PosixQueues,
    /// `ptrace` and reading another process's memory: debuggers and some sanitizers.
    Ptrace,
    /// `perf_event_open`: profilers in benchmarks.
    Perf,
}

impl Relax {
    /// The aspect that is covered less for it.
    #[must_use]
    pub fn weakens(self) -> Aspect {
        match self {
            Self::Memfd | Self::SysvIpc | Self::PosixQueues => Aspect::Ipc,
            Self::Ptrace | Self::Perf => Aspect::Processes,
        }
    }
}
