//! Which policy counts: the one that `init` wrote, or that a person accepted after a rehearsal.
//!
//! The record lies beside the policy and names it by its SHA-256; a policy that was edited since decides
//! nothing. Each accepted policy is kept in the queue under its own digest with its secret rules, so that
//! a later one can be rehearsed against it and a decision can be checked under the policy of its time.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::envelope::Decision;
use crate::files::{self, Folder};
use crate::manifest::SSOT;
use crate::policy::{self, Policy};
use crate::problem::Problem;
use crate::store::{Directory, Store};
use crate::{bounds, clock, wire};

/// The record's file name, beside the policy.
pub const FILE: &str = "POLICY_ACCEPTED.json";
const CODE: &str = "POLICY_NOT_ACCEPTED";
const MAX_BYTES: usize = 1 << 20;
/// A kept policy's name in its folder.
const POLICY: &str = "POLICY.json";
/// The largest file of secret rules that is kept, in bytes.
const MAX_RULES: usize = 16 << 20;

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Always `1.0.0`.
    pub schema_version: String,
    /// SHA-256 of the policy's bytes.
    pub policy_sha256: String,
    /// The person.
    pub accepted_by: String,
    /// When, RFC 3339.
    pub accepted_at: String,
    /// SHA-256 of the policy before; none for the first.
    #[serde(deserialize_with = "wire::nullable")]
    pub before_sha256: Option<String>,
    /// What the person saw and accepted: every decision that is another one now.
    pub flips: Vec<Flip>,
}

/// A decision that a changed policy would make in another way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// A task, or a change of the hostile set.
    pub what: String,
    /// The answer of the policy before.
    pub from: Decision,
    /// The answer of the new one.
    pub to: Decision,
    /// The rules that speak under the new one.
    pub rules: Vec<String>,
}

impl Flip {
    /// Whether the new policy lets through more than the one before.
    #[must_use]
    pub fn is_looser(&self) -> bool {
        self.to < self.from
    }
}

impl Accepted {
    /// A person accepts a policy, and what it changes, now.
    #[must_use]
    pub fn now(policy_sha256: &str, before: Option<&str>, by: &str, flips: Vec<Flip>) -> Self {
        Self {
            schema_version: "1.0.0".to_owned(),
            policy_sha256: policy_sha256.to_owned(),
            accepted_by: by.to_owned(),
            accepted_at: clock::rfc3339(clock::now()),
            before_sha256: before.map(str::to_owned),
            flips,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `POLICY_NOT_ACCEPTED`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let accepted: Self = wire::parse(bytes, MAX_BYTES, FILE, CODE)?;
        accepted
            .check()
            .map_err(|why| Problem::fail(CODE, format!("{FILE}: {why}")))?;
        Ok(accepted)
    }

    fn check(&self) -> bounds::Checked {
        bounds::schema_version(&self.schema_version)?;
        bounds::sha256("policy_sha256", &self.policy_sha256)?;
        bounds::text("accepted_by", &self.accepted_by, 1, 200)?;
        bounds::timestamp("accepted_at", &self.accepted_at)?;
        match &self.before_sha256 {
            Some(before) => bounds::sha256("before_sha256", before),
            None => Ok(()),
        }
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The record of the repository at `root`.
    ///
    /// # Errors
    /// `POLICY_NOT_ACCEPTED` when there is none.
    pub fn read(root: &Path) -> Result<Self, Problem> {
        let bytes =
            files::read_placed(&root.join(SSOT).join(FILE), MAX_BYTES).map_err(|error| {
                Problem::fail(CODE, format!("{SSOT}/{FILE} cannot be read: {error}"))
                    .hint("restore it from git, or accept the policy anew: baton policy accept")
            })?;
        Self::parse(&bytes)
    }
}

/// Demands that this policy is the accepted one.
///
/// # Errors
/// `POLICY_NOT_ACCEPTED` naming both digests.
pub fn check(root: &Path, policy: &Policy) -> Result<(), Problem> {
    let accepted = Accepted::read(root)?;
    if accepted.policy_sha256 == policy.sha256 {
        return Ok(());
    }
    Err(Problem::fail(
        CODE,
        format!(
            "{SSOT}/POLICY.json has SHA-256 {}, accepted is {}",
            policy.sha256, accepted.policy_sha256
        ),
    )
    .hint("see what it would decide differently: baton policy rehearse; then: baton policy accept"))
}

/// Keeps a policy in the queue in a folder named by its digest, with the secret rules that it pins, which
/// lie beside it in `beside` now. What is kept already stays.
///
/// # Errors
/// `IO_ERROR`, `SECRET_RULES_MISSING`, `SECRET_RULES_CHANGED`.
pub fn keep(store: &Store, policy: &Policy, bytes: &[u8], beside: &Path) -> Result<(), Problem> {
    let failed = |error: io::Error| Problem::io(&policy.sha256, &error);
    let folder = store
        .policies()?
        .sub_or_new(&policy.sha256)
        .map_err(failed)?;
    let rules = policy.secret_rules.read(beside, MAX_RULES)?;
    for (path, bytes) in &rules {
        put(&folder, path, bytes).map_err(failed)?;
    }
    // Last, so that a policy that is there is there with its rules.
    put(&folder, POLICY, bytes).map_err(failed)
}

fn put(folder: &Directory, path: &str, bytes: &[u8]) -> io::Result<()> {
    if let Some((first, rest)) = path.split_once('/') {
        return put(&folder.sub_or_new(first)?, rest, bytes);
    }
    match folder.write_new(path, bytes) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Where an accepted policy is kept, with its secret rules beside it.
///
/// # Errors
/// `POLICY_MISSING`.
pub fn folder(store: &Store, sha256: &str) -> Result<Folder, Problem> {
    store.policy_folder(sha256, POLICY)?.map_err(|error| {
        Problem::fail(
            "POLICY_MISSING",
            format!("the policy {sha256} is not kept in the queue: {error}"),
        )
        .hint("it is in git's history: put it back under .autodev_queue/policies")
    })
}

/// A policy that was accepted at some time, by its digest.
///
/// # Errors
/// `POLICY_MISSING`, `POLICY_INVALID`, also when the bytes are not the ones that the digest names.
pub fn of(store: &Store, sha256: &str) -> Result<Policy, Problem> {
    let bytes = folder(store, sha256)?.read(POLICY, policy::MAX_BYTES);
    let bytes = bytes.map_err(|error| {
        Problem::fail(
            "POLICY_MISSING",
            format!("the kept policy {sha256}: {error}"),
        )
    })?;
    let policy = Policy::parse(&bytes)?;
    if policy.sha256 == sha256 {
        return Ok(policy);
    }
    Err(Problem::fail(
        "POLICY_INVALID",
        format!("the kept policy {sha256} has SHA-256 {}", policy.sha256),
    ))
}
