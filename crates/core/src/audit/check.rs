//! The whole log, every byte: chain, bounds of every field, tree, index, every signed head. In parts of
//! some megabytes, by several threads, and never in memory as a whole.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;

use baton_transparency::{Checkpoint, Hash, TreeRange, leaf_hash, stored_count, stored_index};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::checkpoint::{parse, rewritten};
use super::glance::Glance;
use super::index::{self, Index};
use super::segments::{Part, Parts, SEGMENTS};
use super::{GENESIS, Head, Log, broken};
use crate::problem::Problem;
use crate::state::State;

/// The most threads that are of use.
pub const MOST_THREADS: usize = 16;
/// What one thread reads at a time, in bytes.
const RANGE: u64 = 4 << 20;
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
    outcome: Result<(Head, TreeRange, States), Problem>,
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
            states: States::new(),
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
            tree: TreeRange::new(0),
            made: Vec::new(),
            states: States::new(),
        };
        let read = self.part.lines(self.from, self.to, &mut |line| {
            work.line(line)?;
            Ok(ControlFlow::Continue(()))
        });
        let outcome = read
            .and_then(|_| same_as_index(&work, index, indexed))
            .map(|()| {
                let head = Head {
                    seq: work.seq,
                    event_id: Some(work.event_id),
                    sha256: String::from_utf8_lossy(&work.sha256).into_owned(),
                };
                (head, work.tree, work.states)
            });
        Done {
            first: work.first,
            outcome,
        }
    }
}

struct Work {
    first: Option<First>,
    seq: u64,
    /// Of the line before, in hex.
    sha256: [u8; 64],
    event_id: String,
    tree: TreeRange,
    /// The hashes that were made, with their places in the index.
    made: Vec<(u64, Hash)>,
    states: States,
}

impl Work {
    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let glance = Glance::parse(line, self.seq + 1)?;
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
        if let Some(state) = glance.moves_to() {
            match self.states.get_mut(glance.task_id()) {
                Some(known) => *known = state,
                None => drop(self.states.insert(glance.task_id().to_owned(), state)),
            }
        }
        HEXLOWER.encode_mut(&Sha256::digest(line), &mut self.sha256);
        self.event_id.clear();
        match glance.into_event_id() {
            Cow::Borrowed(id) => self.event_id.push_str(id),
            Cow::Owned(id) => self.event_id = id,
        }
        let made = &mut self.made;
        self.tree.push(leaf_hash(line), &mut |at, hash: &Hash| {
            made.push((at, *hash))
        });
        Ok(())
    }
}

/// Whether the index has what the lines make, as far as it goes.
fn same_as_index(work: &Work, index: Option<&Index>, indexed: u64) -> Result<(), Problem> {
    let (Some(index), Some(first)) = (index, &work.first) else {
        return Ok(());
    };
    let end = work.seq.min(indexed);
    if first.seq > end {
        return Ok(());
    }
    let from = stored_index(0, first.seq - 1);
    let records = index.records(from, stored_count(end) - from)?;
    for (at, hash) in work.made.iter().filter(|(at, _)| *at < stored_count(end)) {
        let begin = usize::try_from(at - from).unwrap_or(usize::MAX);
        let record = records.chunks_exact(32).nth(begin);
        if record != Some(&hash.0) {
            return Err(differs(*at));
        }
    }
    Ok(())
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
    states: States,
}

impl Joiner<'_> {
    fn batch(&mut self, ranges: &[Range<'_>]) -> Result<(), Problem> {
        let (index, indexed) = (self.index, self.indexed);
        if let [range] = ranges {
            return self.join(range.check(index, indexed));
        }
        let done: Vec<_> = std::thread::scope(|scope| {
            let work = ranges
                .iter()
                .map(|range| scope.spawn(move || range.check(index, indexed)));
            let running: Vec<_> = work.collect();
            running.into_iter().map(|thread| thread.join()).collect()
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
        let (head, tree, states) = done.outcome?;
        self.states.extend(states);
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
            states: self.states,
        })
    }
}
