//! The risk engine: from what a change does to flags, findings and a level.
//!
//! One way through: a [`RuleBook`] is made from the policy and its secret rule files, a change is
//! taken apart into a [`ScanInput`], a repository adds what the text cannot tell, and [`scan`] asks
//! the places, the trust that is handed on, and the content.
//!
//! It looks at the rebuilt new text of each hunk and reports only what touches an added line; it
//! looks at names, modes, links, binaries and the text around the patch as well. Every finding can
//! only raise the level.

#![warn(missing_docs)]

mod book;
mod checks;
mod content;
mod explain;
mod glue;
mod hidden;
mod hit;
mod input;
mod judge;
mod keyword;
mod language;
mod loose;
mod masking;
mod pattern;
mod places;
mod rule;
mod summary;
mod surroundings;
mod trust;
mod weakened;

use std::collections::BTreeSet;
use std::path::Path;

use baton_core::candidate::{self, Match};
use baton_core::envelope::{Finding, Signals};
use baton_core::git::{ObjectStore, Oid};
use baton_core::outputs::{DiffStats, PolicyFlags, RiskLevel};
use baton_core::problem::Problem;
use baton_core::task::Scope;

pub use book::RuleBook;
pub use checks::{BUILT_IN, BuiltIn, HitKind};
pub use explain::{Explained, explain, names};
pub use hidden::drawn_like;
pub use input::{ScanFile, ScanInput};
pub use loose::judge_text;
pub use masking::{MASKER, masked};
pub use places::judge_sources;
pub use summary::{DiffSummary, FileSummary, RuleHit, SummarySource};

use hit::Hit;

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
    /// The kinds of what was found, whatever they weigh.
    pub kinds: BTreeSet<HitKind>,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// Why the level is what it is.
    pub reasons: Vec<String>,
    /// Per file and per rule.
    pub summary: DiffSummary,
}

/// Scans a change under a rule book, and under a task's scope where there is one.
///
/// # Errors
/// `POLICY_EXAMPLE`, `POLICY_INVALID`, `SECRET_RULES_INVALID`, `TASK_INVALID`.
pub fn scan(
    input: &ScanInput<'_>,
    book: &RuleBook<'_>,
    scope: Option<&Scope>,
    origin: &Origin,
) -> Result<RiskReport, Problem> {
    Ok(report(input, hits_of(input, book, scope)?, origin))
}

fn hits_of(
    input: &ScanInput<'_>,
    book: &RuleBook<'_>,
    scope: Option<&Scope>,
) -> Result<Vec<Hit>, Problem> {
    let paths = input.files.iter().map(|file| file.section.path());
    let named: Vec<_> = paths
        .map(|path| book.named(path))
        .collect::<Result<_, _>>()?;
    let mut hits = places::scan(input, &named, book, scope)?;
    trust::scan(input, book.policy, &mut hits);
    hits.extend(content::scan(input, &named, book)?);
    Ok(hits)
}

/// A candidate to be scanned: its trees and its canonical patch.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Where the objects are.
    pub store: &'a ObjectStore,
    /// The base commit.
    pub base: &'a Oid,
    /// Its tree.
    pub base_tree: &'a Oid,
    /// The candidate's tree.
    pub tree: &'a Oid,
    /// git's own difference of the two.
    pub patch: &'a [u8],
    /// The user's checkout, where there is one.
    pub checkout: Option<&'a Path>,
    /// How near the proposer's text was to the change.
    pub matched: Match,
    /// The text that was given, where it is at hand: of the words around its files and of the sources of its
    /// copies the canonical patch holds nothing.
    pub given: &'a [u8],
}

/// Scans a candidate: its canonical patch, and from its trees and the checkout what the text does
/// not tell.
///
/// # Errors
/// `PATCH_REFUSED`, `GIT_FAILED`, and as [`scan`].
pub fn scan_candidate(
    subject: &Subject<'_>,
    book: &RuleBook<'_>,
    scope: Option<&Scope>,
) -> Result<RiskReport, Problem> {
    let limits = candidate::limits(book.policy);
    let patch = baton_patch::parse(subject.patch, &limits)
        .map_err(|refusal| candidate::refused(&refusal))?;
    let mut input = ScanInput::from_patch(&patch);
    let beside = baton_patch::beside(subject.given);
    input.around.extend(beside.around);
    input.sources = beside.sources;
    surroundings::ask(
        &mut input,
        subject.store,
        subject.base_tree,
        subject.checkout,
        book,
    )?;
    let origin = Origin::Candidate {
        base: subject.base.to_string(),
        tree: subject.tree.to_string(),
    };
    let mut hits = hits_of(&input, book, scope)?;
    if subject.matched == Match::Fuzzy {
        let message = "a place or a line of the reply was guessed; report.json says which";
        hits.push(Hit::built_in("FUZZY_DRAFT", "the change", message));
    }
    Ok(report(&input, hits, &origin))
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
    let kinds = hits.iter().map(|hit| hit.kind).collect();
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
        kinds,
        reasons: reasons(&hits),
        summary: summary::write(input, &hits, origin),
        findings,
    }
}

fn findings(hits: &[Hit]) -> Vec<Finding> {
    let mut findings: Vec<_> = hits.iter().take(MOST_FINDINGS).map(Hit::finding).collect();
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

/// The reasons as sentences, worst first.
fn reasons(hits: &[Hit]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for hit in hits {
        let message = hit.message.trim_end_matches('.');
        let reason = format!(
            "{}: {}: {message}.",
            RiskLevel::from(hit.severity),
            hit.path
        );
        if !reasons.contains(&reason) && reasons.len() < 20 {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        reasons.push("Nothing was found that a rule looks for.".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests;
