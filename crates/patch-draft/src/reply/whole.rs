//! Reading whole files: a line with the path, then the file's new text in a fenced block.

use super::Text;
use super::model::{Body, Kind, Line, Name, Parsed, Section};
use super::names;
use super::refusal::{Code, Refusal, Rejected, shown};
use super::text::{self, Fence, Limits, Numbered};

/// Reads whole files. `offers` tells which paths may change: it decides which word of a fence's info
/// string, or whether the line before it, is a path.
///
/// # Errors
/// What is wrong with the reply.
pub(crate) fn parse<'t>(
    text: Text<'t>,
    offers: &dyn Fn(&str) -> bool,
    limits: &Limits,
) -> Result<Parsed<'t>, Rejected> {
    let mut parsed = Parsed::default();
    let source = text::read(&text, limits, &mut parsed)?;
    let mut lines = source.lines.iter();
    // The lines since the last block.
    let mut before: Vec<Numbered<'t>> = Vec::new();
    while let Some(line) = lines.next() {
        let Some(fence) = line.fence() else {
            before.push(*line);
            continue;
        };
        let (names, written) = named(&before, &fence, line.number, offers)?;
        prose(&before, &written, &mut parsed)?;
        before.clear();
        let mut content = Vec::new();
        let is_closed = lines.by_ref().any(|line| {
            let ends = line.fence().is_some_and(|other| other.closes(&fence));
            if !ends {
                content.push(Line {
                    kind: Kind::Added,
                    text: line.text,
                    number: line.number,
                });
            }
            ends
        });
        if !is_closed {
            return Err(Refusal::new(Code::Cut, line.number, "the fence is not closed").into());
        }
        parsed.sections.push(Section {
            line: line.number,
            names,
            written: shown(&written),
            creates: false,
            body: Body::Whole(content),
            fence: (fence.byte, fence.length),
            is_cr: line.text.ends_with(b"\r"),
            repairs: Vec::new(),
        });
    }
    if parsed.sections.is_empty() {
        return Err(Refusal::new(Code::Empty, 0, "there is no fenced file in the reply").into());
    }
    before
        .iter()
        .for_each(|line| text::drop_prose(&mut parsed, line));
    Ok(parsed)
}

/// The readings of a block's path: a word of the info string that is an offered path, or else the last
/// line before it.
fn named(
    before: &[Numbered<'_>],
    fence: &Fence<'_>,
    line: usize,
    offers: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Name>, Vec<u8>), Refusal> {
    let words = fence
        .info
        .split(|byte| matches!(byte, b' ' | b'\t' | b':' | b'='));
    let in_info = words.filter(|word| !word.is_empty()).find_map(|word| {
        let names = names::alone(word, line).ok()?;
        let is_offered = names.iter().any(|name| offers(&name.path));
        is_offered.then(|| (names, word.to_vec()))
    });
    let above = before.iter().rev().find(|line| !line.is_blank());
    let above = above.map(|line| (names::alone(line.plain(), line.number), line.plain()));
    match (in_info, above) {
        (Some((names, word)), Some((Ok(above), text))) => {
            let differs = above != names && above.iter().any(|name| offers(&name.path));
            if differs {
                let message = format!(
                    "the fence names \"{}\", the line before it \"{}\"",
                    shown(&word),
                    shown(text)
                );
                return Err(Refusal::new(Code::PathUnclear, line, message));
            }
            let written = if above == names { text.to_vec() } else { word };
            Ok((names, written))
        }
        (Some(named), _) => Ok(named),
        (None, Some((above, text))) => Ok((above?, text.to_vec())),
        (None, None) => {
            let message = "no path stands before the fenced block";
            Err(Refusal::new(Code::NoPath, line, message))
        }
    }
}

/// Before the first file there may be prose; between two files it could be a part of one.
fn prose(before: &[Numbered<'_>], written: &[u8], parsed: &mut Parsed<'_>) -> Result<(), Refusal> {
    let others = before.iter().filter(|line| !line.is_blank());
    let count = others.clone().count();
    let is_path = others
        .clone()
        .next_back()
        .is_some_and(|line| line.plain() == written);
    let rest = others.take(count - usize::from(is_path));
    for line in rest {
        if !parsed.sections.is_empty() {
            let message = format!("\"{}\" stands between two files", shown(line.text));
            return Err(Refusal::new(Code::TextBetween, line.number, message));
        }
        text::drop_prose(parsed, line);
    }
    Ok(())
}
