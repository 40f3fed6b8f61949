//! The parts of a text in which a pattern may match: the lines that hold what each match needs, with as
//! many around them as a match may reach over.

use std::ops::Range;

use regex_syntax::hir::{Class, Hir, HirKind, Literal};

use crate::pattern::needs::{Needs, holds_word};
use crate::pattern::shape::{Told, holds_line_feed};

/// A pattern whose matches may lie in more lines around one is looked for in the whole text.
const FAR: usize = 12;

/// In which lines a pattern may match.
#[derive(Debug)]
pub(crate) struct Lines {
    /// What one line of every match must hold.
    needs: Needs,
    /// In how many lines around that one a match may lie; None where nothing bounds them.
    reach: Option<usize>,
    /// Keywords in lower case of which every match holds one; none where that is not known.
    near: Vec<Vec<u8>>,
}

impl Lines {
    pub(crate) fn of(hir: &Hir, stays_in_line: bool, near: Vec<Vec<u8>>) -> Self {
        Self {
            needs: needs_of(hir),
            reach: match stays_in_line {
                true => Some(0),
                false => reach_of(hir).filter(|lines| *lines <= FAR),
            },
            near,
        }
    }

    /// Whether one line is told from another.
    pub(crate) fn tell(&self) -> bool {
        self.needs.tells_lines()
    }

    /// Whether some line of a text may hold a match.
    pub(crate) fn may_match(&self, text: &[u8]) -> bool {
        self.needs.next_line(text, 0).is_some()
    }

    /// A line with all that a match in it may touch.
    fn around(&self, text: &[u8], line: &Range<usize>) -> Range<usize> {
        let Some(reach) = self.reach else {
            return 0..text.len();
        };
        let Range { mut start, mut end } = line.clone();
        for _ in 0..reach {
            start = line_before(text, start);
            end = line_after(text, end);
        }
        // A match may begin with the line feed before.
        start.saturating_sub(1)..end
    }

    /// Whether a part holds one of the keywords, where every match does.
    fn may_hold_match(&self, part: &[u8]) -> bool {
        self.near.is_empty() || self.near.iter().any(|word| holds_word(part, word))
    }
}

/// Hands over the parts of a text, one after the other and none twice.
pub(crate) struct Parts<'t> {
    lines: Option<&'t Lines>,
    /// What every match holds, wherever in it.
    needs: &'t Needs,
    text: &'t [u8],
    /// The next line that holds what is needed, or the whole text.
    line: Option<Range<usize>>,
}

impl<'t> Parts<'t> {
    /// The parts from a place of a text on.
    pub(crate) fn of(told: &'t Told, text: &'t [u8], from: usize) -> Self {
        let lines = told.lines(text.len() - from.min(text.len()));
        let line = match lines {
            Some(lines) => lines.needs.next_line(text, from),
            None => Some(from..text.len()),
        };
        Self {
            lines,
            needs: &told.facts.needs,
            text,
            line,
        }
    }

    /// The next part. A line is left out where nothing is wanted that a match in it may touch.
    pub(crate) fn next(
        &mut self,
        is_wanted: impl Fn(&Range<usize>) -> bool,
    ) -> Option<Range<usize>> {
        let Some(lines) = self.lines else {
            return self.line.take();
        };
        let mut part: Option<Range<usize>> = None;
        while let Some(line) = self.line.clone() {
            let around = lines.around(self.text, &line);
            let bytes = self.text.get(around.clone()).unwrap_or_default();
            match &mut part {
                Some(part) if around.start > part.end => break,
                _ if lines.reach != Some(0)
                    && !(self.needs.are_met(bytes) && lines.may_hold_match(bytes)) => {}
                _ if !is_wanted(&around) => {}
                Some(part) => part.end = around.end,
                None => part = Some(around),
            }
            let is_last = lines.reach.is_none();
            let next = || lines.needs.next_line(self.text, line.end);
            self.line = if is_last { None } else { next() };
        }
        part
    }
}

/// What one line must hold for a match of a pattern: where a line feed may stand in it, what is asked
/// for by the part between two of them that asks for most.
fn needs_of(hir: &Hir) -> Needs {
    let parts = match hir.kind() {
        HirKind::Capture(capture) => return needs_of(&capture.sub),
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let lines = parts
        .split(holds_line_feed)
        .filter(|parts| !parts.is_empty());
    let needs = lines.map(|parts| Needs::of(&Hir::concat(parts.to_vec())));
    needs.max_by_key(Needs::strength).unwrap_or_default()
}

/// Where the last line before a place that is not blank starts.
fn line_before(text: &[u8], at: usize) -> usize {
    let head = text.get(..at).unwrap_or_default();
    let end = head.iter().rposition(|byte| !is_blank(*byte));
    let head = head.get(..end.unwrap_or(0)).unwrap_or_default();
    memchr::memrchr(b'\n', head).map_or(0, |end| end + 1)
}

/// Where the first line after a place that is not blank ends.
fn line_after(text: &[u8], at: usize) -> usize {
    let tail = text.get(at..).unwrap_or_default();
    let blank = tail.iter().take_while(|byte| is_blank(**byte)).count();
    let line = tail.get(blank..).unwrap_or_default();
    let end = memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
    at + blank + end
}

/// How many lines that are not blank a match can take in beside any one of them; None where nothing
/// bounds it.
pub(crate) fn reach_of(hir: &Hir) -> Option<usize> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(0),
        HirKind::Literal(Literal(bytes)) => {
            Some(bytes.iter().filter(|byte| **byte == b'\n').count())
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut ranges = class.iter();
            let holds = ranges.any(|range| (range.start()..=range.end()).contains(&b'\n'));
            Some(usize::from(holds))
        }
        HirKind::Class(Class::Unicode(_)) => None,
        HirKind::Capture(capture) => reach_of(&capture.sub),
        HirKind::Concat(parts) => parts.iter().map(reach_of).sum(),
        HirKind::Alternation(parts) => parts
            .iter()
            .map(reach_of)
            .try_fold(0, |most, part| Some(part?.max(most))),
        HirKind::Repetition(repetition) => match reach_of(&repetition.sub)? {
            0 => Some(0),
            // Blanks reach to the next line that is not blank, however many there are.
            _ if is_of_blanks(&repetition.sub) => Some(1),
            lines => lines.checked_mul(repetition.max? as usize),
        },
    }
}

fn is_of_blanks(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Bytes(class)) => {
            let mut bytes = class.iter().flat_map(|range| range.start()..=range.end());
            bytes.all(is_blank)
        }
        _ => false,
    }
}

/// The bytes that patterns take for blanks.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Regex;
    use crate::pattern::shape::{read, told};

    fn parts(pattern: &str, keywords: &[&str], text: &str) -> Vec<Range<usize>> {
        let keywords: Vec<_> = keywords.iter().map(|word| (*word).to_owned()).collect();
        let told = told(pattern, &keywords);
        assert!(told.lines(1 << 20).is_some(), "{pattern}");
        let mut parts = Parts::of(&told, text.as_bytes(), 0);
        std::iter::from_fn(|| parts.next(|_| true)).collect()
    }

    #[test]
    fn every_match_lies_in_a_part() {
        let odd = "x = 1\nsay password\n\n\nis\n  \"one@two:three\"\nPW:\t'abcdefgh'\n\n\nkey: |\n  abcdefghij\n";
        let text = ["plain line of words\n".repeat(40), odd.to_owned()]
            .concat()
            .repeat(30);
        for pattern in [
            "(?i)pass\\w*\\s+is\\s+[\"']([^\\s\"']{8,})[\"']",
            "one@[a-z]+:",
            "(?i)pw:\\s{0,4}'[a-z]{8}'",
            "(?m)^key:[ \\t]*\\|\\n[ ]+[a-z]{10}$",
            "[^a-z]\"one@",
        ] {
            let parts = parts(pattern, &[], &text);
            let regex = Regex::of(pattern).unwrap();
            let found: Vec<_> = regex.all_in(text.as_bytes()).collect();
            assert_eq!(found.len(), 30, "{pattern}");
            for place in found {
                let holds =
                    |part: &Range<usize>| part.start <= place.start && place.end <= part.end;
                assert!(parts.iter().any(holds), "{pattern} {place:?}");
            }
            let read: usize = parts.iter().map(Range::len).sum();
            assert!(read < text.len() / 4, "{pattern}: {read} bytes");
        }
    }

    #[test]
    fn a_line_far_from_every_keyword_is_left_out() {
        let pattern = "(?i)token\\s+is\\s+'[a-z]{8,}'";
        let near = "the Token\nis 'abcdefghij'\n";
        let far = ["is 'abcdefghij'\n", &"b\n".repeat(20), "token\n"].concat();
        assert_eq!(parts(pattern, &["token"], near).len(), 1);
        assert!(parts(pattern, &["token"], &far).is_empty());
    }

    #[test]
    fn how_far_a_match_reaches_is_told() {
        for (pattern, reach) in [
            ("a[^\n]*b", Some(0)),
            ("a\\s*b", Some(1)),
            ("a\\s+b\\s{0,4}c", Some(2)),
            ("a(?:[^\n]*\n){0,3}?b", Some(3)),
            ("a(?:b\\s*|\nc\nd)", Some(2)),
            ("a[^b]*c", None),
            ("a(?:\\s*b)+", None),
            ("a[^b]{0,9}c", Some(9)),
        ] {
            assert_eq!(reach_of(&read(pattern).unwrap().hir), reach, "{pattern}");
        }
    }

    #[test]
    fn many_lines_that_may_hold_a_match_are_read_once() {
        let pattern = "(?i)token\\s+is\\s+'[a-z]{8,}'";
        let text = "token 'abcdefghij'\n\n".repeat(200_000);
        let whole = |parts: Vec<Range<usize>>, text: &str| {
            parts.len() == 1 && parts.first() == Some(&(0..text.len()))
        };
        assert!(whole(parts(pattern, &["token"], &text), &text));
        let long = ["token ", &"'abcdefghij' ".repeat(200_000)].concat();
        assert!(whole(parts(pattern, &["token"], &long), &long));
    }
}
