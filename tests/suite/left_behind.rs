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

/// Starts a run, and waits until its gate has begun.
fn start(bench: &Bench, id: &str, temporary: &Path) -> Child {
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
    let until = Instant::now() + Duration::from_secs(60);
    let is_begun = |path: &PathBuf| !before.contains(path) && path.join("tree/started").exists();
    while !runs(temporary).iter().any(is_begun) {
        assert!(Instant::now() < until, "{id}: the gate never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn send(child: &mut Child, signal: &str) -> Option<i32> {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(sent.unwrap().success());
    child.wait().unwrap().signal()
}

#[test]
fn a_run_that_is_interrupted_takes_its_trees_away() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let (bench, temporary) = bench();
        let mut child = start(&bench, "T-1", &temporary);
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
    let mut dead = start(&bench, "T-1", &temporary);
    assert_eq!(send(&mut dead, "KILL"), Some(9));
    let left = runs(&temporary);
    assert!(!left.is_empty());
    // The next gates take it away.
    let mut live = start(&bench, "T-2", &temporary);
    let here = runs(&temporary);
    assert!(!left.iter().any(|path| here.contains(path)), "{here:?}");
    let watch = |temporary: &Path| {
        let mut command = bench.command(["watchdog", "--once"]);
        let ended = command.env("TMPDIR", temporary).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    watch(&temporary);
    assert_eq!(runs(&temporary), here, "they are a live run's");
    assert_eq!(send(&mut live, "KILL"), Some(9));
    watch(&temporary);
    assert_eq!(runs(&temporary), Vec::<PathBuf>::new());
}
