//! Receipts: the specification's form, its one spelling, and what a check asks.

use proptest::prelude::*;

use super::{Stored, line, log_key, witness_key};
use crate::*;

fn receipt(index: u64, size: u64) -> Receipt {
    let stored = Stored::of(super::lines(size));
    let head = Checkpoint::new("baton/host/queue", size, root(size, &stored).unwrap());
    Receipt {
        extra: None,
        index,
        proof: inclusion(index, size, &stored).unwrap(),
        checkpoint: head.sign(&log_key()).unwrap(),
    }
}

#[test]
fn a_receipt_and_a_key_are_enough() {
    for (index, size) in [(0, 1), (0, 2), (6, 7), (7, 8), (40, 99)] {
        let mut made = receipt(index, size);
        let cosigned = witness_key().cosign(&made.checkpoint.text, 5).unwrap();
        made.checkpoint.add(cosigned).unwrap();
        let read: Receipt = made.to_string().parse().unwrap();
        assert_eq!(read, made);
        let key = log_key();
        let head = read.check(&line(index), key.verifying_key()).unwrap();
        assert_eq!(head.size, size);
        assert!(read.check(&line(index + 1), key.verifying_key()).is_err());
        assert!(
            read.check(&line(index), witness_key().verifying_key())
                .is_err()
        );
    }
}

#[test]
fn receipts_have_one_spelling() {
    let good = Receipt {
        extra: Some(b"x".to_vec()),
        ..receipt(2, 5)
    }
    .to_string();
    assert!(good.parse::<Receipt>().is_ok());
    let hash = good.lines().nth(3).unwrap().to_owned();
    for wrong in [
        good.replacen("@v1", "@v2", 1),
        good.replacen("index 2", "index 02", 1),
        good.replacen("index 2", "index  2", 1),
        good.replacen("index 2\n", "", 1),
        good.replacen("index 2\n", "index 2\nindex 2\n", 1),
        good.replacen("extra eA==", "extra eA", 1),
        good.replacen("extra eA==", "extra eB==", 1),
        good.replacen("extra eA==\n", "extra eA==\nextra eA==\n", 1),
        good.replacen(&hash, &[hash.as_str(); 62].join("\n"), 1),
        good.replacen(&hash, &hash[..40], 1),
        good.replacen("\n\n", "\n", 1),
        good.replacen("\n\n", "\n\n\n", 1),
        good.replace('\n', "\r\n"),
        format!("{good}\n"),
        format!(" {good}"),
        String::new(),
        format!(
            "c2sp.org/tlog-proof@v1\nextra {}\n",
            "A".repeat(2 * MAX_NOTE_BYTES)
        ),
    ] {
        assert!(wrong.parse::<Receipt>().is_err(), "{wrong:.300}");
    }
}

proptest! {
    #[test]
    fn any_receipt(
        extra in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        index: u64,
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..=MAX_PROOF),
    ) {
        let made = Receipt { extra, index, proof, ..receipt(0, 1) };
        prop_assert_eq!(made.to_string().parse::<Receipt>().unwrap(), made);
    }

    #[test]
    fn any_text(text in "(\\PC|\n|c2sp.org/tlog-proof@v1\n|extra |index |old |[0-9]\n|\u{2014} a AAAAAAA=\n|A{43}=\n){0,14}") {
        if let Ok(receipt) = text.parse::<Receipt>() {
            prop_assert_eq!(receipt.to_string(), text.clone());
        }
        if let Ok(request) = text.parse::<witness::AddCheckpoint>() {
            prop_assert_eq!(request.to_string(), text.clone());
        }
        for status in [200, 404, 409] {
            if let Ok(answer) = witness::Answer::parse(status, &text) {
                prop_assert!(answer.status() == status);
            }
        }
    }
}
