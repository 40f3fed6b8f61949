//! What a test run left behind, as counts and names: bytes in, no reading or writing here.
//!
//! Nearly all of it is written by the code under test, so it is a claim: a change can always print
//! more passes than there were. What must hold is that it cannot hide the failure line of the real
//! runner. So where two statements disagree, the worse one counts or the whole is [`Unreadable`].

mod cargo;
mod cases;
mod compare;
mod failing;
mod go;
mod jest;
mod junit;
mod mocha;
mod nextest;
mod node;
mod plain;
mod pytest;
mod tap;
mod text;
mod unittest;
mod vitest;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::cases::Verdict;
pub use self::compare::{Comparison, compare};
pub use self::failing::failing_lines;
pub use baton_core::policy::Parser;

use self::cases::{Cases, Tally};

/// What a test run said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Tests that ran and held.
    pub passed: u64,
    /// Tests that failed, errors among them.
    pub failed: u64,
    /// Tests that did not run, and those that were expected to fail.
    pub skipped: u64,
    /// The tests by name, where the format gives names.
    pub cases: Option<BTreeMap<String, Verdict>>,
    /// Whether `cases` holds every test; otherwise it holds those that failed, all of them.
    pub complete: bool,
    /// The format it was read from; empty for one that was kept for later.
    #[serde(skip_deserializing)]
    pub source: &'static str,
}

impl Report {
    /// Tests that were really executed; skipped ones are not.
    #[must_use]
    pub fn executed(&self) -> u64 {
        self.passed.saturating_add(self.failed)
    }

    fn nameless(source: &'static str, tally: Tally) -> Self {
        Self {
            passed: tally.passed,
            failed: tally.failed,
            skipped: tally.skipped,
            cases: None,
            complete: false,
            source,
        }
    }

    /// With every test by name.
    fn complete(source: &'static str, tally: Tally, cases: BTreeMap<String, Verdict>) -> Self {
        Self {
            cases: Some(cases),
            complete: true,
            ..Self::nameless(source, tally)
        }
    }

    /// With the failed tests by name, when there are as many names as failures.
    fn failures(source: &'static str, tally: Tally, failed: Cases) -> Self {
        let failed = failed.failed();
        let cases = (failed.tally().failed == tally.failed).then(|| failed.each());
        Self {
            cases,
            ..Self::nameless(source, tally)
        }
    }
}

/// A report is there, and it is broken or contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The format it seemed to be.
    pub source: &'static str,
    /// What is wrong with it, as one sentence without a full stop.
    pub why: String,
}

impl Unreadable {
    fn new(source: &'static str, why: impl Into<String>) -> Self {
        Self {
            source,
            why: why.into(),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "the {} report is unreadable: {}",
            self.source, self.why
        )
    }
}

impl std::error::Error for Unreadable {}

type Read = Result<Option<Report>, Unreadable>;

/// Reads what a run left: its log, and the report files it wrote as (name, content).
///
/// `Ok(None)`: nothing said how many tests ran. Only `Auto` and `Junit` look at the files; the
/// caller must make sure that they were written by this run and not lying there before.
///
/// # Errors
/// [`Unreadable`]: a report is there, and it is broken, cut off or contradicts itself.
pub fn read(parser: Parser, log: &[u8], reports: &[(String, Vec<u8>)]) -> Read {
    let text = text::clean(log);
    match parser {
        Parser::Auto => beside(junit::read(reports)?, auto(&text)?),
        Parser::Junit => match junit::read(reports)? {
            // Whatever the log looks like, it is asked only whether it speaks of failures.
            Some(report) => beside(Some(report), auto(&text).unwrap_or(None)),
            None => Ok(None),
        },
        Parser::Tap => tap::read(&text),
        Parser::Cargo => cargo::read(&text),
        Parser::Nextest => nextest::read(&text),
        Parser::Pytest => pytest::read(&text),
        Parser::Go => go::read(&text),
        Parser::Node => node::read(&text),
        Parser::Jest => jest::read(&text),
        Parser::Vitest => vitest::read(&text),
        Parser::Mocha => mocha::read(&text),
        Parser::Unittest => unittest::read(&text),
        Parser::Plain => plain::read(&text),
    }
}

/// Report files beside a log: they hold the names, but a log that knows more failures is believed
/// over files that know fewer.
fn beside(files: Option<Report>, log: Option<Report>) -> Read {
    match (files, log) {
        (Some(files), Some(log)) if log.failed > 0 && files.failed == 0 => Err(Unreadable::new(
            files.source,
            format!(
                "it holds no failure, and the {} log tells of {}",
                log.source, log.failed
            ),
        )),
        // Some runners count a group of tests as one more. The names are no longer sure.
        (Some(files), Some(log)) if log.failed > files.failed => {
            let worse = Tally {
                passed: files.passed.min(log.passed),
                failed: log.failed,
                skipped: files.skipped.max(log.skipped),
            };
            Ok(Some(Report::nameless(files.source, worse)))
        }
        (Some(files), _) => Ok(Some(files)),
        (None, log) => Ok(log),
    }
}

/// All formats that are recognised, added up: one command may run several runners, and a test may
/// imitate one that is not there.
fn auto(text: &str) -> Read {
    const READERS: [fn(&str) -> Read; 9] = [
        cargo::read,
        nextest::read,
        pytest::read,
        go::read,
        node::read,
        jest::read,
        vitest::read,
        mocha::read,
        unittest::read,
    ];
    let mut reports = Vec::new();
    for reader in READERS {
        reports.extend(reader(text)?);
    }
    // The output of node in TAP was read as such already.
    if !reports.iter().any(|report| report.source == node::TAP) && tap::is_likely(text) {
        reports.extend(tap::read(text)?);
    }
    let plain = plain::read(text)?;
    let Some(sum) = reports.into_iter().reduce(sum) else {
        return Ok(plain);
    };
    match plain {
        Some(plain) if plain.failed > 0 && sum.failed == 0 => Err(Unreadable::new(
            sum.source,
            format!(
                "it knows no failure, and another line says {} failed",
                plain.failed
            ),
        )),
        _ => Ok(Some(sum)),
    }
}

/// Two reports of one command.
fn sum(left: Report, right: Report) -> Report {
    let complete = left.complete && right.complete;
    let can_name = |report: &Report| report.cases.is_some() || report.failed == 0;
    let cases = (can_name(&left) && can_name(&right)).then(|| {
        [&left, &right]
            .into_iter()
            .flat_map(|report| {
                let named = report.cases.iter().flatten();
                let kept = named.filter(|(_, verdict)| complete || **verdict == Verdict::Failed);
                kept.map(|(name, verdict)| (format!("{}: {name}", report.source), *verdict))
            })
            .collect()
    });
    Report {
        passed: left.passed.saturating_add(right.passed),
        failed: left.failed.saturating_add(right.failed),
        skipped: left.skipped.saturating_add(right.skipped),
        cases,
        complete,
        source: "several runners",
    }
}
