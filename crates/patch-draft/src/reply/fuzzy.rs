//! The three repairs that guess. They are made only when they are asked for, each alone, and only where
//! one place fits.

use super::file::Ids;
use super::locate::{Placed, Searched};
use super::model::{Hunk, Kind, Line};
use super::refusal::Refusal;
use super::repair::{Repair, RepairId};

const MOST_PLACES: usize = 100;
/// How many lines in a row a hunk may have left out.
const MOST_SKIPPED: usize = 20;
/// What a comment can begin with.
const COMMENTS: [&[u8]; 9] = [b"#", b"//", b"--", b"/*", b"*", b";", b"<!--", b"%", b"\""];

/// Tries the guesses one after the other; none when none fits.
///
/// # Errors
/// `HUNK_NOT_UNIQUE`.
pub(crate) fn place(
    searched: &Searched<'_, '_>,
    hunk: &Hunk<'_>,
    old: &[Line<'_>],
) -> Result<Option<Placed>, Refusal> {
    if let Some(placed) = shifted(searched, hunk, old)? {
        return Ok(Some(placed));
    }
    if let Some(placed) = with_gaps(searched, hunk, old)? {
        return Ok(Some(placed));
    }
    folded(searched, hunk, old)
}

fn fits_end(searched: &Searched<'_, '_>, hunk: &Hunk<'_>, end: usize) -> bool {
    !(hunk.old_open || hunk.new_open) || end == searched.lines.len()
}

fn unindented(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    line.get(blanks.count()..).unwrap_or_default()
}

/// By how much a hunk is off: what to put before each line, or to take from it.
#[derive(Clone, PartialEq, Eq)]
enum Shift {
    In(Vec<u8>),
    Out(Vec<u8>),
}

impl Shift {
    fn between(given: &[u8], real: &[u8]) -> Option<Self> {
        if let Some(more) = real.strip_suffix(given) {
            return Some(Self::In(more.to_vec()));
        }
        given
            .strip_suffix(real)
            .map(|more| Self::Out(more.to_vec()))
    }

    fn apply(&self, line: &[u8]) -> Option<Vec<u8>> {
        match self {
            _ if line.is_empty() => Some(Vec::new()),
            Self::In(more) => Some([more, line].concat()),
            Self::Out(more) => line.strip_prefix(more.as_slice()).map(<[u8]>::to_vec),
        }
    }
}

/// F1: the same amount of blanks is missing, or too much, before every line.
fn shifted(
    searched: &Searched<'_, '_>,
    hunk: &Hunk<'_>,
    old: &[Line<'_>],
) -> Result<Option<Placed>, Refusal> {
    let ids = Ids::new(searched.lines.iter().copied(), |line| {
        unindented(line).to_vec()
    });
    let wanted: Option<Vec<_>> = old
        .iter()
        .map(|line| ids.id(unindented(line.text)))
        .collect();
    let found = wanted.map_or(Vec::new(), |wanted| ids.places(&wanted, MOST_PLACES));
    let shift_at = |start: usize| -> Option<Shift> {
        let mut lines = old
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.text.is_empty());
        let (at, first) = lines.next()?;
        let shift = Shift::between(first.text, searched.line(start + at))?;
        let fits = |(at, line): (usize, &Line<'_>)| {
            shift
                .apply(line.text)
                .is_some_and(|moved| moved == searched.line(start + at))
        };
        old.iter().enumerate().all(fits).then_some(shift)
    };
    let ends = |start: &usize| fits_end(searched, hunk, start + old.len());
    let places: Vec<usize> = found
        .into_iter()
        .filter(ends)
        .filter(|start| shift_at(*start).is_some())
        .collect();
    let Some(start) = searched.one(&places, hunk)? else {
        return Ok(None);
    };
    let Some(shift) = shift_at(start) else {
        return Ok(None);
    };
    let mut new = Vec::new();
    let mut at = start;
    for line in &hunk.lines {
        match line.kind {
            Kind::Added => match shift.apply(line.text) {
                Some(text) => new.push((text, false)),
                None => return Ok(None),
            },
            Kind::Context => new.push((searched.line(at).to_vec(), true)),
            Kind::Removed => {}
        }
        at += usize::from(line.kind != Kind::Added);
    }
    let first = old
        .iter()
        .position(|line| !line.text.is_empty())
        .unwrap_or(0);
    let (given, real) = (
        old.get(first).map_or(&b""[..], |line| line.text),
        searched.line(start + first),
    );
    let repairs = vec![Repair::new(RepairId::Indent, hunk.line, given, real)];
    Ok(Some(searched.finish(
        hunk,
        (start, old.len()),
        new,
        repairs,
    )))
}

/// F2: the hunk left out empty lines or comments of its context.
fn with_gaps(
    searched: &Searched<'_, '_>,
    hunk: &Hunk<'_>,
    old: &[Line<'_>],
) -> Result<Option<Placed>, Refusal> {
    let Some(first) = old.first() else {
        return Ok(None);
    };
    let starts = (0..searched.lines.len()).filter(|at| searched.line(*at) == first.text);
    let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
    // A file of one line over and over would be walked through for each of its lines.
    for start in starts.take(1000) {
        if let Some(places) = walk(searched, old, start)
            && fits_end(searched, hunk, places.last().map_or(0, |at| at + 1))
        {
            found.push((start, places));
        }
    }
    let starts: Vec<usize> = found.iter().map(|(start, _)| *start).collect();
    let Some(start) = searched.one(&starts, hunk)? else {
        return Ok(None);
    };
    let places = found.pop().map(|(_, places)| places).unwrap_or_default();
    Ok(fill(searched, hunk, start, &places))
}

/// Where each old line stands, if between them there is nothing but empty lines and comments.
fn walk(searched: &Searched<'_, '_>, old: &[Line<'_>], start: usize) -> Option<Vec<usize>> {
    let mut places = Vec::with_capacity(old.len());
    let mut at = start;
    for line in old {
        let mut skipped = 0;
        while searched.lines.get(at).copied()? != line.text {
            let trimmed = searched.line(at).trim_ascii();
            let is_spare =
                trimmed.is_empty() || COMMENTS.iter().any(|mark| trimmed.starts_with(mark));
            skipped += 1;
            if !is_spare || skipped > MOST_SKIPPED {
                return None;
            }
            at += 1;
        }
        places.push(at);
        at += 1;
    }
    Some(places)
}

/// The new lines with what was left out in its place. Where something is added at a gap, before or
/// behind it cannot be told, and so nothing is made of it.
fn fill(
    searched: &Searched<'_, '_>,
    hunk: &Hunk<'_>,
    start: usize,
    places: &[usize],
) -> Option<Placed> {
    let mut new = Vec::new();
    let mut repairs = Vec::new();
    let mut places = places.iter().copied();
    let mut at = start;
    let mut added_here = false;
    for line in &hunk.lines {
        if line.kind == Kind::Added {
            new.push((line.text.to_vec(), false));
            added_here = true;
            continue;
        }
        let place = places.next()?;
        if place > at && added_here {
            return None;
        }
        for skipped in at..place {
            let real = searched.line(skipped);
            new.push((real.to_vec(), true));
            repairs.push(Repair::new(RepairId::Missing, line.number, b"", real));
        }
        if line.kind == Kind::Context {
            new.push((searched.line(place).to_vec(), true));
        }
        added_here = false;
        at = place + 1;
    }
    Some(searched.finish(hunk, (start, at - start), new, repairs))
}

/// F3: quotes, dashes and blanks of Unicode where the file has plain ones, or the other way round.
fn folded(
    searched: &Searched<'_, '_>,
    hunk: &Hunk<'_>,
    old: &[Line<'_>],
) -> Result<Option<Placed>, Refusal> {
    let ids = Ids::new(searched.lines.iter().copied(), fold);
    let wanted: Option<Vec<_>> = old.iter().map(|line| ids.id(&fold(line.text))).collect();
    let found = wanted.map_or(Vec::new(), |wanted| ids.places(&wanted, MOST_PLACES));
    let fits = |start: &usize| {
        let mut lines = old.iter().enumerate();
        lines.all(|(at, line)| line.kind != Kind::Removed || line.text == searched.line(start + at))
            && fits_end(searched, hunk, start + old.len())
    };
    let places: Vec<usize> = found.into_iter().filter(fits).collect();
    let Some(start) = searched.one(&places, hunk)? else {
        return Ok(None);
    };
    let repairs = searched.differing(old, start, RepairId::Unicode);
    let mut new = Vec::new();
    let mut at = start;
    for line in &hunk.lines {
        match line.kind {
            Kind::Added => new.push((line.text.to_vec(), false)),
            Kind::Context => new.push((searched.line(at).to_vec(), true)),
            Kind::Removed => {}
        }
        at += usize::from(line.kind != Kind::Added);
    }
    Ok(Some(searched.finish(
        hunk,
        (start, old.len()),
        new,
        repairs,
    )))
}

fn fold(line: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(line) else {
        return line.to_vec();
    };
    let plain = text.chars().map(|c| match c {
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{a0}' | '\u{2002}' | '\u{2003}' | '\u{2009}' | '\u{202f}' => ' ',
        c => c,
    });
    plain.collect::<String>().into_bytes()
}
