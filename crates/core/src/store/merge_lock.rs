//! The merge lock: whoever lands a task, or takes one out of `pr` in another way, holds it. There is
//! one for a repository, so that two landings never interleave.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Conflict, Store, broken};
use crate::clock::Moment;
use crate::envelope::QUEUE_ROOT;
use crate::lease::{self, Lease};
use crate::problem::Problem;

/// The lock's name in the queue.
const FILE: &str = "landing.lock";
/// No policy gives a lease for longer than a day; an end that lies further ahead was written by hand,
/// or by a clock that was wrong, and would keep everybody from landing for ever.
const LONGEST: Duration = Duration::from_secs(2 * 86_400);

/// The merge lock, held until dropped.
#[derive(Debug)]
pub struct MergeLock {
    root: PathBuf,
    lease: Lease,
}

impl MergeLock {
    /// Its fencing number.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.lease.fence
    }
}

impl Drop for MergeLock {
    fn drop(&mut self) {
        // A lock that stays is taken over as soon as this process is gone.
        drop(Store::open(&self.root).and_then(|store| store.unlock_landing(&self.lease)));
    }
}

impl Store {
    /// Takes the merge lock. One whose process is gone, or whose lease is over, is taken over with a
    /// higher fencing number.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, `LOCK_BROKEN`, `LOG_BROKEN`.
    pub fn lock_landing(
        &self,
        owner: &str,
        length: Duration,
        now: Moment,
    ) -> Result<Result<MergeLock, Conflict>, Problem> {
        let _mutex = self.mutex()?;
        let held = self.merge_lease()?;
        if let Some(held) = held
            .as_ref()
            .filter(|held| !held.is_over(now) && held.is_over(now + LONGEST))
            .filter(|held| !held.is_claimant_gone())
        {
            return Ok(Err(Conflict::Held {
                owner: format!("process {} of {}", held.pid, held.owner),
                until: held.lease_until.clone(),
                lock_path: format!("{QUEUE_ROOT}/{FILE}"),
            }));
        }
        let fence = self.next_fence(held.map_or(0, |held| held.fence))?;
        let lease = Lease::new(owner, fence, now, length);
        self.queue
            .replace(FILE, &lease.to_bytes())
            .map_err(|error| broken(FILE, &error))?;
        Ok(Ok(MergeLock {
            root: self.root.clone(),
            lease,
        }))
    }

    /// Does the one thing that a landing cannot take back, while nobody can take the lock over and no
    /// approval or denial can be written.
    ///
    /// # Errors
    /// `LANDING_FENCED` when somebody else holds the lock by now, and what `act` says.
    pub fn fenced<T>(
        &self,
        lock: &MergeLock,
        act: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let _mutex = self.mutex()?;
        let held = self.merge_lease()?;
        if held.as_ref().is_some_and(|held| held.is(&lock.lease)) {
            return act();
        }
        let now = held.map_or("nobody holds it".to_owned(), |held| {
            format!("{} holds it with number {}", held.owner, held.fence)
        });
        Err(Problem::fail(
            "LANDING_FENCED",
            format!(
                "this landing holds the merge lock with fencing number {}, by now {now}",
                lock.lease.fence
            ),
        )
        .hint("nothing was moved; run it again"))
    }

    pub(super) fn merge_lease(&self) -> Result<Option<Lease>, Problem> {
        match self.queue.read(FILE, lease::MAX_BYTES) {
            Ok(bytes) => {
                let path = format!("{QUEUE_ROOT}/{FILE}");
                Lease::read(&bytes, &path, self.queue.is_of_one_machine()).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(FILE, &error)),
        }
    }

    fn unlock_landing(&self, lease: &Lease) -> Result<(), Problem> {
        let _mutex = self.mutex()?;
        if self.merge_lease()?.is_some_and(|held| held.is(lease)) {
            self.queue
                .remove(FILE)
                .map_err(|error| broken(FILE, &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::create(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn one_holds_it_and_the_next_one_gets_it_when_dropped() {
        let (_folder, store) = store();
        let lock = store
            .lock_landing("a", LONG, Moment::now())
            .unwrap()
            .unwrap();
        let second = store.lock_landing("b", LONG, Moment::now()).unwrap();
        assert!(matches!(second, Err(Conflict::Held { .. })));
        assert_eq!(store.fenced(&lock, || Ok(7)).unwrap(), 7);
        drop(lock);
        assert!(
            store
                .lock_landing("b", LONG, Moment::now())
                .unwrap()
                .is_ok()
        );
    }

    #[test]
    fn an_older_number_moves_nothing_and_removes_nobody_elses_lock() {
        let (_folder, store) = store();
        let old = store
            .lock_landing("a", LONG, Moment::now())
            .unwrap()
            .unwrap();
        let later = Moment::now() + 2 * LONG;
        let new = store.lock_landing("b", LONG, later).unwrap().unwrap();
        assert!(new.fence() > old.fence());
        let refused = store.fenced(&old, || Ok(())).unwrap_err();
        assert_eq!(refused.code, "LANDING_FENCED");
        drop(old);
        assert_eq!(store.fenced(&new, || Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_step_of_the_wall_clock_neither_frees_nor_extends_it() {
        let (_folder, store) = store();
        let made = Moment::now();
        let day = Duration::from_secs(86_400);
        let _lock = store.lock_landing("a", LONG, made).unwrap().unwrap();
        for wall in [made.wall - day, made.wall + day] {
            let at = |seconds| Moment {
                wall,
                boot: made.boot.map(|boot| boot + Duration::from_secs(seconds)),
            };
            let early = store.lock_landing("b", LONG, at(59)).unwrap();
            assert!(early.is_err(), "it lasts a minute");
            let lease = store.merge_lease().unwrap().unwrap();
            assert!(lease.is_over(at(60)), "and no longer");
        }
    }

    #[test]
    fn the_lock_of_a_dead_process_is_taken_over_at_once() {
        let (_folder, store) = store();
        let lock = store
            .lock_landing("a", LONG, Moment::now())
            .unwrap()
            .unwrap();
        let mut dead = lock.lease.clone();
        dead.pid_start = Some(1);
        store.queue.replace(FILE, &dead.to_bytes()).unwrap();
        let next = store
            .lock_landing("b", LONG, Moment::now())
            .unwrap()
            .unwrap();
        assert!(next.fence() > dead.fence);
    }

    #[test]
    fn a_planted_lock_neither_holds_for_ever_nor_ends_the_numbers() {
        let (_folder, store) = store();
        let lock = store
            .lock_landing("a", LONG, Moment::now())
            .unwrap()
            .unwrap();
        let mut planted = lock.lease.clone();
        planted.host = "elsewhere".into();
        store.queue.replace(FILE, &planted.to_bytes()).unwrap();
        let held = store.lock_landing("b", LONG, Moment::now()).unwrap();
        assert!(held.is_err(), "another machine's lock holds until its end");
        planted.boot_id = "another".into();
        planted.lease_until = "9999-01-01T00:00:00Z".into();
        store.queue.replace(FILE, &planted.to_bytes()).unwrap();
        let next = store
            .lock_landing("b", LONG, Moment::now())
            .unwrap()
            .unwrap();
        assert!(next.fence() > planted.fence);
        planted.fence = u64::MAX;
        store.queue.replace(FILE, &planted.to_bytes()).unwrap();
        let refused = store.lock_landing("c", LONG, Moment::now()).unwrap_err();
        assert_eq!(refused.code, "LOCK_BROKEN");
    }
}
