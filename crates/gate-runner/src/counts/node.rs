//! `node --test`: the block of counts at the end, with `ℹ` (spec) or `#` (TAP) in front; names from
//! the lines above it.

use super::cases::{Cases, Tally, Verdict};
use super::text::{self, Outline};
use super::{Read, Report, Unreadable, tap};

const SPEC: &str = "node --test";
/// The source of a report that was read from TAP.
pub(super) const TAP: &str = "node --test (TAP)";

pub(super) fn read(log: &str) -> Read {
    let mut run = Run::default();
    for line in log.lines() {
        run.line(line)?;
    }
    run.finish(log)
}

#[derive(Default)]
struct Run {
    block: Option<Block>,
    tally: Tally,
    /// Tests and suites: each has a line of its own.
    lines: u64,
    blocks: u64,
    is_tap: bool,
    outline: Outline,
    cases: Cases,
    /// Below the first block the failed tests are shown once more.
    after: bool,
}

/// The counts as they were read; each key once.
#[derive(Default)]
struct Block {
    numbers: [Option<u64>; 7],
}

const KEYS: [&str; 7] = [
    "tests",
    "suites",
    "pass",
    "fail",
    "cancelled",
    "skipped",
    "todo",
];

impl Run {
    fn line(&mut self, line: &str) -> Result<(), Unreadable> {
        let Some((is_tap, key, number)) = counter(line) else {
            if !self.after {
                self.test(line);
            }
            return Ok(());
        };
        if key == 0 {
            self.close()?;
            self.block = Some(Block::default());
            self.is_tap |= is_tap;
            self.after = true;
        }
        let number = number.ok_or_else(|| unreadable("a number in the counts is no count"))?;
        match &mut self.block {
            Some(block) => block.set(key, number),
            // Without its first line the block cannot be checked.
            None if !is_tap => Err(unreadable("the counts at the end are not whole")),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Unreadable> {
        let Some(Block {
            numbers:
                [
                    Some(tests),
                    suites,
                    Some(pass),
                    Some(fail),
                    cancelled,
                    skipped,
                    todo,
                ],
        }) = self.block.take_if(|_| true)
        else {
            return if self.blocks == 0 && !self.after {
                Ok(())
            } else {
                Err(unreadable("the counts at the end are not whole"))
            };
        };
        let tally = Tally {
            passed: pass,
            failed: fail + cancelled.unwrap_or(0),
            skipped: skipped.unwrap_or(0) + todo.unwrap_or(0),
        };
        if tally.total() != tests {
            return Err(unreadable("the counts at the end do not add up"));
        }
        self.tally.add(tally);
        self.lines = self
            .lines
            .saturating_add(tests)
            .saturating_add(suites.unwrap_or(0));
        self.blocks += 1;
        Ok(())
    }

    /// `  ✔ works (2.8ms)` below `▶ outer`, which is closed by a line of its own
    fn test(&mut self, line: &str) {
        let indent = text::indent(line);
        let Some((mark, title)) = line.trim().split_once(' ') else {
            return;
        };
        let (title, is_todo) = match title.rsplit_once(" # ") {
            Some((title, "TODO")) => (title, true),
            Some((head, reason)) if mark == "﹣" || reason == "SKIP" => (head, false),
            Some((head, reason)) if reason.starts_with("TODO ") => (head, true),
            _ => (title, false),
        };
        let title = text::without_time(title);
        let verdict = match mark {
            "▶" => return self.outline.open(indent, title),
            _ if is_todo => Verdict::Skipped,
            "✔" => Verdict::Passed,
            "✖" => Verdict::Failed,
            "﹣" => Verdict::Skipped,
            _ => return,
        };
        self.outline.close(indent, title);
        self.cases
            .add_path(self.outline.name(indent, title), verdict);
    }

    fn finish(mut self, log: &str) -> Read {
        if self.after {
            self.close()?;
        }
        if self.blocks == 0 {
            return Ok(None);
        }
        let (source, cases) = if self.is_tap {
            (TAP, tap::lines(log)?.unwrap_or_default())
        } else {
            (SPEC, self.cases)
        };
        let named = cases.tally();
        if named.failed > 0 && self.tally.failed == 0 {
            return Err(Unreadable::new(
                source,
                "a test failed by its line, and the counts at the end know of none",
            ));
        }
        if named.total() == self.lines {
            return Ok(Some(Report::complete(source, self.tally, cases.each())));
        }
        Ok(Some(Report::nameless(source, self.tally)))
    }
}

impl Block {
    fn set(&mut self, key: usize, number: u64) -> Result<(), Unreadable> {
        match self.numbers.get_mut(key) {
            Some(Some(known)) if *known != number => {
                Err(unreadable("the counts at the end name a number twice"))
            }
            Some(place) => {
                *place = Some(number);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn unreadable(why: &str) -> Unreadable {
    Unreadable::new(SPEC, why)
}

/// `ℹ pass 3` or `# pass 3`: whether it is TAP, which key, and the number
fn counter(line: &str) -> Option<(bool, usize, Option<u64>)> {
    let line = line.trim_end();
    let (is_tap, rest) = match line.strip_prefix("# ") {
        Some(rest) => (true, rest),
        None => (false, line.split_once("ℹ ")?.1),
    };
    let (word, number) = rest.split_once(' ')?;
    let key = KEYS.iter().position(|key| *key == word)?;
    let is_number = number
        .trim_start_matches('-')
        .bytes()
        .all(|b| b.is_ascii_digit());
    (is_number && !number.is_empty()).then(|| (is_tap, key, text::count(number)))
}
