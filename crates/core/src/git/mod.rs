//! git as a pure tool: plumbing only, clean environment, no user or system configuration, no
//! hooks, filters, drivers, pagers, prompts or network.
//!
//! [`Repository`] is the user's: read until a landing. [`ObjectStore`] is ours, a bare repository
//! under the queue that borrows the user's objects and keeps every object a proposal makes.

mod carried;
mod checkout;
mod kept;
mod landing;
mod merge;
mod obeyed;
mod objects;
mod partial;
mod push;
mod repository;
mod trees;
mod worktrees;

pub use checkout::Obstacle;
pub use kept::Kept;
pub use landing::{Operator, PersonIdent, SigningKey};
pub use merge::Merged;
pub use obeyed::Obeyed;
pub use objects::{ObjectStore, TemporaryIndex, TreeEntry};
pub use push::{Credentials, RemoteUrl};
pub use repository::{Oid, Repository, is_branch_name};
pub use worktrees::{Alone, Worktree, Worktrees};

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::Builder;
use std::time::Duration;

use crate::environment;
use crate::problem::Problem;
use crate::process::{self, Finished, Spec};
use crate::threads;

/// git is local and quick; a call that takes longer hangs on something.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The most that is read from one git call: a canonical patch or a listing.
const OUTPUT_LIMIT: usize = 256 << 20;

/// Does one thing here and another, which waits for git, on a thread of its own.
///
/// # Errors
/// Those of both, the first one's first; `IO_ERROR` when there is no thread, and nothing was done.
pub fn at_one_time<A, B: Send>(
    one: impl FnOnce() -> Result<A, Problem>,
    other: impl FnOnce() -> Result<B, Problem> + Send,
) -> Result<(A, B), Problem> {
    std::thread::scope(|scope| {
        let other = Builder::new().spawn_scoped(scope, other);
        let other = other.map_err(|error| threads::none_left(&error))?;
        let one = one();
        let other = other.join().unwrap_or_else(|_| {
            let why = "a thread that waited for git ended early";
            Err(Problem::fail("GIT_FAILED", why))
        });
        Ok((one?, other?))
    })
}

/// One git call under construction.
struct Call {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    folder: PathBuf,
    memory: Option<u64>,
}

impl Call {
    /// Starts a call on `git_dir` that reads no configuration but that folder's own.
    fn clean(git_dir: &Path, root: &Path) -> Self {
        let mut call = Self {
            arguments: vec!["git".into()],
            environment: Vec::new(),
            input: Vec::new(),
            folder: root.to_owned(),
            memory: None,
        };
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("HOME", "/nonexistent"),
        ] {
            call = call.set(name, value);
        }
        call.common(git_dir, root)
    }

    /// Starts a call on the user's own checkout, which needs the user's own configuration.
    fn as_user(git_dir: &Path, root: &Path) -> Self {
        let mut call = Self {
            arguments: vec!["git".into()],
            environment: Vec::new(),
            input: Vec::new(),
            folder: root.to_owned(),
            memory: None,
        };
        // Where the user's own files of settings are, and no more. What else git reads of the environment
        // is said for one command (`GIT_CONFIG_COUNT`, `GIT_COMMITTER_NAME`), or bends what a
        // command works on (`GIT_INDEX_FILE`, `GIT_NAMESPACE`). A place that is not absolute would be looked up
        // in the checkout, where a change could write it.
        for name in environment::GIT_SETTINGS {
            let place = environment::read(name).filter(|place| Path::new(place).is_absolute());
            call = place
                .into_iter()
                .fold(call, |call, place| call.set(name, place));
        }
        call.common(git_dir, root)
    }

    fn common(mut self, git_dir: &Path, root: &Path) -> Self {
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            // Grafts tell of parents that a commit does not have.
            ("GIT_GRAFT_FILE", "/nonexistent"),
            ("GIT_ALLOW_PROTOCOL", ""),
            ("GIT_PAGER", "cat"),
            ("GIT_EDITOR", "false"),
        ] {
            self = self.set(name, value);
        }
        if let Some(path) = environment::search_path() {
            self = self.set("PATH", path);
        }
        self = self.set("GIT_DIR", git_dir);
        let mut safe = OsString::from("safe.directory=");
        safe.push(root);
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.untrackedCache=false",
            "core.quotePath=true",
            "core.protectHFS=true",
            "core.protectNTFS=true",
            "safe.bareRepository=explicit",
            "gc.auto=0",
            "maintenance.auto=false",
            "core.commitGraph=false",
            "protocol.allow=never",
        ] {
            self = self.args(["-c", setting]);
        }
        self.args([OsStr::new("-c"), &safe])
    }

    fn set(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Lets git fill no more memory than this, in bytes.
    fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Runs the call, whatever its exit code.
    fn finish(self) -> Result<Finished, Problem> {
        let spec = Spec {
            argv: self.arguments,
            folder: self.folder,
            environment: self.environment,
            input: self.input,
            timeout: TIMEOUT,
            output_limit: OUTPUT_LIMIT,
            all_or_nothing: true,
            merge: false,
            memory: self.memory,
            leash: false,
        };
        let done = process::run(&spec, &|| false)?;
        if done.stdout.is_cut() {
            return Err(Problem::fail(
                "GIT_OUTPUT_TOO_LARGE",
                format!(
                    "git wrote {} bytes, at most {OUTPUT_LIMIT} are read",
                    done.stdout.total
                ),
            ));
        }
        Ok(done)
    }

    /// Runs the call and demands exit 0.
    fn output(self, what: &str) -> Result<Vec<u8>, Problem> {
        let done = self.finish()?;
        if done.ended.is_success() {
            return Ok(done.stdout.bytes);
        }
        Err(Problem::fail(
            "GIT_FAILED",
            format!(
                "{what}: git ended with {}: {}",
                done.ended,
                last_words(&done.stderr.bytes)
            ),
        ))
    }

    /// Runs the call and reads one trimmed line.
    fn line(self, what: &str) -> Result<String, Problem> {
        let bytes = self.output(what)?;
        Ok(String::from_utf8_lossy(&bytes)
            .trim_end_matches(['\n', '\r'])
            .to_owned())
    }
}

/// What git calls a place: bytes, which need be no text, and the end of the line.
fn place(line: &[u8]) -> PathBuf {
    let path = line.strip_suffix(b"\n").unwrap_or(line);
    PathBuf::from(OsStr::from_bytes(path))
}

/// The first lines of git's complaint, made safe to print.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(5)
        .collect();
    let text = lines.join("; ").escape_debug().to_string();
    if text.is_empty() {
        "it said nothing".to_owned()
    } else {
        text
    }
}
