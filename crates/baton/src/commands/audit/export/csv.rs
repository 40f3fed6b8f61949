//! The table, as RFC 4180 writes it. Every cell is quoted, and none begins with what makes a
//! spreadsheet take it for a formula.

use baton_core::digest;
use serde_json::Value;

use super::Entry;
use crate::commands::audit::name;

const COLUMNS: [&str; 17] = [
    "ts",
    "seq",
    "event_id",
    "level",
    "actor",
    "action",
    "skill",
    "status",
    "decision",
    "task_id",
    "from_state",
    "to_state",
    "repo_ref",
    "findings",
    "meta",
    "prev_sha256",
    "sha256",
];

pub(super) fn head() -> String {
    line(COLUMNS.map(str::to_owned))
}

pub(super) fn row(entry: &Entry<'_>) -> String {
    let event = entry.event;
    let codes: Vec<&str> = event.findings.iter().map(|one| one.code.as_str()).collect();
    line([
        event.ts.clone(),
        event.seq.to_string(),
        event.event_id.clone(),
        name(&event.level),
        name(&event.actor),
        name(&event.action),
        event.skill.clone(),
        name(&event.status),
        name(&event.decision),
        event.task_id.clone(),
        name(&event.from_state),
        name(&event.to_state),
        event.repo_ref.clone(),
        codes.join(" "),
        Value::Object(event.meta.clone()).to_string(),
        event.prev_sha256.clone(),
        digest::sha256(entry.line),
    ])
}

fn line(cells: [String; COLUMNS.len()]) -> String {
    let cells = cells.map(|cell| format!("\"{}\"", tame(&cell).replace('"', "\"\"")));
    cells.join(",") + "\r\n"
}

/// Puts an apostrophe before whatever does not begin plainly: spreadsheets know more beginnings of a
/// formula than a list of them would name, blanks before one among them.
fn tame(cell: &str) -> String {
    let plain = |first: char| first.is_ascii_alphanumeric() || "{[".contains(first);
    if cell.is_empty() || cell == "-" || cell.starts_with(plain) {
        return cell.to_owned();
    }
    format!("'{cell}")
}
