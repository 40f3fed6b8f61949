//! One queue in another store: copied while everything halts, compared byte for byte, the log with it.

use std::io;
use std::path::Path;

use super::making::{UNFINISHED, has_lines};
use super::{Directory, STOP, Store, broken, database, pinned};
use crate::files::Folder;
use crate::manifest::FOLDERS;
use crate::problem::Problem;
use crate::state::State;
use crate::{accepted, envelope, manifest};

/// The largest file of a queue, in bytes: what evidence may be.
const LARGEST: usize = 256 << 20;
/// Folders of the queue beside those of the states. The log is copied line by line.
const MORE: [&str; 4] = ["approved", "keys", "policies", "results"];

/// Folders that a store without a queue does not have, beside those of the states.
const USED: [&str; 4] = ["approved", "keys", "results", "order"];

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Tasks, in whatever state.
    pub tasks: u64,
    /// Files, those of the tasks included.
    pub files: u64,
    /// Lines of the log.
    pub lines: u64,
}

impl Store {
    /// The queue of the repository at `root` as it lies at an address, whatever the manifest says.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_at(root: &Path, address: &str) -> Result<Self, Problem> {
        let local = Folder::open(&root.join(envelope::QUEUE_ROOT));
        let local = local.map_err(|error| super::missing(root, &error))?;
        let address = named(address)?;
        let store = Self::at(root, local, address.clone())?;
        store.is_whole(address.as_deref())?;
        Ok(store)
    }

    /// Copies this queue to another address, where there must be none, and compares every byte. The caller
    /// has seen to it that everything halts; the copy halts too, until a person lifts its STOP. `record` writes
    /// the log line, once the other store is known to be there and empty: a copy that cannot begin leaves no
    /// line.
    ///
    /// # Errors
    /// `STORE_NOT_EMPTY`, `STORE_PLACE`, `STORE_UNTRUSTED` of folders that were put away, `STORE_DIFFERS`,
    /// `QUEUE_BROKEN`, and those of the log.
    pub fn copy_to(
        &self,
        address: &str,
        record: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<Copied, Problem> {
        if self.database.is_none() {
            // The log of this machine is then another store's.
            pinned::check(&self.root, None)?;
        }
        let _mutex = self.mutex()?;
        let target = Self::reach(&self.root, named(address)?, true)?;
        target.is_empty(address)?;
        self.begin(&target)?;
        target.furnish()?;
        record()?;
        let head = self.log()?.head()?;
        if let Some(database) = &target.database {
            self.log()?.give_lines(database.as_ref())?;
        }
        let copied = self.copy_folders(&target, head.seq)?;
        if let Some(sha256) = accepted::noted(self)? {
            accepted::note(&target, &sha256)?;
        }
        if target.log()?.head()? != head {
            return Err(differs("the log"));
        }
        // Whoever works on the queue writes a line, from another machine too.
        if self.log()?.head()? != head || !self.is_stopped_everywhere()? {
            return Err(differs("the log of the store that was copied"));
        }
        let ended = target.queue.remove(UNFINISHED);
        ended.map_err(|error| broken(UNFINISHED, &error))?;
        Ok(copied)
    }

    fn copy_folders(&self, target: &Self, lines: u64) -> Result<Copied, Problem> {
        let mut copied = Copied {
            lines,
            ..Copied::default()
        };
        for name in states().chain(MORE) {
            let failed = |error: io::Error| broken(name, &error);
            let from = self.queue.sub_or_new(name).map_err(failed)?;
            let to = target.queue.sub_or_new(name).map_err(failed)?;
            let files = tree(&from, &to).map_err(failed)?;
            compare(&from, &to, name)?;
            copied.files += files;
            if State::from_name(name).is_some() {
                copied.tasks += from.list().map_err(failed)?.len() as u64;
            }
        }
        Ok(copied)
    }

    /// Refuses a store that has a queue, or a part of one, already.
    fn is_empty(&self, address: &str) -> Result<(), Problem> {
        let mut used = Vec::new();
        for name in states().chain(USED) {
            let listed = self.queue.sub(name).and_then(|folder| folder.list());
            match listed {
                Ok(entries) if entries.is_empty() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                listed => used.push(listed.map(|_| name).map_err(|error| broken(name, &error))?),
            }
        }
        let has_log = match &self.database {
            Some(database) => {
                let lines = database.lines(0, 1);
                !lines.map_err(|error| broken("log", &error))?.is_empty()
            }
            // Else the lines on this machine are a copy of the other store's.
            None => pinned::check(&self.root, None).is_ok() && has_lines(&self.root)?,
        };
        if has_log {
            used.push("audit");
        }
        if used.is_empty() {
            return Ok(());
        }
        let why = format!("there is a queue at {} already", database::shown(address));
        let refused = Problem::fail("STORE_NOT_EMPTY", why);
        Err(match &self.database {
            Some(_) => refused.hint("name an empty database; nothing is overwritten"),
            None => refused.hint(format!(
                "nothing is overwritten; if it is an old one, put these folders of {} away first: {}",
                envelope::QUEUE_ROOT,
                used.join(" ")
            )),
        })
    }

    /// Marks the other store as one whose copy is not whole yet, and halts whoever would work there.
    fn begin(&self, target: &Self) -> Result<(), Problem> {
        let failed = |error: io::Error| broken(UNFINISHED, &error);
        target.queue.replace(UNFINISHED, b"").map_err(failed)?;
        let why = self.queue.read(STOP, LARGEST).unwrap_or_default();
        target.set_stop(&String::from_utf8_lossy(&why)).map(drop)
    }
}

/// The address of a database; `None` for folders.
fn named(address: &str) -> Result<Option<String>, Problem> {
    manifest::check_address(address)?;
    Ok(Some(address.to_owned()).filter(|address| address != FOLDERS))
}

fn states() -> impl Iterator<Item = &'static str> {
    State::ALL.into_iter().map(State::name)
}

/// Copies a tree in the order of age, which is the order of tasks that wait; says how many files it had.
fn tree(from: &Directory, to: &Directory) -> io::Result<u64> {
    let mut entries = Vec::new();
    for entry in from
        .list()?
        .into_iter()
        .filter(|entry| !is_lock(&entry.name))
    {
        let task = from
            .sub(&entry.name)
            .and_then(|task| task.modified("task.json"));
        let since = task.or_else(|_| from.modified(&entry.name))?;
        entries.push((since, entry));
    }
    entries.sort_by_key(|(since, _)| *since);
    let mut files = 0;
    for (_, entry) in entries {
        if entry.is_folder {
            files += tree(&from.sub(&entry.name)?, &to.sub_or_new(&entry.name)?)?;
            continue;
        }
        let bytes = from.read(&entry.name, LARGEST)?;
        match to.write_new(&entry.name, &bytes) {
            // Another accepted policy, or what a copy that was cut off left: compared below.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            written => written?,
        }
        files += 1;
    }
    Ok(files)
}

/// Locks that live and die with processes.
fn is_lock(name: &str) -> bool {
    name == super::claim::MUTEX
}

fn compare(from: &Directory, to: &Directory, path: &str) -> Result<(), Problem> {
    let failed = |error: io::Error| broken(path, &error);
    let names = |folder: &Directory| -> io::Result<Vec<(String, bool)>> {
        let listed = folder.list()?.into_iter();
        let listed = listed.filter(|entry| !is_lock(&entry.name));
        let mut names: Vec<_> = listed.map(|entry| (entry.name, entry.is_folder)).collect();
        names.sort();
        Ok(names)
    };
    let (ours, theirs) = (names(from).map_err(failed)?, names(to).map_err(failed)?);
    if ours != theirs {
        return Err(differs(path));
    }
    for (name, is_folder) in ours {
        let path = format!("{path}/{name}");
        if is_folder {
            let inner = (
                from.sub(&name).map_err(failed)?,
                to.sub(&name).map_err(failed)?,
            );
            compare(&inner.0, &inner.1, &path)?;
        } else if from.read(&name, LARGEST).map_err(failed)?
            != to.read(&name, LARGEST).map_err(failed)?
        {
            return Err(differs(&path));
        }
    }
    Ok(())
}

fn differs(what: &str) -> Problem {
    let why = format!("{what} is not the same in both stores after the copy");
    Problem::fail("STORE_DIFFERS", why)
        .hint("somebody wrote meanwhile, or the new store had something already: begin again with an empty one")
}
