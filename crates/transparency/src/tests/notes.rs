//! Notes and checkpoints against another implementation, the specifications' own examples, and damage.

use proptest::prelude::*;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

use super::{log_key, witness_key};
use crate::*;

fn checkpoint() -> Checkpoint {
    Checkpoint::new("baton/host/queue", 42, leaf_hash(b"root"))
}

#[test]
fn theirs_opens_ours() {
    let key = log_key();
    let note = checkpoint().sign(&key).unwrap();
    let theirs = Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let verifier = StandardVerifier::new(&key.verifying_key().to_string()).unwrap();
    let (verified, unknown) = theirs
        .verify(&VerifierList::new(vec![Box::new(verifier)]))
        .unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    assert_eq!(theirs.text(), checkpoint().to_text().as_bytes());
}

#[test]
fn ours_opens_theirs() {
    let key = log_key();
    let signer = StandardSigner::new(&key.to_secret_text()).unwrap();
    let mut theirs = Note::new(checkpoint().to_text().as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    let note = String::from_utf8(theirs.to_bytes()).unwrap();
    let note: SignedNote = note.parse().unwrap();
    assert_eq!(
        Checkpoint::open(&note, key.verifying_key()).unwrap(),
        checkpoint()
    );
    // Ed25519 has one signature for one text.
    assert_eq!(note, checkpoint().sign(&key).unwrap());
}

#[test]
fn the_specification_s_example() {
    let key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let note = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let known: VerifyingKey = key.parse().unwrap();
    assert_eq!(known.to_string(), key);
    let parsed: SignedNote = note.parse().unwrap();
    assert_eq!(parsed.to_string(), note);
    assert_eq!(
        parsed.verified_by(std::slice::from_ref(&known)).unwrap(),
        [&known]
    );
}

#[test]
fn the_specification_s_checkpoint_with_a_line_of_an_unknown_kind() {
    let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let parsed: SignedNote = note.parse().unwrap();
    assert_eq!(parsed.to_string(), note);
    let head = Checkpoint::parse(&parsed.text).unwrap();
    assert_eq!(
        (head.origin.as_str(), head.size),
        ("example.com/behind-the-sofa", 20_852_163)
    );
    assert_eq!(head.to_text(), parsed.text);
    assert!(
        parsed
            .verified_by(&[log_key().verifying_key().clone()])
            .is_err()
    );
}

/// What a log and a witness of the public network made, with the witness's published key.
#[test]
fn a_checkpoint_that_a_public_witness_signed() {
    let key =
        "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G";
    let origin = "coachandhorses2026h1.staging.certificate.transparency.goog";
    let note = format!(
        "{origin}\n185550722\nYXAM0VmnrfvLaBCOOYSJhCaE5F10oGBOo+hkbDa1kng=\n\n\
        \u{2014} {origin} MpXgsHy8ZwxXnO+WjtVrPxAzL49Rs1gWTkNVNeEa//5peAzaocRCB3qt3EaibjzY5GILLtGgBP7dBhgcSHy+JQh0OAc=\n\
        \u{2014} witness.navigli.sunlight.geomys.org o+AP4gAAAABqb7DzNrGFRJnQ9vrJ8xpnwZytnr/ZYczDIsvwvouiSjwOjn7a72ccxBk+lKnZ7dKqkYKER1s/KxLTaVwQD7lJZTC/CQ==\n"
    );
    let key: VerifyingKey = key.parse().unwrap();
    let parsed: SignedNote = note.parse().unwrap();
    assert_eq!(key.kind(), KeyKind::Cosigner);
    assert_eq!(
        parsed.verified_by(std::slice::from_ref(&key)).unwrap(),
        [&key]
    );
    let time = key
        .cosigned_at(&parsed.text, &parsed.signatures[1])
        .unwrap();
    assert_eq!(time, 0x6a6f_b0f3);
    let changed: SignedNote = note.replace("185550722", "185550723").parse().unwrap();
    assert!(changed.verified_by(std::slice::from_ref(&key)).is_err());
}

#[test]
fn unknown_lines_are_kept_and_known_ones_must_hold() {
    let (log, witness) = (log_key(), witness_key());
    let mut note = checkpoint().sign(&log).unwrap();
    let line = witness.cosign(&note.text, 1_800_000_000).unwrap();
    note.add(line.clone()).unwrap();
    note.add(line.clone()).unwrap();
    assert_eq!(note.signatures.len(), 2);
    let keys = [log.verifying_key().clone(), witness.verifying_key().clone()];
    assert_eq!(note.verified_by(&keys).unwrap(), [&keys[0], &keys[1]]);
    assert_eq!(note.verified_by(&keys[1..]).unwrap(), [&keys[1]]);
    assert_eq!(
        keys[1].cosigned_at(&note.text, &line).unwrap(),
        1_800_000_000
    );
    assert!(
        keys[0]
            .cosigned_at(&note.text, &note.signatures[0])
            .is_err()
    );
    // A good line beside it does not make up for a bad one by a known key.
    let other = Checkpoint::new("baton/host/queue", 43, leaf_hash(b"x"))
        .sign(&log)
        .unwrap();
    note.signatures.push(other.signatures[0].clone());
    assert!(note.verified_by(&keys[..1]).is_err());
    assert!(note.verified_by(&keys[1..]).is_ok());
    assert!(note.verified_by(&[]).is_err());
}

#[test]
fn keys_have_one_spelling_and_their_own_purpose() {
    let (log, witness) = (log_key(), witness_key());
    for key in [&log, &witness] {
        let secret = key.to_secret_text();
        let again = SigningKey::parse(&secret).unwrap();
        assert_eq!(again.verifying_key(), key.verifying_key());
        assert!(!format!("{key:?}").contains(secret.rsplit('+').next().unwrap()));
        let cut = SigningKey::parse(&secret[..secret.len() - 4])
            .unwrap_err()
            .to_string();
        assert!(!cut.contains(key.verifying_key().name()), "{cut}");
        let public = key.verifying_key().to_string();
        for wrong in [
            public.replacen('+', "++", 1),
            public.to_uppercase(),
            format!("{public}\n"),
            format!(" {public}"),
            public.replacen("queue", "other", 1).replacen("w1", "w2", 1),
            public.trim_end_matches('=').to_owned() + "A",
            String::new(),
        ] {
            assert!(wrong.parse::<VerifyingKey>().is_err(), "{wrong}");
        }
    }
    let text = checkpoint().to_text();
    assert!(SignedNote::sign(&text, &witness).is_err());
    assert!(log.cosign(&text, 1).is_err());
    assert!(witness.cosign(&text, 0).is_err());
    assert!(witness.cosign(&text, 1 << 63).is_err());
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
        assert!(
            SigningKey::from_seed(&[1; 32], name, KeyKind::Log).is_err(),
            "{name:?}"
        );
    }
    // The neutral point verifies anything for whoever does not look.
    let mut weak = [0_u8; 33];
    (weak[0], weak[1]) = (1, 1);
    let digest = <sha2::Sha256 as sha2::Digest>::digest([&b"a\n"[..], &weak].concat());
    let id = data_encoding::HEXLOWER.encode(&digest[..4]);
    let weak = format!("a+{id}+{}", data_encoding::BASE64.encode(&weak));
    assert!(
        weak.parse::<VerifyingKey>()
            .unwrap_err()
            .to_string()
            .contains("point of Ed25519")
    );
}

#[test]
fn a_checkpoint_is_of_its_own_log_only() {
    let other = SigningKey::from_seed(&[8; 32], "another/log", KeyKind::Log).unwrap();
    assert!(checkpoint().sign(&other).is_err());
    let note = SignedNote::sign(&checkpoint().to_text(), &other).unwrap();
    assert!(Checkpoint::open(&note, other.verifying_key()).is_err());
    let mut two = checkpoint();
    two.origin = "baton/host/queue\n9".to_owned();
    assert!(two.sign(&log_key()).is_err());
    two = checkpoint();
    two.extensions = vec!["a".to_owned(), String::new()];
    assert!(two.sign(&log_key()).is_err());
    two.extensions = vec!["a".to_owned()];
    let note = two.sign(&log_key()).unwrap();
    assert_eq!(
        Checkpoint::open(&note, log_key().verifying_key()).unwrap(),
        two
    );
}

#[test]
fn checkpoints_have_one_spelling() {
    let root = leaf_hash(b"root").to_string();
    let good = format!("o\n1\n{root}\n");
    assert!(Checkpoint::parse(&good).is_ok());
    let looser = root.replace('=', "");
    for wrong in [
        String::new(),
        "o\n".to_owned(),
        "o\n1\n".to_owned(),
        format!("\n1\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n 1\n{root}\n"),
        format!("o\n1 \n{root}\n"),
        format!("o\n1\r\n{root}\n"),
        format!("o\n\u{661}\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n{MAX_SIZE}\n{root}\n"),
        format!("o\n1\n{looser}\n"),
        format!("o\n1\n{root}"),
        format!("o\n1\n{root}\n\n"),
        format!("o\n1\n{root}\nmore"),
        format!("o\n1\n{root}{root}\n"),
        "o\n1\nAAAA\n".to_owned(),
    ] {
        assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn notes_have_one_spelling_and_limits() {
    let note = checkpoint().sign(&log_key()).unwrap().to_string();
    assert!(note.parse::<SignedNote>().is_ok());
    let line = note.lines().last().unwrap().to_owned();
    let with = |lines: usize| format!("{}{}", note, format!("{line}\n").repeat(lines));
    assert!(with(MAX_SIGNATURES - 1).parse::<SignedNote>().is_ok());
    for wrong in [
        String::new(),
        "\n".to_owned(),
        "\n\n".to_owned(),
        "\n\n\n".to_owned(),
        "text\n".to_owned(),
        "text\n\n".to_owned(),
        note.trim_end().to_owned(),
        format!("{note}\n"),
        format!("{note} "),
        note.replace('\u{2014}', "-"),
        note.replace("\u{2014} ", "\u{2014}  "),
        note.replace("\u{2014} ", "\u{2014}\u{a0}"),
        note.replace('\n', "\r\n"),
        note.replace("host", "ho\tst"),
        format!("{}=\n", note.trim_end()),
        "text\n\n\u{2014} a AAAA\n".to_owned(),
        "text\n\n\u{2014} a AAAAAA==\n".to_owned(),
        "text\n\n\u{2014} a+b AAAAAAA=\n".to_owned(),
        "text\n\n\u{2014}  AAAAAAA=\n".to_owned(),
        "text\n\n\u{2014} a AAAAAAB=\n".to_owned(),
        with(MAX_SIGNATURES),
        format!("{}{note}", "a\n".repeat(MAX_NOTE_BYTES / 2)),
    ] {
        assert!(wrong.parse::<SignedNote>().is_err(), "{:.200}", wrong);
    }
    let long = format!("{}\n", "a".repeat(MAX_NOTE_BYTES - 10));
    assert!(SignedNote::sign(&long, &log_key()).is_err());
}

proptest! {
    /// What anybody sends is answered; what is taken is written back byte for byte.
    #[test]
    fn any_text(text in "(\\PC|\n|\u{2014} a AAAAAAA=\n|\n\n|[0-9]\n){0,12}") {
        if let Ok(note) = text.parse::<SignedNote>() {
            prop_assert_eq!(note.to_string(), text.clone());
        }
        if let Ok(head) = Checkpoint::parse(&text) {
            prop_assert_eq!(head.to_text(), text.clone());
        }
        if let Ok(key) = text.parse::<VerifyingKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn any_checkpoint(origin in "[^\\s\\pC+]{1,20}", size in 0..MAX_SIZE, root: [u8; 32], seed: [u8; 32]) {
        let key = SigningKey::from_seed(&seed, &origin, KeyKind::Log).unwrap();
        let head = Checkpoint::new(&origin, size, Hash(root));
        let note: SignedNote = head.sign(&key).unwrap().to_string().parse().unwrap();
        prop_assert_eq!(Checkpoint::open(&note, key.verifying_key()).unwrap(), head);
        let vkey: VerifyingKey = key.verifying_key().to_string().parse().unwrap();
        prop_assert_eq!(&vkey, key.verifying_key());
    }
}
