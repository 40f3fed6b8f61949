//! A file of the base in lines, its line ends, and the lines as numbers that are quick to search.

use std::collections::HashMap;

use super::model::{Hunk, Line};
use super::repair::{Repair, RepairId};

/// How the lines of a text end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eol {
    /// All with LF, or there is none.
    Lf,
    /// All with CR LF.
    Crlf,
    /// Some this way, some that.
    Mixed,
}

/// A file of the base.
#[derive(Debug)]
pub(crate) struct OldText<'f> {
    /// Without line feeds; a CR before one is part of the line.
    pub(crate) lines: Vec<&'f [u8]>,
    /// Whether the last line has no line feed.
    pub(crate) is_open: bool,
    pub(crate) eol: Eol,
}

impl<'f> OldText<'f> {
    pub(crate) fn new(bytes: &'f [u8]) -> Self {
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
        let is_open = !bytes.ends_with(b"\n") && !bytes.is_empty();
        if !is_open {
            lines.pop();
        }
        let ended = lines.len() - usize::from(is_open);
        let with_cr = lines
            .iter()
            .take(ended)
            .filter(|line| line.ends_with(b"\r"));
        let open_cr = is_open && lines.last().is_some_and(|line| line.ends_with(b"\r"));
        let eol = match with_cr.count() {
            0 => Eol::Lf,
            count if count == ended && !open_cr => Eol::Crlf,
            _ => Eol::Mixed,
        };
        Self {
            lines,
            is_open,
            eol,
        }
    }

    /// The bytes of the lines from `from` to `to`, as they are.
    pub(crate) fn raw(&self, from: usize, to: usize, into: &mut Vec<u8>) {
        for (at, line) in self.lines.iter().enumerate().take(to).skip(from) {
            into.extend_from_slice(line);
            if at + 1 < self.lines.len() || !self.is_open {
                into.push(b'\n');
            }
        }
    }
}

/// What is to be done about line ends before a section's lines are compared with the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EolPlan {
    /// A CR at the end of the file's lines is no part of them.
    pub(crate) strip_file: bool,
    /// Nor of the section's.
    pub(crate) strip_section: bool,
    /// Whether that changes what was written: repair R13.
    pub(crate) is_repair: bool,
}

impl EolPlan {
    /// Only where all lines of a section end one way and all of the file the other, the section's are
    /// changed. Everything else is taken as it was written.
    pub(crate) fn new(file: Eol, section: Option<Eol>) -> Self {
        let (strip_file, strip_section, is_repair) = match (file, section) {
            (Eol::Crlf, Some(Eol::Crlf)) => (true, true, false),
            (Eol::Crlf, Some(Eol::Lf)) => (true, false, true),
            (Eol::Lf, Some(Eol::Crlf)) => (false, true, true),
            _ => (false, false, false),
        };
        Self {
            strip_file,
            strip_section,
            is_repair,
        }
    }

    /// What ends a line that is put in.
    pub(crate) fn end(self) -> &'static [u8] {
        if self.strip_file { b"\r\n" } else { b"\n" }
    }

    /// What is told of it where it is one, for the section that begins on this line.
    pub(crate) fn repair(self, line: usize) -> Repair {
        let (lf, crlf) = (&b"LF"[..], &b"CR LF"[..]);
        let (before, after) = if self.strip_file {
            (lf, crlf)
        } else {
            (crlf, lf)
        };
        Repair::new(RepairId::Eol, line, before, after)
    }
}

/// How the lines of a section end; none where it has none.
pub(crate) fn eol_of<'l, 't: 'l>(lines: impl Iterator<Item = &'l Line<'t>>) -> Option<Eol> {
    let (mut with, mut without) = (0_usize, 0_usize);
    for line in lines {
        match line.text.ends_with(b"\r") {
            true => with += 1,
            false => without += 1,
        }
    }
    match (with, without) {
        (0, 0) => None,
        (0, _) => Some(Eol::Lf),
        (_, 0) => Some(Eol::Crlf),
        _ => Some(Eol::Mixed),
    }
}

pub(crate) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Takes the CR off every line of a hunk.
pub(crate) fn strip(hunk: &mut Hunk<'_>) {
    for line in &mut hunk.lines {
        line.text = without_cr(line.text);
    }
}

/// Lines as numbers: equal lines, equal numbers.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    known: HashMap<Vec<u8>, u32>,
    pub(crate) lines: Vec<u32>,
}

impl Ids {
    /// Numbers the lines, each as `key` sees it.
    pub(crate) fn new<'l>(
        lines: impl Iterator<Item = &'l [u8]>,
        key: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Self {
        let mut ids = Self::default();
        for line in lines {
            let next = u32::try_from(ids.known.len()).unwrap_or(u32::MAX);
            let id = *ids.known.entry(key(line)).or_insert(next);
            ids.lines.push(id);
        }
        ids
    }

    /// The number of a line as `key` sees it, if the file has one like it.
    pub(crate) fn id(&self, key: &[u8]) -> Option<u32> {
        self.known.get(key).copied()
    }

    /// Every place where `wanted` stands, at most `most`.
    pub(crate) fn places(&self, wanted: &[u32], most: usize) -> Vec<usize> {
        let failures = failures(wanted);
        let mut found = Vec::new();
        let mut matched = 0;
        for (at, id) in self.lines.iter().enumerate() {
            while matched > 0 && wanted.get(matched) != Some(id) {
                matched = failures.get(matched - 1).copied().unwrap_or(0);
            }
            if wanted.get(matched) == Some(id) {
                matched += 1;
            }
            if matched == wanted.len() && matched > 0 {
                found.push(at + 1 - matched);
                if found.len() >= most {
                    break;
                }
                matched = failures.get(matched - 1).copied().unwrap_or(0);
            }
        }
        found
    }
}

/// For each prefix, the length of the longest shorter one that it ends with: a search need not go back.
fn failures(wanted: &[u32]) -> Vec<usize> {
    let mut table = vec![0_usize; wanted.len()];
    let mut length = 0;
    for at in 1..wanted.len() {
        while length > 0 && wanted.get(length) != wanted.get(at) {
            length = table.get(length - 1).copied().unwrap_or(0);
        }
        if wanted.get(length) == wanted.get(at) {
            length += 1;
        }
        if let Some(slot) = table.get_mut(at) {
            *slot = length;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_a_plain_search() {
        let mut state = 7_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for _ in 0..2000 {
            let text: Vec<Vec<u8>> = (0..next(30)).map(|_| vec![next(2) as u8]).collect();
            let ids = Ids::new(text.iter().map(Vec::as_slice), <[u8]>::to_vec);
            let wanted: Vec<Vec<u8>> = (0..=next(4)).map(|_| vec![next(2) as u8]).collect();
            let numbers: Option<Vec<_>> = wanted.iter().map(|line| ids.id(line)).collect();
            let found = numbers.map_or(Vec::new(), |numbers| ids.places(&numbers, usize::MAX));
            let plain: Vec<_> = (0..text.len())
                .filter(|at| text[*at..].starts_with(&wanted))
                .collect();
            assert_eq!(found, plain);
        }
    }

    #[test]
    fn line_ends_are_told() {
        for (text, eol, is_open, lines) in [
            (&b""[..], Eol::Lf, false, 0),
            (b"a\n", Eol::Lf, false, 1),
            (b"a\nb", Eol::Lf, true, 2),
            (b"a\r\nb\r\n", Eol::Crlf, false, 2),
            (b"a\r\nb", Eol::Crlf, true, 2),
            (b"a\r\nb\r", Eol::Mixed, true, 2),
            (b"a\r\nb\n", Eol::Mixed, false, 2),
        ] {
            let old = OldText::new(text);
            assert_eq!(
                (old.eol, old.is_open, old.lines.len()),
                (eol, is_open, lines)
            );
            let mut raw = Vec::new();
            old.raw(0, lines, &mut raw);
            assert_eq!(raw, text);
        }
    }
}
