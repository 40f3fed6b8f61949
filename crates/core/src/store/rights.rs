//! What this account has no right to write to, in a queue that it may write to else: a part that another account
//! made, root perhaps, by a command that was run once.

use std::io;

use super::claim::MUTEX;
use super::liveness::asked;
use super::{Directory, Store, TaskFolder, Wedge, wedge};
use crate::envelope::QUEUE_ROOT;

impl Directory {
    /// Whether this account may not write to the folder. In a database whoever gets in may.
    pub(super) fn is_denied(&self) -> bool {
        match self {
            Self::Disk(folder) => folder.is_denied(),
            Self::Rows(_) => false,
        }
    }
}

impl TaskFolder {
    /// Whether it can be read, and this account may lock it.
    pub(super) fn is_usable(&self) -> bool {
        self.task_bytes().is_ok() && !self.folder().is_denied()
    }
}

impl Store {
    /// A task that this account cannot lock: nobody who runs as this account waits for it.
    pub(super) fn of_rights(&self, task: &TaskFolder) -> Option<Wedge> {
        if !task.folder().is_denied() || !self.may_write(task.state().name()) {
            return None;
        }
        let (id, state) = (task.id().as_str(), task.state());
        let why = "this account has no right to write to its folder, so it is passed by";
        let next = give_back(state.name(), id);
        Some(wedge("TASK_BROKEN", Some(id), why, next).broken())
    }

    /// The queue's lock: somebody sits on it, or it is another account's.
    pub(super) fn of_mutex(&self) -> Option<Wedge> {
        let keys = self.folder("keys").ok()?;
        let mut is_denied = false;
        let is_free = || match keys.lock_if_free(MUTEX) {
            Err(error) => {
                is_denied = error.kind() == io::ErrorKind::PermissionDenied;
                error.kind() != io::ErrorKind::WouldBlock
            }
            Ok(_) => true,
        };
        if !asked(is_free) {
            let why = "a process sits on the queue's lock and does not go on";
            let next = self.who_sits_on("keys/.mutex");
            return Some(wedge("QUEUE_BUSY", None, why, next).broken());
        }
        if !is_denied || keys.is_denied() {
            return None;
        }
        let why = "this account has no right to take the queue's lock, keys/.mutex";
        let next = give_back("keys", MUTEX);
        Some(wedge("QUEUE_UNWRITABLE", None, why, next).broken())
    }

    /// Whether the account works on the queue. Who only looks at it is not told of everything in it.
    fn may_write(&self, part: &str) -> bool {
        self.folder(part).is_ok_and(|folder| !folder.is_denied())
    }
}

fn give_back(part: &str, name: &str) -> String {
    format!(
        "chown -R --reference={QUEUE_ROOT}/{part} {QUEUE_ROOT}/{part}/{name}, as root or as its owner (ls -ln says who)"
    )
}
