//! The checkouts of a branch: which there are, whether they can follow a landing, and how one that
//! cannot is left alone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl Repository {
    /// Every checkout that is on `branch`: the main one or linked worktrees.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn checkouts_of(&self, branch: &str) -> Result<Vec<Self>, Problem> {
        let listing = self
            .call()
            .args(["worktree", "list", "--porcelain", "-z"])
            .output("listing worktrees")?;
        let wanted = format!("branch refs/heads/{branch}").into_bytes();
        let (mut folder, mut found) = (PathBuf::new(), Vec::new());
        for field in listing.split(|byte| *byte == 0) {
            if let Some(path) = field.strip_prefix(b"worktree ") {
                folder = PathBuf::from(OsStr::from_bytes(path));
            }
            // A worktree whose folder is gone has no files to bring along.
            if field == wanted && folder.join(".git").exists() {
                found.push(Self::open(&folder)?);
            }
        }
        Ok(found)
    }

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
        Ok(self.read_tree(old, new, false)?.map(Obstacle::Other))
    }

    /// Leaves a checkout alone while its branch moves: files and index stay as they are, and `HEAD`
    /// names the commit `at` that they belong to, if it named `from`. Otherwise git would show the landed change as if the
    /// user had taken it back, and the next commit would undo it.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn detach(&self, at: &Oid, from: &Oid) -> Result<(), Problem> {
        self.call()
            .set("GIT_COMMITTER_NAME", "baton")
            .set("GIT_COMMITTER_EMAIL", "baton@localhost")
            .args([
                "update-ref",
                "--no-deref",
                "-m",
                "baton: left alone",
                "HEAD",
            ])
            .args([at.as_str(), from.as_str()])
            .output("leaving the checkout alone")
            .map(drop)
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
