//! A person's yes or no to exactly one candidate.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::envelope::ToolClass;
use crate::problem::Problem;
use crate::task::TaskId;
use crate::{bounds, clock, wire};

const CODE: &str = "APPROVAL_INVALID";
const MAX_BYTES: usize = 64 << 10;

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Verdict {
    Approved,
    Denied,
}

/// How it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// By a person at the command line.
    Cli,
    /// With a signature.
    Signed,
}

/// The content of a file in `approved/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Always `1.0.0`.
    pub schema_version: String,
    /// Its own name.
    pub approval_id: String,
    /// Yes or no.
    pub verdict: Verdict,
    /// The task it was given for.
    pub task_id: TaskId,
    /// What it allows, or denies.
    pub tool_classes: Vec<ToolClass>,
    /// The candidate's base commit.
    pub base: String,
    /// The candidate's tree.
    pub tree: String,
    /// SHA-256 of the candidate's canonical patch.
    pub patch_sha256: String,
    /// The person.
    pub approved_by: String,
    /// When, RFC 3339.
    pub approved_at: String,
    /// Counts until then, RFC 3339. A denial counts for good.
    pub until: String,
    /// How it was given.
    pub way: Way,
    /// Why.
    pub reason: String,
}

impl Approval {
    /// Reads an approval.
    ///
    /// # Errors
    /// `APPROVAL_INVALID`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let approval: Self = wire::parse(bytes, MAX_BYTES, "approval", CODE)?;
        approval
            .check()
            .map_err(|why| Problem::fail(CODE, format!("approval: {why}")))?;
        Ok(approval)
    }

    fn check(&self) -> bounds::Checked {
        bounds::schema_version(&self.schema_version)?;
        bounds::identifier("approval_id", &self.approval_id, 128)?;
        bounds::list("tool_classes", &self.tool_classes, 1, 8, |_| Ok(()))?;
        bounds::unique("tool_classes", &self.tool_classes)?;
        bounds::object_id("base", &self.base)?;
        bounds::object_id("tree", &self.tree)?;
        bounds::sha256("patch_sha256", &self.patch_sha256)?;
        bounds::text("approved_by", &self.approved_by, 1, 200)?;
        bounds::timestamp("approved_at", &self.approved_at)?;
        bounds::timestamp("until", &self.until)?;
        bounds::text("reason", &self.reason, 0, 2000)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Whether it was given for exactly this candidate.
    #[must_use]
    pub fn binds(&self, base: &str, tree: &str, patch_sha256: &str) -> bool {
        self.base == base && self.tree == tree && self.patch_sha256 == patch_sha256
    }

    /// Whether it counts at this time. A time that cannot be read counts for nothing.
    #[must_use]
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        let from = clock::parse_rfc3339(&self.approved_at);
        let until = clock::parse_rfc3339(&self.until);
        matches!((from, until), (Some(from), Some(until)) if from <= now && now < until)
    }

    /// Whether it speaks of this class.
    #[must_use]
    pub fn covers(&self, class: ToolClass) -> bool {
        self.tool_classes.contains(&class)
    }
}
