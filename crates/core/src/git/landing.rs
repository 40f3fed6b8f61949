//! The only place that writes into the user's repository: commits handed over as a pack, and one
//! reference moved by compare-and-swap.

use std::ffi::OsString;

use super::{Call, ObjectStore, Oid, Repository, last_words};
use crate::problem::Problem;
use crate::{environment, masking};

/// Who stands in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonIdent {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
}

impl PersonIdent {
    /// baton itself.
    #[must_use]
    pub fn baton() -> Self {
        Self {
            name: "baton".to_owned(),
            email: "baton@localhost".to_owned(),
        }
    }
}

/// What git said of who uses it here.
#[derive(Clone, Debug)]
pub struct Operator(String);

impl Operator {
    /// The person, with what must not be shown masked.
    #[must_use]
    pub fn person(&self) -> PersonIdent {
        let PersonIdent { name, email } = PersonIdent::baton();
        PersonIdent {
            name: self.last("user.name").unwrap_or(name),
            email: self.last("user.email").unwrap_or(email),
        }
    }

    /// Of several, as for git itself, the last one counts.
    fn last(&self, key: &str) -> Option<String> {
        let pairs = self.0.split('\0').filter_map(|pair| pair.split_once('\n'));
        let mut values = pairs.filter(|(name, _)| *name == key);
        let value = values.next_back().map(|(_, value)| value.trim());
        let value = value.filter(|value| !value.is_empty());
        value.map(|value| masking::text(value).into_owned())
    }
}

/// How a commit is signed: by git itself, with a key and a program that the operator's own
/// configuration names. The repository's configuration is not asked, for a program stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    settings: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
}

impl SigningKey {
    /// Reads `user.signingKey`, `gpg.program`, `gpg.ssh.program` and `gpg.ssh.defaultKeyCommand` from
    /// the operator's global configuration, and where the agents are from the environment.
    #[must_use]
    pub fn of_operator(repository: &Repository, format: &str) -> Self {
        let mut settings = vec![format!("gpg.format={format}")];
        for key in [
            "user.signingKey",
            "gpg.program",
            "gpg.ssh.program",
            "gpg.ssh.defaultKeyCommand",
        ] {
            let value = repository.setting(&["--global", "--path"], key);
            settings.extend(value.map(|value| format!("{key}={value}")));
        }
        let names = [
            environment::HOME,
            environment::SSH_AUTH_SOCK,
            environment::GNUPGHOME,
        ];
        let known = |name| Some((name, environment::read(name)?));
        Self {
            settings,
            environment: names.into_iter().filter_map(known).collect(),
        }
    }

    fn apply(&self, mut call: Call) -> Call {
        for setting in &self.settings {
            call = call.args(["-c", setting.as_str()]);
        }
        for (name, value) in &self.environment {
            call = call.set(*name, value);
        }
        call
    }
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
            .committing(self.call(), tree, parent, author, committer)
            .args(["-F", "-"])
            .input(message)
            .line("committing the candidate")?;
        Oid::parse(&line)
    }

    /// The same with a signature.
    ///
    /// # Errors
    /// `SIGNING_FAILED` with git's own words.
    pub fn commit_signed(
        &self,
        tree: &Oid,
        parent: &Oid,
        [author, committer]: [&PersonIdent; 2],
        message: &str,
        key: &SigningKey,
    ) -> Result<Oid, Problem> {
        let done = self
            .committing(key.apply(self.call()), tree, parent, author, committer)
            .args(["-S", "-F", "-"])
            .input(message)
            .finish()?;
        if done.ended.is_success() {
            return Oid::parse(String::from_utf8_lossy(&done.stdout.bytes).trim());
        }
        Err(Problem::fail(
            "SIGNING_FAILED",
            format!(
                "the policy asks for a signed commit, and git cannot sign: {}",
                last_words(&done.stderr.bytes)
            ),
        )
        .hint("set your key: git config --global user.signingKey KEY; then run it again"))
    }

    #[expect(clippy::unused_self, reason = "reads as a part of a commit")]
    fn committing(
        &self,
        call: Call,
        tree: &Oid,
        parent: &Oid,
        author: &PersonIdent,
        committer: &PersonIdent,
    ) -> Call {
        call.set("GIT_AUTHOR_NAME", author.name.as_str())
            .set("GIT_AUTHOR_EMAIL", author.email.as_str())
            .set("GIT_COMMITTER_NAME", committer.name.as_str())
            .set("GIT_COMMITTER_EMAIL", committer.email.as_str())
            .args(["commit-tree", tree.as_str(), "-p", parent.as_str()])
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
    /// name; baton's own when git knows none. Approvals, log and commits carry it, so that a secret in it
    /// is masked.
    #[must_use]
    pub fn operator(&self) -> PersonIdent {
        self.ask_operator().person()
    }

    /// Asks git for [`Self::operator`], for who has something else to do meanwhile.
    #[must_use]
    pub fn ask_operator(&self) -> Operator {
        let done = Call::as_user(&self.git_dir, &self.root)
            .args(["config", "--null", "--get-regexp", "^user\\.(name|email)$"])
            .finish();
        let said = done.map(|done| String::from_utf8_lossy(&done.stdout.bytes).into_owned());
        Operator(said.unwrap_or_default())
    }

    /// The key that the operator signs with, as git knows it: a path, or the public key itself. The
    /// repository's own configuration is not asked.
    #[must_use]
    pub fn signing_key(&self) -> Option<String> {
        self.setting(&["--global", "--path"], "user.signingKey")
    }

    /// One value of the user's own configuration.
    pub(super) fn setting(&self, options: &[&str], key: &str) -> Option<String> {
        let done = Call::as_user(&self.git_dir, &self.root)
            .args(["config"])
            .args(options.iter().copied())
            .args(["--get", key])
            .finish()
            .ok()?;
        let value = String::from_utf8_lossy(&done.stdout.bytes)
            .trim()
            .to_owned();
        (done.ended.is_success() && !value.is_empty()).then_some(value)
    }

    /// The first parent of a commit; none for a first commit.
    ///
    /// # Errors
    /// `TOOL_MISSING`.
    pub fn parent(&self, commit: &Oid) -> Result<Option<Oid>, Problem> {
        let done = self
            .call()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .args([format!("{commit}^1^{{commit}}")])
            .finish()?;
        if !done.ended.is_success() {
            return Ok(None);
        }
        Oid::parse(String::from_utf8_lossy(&done.stdout.bytes).trim()).map(Some)
    }

    /// All parents of a commit, as the commit itself names them: whether they are here is not asked.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn parents(&self, commit: &Oid) -> Result<Vec<String>, Problem> {
        let head = self.commit_object(commit)?;
        let lines = head.lines().take_while(|line| !line.is_empty());
        let parents = lines.filter_map(|line| line.strip_prefix("parent "));
        Ok(parents.map(str::to_owned).collect())
    }

    /// What a commit says, as it was written.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn message(&self, commit: &Oid) -> Result<String, Problem> {
        let text = self.commit_object(commit)?;
        Ok(text
            .split_once("\n\n")
            .map(|(_, message)| message.to_owned())
            .unwrap_or_default())
    }

    fn commit_object(&self, commit: &Oid) -> Result<String, Problem> {
        let bytes = self
            .call()
            .args(["cat-file", "commit", commit.as_str()])
            .output("reading a commit")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The commit on the way from `base` to `tip` that stands on `base`, has this tree, and says one of
    /// these lines in its message: that of a landing, and of no other's that did the same.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn landed_as(
        &self,
        base: &Oid,
        tip: &Oid,
        tree: &Oid,
        lines: &[String],
    ) -> Result<Option<Oid>, Problem> {
        // Where the base is not here, nothing that stands on it is.
        if base == tip || lines.is_empty() || self.commit(base.as_str()).is_err() {
            return Ok(None);
        }
        let listing = self
            .call()
            .args(["rev-list", "--fixed-strings"])
            .args(lines.iter().map(|line| format!("--grep={line}")))
            .args([format!("{base}..{tip}")])
            .output("looking for a landing")?;
        for commit in String::from_utf8_lossy(&listing).lines() {
            let commit = Oid::parse(commit)?;
            let message = self.message(&commit)?;
            let says = |line: &str| lines.iter().any(|wanted| wanted == line);
            // The first line is the task's title, and anybody's words.
            if message.lines().skip(1).any(says)
                && self.parents(&commit)? == [base.as_str()]
                && self.tree_of(&commit)? == *tree
            {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }

    /// Whether `commit` is in the history of `tip`.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn is_ancestor(&self, commit: &Oid, tip: &Oid) -> Result<bool, Problem> {
        let done = self
            .call()
            .args(["merge-base", "--is-ancestor", commit.as_str(), tip.as_str()])
            .finish()?;
        Ok(done.ended.is_success())
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

    /// Refuses a branch that is only another name for a branch: git would move that other one, and
    /// no checkout is found that has it.
    ///
    /// # Errors
    /// `BRANCH_SYMBOLIC`, `TOOL_MISSING`.
    pub fn not_symbolic(&self, branch: &str) -> Result<(), Problem> {
        let name = format!("refs/heads/{branch}");
        let done = self
            .call()
            .args(["symbolic-ref", "--quiet", &name])
            .finish()?;
        if !done.ended.is_success() {
            return Ok(());
        }
        let other = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
        let other = other.trim().escape_debug();
        Err(Problem::fail(
            "BRANCH_SYMBOLIC",
            format!("branch {branch} is only another name for {other}; a landing moves branches of their own"),
        )
        .hint(format!(
            "git symbolic-ref --delete {name}, then make the branch; or name the other one as landing.target"
        )))
    }

    /// Moves a branch from `old` to `new` in one step, or creates it when `old` is `None`.
    ///
    /// # Errors
    /// `BASE_MOVED` when the branch is not where it was, `BRANCH_EXISTS` when it is there already,
    /// `BRANCH_NOT_MOVED` when git could not write it, `BRANCH_SYMBOLIC`.
    pub fn move_branch(
        &self,
        branch: &str,
        new: &Oid,
        old: Option<&Oid>,
        reason: &str,
    ) -> Result<(), Problem> {
        self.not_symbolic(branch)?;
        // Forty zeros, or sixty-four, say that the reference must not exist.
        let zero = "0".repeat(new.as_str().len());
        let done = self
            .call()
            .set("GIT_COMMITTER_NAME", "baton")
            .set("GIT_COMMITTER_EMAIL", "baton@localhost")
            // Another git has a lock for some milliseconds at most, and is waited for.
            .args(["-c", "core.filesRefLockTimeout=2000"])
            .args(["update-ref", "--no-deref", "--create-reflog", "-m", reason])
            .args([format!("refs/heads/{branch}")])
            .args([new.as_str(), old.map_or(zero.as_str(), Oid::as_str)])
            .finish()?;
        if done.ended.is_success() {
            return Ok(());
        }
        Err(self.not_moved(branch, old, &last_words(&done.stderr.bytes)))
    }

    /// Why git did not move a branch: where it is by now tells a target that moved from a git that could
    /// not write.
    fn not_moved(&self, branch: &str, old: Option<&Oid>, words: &str) -> Problem {
        let is_as_before = self.tip(branch).is_ok_and(|tip| tip.as_ref() == old);
        let (code, next) = match old {
            // A branch of another name may be in its way too, as `baton` is in that of `baton/T-1`.
            None if !is_as_before || words.contains("cannot create") => (
                "BRANCH_EXISTS",
                "delete or rename the branch that is there, then run it again",
            ),
            Some(_) if !is_as_before => (
                "BASE_MOVED",
                "run it again: the change is made anew on the new head",
            ),
            _ => (
                "BRANCH_NOT_MOVED",
                "the branch is where it was, and the approval still counts: let git write there (another git may have left a lock file), then run it again",
            ),
        };
        let why = format!("branch {branch} was not moved: {words}");
        Problem::fail(code, why).hint(next)
    }
}
