//! The lines of a failed run that a person wants to see first.

use std::collections::BTreeSet;

use super::{Report, text};

/// At most this many lines are returned.
const MOST: usize = 20;
/// The longest line, in characters.
const LONGEST: usize = 300;

/// How much a line tells, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Names what failed.
    Failed,
    /// Says why.
    Why,
    /// Hints at trouble.
    Trouble,
}

/// The most telling lines of a failed run's log, at most 20: which tests failed, then why, then
/// what else looks like trouble; without any of these, the last lines. Safe to show: control
/// characters and those that change the direction of text are escaped.
#[must_use]
pub fn failing_lines(log: &[u8], report: Option<&Report>) -> Vec<String> {
    let clean = text::clean(log);
    let source = report.map_or("", |report| report.source);
    let mut found: [Vec<&str>; 3] = Default::default();
    let mut seen = BTreeSet::new();
    for line in clean.lines().map(str::trim) {
        let Some(weight) = weight(line, source) else {
            continue;
        };
        let Some(lines) = found.get_mut(weight as usize) else {
            continue;
        };
        if lines.len() < MOST && seen.insert(line) {
            lines.push(line);
        }
    }
    let mut lines: Vec<&str> = found.into_iter().flatten().take(MOST).collect();
    if lines.is_empty() {
        let last = clean
            .lines()
            .rev()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        lines = last.take(5).collect();
        lines.reverse();
    }
    lines
        .into_iter()
        .map(|line| text::shown_up_to(line, LONGEST))
        .collect()
}

/// The beginnings by which a format's failed tests are known.
fn marks(source: &str) -> &'static [&'static str] {
    match source {
        "cargo test" => &["test result: FAILED"],
        "nextest" => &["FAIL [", "TIMEOUT [", "SIG", "ABORT ["],
        "pytest" => &["FAILED ", "ERROR "],
        "unittest" => &["FAIL: ", "ERROR: ", "FAILED ("],
        "go test" => &["--- FAIL: ", "FAIL\t"],
        "TAP" | "node --test (TAP)" => &["not ok "],
        "node --test" => &["✖ "],
        "jest" => &["● ", "✕ ", "FAIL "],
        "vitest" => &["FAIL  ", "× "],
        // Other sources, and logs in which nothing was recognised.
        _ => &[
            "not ok ",
            "--- FAIL: ",
            "FAILED ",
            "FAIL: ",
            "FAIL ",
            "ERROR: ",
            "✖ ",
            "● ",
            "✕ ",
            "× ",
        ],
    }
}

fn weight(line: &str, source: &str) -> Option<Weight> {
    // `test a ... FAILED` ends with its verdict; only a short end is looked at, whatever the length.
    let names = marks(source).iter().any(|mark| line.starts_with(mark));
    let numbered = source == "mocha"
        && line
            .split_once(") ")
            .is_some_and(|(number, _)| text::count(number).is_some());
    if names || numbered || line.ends_with(" ... FAILED") {
        return Some(Weight::Failed);
    }
    const WHY: [&str; 11] = [
        "thread '",
        "panic:",
        "assertion ",
        "AssertionError",
        "Error: ",
        "E  ",
        "error[",
        "error: ",
        "fatal: ",
        "left: ",
        "right: ",
    ];
    let why = WHY.iter().any(|mark| line.starts_with(mark))
        || line
            .split_once(": ")
            .is_some_and(|(kind, _)| is_error_name(kind));
    if why {
        return Some(Weight::Why);
    }
    const TROUBLE: [&str; 7] = [
        "error",
        "Error",
        "failed",
        "FAILED",
        "panicked",
        "Killed",
        "Segmentation fault",
    ];
    TROUBLE
        .iter()
        .any(|word| line.contains(word))
        .then_some(Weight::Trouble)
}

/// `ValueError` or `pkg.CustomError`
fn is_error_name(kind: &str) -> bool {
    kind.ends_with("Error")
        && kind
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_'))
}
