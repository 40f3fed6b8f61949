//! Text hunks: reading them by count, and looking at their lines afterwards.

use crate::cursor::{Cursor, Line};
use crate::refusal::{Code, Refusal};

/// The only spelling that git writes, whatever the language of its user.
const NO_NEWLINE: &[u8] = b"\\ No newline at end of file";
/// Largest line number or count: far above any real file, far below any overflow.
const NUMBER_MAX: usize = 2_147_483_647;

/// What a line of a hunk stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineKind {
    /// In both files.
    Context,
    /// Only in the new file.
    Added,
    /// Only in the old file.
    Removed,
}

/// One line of a hunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HunkLine<'a> {
    /// What it stands for.
    pub kind: LineKind,
    /// The content, without marker and line feed. A carriage return is part of it.
    pub text: &'a [u8],
    /// Line number in the old file; for an added line, that of the next old line.
    pub old_number: usize,
    /// Line number in the new file; for a removed line, that of the next new line.
    pub new_number: usize,
    /// Whether the file ends with this line and has no line feed there.
    pub no_newline: bool,
}

/// One hunk of a text section; its lines are checked when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk<'a> {
    /// Line of its header in the input, counted from 1.
    pub line: usize,
    /// Start in the old file as written; 0 only with a count of 0.
    pub old_start: usize,
    /// Lines of the old file.
    pub old_count: usize,
    /// Start in the new file as written; 0 only with a count of 0.
    pub new_start: usize,
    /// Lines of the new file.
    pub new_count: usize,
    /// Text after the second `@@`, usually the enclosing function.
    pub heading: &'a [u8],
    /// Added lines.
    pub insertions: usize,
    /// Removed lines.
    pub deletions: usize,
    body: &'a [u8],
}

/// One side of one hunk as contiguous text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideText {
    /// Line number of the first line in that side's file.
    pub first_line: usize,
    /// Context and changed lines with their line feeds.
    pub text: Vec<u8>,
    /// For each line, whether the patch adds it (new side) or removes it (old side).
    pub changed: Vec<bool>,
}

impl<'a> Hunk<'a> {
    /// Yields the lines with their numbers.
    pub fn lines(&self) -> impl Iterator<Item = HunkLine<'a>> + use<'a> {
        let mut old = position(self.old_start, self.old_count);
        let mut new = position(self.new_start, self.new_count);
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let (marker, text) = take_line(&mut rest)?.split_first()?;
            let kind = kind_of(*marker)?;
            let no_newline = rest.starts_with(b"\\");
            if no_newline {
                take_line(&mut rest);
            }
            let numbered = HunkLine {
                kind,
                text,
                old_number: old,
                new_number: new,
                no_newline,
            };
            old += usize::from(kind != LineKind::Added);
            new += usize::from(kind != LineKind::Removed);
            Some(numbered)
        })
    }

    /// The hunk's lines as the patch writes them, markers included.
    pub fn raw(&self) -> &'a [u8] {
        self.body
    }

    /// Rebuilds the new side, context included.
    pub fn new_text(&self) -> SideText {
        self.side(LineKind::Added, position(self.new_start, self.new_count))
    }

    /// Rebuilds the old side, context included.
    pub fn old_text(&self) -> SideText {
        self.side(LineKind::Removed, position(self.old_start, self.old_count))
    }

    fn side(&self, changed: LineKind, first_line: usize) -> SideText {
        let mut side = SideText {
            first_line,
            text: Vec::with_capacity(self.body.len()),
            changed: Vec::new(),
        };
        let is_on_it = |kind| kind == changed || kind == LineKind::Context;
        for line in self.lines().filter(|line| is_on_it(line.kind)) {
            side.text.extend_from_slice(line.text);
            if !line.no_newline {
                side.text.push(b'\n');
            }
            side.changed.push(line.kind == changed);
        }
        side
    }
}

impl Hunk<'_> {
    /// Tells whether the two sides differ; git never writes a hunk in which they do not.
    fn has_effect(&self) -> bool {
        let side = |other: LineKind| {
            let lines = self.lines().filter(move |line| line.kind != other);
            lines.map(|line| (line.text, line.no_newline))
        };
        self.insertions != self.deletions || !side(LineKind::Added).eq(side(LineKind::Removed))
    }
}

/// Takes the next line off, without its line feed.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let line = rest.get(..end)?;
    *rest = rest.get(end + 1..).unwrap_or_default();
    Some(line)
}

/// Reads the hunks of one section; at least one.
pub(crate) fn read_hunks<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<Hunk<'a>>, Refusal> {
    let mut hunks = Vec::new();
    let mut follow = Follow::default();
    while let Some(header) = cursor.peek().filter(|line| line.text.starts_with(b"@@")) {
        cursor.count_hunk(header)?;
        cursor.step()?;
        let mut hunk = read_header(header)?;
        follow.check(header, &hunk)?;
        read_body(cursor, &mut hunk, &mut follow)?;
        hunks.push(hunk);
    }
    match cursor.peek() {
        _ if !hunks.is_empty() => Ok(hunks),
        Some(line) => line.refuse(Code::BadHunkHeader),
        None => Err(cursor.end()),
    }
}

/// Where the next hunk of a section may start.
#[derive(Default)]
struct Follow {
    old_end: usize,
    insertions: usize,
    deletions: usize,
    /// A file ended without a line feed, so nothing can follow.
    ended: bool,
}

impl Follow {
    fn check(&self, line: Line<'_>, hunk: &Hunk<'_>) -> Result<(), Refusal> {
        let old = position(hunk.old_start, hunk.old_count);
        let new = position(hunk.new_start, hunk.new_count);
        let expected = old + self.insertions;
        if self.ended {
            return line.refuse(Code::NoNewline);
        }
        if old < self.old_end || new + self.deletions != expected {
            return line.refuse(Code::HunkPosition);
        }
        Ok(())
    }
}

/// Returns the first line of a side; an empty side is written with the line before it.
fn position(start: usize, count: usize) -> usize {
    start + usize::from(count == 0)
}

fn kind_of(marker: u8) -> Option<LineKind> {
    match marker {
        b' ' => Some(LineKind::Context),
        b'+' => Some(LineKind::Added),
        b'-' => Some(LineKind::Removed),
        _ => None,
    }
}

fn read_header<'a>(line: Line<'a>) -> Result<Hunk<'a>, Refusal> {
    let parsed = (|| {
        let rest = line.after("@@ -")?;
        let (old_start, old_count, rest) = range(rest)?;
        let (new_start, new_count, rest) = range(rest.strip_prefix(b" +")?)?;
        let heading = match rest.strip_prefix(b" @@")? {
            [] => &[][..],
            [b' ', heading @ ..] => heading,
            _ => return None,
        };
        Some(Hunk {
            line: line.number,
            old_start,
            old_count,
            new_start,
            new_count,
            heading,
            insertions: 0,
            deletions: 0,
            body: &[],
        })
    })();
    parsed.map_or_else(|| line.refuse(Code::BadHunkHeader), Ok)
}

/// Reads `start` or `start,count` as git writes it: a count of 1 is left out.
fn range(text: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (start, rest) = number(text)?;
    let (count, rest) = match rest.strip_prefix(b",") {
        None => (1, rest),
        Some(rest) => number(rest).filter(|(count, _)| *count != 1)?,
    };
    (start > 0 || count == 0).then_some((start, count, rest))
}

/// Reads a decimal number without leading zeros, up to [`NUMBER_MAX`].
pub(crate) fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() || digits.len() > 10 || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let value = usize::try_from(value)
        .ok()
        .filter(|value| *value <= NUMBER_MAX)?;
    Some((value, rest))
}

/// Reads the lines of one hunk: exactly as many as its header says.
fn read_body<'a>(
    cursor: &mut Cursor<'a>,
    hunk: &mut Hunk<'a>,
    follow: &mut Follow,
) -> Result<(), Refusal> {
    let start = cursor.offset();
    let (mut old, mut new) = (hunk.old_count, hunk.new_count);
    let mut context = 0;
    loop {
        cursor.step_over(|marker| {
            let (on_old, on_new) = (marker != b'+', marker != b'-');
            let fits = matches!(marker, b' ' | b'+' | b'-')
                && old >= usize::from(on_old)
                && new >= usize::from(on_new);
            if fits {
                old -= usize::from(on_old);
                new -= usize::from(on_new);
                context += usize::from(on_old && on_new);
            }
            fits
        })?;
        if old == 0 && new == 0 {
            break;
        }
        let line = cursor.step()?;
        let Some(kind) = line.text.first().copied().and_then(kind_of) else {
            let marker = line.text.starts_with(b"\\");
            return line.refuse(if marker {
                Code::NoNewline
            } else {
                Code::HunkLine
            });
        };
        let (on_old, on_new) = (kind != LineKind::Added, kind != LineKind::Removed);
        if (on_old && old == 0) || (on_new && new == 0) {
            return line.refuse(Code::HunkCount);
        }
        old -= usize::from(on_old);
        new -= usize::from(on_new);
        context += usize::from(on_old && on_new);
        let is_empty = line.text.len() == 1;
        read_marker(cursor, is_empty, (on_old, old), (on_new, new), follow)?;
    }
    hunk.body = cursor.since(start);
    hunk.deletions = hunk.old_count - context;
    hunk.insertions = hunk.new_count - context;
    if !hunk.has_effect() {
        let refusal = Refusal::new(Code::HunkCount, hunk.line, b"@@");
        return Err(refusal.because("the hunk changes nothing"));
    }
    follow.old_end = position(hunk.old_start, hunk.old_count) + hunk.old_count;
    follow.insertions += hunk.insertions;
    follow.deletions += hunk.deletions;
    Ok(())
}

/// Reads the marker of a missing last line feed, if there is one after a line. Each side of
/// that line, given as (line is on it, lines left), must end there; and the line must hold
/// something, since neither text nor line feed would be no line at all, though it is counted.
fn read_marker(
    cursor: &mut Cursor<'_>,
    is_empty: bool,
    (on_old, old): (bool, usize),
    (on_new, new): (bool, usize),
    follow: &mut Follow,
) -> Result<(), Refusal> {
    let Some(marker) = cursor.peek().filter(|line| line.text.starts_with(b"\\")) else {
        return Ok(());
    };
    let goes_on = (on_old && old > 0) || (on_new && new > 0);
    if marker.text != NO_NEWLINE || is_empty || goes_on {
        return marker.refuse(Code::NoNewline);
    }
    follow.ended = true;
    cursor.step()?;
    Ok(())
}
