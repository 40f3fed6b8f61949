//! The only place that writes into the user's repository: commits handed over as a pack, one
//! reference moved by compare-and-swap, the checkout updated when it is clean.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Call, ObjectStore, Oid, Repository, last_words};
use crate::problem::Problem;

/// Who stands in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonIdent {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
}

/// What the user's checkout looks like to a landing on some branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutState {
    /// Another branch is checked out here; a landing does not concern it.
    Elsewhere,
    /// The branch is checked out and nothing tracked is changed.
    Clean,
    /// The branch is checked out and these paths are changed.
    Dirty(Vec<String>),
    /// The branch is checked out in another worktree.
    OtherWorktree(String),
}

/// What a landing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// The new commit.
    pub commit: Oid,
    /// Whether the user's checkout was moved along.
    pub checkout_updated: bool,
}

impl ObjectStore {
    /// Commits exactly `tree` on top of `parent`.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn commit(
        &self,
        tree: &Oid,
        parent: &Oid,
        author: &PersonIdent,
        committer: &PersonIdent,
        message: &str,
    ) -> Result<Oid, Problem> {
        let line = self
            .call()
            .set("GIT_AUTHOR_NAME", author.name.as_str())
            .set("GIT_AUTHOR_EMAIL", author.email.as_str())
            .set("GIT_COMMITTER_NAME", committer.name.as_str())
            .set("GIT_COMMITTER_EMAIL", committer.email.as_str())
            .args([
                "commit-tree",
                tree.as_str(),
                "-p",
                parent.as_str(),
                "-F",
                "-",
            ])
            .input(message)
            .line("committing the candidate")?;
        Oid::parse(&line)
    }

    /// Packs what `commit` adds to `parent`.
    fn pack(&self, commit: &Oid, parent: &Oid) -> Result<Vec<u8>, Problem> {
        self.call()
            .args(["pack-objects", "--quiet", "--stdout", "--revs"])
            .input(format!("{commit}\n^{parent}\n"))
            .output("packing the commit")
    }
}

impl Repository {
    /// The committer that git itself would use here, so that a landing carries the operator's
    /// name; baton's own when git knows none.
    #[must_use]
    pub fn operator(&self) -> PersonIdent {
        let read = |key: &str| {
            let done = Call::as_user(&self.git_dir, &self.root)
                .args(["config", "--get", key])
                .finish()
                .ok()?;
            let value = String::from_utf8_lossy(&done.stdout.bytes)
                .trim()
                .to_owned();
            (done.ended.is_success() && !value.is_empty()).then_some(value)
        };
        PersonIdent {
            name: read("user.name").unwrap_or_else(|| "baton".to_owned()),
            email: read("user.email").unwrap_or_else(|| "baton@localhost".to_owned()),
        }
    }

    /// How the user's checkout stands to `branch`.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn checkout_state(&self, branch: &str) -> Result<CheckoutState, Problem> {
        if self.current_branch()?.as_deref() == Some(branch) {
            let listing = Call::as_user(&self.git_dir, &self.root)
                .set("GIT_WORK_TREE", self.root.as_os_str())
                .set("GIT_OPTIONAL_LOCKS", "0")
                .args(["status", "--porcelain=v1", "-z", "--untracked-files=no"])
                .output("looking at the checkout")?;
            let text = String::from_utf8_lossy(&listing).into_owned();
            let changed: Vec<_> = text
                .split('\0')
                .filter_map(|entry| entry.get(3..))
                .map(str::to_owned)
                .collect();
            return Ok(if changed.is_empty() {
                CheckoutState::Clean
            } else {
                CheckoutState::Dirty(changed)
            });
        }
        let listing = self
            .call()
            .args(["worktree", "list", "--porcelain", "-z"])
            .output("listing worktrees")?;
        let text = String::from_utf8_lossy(&listing).into_owned();
        let wanted = format!("branch refs/heads/{branch}");
        let mut folder = "";
        for field in text.split('\0') {
            if let Some(path) = field.strip_prefix("worktree ") {
                folder = path;
            }
            if field == wanted {
                return Ok(CheckoutState::OtherWorktree(folder.to_owned()));
            }
        }
        Ok(CheckoutState::Elsewhere)
    }

    /// Brings a commit and its objects in, as loose objects that no reference names yet.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn receive(&self, store: &ObjectStore, commit: &Oid, parent: &Oid) -> Result<(), Problem> {
        let pack = store.pack(commit, parent)?;
        self.call()
            .args(["unpack-objects", "-q", "--strict"])
            .input(pack)
            .output("receiving the commit")
            .map(drop)
    }

    /// Moves a branch from `old` to `new` in one step, or creates it when `old` is `None`.
    ///
    /// # Errors
    /// `BASE_MOVED` when the branch is not where it was.
    pub fn move_branch(
        &self,
        branch: &str,
        new: &Oid,
        old: Option<&Oid>,
        reason: &str,
    ) -> Result<(), Problem> {
        // Forty zeros, or sixty-four, say that the reference must not exist.
        let zero = "0".repeat(new.as_str().len());
        let done = self
            .call()
            .set("GIT_COMMITTER_NAME", "baton")
            .set("GIT_COMMITTER_EMAIL", "baton@localhost")
            .args(["update-ref", "--create-reflog", "-m", reason])
            .args([format!("refs/heads/{branch}")])
            .args([new.as_str(), old.map_or(zero.as_str(), Oid::as_str)])
            .finish()?;
        if done.ended.is_success() {
            return Ok(());
        }
        let (code, next) = match old {
            Some(_) => (
                "BASE_MOVED",
                "baton retry TASK, then run it again: gates and approval count for one base only",
            ),
            None => (
                "BRANCH_EXISTS",
                "delete or rename the branch that is there, then run it again",
            ),
        };
        Err(Problem::fail(
            code,
            format!(
                "branch {branch} was not moved: {}",
                last_words(&done.stderr.bytes)
            ),
        )
        .hint(next))
    }

    /// Updates a clean checkout from `old` to `new`; files that are not tracked stay, and one that
    /// stands in the way stops the update. With `dry_run` it only says whether it would work.
    ///
    /// # Errors
    /// `CHECKOUT_NOT_UPDATED`.
    pub fn update_checkout(&self, old: &Oid, new: &Oid, dry_run: bool) -> Result<(), Problem> {
        if let Some(path) = self.in_the_way(old, new)? {
            let path = path.display();
            return Err(Problem::fail(
                "CHECKOUT_NOT_UPDATED",
                format!("the checkout cannot follow: {path} is there and is not tracked"),
            )
            .hint("move the files that stand in the way, then run it again"));
        }
        let call =
            || Call::as_user(&self.git_dir, &self.root).set("GIT_WORK_TREE", self.root.as_os_str());
        // Time stamps alone must not make a file look changed.
        call().args(["update-index", "-q", "--refresh"]).finish()?;
        let mode: &[&str] = if dry_run {
            &["-n", "-m", "-u"]
        } else {
            &["-m", "-u"]
        };
        let done = call()
            .args(["read-tree"])
            .args(mode.iter().copied())
            .args([old.as_str(), new.as_str()])
            .finish()?;
        if done.ended.is_success() {
            return Ok(());
        }
        Err(Problem::fail(
            "CHECKOUT_NOT_UPDATED",
            format!(
                "the checkout cannot follow: {}",
                last_words(&done.stderr.bytes)
            ),
        )
        .hint("move the files that stand in the way, then run it again"))
    }

    /// A file of the user's at a path that comes in. git spares those that are not tracked, but
    /// writes over those that are ignored too, and an ignored `.env` is somebody's only copy.
    fn in_the_way(&self, old: &Oid, new: &Oid) -> Result<Option<PathBuf>, Problem> {
        let added = self
            .call()
            .args([
                "diff-tree",
                "-r",
                "-z",
                "--name-only",
                "--no-renames",
                "--diff-filter=A",
            ])
            .args([old.as_str(), new.as_str()])
            .output("listing what comes in")?;
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
            if is_there {
                return Ok(Some(path.to_owned()));
            }
            if let Some(folder) = above.find(blocks) {
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok(None)
    }
}
