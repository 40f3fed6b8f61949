//! The files that the log consists of: closed segments, and the one that is appended to. Chain and tree
//! go on from one to the next; lines are found by number, and read forwards and backwards in blocks.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::glance::Glance;
use super::{FILE, GENESIS, Head, MAX_LINE, broken, path};
use crate::files::Folder;
use crate::problem::Problem;

/// Where closed segments lie, in the `audit` folder.
pub(super) const SEGMENTS: &str = "segments";
/// What is read at once, in bytes.
const BLOCK: usize = 256 << 10;
/// What a reader takes that wants one line, in bytes.
const PEEK: usize = 4 << 10;
/// The longest torn end that is cut off, in bytes: lines of many writers, none of them acknowledged.
const LONGEST_TORN: u64 = 16 << 20;

/// The name of the segment whose first line is number `first`.
pub(super) fn segment_name(first: u64) -> String {
    format!("events.{first:016}.ndjson")
}

fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("events.")?.strip_suffix(".ndjson")?;
    let first = digits.parse().ok()?;
    (segment_name(first) == name).then_some(first)
}

/// One open file of the log.
pub(super) struct Part {
    pub(super) file: Arc<File>,
    /// Bytes of it that count: a reader ignores what is written meanwhile.
    pub(super) length: u64,
}

/// The log's files as they were at one moment.
pub(super) struct Parts {
    /// The `audit` folder's own, where there is one; looked at when it is first asked for.
    folder: Option<Arc<Folder>>,
    closed: OnceCell<Vec<u64>>,
    active: Arc<File>,
    length: u64,
}

/// The end of the log.
pub(super) struct Tail {
    pub(super) head: Head,
    /// The last whole line; empty for an empty log.
    pub(super) line: Vec<u8>,
    /// Bytes after the last whole line.
    pub(super) torn: u64,
}

impl Parts {
    /// Opens what is there. Rotation renames only while the caller of [`super::Log::lock`] is alone, so
    /// without the lock a segment may be seen that holds the active file's lines; it is left out.
    pub(super) fn of(folder: Option<Arc<Folder>>, active: Arc<File>, length: u64) -> Self {
        Self {
            folder,
            closed: OnceCell::new(),
            active,
            length,
        }
    }

    /// The first line's number of each closed segment, in order.
    fn closed(&self) -> Result<&[u64], Problem> {
        if let Some(closed) = self.closed.get() {
            return Ok(closed);
        }
        let mut closed = Vec::new();
        let entries = self.folder.as_ref().map(|folder| folder.list()).transpose();
        for entry in entries.map_err(|error| unread(&error))?.unwrap_or_default() {
            closed.extend(first_of(&entry.name).filter(|_| !entry.is_folder));
        }
        closed.sort_unstable();
        // A rotation that is under way, or was cut off, or came since, has given the active file its
        // second name already; what is newer was not there when the active file was opened.
        for first in closed.clone().into_iter().rev() {
            if self.is_linked(first)? {
                closed.retain(|other| *other < first);
                break;
            }
        }
        Ok(self.closed.get_or_init(|| closed))
    }

    fn is_inode(&self, first: u64, inode: u64) -> Result<bool, Problem> {
        let folder = self.folder.as_ref();
        let status = folder.map(|folder| folder.stat(&segment_name(first)));
        match status.transpose() {
            Ok(status) => Ok(status.is_some_and(|status| status.st_ino == inode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unread(&error)),
        }
    }

    /// How many files there are.
    pub(super) fn count(&self) -> Result<usize, Problem> {
        Ok(self.closed()?.len() + 1)
    }

    /// The lines after which a segment ends.
    pub(super) fn ends(&self) -> Result<Vec<u64>, Problem> {
        let closed = self.closed()?;
        let next = closed.iter().skip(1).copied().map(Ok);
        let last = closed.last().map(|_| match self.first_active()? {
            Some(first) => Ok(first),
            None => Ok(self.tail()?.head.seq + 1),
        });
        let begins: Result<Vec<u64>, Problem> = next.chain(last).collect();
        Ok(begins?
            .into_iter()
            .map(|first| first.saturating_sub(1))
            .collect())
    }

    /// Opens file number `at`, counted from 0.
    pub(super) fn part(&self, at: usize) -> Result<Part, Problem> {
        let Some(first) = self.closed()?.get(at) else {
            return Ok(self.active());
        };
        let folder = self.folder.as_ref();
        let file = folder.map(|folder| folder.open_file(&segment_name(*first), OFlags::RDONLY));
        let file = file.transpose().map_err(|error| unread(&error))?;
        let file = file.ok_or_else(|| broken(*first, "its segment is gone"))?;
        let length = file.metadata().map_err(|error| unread(&error))?.len();
        Ok(Part {
            file: Arc::new(file),
            length,
        })
    }

    /// The file that is appended to.
    pub(super) fn active(&self) -> Part {
        Part {
            file: Arc::clone(&self.active),
            length: self.length,
        }
    }

    /// The number of the first line of the file that is appended to.
    pub(super) fn first_active(&self) -> Result<Option<u64>, Problem> {
        self.active().seq_at(0)
    }

    /// Whether the active file's second name is there.
    pub(super) fn is_linked(&self, first: u64) -> Result<bool, Problem> {
        let status = self.active.metadata().map_err(|error| unread(&error))?;
        self.is_inode(first, status.ino())
    }

    /// The last whole line, and how much stands after it.
    pub(super) fn tail(&self) -> Result<Tail, Problem> {
        let active = self.active();
        let (mut line, end) = active.last_line()?;
        let torn = active.length - end;
        if line.is_none()
            && let Some(before) = self.closed()?.len().checked_sub(1)
        {
            line = self.part(before)?.last_line()?.0;
        }
        let Some(line) = line else {
            return Ok(Tail {
                head: Head::empty(),
                line: Vec::new(),
                torn,
            });
        };
        let head = match Glance::parse(&line, 0) {
            Ok(glance) => glance.head(&line),
            // To be named by its number, where it has one.
            Err(_) => Glance::parse(&line, seq_of(&line).unwrap_or(0))?.head(&line),
        };
        Ok(Tail { head, line, torn })
    }

    /// The file that holds line `seq`, and where the line begins; `None` when the log is shorter.
    pub(super) fn find(&self, seq: u64) -> Result<Option<(Part, u64)>, Problem> {
        let active = self.active();
        let in_active = active.seq_at(0)?.is_some_and(|first| first <= seq);
        if in_active || self.closed()?.is_empty() {
            return Ok(active.find(seq)?.map(|offset| (active, offset)));
        }
        let after = self.closed()?.partition_point(|first| *first <= seq);
        let Some(at) = after.checked_sub(1) else {
            return Ok(None);
        };
        let part = self.part(at)?;
        Ok(part.find(seq)?.map(|offset| (part, offset)))
    }

    /// Reads line `seq`.
    pub(super) fn line(&self, seq: u64) -> Result<Option<Vec<u8>>, Problem> {
        let Some((part, offset)) = self.find(seq)? else {
            return Ok(None);
        };
        Ok(part
            .line_at(offset)?
            .filter(|line| seq_of(line) == Some(seq)))
    }

    /// Reads lines in order from number `from` (counted from 1), until `each` breaks off.
    pub(super) fn forwards(
        &self,
        from: u64,
        mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Problem>,
    ) -> Result<(), Problem> {
        let active = self.active();
        // What is read often are the last lines; then nobody looks for segments.
        if active.seq_at(0)?.is_some_and(|first| first < from) {
            let begin = active.find(from)?.unwrap_or(active.length);
            return active.lines(begin, active.length, &mut each).map(drop);
        }
        let at = self.closed()?.partition_point(|first| *first <= from);
        for at in at.saturating_sub(1)..self.count()? {
            let part = self.part(at)?;
            let first = part.seq_at(0)?;
            let begin = match first.filter(|first| *first < from) {
                None => 0,
                Some(_) => match part.find(from)? {
                    Some(offset) => offset,
                    None => continue,
                },
            };
            if part.lines(begin, part.length, &mut each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The lines from the last one backwards.
    pub(super) fn backwards(&self) -> Result<Backwards<'_>, Problem> {
        Ok(Backwards {
            parts: self,
            next: self.count()?,
            part: None,
            begin: 0,
            bytes: Vec::new(),
        })
    }
}

impl Part {
    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes, offset, length)?;
        Ok(bytes)
    }

    fn read_into(&self, bytes: &mut Vec<u8>, offset: u64, length: usize) -> Result<(), Problem> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        bytes.resize(length.min(left), 0);
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(|error| unread(&error))
    }

    /// The last whole line and where it ends. A line with a NUL in it was never written whole: a file
    /// system filled it in after a power cut.
    fn last_line(&self) -> Result<(Option<Vec<u8>>, u64), Problem> {
        let (mut end, mut window) = (self.length, PEEK as u64);
        loop {
            let start = end.saturating_sub(window);
            let size = usize::try_from(end - start).unwrap_or(usize::MAX);
            let bytes = self.read(start, size)?;
            let whole = memchr::memrchr(b'\n', &bytes);
            let before = whole.and_then(|at| memchr::memrchr(b'\n', bytes.get(..at)?));
            let begin = before.map(|at| at + 1).or((start == 0).then_some(0));
            if let (Some(whole), Some(begin)) = (whole, begin) {
                let line = bytes.get(begin..whole).unwrap_or_default();
                if memchr::memchr(0, line).is_none() {
                    return Ok((Some(line.to_vec()), start + whole as u64 + 1));
                }
                (end, window) = (start + begin as u64, PEEK as u64);
                continue;
            }
            if start == 0 {
                return Ok((None, 0));
            }
            if self.length - start > LONGEST_TORN {
                return Err(Problem::fail(
                    "LOG_BROKEN",
                    format!("the audit log has no line end in its last {LONGEST_TORN} bytes"),
                )
                .hint("restore it from a copy: no crash leaves so much"));
            }
            window *= 4;
        }
    }

    /// The line that begins at `offset`, without its newline; `None` at the end or when it has none.
    fn line_at(&self, offset: u64) -> Result<Option<Vec<u8>>, Problem> {
        let mut size = PEEK;
        loop {
            let mut bytes = self.read(offset, size)?;
            if let Some(end) = memchr::memchr(b'\n', &bytes) {
                bytes.truncate(end);
                return Ok(Some(bytes));
            }
            if bytes.len() < size || size > MAX_LINE {
                return Ok(None);
            }
            size *= 4;
        }
    }

    fn seq_at(&self, offset: u64) -> Result<Option<u64>, Problem> {
        Ok(self.line_at(offset)?.and_then(|line| seq_of(&line)))
    }

    /// Where line `seq` begins: halves the file until what is left is a few lines.
    pub(super) fn find(&self, seq: u64) -> Result<Option<u64>, Problem> {
        let (mut low, mut high) = (0, self.length);
        // Whoever waits for the next line is asked for one of the last, so the end comes first.
        let mut middle = high - (high / 2).min(BLOCK as u64 / 4);
        while high - low > 2 * PEEK as u64 {
            let start = match self.line_at(middle)? {
                Some(rest) => middle + rest.len() as u64 + 1,
                None => high,
            };
            match self.seq_at(start)?.filter(|_| start < high) {
                Some(at) if at <= seq => low = start,
                _ => high = middle,
            }
            middle = low + (high - low) / 2;
        }
        while let Some(line) = self.line_at(low)? {
            match seq_of(&line) {
                Some(at) if at >= seq => return Ok(Some(low).filter(|_| at == seq)),
                // What is no event is somebody else's to complain about.
                _ => low += line.len() as u64 + 1,
            }
        }
        Ok(None)
    }

    /// Reads the whole lines between two offsets, block by block.
    pub(super) fn lines(
        &self,
        from: u64,
        to: u64,
        each: &mut impl FnMut(&[u8]) -> Result<ControlFlow<()>, Problem>,
    ) -> Result<ControlFlow<()>, Problem> {
        let (mut offset, mut bytes) = (from, Vec::new());
        while offset < to {
            let size = usize::try_from(to - offset).unwrap_or(usize::MAX);
            self.read_into(&mut bytes, offset, BLOCK.min(size))?;
            let mut begin = 0;
            for end in memchr::memchr_iter(b'\n', &bytes) {
                if each(bytes.get(begin..end).unwrap_or_default())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                begin = end + 1;
            }
            if begin == 0 {
                // A torn end, or a line that no reader takes: the caller sees that it is missing.
                break;
            }
            offset += begin as u64;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Where the line ends that reaches over `offset`; the file's end where there is none.
    pub(super) fn line_end_after(&self, offset: u64) -> Result<u64, Problem> {
        if offset >= self.length {
            return Ok(self.length);
        }
        let rest = self.line_at(offset)?;
        Ok(rest.map_or(self.length, |rest| offset + rest.len() as u64 + 1))
    }
}

/// Lines from the end, read in blocks.
pub(super) struct Backwards<'a> {
    parts: &'a Parts,
    next: usize,
    part: Option<Part>,
    /// Where `bytes` begin in the part.
    begin: u64,
    /// Whole lines that were read and not given out.
    bytes: Vec<u8>,
}

impl Backwards<'_> {
    /// The line before the one given last.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        loop {
            if let Some(body) = self.bytes.strip_suffix(b"\n") {
                let start = body.iter().rposition(|byte| *byte == b'\n');
                if start.is_some() || self.begin == 0 {
                    let start = start.map_or(0, |at| at + 1);
                    let line = body.get(start..).unwrap_or_default().to_vec();
                    self.bytes.truncate(start);
                    return Ok(Some(line));
                }
                if body.len() > MAX_LINE {
                    return Err(Problem::fail(
                        "LOG_BROKEN",
                        "the audit log holds a line that is too long",
                    ));
                }
            }
            if self.begin > 0 && self.part.is_some() {
                self.earlier()?;
            } else if !self.open()? {
                return Ok(None);
            }
        }
    }

    fn open(&mut self) -> Result<bool, Problem> {
        let Some(at) = self.next.checked_sub(1) else {
            return Ok(false);
        };
        let part = self.parts.part(at)?;
        self.next = at;
        self.begin = part.last_line()?.1;
        self.part = Some(part);
        self.bytes.clear();
        Ok(true)
    }

    fn earlier(&mut self) -> Result<(), Problem> {
        let Some(part) = &self.part else {
            return Ok(());
        };
        let start = self.begin.saturating_sub(BLOCK as u64);
        let size = usize::try_from(self.begin - start).unwrap_or(usize::MAX);
        let mut bytes = part.read(start, size)?;
        bytes.append(&mut self.bytes);
        self.bytes = bytes;
        self.begin = start;
        Ok(())
    }
}

/// The number of a line, read without judging the rest.
fn seq_of(line: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Number {
        seq: u64,
    }
    let number: Number = serde_json::from_slice(line).ok()?;
    Some(number.seq)
}

impl Head {
    /// Before the first line.
    pub(super) fn empty() -> Self {
        Self {
            seq: 0,
            event_id: None,
            sha256: GENESIS.to_owned(),
        }
    }
}

/// Opens the file that is appended to.
pub(super) fn open_active(audit: &Folder, flags: OFlags) -> io::Result<File> {
    audit.open_file(FILE, flags | OFlags::APPEND)
}

/// Why that file could not be opened.
pub(super) fn unopened(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::NotFound {
        return Problem::fail("LOG_MISSING", format!("the audit log {} is gone", path()))
            .hint("restore it from a copy; baton never starts a second log in its place");
    }
    Problem::io(path(), error).hint(
        "the log is a regular file of the operator's: put it back, from a copy if it was replaced",
    )
}

fn unread(error: &io::Error) -> Problem {
    Problem::io(path(), error)
}
