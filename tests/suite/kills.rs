//! A run that is killed at any moment loses nothing and lands nothing twice.

use std::process::Stdio;
use std::time::Duration;

use crate::support::Bench;

/// Starts a command and kills it after a while, wherever it is then.
fn kill_after(bench: &Bench, line: &[&str], milliseconds: u64) {
    let mut child = bench
        .command(line)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds));
    // It may have ended by itself by now.
    drop(child.kill());
    child.wait().unwrap();
}

#[test]
fn killed_runs_are_gone_on_with_and_each_change_lands_once() {
    const ROUNDS: u64 = 8;
    let bench = Bench::new();
    // A fixed sequence that is spread over the length of a run.
    let mut state = 7_u64;
    let mut random = |most: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    for round in 1..=ROUNDS {
        let id = format!("K-{round}");
        bench.submit(&id, "src/**");
        let text = bench
            .patch(|root| std::fs::write(root.join("src/app.sh"), format!("echo {id}\n")).unwrap());
        let path = bench.patch_file("x.patch", &text);
        let run = ["run", &id, "--from", path.to_str().unwrap()];
        kill_after(&bench, &run, random(500));
        let state = bench.baton(["status"]).expect(0);
        let waits = state["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|task| task["task_id"] == id)
            .unwrap()
            .clone();
        if waits["state"] != "pr" {
            bench.baton(run).expect(0);
        }
        bench.baton(["approve", &id]).expect(0);
        kill_after(&bench, &["run", &id], random(250));
        if !bench.task("done", &id).is_dir() {
            bench.baton(["run", &id]).expect(0);
        }
        assert!(bench.task("done", &id).is_dir());
        assert_eq!(bench.git(&["status", "--porcelain"]), "", "{id}");
    }
    let landed = bench.git(&["log", "--format=%(trailers:key=Baton-Task,valueonly)"]);
    let mut ids: Vec<_> = landed.lines().filter(|line| !line.is_empty()).collect();
    ids.sort_unstable();
    let mut expected: Vec<_> = (1..=ROUNDS).map(|round| format!("K-{round}")).collect();
    expected.sort();
    assert_eq!(ids, expected);
    bench.baton(["audit", "verify"]).expect(0);
}
