//! JUnit XML: each gate is a test case.

use std::fmt::Write as _;

use baton_core::masking;
use baton_core::outputs::CheckStatus;

use crate::Ran;

/// One gate of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateRow {
    /// The gate's id, as in `G5`.
    pub id: String,
    /// Its name in the policy.
    pub name: String,
    /// What came of it.
    pub status: CheckStatus,
    /// Its note: why it failed or was skipped.
    pub note: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The part of its log that a person should see; may be empty.
    pub log_excerpt: String,
}

/// The gates as one test suite. Everything is escaped, and what XML 1.0 cannot hold is replaced.
#[must_use]
pub fn render(rows: &[GateRow]) -> String {
    let count = |status: CheckStatus| rows.iter().filter(|row| row.status == status).count();
    let total: u64 = rows
        .iter()
        .fold(0, |sum, row| sum.saturating_add(row.duration_ms));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{}\"",
        rows.len(),
        count(CheckStatus::Fail),
        count(CheckStatus::Skip),
        seconds(total)
    );
    // Writing to a string cannot fail.
    let _ = writeln!(xml, "<testsuites name=\"baton\" {counts}>");
    let _ = writeln!(xml, "  <testsuite name=\"gates\" {counts}>");
    for row in rows {
        case(&mut xml, row);
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn case(xml: &mut String, row: &GateRow) {
    let name = format!("{} {}", row.id, row.name);
    let _ = writeln!(
        xml,
        "    <testcase classname=\"gates\" name=\"{}\" time=\"{}\">",
        escaped(name.trim()),
        seconds(row.duration_ms)
    );
    let note = escaped(&row.note);
    let _ = match row.status {
        CheckStatus::Pass => Ok(()),
        CheckStatus::Skip => writeln!(xml, "      <skipped message=\"{note}\"/>"),
        CheckStatus::Fail => writeln!(
            xml,
            "      <failure message=\"{note}\" type=\"GATE_FAILED\">{}</failure>",
            escaped(&row.log_excerpt)
        ),
    };
    if row.status != CheckStatus::Fail && !row.log_excerpt.is_empty() {
        let _ = writeln!(
            xml,
            "      <system-out>{}</system-out>",
            escaped(&row.log_excerpt)
        );
    }
    xml.push_str("    </testcase>\n");
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000)
}

/// Text for an attribute or an element. Line ends and tabs are written as references, as a reader
/// would turn them into spaces in an attribute.
fn escaped(text: &str) -> String {
    let text = masking::text(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            c if is_forbidden(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// What XML 1.0 cannot hold in any form, and the other controls, which it only discourages.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// The results of a run.
pub(crate) fn of(ran: &[Ran]) -> String {
    let rows: Vec<_> = ran
        .iter()
        .map(|ran| GateRow {
            id: ran.result.gate_id.clone(),
            name: ran.name.clone(),
            status: ran.result.status,
            note: ran.result.note.clone().unwrap_or_default(),
            duration_ms: ran.duration_ms,
            log_excerpt: ran.failing.join("\n"),
        })
        .collect();
    render(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{Parser, read};

    fn row(id: &str, status: CheckStatus, note: &str, log: &str) -> GateRow {
        GateRow {
            id: id.to_owned(),
            name: "tests <\"&'>".to_owned(),
            status,
            note: note.to_owned(),
            duration_ms: 1_234,
            log_excerpt: log.to_owned(),
        }
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        let xml = render(&[
            row("G1", CheckStatus::Pass, "", ""),
            row("G4", CheckStatus::Skip, "]]> <!-- \u{0}", "quiet"),
            row(
                "G5",
                CheckStatus::Fail,
                "a\nb\t\"c\"",
                "\u{1b}[31m</failure>\u{fffe}\u{9b}",
            ),
        ]);
        let report = read(
            Parser::Junit,
            b"",
            &[("out.xml".to_owned(), xml.clone().into_bytes())],
        )
        .unwrap()
        .unwrap();
        assert_eq!((report.passed, report.failed, report.skipped), (1, 1, 1));
        let names: Vec<_> = report.cases.unwrap().into_keys().collect();
        assert!(names[0].ends_with("G1 tests <\"&'>"), "{names:?}");
        assert!(
            xml.contains("message=\"a&#10;b&#9;&quot;c&quot;\""),
            "{xml}"
        );
        assert!(
            xml.contains("&lt;/failure&gt;\u{fffd}\u{fffd}</failure>"),
            "{xml}"
        );
        assert!(xml.contains("time=\"1.234\""), "{xml}");
        assert!(!xml.chars().any(|c| c.is_control() && c != '\n'), "{xml}");
    }

    #[test]
    fn every_character_that_xml_cannot_hold_is_replaced() {
        for c in (0..=0xffff_u32).filter_map(char::from_u32) {
            let text = escaped(&c.to_string());
            let legal = text.chars().all(|c| {
                matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
            });
            assert!(legal, "U+{:04X} became {text:?}", u32::from(c));
        }
    }
}
