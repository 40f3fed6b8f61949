//! The queue as rows, QUEUE.md, and what an operator does while others work.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bench, Ran};
use crate::worker::{self, count, end, events, lock, mark, signal, until};

/// The brief's own commands, with our program's name.
const ADD: [&str; 12] = [
    "orch",
    "add",
    "--id",
    "ORCH-010",
    "--priority",
    "P1",
    "--task",
    "문서 보완",
    "--success-criteria",
    "README 반영",
    "--due-at-kst",
    "2099-02-08 18:00",
];

fn orch(bench: &Bench, words: &[&str]) -> Ran {
    bench.baton(["orch"].iter().chain(words))
}

/// The rows of the list: id, status, owner, notes.
fn rows(bench: &Bench) -> Vec<[String; 4]> {
    let listed = orch(bench, &["list"]).expect(0);
    let tasks = listed["tasks"].as_array().unwrap().clone();
    let text = |task: &Value, key: &str| task[key].as_str().unwrap().to_owned();
    let row = |task: &Value| ["id", "status", "owner_session", "notes"].map(|key| text(task, key));
    tasks.iter().map(row).collect()
}

fn statuses(bench: &Bench) -> Vec<String> {
    let mut said: Vec<_> = rows(bench)
        .into_iter()
        .map(|[id, status, ..]| format!("{id} {status}"))
        .collect();
    said.sort();
    said
}

#[test]
fn a_task_is_added_picked_and_closed_as_the_brief_says() {
    let bench = Bench::new();
    let nothing = orch(&bench, &["pick"]);
    let before = std::fs::read(bench.queue().join("audit/events.ndjson")).unwrap();
    assert_eq!(nothing.expect(0)["task_id"], Value::Null);
    bench.baton(ADD).expect(0);
    let task = std::fs::read(bench.task("inbox", "ORCH-010").join("task.json")).unwrap();
    let task: Value = serde_json::from_slice(&task).unwrap();
    assert_eq!(task["due_at"], "2099-02-08T18:00:00+09:00");
    assert_eq!(task["scope"]["allow_patch_on_files"], json!(["**"]));
    orch(
        &bench,
        &[
            "add",
            "--id",
            "ORCH-011",
            "--priority",
            "P0",
            "--task",
            "first",
        ],
    )
    .expect(0);
    let owner = "agent:main:subagent:xxx";
    let picked = orch(&bench, &["pick", "--owner-session", owner]).expect(0);
    assert_eq!(picked["task_id"], "ORCH-011");
    orch(&bench, &["pick", "--owner-session", owner]).expect(0);
    assert_eq!(orch(&bench, &["pick"]).expect(0)["task_id"], Value::Null);
    let row = |id: &str, status: &str, notes: &str| {
        let owner = if status == "IN_PROGRESS" { owner } else { "" };
        [id, status, owner, notes].map(str::to_owned)
    };
    assert_eq!(
        rows(&bench),
        [
            row("ORCH-010", "IN_PROGRESS", ""),
            row("ORCH-011", "IN_PROGRESS", "")
        ]
    );
    orch(
        &bench,
        &[
            "done",
            "--id",
            "ORCH-010",
            "--notes",
            "테스트 통과 | 문서 반영 완료",
        ],
    )
    .expect(0);
    orch(
        &bench,
        &[
            "fail",
            "--id",
            "ORCH-011",
            "--notes",
            "외부 토큰 누락으로 실패",
        ],
    )
    .expect(0);
    let wanted = [
        row("ORCH-010", "DONE", "테스트 통과 / 문서 반영 완료"),
        row("ORCH-011", "FAILED", "외부 토큰 누락으로 실패"),
    ];
    assert_eq!(rows(&bench), wanted);
    let only = orch(&bench, &["list", "--status", "FAILED"]).expect(0);
    assert_eq!(only["tasks"].as_array().unwrap().len(), 1);
    // Without notes, and with none worth the name, nothing ends.
    assert_eq!(orch(&bench, &["done", "--id", "ORCH-011"]).code, 2);
    assert_eq!(
        orch(&bench, &["fail", "--id", "ORCH-011", "--notes", " "]).code,
        2
    );
    let log = std::fs::read(bench.queue().join("audit/events.ndjson")).unwrap();
    assert!(log.starts_with(&before) && before.len() < log.len());
    bench.baton(["audit", "verify"]).expect(0);
    bench.baton(["doctor", "--queue"]).expect(0);
}

#[test]
fn done_is_a_person_s_word_and_never_in_place_of_a_landing() {
    let bench = Bench::with_waiting();
    let refuse = |words: &[&str], code: i32, what: &str| {
        let ran = orch(&bench, words);
        assert_eq!(
            (ran.code, ran.json()["code"].as_str().unwrap()),
            (code, what),
            "{ran:?}"
        );
    };
    let done = ["done", "--id", "T-1", "--notes", "n"];
    refuse(&done, 1, "STATE_RULE");
    bench.submit("T-2", "src/**");
    refuse(&["done", "--id", "T-2", "--notes", "n"], 1, "STATE_RULE");
    let pick = ["pick", "--owner-session", "anna"];
    orch(&bench, &pick).expect(0);
    let agent = ["done", "--id", "T-2", "--notes", "n", "--actor", "cursor"];
    refuse(&agent, 3, "HUMAN_ONLY");
    refuse(
        &["done", "--id", "T-9", "--notes", "n"],
        1,
        "TASK_NOT_FOUND",
    );
    refuse(
        &["fail", "--id", "T-2", "--notes", "n", "--actor", "openclaw"],
        3,
        "APPROVAL_REQUIRED",
    );
    // What has landed is done; the notes still go into the log.
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(orch(&bench, &done).expect(0)["moved"], false);
    assert_eq!(count(&bench, "T-1", "TASK_CLOSED"), 1);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    bench.baton(["stop"]).expect(0);
    for words in [
        &pick[..],
        &["fail", "--id", "T-2", "--notes", "n"],
        &["render"],
        &["import"],
        &agent,
    ] {
        assert_eq!(orch(&bench, words).code, 4, "{words:?}");
    }
    orch(&bench, &["list"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_queue_md_goes_both_ways_and_reading_what_was_written_changes_nothing() {
    let bench = Bench::new();
    let file = bench.queue().join("QUEUE.md");
    bench.baton(ADD).expect(0);
    bench.submit("T-1", "src/**");
    bench.submit("T-2", "src/**");
    orch(
        &bench,
        &[
            "add",
            "--id",
            "T-3",
            "--task",
            "a | b \u{1b}[31m",
            "--notes",
            "x\ny",
        ],
    )
    .expect(0);
    bench
        .baton(["claim-lock", "--task", "T-1", "--owner", "anna|bob"])
        .expect(0);
    bench.baton(["ops", "cancel", "--id", "T-2"]).expect(0);
    assert_eq!(orch(&bench, &["render"]).expect(0)["rows"], 4);
    let text = std::fs::read_to_string(&file).unwrap();
    for line in [
        "| ORCH-010 | P1 | PENDING | | 문서 보완 | README 반영 | 2099-02-08 18:00 | |",
        "| T-1 | P2 | IN_PROGRESS | anna/bob | A change | | | |",
        "| T-2 | P2 | BLOCKED | | A change | | | CANCELLED |",
        "| T-3 | P2 | PENDING | | a / b \\u{1b}[31m | | | x\\ny |",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let log = || std::fs::read(bench.queue().join("audit/events.ndjson")).unwrap();
    let before = log();
    let said = orch(&bench, &["import"]).expect(0);
    assert_eq!(said["known"].as_array().unwrap().len(), 4, "{said}");
    assert_eq!(log(), before);
    // Into an empty queue: what is PENDING comes, and is written as it was.
    let other = Bench::new();
    let path = file.to_str().unwrap();
    let said = orch(&other, &["import", path, "--allow", "src/**"]).expect(0);
    assert_eq!(said["added"], json!(["ORCH-010", "T-3"]), "{said}");
    assert_eq!(said["skipped"].as_array().unwrap().len(), 2);
    let again = orch(&other, &["render", "-"]).stdout;
    let pending = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.contains("| PENDING |"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(pending(&again), pending(&text));
    let task = std::fs::read_to_string(other.task("inbox", "T-3").join("task.json")).unwrap();
    assert!(task.contains("src/**"), "{task}");
    for bench in [&bench, &other] {
        bench.baton(["audit", "verify"]).expect(0);
    }
}

#[test]
fn a_row_adds_a_task_or_puts_one_back_and_nothing_else() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.submit("T-2", "src/**");
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    orch(&bench, &["fail", "--id", "T-1", "--notes", "n"]).expect(0);
    let head = "|id|status|priority|task|\n|-|-|-|-|\n";
    let file = bench.patch_file(
        "QUEUE.md",
        &format!("{head}|T-1|PENDING|P2|A change|\n|T-2|DONE|P2|A change|\n|T-3|DONE|P0|old|\n|T-4|PENDING|P0|new|\n|T-5|PENDING||token AKIAIOSFODNN7EXAMPLQ|\n"),
    );
    let file = file.to_str().unwrap();
    let said = orch(&bench, &["import", file]);
    assert_eq!(said.json()["added"], json!(["T-4"]), "{}", said.stdout);
    assert_eq!(
        said.json()["failed"][0]["code"],
        "TASK_TEXT_REFUSED",
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("AKIAIOSFODNN7EXAMPLQ"));
    said.expect(5);
    assert_eq!(
        statuses(&bench),
        ["T-1 FAILED", "T-2 PENDING", "T-4 PENDING"]
    );
    // A person set it back to PENDING, and says so.
    let said = orch(&bench, &["import", file, "--retry"]).expect(5);
    assert_eq!(said["retried"], json!(["T-1"]));
    assert!(bench.task("inbox", "T-1").join("attempts/1").is_dir());
    // A task stays what it was.
    let other = bench.patch_file(
        "other.md",
        &format!("{head}|T-2|PENDING|P0|Another thing|\n"),
    );
    let said = orch(&bench, &["import", other.to_str().unwrap()]).expect(5);
    assert_eq!(said["differs"][0]["task_id"], "T-2", "{said}");
    // One line that is wrong, and nothing is taken in.
    let bad = bench.patch_file(
        "bad.md",
        &format!("{head}|T-8|PENDING|P0|a|\n|../T-9|PENDING|P0|b|\n"),
    );
    let ran = orch(&bench, &["import", bad.to_str().unwrap()]);
    assert_eq!(
        (ran.code, &ran.json()["code"]),
        (1, &json!("QUEUE_MD_INVALID"))
    );
    assert!(ran.stderr.contains("line 4"), "{}", ran.stderr);
    assert!(!bench.task("inbox", "T-8").exists());
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn the_table_goes_into_no_file_of_the_queue_and_an_agent_names_none() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let log = bench.queue().join("audit/events.ndjson");
    let before = std::fs::read(&log).unwrap();
    for name in [
        ".autodev_queue/audit/events.ndjson",
        ".autodev_queue/STOP",
        ".git/hooks/pre-commit",
    ] {
        let said = orch(&bench, &["render", "--force", name]);
        assert_eq!(said.json()["code"], "PLACE_REFUSED", "{name}: {said:?}");
    }
    let elsewhere = bench.scratch("QUEUE.md");
    let line = [
        "orch",
        "render",
        "--force",
        elsewhere.to_str().unwrap(),
        "--actor",
        "openclaw",
    ];
    let said = bench.baton(line);
    assert_eq!(
        (said.code, &said.json()["code"]),
        (3, &json!("APPROVAL_REQUIRED"))
    );
    assert!(!elsewhere.exists() && std::fs::read(&log).unwrap() == before);
    bench
        .baton(["orch", "render", "--actor", "openclaw"])
        .expect(0);
    assert!(bench.queue().join("QUEUE.md").is_file());
}

#[test]
fn a_file_that_somebody_wrote_is_not_written_over() {
    let bench = Bench::new();
    let file = bench.scratch("QUEUE.md");
    let path = file.to_str().unwrap();
    let render = |more: &[&str]| orch(&bench, &[&["render", path], more].concat());
    std::fs::write(&file, "# mine\n").unwrap();
    assert_eq!(render(&[]).json()["code"], "FILE_EXISTS");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# mine\n");
    render(&["--force"]).expect(0);
    bench.submit("T-1", "src/**");
    render(&[]).expect(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("| T-1 |"), "{text}");
    std::fs::write(&file, text.replace("PENDING", "BLOCKED")).unwrap();
    assert_eq!(render(&[]).json()["code"], "FILE_EXISTS");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(bench.scratch("victim"), &file).unwrap();
    assert_eq!(render(&[]).code, 1, "a link is followed");
    render(&["--force"]).expect(0);
    assert!(!bench.scratch("victim").exists());
    let left = std::fs::read_dir(bench.scratch("")).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        names.into_iter().all(|name| !name.starts_with(".tmp")),
        "a temporary file is left"
    );
}

#[test]
fn a_task_is_taken_away_from_whoever_is_at_it() {
    let bench = worker::bench(worker::WAITS, |_| {});
    worker::hand_over(&bench, "T-1");
    let child = worker::start(&bench, &[]);
    until("the command runs", || mark(&bench, "at").exists());
    let said = bench.baton(["ops", "workers"]).expect(0);
    let owner = said["workers"][0]["owner"].as_str().unwrap();
    assert!(owner.starts_with(worker::NAME), "{said}");
    let fail = orch(&bench, &["fail", "--id", "T-1", "--notes", "n"]);
    assert_eq!(fail.json()["code"], "LOCK_CONFLICT", "{}", fail.stdout);
    let done = orch(&bench, &["done", "--id", "T-1", "--notes", "n"]);
    assert_eq!(done.json()["code"], "LOCK_CONFLICT", "{}", done.stdout);
    let cancel = ["ops", "cancel", "--id", "T-1", "--notes", "not needed"];
    let agent = bench.baton(cancel.iter().chain(&["--actor", "cursor"]));
    assert_eq!(agent.code, 3);
    bench.baton(cancel).expect(0);
    std::fs::write(mark(&bench, "go"), "").unwrap();
    until("the worker has noticed", || {
        events(&bench, "T-1")
            .iter()
            .any(|event| event.to_string().contains("LEASE_LOST"))
    });
    signal(&child, Signal::TERM);
    assert_eq!(end(child).expect(0)["lost"], 1);
    assert_eq!(worker::drafted(&bench.task("blocked", "T-1")), 0);
    assert!(!lock(&bench, "blocked", "T-1").exists());
    let row = &rows(&bench)[0];
    assert_eq!(
        (row[1].as_str(), row[3].as_str()),
        ("BLOCKED", "not needed")
    );
    assert_eq!(
        bench.baton(["ops", "workers"]).expect(0)["workers"],
        json!([])
    );
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn notes_of_a_replan_reach_the_next_proposer_and_a_retry_has_none() {
    let bench = worker::bench("", |policy| {
        let script = policy["draft"]["command"][2].as_str().unwrap().to_owned();
        policy["draft"]["command"][2] = script
            .replace("cat > /dev/null", "cat >> $DIR/prompt")
            .into();
    });
    let prompt = || std::fs::read_to_string(mark(&bench, "prompt")).unwrap();
    bench.submit("T-1", "src/**");
    bench
        .baton(["run", "T-1", "--producer", "command"])
        .expect(0);
    let words = [
        "ops",
        "replan",
        "--id",
        "T-1",
        "--notes",
        "leave the header alone",
    ];
    assert_eq!(bench.baton(words).expect(0)["command"], "ops replan");
    assert!(!prompt().contains("leave the header alone"));
    bench
        .baton(["run", "T-1", "--producer", "command"])
        .expect(0);
    assert!(prompt().contains("leave the header alone"));
    let agent = bench.baton(words.iter().chain(&["--actor", "cursor"]));
    assert_eq!(agent.code, 3, "an agent writes no notes to another");
    bench.baton(["ops", "retry", "--id", "T-1"]).expect(0);
    let asked = prompt().len();
    bench
        .baton(["run", "T-1", "--producer", "command"])
        .expect(0);
    assert!(!prompt()[asked..].contains("leave the header alone"));
    let counts = bench.baton(["ops", "status"]).expect(0)["counts"].clone();
    let wanted = json!({"PENDING": 0, "IN_PROGRESS": 1, "DONE": 0, "FAILED": 0, "BLOCKED": 0});
    assert_eq!(counts, wanted);
    bench.baton(["audit", "verify"]).expect(0);
}

/// What needs a person first is BLOCKED, what went wrong is FAILED.
#[test]
fn why_a_task_stopped_is_told_by_its_status() {
    let bench = worker::bench("exit 7", |_| {});
    bench.submit("T-1", "src/**");
    bench
        .baton(["run", "T-1", "--producer", "command"])
        .expect(1);
    bench.submit("T-2", "docs/**");
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 3\n").unwrap());
    let file = bench.patch_file("wrong.patch", &text);
    let path = file.to_str().unwrap();
    bench.baton(["run", "T-2", "--from", path]).expect(4);
    bench.waiting("T-3");
    bench.baton(["reject", "T-3"]).expect(0);
    assert_eq!(
        statuses(&bench),
        ["T-1 FAILED", "T-2 BLOCKED", "T-3 BLOCKED"]
    );
    let rows = rows(&bench);
    let notes = |id: &str| rows.iter().find(|row| row[0] == id).unwrap()[3].clone();
    assert!(notes("T-1").contains("DRAFT_FAILED"), "{rows:?}");
    assert!(notes("T-2").contains("allowlist violation"), "{rows:?}");
}

#[test]
fn a_file_that_several_take_in_at_one_time_is_whole_for_each() {
    let bench = Bench::new();
    let mut text = "|id|status|priority|task|\n|-|-|-|-|\n".to_owned();
    for number in 0..30 {
        text.push_str(&format!("|T-{number}|PENDING|P1|say {number}|\n"));
    }
    let file = bench.patch_file("many.md", &text);
    let words = ["import", file.to_str().unwrap()];
    let said: Vec<Value> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| orch(&bench, &words).expect(0)))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |said: &Value, what: &str| said[what].as_array().unwrap().len();
    let added: usize = said.iter().map(|said| count(said, "added")).sum();
    let known: usize = said.iter().map(|said| count(said, "known")).sum();
    assert_eq!((added, known), (30, 90), "{said:?}");
}
