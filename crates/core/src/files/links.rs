//! Entries of a folder seen as what they are: a link is read, never followed.

use std::io;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType};

use super::{Folder, component};

/// What an entry is, itself and not what it may point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

impl Folder {
    /// Opens the same folder once more.
    ///
    /// # Errors
    /// The system's.
    pub fn sub_self(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
            path: self.path.clone(),
        })
    }

    /// What lies under a name; `None` when nothing does.
    ///
    /// # Errors
    /// The system's.
    pub fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        let stat = match self.stat(name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        }))
    }

    /// Where a link points to, as it is written.
    ///
    /// # Errors
    /// The system's, `InvalidInput` when it is no link.
    pub fn read_link(&self, name: &str) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.fd, component(name)?, Vec::new())?;
        Ok(PathBuf::from(
            String::from_utf8_lossy(target.as_bytes()).into_owned(),
        ))
    }

    /// Makes a link; nothing of that name may exist.
    ///
    /// # Errors
    /// `AlreadyExists`, else the system's.
    pub fn new_link(&self, name: &str, target: &str) -> io::Result<()> {
        rustix::fs::symlinkat(target, &self.fd, component(name)?)?;
        self.sync()
    }

    /// Removes a folder if it is empty; says whether it is gone.
    ///
    /// # Errors
    /// The system's.
    pub fn remove_if_empty(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, component(name)?, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => Ok(false),
            Err(rustix::io::Errno::NOENT) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_seen_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.write_new("file", b"x").unwrap();
        folder.new_sub("sub").unwrap();
        folder.new_link("link", "sub").unwrap();
        folder.new_link("gone", "nowhere").unwrap();
        let kinds = ["file", "sub", "link", "gone", "none"].map(|name| folder.kind(name).unwrap());
        let expected = [Some(Kind::File), Some(Kind::Folder), Some(Kind::Link)];
        assert_eq!(kinds[..3], expected);
        assert_eq!(kinds[3..], [Some(Kind::Link), None]);
        assert_eq!(folder.read_link("gone").unwrap().to_str(), Some("nowhere"));
        assert!(folder.new_link("file", "sub").is_err());
        assert!(folder.read_link("file").is_err());
    }

    #[test]
    fn only_an_empty_folder_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let inner = folder.new_sub("sub").unwrap();
        inner.write_new("file", b"x").unwrap();
        assert!(!folder.remove_if_empty("sub").unwrap());
        inner.remove("file").unwrap();
        assert!(folder.remove_if_empty("sub").unwrap());
        assert!(folder.remove_if_empty("sub").unwrap());
        folder.new_link("link", "sub").unwrap();
        assert!(folder.remove_if_empty("link").is_err());
    }
}
