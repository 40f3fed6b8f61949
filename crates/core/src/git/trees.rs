//! Trees made of other trees, and a repository of their own for tools that ask git.

use std::path::Path;

use super::{Call, ObjectStore, Oid, PersonIdent, TreeEntry};
use crate::problem::Problem;

impl ObjectStore {
    /// `tree` with every path that `is_taken` names as it is in `from`: changed ones put back, missing
    /// ones restored, added ones left out.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn with_paths_from(
        &self,
        tree: &Oid,
        from: &Oid,
        is_taken: impl Fn(&[u8]) -> bool,
    ) -> Result<Oid, Problem> {
        let ours = self.entries(tree)?;
        let theirs = self.entries(from)?;
        let mut input = Vec::new();
        let mut line = |mode: &str, id: &str, path: &[u8]| {
            input.extend_from_slice(format!("{mode} {id}\t").as_bytes());
            input.extend_from_slice(path);
            input.push(0);
        };
        // Removals come first: a folder may have become a file, or the other way round.
        let nothing = "0".repeat(tree.as_str().len());
        for entry in ours.iter().filter(|entry| is_taken(&entry.path)) {
            line("0", &nothing, &entry.path);
        }
        let taken: Vec<&TreeEntry> = theirs
            .iter()
            .filter(|entry| is_taken(&entry.path))
            .collect();
        for entry in taken {
            line(&entry.mode, entry.id.as_str(), &entry.path);
        }
        let index = self.index_of(tree)?;
        self.indexed(&index)
            .args(["update-index", "-z", "--replace", "--index-info"])
            .input(input)
            .output("putting files of the base back")?;
        self.write_tree(&index)
    }

    /// Makes a repository in `folder`, which holds the files of `tree` already: one commit with
    /// `base_tree`, named `base`, and one with `tree` on top, checked out as `candidate`. It shares
    /// nothing with any other repository and knows no history.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn make_repository(
        &self,
        folder: &Path,
        base_tree: &Oid,
        tree: &Oid,
    ) -> Result<(), Problem> {
        let baton = PersonIdent {
            name: "baton".to_owned(),
            email: "baton@localhost".to_owned(),
        };
        let base = self.commit_all(base_tree, None, &baton, "base\n")?;
        let candidate = self.commit_all(tree, Some(&base), &baton, "candidate\n")?;
        let pack = self
            .call()
            .args(["pack-objects", "--quiet", "--stdout", "--revs"])
            .input(format!("{candidate}\n"))
            .output("packing the trees")?;
        let git_dir = folder.join(".git");
        let format = format!("--object-format={}", self.object_format()?);
        Call::clean(&git_dir, folder)
            .args(["init", "--quiet", "--template=", &format])
            .args([folder.to_owned()])
            .output("making a repository for the gate")?;
        let call = || Call::clean(&git_dir, folder);
        call()
            .args(["index-pack", "--stdin"])
            .input(pack)
            .output("filling the gate's repository")?;
        for (name, commit) in [
            ("refs/heads/base", &base),
            ("refs/heads/candidate", &candidate),
        ] {
            call()
                .args(["update-ref", name, commit.as_str()])
                .output("naming the gate's commits")?;
        }
        call()
            .args(["symbolic-ref", "HEAD", "refs/heads/candidate"])
            .output("naming the gate's branch")?;
        call()
            .args(["read-tree", tree.as_str()])
            .output("reading the gate's index")
            .map(drop)
    }

    /// A commit with or without a parent, at a time of its own so that it is the same each time.
    fn commit_all(
        &self,
        tree: &Oid,
        parent: Option<&Oid>,
        person: &PersonIdent,
        message: &str,
    ) -> Result<Oid, Problem> {
        let parents = parent.map(|parent| ["-p".to_owned(), parent.to_string()]);
        const WHEN: &str = "2000-01-01T00:00:00Z";
        let line = self
            .call()
            .set("GIT_AUTHOR_NAME", person.name.as_str())
            .set("GIT_AUTHOR_EMAIL", person.email.as_str())
            .set("GIT_AUTHOR_DATE", WHEN)
            .set("GIT_COMMITTER_NAME", person.name.as_str())
            .set("GIT_COMMITTER_EMAIL", person.email.as_str())
            .set("GIT_COMMITTER_DATE", WHEN)
            .args(["commit-tree", tree.as_str()])
            .args(parents.into_iter().flatten())
            .args(["-F", "-"])
            .input(message)
            .line("committing for the gate")?;
        Oid::parse(&line)
    }

    fn object_format(&self) -> Result<String, Problem> {
        self.call()
            .args(["rev-parse", "--show-object-format"])
            .line("asking for the object format")
    }
}
