//! Two machines, each with its own checkout, over one database.

use std::thread;
use std::time::{Duration, Instant};

use baton_core::audit::{Action, Draft};
use baton_core::clock::Moment;
use baton_core::lease::{Holder, Lease};
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::state::State;
use baton_core::store::{Stop, Store};
use baton_core::task::TaskId;
use serde_json::json;

use crate::place::{Place, databases, silence, sql};
use crate::tasks::submit;

databases!(
    what_one_submits_the_other_takes,
    stop_on_one_halts_both_and_a_file_halts_one,
    a_stop_that_the_store_forgot_halts_who_saw_it_in_the_log,
    a_stop_that_another_machine_lifted_is_lifted,
    both_have_one_key,
    what_one_submits_wakes_the_other,
    a_machine_of_our_name_is_ours_only_where_no_other_can_be,
    a_checkout_that_nobody_set_up_connects_to_nothing,
);

fn what_one_submits_the_other_takes(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    submit(&one, json!({"task_id": "T-1"}));
    let holder = Holder {
        name: "two",
        of_process: false,
    };
    let long = Duration::from_secs(60);
    let claim = two
        .lock_next(holder, long, Moment::now(), Actor::System)
        .unwrap()
        .unwrap();
    let mut task = claim.task;
    let fence = Some(claim.lease.fence);
    two.transition(&mut task, State::Claimed, fence, false)
        .unwrap();
    let seen = one.task(task.id()).unwrap();
    assert_eq!(seen.state(), State::Claimed);
    assert_eq!(seen.lease().unwrap().unwrap().owner, "two");
    assert!(
        !one.root().join(".autodev_queue/inbox").exists(),
        "no second queue beside it"
    );
}

/// Machines that are made of one image have one name.
fn a_machine_of_our_name_is_ours_only_where_no_other_can_be(place: &Place) {
    let store = place.store("one");
    submit(&store, json!({"task_id": "T-1"}));
    let (now, long) = (Moment::now(), Duration::from_secs(60));
    let holder = Holder {
        name: "one",
        of_process: true,
    };
    let id = TaskId::parse("T-1").unwrap();
    let mut lease = store.lock(&id, holder, long, now).unwrap().unwrap().lease;
    let inbox = store.directory().sub("inbox").unwrap();
    let folder = inbox.sub("T-1").unwrap();
    let read_back = |lease: &Lease| {
        folder.replace(".lock", &lease.to_bytes()).unwrap();
        store.task(&id).unwrap().lease().unwrap().unwrap()
    };
    let is_shared = place.address.starts_with("postgres");
    // A copy of a machine's memory has its boot and its clock, and its processes are others.
    let mut copys = lease.clone();
    (copys.pid_start, copys.boot_until_ms) = (Some(1), Some(0));
    "copy".clone_into(&mut copys.host);
    let read = read_back(&copys);
    assert_eq!(read.is_claimant_gone(), !is_shared);
    assert_eq!(read.is_over(now), !is_shared);
    // A container may have a boot id of its own.
    "another".clone_into(&mut lease.boot_id);
    assert!(!read_back(&lease).is_over(now));
    "2000-01-01T00:00:00Z".clone_into(&mut lease.claimed_at);
    lease.boot_until_ms = lease.boot_until_ms.map(|ms| ms + 3_600_000);
    assert_eq!(read_back(&lease).is_over(now), !is_shared);
    let landing = store.lock_landing("one", long, now).unwrap().unwrap();
    drop(landing);
    store
        .directory()
        .replace("landing.lock", &lease.to_bytes())
        .unwrap();
    let taken = store.lock_landing("two", long, now).unwrap();
    assert_eq!(taken.is_err(), is_shared);
    let later = store.lock_landing("three", long, now + 2 * long).unwrap();
    assert!(later.is_ok(), "its time ends it everywhere");
}

/// A lost connection is said to be that, and the next call has a new one.
#[test]
#[ignore = "needs a server: make test-postgres"]
fn a_server_that_goes_away_is_no_broken_queue() {
    let place = Place::postgres();
    let store = place.store("one");
    submit(&store, json!({"task_id": "T-1"}));
    type Call = fn(&Store) -> Result<(), Problem>;
    let calls: [Call; 3] = [
        |store| store.scan(&State::ALL).map(drop),
        |store| store.has_next(Moment::now()).map(drop),
        |store| store.find(&TaskId::parse("T-1")?).map(drop),
    ];
    // Which of the two the driver sees first, the server's word or the end of the connection, is chance.
    for call in calls.iter().cycle().take(60) {
        sql(
            &place,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        let lost = call(&store).unwrap_err();
        assert_eq!(lost.code, "STORE_UNREACHABLE", "{lost}");
        call(&store).unwrap();
    }
}

fn stop_on_one_halts_both_and_a_file_halts_one(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    one.set_stop("why").unwrap();
    assert!(one.stop().is_present() && two.stop().is_present());
    assert!(two.lift_stop().unwrap());
    assert!(!one.stop().is_present());
    std::fs::write(two.root().join(".autodev_queue/STOP"), "").unwrap();
    assert!(two.stop().is_present() && !one.stop().is_present());
    assert!(two.lift_stop().unwrap());
    assert!(!two.stop().is_present());
}

/// An older state of the database takes its place: a replica, or a backup that was put back.
fn a_stop_that_the_store_forgot_halts_who_saw_it_in_the_log(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    submit(&one, json!({"task_id": "T-1"}));
    let count = one.log().unwrap().head().unwrap().seq;
    two.log().unwrap().head().unwrap();
    one.set_stop("why").unwrap();
    record(&one, Action::StopSet);
    two.lift_stop().unwrap();
    assert!(said(&one).contains("nobody lifted it"), "{}", said(&one));
    assert!(one.is_stopped_everywhere().unwrap());
    // With the line gone too, there is nothing to hold the copy of it against.
    let older = format!("DELETE FROM baton_line WHERE seq > {count}");
    sql(place, &older);
    assert!(said(&one).contains("no such line"), "{}", said(&one));
    let again = Store::open(one.root()).unwrap();
    assert!(again.stop().is_present(), "another process knows it too");
    assert_eq!(two.stop(), Stop::Absent, "who never saw it cannot know");
}

/// What another machine lifts is lifted here, and a log that tells of a STOP of old is not read again and again.
fn a_stop_that_another_machine_lifted_is_lifted(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    one.set_stop("why").unwrap();
    record(&one, Action::StopSet);
    let kept = one.root().join(".autodev_queue/audit/stopped");
    assert!(kept.exists());
    record(&two, Action::StopLifted);
    two.lift_stop().unwrap();
    assert_eq!(one.stop(), Stop::Absent);
    assert!(!kept.exists());
    // Who wrote the line was killed before it took the note away.
    std::fs::write(&kept, "").unwrap();
    assert_eq!(one.stop(), Stop::Absent);
    assert!(!kept.exists());
}

fn record(store: &Store, action: Action) {
    let draft = Draft::new(Actor::Human, action, "baton").unwrap();
    store.log().unwrap().append(draft).unwrap();
}

fn said(store: &Store) -> String {
    match store.stop() {
        Stop::Present(why) => why,
        Stop::Absent => "STOP is off".to_owned(),
    }
}

/// A server that takes the question and does not answer it.
#[test]
#[ignore = "needs a server: make test-postgres"]
fn a_server_that_is_silent_keeps_nobody_from_a_stop_that_lies_here() {
    let place = Place::postgres();
    let store = place.store("one");
    assert!(!store.stop().is_present());
    let silent = silence(&place);
    let began = Instant::now();
    thread::scope(|scope| {
        let seen = scope.spawn(|| store.stop());
        thread::sleep(Duration::from_millis(300));
        std::fs::write(store.root().join(".autodev_queue/STOP"), "").unwrap();
        assert!(seen.join().unwrap().is_present());
    });
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(silent);
}

/// Nobody waits for ever for a table that somebody else locked.
#[test]
#[ignore = "needs a server: make test-postgres"]
fn a_wait_for_a_lock_ends() {
    let place = Place::postgres();
    let store = place.store("one");
    let silent = silence(&place);
    let began = Instant::now();
    let waited = store.scan(&State::ALL).unwrap_err();
    assert_eq!(waited.code, "STORE_UNREACHABLE", "{waited}");
    assert!(began.elapsed() < Duration::from_secs(60));
    drop(silent);
    store.scan(&State::ALL).unwrap();
}

fn both_have_one_key(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    let key = |store: &Store| {
        std::fs::read(store.root().join(".autodev_queue/audit/signing.key")).unwrap()
    };
    assert_eq!(key(&one), key(&two));
    let root = place.root("three");
    std::fs::create_dir_all(root.join(".autodev_queue/audit")).unwrap();
    let elsewhere = Place::folder();
    let other = elsewhere.store("other");
    let path = root.join(".autodev_queue/audit/signing.key");
    std::fs::copy(other.root().join(".autodev_queue/audit/signing.key"), &path).unwrap();
    let refused = Store::create(&root).map(drop).unwrap_err();
    assert_eq!(refused.code, "LOG_KEY_FOREIGN");
}

fn what_one_submits_wakes_the_other(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    let waiter = two.waiter();
    // The first answer may be of what was there before.
    while waiter.wait(Duration::from_millis(30)) {}
    thread::scope(|scope| {
        // Each wait is short, so that a file made by hand is seen: it is the answer that counts.
        let woken = scope.spawn(|| (0..200).any(|_| waiter.wait(Duration::from_secs(60))));
        submit(&one, json!({"task_id": "T-1"}));
        assert!(woken.join().unwrap());
    });
    while waiter.wait(Duration::from_millis(30)) {}
    assert!(
        !waiter.wait(Duration::from_millis(30)),
        "nobody changed anything"
    );
    thread::scope(|scope| {
        let woken = scope.spawn(|| (0..200).any(|_| waiter.wait(Duration::from_secs(60))));
        one.set_stop("why").unwrap();
        assert!(woken.join().unwrap());
    });
}

/// A change may bring a manifest, and a folder of a queue, as it likes.
fn a_checkout_that_nobody_set_up_connects_to_nothing(place: &Place) {
    let one = place.store("one");
    submit(&one, json!({"task_id": "T-1"}));
    let root = place.root("ci");
    std::fs::create_dir_all(root.join(".autodev_queue/audit")).unwrap();
    let refused = Store::open(&root).map(drop).unwrap_err();
    assert_eq!(refused.code, "STORE_UNTRUSTED", "{refused:?}");
    // One that was set up follows no other address either.
    let manifest = json!({"store": "postgres://u@127.0.0.1:1/other"}).to_string();
    std::fs::write(one.root().join(".autodev_ssot/MANIFEST.json"), manifest).unwrap();
    let refused = Store::open(one.root()).map(drop).unwrap_err();
    assert_eq!(refused.code, "STORE_UNTRUSTED");
}
