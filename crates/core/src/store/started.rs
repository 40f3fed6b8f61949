//! A file that takes its place before what it holds is known.

use std::fs::File;
use std::io::{self, Write};

use super::Directory;

/// A new file that is there, empty, and not filled yet.
#[derive(Debug)]
pub struct Started {
    pub(super) directory: Directory,
    pub(super) name: String,
    pub(super) file: Option<File>,
}

impl Started {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fills the file; durable when this returns.
    ///
    /// # Errors
    /// The system's.
    pub fn fill(self, bytes: &[u8]) -> io::Result<()> {
        match (&self.directory, self.file) {
            (Directory::Disk(folder), Some(mut file)) => {
                file.write_all(bytes)?;
                file.sync_all()?;
                folder.sync()
            }
            (directory, _) => directory.replace(&self.name, bytes),
        }
    }

    /// Takes the file away again.
    ///
    /// # Errors
    /// The system's.
    pub fn give_back(&self) -> io::Result<()> {
        self.directory.remove(&self.name)
    }
}
