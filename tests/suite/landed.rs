//! A landing whose reference has moved and that is in no line of the log yet: nothing is done to the task
//! but finishing it.

use crate::moved::actions;
use crate::races::{at, with_front};
use crate::support::{Bench, Ran};

const EXECUTE: [&str; 4] = ["pr-merge-orchestrator", "--task", "T-1", "--execute"];

/// T-1, killed right after main moved to its commit.
fn cut_off() -> (Bench, String) {
    let bench = Bench::with_approved();
    let kill = at("update-ref", "kill -9 $PPID; exit 1");
    let run = with_front(&bench, &EXECUTE, "", &kill);
    assert_eq!(run.code, -1, "{}", run.stderr);
    let commit = bench.git(&["rev-parse", "main"]);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    (bench, commit)
}

/// It is run again and is done, once, with nothing left behind.
fn finished(bench: &Bench, commit: &str) {
    bench.baton(["run", "T-1"]).expect(0);
    assert!(bench.task("done", "T-1").is_dir());
    assert_eq!(bench.git(&["rev-parse", "main"]), commit);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    let ended = actions(bench, "T-1");
    let landed = ended.iter().filter(|action| *action == "CHANGE_LANDED");
    assert_eq!(landed.count(), 1, "{ended:?}");
    let said = bench.baton(["verify", "T-1"]).expect(0);
    assert_eq!(said["status"], "VERIFIED");
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn nothing_is_taken_back_on_paper_that_the_target_has() {
    let (start, commit) = cut_off();
    let denied = "--reason=no";
    for (line, code) in [
        (&["reject", "T-1", denied][..], "APPROVAL_USED"),
        (&["revoke-approval", "T-1", denied], "APPROVAL_USED"),
        (&["retry", "T-1"], "LANDING_UNRECORDED"),
        (&["ops", "cancel", "--id", "T-1"], "LANDING_UNRECORDED"),
        (
            &["ops", "replan", "--id", "T-1", "--notes", "x"],
            "LANDING_UNRECORDED",
        ),
        (
            &["orch", "fail", "--id", "T-1", "--notes", "x"],
            "LANDING_UNRECORDED",
        ),
    ] {
        let bench = start.copy();
        let before = bench.git(&["hash-object", ".autodev_queue/audit/events.ndjson"]);
        let ran = bench.baton(line);
        assert_eq!(ran.expect(1)["code"], code, "{line:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("baton run T-1"), "{}", ran.stderr);
        assert!(ran.stderr.contains(&commit), "{}", ran.stderr);
        let after = bench.git(&["hash-object", ".autodev_queue/audit/events.ndjson"]);
        assert_eq!(after, before, "{line:?} was recorded");
        finished(&bench, &commit);
    }
}

#[test]
fn whoever_looks_is_told_of_it() {
    let (bench, commit) = cut_off();
    for line in [&["status"][..], &["doctor", "--queue"]] {
        let said = bench.baton(line).json();
        let stuck = said["stuck"].as_array().unwrap();
        let one = stuck.iter().find(|one| one["code"] == "LANDING_UNRECORDED");
        let one = one.unwrap_or_else(|| panic!("{line:?}: {said}"));
        assert_eq!(one["next"], "baton run T-1");
        assert!(one["why"].as_str().unwrap().contains(&commit), "{one}");
    }
    let said = bench.baton(["verify", "T-1"]).json();
    assert_eq!(said["status"], "MISMATCH", "{said}");
    finished(&bench, &commit);
}

#[test]
fn under_stop_it_waits_and_is_finished_afterwards() {
    let (bench, commit) = cut_off();
    bench.baton(["stop", "--reason", "x"]).expect(0);
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("baton run T-1 finishes"),
        "{}",
        ran.stderr
    );
    assert!(bench.task("pr", "T-1").is_dir(), "{}", ran.stderr);
    // Nor does the brief alone take it away, or say that nothing happened.
    let said = bench.baton(["incident-brief", "--task", "T-1"]).expect(0);
    assert!(bench.task("pr", "T-1").is_dir(), "{said}");
    bench.baton(["resume", "--reason", "y"]).expect(0);
    finished(&bench, &commit);
}

#[test]
fn it_is_finished_although_the_policy_is_another_by_now() {
    let (bench, commit) = cut_off();
    bench.git(&["reset", "-q", "--hard"]);
    bench.policy(|policy| policy["caps"]["max_attempts"] = 7.into());
    bench.baton(["run", "T-1"]).expect(0);
    assert!(bench.task("done", "T-1").is_dir());
    assert_eq!(bench.git(&["rev-parse", "main^"]), commit);
    let said = bench.baton(["verify", "T-1"]).json();
    assert_eq!(said["status"], "VERIFIED", "{said}");
}

/// Lands with a git that fails for this call once the reference has moved.
fn failing(bench: &Bench, call: &str) -> Ran {
    let fail =
        format!("case \" $* \" in *\" {call} \"*) [ -e \"$COUNT.once\" ] && exit 128 ;; esac");
    with_front(bench, &["run", "T-1"], &fail, &at("update-ref", ":"))
}

#[test]
fn what_fails_after_the_move_does_not_undo_it() {
    let bench = Bench::with_approved();
    let ran = failing(&bench, "diff-tree");
    ran.expect(0);
    assert_eq!(ran.findings(), ["CHECKOUT_LEFT_ALONE"], "{}", ran.stdout);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    assert!(bench.task("done", "T-1").is_dir());
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    assert_eq!(
        bench.git(&["rev-parse", "HEAD"]),
        bench.git(&["rev-parse", "main^"])
    );
}

#[test]
fn a_run_that_fails_after_the_move_says_that_it_landed() {
    let bench = Bench::with_approved();
    let before = bench.git(&["rev-parse", "main"]);
    // The tree of what landed cannot be read, so that nothing can be compared.
    let ran = failing(&bench, "rev-parse --verify --end-of-options");
    let commit = bench.git(&["rev-parse", "main"]);
    assert_ne!(commit, before);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("main was moved to"), "{}", ran.stdout);
    assert!(bench.task("pr", "T-1").is_dir(), "{}", ran.stderr);
    finished(&bench, &commit);
}

#[test]
fn the_same_change_of_another_is_not_taken_for_it() {
    let bench = Bench::with_approved();
    bench.submit("T-2", "src/**");
    bench.run_with("T-2", "T-1").expect(0);
    bench.baton(["approve", "T-2"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    let main = bench.git(&["rev-parse", "main"]);
    let ran = bench.baton(["run", "T-2"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("NOTHING_TO_LAND"), "{}", ran.stderr);
    assert!(!actions(&bench, "T-2").contains(&"CHANGE_LANDED".to_owned()));
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
}

#[test]
fn a_branch_that_git_cannot_write_is_no_target_that_moved() {
    let bench = Bench::with_approved();
    let main = bench.git(&["rev-parse", "main"]);
    let lock = bench.root().join(".git/refs/heads/main.lock");
    std::fs::write(&lock, "").unwrap();
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(ran.findings(), ["BRANCH_NOT_MOVED"], "{}", ran.stdout);
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    std::fs::remove_file(&lock).unwrap();
    // The approval still counts.
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^"]), main);
}
