//! The Merkle tree of RFC 6962, and the checks of its two kinds of proof as RFC 9162 writes them.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::lines;
use crate::sha256::{Block, InTurn, block_count, both, lay_out};
use crate::stored::stored_index;

/// Leaves that a tree may have: below 2^62, so that no position in it overflows a `u64`.
pub const MAX_SIZE: u64 = 1 << 62;

/// Hashes that a proof may have: C2SP's limit, and one for each level that a tree can have.
pub const MAX_PROOF: usize = 63;

/// A SHA-256 hash of a leaf or a node. Its text form is base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl FromStr for Hash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = lines::base64("hash", text)?;
        let bytes = bytes.try_into();
        let bytes = bytes.map_err(|_| Error::new("hash", text, "32 bytes in base64"))?;
        Ok(Self(bytes))
    }
}

/// What stands before the bytes of a leaf, and before the children of a node (RFC 6962, 2.1).
const LEAF: u8 = 0x00;
const NODE: u8 = 0x01;
/// So many nodes are laid out before the first one is hashed: what was just written is slow to be read.
const LAID_OUT: usize = 8;

/// The hash of a line, which is given without its newline.
pub fn leaf_hash(line: &[u8]) -> Hash {
    let digest = Sha256::new().chain_update([LEAF]).chain_update(line);
    Hash(digest.finalize().into())
}

/// Room for the two hashes of a line, which are the next line's link and the tree's leaf; for one line
/// after the other. Both together take less time than one after the other.
#[derive(Default)]
pub struct LineHashes {
    link: Vec<Block>,
    leaf: Vec<Block>,
}

impl LineHashes {
    /// Begins with a line, which is given without its newline.
    pub fn of(&mut self, line: &[u8]) -> Hashing<'_> {
        self.link.resize(block_count(line.len()), [0; 64]);
        lay_out(&mut self.link, &[], line);
        self.leaf.resize(block_count(line.len() + 1), [0; 64]);
        lay_out(&mut self.leaf, &[LEAF], line);
        Hashing(InTurn::new(&self.link, &self.leaf))
    }
}

/// A line that is being hashed. Each round of a hash waits for the one before, which leaves most of a
/// processor idle: whoever has more to do with the line does it in pieces, with a step between any two.
pub struct Hashing<'l>(InTurn<'l>);

impl Hashing<'_> {
    /// Makes a step, if one is left.
    #[inline]
    pub fn step(&mut self) {
        self.0.step();
    }

    /// The line's SHA-256, and its hash as a leaf.
    pub fn hashes(self) -> ([u8; 32], Hash) {
        let [link, leaf] = self.0.hashes();
        (link, Hash(leaf))
    }
}

/// The hashes of nodes whose children stand in a row.
fn node_hashes(children: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let (pairs, _) = children.as_chunks::<2>();
    let mut nodes = Vec::with_capacity(pairs.len() + 1);
    let mut blocks = [[[0; 64]; 2]; LAID_OUT];
    for pairs in pairs.chunks(LAID_OUT) {
        for (blocks, pair) in blocks.iter_mut().zip(pairs) {
            lay_out(blocks, &[NODE], pair.as_flattened());
        }
        let (twos, _) = blocks.as_chunks();
        let hashed = twos.iter().take(pairs.len().div_ceil(2));
        hashed.for_each(|[one, other]| nodes.extend(both(one, other)));
    }
    // The last one may have been hashed beside what is none.
    nodes.truncate(pairs.len());
    nodes
}

/// The hash of a node with two children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let digest = Sha256::new().chain_update([NODE]);
    let digest = digest.chain_update(left.0).chain_update(right.0);
    Hash(digest.finalize().into())
}

/// The root of a tree without leaves.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The leaves from `begin` up to `end` as the fewest whole subtrees: at most 124 hashes, whatever its length.
///
/// This is how a root is computed from lines alone, without an index, and how several threads share
/// that work: each takes a part, and the parts are joined in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRange {
    begin: u64,
    end: u64,
    /// Whole subtrees from left to right, each with its level.
    subtrees: Vec<(u32, Hash)>,
}

impl TreeRange {
    /// An empty part of a tree, before leaf number `begin`.
    pub fn new(begin: u64) -> Self {
        Self {
            begin,
            end: begin,
            subtrees: Vec::new(),
        }
    }

    /// The number of the leaf after the last.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds the next leaf. `made` is told each hash that this completes, the leaf's first, with its
    /// place in the stored order.
    pub fn push(&mut self, leaf: Hash, made: &mut impl FnMut(u64, &Hash)) {
        made(stored_index(0, self.end), &leaf);
        self.append(0, leaf, made);
    }

    /// Adds the next leaves, in less time than one by one. `made` is told each hash that this completes,
    /// with its place in the stored order: the leaves', then level by level.
    pub fn extend(&mut self, leaves: &[Hash], made: &mut impl FnMut(u64, &Hash)) {
        let mut row: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf.0).collect();
        let (mut level, mut first, mut waiting) = (0, self.end, Vec::new());
        self.end += leaves.len() as u64;
        while !row.is_empty() {
            for (number, hash) in (first..).zip(&row) {
                made(stored_index(level, number), &Hash(*hash));
            }
            if first % 2 == 1 {
                // A right child meets its left sibling, or waits for a part that has it.
                match self.subtrees.pop_if(|(above, _)| *above == level) {
                    Some((_, left)) => {
                        row.insert(0, left.0);
                        first -= 1;
                    }
                    None => {
                        self.subtrees.push((level, Hash(row.remove(0))));
                        first += 1;
                    }
                }
            }
            if row.len() % 2 == 1 {
                waiting.extend(row.pop().map(|left| (level, Hash(left))));
            }
            row = node_hashes(&row);
            (level, first) = (level + 1, first / 2);
        }
        self.subtrees.extend(waiting.into_iter().rev());
    }

    /// Adds the part that follows this one. `made` is told what only both together complete.
    ///
    /// # Errors
    /// If `next` does not begin where this part ends.
    pub fn join(&mut self, next: &Self, made: &mut impl FnMut(u64, &Hash)) -> Result<(), Error> {
        if next.begin != self.end {
            let what = "first leaf of the next part";
            return Err(Error::new(what, next.begin, self.end));
        }
        for (level, hash) in &next.subtrees {
            self.append(*level, *hash, made);
        }
        Ok(())
    }

    fn append(&mut self, level: u32, hash: Hash, made: &mut impl FnMut(u64, &Hash)) {
        let (mut level, mut hash) = (level, hash);
        self.end += 1 << level;
        // A right child meets its left sibling: the two become their parent.
        while self.end.trailing_zeros() > level
            && let Some(&(above, left)) = self.subtrees.last()
            && above == level
        {
            self.subtrees.pop();
            hash = node_hash(&left, &hash);
            level += 1;
            made(stored_index(level, (self.end >> level) - 1), &hash);
        }
        self.subtrees.push((level, hash));
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// If the part does not begin with the first leaf.
    pub fn root(&self) -> Result<Hash, Error> {
        if self.begin != 0 {
            return Err(Error::new("first leaf of a tree", self.begin, 0));
        }
        let joined = self.subtrees.iter().rev().map(|(_, hash)| *hash);
        let joined = joined.reduce(|right, left| node_hash(&left, &right));
        Ok(joined.unwrap_or_else(empty_root))
    }
}

/// Checks that the tree of `size` leaves under `root` has `leaf` as its leaf number `index`.
///
/// # Errors
/// If the proof does not show it.
pub fn check_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    if index >= size {
        let expected = format!("a number below the tree's size, {size}");
        return Err(Error::new("leaf number", index, expected));
    }
    // `node` is where the path stands on its level, `last` is the level's last node.
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(length(proof, "fewer"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A level's last node without a sibling goes up unhashed; `node` is never 0 here.
            let up = node.trailing_zeros();
            (node, last) = (node >> up, last >> up);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(length(proof, "more"));
    }
    same("root that the inclusion proof leads to", &hash, root)
}

/// Checks that the tree of `new` leaves under `new_root` begins with the tree of `old` leaves under `old_root`.
///
/// # Errors
/// If the proof does not show it.
pub fn check_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), Error> {
    if old > new {
        let expected = format!("at most the newer tree's, {new}");
        return Err(Error::new("size of the older tree", old, expected));
    }
    if old == 0 {
        same("root of the tree without leaves", old_root, &empty_root())?;
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(length(proof, "no"));
        }
        return if old == new {
            same("root of the tree of the same size", new_root, old_root)
        } else {
            Ok(())
        };
    }
    let (was, is) = both_roots(old, old_root, new, proof)?;
    same(
        "older root that the consistency proof leads to",
        &was,
        old_root,
    )?;
    same(
        "newer root that the consistency proof leads to",
        &is,
        new_root,
    )
}

/// What the proof makes the two roots, for 0 < old < new.
fn both_roots(old: u64, old_root: &Hash, new: u64, proof: &[Hash]) -> Result<(Hash, Hash), Error> {
    // An old tree that is one whole subtree is the path's first node, and the proof leaves it out.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or_else(|| length(proof, "more"))?
    };
    let up = old.trailing_zeros();
    let (mut node, mut last) = ((old - 1) >> up, (new - 1) >> up);
    let (mut was, mut is) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(length(proof, "fewer"));
        }
        if node & 1 == 1 || node == last {
            was = node_hash(sibling, &was);
            is = node_hash(sibling, &is);
            // A level's last node without a sibling goes up unhashed; `node` is never 0 here.
            let up = node.trailing_zeros();
            (node, last) = (node >> up, last >> up);
        } else {
            is = node_hash(&is, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(length(proof, "more"));
    }
    Ok((was, is))
}

fn length(proof: &[Hash], expected: &str) -> Error {
    let got = format!("{} hashes", proof.len());
    Error::new("length of the proof", got, format!("{expected} hashes"))
}

fn same(what: &str, got: &Hash, expected: &Hash) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::new(what, got, expected))
}
