//! The tree's hashes as one append-only row: every leaf's hash, followed by each node that it completes.
//! One flat file of 32-byte records is thus an index from which any proof is read in a logarithmic
//! number of places. (The order is the one that Go's checksum database keeps its hashes in.)

use crate::error::Error;
use crate::tree::{Hash, MAX_SIZE, empty_root, node_hash};

/// Where stored hashes are read from.
pub trait Hashes {
    /// Why a hash could not be read, or why a question made no sense.
    type Error: From<Error>;

    /// The record number `index`, counted from 0.
    ///
    /// # Errors
    /// If the record is not there or cannot be read.
    fn read(&self, index: u64) -> Result<Hash, Self::Error>;
}

/// Records of a tree with `size` leaves.
pub fn stored_count(size: u64) -> u64 {
    // One for each leaf, and for n leaves n >> 1, n >> 2, … whole subtrees: together 2n minus n's ones.
    let ones = u64::from(size.count_ones());
    size.saturating_sub(ones).saturating_add(size)
}

/// Where the hash of the whole subtree number `n` of `level` is stored; leaves have level 0.
pub fn stored_index(level: u32, n: u64) -> u64 {
    // It is written right after its last leaf, behind the smaller subtrees that leaf completes.
    let after = n.saturating_add(1).checked_shl(level).unwrap_or(u64::MAX);
    stored_count(after.saturating_sub(1)).saturating_add(u64::from(level))
}

/// The records to append for leaf number `size`: `leaf`, then each node that it completes.
///
/// # Errors
/// If a hash of the tree so far cannot be read, or the tree is full.
pub fn completed_by<H: Hashes>(size: u64, leaf: Hash, hashes: &H) -> Result<Vec<Hash>, H::Error> {
    bounded(size.saturating_add(1))?;
    let mut made = vec![leaf];
    let (mut hash, mut level) = (leaf, 0);
    // Each trailing one in `size` is a left sibling that waits for this leaf.
    while (size >> level) & 1 == 1 {
        let left = hashes.read(stored_index(level, (size >> level) - 1))?;
        hash = node_hash(&left, &hash);
        level += 1;
        made.push(hash);
    }
    Ok(made)
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// If a hash cannot be read, or `size` is beyond [`MAX_SIZE`].
pub fn root<H: Hashes>(size: u64, hashes: &H) -> Result<Hash, H::Error> {
    bounded(size)?;
    if size == 0 {
        return Ok(empty_root());
    }
    range(0, size, hashes)
}

/// The proof that leaf number `index` is in the tree of `size` leaves, from the leaf's sibling upwards.
///
/// # Errors
/// If there is no such leaf, or a hash cannot be read.
pub fn inclusion<H: Hashes>(index: u64, size: u64, hashes: &H) -> Result<Vec<Hash>, H::Error> {
    bounded(size)?;
    if index >= size {
        let expected = format!("a number below the tree's size, {size}");
        return Err(Error::new("leaf number", index, expected).into());
    }
    let (mut begin, mut end, mut proof) = (0, size, Vec::new());
    while end - begin > 1 {
        let middle = begin + left_part(end - begin);
        if index < middle {
            proof.push(range(middle, end, hashes)?);
            end = middle;
        } else {
            proof.push(range(begin, middle, hashes)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves.
///
/// # Errors
/// If `old` is larger than `new`, or a hash cannot be read.
pub fn consistency<H: Hashes>(old: u64, new: u64, hashes: &H) -> Result<Vec<Hash>, H::Error> {
    bounded(new)?;
    if old > new {
        let expected = format!("at most the newer tree's, {new}");
        return Err(Error::new("size of the older tree", old, expected).into());
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut begin, mut end, mut proof) = (0, new, Vec::new());
    // Down to the subtree whose end is the old tree's end.
    while end != old {
        let middle = begin + left_part(end - begin);
        if old <= middle {
            proof.push(range(middle, end, hashes)?);
            end = middle;
        } else {
            proof.push(range(begin, middle, hashes)?);
            begin = middle;
        }
    }
    // The checker has the old root; where that subtree is not the whole old tree, its hash is needed.
    if begin != 0 {
        proof.push(range(begin, end, hashes)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hash over the leaves from `begin` up to `end`, where `begin` is a multiple of the next power of two.
fn range<H: Hashes>(begin: u64, end: u64, hashes: &H) -> Result<Hash, H::Error> {
    let mut whole = Vec::new();
    let mut begin = begin;
    while begin < end {
        let level = (end - begin).ilog2();
        whole.push(hashes.read(stored_index(level, begin >> level))?);
        begin += 1 << level;
    }
    let joined = whole.into_iter().rev();
    let joined = joined.reduce(|right, left| node_hash(&left, &right));
    Ok(joined.unwrap_or_else(empty_root))
}

/// Leaves in the left half of a tree of `size` > 1 leaves: the largest power of two below it.
fn left_part(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

fn bounded(size: u64) -> Result<(), Error> {
    if size < MAX_SIZE {
        return Ok(());
    }
    Err(Error::new(
        "size of a tree",
        size,
        format!("less than {MAX_SIZE}"),
    ))
}
