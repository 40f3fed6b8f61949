//! A log that somebody edited, and proofs, checkpoints and receipts with damage: none may pass.

use super::{Numbers, Stored, line, log_key};
use crate::*;

/// One random edit of a log, or nothing where the log was too short for it.
fn edit(lines: &[Vec<u8>], numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let mut edited = lines.to_vec();
    let (one, other) = (numbers.below(lines.len()), numbers.below(lines.len()));
    match numbers.below(7) {
        0 => {
            let byte = numbers.below(edited[one].len());
            edited[one][byte] ^= 1 << numbers.below(8);
        }
        1 => edited.swap(one, other),
        2 => drop(edited.remove(one)),
        3 => edited.insert(other, lines[one].clone()),
        4 => edited.insert(one, line(numbers.next())),
        5 => edited.truncate(one),
        _ => {
            let byte = numbers.below(edited[one].len());
            edited[one].truncate(byte);
        }
    }
    edited
}

fn root_of(lines: &[Vec<u8>]) -> Hash {
    let mut range = TreeRange::new(0);
    lines
        .iter()
        .for_each(|line| range.push(leaf_hash(line), &mut |_, _| {}));
    range.root().unwrap()
}

#[test]
fn none_of_60_000_edits_of_a_log_keeps_its_root() {
    let mut numbers = Numbers(1);
    let mut made = 0;
    while made < 60_000 {
        let begin = numbers.next() % 1000;
        let count = 1 + numbers.next() % 20;
        let lines: Vec<Vec<u8>> = (begin..begin + count).map(line).collect();
        let kept = root_of(&lines);
        for _ in 0..20 {
            let edited = edit(&lines, &mut numbers);
            // A swap with itself changes nothing.
            if edited != lines {
                made += 1;
                assert_ne!(root_of(&edited), kept, "{edited:?}");
            }
        }
    }
}

/// One random edit of a proof.
fn damage(proof: &[Hash], numbers: &mut Numbers) -> Vec<Hash> {
    let mut damaged = proof.to_vec();
    let kind = if proof.is_empty() {
        0
    } else {
        numbers.below(5)
    };
    let (one, other) = if proof.is_empty() {
        (0, 0)
    } else {
        (numbers.below(proof.len()), numbers.below(proof.len()))
    };
    match kind {
        0 => damaged.insert(one, leaf_hash(&line(numbers.next()))),
        1 => drop(damaged.remove(one)),
        2 => damaged.insert(other, proof[one]),
        3 => damaged.swap(one, other),
        _ => damaged[one].0[numbers.below(32)] ^= 1 << numbers.below(8),
    }
    damaged
}

#[test]
fn none_of_20_000_damaged_proofs_passes() {
    let mut numbers = Numbers(2);
    let stored = Stored::of(super::lines(300));
    let mut made = 0;
    while made < 20_000 {
        let size = 1 + numbers.next() % 300;
        let index = numbers.next() % size;
        let head = root(size, &stored).unwrap();
        let proof = inclusion(index, size, &stored).unwrap();
        let damaged = damage(&proof, &mut numbers);
        let leaf = leaf_hash(&line(index));
        if damaged != proof {
            made += 1;
            assert!(check_inclusion(&leaf, index, size, &damaged, &head).is_err());
        }
        let elsewhere = numbers.next() % size;
        if elsewhere != index {
            made += 1;
            assert!(check_inclusion(&leaf, elsewhere, size, &proof, &head).is_err());
        }
        let old = numbers.next() % size;
        let was = root(old, &stored).unwrap();
        let proof = consistency(old, size, &stored).unwrap();
        let damaged = damage(&proof, &mut numbers);
        if damaged != proof {
            made += 1;
            assert!(check_consistency(old, &was, size, &head, &damaged).is_err());
        }
    }
}

/// One random edit of a text.
fn garble(text: &str, numbers: &mut Numbers) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let (one, other) = (numbers.below(bytes.len()), numbers.below(bytes.len()));
    match numbers.below(5) {
        0 => bytes[one] ^= 1 << numbers.below(8),
        1 => bytes.swap(one, other),
        2 => drop(bytes.remove(one)),
        3 => bytes.insert(other, bytes[one]),
        _ => bytes.truncate(one),
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|garbled| garbled != text)
}

#[test]
fn none_of_20_000_garbled_texts_passes() {
    let mut numbers = Numbers(3);
    let stored = Stored::of(super::lines(90));
    let key = log_key();
    let vkey = key.verifying_key();
    let kept = Checkpoint::new(vkey.name(), 50, root(50, &stored).unwrap());
    let head = Checkpoint::new(vkey.name(), 90, root(90, &stored).unwrap());
    let note = head.sign(&key).unwrap();
    let receipt = Receipt {
        extra: Some(line(33)),
        index: 33,
        proof: inclusion(33, 90, &stored).unwrap(),
        checkpoint: note.clone(),
    };
    let grown = witness::AddCheckpoint {
        old: 50,
        proof: consistency(50, 90, &stored).unwrap(),
        checkpoint: note.clone(),
    };
    let opened = |text: &str| {
        let note: SignedNote = text.parse()?;
        Checkpoint::open(&note, vkey)
    };
    let received = |text: &str| {
        let receipt: Receipt = text.parse()?;
        receipt.check(receipt.extra.as_deref().unwrap_or_default(), vkey)
    };
    let continued = |text: &str| {
        let grown: witness::AddCheckpoint = text.parse()?;
        grown.check(&kept, vkey)
    };
    type Read<'a> = &'a dyn Fn(&str) -> Result<Checkpoint, Error>;
    let texts: [(String, Read<'_>); 3] = [
        (note.to_string(), &opened),
        (receipt.to_string(), &received),
        (grown.to_string(), &continued),
    ];
    for (text, read) in &texts {
        assert_eq!(read(text).unwrap(), head);
        let mut made = 0;
        while made < 6_667 {
            if let Some(garbled) = garble(text, &mut numbers) {
                made += 1;
                assert!(read(&garbled).is_err(), "{garbled}");
            }
        }
    }
}
