//! SARIF 2.1.0: findings where code-scanning views show them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use baton_core::envelope::Severity;
use baton_core::masking;
use baton_core::outputs::CheckStatus;
use baton_risk::RiskReport;
use serde_json::{Map, Value, json};

use crate::Ran;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRow {
    /// The rule's id.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the repository's root, with forward slashes.
    pub path: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u64>,
    /// What is wrong, for a person.
    pub message: String,
}

/// The findings as one run of `baton` at this version. A path that is absolute or leaves the
/// repository names no place in it and is left out; the message stays.
#[must_use]
pub fn render(version: &str, rows: &[FindingRow]) -> String {
    let mut rules: BTreeMap<&str, usize> = rows.iter().map(|row| (row.rule.as_str(), 0)).collect();
    for (index, place) in rules.values_mut().enumerate() {
        *place = index;
    }
    let results: Vec<Value> = rows
        .iter()
        .map(|row| {
            result(
                row,
                rules.get(row.rule.as_str()).copied().unwrap_or_default(),
            )
        })
        .collect();
    let described: Vec<Value> = rules.keys().map(|id| json!({ "id": id })).collect();
    let mut log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "baton", "version": version, "rules": described}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    masking::value(&mut log);
    format!("{log:#}\n")
}

fn result(row: &FindingRow, rule_index: usize) -> Value {
    let level = match row.severity {
        Severity::Info => "note",
        Severity::Low | Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    };
    let mut result = Map::new();
    let fields = [
        ("ruleId", json!(row.rule)),
        ("ruleIndex", json!(rule_index)),
        ("level", json!(level)),
        ("message", json!({"text": row.message})),
    ];
    result.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    if let Some(uri) = row.path.as_deref().and_then(uri) {
        let mut place = Map::new();
        place.insert(
            "artifactLocation".to_owned(),
            json!({"uri": uri, "uriBaseId": "%SRCROOT%"}),
        );
        if let Some(line) = row.line.filter(|line| *line > 0) {
            place.insert("region".to_owned(), json!({"startLine": line}));
        }
        result.insert(
            "locations".to_owned(),
            json!([{ "physicalLocation": place }]),
        );
    }
    Value::Object(result)
}

/// The path as a relative reference: every byte that is not plain is written as `%XX`.
fn uri(path: &str) -> Option<String> {
    let inside = !path.is_empty()
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    if !inside {
        return None;
    }
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    Some(uri)
}

/// What the scan found, each at its place, and the gates that have not passed.
pub(crate) fn of(ran: &[Ran], scan: &RiskReport) -> String {
    let hits = scan.summary.findings.iter().map(|hit| FindingRow {
        rule: hit.rule.clone(),
        severity: hit.severity,
        path: Some(hit.path.clone()),
        line: hit.line,
        message: format!("{}: {}", hit.rule, hit.excerpt),
    });
    let gates = ran.iter().filter(|ran| !ran.counts_as_passed());
    let gates = gates.map(|ran| FindingRow {
        rule: ran.result.gate_id.clone(),
        severity: match ran.result.status {
            CheckStatus::Skip => Severity::Medium,
            _ => Severity::High,
        },
        path: None,
        line: None,
        message: format!(
            "{} ({}): {}",
            ran.result.gate_id,
            ran.name,
            ran.result.note.as_deref().unwrap_or_default()
        ),
    });
    let rows: Vec<_> = hits.chain(gates).collect();
    render(env!("CARGO_PKG_VERSION"), &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rule: &str, severity: Severity, path: Option<&str>, line: Option<u64>) -> FindingRow {
        FindingRow {
            rule: rule.to_owned(),
            severity,
            path: path.map(str::to_owned),
            line,
            message: "what \u{1} \"is\" wrong".to_owned(),
        }
    }

    fn rendered(rows: &[FindingRow]) -> Value {
        serde_json::from_str(&render("1.0.0", rows)).unwrap()
    }

    /// What the schema requires of the objects that are written here.
    fn check(log: &Value) {
        assert_eq!(log["version"], "2.1.0");
        assert!(
            log["$schema"]
                .as_str()
                .unwrap()
                .ends_with("sarif-schema-2.1.0.json")
        );
        for run in log["runs"].as_array().unwrap() {
            let driver = &run["tool"]["driver"];
            assert!(!driver["name"].as_str().unwrap().is_empty());
            let rules = driver["rules"].as_array().unwrap();
            let mut ids: Vec<_> = rules
                .iter()
                .map(|rule| rule["id"].as_str().unwrap())
                .collect();
            ids.dedup();
            assert_eq!(ids.len(), rules.len(), "rules must be unique");
            for result in run["results"].as_array().unwrap() {
                assert!(result["message"]["text"].is_string());
                let level = result["level"].as_str().unwrap();
                assert!(["none", "note", "warning", "error"].contains(&level));
                let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
                assert_eq!(rules[index]["id"], result["ruleId"]);
                for location in result["locations"].as_array().into_iter().flatten() {
                    let place = &location["physicalLocation"];
                    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
                    assert!(
                        uri.is_ascii() && !uri.starts_with('/') && !uri.contains([':', ' ', '\\'])
                    );
                    let line = place
                        .get("region")
                        .map(|region| region["startLine"].as_u64().unwrap());
                    assert!(line.is_none_or(|line| line >= 1));
                }
            }
        }
    }

    #[test]
    fn what_the_schema_requires_is_there() {
        let log = rendered(&[
            row("b", Severity::Critical, Some("src/a b%#ü.rs"), Some(3)),
            row("a", Severity::Low, Some("c:x"), Some(0)),
            row("b", Severity::Info, None, Some(9)),
        ]);
        check(&log);
        let results = &log["runs"][0]["results"];
        let place = |at: usize| &results[at]["locations"][0]["physicalLocation"];
        assert_eq!(
            place(0)["artifactLocation"]["uri"],
            "src/a%20b%25%23%C3%BC.rs"
        );
        assert_eq!(place(0)["region"]["startLine"], 3);
        assert_eq!(place(1)["artifactLocation"]["uri"], "c%3Ax");
        assert!(place(1).get("region").is_none());
        assert!(results[2].get("locations").is_none());
        assert_eq!(results[0]["level"], "error");
        assert_eq!(results[2]["level"], "note");
        check(&rendered(&[]));
    }

    #[test]
    fn a_path_out_of_the_repository_is_no_place() {
        for path in ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a/"] {
            assert_eq!(uri(path), None, "{path}");
        }
        assert_eq!(uri("a\\..\\b").unwrap(), "a%5C..%5Cb");
        assert_eq!(uri("a/..b").unwrap(), "a/..b");
    }
}
