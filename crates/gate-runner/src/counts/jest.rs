//! jest: `Test Suites: …` and `Tests: 1 failed, 3 passed, 4 total`; names where it lists them.

use super::cases::{Cases, Tally, Verdict};
use super::text::{self, Outline};
use super::{Read, Report, Unreadable};

const SOURCE: &str = "jest";

pub(super) fn read(log: &str) -> Read {
    let mut tally = Tally::default();
    let (mut suites, mut tests, mut broken) = (0_u64, 0_u64, 0_u64);
    let mut outline = Outline::default();
    let (mut lines, mut listed) = (Cases::default(), Cases::default());
    let mut file = "";
    for line in log.lines() {
        if let Some(counts) = line.strip_prefix("Test Suites: ") {
            broken += totals(counts)?.map_or(0, |counts| counts.failed);
            suites += 1;
        } else if let Some(counts) = line.strip_prefix("Tests: ") {
            let Some(counts) = totals(counts)? else {
                continue;
            };
            tally.add(counts);
            tests += 1;
        } else if let Some(path) = file_of(line) {
            file = path;
            outline.open(0, path);
        } else if let Some(name) = line.strip_prefix("  ● ") {
            listed.add_path(
                text::join([file].into_iter().chain(name.split(" › "))),
                Verdict::Failed,
            );
        } else {
            test(line, &mut outline, &mut lines);
        }
    }
    if suites != tests {
        return Err(Unreadable::new(
            SOURCE,
            format!("{suites} lines count suites and {tests} lines count tests"),
        ));
    }
    if tests == 0 {
        return Ok(None);
    }
    if broken > 0 && tally.failed == 0 {
        // A suite that could not be loaded has no tests to fail.
        tally.failed = broken;
        return Ok(Some(Report::nameless(SOURCE, tally)));
    }
    if lines.tally() == tally && lines.confirms(&listed) {
        return Ok(Some(Report::complete(SOURCE, tally, lines.each())));
    }
    Ok(Some(Report::failures(SOURCE, tally, listed)))
}

/// `1 failed, 1 skipped, 1 todo, 3 passed, 6 total`; `None` when there is no total
fn totals(counts: &str) -> Result<Option<Tally>, Unreadable> {
    let broken = |why: &str| Unreadable::new(SOURCE, why);
    let mut tally = Tally::default();
    let mut total = None;
    for part in counts.trim().split(", ") {
        let Some((number, word)) = part.split_once(' ') else {
            return Ok(None);
        };
        let number = text::count(number);
        let target = match word {
            "passed" => &mut tally.passed,
            "failed" => &mut tally.failed,
            "skipped" | "todo" | "pending" => &mut tally.skipped,
            // `1 of 3 total` when suites were left out
            word if word.ends_with("total") => {
                total = Some(number.ok_or_else(|| broken("the total is no count"))?);
                continue;
            }
            _ => return Ok(None),
        };
        *target += number.ok_or_else(|| broken("a number in the summary is no count"))?;
    }
    match total {
        Some(total) if total != tally.total() => Err(broken("the summary's counts do not add up")),
        total => Ok(total.map(|_| tally)),
    }
}

/// `PASS ./a.test.js (5.1 s)`
fn file_of(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("PASS ")
        .or_else(|| line.strip_prefix("FAIL "))?;
    rest.split_whitespace().next()
}

/// `    ✓ works (1 ms)` below the names of its groups
fn test(line: &str, outline: &mut Outline, cases: &mut Cases) {
    let indent = text::indent(line);
    let title = line.trim();
    if indent < 2 || title.is_empty() {
        return;
    }
    let marks = [
        ("✓ ", Verdict::Passed),
        ("√ ", Verdict::Passed),
        ("✕ ", Verdict::Failed),
        ("× ", Verdict::Failed),
        ("○ ", Verdict::Skipped),
        ("✎ ", Verdict::Skipped),
    ];
    let marked = marks
        .into_iter()
        .find_map(|(mark, verdict)| title.strip_prefix(mark).map(|title| (title, verdict)));
    match marked {
        Some((title, verdict)) => {
            let title = text::without_time(title);
            let title = title
                .strip_prefix("skipped ")
                .filter(|_| verdict == Verdict::Skipped)
                .unwrap_or(title);
            cases.add_path(outline.name(indent, title), verdict);
        }
        None => outline.open(indent, title),
    }
}
