//! What a change becomes on another commit: a three-way merge in the private store. No file and no
//! index is touched, and no merge driver takes part.

use super::{ObjectStore, Oid, PersonIdent, last_words};
use crate::problem::Problem;

/// What came of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// This tree.
    Clean(Oid),
    /// These files cannot be merged.
    Conflict(Vec<String>),
}

impl ObjectStore {
    /// Takes the change from commit `from` to `tree` over to commit `onto`. A change that would touch
    /// other paths there than it does now (git follows renames) is a conflict too.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn transplant(&self, from: &Oid, tree: &Oid, onto: &Oid) -> Result<Merged, Problem> {
        let us = PersonIdent::baton();
        let change = self.commit(tree, from, &us, &us, "a change to take over\n")?;
        let done = self
            .call()
            .args(["merge-tree", "--write-tree", "--name-only", "-z"])
            .args(["--no-messages", &format!("--merge-base={from}")])
            .args([onto.as_str(), change.as_str()])
            .finish()?;
        let text = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
        let mut fields = text.split('\0').filter(|field| !field.is_empty());
        match (done.ended, fields.next()) {
            (crate::process::Ended::Exit(0), Some(merged)) => {
                let merged = Oid::parse(merged)?;
                self.same_paths(
                    (&self.tree_of(from)?, tree),
                    (&self.tree_of(onto)?, &merged),
                )
            }
            (crate::process::Ended::Exit(1), Some(_)) => {
                let mut paths: Vec<_> = fields.map(str::to_owned).collect();
                paths.sort();
                paths.dedup();
                Ok(Merged::Conflict(paths))
            }
            (ended, _) => Err(Problem::fail(
                "GIT_FAILED",
                format!(
                    "merging a change: git ended with {ended}: {}",
                    last_words(&done.stderr.bytes)
                ),
            )
            .hint("git 2.40 or later can merge without a checkout: baton doctor")),
        }
    }

    fn same_paths(&self, before: (&Oid, &Oid), after: (&Oid, &Oid)) -> Result<Merged, Problem> {
        let was = self.changed_paths(before.0, before.1)?;
        let is = self.changed_paths(after.0, after.1)?;
        if is.iter().all(|path| was.contains(path)) {
            return Ok(Merged::Clean(after.1.clone()));
        }
        let lost = was.into_iter().filter(|path| !is.contains(path));
        Ok(Merged::Conflict(lost.collect()))
    }

    /// The paths that differ between two trees, in order; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn changed_paths(&self, from: &Oid, to: &Oid) -> Result<Vec<String>, Problem> {
        self.paths(from, to, None)
    }

    /// The paths of one tree that the other has not.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn deleted_paths(&self, from: &Oid, to: &Oid) -> Result<Vec<String>, Problem> {
        self.paths(from, to, Some("--diff-filter=D"))
    }

    fn paths(&self, from: &Oid, to: &Oid, only: Option<&str>) -> Result<Vec<String>, Problem> {
        let listing = self
            .call()
            .args(["diff-tree", "-r", "-z", "--name-only", "--no-renames"])
            .args(only)
            .args([from.as_str(), to.as_str()])
            .output("listing what changed")?;
        let text = String::from_utf8_lossy(&listing).into_owned();
        let paths = text.split('\0').filter(|path| !path.is_empty());
        Ok(paths.map(str::to_owned).collect())
    }
}
