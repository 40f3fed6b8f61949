//! What test runners leave behind, read back: real outputs, hostile ones, and anything at all.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod bounds;
mod compared;
mod hostile;
mod samples;
mod shown;

use gate_runner::counts::{Parser, Report, Unreadable, Verdict, read};

/// What a run came to, in short: `passed/failed/skipped`, `none` or `unreadable`.
fn short(parser: Parser, log: &str) -> String {
    brief(&read(parser, log.as_bytes(), &[]))
}

fn brief(read: &Result<Option<Report>, Unreadable>) -> String {
    match read {
        Ok(Some(report)) => format!("{}/{}/{}", report.passed, report.failed, report.skipped),
        Ok(None) => "none".to_owned(),
        Err(_) => "unreadable".to_owned(),
    }
}

fn report(parser: Parser, log: &str) -> Report {
    read(parser, log.as_bytes(), &[]).unwrap().unwrap()
}

fn names(report: &Report, wanted: Verdict) -> Vec<&str> {
    let cases = report.cases.as_ref().unwrap().iter();
    cases
        .filter(|(_, verdict)| **verdict == wanted)
        .map(|(name, _)| name.as_str())
        .collect()
}

/// Checks a table of (parser, log, what it comes to) and tells of every row that does not hold.
fn check(table: &[(Parser, &str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .filter_map(|(parser, log, expected)| {
            let got = short(*parser, log);
            (got != *expected).then(|| {
                let why = read(*parser, log.as_bytes(), &[]).err();
                format!("{parser:?}: expected {expected}, got {got} {why:?}\n{log}")
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}
