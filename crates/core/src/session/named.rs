//! Reading what a flag names.

use std::io::{self, ErrorKind, IsTerminal};
use std::path::Path;

use super::Session;
use crate::problem::Problem;
use crate::{candidate, files};

impl Session {
    /// Reads a file that a flag names, or standard input for `-`.
    ///
    /// # Errors
    /// `FILE_UNREADABLE`; a usage error when standard input is a terminal.
    pub fn read_named(&self, path: &Path, limit: usize) -> Result<Vec<u8>, Problem> {
        read(path, limit)?.map_err(|error| {
            let next = match error.kind() {
                ErrorKind::InvalidData => "name the file that was meant; this one is too large",
                _ => "name a readable file, or - for standard input",
            };
            Problem::fail("FILE_UNREADABLE", format!("{}: {error}", path.display())).hint(next)
        })
    }

    /// Reads a patch that a flag names, as large as the policy lets one be.
    ///
    /// # Errors
    /// `PATCH_TOO_LARGE`, and as [`Session::read_named`].
    pub fn read_patch(&self, path: &Path) -> Result<Vec<u8>, Problem> {
        let limit = candidate::limits(self.policy()?).bytes;
        match read(path, limit)? {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                let length = path.metadata().ok().filter(std::fs::Metadata::is_file);
                let got = length.map_or_else(
                    || format!("more than {limit}"),
                    |length| length.len().to_string(),
                );
                Err(candidate::too_large(&got, limit))
            }
            Err(_) => self.read_named(path, limit),
            Ok(bytes) => Ok(bytes),
        }
    }
}

fn read(path: &Path, limit: usize) -> Result<io::Result<Vec<u8>>, Problem> {
    if path.as_os_str() != "-" {
        return Ok(files::read_named(path, limit));
    }
    if io::stdin().is_terminal() {
        return Err(Problem::usage(
            "- means standard input, and that is a terminal: pipe the file in",
        ));
    }
    Ok(files::read_bounded(io::stdin().lock(), limit))
}
