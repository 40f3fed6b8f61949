//! A reply as numbered lines, and what stands around the change: thinking, fences, prose.

use super::Text;
use super::model::Parsed;
use super::refusal::{Code, Refusal, shown};
use super::repair::{Repair, RepairId};

const THINK: &[u8] = b"<think>";
const END_THINK: &[u8] = b"</think>";

/// Bounds of one reply; what exceeds one of them is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the reply in bytes.
    pub bytes: usize,
    /// Files that it may change.
    pub files: usize,
    /// Hunks or blocks over all files.
    pub hunks: usize,
    /// Lines of the reply, and of each file.
    pub lines: usize,
    /// Repairs; a reply that needs more is not near enough to a change.
    pub repairs: usize,
    /// Lines that are looked at while places are searched, over all hunks.
    pub work: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            files: 100,
            hunks: 2000,
            lines: 200_000,
            repairs: 1000,
            work: 100_000_000,
        }
    }
}

/// One line with its number, from 1. A CR before the line feed is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbered<'t> {
    pub(crate) number: usize,
    pub(crate) text: &'t [u8],
}

impl<'t> Numbered<'t> {
    /// The line without a CR at its end.
    pub(crate) fn plain(&self) -> &'t [u8] {
        self.text.strip_suffix(b"\r").unwrap_or(self.text)
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }

    /// The fence that the line opens or closes, if it is one: its byte, its length, what follows.
    pub(crate) fn fence(&self) -> Option<Fence<'t>> {
        let byte = *self
            .text
            .first()
            .filter(|byte| matches!(byte, b'`' | b'~'))?;
        let length = self.text.iter().take_while(|b| **b == byte).count();
        let info = self.plain().get(length..).unwrap_or_default().trim_ascii();
        let is_fence = length >= 3 && !(byte == b'`' && info.contains(&b'`'));
        is_fence.then_some(Fence { byte, length, info })
    }
}

/// A line of three or more backticks or tildes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence<'t> {
    pub(crate) byte: u8,
    pub(crate) length: usize,
    pub(crate) info: &'t [u8],
}

impl Fence<'_> {
    /// Whether this line closes a block that `open` opened.
    pub(crate) fn closes(&self, open: &Fence<'_>) -> bool {
        self.byte == open.byte && self.length >= open.length && self.info.is_empty()
    }
}

/// The text in lines, without a leading `<think>` part.
pub(crate) struct Source<'t> {
    pub(crate) lines: Vec<Numbered<'t>>,
    /// Whether the last line has its line feed.
    pub(crate) is_ended: bool,
}

/// Takes the text apart, within bounds.
pub(crate) fn read<'t>(
    given: &Text<'t>,
    limits: &Limits,
    parsed: &mut Parsed<'t>,
) -> Result<Source<'t>, Refusal> {
    let text = given.bytes;
    if text.len() > limits.bytes {
        let message = format!("{} bytes, at most {} are read", text.len(), limits.bytes);
        return Err(Refusal::new(Code::TooLarge, 0, message));
    }
    if let Some(at) = text.iter().position(|byte| *byte == 0) {
        let line = given.first_line + text.iter().take(at).filter(|byte| **byte == b'\n').count();
        return Err(Refusal::new(
            Code::Binary,
            line,
            "the reply holds a NUL byte",
        ));
    }
    let dropped = thinking(text)?;
    let kept = text.get(dropped..).unwrap_or_default();
    let before = text.get(..dropped).unwrap_or_default();
    if dropped > 0 {
        parsed
            .repairs
            .push(Repair::new(RepairId::Think, given.first_line, before, b""));
    }
    let first = given.first_line + before.iter().filter(|byte| **byte == b'\n').count();
    let is_ended = kept.ends_with(b"\n");
    let mut lines: Vec<_> = kept.split(|byte| *byte == b'\n').collect();
    if is_ended {
        lines.pop();
    }
    if lines.len() > limits.lines {
        let message = format!("{} lines, at most {} are read", lines.len(), limits.lines);
        return Err(Refusal::new(Code::TooLarge, 0, message));
    }
    let numbered = lines.into_iter().enumerate();
    Ok(Source {
        lines: numbered
            .map(|(at, text)| Numbered {
                number: first + at,
                text,
            })
            .collect(),
        is_ended,
    })
}

/// How many bytes a leading `<think>` part takes.
pub(crate) fn thinking(text: &[u8]) -> Result<usize, Refusal> {
    if !text.trim_ascii_start().starts_with(THINK) {
        return Ok(0);
    }
    let end = text
        .windows(END_THINK.len())
        .position(|window| window == END_THINK)
        .ok_or_else(|| Refusal::new(Code::Cut, 1, "<think> is not closed"))?
        + END_THINK.len();
    // The rest of its last line, if nothing stands there.
    let rest = text.get(end..).unwrap_or_default();
    let feed = rest.iter().position(|byte| *byte == b'\n');
    let is_rest = |at: usize| rest.iter().take(at).all(u8::is_ascii_whitespace);
    Ok(feed
        .filter(|at| is_rest(*at))
        .map_or(end, |at| end + at + 1))
}

/// Notes once that text outside of the change was dropped.
pub(crate) fn drop_prose(parsed: &mut Parsed<'_>, line: &Numbered<'_>) {
    let is_noted = parsed
        .repairs
        .iter()
        .any(|repair| repair.id == RepairId::Prose);
    if !line.is_blank() && !is_noted {
        let text = shown(line.text);
        let repair = Repair::new(RepairId::Prose, line.number, text.as_bytes(), b"");
        parsed.repairs.push(repair);
    }
}
