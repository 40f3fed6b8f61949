//! Killed writers, full disks, disks that fail, and an index that is not what it should be.

use super::*;
use std::io::Write as _;

fn tear(place: &Place, bytes: &[u8]) {
    let mut file = File::options().append(true).open(place.events()).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_torn_last_line_is_kept_aside_cut_off_and_recorded() {
    let place = Place::new(AuditRules::default());
    append(&place.log, "a");
    tear(&place, b"{\"ts\":\"2026-");
    let problem = place.log.check(1).unwrap_err();
    assert_eq!(problem.code, "LOG_BROKEN");
    // Nobody need be afraid of what a crash leaves.
    assert!(problem.hints.len() == 1 && problem.hints[0].contains("sets it aside"));
    assert_eq!(place.again().quick_check().unwrap().seq, 1);
    assert_eq!(append(&place.again(), "b").seq, 3);
    let expected = [
        Action::EventRecorded,
        Action::LogRepaired,
        Action::EventRecorded,
    ];
    assert_eq!(actions(&place.log), expected);
    let torn = std::fs::read_dir(place.path("")).unwrap();
    let torn = torn.map(|entry| entry.unwrap().path());
    let kept: Vec<_> = torn
        .filter(|path| path.to_string_lossy().contains("torn-"))
        .collect();
    assert_eq!(std::fs::read(&kept[0]).unwrap(), b"{\"ts\":\"2026-");
    assert_eq!(place.again().check(1).unwrap().head.seq, 3);
}

#[test]
fn a_torn_end_may_be_the_first_line_or_long_or_full_of_zeros() {
    let whole_then_zeros = [&[0_u8; 5000][..], b"half a line\n", b"{\"ts\":"].concat();
    let long = vec![b'x'; 300_000];
    for (lines, torn) in [
        (0, &b"{"[..]),
        (0, &long),
        (2, &long),
        (2, &[0; 70_000]),
        (2, &whole_then_zeros),
    ] {
        let place = Place::new(AuditRules::default());
        for _ in 0..lines {
            append(&place.log, "a");
        }
        tear(&place, torn);
        assert_eq!(append(&place.again(), "b").seq, lines + 2);
        assert_eq!(place.again().check(1).unwrap().head.seq, lines + 2);
    }
}

#[test]
fn a_line_in_the_middle_is_never_cut_off() {
    let place = Place::new(AuditRules::default());
    append(&place.log, "a");
    append(&place.log, "b");
    tear(&place, b"no event at all\n");
    let before = std::fs::read(place.events()).unwrap();
    assert_eq!(refusal(place.again().append(draft("c"))), "LOG_BROKEN");
    assert_eq!(std::fs::read(place.events()).unwrap(), before);
}

#[test]
fn a_sync_that_failed_is_the_last_thing_that_a_process_does_to_a_log() {
    for rules in [AuditRules::default(), every(100)] {
        let place = Place::new(rules);
        append(&place.log, "a");
        DISK_FAILS.set(true);
        assert_eq!(refusal(place.log.append(draft("b"))), "LOG_SYNC_FAILED");
        DISK_FAILS.set(false);
        let size = std::fs::metadata(place.events()).unwrap().len();
        for log in [&place.log, &place.again()] {
            assert_eq!(refusal(log.append(draft("c"))), "LOG_SYNC_FAILED");
        }
        assert_eq!(std::fs::metadata(place.events()).unwrap().len(), size);
        // Another log, or another process, is not concerned.
        append(&Place::new(rules).log, "d");
        place.again().check(1).unwrap();
    }
}

#[test]
fn a_head_never_covers_a_line_that_is_not_on_the_disk() {
    let place = Place::new(AuditRules::default());
    append(&place.log, "a");
    DISK_FAILS.set(true);
    place.log.append(draft("b")).unwrap_err();
    DISK_FAILS.set(false);
    assert_eq!(place.again().checkpoint().unwrap().1.size, 1);
    // A power cut may take the line with it, though the index has its hash.
    let first = place.lines()[..1].to_vec();
    place.write_lines(&first);
    let later = copy(&place);
    assert_eq!(append(&later.log, "c").seq, 2);
    assert_eq!(later.again().check(1).unwrap().checkpoint.size, 2);
}

/// The same log somewhere else, as after a restart.
fn copy(place: &Place) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", place.dir.path().display()))
        .arg(dir.path())
        .status();
    assert!(status.unwrap().success());
    let log = open(dir.path(), place.log.rules());
    Place { dir, log }
}

#[test]
fn an_index_that_is_missing_short_or_long_is_mended_in_silence() {
    for what in ["missing", "short", "torn", "empty", "long"] {
        let place = Place::new(every(4));
        for _ in 0..11 {
            append(&place.log, "x");
        }
        place.log.seal_now().unwrap();
        let path = place.path("tree/hashes");
        let mut bytes = std::fs::read(&path).unwrap();
        match what {
            "missing" => std::fs::remove_file(&path).unwrap(),
            "short" => bytes.truncate(6 * 32),
            "torn" => bytes.truncate(bytes.len() - 7),
            "empty" => bytes.clear(),
            _ => bytes.extend([7; 640]),
        }
        if what != "missing" {
            std::fs::write(&path, &bytes).unwrap();
        }
        let log = place.again();
        assert_eq!(log.quick_check().unwrap().seq, 11, "{what}");
        assert_eq!(log.line(3).unwrap().unwrap().1.seq, 3, "{what}");
        if what == "long" {
            assert_eq!(refusal(log.check(1)), "INDEX_DIFFERS");
        } else {
            assert!(log.check(1).unwrap().not_indexed > 0, "{what}");
        }
        assert_eq!(append(&log, "y").seq, 12, "{what}");
        log.seal_now().unwrap();
        assert_eq!(place.again().check(1).unwrap().not_indexed, 0, "{what}");
    }
}

#[test]
fn an_index_that_is_wrong_is_made_anew_and_the_log_says_so() {
    // The last leaf, an inner node under the signed root, a leaf that is not signed yet.
    for (size, record, rules) in [
        (8, 11, every(8)),
        (8, 14, every(8)),
        (270, 500, every(1000)),
    ] {
        let place = Place::new(rules);
        for _ in 0..size {
            append(&place.log, "x");
        }
        let path = place.path("tree/hashes");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[record * 32] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let refused = place.again().check(1).unwrap_err();
        assert_eq!(refused.code, "INDEX_DIFFERS");
        let said = format!("record {record} of");
        assert!(refused.message.contains(&said), "{}", refused.message);
        place.again().quick_check().unwrap();
        let seq = append(&place.again(), "y").seq;
        assert_eq!(seq, size + 2, "record {record}");
        assert_eq!(
            actions(&place.log)[usize::try_from(size).unwrap()],
            Action::IndexRebuilt
        );
        place.again().check(1).unwrap();
    }
}

#[test]
fn what_cannot_be_indexed_is_not_written() {
    let place = Place::new(AuditRules::default());
    append(&place.log, "a");
    let before = std::fs::read(place.events()).unwrap();
    std::fs::remove_dir_all(place.path("tree")).unwrap();
    std::fs::write(place.path("tree"), b"in the way").unwrap();
    assert!(place.again().append(draft("b")).is_err());
    assert_eq!(std::fs::read(place.events()).unwrap(), before);
}

#[test]
fn writers_at_the_same_time_make_one_order() {
    for rules in [AuditRules::default(), every(10), small_segments(20_000)] {
        let place = Place::new(rules);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let log = place.again();
                scope.spawn(move || (0..25).for_each(|_| drop(append(&log, &writer.to_string()))));
            }
        });
        let checked = place.log.check(2).unwrap();
        assert_eq!(checked.head.seq, 100);
        // What waits for its hashes is not signed yet.
        assert!(checked.not_indexed <= 100 - checked.checkpoint.size);
        // Who finds another signing leaves it to the next line.
        assert!(checked.checkpoint.size >= 70, "{}", checked.checkpoint.size);
        place.log.seal_now().unwrap();
        assert_eq!(place.log.check(2).unwrap().not_indexed, 0);
    }
}

#[test]
fn readers_find_nothing_wrong_while_others_write() {
    let place = Place::new(small_segments(10_000));
    append(&place.log, "x");
    std::thread::scope(|scope| {
        let log = place.again();
        let writer = scope.spawn(move || (0..300).for_each(|_| drop(append(&log, "x"))));
        while !writer.is_finished() {
            let log = place.again();
            let seq = log.check(2).unwrap().head.seq;
            assert!(log.quick_check().unwrap().seq >= seq);
            assert_eq!(log.line(seq).unwrap().unwrap().1.seq, seq);
        }
    });
    assert_eq!(place.log.check(2).unwrap().head.seq, 301);
}

/// A log stays open from one line to the next, and others rotate, restore, rebuild and clean up meanwhile.
#[test]
fn what_others_put_in_a_files_place_is_what_is_written_to() {
    let place = Place::new(small_segments(2_000));
    append(&place.log, "first");
    let other = place.again();
    while place.segments().is_empty() {
        append(&other, "of another writer");
    }
    let is_last = |receipt: Receipt| assert_eq!(place.again().head().unwrap().seq, receipt.seq);
    is_last(append(&place.log, "after a rotation"));
    for name in ["events.ndjson", "tree/hashes"] {
        let path = place.path(name);
        let copy = path.with_extension("copy");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::rename(&copy, &path).unwrap();
        is_last(append(&place.log, "after a copy took its place"));
    }
    std::fs::remove_file(place.path(".lock")).unwrap();
    let before = other.head().unwrap().seq;
    std::thread::scope(|scope| {
        for log in [&place.log, &other] {
            scope.spawn(|| (0..20).for_each(|_| drop(append(log, "without the old lock"))));
        }
    });
    let checked = place.again().check(1).unwrap();
    assert_eq!(checked.head.seq, before + 40);
    assert!(!actions(&other).contains(&Action::IndexRebuilt));
}

/// One lock for all threads of a process, and for those who do not wait for it.
#[test]
fn threads_of_one_process_write_one_chain() {
    let place = Place::new(every(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| drop(append(&place.log, "by a thread"))));
        }
    });
    assert_eq!(place.again().check(1).unwrap().head.seq, 100);
}
