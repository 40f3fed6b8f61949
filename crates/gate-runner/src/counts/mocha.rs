//! mocha's spec reporter: an outline of tests, then `3 passing (5ms)`, `1 pending`, `2 failing`.

use super::cases::{Cases, Tally, Verdict};
use super::text::{self, Outline};
use super::{Read, Report, Unreadable};

const SOURCE: &str = "mocha";

pub(super) fn read(log: &str) -> Read {
    let mut tally = Tally::default();
    let mut seen = false;
    let mut outline = Outline::default();
    let mut cases = Cases::default();
    for line in log.lines() {
        match summary(line)? {
            Some((Verdict::Passed, number)) => {
                seen = true;
                tally.passed += number;
            }
            // Always below the line that counts the passes.
            Some((Verdict::Failed, number)) if seen => tally.failed += number,
            Some((Verdict::Skipped, number)) if seen => tally.skipped += number,
            _ if !seen => test(line, &mut outline, &mut cases),
            _ => {}
        }
    }
    if !seen {
        return Ok(None);
    }
    if cases.tally() == tally {
        return Ok(Some(Report::complete(SOURCE, tally, cases.each())));
    }
    Ok(Some(Report::failures(SOURCE, tally, cases)))
}

fn summary(line: &str) -> Result<Option<(Verdict, u64)>, Unreadable> {
    let line = line.trim_end();
    let without_time = text::without_time(line);
    let Some((number, word)) = text::number_and_word(without_time) else {
        return Ok(None);
    };
    let verdict = match (word, without_time.len() < line.len()) {
        ("passing", true) => Verdict::Passed,
        ("failing", false) => Verdict::Failed,
        ("pending", false) => Verdict::Skipped,
        _ => return Ok(None),
    };
    let number =
        number.ok_or_else(|| Unreadable::new(SOURCE, "a number in the summary is no count"))?;
    Ok(Some((verdict, number)))
}

/// `    ✔ works (80ms)`, `    1) breaks`, `    - later`, or the title of a group
fn test(line: &str, outline: &mut Outline, cases: &mut Cases) {
    let indent = text::indent(line);
    let title = line.trim();
    if title.is_empty() {
        return;
    }
    let numbered = title
        .split_once(") ")
        .filter(|(number, _)| text::count(number).is_some())
        .map(|(_, title)| (title, Verdict::Failed));
    let marks = [
        ("✔ ", Verdict::Passed),
        ("✓ ", Verdict::Passed),
        ("√ ", Verdict::Passed),
        ("- ", Verdict::Skipped),
    ];
    let marked = marks
        .into_iter()
        .find_map(|(mark, verdict)| title.strip_prefix(mark).map(|title| (title, verdict)));
    match marked.or(numbered) {
        Some((title, verdict)) if indent >= 2 => {
            cases.add_path(outline.name(indent, text::without_time(title)), verdict);
        }
        _ => outline.open(indent, title),
    }
}
