//! Reading a unified diff as models write it. The end of a hunk is told by what follows, never by its
//! counts; whatever could be a change and is not clearly one is refused.

use super::Text;
use super::model::{Body, Claim, Hunk, Kind, Line, Parsed, Section};
use super::names::{self, Side};
use super::refusal::{Code, Refusal, Rejected, shown};
use super::repair::{Repair, RepairId};
use super::text::{self, Fence, Limits, Numbered, Source};

/// Reads a diff.
///
/// # Errors
/// What is wrong with the reply.
pub(crate) fn parse<'t>(text: Text<'t>, limits: &Limits) -> Result<Parsed<'t>, Rejected> {
    let mut parsed = Parsed::default();
    let source = text::read(&text, limits, &mut parsed)?;
    let mut reader = Reader {
        source: &source,
        at: 0,
        fence: None,
        fence_noted: false,
        is_closed: text.is_closed,
        open: None,
        parsed,
        hunks: 0,
        limits,
    };
    while reader.at < source.lines.len() {
        reader.step()?;
    }
    reader.finish()
}

/// A section that is being read.
struct Open<'t> {
    line: usize,
    header: Option<&'t [u8]>,
    says_new: bool,
    sides: Option<(Side, Side, usize)>,
    is_cr: bool,
    hunks: Vec<Hunk<'t>>,
    repairs: Vec<Repair>,
}

struct Reader<'s, 't> {
    source: &'s Source<'t>,
    at: usize,
    fence: Option<(Fence<'t>, usize)>,
    fence_noted: bool,
    is_closed: bool,
    open: Option<Open<'t>>,
    parsed: Parsed<'t>,
    hunks: usize,
    limits: &'s Limits,
}

impl<'t> Reader<'_, 't> {
    fn line(&self, ahead: usize) -> Option<Numbered<'t>> {
        self.source.lines.get(self.at + ahead).copied()
    }

    /// Whether a pair of `---` and `+++` lines stands here, with a hunk below it.
    fn is_pair(&self, ahead: usize) -> bool {
        let starts = |ahead: usize, with: &[u8]| {
            self.line(ahead)
                .is_some_and(|line| line.text.starts_with(with))
        };
        starts(ahead, b"--- ") && starts(ahead + 1, b"+++ ")
    }

    fn is_header(&self, ahead: usize) -> bool {
        let is_git = |line: Numbered<'t>| line.text.starts_with(b"diff --git ");
        self.line(ahead).is_some_and(is_git) || self.is_pair(ahead)
    }

    fn step(&mut self) -> Result<(), Refusal> {
        let Some(line) = self.line(0) else {
            return Ok(());
        };
        if let Some(fence) = line.fence() {
            self.at += 1;
            return self.at_fence(line, fence);
        }
        if line.text.starts_with(b"diff --git ") {
            self.begin(line);
            if let Some(open) = self.open.as_mut() {
                open.header = line.plain().get(b"diff --git ".len()..);
            }
            self.at += 1;
            return self.extended();
        }
        if self.is_pair(0) {
            let waits = self
                .open
                .as_ref()
                .is_some_and(|open| open.header.is_some() && open.sides.is_none());
            if !waits {
                self.begin(line);
            }
            return self.sides();
        }
        if line.text.starts_with(b"@@") {
            return self.hunk(line);
        }
        self.at += 1;
        self.prose(line)
    }

    fn begin(&mut self, line: Numbered<'t>) {
        self.close();
        self.open = Some(Open {
            line: line.number,
            header: None,
            says_new: false,
            sides: None,
            is_cr: false,
            hunks: Vec::new(),
            repairs: Vec::new(),
        });
    }

    fn at_fence(&mut self, line: Numbered<'t>, fence: Fence<'t>) -> Result<(), Refusal> {
        match self.fence {
            Some((open, _)) if fence.closes(&open) => {
                self.fence = None;
                self.close();
            }
            Some(_) => {
                let message = "a fence inside a fence";
                return Err(Refusal::new(Code::Unmarked, line.number, message));
            }
            None => {
                self.close();
                self.fence = Some((fence, line.number));
            }
        }
        Ok(())
    }

    /// The lines between `diff --git` and `---`.
    fn extended(&mut self) -> Result<(), Refusal> {
        while let Some(line) = self.line(0) {
            let text = line.plain();
            let refuse = |code| Err(Refusal::new(code, line.number, shown(text)));
            match text {
                _ if self.is_header(0) || text.starts_with(b"@@") => break,
                b"new file mode 100644" => {
                    if let Some(open) = self.open.as_mut() {
                        open.says_new = true;
                    }
                }
                _ if text.starts_with(b"index ") => {}
                _ if text.starts_with(b"deleted file mode") => return refuse(Code::Delete),
                _ if [&b"old mode "[..], b"new mode ", b"new file mode "]
                    .iter()
                    .any(|start| text.starts_with(start)) =>
                {
                    return refuse(Code::Mode);
                }
                _ if [&b"similarity "[..], b"dissimilarity ", b"rename ", b"copy "]
                    .iter()
                    .any(|start| text.starts_with(start)) =>
                {
                    return refuse(Code::Rename);
                }
                _ if text.starts_with(b"GIT binary patch")
                    || text.starts_with(b"Binary files ") =>
                {
                    return refuse(Code::Binary);
                }
                _ => break,
            }
            self.at += 1;
        }
        Ok(())
    }

    fn sides(&mut self) -> Result<(), Refusal> {
        let (Some(old), Some(new)) = (self.line(0), self.line(1)) else {
            return Ok(());
        };
        let name = |line: &Numbered<'t>| names::side(line.text.get(4..).unwrap_or_default());
        let (old_side, new_side) = (name(&old), name(&new));
        self.at += 2;
        let Some(open) = self.open.as_mut() else {
            return Ok(());
        };
        if open.header.is_none() {
            let repair = Repair::new(RepairId::GitHeader, old.number, b"", b"diff --git");
            open.repairs.push(repair);
        }
        let nothing = matches!(old_side, Side::Nothing { .. });
        let is_odd = matches!(old_side, Side::Nothing { mended: true });
        if is_odd || (nothing != open.says_new && open.header.is_some()) {
            let repair = Repair::new(RepairId::DevNull, old.number, old.text, b"--- /dev/null");
            open.repairs.push(repair);
        }
        open.is_cr = new.text.ends_with(b"\r");
        open.sides = Some((old_side, new_side, old.number));
        Ok(())
    }

    fn hunk(&mut self, head: Numbered<'t>) -> Result<(), Refusal> {
        self.hunks += 1;
        if self.hunks > self.limits.hunks {
            let message = format!("more than {} hunks", self.limits.hunks);
            return Err(Refusal::new(Code::TooLarge, head.number, message));
        }
        if self.open.as_ref().is_none_or(|open| open.sides.is_none()) {
            let message = "a hunk with no --- and +++ lines above it";
            return Err(Refusal::new(Code::NoPath, head.number, message));
        }
        self.at += 1;
        let mut hunk = Hunk {
            line: head.number,
            claim: claim(head.plain()),
            ..Hunk::default()
        };
        let mut repairs = Vec::new();
        if hunk.claim.is_none() {
            let known = b"@@ -start,count +start,count @@";
            repairs.push(Repair::new(
                RepairId::NoNumbers,
                head.number,
                head.plain(),
                known,
            ));
        }
        let blanks = self.lines_of(&mut hunk)?;
        let is_end = self.ended(&hunk, blanks)?;
        if let Some((first, _)) = blanks.used {
            repairs.push(Repair::new(RepairId::BlankContext, first, b"", b" "));
        }
        if hunk.claim.is_some() && !hunk.counts_agree() {
            if is_end && hunk.is_short() && !self.is_closed && self.fence.is_none() {
                let message = "the last hunk has fewer lines than its header says, and nothing after it shows that the reply is whole";
                return Err(Refusal::new(Code::Cut, head.number, message));
            }
            let counts = format!(
                "{} old, {} new",
                hunk.count(Kind::Added),
                hunk.count(Kind::Removed)
            );
            repairs.push(Repair::new(
                RepairId::Count,
                head.number,
                head.plain(),
                counts.as_bytes(),
            ));
        }
        self.note_fence();
        if let Some(open) = self.open.as_mut() {
            let number = open.hunks.len() + 1;
            repairs.iter_mut().for_each(|repair| repair.hunk = number);
            open.repairs.extend(repairs);
            // A line that names a file may have been written anew on the way.
            open.is_cr |= head.text.ends_with(b"\r");
            open.hunks.push(hunk);
        }
        Ok(())
    }

    /// Takes the lines that belong to a hunk. Empty lines at its end are none of it.
    fn lines_of(&mut self, hunk: &mut Hunk<'t>) -> Result<Blanks, Refusal> {
        let mut blanks = Blanks::default();
        let mut waiting: Vec<Numbered<'t>> = Vec::new();
        while let Some(line) = self.line(0) {
            if self.is_section(&line) {
                break;
            }
            let kind = match line.text.first() {
                None | Some(b'\r') if line.plain().is_empty() => {
                    waiting.push(line);
                    self.at += 1;
                    continue;
                }
                Some(b' ') => Kind::Context,
                Some(b'-') => Kind::Removed,
                Some(b'+') => Kind::Added,
                Some(b'\\') if waiting.is_empty() => {
                    self.marker(hunk, &line)?;
                    self.at += 1;
                    continue;
                }
                _ => break,
            };
            for blank in waiting.drain(..) {
                let first = blanks.used.map_or(blank.number, |(first, _)| first);
                blanks.used = Some((first, blank.number));
                push(hunk, Kind::Context, blank.text, blank.number)?;
            }
            push(
                hunk,
                kind,
                line.text.get(1..).unwrap_or_default(),
                line.number,
            )?;
            self.at += 1;
        }
        blanks.left = waiting.len();
        Ok(blanks)
    }

    fn is_section(&self, line: &Numbered<'t>) -> bool {
        if line.text.starts_with(b"@@") || line.text.starts_with(b"diff --git ") {
            return true;
        }
        // A removed "-- x" and an added "++ y" look like names; only a hunk below makes them some.
        let is_hunk = |line: Numbered<'t>| line.text.starts_with(b"@@");
        self.is_pair(0) && self.line(2).is_some_and(is_hunk)
    }

    fn marker(&self, hunk: &mut Hunk<'t>, line: &Numbered<'t>) -> Result<(), Refusal> {
        let last = hunk.lines.last().map(|line| line.kind);
        match last {
            Some(Kind::Context) if !hunk.old_open && !hunk.new_open => {
                (hunk.old_open, hunk.new_open) = (true, true);
            }
            Some(Kind::Removed) if !hunk.old_open => hunk.old_open = true,
            Some(Kind::Added) if !hunk.new_open => hunk.new_open = true,
            _ => {
                let message = "\"\\\" follows no line that could end a file";
                return Err(Refusal::new(Code::Unmarked, line.number, message));
            }
        }
        Ok(())
    }

    /// Whether a hunk is the last thing in the text. Judges what stands behind it.
    fn ended(&mut self, hunk: &Hunk<'t>, blanks: Blanks) -> Result<bool, Refusal> {
        let Some(next) = self.line(0) else {
            self.last_line(hunk, blanks)?;
            return Ok(true);
        };
        if next.fence().is_some() || self.is_section(&next) {
            return Ok(false);
        }
        // What is unmarked may be a line of the hunk whose marker was forgotten, and so may all that
        // follows; only a header that counts exactly these lines says otherwise.
        if self.fence.is_some() || !hunk.counts_agree() {
            let message = format!(
                "\"{}\" starts with neither a blank, + nor -",
                shown(next.text)
            );
            return Err(Refusal::new(Code::Unmarked, next.number, message));
        }
        Ok(true)
    }

    /// A text that ends without a line feed may have been cut within its last line.
    fn last_line(&mut self, hunk: &Hunk<'t>, blanks: Blanks) -> Result<(), Refusal> {
        if self.source.is_ended || self.is_closed || blanks.left > 0 {
            return Ok(());
        }
        let Some(last) = self.source.lines.last() else {
            return Ok(());
        };
        let is_marker = last.text.starts_with(b"\\");
        let added = hunk
            .lines
            .last()
            .is_some_and(|line| line.kind == Kind::Added);
        if (added && !is_marker) || !hunk.counts_agree() {
            let message = "the last line has no line feed, so it may be cut";
            return Err(Refusal::new(Code::Cut, last.number, message));
        }
        let repair = Repair::new(RepairId::FinalNewline, last.number, last.text, last.text);
        self.parsed.repairs.push(repair);
        Ok(())
    }

    fn note_fence(&mut self) {
        let Some((fence, number)) = self.fence else {
            return;
        };
        if !self.fence_noted {
            self.fence_noted = true;
            let mark = vec![fence.byte; fence.length.min(10)];
            self.parsed
                .repairs
                .push(Repair::new(RepairId::Fence, number, &mark, b""));
        }
    }

    /// Drops a line that is no part of a change, unless it could be one.
    fn prose(&mut self, line: Numbered<'t>) -> Result<(), Refusal> {
        let waits = |open: &Open<'t>| open.header.is_some() && open.sides.is_none();
        if self.open.as_ref().is_some_and(waits) && !line.is_blank() {
            let message = format!(
                "\"{}\" stands between a header and its hunks",
                shown(line.text)
            );
            return Err(Refusal::new(Code::Unmarked, line.number, message));
        }
        if self.fence.is_some() && matches!(line.text.first(), Some(b'+' | b'-')) {
            let message = format!("\"{}\" stands in no hunk", shown(line.text));
            return Err(Refusal::new(Code::NoPath, line.number, message));
        }
        text::drop_prose(&mut self.parsed, &line);
        Ok(())
    }

    /// Ends the section that is open.
    fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        match section(open) {
            Ok(section) => self.parsed.sections.push(section),
            Err(refusal) => self.parsed.refusals.push(refusal),
        }
    }

    fn finish(mut self) -> Result<Parsed<'t>, Rejected> {
        self.close();
        if let Some((_, number)) = self.fence.filter(|_| !self.parsed.sections.is_empty()) {
            return Err(Refusal::new(Code::Cut, number, "the fence is not closed").into());
        }
        if self.parsed.sections.is_empty() && self.parsed.refusals.is_empty() {
            return Err(
                Refusal::new(Code::Empty, 0, "there is no unified diff in the reply").into(),
            );
        }
        Ok(self.parsed)
    }
}

/// The empty lines of a hunk.
#[derive(Clone, Copy, Default)]
struct Blanks {
    /// First and last of those within the hunk.
    used: Option<(usize, usize)>,
    /// How many follow it.
    left: usize,
}

fn push<'t>(hunk: &mut Hunk<'t>, kind: Kind, text: &'t [u8], number: usize) -> Result<(), Refusal> {
    let after_end =
        (hunk.old_open && kind != Kind::Added) || (hunk.new_open && kind != Kind::Removed);
    if after_end {
        let message = "a line follows the one that is said to end the file";
        return Err(Refusal::new(Code::Unmarked, number, message));
    }
    hunk.lines.push(Line { kind, text, number });
    Ok(())
}

fn section<'t>(mut open: Open<'t>) -> Result<Section<'t>, Refusal> {
    let Some((old, new, line)) = &open.sides else {
        let message = "a header without --- and +++ lines";
        return Err(Refusal::new(Code::NoChange, open.line, message));
    };
    let names = names::of_diff(old, new, open.header, *line)?;
    if open.hunks.is_empty() {
        return Err(Refusal::new(
            Code::NoChange,
            open.line,
            "a header without hunks",
        ));
    }
    let written = match new {
        Side::File { name, .. } => shown(name),
        Side::Nothing { .. } => String::new(),
    };
    let repairs = std::mem::take(&mut open.repairs);
    Ok(Section {
        line: open.line,
        names,
        written,
        creates: matches!(old, Side::Nothing { .. }) || open.says_new,
        body: Body::Hunks(open.hunks),
        fence: (b'`', 0),
        is_cr: open.is_cr,
        repairs,
    })
}

/// Reads `@@ -start,count +start,count @@`; none for any other form.
fn claim(head: &[u8]) -> Option<Claim> {
    let rest = head.strip_prefix(b"@@ -")?;
    let text = rest.split(|byte| *byte == b'@').next()?;
    let text = std::str::from_utf8(text).ok()?;
    let (old, new) = text.trim_end().split_once(" +")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let ((old_start, old_count), (_, new_count)) = (range(old)?, range(new)?);
    rest.windows(2)
        .any(|window| window == b"@@")
        .then_some(Claim {
            old_start,
            old_count,
            new_count,
        })
}
