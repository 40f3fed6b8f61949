//! vitest: `Test Files  1 failed (1)` and `Tests  1 failed | 3 passed (4)`; names where it lists
//! them.

use super::cases::{Cases, Tally, Verdict};
use super::text::{self, Outline};
use super::{Read, Report, Unreadable};

const SOURCE: &str = "vitest";

pub(super) fn read(log: &str) -> Read {
    let mut tally = Tally::default();
    let (mut files, mut tests, mut broken, mut errors) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut outline = Outline::default();
    let (mut lines, mut listed) = (Cases::default(), Cases::default());
    for line in log.lines() {
        let trimmed = line.trim();
        if let Some(counts) = trimmed
            .strip_prefix("Test Files  ")
            .map(totals)
            .transpose()?
            .flatten()
        {
            broken += counts.failed;
            files += 1;
        } else if let Some(counts) = trimmed
            .strip_prefix("Tests  ")
            .map(totals)
            .transpose()?
            .flatten()
        {
            tally.add(counts);
            tests += 1;
        } else if let Some(counts) = trimmed.strip_prefix("Errors  ") {
            errors += counts.split(' ').next().and_then(text::count).unwrap_or(1);
        } else if let Some(name) = line.strip_prefix(" FAIL  ") {
            listed.add_path(text::join(name.split(" > ")), Verdict::Failed);
        } else {
            test(line, &mut outline, &mut lines);
        }
    }
    if files != tests {
        return Err(Unreadable::new(
            SOURCE,
            format!("{files} lines count files and {tests} lines count tests"),
        ));
    }
    if tests == 0 {
        return Ok(None);
    }
    let unnamed = if tally.failed == 0 {
        broken.max(errors)
    } else {
        errors
    };
    if unnamed > 0 {
        // A file that could not be loaded, or an error outside of every test.
        tally.failed += unnamed;
        return Ok(Some(Report::nameless(SOURCE, tally)));
    }
    if lines.tally() == tally && lines.confirms(&listed) {
        return Ok(Some(Report::complete(SOURCE, tally, lines.each())));
    }
    Ok(Some(Report::failures(SOURCE, tally, listed)))
}

/// `1 failed | 3 passed | 1 skipped | 1 todo (6)`, or `no tests`
fn totals(text: &str) -> Result<Option<Tally>, Unreadable> {
    let broken = |why: &str| Unreadable::new(SOURCE, why);
    let text = text.trim();
    if text == "no tests" {
        return Ok(Some(Tally::default()));
    }
    let Some((counts, total)) = text
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once(" ("))
    else {
        return Ok(None);
    };
    let mut tally = Tally::default();
    for part in counts.split(" | ") {
        let Some((number, word)) = part.split_once(' ') else {
            return Ok(None);
        };
        let target = match word {
            "passed" => &mut tally.passed,
            "failed" => &mut tally.failed,
            "skipped" | "todo" => &mut tally.skipped,
            _ => return Ok(None),
        };
        *target +=
            text::count(number).ok_or_else(|| broken("a number in the summary is no count"))?;
    }
    if text::count(total) != Some(tally.total()) {
        return Err(broken("the summary's counts do not add up"));
    }
    Ok(Some(tally))
}

/// ` ✓ a.spec.ts > group > works 1ms`, or the same below a line with the file's name
fn test(line: &str, outline: &mut Outline, cases: &mut Cases) {
    let indent = text::indent(line);
    let mut marked = line.trim().splitn(2, ' ');
    let (Some(mark), Some(title)) = (marked.next(), marked.next()) else {
        return;
    };
    let verdict = match mark {
        "✓" | "√" => Verdict::Passed,
        "×" => Verdict::Failed,
        "↓" | "❯" => Verdict::Skipped,
        _ => return,
    };
    let title = text::without_time(title);
    if let Some(file) = file_of(title) {
        outline.open(indent, file);
    } else if mark != "❯" {
        let name = outline.name(indent, "");
        let titles = title.split(" > ");
        let name = name.trim_end_matches(" > ").to_owned();
        let name = if name.is_empty() {
            text::join(titles)
        } else {
            text::join([name.as_str()].into_iter().chain(titles))
        };
        cases.add_path(name, verdict);
    }
}

/// `a.spec.ts (6 tests | 1 failed)`
fn file_of(title: &str) -> Option<&str> {
    let (file, rest) = title.strip_suffix(')')?.rsplit_once(" (")?;
    let (number, words) = rest.split_once(' ')?;
    (text::count(number).is_some() && words.starts_with("test")).then_some(file)
}
