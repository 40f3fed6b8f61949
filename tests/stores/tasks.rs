//! Tasks, claims, fences and the kill switch.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use baton_core::audit::{Action, Draft};
use baton_core::clock::Moment;
use baton_core::envelope::ArtifactKind;
use baton_core::lease::Holder;
use baton_core::policy::Actor;
use baton_core::state::State;
use baton_core::store::{Stop, Store, Submitted};
use baton_core::task::{Task, TaskId};
use serde_json::json;

use crate::place::{Place, everywhere};

everywhere!(
    a_task_goes_the_whole_way,
    many_claimers_take_each_task_once,
    one_id_in_any_case_is_one_task,
    one_key_is_one_task,
    a_late_owner_changes_nothing,
    stop_halts_and_is_lifted,
    what_is_held_waits,
);

const LONG: Duration = Duration::from_secs(600);

pub(crate) fn submit(store: &Store, fields: serde_json::Value) -> Submitted {
    let mut task = json!({"title": "t", "goal": "g",
        "scope": {"target_files": ["src/a"], "allow_patch_on_files": ["src/**"], "deny_paths_glob": []}});
    for (name, value) in fields.as_object().unwrap() {
        task[name] = value.clone();
    }
    let task = Task::parse(task.to_string().as_bytes()).unwrap();
    store.submit(&task, |_| Ok(())).unwrap()
}

fn holder(name: &str) -> Holder<'_> {
    Holder {
        name,
        of_process: false,
    }
}

fn recorded(store: &Store, action: Action) {
    let draft = Draft::new(Actor::System, action, "claim-lock").unwrap();
    store.log().unwrap().append(draft).unwrap();
}

/// Claims the next task as claim-lock does: lock, log, move.
fn claim(store: &Store, name: &str) -> Option<(TaskId, u64)> {
    let now = Moment::now();
    let claim = store
        .lock_next(holder(name), LONG, now, Actor::System)
        .unwrap()
        .ok()?;
    let mut task = claim.task;
    recorded(store, Action::TaskClaimed);
    let fence = claim.lease.fence;
    store
        .transition(&mut task, State::Claimed, Some(fence), false)
        .unwrap();
    Some((task.id().clone(), fence))
}

fn a_task_goes_the_whole_way(place: &Place) {
    let store = place.store("one");
    submit(&store, json!({"task_id": "T-1"}));
    let (id, fence) = claim(&store, "me").unwrap();
    let mut task = store.task(&id).unwrap();
    task.bind(Some(fence));
    task.write_new(ArtifactKind::Other, "evidence/a.log", b"x")
        .unwrap();
    for (state, unlock) in [
        (State::Work, false),
        (State::Pr, true),
        (State::Done, false),
    ] {
        let fence = task.lease().unwrap().map(|lease| lease.fence);
        store.transition(&mut task, state, fence, unlock).unwrap();
        task.bind(task.lease().unwrap().map(|lease| lease.fence));
        assert_eq!(store.find(&id).unwrap(), Some(state));
    }
    let (counts, tasks) = store.scan(&State::ALL).unwrap();
    assert_eq!((counts.done, tasks.len()), (1, 1));
    assert_eq!(
        store.task(&id).unwrap().read("evidence/a.log").unwrap(),
        b"x"
    );
}

fn many_claimers_take_each_task_once(place: &Place) {
    let store = place.store("one");
    let tasks = std::env::var("BATON_TASKS").map_or(96, |text| text.parse().unwrap());
    for number in 0..tasks {
        submit(&store, json!({"task_id": format!("T-{number}")}));
    }
    let taken = Mutex::new(HashMap::new());
    thread::scope(|scope| {
        for which in 0..8 {
            let (root, taken) = (store.root().to_owned(), &taken);
            scope.spawn(move || {
                let own = Store::open(&root).unwrap();
                while let Some((id, fence)) = claim(&own, &format!("worker-{which}")) {
                    let before = taken.lock().unwrap().insert(id.to_string(), fence);
                    assert_eq!(before, None, "{id} was claimed twice");
                }
            });
        }
    });
    let taken = taken.into_inner().unwrap();
    assert_eq!(taken.len(), tasks);
    let (counts, _) = store.scan(&State::ALL).unwrap();
    assert_eq!((counts.inbox, counts.claimed), (0, tasks as u64));
    let mut fences: Vec<_> = taken.into_values().collect();
    fences.sort_unstable();
    fences.dedup();
    store.log().unwrap().verify(|_, _| ()).unwrap();
}

fn one_id_in_any_case_is_one_task(place: &Place) {
    let store = place.store("one");
    submit(&store, json!({"task_id": "T-a"}));
    let task = json!({"task_id": "t-A", "title": "t", "goal": "g",
        "scope": {"target_files": [], "allow_patch_on_files": ["src/**"], "deny_paths_glob": []}});
    let task = Task::parse(task.to_string().as_bytes()).unwrap();
    let refused = store.submit(&task, |_| panic!("recorded")).unwrap_err();
    assert_eq!(refused.code, "TASK_EXISTS");
}

fn one_key_is_one_task(place: &Place) {
    let store = place.store("one");
    let first = submit(
        &store,
        json!({"task_id": "T-1", "idempotency_key": "key-0000001"}),
    );
    let again = submit(
        &store,
        json!({"task_id": "T-2", "idempotency_key": "key-0000001"}),
    );
    assert_eq!(first, Submitted::New(TaskId::parse("T-1").unwrap()));
    assert_eq!(again, Submitted::Known(TaskId::parse("T-1").unwrap()));
    let other = json!({"task_id": "T-3", "title": "other", "goal": "g", "idempotency_key": "key-0000001",
        "scope": {"target_files": [], "allow_patch_on_files": ["src/**"], "deny_paths_glob": []}});
    let other = Task::parse(other.to_string().as_bytes()).unwrap();
    let refused = store.submit(&other, |_| panic!("recorded")).unwrap_err();
    assert_eq!(refused.code, "IDEMPOTENCY_CONFLICT");
}

fn a_late_owner_changes_nothing(place: &Place) {
    let store = place.store("one");
    submit(&store, json!({"task_id": "T-1"}));
    let (id, fence) = claim(&store, "first").unwrap();
    let mut late = store.task(&id).unwrap();
    late.bind(Some(fence));
    let long_after = Moment::now() + 10 * LONG;
    let second = store
        .lock(&id, holder("second"), LONG, long_after)
        .unwrap()
        .unwrap();
    assert!(second.lease.fence > fence);
    let write = late
        .write_new(ArtifactKind::Other, "late", b"x")
        .unwrap_err();
    let kept = store
        .transition(&mut late, State::Work, Some(fence), false)
        .unwrap_err();
    let renewed = store
        .renew(&late, "first", LONG, Moment::now())
        .unwrap_err();
    assert_eq!([write.code, kept.code], ["LEASE_LOST", "LEASE_LOST"]);
    assert_eq!(renewed.code, "NOT_OWNER");
    assert_eq!(store.find(&id).unwrap(), Some(State::Claimed));
    assert_eq!(
        store.task(&id).unwrap().read_if_there("late").unwrap(),
        None
    );
}

fn stop_halts_and_is_lifted(place: &Place) {
    let store = place.store("one");
    assert_eq!(store.stop(), Stop::Absent);
    assert!(!store.lift_stop().unwrap());
    assert!(store.set_stop("why").unwrap());
    assert!(!store.set_stop("again").unwrap());
    assert!(Store::open(store.root()).unwrap().stop().is_present());
    assert!(store.lift_stop().unwrap());
    assert_eq!(store.stop(), Stop::Absent);
}

/// Somebody is in the middle of a change: who wants the task next waits, and who picks goes on.
fn what_is_held_waits(place: &Place) {
    let store = place.store("one");
    submit(&store, json!({"task_id": "T-1"}));
    let id = TaskId::parse("T-1").unwrap();
    let held = store.task(&id).unwrap().hold().unwrap();
    assert!(store.task(&id).unwrap().hold_if_free().unwrap().is_none());
    thread::scope(|scope| {
        let waits = scope.spawn(|| store.task(&id).unwrap().hold().map(drop));
        thread::sleep(Duration::from_millis(60));
        assert!(!waits.is_finished());
        drop(held);
        waits.join().unwrap().unwrap();
    });
}
