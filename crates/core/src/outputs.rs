//! The `data` part of each skill's envelope, as `schemas/skill_outputs.schema.json` fixes it.

mod fields;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::envelope::{Decision, Severity};
use crate::problem::Problem;
use crate::state::State;
use crate::wire;

/// What stop-check tells its caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StopAction {
    /// No STOP.
    Continue,
    /// Stop everything.
    ZeroStop,
    /// Stop, and isolate the task that was asked about.
    MoveToBlocked,
}

/// `data` of stop-check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct StopCheck {
    pub stop_detected: bool,
    #[serde(deserialize_with = "wire::non_empty_items")]
    pub stop_paths: Vec<String>,
    pub action: StopAction,
}

/// How many tasks lie in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "one count for each state")]
pub struct Counts {
    #[serde(deserialize_with = "wire::count")]
    pub inbox: u64,
    #[serde(deserialize_with = "wire::count")]
    pub claimed: u64,
    #[serde(deserialize_with = "wire::count")]
    pub work: u64,
    #[serde(deserialize_with = "wire::count")]
    pub pr: u64,
    #[serde(deserialize_with = "wire::count")]
    pub done: u64,
    #[serde(deserialize_with = "wire::count")]
    pub blocked: u64,
}

impl Counts {
    /// The count of one state.
    pub fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Inbox => &mut self.inbox,
            State::Claimed => &mut self.claimed,
            State::Work => &mut self.work,
            State::Pr => &mut self.pr,
            State::Done => &mut self.done,
            State::Blocked => &mut self.blocked,
        }
    }
}

/// One task in a queue listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct TaskEntry {
    #[serde(deserialize_with = "wire::non_empty")]
    pub task_id: String,
    pub state: State,
    #[serde(deserialize_with = "wire::non_empty")]
    pub path: String,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub updated_at: Option<String>,
}

/// `data` of queue-scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct QueueScan {
    pub counts: Counts,
    pub tasks: Vec<TaskEntry>,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub enum ClaimResult {
    Claimed,
    LockConflict,
    NotFound,
    Denied,
}

/// `data` of claim-lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct ClaimLock {
    pub result: ClaimResult,
    #[serde(deserialize_with = "wire::non_empty")]
    pub lock_path: String,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub conflict_owner_hint: Option<String>,
}

/// How a check or a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub enum CheckStatus {
    Pass,
    Fail,
    Skip,
}

/// One check of intake-validate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct Check {
    #[serde(deserialize_with = "wire::non_empty")]
    pub check_id: String,
    pub status: CheckStatus,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub note: Option<String>,
}

/// `data` of intake-validate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct IntakeValidate {
    pub is_valid: bool,
    pub checks: Vec<Check>,
    #[serde(
        default,
        deserialize_with = "wire::non_empty_items",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub blocked_reason_codes: Vec<String>,
}

/// Who made a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Producer {
    /// The proposing agent.
    OpenClaw,
    /// A person or a person's tool.
    Human,
}

/// `data` of patch-draft-request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct PatchDraft {
    #[serde(deserialize_with = "wire::non_empty")]
    pub request_id: String,
    pub producer: Producer,
    #[serde(deserialize_with = "wire::non_empty")]
    pub draft_patch_path: String,
    #[serde(deserialize_with = "wire::non_empty")]
    pub rationale_path: String,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub notes: Option<String>,
}

/// How much a change may harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub enum RiskLevel {
    Low,
    Medium,
    High,
    Critical,
}

impl From<Severity> for RiskLevel {
    fn from(severity: Severity) -> Self {
        match severity {
            // LOW is for a change in which nothing but notes was found.
            Severity::Info => Self::Low,
            Severity::Low | Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

/// The size of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct DiffStats {
    #[serde(deserialize_with = "wire::count")]
    pub files_changed: u64,
    #[serde(deserialize_with = "wire::count")]
    pub insertions: u64,
    #[serde(deserialize_with = "wire::count")]
    pub deletions: u64,
}

/// The five flags of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
#[expect(clippy::struct_excessive_bools, reason = "the brief's five flags")]
pub struct PolicyFlags {
    pub delete_detected: bool,
    pub lockfile_touched: bool,
    pub protected_zone_touched: bool,
    pub allowlist_violation: bool,
    pub external_io_attempt: bool,
}

/// `data` of diff-risk-scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct DiffRiskScan {
    pub risk_level: RiskLevel,
    pub diff_stats: DiffStats,
    pub policy_flags: PolicyFlags,
    #[serde(
        default,
        deserialize_with = "wire::non_empty_items",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub reasons: Vec<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub diff_summary_path: Option<String>,
}

/// One gate's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct GateResult {
    #[serde(deserialize_with = "fields::gate_id")]
    pub gate_id: String,
    pub status: CheckStatus,
    #[serde(
        default,
        deserialize_with = "wire::non_empty_items",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub evidence_paths: Vec<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub note: Option<String>,
}

/// `data` of gate-runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct GateRunner {
    pub all_pass: bool,
    pub gates: Vec<GateResult>,
}

/// Who goes on after a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct Next {
    #[serde(deserialize_with = "wire::non_empty")]
    pub skill: String,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub note: Option<String>,
}

/// `data` of decision-router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct DecisionRouter {
    #[serde(deserialize_with = "fields::real_decision")]
    pub decision: Decision,
    pub next: Next,
    #[serde(
        default,
        deserialize_with = "wire::non_empty_items",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub reasoning: Vec<String>,
}

/// The two ways a change may leave the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LandingMode {
    /// The target branch moves forward.
    AutoMerge,
    /// A branch is made for review.
    PrOnly,
}

/// `data` of pr-merge-orchestrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct PrMerge {
    pub mode: LandingMode,
    #[serde(deserialize_with = "wire::non_empty_items")]
    pub plan: Vec<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub pr_url: Option<String>,
}

/// `data` of audit-append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct AuditAppend {
    pub appended: bool,
    #[serde(deserialize_with = "wire::non_empty")]
    pub audit_path: String,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub record_digest: Option<String>,
}

/// How bad an incident is; SEV1 is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub enum IncidentSeverity {
    #[serde(rename = "SEV1")]
    Sev1,
    #[serde(rename = "SEV2")]
    Sev2,
    #[serde(rename = "SEV3")]
    Sev3,
}

/// `data` of incident-brief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct IncidentBrief {
    #[serde(deserialize_with = "wire::non_empty")]
    pub incident_id: String,
    pub severity: IncidentSeverity,
    #[serde(deserialize_with = "wire::non_empty")]
    pub headline: String,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub impact: Option<String>,
    #[serde(deserialize_with = "wire::non_empty_items")]
    pub actions: Vec<String>,
    #[serde(deserialize_with = "fields::recovery_refs")]
    pub recovery_refs: Vec<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub notify_template: Option<String>,
}

/// Turns a skill's typed data into the envelope's `data`.
#[must_use]
pub fn to_map(data: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(data) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Reads a skill's `data` as its type.
///
/// # Errors
/// `UPSTREAM_INVALID` with the JSON path.
pub fn from_map<T: DeserializeOwned>(data: &Map<String, Value>) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Value::Object(data.clone())).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." {
            "$.data".to_owned()
        } else {
            format!("$.data.{path}")
        };
        Problem::fail(
            "UPSTREAM_INVALID",
            format!("envelope: at {path}: {}", error.into_inner()),
        )
    })
}

/// Checks that an envelope of `skill` holds what that skill's branch of the union demands.
///
/// # Errors
/// `UPSTREAM_INVALID` with the JSON path that broke it, also for a skill that is not one of the
/// eleven.
pub fn check(
    skill: &str,
    version: &str,
    decision: Option<Decision>,
    data: &Map<String, Value>,
) -> Result<(), Problem> {
    let invalid = |path: &str, got: &str, expected: &str| {
        Problem::fail(
            "UPSTREAM_INVALID",
            format!("envelope: at {path}: expected {expected}, got \"{got}\""),
        )
    };
    if version != "1.0.0" {
        return Err(invalid("$.skill_version", version, "\"1.0.0\""));
    }
    if skill == "decision-router" && decision == Some(Decision::NotApplicable) {
        return Err(invalid(
            "$.decision",
            "NA",
            "AUTO_MERGE, PR_ONLY or ZERO_STOP",
        ));
    }
    match skill {
        "stop-check" => from_map::<StopCheck>(data).map(drop),
        "queue-scan" => from_map::<QueueScan>(data).map(drop),
        "claim-lock" => from_map::<ClaimLock>(data).map(drop),
        "intake-validate" => from_map::<IntakeValidate>(data).map(drop),
        "patch-draft-request" => from_map::<PatchDraft>(data).map(drop),
        "diff-risk-scan" => from_map::<DiffRiskScan>(data).map(drop),
        "gate-runner" => from_map::<GateRunner>(data).map(drop),
        "decision-router" => from_map::<DecisionRouter>(data).map(drop),
        "pr-merge-orchestrator" => from_map::<PrMerge>(data).map(drop),
        "audit-append" => from_map::<AuditAppend>(data).map(drop),
        "incident-brief" => from_map::<IncidentBrief>(data).map(drop),
        other => Err(invalid("$.skill", other, "one of the eleven skills")),
    }
}
