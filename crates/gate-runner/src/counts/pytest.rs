//! pytest: the last line, with or without its frame; names from `-v` or `-rA`, those of failed
//! tests from the short summary.

use super::cases::{Cases, Tally, Verdict};
use super::{Read, Report, Unreadable, text};

const SOURCE: &str = "pytest";

pub(super) fn read(log: &str) -> Read {
    let mut tally = Tally::default();
    let (mut sessions, mut summaries) = (0_u64, 0_u64);
    let (mut lines, mut listed) = (Cases::default(), Cases::default());
    for line in log.lines() {
        if line.starts_with('=') && line.contains(" test session starts ") {
            sessions += 1;
        } else if let Some(counts) = summary(line)? {
            tally.add(counts);
            summaries += 1;
        } else if let Some((name, verdict)) = progress(line) {
            lines.add(name, verdict);
        } else if let Some((name, verdict)) = short_summary(line) {
            listed.add(name, verdict);
        }
    }
    if sessions > 0 && sessions != summaries {
        return Err(unreadable(format!(
            "{sessions} sessions began and {summaries} came to their last line"
        )));
    }
    Ok((summaries > 0).then(|| named(tally, lines, listed)))
}

/// A test may be named twice, as when it passes and its teardown does not; the worst counts.
fn named(tally: Tally, lines: Cases, listed: Cases) -> Report {
    if lines.tally() == tally && lines.confirms(&listed) {
        return Report::complete(SOURCE, tally, lines.worst());
    }
    let Tally { passed, failed, .. } = listed.tally();
    if (passed, failed) == (tally.passed, tally.failed) && passed > 0 {
        return Report::complete(SOURCE, tally, listed.worst());
    }
    Report::failures(SOURCE, tally, listed)
}

fn unreadable(why: impl Into<String>) -> Unreadable {
    Unreadable::new(SOURCE, why)
}

/// `==== 3 failed, 1 passed, 1 xfailed, 1 error in 62.15s (0:01:02) ====`
fn summary(line: &str) -> Result<Option<Tally>, Unreadable> {
    let line = line.trim_matches(['=', ' ']);
    let Some((counts, time)) = line.rsplit_once(" in ") else {
        return Ok(None);
    };
    let Some((seconds, rest)) = time.split_once('s') else {
        return Ok(None);
    };
    let is_time = seconds.parse::<f64>().is_ok() && (rest.is_empty() || rest.starts_with(" ("));
    if !is_time {
        return Ok(None);
    }
    if counts.ends_with("no tests ran") {
        return Ok(Some(Tally::default()));
    }
    let mut tally = Tally::default();
    let mut seen = false;
    for part in counts.split(", ") {
        let Some((number, word)) = text::number_and_word(part) else {
            return Ok(None);
        };
        let target = match word {
            "passed" | "xpassed" => &mut tally.passed,
            "failed" | "error" | "errors" => &mut tally.failed,
            "skipped" | "xfailed" => &mut tally.skipped,
            "deselected" | "warning" | "warnings" | "rerun" => continue,
            _ => return Ok(None),
        };
        seen = true;
        *target += number.ok_or_else(|| unreadable("a number in the last line is no count"))?;
    }
    // Only warnings or deselected tests: none ran.
    Ok((seen || counts.ends_with("deselected")).then_some(tally))
}

fn verdict(word: &str) -> Option<Verdict> {
    Some(match word {
        "PASSED" | "XPASS" => Verdict::Passed,
        "FAILED" | "ERROR" => Verdict::Failed,
        "SKIPPED" | "XFAIL" => Verdict::Skipped,
        _ => return None,
    })
}

/// `tests/test_a.py::test_skip SKIPPED (no net)      [ 50%]`; a parameter may hold spaces
fn progress(line: &str) -> Option<(&str, Verdict)> {
    let line = line.trim_end();
    let line = match line.strip_suffix("%]") {
        Some(head) => head.rsplit_once('[')?.0.trim_end(),
        None => line,
    };
    if !line.contains("::") || verdict(line.split(' ').next()?).is_some() {
        return None;
    }
    let line = match line
        .strip_suffix(')')
        .and_then(|head| head.split_once(" SKIPPED ("))
    {
        Some((name, _)) => return Some((name, Verdict::Skipped)),
        None => line
            .strip_suffix(')')
            .and_then(|head| head.split_once(" XFAIL ("))
            .map_or(line, |(name, _)| {
                line.get(..name.len() + " XFAIL".len()).unwrap_or(line)
            }),
    };
    let (name, word) = line.rsplit_once(' ')?;
    Some((name, verdict(word)?))
}

/// `FAILED tests/test_a.py::test_bad - assert 1 == 2`; skipped tests are not named there
fn short_summary(line: &str) -> Option<(&str, Verdict)> {
    let (word, rest) = line.split_once(' ')?;
    let verdict = verdict(word)?;
    let name = rest.split_once(" - ").map_or(rest, |(name, _)| name);
    // `ERROR tests/test_a.py` when a file could not be collected.
    (name.contains("::") || name.ends_with(".py")).then_some((name, verdict))
}
