//! The diff summary: per file what happens, per rule what was found.

use serde::{Deserialize, Serialize};

use baton_core::envelope::Severity;
use baton_core::problem::Problem;
use baton_core::{bounds, masking, wire};

use crate::Origin;
use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput};

const MAX_BYTES: usize = 64 << 20;
/// How many findings are listed: half of what the schema takes, and more than anybody reads.
const MOST_FINDINGS: usize = 50_000;

/// Where the change was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum SummarySource {
    Candidate,
    Text,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileOp {
    Add,
    Modify,
    Delete,
    Rename,
    Copy,
    Type,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "schemas/diff_summary.schema.json describes each field"
)]
pub struct FileSummary {
    pub path: String,
    #[serde(deserialize_with = "wire::nullable")]
    pub old_path: Option<String>,
    pub op: FileOp,
    #[serde(deserialize_with = "wire::nullable")]
    pub old_mode: Option<String>,
    #[serde(deserialize_with = "wire::nullable")]
    pub new_mode: Option<String>,
    #[serde(deserialize_with = "wire::count")]
    pub insertions: u64,
    #[serde(deserialize_with = "wire::count")]
    pub deletions: u64,
    pub binary: bool,
}

/// One hit of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "schemas/diff_summary.schema.json describes each field"
)]
pub struct RuleHit {
    pub rule: String,
    pub severity: Severity,
    pub path: String,
    #[serde(deserialize_with = "wire::nullable_count")]
    pub line: Option<u64>,
    pub excerpt: String,
}

/// The whole summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "schemas/diff_summary.schema.json describes each field"
)]
pub struct DiffSummary {
    pub source: SummarySource,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub base: Option<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub tree: Option<String>,
    pub files: Vec<FileSummary>,
    pub findings: Vec<RuleHit>,
}

impl DiffSummary {
    /// Reads a summary.
    ///
    /// # Errors
    /// `SUMMARY_INVALID`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let summary: Self = wire::parse(bytes, MAX_BYTES, "diff summary", "SUMMARY_INVALID")?;
        summary
            .check()
            .map_err(|why| Problem::fail("SUMMARY_INVALID", format!("diff summary: {why}")))?;
        Ok(summary)
    }

    fn check(&self) -> bounds::Checked {
        match (self.source, &self.base, &self.tree) {
            (_, None, None) => {}
            (SummarySource::Candidate, Some(base), Some(tree)) => {
                bounds::object_id("base", base)?;
                bounds::object_id("tree", tree)?;
            }
            _ => {
                return Err(
                    "base and tree come together, and only with source candidate".to_owned(),
                );
            }
        }
        bounds::list("files", &self.files, 0, 100_000, check_file)?;
        bounds::list("findings", &self.findings, 0, 100_000, |hit| {
            bounds::text("findings.rule", &hit.rule, 1, 64)?;
            bounds::path("findings.path", &hit.path, 4096)?;
            bounds::text("findings.excerpt", &hit.excerpt, 0, 1000)?;
            hit.line.map_or(Ok(()), |line| {
                bounds::number("findings.line", line, 1, u64::MAX)
            })
        })
    }
}

fn check_file(file: &FileSummary) -> bounds::Checked {
    bounds::path("files.path", &file.path, 4096)?;
    if let Some(old) = &file.old_path {
        bounds::path("files.old_path", old, 4096)?;
    }
    for mode in [&file.old_mode, &file.new_mode].into_iter().flatten() {
        if mode.len() != 6 || !mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
            return Err(format!(
                "files mode \"{}\" is not six octal digits",
                mode.escape_debug()
            ));
        }
    }
    bounds::number("files.insertions", file.insertions, 0, 1 << 53)?;
    bounds::number("files.deletions", file.deletions, 0, 1 << 53)
}

/// Writes the summary of a scan.
pub(super) fn write(input: &ScanInput<'_>, hits: &[Hit], origin: &Origin) -> DiffSummary {
    let (source, base, tree) = match origin {
        Origin::Text => (SummarySource::Text, None, None),
        Origin::Candidate { base, tree } => (
            SummarySource::Candidate,
            Some(base.clone()),
            Some(tree.clone()),
        ),
    };
    DiffSummary {
        source,
        base,
        tree,
        files: input.files.iter().map(file_summary).collect(),
        findings: hits
            .iter()
            .take(MOST_FINDINGS)
            .map(|hit| RuleHit {
                rule: hit.rule.clone(),
                severity: hit.severity,
                path: masking::text(&hit.path).into_owned(),
                line: hit.line.filter(|line| *line > 0),
                excerpt: hit.excerpt.clone(),
            })
            .collect(),
    }
}

fn file_summary(file: &ScanFile<'_>) -> FileSummary {
    use baton_patch::Op;
    let mode = |mode: Option<baton_patch::Mode>| mode.map(|mode| mode.as_str().to_owned());
    FileSummary {
        path: masking::text(&file.path).into_owned(),
        old_path: file
            .old_path
            .as_deref()
            .map(|path| masking::text(path).into_owned()),
        op: match file.op {
            Op::Add => FileOp::Add,
            Op::Modify => FileOp::Modify,
            Op::Delete => FileOp::Delete,
            Op::Rename => FileOp::Rename,
            Op::Copy => FileOp::Copy,
            Op::Type => FileOp::Type,
        },
        old_mode: mode(file.section.old_mode),
        new_mode: mode(file.section.new_mode),
        insertions: file.section.insertions as u64,
        deletions: file.section.deletions as u64,
        binary: file.section.is_binary(),
    }
}
