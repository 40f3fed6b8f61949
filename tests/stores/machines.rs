//! Two machines, each with its own checkout, over one database.

use baton_core::clock::Moment;
use baton_core::lease::Holder;
use baton_core::policy::Actor;
use baton_core::state::State;
use serde_json::json;

use crate::place::{Place, databases};
use crate::tasks::submit;

databases!(
    what_one_submits_the_other_takes,
    stop_on_one_halts_both_and_a_file_halts_one,
    both_have_one_key,
);

fn what_one_submits_the_other_takes(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    submit(&one, json!({"task_id": "T-1"}));
    let holder = Holder {
        name: "two",
        of_process: false,
    };
    let long = std::time::Duration::from_secs(60);
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

fn both_have_one_key(place: &Place) {
    let (one, two) = (place.store("one"), place.store("two"));
    let key = |store: &baton_core::store::Store| {
        std::fs::read(store.root().join(".autodev_queue/audit/signing.key")).unwrap()
    };
    assert_eq!(key(&one), key(&two));
    let root = place.root("three");
    std::fs::create_dir_all(root.join(".autodev_queue/audit")).unwrap();
    let elsewhere = Place::folder();
    let other = elsewhere.store("other");
    let path = root.join(".autodev_queue/audit/signing.key");
    std::fs::copy(other.root().join(".autodev_queue/audit/signing.key"), &path).unwrap();
    let refused = baton_core::store::Store::create(&root)
        .map(drop)
        .unwrap_err();
    assert_eq!(refused.code, "LOG_KEY_FOREIGN");
}
