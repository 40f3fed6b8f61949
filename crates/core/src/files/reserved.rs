//! Files that are written under a name of their own, synced, and then put where they belong.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

use super::{FILE_MODE, Folder, component};
use crate::ids;

/// A file that is to become another one's content. Dropped before, it is gone.
pub(crate) struct Reserved<'a> {
    folder: &'a Folder,
    name: Option<String>,
    file: File,
}

impl Reserved<'_> {
    /// As [`Folder::replace_unsynced`], in the room that was reserved.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn replace(self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let name = component(name)?;
        self.take_place(name, bytes, RenameFlags::empty())
    }

    fn take_place(mut self, name: &str, bytes: &[u8], rename: RenameFlags) -> io::Result<()> {
        self.file.write_all_at(bytes, 0)?;
        self.file.set_len(bytes.len() as u64)?;
        self.file.sync_all()?;
        let folder = &self.folder.fd;
        if let Some(own) = &self.name {
            rustix::fs::renameat_with(folder, own, folder, name, rename)?;
            self.name = None;
        }
        Ok(())
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Best effort: the name is random and ignored by every reader.
            let _ = rustix::fs::unlinkat(&self.folder.fd, name, AtFlags::empty());
        }
    }
}

impl Folder {
    /// Makes a file without a name that anybody reads, with room for `room` bytes: what it is for can
    /// then no longer fail for want of space.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn reserve(&self, room: usize) -> io::Result<Reserved<'_>> {
        self.temporary(FILE_MODE, room)
    }

    pub(super) fn put(
        &self,
        name: &str,
        bytes: &[u8],
        mode: Mode,
        rename: RenameFlags,
    ) -> io::Result<()> {
        let name = component(name)?;
        self.temporary(mode, 0)?.take_place(name, bytes, rename)
    }

    fn temporary(&self, mode: Mode, room: usize) -> io::Result<Reserved<'_>> {
        let random = ids::random_hex().map_err(|problem| io::Error::other(problem.message))?;
        let name = format!(".tmp-{random}");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, &name, flags, mode)?);
        let reserved = Reserved {
            folder: self,
            name: Some(name),
            file,
        };
        reserved.file.write_all_at(&vec![0; room], 0)?;
        Ok(reserved)
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

    /// Gives a file another name in the same folder, in place of what has that name; nothing is synced.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn rename_over(&self, name: &str, new_name: &str) -> io::Result<()> {
        let (from, to) = (component(name)?, component(new_name)?);
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }
}
