//! Walks over the input line by line. Lines end at LF and nowhere else, as in git.

use crate::limits::Limits;
use crate::refusal::{Code, Refusal};

/// One line of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Number, counted from 1.
    pub(crate) number: usize,
    /// Offset of the first byte.
    pub(crate) start: usize,
    /// The bytes without the line feed.
    pub(crate) text: &'a [u8],
    /// Whether a line feed ends it; only the last line can lack one.
    pub(crate) ended: bool,
}

impl<'a> Line<'a> {
    /// Refuses this line.
    pub(crate) fn refuse<T>(&self, code: Code) -> Result<T, Refusal> {
        Err(Refusal::new(code, self.number, self.text))
    }

    /// Returns the rest after `prefix`, if the line starts with it.
    pub(crate) fn after(&self, prefix: &str) -> Option<&'a [u8]> {
        self.text.strip_prefix(prefix.as_bytes())
    }
}

/// The place in the input where reading goes on.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    limits: Limits,
    current: Option<Line<'a>>,
    /// Hunks and decoded binary bytes so far, counted against the limits.
    hunks: usize,
    binary: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first line.
    pub(crate) fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut cursor = Cursor {
            bytes,
            limits: limits.clone(),
            current: None,
            hunks: 0,
            binary: 0,
        };
        cursor.load(0, 1)?;
        Ok(cursor)
    }

    /// Returns the line that is next, or none at the end.
    pub(crate) fn peek(&self) -> Option<Line<'a>> {
        self.current
    }

    /// Returns the next line if it is complete and starts with `prefix`, and steps over it.
    pub(crate) fn take(&mut self, prefix: &str) -> Result<Option<(Line<'a>, &'a [u8])>, Refusal> {
        match self
            .current
            .and_then(|line| Some((line, line.after(prefix)?)))
        {
            None => Ok(None),
            Some((line, rest)) => {
                self.step()?;
                Ok(Some((line, rest)))
            }
        }
    }

    /// Steps over the current line, which must end with a line feed, and returns it.
    pub(crate) fn step(&mut self) -> Result<Line<'a>, Refusal> {
        match self.skip()? {
            Some(line) if line.ended => Ok(line),
            Some(line) => line.refuse(Code::Truncated),
            None => Err(self.end()),
        }
    }

    /// Steps over the current line, whether it ends with a line feed or not.
    pub(crate) fn skip(&mut self) -> Result<Option<Line<'a>>, Refusal> {
        let line = self.current;
        if let Some(line) = line {
            let next = line.start + line.text.len() + usize::from(line.ended);
            self.load(next, line.number + 1)?;
        }
        Ok(line)
    }

    /// Steps over ordinary lines as long as `take` accepts their first byte. A line that is empty, too
    /// long or not ended is not ordinary, and neither is one before a line that begins with a backslash.
    pub(crate) fn step_over(&mut self, mut take: impl FnMut(u8) -> bool) -> Result<(), Refusal> {
        let Some(Line { number, start, .. }) = self.current else {
            return Ok(());
        };
        let rest = self.bytes.get(start..).unwrap_or_default();
        let (mut lines, mut at) = (0, 0);
        for end in memchr::memchr_iter(b'\n', rest) {
            let is_long = end - at > self.limits.line_bytes;
            let marked = rest.get(end + 1) == Some(&b'\\');
            match rest.get(at) {
                Some(first) if end > at && !is_long && !marked && take(*first) => {}
                _ => break,
            }
            (lines, at) = (lines + 1, end + 1);
        }
        match lines {
            0 => Ok(()),
            _ => self.load(start + at, number + lines),
        }
    }

    /// Returns the refusal of input that ends too early.
    pub(crate) fn end(&self) -> Refusal {
        let lines = self.bytes.iter().filter(|byte| **byte == b'\n').count();
        Refusal::new(Code::Truncated, lines + 1, b"").because("the input ends here")
    }

    /// Returns the offset of the current line, or the length of the input at its end.
    pub(crate) fn offset(&self) -> usize {
        self.current.map_or(self.bytes.len(), |line| line.start)
    }

    /// Returns the input from `start` up to the current line.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.offset()).unwrap_or_default()
    }

    /// Counts one hunk against the limit.
    pub(crate) fn count_hunk(&mut self, line: Line<'a>) -> Result<(), Refusal> {
        self.hunks += 1;
        if self.hunks > self.limits.hunks {
            return line.refuse(Code::TooManyHunks);
        }
        Ok(())
    }

    /// Counts decoded binary data against the limit, before it is decoded.
    pub(crate) fn count_binary(&mut self, line: Line<'a>, size: usize) -> Result<(), Refusal> {
        self.binary = self.binary.saturating_add(size);
        if self.binary > self.limits.binary_bytes {
            return line.refuse(Code::BinaryTooLarge);
        }
        Ok(())
    }

    /// Returns the limits that this input is read under.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn load(&mut self, start: usize, number: usize) -> Result<(), Refusal> {
        let rest = self.bytes.get(start..).unwrap_or_default();
        if rest.is_empty() {
            self.current = None;
            return Ok(());
        }
        let end = memchr::memchr(b'\n', rest);
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let line = Line {
            number,
            start,
            text,
            ended: end.is_some(),
        };
        if text.len() > self.limits.line_bytes {
            return line.refuse(Code::LineTooLong);
        }
        self.current = Some(line);
        Ok(())
    }
}
