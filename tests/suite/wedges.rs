//! What keeps a queue from moving: each thing is injected, and named by its own code and no other.

use std::fs::File;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::support::Bench;
use crate::watchdog::{claim, edit_lock, lapse, put_back};
use crate::worker::{self, NAME, lock};

/// What is kept open while the queue is looked at.
type Kept = Option<File>;

/// A wedge: its code, the task it is about, the beginning of what to run next, and how it comes about.
struct Case {
    code: &'static str,
    task: Option<&'static str>,
    next: &'static str,
    inject: fn(&Bench) -> Kept,
}

const fn case(code: &'static str, next: &'static str, inject: fn(&Bench) -> Kept) -> Case {
    Case {
        code,
        task: Some("T-1"),
        next,
        inject,
    }
}

const fn of_queue(code: &'static str, next: &'static str, inject: fn(&Bench) -> Kept) -> Case {
    Case {
        code,
        task: None,
        next,
        inject,
    }
}

fn submitted(bench: &Bench) {
    bench.submit("T-1", "src/**");
}

fn claimed(bench: &Bench) {
    submitted(bench);
    claim(bench, "T-1");
}

fn dead(held: &mut Value) {
    held["of_process"] = true.into();
    held["pid_start"] = 1.into();
}

fn cases() -> Vec<Case> {
    let mut all = of_the_queue();
    all.extend(of_locks());
    all.extend(of_places());
    all.extend(of_waiting());
    all
}

fn of_the_queue() -> Vec<Case> {
    vec![
        of_queue("STOP_ON", "baton resume", |bench| {
            bench.baton(["stop"]).expect(0);
            None
        }),
        of_queue("POLICY_STOPS", "see what", |bench| {
            let path = bench.root().join(".autodev_ssot/POLICY.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, text + "\n").unwrap();
            None
        }),
        of_queue("LOG_BROKEN", "the lines are", |bench| {
            let path = bench.queue().join("audit/events.ndjson");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, text.replacen("INFO", "WARN", 1)).unwrap();
            None
        }),
        of_queue("QUEUE_BUSY", "fuser", |bench| {
            let file = File::open(bench.queue().join("keys/.mutex"));
            let file = file
                .or_else(|_| File::create(bench.queue().join("keys/.mutex")))
                .unwrap();
            flock(&file, FlockOperation::LockExclusive).unwrap();
            Some(file)
        }),
        of_queue("LANDING_LEFT", "baton run --all", |bench| {
            claimed(bench);
            let held = std::fs::read(lock(bench, "claimed", "T-1")).unwrap();
            std::fs::write(bench.queue().join("landing.lock"), held).unwrap();
            None
        }),
        of_queue("LOOSE_REFUSED", "baton submit", |bench| {
            let inbox = bench.queue().join("inbox");
            std::os::unix::fs::symlink("/etc/hostname", inbox.join("link.json")).unwrap();
            None
        }),
    ]
}

fn of_locks() -> Vec<Case> {
    vec![
        case("OWNER_DEAD", "baton watchdog --once", |bench| {
            claimed(bench);
            edit_lock(bench, "claimed", "T-1", dead);
            None
        }),
        case("LEASE_OVER", "baton watchdog --once", |bench| {
            claimed(bench);
            lapse(bench, "claimed", "T-1");
            None
        }),
        case("LEASE_ENDLESS", "ask anna", |bench| {
            claimed(bench);
            edit_lock(bench, "claimed", "T-1", |held| {
                held["lease_until"] = "2999-01-01T00:00:00Z".into();
                held["boot_until_ms"] = u64::MAX.into();
            });
            None
        }),
        case("LOCK_BROKEN", "look at", |bench| {
            claimed(bench);
            std::fs::write(lock(bench, "claimed", "T-1"), "").unwrap();
            None
        }),
        case("TASK_BUSY", "fuser", |bench| {
            submitted(bench);
            let folder = File::open(bench.task("inbox", "T-1")).unwrap();
            flock(&folder, FlockOperation::LockExclusive).unwrap();
            Some(folder)
        }),
        case("CLAIM_CUT_OFF", "baton watchdog --once", |bench| {
            claimed(bench);
            put_back(bench, "T-1", "claimed", "inbox");
            None
        }),
        case("UNHELD", "baton run T-1", |bench| {
            claimed(bench);
            std::fs::remove_file(lock(bench, "claimed", "T-1")).unwrap();
            None
        }),
    ]
}

fn of_places() -> Vec<Case> {
    vec![
        case("MOVE_CUT_OFF", "baton watchdog --once", |bench| {
            claimed(bench);
            bench.baton(["intake-validate", "--task", "T-1"]).expect(0);
            put_back(bench, "T-1", "work", "claimed");
            None
        }),
        case("RETRY_CUT_OFF", "baton watchdog --once", |bench| {
            bench.waiting("T-1");
            bench.baton(["retry", "T-1"]).expect(0);
            put_back(bench, "T-1", "inbox", "pr");
            None
        }),
        case("FOLDER_MOVED", "mv .autodev_queue/pr/T-1", |bench| {
            submitted(bench);
            put_back(bench, "T-1", "inbox", "pr");
            None
        }),
        case("TASK_GONE", "baton watchdog --once, for", |bench| {
            submitted(bench);
            std::fs::remove_dir_all(bench.task("inbox", "T-1")).unwrap();
            None
        }),
        case("TASK_UNKNOWN", "take .autodev_queue/inbox/T-1", |bench| {
            let folder = bench.task("inbox", "T-1");
            std::fs::create_dir(&folder).unwrap();
            let task = json!({"task_id": "T-1", "title": "t", "goal": "g", "scope": {"allow_patch_on_files": ["a"]}});
            std::fs::write(folder.join("task.json"), task.to_string()).unwrap();
            None
        }),
        case("TASK_TWICE", "baton watchdog --once, or", |bench| {
            submitted(bench);
            let copy = bench.task("done", "T-1");
            std::fs::create_dir(&copy).unwrap();
            std::fs::copy(
                bench.task("inbox", "T-1").join("task.json"),
                copy.join("task.json"),
            )
            .unwrap();
            None
        }),
    ]
}

fn of_waiting() -> Vec<Case> {
    vec![
        case("ATTEMPTS_SPENT", "baton retry T-1", |bench| {
            bench.policy(|policy| {
                policy["draft"]["command"] = json!(["sh", "-c", "exit 7"]);
                policy["caps"]["max_attempts"] = 1.into();
            });
            submitted(bench);
            bench
                .baton(["claim-lock", "--task", "T-1", "--owner", NAME])
                .expect(0);
            worker::worker(bench, &["--once"]).expect(1);
            None
        }),
        case("HEAD_WAITS", "baton run T-1", |bench| {
            submitted(bench);
            let task = File::options()
                .append(true)
                .open(bench.task("inbox", "T-1").join("task.json"));
            let long_ago = SystemTime::now() - Duration::from_secs(86_400);
            task.unwrap().set_modified(long_ago).unwrap();
            None
        }),
        case("PERSON_WAITED_FOR", "baton approve T-1", |bench| {
            bench.waiting("T-1");
            None
        }),
        case("READY_TO_LAND", "baton run T-1", |bench| {
            bench.waiting("T-1");
            bench.baton(["approve", "T-1"]).expect(0);
            None
        }),
    ]
}

#[test]
fn each_wedge_is_named_by_its_own_code_with_what_to_run_next() {
    let fresh = Bench::new();
    assert_eq!(
        fresh.baton(["doctor", "--queue"]).expect(0)["stuck"],
        json!([])
    );
    let mut told = Vec::new();
    for case in cases() {
        let bench = fresh.copy();
        let _kept = (case.inject)(&bench);
        for line in [&["doctor", "--queue"][..], &["status"]] {
            // Only who reads all of the log can tell that a task is gone.
            if line == ["status"] && ["TASK_GONE", "LOG_BROKEN"].contains(&case.code) {
                continue;
            }
            let ran = bench.baton(line);
            let said = ran.json();
            let stuck = said["stuck"]
                .as_array()
                .unwrap_or_else(|| panic!("{}: {said}", case.code));
            let codes: Vec<_> = stuck
                .iter()
                .map(|one| one["code"].as_str().unwrap())
                .collect();
            assert_eq!(codes, [case.code], "{line:?}: {said}");
            assert_eq!(stuck[0]["task_id"].as_str(), case.task, "{said}");
            let next = stuck[0]["next"].as_str().unwrap();
            assert!(next.starts_with(case.next), "{}: {next}", case.code);
            assert!(stuck[0]["why"].as_str().unwrap().len() > 10, "{said}");
            let is_bad = line[0] == "doctor" && stuck[0]["broken"] == true;
            assert_eq!(ran.code, i32::from(is_bad), "{}: {said}", case.code);
        }
        told.push(case.code);
    }
    let number = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), number, "two wedges have one code");
    assert!(number >= 15);
}

/// Further ways to a code, each with the command that has to tell of it.
fn more_ways() -> Vec<(Case, &'static [&'static str])> {
    const DOCTOR: &[&str] = &["doctor", "--queue"];
    const STATUS: &[&str] = &["status"];
    let lost: fn(&Bench) -> Kept = |bench| {
        submitted(bench);
        std::fs::remove_file(bench.task("inbox", "T-1").join("task.json")).unwrap();
        None
    };
    let unreadable: fn(&Bench) -> Kept = |bench| {
        submitted(bench);
        let task = bench.task("inbox", "T-1").join("task.json");
        std::fs::remove_file(&task).unwrap();
        std::fs::create_dir(task).unwrap();
        None
    };
    let moved: fn(&Bench) -> Kept = |bench| {
        submitted(bench);
        put_back(bench, "T-1", "inbox", "done");
        None
    };
    let without: [fn(&Bench) -> Kept; 3] = [
        |bench| {
            std::fs::remove_dir_all(bench.queue().join("keys")).unwrap();
            None
        },
        |bench| {
            std::fs::remove_dir_all(bench.queue().join("approved")).unwrap();
            None
        },
        |bench| {
            std::fs::remove_dir_all(bench.queue().join("pr")).unwrap();
            None
        },
    ];
    let stranger: fn(&Bench) -> Kept = |bench| {
        std::fs::write(bench.queue().join("inbox/noext"), "{}").unwrap();
        None
    };
    let mut ways = vec![
        (
            case(
                "TASK_BROKEN",
                "put .autodev_queue/inbox/T-1/task.json",
                lost,
            ),
            DOCTOR,
        ),
        (
            case(
                "TASK_BROKEN",
                "put .autodev_queue/inbox/T-1/task.json",
                lost,
            ),
            STATUS,
        ),
        (
            case(
                "TASK_BROKEN",
                "put .autodev_queue/inbox/T-1/task.json",
                unreadable,
            ),
            STATUS,
        ),
        (
            case("FOLDER_MOVED", "mv .autodev_queue/done/T-1", moved),
            DOCTOR,
        ),
        (
            of_queue("LOOSE_REFUSED", "baton submit FILE", stranger),
            STATUS,
        ),
    ];
    for inject in without {
        for line in [DOCTOR, STATUS] {
            ways.push((
                of_queue("QUEUE_BROKEN", "put .autodev_queue/", inject),
                line,
            ));
        }
    }
    ways
}

#[test]
fn each_way_to_a_wedge_is_told_of() {
    let fresh = Bench::new();
    for (case, line) in more_ways() {
        let bench = fresh.copy();
        let _kept = (case.inject)(&bench);
        let said = bench.baton(line).json();
        let stuck = said["stuck"].as_array().unwrap();
        assert_eq!(stuck.len(), 1, "{line:?}: {said}");
        assert_eq!(stuck[0]["code"], case.code, "{line:?}: {said}");
        assert_eq!(stuck[0]["task_id"].as_str(), case.task, "{said}");
        let next = stuck[0]["next"].as_str().unwrap();
        assert!(next.starts_with(case.next), "{}: {next}", case.code);
    }
}

#[test]
fn a_queue_that_cannot_be_written_to_is_named_and_nothing_is_left_in_it() {
    let bench = Bench::new();
    // No file may have a byte, as on a disk that is full.
    let mut command = std::process::Command::new("sh");
    let doctor = bench.command(["doctor", "--queue"]);
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]);
    command.arg(doctor.get_program()).args(doctor.get_args());
    command.envs(
        doctor
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.current_dir(bench.root());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["stuck"][0]["code"], "QUEUE_UNWRITABLE", "{said}");
    for part in ["inbox", "keys", "audit"] {
        let names = std::fs::read_dir(bench.queue().join(part)).unwrap();
        let left = |name: &str| name.starts_with(".tmp");
        assert!(
            !names
                .flatten()
                .any(|one| left(&one.file_name().to_string_lossy()))
        );
    }
    assert_eq!(
        bench.baton(["doctor", "--queue"]).expect(0)["stuck"],
        json!([])
    );
}

#[test]
fn one_bad_entry_of_the_inbox_keeps_nobody_waiting() {
    let fresh = Bench::new();
    for id in ["T-1", "T-2"] {
        fresh.submit(id, "src/**");
    }
    let bad: [fn(&std::path::Path); 4] = [
        |task| {
            std::fs::remove_dir_all(task).unwrap();
            std::fs::write(task, "x").unwrap();
        },
        |task| std::fs::remove_file(task.join("task.json")).unwrap(),
        |task| {
            std::fs::remove_file(task.join("task.json")).unwrap();
            std::fs::create_dir(task.join("task.json")).unwrap();
        },
        |task| std::fs::write(task.join(".lock"), "x").unwrap(),
    ];
    for make in bad {
        let bench = fresh.copy();
        make(&bench.task("inbox", "T-1"));
        let said = bench.baton(["status"]).expect(0);
        assert_eq!(said["stuck"].as_array().unwrap().len(), 1, "{said}");
        // Nor does a file that comes for it.
        let task = json!({"task_id": "T-1", "title": "t", "goal": "again", "scope": {"allow_patch_on_files": ["a"]}});
        std::fs::write(bench.queue().join("inbox/again.json"), task.to_string()).unwrap();
        let claimed = bench.baton(["claim-lock", "--next"]).expect(0);
        assert_eq!(claimed["task"]["task_id"], "T-2");
    }
}

#[test]
fn what_is_stuck_is_said_with_the_time_since_when() {
    let bench = Bench::new();
    claimed(&bench);
    lapse(&bench, "claimed", "T-1");
    let said = bench.baton(["status"]);
    let stuck = &said.expect(0)["stuck"][0];
    assert_eq!(stuck["since"], "2026-01-01T00:00:00Z");
    assert!(
        said.stderr.contains("stuck: T-1 LEASE_OVER, for "),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("next: baton watchdog --once"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_page_names_every_code() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/watchdog.md");
    let page = std::fs::read_to_string(page).unwrap();
    for case in cases() {
        assert!(page.contains(&format!("`{}`", case.code)), "{}", case.code);
    }
}
