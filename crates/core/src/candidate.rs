//! The candidate: what a proposal comes down to, a base commit and a tree.
//!
//! A patch is used once, at the door: git applies it to the base in an index of our own, and git's
//! own difference of the two trees is the canonical patch that every later step looks at.

use serde::{Deserialize, Serialize};

use baton_patch::{Limits, raw};

use crate::git::{ObjectStore, Oid, Repository, TemporaryIndex, at_one_time};
use crate::policy::{Actor, Policy};
use crate::problem::Problem;
use crate::task::TaskId;
use crate::{bounds, clock, digest, wire};

/// The largest `candidate.json` that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 10;

/// Where the text of a proposal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Source {
    File,
    Stdin,
    Command,
    Model,
}

/// How near a proposal was to what became of it; the higher, the farther.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// Taken as it was.
    #[default]
    Clean,
    /// Mended without guessing.
    Repaired,
    /// A place or a line was guessed, which only a person can judge.
    Fuzzy,
}

impl Match {
    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Repaired => "repaired",
            Self::Fuzzy => "fuzzy",
        }
    }
}

/// The content of a task's `candidate.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Always `1.0.0`.
    pub schema_version: String,
    /// The task it was made for.
    pub task_id: String,
    /// Counts the task's drafts, from 1.
    pub attempt: u32,
    /// The base commit.
    pub base: String,
    /// The base commit's tree.
    pub base_tree: String,
    /// The tree that would land.
    pub tree: String,
    /// SHA-256 of the canonical patch.
    pub patch_sha256: String,
    /// Where the text came from.
    pub source: Source,
    /// How near the text was to what became of it. The log holds the digest of this record, so whoever
    /// edits this field away has no candidate any more.
    #[serde(default, rename = "match")]
    pub matched: Match,
    /// Who proposed it.
    pub actor: Actor,
    /// SHA-256 of the policy at that time.
    pub policy_sha256: String,
    /// When, RFC 3339.
    pub created_at: String,
}

impl Candidate {
    /// Reads `candidate.json`.
    ///
    /// # Errors
    /// `CANDIDATE_INVALID`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        const CODE: &str = "CANDIDATE_INVALID";
        let candidate: Self = wire::parse(bytes, MAX_BYTES, "candidate", CODE)?;
        candidate
            .check()
            .map_err(|why| Problem::fail(CODE, format!("candidate: {why}")))?;
        Ok(candidate)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    fn check(&self) -> bounds::Checked {
        bounds::schema_version(&self.schema_version)?;
        TaskId::parse(&self.task_id).map_err(|problem| problem.message)?;
        bounds::number("attempt", u64::from(self.attempt), 1, 1_000_000)?;
        bounds::object_id("base", &self.base)?;
        bounds::object_id("base_tree", &self.base_tree)?;
        bounds::object_id("tree", &self.tree)?;
        bounds::sha256("patch_sha256", &self.patch_sha256)?;
        bounds::sha256("policy_sha256", &self.policy_sha256)?;
        bounds::timestamp("created_at", &self.created_at)
    }

    /// The name that evidence and approvals carry: `base=… tree=… patch=…`.
    #[must_use]
    pub fn binding(&self) -> String {
        format!(
            "base={} tree={} patch={}",
            self.base, self.tree, self.patch_sha256
        )
    }
}

/// A proposal that git has applied: the trees, the canonical patch, and what git says changed.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The base commit.
    pub base: Oid,
    /// Its tree.
    pub base_tree: Oid,
    /// The tree with the proposal applied.
    pub tree: Oid,
    /// git's own difference of the two.
    pub patch: Vec<u8>,
    /// Why the given text was not git's own grammar, when it was not.
    pub normalized: Option<String>,
    /// The paths that differ between the two, as bytes.
    pub changed: Vec<Vec<u8>>,
}

impl Proposal {
    /// SHA-256 of the canonical patch.
    #[must_use]
    pub fn patch_sha256(&self) -> String {
        digest::sha256(&self.patch)
    }

    /// Makes the record of this proposal for a task.
    #[must_use]
    pub fn candidate(
        &self,
        task_id: &str,
        attempt: u32,
        source: Source,
        actor: Actor,
        policy: &Policy,
    ) -> Candidate {
        Candidate {
            schema_version: "1.0.0".to_owned(),
            task_id: task_id.to_owned(),
            attempt,
            base: self.base.to_string(),
            base_tree: self.base_tree.to_string(),
            tree: self.tree.to_string(),
            patch_sha256: self.patch_sha256(),
            source,
            matched: Match::Clean,
            actor,
            policy_sha256: policy.sha256.clone(),
            created_at: clock::rfc3339(clock::now()),
        }
    }
}

/// The bounds of a patch under this policy.
#[must_use]
pub fn limits(policy: &Policy) -> Limits {
    Limits {
        bytes: usize::try_from(policy.caps.max_patch_bytes).unwrap_or(usize::MAX),
        // git writes a changed binary as a delta; the scan reads the new file from the tree.
        allow_delta: true,
        ..Limits::default()
    }
}

/// Applies a patch to the base in an index of our own and derives everything else from git.
///
/// # Errors
/// `PATCH_TOO_LARGE`, `PATCH_EMPTY`, `PATCH_DOES_NOT_APPLY`, `PATCH_REFUSED` when the change holds a
/// form that the strict reader refuses, `READER_DISAGREES` when reader and git differ.
pub fn propose(
    store: &ObjectStore,
    base: &Oid,
    patch: &[u8],
    limits: &Limits,
) -> Result<Proposal, Problem> {
    is_text(patch, limits)?;
    let start = start(store, base)?;
    applied(store, base, start, patch, limits)
}

/// An index that holds the base, and the base's tree.
fn start(store: &ObjectStore, base: &Oid) -> Result<(TemporaryIndex, Oid), Problem> {
    at_one_time(|| store.index_of(base), || store.tree_of(base))
}

/// Refuses what is too much or nothing at all.
fn is_text(patch: &[u8], limits: &Limits) -> Result<(), Problem> {
    if patch.len() > limits.bytes {
        return Err(too_large(&patch.len().to_string(), limits.bytes));
    }
    if patch.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::fail("PATCH_EMPTY", "the patch is empty")
            .hint("make one with `git diff --binary`, against the task's base commit"));
    }
    Ok(())
}

/// What comes of a patch upon an index that holds the base.
fn applied(
    store: &ObjectStore,
    base: &Oid,
    (index, base_tree): (TemporaryIndex, Oid),
    patch: &[u8],
    limits: &Limits,
) -> Result<Proposal, Problem> {
    let normalized = baton_patch::parse(patch, limits)
        .err()
        .map(|refusal| refusal.to_string());
    store
        .apply(&index, patch)
        .map_err(|problem| match &normalized {
            // git's words for a text that is no patch of its own are few.
            Some(why) => problem.hint(format!("the patch reader says: {why}")),
            None => problem,
        })?;
    let tree = store.write_tree(&index)?;
    compared(store, base, base_tree, tree, normalized, limits)
}

/// One file of a proposal that is given as new bytes and not as a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile<'a> {
    /// Its path.
    pub path: &'a str,
    /// Whether it is executable.
    pub is_executable: bool,
    /// What it becomes.
    pub bytes: &'a [u8],
}

/// Puts new files into an index of our own and derives everything else from git, as [`propose`] does for
/// a patch.
///
/// # Errors
/// As [`propose`]; `READER_DISAGREES` when git's difference names other paths than these.
pub fn propose_files(
    store: &ObjectStore,
    base: &Oid,
    files: &[NewFile<'_>],
    limits: &Limits,
) -> Result<Proposal, Problem> {
    let (index, base_tree) = start(store, base)?;
    let entries = files.iter().map(|file| {
        let mode = if file.is_executable {
            "100755"
        } else {
            "100644"
        };
        Ok((mode, store.store_blob(file.bytes)?, file.path))
    });
    let entries = entries.collect::<Result<Vec<_>, Problem>>()?;
    store.put(&index, &entries)?;
    let tree = store.write_tree(&index)?;
    let proposal = compared(store, base, base_tree, tree, None, limits)?;
    let mut given: Vec<&[u8]> = files.iter().map(|file| file.path.as_bytes()).collect();
    let mut changed: Vec<&[u8]> = proposal.changed.iter().map(Vec::as_slice).collect();
    given.sort_unstable();
    changed.sort_unstable();
    if given != changed {
        return Err(Problem::zero_stop(
            "READER_DISAGREES",
            format!(
                "{} files were put in and git sees {} that differ",
                given.len(),
                changed.len()
            ),
        ));
    }
    if proposal.patch.len() > limits.bytes {
        return Err(too_large(&proposal.patch.len().to_string(), limits.bytes));
    }
    Ok(proposal)
}

/// What is said of a patch above the policy's cap.
pub(crate) fn too_large(got: &str, most: usize) -> Problem {
    Problem::fail(
        "PATCH_TOO_LARGE",
        format!("the patch has {got} bytes, the policy allows {most} (caps.max_patch_bytes)"),
    )
    .hint("split the change into smaller tasks, or let a person raise caps.max_patch_bytes")
}

/// What git says of the difference between the base and a tree.
fn compared(
    store: &ObjectStore,
    base: &Oid,
    base_tree: Oid,
    tree: Oid,
    normalized: Option<String>,
    limits: &Limits,
) -> Result<Proposal, Problem> {
    if tree == base_tree {
        return Err(Problem::fail(
            "PATCH_EMPTY",
            "the patch applies and changes nothing",
        ));
    }
    // Two readings of the same two trees, by two processes.
    let (canonical, listing) = at_one_time(
        || store.patch_between(&base_tree, &tree),
        || store.raw_between(&base_tree, &tree),
    )?;
    let changed = check_reading(&canonical, &listing, limits)?;
    Ok(Proposal {
        base: base.clone(),
        base_tree,
        tree,
        patch: canonical,
        normalized,
        changed,
    })
}

/// Demands that the strict reader sees in the canonical patch exactly what git's own tree
/// difference, a raw `listing`, says, and gives the paths that differ.
///
/// # Errors
/// As [`propose`].
pub fn check_reading(
    canonical: &[u8],
    listing: &[u8],
    limits: &Limits,
) -> Result<Vec<Vec<u8>>, Problem> {
    let read = baton_patch::parse(canonical, limits).map_err(|refusal| refused(&refusal))?;
    let changes = raw::read(listing).map_err(|problem| {
        Problem::zero_stop(
            "READER_DISAGREES",
            format!("git's tree difference cannot be read: {problem}"),
        )
    })?;
    raw::agrees(&read, &changes).map_err(|difference| {
        Problem::zero_stop(
            "READER_DISAGREES",
            format!("the patch reader and git's tree difference do not agree: {difference}"),
        )
    })?;
    Ok(changes.into_iter().map(|change| change.path).collect())
}

/// Turns a reader's refusal into a problem that names line and form.
#[must_use]
pub fn refused(refusal: &baton_patch::Refusal) -> Problem {
    let message = format!(
        "patch line {}: {}: got \"{}\"",
        refusal.line,
        refusal.code,
        whole_words(&refusal.form)
    );
    Problem::fail("PATCH_REFUSED", message).hint(refusal.hint.clone())
}

/// What a refusal shows, without a last word that was cut: half a secret is one that no rule knows.
fn whole_words(form: &str) -> String {
    match form.strip_suffix("...") {
        None => form.to_owned(),
        Some(cut) => {
            let end = cut.rfind([' ', '\t']).unwrap_or(0);
            format!("{} ...", cut.get(..end).unwrap_or_default())
        }
    }
}

/// Derives a recorded candidate again and compares: base tree, tree, canonical patch, reading. Gives
/// what was derived.
///
/// # Errors
/// `CANDIDATE_CHANGED` (a full stop) naming what differs.
pub fn verify(
    repository: &Repository,
    store: &ObjectStore,
    candidate: &Candidate,
    patch: &[u8],
    limits: &Limits,
) -> Result<Proposal, Problem> {
    let changed = |what: &str, got: &str, expected: &str| {
        Problem::zero_stop(
            "CANDIDATE_CHANGED",
            format!("{what} is {got}, the candidate says {expected}"),
        )
        .hint("baton retry TASK, and let it be drafted, scanned, gated and approved again")
    };
    let patch_sha256 = digest::sha256(patch);
    if patch_sha256 != candidate.patch_sha256 {
        return Err(changed(
            "the SHA-256 of draft.patch",
            &patch_sha256,
            &candidate.patch_sha256,
        ));
    }
    is_text(patch, limits)?;
    let base = Oid::parse(&candidate.base)?;
    let start = match start(store, &base) {
        Ok(start) => start,
        // That the base is gone is told better than by what git says of it there.
        Err(problem) => return Err(repository.commit(&candidate.base).err().unwrap_or(problem)),
    };
    if start.1.as_str() != candidate.base_tree {
        return Err(changed(
            "the base's tree",
            start.1.as_str(),
            &candidate.base_tree,
        ));
    }
    let again = applied(store, &base, start, patch, limits)?;
    if again.tree.as_str() != candidate.tree {
        return Err(changed(
            "the tree that the patch makes",
            again.tree.as_str(),
            &candidate.tree,
        ));
    }
    if again.patch != patch {
        return Err(changed(
            "the canonical patch",
            &again.patch_sha256(),
            &candidate.patch_sha256,
        ));
    }
    Ok(again)
}
