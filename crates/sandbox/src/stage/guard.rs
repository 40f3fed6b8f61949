//! Stands between the supervisor and `bwrap`, and outlives a supervisor that is killed.
//!
//! What `bwrap` starts waits for a word of `bwrap` in a descriptor that itself holds open, and only with its walls
//! standing does it ask to die with its parent. Killed in between, `bwrap` would leave it waiting for ever.

use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, kill_process_group, waitpid,
};

use crate::handle::Handle;
use crate::stage::{Broken, at, tell};
use crate::sys::{self, Forked};

/// Splits this process in two. Returns in the new one, which becomes `bwrap` and dies with the guard.
pub(super) fn stand(channel: &mut UnixStream) -> Result<(), Broken> {
    let guard = getpid();
    match sys::fork().map_err(at("fork"))? {
        Forked::Child => {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                .map_err(at("death signal"))?;
            // Asked afterwards: a guard that ended before would not be noticed.
            if getppid() == Some(guard) {
                Ok(())
            } else {
                Err(at("guard")("it ended first"))
            }
        }
        Forked::Parent(id) => match watch(channel, id) {
            Ok(()) => sys::leave(0),
            Err(broken) => {
                tell(channel, broken);
                end_all();
                sys::leave(125)
            }
        },
    }
}

/// Waits for the end of `bwrap`, or of the supervisor: the other end of the channel is its alone.
fn watch(channel: &UnixStream, id: i32) -> Result<(), Broken> {
    let bwrap = Pid::from_raw(id).ok_or("no number").map_err(at("bwrap"))?;
    let ended = Handle::open(bwrap).map_err(at("bwrap"))?;
    let ended = ended.end().ok_or("no handle").map_err(at("bwrap"))?;
    // The log ends when nobody holds it any more, so we must not.
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(at("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(at("standard input"))?;
    rustix::stdio::dup2_stdout(&null).map_err(at("standard output"))?;
    rustix::stdio::dup2_stderr(&null).map_err(at("standard error"))?;
    drop(null);
    let mut ends = [
        PollFd::from_borrowed_fd(ended, PollFlags::IN),
        // Asked for nothing, it still tells that the other end is closed.
        PollFd::new(channel, PollFlags::empty()),
    ];
    loop {
        match poll(&mut ends, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(at("wait")(error)),
        }
        let [bwrap_is_gone, supervisor_is_gone] =
            [&ends[0], &ends[1]].map(|end| !end.revents().is_empty());
        if bwrap_is_gone {
            return waitpid(Some(bwrap), WaitOptions::empty())
                .map(drop)
                .map_err(at("wait"));
        }
        if supervisor_is_gone {
            // Named too, should the group not be ours.
            let _ = kill_process(bwrap, Signal::KILL);
            end_all();
            sys::leave(125)
        }
    }
}

/// Ends the group that the outer half made, ourselves with it. What has left the group by then dies with
/// `bwrap`, or finds the channel closed.
fn end_all() {
    let _ = kill_process_group(getpid(), Signal::KILL);
}
