//! What a line is, how lines follow each other, and how files of lines follow each other.

use super::*;
use crate::envelope::{ArtifactKind, Finding};

#[test]
fn lines_are_numbered_and_linked_by_the_digest_of_their_bytes() {
    let place = Place::new(AuditRules::default());
    let first = append(&place.log, "a");
    let second = append(&place.log, "b");
    assert_eq!((first.seq, second.seq), (1, 2));
    let lines = place.lines();
    assert_eq!(first.sha256, digest::sha256(lines[0].as_bytes()));
    assert!(lines[1].contains(&format!("\"prev_sha256\":\"{}\"", first.sha256)));
    assert!(lines[0].contains(GENESIS));
    let checked = place.log.check(1).unwrap();
    assert_eq!(checked.head.sha256, second.sha256);
    assert_eq!((checked.checkpoint.size, checked.not_indexed), (2, 0));
    assert_eq!(checked.checkpoint.root, checked.root);
}

/// Its two halves are written apart.
#[test]
fn a_line_is_the_event_and_nothing_else() {
    for line in written_lines() {
        let event = Event::parse(line.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
}

#[test]
fn a_head_is_signed_with_every_line_or_with_every_so_many() {
    let place = Place::new(every(3));
    let signed = |after: &str| {
        append(&place.log, after);
        place.log.checkpoint().unwrap().1.size
    };
    assert_eq!(["a", "b", "c", "d"].map(signed), [0, 0, 3, 3]);
    assert_eq!(place.log.seal_now().unwrap().1.size, 4);
    assert_eq!(place.again().check(2).unwrap().checkpoint.size, 4);
}

#[test]
fn a_long_event_loses_findings_and_says_how_many() {
    let place = Place::new(AuditRules::default());
    let mut draft = Draft::new(Actor::Human, Action::RiskScanned, "diff-risk-scan").unwrap();
    draft.findings = (0..1000)
        .map(|_| Finding::new(Severity::Low, "X", "y".repeat(200)))
        .collect();
    let worst = Finding::new(Severity::Critical, "WORST", "kept");
    draft.findings.push(worst);
    place.log.append(draft).unwrap();
    let line = &place.lines()[0];
    assert!(line.len() < MAX_LINE && line.contains("WORST") && line.contains("findings_omitted"));
    let problem = place.log.append(super::draft(&"z".repeat(MAX_LINE)));
    assert_eq!(refusal(problem), "LOG_LINE_TOO_LONG");
    let longest = "z".repeat(MAX_LINE - place.lines()[0].len() / 64 - 2000);
    append(&place.log, &longest);
    place.again().check(1).unwrap();
}

#[test]
fn files_are_closed_by_size_and_chain_and_tree_go_on() {
    let place = Place::new(small_segments(4000));
    for number in 1..=40_u64 {
        assert_eq!(append(&place.log, "x").seq, number);
    }
    assert!(place.segments().len() >= 5, "{:?}", place.segments());
    for log in [&place.log, &place.again()] {
        let checked = log.check(2).unwrap();
        assert_eq!((checked.head.seq, checked.checkpoint.size), (40, 40));
        for seq in 1..=40 {
            let (event, receipt) = log.line(seq).unwrap().unwrap();
            assert_eq!((event.seq, receipt.seq), (seq, seq));
        }
        assert!(log.line(0).unwrap().is_none() && log.line(41).unwrap().is_none());
    }
    let root = place.log.check(1).unwrap().root;
    std::fs::remove_file(place.path("tree/hashes")).unwrap();
    append(&place.again(), "y");
    assert_eq!(actions(&place.log).len(), 41, "a missing index is no event");
    assert_ne!(place.log.check(1).unwrap().root, root);
}

#[test]
fn a_rotation_that_was_cut_off_anywhere_is_finished() {
    // After the link; after the fresh file; with the head of the segment and no link.
    for cut in 0..3 {
        let place = Place::new(small_segments(1 << 20));
        for _ in 0..5 {
            append(&place.log, "x");
        }
        place.log.set_rules(small_segments(1000));
        let segment = place.path("segments/events.0000000000000001.ndjson");
        match cut {
            0 => std::fs::hard_link(place.events(), &segment).unwrap(),
            1 => {
                std::fs::hard_link(place.events(), &segment).unwrap();
                std::fs::write(place.path(".tmp-events"), b"").unwrap();
            }
            _ => {
                let head = place.path("segments/checkpoint.0000000000000005");
                std::fs::copy(place.path("checkpoint"), head).unwrap();
            }
        }
        let log = place.again();
        assert_eq!(log.head().unwrap().seq, 5, "cut {cut}");
        assert_eq!(log.quick_check().unwrap().seq, 5, "cut {cut}");
        assert_eq!(log.check(1).unwrap().head.seq, 5, "cut {cut}");
        assert_eq!(log.line(5).unwrap().unwrap().1.seq, 5, "cut {cut}");
        assert_eq!(append(&log, "y").seq, 6);
        assert_eq!(place.segments().len(), 1, "cut {cut}");
        assert_eq!(place.lines().len(), 1, "cut {cut}");
        assert_eq!(place.again().check(1).unwrap().head.seq, 6);
    }
}

#[test]
fn another_segment_in_the_way_is_not_overwritten() {
    let place = Place::new(small_segments(1000));
    append(&place.log, "x");
    append(&place.log, "x");
    let planted = place.path("segments/events.0000000000000001.ndjson");
    if planted.exists() {
        std::fs::remove_file(&planted).unwrap();
    }
    std::fs::write(&planted, "planted\n").unwrap();
    assert!(place.again().append(draft("y")).is_err());
    assert_eq!(std::fs::read_to_string(&planted).unwrap(), "planted\n");
}

#[test]
fn a_fresh_rotation_leaves_an_empty_file_and_readers_do_not_mind() {
    let place = Place::new(small_segments(1 << 20));
    for _ in 0..3 {
        append(&place.log, "x");
    }
    let segment = place.path("segments/events.0000000000000001.ndjson");
    std::fs::rename(place.events(), segment).unwrap();
    let head = place.path("segments/checkpoint.0000000000000003");
    std::fs::copy(place.path("checkpoint"), head).unwrap();
    std::fs::write(place.events(), b"").unwrap();
    let log = place.again();
    assert_eq!(log.head().unwrap().seq, 3);
    assert_eq!(log.check(2).unwrap().head.seq, 3);
    assert_eq!(log.events_of("-").unwrap().len(), 3);
    assert_eq!(append(&log, "y").seq, 4);
    assert_eq!(place.again().check(2).unwrap().head.seq, 4);
}

/// The words that every reader takes out of a line.
fn said(line: &str, glance: &glance::Glance<'_>) -> String {
    format!(
        "{} {:?} {} {:?} {} {:?} {:?} {:?}",
        glance.seq,
        glance.event_id(),
        glance.task_id(),
        glance.prev_event_id(),
        glance.prev_sha256(),
        glance.action,
        glance.moves_to(),
        glance.head(line.as_bytes())
    )
}

/// Holds the shorter way to read a line against the reader for every JSON. Says whether the shorter took it.
fn held_against(line: &str, lengths: &mut written::Lengths) -> bool {
    let Some(short) = written::read(line, lengths, &mut || ()) else {
        return false;
    };
    let event = Event::parse(line.as_bytes());
    let event = event.unwrap_or_else(|problem| panic!("{}: {line}", problem.message));
    assert_eq!(said(line, &short), said(line, &event.into()));
    true
}

/// Lines of many kinds, as our writer writes them.
fn written_lines() -> Vec<String> {
    let place = Place::new(AuditRules::default());
    append(&place.log, "a \"text\" with escapes \u{e9}");
    let mut full = Draft::new(Actor::Human, Action::RiskScanned, "diff-risk-scan").unwrap();
    full = full.task("T-1", Some(State::Work), Some(State::Blocked));
    full.findings = vec![Finding::new(Severity::Low, "X", "y \"z\"")];
    full.artifacts = vec![Artifact::new(ArtifactKind::AuditLog, "a/b", "sha256=0")];
    let nested = serde_json::json!([1, -2.5, null, {"a": [true, "\u{ac00}"]}]);
    full = full.meta("nested", nested);
    full.repo_ref = "\u{ac00}-1".to_owned();
    place.log.append(full).unwrap();
    let plain = Draft::new(Actor::System, Action::StopSet, "x").unwrap();
    place.log.append(plain).unwrap();
    place.lines()
}

/// Lines of our writer are read by a shorter way, and any line the same by both, whatever line was before.
#[test]
fn both_readers_of_a_line_read_the_same() {
    let lines = written_lines();
    for (line, before) in lines
        .iter()
        .flat_map(|line| lines.iter().map(move |b| (line, b)))
    {
        let lengths = &mut written::Lengths::default();
        assert!(
            held_against(before, lengths) && held_against(line, lengths),
            "{line}"
        );
    }
    // Whatever one byte is changed to, put in or taken out: what the shorter way takes, the other takes.
    let bytes = [b"\"\\09 \x01-{[".as_slice(), "\u{e9}".as_bytes()].concat();
    let bytes: Vec<Option<u8>> = bytes.into_iter().map(Some).chain([None]).collect();
    let (mut taken, mut lengths) = (0, written::Lengths::default());
    for line in &lines {
        for at in 0..line.len() {
            for (byte, put_in) in bytes.iter().flat_map(|byte| [(byte, false), (byte, true)]) {
                let mut changed = line.clone().into_bytes();
                let end = if put_in { at } else { at + 1 };
                changed.splice(at..end, *byte);
                if let Ok(text) = String::from_utf8(changed) {
                    taken += u32::from(held_against(&text, &mut lengths));
                }
            }
        }
    }
    assert!(taken > 1000, "{taken}");
}

/// Several bytes changed at a time, and pieces of one line in another.
#[test]
fn both_readers_read_the_same_of_lines_that_were_mixed_up() {
    let lines = written_lines();
    let (mut dice, mut lengths) = (attacks::Dice(0x0005_DEEC_E66D), written::Lengths::default());
    let mut taken = 0;
    for _ in 0..200_000 {
        let mut bytes = lines[dice.below(lines.len())].clone().into_bytes();
        let from = lines[dice.below(lines.len())].as_bytes();
        for _ in 0..1 + dice.below(3) {
            let (at, end) = (dice.below(bytes.len()), dice.below(bytes.len()));
            let (at, end) = (at.min(end), at.max(end).min(at.min(end) + dice.below(40)));
            let begin = dice.below(from.len());
            let piece = &from[begin..from.len().min(begin + dice.below(40))];
            drop(bytes.splice(at..end, piece.iter().copied()));
            // Most of what was moved about is nothing; a field for the same field is a line again.
            if dice.below(2) == 0 {
                break;
            }
        }
        if let Ok(text) = String::from_utf8(bytes) {
            taken += u32::from(held_against(&text, &mut lengths));
        }
    }
    assert!(taken > 100, "{taken}");
}

/// What can be in `meta` and is not for every reader: numbers and texts that cannot be kept, and more levels
/// than are read.
#[test]
fn both_readers_read_the_same_of_strange_metas() {
    let lines = written_lines();
    let plain = lines.iter().find(|line| line.ends_with("{}}")).unwrap();
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let mut values: Vec<String> = (90..=130).map(nested).collect();
    let strange = [
        "1e999",
        "-1e999",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "1E400",
        "01",
        "{\"a\":1,\"a\":2}",
    ];
    values.extend(strange.map(str::to_owned));
    let mut taken = 0;
    for value in values {
        let line = plain.replace("\"meta\":{}", &format!("\"meta\":{{\"a\":{value}}}"));
        taken += u32::from(held_against(&line, &mut written::Lengths::default()));
        let read = glance::Glance::parse(line.as_bytes(), 3);
        assert_eq!(
            read.is_ok(),
            Event::parse(line.as_bytes()).is_ok(),
            "{line}"
        );
    }
    assert!((5..40).contains(&taken), "{taken}");
}
