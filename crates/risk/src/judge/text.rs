//! Reading changed text: lines by position, hosts.

use std::cell::OnceCell;
use std::ops::{Range, RangeInclusive};

use baton_patch::{Section, SideText};

/// A text with its lines indexed once: asking for the line of a place costs the same however long
/// the text is. Some of its lines are changed, and only those are judged.
pub(crate) struct ChangedText {
    inner: SideText,
    /// Where each line begins; most texts are never asked.
    starts: OnceCell<Vec<usize>>,
}

impl ChangedText {
    pub(crate) fn new(inner: SideText) -> Self {
        Self {
            inner,
            starts: OnceCell::new(),
        }
    }

    fn starts(&self) -> &[usize] {
        self.starts.get_or_init(|| {
            let ends = memchr::memchr_iter(b'\n', &self.inner.text);
            std::iter::once(0).chain(ends.map(|at| at + 1)).collect()
        })
    }

    /// A whole new file, of which the lines count that the patch adds.
    pub(crate) fn whole(content: &[u8], section: &Section<'_>) -> Self {
        let lines = content.split(|byte| *byte == b'\n').count();
        let mut changed = vec![false; lines];
        for (number, _) in section.added_text() {
            if let Some(line) = number.checked_sub(1).and_then(|at| changed.get_mut(at)) {
                *line = true;
            }
        }
        Self::new(SideText {
            first_line: 1,
            text: content.to_vec(),
            changed,
        })
    }

    /// The text, context included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.inner.text
    }

    /// The numbers of the lines that a place touches.
    pub(crate) fn lines_of(&self, place: Range<usize>) -> RangeInclusive<usize> {
        let index = |at: usize| self.starts().partition_point(|start| *start <= at).max(1) - 1;
        let last = place.end.saturating_sub(1).max(place.start);
        self.inner.first_line + index(place.start)..=self.inner.first_line + index(last)
    }

    /// Whether a place lies in a changed line, or over one.
    pub(crate) fn touches_change(&self, place: &Range<usize>) -> bool {
        self.first_changed(&self.lines_of(place.clone())).is_some()
    }

    /// The first of these lines that the patch changes.
    pub(crate) fn first_changed(&self, lines: &RangeInclusive<usize>) -> Option<usize> {
        lines.clone().find(|line| self.is_changed(*line))
    }

    fn is_changed(&self, line: usize) -> bool {
        let index = line.checked_sub(self.inner.first_line);
        let changed = index.and_then(|index| self.inner.changed.get(index));
        changed.copied().unwrap_or(false)
    }

    /// The place of a line, counted from 0, with the byte before it and the one after it.
    pub(crate) fn around_line(&self, line: usize) -> Range<usize> {
        let start = |line: usize| self.starts().get(line).copied();
        let length = self.inner.text.len();
        let from = start(line).unwrap_or(length).saturating_sub(1);
        from..start(line + 1).map_or(length, |next| (next + 1).min(length))
    }

    /// The changed lines, those that follow each other in one, as [`Self::around_line`] has them.
    pub(crate) fn around_changes(&self) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        let changed = self.inner.changed.iter().enumerate();
        for (line, _) in changed.filter(|(_, is_changed)| **is_changed) {
            let around = self.around_line(line);
            match places.last_mut().filter(|last| around.start < last.end) {
                Some(last) => last.end = around.end,
                None => places.push(around),
            }
        }
        places
    }

    /// The bytes of these lines.
    pub(crate) fn text_of(&self, lines: &RangeInclusive<usize>) -> &[u8] {
        let to = self.start(lines.end() + 1);
        let to = to.unwrap_or(self.inner.text.len());
        self.inner
            .text
            .get(self.start_of(lines)..to)
            .unwrap_or_default()
    }

    /// Where these lines begin in the text.
    pub(crate) fn start_of(&self, lines: &RangeInclusive<usize>) -> usize {
        self.start(*lines.start()).unwrap_or(0)
    }

    fn start(&self, line: usize) -> Option<usize> {
        let index = line.checked_sub(self.inner.first_line)?;
        self.starts().get(index).copied()
    }
}

/// The hosts of every address in a text, in lower case. None when one of them could be read as
/// another host: an `@` puts the real host behind what looks like one.
pub(crate) fn hosts(text: &[u8]) -> Option<Vec<String>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(first_line: usize, lines: &[(&str, bool)]) -> ChangedText {
        ChangedText::new(SideText {
            first_line,
            text: lines
                .iter()
                .flat_map(|(line, _)| format!("{line}\n").into_bytes())
                .collect(),
            changed: lines.iter().map(|(_, added)| *added).collect(),
        })
    }

    #[test]
    fn lines_are_found_by_place() {
        let text = text(7, &[("ab", false), ("", true), ("cd", true)]);
        assert_eq!(text.lines_of(0..2), 7..=7);
        assert_eq!(text.lines_of(1..4), 7..=8);
        assert_eq!(text.lines_of(4..6), 9..=9);
        assert_eq!(text.lines_of(6..7), 9..=9);
        assert_eq!(text.first_changed(&(7..=9)), Some(8));
        assert_eq!(text.text_of(&(7..=8)), b"ab\n\n");
        assert_eq!(text.text_of(&(9..=9)), b"cd\n");
        assert_eq!(text.around_line(0), 0..4);
        assert_eq!(text.around_line(1), 2..5);
        assert_eq!(text.around_line(2), 3..7);
        let apart = [("a", true), ("bb", false), ("c", true), ("d", true)];
        assert_eq!(self::text(1, &apart).around_changes(), [0..3, 4..9]);
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
}
