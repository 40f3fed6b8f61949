//! `POLICY.json`: who may do what, what a change may hold, which gates run, what is decided.
//!
//! The policy is data, read strictly. A floor is built in: data can tighten it and never loosen it.
//! Reading compiles no pattern, so that a tool that needs none starts at once; path rules and their
//! examples are checked by [`crate::rules`], the patterns of risk rules and secret rules by the risk engine.

mod approval_types;
mod check;
mod check_gates;
mod draft_types;
mod gate_types;
mod known;
mod landing_types;
mod render;
mod risk_rules;
mod risk_types;
mod texts;
mod types;
mod worker_types;

use std::path::Path;
use std::time::SystemTime;

pub use approval_types::{ApprovalRule, Approvals, TypedCode};
pub use draft_types::{Draft, Endpoint, Fuzzy, MODEL_PURPOSE, ModelServer, Price};
pub use gate_types::{Gate, GateKind, Parser, Relax};
pub use landing_types::{
    Forge, ForgeKind, LANDING_PURPOSE, Landing, Person, Role, Signatory, Signing, TokenSource, Via,
};
pub use risk_types::{RiskKind, RiskRule, SecretFile, SecretRules, Side, Where};
pub use texts::Texts;
pub use types::{
    Access, Actor, ActorMatrix, AuditRules, Caps, CheckpointRule, Condition, DecisionRule,
    ExternalException, Grants, Isolation, IsolationRule, Mode, NeedsApproval, PathRule, Policy,
    Recovery, StandingApproval, WITNESS_PURPOSE,
};
pub use worker_types::{Claims, WorkerRule};

use crate::approval::instant;
use crate::envelope::{ApprovalEntry, ApprovalState, ToolClass};
use crate::problem::Problem;
use crate::{digest, files, terminal, wire};

/// The largest policy that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

impl RiskRule {
    /// Whether baton comes with it, letter for letter: its own tests hold such a rule to its examples.
    #[must_use]
    pub fn is_shipped(&self) -> bool {
        known::has(self)
    }
}

impl Policy {
    /// Reads a policy and holds it to the floor.
    ///
    /// # Errors
    /// `POLICY_INVALID` naming the field; `POLICY_LOOSENED` when it asks for less than the floor.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let policy = match Self::in_parts(bytes) {
            Some(policy) => policy,
            // What is refused is told with its place in the whole text.
            None => Self::whole(bytes)?,
        };
        check::unique_ids(&policy)?;
        Ok(Self {
            sha256: digest::sha256(bytes),
            ..policy
        })
    }

    /// Reads the risk rules and the rest, where nothing is wrong with them.
    fn in_parts(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let text = str::from_utf8(bytes).ok()?;
        let (rest, rules) = risk_rules::cut_out(text)?;
        let policy = Self::whole(rest.as_bytes()).ok()?;
        policy.risk_rules.is_empty().then_some(Self {
            risk_rules: rules,
            ..policy
        })
    }

    fn whole(bytes: &[u8]) -> Result<Self, Problem> {
        let policy: Self = wire::parse(bytes, MAX_BYTES, "policy", "POLICY_INVALID")?;
        check::floor(&policy)?;
        check::bounds(&policy).map_err(check::invalid)?;
        Ok(policy)
    }

    /// The file's text. A character that nobody would see in it, or take for a blank, is written
    /// as an escape.
    ///
    /// # Errors
    /// `POLICY_INVALID`.
    pub fn to_json(&self) -> Result<String, Problem> {
        let written = serde_json::to_string_pretty(self)
            .map_err(|error| Problem::fail("POLICY_INVALID", error.to_string()))?;
        let mut text = String::with_capacity(written.len() + 1);
        for c in written.chars() {
            let is_hidden = c.is_whitespace() || c.is_control() || terminal::is_invisible(c);
            if c.is_ascii() || !is_hidden {
                text.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                text += &format!("\\u{unit:04x}");
            }
        }
        Ok(text + "\n")
    }

    /// What the log names when gates start: each command gate with its fingerprint, `G4=… G5=…`.
    #[must_use]
    pub fn gate_fingerprints(&self) -> String {
        let gates = self.gates.iter().filter(|gate| gate.is_command());
        let named = gates.map(|gate| format!("{}={}", gate.id, gate.fingerprint(&self.sha256)));
        named.collect::<Vec<_>>().join(" ")
    }

    /// What the matrix says.
    #[must_use]
    pub fn access(&self, actor: Actor, class: ToolClass) -> Access {
        let grants = match actor {
            Actor::Openclaw => &self.actors.openclaw,
            Actor::Cursor => &self.actors.cursor,
            Actor::ClaudeCode => &self.actors.claude_code,
            Actor::Human => &self.actors.human,
            Actor::System => &self.actors.system,
        };
        grants.of(class)
    }

    /// Whether an actor may send `what` to a host: the matrix must let it do EXTERNAL, and an exception
    /// must name host and purpose.
    ///
    /// # Errors
    /// `EXTERNAL_DENIED` (a denial).
    pub fn may_leave(
        &self,
        actor: Actor,
        host: &str,
        purpose: &str,
        what: &str,
    ) -> Result<(), Problem> {
        if self.access(actor, ToolClass::External) == Access::Deny {
            let why = format!(
                "{what} would go to {host}, and the policy's matrix denies EXTERNAL to {}",
                actor.name()
            );
            return Err(Problem::deny("EXTERNAL_DENIED", why).hint(
                "allow it in actors of POLICY.json by a reviewed commit, or stay on this machine",
            ));
        }
        self.names_host(host, purpose, what)
    }

    /// Whether an exception of the policy names the host for this purpose.
    ///
    /// # Errors
    /// `EXTERNAL_DENIED` (a denial).
    pub fn names_host(&self, host: &str, purpose: &str, what: &str) -> Result<(), Problem> {
        let mut named = self.external_exceptions.iter();
        if named.any(|one| one.host == host && one.purpose == purpose) {
            return Ok(());
        }
        let why =
            format!("{what} would go to {host}, and no external exception of the policy names it");
        Err(Problem::deny("EXTERNAL_DENIED", why).hint(format!(
            "add the host {host} with the purpose \"{purpose}\" to external_exceptions by a reviewed commit, or stay on this machine"
        )))
    }

    /// Whether an actor may do a thing now, by the matrix and a standing approval.
    #[must_use]
    pub fn authorize(&self, actor: Actor, class: ToolClass, now: SystemTime) -> ApprovalEntry {
        self.authorize_by(actor, class, now, None)
    }

    /// The same where one standing approval alone may count, named by its id.
    #[must_use]
    pub fn authorize_by(
        &self,
        actor: Actor,
        class: ToolClass,
        now: SystemTime,
        only: Option<&str>,
    ) -> ApprovalEntry {
        let entry = |state, note: String| ApprovalEntry {
            tool_class: class,
            needs_approval: true,
            state,
            approved_by: None,
            approved_at: None,
            note: Some(note),
        };
        if self.access(actor, class) == Access::Deny {
            return entry(
                ApprovalState::Denied,
                format!("the policy's matrix denies {class} to {}", actor.name()),
            );
        }
        if class == ToolClass::External && self.external_exceptions.is_empty() {
            return entry(
                ApprovalState::Denied,
                "EXTERNAL is denied unless external_exceptions names host and purpose".to_owned(),
            );
        }
        let speaks = |approval: &&StandingApproval| {
            let is_named = only.is_none_or(|only| approval.id == only);
            is_named && approval.actors.contains(&actor) && approval.tool_classes.contains(&class)
        };
        let mut standing = self.standing_approvals.iter().filter(speaks);
        match standing.clone().find(|approval| approval.is_valid_at(now)) {
            Some(approval) => ApprovalEntry {
                tool_class: class,
                needs_approval: true,
                state: ApprovalState::Approved,
                approved_by: Some(approval.approved_by.clone()),
                approved_at: Some(approval.approved_at.clone()),
                note: Some(format!("standing={}", approval.id)),
            },
            None => entry(
                ApprovalState::Pending,
                pending(standing.next_back(), actor, class),
            ),
        }
    }
}

fn pending(expired: Option<&StandingApproval>, actor: Actor, class: ToolClass) -> String {
    match expired {
        Some(approval) => format!(
            "standing approval {} counts from {} until {} only; a person can renew it in POLICY.json",
            approval.id, approval.approved_at, approval.until
        ),
        None if matches!(class, ToolClass::Pr | ToolClass::Merge) => format!(
            "{class} by {} needs an approval of one candidate: baton approve TASK",
            actor.name()
        ),
        None => format!(
            "no standing approval lets {} do {class}; a person can add one to POLICY.json",
            actor.name()
        ),
    }
}

impl SecretRules {
    /// Reads the files from the policy's folder and holds each to the SHA-256 that the policy pins,
    /// so that a policy's digest speaks for its secret rules too.
    ///
    /// # Errors
    /// `SECRET_RULES_MISSING`, `SECRET_RULES_CHANGED`.
    pub fn read(&self, folder: &Path, most: usize) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        let read = |file: &SecretFile| {
            let path = folder.join(&file.path);
            let bytes = files::read_placed(&path, most).map_err(|error| {
                let why = format!("the policy names {}: {error}", path.display());
                Problem::fail("SECRET_RULES_MISSING", why)
                    .hint("restore the file beside POLICY.json, or name another under secret_rules")
            })?;
            let got = digest::sha256(&bytes);
            if got == file.sha256 {
                return Ok((file.path.clone(), bytes));
            }
            let why = format!(
                "{} has the SHA-256 {got}, the policy pins {}",
                path.display(),
                file.sha256
            );
            Err(Problem::fail("SECRET_RULES_CHANGED", why).hint(
                "restore the file, or put its SHA-256 under secret_rules of POLICY.json by a reviewed commit",
            ))
        };
        self.files.iter().map(read).collect()
    }
}

impl StandingApproval {
    fn is_valid_at(&self, now: SystemTime) -> bool {
        let (from, until) = (instant(&self.approved_at), instant(&self.until));
        matches!((from, until), (Some(from), Some(until)) if from <= now && now < until)
    }
}

#[cfg(test)]
mod tests;
