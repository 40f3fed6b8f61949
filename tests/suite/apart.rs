//! Claims of tasks that may be in each other's way.

use crate::support::Bench;

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
