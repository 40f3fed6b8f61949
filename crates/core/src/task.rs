//! The task: what is asked, and which files may change for it.

use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::{bounds, masking, wire};

/// The largest task file that is read, in bytes.
pub const MAX_BYTES: usize = 256 << 10;
const CODE: &str = "TASK_INVALID";

/// A task's name: letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit,
/// without `..`. Such a name is one harmless path component on every platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TaskId(String);

impl TaskId {
    /// Checks a name.
    ///
    /// # Errors
    /// `TASK_ID_INVALID`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::check(text).map(|()| Self(text.to_owned()))
    }

    /// Whether this can name a task.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn check(text: &str) -> Result<(), Problem> {
        let begins_well = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        let mut before = b'.';
        let plain = text.bytes().all(|byte| {
            let is_second_dot = (before, byte) == (b'.', b'.');
            before = byte;
            !is_second_dot && (byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        });
        if begins_well && plain && text.len() <= 64 {
            return Ok(());
        }
        let shown = masking::excerpt(text, 80);
        Err(Problem::fail(
            "TASK_ID_INVALID",
            format!(
                "\"{shown}\" cannot name a task: expected 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit, without '..'"
            ),
        ))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with case folded; two tasks never share it.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// What is to be said of the secrets in a task: one sentence for each field, which names the kind and
/// never the secret. Bytes that are no JSON hold none that could be taken in.
#[must_use]
pub fn secrets_in(bytes: &[u8]) -> Vec<String> {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let found = masking::places_in(&document).into_iter();
    found
        .map(|(place, kind)| format!("task: at {place}: a secret ({kind})"))
        .collect()
}

/// Refuses a task that holds a secret in any field: `task.json` is kept as it was written, and its words
/// go to a model, into branches and into reviews.
///
/// # Errors
/// `TASK_TEXT_REFUSED`.
pub fn refuse_secrets(bytes: &[u8]) -> Result<(), Problem> {
    let found = secrets_in(bytes);
    if found.is_empty() {
        return Ok(());
    }
    Err(Problem::fail("TASK_TEXT_REFUSED", found.join("; "))
        .hint("leave the secret out and say where it is kept; change it where it is valid, it was written down"))
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?)
            .map_err(|problem| D::Error::custom(problem.message))
    }
}

/// How urgent a task is; the smaller comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the brief's")]
pub enum Priority {
    P0,
    P1,
    #[default]
    P2,
}

impl Priority {
    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
        }
    }
}

/// Which files a task may look at and change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Files that the proposer is shown.
    #[serde(default)]
    pub target_files: Vec<String>,
    /// Paths and globs that may change; nothing else may.
    pub allow_patch_on_files: Vec<String>,
    /// Globs that may not change all the same.
    #[serde(default)]
    pub deny_paths_glob: Vec<String>,
}

/// What the proposal must look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Always `unified_diff`.
    pub output_format: String,
    /// What must not be in it.
    pub must_not: Vec<String>,
    /// Tests that the task names.
    pub tests: Vec<String>,
}

impl Default for Requirements {
    fn default() -> Self {
        Self {
            output_format: "unified_diff".to_owned(),
            must_not: ["secrets", "tokens", "keys"].map(str::to_owned).to_vec(),
            tests: Vec::new(),
        }
    }
}

/// What helps to understand it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Context {
    /// Free text.
    pub notes: String,
}

/// The content of `task.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The name.
    pub task_id: TaskId,
    /// One line.
    pub title: String,
    /// What must be true afterwards.
    pub goal: String,
    /// Which files.
    pub scope: Scope,
    /// What the proposal must look like.
    #[serde(default)]
    pub requirements: Requirements,
    /// What helps.
    #[serde(default)]
    pub context: Context,
    /// Who and when, and whatever else the submitter adds.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub meta: Option<Map<String, Value>>,
    /// How urgent.
    #[serde(default)]
    pub priority: Priority,
    /// Not worked on after this time, RFC 3339.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_at: Option<String>,
    /// Submitted at most once under this key.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub idempotency_key: Option<String>,
    /// The revision it is made on; the policy's target branch when absent.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub base: Option<String>,
    /// How to tell that it is done.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub success_criteria: Option<String>,
}

impl Task {
    /// Reads a task.
    ///
    /// # Errors
    /// `TASK_INVALID` naming the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let task: Self = wire::parse(bytes, MAX_BYTES, "task", CODE)?;
        task.check()?;
        Ok(task)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    fn check(&self) -> Result<(), Problem> {
        self.bounds()
            .map_err(|why| Problem::fail(CODE, format!("task: {why}")))
    }

    fn bounds(&self) -> bounds::Checked {
        bounds::text("title", &self.title, 1, 200)?;
        bounds::text("goal", &self.goal, 1, 20_000)?;
        let scope = &self.scope;
        for (field, list, least) in [
            ("scope.target_files", &scope.target_files, 0),
            ("scope.allow_patch_on_files", &scope.allow_patch_on_files, 1),
            ("scope.deny_paths_glob", &scope.deny_paths_glob, 0),
        ] {
            bounds::list(field, list, least, 1000, |entry| {
                bounds::task_path(field, entry)
            })?;
        }
        bounds::texts(
            "requirements.must_not",
            &self.requirements.must_not,
            100,
            200,
        )?;
        bounds::texts("requirements.tests", &self.requirements.tests, 100, 4096)?;
        if self.requirements.output_format != "unified_diff" {
            return Err("requirements.output_format must be \"unified_diff\"".to_owned());
        }
        bounds::text("context.notes", &self.context.notes, 0, 20_000)?;
        self.optional_bounds()
    }

    fn optional_bounds(&self) -> bounds::Checked {
        if let Some(due) = &self.due_at {
            bounds::timestamp("due_at", due)?;
        }
        if let Some(key) = &self.idempotency_key {
            bounds::text("idempotency_key", key, 1, 200)?;
        }
        if let Some(criteria) = &self.success_criteria {
            bounds::text("success_criteria", criteria, 1, 20_000)?;
        }
        if let Some(base) = &self.base {
            bounds::text("base", base, 1, 200)?;
            if base.starts_with('-') || base.chars().any(|c| c < ' ' || c == '\u{7f}') {
                return Err(
                    "base is no plain revision: no leading '-' and no control characters"
                        .to_owned(),
                );
            }
        }
        self.meta.as_ref().map_or(Ok(()), meta_bounds)
    }
}

fn meta_bounds(meta: &Map<String, Value>) -> bounds::Checked {
    if meta.len() > 64 {
        return Err(format!("meta has {} keys, expected at most 64", meta.len()));
    }
    match meta.get("created_by") {
        None => {}
        Some(Value::String(by)) => bounds::text("meta.created_by", by, 1, 200)?,
        Some(other) => return Err(format!("meta.created_by is {other}, expected a text")),
    }
    match meta.get("created_at") {
        None => Ok(()),
        Some(Value::String(at)) => bounds::timestamp("meta.created_at", at),
        Some(other) => Err(format!("meta.created_at is {other}, expected a time")),
    }
}
