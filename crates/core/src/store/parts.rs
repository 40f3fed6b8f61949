//! The parts that a queue is made of: whether they are there, whether they can be written to, and what lies
//! in the inbox and is no part of it.

use std::io;

use rustix::fs::OFlags;

use super::{Store, broken};
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;
use crate::{audit, ids};

/// What a queue has beside a folder for each state.
pub(super) const MORE: [&str; 2] = ["approved", "keys"];
/// What is said of the lines in a database.
const LOG: &str = "the log";
/// As much as is written to see whether there is room.
const TRIAL: [u8; 4096] = [b'\n'; 4096];

impl Store {
    /// Refuses a queue that lacks a part: where a task lies, or whether it was denied, cannot be told there.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn check_parts(&self) -> Result<(), Problem> {
        let states = State::ALL.into_iter().map(State::name);
        for name in states.chain(MORE) {
            self.folder(name)?;
        }
        Ok(())
    }

    /// Whether every part of the queue can be written to: a file is put into each and taken away again.
    ///
    /// # Errors
    /// `QUEUE_UNWRITABLE`.
    pub fn try_writing(&self) -> Result<(), Problem> {
        let states = State::ALL.into_iter().map(State::name);
        let name = format!(".tmp-try-{}", ids::random_hex()?);
        // In a database all parts lie in one file, and each trial makes that larger.
        let (most, trial) = match self.database.is_some() {
            true => (1, TRIAL.get(..1).unwrap_or_default()),
            false => (usize::MAX, &TRIAL[..]),
        };
        for part in states.chain(MORE).take(most) {
            let folder = self.folder(part)?;
            let tried = folder.write_new(&name, trial);
            // What could not be written whole goes as well.
            let removed = folder.remove(&name);
            tried
                .and(removed)
                .map_err(|error| unwritable(part, &error))?;
        }
        let audit = self.local.sub("audit");
        let tried = audit.and_then(|audit| {
            audit.write_new(&name, &TRIAL)?;
            audit.remove(&name)?;
            audit.open_file(audit::FILE, OFlags::WRONLY | OFlags::APPEND)
        });
        tried.map_err(|error| unwritable("audit", &error))?;
        match self.database.as_ref().map(|database| database.try_adding()) {
            // Somebody else just did.
            Some(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Some(Err(error)) => Err(unwritable(LOG, &error)),
            _ => Ok(()),
        }
    }

    /// What lies in the inbox and is never taken in, with what it is.
    pub(super) fn strange_in_inbox(&self) -> Vec<(String, &'static str)> {
        let Ok(inbox) = self.state_folder(State::Inbox) else {
            return Vec::new();
        };
        let odd = inbox.odd_names().unwrap_or_default().into_iter();
        let mut strange: Vec<_> = odd.map(|name| (name, "no file and no folder")).collect();
        for entry in inbox.list().unwrap_or_default() {
            let is_taken_in = match entry.is_folder {
                true => TaskId::parse(&entry.name).is_ok(),
                false => entry.name.ends_with(".json"),
            };
            // What begins with a dot is some other program's.
            if is_taken_in || entry.name.starts_with('.') {
                continue;
            }
            let what = match entry.is_folder {
                true => "a folder whose name is no task's",
                false => "a file whose name does not end in .json",
            };
            if strange.iter().all(|(name, _)| *name != entry.name) {
                strange.push((entry.name, what));
            }
        }
        strange.sort();
        strange
    }
}

fn unwritable(part: &str, error: &io::Error) -> Problem {
    match broken(part, error) {
        lost if lost.code != "QUEUE_BROKEN" => lost,
        _ if error.kind() == io::ErrorKind::TimedOut => Problem::fail(
            "QUEUE_BUSY",
            format!("somebody keeps {part} and does not go on: {error}"),
        )
        .hint("baton ops workers; look for a baton process that was stopped, on each machine"),
        _ => Problem::fail(
            "QUEUE_UNWRITABLE",
            format!("nothing can be written to {part}: {error}"),
        )
        .hint("make room on the disk, or give this account the right to write to .autodev_queue (who owns it: ls -ln)"),
    }
}
