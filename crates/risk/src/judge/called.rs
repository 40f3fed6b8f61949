//! The rules that a hunk calls up, by the keywords in and beside its changed lines.

use std::ops::Range;

use baton_core::policy::Side;
use baton_patch::Hunk;

use crate::book::RuleBook;
use crate::keyword::Table;
use crate::rule::Rule;
use crate::rule::rule_set::RuleSet;

/// The rules that one hunk calls up.
#[derive(Default)]
pub(crate) struct Called {
    /// Rules that stay in a line, each with where in the hunk the added line starts.
    pub(crate) lines: Vec<(usize, usize)>,
    /// Rules that reach over lines, of which a keyword stands in a changed line or beside one: a match
    /// that touches a change has it there.
    pub(crate) several: RuleSet,
    /// Rules to judge what goes away.
    pub(crate) losing: RuleSet,
    /// Lines in which alone a rule for secrets that stays in a line may find what goes away, each with the
    /// rule before it: removed ones and those beside them, for a match may begin with the end of the line
    /// before. By where they start in the hunk.
    gone: Vec<(usize, usize)>,
    /// The rules of which a keyword stands in a removed line, for these.
    taken: RuleSet,
}

/// The line that a place lies in; many places lie in one.
#[derive(Default)]
struct Line {
    range: Range<usize>,
    marker: u8,
    /// Whether it is changed or stands beside a line that is.
    is_near: bool,
    /// The rules that look at it already.
    known: RuleSet,
}

impl Line {
    fn go_to(&mut self, raw: &[u8], at: usize) {
        if self.range.contains(&at) {
            return;
        }
        let start = line_start(raw, at);
        let end = start + 1 + line_at(raw, start).len();
        self.marker = raw.get(start).copied().unwrap_or(b' ');
        self.is_near = self.marker != b' ' || is_beside_change(raw, start, end - 1);
        self.range = start..end;
        self.known.clear();
    }

    /// Whether a rule looks at the line already; from here on it does.
    fn is_known(&mut self, rule: usize) -> bool {
        let is_known = self.known.has(rule);
        self.known.insert(rule);
        is_known
    }
}

impl Called {
    pub(crate) fn of(book: &RuleBook<'_>, table: &Table, hunk: &Hunk<'_>) -> Self {
        let raw = hunk.raw();
        let near = near_changes(raw);
        let mut called = Self::default();
        let mut line = Line::default();
        let part = raw.get(near.clone()).unwrap_or_default();
        table.each(part, |place| {
            line.go_to(raw, near.start + place.range.start);
            for number in place.rules() {
                if line.is_known(number) {
                    continue;
                }
                if let Some(rule) = book.rule(number)
                    && (line.is_near || rule.is_loose())
                    && !called.goes(raw, (number, rule), &line)
                {
                    called.add(book, (number, rule), &line);
                }
            }
        });
        if !table.always.is_empty() {
            each_line(raw, |start| {
                line.go_to(raw, start);
                for number in table.always.numbers() {
                    // Such a rule looks at every line, and to remember each would take more than the change.
                    let is_idle = |rule: &Rule<'_>| {
                        line.marker == b'+'
                            && rule.stays_in_line()
                            && !rule.may_match(line_at(raw, start))
                    };
                    if let Some(rule) = book.rule(number).filter(|rule| !is_idle(rule)) {
                        called.add(book, (number, rule), &line);
                    }
                }
            });
        }
        called.lines.sort_unstable();
        called.lines.dedup();
        for (number, _) in &called.gone {
            if called.taken.has(*number) {
                called.losing.insert(*number);
            }
        }
        called
    }

    /// The lines of the old side, counted from 0, in which alone a match of some of [`Self::losing`] may
    /// lie, each behind its rule; the others may match anywhere.
    pub(crate) fn gone(&self, raw: &[u8]) -> Vec<(usize, usize)> {
        let gone = self.gone.iter().filter(|(rule, _)| self.losing.has(*rule));
        let mut gone: Vec<_> = gone.copied().collect();
        gone.sort_unstable_by_key(|(_, start)| *start);
        let (mut at, mut line) = (0, 0);
        for (_, start) in &mut gone {
            while at < *start {
                line += usize::from(matches!(raw.get(at), Some(b'-' | b' ')));
                at += 1 + line_at(raw, at).len();
            }
            *start = line;
        }
        gone
    }

    /// Takes in a line of the old side of which a rule for secrets that stays in a line has a keyword;
    /// false for any other rule. Most lines lack what every match holds, and then nothing goes away.
    fn goes(&mut self, raw: &[u8], (number, rule): (usize, &Rule<'_>), line: &Line) -> bool {
        if line.marker == b'+' || !rule.is_bound_to_keyword() {
            return false;
        }
        let text = raw.get(line.range.clone()).unwrap_or_default();
        if !text.ends_with(b"\n") || rule.may_match(text) {
            self.gone.push((number, line.range.start));
        }
        if line.marker == b'-' {
            self.taken.insert(number);
        }
        true
    }

    /// Takes in a rule of which a keyword stands in a line.
    fn add(&mut self, book: &RuleBook<'_>, (number, rule): (usize, &Rule<'_>), line: &Line) {
        match (rule.stays_in_line(), line.marker) {
            (true, b'+') if rule.side() == Side::Added => {
                self.lines.push((number, line.range.start));
            }
            (true, b'-') | (false, _) if book.losing.has(number) => self.losing.insert(number),
            _ => {}
        }
        if !rule.stays_in_line() {
            self.several.insert(number);
        }
    }
}

/// Hands over where each changed line of a hunk starts.
fn each_line(raw: &[u8], mut visit: impl FnMut(usize)) {
    let mut start = 0;
    while let Some(marker) = raw.get(start) {
        if matches!(marker, b'+' | b'-') {
            visit(start);
        }
        start += 1 + line_at(raw, start).len();
    }
}

/// The lines of a hunk from the one before its first change to the one after its last: what is
/// further away stands there to find the place.
fn near_changes(raw: &[u8]) -> Range<usize> {
    let is_changed = |start: usize| matches!(raw.get(start), Some(b'+' | b'-'));
    let (mut before, mut start) = (0, 0);
    while start < raw.len() && !is_changed(start) {
        before = start;
        start += 1 + line_at(raw, start).len();
    }
    let (mut after, mut end) = (raw.len(), raw.len());
    while let Some(last) = end.checked_sub(1).map(|last| line_start(raw, last)) {
        if is_changed(last) || last <= before {
            break;
        }
        (after, end) = (end, last);
    }
    before..after.max(before)
}

/// Where the line of a place starts.
fn line_start(raw: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', raw.get(..at).unwrap_or_default()).map_or(0, |end| end + 1)
}

/// The line that starts here, without its marker and with its line feed.
pub(crate) fn line_at(raw: &[u8], start: usize) -> &[u8] {
    let rest = raw.get(start + 1..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    rest.get(..end).unwrap_or(rest)
}

/// Whether the line before one, or the line after it, is changed.
fn is_beside_change(raw: &[u8], start: usize, end: usize) -> bool {
    let is_changed = |start: usize| matches!(raw.get(start), Some(b'+' | b'-'));
    let rest = raw.get(end..).unwrap_or_default();
    let next = memchr::memchr(b'\n', rest).is_some_and(|feed| is_changed(end + feed + 1));
    next || start
        .checked_sub(1)
        .is_some_and(|end| is_changed(line_start(raw, end)))
}

/// The number in the new file of the line that starts here.
pub(crate) fn new_number(hunk: &Hunk<'_>, start: usize) -> usize {
    let before = hunk.raw().get(..start).unwrap_or_default();
    let lines = before.split_inclusive(|byte| *byte == b'\n');
    let count = lines
        .filter(|line| !line.starts_with(b"-") && !line.starts_with(b"\\"))
        .count();
    hunk.new_start + usize::from(hunk.new_count == 0) + count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_changes_are_told() {
        let raw = b" a\n b\n+c\n-d\n e\n f\n g\n+h\n i\n+j\n";
        let beside = |letter: &u8| {
            let at = raw.iter().position(|byte| byte == letter).unwrap();
            is_beside_change(raw, line_start(raw, at), at + 1)
        };
        let letters: Vec<_> = b"abefgi".iter().copied().filter(beside).collect();
        assert_eq!(letters, b"begi");
        assert!(!is_beside_change(b" a\n b", 3, 5));
    }

    #[test]
    fn what_is_far_from_every_change_is_left_out() {
        let near = |raw: &'static str| raw.get(near_changes(raw.as_bytes())).unwrap();
        assert_eq!(
            near(" a\n b\n c\n+d\n e\n f\n-g\n h\n i\n j\n"),
            " c\n+d\n e\n f\n-g\n h\n"
        );
        assert_eq!(near("+a\n b\n c"), "+a\n b\n");
        assert_eq!(near(" a\n b\n-c"), " b\n-c");
        assert_eq!(near("+a\n"), "+a\n");
        assert_eq!(
            near(" a\n+b\n\\ No newline at end of file\n"),
            " a\n+b\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn lines_are_told_by_where_they_start() {
        let raw = b" a\n+bc\n-d\n+e";
        let mut lines = Vec::new();
        each_line(raw, |start| lines.push(line_at(raw, start)));
        assert_eq!(lines, [&b"bc\n"[..], b"d\n", b"e"]);
        assert_eq!((line_start(raw, 5), line_start(raw, 1)), (3, 0));
    }

    #[test]
    fn a_long_line_is_read_once() {
        let raw = ["+", &"assert(x); ".repeat(500_000), "\n-y\n z\n"].concat();
        let mut line = Line::default();
        for place in memchr::memmem::find_iter(raw.as_bytes(), "assert") {
            line.go_to(raw.as_bytes(), place);
            assert_eq!((line.range.start, line.marker), (0, b'+'));
        }
        let last = raw.len() - 2;
        line.go_to(raw.as_bytes(), last);
        assert_eq!(
            (line.range.clone(), line.marker),
            (last - 1..raw.len(), b' ')
        );
        assert!(line.is_near);
    }
}
