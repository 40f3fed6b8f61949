//! A checkout of a branch: whether it can follow a landing, and how one that cannot is left alone.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Call, Oid, Repository, last_words};
use crate::problem::Problem;

/// Why a checkout does not follow a landing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// These tracked files are changed.
    Changed(Vec<String>),
    /// This file is not tracked, or ignored, and would be written over.
    InTheWay(PathBuf),
    /// A filter of the user's would have to run for this file.
    Filtered(String),
    /// Files would change in this folder, and it cannot be written to.
    Closed(PathBuf),
    /// Its folder is not there.
    Away,
    /// What lies in its folder belongs to another repository, or to none.
    Foreign,
    /// git's own words.
    Other(String),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changed(paths) => {
                let shown: Vec<_> = paths.iter().take(5).map(String::as_str).collect();
                write!(f, "changes of your own in {}", shown.join(", "))?;
                match paths.len().saturating_sub(5) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::InTheWay(path) => write!(f, "{} is there and is not tracked", path.display()),
            Self::Filtered(path) => write!(f, "a filter of yours would have to run for {path}"),
            Self::Closed(folder) => write!(f, "{} cannot be written to", folder.display()),
            Self::Away => f.write_str("its folder is not there"),
            Self::Foreign => f.write_str("what lies there does not belong to this repository"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// What the reflog of a `HEAD` says that a landing took off its branch.
fn left_off(branch: &str) -> String {
    format!("baton: left alone, off {branch}")
}

impl Repository {
    /// What keeps this checkout from following from `old` to `new`; `None` when nothing does.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn obstacle(&self, old: &Oid, new: &Oid) -> Result<Option<Obstacle>, Problem> {
        let changed = self.changed_files()?;
        if !changed.is_empty() {
            return Ok(Some(Obstacle::Changed(changed)));
        }
        if let Some(path) = self.in_the_way(old, new)? {
            return Ok(Some(Obstacle::InTheWay(path)));
        }
        if let Some(path) = self.filtered(old, new)? {
            return Ok(Some(Obstacle::Filtered(path)));
        }
        if let Some(folder) = self.closed(old, new)? {
            return Ok(Some(Obstacle::Closed(folder)));
        }
        Ok(self.read_tree(old, new, true)?.map(Obstacle::Other))
    }

    /// Brings a checkout from `old` to `new`, or says why it cannot be. Where it followed already
    /// this changes nothing.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn follow(&self, old: &Oid, new: &Oid) -> Result<Option<Obstacle>, Problem> {
        if let Some(path) = self.in_the_way(old, new)? {
            return Ok(Some(Obstacle::InTheWay(path)));
        }
        if let Some(folder) = self.closed(old, new)? {
            return Ok(Some(Obstacle::Closed(folder)));
        }
        let Some(words) = self.read_tree(old, new, false)? else {
            return Ok(None);
        };
        self.take_back(old, new)?;
        Ok(Some(Obstacle::Other(words)))
    }

    /// Leaves a checkout alone while its branch moves: files and index stay as they are, and `HEAD`
    /// names the commit `at` that they belong to, if it named `from`. Otherwise git would show the landed change as if the
    /// user had taken it back, and the next commit would undo it.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn detach(&self, branch: &str, at: &Oid, from: &Oid) -> Result<(), Problem> {
        self.call()
            .set("GIT_COMMITTER_NAME", "baton")
            .set("GIT_COMMITTER_EMAIL", "baton@localhost")
            .args(["update-ref", "--no-deref", "--create-reflog", "-m"])
            .args([left_off(branch).as_str(), "HEAD"])
            .args([at.as_str(), from.as_str()])
            .output("leaving the checkout alone")
            .map(drop)
    }

    /// Whether the last thing that happened to `HEAD` is [`Self::detach`], and the branch is still where
    /// it was then: the landing came to nothing.
    ///
    /// # Errors
    /// `TOOL_MISSING`.
    pub(super) fn was_left_off(&self, branch: &str) -> Result<bool, Problem> {
        // Where the reflog is a file, its last line spares the call.
        let last = std::fs::read(self.git_dir.join("logs/HEAD"));
        if last.is_ok_and(|log| !log.trim_ascii_end().ends_with(left_off(branch).as_bytes())) {
            return Ok(false);
        }
        let done = self
            .call()
            .args(["log", "--walk-reflogs", "--max-count=1", "--no-patch"])
            // The repository's configuration could ask for signatures, and names the program for them.
            .args(["--no-show-signature", "--format=%gs %H", "HEAD"])
            .finish()?;
        let Some(tip) = self.tip(branch)? else {
            return Ok(false);
        };
        let said = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
        Ok(said.trim_end() == format!("{} {tip}", left_off(branch)))
    }

    /// Takes [`Self::detach`] back, because the branch did not move.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn attach(&self, branch: &str) -> Result<(), Problem> {
        self.call()
            .args(["symbolic-ref", "-m", "baton: nothing landed", "HEAD"])
            .args([format!("refs/heads/{branch}")])
            .output("putting the checkout back on its branch")
            .map(drop)
    }

    /// Whether the index of this checkout holds exactly the tree of `commit`.
    ///
    /// # Errors
    /// `TOOL_MISSING`.
    pub fn index_is(&self, commit: &Oid) -> Result<bool, Problem> {
        let done = self
            .files()?
            .args(["diff-index", "--cached", "--quiet", "--no-ext-diff"])
            .args(["--ignore-submodules=dirty", commit.as_str(), "--"])
            .finish()?;
        Ok(done.ended.is_success())
    }

    /// A call on the files of this checkout, in the user's own configuration (line ends, links, case)
    /// and with every filter that it defines switched off.
    fn files(&self) -> Result<Call, Problem> {
        let mut settings = Vec::new();
        for name in self.filters()? {
            for (key, value) in [
                ("clean", ""),
                ("smudge", ""),
                ("process", ""),
                ("required", "false"),
            ] {
                settings.push((format!("filter.{name}.{key}"), value));
            }
        }
        // By the environment: on the command line, a name with `=` in it would be read as another.
        let mut call = Call::as_user(&self.git_dir, &self.root)
            .set("GIT_WORK_TREE", self.root.as_os_str())
            .set("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (key, value)) in settings.into_iter().enumerate() {
            call = call
                .set(format!("GIT_CONFIG_KEY_{number}"), key)
                .set(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        Ok(call)
    }

    /// The names of the filters that the user's configuration defines.
    fn filters(&self) -> Result<Vec<String>, Problem> {
        let done = Call::as_user(&self.git_dir, &self.root)
            .args(["config", "-z", "--name-only", "--get-regexp"])
            .args(["^filter\\."])
            .finish()?;
        let text = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
        let name = |key: &str| {
            let (name, _) = key.strip_prefix("filter.")?.rsplit_once('.')?;
            Some(name.to_owned())
        };
        let mut names: Vec<_> = text.split('\0').filter_map(name).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn changed_files(&self) -> Result<Vec<String>, Problem> {
        let listing = self
            .files()?
            .set("GIT_OPTIONAL_LOCKS", "0")
            .args(["status", "--porcelain=v1", "-z", "--untracked-files=no"])
            // A look into a submodule would run what its own configuration names.
            .args(["--ignore-submodules=dirty", "--no-renames"])
            .output("looking at the checkout")?;
        let text = String::from_utf8_lossy(&listing).into_owned();
        let entries = text.split('\0').filter_map(|entry| entry.get(3..));
        Ok(entries.map(str::to_owned).collect())
    }

    /// The first changed path that a filter of the user's is meant for.
    fn filtered(&self, old: &Oid, new: &Oid) -> Result<Option<String>, Problem> {
        let names = self.filters()?;
        if names.is_empty() {
            return Ok(None);
        }
        let paths = self.paths_between(old, new, None)?;
        let mut listed = Vec::new();
        for source in [old, new] {
            let answer = self
                .files()?
                .args(["check-attr", "-z", "--stdin"])
                .args([format!("--source={source}"), "filter".to_owned()])
                .input(paths.clone())
                .output("asking for filters")?;
            listed.push(String::from_utf8_lossy(&answer).into_owned());
        }
        for answer in &listed {
            let fields: Vec<_> = answer.split('\0').collect();
            let meant = fields.chunks(3).find(|fields| {
                let value = fields.get(2).copied().unwrap_or_default();
                names.iter().any(|name| name == value)
            });
            if let Some(path) = meant.and_then(|fields| fields.first()) {
                return Ok(Some((*path).to_owned()));
            }
        }
        Ok(None)
    }

    /// Puts back what git changed of the files before it gave up, with the index still of `old`: those
    /// that hold what `new` has there, and nothing that anybody else wrote.
    fn take_back(&self, old: &Oid, new: &Oid) -> Result<(), Problem> {
        let listing = self
            .call()
            .args([
                "diff-tree",
                "-r",
                "-z",
                "--raw",
                "--no-abbrev",
                "--no-renames",
            ])
            .args([old.as_str(), new.as_str()])
            .output("listing what comes in")?;
        let text = listing.split(|byte| *byte == 0).collect::<Vec<_>>();
        let mut restored = Vec::new();
        for [about, path] in text.as_chunks().0 {
            let about = String::from_utf8_lossy(about);
            let fields: Vec<_> = about.split(' ').collect();
            let (Some(oid), Some(kind)) = (fields.get(3), fields.get(4)) else {
                continue;
            };
            let file = self.root.join(OsStr::from_bytes(path));
            let is_there = file.symlink_metadata().is_ok();
            match *kind {
                "D" if !is_there => {}
                "A" | "M" if is_there && self.holds(path, oid)? => {}
                _ => continue,
            }
            if *kind == "A" {
                std::fs::remove_file(&file).map_err(|error| Problem::io(file.display(), &error))?;
            } else {
                restored.extend_from_slice(path);
                restored.push(0);
            }
        }
        self.files()?
            .args(["checkout-index", "--force", "--quiet", "-z", "--stdin"])
            .input(restored)
            .output("putting files back")
            .map(drop)
    }

    /// Whether a file of the checkout is this blob.
    fn holds(&self, path: &[u8], oid: &str) -> Result<bool, Problem> {
        let done = self
            .files()?
            .args(["hash-object", "--"])
            .args([OsStr::from_bytes(path)])
            .finish()?;
        let said = String::from_utf8_lossy(&done.stdout.bytes);
        Ok(done.ended.is_success() && said.trim() == oid)
    }

    fn paths_between(&self, old: &Oid, new: &Oid, only: Option<&str>) -> Result<Vec<u8>, Problem> {
        self.call()
            .args(["diff-tree", "-r", "-z", "--name-only", "--no-renames"])
            .args(only)
            .args([old.as_str(), new.as_str()])
            .output("listing what comes in")
    }

    /// A file of the user's at a path that comes in. git spares those that are not tracked, but
    /// writes over those that are ignored too, and an ignored `.env` is somebody's only copy.
    fn in_the_way(&self, old: &Oid, new: &Oid) -> Result<Option<PathBuf>, Problem> {
        let added = self.paths_between(old, new, Some("--diff-filter=A"))?;
        let added = added
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty());
        for path in added.map(|path| Path::new(OsStr::from_bytes(path))) {
            let is_there = self.root.join(path).symlink_metadata().is_ok();
            let blocks = |folder: &&Path| {
                let found = self.root.join(folder).symlink_metadata();
                found.is_ok_and(|found| !found.is_dir())
            };
            // The last ancestor is the root itself, by an empty name.
            let mut above = path
                .ancestors()
                .skip(1)
                .filter(|folder| *folder != Path::new(""));
            if is_there && !self.is_in_index(path)? {
                return Ok(Some(path.to_owned()));
            }
            if let Some(folder) = above.find(blocks) {
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok(None)
    }

    /// A folder in which files change and that cannot be written to. git would notice in the middle, with
    /// some files changed and an index that does not know it.
    fn closed(&self, old: &Oid, new: &Oid) -> Result<Option<PathBuf>, Problem> {
        let paths = self.paths_between(old, new, None)?;
        let paths = paths.split(|byte| *byte == 0);
        let mut seen = HashSet::new();
        for path in paths.filter(|path| !path.is_empty()) {
            let above = Path::new(OsStr::from_bytes(path)).ancestors().skip(1);
            // One that comes in with the change is made in the one above it.
            let mut above = above.filter(|folder| self.root.join(folder).is_dir());
            let Some(folder) = above
                .next()
                .filter(|folder| seen.insert(folder.to_path_buf()))
            else {
                continue;
            };
            let may = Access::WRITE_OK | Access::EXEC_OK;
            if accessat(CWD, self.root.join(folder), may, AtFlags::empty()).is_err() {
                let folder = if folder == Path::new("") {
                    Path::new(".")
                } else {
                    folder
                };
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok(None)
    }

    /// Whether a path is tracked by this checkout already: then it came with an earlier landing.
    fn is_in_index(&self, path: &Path) -> Result<bool, Problem> {
        let done = self
            .call()
            .set("GIT_LITERAL_PATHSPECS", "1")
            .set("GIT_WORK_TREE", self.root.as_os_str())
            .args(["ls-files", "-z", "--cached", "--"])
            .args([path.as_os_str()])
            .finish()?;
        Ok(done.ended.is_success() && !done.stdout.bytes.is_empty())
    }

    /// git's own way of moving index and files along, which spares what the user changed; its
    /// complaint when it will not.
    fn read_tree(&self, old: &Oid, new: &Oid, dry_run: bool) -> Result<Option<String>, Problem> {
        // Time stamps alone must not make a file look changed.
        let refresh = ["update-index", "-q", "--refresh"];
        self.files()?.args(refresh).finish()?;
        let dry = if dry_run { Some("-n") } else { None };
        let done = self
            .files()?
            .args(["read-tree", "-m", "-u", "--no-recurse-submodules"])
            .args(dry)
            .args([old.as_str(), new.as_str()])
            .finish()?;
        Ok((!done.ended.is_success()).then(|| last_words(&done.stderr.bytes)))
    }
}
