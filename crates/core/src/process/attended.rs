//! A child that talks to the person at the terminal.

use std::io::IsTerminal;
use std::process::Stdio;
use std::time::Instant;

use super::{Ended, Finished, Spec, Streams, command, launch, supervise};
use crate::problem::Problem;

/// Runs a child that may ask the person at the terminal for something: it stays in the foreground,
/// and what it says on standard error is seen at once where that is a terminal.
///
/// # Errors
/// `TOOL_MISSING` when the program cannot be started, and as [`super::run`].
pub fn run_attended(spec: &Spec) -> Result<Finished, Problem> {
    let started = Instant::now();
    let mut command = command(spec)?;
    if std::io::stderr().is_terminal() {
        command.stderr(Stdio::inherit());
    }
    let mut child = launch(spec, &mut command)?;
    let mut streams = Streams::of(&mut child, spec);
    let deadline = started + spec.timeout;
    let ended = supervise(&mut child, &mut streams, deadline, &|| false);
    if matches!(ended, Ended::Timeout | Ended::Stopped) {
        // One that ended just now is the good case.
        let _ = child.kill();
        let _ = child.wait();
    }
    streams.finish(ended, started)
}
