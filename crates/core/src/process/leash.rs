//! An end for children whose parent was killed: a parent that gets SIGKILL can end nobody any more.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

use crate::problem::Problem;

/// The shell of every POSIX system; to kill needs no program beside it.
const SHELL: &str = "/bin/sh";
/// Is told a process group, waits for the end of its input, which comes when the last holder of the pipe is
/// gone, kills the group, and takes the folder away that nobody else does then.
const WAIT_AND_KILL: &str =
    r#"read -r group && ! read -r more && kill -s KILL -- "-$group"; rm -rf -- "$1""#;

/// Holds a process group to this process: it is killed when this process ends in any way while the leash is
/// on. Dropped, the leash is off and nobody is killed.
pub(super) struct Leash {
    /// Its input is the pipe, of which this process alone has the other end.
    keeper: Child,
}

impl Leash {
    /// A leash with nobody on it yet, for who works in `folder`, which is theirs alone and goes with them.
    ///
    /// # Errors
    /// `TOOL_MISSING` when the system has no shell.
    pub(super) fn new(folder: &Path) -> Result<Self, Problem> {
        let mut command = Command::new(SHELL);
        command
            .args(["-c", WAIT_AND_KILL, SHELL])
            .arg(folder)
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Alone, so that no signal for a whole group ends it, be it ours or the child's.
            .process_group(0);
        let keeper = command.spawn().map_err(|error| {
            let why = format!("{SHELL} could not be started: {error}");
            Problem::fail("TOOL_MISSING", why).hint("install a POSIX shell at that path")
        })?;
        Ok(Self { keeper })
    }

    /// Puts the group that `child` leads on it.
    ///
    /// # Errors
    /// `IO_ERROR` when the keeper was killed.
    pub(super) fn hold(&self, child: &Child) -> Result<(), Problem> {
        let group = Pid::from_child(child).as_raw_nonzero();
        let told = self.keeper.stdin.as_ref().map_or(Ok(()), |mut input| {
            input.write_all(format!("{group}\n").as_bytes())
        });
        told.map_err(|error| Problem::io("the pipe to a child's keeper", &error))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // Killed before its input ends, so that it kills nobody. One that is gone is the good case.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
