//! The Test Anything Protocol, versions 12 to 14, with nested subtests.

use super::cases::{Cases, Tally, Verdict};
use super::{Read, Report, Unreadable, text};

const SOURCE: &str = "TAP";
/// Deeper subtests are refused.
const DEEPEST: usize = 16;

pub(super) fn read(log: &str) -> Read {
    let mut reader = Reader::default();
    reader.all(log)?;
    Ok(reader
        .seen
        .then(|| Report::complete(SOURCE, reader.leaves, reader.cases.each())))
}

/// Every line with a verdict, those that only sum up their subtests among them.
pub(super) fn lines(log: &str) -> Result<Option<Cases>, Unreadable> {
    let mut reader = Reader {
        with_parents: true,
        ..Reader::default()
    };
    reader.all(log)?;
    Ok(reader.seen.then_some(reader.cases))
}

/// Whether this is meant to be TAP. Many programs print lines that begin with `ok`, so these alone
/// say nothing; a failure does.
pub(super) fn is_likely(log: &str) -> bool {
    log.lines().any(|line| {
        line.starts_with("TAP version 1")
            || plan(line).is_some()
            || (line.starts_with("not ok ")
                && result(line).is_some_and(|found| found.number.is_some()))
    })
}

fn unreadable(why: impl Into<String>) -> Unreadable {
    Unreadable::new(SOURCE, why)
}

#[derive(Default)]
struct Reader {
    levels: Vec<Level>,
    /// The indent of the YAML block that is being skipped.
    yaml: Option<usize>,
    after_result: bool,
    seen: bool,
    with_parents: bool,
    leaves: Tally,
    cases: Cases,
}

/// The tests at one depth of nesting.
#[derive(Default)]
struct Level {
    plan: Option<u64>,
    results: u64,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    verdict: Verdict,
    is_leaf: bool,
}

struct Found<'a> {
    ok: bool,
    number: Option<Option<u64>>,
    name: &'a str,
    is_excused: bool,
    is_skip: bool,
}

impl Reader {
    fn all(&mut self, log: &str) -> Result<(), Unreadable> {
        for line in log.lines() {
            if !self.is_yaml(line) {
                self.line(line)?;
            }
        }
        self.end_of_document()
    }

    /// A block belongs to the line above it and ends with the first line that is indented less.
    fn is_yaml(&mut self, line: &str) -> bool {
        let indent = text::indent(line);
        let after_result = std::mem::take(&mut self.after_result);
        match self.yaml {
            Some(at) if indent >= at => {
                if indent == at && line.trim() == "..." {
                    self.yaml = None;
                }
                true
            }
            Some(_) if line.trim().is_empty() => true,
            _ => {
                let begins = after_result && line.trim() == "---" && indent > 0;
                self.yaml = begins.then_some(indent);
                begins
            }
        }
    }

    fn line(&mut self, line: &str) -> Result<(), Unreadable> {
        let indent = text::indent(line);
        let content = line.trim();
        if !indent.is_multiple_of(4) {
            return Ok(());
        }
        let depth = indent / 4;
        if let Some(reason) = content.strip_prefix("Bail out!") {
            return Err(unreadable(format!(
                "the run bailed out:{}",
                text::shown(reason)
            )));
        }
        if let Some(found) = result(content) {
            self.after_result = true;
            return self.result(depth, &found);
        }
        if let Some(number) = plan(content) {
            let number = number.ok_or_else(|| unreadable("the plan's number is no count"))?;
            return self.plan(depth, number);
        }
        if depth == 0 && content.starts_with("TAP version ") {
            return self.end_of_document();
        }
        Ok(())
    }

    fn level(&mut self, depth: usize) -> Result<&mut Level, Unreadable> {
        if depth > DEEPEST {
            return Err(unreadable(format!(
                "subtests are nested deeper than {DEEPEST}"
            )));
        }
        while self.levels.len() <= depth {
            self.levels.push(Level::default());
        }
        self.levels
            .get_mut(depth)
            .ok_or_else(|| unreadable("no such level"))
    }

    fn plan(&mut self, depth: usize, number: u64) -> Result<(), Unreadable> {
        let level = self.level(depth)?;
        match level.plan {
            // The next program's output.
            Some(last) if depth == 0 && last == level.results => {
                self.end_of_document()?;
                self.level(0)?.plan = Some(number);
            }
            Some(_) => return Err(unreadable("a second plan before the first is fulfilled")),
            None => level.plan = Some(number),
        }
        self.seen |= depth == 0;
        Ok(())
    }

    fn result(&mut self, depth: usize, found: &Found<'_>) -> Result<(), Unreadable> {
        let level = self.level(depth)?;
        let is_full = level
            .plan
            .is_some_and(|plan| plan > 0 && plan == level.results);
        if depth == 0 && is_full {
            self.end_of_document()?;
        }
        let children = self.children(depth)?;
        let level = self.level(depth)?;
        level.results += 1;
        if found
            .number
            .is_some_and(|number| number != Some(level.results))
        {
            return Err(unreadable(format!(
                "test {} of its level has another number in its line",
                level.results
            )));
        }
        let number = level.results;
        let name = if found.name.is_empty() {
            format!("test {number}")
        } else {
            text::shown(found.name)
        };
        add(level, name, children, found);
        self.seen |= depth == 0;
        Ok(())
    }

    /// Takes the tests below this depth: the line that comes now sums them up.
    fn children(&mut self, depth: usize) -> Result<Vec<Case>, Unreadable> {
        let mut cases = Vec::new();
        while self.levels.len() > depth + 1 {
            let Some(level) = self.levels.pop() else {
                break;
            };
            if level.plan.is_some_and(|plan| plan != level.results) {
                return Err(unreadable("a subtest's plan and its tests disagree"));
            }
            cases.extend(level.cases);
        }
        Ok(cases)
    }

    fn end_of_document(&mut self) -> Result<(), Unreadable> {
        let orphans = self.children(0)?;
        if orphans.iter().any(|case| case.verdict == Verdict::Failed) {
            return Err(unreadable("a failed subtest belongs to no test"));
        }
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        match level.plan {
            Some(plan) if plan != level.results => {
                return Err(unreadable(format!(
                    "{plan} tests were planned and {} ran",
                    level.results
                )));
            }
            None if level.results > 0 => return Err(unreadable("tests without a plan")),
            _ => {}
        }
        for case in level.cases {
            if case.is_leaf {
                self.leaves.count(case.verdict);
            }
            if case.is_leaf || self.with_parents {
                self.cases.add_path(case.name, case.verdict);
            }
        }
        Ok(())
    }
}

fn add(level: &mut Level, name: String, children: Vec<Case>, found: &Found<'_>) {
    let verdict = match (found.ok, found.is_excused) {
        (_, true) if found.is_skip || !found.ok => Verdict::Skipped,
        (true, _) => Verdict::Passed,
        (false, _) => Verdict::Failed,
    };
    let is_leaf = children.is_empty();
    let child_failed = children
        .iter()
        .any(|child| child.verdict == Verdict::Failed);
    for child in children {
        let excused = found.is_excused && child.verdict == Verdict::Failed;
        level.cases.push(Case {
            name: text::join([name.as_str(), child.name.as_str()].into_iter()),
            verdict: if excused {
                Verdict::Skipped
            } else {
                child.verdict
            },
            is_leaf: child.is_leaf,
        });
    }
    // A test can fail though each of its subtests passed.
    let failed_itself = verdict == Verdict::Failed && !child_failed;
    level.cases.push(Case {
        name,
        verdict,
        is_leaf: is_leaf || failed_itself,
    });
}

/// `not ok 3 - name # TODO reason`
fn result(content: &str) -> Option<Found<'_>> {
    let (ok, rest) = match content.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, content.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, after) = rest.split_at(digits);
    let is_number = digits > 0 && (after.is_empty() || after.starts_with(' '));
    let (number, after) = if is_number {
        (Some(text::count(number)), after)
    } else {
        (None, rest)
    };
    // `ok then` is prose.
    if number.is_none() && !after.is_empty() && !after.starts_with(['-', '#']) {
        return None;
    }
    let (name, directive) = directive(after);
    let name = name.trim();
    Some(Found {
        ok,
        number,
        name: name.strip_prefix("- ").unwrap_or(name),
        is_excused: directive.is_some(),
        is_skip: directive == Some("skip"),
    })
}

/// `# SKIP reason` or `# TODO reason` behind the name
fn directive(text: &str) -> (&str, Option<&'static str>) {
    for (at, _) in text.match_indices('#') {
        let (head, tail) = text.split_at(at);
        let tail = tail.get(1..).unwrap_or_default().trim_start();
        let word = tail.get(..4).unwrap_or_default();
        let ends = tail
            .get(4..)
            .is_none_or(|rest| !rest.starts_with(char::is_alphanumeric));
        let apart = head.is_empty() || head.ends_with(' ');
        for known in ["skip", "todo"] {
            // `# skipped: why` is written as well.
            let whole = ends || known == "skip";
            if apart && whole && word.eq_ignore_ascii_case(known) {
                return (head, Some(known));
            }
        }
    }
    (text, None)
}

/// `1..4`, `1..0 # SKIP why`: the number, `None` within when it is longer than any count
fn plan(content: &str) -> Option<Option<u64>> {
    let rest = content.strip_prefix("1..")?;
    let (number, rest) = match rest.split_once(' ') {
        Some((number, rest)) => (number, rest.trim_start()),
        None => (rest, ""),
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let ends = rest.is_empty() || rest.starts_with('#');
    (digits && ends).then(|| text::count(number))
}
