//! A child that talks to the person at the terminal.

use std::io::IsTerminal;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Captured, Ended, Finished, Spec, collect, command, drain, ended_by, feed, launch};
use crate::problem::Problem;

/// Runs a child that may ask the person at the terminal for something: it stays in the foreground,
/// and what it says on standard error is seen at once where that is a terminal.
///
/// # Errors
/// `TOOL_MISSING` when the program cannot be started.
pub fn run_attended(spec: &Spec) -> Result<Finished, Problem> {
    let started = Instant::now();
    let mut command = command(spec)?;
    if std::io::stderr().is_terminal() {
        command.stderr(Stdio::inherit());
    }
    let mut child = launch(spec, &mut command)?;
    feed(&mut child, spec.input.clone());
    let (sender, ends) = channel();
    let stdout = Arc::new(Mutex::new(Captured::default()));
    let stderr = Arc::new(Mutex::new(Captured::default()));
    let open = usize::from(child.stdout.is_some()) + usize::from(child.stderr.is_some());
    collect(
        child.stdout.take(),
        Arc::clone(&stdout),
        spec,
        sender.clone(),
    );
    collect(child.stderr.take(), Arc::clone(&stderr), spec, sender);
    let ended = loop {
        if let Ok(Some(status)) = child.try_wait() {
            break ended_by(status);
        }
        if started.elapsed() >= spec.timeout {
            // One that ended just now is the good case.
            let _ = child.kill();
            let _ = child.wait();
            break Ended::Timeout;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drain(&ends, open);
    let take = |stream: &Mutex<Captured>| {
        let held = stream.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    };
    Ok(Finished {
        ended,
        stdout: take(&stdout),
        stderr: take(&stderr),
        duration: started.elapsed(),
    })
}
