//! Which policy counts: the one that `init` wrote, or that a person accepted after a rehearsal.
//!
//! The record lies beside the policy and names it by its SHA-256; a policy that was edited since decides
//! nothing. Whoever can edit the checkout can edit both, so the queue notes the digest too, and the log has
//! the line that it is held against. Each accepted policy is kept in the queue under its own digest with its
//! secret rules, so that a later one can be rehearsed against it and a decision can be checked under the
//! policy of its time.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::audit::Action;
use crate::envelope::{Decision, QUEUE_ROOT};
use crate::files::{self, Folder};
use crate::manifest::SSOT;
use crate::policy::{self, Policy};
use crate::problem::Problem;
use crate::store::{Directory, Store};
use crate::{bounds, clock, wire};

/// The record's file name, beside the policy.
pub const FILE: &str = "POLICY_ACCEPTED.json";
/// The queue's note: the digest of the policy that counts, and a newline.
const NOTE: &str = "POLICY_ACCEPTED";
const CODE: &str = "POLICY_NOT_ACCEPTED";
const LOOK_AT_IT: &str =
    "see what it would decide differently: baton policy rehearse; then: baton policy accept";
const MAX_BYTES: usize = 1 << 20;
/// The longest note that is read, in bytes.
const MAX_NOTE: usize = 256;
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

/// Demands that this policy is the accepted one: by the record beside it, and by the queue. Says whether the
/// queue has its note; one from before there were notes goes by its log.
///
/// # Errors
/// `POLICY_NOT_ACCEPTED` naming both digests, `LOG_…` where the log has to be asked.
pub fn check(store: &Store, policy: &Policy) -> Result<bool, Problem> {
    let accepted = Accepted::read(store.root())?;
    if accepted.policy_sha256 != policy.sha256 {
        return Err(Problem::fail(
            CODE,
            format!(
                "{SSOT}/POLICY.json has SHA-256 {}, accepted is {}",
                policy.sha256, accepted.policy_sha256
            ),
        )
        .hint(LOOK_AT_IT));
    }
    let noted = noted(store)?;
    let is_noted = noted.is_some();
    match noted.map_or_else(|| in_log(store), |noted| Ok(Some(noted)))? {
        Some(counts) if counts == policy.sha256 => Ok(is_noted),
        counts => Err(other(store, policy, counts)),
    }
}

/// The checkout agrees with itself, and the queue counts another policy.
fn other(store: &Store, policy: &Policy, counts: Option<String>) -> Problem {
    let Some(counts) = counts else {
        let why = "neither the queue nor its log says which policy a person accepted";
        return Problem::fail(CODE, why).hint(LOOK_AT_IT);
    };
    let why = format!(
        "{SSOT}/POLICY.json and {FILE} have SHA-256 {}, and in this queue {counts} was accepted last",
        policy.sha256
    );
    Problem::fail(CODE, why).hint(match folder(store, &policy.sha256) {
        Ok(_) => "it counted before: bring .autodev_ssot up to date, such as by git pull; or go back to it: baton policy rehearse, then baton policy accept",
        Err(_) => "it came with a commit, or was written by hand: see what it would decide differently: baton policy rehearse; then a person runs here: baton policy accept",
    })
}

/// The digest of the policy that a person accepted last for this queue, by its note or, in a queue from before
/// there were notes, by its log.
///
/// # Errors
/// `POLICY_NOT_ACCEPTED` for a note that cannot be read, and those of the log.
pub fn in_queue(store: &Store) -> Result<Option<String>, Problem> {
    match noted(store)? {
        Some(noted) => Ok(Some(noted)),
        None => in_log(store),
    }
}

/// The queue's note.
pub(crate) fn noted(store: &Store) -> Result<Option<String>, Problem> {
    let wrong = |why: String| {
        Problem::fail(CODE, format!("{QUEUE_ROOT}/{NOTE}: {why}"))
            .hint("it names the accepted policy: find out who wrote it; then a person runs: baton policy accept")
    };
    let bytes = match store.directory().read(NOTE, MAX_NOTE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    bounds::sha256("it", text).map_err(wrong)?;
    Ok(Some(text.to_owned()))
}

/// The digest in the log's last line that says which policy a person let count.
///
/// # Errors
/// Those of the log.
pub fn in_log(store: &Store) -> Result<Option<String>, Problem> {
    in_lines(store, u64::MAX)
}

fn in_lines(store: &Store, most: u64) -> Result<Option<String>, Problem> {
    let (mut named, mut walked) = (None, 0);
    store.log()?.back(|seen| {
        walked += 1;
        if let Action::QueueInitialized | Action::LogSealed | Action::PolicyAccepted = seen.action()
        {
            let event = seen.event()?;
            let sha256 = event.meta.get("policy_sha256");
            named = sha256.and_then(|one| one.as_str()).map(str::to_owned);
        }
        Ok(if named.is_some() || walked >= most {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(named)
}

/// Holds the queue's note against the last lines of the log, as many as whoever asks has the time to read.
/// An acceptance that lies further back is not looked for.
///
/// # Errors
/// `POLICY_NOT_ACCEPTED` naming both, and those of the log.
pub fn check_recorded(store: &Store, most: u64) -> Result<(), Problem> {
    let (noted, recorded) = (noted(store)?, in_lines(store, most)?);
    let is_too_far = recorded.is_none() && most != u64::MAX;
    if noted.is_none() || noted == recorded || is_too_far {
        return Ok(());
    }
    let said = |one: Option<String>| one.unwrap_or_else(|| "none".to_owned());
    let (noted, recorded) = (said(noted), said(recorded));
    let why = format!(
        "{QUEUE_ROOT}/{NOTE} says that {noted} is accepted, and the log that it is {recorded}"
    );
    Err(Problem::fail(CODE, why).hint(
        "somebody wrote it by hand, or an acceptance was cut off: look at POLICY.json, then: baton policy accept",
    ))
}

/// Notes in the queue which policy counts; the log has its line already.
///
/// # Errors
/// `IO_ERROR`.
pub fn note(store: &Store, sha256: &str) -> Result<(), Problem> {
    let written = store.directory().replace(NOTE, line(sha256).as_bytes());
    written.map_err(|error| Problem::io(NOTE, &error))
}

/// The same for a queue from before there were notes. A note that came meanwhile stays.
///
/// # Errors
/// `IO_ERROR`.
pub fn note_once(store: &Store, sha256: &str) -> Result<(), Problem> {
    let written = store.directory().write_new(NOTE, line(sha256).as_bytes());
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written.map_err(|error| Problem::io(NOTE, &error)),
    }
}

fn line(sha256: &str) -> String {
    format!("{sha256}\n")
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
