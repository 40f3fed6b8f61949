//! The user's repository: finding it and reading from it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Call, place};
use crate::masking;
use crate::problem::Problem;

/// A full object id, 40 or 64 lower-case hex digits. Short ids are never accepted: they may come
/// to name something else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(String);

impl Oid {
    /// Checks the form of an id.
    ///
    /// # Errors
    /// `OID_INVALID`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let hex = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if hex && matches!(text.len(), 40 | 64) {
            return Ok(Self(text.to_owned()));
        }
        let shown = masking::excerpt(text, 80);
        Err(Problem::fail(
            "OID_INVALID",
            format!("\"{shown}\" is not a full object id of 40 or 64 hex digits"),
        ))
    }

    /// The id in hex.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether git makes a branch of this name, by the rule of `git check-ref-format --branch`. Any other text may
/// still be a revision, as `main@{0}` and `main~1` are: read as one it names a commit, and nothing that moves.
#[must_use]
pub fn is_branch_name(name: &str) -> bool {
    let is_odd = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let is_part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name != "HEAD"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(is_odd)
        && name.split('/').all(is_part)
}

/// The user's repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The top folder of the checkout.
    pub root: PathBuf,
    pub(super) git_dir: PathBuf,
    /// Where its objects lie and how they are named, once somebody asked.
    objects: OnceLock<(PathBuf, String)>,
}

/// Why nothing can be done at a place: there is no repository, or one without a checkout.
fn no_checkout(start: &Path) -> Problem {
    let is_bare = |folder: &&Path| {
        folder.join("HEAD").is_file()
            && folder.join("objects").is_dir()
            && folder.join("refs").is_dir()
    };
    let why = match start.ancestors().find(is_bare) {
        Some(bare) => format!("the git repository at {} is bare", bare.display()),
        None => format!("no git repository at {} or above it", start.display()),
    };
    Problem::fail("NO_REPOSITORY", why)
        .hint("run it inside a repository's checkout, or name one with --repo DIR")
}

impl Repository {
    /// Searches upward from `start` for a folder that holds `.git`, as git does, without running
    /// anything.
    ///
    /// # Errors
    /// `NO_REPOSITORY`.
    pub fn find_root(start: &Path) -> Result<PathBuf, Problem> {
        let start = start
            .canonicalize()
            .map_err(|error| Problem::io(start.display(), &error))?;
        start
            .ancestors()
            .find(|folder| folder.join(".git").exists())
            .map(Path::to_owned)
            .ok_or_else(|| no_checkout(&start))
    }

    /// Opens the repository whose checkout is `root`.
    ///
    /// # Errors
    /// `GIT_FAILED`, `TOOL_MISSING`.
    pub fn open(root: &Path) -> Result<Self, Problem> {
        let dot_git = root.join(".git");
        let git_dir = if dot_git.is_dir() {
            dot_git
        } else {
            // A linked worktree or a submodule: the file names the real folder.
            let line = Call::clean(&dot_git, root)
                .args(["rev-parse", "--absolute-git-dir"])
                .output("finding the repository")?;
            place(&line)
        };
        Ok(Self::at(root.to_owned(), git_dir))
    }

    /// The repository of a checkout whose git folder is known.
    pub(super) fn at(root: PathBuf, git_dir: PathBuf) -> Self {
        Self {
            root,
            git_dir,
            objects: OnceLock::new(),
        }
    }

    pub(super) fn call(&self) -> Call {
        Call::clean(&self.git_dir, &self.root)
    }

    /// The folder that holds the objects, and their format: `sha1` or `sha256`.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn objects(&self) -> Result<(PathBuf, String), Problem> {
        if let Some(known) = self.objects.get() {
            return Ok(known.clone());
        }
        let answer = self
            .call()
            .args(["rev-parse", "--show-object-format"])
            .args(["--path-format=absolute", "--git-path", "objects"])
            .output("finding the objects")?;
        let cut = answer.iter().position(|byte| *byte == b'\n');
        let (format, folder) = cut
            .and_then(|at| answer.split_at_checked(at))
            .ok_or_else(|| {
                let answer = answer.escape_ascii();
                Problem::fail(
                    "GIT_FAILED",
                    format!("git names format and folder of the objects with \"{answer}\""),
                )
            })?;
        let folder = place(folder.strip_prefix(b"\n").unwrap_or(folder));
        let found = (folder, String::from_utf8_lossy(format).into_owned());
        Ok(self.objects.get_or_init(|| found).clone())
    }

    /// Resolves a revision to a commit. A branch of that name goes before a tag: a tag called `main`
    /// must not stand in for the branch that changes land on.
    ///
    /// # Errors
    /// `BASE_MISSING` naming the revision.
    pub fn commit(&self, revision: &str) -> Result<Oid, Problem> {
        let missing = |why: String| {
            Problem::fail(
                "BASE_MISSING",
                format!(
                    "\"{}\" names no commit here: {why}",
                    revision.escape_debug()
                ),
            )
            .hint("name a branch, tag or full commit id that exists in this repository")
        };
        // A leading dash would be an option, a colon a path inside a tree.
        if revision.is_empty() || revision.starts_with('-') || revision.contains([':', '\0', '\n'])
        {
            return Err(missing("not a plain revision".to_owned()));
        }
        // A full id and HEAD name what they name, whatever somebody calls a branch.
        if revision != "HEAD"
            && Oid::parse(revision).is_err()
            && let Some(tip) = self.tip(revision)?
        {
            return Ok(tip);
        }
        let done = self
            .call()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .args([format!("{revision}^{{commit}}")])
            .finish()?;
        if !done.ended.is_success() {
            return Err(missing("there is no such branch, tag or commit".to_owned()));
        }
        Oid::parse(String::from_utf8_lossy(&done.stdout.bytes).trim())
    }

    /// The tree of a commit.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn tree_of(&self, commit: &Oid) -> Result<Oid, Problem> {
        let line = self
            .call()
            .args(["rev-parse", "--verify", "--end-of-options"])
            .args([format!("{commit}^{{tree}}")])
            .line("reading a tree")?;
        Oid::parse(&line)
    }

    /// The branch that is checked out; `None` when HEAD is detached.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn current_branch(&self) -> Result<Option<String>, Problem> {
        let done = self
            .call()
            .args(["symbolic-ref", "--quiet", "--short", "HEAD"])
            .finish()?;
        let name = String::from_utf8_lossy(&done.stdout.bytes)
            .trim()
            .to_owned();
        Ok((done.ended.is_success() && !name.is_empty()).then_some(name))
    }

    /// The commit a branch points at; `None` when there is no such branch.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn tip(&self, branch: &str) -> Result<Option<Oid>, Problem> {
        let done = self
            .call()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .args([format!("refs/heads/{branch}^{{commit}}")])
            .finish()?;
        if !done.ended.is_success() {
            return Ok(None);
        }
        Oid::parse(String::from_utf8_lossy(&done.stdout.bytes).trim()).map(Some)
    }

    /// Whether `path` is tracked in the tree of `commit`, and with which mode (`100644`, `040000`…).
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn mode_at(&self, commit: &Oid, path: &str) -> Result<Option<String>, Problem> {
        let listing = self
            .call()
            .args(["ls-tree", "-z", "--full-tree", commit.as_str(), "--", path])
            .output("listing a tree")?;
        let text = String::from_utf8_lossy(&listing).into_owned();
        Ok(text
            .split(' ')
            .next()
            .filter(|mode| !mode.is_empty())
            .map(str::to_owned))
    }

    /// The content of a blob at `path` in `commit`; `None` when there is none or it is larger than
    /// `limit` bytes.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn file_at(
        &self,
        commit: &Oid,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let done = self
            .call()
            .args(["cat-file", "blob"])
            .args([format!("{commit}:{path}")])
            .finish()?;
        let fits = done.ended.is_success() && done.stdout.bytes.len() <= limit;
        Ok(fits.then_some(done.stdout.bytes))
    }

    /// Whether git would take up none of these paths of the checkout: each is ignored, and none is tracked.
    ///
    /// # Errors
    /// `TOOL_MISSING`.
    pub fn ignores(&self, paths: &[String]) -> Result<bool, Problem> {
        let done = self
            .call()
            .args(["check-ignore", "--"])
            .args(paths)
            .finish()?;
        let named = String::from_utf8_lossy(&done.stdout.bytes).lines().count();
        Ok(done.ended.is_success() && named == paths.len())
    }

    /// git's own version, such as `2.47.3`.
    ///
    /// # Errors
    /// `TOOL_MISSING`.
    pub fn git_version(root: &Path) -> Result<String, Problem> {
        let line = Call::clean(&root.join(".git"), root)
            .args(["--version"])
            .line("asking git for its version")?;
        Ok(line.trim_start_matches("git version ").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_called_as_git_lets_it_be_called() {
        let says = |name: &str| {
            let mut call = std::process::Command::new("git");
            let call = call.args(["check-ref-format", "--branch", name]);
            call.output().unwrap().status.success()
        };
        for name in [
            "main",
            "@",
            "a@",
            "a-b",
            "a.b",
            "a]",
            "{a}",
            "feature/é#1",
            "refs/heads/a",
            "HEAD/x",
            "head",
        ] {
            assert!(is_branch_name(name) && says(name), "{name}");
        }
        for name in [
            "", "HEAD", "-a", "main@{0}", "main~1", "main^", "a..b", "a.lock", "a.lock/b", ".a",
            "a/.b", "a.", "/a", "a/", "a//b", "a b", "a\tb", "a:b", "a?b", "a*b", "a[b", "a\\b",
            "a\u{1}b", "a\u{7f}b",
        ] {
            assert!(!is_branch_name(name) && !says(name), "{name}");
        }
    }
}
