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
/// The manifest over the evidence of a gate run.
pub const EVIDENCE_MANIFEST: &str = include_str!("../../../schemas/evidence_manifest.schema.json");
/// Which policy counts.
pub const POLICY_ACCEPTED: &str = include_str!("../../../schemas/policy_accepted.schema.json");

/// Every schema with the base name of its file in `schemas/`.
pub const ALL: &[(&str, &str)] = &[
    ("skill_io_envelope", ENVELOPE),
    ("skill_outputs", OUTPUTS),
    ("task", TASK),
    ("manifest", MANIFEST),
    ("policy", POLICY),
    ("candidate", CANDIDATE),
    ("diff_summary", DIFF_SUMMARY),
    ("approval", APPROVAL),
    ("audit_event", AUDIT_EVENT),
    ("report", REPORT),
    ("evidence_manifest", EVIDENCE_MANIFEST),
    ("policy_accepted", POLICY_ACCEPTED),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_names_itself() {
        for (name, text) in ALL {
            let schema: Value = serde_json::from_str(text).unwrap();
            let id = schema["$id"].as_str().unwrap();
            let expected = match *name {
                "skill_io_envelope" => "skill_output_envelope",
                other => other,
            };
            assert_eq!(id, format!("urn:project_baton_v1:{expected}:1.0.0"));
        }
    }

    /// Every `$ref` in a document, with the anchors that it can reach.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.push(reference.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_skill_has_a_schema_that_stands_alone() {
        let union: Value = serde_json::from_str(OUTPUTS).unwrap();
        let branches = union["oneOf"].as_array().unwrap();
        assert_eq!(branches.len(), 11);
        for branch in branches {
            let skill = branch["allOf"][1]["properties"]["skill"]["const"]
                .as_str()
                .unwrap();
            let schema = for_skill(skill).unwrap();
            let envelope = schema["$defs"]["envelope"]["$id"].as_str().unwrap();
            let mut found = Vec::new();
            references(&schema["allOf"], &mut found);
            assert_eq!(found, [envelope], "{skill}");
        }
        assert_eq!(for_skill("patch-draft").unwrap_err().code, "SCHEMA_MISSING");
    }
}
