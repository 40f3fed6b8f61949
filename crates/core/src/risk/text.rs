//! Reading added text: lines by position, hosts, characters that hide.

use std::ops::{Range, RangeInclusive};

use baton_patch::NewText;

/// The new side of one hunk, with its lines indexed once: asking for the line of a place costs the
/// same however long the hunk is.
pub(super) struct AddedText {
    inner: NewText,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl AddedText {
    pub(super) fn new(inner: NewText) -> Self {
        let ends = inner.text.iter().enumerate();
        let after = ends
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after).collect();
        Self { inner, starts }
    }

    /// The text, context included.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.inner.text
    }

    /// The numbers of the lines that a place touches.
    pub(super) fn lines_of(&self, place: Range<usize>) -> RangeInclusive<usize> {
        let index = |at: usize| self.starts.partition_point(|start| *start <= at).max(1) - 1;
        let last = place.end.saturating_sub(1).max(place.start);
        self.inner.first_line + index(place.start)..=self.inner.first_line + index(last)
    }

    /// The first of these lines that the patch adds.
    pub(super) fn first_added(&self, lines: &RangeInclusive<usize>) -> Option<usize> {
        lines.clone().find(|line| self.inner.is_added(*line))
    }

    /// The bytes of these lines.
    pub(super) fn text_of(&self, lines: &RangeInclusive<usize>) -> &[u8] {
        let start = |line: usize| {
            let index = line.checked_sub(self.inner.first_line);
            index.and_then(|index| self.starts.get(index)).copied()
        };
        let from = start(*lines.start()).unwrap_or(0);
        let to = start(lines.end() + 1).unwrap_or(self.inner.text.len());
        self.inner.text.get(from..to).unwrap_or_default()
    }

    /// The lines that the patch adds, without their line feeds.
    pub(super) fn added_lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = self.inner.text.split(|byte| *byte == b'\n').enumerate();
        lines
            .map(|(index, line)| (self.inner.first_line + index, line))
            .filter(|(number, _)| self.inner.is_added(*number))
    }
}

/// The hosts of every address in a text, in lower case. None when one of them could be read as
/// another host: an `@` puts the real host behind what looks like one.
pub(super) fn hosts(text: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let host = |rest: &str| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'));
        rest.get(..end.unwrap_or(rest.len())).map(str::to_owned)
    };
    if text.contains('@') {
        return None;
    }
    text.split("://").skip(1).map(host).collect()
}

/// The first character of a line that changes how the line is shown, or that does not show at all.
pub(super) fn hiding_character(line: &[u8], is_first_line: bool) -> Option<char> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let plain = |byte: &u8| matches!(*byte, b'\t' | 0x0c | b' '..=b'~');
    if line.iter().all(plain) {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        // A byte order mark at the beginning of a file marks nothing else.
        let is_mark = character == '\u{feff}' && before.is_none() && is_first_line;
        let joins = joins(before, character, characters.peek().copied());
        if hides(character) && !is_mark && !joins {
            return Some(character);
        }
        before = Some(character);
    }
    None
}

/// Whether an invisible character does its ordinary work: it joins two visible letters or pictures
/// of other scripts, or picks how the picture before it is drawn.
fn joins(before: Option<char>, character: char, after: Option<char>) -> bool {
    let shows = |c: char| !c.is_ascii() && !c.is_control() && !hides(c);
    let draws = |c: char| shows(c) || matches!(c, '0'..='9' | '#' | '*');
    match character {
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(draws),
        '\u{200c}' | '\u{200d}' => {
            let selector = |c: char| matches!(c, '\u{fe0e}' | '\u{fe0f}');
            before.is_some_and(|c| shows(c) || selector(c)) && after.is_some_and(shows)
        }
        _ => false,
    }
}

/// Control characters, marks of writing direction, and characters without a shape of their own.
fn hides(character: char) -> bool {
    if character.is_control() {
        return !matches!(character, '\t' | '\u{c}');
    }
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(first_line: usize, lines: &[(&str, bool)]) -> AddedText {
        AddedText::new(NewText {
            first_line,
            text: lines
                .iter()
                .flat_map(|(line, _)| format!("{line}\n").into_bytes())
                .collect(),
            added: lines.iter().map(|(_, added)| *added).collect(),
        })
    }

    #[test]
    fn lines_are_found_by_place() {
        let text = text(7, &[("ab", false), ("", true), ("cd", true)]);
        assert_eq!(text.lines_of(0..2), 7..=7);
        assert_eq!(text.lines_of(1..4), 7..=8);
        assert_eq!(text.lines_of(4..6), 9..=9);
        assert_eq!(text.lines_of(6..7), 9..=9);
        assert_eq!(text.first_added(&(7..=9)), Some(8));
        assert_eq!(text.text_of(&(7..=8)), b"ab\n\n");
        assert_eq!(text.text_of(&(9..=9)), b"cd\n");
        let added: Vec<_> = text.added_lines().collect();
        assert_eq!(added, [(8, &b""[..]), (9, b"cd")]);
    }

    #[test]
    fn hosts_are_read_or_refused() {
        let read = |text: &str| hosts(text.as_bytes());
        assert_eq!(read("no address"), Some(vec![]));
        assert_eq!(
            read("curl HTTPS://a.example:8/x http://b"),
            Some(vec!["a.example".to_owned(), "b".to_owned()])
        );
        assert_eq!(read("https://a.example@b.example/"), None);
    }

    #[test]
    fn hiding_characters_are_told_from_ordinary_ones() {
        let find = |line: &str| hiding_character(line.as_bytes(), false);
        for line in [
            "let a = 1;\r",
            "\ttab",
            "page\u{c}",
            "ü 日本 é",
            "⚠\u{fe0f} careful",
            "1\u{fe0f}\u{20e3}",
            "👩\u{200d}💻 ❤\u{fe0f}\u{200d}🔥",
            "می\u{200c}خواهم",
        ] {
            assert_eq!(find(line), None, "{line:?}");
        }
        for (line, expected) in [
            ("a\u{202e}b", '\u{202e}'),
            ("a\rb", '\r'),
            ("x\u{1b}[2K", '\u{1b}'),
            ("a\u{200d}b", '\u{200d}'),
            ("a\u{fe01}", '\u{fe01}'),
            ("⚠\u{fe0f}\u{fe0f}", '\u{fe0f}'),
            ("a\u{e0061}", '\u{e0061}'),
            ("a\u{ad}b", '\u{ad}'),
            ("\u{feff}x", '\u{feff}'),
        ] {
            assert_eq!(find(line), Some(expected), "{line:?}");
        }
        assert_eq!(hiding_character("\u{feff}x".as_bytes(), true), None);
    }
}
