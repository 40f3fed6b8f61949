//! The tree and its proofs against another implementation, and against what must hold of any tree.

use super::{Numbers, Stored, line, lines};
use crate::*;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use sha2::Sha256;

type Other = MemoryBackedTree<Sha256, Vec<u8>>;

fn joined(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

fn split(bytes: &[u8]) -> Vec<Hash> {
    let hashes = bytes.chunks(32).map(|one| Hash(one.try_into().unwrap()));
    hashes.collect()
}

/// Both make the same proof, and each accepts the other's.
fn same_inclusion(index: u64, stored: &Stored, other: &Other) {
    let ours = inclusion(index, stored.size, stored).unwrap();
    let theirs = other.prove_inclusion(usize::try_from(index).unwrap());
    assert_eq!(
        joined(&ours),
        theirs.as_bytes(),
        "{index} of {}",
        stored.size
    );
    let root = root(stored.size, stored).unwrap();
    let leaf = leaf_hash(&line(index));
    check_inclusion(&leaf, index, stored.size, &split(theirs.as_bytes()), &root).unwrap();
    let proof = InclusionProof::from_bytes(joined(&ours));
    let head: RootHash<Sha256> = RootHash::new(root.0.into(), stored.size);
    head.verify_inclusion(&line(index), index, &proof).unwrap();
}

fn same_consistency(old: u64, stored: &Stored, other: &Other, roots: &[Hash]) {
    let new = stored.size;
    let ours = consistency(old, new, stored).unwrap();
    let (was, is) = (&roots[old as usize], &roots[new as usize]);
    check_consistency(old, was, new, is, &ours).unwrap();
    if old == 0 {
        // The other one has no proof from the empty tree.
        return assert!(ours.is_empty());
    }
    let theirs = other.prove_consistency(usize::try_from(new - old).unwrap());
    assert_eq!(joined(&ours), theirs.as_bytes(), "{old} to {new}");
    let proof = ConsistencyProof::try_from_bytes(joined(&ours)).unwrap();
    let was: RootHash<Sha256> = RootHash::new(was.0.into(), old);
    let is = RootHash::new(is.0.into(), new);
    is.verify_consistency(&was, &proof).unwrap();
}

#[test]
fn every_root_and_proof_up_to_300_leaves_and_a_share_of_them_up_to_600() {
    let (mut stored, mut other) = (Stored::default(), Other::new());
    let mut roots = vec![root(0, &stored).unwrap()];
    assert_eq!(roots[0].0, <[u8; 32]>::from(*other.root().as_bytes()));
    for size in 1..=600_u64 {
        stored.push(&line(size - 1));
        other.push(line(size - 1));
        assert_eq!(stored.hashes.len() as u64, stored_count(size));
        roots.push(root(size, &stored).unwrap());
        let theirs: [u8; 32] = (*other.root().as_bytes()).into();
        assert_eq!(roots[size as usize].0, theirs, "root of {size}");
        // A prime, so that over the sizes every number comes up.
        let step = if size <= 300 { 1 } else { 7 };
        for number in (size % step..size).step_by(step as usize) {
            same_inclusion(number, &stored, &other);
            same_consistency(number, &stored, &other, &roots);
        }
        same_consistency(size, &stored, &other, &roots);
    }
}

#[test]
fn random_sizes_up_to_5000() {
    let mut numbers = Numbers(5000);
    let stored = Stored::of(lines(5000));
    let roots: Vec<Hash> = (0..=5000)
        .map(|size| root(size, &stored).unwrap())
        .collect();
    let mut sizes: Vec<u64> = (0..40).map(|_| 1 + numbers.next() % 5000).collect();
    sizes.extend([4095, 4096, 4097, 5000]);
    for size in sizes {
        let part = stored.hashes[..stored_count(size) as usize].to_vec();
        let part = Stored { hashes: part, size };
        let mut other = Other::new();
        lines(size).into_iter().for_each(|line| other.push(line));
        for _ in 0..20 {
            let number = numbers.next() % size;
            same_inclusion(number, &part, &other);
            same_consistency(number, &part, &other, &roots);
        }
    }
}

/// The leaves and roots that RFC 6962's own reference implementation is tested with.
#[test]
fn known_roots() {
    let leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    for (size, known) in roots.iter().enumerate() {
        let stored = Stored::of(leaves[..size].iter().map(|leaf| hex(leaf)));
        assert_eq!(
            root(stored.size, &stored).unwrap().0[..],
            hex(known),
            "{size}"
        );
    }
}

#[test]
fn records_stand_where_the_formula_says() {
    let mut made = Vec::new();
    let mut range = TreeRange::new(0);
    for number in 0..1000 {
        assert_eq!(stored_count(number), made.len() as u64);
        range.push(leaf_hash(&line(number)), &mut |index, hash| {
            assert_eq!(index, made.len() as u64);
            made.push(*hash);
        });
    }
    assert_eq!(made, Stored::of(lines(1000)).hashes);
}

proptest! {
    /// However a log is cut, its parts give every stored record once, and the root.
    #[test]
    fn parts_join(size in 0_u64..400, mut cuts in prop::collection::vec(0_u64..400, 0..6)) {
        cuts.retain(|cut| *cut <= size);
        cuts.extend([0, size]);
        cuts.sort_unstable();
        let stored = Stored::of(lines(size));
        let mut seen = vec![None; stored.hashes.len()];
        let mut made = |index: u64, hash: &Hash| {
            let before = seen[index as usize].replace(*hash);
            assert_eq!(before, None, "record {index} was made twice");
        };
        let mut whole = TreeRange::new(0);
        for pair in cuts.windows(2) {
            let mut part = TreeRange::new(pair[0]);
            (pair[0]..pair[1]).for_each(|number| part.push(leaf_hash(&line(number)), &mut made));
            whole.join(&part, &mut made).unwrap();
        }
        prop_assert_eq!(whole.end(), size);
        prop_assert_eq!(whole.root().unwrap(), root(size, &stored).unwrap());
        prop_assert_eq!(seen, stored.hashes.into_iter().map(Some).collect::<Vec<_>>());
    }

    /// Whatever a stranger hands in is answered, and no wrong proof passes.
    #[test]
    fn strange_proofs(
        index in any::<u64>(), old in any::<u64>(), size in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..130),
    ) {
        let leaf = leaf_hash(b"a");
        prop_assert!(check_inclusion(&leaf, index, size, &proof, &empty_root()).is_err());
        let checked = check_consistency(old, &leaf, size, &empty_root(), &proof);
        prop_assert!(checked.is_err());
    }
}

#[test]
fn what_is_not_in_the_tree_is_refused() {
    let stored = Stored::of(lines(7));
    assert!(inclusion(7, 7, &stored).is_err());
    assert!(consistency(8, 7, &stored).is_err());
    assert!(root(MAX_SIZE, &stored).is_err());
    assert!(completed_by(u64::MAX, leaf_hash(b""), &stored).is_err());
    assert!(TreeRange::new(3).root().is_err());
    assert!(
        TreeRange::new(0)
            .join(&TreeRange::new(1), &mut |_, _| {})
            .is_err()
    );
    let told = inclusion(9, 7, &stored).unwrap_err().to_string();
    assert_eq!(
        told,
        "leaf number: got 9, expected a number below the tree's size, 7"
    );
}
