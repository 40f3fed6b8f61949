//! What can be told of a pattern by reading it: where its matches lie, how long they are, and what
//! every one of them holds. Reading costs a small part of compiling.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Literal};
use serde::Deserialize;

use crate::pattern::held::must_hold;
use crate::pattern::known;
use crate::pattern::needs::Needs;
use crate::pattern::part::Lines;

/// A pattern that is to read more in all is told where to look, in bytes.
const FEW_BYTES: usize = 16 << 10;
/// So many keywords are looked for around each line that may hold a match.
const FEW: usize = 6;

/// A pattern, read.
pub(crate) struct Read {
    pub(crate) hir: Hir,
    /// Whether it asks for a class of Unicode.
    is_unicode: bool,
}

/// Reads a pattern, or says what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Read, String> {
    let read = |is_unicode: bool| {
        let mut parser = ParserBuilder::new();
        match parser.unicode(is_unicode).utf8(false).build().parse(text) {
            Ok(hir) => Ok(Read { hir, is_unicode }),
            Err(error) => Err(format!("pattern \"{}\": {error}", text.escape_debug())),
        }
    };
    read(false).or_else(|_| read(true))
}

/// What a path must hold for a pattern to match in it, or what is wrong with the pattern.
pub(crate) fn needs_of(text: &str) -> Result<Needs, String> {
    let told = told(text, &[]);
    // What is known can be read.
    match told.hir.get() {
        Some(Err(why)) => Err(why.clone()),
        _ => Ok(told.facts.needs),
    }
}

/// What decides where a pattern is tried, and on what.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// Whether every match lies in one line; at its edges it may take in a line feed for want of another
    /// byte, as `[^a-z]` does, which is no part of what it is about.
    #[serde(default, skip_serializing_if = "crate::pattern::needs::is_default")]
    pub(crate) stays_in_line: bool,
    /// Whether every match holds one of the keywords, in any case; false where that cannot be told.
    #[serde(default, skip_serializing_if = "crate::pattern::needs::is_default")]
    pub(crate) holds_keyword: bool,
    /// How long a match can be at the most; None where nothing bounds it.
    #[serde(default, skip_serializing_if = "crate::pattern::needs::is_default")]
    pub(crate) longest: Option<usize>,
    /// What a text must hold for a match.
    pub(crate) needs: Needs,
}

impl Facts {
    fn of(Read { hir, is_unicode }: &Read, words: &[String]) -> Self {
        let stays_in_line = stays(hir, true, true);
        if *is_unicode {
            return Self {
                stays_in_line,
                ..Self::default()
            };
        }
        Self {
            stays_in_line,
            holds_keyword: !words.is_empty() && must_hold(hir, words),
            longest: hir.properties().maximum_len(),
            needs: Needs::of(hir),
        }
    }
}

/// A pattern and what it tells.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) facts: Facts,
    text: String,
    /// A few keywords in lower case of which every match that may lie in several lines holds one.
    near: Vec<Vec<u8>>,
    /// In which lines a match may lie, worked out once that pays.
    lines: OnceCell<Lines>,
    /// How many bytes were to be read.
    read: Cell<usize>,
    hir: OnceCell<Result<Rc<Hir>, String>>,
}

impl Told {
    /// In which lines of a text of so many bytes a match may lie; None as long as it costs less to read them
    /// all, or where that cannot be told.
    pub(crate) fn lines(&self, bytes: usize) -> Option<&Lines> {
        let read = self.read.get().saturating_add(bytes);
        self.read.set(read);
        if read <= FEW_BYTES {
            return None;
        }
        let hir = self.hir().as_ref().ok()?;
        let lines = || Lines::of(hir, self.facts.stays_in_line, self.near.clone());
        Some(self.lines.get_or_init(lines)).filter(|lines| lines.tell())
    }

    /// The pattern itself, or what is wrong with it.
    pub(crate) fn hir(&self) -> &Result<Rc<Hir>, String> {
        self.hir
            .get_or_init(|| read(&self.text).map(|read| read.hir.into()))
    }
}

/// What a pattern tells by being read, and the pattern.
pub(crate) fn facts_of(text: &str, words: &[String]) -> (Facts, Result<Rc<Hir>, String>) {
    let read = read(text);
    let facts = read.as_ref().map(|read| Facts::of(read, words));
    (facts.unwrap_or_default(), read.map(|read| read.hir.into()))
}

/// What a pattern tells; one that cannot be read tells nothing.
pub(crate) fn told(text: &str, keywords: &[String]) -> Told {
    let words: Vec<String> = keywords
        .iter()
        .map(|word| word.to_ascii_lowercase())
        .collect();
    let hir = OnceCell::new();
    let facts = known::facts(text, &words).unwrap_or_else(|| {
        let (facts, read) = facts_of(text, &words);
        hir.get_or_init(|| read);
        facts
    });
    Told {
        near: match facts.holds_keyword && !facts.stays_in_line && words.len() <= FEW {
            true => words.into_iter().map(String::into_bytes).collect(),
            false => Vec::new(),
        },
        facts,
        text: text.to_owned(),
        lines: OnceCell::new(),
        read: Cell::new(0),
        hir,
    }
}

/// How long a run of some bytes every match of a pattern holds at the least, and never more than there
/// is.
pub(crate) fn longest_run_of(hir: &Hir, is_in: fn(u8) -> bool) -> usize {
    Run::of(hir, is_in).longest
}

/// As [`longest_run_of`], where no match holds anything else; else 0.
pub(crate) fn whole_run_of(hir: &Hir, is_in: fn(u8) -> bool) -> usize {
    let run = Run::of(hir, is_in);
    if run.is_all { run.longest } else { 0 }
}

fn stays(hir: &Hir, is_first: bool, is_last: bool) -> bool {
    let length = hir.properties();
    if length.maximum_len().is_some_and(|most| most <= 1) {
        // A line has a line feed at its end and none before it.
        return (is_first && length.minimum_len() == Some(0)) || is_last || !holds_line_feed(hir);
    }
    match hir.kind() {
        HirKind::Capture(capture) => stays(&capture.sub, is_first, is_last),
        HirKind::Alternation(parts) => parts.iter().all(|part| stays(part, is_first, is_last)),
        HirKind::Concat(parts) => parts
            .iter()
            .enumerate()
            .all(|(at, part)| stays(part, is_first && at == 0, is_last && at + 1 == parts.len())),
        _ => !holds_line_feed(hir),
    }
}

pub(crate) fn holds_line_feed(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(Literal(bytes)) => bytes.contains(&b'\n'),
        HirKind::Class(Class::Bytes(class)) => {
            let mut ranges = class.iter();
            ranges.any(|range| (range.start()..=range.end()).contains(&b'\n'))
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut ranges = class.iter();
            ranges.any(|range| (range.start()..=range.end()).contains(&'\n'))
        }
        HirKind::Capture(capture) => holds_line_feed(&capture.sub),
        HirKind::Repetition(repetition) => holds_line_feed(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(holds_line_feed),
    }
}

/// The runs that every match of a part of a pattern holds: at its beginning, at its end, the longest.
#[derive(Clone, Copy, Default)]
struct Run {
    first: usize,
    last: usize,
    longest: usize,
    /// Whether no match holds anything else.
    is_all: bool,
}

impl Run {
    fn of(hir: &Hir, is_in: fn(u8) -> bool) -> Self {
        let all = |length: usize| Self {
            first: length,
            last: length,
            longest: length,
            is_all: true,
        };
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => all(0),
            HirKind::Literal(Literal(bytes)) => {
                let single = |byte: &u8| {
                    if is_in(*byte) {
                        all(1)
                    } else {
                        Self::default()
                    }
                };
                bytes.iter().map(single).fold(all(0), Self::then)
            }
            HirKind::Class(Class::Bytes(class)) => {
                let mut ranges = class.iter();
                match ranges.all(|range| (range.start()..=range.end()).all(is_in)) {
                    true => all(1),
                    false => Self::default(),
                }
            }
            HirKind::Class(Class::Unicode(_)) => Self::default(),
            HirKind::Capture(capture) => Self::of(&capture.sub, is_in),
            HirKind::Concat(parts) => parts
                .iter()
                .map(|part| Self::of(part, is_in))
                .fold(all(0), Self::then),
            HirKind::Alternation(parts) => {
                let parts = parts.iter().map(|part| Self::of(part, is_in));
                parts.reduce(Self::or).unwrap_or_default()
            }
            HirKind::Repetition(repetition) => {
                let part = Self::of(&repetition.sub, is_in);
                let times = repetition.min as usize;
                match part.is_all {
                    true => all(part.longest.saturating_mul(times)),
                    false if times == 0 => Self::default(),
                    false => part,
                }
            }
        }
    }

    fn then(self, next: Self) -> Self {
        let joined = self.last + next.first;
        Self {
            first: if self.is_all {
                self.longest + next.first
            } else {
                self.first
            },
            last: if next.is_all {
                self.last + next.longest
            } else {
                next.last
            },
            longest: self.longest.max(next.longest).max(joined),
            is_all: self.is_all && next.is_all,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.min(other.last),
            longest: self.longest.min(other.longest),
            is_all: self.is_all && other.is_all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{longest_run_of, read, told};

    #[test]
    fn whether_a_keyword_stands_in_every_match_is_told() {
        let holds = |text: &str, words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            told(text, &words).facts.holds_keyword
        };
        assert!(holds(
            "(?:^|[^a-z])(SK[0-9a-f]{32})",
            &[
                "sk0", "sk1", "sk2", "sk3", "sk4", "sk5", "sk6", "sk7", "sk8", "sk9", "ska", "skb",
                "skc", "skd", "ske", "skf"
            ]
        ));
        assert!(holds(
            "(gh[pous]_[A-Z]{36})",
            &["ghp_", "gho_", "ghu_", "ghs_"]
        ));
        assert!(holds("(?i)x(?:pass|secret)y", &["pass", "secret"]));
        assert!(holds("-----BEGIN[ A-Z]*KEY", &["-----begin"]));
        assert!(!holds("(gh[pous]_[A-Z]{36})", &["ghp_"]));
        assert!(!holds("tok_[a-z]{20}", &["mycorp"]));
        assert!(!holds("(?:pass)?[a-z]{20}", &["pass"]));
        assert!(!holds("a.b", &["ab"]));
    }

    #[test]
    fn patterns_of_one_line_are_told() {
        for text in [
            r"(?m)^[ \t]*fetch\(",
            "(?:^|[^A-Za-z0-9_])(sk_[0-9a-f]{32})(?:[^A-Za-z0-9]|$)",
            "a[^\n]*b|(?:^|[^.])c[^d]",
            r"\p{L}+",
        ] {
            assert!(told(text, &[]).facts.stays_in_line, "{text}");
        }
        for text in [
            r"a\s+b",
            "a[^b]*c",
            "[^a]fetch",
            "(?s)a.b",
            "a\nb",
            r"(?:^|\s+)a",
            "(",
        ] {
            assert!(!told(text, &[]).facts.stays_in_line, "{text}");
        }
    }

    #[test]
    fn the_run_that_every_match_holds_is_told() {
        for (text, run) in [
            ("a3-[A-Z0-9]{6}", 6),
            ("(?:^|[^a-z])(sk[0-9a-f]{32})(?:[^a-z]|$)", 34),
            ("(?i)aws.{0,20}['\"]([a-z0-9]{40})", 40),
            ("x[a-z]{3}|y[a-z]{9}", 4),
            ("(?:[a-z]{4}-){2}[a-z]{3}", 4),
            ("(?:[a-z]{4}){3}[a-z]*b?", 12),
            ("a?[a-z]{5,}", 5),
            ("[^a-z]{30}", 0),
            (".{30}", 0),
        ] {
            let letters = |byte: u8| byte.is_ascii_alphanumeric();
            let hir = read(text).unwrap().hir;
            assert_eq!(longest_run_of(&hir, letters), run, "{text}");
        }
    }
}
