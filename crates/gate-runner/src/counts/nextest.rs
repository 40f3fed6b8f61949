//! `cargo nextest run`: one line for each test, then `Summary [ 0.1s] 3 tests run: 2 passed, …`.

use super::cases::{Cases, Tally, Verdict};
use super::{Read, Report, Unreadable, text};

const SOURCE: &str = "nextest";

pub(super) fn read(log: &str) -> Read {
    let mut tally = Tally::default();
    let (mut started, mut summaries, mut after) = (0_u64, 0_u64, false);
    let (mut cases, mut failed) = (Cases::default(), Cases::default());
    for line in log.lines() {
        if is_start(line) {
            started += 1;
            after = false;
        } else if let Some(counts) = summary(line)? {
            tally.add(counts);
            summaries += 1;
            after = true;
        } else if let Some((name, verdict)) = test(line) {
            // What failed is named once more below the summary.
            let list = if after { &mut failed } else { &mut cases };
            list.add(&name, verdict);
        }
    }
    if started > 0 && started != summaries {
        return Err(unreadable(format!(
            "{started} runs began and {summaries} came to a summary"
        )));
    }
    if summaries == 0 {
        return Ok(None);
    }
    let named = cases.tally();
    if named.failed > tally.failed {
        return Err(unreadable(
            "more tests failed by their lines than by the summary",
        ));
    }
    // Skipped tests have no line of their own.
    if (named.passed, named.failed) == (tally.passed, tally.failed) && cases.confirms(&failed) {
        return Ok(Some(Report::complete(SOURCE, tally, cases.each())));
    }
    Ok(Some(Report::failures(SOURCE, tally, failed)))
}

fn unreadable(why: impl Into<String>) -> Unreadable {
    Unreadable::new(SOURCE, why)
}

fn is_start(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("Starting ") else {
        return false;
    };
    rest.contains(" across ") && rest.contains(" binar")
}

/// `     Summary [   0.308s] 4 tests run: 3 passed (1 slow), 1 failed, 1 skipped`
fn summary(line: &str) -> Result<Option<Tally>, Unreadable> {
    let Some((run, counts)) = line
        .split_once("Summary [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .and_then(|(_, rest)| rest.split_once(" run: "))
    else {
        return Ok(None);
    };
    let no_count = || unreadable("a number in the summary is no count");
    let run = run.trim().split(['/', ' ']).next().unwrap_or_default();
    let run = text::count(run).ok_or_else(no_count)?;
    let mut tally = Tally::default();
    for part in without_brackets(counts).split(',') {
        let Some((number, words)) = part.trim().split_once(' ') else {
            continue;
        };
        let number = text::count(number).ok_or_else(no_count)?;
        match words.trim() {
            "passed" => tally.passed += number,
            "skipped" => tally.skipped += number,
            // failed, timed out, exec failed
            _ => tally.failed += number,
        }
    }
    if tally.passed + tally.failed != run {
        return Err(unreadable("the summary's counts do not add up"));
    }
    Ok(Some(tally))
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::new();
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

/// `        PASS [   0.020s] (2/4) sample tests::works`
fn test(line: &str) -> Option<(String, Verdict)> {
    let (status, rest) = line.trim_start().split_once(" [")?;
    let verdict = match status {
        "PASS" | "LEAK" => Verdict::Passed,
        "FAIL" | "TIMEOUT" | "ABORT" | "LEAK-FAIL" | "XFAIL" => Verdict::Failed,
        signal if signal.starts_with("SIG") && !signal.contains(' ') => Verdict::Failed,
        // With retries: a failed try is not the last word, and the list below the summary is.
        tried if tried.starts_with("TRY ") && tried.ends_with(" PASS") => Verdict::Passed,
        _ => return None,
    };
    let (time, name) = rest.split_once("] ")?;
    if !time.trim().ends_with('s') {
        return None;
    }
    let name = name.trim_start();
    let name = match name
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(") "))
    {
        Some((_, name)) => name.trim_start(),
        None => name,
    };
    Some((name.to_owned(), verdict))
}
