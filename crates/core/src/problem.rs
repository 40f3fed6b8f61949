//! What can go wrong, said so that a program can branch on it and a person knows what to do.

use std::fmt;
use std::io;

use crate::envelope::{Finding, Severity, Status};

/// How a problem ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line makes no sense; exit 2 and no envelope.
    Usage,
    /// The step failed, or the answer is no.
    Fail,
    /// An approval or a permission is missing.
    Deny,
    /// Everything for this task stops.
    ZeroStop,
}

/// A refusal or failure: a stable code, one sentence with what was got and what was expected, and
/// hints that say what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How the run ends.
    pub kind: Kind,
    /// Stable, upper-case code such as `LOCK_CONFLICT`; part of the public interface.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// What to do next, most useful first.
    pub hints: Vec<String>,
    /// Findings that explain the problem in detail; they go into the envelope as they are.
    pub findings: Vec<Finding>,
}

impl Problem {
    fn new(kind: Kind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            hints: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Makes a usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, "USAGE", message)
    }

    /// Makes a failure.
    pub fn fail(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Fail, code, message)
    }

    /// Makes a denial.
    pub fn deny(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Deny, code, message)
    }

    /// Makes a full stop.
    pub fn zero_stop(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::ZeroStop, code, message)
    }

    /// Makes a failure from an operating system error on `what`.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let problem = Self::fail("IO_ERROR", format!("{what}: {error}"));
        match way_out(error) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds findings.
    #[must_use]
    pub fn with_findings(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }

    /// The envelope status this problem ends with.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.kind {
            Kind::Usage | Kind::Fail => Status::Fail,
            Kind::Deny => Status::Deny,
            Kind::ZeroStop => Status::ZeroStop,
        }
    }

    /// The problem itself as a finding, hints included.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let severity = match self.kind {
            Kind::Usage | Kind::Fail => Severity::High,
            Kind::Deny => Severity::Medium,
            Kind::ZeroStop => Severity::Critical,
        };
        let mut message = self.message.clone();
        for hint in &self.hints {
            let ends = message.ends_with(['.', '!', '?', ':', ';']);
            message.push_str(if ends { " Next: " } else { ". Next: " });
            message.push_str(hint);
        }
        Finding::new(severity, &self.code, message)
    }
}

/// What to do where a folder came with a lower layer of an overlay file system, an image's: it can be changed, and
/// not be moved.
pub const LAYERED: &str = "a folder that came with an image cannot be moved on an overlay file system: while nobody \
    works, make the queue a copy of its own (cp -a .autodev_queue q && rm -r .autodev_queue && mv q .autodev_queue), \
    or keep the checkout on a volume";

/// What to do about an error that says what the disk lacks.
pub(crate) fn way_out(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{
        CrossesDevices, FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    match error.kind() {
        StorageFull | QuotaExceeded => Some("make room on that disk, then run it again"),
        FileTooLarge => Some("raise the limit on the size of files (ulimit -f), then run it again"),
        ReadOnlyFilesystem => {
            Some("mount that disk so that it can be written to, then run it again")
        }
        CrossesDevices => Some(LAYERED),
        PermissionDenied => Some("let this user read and write there, then run it again"),
        _ => None,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Problem {}
