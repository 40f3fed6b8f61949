//! `draft.worker` of `POLICY.json`: which tasks a worker may take.

use serde::{Deserialize, Serialize};

use super::{Actor, Policy};
use crate::bounds::{self, Checked};
use crate::envelope::ToolClass;

/// Which tasks a worker may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claims {
    /// Those that somebody else moved out of the inbox and that nobody holds.
    #[default]
    ClaimedOnly,
    /// Those of the inbox too: the system moves them, by a standing approval that a person gave for this
    /// worker.
    Granted,
}

/// What a worker may do. The worker itself is openclaw and never has MOVE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerRule {
    /// Which tasks it may take.
    pub claims: Claims,
    /// The name of the worker that the grant is for; with `granted` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The id of the standing approval that is the grant; with `granted` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
}

impl WorkerRule {
    /// The standing approval by which the system may move tasks for a worker of this name.
    #[must_use]
    pub fn grant_for(&self, name: &str) -> Option<&str> {
        let is_named = self.claims == Claims::Granted && self.owner.as_deref() == Some(name);
        self.approval.as_deref().filter(|_| is_named)
    }
}

/// The bounds that the schema puts on it, and what no schema can say: that the grant is there and
/// is one for this alone.
pub(super) fn check(policy: &Policy) -> Checked {
    let rule = &policy.draft.worker;
    let (owner, approval) = match (rule.claims, &rule.owner, &rule.approval) {
        (Claims::ClaimedOnly, None, None) => return Ok(()),
        (Claims::ClaimedOnly, ..) => {
            return Err(
                "draft.worker names an owner or an approval, and its claims are not \"granted\""
                    .to_owned(),
            );
        }
        (Claims::Granted, Some(owner), Some(approval)) => (owner, approval),
        (Claims::Granted, ..) => {
            return Err(
                "draft.worker.claims is \"granted\", so owner and approval must say to whom and by what".to_owned(),
            );
        }
    };
    bounds::text("draft.worker.owner", owner, 1, 120)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if !owner.bytes().all(plain) {
        return Err(format!(
            "draft.worker.owner is \"{}\", expected letters, digits and . _ @ - only",
            owner.escape_debug()
        ));
    }
    let mut standing = policy.standing_approvals.iter();
    let Some(grant) = standing.find(|standing| standing.id == *approval) else {
        return Err(format!(
            "draft.worker.approval is \"{}\", which is the id of no standing approval",
            approval.escape_debug()
        ));
    };
    // One that gives more was given for something else, as those of `baton init` are.
    if grant.actors != [Actor::System] || grant.tool_classes != [ToolClass::Move] {
        return Err(format!(
            "standing approval {} is draft.worker's grant, expected one that gives MOVE to system and nothing else",
            grant.id
        ));
    }
    Ok(())
}
