//! The one JSON object that a skill prints.
//!
//! Field names, enums and bounds are those of `schemas/skill_io_envelope.schema.json`; the types
//! accept and refuse the same documents, which the contract tests show case by case.

mod fields;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest;
use crate::problem::Problem;
use crate::state::State;
use crate::wire;

/// The `schema_id` of every envelope.
pub const SCHEMA_ID: &str = "urn:project_baton_v1:skill_output_envelope";
/// The `schema_version` of every envelope.
pub const SCHEMA_VERSION: &str = "1.0.0";
/// The `queue_root` of every envelope; paths are relative to the repository root.
pub const QUEUE_ROOT: &str = ".autodev_queue";
/// The largest envelope that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// The task id of an envelope that is about no task.
pub const NO_TASK: &str = "NA";

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Done.
    Ok,
    /// The step failed, or the answer is no.
    Fail,
    /// An approval or a permission is missing.
    Deny,
    /// Everything for this task stops.
    ZeroStop,
    /// Some of the work is done.
    Partial,
}

/// What may happen to a candidate. Ordered: when several rules speak, the highest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decision {
    /// May land on the target branch once approved.
    AutoMerge,
    /// May only become a branch that people review.
    PrOnly,
    /// Nothing may happen; an incident is raised.
    ZeroStop,
    /// No decision was made by this step.
    #[serde(rename = "NA")]
    NotApplicable,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Small.
    Low,
    /// Needs a look.
    Medium,
    /// Needs a person.
    High,
    /// Stops the task.
    Critical,
}

/// What an action is, for the approval matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ToolClass {
    /// Look at files, folders, diffs.
    Read,
    /// Write proposal artifacts, reports, log lines.
    Write,
    /// Move a task from state to state.
    Move,
    /// Run tests, linters, gates.
    Exec,
    /// Make a branch for review.
    Pr,
    /// Change the target branch.
    Merge,
    /// Reach anything outside this machine.
    External,
    /// Spend much time or money.
    Costly,
}

/// Whether an action has its approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApprovalState {
    /// Waited for.
    Pending,
    /// Given.
    Approved,
    /// Refused.
    Denied,
    /// Not needed.
    NotRequired,
}

/// The kind of a named file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub enum ArtifactKind {
    QueueSnapshot,
    LockFile,
    DraftPatch,
    DiffSummary,
    GateEvidence,
    PrLink,
    AuditLog,
    IncidentReport,
    Other,
}

/// The task that an envelope is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRef {
    /// The task's id, or `NA`.
    #[serde(deserialize_with = "wire::non_empty")]
    pub task_id: String,
    /// Always [`QUEUE_ROOT`].
    #[serde(deserialize_with = "fields::queue_root")]
    pub queue_root: String,
    /// The state before this step; `None` is written `unknown`.
    #[serde(with = "fields::unknown_state")]
    pub state_before: Option<State>,
    /// The state after this step.
    #[serde(with = "fields::unknown_state")]
    pub state_after: Option<State>,
}

impl TaskRef {
    /// Names a task and what happened to its state.
    pub fn new(task_id: impl Into<String>, before: Option<State>, after: Option<State>) -> Self {
        Self {
            task_id: task_id.into(),
            queue_root: QUEUE_ROOT.to_owned(),
            state_before: before,
            state_after: after,
        }
    }

    /// For an envelope about no task.
    #[must_use]
    pub fn none() -> Self {
        Self::new(NO_TASK, None, None)
    }
}

/// The flags that travel along the chain; OR-ed from step to step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct Signals {
    pub stop_detected: bool,
    pub allowlist_violation: bool,
    pub external_io_attempt: bool,
    pub delete_detected: bool,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub lockfile_touched: Option<bool>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub protected_zone_touched: Option<bool>,
}

impl Signals {
    /// Joins two sets of signals: what one step saw stays seen.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let either = |a: Option<bool>, b: Option<bool>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(false) || b.unwrap_or(false)),
        };
        Self {
            stop_detected: self.stop_detected || other.stop_detected,
            allowlist_violation: self.allowlist_violation || other.allowlist_violation,
            external_io_attempt: self.external_io_attempt || other.external_io_attempt,
            delete_detected: self.delete_detected || other.delete_detected,
            lockfile_touched: either(self.lockfile_touched, other.lockfile_touched),
            protected_zone_touched: either(
                self.protected_zone_touched,
                other.protected_zone_touched,
            ),
        }
    }
}

/// One thing that a step found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Stable code.
    #[serde(deserialize_with = "wire::non_empty")]
    pub code: String,
    /// One sentence.
    #[serde(deserialize_with = "wire::non_empty")]
    pub message: String,
    /// Files that show it.
    #[serde(
        default,
        deserialize_with = "wire::non_empty_items",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub evidence_paths: Vec<String>,
}

impl Finding {
    /// Makes a finding without evidence files. An empty message becomes the code.
    pub fn new(severity: Severity, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            severity,
            code: code.to_owned(),
            message: if message.is_empty() {
                code.to_owned()
            } else {
                message
            },
            evidence_paths: Vec::new(),
        }
    }
}

/// A file that a step made or relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// Relative to the repository root, forward slashes.
    #[serde(deserialize_with = "wire::non_empty")]
    pub path: String,
    /// Space-separated `key=value`, first of all `sha256=<hex>`.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub note: Option<String>,
}

impl Artifact {
    /// Names a file with its note.
    pub fn new(kind: ArtifactKind, path: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.into(),
            note: Some(note.into()),
        }
    }

    /// The value behind `key=` in the note.
    #[must_use]
    pub fn note_value(&self, key: &str) -> Option<&str> {
        self.note
            .as_deref()?
            .split(' ')
            .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
    }
}

/// One approval that the step needed, and whether it had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalEntry {
    /// What was done.
    pub tool_class: ToolClass,
    /// True for every class; the field is the brief's.
    pub needs_approval: bool,
    /// Whether it was there.
    pub state: ApprovalState,
    /// Who gave it.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub approved_by: Option<String>,
    /// When, RFC 3339.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub approved_at: Option<String>,
    /// Which rule, or why not.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub note: Option<String>,
}

/// Where the step stands in the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRef {
    /// The event of this step.
    #[serde(deserialize_with = "wire::non_empty")]
    pub event_id: String,
    /// The log.
    #[serde(deserialize_with = "wire::non_empty")]
    pub append_only_path: String,
    /// The upstream step's event.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub prev_event_id: Option<String>,
}

/// The one JSON object that a skill prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Always [`SCHEMA_ID`].
    #[serde(deserialize_with = "fields::schema_id")]
    pub schema_id: String,
    /// Always [`SCHEMA_VERSION`].
    #[serde(deserialize_with = "fields::schema_version")]
    pub schema_version: String,
    /// The skill's name in lower-case words joined by `-`.
    #[serde(deserialize_with = "fields::skill_name")]
    pub skill: String,
    /// The version of the skill's output.
    #[serde(deserialize_with = "fields::version")]
    pub skill_version: String,
    /// How the step ended.
    pub status: Status,
    /// The decision, from decision-router on.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub decision: Option<Decision>,
    /// One sentence for people.
    #[serde(deserialize_with = "wire::non_empty")]
    pub summary: String,
    /// The task.
    pub task: TaskRef,
    /// What was seen so far along the chain.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub signals: Option<Signals>,
    /// What was found so far along the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The files made so far along the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What this step needed to be allowed.
    pub approvals: Vec<ApprovalEntry>,
    /// Its place in the log.
    pub audit: AuditRef,
    /// The skill's own part; see [`crate::outputs`].
    pub data: Map<String, Value>,
}

impl Envelope {
    /// Reads one envelope strictly, its `data` included.
    ///
    /// # Errors
    /// `UPSTREAM_INVALID` with the JSON path that broke the schema.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        const CODE: &str = "UPSTREAM_INVALID";
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(
                Problem::fail(CODE, "the input is empty, one envelope was expected")
                    .hint("pipe the output of another skill in, or name the subject with --task"),
            );
        }
        let envelope: Self = wire::parse(bytes, MAX_BYTES, "envelope", CODE)?;
        crate::outputs::check(
            &envelope.skill,
            &envelope.skill_version,
            envelope.decision,
            &envelope.data,
        )?;
        Ok(envelope)
    }

    /// SHA-256 over everything that the step says, except its own place in the log. The log
    /// line of the step holds this value, which binds the kept envelope to the log.
    #[must_use]
    pub fn payload_sha256(&self) -> String {
        let mut payload = self.clone();
        payload
            .artifacts
            .retain(|artifact| artifact.kind != ArtifactKind::AuditLog);
        let mut value = serde_json::to_value(&payload).unwrap_or(Value::Null);
        if let Value::Object(fields) = &mut value {
            fields.remove("audit");
        }
        digest::sha256_canonical(&value)
    }

    /// The receipt of the log line that records this envelope.
    #[must_use]
    pub fn receipt(&self) -> Option<&Artifact> {
        self.artifacts
            .iter()
            .find(|artifact| artifact.kind == ArtifactKind::AuditLog)
    }
}

/// Writes an enum as documents write it, such as `ZERO_STOP`.
macro_rules! shown_as_written {
    ($($kind:ty),+) => {$(
        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match serde_json::to_value(self) {
                    Ok(Value::String(name)) => f.write_str(&name),
                    _ => Err(std::fmt::Error),
                }
            }
        }
    )+};
}

shown_as_written!(
    Status,
    Decision,
    Severity,
    ToolClass,
    crate::outputs::RiskLevel,
    crate::outputs::CheckStatus,
    crate::outputs::IncidentSeverity
);
