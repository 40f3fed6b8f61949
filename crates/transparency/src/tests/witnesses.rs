//! The witness's rule, request by request, and what a log takes from its answers.

use std::collections::HashMap;
use std::convert::Infallible;

use super::{Stored, log_key, witness_key};
use crate::witness::*;
use crate::*;

const ORIGIN: &str = "baton/host/queue";

/// A witness's memory, and what another process does to it between reading and keeping.
#[derive(Default)]
struct Kept {
    latest: HashMap<String, Seen>,
    meanwhile: Option<Seen>,
}

impl Memory for Kept {
    type Error = Infallible;

    fn latest(&self, origin: &str) -> Result<Seen, Infallible> {
        Ok(self
            .latest
            .get(origin)
            .cloned()
            .unwrap_or_else(Seen::nothing))
    }

    fn swap(&mut self, origin: &str, from: &Seen, to: &SignedNote) -> Result<bool, Infallible> {
        if let Some(other) = self.meanwhile.take() {
            self.latest.insert(origin.to_owned(), other);
        }
        if self.latest(origin)? != *from {
            return Ok(false);
        }
        let Checkpoint { size, root, .. } = Checkpoint::parse(&to.text).unwrap();
        self.latest.insert(origin.to_owned(), Seen { size, root });
        Ok(true)
    }
}

fn head(stored: &Stored, size: u64) -> SignedNote {
    let root = root(size, stored).unwrap();
    Checkpoint::new(ORIGIN, size, root)
        .sign(&log_key())
        .unwrap()
}

fn request(stored: &Stored, old: u64, new: u64) -> AddCheckpoint {
    AddCheckpoint {
        old,
        proof: consistency(old, new, stored).unwrap(),
        checkpoint: head(stored, new),
    }
}

fn ask(memory: &mut Kept, request: &AddCheckpoint) -> Answer {
    let logs = [log_key().verifying_key().clone()];
    let answer = answer(
        &request.to_string(),
        &logs,
        &witness_key(),
        memory,
        1_700_000_000,
    );
    let answer = answer.unwrap();
    // What travels is the same answer, but for the newline at the end of a reason.
    assert_eq!(
        Answer::parse(answer.status(), &answer.body()).unwrap(),
        answer
    );
    answer
}

fn status(memory: &mut Kept, request: &AddCheckpoint) -> u16 {
    ask(memory, request).status()
}

#[test]
fn a_log_that_grows_is_signed_each_time() {
    let (stored, mut memory) = (Stored::of(super::lines(70)), Kept::default());
    for (old, new) in [
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 7),
        (7, 8),
        (8, 64),
        (64, 70),
        (70, 70),
    ] {
        let asked = request(&stored, old, new);
        let Answer::Cosigned(lines) = ask(&mut memory, &asked) else {
            panic!("{old} to {new} was refused");
        };
        let mut note = asked.checkpoint.clone();
        accept(&mut note, &lines, witness_key().verifying_key()).unwrap();
        let keys = [
            log_key().verifying_key().clone(),
            witness_key().verifying_key().clone(),
        ];
        assert_eq!(note.verified_by(&keys).unwrap().len(), 2);
        assert_eq!(memory.latest(ORIGIN).unwrap().size, new);
    }
}

#[test]
fn a_log_that_was_rewritten_or_cut_is_not_signed() {
    let (stored, mut memory) = (Stored::of(super::lines(20)), Kept::default());
    assert_eq!(status(&mut memory, &request(&stored, 0, 10)), 200);
    let mut lines = super::lines(20);
    lines[3] = b"another".to_vec();
    let other = Stored::of(&lines);
    let before = memory.latest(ORIGIN).unwrap();
    assert_eq!(status(&mut memory, &request(&other, 10, 20)), 422);
    assert_eq!(status(&mut memory, &request(&other, 10, 10)), 422);
    assert_eq!(
        ask(&mut memory, &request(&stored, 0, 9)),
        Answer::Conflict(10)
    );
    assert_eq!(
        ask(&mut memory, &request(&other, 0, 20)),
        Answer::Conflict(10)
    );
    assert_eq!(memory.latest(ORIGIN).unwrap(), before);
}

#[test]
fn each_refusal_has_its_own_number() {
    let (stored, mut memory) = (Stored::of(super::lines(20)), Kept::default());
    let good = request(&stored, 0, 10);
    let logs = [log_key().verifying_key().clone()];
    let asked = |body: &str, memory: &mut Kept| {
        answer(body, &logs, &witness_key(), memory, 1)
            .unwrap()
            .status()
    };
    assert_eq!(asked("", &mut memory), 400);
    assert_eq!(
        asked(
            &good.to_string().replacen("old 0", "old -1", 1),
            &mut memory
        ),
        400
    );
    let text = SignedNote::sign("no\ncheckpoint\n", &log_key()).unwrap();
    assert_eq!(
        status(
            &mut memory,
            &AddCheckpoint {
                checkpoint: text,
                ..good.clone()
            }
        ),
        400
    );
    assert_eq!(
        status(
            &mut memory,
            &AddCheckpoint {
                old: 11,
                ..good.clone()
            }
        ),
        400
    );
    let stranger = SigningKey::from_seed(&[3; 32], ORIGIN, KeyKind::Log).unwrap();
    let checkpoint = Checkpoint::parse(&good.checkpoint.text)
        .unwrap()
        .sign(&stranger)
        .unwrap();
    assert_eq!(
        status(
            &mut memory,
            &AddCheckpoint {
                checkpoint,
                ..good.clone()
            }
        ),
        403
    );
    let mut checkpoint = good.checkpoint.clone();
    checkpoint.text = head(&stored, 9).text;
    assert_eq!(
        status(
            &mut memory,
            &AddCheckpoint {
                checkpoint,
                ..good.clone()
            }
        ),
        403
    );
    let elsewhere = SigningKey::from_seed(&[3; 32], "another/log", KeyKind::Log).unwrap();
    let other = Checkpoint::new("another/log", 1, leaf_hash(b""));
    let checkpoint = other.sign(&elsewhere).unwrap();
    assert_eq!(
        status(
            &mut memory,
            &AddCheckpoint {
                checkpoint,
                ..good.clone()
            }
        ),
        404
    );
    let proof = vec![leaf_hash(b"")];
    assert_eq!(
        status(
            &mut memory,
            &AddCheckpoint {
                proof,
                ..good.clone()
            }
        ),
        422
    );
    let empty = Checkpoint::new(ORIGIN, 0, leaf_hash(b""))
        .sign(&log_key())
        .unwrap();
    assert_eq!(
        status(
            &mut memory,
            &AddCheckpoint {
                checkpoint: empty,
                ..good.clone()
            }
        ),
        422
    );
    assert_eq!(memory.latest(ORIGIN).unwrap(), Seen::nothing());
    // The tree without leaves may be signed, if its root is that tree's.
    assert_eq!(status(&mut memory, &request(&stored, 0, 0)), 200);
    assert_eq!(status(&mut memory, &good), 200);
}

#[test]
fn of_two_requests_at_once_one_is_signed() {
    let (stored, mut memory) = (Stored::of(super::lines(20)), Kept::default());
    assert_eq!(status(&mut memory, &request(&stored, 0, 5)), 200);
    let root = root(20, &stored).unwrap();
    memory.meanwhile = Some(Seen { size: 20, root });
    assert_eq!(
        ask(&mut memory, &request(&stored, 5, 10)),
        Answer::Conflict(20)
    );
    assert_eq!(memory.latest(ORIGIN).unwrap().size, 20);
}

#[test]
fn a_key_that_cannot_sign_moves_nothing() {
    let (stored, mut memory) = (Stored::of(super::lines(5)), Kept::default());
    let logs = [log_key().verifying_key().clone()];
    let body = request(&stored, 0, 5).to_string();
    let answered = answer(&body, &logs, &log_key(), &mut memory, 1).unwrap();
    assert_eq!(answered.status(), 500);
    assert_eq!(memory.latest(ORIGIN).unwrap(), Seen::nothing());
}

#[test]
fn only_the_known_witness_s_lines_are_taken() {
    let stored = Stored::of(super::lines(5));
    let mut note = head(&stored, 5);
    let bare = note.clone();
    let witness = witness_key();
    let key = witness.verifying_key();
    let stranger =
        SigningKey::from_seed(&[4; 32], "witness.example/w2", KeyKind::Cosigner).unwrap();
    let theirs = stranger.cosign(&note.text, 9).unwrap();
    assert!(accept(&mut note, std::slice::from_ref(&theirs), key).is_err());
    let elsewhere = witness.cosign(&head(&stored, 4).text, 9).unwrap();
    assert!(accept(&mut note, &[elsewhere], key).is_err());
    let by_log = note.signatures[0].clone();
    assert!(accept(&mut note, &[by_log], log_key().verifying_key()).is_err());
    assert_eq!(note, bare);
    for time in [9, 10] {
        let line = witness.cosign(&note.text, time).unwrap();
        accept(&mut note, &[theirs.clone(), line], key).unwrap();
        assert_eq!(note.signatures.len(), 2);
        assert_eq!(
            key.cosigned_at(&note.text, &note.signatures[1]).unwrap(),
            time
        );
    }
}

#[test]
fn what_is_kept_can_be_read_again() {
    struct Last(Option<SignedNote>);
    impl Memory for Last {
        type Error = Infallible;
        fn latest(&self, _: &str) -> Result<Seen, Infallible> {
            Ok(Seen::nothing())
        }
        fn swap(&mut self, _: &str, _: &Seen, to: &SignedNote) -> Result<bool, Infallible> {
            self.0 = Some(to.clone());
            Ok(true)
        }
    }
    let stored = Stored::of(super::lines(5));
    let mut asked = request(&stored, 0, 5);
    for seed in 0..99 {
        let key = SigningKey::from_seed(&[seed; 32], &format!("w{seed}"), KeyKind::Cosigner);
        let line = key.unwrap().cosign(&asked.checkpoint.text, 1).unwrap();
        asked.checkpoint.add(line).unwrap();
    }
    let (mut memory, logs) = (Last(None), [log_key().verifying_key().clone()]);
    let answered = answer(&asked.to_string(), &logs, &witness_key(), &mut memory, 1).unwrap();
    assert_eq!(answered.status(), 200);
    let kept: SignedNote = memory.0.unwrap().to_string().parse().unwrap();
    assert_eq!(kept.signatures.len(), 2);
}

/// The request that the specification shows is of our spelling too.
#[test]
fn the_specification_s_request() {
    let text = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n\
        example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
    let request: AddCheckpoint = text.parse().unwrap();
    assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
    assert_eq!(request.to_string(), text);
}
