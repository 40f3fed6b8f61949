//! The log's lines in a database: one order, no gap, and a copy on each machine that notices.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;

use baton_core::audit::{Action, Draft};
use baton_core::policy::Actor;
use baton_core::store::{Store, database};

use crate::place::{Place, databases, everywhere, sql};

mod all {
    use super::*;
    everywhere!(many_writers_make_one_chain);
}
mod databases_only {
    use super::*;
    databases!(
        lines_come_whole_and_in_order_or_not_at_all,
        tables_are_made_once_and_a_newer_version_is_refused,
        two_machines_write_one_chain,
        a_changed_line_is_seen_by_the_machine_that_has_it,
        a_shortened_log_is_seen_by_the_machine_that_has_it,
        a_copy_that_is_gone_or_torn_comes_back,
        whether_a_line_can_be_added_is_tried_and_none_is,
    );
}
pub(crate) fn append(store: &Store) {
    let draft = Draft::new(Actor::System, Action::EventRecorded, "audit-append").unwrap();
    store.log().unwrap().append(draft).unwrap();
}

fn many_writers_make_one_chain(place: &Place) {
    let store = place.store("one");
    thread::scope(|scope| {
        for _ in 0..8 {
            let root = store.root().to_owned();
            scope.spawn(move || {
                let own = Store::open(&root).unwrap();
                (0..25).for_each(|_| append(&own));
            });
        }
    });
    assert_eq!(store.log().unwrap().verify(|_, _| ()).unwrap().seq, 200);
}

fn lines_come_whole_and_in_order_or_not_at_all(place: &Place) {
    let store = place.store("one");
    let lines = database::connect(&place.address, store.root()).unwrap();
    assert_eq!(
        lines.add_lines(2, &[b"b"]).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        lines.add_lines(3, &[b"c", b"d"]).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    lines.add_lines(1, &[b"a"]).unwrap();
    assert_eq!(
        lines.add_lines(1, &[b"x"]).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    lines.add_lines(2, &[b"b", b"c"]).unwrap();
    // The first of two would fit.
    assert_eq!(
        lines.add_lines(3, &[b"x", b"y"]).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(lines.lines(0, 9).unwrap(), [b"a", b"b", b"c"]);
    assert_eq!(lines.lines(1, 1).unwrap(), [b"b"]);
    assert!(lines.lines(3, 9).unwrap().is_empty());
}

fn tables_are_made_once_and_a_newer_version_is_refused(place: &Place) {
    let root = place.root("one");
    let none = Store::open_at(&root, &place.address).map(drop).unwrap_err();
    assert_eq!(none.code, "QUEUE_MISSING", "{none:?}");
    std::fs::create_dir(root.join(".autodev_queue")).unwrap();
    let early = Store::open_at(&root, &place.address).map(drop).unwrap_err();
    assert_eq!(early.code, "STORE_MISSING", "{early:?}");
    let unmade = database::migrate(&place.address, &root, false).unwrap_err();
    assert_eq!(unmade.code, "STORE_MISSING");
    let file = place.address.strip_prefix("sqlite:").map(Path::new);
    assert!(!file.is_some_and(Path::exists), "nothing was made");
    assert_eq!(
        database::migrate(&place.address, &root, true).unwrap(),
        (0, 1)
    );
    assert_eq!(
        database::migrate(&place.address, &root, false).unwrap(),
        (1, 1)
    );
    drop(place.store("one"));
    let newer = match place.address.starts_with("sqlite:") {
        true => "PRAGMA user_version = 2",
        false => "UPDATE baton_version SET version = 2",
    };
    sql(place, newer);
    for code in [
        database::migrate(&place.address, &root, true)
            .map(drop)
            .unwrap_err()
            .code,
        // Another root: this process has the first one open already.
        Store::create(&place.root("two"))
            .map(drop)
            .unwrap_err()
            .code,
    ] {
        assert_eq!(code, "STORE_VERSION");
    }
}

fn seqs(store: &Store) -> u64 {
    store.log().unwrap().verify(|_, _| ()).unwrap().seq
}

fn two_machines_write_one_chain(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    thread::scope(|scope| {
        for store in [&one, &two] {
            let root = store.root().to_owned();
            scope.spawn(move || {
                let own = Store::open(&root).unwrap();
                (0..60).for_each(|_| append(&own));
            });
        }
    });
    assert_eq!((seqs(&one), seqs(&two)), (120, 120));
    let copy = |store: &Store| {
        std::fs::read(store.root().join(".autodev_queue/audit/events.ndjson")).unwrap()
    };
    assert_eq!(copy(&one), copy(&two));
    let mut backwards = 120;
    let log = one.log().unwrap();
    log.back(|seen| {
        assert_eq!(seen.seq(), backwards);
        backwards -= 1;
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(backwards, 0);
}

fn a_changed_line_is_seen_by_the_machine_that_has_it(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    append(&one);
    append(&one);
    assert_eq!(seqs(&two), 2);
    sql(
        place,
        "UPDATE baton_line SET bytes = (SELECT bytes FROM baton_line WHERE seq = 1) WHERE seq = 2",
    );
    for store in [&one, &two] {
        assert_eq!(
            store.log().unwrap().head().unwrap_err().code,
            "LOG_REWRITTEN"
        );
        let draft = Draft::new(Actor::System, Action::EventRecorded, "audit-append").unwrap();
        let refused = store.log().unwrap().append(draft).unwrap_err();
        assert_eq!(refused.code, "LOG_REWRITTEN");
    }
    let late = place.store("three");
    let broken = late.log().unwrap().head().unwrap_err();
    assert_eq!(broken.code, "LOG_BROKEN", "{broken:?}");
}

fn a_shortened_log_is_seen_by_the_machine_that_has_it(place: &Place) {
    let one = place.store("one");
    append(&one);
    append(&one);
    sql(place, "DELETE FROM baton_line WHERE seq = 2");
    assert_eq!(one.log().unwrap().head().unwrap_err().code, "LOG_REWRITTEN");
}

fn cut(root: &Path, keep: impl Fn(u64) -> u64) {
    let path = root.join(".autodev_queue/audit/events.ndjson");
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(keep(file.metadata().unwrap().len())).unwrap();
}

fn a_copy_that_is_gone_or_torn_comes_back(place: &Place) {
    let one = place.store("one");
    (0..5).for_each(|_| append(&one));
    let mut lines = 5;
    for keep in [|all: u64| all - 7, |all: u64| all / 2, |_: u64| 0] {
        cut(one.root(), keep);
        assert_eq!(seqs(&Store::open(one.root()).unwrap()), lines);
        cut(one.root(), keep);
        append(&Store::open(one.root()).unwrap());
        // No line says that a copy was mended: nothing was lost.
        lines += 1;
        assert_eq!(seqs(&one), lines);
    }
}

fn whether_a_line_can_be_added_is_tried_and_none_is(place: &Place) {
    let store = place.store("one");
    for lines in 0..2 {
        store.try_writing().unwrap();
        assert_eq!(store.log().unwrap().head().unwrap().seq, lines);
        append(&store);
    }
    sql(
        place,
        match place.address.starts_with("sqlite:") {
            true => {
                "CREATE TRIGGER full BEFORE INSERT ON baton_line BEGIN SELECT RAISE(ABORT, 'none'); END"
            }
            false => "ALTER TABLE baton_line ADD CONSTRAINT is_full CHECK (seq < 0) NOT VALID",
        },
    );
    let refused = store.try_writing().unwrap_err();
    assert_eq!(refused.code, "QUEUE_UNWRITABLE", "{refused}");
    assert!(refused.message.contains("written to the log"), "{refused}");
}
