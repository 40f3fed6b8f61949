//! Hands that can write to the queue and have no key.

use super::*;
use std::os::unix::fs::PermissionsExt;

/// Numbers that are the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// The log's bytes with one thing changed.
fn edited(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let mut bytes = bytes.to_vec();
    let (at, other) = (dice.below(bytes.len()), dice.below(bytes.len()));
    let (line, second) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(12) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, u8::try_from(dice.below(256)).unwrap()),
        4 => bytes.truncate(at),
        5 => bytes.swap(at, other),
        6 => drop(bytes.drain(at.min(other)..at.max(other))),
        kind => {
            match kind {
                7 => drop(lines.remove(line)),
                8 => lines.insert(second, lines[line].clone()),
                9 => lines.swap(line, second),
                10 => lines.truncate(line),
                _ => {
                    lines[line] = changed(&lines[line], dice);
                    chain_again(&mut lines, line);
                }
            }
            bytes = lines.concat();
        }
    }
    bytes
}

/// The same line with another time.
fn changed(line: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut event = Event::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
    event.ts = format!("2026-01-01T00:00:{:02}Z", dice.below(60));
    let mut line = serde_json::to_vec(&event).unwrap();
    line.push(b'\n');
    line
}

/// Makes every link after a changed line right again.
fn chain_again(lines: &mut [Vec<u8>], from: usize) {
    for at in from + 1..lines.len() {
        let before = digest::sha256(lines[at - 1].strip_suffix(b"\n").unwrap());
        let mut event = Event::parse(lines[at].strip_suffix(b"\n").unwrap()).unwrap();
        event.prev_sha256 = before;
        lines[at] = serde_json::to_vec(&event).unwrap();
        lines[at].push(b'\n');
    }
}

fn filled(lines: usize, rules: AuditRules) -> Place {
    let place = Place::new(rules);
    for _ in 0..lines {
        append(&place.log, "some text");
    }
    place
}

#[test]
fn of_a_hundred_thousand_edits_none_is_missed() {
    const EDITS: usize = 100_000;
    const THREADS: u64 = 4;
    let tried: usize = std::thread::scope(|scope| {
        let work = (1..=THREADS).map(|seed| {
            scope.spawn(move || {
                let place = filled(6, AuditRules::default());
                let bytes = std::fs::read(place.events()).unwrap();
                place.log.check(1).unwrap();
                let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let mut tried = 0;
                while tried < EDITS / usize::try_from(THREADS).unwrap() {
                    let edit = edited(&bytes, &mut dice);
                    if edit == bytes {
                        continue;
                    }
                    std::fs::write(place.events(), &edit).unwrap();
                    let found = place.log.check(1);
                    assert!(
                        found.is_err(),
                        "missed: {:?}",
                        String::from_utf8_lossy(&edit)
                    );
                    tried += 1;
                }
                std::fs::write(place.events(), &bytes).unwrap();
                place.log.check(1).unwrap();
                tried
            })
        });
        let running: Vec<_> = work.collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(tried, EDITS);
}

#[test]
fn a_log_that_was_written_anew_from_a_line_on_is_found_and_not_signed() {
    for line in 0..9 {
        let place = filled(9, AuditRules::default());
        let bytes = std::fs::read(place.events()).unwrap();
        let mut lines: Vec<_> = bytes
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        lines[line] = changed(&lines[line], &mut Dice(7));
        chain_again(&mut lines, line);
        std::fs::write(place.events(), lines.concat()).unwrap();
        place.again().verify(|_, _| {}).unwrap();
        assert!(matches!(
            refusal(place.again().check(1)).as_str(),
            "INDEX_DIFFERS" | "LOG_REWRITTEN"
        ));
        assert_eq!(
            refusal(place.again().quick_check()),
            "LOG_REWRITTEN",
            "line {line}"
        );
        assert_eq!(
            refusal(place.again().append(draft("x"))),
            "LOG_REWRITTEN",
            "line {line}"
        );
        // Nor does an index that fits the new lines help.
        std::fs::remove_file(place.path("tree/hashes")).unwrap();
        for _ in 0..2 {
            assert_eq!(refusal(place.again().check(1)), "LOG_REWRITTEN");
            assert_eq!(refusal(place.again().quick_check()), "LOG_REWRITTEN");
            assert_eq!(refusal(place.again().append(draft("x"))), "LOG_REWRITTEN");
        }
        assert_eq!(std::fs::read(place.events()).unwrap(), lines.concat());
    }
}

#[test]
fn a_log_cut_off_below_its_head_is_found_by_everybody() {
    let place = filled(9, AuditRules::default());
    let lines = place.lines();
    for keep in 0..9 {
        let mut text = lines[..keep].join("\n");
        text.push_str(if keep == 0 { "" } else { "\n" });
        std::fs::write(place.events(), text).unwrap();
        let log = place.again();
        assert_eq!(refusal(log.append(draft("x"))), "LOG_REWRITTEN");
        assert_eq!(refusal(log.quick_check()), "LOG_REWRITTEN");
        assert_eq!(refusal(log.events_of("-")), "LOG_REWRITTEN");
        assert!(matches!(
            refusal(log.check(1)).as_str(),
            "LOG_REWRITTEN" | "INDEX_DIFFERS"
        ));
    }
    place.write_lines(&lines);
    place.again().check(1).unwrap();
}

#[test]
fn a_line_that_was_changed_in_place_speaks_to_nobody() {
    let place = filled(9, AuditRules::default());
    let lines = place.lines();
    for at in 0..9 {
        let mut forged = lines.clone();
        forged[at] = forged[at].replace("some text", "same text");
        place.write_lines(&forged);
        // Its hash in the index is no help: the signed tree has another one.
        let mut index = std::fs::read(place.path("tree/hashes")).unwrap();
        let kept = index.clone();
        let record = usize::try_from(baton_transparency::stored_index(0, at as u64)).unwrap();
        let leaf = baton_transparency::leaf_hash(forged[at].as_bytes());
        index[record * 32..record * 32 + 32].copy_from_slice(&leaf.0);
        std::fs::write(place.path("tree/hashes"), index).unwrap();
        let seq = at as u64 + 1;
        assert!(place.again().line(seq).is_err(), "line {seq}");
        assert!(place.again().events_of("-").is_err(), "line {seq}");
        assert!(place.again().check(1).is_err(), "line {seq}");
        std::fs::write(place.path("tree/hashes"), kept).unwrap();
    }
    place.write_lines(&lines);
    place.again().check(1).unwrap();
}

#[test]
fn a_checkpoint_that_is_missing_old_forged_or_of_another_key() {
    let place = filled(4, AuditRules::default());
    let old = std::fs::read(place.path("checkpoint")).unwrap();
    append(&place.log, "x");
    let good = std::fs::read(place.path("checkpoint")).unwrap();
    let other = filled(5, AuditRules::default());
    let foreign = std::fs::read(other.path("checkpoint")).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let forged = text.replacen("\n5\n", "\n4\n", 1).into_bytes();
    let cases: [(&str, Option<&[u8]>); 5] = [
        ("CHECKPOINT_MISSING", None),
        ("CHECKPOINT_INVALID", Some(&forged)),
        ("CHECKPOINT_INVALID", Some(&foreign)),
        ("CHECKPOINT_INVALID", Some(b"")),
        ("CHECKPOINT_INVALID", Some(&good[..good.len() - 3])),
    ];
    for (code, bytes) in cases {
        match bytes {
            Some(bytes) => std::fs::write(place.path("checkpoint"), bytes).unwrap(),
            None => std::fs::remove_file(place.path("checkpoint")).unwrap(),
        }
        assert_eq!(refusal(place.again().append(draft("y"))), code);
        assert_eq!(refusal(place.again().quick_check()), code);
        assert_eq!(refusal(place.again().check(1)), code);
    }
    assert_eq!(place.lines().len(), 5);
    // An older one is no lie: a power cut may bring it back. The log goes on from it.
    std::fs::write(place.path("checkpoint"), old).unwrap();
    assert_eq!(place.again().check(1).unwrap().checkpoint.size, 4);
    append(&place.again(), "y");
    assert_eq!(place.again().check(1).unwrap().checkpoint.size, 6);
}

/// Whose turn it is to sign is taken from a head unchecked, and nothing else is: soon it is somebody's turn.
#[test]
fn a_forged_head_keeps_nobody_from_signing_for_long() {
    const LINES: u64 = 4;
    for claimed in [1, 9, 13, 15, 16, 17, 400, u64::MAX] {
        let place = filled(8, every(LINES));
        let other = place.again();
        append(&other, "x");
        let text = std::fs::read_to_string(place.path("checkpoint")).unwrap();
        let forged = text.replacen("\n8\n", &format!("\n{claimed}\n"), 1);
        assert_ne!(forged, text);
        std::fs::write(place.path("checkpoint"), forged).unwrap();
        for log in [&place.log, &other] {
            let refused = (0..3 * LINES).find_map(|_| log.append(draft("y")).err());
            assert_eq!(refused.unwrap().code, "CHECKPOINT_INVALID", "{claimed}");
        }
    }
}

/// Who forges one head after the other is found out, too.
#[test]
fn heads_that_are_forged_all_the_time_keep_nobody_from_signing_for_long() {
    const LINES: u64 = 4;
    let place = filled(8, every(LINES));
    let text = std::fs::read_to_string(place.path("checkpoint")).unwrap();
    let refused = (9..9 + 10 * LINES).find_map(|size| {
        let forged = text.replacen("\n8\n", &format!("\n{size}\n"), 1);
        std::fs::write(place.path("checkpoint"), forged).unwrap();
        place.log.append(draft("y")).err()
    });
    assert_eq!(refused.unwrap().code, "CHECKPOINT_INVALID");
}

/// Each of many writers leaves it to the one whose turn it is.
#[test]
fn writers_by_turns_sign_as_often_as_one_alone() {
    let place = filled(4, every(4));
    let logs: Vec<Log> = (0..3).map(|_| place.again()).collect();
    for seq in 5..=60_u64 {
        append(&logs[usize::try_from(seq % 3).unwrap()], "x");
        let size = place.again().checkpoint().unwrap().1.size;
        assert_eq!(size, seq / 4 * 4);
    }
    assert_eq!(place.again().check(1).unwrap().head.seq, 60);
}

#[test]
fn a_head_beyond_the_log_of_another_time_is_refused() {
    let place = filled(3, AuditRules::default());
    let (lines, index) = (
        place.lines(),
        std::fs::read(place.path("tree/hashes")).unwrap(),
    );
    append(&place.log, "x");
    place.write_lines(&lines);
    std::fs::write(place.path("tree/hashes"), index).unwrap();
    let log = place.again();
    assert_eq!(refusal(log.check(1)), "LOG_REWRITTEN");
    let refused = log.append(draft("y")).unwrap_err();
    assert!(
        refused.message.contains("ends at line 3"),
        "{}",
        refused.message
    );
}

#[test]
fn heads_of_closed_segments_count_as_well() {
    let place = Place::new(small_segments(3000));
    for _ in 0..20 {
        append(&place.log, "x");
    }
    let heads = std::fs::read_dir(place.path("segments")).unwrap();
    let heads = heads.map(|entry| entry.unwrap().path());
    let mut heads: Vec<_> = heads
        .filter(|path| path.to_string_lossy().contains("checkpoint"))
        .collect();
    heads.sort();
    let (first, second) = (&heads[0], &heads[1]);
    let kept = std::fs::read(first).unwrap();
    std::fs::copy(second, first).unwrap();
    assert_eq!(refusal(place.again().check(1)), "LOG_REWRITTEN");
    std::fs::remove_file(first).unwrap();
    assert!(place.again().check(1).is_err());
    std::fs::write(first, kept).unwrap();
    place.again().check(1).unwrap();
    let segments = place.segments();
    let path = place.path(&format!("segments/{}", segments[1]));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(place.again().check(2).is_err());
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(place.again().check(2).is_err());
    std::fs::write(&path, bytes).unwrap();
    place.again().check(2).unwrap();
}

#[test]
fn a_key_that_others_can_read_or_that_is_not_the_committed_one_signs_nothing() {
    let place = filled(1, AuditRules::default());
    let key = place.path("signing.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for mode in [0o640, 0o604, 0o620, 0o610] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(refusal(place.again().append(draft("x"))), "LOG_KEY_EXPOSED");
    }
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    append(&place.again(), "x");

    let public = place.dir.path().join(".autodev_ssot").join(PUBLIC_KEYS);
    let kept = std::fs::read_to_string(&public).unwrap();
    let origin = kept.split('+').next().unwrap();
    let impostor = baton_transparency::SigningKey::from_seed(
        &[7; 32],
        origin,
        baton_transparency::KeyKind::Log,
    );
    let impostor = impostor.unwrap();
    let secret = std::fs::read(&key).unwrap();
    std::fs::write(&key, impostor.to_secret_text()).unwrap();
    assert_eq!(refusal(place.again().append(draft("y"))), "LOG_KEY_FOREIGN");
    assert_eq!(refusal(place.again().create()), "LOG_KEY_FOREIGN");
    std::fs::write(&key, secret).unwrap();
    for (text, code) in [("", "LOG_KEY_MISSING"), ("nonsense\n", "LOG_KEY_INVALID")] {
        std::fs::write(&public, text).unwrap();
        assert_eq!(refusal(place.again().append(draft("y"))), code);
        assert_eq!(refusal(place.again().check(1)), code);
    }
    std::fs::write(&public, &kept).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(refusal(place.again().append(draft("y"))), "LOG_KEY_MISSING");
    // Whoever has no key can still check.
    assert_eq!(place.again().check(1).unwrap().head.seq, 2);
}

#[test]
fn a_log_from_before_there_were_keys_gets_one_and_its_lines_are_signed_from_then_on() {
    let place = filled(5, AuditRules::default());
    for name in ["signing.key", "checkpoint", "tree/hashes"] {
        std::fs::remove_file(place.path(name)).unwrap();
    }
    let public = place.dir.path().join(".autodev_ssot").join(PUBLIC_KEYS);
    std::fs::remove_file(&public).unwrap();
    assert_eq!(refusal(place.again().append(draft("x"))), "LOG_KEY_MISSING");
    let before = std::fs::read(place.events()).unwrap();
    assert!(place.again().create().unwrap());
    assert!(!place.again().create().unwrap());
    assert_eq!(std::fs::read(place.events()).unwrap(), before);
    append(&place.again(), "y");
    assert_eq!(place.again().check(1).unwrap().checkpoint.size, 6);
    // Another copy of the repository has a queue of its own, and its key stands beside the first.
    let text = std::fs::read_to_string(&public).unwrap();
    for name in ["signing.key", "checkpoint", "tree/hashes", FILE] {
        std::fs::remove_file(place.path(name)).unwrap();
    }
    assert!(place.again().create().unwrap());
    let both = std::fs::read_to_string(&public).unwrap();
    assert!(both.starts_with(&text) && both.lines().count() == 2);
    append(&place.again(), "z");
    assert_eq!(place.again().check(1).unwrap().head.seq, 1);
}
