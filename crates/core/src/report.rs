//! `report.json`: what came of asking for a change.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::manifest::Manifest;
use crate::problem::Problem;
use crate::task::TaskId;
use crate::{bounds, wire};

const CODE: &str = "REPORT_INVALID";
const MAX_BYTES: usize = 64 << 20;
/// The longest summary, in characters: the schema's bound.
const MOST_SUMMARY: usize = 20_000;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the brief's")]
pub enum ReportStatus {
    Proposed,
    NeedInput,
    Refused,
}

/// Where the proposal lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ReportArtifacts {
    pub patch: String,
}

/// The rules it was made under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's")]
pub struct ReportSsot {
    pub schema_version: String,
    pub guardrails: Map<String, Value>,
}

/// One thing that was mended in a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Repair {
    pub id: String,
    pub path: String,
    #[serde(deserialize_with = "wire::count")]
    pub hunk: u64,
    pub before: String,
    pub after: String,
}

/// The content of `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "schemas/report.schema.json describes each field"
)]
pub struct Report {
    pub task_id: TaskId,
    pub status: ReportStatus,
    pub model: String,
    pub dry_run: bool,
    pub summary: String,
    pub artifacts: ReportArtifacts,
    pub next_actions: Vec<String>,
    pub ssot: ReportSsot,
    #[serde(default)]
    pub repairs: Vec<Repair>,
    #[serde(default)]
    pub questions: Vec<String>,
}

impl Report {
    /// Makes a report. It is always a dry run: proposing applies nothing.
    #[must_use]
    pub fn new(
        task_id: &TaskId,
        status: ReportStatus,
        model: &str,
        notes: &str,
        patch: &str,
        next_actions: Vec<String>,
        manifest: &Manifest,
    ) -> Self {
        let asks = status == ReportStatus::NeedInput;
        let questions = notes
            .lines()
            .map(|line| line.trim_start_matches(['-', ' ']).trim())
            .filter(|line| asks && !line.is_empty());
        Self {
            task_id: task_id.clone(),
            status,
            model: model.to_owned(),
            dry_run: true,
            summary: notes.chars().take(MOST_SUMMARY).collect(),
            artifacts: ReportArtifacts {
                patch: patch.to_owned(),
            },
            next_actions,
            ssot: ReportSsot {
                schema_version: manifest.schema_version.clone(),
                guardrails: crate::outputs::to_map(&manifest.guardrails),
            },
            repairs: Vec::new(),
            questions: questions
                .map(|line| line.chars().take(2000).collect())
                .take(100)
                .collect(),
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    /// `REPORT_INVALID`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let report: Self = wire::parse(bytes, MAX_BYTES, "report", CODE)?;
        report
            .check()
            .map_err(|why| Problem::fail(CODE, format!("report: {why}")))?;
        Ok(report)
    }

    fn check(&self) -> bounds::Checked {
        bounds::text("model", &self.model, 1, 200)?;
        bounds::text("summary", &self.summary, 0, MOST_SUMMARY)?;
        bounds::path("artifacts.patch", &self.artifacts.patch, 4096)?;
        bounds::texts("next_actions", &self.next_actions, 100, 1000)?;
        bounds::texts("questions", &self.questions, 100, 2000)?;
        bounds::text("ssot.schema_version", &self.ssot.schema_version, 1, 32)?;
        bounds::number(
            "number of ssot.guardrails",
            self.ssot.guardrails.len() as u64,
            0,
            64,
        )?;
        bounds::list("repairs", &self.repairs, 0, 1000, |repair| {
            bounds::text("repairs.id", &repair.id, 1, 64)?;
            bounds::path("repairs.path", &repair.path, 4096)?;
            bounds::number("repairs.hunk", repair.hunk, 0, 1_000_000)?;
            bounds::text("repairs.before", &repair.before, 0, 20_000)?;
            bounds::text("repairs.after", &repair.after, 0, 20_000)
        })
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
