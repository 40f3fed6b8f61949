//! The risk engine: from what a change does to flags, findings and a level.
//!
//! It looks at the rebuilt new text of each hunk and reports only what touches an added line; it
//! looks at names, modes, links, binaries and the text around the patch as well. Every finding can
//! only raise the level.

mod content;
mod input;
mod places;
mod summary;
mod text;

pub use input::{ScanFile, ScanInput};
pub use summary::{DiffSummary, FileSummary, RuleHit, SummarySource};

use crate::envelope::{Finding, Severity, Signals};
use crate::outputs::{DiffStats, PolicyFlags, RiskLevel};
use crate::policy::Policy;
use crate::problem::Problem;
use crate::task::Scope;

/// The code of a finding that stands for a secret in the change; D3 looks for it.
pub const SECRET_FOUND: &str = "SECRET_FOUND";
/// How many findings a report lists; one more says how many were left out.
const MOST_FINDINGS: usize = 200;

/// What the change was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// git's own difference of two trees.
    Candidate {
        /// The base commit.
        base: String,
        /// The tree.
        tree: String,
    },
    /// A bare patch.
    Text,
}

/// What the scan came to.
#[derive(Clone, Debug)]
pub struct RiskReport {
    /// The level.
    pub level: RiskLevel,
    /// The size.
    pub stats: DiffStats,
    /// The five flags.
    pub flags: PolicyFlags,
    /// The flags as signals for the chain.
    pub signals: Signals,
    /// Whether an added line holds a secret.
    pub secret_found: bool,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// Why the level is what it is.
    pub reasons: Vec<String>,
    /// Per file and per rule.
    pub summary: DiffSummary,
}

/// One thing that was found, before it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) kind: HitKind,
    pub(crate) rule: String,
    pub(crate) severity: Severity,
    pub(crate) path: String,
    pub(crate) line: Option<u64>,
    /// Masked already.
    pub(crate) excerpt: String,
    pub(crate) message: String,
}

/// Which flag a hit raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HitKind {
    Delete,
    Lockfile,
    Protected,
    Allowlist,
    ExternalIo,
    Secret,
    Other,
}

/// Scans a change under a policy, and under a task's scope where there is one.
///
/// # Errors
/// `POLICY_EXAMPLE`, `POLICY_INVALID`, `TASK_INVALID`.
pub fn scan(
    input: &ScanInput<'_>,
    policy: &Policy,
    scope: Option<&Scope>,
    origin: &Origin,
) -> Result<RiskReport, Problem> {
    let mut hits = places::scan(input, policy, scope)?;
    hits.extend(content::scan(input, policy)?);
    Ok(report(input, hits, origin))
}

fn report(input: &ScanInput<'_>, mut hits: Vec<Hit>, origin: &Origin) -> RiskReport {
    hits.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            // A secret has no flag of its own, so it is never among those left out.
            .then_with(|| (b.kind == HitKind::Secret).cmp(&(a.kind == HitKind::Secret)))
            .then(a.path.cmp(&b.path))
            .then(a.line.cmp(&b.line))
    });
    let raised = |kind: HitKind| hits.iter().any(|hit| hit.kind == kind);
    let flags = PolicyFlags {
        delete_detected: raised(HitKind::Delete),
        lockfile_touched: raised(HitKind::Lockfile),
        protected_zone_touched: raised(HitKind::Protected),
        allowlist_violation: raised(HitKind::Allowlist),
        external_io_attempt: raised(HitKind::ExternalIo),
    };
    let level = hits
        .iter()
        .map(|hit| RiskLevel::from(hit.severity))
        .max()
        .unwrap_or(RiskLevel::Low);
    let findings = findings(&hits);
    RiskReport {
        level,
        stats: input.stats(),
        flags,
        signals: Signals {
            stop_detected: false,
            allowlist_violation: flags.allowlist_violation,
            external_io_attempt: flags.external_io_attempt,
            delete_detected: flags.delete_detected,
            lockfile_touched: Some(flags.lockfile_touched),
            protected_zone_touched: Some(flags.protected_zone_touched),
        },
        secret_found: raised(HitKind::Secret),
        reasons: reasons(&hits),
        summary: summary::write(input, &hits, origin),
        findings,
    }
}

fn findings(hits: &[Hit]) -> Vec<Finding> {
    let mut findings: Vec<_> = hits.iter().take(MOST_FINDINGS).map(finding).collect();
    if let Some(worst) = hits.get(MOST_FINDINGS) {
        let more = hits.len() - MOST_FINDINGS;
        findings.push(Finding::new(
            worst.severity,
            "FINDINGS_TRUNCATED",
            format!("{more} more findings are in the diff summary"),
        ));
    }
    findings
}

fn finding(hit: &Hit) -> Finding {
    let code = match hit.kind {
        HitKind::Delete => "DELETE_DETECTED",
        HitKind::Lockfile => "LOCKFILE_TOUCHED",
        HitKind::Protected => "PROTECTED_ZONE_TOUCHED",
        HitKind::Allowlist => "ALLOWLIST_VIOLATION",
        HitKind::ExternalIo => "EXTERNAL_IO_ATTEMPT",
        HitKind::Secret => SECRET_FOUND,
        HitKind::Other => hit.rule.as_str(),
    };
    let line = hit.line.map(|line| format!(":{line}")).unwrap_or_default();
    let excerpt = if hit.excerpt.is_empty() {
        String::new()
    } else {
        format!(": {}", hit.excerpt)
    };
    Finding::new(
        hit.severity,
        code,
        format!(
            "{}{line}: {} [{}]{excerpt}",
            hit.path, hit.message, hit.rule
        ),
    )
}

fn reasons(hits: &[Hit]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for hit in hits {
        let reason = format!(
            "{}: {} ({})",
            RiskLevel::from(hit.severity),
            hit.message,
            hit.path
        );
        if !reasons.contains(&reason) && reasons.len() < 20 {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        reasons.push("nothing that a rule looks for".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests;
