//! A hold on one process that cannot come to mean another one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};

/// On Linux a descriptor of the process; elsewhere its number, which stays its own for as long as
/// we have not reaped it.
pub(crate) struct Handle {
    #[cfg(target_os = "linux")]
    process: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    process: (Pid, Option<OwnedFd>),
}

impl Handle {
    #[cfg(target_os = "linux")]
    pub(crate) fn open(process: Pid) -> io::Result<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};
        Ok(Self {
            process: pidfd_open(process, PidfdFlags::empty())?,
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open(process: Pid) -> io::Result<Self> {
        Ok(Self {
            process: (process, None),
        })
    }

    /// Kills it. That it is gone already is the good case.
    pub(crate) fn kill(&self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::process::pidfd_send_signal(&self.process, Signal::KILL);
        #[cfg(not(target_os = "linux"))]
        let _ = rustix::process::kill_process(self.process.0, Signal::KILL);
    }

    /// Becomes readable when the process has ended, where the system has such a thing.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        #[cfg(target_os = "linux")]
        return Some(self.process.as_fd());
        #[cfg(not(target_os = "linux"))]
        return self.process.1.as_ref().map(AsFd::as_fd);
    }

    /// Waits up to two seconds for its end; whether it came.
    pub(crate) fn is_gone(&self) -> bool {
        let timeout = Timespec {
            tv_sec: 2,
            tv_nsec: 0,
        };
        self.end().is_some_and(|end| {
            let mut ends = [PollFd::from_borrowed_fd(end, PollFlags::IN)];
            poll(&mut ends, Some(&timeout)).is_ok_and(|count| count > 0)
        })
    }
}
