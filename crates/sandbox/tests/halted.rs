//! A run that is stopped while its walls are being built leaves nobody behind.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use baton_sandbox::Sandbox;
use common::{Host, Script};

/// Whether any process sleeps for so many seconds.
fn sleeps(seconds: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut commands =
        processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    commands.any(|command| command == format!("sleep\0{seconds}\0").into_bytes())
}

/// In the place of the second stage stands a script that never builds a wall. As bubblewrap's, one of
/// its processes waits for a word from the one that is killed, and one has lost its parent already.
#[test]
fn a_stop_while_the_walls_are_built_leaves_nobody() {
    let host = Host::new();
    let program = host.folder.path().join("second-stage");
    let script = "#!/bin/sh\nexec setsid sh -c '(sleep 7301 &); sleep 7302 & wait'\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let profile = host.profile(Script::Sh("true").argv());
    let stand = || sleeps("7301") && sleeps("7302");
    let outcome = Sandbox::with_program(&program).run(&profile, &stand);
    assert!(outcome.is_err() || outcome.is_ok_and(|outcome| outcome.log.text().is_empty()));
    let begun = Instant::now();
    while sleeps("7301") || sleeps("7302") {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "somebody is left"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
