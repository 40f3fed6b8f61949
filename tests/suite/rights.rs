//! Parts of the queue that another account owns, root perhaps: they are named, and nothing else waits for them.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Bench, Ran, ran};

/// Any account but root, to which everything is open.
const OTHER: u32 = 65_534;

fn is_root(bench: &Bench) -> bool {
    std::fs::metadata(bench.home()).unwrap().uid() == 0
}

fn own(path: &Path, whose: u32) {
    let owner = format!("{whose}:{whose}");
    let mut chown = Command::new("chown");
    let done = chown.args(["-R", &owner]).arg(path).status().unwrap();
    assert!(done.success());
}

/// A queue with these tasks, of an account that is not root.
fn bench(tasks: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.policy(|policy| policy["draft"]["command"] = json!(["sh", "-c", "exit 7"]));
    for id in tasks {
        bench.submit(id, "src/**");
    }
    if is_root(&bench) {
        own(bench.root().parent().unwrap(), OTHER);
    }
    bench
}

/// Takes the right to write to a part of the queue away from that account.
fn deny(bench: &Bench, path: &Path, mode: u32) {
    if is_root_made(bench) {
        own(path, 0);
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether root runs the test: then everything but this was handed over.
fn is_root_made(bench: &Bench) -> bool {
    std::fs::metadata(bench.home()).unwrap().uid() == OTHER
}

fn baton(bench: &Bench, arguments: &[&str]) -> Option<Ran> {
    let mut command = bench.command(arguments);
    if is_root_made(bench) {
        command.uid(OTHER).gid(OTHER);
    }
    match command.output() {
        Ok(output) => Some(ran(output)),
        Err(error) => {
            // Where the program lies another account may not come.
            eprintln!("not run: {error}");
            None
        }
    }
}

fn codes(said: &Value, task: Option<&str>) -> Vec<String> {
    let stuck = said["stuck"].as_array().unwrap().iter();
    let about = stuck.filter(|one| one["task_id"].as_str() == task);
    about
        .map(|one| one["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_task_that_cannot_be_locked_keeps_no_other_waiting() {
    let bench = bench(&["T-1", "T-2"]);
    let first = bench.task("inbox", "T-1");
    deny(&bench, &first, 0o555);
    let Some(status) = baton(&bench, &["status", "--json"]) else {
        return;
    };
    assert_eq!(codes(&status.json(), Some("T-1")), ["TASK_BROKEN"]);
    let round = baton(&bench, &["watchdog", "--once"]).unwrap().json();
    assert_eq!(codes(&round, Some("T-1")), ["TASK_BROKEN"], "{round}");
    // The dispatcher begins with the other one, and the next claim finds nothing more.
    let line = ["run", "--watch", "--producer", "command", "--idle", "1s"];
    let watched = baton(&bench, &line).unwrap();
    assert!(!watched.stderr.contains("T-1: begun"), "{watched:?}");
    assert!(watched.stderr.contains("T-2: begun"), "{watched:?}");
    let claim = baton(&bench, &["claim-lock", "--next"]).unwrap();
    assert_eq!(claim.json()["data"]["result"], "NOT_FOUND", "{claim:?}");
    assert!(first.exists());
    std::fs::set_permissions(&first, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_lock_of_the_queue_that_is_another_accounts_is_named() {
    let bench = bench(&["T-1"]);
    let mutex = bench.queue().join("keys/.mutex");
    assert!(mutex.exists());
    deny(&bench, &mutex, 0o400);
    let Some(status) = baton(&bench, &["status", "--json"]) else {
        return;
    };
    assert_eq!(codes(&status.json(), None), ["QUEUE_UNWRITABLE"]);
    let doctor = baton(&bench, &["doctor", "--queue"]).unwrap();
    assert!(doctor.stdout.contains("keys/.mutex"), "{doctor:?}");
    assert_ne!(doctor.code, 0);
}
