//! Locks by number: files beside the database that are locked while they are there. The system frees a
//! lock when its process ends, however it ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use baton_core::files::Folder;
use rustix::fs::{FlockOperation, flock};

#[derive(Debug)]
pub(crate) struct Locks {
    folder: PathBuf,
}

/// A lock that is held. Dropped, the file goes before the lock does, so that nobody takes one that lies
/// there no more.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    folder: PathBuf,
    name: String,
}

impl Locks {
    /// The locks of a database file.
    pub(crate) fn beside(database: &Path) -> io::Result<Self> {
        let mut name = database.file_name().unwrap_or_default().to_owned();
        name.push(".locks");
        let folder = Folder::open(database.parent().unwrap_or(Path::new(".")))?;
        let made = folder.sub_or_new(&name.to_string_lossy())?;
        Ok(Self {
            folder: made.path().to_owned(),
        })
    }

    /// Takes a lock, or fails with `WouldBlock`.
    pub(crate) fn take(&self, id: i64) -> io::Result<Lock> {
        let folder = Folder::open(&self.folder)?;
        let name = id.to_string();
        loop {
            let file = folder.lock_file(&name)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            let ours = file.metadata()?;
            // Whoever had it may have removed the file between our opening and our locking it.
            match self.folder.join(&name).symlink_metadata() {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                    let folder = self.folder.clone();
                    return Ok(Lock { file, folder, name });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays is taken by the next one all the same.
        let _ = std::fs::remove_file(self.folder.join(&self.name));
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
