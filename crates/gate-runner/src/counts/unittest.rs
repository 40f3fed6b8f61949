//! Python's unittest: `Ran 5 tests in 0.001s`, then `OK` or `FAILED (failures=1, errors=1)`.

use super::cases::{Cases, Tally, Verdict};
use super::{Read, Report, Unreadable, text};

const SOURCE: &str = "unittest";

pub(super) fn read(log: &str) -> Read {
    let mut tally = Tally::default();
    let (mut lines, mut listed) = (Cases::default(), Cases::default());
    let mut open: Option<(u64, Option<Tally>)> = None;
    let mut runs = 0_u64;
    for line in log.lines() {
        if let Some(ran) = ran(line)? {
            tally.add(close(open.replace((ran, None)))?);
            runs += 1;
        } else if let Some(verdict) = verdict_line(line)? {
            take(&mut open, verdict)?;
        } else if let Some((name, verdict)) = test(line) {
            lines.add(name, verdict);
        } else if let Some(name) = heading(line) {
            listed.add(name, Verdict::Failed);
        }
    }
    tally.add(close(open)?);
    if runs == 0 {
        return Ok(None);
    }
    if lines.tally() == tally && lines.confirms(&listed) {
        return Ok(Some(Report::complete(SOURCE, tally, lines.worst())));
    }
    Ok(Some(Report::failures(SOURCE, tally, listed)))
}

fn unreadable(why: impl Into<String>) -> Unreadable {
    Unreadable::new(SOURCE, why)
}

/// Of two verdicts on one run the worse one counts.
fn take(open: &mut Option<(u64, Option<Tally>)>, verdict: Tally) -> Result<(), Unreadable> {
    match open {
        Some((_, known)) => {
            if known.is_none_or(|known| verdict.failed > known.failed) {
                *known = Some(verdict);
            }
            Ok(())
        }
        None if verdict.failed > 0 => Err(unreadable("FAILED stands there without `Ran N tests`")),
        None => Ok(()),
    }
}

fn close(run: Option<(u64, Option<Tally>)>) -> Result<Tally, Unreadable> {
    match run {
        None => Ok(Tally::default()),
        Some((_, None)) => Err(unreadable(
            "`Ran N tests` stands there without OK or FAILED",
        )),
        // An error in a class's setup is no test of its own, and sub-tests fail one by one.
        Some((ran, Some(told))) => Ok(Tally {
            passed: ran.saturating_sub(told.failed).saturating_sub(told.skipped),
            ..told
        }),
    }
}

/// `Ran 5 tests in 0.001s`, also behind what a test printed without a line end
fn ran(line: &str) -> Result<Option<u64>, Unreadable> {
    let Some((_, rest)) = line.split_once("Ran ") else {
        return Ok(None);
    };
    let Some((number, time)) = rest
        .split_once(" tests in ")
        .or_else(|| rest.split_once(" test in "))
    else {
        return Ok(None);
    };
    let is_time = time
        .trim_end()
        .strip_suffix('s')
        .is_some_and(|time| time.parse::<f64>().is_ok());
    if !is_time || number.contains(' ') {
        return Ok(None);
    }
    let number =
        text::count(number).ok_or_else(|| unreadable("the number of tests is no count"))?;
    Ok(Some(number))
}

/// `OK`, `OK (skipped=1)`, `NO TESTS RAN` or `FAILED (failures=1, errors=1, skipped=1)`
fn verdict_line(line: &str) -> Result<Option<Tally>, Unreadable> {
    let line = line.trim_end();
    if line == "OK" || line == "NO TESTS RAN" || line.starts_with("NO TESTS RAN (") {
        return Ok(Some(Tally::default()));
    }
    let (failed, counts) = match (line.strip_prefix("OK ("), line.split_once("FAILED (")) {
        (Some(counts), _) => (false, counts),
        (None, Some((_, counts))) => (true, counts),
        (None, None) => return Ok(None),
    };
    let Some(counts) = counts.strip_suffix(')') else {
        return Ok(None);
    };
    let mut tally = Tally::default();
    for part in counts.split(", ") {
        let Some((word, number)) = part.split_once('=') else {
            return Ok(None);
        };
        let number =
            text::count(number).ok_or_else(|| unreadable("a number in the verdict is no count"))?;
        match word {
            "failures" | "errors" | "unexpected successes" => tally.failed += number,
            "skipped" | "expected failures" => tally.skipped += number,
            _ => return Ok(None),
        }
    }
    if failed != (tally.failed > 0) {
        return Err(unreadable("the verdict's word and its counts disagree"));
    }
    Ok(Some(tally))
}

/// `test_skip (mod.Class.test_skip) ... skipped 'no net'`
fn test(line: &str) -> Option<(&str, Verdict)> {
    let (name, verdict) = line.trim_end().rsplit_once(" ... ")?;
    if !name.ends_with(')') && !name.contains(") ") {
        return None;
    }
    let verdict = match verdict {
        "ok" => Verdict::Passed,
        "FAIL" | "ERROR" | "unexpected success" => Verdict::Failed,
        "expected failure" => Verdict::Skipped,
        skipped if skipped.starts_with("skipped") => Verdict::Skipped,
        _ => return None,
    };
    Some((name, verdict))
}

/// `FAIL: test_bad (mod.Class.test_bad)`
fn heading(line: &str) -> Option<&str> {
    let name = line
        .strip_prefix("FAIL: ")
        .or_else(|| line.strip_prefix("ERROR: "))?;
    name.contains(" (").then_some(name)
}
