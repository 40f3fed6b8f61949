//! Taking files out of a tree that hostile code has written.
//!
//! The walk holds every folder open and goes from each to the next by one name, so nothing that is
//! swapped meanwhile can lead it out of the tree. It opens regular files only, never waits, and is
//! bounded in everything it reads. What is not taken is named with the reason.

mod pattern;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Stat};

use crate::files::Folder;
use crate::problem::Problem;
use crate::terminal::{visible, visible_line};

use pattern::Part;
pub use pattern::Pattern;

/// Folders with more entries than this are not searched.
pub const MOST_ENTRIES: usize = 10_000;
/// How many entries one collection lists in all folders together, and so how many it can enter.
const MOST_LISTED: usize = 100_000;

/// What one collection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The largest file, in bytes.
    pub file_bytes: u64,
    /// How many files, refused ones included.
    pub files: usize,
    /// All taken files together, in bytes.
    pub total_bytes: u64,
}

/// One file that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Its path below the root, with forward slashes, printable. Of a name that is not, an escaped
    /// form that opens nothing.
    pub path: String,
    /// Its bytes, or why it was not taken.
    pub content: Result<Vec<u8>, Refusal>,
}

/// Why a file was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing of that name, or nothing that the pattern matches.
    Missing,
    /// It is a symbolic link, or one leads to it.
    Link,
    /// It is no regular file but this.
    Kind(&'static str),
    /// It has another name, which may lie outside the tree.
    HardLinked,
    /// It has this many bytes, more than one file may have.
    TooLarge(u64),
    /// With it, all files together would have more bytes than they may.
    OverTotal,
    /// So many files were found before that this and all others are left out.
    TooManyFiles,
    /// The folder has too many entries to be searched, or all folders together have.
    TooManyEntries,
    /// The name holds characters that no record should hold, or is no UTF-8.
    Name,
    /// It was changed or exchanged while it was looked at.
    Changed,
    /// It lies on another file system.
    OtherFileSystem,
    /// The system said this.
    System(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::Link => f.write_str("it is or lies behind a symbolic link"),
            Self::Kind(kind) => write!(f, "it is {kind}, expected a regular file"),
            Self::HardLinked => f.write_str("it has more than one hard link"),
            Self::TooLarge(bytes) => write!(f, "it has {bytes} bytes, more than are taken"),
            Self::OverTotal => f.write_str("all files together would have too many bytes"),
            Self::TooManyFiles => f.write_str("too many files were found before it"),
            Self::TooManyEntries => f.write_str("there are too many entries to look through"),
            Self::Name => f.write_str("its name holds characters that do not show"),
            Self::Changed => f.write_str("it was changed while it was looked at"),
            Self::OtherFileSystem => f.write_str("it lies on another file system"),
            Self::System(error) => f.write_str(error),
        }
    }
}

/// Takes the files that `patterns` name out of the tree at `root`, sorted by path, each once. A
/// pattern that finds nothing is in the answer too, as [`Refusal::Missing`].
///
/// # Errors
/// `IO_ERROR` when the root itself is no folder that can be opened.
pub fn collect(root: &Path, patterns: &[Pattern], caps: &Caps) -> Result<Vec<Collected>, Problem> {
    collect_watched(root, patterns, caps, |_, _| {})
}

/// The steps before which a test may change the tree under the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Entering,
    Opening,
    Reading,
}

fn collect_watched(
    root: &Path,
    patterns: &[Pattern],
    caps: &Caps,
    watch: impl FnMut(Moment, &str),
) -> Result<Vec<Collected>, Problem> {
    let folder = Folder::open(root).map_err(|error| Problem::io(root.display(), &error))?;
    let mut walk = Walk {
        caps: *caps,
        total: 0,
        listed: 0,
        hits: 0,
        found: BTreeMap::new(),
        watch,
    };
    for pattern in patterns {
        let before = walk.hits;
        walk.search(&folder, "", pattern.parts());
        if walk.hits == before {
            walk.note(pattern.text().to_owned(), Err(Refusal::Missing));
        }
    }
    let found = walk.found.into_iter();
    Ok(found
        .map(|(path, content)| Collected { path, content })
        .collect())
}

struct Walk<W> {
    caps: Caps,
    total: u64,
    listed: usize,
    /// How often anything was found that a pattern means, taken or not.
    hits: usize,
    found: BTreeMap<String, Result<Vec<u8>, Refusal>>,
    watch: W,
}

impl<W: FnMut(Moment, &str)> Walk<W> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.caps.files
    }

    /// Keeps what was found first under a path: two patterns may name one file.
    fn note(&mut self, path: String, content: Result<Vec<u8>, Refusal>) {
        self.hits += 1;
        if self.is_full() && !self.found.contains_key(&path) {
            // One more entry says that the list was cut.
            if self.found.len() == self.caps.files {
                self.found.insert(path, Err(Refusal::TooManyFiles));
            }
            return;
        }
        self.found.entry(path).or_insert(content);
    }

    fn search(&mut self, folder: &Folder, at: &str, parts: &[Part]) {
        match parts.split_first() {
            Some((Part::Name(name), rest)) => self.step(folder, &join(at, name), name, rest),
            Some((Part::Glob(glob), rest)) => {
                for name in self.matching(folder, at, glob, rest.is_empty()) {
                    if self.found.len() > self.caps.files {
                        return;
                    }
                    self.step(folder, &join(at, &name), &name, rest);
                }
            }
            None => {}
        }
    }

    /// The names in a folder that a glob matches, sorted. Where more parts follow, plain files are
    /// passed over: they are no part of what the pattern means.
    fn matching(
        &mut self,
        folder: &Folder,
        at: &str,
        glob: &pattern::NameGlob,
        is_last: bool,
    ) -> Vec<String> {
        let most = MOST_ENTRIES.min(MOST_LISTED.saturating_sub(self.listed));
        let entries = match folder.entries(most) {
            Ok(Some(entries)) => entries,
            Ok(None) => {
                self.note(join(at, glob.text()), Err(Refusal::TooManyEntries));
                return Vec::new();
            }
            Err(error) => {
                self.note(join(at, glob.text()), Err(told(&error)));
                return Vec::new();
            }
        };
        self.listed += entries.len();
        let mut names = Vec::new();
        for (name, kind) in entries {
            if !glob.matches(&name) || (!is_last && kind == FileType::RegularFile) {
                continue;
            }
            match std::str::from_utf8(&name) {
                Ok(text) if shows(text) => names.push(text.to_owned()),
                _ => self.note(join(at, &shown(&name)), Err(Refusal::Name)),
            }
        }
        names.sort_unstable();
        names
    }

    fn step(&mut self, folder: &Folder, path: &str, name: &str, rest: &[Part]) {
        if rest.is_empty() {
            self.hits += 1;
            if !self.found.contains_key(path) {
                let content = self.read(folder, path, name);
                self.note(path.to_owned(), content);
            }
            return;
        }
        match self.enter(folder, path, name) {
            Ok(inner) => self.search(&inner, path, rest),
            Err(why) => {
                let rest: Vec<_> = rest.iter().map(Part::text).collect();
                self.note(join(path, &rest.join("/")), Err(why));
            }
        }
    }

    fn enter(&mut self, folder: &Folder, path: &str, name: &str) -> Result<Folder, Refusal> {
        let stat = folder.stat(name).map_err(|error| told(&error))?;
        match kind(&stat) {
            FileType::Directory => {}
            FileType::Symlink => return Err(Refusal::Link),
            _ => return Err(Refusal::Missing),
        }
        (self.watch)(Moment::Entering, path);
        folder.sub_walled(name).map_err(|error| swapped(&error))
    }

    fn read(&mut self, folder: &Folder, path: &str, name: &str) -> Result<Vec<u8>, Refusal> {
        if self.is_full() {
            return Err(Refusal::TooManyFiles);
        }
        let seen = folder.stat(name).map_err(|error| told(&error))?;
        let size = self.check(&seen)?;
        (self.watch)(Moment::Opening, path);
        let mut file = folder.file_walled(name).map_err(|error| swapped(&error))?;
        if identity(&stat(&file)?) != identity(&seen) {
            return Err(Refusal::Changed);
        }
        (self.watch)(Moment::Reading, path);
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file)
            .take(size + 1)
            .read_to_end(&mut bytes);
        read.map_err(|error| told(&error))?;
        if bytes.len() as u64 != size || identity(&stat(&file)?) != identity(&seen) {
            return Err(Refusal::Changed);
        }
        self.total += size;
        Ok(bytes)
    }

    /// Refuses what is no regular file of one name within the caps, unopened; gives its size.
    fn check(&self, seen: &Stat) -> Result<u64, Refusal> {
        match kind(seen) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(Refusal::Link),
            FileType::Directory => return Err(Refusal::Kind("a folder")),
            FileType::Fifo => return Err(Refusal::Kind("a pipe")),
            FileType::Socket => return Err(Refusal::Kind("a socket")),
            FileType::CharacterDevice | FileType::BlockDevice => {
                return Err(Refusal::Kind("a device"));
            }
            FileType::Unknown => return Err(Refusal::Kind("of an unknown kind")),
        }
        if seen.st_nlink != 1 {
            return Err(Refusal::HardLinked);
        }
        let size = u64::try_from(seen.st_size).unwrap_or(u64::MAX);
        if size > self.caps.file_bytes {
            return Err(Refusal::TooLarge(size));
        }
        if size > self.caps.total_bytes.saturating_sub(self.total) {
            return Err(Refusal::OverTotal);
        }
        Ok(size)
    }
}

/// What stays the same of a file that nobody exchanges or writes to.
fn identity(stat: &Stat) -> impl PartialEq + use<> {
    (
        (stat.st_dev, stat.st_ino, stat.st_mode, stat.st_nlink),
        (stat.st_size, stat.st_mtime, stat.st_mtime_nsec),
        (stat.st_ctime, stat.st_ctime_nsec),
    )
}

fn stat(file: &File) -> Result<Stat, Refusal> {
    rustix::fs::fstat(file).map_err(|error| told(&error.into()))
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn told(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound => Refusal::Missing,
        io::ErrorKind::CrossesDevices => Refusal::OtherFileSystem,
        _ => Refusal::System(error.to_string()),
    }
}

/// An error on something that was there and of the right kind just before.
fn swapped(error: &io::Error) -> Refusal {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    let gone = [
        Errno::LOOP,
        Errno::NOTDIR,
        Errno::NOENT,
        Errno::NXIO,
        Errno::AGAIN,
    ];
    if gone.iter().any(|gone| errno == Some(gone.raw_os_error())) {
        Refusal::Changed
    } else {
        told(error)
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}/{name}")
    }
}

/// Whether a name stands in a record as it is; a backslash would look like an escape.
fn shows(name: &str) -> bool {
    !name.contains(['\t', '\\']) && visible_line(name) == name
}

fn shown(name: &[u8]) -> String {
    visible_line(&String::from_utf8_lossy(&visible(name)))
}
