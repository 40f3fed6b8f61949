//! The parts of a text in which a pattern may match: the lines that hold what each match needs, with as
//! many around them as a match may reach over.

use std::ops::Range;

use regex_syntax::hir::{Class, Hir, HirKind, Literal};

use crate::shape::Told;

/// Hands over the parts of a text, one after the other and none twice.
pub(crate) struct Parts<'t> {
    told: &'t Told,
    text: &'t [u8],
    /// The next line that holds what is needed.
    line: Option<Range<usize>>,
}

impl<'t> Parts<'t> {
    /// The parts from a place of a text on.
    pub(crate) fn of(told: &'t Told, text: &'t [u8], from: usize) -> Self {
        let line = match told.reach {
            Some(_) => told.in_line.next_line(text, from),
            None => Some(from..text.len()),
        };
        Self { told, text, line }
    }

    /// The next part. A line is left out where nothing is wanted that a match in it may touch.
    pub(crate) fn next(
        &mut self,
        is_wanted: impl Fn(&Range<usize>) -> bool,
    ) -> Option<Range<usize>> {
        let mut part: Option<Range<usize>> = None;
        while let Some(line) = self.line.clone() {
            let around = self.around(&line);
            match &mut part {
                Some(part) if around.start > part.end => break,
                _ if self.told.reach.is_some() && !is_wanted(&around) => {}
                Some(part) => part.end = around.end,
                None => part = Some(around),
            }
            self.line = match self.told.reach {
                Some(_) => self.told.in_line.next_line(self.text, line.end),
                None => None,
            };
        }
        part
    }

    /// A line with all that a match in it may touch.
    fn around(&self, line: &Range<usize>) -> Range<usize> {
        let Some(reach) = self.told.reach else {
            return line.clone();
        };
        let Range { mut start, mut end } = line.clone();
        for _ in 0..reach {
            start = line_before(self.text, start);
            end = line_after(self.text, end);
        }
        // A match may begin with the line feed before.
        start.saturating_sub(1)..end
    }
}

/// Where the last line before a place that is not blank starts.
fn line_before(text: &[u8], at: usize) -> usize {
    let head = text.get(..at).unwrap_or_default().trim_ascii_end();
    memchr::memrchr(b'\n', head).map_or(0, |end| end + 1)
}

/// Where the first line after a place that is not blank ends.
fn line_after(text: &[u8], at: usize) -> usize {
    let tail = text.get(at..).unwrap_or_default();
    let blank = tail.len() - tail.trim_ascii_start().len();
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
            _ if is_blank(&repetition.sub) => Some(1),
            lines => lines.checked_mul(repetition.max? as usize),
        },
    }
}

fn is_blank(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Bytes(class)) => {
            let mut ranges = class.iter();
            ranges.all(|range| (range.start()..=range.end()).all(|byte| byte.is_ascii_whitespace()))
        }
        _ => false,
    }
}
