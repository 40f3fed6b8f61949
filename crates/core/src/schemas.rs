//! The JSON Schemas, embedded as they lie in `schemas/`.

use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// The envelope of every skill.
pub const ENVELOPE: &str = include_str!("../../../schemas/skill_io_envelope.schema.json");
/// The union of the eleven skills' outputs.
pub const OUTPUTS: &str = include_str!("../../../schemas/skill_outputs.schema.json");
/// `task.json`.
pub const TASK: &str = include_str!("../../../schemas/task.schema.json");
/// `MANIFEST.json`.
pub const MANIFEST: &str = include_str!("../../../schemas/manifest.schema.json");
/// `POLICY.json`.
pub const POLICY: &str = include_str!("../../../schemas/policy.schema.json");
/// `candidate.json`.
pub const CANDIDATE: &str = include_str!("../../../schemas/candidate.schema.json");
/// The diff summary.
pub const DIFF_SUMMARY: &str = include_str!("../../../schemas/diff_summary.schema.json");
/// An approval.
pub const APPROVAL: &str = include_str!("../../../schemas/approval.schema.json");
/// One line of the log.
pub const AUDIT_EVENT: &str = include_str!("../../../schemas/audit_event.schema.json");
/// `report.json`.
pub const REPORT: &str = include_str!("../../../schemas/report.schema.json");

/// The JSON Schema of one skill's output, complete in itself: the envelope lies in `$defs` under
/// its own `$id`, and the skill's branch of the union refers to it.
///
/// # Errors
/// `SCHEMA_MISSING` when the union has no branch for the skill.
pub fn for_skill(envelope_name: &str) -> Result<Value, Problem> {
    let broken = |error: serde_json::Error| {
        Problem::fail(
            "INTERNAL_ERROR",
            format!("an embedded schema is broken: {error}"),
        )
    };
    let envelope: Value = serde_json::from_str(ENVELOPE).map_err(broken)?;
    let union: Value = serde_json::from_str(OUTPUTS).map_err(broken)?;
    let branches = union.get("oneOf").and_then(Value::as_array);
    let branch = branches
        .and_then(|branches| branches.iter().find(|branch| names(branch, envelope_name)))
        .ok_or_else(|| {
            Problem::fail(
                "SCHEMA_MISSING",
                format!("the union has no branch for {envelope_name}"),
            )
        })?;
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert(
        "$id".to_owned(),
        json!(format!("urn:project_baton_v1:{envelope_name}:1.0.0")),
    );
    schema.extend(branch.as_object().cloned().unwrap_or_default());
    schema.insert("$defs".to_owned(), json!({"envelope": envelope}));
    Ok(Value::Object(schema))
}

fn names(branch: &Value, skill: &str) -> bool {
    let parts = branch.get("allOf").and_then(Value::as_array);
    parts.is_some_and(|parts| {
        parts.iter().any(|part| {
            part.pointer("/properties/skill/const")
                .and_then(Value::as_str)
                == Some(skill)
        })
    })
}
