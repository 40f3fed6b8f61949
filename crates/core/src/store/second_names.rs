//! Two names of one folder, as a power cut leaves them on some file systems.

use super::{Store, broken};
use crate::problem::Problem;
use crate::state::State;

impl Store {
    /// Whether the two states hold one and the same thing under the task's name.
    pub(super) fn is_one(&self, id: &str, one: State, other: State) -> Result<bool, Problem> {
        let identity = |state: State| {
            let found = self.state_folder(state)?.identity_of(id);
            found.map_err(|error| broken(id, &error))
        };
        let (one, other) = (identity(one)?, identity(other)?);
        Ok(one.is_some() && one == other)
    }

    /// Takes a name away whose inode has another one, so nothing is lost. A folder's name is put out of
    /// the way, as nobody can remove a folder that holds something.
    pub(super) fn drop_name(&self, id: &str, state: State) -> Result<(), Problem> {
        let folder = self.state_folder(state)?;
        let aside = format!(".tmp-second-{}", crate::ids::random_hex()?);
        let moved = folder.move_to(id, &folder, &aside);
        moved.map_err(|error| broken(id, &error))?;
        // What can be removed at once is.
        drop(folder.remove(&aside));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No folder can be given a second name at will, so the names here are a file's.
    #[test]
    fn of_two_names_of_one_thing_the_earlier_goes_and_of_two_things_none() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::create(folder.path()).unwrap();
        let path =
            |state: &str, id: &str| folder.path().join(".autodev_queue").join(state).join(id);
        std::fs::write(path("claimed", "T-1"), "one").unwrap();
        std::fs::hard_link(path("claimed", "T-1"), path("inbox", "T-1")).unwrap();
        std::fs::write(path("claimed", "T-2"), "two").unwrap();
        std::fs::write(path("inbox", "T-2"), "two").unwrap();
        let is_one = |id| store.is_one(id, State::Inbox, State::Claimed).unwrap();
        assert!(is_one("T-1") && !is_one("T-2") && !is_one("T-3"));
        store.drop_name("T-1", State::Inbox).unwrap();
        assert!(!path("inbox", "T-1").exists());
        assert_eq!(std::fs::read(path("claimed", "T-1")).unwrap(), b"one");
        assert_eq!(
            std::fs::read_dir(folder.path().join(".autodev_queue/inbox"))
                .unwrap()
                .count(),
            1
        );
    }
}
