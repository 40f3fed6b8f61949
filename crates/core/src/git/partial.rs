//! Partial clones: a repository that has a commit and not all of its files.

use std::path::PathBuf;

use super::{Oid, Repository, place};
use crate::files;
use crate::problem::Problem;

/// The most that is read of git's small files.
const MOST: usize = 1 << 20;

impl Repository {
    /// Refuses a commit whose files are not all here, as in a partial clone. git would fetch each when it
    /// is looked at; nothing here fetches anything.
    ///
    /// # Errors
    /// `OBJECTS_MISSING`, `GIT_FAILED`.
    pub fn check_files(&self, commit: &Oid) -> Result<(), Problem> {
        if !self.may_be_partial() {
            return Ok(());
        }
        let listing = self
            .call()
            .args(["rev-list", "--objects", "--no-object-names"])
            .args(["--missing=print", "--no-walk", commit.as_str()])
            .output("looking for files that are not here")?;
        let lines = listing.split(|byte| *byte == b'\n');
        let missing = lines.filter(|line| line.starts_with(b"?")).count();
        if missing == 0 {
            return Ok(());
        }
        Err(Problem::fail(
            "OBJECTS_MISSING",
            format!("{missing} files of {commit} are not in this repository: it is a partial clone, and baton fetches nothing"),
        )
        .hint("git fetch --refetch --no-filter"))
    }

    /// The same for a branch, if there is one of that name.
    ///
    /// # Errors
    /// As [`Self::check_files`].
    pub fn check_files_of(&self, branch: &str) -> Result<(), Problem> {
        match self.may_be_partial().then(|| self.tip(branch)) {
            Some(tip) => tip?.map_or(Ok(()), |tip| self.check_files(&tip)),
            None => Ok(()),
        }
    }

    /// Whether git's settings speak of a remote that has more. A look at one file: almost no repository is
    /// one, and a call of git for each draft would cost more.
    fn may_be_partial(&self) -> bool {
        let config = files::read_named(&self.common_dir().join("config"), MOST);
        // What cannot be read is left to git to tell.
        let config = config.unwrap_or_default().to_ascii_lowercase();
        let speaks = |word: &[u8]| config.windows(word.len()).any(|part| part == word);
        speaks(b"promisor") || speaks(b"partialclone")
    }

    /// The folder that a linked worktree shares with the others.
    pub(super) fn common_dir(&self) -> PathBuf {
        match std::fs::read(self.git_dir.join("commondir")) {
            Ok(named) => self.git_dir.join(place(&named)),
            Err(_) => self.git_dir.clone(),
        }
    }
}
