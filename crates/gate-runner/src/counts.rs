//! How many tests ran, from what test runners print.

use serde::{Deserialize, Serialize};

/// Counts of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// Tests that were really executed; skipped ones are not.
    pub(crate) fn executed(self) -> u64 {
        self.passed.saturating_add(self.failed)
    }

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed.saturating_add(other.passed),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

type Reader = fn(&str) -> Option<Counts>;

/// One reader for each runner; the lines that a reader knows are summed, as one command may run
/// several binaries.
const READERS: [Reader; 6] = [cargo, nextest, pytest, go, node, plain];

/// Reads the counts out of a log. The first reader that knows a line of it is believed; TAP comes
/// last, because many programs print lines that begin with `ok`.
pub(crate) fn read(log: &[u8]) -> Option<Counts> {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<String> = text
        .lines()
        .map(|line| plain_text(line).trim().to_owned())
        .collect();
    let sum = |reader: Reader| {
        lines
            .iter()
            .filter_map(|line| reader(line))
            .reduce(Counts::add)
    };
    READERS.into_iter().find_map(sum).or_else(|| sum(tap))
}

/// Drops colour codes.
fn plain_text(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.peek() == Some(&'[') {
            rest.find(char::is_ascii_alphabetic);
        } else {
            text.push(c);
        }
    }
    text
}

/// The number right before `word` in a comma- or semicolon-separated line.
fn before(line: &str, word: &str) -> Option<u64> {
    line.split([',', ';', '.', ':', '='])
        .find_map(|part| {
            part.trim()
                .split_once(' ')
                .filter(|(_, rest)| rest.split(' ').next() == Some(word))
        })
        .and_then(|(number, _)| number.parse().ok())
}

/// `test result: ok. 3 passed; 1 failed; 0 ignored; …`
fn cargo(line: &str) -> Option<Counts> {
    let rest = line.strip_prefix("test result: ")?;
    Some(Counts {
        passed: before(rest, "passed")?,
        failed: before(rest, "failed")?,
    })
}

/// `Summary [ 0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped`
fn nextest(line: &str) -> Option<Counts> {
    let (_, rest) = line.strip_prefix("Summary")?.split_once("run:")?;
    Some(Counts {
        passed: before(rest, "passed").unwrap_or(0),
        failed: before(rest, "failed").unwrap_or(0),
    })
}

/// `==== 3 passed, 1 failed in 0.10s ====` or, with -q, `3 passed in 0.10s`
fn pytest(line: &str) -> Option<Counts> {
    let line = line.trim_matches(['=', ' ']);
    let (counts, time) = line.rsplit_once(" in ")?;
    time.split('s').next()?.trim().parse::<f64>().ok()?;
    let number = |word: &str| before(counts, word);
    if ["passed", "failed", "error", "errors"]
        .iter()
        .all(|word| number(word).is_none())
    {
        return None;
    }
    let failed =
        number("failed").unwrap_or(0) + number("error").or_else(|| number("errors")).unwrap_or(0);
    Some(Counts {
        passed: number("passed").unwrap_or(0),
        failed,
    })
}

/// `--- PASS: TestX (0.00s)`, only with `go test -v`
fn go(line: &str) -> Option<Counts> {
    if line.starts_with("--- PASS: ") {
        return Some(Counts {
            passed: 1,
            failed: 0,
        });
    }
    line.starts_with("--- FAIL: ").then_some(Counts {
        passed: 0,
        failed: 1,
    })
}

/// `# pass 3` and `# fail 1`, or with `ℹ` in front
fn node(line: &str) -> Option<Counts> {
    let rest = line
        .strip_prefix("# ")
        .or_else(|| line.strip_prefix("ℹ "))?;
    let (word, number) = rest.split_once(' ')?;
    let number = number.trim().parse().ok()?;
    match word {
        "pass" => Some(Counts {
            passed: number,
            failed: 0,
        }),
        "fail" => Some(Counts {
            passed: 0,
            failed: number,
        }),
        _ => None,
    }
}

/// `N passed, N failed`, alone on a line; one word with a colon may stand before it
fn plain(line: &str) -> Option<Counts> {
    let line = match line.split_once(": ") {
        Some((word, rest)) if !word.contains(' ') => rest,
        _ => line,
    };
    let mut parts = line.split(", ");
    let (passed, failed) = (parts.next()?, parts.next()?);
    let skipped = parts.next();
    let number = |part: &str, word: &str| part.strip_suffix(word)?.strip_suffix(' ')?.parse().ok();
    if parts.next().is_some() || skipped.is_some_and(|skipped| number(skipped, "skipped").is_none())
    {
        return None;
    }
    Some(Counts {
        passed: number(passed, "passed")?,
        failed: number(failed, "failed")?,
    })
}

/// `ok 1 - name` and `not ok 2 - name`; a skipped one is not executed
fn tap(line: &str) -> Option<Counts> {
    let (failed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (1, rest),
        None => (0, line.strip_prefix("ok ")?),
    };
    let number = rest.split(' ').next()?;
    number.parse::<u64>().ok()?;
    if rest.to_ascii_lowercase().contains("# skip") {
        return Some(Counts::default());
    }
    Some(Counts {
        passed: 1 - failed,
        failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64) -> Option<Counts> {
        Some(Counts { passed, failed })
    }

    #[test]
    fn every_runner_is_read() {
        for (log, expected) in [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\ntest result: FAILED. 1 passed; 2 failed; 0 ignored",
                counts(4, 2),
            ),
            (
                "     Summary [   0.014s] 3 tests run: 2 passed, 1 failed, 4 skipped",
                counts(2, 1),
            ),
            (
                "========= 3 passed, 1 failed, 2 skipped in 0.10s =========",
                counts(3, 1),
            ),
            ("\u{1b}[32m3 passed\u{1b}[0m in 0.10s", counts(3, 0)),
            (
                "=== RUN TestA\n--- PASS: TestA (0.00s)\n    --- FAIL: TestB (0.00s)",
                counts(1, 1),
            ),
            ("# tests 4\n# pass 3\n# fail 1", counts(3, 1)),
            ("ℹ pass 2\nℹ fail 0", counts(2, 0)),
            (
                "1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no net",
                counts(1, 1),
            ),
            ("suite: 12 passed, 0 failed", counts(12, 0)),
            ("5 passed, 1 failed, 2 skipped", counts(5, 1)),
        ] {
            assert_eq!(read(log.as_bytes()), expected, "{log}");
        }
    }

    #[test]
    fn what_is_no_count_is_none() {
        for log in [
            "",
            "everything passed",
            "all 3 passed!",
            "ok then",
            "1 passed",
            "passed 3, failed 0",
            "ok\tpkg\t0.1s",
        ] {
            assert_eq!(read(log.as_bytes()), None, "{log}");
        }
    }

    #[test]
    fn zero_is_zero() {
        assert_eq!(
            read(b"test result: ok. 0 passed; 0 failed; 0 ignored")
                .unwrap()
                .executed(),
            0
        );
        assert_eq!(read(b"1..1\nok 1 # SKIP").unwrap().executed(), 0);
    }

    #[test]
    fn huge_numbers_do_not_overflow() {
        let log = format!("test result: ok. {0} passed; {0} failed;\n", u64::MAX).repeat(2);
        assert_eq!(read(log.as_bytes()).unwrap().executed(), u64::MAX);
    }
}
