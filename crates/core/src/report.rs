//! `report.json`: what came of asking for a change.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::candidate::Match;
use crate::manifest::Manifest;
use crate::problem::Problem;
use crate::task::TaskId;
use crate::{bounds, wire};

const CODE: &str = "REPORT_INVALID";
const MAX_BYTES: usize = 64 << 20;
/// The longest summary, in characters: the schema's bound.
const MOST_SUMMARY: usize = 20_000;
/// The forms in which a reply is read.
const FORMATS: [&str; 3] = ["whole", "search-replace", "udiff"];

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
    /// None where it is about the reply as a whole.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub path: Option<String>,
    #[serde(deserialize_with = "wire::count")]
    pub hunk: u64,
    #[serde(default, deserialize_with = "wire::count")]
    pub line: u64,
    pub before: String,
    pub after: String,
}

/// One thing for which a reply was turned down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Refusal {
    pub code: String,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub path: Option<String>,
    #[serde(deserialize_with = "wire::count")]
    pub hunk: u64,
    #[serde(deserialize_with = "wire::count")]
    pub line: u64,
    pub message: String,
    pub hint: String,
}

/// What came of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum AttemptOutcome {
    Clean,
    Repaired,
    Fuzzy,
    Refused,
    NeedInput,
}

/// One call, or one text that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Attempt {
    /// From 1.
    #[serde(deserialize_with = "wire::count")]
    pub n: u64,
    /// Of the reply as it came.
    pub reply_sha256: String,
    pub outcome: AttemptOutcome,
    /// Why it was turned down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// What is known of the call itself.
    #[serde(default)]
    pub call: Call,
}

/// What is known of the call itself; nothing where no model was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Call {
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub model: Option<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub model_digest: Option<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub server_version: Option<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub finish: Option<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub prompt_tokens: Option<u64>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub output_tokens: Option<u64>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub duration_ms: Option<u64>,
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
    /// The form in which the reply was read; none for a patch that git itself read.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub reply_format: Option<String>,
    #[serde(default, rename = "match")]
    pub matched: Match,
    #[serde(default)]
    pub repairs: Vec<Repair>,
    #[serde(default)]
    pub attempts: Vec<Attempt>,
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
            reply_format: None,
            matched: Match::Clean,
            repairs: Vec::new(),
            attempts: Vec::new(),
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
        if let Some(format) = &self.reply_format
            && !FORMATS.contains(&format.as_str())
        {
            let known = FORMATS.join(", ");
            return Err(format!(
                "reply_format is \"{}\", expected one of {known}",
                format.escape_debug()
            ));
        }
        bounds::list("attempts", &self.attempts, 0, 10, check_attempt)?;
        bounds::list("repairs", &self.repairs, 0, 1000, |repair| {
            bounds::text("repairs.id", &repair.id, 1, 64)?;
            if let Some(path) = &repair.path {
                bounds::path("repairs.path", path, 4096)?;
            }
            bounds::number("repairs.line", repair.line, 0, 100_000_000)?;
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

fn check_attempt(attempt: &Attempt) -> bounds::Checked {
    bounds::number("attempts.n", attempt.n, 1, 10)?;
    bounds::sha256("attempts.reply_sha256", &attempt.reply_sha256)?;
    bounds::list("attempts.refusals", &attempt.refusals, 0, 100, |refusal| {
        bounds::text("attempts.refusals.code", &refusal.code, 1, 64)?;
        if let Some(path) = &refusal.path {
            bounds::path("attempts.refusals.path", path, 4096)?;
        }
        bounds::number("attempts.refusals.hunk", refusal.hunk, 0, 1_000_000)?;
        bounds::number("attempts.refusals.line", refusal.line, 0, 100_000_000)?;
        bounds::text("attempts.refusals.message", &refusal.message, 0, 2000)?;
        bounds::text("attempts.refusals.hint", &refusal.hint, 0, 2000)
    })?;
    let call = &attempt.call;
    let words = [
        &call.model,
        &call.model_digest,
        &call.server_version,
        &call.finish,
    ];
    for word in words.into_iter().flatten() {
        bounds::text("attempts.call", word, 1, 200)?;
    }
    let numbers = [call.prompt_tokens, call.output_tokens, call.duration_ms];
    numbers
        .into_iter()
        .flatten()
        .try_for_each(|number| bounds::number("attempts.call", number, 0, 1_000_000_000_000))
}
