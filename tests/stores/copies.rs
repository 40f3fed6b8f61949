//! A queue on its way from one store to another.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use baton_core::accepted;
use baton_core::audit::{Action, Draft};
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::state::State;
use baton_core::store::{Store, database};
use serde_json::json;

use crate::place::{Place, databases, everywhere};
use crate::tasks::submit;

mod all {
    use super::*;
    everywhere!(
        a_copy_to_sqlite_is_whole,
        where_a_queue_is_nothing_is_copied,
        half_a_copy_is_no_queue,
        tables_alone_are_no_queue
    );
}
mod from_databases {
    use super::*;
    databases!(
        a_copy_to_folders_is_whole,
        what_is_copied_while_somebody_works_is_no_copy,
    );
}

/// A queue of three tasks, of which one is in hand, and a log.
fn filled(place: &Place) -> Store {
    let store = place.store("one");
    for id in ["T-9", "T-1", "T-5"] {
        let draft = Draft::new(Actor::Human, Action::TaskSubmitted, "baton").unwrap();
        store.log().unwrap().append(draft).unwrap();
        submit(
            &store,
            json!({"task_id": id, "idempotency_key": format!("key-of-{id}")}),
        );
    }
    accepted::note(&store, &"a".repeat(64)).unwrap();
    store.set_stop("moving").unwrap();
    store
}

fn check(store: &Store, copy: &Store) {
    let names = |store: &Store| {
        let (_, tasks) = store.scan(&State::ALL).unwrap();
        tasks
            .into_iter()
            .map(|task| task.task_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(copy), ["T-1", "T-5", "T-9"]);
    assert_eq!(names(copy), names(store));
    let counts = accepted::in_queue(copy).unwrap();
    assert_eq!(
        counts,
        Some("a".repeat(64)),
        "the accepted policy goes along"
    );
    let heads = [store, copy].map(|store| store.log().unwrap().verify(|_, _| ()).unwrap());
    assert_eq!(heads[0], heads[1]);
    // The chain goes on, and so does the order of age.
    let draft = Draft::new(Actor::Human, Action::EventRecorded, "baton").unwrap();
    let receipt = copy.log().unwrap().append(draft).unwrap();
    assert_eq!(receipt.seq, heads[0].seq + 1);
    let holder = baton_core::lease::Holder {
        name: "me",
        of_process: false,
    };
    let (long, now) = (
        std::time::Duration::from_secs(60),
        baton_core::clock::Moment::now(),
    );
    let claim = copy
        .lock_next(holder, long, now, Actor::System)
        .unwrap()
        .unwrap();
    assert_eq!(claim.task.id().as_str(), "T-9");
}

fn a_copy_to_sqlite_is_whole(place: &Place) {
    let store = filled(place);
    let copied = store
        .copy_to("sqlite:.autodev_queue/copy.db", || Ok(()))
        .unwrap();
    assert_eq!((copied.tasks, copied.lines), (3, 3));
    let copy = Store::open_at(store.root(), "sqlite:.autodev_queue/copy.db").unwrap();
    assert!(copy.is_stopped_everywhere().unwrap());
    check(&store, &copy);
}

fn a_copy_to_folders_is_whole(place: &Place) {
    let store = filled(place);
    store.copy_to("folder", || Ok(())).unwrap();
    let copy = Store::open_at(store.root(), "folder").unwrap();
    let before = store.log().unwrap().head().unwrap();
    assert_eq!(copy.log().unwrap().head().unwrap(), before);
    let (_, tasks) = copy.scan(&State::ALL).unwrap();
    assert_eq!(tasks.len(), 3);
    assert!(
        store
            .root()
            .join(".autodev_queue/inbox/T-9/task.json")
            .exists()
    );
}

/// Another machine writes a line all the while, or lifts STOP.
fn what_is_copied_while_somebody_works_is_no_copy(place: &Place) {
    let (store, other) = (filled(place), place.store("two"));
    for number in 100..200 {
        submit(&store, json!({"task_id": format!("T-{number}")}));
    }
    let address = |name: &str| format!("sqlite:.autodev_queue/{name}.db");
    let is_over = AtomicBool::new(false);
    let begun = Barrier::new(2);
    let copied = thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            while !is_over.load(Ordering::SeqCst) {
                let draft = Draft::new(Actor::Human, Action::EventRecorded, "baton").unwrap();
                other.log().unwrap().append(draft).unwrap();
            }
        });
        let record = || {
            begun.wait();
            Ok(())
        };
        let copied = store.copy_to(&address("written"), record);
        is_over.store(true, Ordering::SeqCst);
        copied
    });
    assert_eq!(copied.unwrap_err().code, "STORE_DIFFERS");
    let lifted = store.copy_to(&address("lifted"), || other.lift_stop().map(drop));
    assert_eq!(lifted.unwrap_err().code, "STORE_DIFFERS");
}

fn where_a_queue_is_nothing_is_copied(place: &Place) {
    let store = filled(place);
    store
        .copy_to("sqlite:.autodev_queue/copy.db", || Ok(()))
        .unwrap();
    let again = store
        .copy_to("sqlite:.autodev_queue/copy.db", || panic!("recorded"))
        .unwrap_err();
    assert_eq!(again.code, "STORE_NOT_EMPTY");
}

/// Whoever sets a checkout up is told so, and does not go on with the part that is there.
fn half_a_copy_is_no_queue(place: &Place) {
    let store = filled(place);
    let address = "sqlite:.autodev_queue/copy.db";
    let cut = || Err(Problem::fail("KILLED", "the copy was cut off"));
    assert_eq!(store.copy_to(address, cut).unwrap_err().code, "KILLED");
    let half = Store::open_at(store.root(), address).map(drop).unwrap_err();
    assert_eq!(half.code, "STORE_DIFFERS", "{half:?}");
    let manifest = store.root().join(".autodev_ssot/MANIFEST.json");
    std::fs::write(&manifest, json!({"store": address}).to_string()).unwrap();
    let half = Store::create(store.root()).map(drop).unwrap_err();
    assert_eq!(half.code, "STORE_DIFFERS", "{half:?}");
    // Nothing of the queue was there yet, so it can be copied once more.
    store.copy_to(address, || Ok(())).unwrap();
    Store::create(store.root()).map(drop).unwrap();
}

/// A copy that ended before it began: the checkout keeps the store that it has.
fn tables_alone_are_no_queue(place: &Place) {
    let store = filled(place);
    let address = "sqlite:.autodev_queue/copy.db";
    database::migrate(address, store.root(), true).unwrap();
    let manifest = store.root().join(".autodev_ssot/MANIFEST.json");
    let before = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, json!({"store": address}).to_string()).unwrap();
    let empty = Store::create(store.root()).map(drop).unwrap_err();
    assert_eq!(empty.code, "LOG_REWRITTEN", "{empty:?}");
    std::fs::write(&manifest, before).unwrap();
    Store::open(store.root()).map(drop).unwrap();
}
