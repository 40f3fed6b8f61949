//! Where the system has nothing left to give: nobody is kept from stopping, and nothing ends without an answer.

use std::process::Command;

use crate::support::{Bench, Ran, program, ran};

/// The program where no thread can be made: each would get a stack that no machine has.
fn without_threads(bench: &Bench, line: &[&str]) -> Ran {
    let mut command = bench.command(line);
    ran(command
        .env("RUST_MIN_STACK", "70000000000000")
        .output()
        .unwrap())
}

#[test]
fn stop_needs_no_thread_and_without_one_the_others_say_so() {
    let bench = Bench::new();
    let submit = ["submit", "--title", "t", "--goal", "g", "--allow", "src/**"];
    for (line, code) in [
        (&submit[..], "IO_ERROR"),
        (&["watchdog", "--every", "1s"], "SIGNALS_UNAVAILABLE"),
        (
            &["run", "--watch", "--producer", "command", "--idle", "1s"],
            "SIGNALS_UNAVAILABLE",
        ),
    ] {
        let refused = without_threads(&bench, line);
        assert_eq!(refused.expect(1)["code"], code, "{refused:?}");
    }
    assert!(!bench.queue().join("STOP").exists());
    without_threads(&bench, &["stop", "--reason", "halt"]).expect(0);
    assert!(bench.queue().join("STOP").exists());
    assert_eq!(without_threads(&bench, &["stop-check"]).code, 4);
    bench.baton(["resume"]).expect(0);
    bench.baton(submit).expect(0);
}

#[test]
fn without_a_thread_this_machine_halts_where_the_queue_lies_in_a_database() {
    let bench = Bench::bare();
    bench
        .baton(["init", "--store", "sqlite:.autodev_queue/queue.db"])
        .expect(0);
    let said = without_threads(&bench, &["stop"]).expect(5);
    assert_eq!(
        (&said["stop"], &said["everywhere"]),
        (&true.into(), &false.into())
    );
    assert!(bench.queue().join("STOP").exists());
    assert_eq!(bench.baton(["stop-check"]).code, 4);
}

/// A limit on the size of files, as job systems set one, is an error and no death without an answer.
#[test]
fn a_file_that_may_not_grow_is_told() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let before = bench.baton(["status"]).expect(0);
    let limited = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f 1; exec \"$0\" {line}")]);
        shell.arg(program()).current_dir(bench.root()).env_clear();
        shell.env("PATH", std::env::var_os("PATH").unwrap());
        ran(shell.env("HOME", bench.home()).output().unwrap())
    };
    let refused = limited("claim-lock --next --owner a");
    let said = refused.expect(1);
    assert_eq!(said["status"], "FAIL", "{said}");
    assert!(said.to_string().contains("File too large"), "{said}");
    assert!(refused.stderr.contains("ulimit -f"), "{}", refused.stderr);
    assert_eq!(
        bench.baton(["status"]).expect(0)["counts"],
        before["counts"]
    );
    // Halting needs no room.
    let halted = limited("stop");
    assert_eq!(halted.expect(5)["stop"], true, "{halted:?}");
    assert_eq!(bench.baton(["stop-check"]).code, 4);
    bench.baton(["resume"]).expect(0);
    bench
        .baton(["claim-lock", "--next", "--owner", "a"])
        .expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn stop_is_told_where_it_cannot_be_recorded() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.baton(["stop"]).expect(0);
    std::fs::write(
        bench.queue().join("audit/events.ndjson"),
        "no line of a log\n",
    )
    .unwrap();
    for line in [
        &["stop-check"][..],
        &["stop-check", "--task", "T-1"],
        &["claim-lock", "--next"],
    ] {
        let seen = bench.baton(line);
        let said = seen.expect(4);
        assert_eq!(said["status"], "ZERO_STOP", "{said}");
        assert_eq!(said["signals"]["stop_detected"], true, "{said}");
        assert_eq!(seen.findings()[0], "STOP_PRESENT", "{said}");
        assert!(seen.stdout.contains("this is not recorded"), "{said}");
    }
}

#[test]
fn stop_needs_no_more_than_the_folder_of_the_queue() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let manifest = bench.root().join(".autodev_ssot/MANIFEST.json");
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, "{").unwrap();
    let halted = bench.baton(["stop"]);
    let said = halted.expect(5);
    assert_eq!(
        (&said["stop"], &said["everywhere"]),
        (&true.into(), &false.into()),
        "{said}"
    );
    assert!(said["why"].to_string().contains("manifest"), "{said}");
    assert!(bench.queue().join("STOP").exists());
    std::fs::write(&manifest, whole).unwrap();
    assert_eq!(bench.baton(["stop-check"]).code, 4);
    bench.baton(["resume"]).expect(0);
}

#[test]
fn stop_is_told_whatever_the_policy_and_the_manifest_are_like() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.baton(["stop"]).expect(0);
    for name in ["POLICY.json", "MANIFEST.json"] {
        let path = bench.root().join(".autodev_ssot").join(name);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, "{").unwrap();
        let seen = bench.baton(["stop-check"]);
        let said = seen.expect(4);
        assert_eq!(said["data"]["stop_detected"], true, "{said}");
        assert_eq!(
            said["data"]["stop_paths"][0], ".autodev_queue/STOP",
            "{said}"
        );
        assert_eq!(seen.findings()[0], "STOP_PRESENT", "{said}");
        // The store is found by the manifest.
        let is_unrecorded = seen.stdout.contains("this is not recorded");
        assert_eq!(is_unrecorded, name == "MANIFEST.json", "{said}");
        std::fs::write(&path, whole).unwrap();
    }
    bench.baton(["resume"]).expect(0);
    // Without STOP it is a check that could not be made.
    std::fs::write(bench.root().join(".autodev_ssot/POLICY.json"), "{").unwrap();
    let said = bench.baton(["stop-check"]).expect(1);
    assert_eq!(said["data"]["action"], "ZERO_STOP", "{said}");
    assert_eq!(said["data"]["stop_detected"], true, "{said}");
}

/// Between the work and the move.
#[test]
fn a_stop_that_comes_after_the_work_keeps_the_task_where_it_is_and_is_recorded() {
    let bench = Bench::new();
    let stop = bench.queue().join("STOP");
    let script = format!(
        "cat >/dev/null; touch '{}'; printf '%s\\n' ---BEGIN_PATCH--- \
         'diff --git a/src/x b/src/x' 'new file mode 100644' '--- /dev/null' '+++ b/src/x' '@@ -0,0 +1 @@' '+1' \
         ---END_PATCH--- ---BEGIN_NOTES--- '- a file' ---END_NOTES---",
        stop.display()
    );
    bench.policy(|policy| policy["draft"]["command"] = serde_json::json!(["sh", "-c", script]));
    bench.submit("T-1", "src/**");
    bench
        .baton(["claim-lock", "--task", "T-1", "--owner", "a"])
        .expect(0);
    let line = ["patch-draft", "--task", "T-1", "--producer", "command"];
    let halted = bench.baton(line);
    let said = halted.expect(4);
    assert_eq!(halted.findings()[0], "STOP_PRESENT", "{said}");
    assert!(bench.task("claimed", "T-1").is_dir());
    assert!(!halted.stdout.contains("this is not recorded"), "{said}");
    let log = crate::worker::events(&bench, "T-1");
    let last = log.last().unwrap();
    assert_eq!(last["action"], "STOP_DETECTED", "{last}");
    assert_eq!(last["event_id"], said["audit"]["event_id"]);
    std::fs::remove_file(stop).unwrap();
    bench.baton(["audit", "verify"]).expect(0);
}
