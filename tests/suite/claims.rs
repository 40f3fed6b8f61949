//! The queue: claims, leases, intake, keys, STOP.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::Bench;

fn task(id: &str, priority: &str) -> Value {
    json!({"task_id": id, "title": "t", "goal": "g", "scope": {"allow_patch_on_files": ["a"]}, "priority": priority})
}

fn put(bench: &Bench, id: &str, priority: &str) {
    let folder = bench.task("inbox", id);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("task.json"), task(id, priority).to_string()).unwrap();
}

fn next(bench: &Bench) -> String {
    bench.baton(["claim-lock", "--next"]).expect(0)["task"]["task_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn eight_processes_claim_a_thousand_tasks_once_each() {
    const TASKS: usize = 1000;
    let bench = Bench::new();
    for number in 0..TASKS {
        put(&bench, &format!("T-{number}"), "P1");
    }
    let claimed: Vec<Vec<String>> = std::thread::scope(|scope| {
        let worker = |number: usize| {
            let bench = &bench;
            move || {
                let owner = format!("w{number}");
                let mut mine = Vec::new();
                loop {
                    let ran = bench.baton(["claim-lock", "--next", "--owner", &owner]);
                    match ran.code {
                        0 => mine.push(ran.json()["task"]["task_id"].as_str().unwrap().to_owned()),
                        _ => {
                            assert_eq!(ran.json()["data"]["result"], "NOT_FOUND", "{}", ran.stdout);
                            return mine;
                        }
                    }
                }
            }
        };
        let workers: Vec<_> = (0..8).map(|number| scope.spawn(worker(number))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let all: Vec<_> = claimed.concat();
    assert_eq!(all.len(), TASKS);
    assert_eq!(
        all.iter().collect::<HashSet<_>>().len(),
        TASKS,
        "a task was claimed twice"
    );
    assert_eq!(
        std::fs::read_dir(bench.queue().join("claimed"))
            .unwrap()
            .count(),
        TASKS
    );
    assert_eq!(
        std::fs::read_dir(bench.queue().join("inbox"))
            .unwrap()
            .count(),
        0
    );
    let summary = bench.baton(["audit", "summary"]).expect(0);
    assert_eq!(summary["actions"]["TASK_CLAIMED"], TASKS);
}

#[test]
fn priority_comes_before_age_and_age_before_anything_else() {
    let bench = Bench::new();
    for (id, priority) in [
        ("old-p2", "P2"),
        ("old-p1", "P1"),
        ("new-p1", "P1"),
        ("new-p0", "P0"),
    ] {
        put(&bench, id, priority);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let order: Vec<_> = (0..4).map(|_| next(&bench)).collect();
    assert_eq!(order, ["new-p0", "old-p1", "new-p1", "old-p2"]);
}

#[test]
fn a_held_task_conflicts_and_names_its_owner() {
    let bench = Bench::new();
    put(&bench, "T-1", "P1");
    bench
        .baton(["claim-lock", "--task", "T-1", "--owner", "anna"])
        .expect(0);
    let ran = bench.baton(["claim-lock", "--task", "T-1", "--owner", "bert"]);
    let envelope = ran.expect(1);
    assert_eq!(envelope["data"]["result"], "LOCK_CONFLICT");
    assert_eq!(envelope["data"]["conflict_owner_hint"], "anna");
    assert_eq!(ran.findings(), ["LOCK_CONFLICT"]);
    for verb in ["--renew", "--release"] {
        let ran = bench.baton(["claim-lock", "--task", "T-1", "--owner", "bert", verb]);
        assert_eq!(ran.findings(), ["NOT_OWNER"], "{verb}");
    }
    bench
        .baton([
            "claim-lock",
            "--task",
            "T-1",
            "--owner",
            "anna",
            "--renew",
            "--lease",
            "2h",
        ])
        .expect(0);
}

fn fence(bench: &Bench, state: &str) -> u64 {
    let lock: Value =
        serde_json::from_slice(&std::fs::read(bench.task(state, "T-1").join(".lock")).unwrap())
            .unwrap();
    lock["fence"].as_u64().unwrap()
}

#[test]
fn a_released_task_is_claimed_again_with_a_higher_fence() {
    let bench = Bench::new();
    put(&bench, "T-1", "P1");
    bench
        .baton(["claim-lock", "--next", "--owner", "anna"])
        .expect(0);
    let first = fence(&bench, "claimed");
    bench
        .baton([
            "claim-lock",
            "--task",
            "T-1",
            "--owner",
            "anna",
            "--release",
        ])
        .expect(0);
    assert!(!bench.task("inbox", "T-1").join(".lock").exists());
    bench
        .baton(["claim-lock", "--next", "--owner", "bert"])
        .expect(0);
    assert!(fence(&bench, "claimed") > first);
}

#[test]
fn a_lease_that_is_over_is_taken_over_and_its_old_holder_is_refused() {
    let bench = Bench::new();
    put(&bench, "T-1", "P1");
    let old = bench.baton(["claim-lock", "--next", "--owner", "anna", "--lease", "1ms"]);
    std::thread::sleep(std::time::Duration::from_millis(20));
    let taken = bench
        .baton(["claim-lock", "--task", "T-1", "--owner", "bert"])
        .expect(0);
    assert_eq!(taken["data"]["result"], "CLAIMED");
    let late = bench.pipe(old.stdout.as_bytes(), ["intake-validate"]);
    assert_eq!(late.code, 1);
    assert!(
        late.findings().contains(&"LEASE_LOST".to_owned()),
        "{}",
        late.stdout
    );
    assert!(
        bench.task("claimed", "T-1").is_dir(),
        "the late worker moved the task"
    );
}

#[test]
fn loose_files_are_taken_in_and_bad_ones_are_kept_in_blocked() {
    let bench = Bench::new();
    let inbox = bench.queue().join("inbox");
    std::fs::write(inbox.join("2026__drop.json"), task("T-1", "P1").to_string()).unwrap();
    std::fs::write(inbox.join("broken.json"), "{ not json").unwrap();
    std::fs::write(inbox.join("large.json"), vec![b' '; 300 << 10]).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", inbox.join("link.json")).unwrap();
    assert_eq!(next(&bench), "T-1");
    assert!(bench.task("claimed", "T-1").join("task.json").is_file());
    let blocked: Vec<_> = std::fs::read_dir(bench.queue().join("blocked"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(blocked.len(), 2, "{blocked:?}");
    assert!(
        blocked.iter().any(
            |folder| std::fs::read_to_string(folder.join("task.json")).unwrap() == "{ not json"
        )
    );
    let large = blocked
        .iter()
        .map(|folder| folder.join("loose.json"))
        .find(|path| path.is_file());
    assert_eq!(
        std::fs::metadata(large.unwrap()).unwrap().len(),
        300 << 10,
        "its bytes stay"
    );
    assert!(
        inbox.join("link.json").symlink_metadata().is_ok(),
        "a link is left where it is"
    );
    // The same id in another case is another file system's same folder.
    std::fs::write(inbox.join("again.json"), task("t-1", "P1").to_string()).unwrap();
    assert_eq!(bench.baton(["claim-lock", "--next"]).code, 1);
    assert_eq!(
        std::fs::read_dir(bench.queue().join("blocked"))
            .unwrap()
            .count(),
        3
    );
}

#[test]
fn an_id_is_used_once_in_any_case_and_any_state() {
    let bench = Bench::new();
    bench.submit("Task-1", "src/**");
    next(&bench);
    let ran = bench.baton([
        "submit", "--id", "TASK-1", "--title", "t", "--goal", "g", "--allow", "a",
    ]);
    assert_eq!(ran.json()["code"], "TASK_EXISTS");
}

#[test]
fn stop_is_recorded_refuses_work_and_is_lifted_by_a_person() {
    let bench = Bench::with_waiting();
    bench.submit("T-2", "src/**");
    bench.baton(["stop", "--reason", "look first"]).expect(0);
    for line in [
        &["submit", "--title", "t", "--goal", "g", "--allow", "a"][..],
        &["claim-lock", "--next"],
        &["approve", "T-1"],
        &["retry", "T-1"],
        &["pr-merge-orchestrator", "--task", "T-1", "--execute"],
    ] {
        assert_eq!(bench.baton(line).code, 4, "{line:?}");
    }
    bench.baton(["resume"]).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    let actions = bench.baton(["audit", "summary"]).expect(0)["actions"].clone();
    assert_eq!(
        (&actions["STOP_SET"], &actions["STOP_LIFTED"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn a_task_that_did_not_run_stays_in_the_inbox_under_stop_and_is_not_retried() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let refused = bench.baton(["retry", "T-1"]).json();
    assert_eq!(refused["code"], "STATE_RULE");
    bench.baton(["stop"]).expect(0);
    assert_eq!(bench.baton(["run", "T-1"]).code, 4);
    bench.baton(["resume"]).expect(0);
    assert!(bench.task("inbox", "T-1").join("task.json").is_file());
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    bench
        .baton(["claim-lock", "--task", "T-1", "--release"])
        .expect(0);
    bench.baton(["retry", "T-1"]).expect(0);
}

#[test]
fn no_lease_is_longer_than_a_policy_can_give_and_nobody_looks_all_the_time() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let claim = ["claim-lock", "--task", "T-1", "--lease"];
    for line in [
        [&claim[..], &["25h"]].concat(),
        [&claim[..], &["9999d", "--renew"]].concat(),
        vec!["watchdog", "--every", "0s"],
        vec!["worker", "--poll", "0s"],
    ] {
        assert_eq!(bench.baton(&line).code, 2, "{line:?}");
    }
    bench.baton([&claim[..], &["24h"]].concat()).expect(0);
    assert_eq!(
        bench.baton(["doctor", "--queue"]).expect(0)["stuck"],
        json!([])
    );
}

#[test]
fn retry_keeps_the_last_attempt_and_has_an_end() {
    let bench = Bench::with_waiting();
    bench.baton(["retry", "T-1"]).expect(0);
    let kept = bench.task("inbox", "T-1").join("attempts/1");
    for name in ["candidate.json", "draft.patch", "envelopes", "evidence"] {
        assert!(kept.join(name).exists(), "{name}");
    }
    let again = bench.run_with("T-1", "T-1").expect(0);
    assert_eq!(again["task"]["state_after"], "pr");
    bench.baton(["retry", "T-1"]).expect(0);
    let last = bench.baton(["retry", "T-1"]);
    assert_eq!(
        (last.code, last.json()["code"].as_str().unwrap()),
        (3, "MAX_ATTEMPTS"),
        "{}",
        last.stdout
    );
}

#[test]
fn status_says_for_every_task_what_it_waits_for() {
    let bench = Bench::with_waiting();
    bench.submit("T-2", "src/**");
    bench.submit("T-3", "src/**");
    bench
        .baton(["claim-lock", "--task", "T-3", "--owner", "anna"])
        .expect(0);
    let status = bench.baton(["status"]).expect(0);
    for (id, part) in [
        ("T-1", "a person's approval (AUTO_MERGE)"),
        ("T-2", "a worker"),
        ("T-3", "anna"),
    ] {
        let task = status["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|task| task["task_id"] == id)
            .unwrap();
        assert!(task["waits_for"].as_str().unwrap().contains(part), "{task}");
        assert!(task["since"].as_str().unwrap().ends_with('Z'), "{task}");
    }
}

/// Sets `draft.command` to a shell line.
fn draft_with(bench: &Bench, line: &str) {
    bench.policy(|policy| policy["draft"]["command"] = json!(["sh", "-c", line]));
}

#[test]
fn a_command_drafts_from_a_prompt_and_its_framed_reply_becomes_the_candidate() {
    let bench = Bench::new();
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let reply = bench.patch_file(
        "reply",
        &format!(
            "---BEGIN_PATCH---\n{patch}---END_PATCH---\n---BEGIN_NOTES---\n- two\n---END_NOTES---\n"
        ),
    );
    let prompt = bench.scratch("prompt");
    draft_with(
        &bench,
        &format!("cat > {}; cat {}", prompt.display(), reply.display()),
    );
    bench
        .baton([
            "submit",
            "--id",
            "T-1",
            "--title",
            "Two",
            "--goal",
            "Print two",
            "--allow",
            "src/**",
            "--target",
            "src/app.sh",
        ])
        .expect(0);
    let done = bench
        .baton(["run", "T-1", "--producer", "command"])
        .expect(0);
    assert_eq!(done["decision"], "AUTO_MERGE", "{done}");
    let prompt = std::fs::read_to_string(prompt).unwrap();
    assert!(
        prompt.contains("Print two") && prompt.contains("echo 1"),
        "{prompt}"
    );
    assert!(
        std::fs::read_to_string(bench.task("pr", "T-1").join("rationale.md"))
            .unwrap()
            .contains("- two")
    );
}

#[test]
fn a_question_goes_to_blocked_and_a_cut_reply_is_kept() {
    let bench = Bench::new();
    draft_with(
        &bench,
        "cat >/dev/null; printf -- '---BEGIN_PATCH---\\n# NEED_INPUT\\n---END_PATCH---\\n---BEGIN_NOTES---\\n- Which file?\\n---END_NOTES---\\n'",
    );
    bench.submit("T-1", "src/**");
    let ran = bench.baton(["run", "T-1", "--producer", "command"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.findings().contains(&"NEED_INPUT".to_owned()),
        "{}",
        ran.stdout
    );
    let report: Value = serde_json::from_slice(
        &std::fs::read(bench.task("blocked", "T-1").join("report.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(
        (&report["status"], &report["questions"]),
        (&json!("NEED_INPUT"), &json!(["Which file?"]))
    );
    draft_with(
        &bench,
        "cat >/dev/null; printf -- '---BEGIN_PATCH---\\ndiff --git'",
    );
    bench.submit("T-2", "src/**");
    let ran = bench.baton(["run", "T-2", "--producer", "command"]);
    assert!(ran.stdout.contains("REPLY_CUT"), "{}", ran.stdout);
    let kept =
        std::fs::read_to_string(bench.task("blocked", "T-2").join("evidence/refused.txt")).unwrap();
    assert!(kept.ends_with("diff --git"));
}

#[test]
fn a_draft_that_a_killed_run_never_recorded_is_made_anew() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let path = bench.patch_file("x.patch", &text);
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    bench.baton(["intake-validate", "--task", "T-1"]).expect(0);
    // As a run leaves it that is killed between writing the patch and recording it.
    std::fs::write(bench.task("work", "T-1").join("draft.patch"), "half a pat").unwrap();
    let line = [
        "patch-draft",
        "--task",
        "T-1",
        "--from",
        path.to_str().unwrap(),
    ];
    bench.baton(line).expect(0);
    let kept = bench.task("work", "T-1").join("unrecorded/1-draft.patch");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "half a pat");
    assert_eq!(
        bench.baton(line).findings(),
        ["FILE_EXISTS"],
        "a recorded draft stays"
    );
}

#[test]
fn a_claim_that_died_before_its_move_is_taken_over_at_once() {
    let bench = Bench::new();
    put(&bench, "T-1", "P1");
    put(&bench, "T-2", "P1");
    bench.baton(["claim-lock", "--task", "T-2"]).expect(0);
    // The claimer of T-2 has ended; its lock in the inbox is what a kill before the move leaves.
    let lock = bench.task("claimed", "T-2").join(".lock");
    std::fs::copy(&lock, bench.task("inbox", "T-1").join(".lock")).unwrap();
    let taken = bench
        .baton(["claim-lock", "--task", "T-1", "--owner", "bert"])
        .expect(0);
    assert_eq!(taken["task"]["state_after"], "claimed");
    // A claim that was made stands until its lease is over, whoever has ended.
    assert_eq!(
        bench
            .baton(["claim-lock", "--task", "T-2", "--owner", "bert"])
            .findings(),
        ["LOCK_CONFLICT"]
    );
}
