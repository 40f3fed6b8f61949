//! JUnit XML: the cases are counted one by one, and what the suites' attributes say must agree.
//!
//! There is one schema for each writer. A suite may count its own cases only, or those of the suites
//! in it, or these suites as cases; any of these is taken, as the cases themselves decide.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::cases::{Cases, Verdict};
use super::{Read, Report, Unreadable, text};

const SOURCE: &str = "JUnit";
const MOST_BYTES: usize = 16 << 20;
const MOST_BYTES_TOGETHER: usize = 64 << 20;
const MOST_FILES: usize = 10_000;
const MOST_CASES: u64 = 200_000;
const DEEPEST: usize = 64;

pub(super) fn read(files: &[(String, Vec<u8>)]) -> Read {
    if files.len() > MOST_FILES {
        return Err(unreadable(format!(
            "there are more than {MOST_FILES} files"
        )));
    }
    let together: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    if together > MOST_BYTES_TOGETHER {
        return Err(unreadable(format!(
            "the files are longer than {MOST_BYTES_TOGETHER} bytes together"
        )));
    }
    let mut cases = Cases::default();
    for (name, bytes) in files {
        file(bytes, &mut cases)
            .map_err(|why| unreadable(format!("{}: {why}", text::shown(name))))?;
    }
    let tally = cases.tally();
    Ok((!files.is_empty()).then(|| Report::complete(SOURCE, tally, cases.each())))
}

fn unreadable(why: String) -> Unreadable {
    Unreadable::new(SOURCE, why)
}

fn file(bytes: &[u8], cases: &mut Cases) -> Result<(), String> {
    if bytes.len() > MOST_BYTES {
        return Err(format!("it is longer than {MOST_BYTES} bytes"));
    }
    let xml = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(xml);
    let mut walk = Walk {
        cases,
        depth: 0,
        suites: Vec::new(),
        case: None,
        done: false,
    };
    loop {
        let event = reader
            .read_event()
            .map_err(|error| format!("no well-formed XML: {}", text::shown(&error.to_string())))?;
        match event {
            Event::Start(tag) => walk.start(&tag)?,
            Event::Empty(tag) => {
                walk.start(&tag)?;
                walk.end()?;
            }
            Event::End(_) => walk.end()?,
            Event::DocType(_) => return Err("it has a document type, which is refused".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    match (walk.depth, walk.done) {
        (0, true) => Ok(()),
        (0, false) => Err("it is empty".to_owned()),
        _ => Err("it ends in the middle".to_owned()),
    }
}

struct Walk<'a> {
    cases: &'a mut Cases,
    depth: usize,
    suites: Vec<Suite>,
    case: Option<Case>,
    /// The root element was seen.
    done: bool,
}

#[derive(Default)]
struct Suite {
    name: String,
    /// Its name with those of the suites above it.
    path: String,
    depth: usize,
    tests: Option<u64>,
    bad: Option<u64>,
    own: Seen,
    all: Seen,
    suites: Seen,
    /// `failure` and `error` elements, as one case may have several.
    elements: u64,
}

/// Cases or suites, and how many of them failed.
#[derive(Clone, Copy, Default)]
struct Seen {
    number: u64,
    failed: u64,
}

struct Case {
    name: String,
    depth: usize,
    verdict: Verdict,
    elements: u64,
}

impl Walk<'_> {
    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        if self.depth == 0 && self.done {
            return Err("it has more than one root".to_owned());
        }
        self.done = true;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("elements are nested deeper than {DEEPEST}"));
        }
        let name = tag.local_name();
        let in_case = self.case.is_some();
        match name.as_ref() {
            "testsuites" | "testsuite" | "testcase" if in_case => {
                Err("a test case holds another".to_owned())
            }
            "testsuites" | "testsuite" => self.suite(tag),
            other if self.depth == 1 => Err(format!(
                "its root is {}, not testsuites",
                text::shown(other)
            )),
            "testcase" => self.test_case(tag),
            "failure" | "error" => {
                self.bad();
                Ok(())
            }
            "skipped" => {
                let depth = self.depth;
                let case = self.case.as_mut().filter(|case| depth == case.depth + 1);
                if let Some(case) = case {
                    case.verdict = case.verdict.min(Verdict::Skipped);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn suite(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        let [name, tests, failures, errors] =
            attributes(tag, ["name", "tests", "failures", "errors"])?;
        let (failures, errors) = (number(failures)?, number(errors)?);
        let bad = failures
            .map(|failures| failures + errors.unwrap_or(0))
            .or(errors);
        let name = text::shown(&name.unwrap_or_default());
        // A root that only holds the others is not part of a name.
        let parent = self.suites.last().filter(|parent| parent.depth > 1);
        let titles = [
            parent.map_or("", |parent| parent.path.as_str()),
            name.as_str(),
        ];
        self.suites.push(Suite {
            path: text::join(titles.into_iter().filter(|title| !title.is_empty())),
            name,
            depth: self.depth,
            tests: number(tests)?,
            bad,
            ..Suite::default()
        });
        Ok(())
    }

    fn test_case(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        let [name, class, status, result] =
            attributes(tag, ["name", "classname", "status", "result"])?;
        let name = name.ok_or("a test case has no name")?;
        let class = class.unwrap_or_default();
        let (above, suite) = self
            .suites
            .last()
            .map_or(("", ""), |suite| (suite.path.as_str(), suite.name.as_str()));
        let (class, name) = (text::shown(&class), text::shown(&name));
        let class = if class == suite { "" } else { class.as_str() };
        let titles = [above, class, name.as_str()].into_iter();
        let mut verdict = Verdict::Passed;
        for word in [status, result].into_iter().flatten() {
            verdict = verdict.min(match word.to_ascii_lowercase().as_str() {
                "failed" | "failure" | "error" | "fail" => Verdict::Failed,
                "notrun" | "skipped" | "suppressed" | "disabled" | "ignored" => Verdict::Skipped,
                _ => Verdict::Passed,
            });
        }
        self.case = Some(Case {
            name: text::join(titles.filter(|title| !title.is_empty())),
            depth: self.depth,
            verdict,
            elements: 0,
        });
        Ok(())
    }

    /// A `failure` or `error` of a case, or of a suite that could not be set up.
    fn bad(&mut self) {
        match (&mut self.case, self.suites.last()) {
            (Some(case), _) if self.depth == case.depth + 1 => {
                case.verdict = Verdict::Failed;
                case.elements += 1;
            }
            (None, Some(suite)) if self.depth == suite.depth + 1 => {
                let name = suite.path.clone();
                self.count(name, Verdict::Failed, 1);
            }
            _ => {}
        }
    }

    fn count(&mut self, name: String, verdict: Verdict, elements: u64) {
        self.cases.add_path(name, verdict);
        if let Some(suite) = self.suites.last_mut() {
            suite.own.add(1, u64::from(verdict == Verdict::Failed));
            suite.elements += elements;
        }
    }

    fn end(&mut self) -> Result<(), String> {
        if let Some(case) = self.case.take_if(|case| case.depth == self.depth) {
            self.count(case.name, case.verdict, case.elements);
            if self.cases.tally().total() > MOST_CASES {
                return Err(format!("there are more than {MOST_CASES} cases"));
            }
        } else if self
            .suites
            .last()
            .is_some_and(|suite| suite.depth == self.depth)
        {
            let suite = self.suites.pop().unwrap_or_default();
            self.close(suite)?;
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    fn close(&mut self, mut suite: Suite) -> Result<(), String> {
        suite.all.add(suite.own.number, suite.own.failed);
        suite.check()?;
        if let Some(parent) = self.suites.last_mut() {
            parent.all.add(suite.all.number, suite.all.failed);
            parent.suites.add(1, u64::from(suite.all.failed > 0));
            parent.elements += suite.elements;
        }
        Ok(())
    }
}

impl Seen {
    fn add(&mut self, number: u64, failed: u64) {
        self.number += number;
        self.failed += failed;
    }
}

impl Suite {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let told = |told: Option<u64>, counted: &[u64]| told.filter(|told| !counted.contains(told));
        let (own, all, suites) = (self.own, self.all, self.suites);
        if let Some(tests) = told(
            self.tests,
            &[all.number, own.number, own.number + suites.number],
        ) {
            return Err(format!(
                "suite {name:?} says {tests} tests, and there are {}",
                all.number
            ));
        }
        let failed = [
            all.failed,
            own.failed,
            own.failed + suites.failed,
            self.elements,
        ];
        if let Some(bad) = told(self.bad, &failed) {
            return Err(format!(
                "suite {name:?} says {bad} failures, and there are {}",
                all.failed
            ));
        }
        Ok(())
    }
}

fn number(text: Option<String>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    text::count(text.trim())
        .map(Some)
        .ok_or_else(|| format!("{:?} is no number of tests", text::shown(&text)))
}

/// The values of these attributes; one that is named twice is an error.
fn attributes<const N: usize>(
    tag: &BytesStart<'_>,
    names: [&str; N],
) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    // The crate's own check for repeated names takes quadratic time.
    for attribute in tag.attributes().with_checks(false) {
        let broken = |why: String| format!("a broken attribute: {}", text::shown(&why));
        let attribute = attribute.map_err(|error| broken(error.to_string()))?;
        let Some(place) = names
            .iter()
            .position(|name| *name == attribute.key.as_ref())
        else {
            continue;
        };
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|error| broken(error.to_string()))?;
        match values.get_mut(place) {
            Some(slot @ None) => *slot = Some(value.into_owned()),
            _ => return Err(broken("named twice".to_owned())),
        }
    }
    Ok(values)
}
