//! Finding lines without reading all of them.

use super::*;
use crate::state::State;
use std::ops::ControlFlow;

fn submit(log: &Log, id: &str) {
    let draft = Draft::new(Actor::Human, Action::TaskSubmitted, "baton").unwrap();
    log.append(draft.task(id, None, Some(State::Inbox)))
        .unwrap();
}

fn say(log: &Log, id: &str, text: &str) {
    log.append(draft(text).task(id, None, None)).unwrap();
}

fn texts(log: &Log, id: &str) -> Vec<String> {
    let events = log.events_of(id).unwrap();
    let text = |event: &Event| match event.action {
        Action::TaskSubmitted => "submitted".to_owned(),
        _ => event.meta["text"].as_str().unwrap().to_owned(),
    };
    events.iter().map(|(event, _)| text(event)).collect()
}

#[test]
fn a_tasks_events_are_found_back_to_where_it_began() {
    for rules in [AuditRules::default(), every(7), small_segments(2500)] {
        let place = Place::new(rules);
        let log = &place.log;
        submit(log, "T-1");
        say(log, "T-1", "first life");
        submit(log, "T-2");
        for number in 0..20 {
            say(
                log,
                if number % 2 == 0 { "T-1" } else { "T-2" },
                &number.to_string(),
            );
        }
        submit(log, "T-1");
        say(log, "T-1", "again");
        assert_eq!(texts(log, "T-1"), ["submitted", "again"]);
        assert_eq!(texts(log, "T-2").len(), 11);
        assert_eq!(texts(log, "T-2")[..3], ["submitted", "1", "3"]);
        assert!(texts(log, "T-3").is_empty());
        let receipts = log.events_of("T-2").unwrap();
        assert!(
            receipts
                .iter()
                .all(|(event, receipt)| event.seq == receipt.seq)
        );
    }
}

#[test]
fn the_way_back_ends_where_it_is_told_and_reads_no_further() {
    let place = Place::new(AuditRules::default());
    for number in 0..50 {
        append(&place.log, &number.to_string());
    }
    // What lies before is not read, so not even this is seen; only the full check does.
    let mut lines = place.lines();
    lines[3] = "nonsense".to_owned();
    place.write_lines(&lines);
    let mut seen = Vec::new();
    let log = place.again();
    log.back(|line| {
        seen.push(line.seq());
        Ok(if seen.len() == 10 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
    .unwrap();
    assert_eq!(seen, (41..=50).rev().collect::<Vec<_>>());
    assert_eq!(refusal(log.events_of("T-1")), "LOG_BROKEN");
    assert_eq!(refusal(log.check(1)), "LOG_BROKEN");
    assert_eq!(refusal(log.line(4)), "LOG_BROKEN");
}

#[test]
fn lines_longer_than_any_block_are_found_too() {
    let place = Place::new(small_segments(200_000));
    for number in 0..40_u64 {
        let length = usize::try_from((number * 7919) % 60_000).unwrap();
        append(&place.log, &"x".repeat(length));
    }
    let log = place.again();
    for seq in 1..=40 {
        let (event, _) = log.line(seq).unwrap().unwrap();
        let length = usize::try_from(((seq - 1) * 7919) % 60_000).unwrap();
        assert_eq!(event.meta["text"].as_str().unwrap().len(), length);
    }
    assert_eq!(log.events_of("-").unwrap().len(), 40);
    assert_eq!(log.check(2).unwrap().head.seq, 40);
}
