//! What an append needs each time, kept open from one to the next: opening costs as much as the line,
//! and other writers wait meanwhile.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use rustix::fs::{FlockOperation, flock};

use super::log::taken;
use crate::files::Folder;

/// A file that is kept open for as long as its name stands for it.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    device: u64,
    inode: u64,
}

impl Open {
    fn of(file: File) -> io::Result<Self> {
        let status = file.metadata()?;
        Ok(Self {
            file: Arc::new(file),
            device: status.dev(),
            inode: status.ino(),
        })
    }

    /// How long the file is; `None` unless this name in the folder is the open file's.
    fn length(&self, folder: &Folder, name: &str) -> io::Result<Option<u64>> {
        match folder.stat(name) {
            Ok(status) => {
                let is_it = (status.st_dev, status.st_ino) == (self.device, self.inode);
                Ok(is_it.then(|| u64::try_from(status.st_size).unwrap_or(0)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Kept {
    /// The file of this name, opened by `open` unless it is the one that was opened last, and its length.
    pub(super) fn get(
        &self,
        folder: &Folder,
        name: &str,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<(Arc<File>, u64)> {
        let mut kept = taken(&self.0);
        if let Some(open) = &*kept
            && let Some(length) = open.length(folder, name)?
        {
            return Ok((Arc::clone(&open.file), length));
        }
        let open = kept.insert(Open::of(open()?)?);
        Ok((Arc::clone(&open.file), open.file.metadata()?.len()))
    }
}

/// A lock that this process holds through one open file, and in it one thread.
#[derive(Debug, Default)]
pub(super) struct Lock(Mutex<Option<Open>>);

/// As long as it lives, nobody else has the lock.
#[derive(Debug)]
pub(super) struct Locked<'l>(MutexGuard<'l, Option<Open>>);

impl Lock {
    /// Waits for the lock; with [`FlockOperation::NonBlockingLockExclusive`] it fails instead with
    /// `WouldBlock`.
    pub(super) fn take(
        &self,
        folder: &Folder,
        name: &str,
        how: FlockOperation,
    ) -> io::Result<Locked<'_>> {
        let mut kept = match how {
            FlockOperation::NonBlockingLockExclusive => match self.0.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Poisoned(kept)) => kept.into_inner(),
                Ok(kept) => kept,
            },
            _ => taken(&self.0),
        };
        loop {
            let open = match kept.take() {
                Some(open) => open,
                None => Open::of(folder.lock_file(name)?)?,
            };
            flock(&*open.file, how)?;
            // Somebody may have removed the file while we waited; whoever comes next makes another.
            if open.length(folder, name)?.is_some() {
                *kept = Some(open);
                return Ok(Locked(kept));
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let unlocked = self.0.as_ref().map(|open| {
            let file: &File = &open.file;
            flock(file, FlockOperation::Unlock)
        });
        // Closing it unlocks as well.
        if let Some(Err(_)) = unlocked {
            *self.0 = None;
        }
    }
}
