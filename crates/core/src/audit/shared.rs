//! A log whose lines lie in a database. The folder then holds this machine's copy of them, byte for byte:
//! everything reads and checks the copy, and a line counts once the database has it. What the copy has and
//! the database has not, or has otherwise, was taken out of the record by somebody.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::checkpoint::rewritten;
use super::glance::Glance;
use super::halting::halts;
use super::kept::Locked;
use super::{Head, Log, write_failed};
use crate::problem::Problem;
use crate::store::database::{Database, DatabaseLock, LOG_LOCK};

/// Lines that are fetched at once: at their largest 64 MB.
const BATCH: usize = 1_000;
/// How often the right to write is asked for again while another machine has it.
const POLL: std::time::Duration = std::time::Duration::from_millis(2);

/// The right to add lines, on this machine and, where the log is shared, on every other one.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what dropping it does, in this order")]
pub(super) struct Writing<'l> {
    everywhere: Option<DatabaseLock>,
    here: Locked<'l>,
}

impl Log {
    /// Reads and writes the lines of a database; the folder is this machine's copy.
    #[must_use]
    pub fn with_lines_of(mut self, database: Arc<dyn Database>) -> Self {
        self.shared = Some(database);
        self
    }

    pub(super) fn write_lock<'l>(&'l self, here: Locked<'l>) -> Result<Writing<'l>, Problem> {
        let Some(database) = &self.shared else {
            return Ok(Writing {
                everywhere: None,
                here,
            });
        };
        let everywhere = loop {
            match database.lock(LOG_LOCK) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(POLL),
                taken => break taken.map_err(|error| unreachable(&error))?,
            }
        };
        self.pull(&here)?;
        Ok(Writing {
            everywhere: Some(everywhere),
            here,
        })
    }

    /// Brings the copy up to the database's last line.
    pub(super) fn refresh(&self) -> Result<(), Problem> {
        if self.shared.is_none() {
            return Ok(());
        }
        let lock = self.try_lock();
        self.pull(&lock.map_err(|error| Problem::io("audit lock", &error))?)
    }

    /// As [`Self::refresh`], for who has the lock of this machine's copy.
    pub(super) fn pull(&self, _here: &Locked<'_>) -> Result<(), Problem> {
        let Some(database) = &self.shared else {
            return Ok(());
        };
        let parts = self.parts_to_write()?;
        let tail = parts.tail()?;
        let active = parts.active();
        if tail.torn > 0 {
            // The database has the line, or nobody was promised it.
            let kept = active.file.set_len(active.length - tail.torn);
            kept.map_err(|error| write_failed(&error))?;
        }
        let mut head = tail.head;
        let mut lines = self.lines_from(database.as_ref(), &head, &tail.line)?;
        while !lines.is_empty() {
            self.copy(&active.file, &mut head, &lines)?;
            lines = fetched(database.as_ref(), head.seq)?;
        }
        Ok(())
    }

    /// The next lines; the database's line under the copy's last number must be the copy's.
    fn lines_from(
        &self,
        database: &dyn Database,
        head: &Head,
        last: &[u8],
    ) -> Result<Vec<Vec<u8>>, Problem> {
        let mut lines = fetched(database, head.seq.saturating_sub(1))?;
        if head.seq == 0 {
            return Ok(lines);
        }
        if lines.first().is_none_or(|line| line != last) {
            let why = match lines.first() {
                Some(_) => "has another line under that number",
                None => "has no such line",
            };
            let seq = head.seq;
            return Err(rewritten(&format!(
                "this machine's copy ends with line {seq}, and the store {why}"
            )));
        }
        lines.remove(0);
        Ok(lines)
    }

    /// Writes lines to the copy, each one chained to the one before.
    fn copy(&self, mut file: &File, head: &mut Head, lines: &[Vec<u8>]) -> Result<(), Problem> {
        let (mut bytes, mut stops) = (Vec::new(), None);
        for line in lines {
            let glance = Glance::parse(line, head.seq + 1)?;
            glance.follows(head)?;
            stops = halts(glance.action).or(stops);
            *head = glance.head(line);
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        // Cut off in the middle, the next one takes the half line back and goes on from there.
        self.noting(stops, || {
            file.write_all(&bytes).map_err(|error| write_failed(&error))
        })
    }
}

fn fetched(database: &dyn Database, after: u64) -> Result<Vec<Vec<u8>>, Problem> {
    let lines = database.lines(after, BATCH);
    lines.map_err(|error| unreachable(&error))
}

/// Adds a line for everybody. When the answer is lost the line may stand all the same, and nobody may count
/// on it.
pub(super) fn publish(database: &dyn Database, seq: u64, line: &[u8]) -> Result<(), Problem> {
    database.add_lines(seq, &[line]).map_err(|error| {
        let why = format!("the store did not confirm line {seq} of the log: {error}");
        Problem::fail("LOG_WRITE_FAILED", why)
            .hint("run it again; what the store has by then is looked at first")
    })
}

impl Log {
    /// Gives every line to another store's database, which must have none.
    ///
    /// # Errors
    /// `LOG_BROKEN`, `LOG_WRITE_FAILED`.
    pub(crate) fn give_lines(&self, database: &dyn Database) -> Result<(), Problem> {
        let _lock = self.lock()?;
        let (mut lines, mut next) = (Vec::<Vec<u8>>::new(), 1);
        let mut give = |lines: &mut Vec<Vec<u8>>| -> Result<(), Problem> {
            let batch: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let given = database.add_lines(next, &batch);
            given.map_err(|error| {
                let why =
                    format!("the new store did not take the log from line {next} on: {error}");
                Problem::fail("LOG_WRITE_FAILED", why).hint("begin again with an empty store")
            })?;
            next += lines.len() as u64;
            lines.clear();
            Ok(())
        };
        self.parts_to_write()?.forwards(1, |line| {
            lines.push(line.to_vec());
            if lines.len() == BATCH {
                give(&mut lines)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        give(&mut lines)
    }
}

fn unreachable(error: &io::Error) -> Problem {
    Problem::fail(
        "STORE_UNREACHABLE",
        format!("the log in the store cannot be read: {error}"),
    )
    .hint("see that the database is there: baton doctor")
}
