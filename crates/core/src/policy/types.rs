//! The shapes of `POLICY.json`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::approval_types::Approvals;
use super::draft_types::Draft;
use super::gate_types::Gate;
use super::landing_types::Landing;
use super::risk_types::{RiskRule, SecretRules};
use super::texts::Texts;
use crate::envelope::{Decision, ToolClass};
use crate::wire;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The proposing agent.
    Openclaw,
    /// The control plane: applies, tests, commits.
    Cursor,
    /// Writes tasks.
    ClaudeCode,
    /// A person.
    Human,
    /// baton itself.
    System,
}

impl Actor {
    /// The name in documents and flags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Openclaw => "openclaw",
            Self::Cursor => "cursor",
            Self::ClaudeCode => "claude_code",
            Self::Human => "human",
            Self::System => "system",
        }
    }
}

impl FromStr for Actor {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let all = [
            Self::Openclaw,
            Self::Cursor,
            Self::ClaudeCode,
            Self::Human,
            Self::System,
        ];
        all.into_iter().find(|actor| actor.name() == name).ok_or(())
    }
}

/// What the matrix says of an actor and a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// May, with an approval.
    Allow,
    /// May for its own task only, with an approval.
    Limited,
    /// Never.
    Deny,
}

/// One row of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "one field for each class")]
pub struct Grants {
    pub read: Access,
    pub write: Access,
    #[serde(rename = "MOVE")]
    pub mov: Access,
    pub exec: Access,
    pub pr: Access,
    pub merge: Access,
    pub external: Access,
    pub costly: Access,
}

impl Grants {
    /// The row's answer for a class.
    #[must_use]
    pub fn of(&self, class: ToolClass) -> Access {
        match class {
            ToolClass::Read => self.read,
            ToolClass::Write => self.write,
            ToolClass::Move => self.mov,
            ToolClass::Exec => self.exec,
            ToolClass::Pr => self.pr,
            ToolClass::Merge => self.merge,
            ToolClass::External => self.external,
            ToolClass::Costly => self.costly,
        }
    }
}

/// The matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "one field for each actor")]
pub struct ActorMatrix {
    pub openclaw: Grants,
    pub cursor: Grants,
    pub claude_code: Grants,
    pub human: Grants,
    pub system: Grants,
}

/// Whether a class needs an approval: always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "one field for each class")]
#[expect(clippy::struct_excessive_bools, reason = "the brief's table")]
pub struct NeedsApproval {
    pub read: bool,
    pub write: bool,
    #[serde(rename = "MOVE")]
    pub mov: bool,
    pub exec: bool,
    pub pr: bool,
    pub merge: bool,
    pub external: bool,
    pub costly: bool,
}

/// An approval for a class of actions, with a person, a beginning and an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct StandingApproval {
    pub id: String,
    pub actors: Vec<Actor>,
    pub tool_classes: Vec<ToolClass>,
    pub approved_by: String,
    pub approved_at: String,
    pub until: String,
    pub reason: String,
}

/// A glob, with paths that it must and must not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PathRule {
    pub id: String,
    pub glob: String,
    pub reason: String,
    #[serde(rename = "match")]
    pub matches: Texts,
    pub no_match: Texts,
}

/// Whether the policy's answers are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are recorded, and every change goes to a person as it would without baton.
    Shadow,
}

/// What `purpose` of an external exception is for a host that checkpoints of the log are handed to. Such
/// an exception lets no change name the host.
pub const WITNESS_PURPOSE: &str = "witness";

/// A host that a change may name, for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ExternalException {
    pub id: String,
    pub host: String,
    pub purpose: String,
    pub reason: String,
}

/// What a decision rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Condition {
    StopPresent,
    ForbiddenChange,
    SecretFound,
    EvidenceUnbound,
    ProtectedOrLockfile,
    GateNotPassed,
    RiskMediumOrMore,
    IsolationBelowMinimum,
    Otherwise,
}

impl Condition {
    /// The conditions of D1 to D9, in order.
    pub(super) const ORDER: [Self; 9] = [
        Self::StopPresent,
        Self::ForbiddenChange,
        Self::SecretFound,
        Self::EvidenceUnbound,
        Self::ProtectedOrLockfile,
        Self::GateNotPassed,
        Self::RiskMediumOrMore,
        Self::IsolationBelowMinimum,
        Self::Otherwise,
    ];
}

/// One row of the decision table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DecisionRule {
    pub id: String,
    pub when: Condition,
    pub then: Decision,
    pub reason: String,
}

/// What to do when a step ends badly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Recovery {
    pub id: String,
    pub title: String,
    pub trigger: String,
    pub called_by: String,
    pub definition: String,
    pub procedure: Vec<String>,
}

/// The caps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names hold the unit")]
pub struct Caps {
    #[serde(deserialize_with = "wire::count")]
    pub max_file_bytes: u64,
    #[serde(deserialize_with = "wire::count")]
    pub max_context_files: u64,
    #[serde(deserialize_with = "wire::count")]
    pub max_patch_bytes: u64,
    #[serde(deserialize_with = "wire::count")]
    pub max_changed_files: u64,
    #[serde(deserialize_with = "wire::count")]
    pub gate_timeout_seconds: u64,
    #[serde(deserialize_with = "wire::count")]
    pub gate_log_bytes: u64,
    #[serde(deserialize_with = "wire::count")]
    pub gate_memory_bytes: u64,
    #[serde(deserialize_with = "wire::count")]
    pub gate_processes: u64,
    #[serde(deserialize_with = "wire::count")]
    pub gate_disk_bytes: u64,
    #[serde(deserialize_with = "wire::count")]
    pub gates_at_once: u64,
    #[serde(deserialize_with = "wire::count")]
    pub gate_retries: u64,
    #[serde(deserialize_with = "wire::count")]
    pub draft_timeout_seconds: u64,
    #[serde(deserialize_with = "wire::count")]
    pub draft_retries: u64,
    #[serde(deserialize_with = "wire::count")]
    pub max_attempts: u64,
    #[serde(deserialize_with = "wire::count")]
    pub cost_cents: u64,
    #[serde(deserialize_with = "wire::count")]
    pub tokens_soft: u64,
    #[serde(deserialize_with = "wire::count")]
    pub tokens_hard: u64,
    #[serde(deserialize_with = "wire::count")]
    pub lease_seconds: u64,
    #[serde(deserialize_with = "wire::count")]
    pub delete_share_percent: u64,
}

/// How well a gate was walled in. Ordered; `E` is an assertion of the caller and counts least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Isolation {
    /// The caller asserts a throw-away machine.
    E,
    /// Process group and limits: no boundary.
    I1,
    /// Landlock, seccomp, limits.
    I2,
    /// Own namespaces, empty root, seccomp, limits.
    I3,
}

impl Isolation {
    /// The level's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::E => "E",
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I3 => "I3",
        }
    }

    /// The level with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::E, Self::I1, Self::I2, Self::I3]
            .into_iter()
            .find(|level| level.name() == name)
    }
}

/// What every command gate needs in order to be run, and so what AUTO_MERGE demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsolationRule {
    /// Below this a gate is not run.
    pub minimum: Isolation,
    /// Whether I2 may stand in where namespaces are refused, if the minimum allows it.
    #[serde(default)]
    pub fallback: bool,
    /// The asserting sentence for minimum E: machines that run gates are thrown away afterwards.
    #[serde(default)]
    pub throwaway: bool,
}

/// When the log's head is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointRule {
    /// With every line.
    #[default]
    Append,
    /// When this many lines, or more, are not signed.
    Every(#[serde(deserialize_with = "wire::count")] u64),
}

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRules {
    /// When the head is signed.
    pub checkpoint: CheckpointRule,
    /// A file of the log that has this many bytes is closed, and a new one begun.
    #[serde(deserialize_with = "wire::count")]
    pub segment_bytes: u64,
}

impl Default for AuditRules {
    fn default() -> Self {
        Self {
            checkpoint: CheckpointRule::Append,
            segment_bytes: 64 << 20,
        }
    }
}

fn is_enforced(mode: &Mode) -> bool {
    *mode == Mode::Enforce
}

/// The content of `POLICY.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Policy {
    pub schema_version: String,
    #[serde(default, skip_serializing_if = "is_enforced")]
    pub mode: Mode,
    pub actors: ActorMatrix,
    pub needs_approval: NeedsApproval,
    pub standing_approvals: Vec<StandingApproval>,
    #[serde(default)]
    pub approvals: Approvals,
    pub allowlist: Vec<PathRule>,
    pub deny_paths: Vec<PathRule>,
    pub protected_zones: Vec<PathRule>,
    pub lockfiles: Vec<PathRule>,
    pub risk_rules: Vec<RiskRule>,
    pub secret_rules: SecretRules,
    pub external_exceptions: Vec<ExternalException>,
    pub gates: Vec<Gate>,
    pub decision_rules: Vec<DecisionRule>,
    pub recovery: Vec<Recovery>,
    pub caps: Caps,
    pub isolation: IsolationRule,
    pub landing: Landing,
    pub draft: Draft,
    #[serde(default)]
    pub audit: AuditRules,
    /// SHA-256 of the bytes it was read from.
    #[serde(skip)]
    pub sha256: String,
}
