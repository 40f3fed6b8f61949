//! Patterns as data: compiled on first use, bounded in size.
//!
//! Letters, digits, blanks and word borders are ASCII's, as in the rule files that teams already
//! have; a pattern that asks for a class of Unicode is compiled with Unicode.

use std::cell::OnceCell;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Literal};

/// The largest compiled pattern, in bytes: a pattern is data and must not eat the memory.
const PATTERN_LIMIT: usize = 8 << 20;

/// A pattern that is compiled on first use.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: String,
    compiled: OnceCell<Regex>,
}

impl Pattern {
    pub(crate) fn new(text: String) -> Self {
        Self {
            text,
            compiled: OnceCell::new(),
        }
    }

    /// The compiled pattern.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn get(&self) -> Result<&Regex, String> {
        if let Some(regex) = self.compiled.get() {
            return Ok(regex);
        }
        let regex = compile(&self.text)?;
        Ok(self.compiled.get_or_init(|| regex))
    }
}

/// What can be told of a pattern without compiling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) can_match: bool,
    /// Whether an empty text is a match.
    pub(crate) can_be_empty: bool,
    pub(crate) groups: usize,
}

/// Reads a pattern, or says what is wrong with it.
pub(crate) fn shape(text: &str) -> Result<Shape, String> {
    let read = |unicode: bool| {
        let mut parser = ParserBuilder::new();
        let parsed = parser.unicode(unicode).utf8(false).build().parse(text);
        parsed.map_err(|error| format!("pattern \"{}\": {error}", text.escape_debug()))
    };
    let hir = read(false).or_else(|_| read(true))?;
    let known = hir.properties();
    Ok(Shape {
        can_match: known.minimum_len().is_some(),
        can_be_empty: known.minimum_len() == Some(0),
        groups: known.explicit_captures_len(),
    })
}

/// How long a run of some bytes every match of a pattern holds at the least; 0 for one that cannot be
/// read, and never more than there is.
pub(crate) fn longest_run(text: &str, is_in: fn(u8) -> bool) -> usize {
    let parser = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(text);
    parser.map_or(0, |hir| Run::of(&hir, is_in).longest)
}

/// Whether every match lies in one line; at its edges it may take in a line feed for want of another
/// byte, as `[^a-z]` does, which is no part of what it is about.
pub(crate) fn stays_in_line(text: &str) -> bool {
    let read = |unicode: bool| {
        ParserBuilder::new()
            .unicode(unicode)
            .utf8(false)
            .build()
            .parse(text)
            .ok()
    };
    let hir = read(false).or_else(|| read(true));
    hir.is_some_and(|hir| stays(&hir, true, true))
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

fn holds_line_feed(hir: &Hir) -> bool {
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

/// Compiles a pattern, or says what is wrong with it.
pub(crate) fn compile(text: &str) -> Result<Regex, String> {
    let build = |unicode: bool| {
        RegexBuilder::new(text)
            .unicode(unicode)
            .size_limit(PATTERN_LIMIT)
            .build()
    };
    build(false)
        .or_else(|_| build(true))
        .map_err(|error| format!("pattern \"{}\": {error}", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::{longest_run, stays_in_line};

    #[test]
    fn patterns_of_one_line_are_told() {
        for text in [
            r"(?m)^[ \t]*fetch\(",
            "(?:^|[^A-Za-z0-9_])(sk_[0-9a-f]{32})(?:[^A-Za-z0-9]|$)",
            "a[^\n]*b|(?:^|[^.])c[^d]",
            r"\p{L}+",
        ] {
            assert!(stays_in_line(text), "{text}");
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
            assert!(!stays_in_line(text), "{text}");
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
            ("(", 0),
        ] {
            let letters = |byte: u8| byte.is_ascii_alphanumeric();
            assert_eq!(longest_run(text, letters), run, "{text}");
        }
    }
}
