//! The append-only log: one JSON object a line, each line holding the SHA-256 of the line before.
//!
//! The bytes on disk are what is hashed; nothing is ever serialised a second time, so `sha256sum`
//! of a line is what the next line must say.

mod append;
mod check;
mod checkpoint;
mod glance;
mod halting;
mod index;
mod kept;
mod keys;
mod line;
mod log;
mod read;
mod segments;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod witnessed;
mod written;

pub use check::{Checked, MOST_THREADS, States};
pub use index::Index;
pub use keys::{PUBLIC_KEYS, public_keys_path, signer_of};
pub use log::{Head, Log};
pub use read::Seen;
pub use snapshot::Snapshot;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::envelope::{ApprovalEntry, Artifact, Decision, Finding, QUEUE_ROOT, Severity, Status};
use crate::policy::Actor;
use crate::problem::{self, Problem};
use crate::state::State;
use crate::task::TaskId;
use crate::{bounds, clock, digest, ids, wire};

/// The log's file name in the `audit` folder.
pub const FILE: &str = "events.ndjson";
/// `prev_sha256` of the first line.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The longest line, newline included, in bytes: transparency logs prefix an entry with 16 bits.
pub const MAX_LINE: usize = 65_535;

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub enum Level {
    Info,
    Warn,
    Error,
}

/// What happened. The first six are the brief's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    TaskSubmitted,
    TaskClaimed,
    PatchProposed,
    TaskBlocked,
    StopDetected,
    Error,
    QueueInitialized,
    StopSet,
    StopLifted,
    LeaseRenewed,
    LeaseReleased,
    TaskValidated,
    RiskScanned,
    GatesStarted,
    GatesFinished,
    AheadStarted,
    AheadFinished,
    DecisionMade,
    LandingPlanned,
    LandingStarted,
    ChangeLanded,
    PrBranchCreated,
    ApprovalGranted,
    ApprovalDenied,
    ApprovalCarried,
    PolicyAccepted,
    ApprovalRefused,
    ApprovalRevoked,
    IncidentRaised,
    EnvelopeRecorded,
    EventRecorded,
    TaskRetried,
    TaskRebased,
    TaskReclaimed,
    MoveCompleted,
    MoveUndone,
    QueueStalled,
    QueueCopied,
    TaskSkipped,
    TaskClosed,
    LogRepaired,
    IndexRebuilt,
    LogSealed,
    WitnessAdded,
    WitnessRemoved,
    WitnessAsked,
}

/// One line of the log. All fields are always there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "schemas/audit_event.schema.json describes each field"
)]
pub struct Event {
    pub ts: String,
    pub seq: u64,
    pub event_id: String,
    #[serde(deserialize_with = "wire::nullable")]
    pub prev_event_id: Option<String>,
    pub prev_sha256: String,
    pub level: Level,
    pub actor: Actor,
    pub action: Action,
    pub skill: String,
    pub status: EventStatus,
    pub decision: Decision,
    pub task_id: String,
    pub from_state: EventState,
    pub to_state: EventState,
    pub repo_ref: String,
    pub inputs_sha256: String,
    pub outputs_sha256: String,
    pub approvals: Vec<ApprovalEntry>,
    pub artifacts: Vec<Artifact>,
    pub findings: Vec<Finding>,
    pub meta: Map<String, Value>,
}

impl Event {
    /// Reads one line.
    ///
    /// # Errors
    /// `LOG_BROKEN` naming the field.
    pub fn parse(line: &[u8]) -> Result<Self, Problem> {
        let event: Self = wire::parse(line, MAX_LINE, "audit event", "LOG_BROKEN")?;
        event
            .check()
            .map_err(|why| Problem::fail("LOG_BROKEN", format!("audit event: {why}")))?;
        Ok(event)
    }

    fn check(&self) -> bounds::Checked {
        Fields {
            ts: &self.ts,
            seq: self.seq,
            event_id: &self.event_id,
            prev_event_id: self.prev_event_id.as_deref(),
            task_id: &self.task_id,
            skill: &self.skill,
            repo_ref: &self.repo_ref,
            digests: [&self.prev_sha256, &self.inputs_sha256, &self.outputs_sha256],
        }
        .check(&mut || ())
    }
}

/// The texts of an event that have bounds, whoever holds them.
struct Fields<'a> {
    ts: &'a str,
    seq: u64,
    event_id: &'a str,
    prev_event_id: Option<&'a str>,
    task_id: &'a str,
    skill: &'a str,
    repo_ref: &'a str,
    /// Of the line before, of the inputs, of the outputs.
    digests: [&'a str; 3],
}

impl Fields<'_> {
    /// `meanwhile` is called between two checks.
    #[inline(always)]
    fn check(&self, meanwhile: &mut impl FnMut()) -> bounds::Checked {
        bounds::timestamp("ts", self.ts)?;
        meanwhile();
        bounds::number("seq", self.seq, 1, 1 << 53)?;
        bounds::text("event_id", self.event_id, 1, 128)?;
        if let Some(previous) = self.prev_event_id {
            bounds::text("prev_event_id", previous, 1, 128)?;
        }
        meanwhile();
        if self.task_id != "-" {
            TaskId::check(self.task_id).map_err(|problem| problem.message)?;
        }
        meanwhile();
        bounds::text("skill", self.skill, 1, 64)?;
        bounds::text("repo_ref", self.repo_ref, 1, 200)?;
        let names = ["prev_sha256", "inputs_sha256", "outputs_sha256"];
        names
            .into_iter()
            .zip(self.digests)
            .try_for_each(|(name, digest)| {
                meanwhile();
                bounds::sha256(name, digest)
            })
    }
}

/// An envelope status, or `NA` for an event that no envelope stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "as Status")]
pub enum EventStatus {
    Ok,
    Fail,
    Deny,
    ZeroStop,
    Partial,
    #[serde(rename = "NA")]
    NotApplicable,
}

impl From<Status> for EventStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Ok,
            Status::Fail => Self::Fail,
            Status::Deny => Self::Deny,
            Status::ZeroStop => Self::ZeroStop,
            Status::Partial => Self::Partial,
        }
    }
}

/// A queue state, or `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as State")]
pub enum EventState {
    Inbox,
    Claimed,
    Work,
    Pr,
    Done,
    Blocked,
    Unknown,
}

impl From<Option<State>> for EventState {
    fn from(state: Option<State>) -> Self {
        match state {
            Some(State::Inbox) => Self::Inbox,
            Some(State::Claimed) => Self::Claimed,
            Some(State::Work) => Self::Work,
            Some(State::Pr) => Self::Pr,
            Some(State::Done) => Self::Done,
            Some(State::Blocked) => Self::Blocked,
            None => Self::Unknown,
        }
    }
}

impl Event {
    /// Where it moves its task, if it does.
    #[must_use]
    pub fn moves_to(&self) -> Option<State> {
        let to = self.to_state.state();
        to.filter(|_| self.from_state != self.to_state)
    }
}

impl EventState {
    /// The queue's state, where it names one.
    #[must_use]
    pub fn state(self) -> Option<State> {
        State::ALL
            .into_iter()
            .find(|state| Self::from(Some(*state)) == self)
    }
}

/// What a writer says of an event; the log adds time, number and links.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as Event")]
pub struct Draft {
    pub event_id: String,
    pub level: Level,
    pub actor: Actor,
    pub action: Action,
    pub skill: String,
    pub status: EventStatus,
    pub decision: Decision,
    pub task_id: String,
    pub from: Option<State>,
    pub to: Option<State>,
    pub repo_ref: String,
    pub inputs_sha256: String,
    pub outputs_sha256: String,
    pub approvals: Vec<ApprovalEntry>,
    pub artifacts: Vec<Artifact>,
    pub findings: Vec<Finding>,
    pub meta: Map<String, Value>,
}

impl Draft {
    /// Starts an event with a fresh id, about no task, at level INFO.
    ///
    /// # Errors
    /// `NO_RANDOMNESS`.
    pub fn new(actor: Actor, action: Action, skill: &str) -> Result<Self, Problem> {
        let empty = digest::sha256(b"");
        Ok(Self {
            event_id: ids::fresh("EVT", clock::now())?,
            level: Level::Info,
            actor,
            action,
            skill: skill.to_owned(),
            status: EventStatus::NotApplicable,
            decision: Decision::NotApplicable,
            task_id: "-".to_owned(),
            from: None,
            to: None,
            repo_ref: "-".to_owned(),
            inputs_sha256: empty.clone(),
            outputs_sha256: empty,
            approvals: Vec::new(),
            artifacts: Vec::new(),
            findings: Vec::new(),
            meta: Map::new(),
        })
    }

    /// Adds one key to `meta`.
    #[must_use]
    pub fn meta(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.meta.insert(key.to_owned(), value.into());
        self
    }

    /// Says which task, and how its state changes.
    #[must_use]
    pub fn task(mut self, id: &str, from: Option<State>, to: Option<State>) -> Self {
        id.clone_into(&mut self.task_id);
        self.from = from;
        self.to = to;
        self
    }
}

/// Where an appended event stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its number, counted from 1.
    pub seq: u64,
    /// Its id.
    pub event_id: String,
    /// SHA-256 of its line without the newline.
    pub sha256: String,
}

impl Receipt {
    /// The receipt as the envelope carries it.
    #[must_use]
    pub fn artifact(&self) -> Artifact {
        Artifact::new(
            crate::envelope::ArtifactKind::AuditLog,
            path(),
            format!("sha256={} seq={}", self.sha256, self.seq),
        )
    }
}

/// The log's path as envelopes write it.
#[must_use]
pub fn path() -> String {
    format!("{QUEUE_ROOT}/audit/{FILE}")
}

/// The level an outcome is logged at.
#[must_use]
pub fn level_of(status: Status, findings: &[Finding]) -> Level {
    match status {
        Status::Ok | Status::Partial => {
            if findings
                .iter()
                .any(|finding| finding.severity >= Severity::High)
            {
                Level::Warn
            } else {
                Level::Info
            }
        }
        Status::Deny => Level::Warn,
        Status::Fail | Status::ZeroStop => Level::Error,
    }
}

fn broken(line: u64, why: &str) -> Problem {
    Problem::fail(
        "LOG_BROKEN",
        format!("the audit log is broken at line {line}: {why}"),
    )
    .hint("compare with a copy kept elsewhere; nothing lands while the chain is broken")
}

fn write_failed(error: &std::io::Error) -> Problem {
    let way = problem::way_out(error)
        .unwrap_or("free disk space or mend the disk, then run the same command again");
    Problem::fail(
        "LOG_WRITE_FAILED",
        format!("the audit log could not be written: {error}"),
    )
    .hint(format!("{way} (recovery R7)"))
}
