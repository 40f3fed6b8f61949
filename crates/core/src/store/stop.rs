//! The kill switch: anything of its name in the queue halts everything.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::database::ROOT;
use super::lookout::Lookout;
use super::{Directory, Store, broken, missing};
use crate::audit::Log;
use crate::envelope::QUEUE_ROOT;
use crate::files::Folder;
use crate::problem::Problem;

/// The kill switch's name in the queue.
pub const STOP: &str = "STOP";

/// Lies beside a STOP that was set by a command: that one is lifted by a person's command, and not by taking the
/// file away.
const SET: &str = "STOP.set";

/// How long a database may be silent. Longer, and nobody knows whether STOP is in it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the kill switch is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// There is nothing of that name.
    Absent,
    /// It is there, or it could not be told that it is not; the text says which.
    Present(String),
}

impl Stop {
    /// Whether everything must halt.
    #[must_use]
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }
}

impl Store {
    /// Asks for the kill switch. Anything of that name counts, a dangling link too, and so does
    /// every error that keeps us from knowing.
    #[must_use]
    pub fn stop(&self) -> Stop {
        match self.local.is_in_place() {
            Ok(true) => self.ask(),
            // A STOP that is set now lies in another folder than the one that is open here.
            Ok(false) => Stop::Present(format!(
                "{QUEUE_ROOT} was moved away or replaced since it was opened, and a STOP in the new one would not \
                 be seen; begin again with the queue that lies there now"
            )),
            Err(error) => Stop::Present(format!("{QUEUE_ROOT} cannot be looked at: {error}")),
        }
    }

    fn ask(&self) -> Stop {
        // Where the queue is shared, one that lies here halts this machine alone, whatever can be reached.
        let found = match self.lookout() {
            Some(lookout) => lookout.ask(PATIENCE, || self.local.exists(STOP)),
            None => self.queue.exists(STOP),
        };
        match found {
            Ok(false) => self.was_taken_away(),
            Ok(true) => Stop::Present(format!("{QUEUE_ROOT}/{STOP} is there")),
            Err(error) => {
                Stop::Present(format!("{QUEUE_ROOT}/{STOP} cannot be looked at: {error}"))
            }
        }
    }

    fn lookout(&self) -> Option<&Lookout> {
        let database = self.database.as_ref()?;
        Some(self.lookout.get_or_init(|| {
            let database = Arc::clone(database);
            Lookout::new(move || Ok(database.entry(ROOT, STOP)?.is_some()))
        }))
    }

    /// STOP is not there. One that was set by a command halts all the same until a person lifts it.
    fn was_taken_away(&self) -> Stop {
        let Directory::Disk(folder) = &self.queue else {
            return self.was_forgotten();
        };
        match folder.exists(SET) {
            Ok(false) => Stop::Absent,
            Ok(true) => Stop::Present(format!(
                "{QUEUE_ROOT}/{STOP} was taken away by hand, and nobody lifted it"
            )),
            Err(error) => Stop::Present(format!("{QUEUE_ROOT}/{SET} cannot be looked at: {error}")),
        }
    }

    /// A database has no STOP. An older state of it may have taken its place, and this machine's copy of the log
    /// still says that STOP was set and not lifted: what was promised is not forgotten here.
    fn was_forgotten(&self) -> Stop {
        let why = match self.log().and_then(Log::says_stopped) {
            Ok(false) => return Stop::Absent,
            Ok(true) => "the log says that it was set, and nobody lifted it".to_owned(),
            Err(problem) => format!(
                "it was set when this machine last saw the log, and nobody is known to have lifted it: {}",
                problem.message
            ),
        };
        Stop::Present(format!(
            "{QUEUE_ROOT}/{STOP} was taken away, the store has none: {why}"
        ))
    }

    /// Whether STOP is on for everybody, and not for this machine alone.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, `STORE_UNREACHABLE`.
    pub fn is_stopped_everywhere(&self) -> Result<bool, Problem> {
        let there = self.queue.exists(STOP);
        let there = there.map_err(|error| broken(STOP, &error))?;
        Ok(there || self.was_taken_away().is_present())
    }

    /// Whether the queue lies in a database, where other machines may share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.database.is_some()
    }

    /// Whether STOP lies on this machine, whatever can be known of a database. A queue that cannot be opened is asked so.
    #[must_use]
    pub fn is_stopped_here(root: &Path) -> bool {
        Folder::open(&root.join(QUEUE_ROOT))
            .and_then(|local| local.exists(STOP))
            .unwrap_or(false)
    }

    /// Switches STOP on for this machine alone: the queue's database cannot be reached, and halting must not
    /// depend on it.
    ///
    /// # Errors
    /// `QUEUE_MISSING`, `IO_ERROR`.
    pub fn stop_here(root: &Path, text: &str) -> Result<bool, Problem> {
        let local = Folder::open(&root.join(QUEUE_ROOT)).map_err(|error| missing(root, &error))?;
        switch(halt(&local, text))
    }

    /// Switches STOP on, with who and why in it. Already on is fine.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn set_stop(&self, text: &str) -> Result<bool, Problem> {
        switch(match &self.queue {
            Directory::Disk(folder) => {
                let halted = halt(folder, text);
                // STOP itself halts; where there is no room for this, the log still tells of it.
                let _ = folder.new_file(SET).and_then(|_| folder.sync());
                halted
            }
            queue => queue.write_new(STOP, text.as_bytes()),
        })
    }

    /// Lifts STOP. Says whether it was there.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn lift_stop(&self) -> Result<bool, Problem> {
        let lifted = |removed: io::Result<()>| match removed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Problem::io(STOP, &error)
                .hint("look at what lies there under that name and remove it by hand")),
        };
        let here = match &self.database {
            Some(_) => {
                // Of the folders that the queue lay in before.
                lifted(self.local.remove(SET))?;
                lifted(self.local.remove(STOP))?
            }
            None => false,
        };
        let there = lifted(self.queue.remove(STOP))?;
        let set = match &self.queue {
            Directory::Disk(folder) => lifted(folder.remove(SET))?,
            Directory::Rows(_) => false,
        };
        Ok(there || set || here)
    }
}

/// The name is what halts, so it comes first: a disk that is full has room for it, and for the text perhaps not.
fn halt(folder: &Folder, text: &str) -> io::Result<()> {
    let mut file = folder.new_file(STOP)?;
    let _ = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    folder.sync()
}

fn switch(written: io::Result<()>) -> Result<bool, Problem> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Problem::io(STOP, &error).hint(format!(
            "halt this machine by hand: touch {QUEUE_ROOT}/{STOP}"
        ))),
    }
}
