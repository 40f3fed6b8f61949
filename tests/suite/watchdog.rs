//! The watchdog: what it takes back, what it mends, and what it leaves alone.

use std::process::Stdio;

use baton_core::clock;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bench, Ran};
use crate::worker::{self, NAME, WAITS, count, events, hand_over, lock, mark, start, until};

pub(crate) fn watchdog(bench: &Bench, flags: &[&str]) -> Ran {
    bench.baton(["watchdog", "--once"].iter().chain(flags))
}

/// Claims a task in the name of somebody who does not come back.
pub(crate) fn claim(bench: &Bench, id: &str) {
    let line = ["claim-lock", "--task", id, "--owner", "anna"];
    bench.baton(line).expect(0);
}

/// Changes a lock.
pub(crate) fn edit_lock(bench: &Bench, state: &str, id: &str, edit: impl FnOnce(&mut Value)) {
    let path = lock(bench, state, id);
    let mut held = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut held);
    std::fs::write(path, held.to_string()).unwrap();
}

/// Makes time pass for a lock.
pub(crate) fn lapse(bench: &Bench, state: &str, id: &str) {
    edit_lock(bench, state, id, |held| {
        held["lease_until"] = "2026-01-01T00:00:00Z".into();
        held["boot_until_ms"] = 0.into();
    });
}

/// Makes time pass for a task that rests.
fn rested(bench: &Bench, id: &str) {
    let path = bench.task("inbox", id).join("backoff.json");
    let mut backoff: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    backoff["not_before"] = "2026-01-01T00:00:00Z".into();
    backoff["boot_not_before_ms"] = 0.into();
    std::fs::write(path, backoff.to_string()).unwrap();
}

/// Puts a task's folder where a crash would have left it.
pub(crate) fn put_back(bench: &Bench, id: &str, from: &str, to: &str) {
    std::fs::rename(bench.task(from, id), bench.task(to, id)).unwrap();
}

pub(crate) fn whats(said: &Value) -> Vec<&str> {
    let acts = said["acts"].as_array().unwrap();
    acts.iter()
        .map(|act| act["what"].as_str().unwrap())
        .collect()
}

#[test]
fn a_claim_whose_lease_is_over_goes_back_to_the_inbox_and_rests() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    claim(&bench, "T-1");
    assert_eq!(
        whats(&watchdog(&bench, &[]).expect(0)),
        [""; 0],
        "it is held"
    );
    lapse(&bench, "claimed", "T-1");
    let planned = watchdog(&bench, &["--plan"]).expect(0);
    assert_eq!(whats(&planned), ["RECLAIMED"]);
    assert!(
        bench.task("claimed", "T-1").is_dir(),
        "a plan changes nothing"
    );
    assert_eq!(count(&bench, "T-1", "TASK_RECLAIMED"), 0);
    let said = watchdog(&bench, &[]).expect(0);
    assert_eq!(whats(&said), ["RECLAIMED"]);
    assert!(!lock(&bench, "inbox", "T-1").exists());
    let event = events(&bench, "T-1").pop().unwrap();
    assert_eq!(
        (&event["actor"], &event["meta"]["reason"]),
        (&json!("system"), &json!("LEASE_OVER"))
    );
    assert_eq!(
        (&event["from_state"], &event["to_state"]),
        (&json!("claimed"), &json!("inbox"))
    );
    assert!(
        event["approvals"]
            .to_string()
            .contains("standing=standing-move"),
        "{event}"
    );
    let time = |text: &Value| clock::parse_rfc3339(text.as_str().unwrap()).unwrap();
    let rest = time(&event["meta"]["not_before"])
        .duration_since(time(&event["ts"]))
        .unwrap();
    assert!((50..=75).contains(&rest.as_secs()), "{rest:?}");
    // It rests for those who take what is next, and a person may take it by name.
    assert_eq!(
        bench.baton(["claim-lock", "--next"]).findings(),
        ["TASK_NOT_FOUND"]
    );
    let by_name = bench.copy();
    claim(&by_name, "T-1");
    rested(&bench, "T-1");
    bench.baton(["claim-lock", "--next"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_task_that_nobody_comes_back_from_goes_to_a_person_at_max_attempts() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    for round in 1..=2 {
        claim(&bench, "T-1");
        lapse(&bench, "claimed", "T-1");
        assert_eq!(
            whats(&watchdog(&bench, &[]).expect(0)),
            ["RECLAIMED"],
            "round {round}"
        );
        rested(&bench, "T-1");
    }
    claim(&bench, "T-1");
    lapse(&bench, "claimed", "T-1");
    assert_eq!(whats(&watchdog(&bench, &[]).expect(0)), ["SPENT"]);
    assert!(!lock(&bench, "blocked", "T-1").exists());
    let report = bench.task("blocked", "T-1").join("incident/incident.md");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        report.contains("ATTEMPTS_SPENT") && report.contains("try 3 of 3"),
        "{report}"
    );
    let last = events(&bench, "T-1").pop().unwrap();
    assert_eq!(
        (&last["action"], &last["actor"]),
        (&json!("INCIDENT_RAISED"), &json!("system"))
    );
    // A person puts it back, and the count begins anew.
    bench.baton(["retry", "T-1"]).expect(0);
    claim(&bench, "T-1");
    lapse(&bench, "claimed", "T-1");
    assert_eq!(whats(&watchdog(&bench, &[]).expect(0)), ["RECLAIMED"]);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_worker_that_was_killed_is_seen_at_once_and_a_claim_by_hand_is_not() {
    let bench = worker::bench(WAITS, |_| {});
    hand_over(&bench, "T-1");
    let mut child = start(&bench, &["--once"]);
    until("the command runs", || mark(&bench, "at").exists());
    assert_eq!(
        whats(&watchdog(&bench, &[]).expect(0)),
        [""; 0],
        "it is at work"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let said = watchdog(&bench, &[]).expect(0);
    assert_eq!(whats(&said), ["RECLAIMED"]);
    let event = events(&bench, "T-1").pop().unwrap();
    assert_eq!(event["meta"]["reason"], "OWNER_DEAD", "{event}");
    // The process of a claim in a shell is always gone, and its owner is not.
    bench.submit("T-2", "src/**");
    claim(&bench, "T-2");
    assert_eq!(whats(&watchdog(&bench, &[]).expect(0)), [""; 0]);
    // On another machine, or in another namespace, a pid says nothing.
    edit_lock(&bench, "claimed", "T-2", |held| {
        held["of_process"] = true.into();
        held["host"] = "elsewhere".into();
        held["boot_id"] = "another".into();
    });
    assert_eq!(whats(&watchdog(&bench, &[]).expect(0)), [""; 0]);
}

#[test]
fn what_an_owner_who_is_gone_had_drafted_is_gone_on_from() {
    let bench = worker::bench("", |_| {});
    hand_over(&bench, "T-1");
    assert_eq!(worker::worker(&bench, &["--once"]).expect(0)["drafted"], 1);
    bench.baton(["intake-validate", "--task", "T-1"]).expect(0);
    claim(&bench, "T-1");
    lapse(&bench, "work", "T-1");
    assert_eq!(whats(&watchdog(&bench, &[]).expect(0)), ["RECLAIMED"]);
    let done = bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(done["task"]["state_after"], "pr", "{done}");
    assert_eq!(count(&bench, "T-1", "PATCH_PROPOSED"), 1);
}

#[test]
fn stop_halts_it_and_the_policy_says_whether_it_may_move() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    claim(&bench, "T-1");
    lapse(&bench, "claimed", "T-1");
    bench.baton(["stop"]).expect(0);
    assert_eq!(watchdog(&bench, &[]).expect(4)["code"], "STOP_PRESENT");
    bench.baton(["resume"]).expect(0);
    bench.policy(|policy| {
        let standing = policy["standing_approvals"].as_array_mut().unwrap();
        standing.retain(|one| one["id"] != "standing-move");
    });
    assert_eq!(watchdog(&bench, &[]).expect(3)["code"], "APPROVAL_REQUIRED");
    assert_eq!(watchdog(&bench, &["--actor", "human"]).code, 2);
    assert!(bench.task("claimed", "T-1").is_dir());
    assert_eq!(count(&bench, "T-1", "TASK_RECLAIMED"), 0);
}

/// A move that a crash left half done: how it comes about, what becomes of it, and where the task is then.
struct Cut {
    make: fn(&Bench),
    what: &'static str,
    action: &'static str,
    state: &'static str,
}

#[test]
fn a_move_that_a_crash_cut_in_two_is_completed_or_taken_back() {
    let validated = |bench: &Bench| {
        claim(bench, "T-1");
        bench.baton(["intake-validate", "--task", "T-1"]).expect(0);
        put_back(bench, "T-1", "work", "claimed");
    };
    let cuts = [
        Cut {
            make: |bench| {
                claim(bench, "T-1");
                put_back(bench, "T-1", "claimed", "inbox");
            },
            what: "UNDONE",
            action: "MOVE_UNDONE",
            state: "inbox",
        },
        Cut {
            make: validated,
            what: "COMPLETED",
            action: "MOVE_COMPLETED",
            state: "work",
        },
        Cut {
            make: |bench| {
                claim(bench, "T-1");
                bench.baton(["intake-validate", "--task", "T-1"]).expect(0);
                let kept = bench.task("work", "T-1").join("envelopes");
                let last = std::fs::read_dir(&kept)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .max();
                std::fs::remove_file(last.unwrap()).unwrap();
                put_back(bench, "T-1", "work", "claimed");
            },
            what: "UNDONE",
            action: "MOVE_UNDONE",
            state: "claimed",
        },
        Cut {
            make: |bench| {
                claim(bench, "T-1");
                let line = [
                    "claim-lock",
                    "--task",
                    "T-1",
                    "--owner",
                    "anna",
                    "--release",
                ];
                bench.baton(line).expect(0);
                put_back(bench, "T-1", "inbox", "claimed");
            },
            what: "COMPLETED",
            action: "MOVE_COMPLETED",
            state: "inbox",
        },
        Cut {
            make: |bench| {
                let text = bench
                    .patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
                let path = bench.patch_file("x.patch", &text);
                bench
                    .baton(["run", "T-1", "--from", path.to_str().unwrap()])
                    .expect(0);
                bench.baton(["retry", "T-1"]).expect(0);
                put_back(bench, "T-1", "inbox", "pr");
                let task = bench.task("pr", "T-1");
                let moved = task.join("attempts/1/draft.patch");
                std::fs::rename(moved, task.join("draft.patch")).unwrap();
            },
            what: "COMPLETED",
            action: "MOVE_COMPLETED",
            state: "inbox",
        },
    ];
    for (at, cut) in cuts.iter().enumerate() {
        let bench = Bench::new();
        bench.submit("T-1", "src/**");
        (cut.make)(&bench);
        assert_ne!(bench.baton(["audit", "verify"]).code, 0, "cut {at}");
        assert_eq!(
            whats(&watchdog(&bench, &[]).expect(0)),
            [cut.what],
            "cut {at}"
        );
        assert!(bench.task(cut.state, "T-1").is_dir(), "cut {at}");
        let last = events(&bench, "T-1").pop().unwrap();
        assert_eq!(
            (&last["action"], &last["actor"]),
            (&json!(cut.action), &json!("system")),
            "cut {at}"
        );
        if cut.state == "inbox" {
            assert!(!lock(&bench, "inbox", "T-1").exists(), "cut {at}");
            bench
                .baton(["claim-lock", "--task", "T-1", "--owner", "bert"])
                .expect(0);
        }
        assert_eq!(
            whats(&watchdog(&bench, &[]).expect(0)),
            [""; 0],
            "cut {at}: done twice"
        );
        bench.baton(["audit", "verify"]).expect(0);
    }
}

#[test]
fn a_folder_that_somebody_moved_by_hand_is_left_to_them() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    put_back(&bench, "T-1", "inbox", "pr");
    assert_eq!(whats(&watchdog(&bench, &[]).expect(0)), [""; 0]);
    assert!(bench.task("pr", "T-1").is_dir());
}

#[test]
fn four_watchdogs_at_once_do_everything_once() {
    const TASKS: usize = 12;
    let bench = Bench::new();
    let ids: Vec<_> = (0..TASKS).map(|number| format!("T-{number}")).collect();
    for (at, id) in ids.iter().enumerate() {
        bench.submit(id, "src/**");
        claim(&bench, id);
        match at % 3 {
            0 => put_back(&bench, id, "claimed", "inbox"),
            _ => lapse(&bench, "claimed", id),
        }
    }
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = bench.command(["watchdog", "--once"]);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(
        whats(&watchdog(&bench, &[]).expect(0)),
        [""; 0],
        "something was left"
    );
    for (at, id) in ids.iter().enumerate() {
        let (reclaimed, undone) = (
            count(&bench, id, "TASK_RECLAIMED"),
            count(&bench, id, "MOVE_UNDONE"),
        );
        let expected = if at % 3 == 0 { (0, 1) } else { (1, 0) };
        assert_eq!((reclaimed, undone), expected, "{id}");
        assert!(bench.task("inbox", id).is_dir(), "{id}");
    }
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_worker_does_the_same_by_its_grant_and_without_one_not_at_all() {
    let bench = worker::bench("", |_| {});
    bench.submit("T-1", "src/**");
    claim(&bench, "T-1");
    bench.baton(["intake-validate", "--task", "T-1"]).expect(0);
    // Two tasks: the worker takes one itself, so the other one shows what it does beside.
    lapse(&bench, "work", "T-1");
    let granted = bench.copy();
    worker::worker(&bench, &["--once"]).expect(0);
    assert_eq!(count(&bench, "T-1", "TASK_RECLAIMED"), 0);
    granted.policy(|policy| {
        policy["draft"]["worker"] = json!({"claims": "granted", "owner": NAME, "approval": "worker-move"});
        let grant = json!({
            "id": "worker-move", "actors": ["system"], "tool_classes": ["MOVE"], "approved_by": "Op <op@baton.example>",
            "approved_at": "2026-01-01T00:00:00Z", "until": "2036-01-01T00:00:00Z", "reason": "The worker claims."
        });
        policy["standing_approvals"].as_array_mut().unwrap().push(grant);
    });
    let said = worker::worker(&granted, &["--once"]).expect(0);
    assert_eq!(said["drafted"], 0, "it rests: {said}");
    let event = events(&granted, "T-1").pop().unwrap();
    assert_eq!(event["action"], "TASK_RECLAIMED", "{event}");
    assert!(
        event["approvals"]
            .to_string()
            .contains("standing=worker-move"),
        "{event}"
    );
    let lines = std::fs::read_to_string(granted.queue().join("audit/events.ndjson")).unwrap();
    assert!(
        !lines.contains("TASK_NOT_FOUND"),
        "it asked for a task that rests"
    );
    granted.baton(["audit", "verify"]).expect(0);
}

#[test]
fn it_watches_until_it_is_told_to_end_and_rests_while_stop_is_on() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    claim(&bench, "T-1");
    bench.baton(["stop"]).expect(0);
    let mut command = bench.command(["watchdog", "--every", "20ms"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lapse(&bench, "claimed", "T-1");
    // What is refused is in no hurry to be recorded: a second watchdog says that STOP is on.
    assert_eq!(watchdog(&bench, &[]).code, 4);
    assert_eq!(count(&bench, "T-1", "TASK_RECLAIMED"), 0);
    bench.baton(["resume"]).expect(0);
    until("it is taken back", || {
        count(&bench, "T-1", "TASK_RECLAIMED") == 1
    });
    worker::signal(&child, Signal::TERM);
    let said = worker::end(child).expect(0);
    assert_eq!(
        (&said["ended_by"], &said["counts"]),
        (&json!("SIGTERM"), &json!({"RECLAIMED": 1}))
    );
}

#[test]
fn a_queue_that_stands_still_is_logged_once() {
    let bench = Bench::new();
    let stalled = |bench: &Bench| {
        let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
        log.matches("QUEUE_STALLED").count()
    };
    let look = || watchdog(&bench, &["--patience", "0s"]).expect(0);
    look();
    assert_eq!(stalled(&bench), 0, "nothing waits");
    bench.submit("T-1", "src/**");
    watchdog(&bench, &[]).expect(0);
    assert_eq!(stalled(&bench), 0, "it waits for no time at all");
    assert!(look()["stalled_since"].is_string());
    assert!(look()["stalled_since"].is_null());
    assert_eq!(stalled(&bench), 1);
    claim(&bench, "T-1");
    look();
    assert_eq!(stalled(&bench), 2, "something moved in between");
    bench.baton(["audit", "verify"]).expect(0);
}
