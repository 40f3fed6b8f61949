//! Ids of tasks in all spellings: an index of the folded ids, so that a new task costs the same however many
//! there are. As the order of the inbox it is never synced and can be made again: a name in it whose task is
//! gone counts for nothing, and the very id itself is looked for in every state.

use std::io;

use super::{Directory, Store, broken};
use crate::ids;
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

/// The index's folder in `keys`.
const FOLDER: &str = "ids";
/// The longest id, in bytes.
const LONGEST: usize = 64;

impl Store {
    /// Refuses an id that some task has already, in any state and any case. The caller holds the queue's
    /// mutex.
    pub(super) fn check_free(&self, id: &TaskId) -> Result<(), Problem> {
        let names = self.names().map_err(|error| broken(FOLDER, &error))?;
        let other = match names.read(&id.folded(), LONGEST) {
            Ok(bytes) => TaskId::parse(&String::from_utf8_lossy(&bytes)).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(broken(FOLDER, &error)),
        };
        for id in [Some(id), other.as_ref()].into_iter().flatten() {
            if let Some(state) = self.find(id)? {
                let why = format!("there is a task {id} in {state} already");
                return Err(Problem::fail("TASK_EXISTS", why)
                    .hint("choose another task_id; upper and lower case make no difference"));
            }
        }
        Ok(())
    }

    /// Puts an id into the index.
    pub(super) fn take_name(&self, id: &TaskId) {
        let noted = self.names().and_then(|names| note(&names, id));
        // The id itself is found without it.
        drop(noted);
    }

    /// The index, made of what is there where it is missing. Where it is, the keys were not lost either; where
    /// it is not, they are made again along with it, so that no key is forgotten.
    pub(super) fn names(&self) -> io::Result<Directory> {
        let keys = self.queue.sub("keys")?;
        match keys.sub(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let random = ids::random_hex().map_err(|problem| io::Error::other(problem.message))?;
        let temporary = format!(".tmp-{random}");
        let names = keys.new_sub(&temporary)?;
        for state in State::ALL {
            let entries = self.queue.sub(state.name())?.list()?.into_iter();
            let ids = entries.filter(|entry| entry.is_folder);
            for id in ids.filter_map(|entry| TaskId::parse(&entry.name).ok()) {
                note(&names, &id)?;
            }
        }
        self.remake_keys()?;
        keys.move_to(&temporary, &keys, FOLDER)?;
        Ok(names)
    }
}

fn note(names: &Directory, id: &TaskId) -> io::Result<()> {
    names.note(&id.folded(), id.as_str().as_bytes())
}
