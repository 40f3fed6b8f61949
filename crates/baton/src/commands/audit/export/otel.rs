//! Log records of OpenTelemetry in the JSON form of OTLP, as its file exporter writes them: one
//! `LogsData` a line.

use baton_core::audit::Level;
use baton_core::{clock, digest};
use serde_json::{Value, json};

use super::Entry;
use crate::commands::audit::name;

/// Records in one line.
const MOST: usize = 100;

/// Records that wait for their line to be full.
#[derive(Default)]
pub(in crate::commands::audit) struct Batch(Vec<Value>);

impl Batch {
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> String {
        self.0.push(record(entry));
        if self.0.len() < MOST {
            return String::new();
        }
        std::mem::take(self).end()
    }

    pub(super) fn end(self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let scope = json!({"name": "baton.audit", "version": env!("CARGO_PKG_VERSION")});
        let resource = json!({"attributes": [text("service.name", "baton".to_owned())]});
        let logs = json!({"resourceLogs": [{
            "resource": resource,
            "scopeLogs": [{"scope": scope, "logRecords": self.0}],
        }]});
        format!("{logs}\n")
    }
}

fn record(entry: &Entry<'_>) -> Value {
    let event = entry.event;
    let time = clock::parse_rfc3339(&event.ts);
    let time = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    // 64-bit numbers are texts in this form.
    let nanos = time.unwrap_or_default().as_nanos().to_string();
    let severity = match event.level {
        Level::Info => 9,
        Level::Warn => 13,
        Level::Error => 17,
    };
    let action = name(&event.action);
    json!({
        "timeUnixNano": nanos,
        "observedTimeUnixNano": nanos,
        "severityNumber": severity,
        "severityText": name(&event.level),
        "eventName": format!("baton.{}", action.to_ascii_lowercase()),
        "body": {"stringValue": String::from_utf8_lossy(entry.line)},
        "attributes": [
            {"key": "baton.seq", "value": {"intValue": event.seq.to_string()}},
            text("baton.event_id", event.event_id.clone()),
            text("baton.action", action),
            text("baton.actor", name(&event.actor)),
            text("baton.skill", event.skill.clone()),
            text("baton.status", name(&event.status)),
            text("baton.decision", name(&event.decision)),
            text("baton.task_id", event.task_id.clone()),
            text("baton.from_state", name(&event.from_state)),
            text("baton.to_state", name(&event.to_state)),
            text("baton.line.sha256", digest::sha256(entry.line)),
        ],
    })
}

fn text(key: &str, value: String) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
