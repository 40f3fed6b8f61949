//! S4: what a change touches, and how much it may harm.

use std::path::{Path, PathBuf};

use baton_core::audit::Action;
use baton_core::candidate::{self, Match, Proposal};
use baton_core::digest;
use baton_core::driver::{Refused, Skill, Upstream, plan_finding};
use baton_core::envelope::{Artifact, ArtifactKind, Finding, Severity, ToolClass};
use baton_core::git::{ObjectStore, Oid};
use baton_core::outcome::Outcome;
use baton_core::output_file;
use baton_core::outputs::{DiffRiskScan, DiffStats, PolicyFlags, RiskLevel, to_map};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_risk::{Origin, RiskReport, RuleBook, ScanInput, Subject, SummarySource};
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde_json::{Map, Value};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "diff-risk-scan",
    envelope: "diff-risk-scan",
    about: "Say what a change touches and how risky it is",
    examples: [
        "diff-risk-scan --task T-1",
        "git diff --binary origin/main | diff-risk-scan --patch - --policy POLICY.json",
    ],
    classes: &[ToolClass::Read],
    action: Action::RiskScanned,
    upstream: Upstream::PassOn,
    acts_under_stop: false,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |matches| matches.contains_id("patch"),
    run,
    refused,
};

#[derive(clap::Args)]
struct Arguments {
    /// Scan this patch instead of a task's candidate; - is standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "task")]
    patch: Option<PathBuf>,
    /// Apply the patch to this revision and scan what git makes of it
    #[arg(long, value_name = "REV", requires = "patch")]
    base: Option<String>,
    /// Write the diff summary to this new file
    #[arg(long, value_name = "FILE")]
    summary_out: Option<PathBuf>,
}

fn refused(_: &Refused<'_>) -> Map<String, Value> {
    to_map(&DiffRiskScan {
        // What could not be scanned is never low.
        risk_level: RiskLevel::High,
        diff_stats: DiffStats::default(),
        policy_flags: PolicyFlags::default(),
        reasons: vec!["the change was not scanned".to_owned()],
        diff_summary_path: None,
    })
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    session.authorize(&[ToolClass::Read])?;
    let (report, bound) = match &arguments.patch {
        Some(path) => scan_file(session, path, arguments.base.as_deref())?,
        None => scan_task(session)?,
    };
    let mut summary = serde_json::to_vec_pretty(&report.summary)
        .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
    summary.push(b'\n');
    if let (Some(path), false) = (&arguments.summary_out, session.is_plan()) {
        output_file::write_new(path, &summary)?;
    }
    let mut artifacts = bound;
    if arguments.patch.is_none() && !session.is_plan() {
        artifacts.push(session.task()?.write_next(
            ArtifactKind::DiffSummary,
            "evidence/diff-summary.json",
            &summary,
        )?);
    }
    let plan = (session.has_task() && session.is_plan())
        .then(|| plan_finding("the summary would be kept with the task, and the scan recorded"));
    Ok(outcome(report, artifacts, arguments.summary_out.as_deref()).findings(plan))
}

fn scan_task(session: &Session) -> Result<(RiskReport, Vec<Artifact>), Problem> {
    let task = session.undecided_task()?;
    let candidate = session.candidate()?;
    let policy = session.policy()?;
    let limits = candidate::limits(policy);
    let repository = session.repository()?;
    let objects = session.store()?.objects(repository)?;
    let bytes = task.patch()?;
    let (book, _) = RuleBook::meanwhile(session, || {
        candidate::verify(repository, &objects, &candidate, &bytes, &limits)
    })?;
    let scope = session.store()?.asked(task)?.scope;
    let (base, old, new) = (
        Oid::parse(&candidate.base)?,
        Oid::parse(&candidate.base_tree)?,
        Oid::parse(&candidate.tree)?,
    );
    let subject = Subject {
        store: &objects,
        base: &base,
        base_tree: &old,
        tree: &new,
        patch: &bytes,
        checkout: Some(session.root()?),
        matched: candidate.matched,
        given: b"",
    };
    let report = baton_risk::scan_candidate(&subject, &book, Some(&scope))?;
    book.leave();
    Ok((report, vec![task.candidate_artifact(&candidate)?]))
}

fn scan_file(
    session: &Session,
    path: &Path,
    base: Option<&str>,
) -> Result<(RiskReport, Vec<Artifact>), Problem> {
    let limits = candidate::limits(session.policy()?);
    let bytes = session.read_patch(path)?;
    let Some(base) = base else {
        return Ok((scan_text(session, &bytes)?, Vec::new()));
    };
    let repository = session.repository()?;
    let (_folder, objects) = ObjectStore::temporary(repository)?;
    let (book, proposal) = RuleBook::meanwhile(session, || {
        candidate::propose(&objects, &repository.commit(base)?, &bytes, &limits)
    })?;
    let subject = Subject {
        store: &objects,
        base: &proposal.base,
        base_tree: &proposal.base_tree,
        tree: &proposal.tree,
        patch: &proposal.patch,
        checkout: Some(session.root()?),
        matched: Match::Clean,
        given: &bytes,
    };
    let report = baton_risk::scan_candidate(&subject, &book, None)?;
    book.leave();
    Ok((report, vec![named(path, &proposal)]))
}

/// Names the candidate of a patch that lies in no queue, so that a decision can tell whether scan
/// and gates looked at the same one.
fn named(path: &Path, proposal: &Proposal) -> Artifact {
    let shown = path.to_string_lossy();
    let shown = if shown == "-" { "stdin" } else { &shown };
    let sha256 = proposal.patch_sha256();
    let note = format!(
        "sha256={sha256} base={} tree={} patch={sha256}",
        proposal.base, proposal.tree
    );
    Artifact::new(ArtifactKind::DraftPatch, shown, note)
}

/// Scans a bare patch. It must hold whole files: what a delta makes cannot be read without the old one.
fn scan_text(session: &Session, bytes: &[u8]) -> Result<RiskReport, Problem> {
    let policy = session.policy()?;
    let mut limits = candidate::limits(policy);
    limits.allow_delta = false;
    let patch = baton_patch::parse(bytes, &limits).map_err(|refusal| {
        let problem = candidate::refused(&refusal);
        problem
            .hint("with --base REV git applies any other form, and its own difference is scanned")
    })?;
    let book = RuleBook::of_session(session)?;
    let report = baton_risk::scan(&ScanInput::from_patch(&patch), &book, None, &Origin::Text)?;
    book.leave();
    Ok(report)
}

fn outcome(report: RiskReport, artifacts: Vec<Artifact>, written: Option<&Path>) -> Outcome {
    let summary_artifact = artifacts
        .iter()
        .find(|artifact| artifact.kind == ArtifactKind::DiffSummary);
    let summary_path = summary_artifact
        .map(|artifact| artifact.path.clone())
        .or_else(|| written.map(|path| path.to_string_lossy().into_owned()));
    let stats = report.stats;
    let text = format!(
        "risk {}: {} files, +{} -{}{}",
        report.level,
        stats.files_changed,
        stats.insertions,
        stats.deletions,
        report
            .findings
            .first()
            .map(|finding| format!("; {}", finding.message))
            .unwrap_or_default()
    );
    let mut reasons = report.reasons;
    reasons.retain(|reason| !reason.is_empty());
    let data = DiffRiskScan {
        risk_level: report.level,
        diff_stats: stats,
        policy_flags: report.flags,
        reasons,
        diff_summary_path: summary_path,
    };
    let source = match report.summary.source {
        SummarySource::Text => Some(Finding::new(
            Severity::Info,
            "TEXT_ONLY",
            "the text itself was scanned; give --base REV to scan what git makes of it",
        )),
        SummarySource::Candidate => None,
    };
    let sha256 = digest::sha256_canonical(&serde_json::to_value(&data).unwrap_or_default());
    let mut outcome = Outcome::ok(text, &data)
        .findings(report.findings)
        .findings(source)
        .artifacts(artifacts);
    outcome.signals = Some(report.signals);
    outcome.meta("result_sha256", sha256)
}
