//! The worker: what it takes, what it leaves behind, and how it ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Bench, Ran, ran};

/// The worker's name, by which tasks are handed to it.
pub(crate) const NAME: &str = "worker@box";

/// A reply that changes `src/app.sh`.
const REPLY: &str = "---BEGIN_PATCH---\ndiff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-echo 1\n+echo 2\n---END_PATCH---\n---BEGIN_NOTES---\n- another number\n---END_NOTES---\n";

/// A repository whose `draft.command` runs this script before it replies; `$DIR` is a folder for marks.
pub(crate) fn bench(before: &str, edit: impl FnOnce(&mut Value)) -> Bench {
    let bench = Bench::new();
    let marks = bench.scratch("marks");
    std::fs::create_dir(&marks).unwrap();
    let script = format!(
        "DIR='{}'\ncat > /dev/null\n{before}\ncat <<'END'\n{REPLY}END\n",
        marks.display()
    );
    bench.policy(|policy| {
        policy["draft"]["command"] = json!(["sh", "-c", script]);
        edit(policy);
    });
    bench
}

/// A script that says that it runs, and goes on once it may.
pub(crate) const WAITS: &str = "echo $$ > $DIR/at\nuntil [ -e $DIR/go ]; do sleep 0.05; done";

pub(crate) fn mark(bench: &Bench, name: &str) -> PathBuf {
    bench.scratch("marks").join(name)
}

/// Submits a task and hands it to the worker.
pub(crate) fn hand_over(bench: &Bench, id: &str) {
    bench.submit(id, "src/**");
    bench
        .baton(["claim-lock", "--task", id, "--owner", NAME])
        .expect(0);
}

pub(crate) fn worker(bench: &Bench, flags: &[&str]) -> Ran {
    let line = ["worker", "--owner", NAME];
    bench.baton(line.iter().chain(flags))
}

pub(crate) fn start(bench: &Bench, flags: &[&str]) -> Child {
    let line = ["worker", "--owner", NAME];
    let mut command = bench.command(line.iter().chain(flags));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

pub(crate) fn end(child: Child) -> Ran {
    ran(child.wait_with_output().unwrap())
}

/// Waits for something that must come; a minute is for machines that have much to do.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn events(bench: &Bench, id: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    // Somebody may be in the middle of the last line.
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let events = whole.lines().map(serde_json::from_str::<Value>);
    let events = events.map(Result::unwrap);
    events.filter(|event| event["task_id"] == id).collect()
}

pub(crate) fn count(bench: &Bench, id: &str, action: &str) -> usize {
    let events = events(bench, id).into_iter();
    events.filter(|event| event["action"] == action).count()
}

pub(crate) fn lock(bench: &Bench, state: &str, id: &str) -> PathBuf {
    bench.task(state, id).join(".lock")
}

const DRAFT: [&str; 4] = [
    "candidate.json",
    "draft.patch",
    "rationale.md",
    "report.json",
];

/// How many of a draft's files lie in a folder.
pub(crate) fn drafted(folder: &Path) -> usize {
    DRAFT
        .iter()
        .filter(|name| folder.join(name).exists())
        .count()
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn drafts_a_task_that_was_handed_to_it_and_the_task_goes_the_whole_way() {
    let bench = bench("", |_| {});
    hand_over(&bench, "T-1");
    let said = worker(&bench, &["--once"]).expect(0);
    assert_eq!((&said["drafted"], &said["refused"]), (&json!(1), &json!(0)));
    let task = bench.task("claimed", "T-1");
    assert_eq!(drafted(&task), 4);
    assert!(
        !lock(&bench, "claimed", "T-1").exists(),
        "it was not released"
    );
    let events = events(&bench, "T-1");
    let last: Vec<_> = events.iter().rev().take(3).rev().collect();
    let actions: Vec<_> = last.iter().map(|event| &event["action"]).collect();
    assert_eq!(
        actions,
        ["TASK_CLAIMED", "PATCH_PROPOSED", "LEASE_RELEASED"]
    );
    assert!(last.iter().all(|event| event["actor"] == "openclaw"));
    // There is nothing more to do.
    assert_eq!(worker(&bench, &["--once"]).expect(0)["drafted"], 0);
    let done = bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(done["task"]["state_after"], "pr", "{done}");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo 2");
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn stop_ends_a_running_draft_and_the_worker_goes_on_when_it_is_lifted() {
    let bench = bench(WAITS, |_| {});
    hand_over(&bench, "T-1");
    let child = start(&bench, &[]);
    until("the command runs", || mark(&bench, "at").exists());
    let pid = std::fs::read_to_string(mark(&bench, "at")).unwrap();
    bench.baton(["stop", "--reason", "test"]).expect(0);
    until("the task is released", || {
        !lock(&bench, "claimed", "T-1").exists()
    });
    assert!(!is_alive(&pid), "the command goes on");
    assert_eq!(drafted(&bench.task("claimed", "T-1")), 0);
    std::fs::write(mark(&bench, "go"), "").unwrap();
    bench.baton(["resume"]).expect(0);
    until("it is drafted", || {
        count(&bench, "T-1", "LEASE_RELEASED") == 2
    });
    signal(&child, Signal::TERM);
    let said = end(child).expect(0);
    assert_eq!(
        (&said["drafted"], &said["released"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(said["ended_by"], "SIGTERM");
    assert_eq!(drafted(&bench.task("claimed", "T-1")), 4);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_signal_stops_the_draft_or_waits_for_it_and_the_second_ends_at_once() {
    let bench = bench(WAITS, |_| {});
    hand_over(&bench, "T-1");
    for (one, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let child = start(&bench, &[]);
        until("the command runs", || mark(&bench, "at").exists());
        signal(&child, one);
        let said = end(child).expect(0);
        assert_eq!(
            (&said["released"], &said["ended_by"]),
            (&json!(1), &json!(name))
        );
        assert!(!lock(&bench, "claimed", "T-1").exists());
        assert_eq!(drafted(&bench.task("claimed", "T-1")), 0);
        std::fs::remove_file(mark(&bench, "at")).unwrap();
    }
    // With --drain the first one waits, and the second does not.
    let child = start(&bench, &["--drain"]);
    until("the command runs", || mark(&bench, "at").exists());
    let pid = std::fs::read_to_string(mark(&bench, "at")).unwrap();
    signal(&child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, Signal::TERM);
    let ended = end(child);
    assert!(ended.code == 143 || ended.code == 0, "{ended:?}");
    assert!(!is_alive(&pid), "the command goes on");
    assert_eq!(drafted(&bench.task("claimed", "T-1")), 0);
    std::fs::remove_file(mark(&bench, "at")).unwrap();
    lease_over(&bench, "T-1");
    let child = start(&bench, &["--drain"]);
    until("the command runs", || mark(&bench, "at").exists());
    signal(&child, Signal::TERM);
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let said = end(child).expect(0);
    assert_eq!(
        (&said["drafted"], &said["ended_by"]),
        (&json!(1), &json!("SIGTERM"))
    );
    assert_eq!(drafted(&bench.task("claimed", "T-1")), 4);
}

#[test]
fn who_kills_the_worker_kills_the_command_and_what_it_started() {
    let script = format!("sleep 600 & echo $! > $DIR/under\n{WAITS}");
    let bench = bench(&script, |_| {});
    hand_over(&bench, "T-1");
    let mut child = start(&bench, &[]);
    until("the command runs", || mark(&bench, "at").exists());
    let pids = ["at", "under"].map(|name| std::fs::read_to_string(mark(&bench, name)).unwrap());
    assert!(pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    until("the command is dead", || !is_alive(&pids[0]));
    until("what it started is dead", || !is_alive(&pids[1]));
}

/// Makes time pass for a lock, if there is one.
fn lease_over(bench: &Bench, id: &str) {
    let path = lock(bench, "claimed", id);
    if let Ok(bytes) = std::fs::read(&path) {
        let mut lock: Value = serde_json::from_slice(&bytes).unwrap();
        lock["lease_until"] = "2026-01-01T00:00:00Z".into();
        lock["boot_until_ms"] = 0.into();
        std::fs::write(&path, lock.to_string()).unwrap();
    }
}

#[test]
fn killed_at_any_point_a_task_is_held_for_a_while_or_drafted_whole() {
    const ROUNDS: u64 = 14;
    let bench = bench("sleep 0.2", |policy| {
        policy["caps"]["max_attempts"] = 100.into()
    });
    let mut random = 11_u64;
    let mut whole = 0;
    for round in 1..=ROUNDS {
        let id = format!("K-{round}");
        hand_over(&bench, &id);
        let mut child = start(&bench, &["--once"]);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((random >> 33) % 900));
        // It may have ended by itself by now.
        drop(child.kill());
        child.wait().unwrap();
        let task = bench.task("claimed", &id);
        let envelopes = std::fs::read_dir(task.join("envelopes")).unwrap();
        let names = envelopes.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let recorded = names.filter(|name| name.contains("patch-draft")).count();
        if recorded == 1 {
            assert_eq!(drafted(&task), 4, "{id}: recorded and not whole");
            assert_eq!(count(&bench, &id, "PATCH_PROPOSED"), 1);
            whole += 1;
        }
        // A lock has an end, and the next worker on this machine need not wait for it.
        if let Ok(held) = std::fs::read(lock(&bench, "claimed", &id)) {
            let held: Value = serde_json::from_slice(&held).unwrap();
            assert!(
                held["lease_until"].is_string(),
                "{id}: a lock without an end"
            );
        }
        let again = worker(&bench, &["--once"]).expect(0);
        assert_eq!(again["drafted"], u64::from(recorded == 0), "{id}: {again}");
        assert_eq!(drafted(&task), 4);
        bench.baton(["audit", "verify"]).expect(0);
    }
    assert!(whole < ROUNDS, "no kill came before a draft was whole");
    for round in 1..=ROUNDS {
        let id = format!("K-{round}");
        let done = bench.baton(["run", &id]);
        let state = &done.json()["task"]["state_after"];
        assert_eq!(state, "pr", "{id}: {done:?}");
    }
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_dead_model_is_asked_so_often_and_no_more() {
    let bench = bench("echo no server >&2; exit 7", |policy| {
        policy["caps"]["max_attempts"] = 2.into();
    });
    hand_over(&bench, "T-1");
    let said = worker(&bench, &["--max", "1"]);
    assert!(said.stderr.contains("no server"), "{said:?}");
    let said = said.expect(0);
    assert_eq!((&said["refused"], &said["left"]), (&json!(1), &json!([])));
    // It rests for a minute first, and is tried by nobody until then.
    let backoff = bench.task("claimed", "T-1").join("backoff.json");
    let rest: Value = serde_json::from_slice(&std::fs::read(&backoff).unwrap()).unwrap();
    assert_eq!(
        (&rest["failed"], &rest["reason"]),
        (&json!(1), &json!("DRAFT_FAILED"))
    );
    let released = events(&bench, "T-1").pop().unwrap();
    assert_eq!(
        released["meta"]["not_before"], rest["not_before"],
        "{released}"
    );
    let said = worker(&bench, &["--once"]).expect(0);
    assert_eq!((&said["refused"], &said["left"]), (&json!(0), &json!([])));
    std::fs::remove_file(&backoff).unwrap();
    let said = worker(&bench, &["--once"]).expect(1);
    assert_eq!(said["status"], "FAIL");
    let expected = (&json!(1), &json!(1), &json!(["T-1"]));
    assert_eq!(
        (&said["refused"], &said["released"], &said["left"]),
        expected
    );
    assert!(!lock(&bench, "claimed", "T-1").exists());
    let released = events(&bench, "T-1").pop().unwrap();
    assert_eq!(released["action"], "LEASE_RELEASED");
    assert_eq!(released["meta"]["failed"], "DRAFT_FAILED", "{released}");
    // A worker that starts anew does not begin to count anew.
    let said = worker(&bench, &["--once"]).expect(0);
    assert_eq!(
        (&said["refused"], &said["left"]),
        (&json!(0), &json!(["T-1"]))
    );
    bench.baton(["stop", "--reason", "test"]).expect(0);
    let said = worker(&bench, &["--once"]);
    assert!(said.stderr.contains("STOP"), "{said:?}");
    assert_eq!(said.expect(4)["status"], "ZERO_STOP");
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_question_goes_to_blocked_and_is_counted() {
    let asks = "printf -- '---BEGIN_PATCH---\\n# NEED_INPUT\\n---END_PATCH---\\n---BEGIN_NOTES---\\nwhich?\\n---END_NOTES---\\n'; exit 0";
    let bench = bench(asks, |_| {});
    hand_over(&bench, "T-1");
    assert_eq!(worker(&bench, &["--max", "1"]).expect(0)["need_input"], 1);
    assert!(bench.task("blocked", "T-1").is_dir());
    bench.baton(["audit", "verify"]).expect(0);
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_lost_lease_throws_the_draft_away_with_an_event_and_nothing_is_written() {
    let bench = bench(WAITS, |_| {});
    hand_over(&bench, "T-1");
    let child = start(&bench, &["--once"]);
    until("the command runs", || mark(&bench, "at").exists());
    let path = lock(&bench, "claimed", "T-1");
    let mut other: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    other["owner"] = "somebody@else".into();
    other["fence"] = (other["fence"].as_u64().unwrap() + 5).into();
    let other = other.to_string();
    let task = bench.task("claimed", "T-1");
    let before = (listing(&task), listing(&task.join("envelopes")));
    std::fs::write(&path, &other).unwrap();
    // Whether it is seen while the command runs or before the files are written is all the same.
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let said = end(child).expect(1);
    assert_eq!((&said["lost"], &said["drafted"]), (&json!(1), &json!(0)));
    assert_eq!((listing(&task), listing(&task.join("envelopes"))), before);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
    let last = events(&bench, "T-1").pop().unwrap();
    assert_eq!(last["findings"][0]["code"], "LEASE_LOST", "{last}");
}

#[test]
fn the_lease_is_renewed_while_a_draft_takes_longer() {
    let bench = bench(WAITS, |policy| policy["caps"]["lease_seconds"] = 10.into());
    hand_over(&bench, "T-1");
    let child = start(&bench, &["--once"]);
    until("it is renewed", || {
        count(&bench, "T-1", "LEASE_RENEWED") > 1
    });
    std::fs::write(mark(&bench, "go"), "").unwrap();
    assert_eq!(end(child).expect(0)["drafted"], 1);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn what_another_holds_is_left_to_them() {
    let bench = bench("", |_| {});
    bench.submit("T-1", "src/**");
    bench
        .baton(["claim-lock", "--task", "T-1", "--owner", "me@here"])
        .expect(0);
    let held = std::fs::read(lock(&bench, "claimed", "T-1")).unwrap();
    assert_eq!(worker(&bench, &["--once"]).expect(0)["drafted"], 0);
    assert_eq!(std::fs::read(lock(&bench, "claimed", "T-1")).unwrap(), held);
    assert_eq!(drafted(&bench.task("claimed", "T-1")), 0);
    lease_over(&bench, "T-1");
    assert_eq!(worker(&bench, &["--once"]).expect(0)["drafted"], 1);
}

#[test]
fn two_workers_of_one_name_draft_no_task_twice() {
    const TASKS: usize = 5;
    let bench = bench("sleep 0.1", |_| {});
    let ids: Vec<_> = (1..=TASKS).map(|number| format!("T-{number}")).collect();
    for id in &ids {
        hand_over(&bench, id);
    }
    let (one, other) = (
        start(&bench, &["--idle", "1s"]),
        start(&bench, &["--idle", "1s"]),
    );
    let said = [end(one).expect(0), end(other).expect(0)];
    let all: u64 = said
        .iter()
        .map(|said| said["drafted"].as_u64().unwrap())
        .sum();
    assert_eq!(all, TASKS as u64, "{said:?}");
    for id in &ids {
        assert_eq!(count(&bench, id, "PATCH_PROPOSED"), 1, "{id}");
        assert_eq!(drafted(&bench.task("claimed", id)), 4, "{id}");
    }
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_task_that_breaks_a_rule_is_sent_to_no_model() {
    let bench = bench("touch $DIR/asked", |_| {});
    hand_over(&bench, "T-1");
    let path = bench.task("claimed", "T-1").join("task.json");
    let mut task: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    task["scope"]["allow_patch_on_files"] = json!([".git/config"]);
    std::fs::write(&path, task.to_string()).unwrap();
    let said = worker(&bench, &["--once"]).expect(1);
    assert_eq!(
        (&said["refused"], &said["released"]),
        (&json!(1), &json!(1))
    );
    assert!(!mark(&bench, "asked").exists());
}

#[test]
fn a_worker_is_openclaw_and_nobody_else() {
    let bench = bench("", |_| {});
    let ran = bench.baton(["worker", "--once", "--actor", "human"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(bench.baton(["worker", "--once", "--owner", "a/b"]).code, 2);
}
