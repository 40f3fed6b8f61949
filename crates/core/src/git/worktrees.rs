//! The worktrees of a repository, asked of the repository itself: where each has its files, whether
//! that folder is still its own, and what git is in the middle of there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{Obstacle, Repository};
use crate::problem::Problem;

/// The longest file of git's own that is read here: a path, or some names of branches.
const LONGEST: u64 = 64 << 10;

/// Where the files of a worktree are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In its folder.
    Here,
    /// Its folder is away: a disk that is not mounted, or removed by hand.
    Away,
    /// What lies in its place belongs to another repository, or to none.
    Foreign,
}

/// One worktree, the main one or a linked one.
#[derive(Clone, Debug)]
pub struct Worktree {
    /// Its `HEAD` is always here; its files only where nothing is [`Self::out_of_reach`].
    pub checkout: Repository,
    /// Where its files belong.
    pub folder: PathBuf,
    place: Place,
    /// The full name of the branch that its `HEAD` is on.
    branch: Option<String>,
}

/// All worktrees of a repository, the main one first.
#[derive(Clone, Debug)]
pub struct Worktrees(Vec<Worktree>);

/// Keeps other landings from this repository until dropped, also those of other queues.
#[derive(Debug)]
#[must_use]
pub struct Alone {
    _held: File,
}

impl Worktree {
    /// Why its files cannot be touched; `None` where they are in their place.
    #[must_use]
    pub fn out_of_reach(&self) -> Option<Obstacle> {
        match self.place {
            Place::Here => None,
            Place::Away => Some(Obstacle::Away),
            Place::Foreign => Some(Obstacle::Foreign),
        }
    }

    /// What git is in the middle of here and will end by moving this branch, or going back to it.
    fn at_work_on(&self, branch: &str) -> Result<Option<&'static str>, Problem> {
        let wanted = format!("refs/heads/{branch}");
        for (what, file) in [
            ("rebase", "rebase-merge/head-name"),
            ("rebase", "rebase-apply/head-name"),
            ("rebase", "rebase-merge/update-refs"),
            ("bisect", "BISECT_START"),
        ] {
            let said = read(&self.checkout.git_dir.join(file)).unwrap_or_default();
            for line in String::from_utf8_lossy(&said).lines() {
                let short = line.strip_prefix("refs/heads/").unwrap_or(line);
                if self.checkout.end_of(&format!("refs/heads/{short}"))? == wanted {
                    return Ok(Some(what));
                }
            }
        }
        Ok(None)
    }
}

impl Repository {
    /// Waits for nobody: `None` while another landing has this repository.
    ///
    /// # Errors
    /// `GIT_FAILED`, `IO_ERROR`.
    pub fn alone(&self) -> Result<Option<Alone>, Problem> {
        let common = self.shared_dir()?;
        let trouble = |error: io::Error| Problem::io(common.display(), &error);
        let held = File::open(&common).map_err(trouble)?;
        match flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Alone { _held: held })),
            Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => Ok(None),
            // A file system that knows no such locks; the queue's own has to do there.
            Err(_) => Ok(Some(Alone { _held: held })),
        }
    }

    /// All worktrees, and what branch each is on.
    ///
    /// # Errors
    /// `GIT_FAILED`, `IO_ERROR`.
    pub fn worktrees(&self) -> Result<Worktrees, Problem> {
        let common = self.shared_dir()?;
        let mut all: Vec<_> = self.main_worktree(&common)?.into_iter().collect();
        let folder = common.join("worktrees");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Problem::io(folder.display(), &error)),
        };
        let linked = entries.into_iter().flatten().flatten();
        let mut linked: Vec<_> = linked
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| linked_worktree(&entry.path(), &common))
            .collect();
        linked.sort_by(|one, other| one.folder.cmp(&other.folder));
        all.extend(linked);
        for one in &mut all {
            one.branch = one.checkout.head_name()?;
        }
        Ok(Worktrees(all))
    }

    /// The full name of the branch that `HEAD` is on, behind all names that lead to it.
    fn head_name(&self) -> Result<Option<String>, Problem> {
        // Most often the files say it, and git need not be run for each of many worktrees.
        match said_by(&self.git_dir.join("HEAD")) {
            Said::Name(name) if self.is_last(&name) => Ok(Some(name)),
            _ => self.asked("HEAD"),
        }
    }

    /// The full name of the branch that a full name leads to: a branch may be only another name for one.
    fn end_of(&self, name: &str) -> Result<String, Problem> {
        if self.is_last(name) {
            return Ok(name.to_owned());
        }
        Ok(self.asked(name)?.unwrap_or_else(|| name.to_owned()))
    }

    /// Whether the files say that a name is that of a branch itself. One that is only another name is always a
    /// file, and never packed. Where references are kept elsewhere, the folder of branches is none, and the
    /// files say nothing.
    fn is_last(&self, name: &str) -> bool {
        let common = self.common_dir();
        let is_in_files = common.join("refs/heads").is_dir();
        let is_branch = is_in_files && name.starts_with("refs/heads/");
        is_branch && matches!(said_by(&common.join(name)), Said::NoName)
    }

    /// What git says that a name leads to in the end; `None` when it is no other name for anything.
    fn asked(&self, name: &str) -> Result<Option<String>, Problem> {
        let done = self.call().args(["symbolic-ref", "--quiet", name]);
        let done = done.finish()?;
        let name = String::from_utf8_lossy(&done.stdout.bytes);
        Ok(done.ended.is_success().then(|| name.trim().to_owned()))
    }

    /// The folders that files of this repository are in, as far as its files tell.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let common = self.common_dir();
        let main = common.parent().map(Path::to_owned);
        let main = main.filter(|main| leads_to(main, &common));
        let entries = fs::read_dir(common.join("worktrees"));
        let entries = entries.into_iter().flatten().flatten();
        let linked = entries.filter_map(|entry| linked_worktree(&entry.path(), &common));
        let linked = linked.filter(|one| one.place == Place::Here);
        let all = linked.map(|one| one.folder).chain(main);
        let all = all.chain([self.root.clone()]);
        let mut all: Vec<_> = all
            .flat_map(|folder| [folder.canonicalize().ok(), Some(folder)])
            .flatten()
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// The folder that all worktrees share, by its real path.
    fn shared_dir(&self) -> Result<PathBuf, Problem> {
        let path = self.common_dir();
        path.canonicalize()
            .map_err(|error| Problem::io(path.display(), &error))
    }

    /// The worktree that belongs to the shared folder itself; none in a bare repository. git does not
    /// keep where it is, unless `core.worktree` says so.
    fn main_worktree(&self, common: &Path) -> Result<Option<Worktree>, Problem> {
        let main = Self::at(common.to_owned(), common.to_owned());
        let settings = main
            .call()
            .args(["config", "-z", "--get-regexp", "^core\\.(bare|worktree)$"])
            .finish()?;
        let (mut is_bare, mut named) = (false, None);
        for setting in settings.stdout.bytes.split(|byte| *byte == 0) {
            if let Some(path) = setting.strip_prefix(b"core.worktree\n") {
                named = Some(path.to_owned());
            } else if let Some(value) = setting.strip_prefix(b"core.bare") {
                // A setting without a value says yes.
                let value = value.to_ascii_lowercase();
                is_bare = matches!(&*value, b"" | b"\ntrue" | b"\nyes" | b"\non" | b"\n1");
            }
        }
        if is_bare {
            return Ok(None);
        }
        let is_named = named.is_some();
        let folder = match named {
            Some(path) => common.join(OsStr::from_bytes(&path)),
            None if leads_to(&self.root, common) => self.root.clone(),
            None => common.parent().unwrap_or(common).to_owned(),
        };
        let folder = folder.canonicalize().unwrap_or(folder);
        let has_git = folder.join(".git").exists();
        let place = match leads_to(&folder, common) {
            true => Place::Here,
            false if has_git => Place::Foreign,
            // Only the setting makes a folder without a `.git` the one that the files are in.
            false if is_named && folder.is_dir() => Place::Here,
            false => Place::Away,
        };
        // Some that are bare do not say so. Only a checkout has an index.
        let is_one = place == Place::Here || common.join("index").exists();
        Ok(is_one.then(|| worktree(common, common, folder, place)))
    }
}

impl Worktrees {
    /// Those whose `HEAD` is on `branch`, whether or not their files are here.
    #[must_use]
    pub fn on(self, branch: &str) -> Vec<Worktree> {
        let wanted = format!("refs/heads/{branch}");
        let on = |one: &Worktree| one.branch.as_deref() == Some(&*wanted);
        self.0.into_iter().filter(on).collect()
    }

    /// Refuses to move a branch that a rebase or a bisect will come back to, as git itself does: it could
    /// not be ended any more.
    ///
    /// # Errors
    /// `BRANCH_IN_USE`, `TOOL_MISSING`.
    pub fn not_at_work_on(&self, branch: &str) -> Result<(), Problem> {
        for one in &self.0 {
            let Some(what) = one.at_work_on(branch)? else {
                continue;
            };
            let folder = one.folder.display().to_string();
            let folder = folder.escape_debug();
            let end = match what {
                "rebase" => "git rebase --continue or --abort",
                _ => "git bisect reset",
            };
            let why = format!("a {what} of {branch} is under way in {folder}; nothing was moved");
            return Err(Problem::fail("BRANCH_IN_USE", why)
                .hint(format!("end it there ({end}), then run it again")));
        }
        Ok(())
    }

    /// Puts checkouts back on `branch` that a landing left without one and then did not move it: it was
    /// killed in between.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn put_back_on(&mut self, branch: &str) -> Result<(), Problem> {
        for one in &mut self.0 {
            if one.branch.is_none() && one.checkout.was_left_off(branch)? {
                one.checkout.attach(branch)?;
                one.branch = Some(format!("refs/heads/{branch}"));
            }
        }
        Ok(())
    }
}

fn worktree(git_dir: &Path, common: &Path, folder: PathBuf, place: Place) -> Worktree {
    let root = match place {
        Place::Here => folder.clone(),
        // git is not run in a folder that is not its own.
        Place::Away | Place::Foreign => common.to_owned(),
    };
    Worktree {
        checkout: Repository::at(root, git_dir.to_owned()),
        folder,
        place,
        branch: None,
    }
}

/// The linked worktree of this folder under `worktrees/`; none when it is not a whole one.
fn linked_worktree(own: &Path, common: &Path) -> Option<Worktree> {
    let said = read(&own.join("gitdir"))?;
    let dot_git = own.join(OsStr::from_bytes(said.trim_ascii_end()));
    let folder = dot_git.parent()?.to_owned();
    let place = match fs::symlink_metadata(&dot_git) {
        Err(_) => Place::Away,
        Ok(_) if leads_to(&folder, own) => Place::Here,
        Ok(_) => Place::Foreign,
    };
    Some(worktree(own, common, folder, place))
}

/// Whether the `.git` of a folder, a folder itself or a file that names one, is this one.
fn leads_to(folder: &Path, git_dir: &Path) -> bool {
    let dot_git = folder.join(".git");
    let named = match fs::metadata(&dot_git) {
        Ok(found) if found.is_dir() => Some(dot_git),
        Ok(found) if found.is_file() => read(&dot_git).and_then(|text| {
            let path = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
            Some(folder.join(OsStr::from_bytes(path)))
        }),
        _ => None,
    };
    let (Some(named), Ok(wanted)) = (named, git_dir.canonicalize()) else {
        return false;
    };
    named.canonicalize().is_ok_and(|named| named == wanted)
}

/// What a file of git's own says that a reference is.
enum Said {
    /// Another name for this one.
    Name(String),
    /// No other name: a commit, or nothing.
    NoName,
    /// Only git can tell.
    Unknown,
}

fn said_by(path: &Path) -> Said {
    // In old repositories a link is another name.
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Said::Unknown;
    }
    let said = read(path).unwrap_or_default();
    said.strip_prefix(b"ref:").map_or(Said::NoName, |name| {
        Said::Name(String::from_utf8_lossy(name.trim_ascii()).into_owned())
    })
}

/// A short file of git's own.
fn read(path: &Path) -> Option<Vec<u8>> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > LONGEST {
        return None;
    }
    fs::read(path).ok()
}
