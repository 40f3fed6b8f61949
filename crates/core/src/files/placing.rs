//! Writes under a name of their own, synced, and then put where they belong.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Access, AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{FILE_MODE, FOLDER, Folder, component};
use crate::ids;

impl Folder {
    pub(super) fn put(
        &self,
        name: &str,
        bytes: &[u8],
        mode: Mode,
        rename: RenameFlags,
    ) -> io::Result<()> {
        let name = component(name)?;
        let random = ids::random_hex().map_err(|problem| io::Error::other(problem.message))?;
        let temporary = format!(".tmp-{random}");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.fd, &temporary, flags, mode)?);
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| {
                Ok(rustix::fs::renameat_with(
                    &self.fd, &temporary, &self.fd, name, rename,
                )?)
            });
        if let Err(error) = written {
            // Best effort: the name is random and ignored by every reader.
            let _ = rustix::fs::unlinkat(&self.fd, &temporary, AtFlags::empty());
            return Err(error);
        }
        Ok(())
    }

    /// Lets two files change names; nothing is synced.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        let (one, other) = (component(one)?, component(other)?);
        let flags = RenameFlags::EXCHANGE;
        Ok(rustix::fs::renameat_with(
            &self.fd, one, &self.fd, other, flags,
        )?)
    }

    /// Gives a file a second name, in another folder, and syncs that.
    ///
    /// # Errors
    /// `AlreadyExists`, else the system's.
    pub(crate) fn link_to(&self, name: &str, target: &Self, new_name: &str) -> io::Result<()> {
        let (from, to) = (component(name)?, component(new_name)?);
        rustix::fs::linkat(&self.fd, from, &target.fd, to, AtFlags::empty())?;
        target.sync()
    }

    /// Makes an empty file, in place of what it may hold, and syncs nothing: only for what can be made
    /// again.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn make_file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, component(name)?, flags, FILE_MODE)?;
        Ok(File::from(fd))
    }

    /// Removes a file and syncs nothing.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.fd,
            component(name)?,
            AtFlags::empty(),
        )?)
    }

    /// Makes an empty file where nothing of that name is.
    ///
    /// # Errors
    /// `AlreadyExists`, else the system's.
    pub(crate) fn new_file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, component(name)?, flags, FILE_MODE)?;
        Ok(File::from(fd))
    }

    /// Locks the folder itself against everybody else who asks, until the descriptor is closed. The lock is
    /// the inode's and goes along when the folder is moved.
    ///
    /// # Errors
    /// `WouldBlock` while another has it, else the system's.
    pub(crate) fn hold(&self) -> io::Result<OwnedFd> {
        // A description of its own: locks of one and the same would not keep each other out.
        let fd = rustix::fs::openat(&self.fd, ".", FOLDER, Mode::empty())?;
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        Ok(fd)
    }

    /// Whether this account has no right to put anything into the folder, or to move the folder itself. A disk
    /// that is full, or takes no writes at all, is another matter.
    pub(crate) fn is_denied(&self) -> bool {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        let may = rustix::fs::accessat(&self.fd, ".", wanted, AtFlags::EACCESS);
        may.is_err_and(|error| error == Errno::ACCESS || error == Errno::PERM)
    }

    /// Gives a file another name in the same folder, in place of what has that name; nothing is synced.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn rename_over(&self, name: &str, new_name: &str) -> io::Result<()> {
        let (from, to) = (component(name)?, component(new_name)?);
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }
}
