//! The dispatcher: what runs at one time, in which order, and how it ends.

use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::Bench;
use crate::worker::{count, end, events, lock, mark, signal, until};

/// A repository whose `draft.command` adds a file `src/<id>/x` for the task `<id>`; what comes before runs
/// with the id in `$ID` and a folder for marks in `$DIR`.
fn bench(before: &str) -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.scratch("marks")).unwrap();
    let script = format!(
        "DIR='{}'\nID=$(sed -n 's/.*make \\([A-Za-z0-9-]*\\) now.*/\\1/p' | head -n 1)\n{before}\ncat <<END\n---BEGIN_PATCH---\ndiff --git a/src/$ID/x b/src/$ID/x\nnew file mode 100644\n--- /dev/null\n+++ b/src/$ID/x\n@@ -0,0 +1 @@\n+1\n---END_PATCH---\n---BEGIN_NOTES---\n- a file\n---END_NOTES---\nEND\n",
        bench.scratch("marks").display()
    );
    bench.policy(|policy| policy["draft"]["command"] = json!(["sh", "-c", script]));
    bench
}

/// A script that says that it runs, and goes on once it may.
const WAITS: &str = "echo $$ > $DIR/at-$ID\nuntil [ -e $DIR/go ]; do sleep 0.05; done";

fn submit(bench: &Bench, id: &str, allow: &str, more: &[&str]) {
    let goal = format!("make {id} now");
    let line = [
        "submit", "--id", id, "--title", "A file", "--goal", &goal, "--allow", allow,
    ];
    bench.baton(line.iter().chain(more)).expect(0);
}

fn start(bench: &Bench, flags: &[&str]) -> Child {
    let line = ["run", "--watch", "--producer", "command"];
    let mut command = bench.command(line.iter().chain(flags));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn dispatch(bench: &Bench, flags: &[&str]) -> Value {
    end(start(bench, flags)).expect(0)
}

/// From which to which line of the log a task ran.
fn span(bench: &Bench, id: &str) -> (u64, u64) {
    let events = events(bench, id);
    let at = |action: &str| {
        let found = events.iter().find(|event| event["action"] == action);
        found.unwrap_or_else(|| panic!("{id} has no {action}"))["seq"]
            .as_u64()
            .unwrap()
    };
    (at("TASK_CLAIMED"), at("DECISION_MADE"))
}

#[test]
fn a_producer_that_the_policy_does_not_have_ends_it() {
    let bench = Bench::new();
    submit(&bench, "T-1", "src/**", &[]);
    submit(&bench, "T-2", "src/**", &[]);
    let ran = end(start(&bench, &["--idle", "20s"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("set draft.command"), "{ran:?}");
    assert!(bench.task("inbox", "T-1").is_dir());
}

#[test]
fn tasks_that_may_change_one_file_never_run_at_one_time() {
    let bench = bench("mkdir $DIR/one || echo $ID > $DIR/clash; sleep 0.3; rmdir $DIR/one");
    for id in ["T-1", "T-2", "T-3"] {
        submit(&bench, id, "src/**", &[]);
    }
    let said = dispatch(&bench, &["--parallel", "3", "--max", "3"]);
    assert_eq!(
        (&said["begun"], &said["counts"]),
        (&json!(3), &json!({"pr": 3})),
        "{said}"
    );
    assert!(!mark(&bench, "clash").exists());
    let mut spans: Vec<_> = ["T-1", "T-2", "T-3"].map(|id| span(&bench, id)).to_vec();
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 < pair[1].0),
        "{spans:?}"
    );
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn tasks_that_lie_apart_run_at_one_time_and_no_more_than_allowed() {
    // Each waits for the other, and neither for a third.
    let bench = bench(
        "touch $DIR/at-$ID; if [ $ID = T-3 ]; then [ -e $DIR/both ] || touch $DIR/early; exec sleep 0; fi
        until [ -e $DIR/at-T-1 ] && [ -e $DIR/at-T-2 ]; do sleep 0.05; done; sleep 0.3; touch $DIR/both",
    );
    for id in ["T-1", "T-2", "T-3"] {
        submit(&bench, id, &format!("src/{id}/*"), &[]);
    }
    let said = dispatch(&bench, &["--parallel", "2", "--max", "3"]);
    assert_eq!(said["counts"]["pr"], 2, "{said}");
    assert!(!mark(&bench, "early").exists(), "three ran at one time");
}

#[test]
fn two_dispatchers_share_the_work_and_take_no_task_twice() {
    let bench = bench("sleep 0.2");
    let ids: Vec<_> = (1..=6).map(|number| format!("T-{number}")).collect();
    for id in &ids {
        // The last three are in each other's way.
        let allow = match id.as_str() {
            "T-1" | "T-2" | "T-3" => format!("src/{id}/*"),
            _ => "src/T-[456]/*".to_owned(),
        };
        submit(&bench, id, &allow, &[]);
    }
    let flags = ["--parallel", "2", "--idle", "2s"];
    let both = [start(&bench, &flags), start(&bench, &flags)];
    let said = both.map(|child| end(child).expect(0));
    let begun: u64 = said
        .iter()
        .map(|said| said["begun"].as_u64().unwrap())
        .sum();
    assert_eq!(begun, 6, "{said:?}");
    for id in &ids {
        assert_eq!(count(&bench, id, "DECISION_MADE"), 1, "{id}");
    }
    let mut spans = ["T-4", "T-5", "T-6"].map(|id| span(&bench, id));
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 < pair[1].0),
        "{spans:?}"
    );
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn the_order_is_priority_then_due_time_then_age_and_nothing_passes_what_waits() {
    let bench = bench("[ $ID != T-1 ] || until [ -e $DIR/go ]; do sleep 0.05; done");
    submit(&bench, "T-1", "src/T-1/*", &["--priority", "P0"]);
    let child = start(&bench, &["--parallel", "6", "--max", "5"]);
    until("the first runs", || {
        count(&bench, "T-1", "TASK_VALIDATED") == 1
    });
    // All of these wait for the first but T-5, which stands behind one that waits.
    submit(&bench, "T-2", "src/**", &["--priority", "P1"]);
    submit(
        &bench,
        "T-3",
        "src/**",
        &["--priority", "P1", "--due", "2099-01-02T00:00:00Z"],
    );
    submit(
        &bench,
        "T-4",
        "**",
        &["--priority", "P1", "--due", "2099-01-02T00:00:00+09:00"],
    );
    submit(&bench, "T-5", "docs/**", &[]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&bench, "T-5", "TASK_CLAIMED"), 0);
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let said = end(child).expect(0);
    assert_eq!(said["begun"], 5, "{said}");
    let claimed = |id| {
        events(&bench, id)
            .iter()
            .find(|event| event["action"] == "TASK_CLAIMED")
            .unwrap()["seq"]
            .as_u64()
    };
    let order = ["T-1", "T-4", "T-3", "T-2"].map(claimed);
    assert!(order.is_sorted(), "{order:?}");
    assert!(claimed("T-4") < claimed("T-5"));
}

#[test]
fn a_task_that_comes_while_it_waits_is_begun_at_once() {
    let bench = bench("");
    // What nothing wakes for would be seen in ten minutes.
    let child = start(&bench, &["--poll", "10m", "--max", "3"]);
    submit(&bench, "T-1", "src/**", &[]);
    until("the first is done", || {
        count(&bench, "T-1", "DECISION_MADE") == 1
    });
    std::thread::sleep(Duration::from_secs(1));
    submit(&bench, "T-2", "src/**", &[]);
    until("the second is done", || {
        count(&bench, "T-2", "DECISION_MADE") == 1
    });
    std::thread::sleep(Duration::from_secs(1));
    // The brief's form: a file that somebody drops.
    let task = json!({"task_id": "T-3", "title": "A file", "goal": "make T-3 now",
        "scope": {"allow_patch_on_files": ["src/**"]}});
    std::fs::write(bench.queue().join("inbox/dropped.json"), task.to_string()).unwrap();
    let said = end(child).expect(0);
    assert_eq!(
        (&said["ended_by"], &said["counts"]["pr"]),
        (&json!("max"), &json!(3)),
        "{said}"
    );
}

#[test]
fn stop_halts_what_runs_and_nothing_is_begun_until_it_is_lifted() {
    let bench = bench(WAITS);
    submit(&bench, "T-1", "src/T-1/*", &[]);
    let child = start(&bench, &["--poll", "10m"]);
    until("the command runs", || mark(&bench, "at-T-1").exists());
    bench.baton(["stop", "--reason", "test"]).expect(0);
    until("the task is blocked", || {
        bench.task("blocked", "T-1").is_dir()
    });
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let task = json!({"task_id": "T-2", "title": "A file", "goal": "make T-2 now",
        "scope": {"allow_patch_on_files": ["src/T-2/*"]}});
    std::fs::write(bench.queue().join("inbox/dropped.json"), task.to_string()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        bench.queue().join("inbox/dropped.json").exists(),
        "begun under STOP"
    );
    bench.baton(["resume"]).expect(0);
    until("the second is done", || {
        count(&bench, "T-2", "DECISION_MADE") == 1
    });
    signal(&child, Signal::TERM);
    assert_eq!(end(child).expect(0)["ended_by"], "SIGTERM");
}

/// How long after STOP was recorded a run said that it saw it; the times are those of the log's lines.
fn stopped_after(bench: &Bench, id: &str) -> Duration {
    let at = |action: &str, id: &str| {
        let events = events(bench, id).into_iter().rev();
        let line = events.into_iter().find(|event| event["action"] == action);
        baton_core::clock::parse_rfc3339(line.unwrap()["ts"].as_str().unwrap()).unwrap()
    };
    // The switch comes before its line, so who is quick is before that.
    let took = at("STOP_DETECTED", id).duration_since(at("STOP_SET", "-"));
    took.unwrap_or_default()
}

#[test]
fn stop_is_seen_within_a_second() {
    let bench = bench(WAITS);
    let child = start(&bench, &["--poll", "10m"]);
    // A machine that has much to do may be late, and not each time.
    let took: Vec<_> = (1..=4)
        .map(|number| {
            let id = format!("T-{number}");
            submit(&bench, &id, "src/**", &[]);
            until("the command runs", || {
                mark(&bench, &format!("at-{id}")).exists()
            });
            bench.baton(["stop", "--reason", "test"]).expect(0);
            until("the task is blocked", || {
                bench.task("blocked", &id).is_dir()
            });
            bench.baton(["resume"]).expect(0);
            stopped_after(&bench, &id)
        })
        .collect();
    signal(&child, Signal::TERM);
    assert_eq!(end(child).expect(0)["counts"], json!({"blocked": 4}));
    assert!(
        took.iter().any(|took| *took < Duration::from_secs(1)),
        "{took:?}"
    );
}

#[test]
fn a_signal_lets_what_runs_end_and_the_second_gives_it_back() {
    let bench = bench(WAITS);
    submit(&bench, "T-1", "src/T-1/*", &[]);
    submit(&bench, "T-2", "src/T-2/*", &[]);
    let child = start(&bench, &[]);
    until("the command runs", || mark(&bench, "at-T-1").exists());
    signal(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let ended = end(child);
    assert!(ended.stderr.contains("still run"), "{ended:?}");
    let said = ended.expect(0);
    assert_eq!(
        (&said["ended_by"], &said["counts"]),
        (&json!("SIGINT"), &json!({"pr": 1}))
    );
    assert_eq!(
        count(&bench, "T-2", "TASK_CLAIMED"),
        0,
        "it began another one"
    );
    std::fs::remove_file(mark(&bench, "go")).unwrap();
    let child = start(&bench, &[]);
    until("the command runs", || mark(&bench, "at-T-2").exists());
    signal(&child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, Signal::TERM);
    let ended = end(child);
    assert!(ended.code == 143 || ended.code == 0, "{ended:?}");
    let task = bench.task("inbox", "T-2");
    assert!(!task.join(".lock").exists(), "{ended:?}");
    assert!(task.join("backoff.json").exists(), "it does not rest");
    let released = events(&bench, "T-2").pop().unwrap();
    assert_eq!(
        (&released["action"], &released["meta"]["failed"]),
        (&json!("LEASE_RELEASED"), &json!("RUN_FAILED"))
    );
    std::fs::write(mark(&bench, "go"), "").unwrap();
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn one_that_goes_wrong_is_blocked_and_the_next_goes_on() {
    let bench = bench("[ $ID = T-2 ] || exit 7");
    submit(&bench, "T-1", "src/**", &["--priority", "P0"]);
    submit(&bench, "T-2", "src/**", &[]);
    let said = dispatch(&bench, &["--max", "2"]);
    assert_eq!(said["counts"], json!({"blocked": 1, "pr": 1}), "{said}");
}

#[test]
fn the_place_of_a_task_that_failed_rests_and_the_others_go_on() {
    let bench = bench("[ $ID = T-9 ] || exit 7");
    let bad = ["T-1", "T-2", "T-3", "T-4"];
    for id in bad {
        submit(&bench, id, &format!("src/{id}/*"), &[]);
    }
    let child = start(&bench, &["--parallel", "6", "--max", "5"]);
    until("all failed", || {
        bad.iter().all(|id| bench.task("blocked", id).is_dir())
    });
    submit(&bench, "T-9", "src/T-9/*", &[]);
    let began = std::time::Instant::now();
    until("it runs", || count(&bench, "T-9", "TASK_CLAIMED") == 1);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(end(child).expect(0)["begun"], 5);
}

#[test]
fn a_run_that_is_killed_is_given_back_and_goes_to_a_person_in_the_end() {
    let bench = bench(WAITS);
    bench.policy(|policy| policy["caps"]["max_attempts"] = 2.into());
    submit(&bench, "T-1", "src/**", &[]);
    for (state, counted) in [
        ("inbox", json!({"inbox": 1})),
        ("blocked", json!({"blocked": 1})),
    ] {
        let child = start(&bench, &["--max", "1"]);
        until("the command runs", || mark(&bench, "at-T-1").exists());
        let pid = std::fs::read_to_string(mark(&bench, "at-T-1")).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
        let parent: i32 = stat
            .rsplit(") ")
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        kill_process(Pid::from_raw(parent).unwrap(), Signal::KILL).unwrap();
        assert_eq!(end(child).expect(0)["counts"], counted);
        assert!(!lock(&bench, state, "T-1").exists());
        // Its rest is over.
        let _ = std::fs::remove_file(bench.task("inbox", "T-1").join("backoff.json"));
        std::fs::remove_file(mark(&bench, "at-T-1")).unwrap();
    }
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let row = &bench.baton(["orch", "list"]).expect(0)["tasks"][0];
    assert_eq!(row["status"], "FAILED", "{row}");
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn what_a_worker_drafted_is_taken_further() {
    let bench = crate::worker::bench("", |_| {});
    crate::worker::hand_over(&bench, "T-1");
    crate::worker::worker(&bench, &["--once"]).expect(0);
    let said = dispatch(&bench, &["--max", "1"]);
    assert_eq!(said["counts"], json!({"pr": 1}), "{said}");
    assert_eq!(
        count(&bench, "T-1", "PATCH_PROPOSED"),
        1,
        "it was drafted again"
    );
}

#[test]
fn it_asks_for_a_producer_and_its_flags_are_for_it_alone() {
    let bench = Bench::new();
    for line in [
        &["run", "--watch"][..],
        &["run", "--watch", "--producer", "command", "--parallel", "0"],
        &["run", "--watch", "--producer", "command", "T-1"],
        &["run", "T-1", "--max", "2"],
        &["run", "T-1", "--parallel", "2"],
        &["run", "--next", "--apart"],
    ] {
        assert_eq!(bench.baton(line).code, 2, "{line:?}");
    }
    let line = [
        "run",
        "--watch",
        "--producer",
        "command",
        "--actor",
        "openclaw",
    ];
    assert_eq!(bench.baton(line).code, 3, "openclaw moves nothing");
}

#[test]
fn a_dispatcher_and_its_runs_that_were_killed_are_seen_at_once() {
    let bench = bench(WAITS);
    submit(&bench, "T-1", "src/T-1/*", &[]);
    let mut child = start(&bench, &[]);
    until("the command runs", || mark(&bench, "at-T-1").exists());
    let held: Value =
        serde_json::from_slice(&std::fs::read(lock(&bench, "work", "T-1")).unwrap()).unwrap();
    assert_eq!(held["of_process"], true, "{held}");
    child.kill().unwrap();
    let run = i32::try_from(held["pid"].as_u64().unwrap()).unwrap();
    kill_process(Pid::from_raw(run).unwrap(), Signal::KILL).unwrap();
    child.wait().unwrap();
    until("the owner is gone", || {
        let said = bench.baton(["status"]).expect(0);
        said["stuck"][0]["code"] == "OWNER_DEAD"
    });
    let workers = bench.baton(["ops", "workers"]).expect(0);
    assert_eq!(workers["workers"][0]["gone"], "OWNER_DEAD", "{workers}");
    let said = bench.baton(["watchdog", "--once"]).expect(0);
    assert_eq!(said["acts"][0]["what"], "RECLAIMED", "{said}");
    assert!(bench.task("inbox", "T-1").is_dir());
}

#[test]
fn a_task_that_is_cancelled_in_the_middle_counts_as_begun() {
    let bench = bench(WAITS);
    for id in ["T-1", "T-2"] {
        submit(&bench, id, &format!("src/{id}/*"), &[]);
    }
    let child = start(&bench, &["--max", "1"]);
    until("the command runs", || mark(&bench, "at-T-1").exists());
    bench.baton(["ops", "cancel", "--id", "T-1"]).expect(0);
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let ended = end(child);
    assert!(
        ended.stderr.contains("it was cancelled"),
        "{}",
        ended.stderr
    );
    let said = ended.expect(0);
    assert_eq!(
        (&said["begun"], &said["counts"]),
        (&json!(1), &json!({"blocked": 1})),
        "{said}"
    );
    assert_eq!(count(&bench, "T-2", "TASK_CLAIMED"), 0);
}

#[test]
fn a_queue_that_lacks_a_part_ends_no_daemon_well() {
    let bench = bench("");
    submit(&bench, "T-1", "src/T-1/*", &[]);
    std::fs::remove_dir(bench.queue().join("pr")).unwrap();
    let lines: [&[&str]; 2] = [
        &["run", "--watch", "--producer", "command", "--idle", "2s"],
        &["worker", "--idle", "2s"],
    ];
    for line in lines {
        let ended = bench.baton(line);
        assert_eq!(
            ended.stderr.matches("has no folder pr").count(),
            1,
            "{ended:?}"
        );
        let said = ended.expect(1);
        assert_eq!(
            (&said["status"], &said["trouble"][0]["code"]),
            (&json!("FAIL"), &json!("QUEUE_BROKEN")),
            "{said}"
        );
    }
    let child = bench
        .command(["watchdog", "--every", "1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    signal(&child, Signal::TERM);
    let said = end(child).expect(1);
    assert_eq!(said["trouble"][0]["code"], "QUEUE_BROKEN", "{said}");
    std::fs::create_dir(bench.queue().join("pr")).unwrap();
    assert_eq!(dispatch(&bench, &["--max", "1"])["counts"]["pr"], 1);
}

/// A run that has ended is not forgotten because its task could not be given back at once.
#[test]
fn what_cannot_be_given_back_is_tried_again() {
    let bench = bench("echo x >> $QUEUE/audit/events.ndjson; echo > $DIR/broken; exit 7");
    let log = bench.queue().join("audit/events.ndjson");
    bench.policy(|policy| {
        let command = policy["draft"]["command"].as_array_mut().unwrap();
        let script = command[2].as_str().unwrap();
        let queue = bench.queue();
        command[2] = format!("QUEUE='{}'\n{script}", queue.display()).into();
    });
    submit(&bench, "T-1", "src/**", &[]);
    let child = start(&bench, &["--max", "1"]);
    until("the log is broken", || mark(&bench, "broken").exists());
    std::thread::sleep(Duration::from_millis(1500));
    let broken = std::fs::read_to_string(&log).unwrap();
    let whole = broken.strip_suffix("x\n").unwrap();
    let held = ["claimed", "work"].map(|state| lock(&bench, state, "T-1").exists());
    assert!(held.contains(&true), "it cannot be given back");
    std::fs::write(&log, whole).unwrap();
    let said = end(child).expect(0);
    assert_eq!(said["counts"], json!({"inbox": 1}), "{said}");
    assert!(!lock(&bench, "inbox", "T-1").exists());
    assert!(!bench.task("claimed", "T-1").exists());
    bench.baton(["audit", "verify"]).expect(0);
}

/// What is wrong with one task's lock keeps no other waiting.
#[test]
fn one_that_cannot_be_given_back_keeps_nobody_waiting() {
    let bench = bench("[ $ID = T-2 ] || { echo x > $LOCK; exit 7; }");
    bench.policy(|policy| {
        let command = policy["draft"]["command"].as_array_mut().unwrap();
        let script = command[2].as_str().unwrap();
        let lock = lock(&bench, "work", "T-1");
        command[2] = format!("LOCK='{}'\n{script}", lock.display()).into();
    });
    submit(&bench, "T-1", "src/T-1/**", &[]);
    submit(&bench, "T-2", "src/T-2/**", &[]);
    let child = start(&bench, &[]);
    until("the other is through", || bench.task("pr", "T-2").is_dir());
    signal(&child, Signal::TERM);
    let ended = end(child);
    let said = ended.expect(1);
    assert_eq!(said["counts"], json!({"pr": 1}), "{said}");
    assert_eq!(said["trouble"][0]["code"], "LOCK_BROKEN", "{said}");
}

#[test]
fn what_runs_is_waited_for_also_when_an_error_ends_it() {
    let bench = bench(WAITS);
    submit(&bench, "T-1", "src/T-1/**", &[]);
    let mut child = start(&bench, &["--parallel", "2"]);
    until("the first one runs", || mark(&bench, "at-T-1").exists());
    // The second one is refused by how it is begun.
    bench.policy(|policy| policy["draft"]["command"] = json!([]));
    submit(&bench, "T-2", "src/T-2/**", &[]);
    std::thread::sleep(Duration::from_secs(3));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    std::fs::write(mark(&bench, "go"), "").unwrap();
    let ended = end(child);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.stderr.contains("still run and are waited for"),
        "{ended:?}"
    );
    assert!(!bench.task("work", "T-1").is_dir());
    assert!(bench.task("inbox", "T-2").is_dir());
}
