//! The rules that a hunk calls up, by the keywords in and beside its changed lines.

use std::ops::Range;

use baton_core::policy::Side;
use baton_patch::Hunk;

use crate::book::RuleBook;
use crate::hook::Hooks;
use crate::keyword::Table;
use crate::rule::Rule;
use crate::rule_set::RuleSet;

/// The rules that one hunk calls up.
#[derive(Default)]
pub(crate) struct Called {
    /// Rules that stay in a line, each with where in the hunk the added line starts, and whether a
    /// keyword of the rule is known to stand in it.
    pub(crate) lines: Vec<(usize, usize, bool)>,
    /// Rules that reach over lines, of which a keyword stands in a changed line or beside one: a match
    /// that touches a change has it there.
    pub(crate) several: RuleSet,
    /// Rules to judge what goes away.
    pub(crate) losing: RuleSet,
}

/// The line that a place lies in; many places lie in one.
#[derive(Default)]
struct Line {
    range: Range<usize>,
    marker: u8,
    /// Whether it is changed or stands beside a line that is.
    is_near: bool,
    follows_change: bool,
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
        let before = start.checked_sub(1).map(|end| line_start(raw, end));
        self.follows_change = before.is_some_and(|before| raw.get(before) != Some(&b' '));
        self.range = start..end;
        self.known.clear();
    }
}

impl Called {
    pub(crate) fn of(book: &RuleBook<'_>, table: &Table, hunk: &Hunk<'_>) -> Self {
        let near = near_changes(hunk.raw());
        match table.hooks(book, near.len()) {
            Some(hooks) => Self::by_hooks(book, hooks, hunk, near),
            None => Self::by_keywords(book, table, hunk, near),
        }
    }

    fn by_keywords(
        book: &RuleBook<'_>,
        table: &Table,
        hunk: &Hunk<'_>,
        near: Range<usize>,
    ) -> Self {
        let raw = hunk.raw();
        let mut called = Self::default();
        let mut line = Line::default();
        let part = raw.get(near.clone()).unwrap_or_default();
        table.each(part, |place| {
            line.go_to(raw, near.start + place.range.start);
            let is_loose = |number: usize| book.rule(number).is_some_and(Rule::is_loose);
            for number in place.rules().filter(|number| line.is_near || is_loose(*number)) {
                called.add(book, number, line.marker, line.range.start);
            }
        });
        called.add_always(book, &table.always, raw);
        called.lines.sort_unstable();
        called.lines.dedup();
        called
    }

    fn by_hooks(book: &RuleBook<'_>, hooks: &Hooks, hunk: &Hunk<'_>, near: Range<usize>) -> Self {
        let raw = hunk.raw();
        let mut called = Self::default();
        let mut line = Line::default();
        // What is lost may begin with the end of a removed line, and its anchor stand in the next.
        let mut perhaps = RuleSet::default();
        let part = raw.get(near.clone()).unwrap_or_default();
        hooks.each(part, true, |hook, place| {
            line.go_to(raw, near.start + place.start);
            if !hook.is_anchor {
                if line.is_near || hook.is_loose {
                    called.add(book, hook.rule, line.marker, line.range.start);
                }
                return;
            }
            match line.marker {
                b'+' if hook.reads_added_line && !line.known.has(hook.rule) => {
                    line.known.insert(hook.rule);
                    called.lines.push((hook.rule, line.range.start, hook.has_keyword));
                }
                b'-' if hook.is_losing && hook.has_keyword => called.losing.insert(hook.rule),
                b'-' if hook.is_losing => perhaps.insert(hook.rule),
                b' ' if hook.is_losing && line.follows_change => perhaps.insert(hook.rule),
                _ => {}
            }
        });
        for number in perhaps.numbers() {
            if !called.losing.has(number) && book.rule(number).is_some_and(|rule| removes(raw, rule)) {
                called.losing.insert(number);
            }
        }
        called.add_always(book, &hooks.always, raw);
        called.lines.sort_unstable();
        called.lines.dedup_by_key(|(number, start, _)| (*number, *start));
        called
    }

    fn add_always(&mut self, book: &RuleBook<'_>, always: &RuleSet, raw: &[u8]) {
        if always.is_empty() {
            return;
        }
        each_line(raw, |start, marker| {
            for number in always.numbers() {
                self.add(book, number, marker, start);
            }
        });
    }

    fn add(&mut self, book: &RuleBook<'_>, number: usize, marker: u8, start: usize) {
        let Some(rule) = book.rule(number) else {
            return;
        };
        match (rule.stays_in_line(), marker) {
            (true, b'+') if rule.side() == Side::Added => self.lines.push((number, start, true)),
            (true, b'-') | (false, _) if book.losing.has(number) => self.losing.insert(number),
            _ => {}
        }
        if !rule.stays_in_line() {
            self.several.insert(number);
        }
    }
}

/// Whether a removed line holds a keyword of a rule.
fn removes(raw: &[u8], rule: &Rule<'_>) -> bool {
    let mut holds = false;
    each_line(raw, |start, marker| {
        holds = holds || (marker == b'-' && rule.calls_for(line_at(raw, start)));
    });
    holds
}

/// Hands over each changed line of a hunk: where it starts, and its marker.
fn each_line(raw: &[u8], mut visit: impl FnMut(usize, u8)) {
    let mut start = 0;
    while let Some(marker) = raw.get(start) {
        if matches!(marker, b'+' | b'-') {
            visit(start, *marker);
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
        each_line(raw, |start, marker| {
            lines.push((marker, line_at(raw, start)))
        });
        assert_eq!(lines, [(b'+', &b"bc\n"[..]), (b'-', b"d\n"), (b'+', b"e")]);
        assert_eq!((line_start(raw, 5), line_start(raw, 1)), (3, 0));
    }
}
