//! Two messages hashed at a time against the hasher for one, and leaves added at a time against one by one.

use super::{Numbers, Stored, lines};
use crate::sha256::{Block, block_count, both, lay_out};
use crate::*;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

fn alone(before: &[u8], body: &[u8]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(before).chain_update(body);
    digest.finalize().into()
}

fn bytes(length: usize, numbers: &mut Numbers) -> Vec<u8> {
    (0..length).map(|_| numbers.next() as u8).collect()
}

fn laid_out(before: &[u8], body: &[u8]) -> Vec<Block> {
    // What stood in the blocks before must not matter.
    let mut blocks = vec![[0xa5; 64]; block_count(before.len() + body.len())];
    lay_out(&mut blocks, before, body);
    blocks
}

/// With and without something before it, beside another, after another and in pieces: what one hasher gives.
fn same(one: &[u8], other: &[u8]) {
    let plain = both(&laid_out(&[], one), &laid_out(&[], other));
    assert_eq!(plain, [alone(&[], one), alone(&[], other)]);
    let mixed = both(&laid_out(&[1], one), &laid_out(&[], other));
    assert_eq!(mixed, [alone(&[1], one), alone(&[], other)]);
    let mut hashes = LineHashes::default();
    for (steps, line) in [(0, other), (1, one), (3, other), (1000, one)] {
        let mut hashing = hashes.of(line);
        (0..steps).for_each(|_| hashing.step());
        let (link, leaf) = hashing.hashes();
        assert_eq!(link, alone(&[], line));
        assert_eq!((leaf, leaf.0), (leaf_hash(line), alone(&[0], line)));
    }
}

#[test]
fn every_length_up_to_300_beside_any_other() {
    let mut numbers = Numbers(300);
    for length in 0..=300 {
        let one = bytes(length, &mut numbers);
        for beside in [0, 1, 54, 55, 56, 63, 64, 65, length, numbers.below(301)] {
            same(&one, &bytes(beside, &mut numbers));
        }
    }
}

/// NIST's example messages.
#[test]
fn known_hashes() {
    let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let hex = |hash: &[u8]| data_encoding::HEXLOWER.encode(hash);
    let hashes = both(&laid_out(&[], b"abc"), &laid_out(&[], long));
    let known = [
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ];
    assert_eq!(hashes.map(|hash| hex(&hash)), known);
}

proptest! {
    #[test]
    fn random_messages(
        one in prop::collection::vec(any::<u8>(), 0..3000),
        other in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        same(&one, &other);
    }

    /// However many leaves come at a time, and wherever a part begins, it is the part that they make one
    /// by one, and every record is made once and the same.
    #[test]
    fn leaves_at_a_time(
        begin in 0_u64..70, mut cuts in prop::collection::vec(0_u64..400, 0..8), size in 0_u64..400,
    ) {
        let leaves: Vec<Hash> = lines(size).iter().map(|line| leaf_hash(line)).collect();
        let (mut single, mut batched) = (TreeRange::new(begin), TreeRange::new(begin));
        let (mut by_one, mut by_many) = (Vec::new(), Vec::new());
        cuts.retain(|cut| *cut <= size);
        cuts.extend([0, size]);
        cuts.sort_unstable();
        for cut in cuts.windows(2) {
            let some = &leaves[cut[0] as usize..cut[1] as usize];
            batched.extend(some, &mut |at, hash: &Hash| by_many.push((at, *hash)));
            for leaf in some {
                single.push(*leaf, &mut |at, hash: &Hash| by_one.push((at, *hash)));
            }
            prop_assert_eq!(&batched, &single);
        }
        by_many.sort_unstable();
        prop_assert_eq!(by_many, by_one);
    }
}

#[test]
fn a_tree_of_many_batches_is_the_stored_one() {
    let stored = Stored::of(lines(5000));
    let leaves: Vec<Hash> = lines(5000).iter().map(|line| leaf_hash(line)).collect();
    let mut seen = vec![None; stored.hashes.len()];
    let mut tree = TreeRange::new(0);
    for some in leaves.chunks(256) {
        tree.extend(some, &mut |at, hash: &Hash| {
            assert_eq!(seen[at as usize].replace(*hash), None);
        });
    }
    assert_eq!(tree.root().unwrap(), root(5000, &stored).unwrap());
    let stored: Vec<_> = stored.hashes.into_iter().map(Some).collect();
    assert_eq!(seen, stored);
}
