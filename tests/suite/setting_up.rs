//! What `baton init` says and refuses: flags that a policy contradicts, branches that are not there.

use crate::support::Bench;

fn check(bench: &Bench, name: &str) -> String {
    let said = bench.baton(["doctor"]).json();
    let checks = said["checks"].as_array().unwrap().iter();
    let mut named = checks.filter(|check| check["check"] == name);
    named.next().unwrap()["health"].as_str().unwrap().to_owned()
}

#[test]
fn flags_do_not_change_a_policy_that_is_there() {
    let bench = Bench::new();
    bench.git(&["branch", "other"]);
    for line in [
        ["init", "--target", "other"],
        ["init", "--minimum-isolation", "I2"],
    ] {
        let refused = bench.baton(line);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("POLICY.json"), "{refused:?}");
    }
    let again = bench
        .baton(["init", "--target", "main", "--minimum-isolation", "I3"])
        .expect(0);
    assert_eq!(again["ready"], true, "{again}");
}

#[test]
fn a_policy_that_nobody_accepted_is_not_ready() {
    let bench = Bench::new();
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "\n").unwrap();
    let again = bench.baton(["init"]);
    assert_eq!(again.expect(0)["ready"], false, "{again:?}");
    assert!(again.stderr.contains("policy accept"), "{again:?}");
}

#[test]
fn a_branch_that_is_not_there_is_said_so() {
    let bench = Bench::bare();
    let refused = bench.baton(["init", "--target", "nosuch"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(!bench.queue().exists());
    bench.baton(["init"]).expect(0);
    assert_eq!(check(&bench, "target"), "good");
    bench.git(&["branch", "-m", "main", "trunk"]);
    let again = bench.baton(["init"]);
    assert_eq!(again.expect(0)["ready"], false, "{again:?}");
    assert_eq!(check(&bench, "target"), "warn");
}

/// The branch that is checked out may have its first commit still to come.
#[test]
fn a_repository_without_commits_is_set_up_and_not_ready() {
    let bench = Bench::bare();
    bench.git(&["checkout", "-q", "--orphan", "fresh"]);
    for target in [None, Some("fresh")] {
        let mut line = vec!["init"];
        line.extend(target.iter().flat_map(|target| ["--target", target]));
        let set_up = bench.baton(line);
        assert_eq!(set_up.expect(0)["ready"], false, "{set_up:?}");
    }
    bench.commit("first");
    assert_eq!(bench.baton(["init"]).expect(0)["ready"], true);
}
