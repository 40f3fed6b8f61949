//! `cargo test`: one section for each binary, from `running N tests` to `test result:`.

use super::cases::{Cases, Tally, Verdict};
use super::{Read, Report, Unreadable, text};

const SOURCE: &str = "cargo test";

pub(super) fn read(log: &str) -> Read {
    let mut run = Run::default();
    for line in log.lines() {
        run.line(line)?;
    }
    run.finish()
}

#[derive(Default)]
struct Run {
    binary: String,
    open: Option<Section>,
    sections: u64,
    results: u64,
    tally: Tally,
    all: Cases,
    failed: Cases,
    /// Every test of every section was named.
    complete: bool,
}

#[derive(Default)]
struct Section {
    announced: u64,
    cases: Cases,
    /// After `successes:` or `failures:` come the outputs of tests, then a list of their names.
    in_details: bool,
    listed: Vec<String>,
}

impl Run {
    fn line(&mut self, line: &str) -> Result<(), Unreadable> {
        if let Some(announced) = announced(line) {
            return self.begin(announced);
        }
        if let Some(result) = result_of(line) {
            return self.result(Summary::parse(result)?);
        }
        match &mut self.open {
            Some(section) => section.line(line, &self.binary),
            None => self.binary = binary(line).unwrap_or_else(|| std::mem::take(&mut self.binary)),
        }
        Ok(())
    }

    fn begin(&mut self, announced: u64) -> Result<(), Unreadable> {
        match &self.open {
            // The output of a failed test, which may show anything.
            Some(section) if section.in_details => Ok(()),
            Some(_) => Err(unreadable("a section begins before the last one's result")),
            None => {
                self.complete |= self.sections == 0;
                self.sections += 1;
                self.open = Some(Section {
                    announced,
                    ..Section::default()
                });
                Ok(())
            }
        }
    }

    fn result(&mut self, summary: Summary) -> Result<(), Unreadable> {
        let Some(section) = &self.open else {
            if self.sections > 0 {
                return Err(unreadable("a result line without its `running N tests`"));
            }
            self.results += 1;
            self.tally.add(summary.tally);
            return Ok(());
        };
        // A line that does not fit is a test's own print; if the real one does not come, the
        // section stays open, and that is an error.
        if summary.tally.total() != section.announced {
            return Ok(());
        }
        if let Some(section) = self.open.take() {
            self.close(section, summary.tally)?;
        }
        Ok(())
    }

    fn close(&mut self, section: Section, tally: Tally) -> Result<(), Unreadable> {
        let named = section.cases.tally();
        if named.failed > tally.failed {
            return Err(unreadable(format!(
                "{} tests are FAILED by their lines, {} by the result line",
                named.failed, tally.failed
            )));
        }
        let in_lines = |name: &String| {
            let name = full_name(&self.binary, without_line(name));
            section.cases.has_failed(&name)
        };
        let listed = section.listed.len() as u64;
        if named.failed > 0 && listed == named.failed && !section.listed.iter().all(in_lines) {
            return Err(unreadable(
                "the list of failures names others than the lines of the tests",
            ));
        }
        self.results += 1;
        self.tally.add(tally);
        if named == tally {
            self.failed.extend(section.cases.clone().failed());
            self.all.extend(section.cases);
            return Ok(());
        }
        self.complete = false;
        if named.failed == tally.failed {
            self.failed.extend(section.cases.failed());
        } else if listed == tally.failed {
            for name in &section.listed {
                let name = full_name(&self.binary, without_line(name));
                self.failed.add(&name, Verdict::Failed);
            }
        }
        Ok(())
    }

    fn finish(self) -> Read {
        if self.open.is_some() {
            return Err(unreadable(
                "the log ends before a result line that agrees with its `running N tests`",
            ));
        }
        if self.results == 0 {
            return Ok(None);
        }
        Ok(Some(if self.complete {
            Report::complete(SOURCE, self.tally, self.all.each())
        } else {
            Report::failures(SOURCE, self.tally, self.failed)
        }))
    }
}

impl Section {
    fn line(&mut self, line: &str, binary: &str) {
        if line == "successes:" || line == "failures:" {
            self.in_details = true;
            self.listed.clear();
        } else if self.in_details {
            if let Some(name) = line.strip_prefix("    ") {
                self.listed.push(name.to_owned());
            }
        } else if let Some((name, verdict)) = test(line) {
            self.cases.add(&full_name(binary, name), verdict);
        }
    }
}

struct Summary {
    tally: Tally,
}

impl Summary {
    /// `FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.29s`
    fn parse(rest: &str) -> Result<Self, Unreadable> {
        let mut tally = Tally::default();
        let (verdict, counts) = rest.split_once(". ").unwrap_or((rest, ""));
        let mut words = 0;
        for part in counts.split(';') {
            let mut tokens = part.split_whitespace();
            let (Some(number), Some(word)) = (tokens.next(), tokens.next()) else {
                continue;
            };
            let target = match word {
                "passed" | "measured" => &mut tally.passed,
                "failed" => &mut tally.failed,
                "ignored" => &mut tally.skipped,
                _ => continue,
            };
            words += 1;
            *target += text::count(number)
                .ok_or_else(|| unreadable("a number in a result line is no count"))?;
        }
        if words < 2 {
            return Err(unreadable("a result line without its counts"));
        }
        if (verdict == "ok") != (tally.failed == 0) {
            return Err(unreadable("a result line's word and its counts disagree"));
        }
        Ok(Self { tally })
    }
}

fn unreadable(why: impl Into<String>) -> Unreadable {
    Unreadable::new(SOURCE, why)
}

/// What follows `test result: `, when it says `ok.` or `FAILED.`. A failure is also seen behind
/// something that a test printed without a line end; an indented line is shown by another runner.
fn result_of(line: &str) -> Option<&str> {
    const START: &str = "test result: ";
    let at = line.find(START)?;
    let glued = !line.get(..at)?.trim().is_empty();
    let rest = line.get(at + START.len()..)?;
    let failed = rest.starts_with("FAILED.");
    let taken = (at == 0 && (failed || rest.starts_with("ok."))) || (glued && failed);
    taken.then_some(rest)
}

fn announced(line: &str) -> Option<u64> {
    let (number, word) = line.strip_prefix("running ")?.split_once(' ')?;
    matches!(word.trim_end(), "test" | "tests").then(|| text::count(number))?
}

/// `     Running unittests src/lib.rs (target/debug/deps/sample-0123abcd)` or `   Doc-tests sample`
fn binary(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with("Doc-tests ") {
        return Some(line.to_owned());
    }
    let (what, path) = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .rsplit_once(" (")?;
    let file = path.rsplit(['/', '\\']).next()?;
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    Some(format!("{name} {}", what.trim_start_matches("unittests ")))
}

fn full_name(binary: &str, name: &str) -> String {
    if binary.is_empty() {
        name.to_owned()
    } else {
        format!("{binary}: {name}")
    }
}

/// `test tests::slow ... ignored, slow`
fn test(line: &str) -> Option<(&str, Verdict)> {
    let (name, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let verdict = match verdict.split([' ', ',', ':']).next()? {
        "ok" | "bench" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        "ignored" => Verdict::Skipped,
        _ => return None,
    };
    Some((without_line(name), verdict))
}

/// A documentation test is named after its line, which moves with every edit above it.
fn without_line(name: &str) -> &str {
    let name = name.trim_end_matches(" - should panic");
    match name.rsplit_once(" (line ") {
        Some((head, _)) => head,
        None => name,
    }
}
