//! One file on a branch of a remote, commit upon commit: a place that keeps what it was given, because
//! whoever guards the branch lets nobody take a commit back.

use super::{Call, Credentials, ObjectStore, Oid, PersonIdent, RemoteUrl};
use crate::problem::Problem;

/// What a branch holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its newest commit.
    pub tip: Oid,
    /// The file, where that commit has one.
    pub bytes: Option<Vec<u8>>,
}

impl ObjectStore {
    /// Reads the file on the remote's branch; `None` where the remote has no such branch.
    ///
    /// # Errors
    /// `PUSH_FAILED` with git's own words, `KEPT_MOVED`, `GIT_FAILED`.
    pub fn kept(
        &self,
        url: &RemoteUrl,
        credentials: &Credentials,
        branch: &str,
        file: &str,
    ) -> Result<Option<Kept>, Problem> {
        let Some(tip) = self.remote_tip(url, credentials, branch)? else {
            return Ok(None);
        };
        if !self.has_commit(&tip)? {
            self.bring(url, credentials, branch)?;
        }
        if !self.has_commit(&tip)? {
            return Err(Problem::fail(
                "KEPT_MOVED",
                format!("{} moved {branch} while it was read", url.host),
            )
            .hint("run it again"));
        }
        let bytes = self.blob(&tip, file)?;
        Ok(Some(Kept { tip, bytes }))
    }

    /// Puts the file on the remote's branch in a commit upon `tip`, which the branch must still name;
    /// without `tip` the branch must not be there.
    ///
    /// # Errors
    /// `PUSH_FAILED` with git's own words, `GIT_FAILED`.
    pub fn keep_on(
        &self,
        url: &RemoteUrl,
        credentials: &Credentials,
        branch: &str,
        tip: Option<&Oid>,
        (file, bytes): (&str, &[u8]),
        message: &str,
    ) -> Result<Oid, Problem> {
        let blob = self.call().args(["hash-object", "-w", "--stdin"]);
        let blob = blob.input(bytes).line("writing a file")?;
        let tree = self.call().args(["mktree", "-z"]);
        let tree = tree.input(format!("100644 blob {blob}\t{file}\0"));
        let commit = as_baton(self.call())
            .args(["commit-tree", &tree.line("writing a tree")?])
            .args(tip.into_iter().flat_map(|tip| ["-p", tip.as_str()]))
            .args(["-F", "-"])
            .input(message)
            .line("writing a commit")?;
        let commit = Oid::parse(&commit)?;
        self.send(url, credentials, branch, tip, &commit)?;
        Ok(commit)
    }

    fn has_commit(&self, commit: &Oid) -> Result<bool, Problem> {
        let asked = self.call().args(["cat-file", "-e"]);
        let asked = asked.args([format!("{commit}^{{commit}}")]).finish()?;
        Ok(asked.ended.is_success())
    }
}

fn as_baton(call: Call) -> Call {
    let PersonIdent { name, email } = PersonIdent::baton();
    call.set("GIT_AUTHOR_NAME", name.as_str())
        .set("GIT_AUTHOR_EMAIL", email.as_str())
        .set("GIT_COMMITTER_NAME", name)
        .set("GIT_COMMITTER_EMAIL", email)
}
