//! What is decided on real changes, what gates see, and what keeps a change from landing.

use serde_json::Value;

use crate::changes::{rules, take, write};
use crate::support::Bench;

#[test]
fn an_approved_candidate_lands_and_the_clean_checkout_follows() {
    let bench = Bench::new();
    bench.waiting("T-1");
    let before = bench.git(&["rev-parse", "HEAD"]);
    bench.baton(["approve", "T-1"]).expect(0);
    let done = bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(done["decision"], "AUTO_MERGE");
    assert_eq!(bench.git(&["rev-parse", "HEAD^"]), before);
    assert_eq!(
        std::fs::read_to_string(bench.root().join("src/app.sh")).unwrap(),
        "echo T-1\n"
    );
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    let message = bench.git(&["log", "-1", "--format=%B"]);
    for trailer in [
        "Baton-Task: T-1",
        "Baton-Decision: AUTO_MERGE",
        "Baton-Event: EVT-",
    ] {
        assert!(message.contains(trailer), "{message}");
    }
    assert_eq!(
        bench.baton(["verify", "T-1"]).expect(0)["status"],
        "VERIFIED"
    );
}

#[test]
fn without_an_approval_nothing_lands() {
    let bench = Bench::new();
    bench.waiting("T-1");
    let before = bench.git(&["rev-parse", "main"]);
    bench.baton(["run", "T-1"]).expect(0);
    let refused = bench.baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"]);
    refused.expect(3);
    assert!(refused.findings().contains(&"APPROVAL_REQUIRED".to_owned()));
    assert_eq!(bench.git(&["rev-parse", "main"]), before);
}

#[test]
fn a_lockfile_becomes_a_branch_for_review() {
    let bench = Bench::new();
    let main = bench.git(&["rev-parse", "main"]);
    let done = take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    assert_eq!(done["decision"], "PR_ONLY");
    assert_eq!(rules(&bench, "T-1"), ["D5", "D7"]);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    assert_eq!(bench.git(&["rev-parse", "baton/T-1^"]), main);
    assert_eq!(bench.git(&["show", "baton/T-1:Cargo.lock"]), "version = 4");
    assert_eq!(
        bench.baton(["verify", "T-1"]).expect(0)["status"],
        "VERIFIED"
    );
}

#[test]
fn what_a_task_does_not_allow_is_stopped_with_an_incident() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let text = bench.patch(write("README.md", "# other\n"));
    let path = bench.patch_file("x.patch", &text);
    let ran = bench.baton(["run", "T-1", "--from", path.to_str().unwrap()]);
    let envelope = ran.expect(4);
    assert_eq!(
        (
            envelope["skill"].as_str(),
            envelope["data"]["severity"].as_str()
        ),
        (Some("incident-brief"), Some("SEV1"))
    );
    assert!(rules(&bench, "T-1").contains(&"D2".to_owned()));
    let report =
        std::fs::read_to_string(bench.task("blocked", "T-1").join("incident/incident.md")).unwrap();
    assert!(report.contains("README.md"), "{report}");
}

#[test]
fn deleting_and_emptying_are_stopped_and_a_protected_zone_is_for_people() {
    let bench = Bench::new();
    assert_eq!(
        take(&bench, "T-1", |root| std::fs::remove_file(
            root.join("README.md")
        )
        .unwrap())
        .code,
        4
    );
    assert_eq!(take(&bench, "T-2", write("README.md", "")).code, 4);
    let done = take(&bench, "T-3", write("AGENTS.md", "obey\n")).expect(0);
    assert_eq!(done["decision"], "PR_ONLY");
    assert!(rules(&bench, "T-3").contains(&"D5".to_owned()));
}

#[test]
fn a_dirty_checkout_is_left_alone_and_said_so() {
    let bench = Bench::new();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    let before = bench.git(&["rev-parse", "main"]);
    bench.write("README.md", "my own words\n");
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(
        ran.findings().contains(&"CHECKOUT_LEFT_ALONE".to_owned()),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("git switch --no-overwrite-ignore main"),
        "{}",
        ran.stderr
    );
    assert_eq!(bench.git(&["rev-parse", "main^"]), before);
    // What git shows is the user's own change and nothing else, so no commit can undo the landing.
    assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
    assert_eq!(bench.git(&["rev-parse", "HEAD"]), before);
    assert_eq!(read(&bench, "src/app.sh"), "echo 1\n");
    bench.git(&["switch", "-q", "--no-overwrite-ignore", "main"]);
    assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
    assert_eq!(read(&bench, "README.md"), "my own words\n");
    assert_eq!(read(&bench, "src/app.sh"), "echo T-1\n");
}

fn read(bench: &Bench, path: &str) -> String {
    std::fs::read_to_string(bench.root().join(path)).unwrap()
}

#[test]
fn a_worktree_of_the_target_follows_when_clean_and_is_left_alone_when_not() {
    let bench = Bench::new();
    bench.git(&["checkout", "-q", "-b", "mine"]);
    let other = bench.scratch("other");
    bench.git(&["worktree", "add", "-q", other.to_str().unwrap(), "main"]);
    for (id, own) in [("T-1", None), ("T-2", Some("my own words\n"))] {
        bench.git(&["reset", "-q", "--hard", "main"]);
        bench.waiting(id);
        bench.baton(["approve", id]).expect(0);
        if let Some(own) = own {
            std::fs::write(other.join("README.md"), own).unwrap();
        }
        let ran = bench.baton(["run", id]);
        ran.expect(0);
        let left = ran.findings().contains(&"CHECKOUT_LEFT_ALONE".to_owned());
        assert_eq!(left, own.is_some(), "{}", ran.stdout);
        assert_eq!(
            bench.git(&["show", "main:src/app.sh"]),
            format!("echo {id}")
        );
        // The second landing left the files at the first.
        let there = std::fs::read_to_string(other.join("src/app.sh")).unwrap();
        assert_eq!(there, "echo T-1\n");
        let status = bench.git(&["-C", other.to_str().unwrap(), "status", "--porcelain"]);
        assert_eq!(status, own.map_or("", |_| " M README.md"));
    }
}

#[test]
fn another_branch_that_is_checked_out_is_not_touched() {
    let bench = Bench::new();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.git(&["checkout", "-q", "-b", "mine"]);
    bench.write("README.md", "my own words\n");
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    assert_eq!(
        std::fs::read_to_string(bench.root().join("src/app.sh")).unwrap(),
        "echo 1\n"
    );
}

#[test]
fn an_untracked_file_in_the_way_is_left_alone() {
    let bench = Bench::new();
    take(&bench, "T-1", write("src/new.sh", "echo new\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    let main = bench.git(&["rev-parse", "main"]);
    bench.write("src/new.sh", "mine\n");
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert_eq!(ran.findings(), ["CHECKOUT_LEFT_ALONE"]);
    assert_eq!(bench.git(&["rev-parse", "main^"]), main);
    assert_eq!(bench.git(&["rev-parse", "HEAD"]), main);
    assert_eq!(read(&bench, "src/new.sh"), "mine\n");
}

#[test]
fn an_ignored_file_in_the_way_is_nobody_elses_to_write_over() {
    let bench = Bench::bare();
    bench.write(".gitignore", "local/\n");
    bench.baton(["init", "--minimum-isolation", "I1"]).expect(0);
    bench.commit("ssot");
    bench.submit("T-1", "**");
    let text = bench.patch(|root| {
        std::fs::create_dir(root.join("local")).unwrap();
        std::fs::write(root.join("local/settings.sh"), "theirs\n").unwrap();
        let add = ["add", "-f", "local/settings.sh"];
        bench.git(&add);
    });
    let path = bench.patch_file("x.patch", &text);
    bench
        .baton(["run", "T-1", "--from", path.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    let main = bench.git(&["rev-parse", "main"]);
    bench.write("local/settings.sh", "mine\n");
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(
        ran.findings().contains(&"CHECKOUT_LEFT_ALONE".to_owned()),
        "{}",
        ran.stdout
    );
    assert_eq!(bench.git(&["rev-parse", "main^"]), main);
    assert_eq!(bench.git(&["rev-parse", "HEAD"]), main);
    assert_eq!(read(&bench, "local/settings.sh"), "mine\n");
}

#[test]
fn hooks_of_the_repository_never_run() {
    let bench = Bench::new();
    for hook in [
        "pre-commit",
        "post-commit",
        "reference-transaction",
        "post-checkout",
        "post-index-change",
        "post-merge",
    ] {
        let path = bench.root().join(".git/hooks").join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            &path,
            format!("#!/bin/sh\ntouch {}\n", bench.scratch("hooked").display()),
        )
        .unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    bench.submit("T-1", "src/**");
    let path = bench.patch_file("x.patch", "diff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-echo 1\n+echo 2\n");
    bench
        .baton(["run", "T-1", "--from", path.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert!(!bench.scratch("hooked").exists());
}

#[test]
fn a_landing_that_was_cut_off_is_finished_once() {
    let bench = Bench::new();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    let candidate: Value = serde_json::from_slice(
        &std::fs::read(bench.task("pr", "T-1").join("candidate.json")).unwrap(),
    )
    .unwrap();
    // As if the process had died between the reference and the record: the commit is there.
    let text = std::fs::read_to_string(bench.scratch("T-1.patch")).unwrap();
    std::fs::write(bench.scratch("again.patch"), text).unwrap();
    bench.git(&["apply", "--index", "../again.patch"]);
    bench.git(&["commit", "-q", "-m", "landed"]);
    let landed = bench.git(&["rev-parse", "main"]);
    assert_eq!(bench.git(&["rev-parse", "main^{tree}"]), candidate["tree"]);
    // The checkout is still on the base, as it is before a landing's last step.
    bench.git(&["read-tree", "-m", "-u", "main", "main^"]);
    assert_ne!(bench.git(&["status", "--porcelain"]), "");
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(
        bench.git(&["status", "--porcelain"]),
        "",
        "the checkout was left behind"
    );
    assert_eq!(
        bench.git(&["rev-parse", "main"]),
        landed,
        "it landed a second time"
    );
    assert!(bench.task("done", "T-1").is_dir());
}

#[test]
fn a_branch_that_exists_is_not_overwritten() {
    let bench = Bench::new();
    take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.git(&["branch", "baton/T-1"]);
    let before = bench.git(&["rev-parse", "baton/T-1"]);
    let ran = bench.baton(["run", "T-1"]);
    assert!(
        ran.findings().contains(&"BRANCH_EXISTS".to_owned()),
        "{}",
        ran.stdout
    );
    assert_eq!(bench.git(&["rev-parse", "baton/T-1"]), before);
}
