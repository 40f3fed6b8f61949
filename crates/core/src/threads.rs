//! Threads that may not be had: an account or a container can have used up what it may start, and then what is
//! asked for is an error and no panic.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::problem::Problem;

/// Does something beside the caller.
///
/// # Errors
/// `IO_ERROR` when the system gives no thread.
pub fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Problem> {
    let thread = Builder::new().spawn(work);
    thread.map_err(|error| none_left(&error))
}

/// A thread that waits for what it is to work on, and ends without it when the sender is dropped: it is there
/// before that is begun which somebody must attend to.
///
/// # Errors
/// As [`spawn`].
pub fn waiting<T: Send + 'static>(
    work: impl FnOnce(T) + Send + 'static,
) -> Result<(Sender<T>, JoinHandle<()>), Problem> {
    let (hand, handed) = channel();
    let thread = spawn(move || {
        if let Ok(given) = handed.recv() {
            work(given);
        }
    })?;
    Ok((hand, thread))
}

/// The problem of a system that gives no thread.
#[must_use]
pub fn none_left(error: &io::Error) -> Problem {
    Problem::fail("IO_ERROR", format!("a thread: {error}")).hint(
        "end what runs here and is not needed, or raise what this account (ulimit -u) or container (pids limit) \
         may start; baton stop needs no thread where the queue lies in folders",
    )
}
