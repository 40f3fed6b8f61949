//! What the fifteen findings about `git apply` have in common: a small repository with a
//! checkout, and the pieces that the hostile patches are made of.

use super::{Files, Repo};
use std::path::Path;
use std::process::Output;

/// The blob of [`small`]'s files, "one" with its line feed.
pub(crate) const ONE: &str = "5626abf0f72e58d7a153368ba57db4c673c0e171";
/// The blob that [`edit`] makes of it.
pub(crate) const TWO: &str = "f719efd430d52bcfc8566a43b2eb655688d38871";
pub(crate) const ZERO: &str = "0000000000000000000000000000000000000000";
/// Two commits that a submodule may point at; nobody needs to have them.
pub(crate) const OLD_COMMIT: &str = "1111111111111111111111111111111111111111";
pub(crate) const NEW_COMMIT: &str = "2222222222222222222222222222222222222222";

/// Two files of one line, a link, a submodule.
pub(crate) fn small() -> Files {
    let mut files = Files::new();
    let mut put = |path: &str, mode, content: &str| {
        files.insert(path.as_bytes().to_vec(), (mode, content.into()));
    };
    put("x", "100644", "one\n");
    put("y", "100644", "one\n");
    put("link", "120000", "one");
    put("sub", "160000", OLD_COMMIT);
    files
}

/// A well-formed edit of one of the files.
pub(crate) fn edit(path: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nindex {ONE}..{TWO} 100644\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-one\n+two\n"
    )
}

/// A creation with this mode.
pub(crate) fn add(path: &str, mode: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode {mode}\nindex {ZERO}..{TWO}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+two\n"
    )
}

/// A well-formed deletion of one of the files.
pub(crate) fn remove(path: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\ndeleted file mode 100644\nindex {ONE}..{ZERO}\n--- a/{path}\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n"
    )
}

/// A rename or copy of a whole file.
pub(crate) fn moved(verb: &str, from: &str, to: &str) -> String {
    format!(
        "diff --git a/{from} b/{to}\nsimilarity index 100%\n{verb} from {from}\n{verb} to {to}\n"
    )
}

/// A binary creation whose data is not in the alphabet.
pub(crate) fn corrupt_binary(path: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 100644\nindex {ZERO}..{TWO}\nGIT binary patch\nliteral 4\n!!!\n\n"
    )
}

/// A mode change of y under a section of x that says nothing.
pub(crate) fn mode_change_after_nothing() -> String {
    "diff --git a/x b/x\ndiff --git a/y b/y\nold mode 100644\nnew mode 100755\n".to_owned()
}

/// A new target of the link, written as if it were a text file: no mode anywhere.
pub(crate) fn turned_link() -> String {
    const BARE: &str = "\\ No newline at end of file";
    format!(
        "diff --git a/link b/link\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-one\n{BARE}\n+/etc/passwd\n{BARE}\n"
    )
}

/// A new commit of the submodule, written as if it were a text file.
pub(crate) fn turned_submodule() -> String {
    format!(
        "diff --git a/sub b/sub\n--- a/sub\n+++ b/sub\n@@ -1 +1 @@\n-Subproject commit {OLD_COMMIT}\n+Subproject commit {NEW_COMMIT}\n"
    )
}

/// A change of x to a blob that only its id names.
pub(crate) fn blob_by_id(id: &str) -> String {
    format!("diff --git a/x b/x\nindex {ONE}..{id} 100644\nBinary files a/x and b/x differ\n")
}

/// A creation that git has already taken a name before it for.
pub(crate) fn creation_with_old_name() -> String {
    format!(
        "diff --git a/n b/n\nindex {ONE}..{TWO}\n--- a/n\n+++ b/n\nnew file mode 100644\n@@ -0,0 +1 @@\n+two\n"
    )
}

impl Repo {
    /// Commits `files` on the branch that is checked out, and writes them into the worktree.
    pub(crate) fn check_out(&self, files: &Files) -> String {
        let tree = self.tree(files);
        let commit = self.git(&["commit-tree", &tree, "-m", "base"]);
        let commit = String::from_utf8(commit).unwrap().trim().to_owned();
        self.git(&["update-ref", "HEAD", &commit]);
        let output = self.live(&["read-tree", "--reset", "-u", "HEAD"], "");
        assert!(output.status.success(), "{output:?}");
        commit
    }

    /// Runs git on the worktree and its real index.
    pub(crate) fn live(&self, args: &[&str], stdin: &str) -> Output {
        self.run(args, stdin.as_bytes(), &self.path().join(".git/index"))
    }

    /// Runs `git apply` with these options, and says whether it took the patch.
    pub(crate) fn applies(&self, options: &[&str], patch: &str) -> bool {
        let args = [&["apply"], options, &["-"]].concat();
        self.live(&args, patch).status.success()
    }

    /// What `git apply` prints about the patch without applying it.
    pub(crate) fn forecast(&self, patch: &str) -> String {
        let output = self.live(&["apply", "--numstat", "--summary", "-"], patch);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What differs from HEAD in index and worktree, as git's two letters and the path.
    pub(crate) fn status(&self) -> Vec<String> {
        let args = ["status", "--porcelain", "-uall", "--ignore-submodules=all"];
        let output = self.live(&args, "");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Puts an untracked link into the worktree that leads to a folder outside, which it returns.
    pub(crate) fn way_out(&self, name: &str) -> std::path::PathBuf {
        let target = self.outside().join("target");
        std::fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, self.path().join(name)).unwrap();
        target
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
