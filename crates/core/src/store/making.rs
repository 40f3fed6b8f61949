//! A queue is made, or one that is there is chosen for a checkout: what `baton init` does. A queue that is lost
//! is not replaced by an empty one, nor is a half copy taken for a whole one.

use std::ops::ControlFlow;
use std::path::Path;

use super::{Store, broken, database, parts, pinned, placed};
use crate::audit::{Action, Log};
use crate::envelope::QUEUE_ROOT;
use crate::files::Folder;
use crate::manifest::{self, FOLDERS};
use crate::problem::Problem;
use crate::state::State;

/// Lies in a store while a queue is copied to it, and stays where that was cut off.
pub(super) const UNFINISHED: &str = "COPYING";

impl Store {
    /// Makes the queue's folders, an empty log and its key, whose public half goes beside the policy, and
    /// chooses the manifest's address for this checkout. What is there already stays. Says whether a key or a
    /// signed head was missing.
    ///
    /// # Errors
    /// `IO_ERROR`, `QUEUE_BROKEN`, `STORE_MISSING` where only lines of its log are left, `STORE_PLACE`,
    /// `STORE_DIFFERS` of a half copy, `STORE_OTHER` of folders beside a database's log, and those of
    /// [`Log::create`].
    pub fn create(root: &Path) -> Result<(Self, bool), Problem> {
        let address = manifest::store_of(root)?;
        let has_log = has_lines(root)?;
        let store = Self::reach(root, address.clone(), !has_log)?;
        store.is_whole(address.as_deref())?;
        if has_log {
            // Tables without these lines are another queue's, or nobody's, and not to be chosen.
            store.log()?.head()?;
            if address.is_none() && pinned::check(root, None).is_err() {
                store.was_copied_here()?;
            }
        }
        let made = store.furnish()?;
        pinned::pin(root, address.as_deref())?;
        Ok((store, made))
    }

    /// Opens the store at an address; with `make` its tables are made where there are none.
    pub(super) fn reach(root: &Path, address: Option<String>, make: bool) -> Result<Self, Problem> {
        let top = Folder::open(root).map_err(|error| Problem::io(root.display(), &error))?;
        let local = top
            .sub_or_new(QUEUE_ROOT)
            .map_err(|error| broken(QUEUE_ROOT, &error))?;
        local
            .sub_or_new("audit")
            .map_err(|error| broken("audit", &error))?;
        if let Some(address) = &address {
            if make {
                placed::check(root, address)?;
            }
            database::migrate(address, root, make)?;
        }
        Self::at(root, local, address)
    }

    /// Makes what is missing of the queue's folders and of the log; says whether a key or a head was.
    pub(super) fn furnish(&self) -> Result<bool, Problem> {
        let states = State::ALL.into_iter().map(State::name);
        for name in states.chain(parts::MORE) {
            let made = self.queue.sub_or_new(name);
            made.map_err(|error| broken(name, &error))?;
        }
        self.log()?.create()
    }

    /// Refuses folders where the log on this machine is that of a database whose queue never came here: its
    /// lines would go on in two places.
    fn was_copied_here(&self) -> Result<(), Problem> {
        let mut went_to = None;
        self.log()?.back(|line| {
            if line.action() != Action::QueueCopied {
                return Ok(ControlFlow::Continue(()));
            }
            went_to = line.event()?.meta.get("to").cloned();
            Ok(ControlFlow::Break(()))
        })?;
        if went_to.is_some_and(|to| to == FOLDERS) {
            return Ok(());
        }
        let why = "the log on this machine is that of the database which this checkout was set up with, and its \
                   queue was not copied to folders";
        Err(Problem::fail("STORE_OTHER", why).hint(
            "set \"store\" in the manifest back to the database; its queue is moved by: baton store copy --to folder",
        ))
    }

    /// Refuses what a copy that was cut off left.
    pub(super) fn is_whole(&self, address: Option<&str>) -> Result<(), Problem> {
        let found = self.queue.exists(UNFINISHED);
        if !found.map_err(|error| broken(UNFINISHED, &error))? {
            return Ok(());
        }
        let shown = database::shown(address.unwrap_or(FOLDERS));
        let why = format!("the copy of a queue to {shown} was not brought to its end");
        Err(Problem::fail("STORE_DIFFERS", why).hint(
            "set \"store\" in the manifest back to where the queue is whole; then copy it to an empty store: \
             baton store copy --to ADDRESS",
        ))
    }
}

/// Whether lines of a log lie on this machine: then there is a queue, or there was one.
pub(super) fn has_lines(root: &Path) -> Result<bool, Problem> {
    let Ok(folder) = Folder::open(&root.join(QUEUE_ROOT)).and_then(|queue| queue.sub("audit"))
    else {
        return Ok(false);
    };
    match Log::new(folder, root).head() {
        Ok(head) => Ok(head.seq > 0),
        Err(problem) if problem.code == "LOG_MISSING" => Ok(false),
        Err(problem) => Err(problem),
    }
}
