//! What is decided on real changes, what gates see, and what keeps a change from landing.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Bench, Ran};

/// Takes a change as far as it may go.
fn take(bench: &Bench, id: &str, edit: impl FnOnce(&std::path::Path)) -> Ran {
    bench.submit(id, "**");
    let text = bench.patch(edit);
    let path = bench.patch_file(&format!("{id}.patch"), &text);
    bench.baton(["run", id, "--from", path.to_str().unwrap()])
}

fn write(path: &'static str, text: &'static str) -> impl FnOnce(&std::path::Path) {
    move |root| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// The kept result of a tool, whichever state the task is in.
fn kept(bench: &Bench, id: &str, skill: &str) -> Value {
    let folder = ["pr", "blocked", "done", "work"]
        .iter()
        .map(|state| bench.task(state, id))
        .find(|folder| folder.is_dir())
        .unwrap();
    let mut files: Vec<_> = std::fs::read_dir(folder.join("envelopes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let path = files
        .into_iter()
        .rev()
        .find(|path| path.to_string_lossy().ends_with(&format!("-{skill}.json")))
        .unwrap();
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn rules(bench: &Bench, id: &str) -> Vec<String> {
    let decided = kept(bench, id, "decision-router");
    let reasoning = decided["data"]["reasoning"].as_array().unwrap().iter();
    reasoning
        .map(|reason| {
            reason
                .as_str()
                .unwrap()
                .split(':')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn gate(bench: &Bench, id: &str, gate: &str) -> (String, String) {
    let ran = kept(bench, id, "gate-runner");
    let found = ran["data"]["gates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["gate_id"] == gate)
        .unwrap();
    (
        found["status"].as_str().unwrap().to_owned(),
        found["note"].as_str().unwrap().to_owned(),
    )
}

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
fn a_failing_test_is_told_from_one_that_failed_before() {
    let bench = Bench::new();
    let done = take(&bench, "T-1", write("src/app.sh", "echo broken\n")).expect(0);
    assert_eq!(done["decision"], "PR_ONLY");
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL");
    assert!(
        note.contains("base=PASS") && note.contains("tests=1 failed=1"),
        "{note}"
    );
    assert!(rules(&bench, "T-1").contains(&"D6".to_owned()));
    // Now the base itself is broken: the next change is not blamed for it.
    bench.write("src/app.sh", "echo broken\n");
    bench.commit("break it");
    let done = take(&bench, "T-2", write("README.md", "# more\n")).expect(0);
    let (status, note) = gate(&bench, "T-2", "G5");
    assert!(
        status == "FAIL" && note.contains("base=FAIL") && !note.contains("new=yes"),
        "{note}"
    );
    assert_eq!(
        (done["decision"].as_str(), rules(&bench, "T-2")),
        (Some("AUTO_MERGE"), vec!["D9".to_owned()])
    );
}

#[test]
fn a_run_that_executes_no_test_is_no_pass() {
    let bench = Bench::new();
    take(
        &bench,
        "T-1",
        write("Makefile", "check:\n\t@true\ntest:\n\t@echo all good\n"),
    )
    .expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL");
    assert!(note.starts_with("NO_TEST_RAN"), "{note}");
}

#[test]
fn without_lowered_isolation_a_person_decides() {
    let bench = Bench::bare();
    bench.baton(["init"]).expect(0);
    bench.commit("ssot");
    let done = take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    assert_eq!(
        (done["decision"].as_str(), rules(&bench, "T-1")),
        (Some("PR_ONLY"), vec!["D8".to_owned()])
    );
}

#[test]
fn a_base_that_moved_refuses_and_a_retry_lands() {
    let bench = Bench::new();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.write("README.md", "# meanwhile\n");
    let moved = bench.commit("meanwhile");
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.findings().contains(&"BASE_MOVED".to_owned()),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("baton retry T-1"), "{}", ran.stderr);
    assert_eq!(bench.git(&["rev-parse", "main"]), moved);
    assert!(
        bench.task("pr", "T-1").is_dir(),
        "what only waits is not blocked"
    );
    bench.baton(["retry", "T-1"]).expect(0);
    let path = bench.scratch("T-1.patch");
    bench
        .baton(["run", "T-1", "--from", path.to_str().unwrap()])
        .expect(0);
    assert_ne!(
        bench
            .baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"])
            .code,
        0,
        "the old approval counts for nothing"
    );
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^"]), moved);
}

#[test]
fn a_dirty_checkout_is_left_alone_and_refuses() {
    let bench = Bench::new();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    let main = bench.git(&["rev-parse", "main"]);
    bench.write("README.md", "my own words\n");
    let ran = bench.baton(["run", "T-1"]);
    assert!(
        ran.findings().contains(&"CHECKOUT_DIRTY".to_owned()),
        "{}",
        ran.stdout
    );
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    assert_eq!(
        std::fs::read_to_string(bench.root().join("README.md")).unwrap(),
        "my own words\n"
    );
    bench.git(&["stash", "-q"]);
    bench.baton(["run", "T-1"]).expect(0);
    bench.git(&["stash", "pop", "-q"]);
    assert_eq!(
        std::fs::read_to_string(bench.root().join("README.md")).unwrap(),
        "my own words\n"
    );
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
fn an_untracked_file_in_the_way_refuses_before_the_branch_moves() {
    let bench = Bench::new();
    take(&bench, "T-1", write("src/new.sh", "echo new\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    let main = bench.git(&["rev-parse", "main"]);
    bench.write("src/new.sh", "mine\n");
    assert_ne!(bench.baton(["run", "T-1"]).code, 0);
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    assert_eq!(
        std::fs::read_to_string(bench.root().join("src/new.sh")).unwrap(),
        "mine\n"
    );
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
    bench.baton(["run", "T-1"]).expect(0);
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

#[test]
fn stop_ends_a_running_gate_within_two_seconds() {
    let bench = Bench::new();
    bench.submit("T-1", "**");
    let marker = bench.scratch("started");
    let text = bench.patch(|root| {
        std::fs::write(
            root.join("Makefile"),
            format!(
                "check:\n\t@true\ntest:\n\t@touch {}; sleep 60; echo '1 passed, 0 failed'\n",
                marker.display()
            ),
        )
        .unwrap();
    });
    let path = bench.patch_file("x.patch", &text);
    let child = bench
        .command(["run", "T-1", "--from", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let waited = Instant::now();
    while !marker.exists() {
        assert!(
            waited.elapsed() < Duration::from_secs(60),
            "the gate did not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    bench.baton(["stop"]).expect(0);
    let stopped = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(
        stopped.elapsed() < Duration::from_secs(5),
        "{:?}",
        stopped.elapsed()
    );
    assert_eq!(output.status.code(), Some(4));
    assert!(rules(&bench, "T-1").contains(&"D1".to_owned()));
}

#[test]
fn a_gate_sees_only_what_the_policy_names_and_leaves_nothing_behind() {
    let bench = Bench::new();
    bench.submit("T-1", "**");
    let pid = bench.scratch("pid");
    let text = bench.patch(|root| {
        let recipe = format!("check:\n\t@env | cut -d= -f1 | sort | tr '\\n' ' '; sleep 300 & echo $$! > {}\ntest:\n\t@echo '1 passed, 0 failed'\n", pid.display());
        std::fs::write(root.join("Makefile"), recipe).unwrap();
    });
    let path = bench.patch_file("x.patch", &text);
    let ran = bench
        .command(["run", "T-1", "--from", path.to_str().unwrap()])
        .env("SECRET_TOKEN", "x")
        .env("GIT_DIR", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(
        ran.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
    let log = std::fs::read_to_string(bench.task("pr", "T-1").join("evidence/G4.log")).unwrap();
    let names: Vec<_> = log
        .split_whitespace()
        .filter(|name| !name.starts_with("MAKE") && !name.starts_with("MFLAGS"))
        .collect();
    for name in names {
        assert!(
            [
                "CI", "HOME", "LANG", "PATH", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"
            ]
            .contains(&name),
            "{name} in {log}"
        );
    }
    let pid = std::fs::read_to_string(&pid).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(
        state.is_empty() || state.contains(") Z "),
        "a grandchild of the gate lives on: {state}"
    );
}

#[test]
fn a_bare_diff_needs_no_queue() {
    let bench = Bench::new();
    std::fs::remove_dir_all(bench.queue()).unwrap();
    let text = bench.patch(write("src/app.sh", "echo 2\n"));
    let scan = bench.pipe(
        text.as_bytes(),
        [
            "diff-risk-scan",
            "--patch",
            "-",
            "--base",
            "main",
            "--summary-out",
            "../summary.json",
        ],
    );
    assert_eq!(scan.expect(0)["data"]["risk_level"], "LOW");
    let summary: Value =
        serde_json::from_slice(&std::fs::read(bench.scratch("summary.json")).unwrap()).unwrap();
    assert_eq!(
        (
            summary["source"].as_str(),
            summary["files"][0]["path"].as_str()
        ),
        (Some("candidate"), Some("src/app.sh"))
    );
    let gates = bench.pipe(
        text.as_bytes(),
        ["gate-runner", "--patch", "-", "--base", "main"],
    );
    assert_eq!(gates.expect(0)["data"]["all_pass"], true);
    std::fs::write(bench.scratch("risk.json"), &scan.stdout).unwrap();
    std::fs::write(bench.scratch("gates.json"), &gates.stdout).unwrap();
    let decided = bench
        .baton([
            "decision-router",
            "--risk",
            "../risk.json",
            "--gates",
            "../gates.json",
        ])
        .expect(0);
    assert_eq!(decided["decision"], "AUTO_MERGE");
    let alone = bench
        .baton(["decision-router", "--risk", "../risk.json"])
        .expect(4);
    assert_eq!(
        alone["decision"], "ZERO_STOP",
        "without gates the evidence is not whole"
    );
    // Only some gates: the others are SKIP, and a skipped gate is no pass.
    let some = bench.pipe(
        text.as_bytes(),
        [
            "gate-runner",
            "--patch",
            "-",
            "--base",
            "main",
            "--only",
            "G1,G2,G3",
        ],
    );
    assert_eq!(some.expect(1)["data"]["all_pass"], false);
    let text_only = bench.pipe(text.as_bytes(), ["diff-risk-scan", "--patch", "-"]);
    assert!(text_only.findings().contains(&"TEXT_ONLY".to_owned()));
}
