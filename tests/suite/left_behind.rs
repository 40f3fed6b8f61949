//! Trees of gates whose run was cut off: by a signal that can be waited for they are taken away at once, and
//! by one that cannot, by whoever comes next.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::changes::write;
use crate::support::Bench;

/// A bench with a gate that takes its time, and where its trees go.
fn bench() -> (Bench, PathBuf) {
    let bench = Bench::bare();
    let recipe = "check:\n\t@true\ntest:\n\t@touch started; sleep 60; echo '1 passed, 0 failed'\n";
    bench.write("Makefile", recipe);
    bench.baton(["init"]).expect(0);
    bench.commit("a slow gate");
    let temporary = bench.scratch("temporary");
    std::fs::create_dir(&temporary).unwrap();
    (bench, temporary)
}

fn runs(temporary: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(temporary).unwrap().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.to_string_lossy().contains("/baton-run-"))
        .collect()
}

/// Starts a run, and waits until its slow gate has begun; gives that one's tree.
fn start(bench: &Bench, id: &str, temporary: &Path) -> (Child, PathBuf) {
    let before = runs(temporary);
    bench.submit(id, "**");
    let patch = bench.patch(write("src/app.sh", "echo 2\n"));
    let path = bench.patch_file(&format!("{id}.patch"), &patch);
    let child = bench
        .command(["run", id, "--from", path.to_str().unwrap()])
        .env("TMPDIR", temporary)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let tree = begun(temporary, &before);
    (child, tree)
}

/// Waits for a tree in which the slow gate has begun, and that was not there before.
fn begun(temporary: &Path, before: &[PathBuf]) -> PathBuf {
    let until = Instant::now() + Duration::from_secs(60);
    let is_begun = |path: &PathBuf| !before.contains(path) && path.join("tree/started").exists();
    loop {
        if let Some(path) = runs(temporary).into_iter().find(is_begun) {
            return path;
        }
        assert!(Instant::now() < until, "the gate never began");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(child: &mut Child, signal: &str) -> Option<i32> {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(sent.unwrap().success());
    child.wait().unwrap().signal()
}

/// Whether the tests were started to ignore a signal, as behind `nohup`; what they start does then too.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

#[test]
fn a_run_that_is_interrupted_takes_its_trees_away() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        if is_ignored(number) {
            continue;
        }
        let (bench, temporary) = bench();
        let (mut child, _) = start(&bench, "T-1", &temporary);
        assert_eq!(send(&mut child, signal), Some(number));
        assert_eq!(runs(&temporary), Vec::<PathBuf>::new(), "{signal}");
        // Nothing of the gate is kept: it did not come to its end.
        let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
        assert!(!log.contains("GATES_FINISHED"), "{log}");
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_and_nothing_of_a_live_one() {
    let (bench, temporary) = bench();
    let (mut dead, _) = start(&bench, "T-1", &temporary);
    assert_eq!(send(&mut dead, "KILL"), Some(9));
    let left = runs(&temporary);
    assert!(!left.is_empty());
    // The next gates take it away.
    let (mut live, tree) = start(&bench, "T-2", &temporary);
    let here = runs(&temporary);
    assert!(!left.iter().any(|path| here.contains(path)), "{here:?}");
    let watch = |temporary: &Path| {
        let mut command = bench.command(["watchdog", "--once"]);
        let ended = command.env("TMPDIR", temporary).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    watch(&temporary);
    assert!(tree.join("tree/started").exists(), "it is a live run's");
    assert_eq!(send(&mut live, "KILL"), Some(9));
    // What runs behind the walls may take a moment to end.
    let until = Instant::now() + Duration::from_secs(20);
    while !runs(&temporary).is_empty() {
        assert!(Instant::now() < until, "{:?}", runs(&temporary));
        watch(&temporary);
    }
}

#[test]
fn a_run_that_ends_while_it_drafts_leaves_no_folder() {
    let bench = Bench::new();
    let script = "mkdir kept; cat >kept/prompt; touch \"$HOME/drafts\"; exec sleep 60";
    bench.policy(|policy| policy["draft"]["command"] = serde_json::json!(["sh", "-c", script]));
    let temporary = bench.scratch("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let left = || std::fs::read_dir(&temporary).unwrap().count();
    bench.submit("T-1", "**");
    bench.submit("T-2", "**");
    for (id, signal) in [("T-1", "TERM"), ("T-2", "KILL")] {
        let mut command = bench.command(["run", id, "--producer", "command"]);
        command.env("TMPDIR", &temporary);
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = quiet.spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let drafts = bench.home().join("drafts");
        while !drafts.exists() {
            assert!(Instant::now() < until, "the command never began");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_file(drafts).unwrap();
        assert_eq!(left(), 1);
        send(&mut child, signal);
        while left() > 0 {
            assert!(Instant::now() < until, "{signal} left a folder");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
