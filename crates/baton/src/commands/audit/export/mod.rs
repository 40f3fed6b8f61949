//! `baton audit export`: the log in forms that other systems read, line by line.

mod csv;
mod otel;

use baton_core::audit::Event;

/// A line of the log: its bytes without the newline, and what they say.
pub(super) struct Entry<'a> {
    pub(super) line: &'a [u8],
    pub(super) event: &'a Event,
}

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The lines as they are: their digests are those of the log
    Ndjson,
    /// OTLP log records in JSON, one batch a line
    Otel,
    /// A table that a spreadsheet opens without running anything in it
    Csv,
}

/// Turns entries into text; what it holds back is bounded.
pub(super) enum Writer {
    Ndjson,
    Otel(otel::Batch),
    Csv { is_first: bool },
}

impl Writer {
    pub(super) fn new(format: Format) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson,
            Format::Otel => Self::Otel(otel::Batch::default()),
            Format::Csv => Self::Csv { is_first: true },
        }
    }

    /// What is to be written once this entry is there.
    pub(super) fn entry(&mut self, entry: &Entry<'_>) -> String {
        match self {
            Self::Ndjson => format!("{}\n", String::from_utf8_lossy(entry.line)),
            Self::Otel(batch) => batch.add(entry),
            Self::Csv { is_first } => {
                let head = if std::mem::take(is_first) {
                    csv::head()
                } else {
                    String::new()
                };
                head + &csv::row(entry)
            }
        }
    }

    /// What is left to be written at the end.
    pub(super) fn end(self) -> String {
        match self {
            Self::Otel(batch) => batch.end(),
            // A table without rows has its heads all the same.
            Self::Csv { is_first: true } => csv::head(),
            Self::Ndjson | Self::Csv { .. } => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use baton_core::digest;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A line whose free texts are given.
    fn line(task: &str, text: &str) -> Vec<u8> {
        let digest = "0".repeat(64);
        let line = json!({
            "ts": "2026-03-04T05:06:07.089Z", "seq": 7, "event_id": "EVT-1", "prev_event_id": null,
            "prev_sha256": digest, "level": "WARN", "actor": "human", "action": "EVENT_RECORDED",
            "skill": "audit-append", "status": "NA", "decision": "NA", "task_id": task,
            "from_state": "unknown", "to_state": "unknown", "repo_ref": text, "inputs_sha256": digest,
            "outputs_sha256": digest, "approvals": [], "artifacts": [],
            "findings": [{"severity": "LOW", "code": "A_CODE", "message": text}], "meta": {"text": text},
        });
        line.to_string().into_bytes()
    }

    fn exported(format: Format, lines: &[Vec<u8>]) -> String {
        let mut writer = Writer::new(format);
        let mut text = String::new();
        for line in lines {
            let event = Event::parse(line).unwrap();
            text += &writer.entry(&Entry {
                line,
                event: &event,
            });
        }
        text + &writer.end()
    }

    #[test]
    fn ndjson_is_the_log_itself() {
        let lines = [line("T-1", "a"), line("T-2", "ä")];
        let text = exported(Format::Ndjson, &lines);
        assert_eq!(
            text.as_bytes(),
            [&lines[0][..], b"\n", &lines[1], b"\n"].concat()
        );
    }

    #[test]
    fn otel_records_hold_time_severity_and_the_line() {
        let lines: Vec<_> = (0..250).map(|n| line("T-1", &n.to_string())).collect();
        let text = exported(Format::Otel, &lines);
        assert_eq!(text.lines().count(), 3);
        let mut bodies = Vec::new();
        for batch in text.lines() {
            let batch: Value = serde_json::from_str(batch).unwrap();
            let scope = &batch["resourceLogs"][0]["scopeLogs"][0];
            for record in scope["logRecords"].as_array().unwrap() {
                assert_eq!(record["timeUnixNano"], "1772600767089000000");
                assert_eq!(
                    (&record["severityNumber"], &record["severityText"]),
                    (&json!(13), &json!("WARN"))
                );
                let body = record["body"]["stringValue"].as_str().unwrap();
                let attributes = record["attributes"].as_array().unwrap();
                let of = |key: &str| {
                    attributes.iter().find(|one| one["key"] == key).unwrap()["value"].clone()
                };
                assert_eq!(of("baton.seq"), json!({"intValue": "7"}));
                assert_eq!(of("baton.action"), json!({"stringValue": "EVENT_RECORDED"}));
                assert_eq!(
                    of("baton.line.sha256"),
                    json!({"stringValue": digest::sha256(body.as_bytes())})
                );
                bodies.push(body.as_bytes().to_vec());
            }
        }
        assert_eq!(bodies, lines);
        assert_eq!(exported(Format::Otel, &[]), "");
    }

    /// Reads a table as RFC 4180 writes it.
    fn cells(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut quoted) =
            (Vec::new(), Vec::new(), String::new(), false);
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if quoted && rest.peek() == Some(&'"') => cell.extend(rest.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut cell)),
                '\r' if !quoted => {}
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                c => cell.push(c),
            }
        }
        assert!(!quoted && row.is_empty() && cell.is_empty());
        rows
    }

    #[test]
    fn csv_has_a_head_and_one_row_for_each_line() {
        let rows = cells(&exported(
            Format::Csv,
            &[line("T-1", "a"), line("-", "b,\"c\"")],
        ));
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
        let column = |name: &str| rows[0].iter().position(|head| head == name).unwrap();
        assert_eq!(rows[1][column("task_id")], "T-1");
        assert_eq!(rows[2][column("task_id")], "-");
        assert_eq!(rows[2][column("repo_ref")], "b,\"c\"");
        assert_eq!(rows[1][column("findings")], "A_CODE");
        assert_eq!(rows[1][column("sha256")], digest::sha256(&line("T-1", "a")));
        assert_eq!(cells(&exported(Format::Csv, &[])).len(), 1);
    }

    #[test]
    fn no_cell_begins_as_a_formula() {
        for start in [
            "=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "\u{a0}=", "|", "%",
        ] {
            let text = format!("{start}HYPERLINK(\"http://x\")");
            let rows = cells(&exported(Format::Csv, &[line("T-1", &text)]));
            for cell in rows.iter().flatten() {
                let first = cell.chars().next().unwrap_or('a');
                let is_plain = first.is_ascii_alphanumeric() || "'{[-".contains(first);
                assert!(is_plain && (first != '-' || cell == "-"), "{cell:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_in_its_cell(text in "(\\PC|[=,\"';\r\n\t]){1,40}") {
            let rows = cells(&exported(Format::Csv, &[line("T-1", &text)]));
            prop_assert_eq!(rows.len(), 2);
            prop_assert_eq!(rows[0].len(), rows[1].len());
            let at = rows[0].iter().position(|head| head == "repo_ref").unwrap();
            let cell = rows[1][at].strip_prefix('\'').unwrap_or(&rows[1][at]);
            let quoted = ["'", cell].concat();
            prop_assert!(cell == text || quoted == text);
        }
    }
}
