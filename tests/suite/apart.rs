//! Claims of tasks that may be in each other's way.

use crate::support::Bench;
use crate::watchdog::edit_lock;

#[test]
fn a_task_is_claimed_apart_only_when_nothing_held_is_in_its_way() {
    let bench = Bench::new();
    for (id, allow) in [("T-1", "src/**"), ("T-2", "src/a"), ("T-3", "docs/**")] {
        bench.submit(id, allow);
    }
    let claim = |id: &str| bench.baton(["claim-lock", "--task", id, "--apart", "--owner", "a"]);
    claim("T-1").expect(0);
    let refused = claim("T-2");
    assert_eq!(refused.findings(), ["LOCK_CONFLICT"], "{}", refused.stdout);
    assert!(refused.stdout.contains("T-1 is held"), "{}", refused.stdout);
    assert!(!bench.task("inbox", "T-2").join(".lock").exists());
    claim("T-3").expect(0);
    bench
        .baton(["claim-lock", "--task", "T-1", "--release", "--owner", "a"])
        .expect(0);
    claim("T-2").expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn the_next_one_that_lies_apart_is_the_first_that_nothing_held_is_in_the_way_of() {
    let bench = Bench::new();
    let tasks = [
        ("T-1", "src/a"),
        ("T-2", "src/a"),
        ("T-3", "src/b"),
        ("T-4", "src/*"),
        ("T-5", "src/c"),
    ];
    for (id, allow) in tasks {
        bench.submit(id, allow);
    }
    let next = |flags: &[&str]| bench.baton([&["claim-lock", "--next", "--apart"], flags].concat());
    let claim = |owner: &str| next(&["--owner", owner]);
    assert_eq!(claim("a").expect(0)["task"]["task_id"], "T-1");
    assert_eq!(claim("b").expect(0)["task"]["task_id"], "T-3");
    // The fifth stands behind the fourth, which waits for those two.
    let planned = next(&["--plan"]);
    let refused = claim("c");
    for ran in [planned, refused] {
        assert_eq!(ran.findings(), ["LOCK_CONFLICT"], "{}", ran.stdout);
        assert!(ran.stdout.contains("apart from T-1"), "{}", ran.stdout);
    }
    for (id, owner) in [("T-1", "a"), ("T-3", "b")] {
        let line = ["claim-lock", "--task", id, "--release", "--owner", owner];
        bench.baton(line).expect(0);
    }
    next(&["--plan"]).expect(0);
    let taken = claim("c").expect(0)["task"]["task_id"].clone();
    assert_eq!(taken, "T-1", "the oldest of those that wait");
    bench.baton(["audit", "verify"]).expect(0);
}

/// A claim is a lock in the inbox first, and a move after it.
#[test]
fn a_claim_in_the_middle_holds_and_a_cut_off_one_does_not() {
    let bench = Bench::new();
    for (id, allow) in [("T-1", "src/**"), ("T-2", "src/a"), ("T-3", "docs/**")] {
        bench.submit(id, allow);
    }
    let next = |flags: &[&str]| bench.baton([&["claim-lock", "--next", "--apart"], flags].concat());
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    let (inbox, claimed) = (bench.task("inbox", "T-1"), bench.task("claimed", "T-1"));
    std::fs::rename(claimed, &inbox).unwrap();
    // This process holds it.
    let mine = std::process::id();
    let start = baton_core::ids::process_start(mine);
    edit_lock(&bench, "inbox", "T-1", |lease| {
        lease["pid"] = mine.into();
        lease["pid_start"] = start.into();
    });
    assert_eq!(next(&["--owner", "b"]).expect(0)["task"]["task_id"], "T-3");
    let refused = next(&["--owner", "c"]);
    assert!(
        refused.stdout.contains("apart from T-1"),
        "{}",
        refused.stdout
    );
    // Its pid is another's by now.
    edit_lock(&bench, "inbox", "T-1", |lease| {
        lease["pid_start"] = 1.into()
    });
    next(&["--plan"]).expect(0);
    assert_eq!(next(&["--owner", "d"]).expect(0)["task"]["task_id"], "T-1");
}

#[test]
fn a_plan_for_one_task_tells_who_is_in_its_way() {
    let bench = Bench::new();
    for (id, allow) in [("T-1", "src/**"), ("T-2", "src/a")] {
        bench.submit(id, allow);
    }
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    let plan = |flags: &[&str]| {
        let line = [&["claim-lock", "--task", "T-2", "--plan"], flags].concat();
        bench.baton(line)
    };
    plan(&[]).expect(0);
    let refused = plan(&["--apart"]);
    assert_eq!(refused.findings(), ["LOCK_CONFLICT"], "{}", refused.stdout);
    assert!(refused.stdout.contains("T-1 is held"), "{}", refused.stdout);
}

/// Tasks under a key that is done are nobody's, however many of them stand before the others.
#[test]
fn what_nobody_wants_does_not_hide_what_waits_behind_it() {
    let bench = Bench::new();
    let line = [
        "submit", "--id", "T-0", "--title", "t", "--goal", "g", "--allow", "a", "--key", "k",
    ];
    bench.baton(line).expect(0);
    let task = std::fs::read_to_string(bench.task("inbox", "T-0").join("task.json")).unwrap();
    for at in 1..=1000 {
        let twin = bench.task("inbox", &format!("T-{at}"));
        std::fs::create_dir(&twin).unwrap();
        let own = task.replace("T-0", &format!("T-{at}"));
        std::fs::write(twin.join("task.json"), own).unwrap();
    }
    std::fs::rename(bench.task("inbox", "T-0"), bench.task("done", "T-0")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    bench.submit("T-9999", "src/**");
    let claim = bench.baton(["claim-lock", "--next", "--apart"]);
    assert_eq!(claim.expect(0)["task"]["task_id"], "T-9999");
}
