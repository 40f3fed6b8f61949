//! `go test`: with `-json` one event a line, with `-v` a line for each test, else one line for each
//! package, which then counts as one test.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::cases::{Cases, Tally, Verdict};
use super::{Read, Report, Unreadable};

const SOURCE: &str = "go test";

pub(super) fn read(log: &str) -> Read {
    match events(log)? {
        Some(cases) => Ok(report(cases)),
        None => lines(log),
    }
}

fn unreadable(why: impl Into<String>) -> Unreadable {
    Unreadable::new(SOURCE, why)
}

/// A name stands for one test, run once or more: the worst run counts.
fn report(cases: Cases) -> Option<Report> {
    let cases = cases.worst();
    let mut tally = Tally::default();
    for verdict in cases.values() {
        tally.count(*verdict);
    }
    Some(Report::complete(SOURCE, tally, cases))
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Package")]
    package: Option<String>,
    #[serde(rename = "Test")]
    test: Option<String>,
}

fn events(log: &str) -> Result<Option<Cases>, Unreadable> {
    let mut open: BTreeSet<String> = BTreeSet::new();
    let mut packages: BTreeMap<String, (bool, u64)> = BTreeMap::new();
    let mut cases = Cases::default();
    for line in log.lines().filter(|line| is_event(line)) {
        let event: Event = serde_json::from_str(line)
            .map_err(|error| unreadable(format!("a line of -json is broken: {error}")))?;
        let Some(package) = event.package else {
            continue;
        };
        let known = packages.entry(package.clone()).or_insert((false, 0));
        let verdict = match event.action.as_str() {
            "pass" => Verdict::Passed,
            "fail" => Verdict::Failed,
            "skip" => Verdict::Skipped,
            "run" => {
                open.extend(event.test.map(|test| format!("{package} {test}")));
                continue;
            }
            _ => continue,
        };
        let Some(test) = event.test else {
            known.0 = true;
            if verdict == Verdict::Failed && known.1 == 0 {
                cases.add(&package, Verdict::Failed);
            }
            continue;
        };
        known.1 += u64::from(verdict == Verdict::Failed);
        let name = format!("{package} {test}");
        open.remove(&name);
        cases.add(&name, verdict);
    }
    if packages.is_empty() {
        return Ok(None);
    }
    if let Some((package, _)) = packages.iter().find(|(_, (ended, _))| !ended) {
        return Err(unreadable(format!(
            "the events of package {package} have no end"
        )));
    }
    for name in open {
        cases.add(&name, Verdict::Failed);
    }
    Ok(Some(cases))
}

fn is_event(line: &str) -> bool {
    (line.starts_with("{\"Time\":") || line.starts_with("{\"Action\":"))
        && line.contains("\"Package\"")
}

/// The tests of the package that is being read.
#[derive(Default)]
struct Package {
    tests: Vec<(String, Verdict)>,
    running: BTreeSet<String>,
    said_fail: bool,
}

fn lines(log: &str) -> Read {
    let mut cases = Cases::default();
    let mut package = Package::default();
    for line in log.lines() {
        if let Some(name) = line.strip_prefix("=== RUN ") {
            package.running.insert(name.trim().to_owned());
        } else if let Some((name, verdict)) = test(line) {
            package.running.remove(name);
            package.tests.push((name.to_owned(), verdict));
        } else if line == "FAIL" {
            package.said_fail = true;
        } else if let Some((name, passed)) = ended(line) {
            close(std::mem::take(&mut package), name, passed, &mut cases);
        }
    }
    let loose = !package.tests.is_empty() || !package.running.is_empty();
    if loose {
        // A test binary run by itself names no package.
        let passed = !package.said_fail;
        close(package, "", passed, &mut cases);
    }
    if cases.tally().total() == 0 {
        return Ok(None);
    }
    Ok(report(cases))
}

fn close(package: Package, name: &str, passed: bool, cases: &mut Cases) {
    let unfinished = package
        .running
        .into_iter()
        .map(|test| (test, Verdict::Failed));
    let mut failed = false;
    let mut any = false;
    for (test, verdict) in package.tests.into_iter().chain(unfinished) {
        any = true;
        failed |= verdict == Verdict::Failed;
        cases.add(format!("{name} {test}").trim(), verdict);
    }
    let named = if name.is_empty() { "FAIL" } else { name };
    if !passed && !failed {
        cases.add(named, Verdict::Failed);
    } else if passed && !any {
        cases.add(named, Verdict::Passed);
    }
}

/// `    --- FAIL: TestA/sub (0.00s)`, also behind what a test printed without a line end
fn test(line: &str) -> Option<(&str, Verdict)> {
    let at = line.rfind("--- ")?;
    let (word, rest) = line.get(at + 4..)?.split_once(": ")?;
    let verdict = match word {
        "PASS" => Verdict::Passed,
        "FAIL" => Verdict::Failed,
        "SKIP" => Verdict::Skipped,
        _ => return None,
    };
    let (name, time) = rest.trim_end().split_once(" (")?;
    (time.ends_with("s)") && !name.contains(' ')).then_some((name, verdict))
}

/// `ok  \tpkg\t0.1s`, `FAIL\tpkg\t0.1s`, `FAIL\tpkg [build failed]`; a package in which no test ran
/// counts for nothing
fn ended(line: &str) -> Option<(&str, bool)> {
    let (word, rest) = line.split_once('\t')?;
    let passed = match word.trim_end() {
        "ok" => true,
        "FAIL" => false,
        _ => return None,
    };
    let (name, how) = rest.split_once(['\t', ' '])?;
    if passed && how.contains("[no tests to run]") {
        return None;
    }
    let is_end = how.starts_with(|c: char| c.is_ascii_digit()) || how.starts_with(['(', '[']);
    (is_end && !name.is_empty()).then_some((name, passed))
}
