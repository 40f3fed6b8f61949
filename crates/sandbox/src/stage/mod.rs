//! The second stage: the host program, started again as a helper of its own.
//!
//! The *outer* half runs before any wall: it closes what was open, leaves root, and becomes `bwrap` with a
//! guard above it (or, below level I3, the keeper). The *keeper* runs inside: it forks, the child raises the
//! inner walls around itself, lets the canary try them, waits for the word of the supervisor and becomes
//! the gate; the keeper reaps and counts.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod canary;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod guard;
mod keeper;
mod outer;
mod walls;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd};

use crate::sys;
use crate::wire::{KEEPER, OUTER, Report, send};

/// Whether `main` offered itself, so that starting this program again is not an endless chain.
static OFFERED: AtomicBool = AtomicBool::new(false);

/// Becomes the second stage when this process was started as one; otherwise returns at once.
///
/// Call it first in `main`, before any thread is started: [`crate::Sandbox::this_program`] starts
/// the running program again and counts on it.
pub fn enter_if_called() {
    OFFERED.store(true, Ordering::Relaxed);
    let Some(word) = std::env::args_os().nth(1) else {
        return;
    };
    if word == OUTER {
        outer::run();
    } else if word == KEEPER {
        keeper::run(None);
    }
}

#[cfg(target_os = "linux")]
pub(crate) use canary::namespaces;

/// The namespaces of this process; none where the system has no such thing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn namespaces() -> std::collections::BTreeMap<String, String> {
    std::collections::BTreeMap::new()
}

pub(crate) fn is_offered() -> bool {
    OFFERED.load(Ordering::Relaxed)
}

/// Where things lie for the gate.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) tree: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) temporary: PathBuf,
}

/// A step that failed, told to the supervisor.
pub(crate) struct Broken {
    step: &'static str,
    error: String,
}

/// Names the step that an error belongs to.
pub(crate) fn at<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Broken {
    move |error| Broken {
        step,
        error: error.to_string(),
    }
}

/// Takes the channel off standard input and closes everything else that was open.
fn channel() -> Option<UnixStream> {
    sys::close_from(3).ok()?;
    let stdin = std::io::stdin();
    fcntl_getfd(&stdin)
        .ok()
        .filter(|flags| *flags == FdFlags::empty())?;
    let channel = UnixStream::from(fcntl_dupfd_cloexec(&stdin, 3).ok()?);
    // A person who types the argument by hand has no socket there.
    channel.peer_addr().ok()?;
    Some(channel)
}

/// Tells the supervisor what broke, and ends this process.
fn give_up(channel: &mut UnixStream, broken: Broken) -> ! {
    tell(channel, broken);
    sys::leave(125)
}

fn tell(channel: &mut UnixStream, broken: Broken) {
    // A supervisor that is gone needs no report.
    let _ = send(
        channel,
        &Report::Failed {
            step: broken.step.to_owned(),
            error: broken.error,
        },
    );
}
