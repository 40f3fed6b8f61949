//! Whose turn it is, however many wait.

use std::time::Duration;

use baton_core::clock::Moment;
use baton_core::lease::Holder;
use baton_core::policy::Actor;
use baton_core::state::State;
use baton_core::store::Store;
use serde_json::{Value, json};

use crate::place::{Place, everywhere};
use crate::tasks::submit;

everywhere!(
    urgent_comes_first_then_due_then_old,
    what_comes_back_waits_its_turn_again,
    an_index_that_is_gone_or_wrong_is_made_again,
    a_thousand_in_many_buckets_come_in_order,
    an_id_is_taken_in_any_case_also_by_tasks_from_before_the_index,
);

fn next(store: &Store) -> Option<String> {
    let holder = Holder {
        name: "me",
        of_process: false,
    };
    let long = Duration::from_secs(600);
    let claim = store
        .lock_next(holder, long, Moment::now(), Actor::System)
        .unwrap()
        .ok()?;
    let mut task = claim.task;
    store
        .transition(&mut task, State::Claimed, Some(claim.lease.fence), false)
        .unwrap();
    Some(task.id().to_string())
}

fn all(store: &Store) -> Vec<String> {
    std::iter::from_fn(|| next(store)).collect()
}

fn with(store: &Store, id: &str, fields: Value) {
    let mut task = fields;
    task["task_id"] = id.into();
    submit(store, task);
}

fn urgent_comes_first_then_due_then_old(place: &Place) {
    let store = place.store("one");
    with(&store, "old", json!({}));
    with(
        &store,
        "due-later",
        json!({"due_at": "2031-05-01T00:00:00Z"}),
    );
    with(
        &store,
        "due-soon",
        json!({"due_at": "2031-04-30T23:00:00+02:00"}),
    );
    with(&store, "young", json!({}));
    with(&store, "urgent", json!({"priority": "P0"}));
    with(&store, "middle", json!({"priority": "P1"}));
    with(
        &store,
        "urgent-due",
        json!({"priority": "P0", "due_at": "2040-01-01T00:00:00Z"}),
    );
    let expected = [
        "urgent-due",
        "urgent",
        "middle",
        "due-soon",
        "due-later",
        "old",
        "young",
    ];
    assert_eq!(all(&store), expected);
    assert!(!store.has_next(Moment::now()).unwrap());
}

fn what_comes_back_waits_its_turn_again(place: &Place) {
    let store = place.store("one");
    (1..4).for_each(|number| with(&store, &format!("T-{number}"), json!({})));
    assert_eq!(next(&store).unwrap(), "T-1");
    let id = baton_core::task::TaskId::parse("T-1").unwrap();
    let mut task = store.task(&id).unwrap();
    let fence = task.lease().unwrap().map(|lease| lease.fence);
    store
        .transition(&mut task, State::Inbox, fence, true)
        .unwrap();
    let mut rest = all(&store);
    rest.sort();
    assert_eq!(rest, ["T-1", "T-2", "T-3"]);
}

fn an_index_that_is_gone_or_wrong_is_made_again(place: &Place) {
    let store = place.store("one");
    (0..6).for_each(|number| with(&store, &format!("T-{number}"), json!({})));
    let top = store.directory();
    top.move_to("order", top, "order-was").unwrap();
    assert_eq!(next(&store).unwrap(), "T-0");
    let lane = top.sub("order").unwrap().sub("P2-later").unwrap();
    let bucket = lane.list().unwrap().remove(0).name;
    let bucket = lane.sub(&bucket).unwrap();
    bucket.write_new("00000000000000000001~gone", b"").unwrap();
    bucket.write_new("nonsense", b"").unwrap();
    bucket.write_new("00000000000000000002~..", b"").unwrap();
    let name = bucket
        .list()
        .unwrap()
        .into_iter()
        .find(|entry| entry.name.ends_with("~T-3"));
    bucket.remove(&name.unwrap().name).unwrap();
    // What no name stands for comes last, and comes.
    assert_eq!(all(&store), ["T-1", "T-2", "T-4", "T-5", "T-3"]);
}

fn a_thousand_in_many_buckets_come_in_order(place: &Place) {
    let store = place.store("one");
    let count = if place.is_folder() { 1100 } else { 600 };
    (0..count).for_each(|number| with(&store, &format!("T-{number:04}"), json!({})));
    let lane = store
        .directory()
        .sub("order")
        .unwrap()
        .sub("P2-later")
        .unwrap();
    assert_eq!(lane.list().unwrap().len(), usize::div_ceil(count, 512));
    for number in 0..count {
        assert_eq!(next(&store).unwrap(), format!("T-{number:04}"));
    }
    assert_eq!(next(&store), None);
    assert_eq!(
        lane.list().unwrap().len(),
        1,
        "empty buckets are taken away"
    );
}

fn an_id_is_taken_in_any_case_also_by_tasks_from_before_the_index(place: &Place) {
    let store = place.store("one");
    with(&store, "Task-A", json!({}));
    let keys = store.directory().sub("keys").unwrap();
    keys.move_to("ids", &keys, "ids-was").unwrap();
    let other = json!({"task_id": "tASK-a", "title": "t", "goal": "g",
        "scope": {"target_files": [], "allow_patch_on_files": ["src/**"], "deny_paths_glob": []}});
    let other = baton_core::task::Task::parse(other.to_string().as_bytes()).unwrap();
    let refused = || store.submit(&other, |_| panic!("recorded")).unwrap_err();
    assert_eq!(refused().code, "TASK_EXISTS");
    assert!(refused().message.contains("Task-A"));
}
