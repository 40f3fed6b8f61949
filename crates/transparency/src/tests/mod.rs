//! What several tests of this crate need.

mod edits;
mod hashes;
mod notes;
mod outside;
mod receipts;
mod tree;
mod witnesses;

use crate::*;

/// Stored hashes in memory.
#[derive(Default, Clone)]
pub(super) struct Stored {
    pub(super) hashes: Vec<Hash>,
    pub(super) size: u64,
}

impl Stored {
    /// The tree over these lines.
    pub(super) fn of<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Self {
        let mut stored = Self::default();
        lines
            .into_iter()
            .for_each(|line| stored.push(line.as_ref()));
        stored
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        let made = completed_by(self.size, leaf_hash(line), self).unwrap();
        self.hashes.extend(made);
        self.size += 1;
    }
}

impl Hashes for Stored {
    type Error = Error;

    fn read(&self, index: u64) -> Result<Hash, Error> {
        Ok(self.hashes[usize::try_from(index).unwrap()])
    }
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

pub(super) fn line(number: u64) -> Vec<u8> {
    format!(
        "{{\"seq\":{number},\"note\":\"line {}\"}}",
        number.wrapping_mul(7919)
    )
    .into_bytes()
}

pub(super) fn lines(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(line).collect()
}

pub(super) fn log_key() -> SigningKey {
    SigningKey::from_seed(&[7; 32], "baton/host/queue", KeyKind::Log).unwrap()
}

pub(super) fn witness_key() -> SigningKey {
    SigningKey::from_seed(&[9; 32], "witness.example/w1", KeyKind::Cosigner).unwrap()
}
