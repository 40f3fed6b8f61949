//! Paths below one folder. No link on the way is followed: in a repository that somebody else made, one
//! may lead anywhere.

use std::io;
use std::path::Path;

use baton_core::digest;
use baton_core::files::{Folder, Kind};
use baton_core::problem::Problem;

/// More than any file of the pack; a larger one is not ours.
const MAX_BYTES: usize = 1 << 20;

/// The folder below which everything happens.
#[derive(Debug)]
pub(super) struct Root {
    folder: Folder,
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or a folder on the way is missing.
    Nothing,
    /// A regular file with this SHA-256.
    File(String),
    /// A link as it is written.
    Link(String),
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let folder = Folder::open(path).map_err(|error| Problem::io(path.display(), &error))?;
        Ok(Self { folder })
    }

    fn trouble(&self, path: &str) -> impl Fn(io::Error) -> Problem {
        let shown = self.folder.path().join(path).display().to_string();
        move |error| Problem::io(&shown, &error)
    }

    /// Walks to the folder of `path`; `None` when a folder on the way is missing and not to be made.
    fn parent<'a>(&self, path: &'a str, make: bool) -> Result<Option<(Folder, &'a str)>, Problem> {
        let mut folder = self.folder.sub_self().map_err(self.trouble(""))?;
        let mut rest = path;
        while let Some((name, inner)) = rest.split_once('/') {
            let walked = path.len() - inner.len() - 1;
            let so_far = path.get(..walked).unwrap_or(path);
            folder = match folder.kind(name).map_err(self.trouble(so_far))? {
                None if !make => return Ok(None),
                None => folder.new_sub(name).map_err(self.trouble(so_far))?,
                Some(Kind::Folder) => folder.sub(name).map_err(self.trouble(so_far))?,
                Some(kind) => return Err(in_the_way(&self.folder.path().join(so_far), kind)),
            };
            rest = inner;
        }
        Ok(Some((folder, rest)))
    }

    pub(super) fn find(&self, path: &str) -> Result<Found, Problem> {
        let Some((folder, name)) = self.parent(path, false)? else {
            return Ok(Found::Nothing);
        };
        let trouble = self.trouble(path);
        Ok(match folder.kind(name).map_err(&trouble)? {
            None => Found::Nothing,
            Some(Kind::Folder) => Found::Folder,
            Some(Kind::Link) => {
                let target = folder.read_link(name).map_err(&trouble)?;
                Found::Link(target.to_string_lossy().into_owned())
            }
            Some(Kind::File) => match folder.read(name, MAX_BYTES) {
                Ok(bytes) => Found::File(digest::sha256(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Found::Other,
                Err(error) => return Err(trouble(error)),
            },
            Some(Kind::Other) => Found::Other,
        })
    }

    /// Whether two paths, links followed, are one folder that is there.
    pub(super) fn is_same_folder(&self, one: &str, other: &str) -> bool {
        let real = |path: &str| self.folder.path().join(path).canonicalize().ok();
        real(one).is_some_and(|one| Some(one) == real(other))
    }

    /// Reads a file; `None` when it is not there.
    pub(super) fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Problem> {
        let Some((folder, name)) = self.parent(path, false)? else {
            return Ok(None);
        };
        match folder.read(name, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.trouble(path)(error)),
        }
    }

    /// Whether every file below a folder is one of these.
    pub(super) fn holds_only(
        &self,
        path: &str,
        known: &dyn Fn(&str) -> bool,
    ) -> Result<bool, Problem> {
        let full = self.folder.path().join(path);
        let entries = std::fs::read_dir(&full).map_err(self.trouble(path))?;
        for entry in entries {
            let name = entry.map_err(self.trouble(path))?.file_name();
            let inner = format!("{path}/{}", name.to_string_lossy());
            let fine = match self.find(&inner)? {
                Found::Folder => self.holds_only(&inner, known)?,
                _ => known(&inner),
            };
            if !fine {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8], replace: bool) -> Result<(), Problem> {
        let Some((folder, name)) = self.parent(path, true)? else {
            return Ok(());
        };
        let written = match replace {
            true => folder.replace(name, bytes),
            false => folder.write_new(name, bytes),
        };
        written.map_err(self.trouble(path))
    }

    pub(super) fn link(&self, path: &str, target: &str) -> Result<(), Problem> {
        let Some((folder, name)) = self.parent(path, true)? else {
            return Ok(());
        };
        folder.new_link(name, target).map_err(self.trouble(path))
    }

    /// Removes a file or a link, and the folders that are empty then.
    pub(super) fn remove(&self, path: &str) -> Result<(), Problem> {
        let Some((folder, name)) = self.parent(path, false)? else {
            return Ok(());
        };
        folder.remove(name).map_err(self.trouble(path))?;
        let mut rest = path;
        while let Some((above, _)) = rest.rsplit_once('/') {
            let Some((folder, name)) = self.parent(above, false)? else {
                return Ok(());
            };
            if !folder.remove_if_empty(name).map_err(self.trouble(above))? {
                return Ok(());
            }
            rest = above;
        }
        Ok(())
    }
}

fn in_the_way(path: &Path, kind: Kind) -> Problem {
    let (code, what) = match kind {
        Kind::Link => ("LINK_REFUSED", "a link, and may lead anywhere"),
        _ => ("SKILLS_CONFLICT", "in the way: a folder was expected"),
    };
    Problem::fail(
        code,
        format!("nothing was changed: {} is {what}", path.display()),
    )
    .hint("make it a real folder, or install for other platforms or into another place")
}
