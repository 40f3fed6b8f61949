//! Whoever runs a gate is killed, at many moments from the first step of the walls to the gate at work: nobody
//! of the gate's is left.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, wait};

/// How many are killed, spread evenly over the time that walls and a short gate take.
const KILLS: u32 = 150;

fn start(tree: &Path, scratch: &Path, gate: [&str; 2]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_baton-walls"))
        .arg(tree)
        .args(gate)
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Everybody below this process, with what each one was started as.
fn below(parent: Pid) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", parent.as_raw_pid()));
    let lists = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let mut found = Vec::new();
    for word in lists.collect::<String>().split_whitespace() {
        let command = std::fs::read_to_string(format!("/proc/{word}/cmdline"));
        let command = command.unwrap_or_default().replace('\0', " ");
        found.push(format!(
            "{word} {}",
            command.chars().take(60).collect::<String>()
        ));
        found.extend(below(Pid::from_raw(word.parse().unwrap()).unwrap()));
    }
    found
}

/// Waits until nobody is below us. Who lost its parent comes to us.
fn all_end(after: Duration) {
    let begun = Instant::now();
    loop {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let left = below(getpid());
        if left.is_empty() {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "killed after {after:?}, left: {left:#?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_supervisor_leaves_nobody() {
    set_child_subreaper(Some(getpid())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (tree, scratch) = (folder.path().join("tree"), folder.path().join("scratch"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::create_dir(&scratch).unwrap();
    let begun = Instant::now();
    let ended = start(&tree, &scratch, ["sleep", "0"]).wait().unwrap();
    if !ended.success() {
        return eprintln!("not run: no walls here");
    }
    let took = begun.elapsed();
    let (mut most, mut alone) = (0, 0);
    for at in 0..KILLS {
        let after = took * at / KILLS;
        let mut supervisor = start(&tree, &scratch, ["sleep", "600"]);
        std::thread::sleep(after);
        let there = below(getpid()).len();
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
        (most, alone) = (most.max(there), alone + u32::from(there < 2));
        all_end(after);
    }
    eprintln!("{KILLS} kills within {took:?}: {alone} before anything was started");
    assert!(most > 3, "no kill met a gate");
    assert!(alone < KILLS / 2, "most kills came too early");
}
