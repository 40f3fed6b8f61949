//! Attacks on landing: what lands, under which name, and what others are told of it.

use serde_json::json;

use crate::changes::{rules, take, write};
use crate::support::{Bench, Ran};

fn landed(bench: &Bench, id: &str) -> String {
    bench.baton(["approve", id]).expect(0);
    bench.baton(["run", id]).expect(0);
    bench.git(&["rev-parse", "refs/heads/main"])
}

fn submit(bench: &Bench, id: &str, title: &str) -> Ran {
    bench.baton([
        "submit", "--id", id, "--title", title, "--goal", "Undo", "--allow", "src/**", "--actor",
        "openclaw",
    ])
}

#[test]
fn a_task_of_a_rollbacks_name_is_not_taken_for_the_rollback() {
    let bench = Bench::with_waiting();
    landed(&bench, "T-1");
    submit(&bench, "T-1-rollback", "Roll back: A change").expect(0);
    let evil = bench.patch(write("src/app.sh", "echo planted\n"));
    let evil = bench.patch_file("evil.patch", &evil);
    let evil = evil.to_str().unwrap();
    bench
        .baton(["run", "T-1-rollback", "--from", evil])
        .expect(0);
    let ran = bench.baton(["rollback", "T-1"]);
    assert_eq!(
        ran.expect(0)["task"]["task_id"],
        "T-1-rollback-2",
        "{}",
        ran.stderr
    );
    let patch = bench.task("pr", "T-1-rollback-2").join("draft.patch");
    let patch = std::fs::read_to_string(patch).unwrap();
    assert!(patch.contains("+echo 1\n"), "{patch}");
    // The real one is still found again.
    let again = bench.baton(["rollback", "T-1"]).expect(0);
    assert_eq!(again["task"]["task_id"], "T-1-rollback-2");
}

#[test]
fn a_revert_that_somebody_else_drafted_is_not_taken_for_the_revert() {
    let bench = Bench::with_waiting();
    landed(&bench, "T-1");
    bench.baton(["rollback", "T-1"]).expect(0);
    let evil = bench.patch(write("src/app.sh", "echo planted\n"));
    let evil = bench.patch_file("evil.patch", &evil);
    let evil = evil.to_str().unwrap();
    bench.baton(["retry", "T-1-rollback"]).expect(0);
    let ran = bench.baton(["run", "T-1-rollback", "--from", evil]);
    let drafted = bench.task("pr", "T-1-rollback").join("draft.patch");
    let drafted = std::fs::read_to_string(drafted).unwrap_or_default();
    assert!(drafted.contains("+echo planted"), "{}", ran.stderr);
    let ran = bench.baton(["rollback", "T-1"]).expect(0);
    assert_eq!(ran["task"]["task_id"], "T-1-rollback-2");
}

#[test]
fn a_target_that_is_another_name_for_a_branch_is_refused() {
    let bench = Bench::with_approved();
    bench.git(&["branch", "trunk", "main"]);
    bench.git(&["symbolic-ref", "refs/heads/main", "refs/heads/trunk"]);
    let before = bench.git(&["rev-parse", "trunk"]);
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.findings().contains(&"BRANCH_SYMBOLIC".to_owned()));
    assert_eq!(bench.git(&["rev-parse", "trunk"]), before);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    assert!(
        bench.task("pr", "T-1").is_dir(),
        "it waits until that is mended"
    );
    bench.git(&["symbolic-ref", "--delete", "refs/heads/main"]);
    bench.git(&["branch", "main", "trunk"]);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^"]), before);
}

#[test]
fn a_target_that_is_gone_is_waited_for() {
    let bench = Bench::with_approved();
    let base = bench.git(&["rev-parse", "main"]);
    bench.git(&["checkout", "-q", "--detach"]);
    bench.git(&["branch", "-q", "-D", "main"]);
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.findings().contains(&"TARGET_MISSING".to_owned()));
    bench.git(&["branch", "main", &base]);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^"]), base);
}

#[test]
fn grafts_do_not_hide_what_landed_from_a_rollback() {
    let bench = Bench::with_waiting();
    let commit = landed(&bench, "T-1");
    bench.write("README.md", "# since\n");
    let tip = bench.commit("since");
    std::fs::create_dir_all(bench.root().join(".git/info")).unwrap();
    let graft = format!("{tip} {}\n", bench.git(&["rev-parse", "HEAD~2"]));
    std::fs::write(bench.root().join(".git/info/grafts"), graft).unwrap();
    let ran = bench.baton(["rollback", "T-1"]);
    assert_eq!(ran.expect(0)["task"]["state_after"], "pr", "{}", ran.stderr);
    assert!(ran.stderr.contains(&commit), "{}", ran.stderr);
}

#[test]
fn a_branch_for_review_makes_no_other_branch() {
    let bench = Bench::new();
    take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.git(&["symbolic-ref", "refs/heads/baton/T-1", "refs/heads/release"]);
    let ran = bench.baton(["run", "T-1"]);
    assert!(ran.findings().contains(&"BRANCH_SYMBOLIC".to_owned()));
    assert_eq!(bench.git(&["for-each-ref", "refs/heads/release"]), "");
}

#[test]
fn a_tag_named_like_the_target_is_not_the_target() {
    let bench = Bench::new();
    bench.git(&["tag", "main", "HEAD~1"]);
    let before = bench.git(&["rev-parse", "refs/heads/main"]);
    bench.waiting("T-1");
    let commit = landed(&bench, "T-1");
    assert_eq!(
        bench.git(&["rev-parse", "refs/heads/main^"]),
        before,
        "{:?}",
        rules(&bench, "T-1")
    );
    let ran = bench.baton(["rollback", "T-1"]);
    assert_eq!(ran.expect(0)["task"]["state_after"], "pr", "{}", ran.stderr);
    assert_eq!(
        bench.git(&["rev-parse", "refs/heads/main"]),
        commit,
        "not without an approval"
    );
    landed(&bench, "T-1-rollback");
    assert_eq!(bench.git(&["show", "refs/heads/main:src/app.sh"]), "echo 1");
}

#[test]
fn tasks_whose_names_git_has_no_branch_for() {
    let bench = Bench::new();
    for (id, branch) in [("T.lock", "baton/T.lock_"), ("T-1.", "baton/T-1._")] {
        take(&bench, id, write("Cargo.lock", &format!("# {id}\n"))).expect(0);
        landed(&bench, id);
        let name = format!("{branch}:Cargo.lock");
        assert_eq!(bench.git(&["show", &name]), format!("# {id}"));
    }
}

#[test]
fn a_title_does_not_tell_ci_to_skip_what_landed() {
    let bench = Bench::new();
    submit(&bench, "T-1", "Tidy [skip ci], closes #7 for @all").expect(0);
    let patch = bench.patch(write("src/app.sh", "echo 2\n"));
    let patch = bench.patch_file("p.patch", &patch);
    bench
        .baton(["run", "T-1", "--from", patch.to_str().unwrap()])
        .expect(0);
    landed(&bench, "T-1");
    let message = bench.git(&["log", "-1", "--format=%B", "main"]);
    assert!(
        message.starts_with("Tidy (skip ci), closes # 7 for @ all\n"),
        "{message}"
    );
}

#[test]
fn an_approval_is_not_carried_past_what_a_gate_calls_by_another_name() {
    for (path, text) in [
        (".cargo/config.toml", "[env]\nX = \"1\"\n"),
        ("build/rules", "X = 2\n"),
        ("lib/steps", "true\n"),
        ("sub/deep/conftest.py", "x = 1\n"),
    ] {
        let bench = Bench::new();
        bench.policy(|policy| policy["landing"]["carry_approvals"] = true.into());
        let makefile = std::fs::read_to_string(bench.root().join("Makefile")).unwrap();
        bench.write("Makefile", &format!("-include build/rules\n{makefile}"));
        bench.write("build/rules", "X = 1\n");
        bench.write("lib/steps", "# none\n");
        bench.policy(|policy| {
            policy["gates"][4]["argv"] = json!(["sh", "-c", ". lib/steps && make check"]);
        });
        bench.waiting("T-1");
        bench.baton(["approve", "T-1"]).expect(0);
        bench.write(path, text);
        let moved = bench.commit("meanwhile");
        let ran = bench.baton(["run", "T-1"]);
        let wanted = format!("the target changed in {path}");
        assert!(ran.stderr.contains(&wanted), "{path}: {}", ran.stderr);
        assert_eq!(bench.git(&["rev-parse", "main"]), moved, "{path}");
    }
}

#[test]
fn the_password_of_a_push_is_shown_to_no_folder() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let remote = bench.pushes(&json!({"push_token": {"env": "REVIEW_TOKEN"}}));
    let seen = bench.scratch("seen");
    let hook = format!("{remote}/hooks/pre-receive");
    std::fs::create_dir_all(format!("{remote}/hooks")).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\nenv > '{}'\n", seen.display())).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    let mut command = bench.command(["run", "T-1"]);
    let done = command.env("REVIEW_TOKEN", "tok-for-nobody").output();
    assert_eq!(done.unwrap().status.code(), Some(0));
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("GIT_"), "the hook ran: {seen}");
    assert!(!seen.contains("tok-for-nobody"), "{seen}");
}
