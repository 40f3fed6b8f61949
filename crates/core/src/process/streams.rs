//! What a child reads and writes, moved through its pipes by the one thread that waits for it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Captured, Ended, Finished, Spec};
use crate::problem::Problem;

/// How long the pipes may stay open after the child ended; a leftover holding them is cut off.
const DRAIN: Duration = Duration::from_millis(500);
/// As much as a pipe holds.
const BUFFER: usize = 64 << 10;

/// A child's pipes, and what came out of them.
pub(super) struct Streams<'s> {
    spec: &'s Spec,
    /// The child's input, and how much of it was written.
    input: Option<(ChildStdin, usize)>,
    /// What is read, each with the place of its capture.
    open: Vec<(File, usize)>,
    /// Standard output and standard error; all in the first where they are merged.
    captured: [Captured; 2],
    buffer: Vec<u8>,
    /// Why bytes could not be moved. What the child was told or what it said is not whole then.
    broken: Option<std::io::Error>,
}

impl<'s> Streams<'s> {
    /// Takes the pipes that the child has.
    pub(super) fn of(child: &mut Child, spec: &'s Spec) -> Self {
        let input = child.stdin.take().map(|input| (input, 0));
        if let Some((input, _)) = &input {
            // A child that reads nothing must not block us. Where this fails, it may until the time is up.
            let _ = rustix::io::ioctl_fionbio(input, true);
        }
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let stdout = stdout.map(|pipe| (File::from(pipe), 0));
        let stderr = stderr.map(|pipe| (File::from(pipe), usize::from(!spec.merge)));
        Self {
            spec,
            input,
            open: stdout.into_iter().chain(stderr).collect(),
            captured: Default::default(),
            buffer: vec![0; BUFFER],
            broken: None,
        }
    }

    /// Whether bytes were lost on the way. The child's input is still open, so that it takes no part for the whole.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether nothing is left to write or to read.
    pub(super) fn is_done(&self) -> bool {
        self.input.is_none() && self.open.is_empty()
    }

    /// Writes and reads what can be now; waits for that as long as this, if need be.
    pub(super) fn pump(&mut self, longest: Duration) {
        let input = self.input.iter();
        let input = input.map(|(pipe, _)| PollFd::new(pipe, PollFlags::OUT));
        let outputs = self.open.iter();
        let outputs = outputs.map(|(pipe, _)| PollFd::new(pipe, PollFlags::IN));
        let mut ends: Vec<_> = input.chain(outputs).collect();
        let timeout = Timespec::try_from(longest).ok();
        if !poll(&mut ends, timeout.as_ref()).is_ok_and(|ready| ready > 0) {
            return;
        }
        let mut ready = ends.iter().map(|end| !end.revents().is_empty());
        let writes = self.input.is_some() && ready.next().unwrap_or(false);
        let reads: Vec<bool> = ready.collect();
        if writes {
            self.write();
        }
        // From the last one, so that a pipe that is closed moves none that comes after.
        for (at, is_ready) in reads.into_iter().enumerate().rev() {
            if is_ready && !self.read(at) {
                self.open.remove(at);
            }
        }
    }

    /// Writes what fits.
    fn write(&mut self) {
        let Some((pipe, written)) = &mut self.input else {
            return;
        };
        let rest = self.spec.input.get(*written..).unwrap_or_default();
        match pipe.write(rest) {
            Ok(count) => *written += count,
            Err(error) if is_passing(&error) => {}
            // A child that closed its input early is no error of ours.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                *written = self.spec.input.len();
            }
            Err(error) => self.broken = Some(error),
        }
        if self.broken.is_none() && *written >= self.spec.input.len() {
            self.input = None;
        }
    }

    /// Reads once from the open pipe at this place; false at its end, and when no more is wanted.
    fn read(&mut self, at: usize) -> bool {
        let Some((pipe, into)) = self.open.get_mut(at) else {
            return false;
        };
        let count = match pipe.read(&mut self.buffer) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if is_passing(&error) => return true,
            Err(error) => {
                self.broken = Some(error);
                return false;
            }
        };
        let (bytes, captured) = (self.buffer.get(..count), self.captured.get_mut(*into));
        if let (Some(bytes), Some(captured)) = (bytes, captured) {
            captured.take_in(bytes, self.spec.output_limit);
            return !(self.spec.all_or_nothing && captured.is_cut());
        }
        false
    }

    /// Reads what is left once the child ended, for a while, and tells how it went.
    ///
    /// # Errors
    /// `PIPE_FAILED` when bytes were lost on the way to the child or from it.
    pub(super) fn finish(mut self, ended: Ended, started: Instant) -> Result<Finished, Problem> {
        self.input = None;
        let deadline = Instant::now() + DRAIN;
        while !self.open.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.pump(left);
        }
        if let Some(error) = self.broken {
            let name = self.spec.argv.first().map(|name| name.to_string_lossy());
            let name = name.unwrap_or_default();
            let why = format!("what goes to {name} or comes from it did not arrive whole: {error}");
            return Err(Problem::fail("PIPE_FAILED", why).hint("run it again"));
        }
        let [stdout, stderr] = self.captured;
        Ok(Finished {
            ended,
            stdout,
            stderr,
            duration: started.elapsed(),
        })
    }
}

fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
