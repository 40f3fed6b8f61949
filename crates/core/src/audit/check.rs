//! The whole log, every byte: chain, bounds of every field, tree, index, every signed head. In parts of
//! some megabytes, by several threads, and never in memory as a whole.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::thread::{Builder, ScopedJoinHandle};

use baton_transparency::{Checkpoint, Hash, LineHashes, TreeRange, leaf_hash, root, stored_count};

use super::checkpoint::{parse, rewritten};
use super::glance::Glance;
use super::halting::halts;
use super::index::{self, Index};
use super::segments::{Part, Parts, SEGMENTS};
use super::written::Lengths;
use super::{GENESIS, Head, Log, broken};
use crate::digest;
use crate::problem::Problem;
use crate::state::State;

/// The most threads that are of use.
pub const MOST_THREADS: usize = 16;
/// What one thread reads at a time, in bytes.
const RANGE: u64 = 4 << 20;
/// Lines whose nodes are hashed together.
const BATCH: usize = 256;
/// The largest checkpoint of a closed segment, in bytes.
const MAX_CHECKPOINT: usize = 64 << 10;

/// What a full check found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The last line.
    pub head: Head,
    /// The root of the tree over all lines.
    pub root: Hash,
    /// The latest signed head.
    pub checkpoint: Checkpoint,
    /// Lines whose hashes the index lacks; the next append adds them.
    pub not_indexed: u64,
    /// The state that each task came to by the last line that moves it.
    pub states: States,
    /// Whether STOP was set and not lifted since.
    pub stopped: bool,
}

/// States by task.
pub type States = HashMap<String, State>;

/// Whole lines of one file.
struct Range<'a> {
    part: &'a Part,
    from: u64,
    to: u64,
}

/// What a thread says of its lines: what they must follow, what they are, where they end.
struct Done {
    first: Option<First>,
    outcome: Result<(Head, TreeRange, Told), Problem>,
}

/// What lines tell of the queue.
#[derive(Default)]
struct Told {
    states: States,
    /// By the last of them that sets or lifts STOP.
    stopped: Option<bool>,
}

impl Told {
    fn take_in(&mut self, glance: &Glance<'_>) {
        self.stopped = halts(glance.action).or(self.stopped);
        let Some(state) = glance.moves_to() else {
            return;
        };
        match self.states.get_mut(glance.task_id()) {
            Some(known) => *known = state,
            None => drop(self.states.insert(glance.task_id().to_owned(), state)),
        }
    }
}

struct First {
    seq: u64,
    prev_sha256: String,
    prev_event_id: Option<String>,
}

impl Log {
    /// Checks everything there is: that the lines are whole, within their bounds and chained; that
    /// their tree has every root that was signed; that the index is their tree.
    ///
    /// `threads` of them share the work; 0 stands for as many as the machine has.
    ///
    /// # Errors
    /// `LOG_BROKEN` naming the first line that does not fit, `LOG_REWRITTEN`, `INDEX_DIFFERS`,
    /// `LOG_MISSING`, `CHECKPOINT_…`, `LOG_KEY_MISSING`.
    pub fn check(&self, threads: usize) -> Result<Checked, Problem> {
        let machine = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { machine } else { threads };
        let checkpoint = self.sealed()?.checkpoint;
        let (parts, index, indexed) = self.at_rest()?;
        let mut signed = self.signed_at_segments(&parts)?;
        signed.push(checkpoint.clone());
        let mut joiner = Joiner {
            index: index.as_ref(),
            indexed,
            signed,
            head: Head::empty(),
            tree: TreeRange::new(0),
            told: Told::default(),
        };
        joiner.reach_signed()?;
        for at in 0..parts.count()? {
            let part = parts.part(at)?;
            let ranges = part.ranges(&joiner.signed)?;
            for batch in ranges.chunks(threads.clamp(1, MOST_THREADS)) {
                joiner.batch(batch)?;
            }
        }
        super::read::complete(&parts, &joiner.head)?;
        joiner.finish(checkpoint)
    }

    /// The root of the tree over the first `size` lines: by the index, which [`Self::check`] holds against
    /// the lines, or from the lines where it lacks some of them.
    ///
    /// # Errors
    /// `LOG_MISSING`, `LOG_BROKEN`, `IO_ERROR`.
    pub fn root_of(&self, size: u64) -> Result<Hash, Problem> {
        let (parts, index, indexed) = self.at_rest()?;
        if let Some(index) = index.filter(|_| indexed >= size) {
            return root(size, &index);
        }
        let mut tree = TreeRange::new(0);
        parts.forwards(1, |line| {
            if tree.end() == size {
                return Ok(ControlFlow::Break(()));
            }
            tree.push(leaf_hash(line), &mut |_, _| {});
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tree.root()?)
    }

    /// The heads that were signed when segments were closed.
    fn signed_at_segments(&self, parts: &Parts) -> Result<Vec<Checkpoint>, Problem> {
        let mut signed = Vec::new();
        for end in parts.ends()? {
            let name = format!("checkpoint.{end:016}");
            let bytes = self
                .folder
                .sub(SEGMENTS)
                .and_then(|folder| folder.read(&name, MAX_CHECKPOINT))
                .map_err(|error| Problem::io(&name, &error))?;
            let checkpoint = self.opened(&parse(&bytes)?)?;
            if checkpoint.size != end {
                return Err(rewritten(&format!(
                    "{name} is signed for {} lines, its segment ends at {end}",
                    checkpoint.size
                )));
            }
            signed.push(checkpoint);
        }
        Ok(signed)
    }
}

impl Part {
    /// Cuts the file at line ends, and after each line that a checkpoint was signed at.
    fn ranges(&self, signed: &[Checkpoint]) -> Result<Vec<Range<'_>>, Problem> {
        let mut cuts = Vec::new();
        for checkpoint in signed {
            cuts.extend(self.find(checkpoint.size + 1)?);
        }
        let mut offset = 0;
        while offset < self.length {
            offset = self.line_end_after(offset.saturating_add(RANGE))?;
            cuts.push(offset);
        }
        cuts.sort_unstable();
        cuts.dedup();
        let mut from = 0;
        let ranges = cuts.into_iter().filter(|to| *to > 0).map(|to| {
            let range = Range {
                part: self,
                from,
                to,
            };
            from = to;
            range
        });
        Ok(ranges.collect())
    }
}

impl Range<'_> {
    fn check(&self, index: Option<&Index>, indexed: u64) -> Done {
        let mut work = Work {
            first: None,
            seq: 0,
            sha256: [0; 64],
            event_id: String::new(),
            lengths: Lengths::default(),
            hashes: LineHashes::default(),
            tree: TreeRange::new(0),
            leaves: Vec::with_capacity(BATCH),
            index,
            indexed,
            wrong: None,
            told: Told::default(),
        };
        let read = self.part.lines(self.from, self.to, &mut |line| {
            work.line(line)?;
            Ok(ControlFlow::Continue(()))
        });
        work.grow();
        let read = read.and_then(|_| work.wrong.map_or(Ok(()), Err));
        let outcome = read.map(|()| {
            let head = Head {
                seq: work.seq,
                event_id: Some(work.event_id),
                sha256: String::from_utf8_lossy(&work.sha256).into_owned(),
            };
            (head, work.tree, work.told)
        });
        Done {
            first: work.first,
            outcome,
        }
    }
}

struct Work<'a> {
    first: Option<First>,
    seq: u64,
    /// Of the line before, in hex.
    sha256: [u8; 64],
    event_id: String,
    lengths: Lengths,
    hashes: LineHashes,
    tree: TreeRange,
    /// What the tree does not have yet.
    leaves: Vec<Hash>,
    index: Option<&'a Index>,
    /// Lines that the index has.
    indexed: u64,
    /// Why the index is not what the lines make it. What is wrong with a line is said first.
    wrong: Option<Problem>,
    told: Told,
}

impl Work<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let mut hashing = self.hashes.of(line);
        let glance = Glance::next(line, self.seq + 1, &mut self.lengths, &mut || {
            hashing.step();
        })?;
        if self.first.is_none() {
            self.first = Some(First {
                seq: glance.seq,
                prev_sha256: glance.prev_sha256().to_owned(),
                prev_event_id: glance.prev_event_id().map(str::to_owned),
            });
            self.tree = TreeRange::new(glance.seq - 1);
        } else {
            let sha256 = std::str::from_utf8(&self.sha256).unwrap_or_default();
            glance.links(self.seq, sha256, Some(&self.event_id))?;
        }
        self.seq = glance.seq;
        self.told.take_in(&glance);
        self.event_id.clear();
        match glance.into_event_id() {
            Cow::Borrowed(id) => self.event_id.push_str(id),
            Cow::Owned(id) => self.event_id = id,
        }
        let (sha256, leaf) = hashing.hashes();
        self.sha256 = digest::hex_of(&sha256);
        self.leaves.push(leaf);
        if self.leaves.len() == BATCH {
            self.grow();
        }
        Ok(())
    }

    /// Brings the tree up to the lines, and holds what that makes against the index as far as it goes.
    fn grow(&mut self) {
        let (first, end) = (self.tree.end(), self.tree.end() + self.leaves.len() as u64);
        let begin = stored_count(first);
        let count = stored_count(end.min(self.indexed)).saturating_sub(begin);
        let index = self.index.filter(|_| count > 0 && self.wrong.is_none());
        let records = index.map_or(Ok(Vec::new()), |index| index.records(begin, count));
        let records = records.map_err(|problem| self.wrong = Some(problem));
        let records = records.unwrap_or_default();
        let (records, _) = records.as_chunks::<32>();
        let mut wrong = None;
        self.tree.extend(&self.leaves, &mut |at, hash: &Hash| {
            let place = usize::try_from(at - begin).unwrap_or(usize::MAX);
            if records.get(place).is_some_and(|record| *record != hash.0) {
                wrong = Some(wrong.map_or(at, |first: u64| first.min(at)));
            }
        });
        self.wrong = self.wrong.take().or(wrong.map(differs));
        self.leaves.clear();
    }
}

fn differs(at: u64) -> Problem {
    Problem::fail(
        "INDEX_DIFFERS",
        format!(
            "record {at} of {} is not what the lines of the log make it",
            index::path()
        ),
    )
    .hint("the lines are what counts: move the file away, the next append makes it again")
}

/// Puts the threads' parts together in order.
struct Joiner<'a> {
    index: Option<&'a Index>,
    indexed: u64,
    /// Heads that the tree must have had; those that it had are taken out.
    signed: Vec<Checkpoint>,
    head: Head,
    tree: TreeRange,
    told: Told,
}

impl Joiner<'_> {
    fn batch(&mut self, ranges: &[Range<'_>]) -> Result<(), Problem> {
        let (index, indexed) = (self.index, self.indexed);
        if let [range] = ranges {
            return self.join(range.check(index, indexed));
        }
        let done: Vec<_> = std::thread::scope(|scope| {
            let work = ranges.iter().map(|range| {
                let check = move || range.check(index, indexed);
                // Where there is no thread to be had, this one does it.
                let thread = Builder::new().spawn_scoped(scope, check);
                thread.map_err(|_| Box::new(check()))
            });
            let running: Vec<_> = work.collect();
            let done = running.into_iter();
            done.map(|thread| thread.map_or_else(|done| Ok(*done), ScopedJoinHandle::join))
                .collect()
        });
        for done in done {
            let stopped = || Problem::fail("LOG_BROKEN", "a thread that read the log stopped");
            self.join(done.map_err(|_| stopped())?)?;
        }
        Ok(())
    }

    fn join(&mut self, done: Done) -> Result<(), Problem> {
        if let Some(first) = &done.first {
            self.check_follows(first)?;
        }
        let (head, tree, told) = done.outcome?;
        self.told.states.extend(told.states);
        self.told.stopped = told.stopped.or(self.told.stopped);
        if done.first.is_none() {
            return Ok(());
        }
        let (index, indexed) = (self.index, self.indexed);
        let mut wrong = None;
        let joined = self.tree.join(&tree, &mut |at, hash: &Hash| {
            let Some(index) = index.filter(|_| at < stored_count(indexed)) else {
                return;
            };
            match index.records(at, 1) {
                Ok(record) if record == hash.0 => {}
                Ok(_) => wrong = Some(differs(at)),
                Err(problem) => wrong = Some(problem),
            }
        });
        joined.map_err(|error| broken(self.head.seq + 1, &error.to_string()))?;
        if let Some(problem) = wrong {
            return Err(problem);
        }
        self.head = head;
        self.reach_signed()
    }

    fn check_follows(&self, first: &First) -> Result<(), Problem> {
        let expected = self.head.seq + 1;
        if first.seq != expected {
            let why = format!("seq is {}, expected {expected}", first.seq);
            return Err(broken(expected, &why));
        }
        if first.prev_sha256 != self.head.sha256 || first.prev_event_id != self.head.event_id {
            let before = if self.head.sha256 == GENESIS {
                "the log does not begin with it".to_owned()
            } else {
                format!("the line before hashes to {}", self.head.sha256)
            };
            let why = format!("prev_sha256 is {}, {before}", first.prev_sha256);
            return Err(broken(expected, &why));
        }
        Ok(())
    }

    /// Holds every head that was signed at this size against the tree.
    fn reach_signed(&mut self) -> Result<(), Problem> {
        let size = self.tree.end();
        let Self { signed, tree, .. } = self;
        let mut result = Ok(());
        signed.retain(|checkpoint| {
            if checkpoint.size != size || result.is_err() {
                return true;
            }
            result = match tree.root() {
                Ok(root) if root == checkpoint.root => Ok(()),
                Ok(_) => Err(rewritten(&format!(
                    "its first {size} lines make another root than the one that was signed"
                ))),
                Err(error) => Err(error.into()),
            };
            false
        });
        result
    }

    fn finish(self, checkpoint: Checkpoint) -> Result<Checked, Problem> {
        if let Some(never) = self.signed.first() {
            return Err(rewritten(&format!(
                "it ends at line {}, and a signed head says {}",
                self.head.seq, never.size
            )));
        }
        if self.indexed > self.head.seq {
            return Err(differs(stored_count(self.head.seq)));
        }
        Ok(Checked {
            root: self.tree.root()?,
            not_indexed: self.head.seq - self.indexed,
            head: self.head,
            checkpoint,
            states: self.told.states,
            stopped: self.told.stopped == Some(true),
        })
    }
}
