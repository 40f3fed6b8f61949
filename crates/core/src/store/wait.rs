//! Waiting until there may be something to do: a task came, moved on or was put back, or STOP was switched.
//! Where the system tells of it, whoever waits is woken at once; everywhere else the time runs out, so every
//! caller looks again by itself after a while.

use std::sync::Arc;
use std::time::Duration;

use super::{Database, Store};

/// What wakes whoever waits for the queue.
#[derive(Debug)]
pub struct Waiter(How);

/// By what a change is seen.
#[derive(Debug)]
enum How {
    /// The system tells of changes of the folders.
    Watch(watch::Watch),
    /// The database does.
    Database(Arc<dyn Database>),
    /// Nothing does.
    Time,
}

/// A STOP that is made by hand on this machine is no change of the database, and halts within a second.
const LONGEST: Duration = Duration::from_millis(500);

impl Store {
    /// Watches the queue from now on: what comes before the first [`Waiter::wait`] is not missed.
    #[must_use]
    pub fn waiter(&self) -> Waiter {
        Waiter(match &self.database {
            Some(database) => How::Database(Arc::clone(database)),
            None => watch::Watch::of(self).map_or(How::Time, How::Watch),
        })
    }
}

impl Waiter {
    /// Waits until something changed in the queue's folders, and for no longer than `most`. Says whether
    /// something did; no is no promise that nothing did.
    #[must_use]
    pub fn wait(&self, most: Duration) -> bool {
        let slept = || {
            std::thread::sleep(most);
            false
        };
        match &self.0 {
            How::Watch(watch) => watch.wait(most),
            // One that cannot be reached says so to whoever asks it for more than this.
            How::Database(database) => database.wait(most.min(LONGEST)).unwrap_or_else(|_| slept()),
            How::Time => slept(),
        }
    }

    /// Whether changes wake, or only time does.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        !matches!(self.0, How::Time)
    }
}

#[cfg(target_os = "linux")]
mod watch {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

    use crate::state::State;
    use crate::store::Store;

    #[derive(Debug)]
    pub(super) struct Watch(OwnedFd);

    impl Watch {
        /// None where the system gives no more watches: there are limits for each user.
        pub(super) fn of(store: &Store) -> Option<Self> {
            let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            let comes_or_goes = WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::ONLYDIR
                | WatchFlags::DONT_FOLLOW;
            let top = store.local.path();
            // STOP lies at the top.
            inotify::add_watch(&watch, top, comes_or_goes).ok()?;
            // A folder comes by a move; what is only begun there is nothing to look at yet.
            let whole = comes_or_goes.difference(WatchFlags::CREATE) | WatchFlags::CLOSE_WRITE;
            let folders = [State::Inbox, State::Claimed, State::Work];
            for folder in folders.map(|state| top.join(state.name())) {
                inotify::add_watch(&watch, folder, whole).ok()?;
            }
            Some(Self(watch))
        }

        pub(super) fn wait(&self, most: Duration) -> bool {
            let most = Timespec::try_from(most).ok();
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            // A signal ends the wait early, as time does.
            let came = poll(&mut fds, most.as_ref()).is_ok_and(|ready| ready > 0);
            came && self.drain()
        }

        /// Takes what came out of the system's hands; what it was is for the caller to look at.
        fn drain(&self) -> bool {
            let mut bytes = [0_u8; 4096];
            let mut came = false;
            while rustix::io::read(&self.0, &mut bytes).is_ok_and(|count| count > 0) {
                came = true;
            }
            came
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod watch {
    use std::time::Duration;

    use crate::store::Store;

    #[derive(Debug)]
    pub(super) struct Watch;

    impl Watch {
        pub(super) fn of(_: &Store) -> Option<Self> {
            None
        }

        pub(super) fn wait(&self, most: Duration) -> bool {
            std::thread::sleep(most);
            false
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Nobody writes here, so what is waited for is what the test does.
    #[test]
    fn a_task_and_stop_wake_and_what_came_before_the_wait_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::create(folder.path()).unwrap();
        let waiter = store.waiter();
        assert!(waiter.is_woken());
        assert!(!waiter.wait(Duration::from_millis(10)), "nothing happened");
        let inbox = folder.path().join(".autodev_queue/inbox");
        let began = Instant::now();
        std::fs::create_dir(inbox.join("../.T-1")).unwrap();
        std::fs::rename(inbox.join("../.T-1"), inbox.join("T-1")).unwrap();
        assert!(waiter.wait(LONG));
        assert!(!waiter.wait(Duration::from_millis(10)), "it was taken");
        assert!(store.set_stop("x").unwrap() && waiter.wait(LONG));
        assert!(store.lift_stop().unwrap() && waiter.wait(LONG));
        std::fs::rename(inbox.join("T-1"), inbox.join("../work/T-1")).unwrap();
        assert!(waiter.wait(LONG) && began.elapsed() < LONG);
    }

    #[test]
    fn what_happens_while_somebody_waits_wakes_them() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::create(folder.path()).unwrap();
        let waiter = store.waiter();
        std::thread::scope(|scope| {
            let woken = scope.spawn(|| waiter.wait(LONG));
            store.set_stop("x").unwrap();
            assert!(woken.join().unwrap());
        });
    }

    #[test]
    fn without_a_watch_time_alone_ends_the_wait() {
        assert!(!Waiter(How::Time).wait(Duration::from_millis(1)));
    }
}
