//! The shapes of a policy's risk rules, and of where its secret rules come from.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::texts::Texts;
use crate::envelope::Severity;
use crate::wire;

/// What a risk rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskKind {
    /// A key, token or password.
    Secret,
    /// Code that reaches outside, or runs when something is installed, built or tested.
    ExternalIo,
    /// A dependency that comes in; the pattern's group `name` holds its name.
    Dependency,
    /// A test or a gate that is made weaker.
    Weakened,
    /// Text aimed at a reviewer or an agent.
    Instruction,
    /// Code that is packed so that nobody can read it.
    Payload,
    /// Text that does not look like what it is.
    Hidden,
}

impl RiskKind {
    /// Every kind, in the order in which people read about them.
    pub const ALL: [Self; 7] = [
        Self::Secret,
        Self::ExternalIo,
        Self::Dependency,
        Self::Weakened,
        Self::Instruction,
        Self::Payload,
        Self::Hidden,
    ];
}

/// Which files a risk rule reads: those of a language, or those that a glob names. Without either
/// it reads every file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Where {
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub languages: Texts,
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub globs: Texts,
}

/// Which side of a change a rule judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What the change adds.
    #[default]
    Added,
    /// What the change takes away: a finding only where a file loses more matches than it gains.
    Removed,
}

/// A pattern for text, with examples that it must and must not match. The texts of a rule that baton comes
/// with lie in the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "schemas/policy.schema.json describes each field"
)]
pub struct RiskRule {
    pub id: Cow<'static, str>,
    pub kind: RiskKind,
    pub severity: Severity,
    #[serde(rename = "where")]
    pub place: Where,
    #[serde(default, skip_serializing_if = "is_added")]
    pub side: Side,
    #[serde(default, skip_serializing_if = "is_false")]
    pub comments: bool,
    pub keywords: Texts,
    pub pattern: Cow<'static, str>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub except: Option<Cow<'static, str>>,
    pub reason: Cow<'static, str>,
    #[serde(rename = "match")]
    pub matches: Texts,
    pub no_match: Texts,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_added(side: &Side) -> bool {
    *side == Side::Added
}

/// One file of secret rules, beside the policy, pinned so that the policy's digest speaks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    /// Path, relative to the policy's own folder.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Where the rules for secrets come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRules {
    /// Files in the rule format of gitleaks; at least one.
    pub files: Vec<SecretFile>,
    /// Whether a `gitleaks:allow` comment on the line turns a secret into a finding for a person.
    #[serde(default)]
    pub allow_comments: bool,
}
