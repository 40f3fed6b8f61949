//! A person's yes or no to exactly one candidate.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::carry::CarriedFrom;
use crate::envelope::ToolClass;
use crate::problem::Problem;
use crate::task::TaskId;
use crate::{bounds, clock, signers, wire};

const CODE: &str = "APPROVAL_INVALID";
const MAX_BYTES: usize = 64 << 10;
/// An armored signature by the largest RSA key in use fits, certificates included.
const LONGEST_SIGNATURE: usize = 16_384;

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
    /// By baton, from a person's approval of the same net change on an earlier base.
    Carried,
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
    /// The queue it was given in: the SHA-256 of the first line of its log.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub queue: Option<String>,
    /// 128 random bits in hex, so that no two approvals have the same bytes.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub nonce: Option<String>,
    /// SHA-256 of the evidence manifest that was there: whoever signs the approval signs the
    /// evidence with it.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub evidence_sha256: Option<String>,
    /// Under which name `ALLOWED_SIGNERS` knows the key.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub principal: Option<String>,
    /// Which one it was carried over from.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub carried_from: Option<CarriedFrom>,
    /// An armored SSH signature over [`Self::statement`].
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub signature: Option<String>,
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
        bounds::text("reason", &self.reason, 0, 2000)?;
        self.check_signed()?;
        if self.carried_from.is_some() != (self.way == Way::Carried) {
            return Err("way is \"carried\" exactly when carried_from is there".to_owned());
        }
        let Some(from) = &self.carried_from else {
            return Ok(());
        };
        bounds::identifier("carried_from.approval_id", &from.approval_id, 128)?;
        bounds::object_id("carried_from.base", &from.base)?;
        bounds::object_id("carried_from.tree", &from.tree)
    }

    fn check_signed(&self) -> bounds::Checked {
        for (field, digest) in [
            ("queue", &self.queue),
            ("evidence_sha256", &self.evidence_sha256),
        ] {
            digest
                .as_deref()
                .map_or(Ok(()), |digest| bounds::sha256(field, digest))?;
        }
        if let Some(nonce) = &self.nonce
            && (nonce.len() != 32
                || !nonce
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        {
            return Err("nonce is no 32 hex digits".to_owned());
        }
        if let Some(principal) = &self.principal {
            signers::check_principal(principal)?;
        }
        if let Some(signature) = &self.signature {
            bounds::text("signature", signature, 1, LONGEST_SIGNATURE)?;
        }
        let parts = [
            self.signature.is_some(),
            self.queue.is_some(),
            self.nonce.is_some(),
            self.principal.is_some(),
        ];
        let signed = self.way == Way::Signed;
        if signed && parts.contains(&false) {
            return Err("way \"signed\" needs signature, principal, queue and nonce".to_owned());
        }
        if signed && self.principal.as_ref() != Some(&self.approved_by) {
            return Err("approved_by is not the principal that signed".to_owned());
        }
        if !signed && (self.signature.is_some() || self.principal.is_some()) {
            return Err("signature and principal are there, and way is not \"signed\"".to_owned());
        }
        Ok(())
    }

    /// The exact bytes that a signature covers: the file as it would be without the signature.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        let unsigned = Self {
            signature: None,
            ..self.clone()
        };
        unsigned.to_bytes()
    }

    /// When it was given; none for a time that cannot be read.
    #[must_use]
    pub fn given_at(&self) -> Option<SystemTime> {
        instant(&self.approved_at)
    }

    /// How long it counts in all; none for times that cannot be read.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        let (from, until) = (instant(&self.approved_at)?, instant(&self.until)?);
        until.duration_since(from).ok()
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
        let (from, until) = (instant(&self.approved_at), instant(&self.until));
        matches!((from, until), (Some(from), Some(until)) if from <= now && now < until)
    }

    /// Whether it speaks of this class.
    #[must_use]
    pub fn covers(&self, class: ToolClass) -> bool {
        self.tool_classes.contains(&class)
    }
}

/// Reads a time that [`bounds::timestamp`] accepts, with its distance from UTC (`Z`, `+09:00`).
/// None for what is no such time, and for days that the calendar does not have.
#[must_use]
pub fn instant(text: &str) -> Option<SystemTime> {
    bounds::timestamp("time", text).ok()?;
    if text.ends_with('Z') {
        return clock::parse_rfc3339(text);
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let local = clock::parse_rfc3339(&format!("{local}Z"))?;
    let number = |range: std::ops::Range<usize>| zone.get(range)?.parse::<u64>().ok();
    let distance = Duration::from_secs(number(1..3)? * 3600 + number(4..6)? * 60);
    if zone.starts_with('+') {
        local.checked_sub(distance)
    } else {
        local.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"schema_version":"1.0.0","approval_id":"A-1","verdict":"APPROVED",
        "task_id":"T1","tool_classes":["PR","MERGE"],
        "base":"1111111111111111111111111111111111111111",
        "tree":"2222222222222222222222222222222222222222",
        "patch_sha256":"3333333333333333333333333333333333333333333333333333333333333333",
        "approved_by":"a person","approved_at":"2026-03-01T09:00:00+09:00",
        "until":"2026-03-02T00:00:00Z","way":"cli","reason":""}"#;

    #[test]
    fn an_approval_is_for_one_candidate_for_some_time() {
        let approval = Approval::parse(TEXT.as_bytes()).unwrap();
        let (base, tree, patch) = ("1".repeat(40), "2".repeat(40), "3".repeat(64));
        assert!(approval.binds(&base, &tree, &patch));
        assert!(!approval.binds(&tree, &tree, &patch));
        assert!(!approval.binds(&base, &base, &patch));
        assert!(!approval.binds(&base, &tree, &"4".repeat(64)));
        assert!(approval.covers(ToolClass::Merge) && !approval.covers(ToolClass::Exec));
        for (now, valid) in [
            ("2026-02-28T23:59:59Z", false),
            ("2026-03-01T00:00:00Z", true),
            ("2026-03-01T23:59:59Z", true),
            ("2026-03-02T00:00:00Z", false),
        ] {
            assert_eq!(approval.is_valid_at(instant(now).unwrap()), valid, "{now}");
        }
        assert_eq!(Approval::parse(&approval.to_bytes()).unwrap(), approval);
    }

    #[test]
    fn what_is_no_approval_is_refused() {
        for (from, to) in [
            ("\"way\"", "\"more\":1,\"way\""),
            ("\"way\":\"cli\"", "\"way\":\"cli\",\"way\":\"cli\""),
            ("\"PR\",\"MERGE\"", "\"PR\",\"PR\""),
            ("\"PR\",\"MERGE\"", ""),
            ("\"T1\"", "\"../T1\""),
            ("2222222222\"", "222\""),
            ("2026-03-02T", "2026-13-02T"),
        ] {
            let problem = Approval::parse(TEXT.replace(from, to).as_bytes()).unwrap_err();
            assert_eq!(problem.code, "APPROVAL_INVALID", "{to}");
        }
    }

    #[test]
    fn times_with_a_distance_from_utc() {
        let same = instant("2026-02-28T23:30:00Z");
        assert!(same.is_some());
        assert_eq!(instant("2026-03-01T09:00:00+09:30"), same);
        assert_eq!(instant("2026-02-28T15:30:00-08:00"), same);
        for bad in [
            "",
            "2026-03-01",
            "2026-02-30T00:00:00Z",
            "2026-03-01T09:00:00",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
        }
    }
}
