//! Reading search-and-replace blocks: a line with the path, then the old lines and the new ones
//! between three marker lines.

use super::Text;
use super::model::{Body, Hunk, Kind, Line, Name, Parsed, Section};
use super::names;
use super::refusal::{Code, Refusal, Rejected};
use super::text::{self, Limits, Numbered};

const SEARCH: &[u8] = b"<<<<<<< SEARCH";
const DIVIDER: &[u8] = b"=======";
const REPLACE: &[u8] = b">>>>>>> REPLACE";

/// Reads blocks.
///
/// # Errors
/// What is wrong with the reply.
pub(crate) fn parse<'t>(text: Text<'t>, limits: &Limits) -> Result<Parsed<'t>, Rejected> {
    let mut parsed = Parsed::default();
    let source = text::read(&text, limits, &mut parsed)?;
    let mut lines = source.lines.iter();
    let mut before: Vec<Numbered<'t>> = Vec::new();
    let mut hunks = 0;
    while let Some(line) = lines.next() {
        match mark(line) {
            None => before.push(*line),
            Some(SEARCH) => {
                hunks += 1;
                if hunks > limits.hunks {
                    let message = format!("more than {} blocks", limits.hunks);
                    return Err(Refusal::new(Code::TooLarge, line.number, message).into());
                }
                place(&before, line.number, &mut parsed)?;
                before.clear();
                let hunk = block(line.number, &mut lines)?;
                if let Some(Section {
                    body: Body::Hunks(hunks),
                    ..
                }) = parsed.sections.last_mut()
                {
                    hunks.push(hunk);
                }
            }
            Some(_) => return Err(malformed(line, "it opens no block").into()),
        }
    }
    if parsed.sections.is_empty() {
        let message = "there is no search-and-replace block in the reply";
        return Err(Refusal::new(Code::Empty, 0, message).into());
    }
    let rest = before.iter().filter(|line| line.fence().is_none());
    rest.for_each(|line| text::drop_prose(&mut parsed, line));
    Ok(parsed)
}

fn mark(line: &Numbered<'_>) -> Option<&'static [u8]> {
    let text = line.text.trim_ascii_end();
    [SEARCH, DIVIDER, REPLACE]
        .into_iter()
        .find(|mark| *mark == text)
}

fn malformed(line: &Numbered<'_>, why: &str) -> Refusal {
    let mark = String::from_utf8_lossy(line.text.trim_ascii_end()).into_owned();
    Refusal::new(Code::Block, line.number, format!("\"{mark}\": {why}"))
}

/// Opens a section for a block if a path stands before it; else the block belongs to the last one.
fn place<'t>(before: &[Numbered<'t>], line: usize, parsed: &mut Parsed<'t>) -> Result<(), Refusal> {
    let words = before
        .iter()
        .filter(|line| !line.is_blank() && line.fence().is_none());
    let words: Vec<_> = words.collect();
    let Some((path, prose)) = words.split_last() else {
        return match parsed.sections.is_empty() {
            true => Err(Refusal::new(
                Code::NoPath,
                line,
                "no path stands before the block",
            )),
            false => Ok(()),
        };
    };
    prose.iter().for_each(|line| text::drop_prose(parsed, line));
    let names = names::alone(path.plain(), path.number)?;
    let is_same = |section: &Section<'_>| {
        let paths = |names: &[Name]| {
            names
                .iter()
                .map(|name| name.path.clone())
                .collect::<Vec<_>>()
        };
        paths(&section.names) == paths(&names)
    };
    if parsed.sections.last().is_some_and(is_same) {
        return Ok(());
    }
    parsed.sections.push(Section {
        line: path.number,
        names,
        written: super::refusal::shown(path.plain()),
        creates: false,
        body: Body::Hunks(Vec::new()),
        fence: (b'`', 0),
        is_cr: path.text.ends_with(b"\r"),
        repairs: Vec::new(),
    });
    Ok(())
}

fn block<'t, 's>(
    first: usize,
    lines: &mut impl Iterator<Item = &'s Numbered<'t>>,
) -> Result<Hunk<'t>, Refusal>
where
    't: 's,
{
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let mut divided = false;
    for line in lines {
        match mark(line) {
            None if divided => new.push(*line),
            None => old.push(*line),
            Some(DIVIDER) if !divided => divided = true,
            Some(REPLACE) if divided => return Ok(hunk(first, &old, &new)),
            Some(_) => return Err(malformed(line, "it is out of order or there twice")),
        }
    }
    Err(Refusal::new(Code::Cut, first, "the block is not closed"))
}

/// What both sides begin and end with is context; the rest is taken out and put in.
fn hunk<'t>(line: usize, old: &[Numbered<'t>], new: &[Numbered<'t>]) -> Hunk<'t> {
    let same = |pair: &(&Numbered<'t>, &Numbered<'t>)| pair.0.text == pair.1.text;
    let head = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (
        old.get(head..).unwrap_or_default(),
        new.get(head..).unwrap_or_default(),
    );
    let tail = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(same)
        .count();
    let of = |kind: Kind| {
        move |line: &Numbered<'t>| Line {
            kind,
            text: line.text,
            number: line.number,
        }
    };
    let (removed, end) = old_rest.split_at(old_rest.len() - tail);
    let added = new_rest.get(..new_rest.len() - tail).unwrap_or_default();
    let start = old
        .get(..head)
        .unwrap_or_default()
        .iter()
        .map(of(Kind::Context));
    let lines = start
        .chain(removed.iter().map(of(Kind::Removed)))
        .chain(added.iter().map(of(Kind::Added)))
        .chain(end.iter().map(of(Kind::Context)));
    Hunk {
        line,
        lines: lines.collect(),
        ..Hunk::default()
    }
}
