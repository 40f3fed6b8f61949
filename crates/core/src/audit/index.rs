//! The tree's hashes in a flat file, so that a root or a proof costs a logarithmic number of reads. It
//! is brought up to the lines before a head over them is signed, and never synced: whatever is wrong with
//! it can be made again from the lines, and nothing in it counts unless a signed root says the same.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use baton_transparency::{
    Hash, Hashes, TreeRange, completed_by, leaf_hash, root, stored_count, stored_index,
};
use rustix::fs::OFlags;

use super::segments::{Parts, Tail};
use super::{Log, write_failed};
use crate::files::Folder;
use crate::problem::Problem;

/// The folder in `audit`, and the file in it.
pub(super) const FOLDER: &str = "tree";
pub(super) const FILE: &str = "hashes";
const FRESH: &str = ".tmp-hashes";
const RECORD: u64 = 32;
/// More lines than this are hashed in one pass over the whole log.
const MOST_BEHIND: u64 = 100_000;
/// So many lines may wait for their hashes; whoever signs a head sees to them before. Written with each
/// line they would cost as much as the line: a sync of one file makes ext4 write down what became of the
/// other one too.
const MOST_WAITING: u64 = 256;
/// What is written at once when the index is made anew, in bytes.
const BLOCK: usize = 1 << 20;

/// How much of the log the index has to hold.
#[derive(Clone, Debug)]
pub(super) enum Indexed {
    /// Every line.
    Whole,
    /// All but the last few, which no signed head covers. What it was found to hold a moment ago is enough:
    /// nobody waits for that.
    Nearly(Option<(Index, u64)>),
}

/// The open index.
#[derive(Clone, Debug)]
pub struct Index {
    file: Arc<File>,
}

impl Hashes for Index {
    type Error = Problem;

    fn read(&self, index: u64) -> Result<Hash, Problem> {
        let mut record = [0; 32];
        self.file
            .read_exact_at(&mut record, index.saturating_mul(RECORD))
            .map_err(|error| Problem::io(path(), &error))?;
        Ok(Hash(record))
    }
}

impl Index {
    /// Lines whose hashes it holds whole.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn leaves(&self) -> Result<u64, Problem> {
        let status = self.file.metadata();
        let status = status.map_err(|error| Problem::io(path(), &error))?;
        Ok(leaves_in(status.len()))
    }

    /// Reads `count` records from number `from`.
    pub(super) fn records(&self, from: u64, count: u64) -> Result<Vec<u8>, Problem> {
        let size = usize::try_from(count.saturating_mul(RECORD)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; size];
        self.file
            .read_exact_at(&mut bytes, from.saturating_mul(RECORD))
            .map_err(|error| Problem::io(path(), &error))?;
        Ok(bytes)
    }

    /// The hash of line `seq`.
    pub(super) fn leaf(&self, seq: u64) -> Result<Hash, Problem> {
        self.read(stored_index(0, seq.saturating_sub(1)))
    }

    /// Whether it holds what line `seq` made: its own hash, and those of the subtrees that it completed.
    pub(super) fn has(&self, seq: u64, line: &[u8]) -> Result<bool, Problem> {
        let before = seq.saturating_sub(1);
        let made = completed_by(before, leaf_hash(line), self)?;
        let kept = self.records(stored_count(before), made.len() as u64)?;
        Ok(kept == made.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())
    }

    /// Adds the line after the first `size` lines.
    ///
    /// # Errors
    /// `LOG_WRITE_FAILED`; the index is then as long as before.
    pub(super) fn push(&self, size: u64, line: &[u8]) -> Result<(), Problem> {
        let mut growing = Growing::new(self, size);
        growing.push(line)?;
        growing.write()
    }

    /// Whether it holds this many lines and its last leaf is the last line's.
    fn ends_with(&self, tail: &Tail) -> Result<bool, Problem> {
        let seq = tail.head.seq;
        Ok(self.leaves()? == seq && (seq == 0 || self.leaf(seq)? == leaf_hash(&tail.line)))
    }

    fn cut(&self, size: u64) -> Result<(), Problem> {
        let length = stored_count(size) * RECORD;
        let now = self.file.metadata();
        // Cutting nothing off would still be a change of the file that the next sync waits for.
        if now.map_err(|error| write_failed(&error))?.len() == length {
            return Ok(());
        }
        self.file
            .set_len(length)
            .map_err(|error| write_failed(&error))
    }
}

/// Lines whose hashes an index of this many bytes holds whole.
fn leaves_in(length: u64) -> u64 {
    let records = length / RECORD;
    // 2n - 64 <= stored_count(n) <= 2n, so the answer lies this close.
    let (mut low, mut high) = (records / 2, records / 2 + 64);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if stored_count(middle) <= records {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

fn found<T>(opened: io::Result<T>) -> Result<Option<T>, Problem> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::io(path(), &error)),
    }
}

/// An index, and hashes behind it that are written in one go: others wait for the log meanwhile.
pub(super) struct Growing {
    index: Index,
    /// Records that were there before.
    before: u64,
    size: u64,
    bytes: Vec<u8>,
}

impl Hashes for Growing {
    type Error = Problem;

    fn read(&self, index: u64) -> Result<Hash, Problem> {
        let at = index.checked_sub(self.before);
        let at = at.map(|at| usize::try_from(at * RECORD).unwrap_or(usize::MAX));
        let made = at.and_then(|at| self.bytes.get(at..)?.first_chunk());
        made.map_or_else(|| self.index.read(index), |record| Ok(Hash(*record)))
    }
}

impl Growing {
    /// Begins behind the hashes of the first `size` lines.
    fn new(index: &Index, size: u64) -> Self {
        Self {
            index: index.clone(),
            before: stored_count(size),
            size,
            bytes: Vec::new(),
        }
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Problem> {
        let made = completed_by(self.size, leaf_hash(line), self)?;
        self.bytes.extend(made.iter().flat_map(|hash| hash.0));
        self.size += 1;
        Ok(())
    }

    fn write(self) -> Result<(), Problem> {
        let (file, at) = (&self.index.file, self.before * RECORD);
        file.write_all_at(&self.bytes, at).map_err(|error| {
            // Best effort: whoever opens it next cuts it back as well.
            let _ = file.set_len(at);
            write_failed(&error)
        })
    }
}

impl Log {
    /// The index as it is, for proofs about a tree whose root a checkpoint signs.
    ///
    /// # Errors
    /// `INDEX_MISSING`.
    pub fn index(&self) -> Result<Index, Problem> {
        self.open_index()?.ok_or_else(|| {
            Problem::fail("INDEX_MISSING", format!("there is no {}", path()))
                .hint("the next line that is appended makes it again from the lines")
        })
    }

    pub(super) fn open_index(&self) -> Result<Option<Index>, Problem> {
        let open = |folder: &Folder| folder.open_file(FILE, OFlags::RDONLY);
        let file = self.tree_folder().and_then(open);
        Ok(found(file)?.map(|file| Index {
            file: Arc::new(file),
        }))
    }

    /// The index to write to, and the lines that it has.
    pub(super) fn index_to_write(&self) -> Result<Option<(Index, u64)>, Problem> {
        let file = self.tree_folder().and_then(|folder| {
            let open = || folder.open_file(FILE, OFlags::RDWR);
            self.hashes.get(folder, FILE, open)
        });
        Ok(found(file)?.map(|(file, length)| (Index { file }, leaves_in(length))))
    }

    fn tree_folder(&self) -> io::Result<&Folder> {
        match self.tree.get() {
            Some(folder) => Ok(folder),
            None => {
                let folder = self.folder.sub(FOLDER)?;
                Ok(self.tree.get_or_init(|| folder))
            }
        }
    }

    /// The index, brought to the log's end or near it. Says whether it had to be made anew because it did
    /// not match. The caller holds the append lock.
    pub(super) fn current_index(
        &self,
        parts: &Parts,
        tail: &Tail,
        wanted: &Indexed,
    ) -> Result<(Index, bool), Problem> {
        let is_near = |leaves: u64| {
            let waiting = tail.head.seq.checked_sub(leaves);
            waiting.is_some_and(|lines| (1..MOST_WAITING).contains(&lines))
        };
        if let Indexed::Nearly(Some((index, leaves))) = wanted
            && is_near(*leaves)
        {
            return Ok((index.clone(), false));
        }
        let Some((index, leaves)) = self.index_to_write()? else {
            return Ok((self.rebuild_index(parts, tail.head.seq)?, false));
        };
        if matches!(wanted, Indexed::Nearly(_)) && is_near(leaves) {
            return Ok((index, false));
        }
        if index.ends_with(tail)? {
            return Ok((index, false));
        }
        let has = leaves.min(tail.head.seq);
        if tail.head.seq - has > MOST_BEHIND {
            return Ok((self.rebuild_index(parts, tail.head.seq)?, false));
        }
        index.cut(has)?;
        let mut growing = Growing::new(&index, has);
        parts.forwards(has + 1, |line| {
            if growing.size < tail.head.seq {
                growing.push(line)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        growing.write()?;
        if index.ends_with(tail)? {
            return Ok((index, false));
        }
        Ok((self.rebuild_index(parts, tail.head.seq)?, true))
    }

    /// The hashes that the index lacks up to line `size`, made while others go on writing; all these lines
    /// must stand.
    pub(super) fn hashed_ahead(&self, size: u64) -> Result<Option<Growing>, Problem> {
        let Some((index, leaves)) = self.index_to_write()? else {
            return Ok(None);
        };
        if !(1..MOST_BEHIND).contains(&size.saturating_sub(leaves)) {
            return Ok(None);
        }
        let mut growing = Growing::new(&index, leaves);
        self.parts()?.forwards(leaves + 1, |line| {
            growing.push(line)?;
            Ok(match growing.size == size {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok(Some(growing))
    }

    /// Writes them, unless somebody was faster. The caller holds the append lock.
    pub(super) fn write_ahead(&self, growing: Growing) -> Result<(), Problem> {
        match self.index_to_write()? {
            Some((_, leaves)) if stored_count(leaves) == growing.before => growing.write(),
            _ => Ok(()),
        }
    }

    /// Makes the index of the first `size` lines from nothing but the lines.
    pub(super) fn rebuild_index(&self, parts: &Parts, size: u64) -> Result<Index, Problem> {
        let failed = |error: io::Error| write_failed(&error);
        let folder = self.folder.sub_or_new(FOLDER).map_err(failed)?;
        let file = folder.make_file(FRESH).map_err(failed)?;
        let (mut bytes, mut at) = (Vec::with_capacity(BLOCK + 4096), 0);
        let mut tree = TreeRange::new(0);
        parts.forwards(1, |line| {
            if tree.end() == size {
                return Ok(ControlFlow::Break(()));
            }
            tree.push(leaf_hash(line), &mut |_, hash: &Hash| bytes.extend(hash.0));
            if bytes.len() >= BLOCK {
                file.write_all_at(&bytes, at).map_err(failed)?;
                at += bytes.len() as u64;
                bytes.clear();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        file.write_all_at(&bytes, at).map_err(failed)?;
        folder.rename_over(FRESH, FILE).map_err(failed)?;
        let file = Arc::new(file);
        Ok(Index { file })
    }

    /// The root of the first `size` lines by the index; `None` when the index is shorter.
    pub(super) fn root_by(index: &Index, size: u64) -> Result<Option<Hash>, Problem> {
        if index.leaves()? < size {
            return Ok(None);
        }
        root(size, index).map(Some)
    }
}

impl From<baton_transparency::Error> for Problem {
    fn from(error: baton_transparency::Error) -> Self {
        Self::fail("LOG_BROKEN", format!("the audit log's tree: {error}"))
            .hint("compare with a copy kept elsewhere: baton audit verify")
    }
}

/// The index's path as messages write it.
pub(super) fn path() -> String {
    format!("{}/audit/{FOLDER}/{FILE}", crate::envelope::QUEUE_ROOT)
}
