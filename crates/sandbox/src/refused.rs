//! Why a gate was not run.

use serde::Serialize;

use crate::level::Level;

/// A gate was not run, or not to an end that can be told. Nothing of it is left running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// A word for programs: `ISOLATION_UNAVAILABLE`, `PROFILE_INVALID`, `TOOL_MISSING`,
    /// `STAGE_MISSING`, `SANDBOX_FAILED`, and `STOPPED` when the caller said so before the start.
    pub code: &'static str,
    /// What happened, with the words of the backend in it.
    pub message: String,
    /// What to do about it, in one line.
    pub fix: String,
    /// Every level that was tried, with the exact error.
    pub tried: Vec<Tried>,
}

/// A level that was tried and not reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Which.
    pub level: Level,
    /// The exact words of what refused it.
    pub error: String,
}

impl Refused {
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            fix: fix.into(),
            tried: Vec::new(),
        }
    }

    /// A profile that cannot be run on any machine.
    pub(crate) fn profile(message: impl Into<String>) -> Self {
        Self::new("PROFILE_INVALID", message, "correct the gate in the policy")
    }

    /// Something of the machine that should always work did not.
    pub(crate) fn failed(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::new(
            "SANDBOX_FAILED",
            format!("{what}: {error}"),
            "run the doctor; look at free space, open files and processes of this machine",
        )
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}
