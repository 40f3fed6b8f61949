//! The log's files as they are at one moment, for somebody who checks them elsewhere.

use std::io;

use super::checkpoint::CHECKPOINT;
use super::index::Indexed;
use super::segments::SEGMENTS;
use super::{FILE, Log, index};
use crate::files::Folder;
use crate::problem::Problem;

/// Names of files in the `audit` folder, each with its bytes.
pub type Snapshot = Vec<(String, Vec<u8>)>;

impl Log {
    /// Everything that a check of the log reads, and no secret: head, lines, closed segments, tree. The
    /// head covers all the lines, for elsewhere nobody vouches for one behind it; none is appended meanwhile.
    ///
    /// # Errors
    /// `BUNDLE_TOO_LARGE` when it is more than `most` bytes, `IO_ERROR`, and those of [`Self::seal_now`].
    pub fn snapshot(&self, most: usize) -> Result<Snapshot, Problem> {
        // Who needs both locks takes the checkpoint's first.
        let sealing = self.lock_checkpoint()?;
        let _lock = self.lock()?;
        let last = self.parts()?.tail()?.head.seq;
        if self.sealed()?.checkpoint.size < last {
            self.signing_key()?;
            self.open_checked(&Indexed::Whole)?;
            self.seal_locked(last, &sealing)?;
        }
        let mut files = Snapshot::new();
        let mut left = most;
        for folder in ["", SEGMENTS, index::FOLDER] {
            let inner = match folder {
                "" => None,
                name => Some(
                    self.folder
                        .sub(name)
                        .map_err(|error| Problem::io(name, &error))?,
                ),
            };
            let inner = inner.as_ref();
            for name in names(inner)? {
                let from = inner.unwrap_or(&self.folder);
                let bytes = from
                    .read(&name, left)
                    .map_err(|error| failed(&name, &error, most))?;
                left = left.saturating_sub(bytes.len());
                let prefix = if folder.is_empty() {
                    String::new()
                } else {
                    format!("{folder}/")
                };
                files.push((format!("{prefix}{name}"), bytes));
            }
        }
        Ok(files)
    }
}

/// Of the audit folder itself only what a check reads: the signing key lies there too.
fn names(inner: Option<&Folder>) -> Result<Vec<String>, Problem> {
    let Some(folder) = inner else {
        return Ok(vec![CHECKPOINT.to_owned(), FILE.to_owned()]);
    };
    let entries = folder
        .list()
        .map_err(|error| Problem::io("audit", &error))?;
    let files = entries.into_iter().filter(|entry| !entry.is_folder);
    let mut names: Vec<_> = files.map(|entry| entry.name).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

fn failed(name: &str, error: &io::Error, most: usize) -> Problem {
    if error.kind() != io::ErrorKind::InvalidData {
        return Problem::io(name, error);
    }
    let why = format!("the log has more than {most} bytes, the most that go into a bundle");
    Problem::fail("BUNDLE_TOO_LARGE", why)
        .hint("check it where it lies: baton verify TASK --strict; or prove single lines: baton audit prove SEQ")
}
