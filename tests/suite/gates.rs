//! What gates see, what they may claim, and how they end.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::changes::{gate, rules, take, write};
use crate::support::Bench;

#[test]
fn a_failing_test_is_told_from_one_that_failed_before() {
    let bench = Bench::new();
    let done = take(&bench, "T-1", write("src/app.sh", "echo broken\n")).expect(0);
    assert_eq!(done["decision"], "PR_ONLY");
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL");
    assert!(
        note.contains("base=PASS") && note.contains("tests=1 failed=1"),
        "{note}"
    );
    assert!(rules(&bench, "T-1").contains(&"D6".to_owned()));
    // Now the base itself is broken: the next change is not blamed for it.
    bench.write("src/app.sh", "echo broken\n");
    bench.commit("break it");
    let done = take(&bench, "T-2", write("README.md", "# more\n")).expect(0);
    let (status, note) = gate(&bench, "T-2", "G5");
    assert!(
        status == "FAIL" && note.contains("base=FAIL") && !note.contains("new=yes"),
        "{note}"
    );
    assert_eq!(
        (done["decision"].as_str(), rules(&bench, "T-2")),
        (Some("AUTO_MERGE"), vec!["D9".to_owned()])
    );
}

#[test]
fn a_run_that_executes_no_test_is_no_pass() {
    let bench = Bench::new();
    take(
        &bench,
        "T-1",
        write("Makefile", "check:\n\t@true\ntest:\n\t@echo all good\n"),
    )
    .expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL");
    assert!(note.starts_with("NO_TEST_RAN"), "{note}");
}

#[test]
fn the_log_of_a_gate_is_there_before_the_gate_starts_and_is_nobody_elses() {
    let bench = Bench::new();
    bench.write(
        "Makefile",
        "check:\n\t@true\ntest:\n\t@sleep 2; echo '1 passed, 0 failed'\n",
    );
    bench.commit("a slow gate");
    bench.submit("T-1", "src/**");
    let text = bench.patch(write("src/app.sh", "echo 2\n"));
    let path = bench.patch_file("x.patch", &text);
    let mut child = bench
        .command(["run", "T-1", "--from", path.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let log = bench.task("work", "T-1").join("evidence/G5.log");
    let mut seen = None;
    while seen.is_none() && child.try_wait().unwrap().is_none() {
        seen = std::fs::read(&log).ok();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(seen, Some(Vec::new()), "made, and still empty");
    assert!(child.wait().unwrap().success());
    let log = std::fs::read_to_string(bench.task("pr", "T-1").join("evidence/G5.log")).unwrap();
    assert!(log.contains("1 passed"), "{log}");
}

#[test]
fn stop_ends_a_running_gate() {
    let bench = Bench::new();
    bench.submit("T-1", "**");
    let recipe = "check:\n\t@true\ntest:\n\t@sleep 61.25; echo '1 passed, 0 failed'\n";
    let text = bench.patch(write("Makefile", recipe));
    let path = bench.patch_file("x.patch", &text);
    let child = bench
        .command(["run", "T-1", "--from", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("61.25");
    bench.baton(["stop"]).expect(0);
    let stopped = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(
        stopped.elapsed() < Duration::from_secs(30),
        "{:?}",
        stopped.elapsed()
    );
    assert_eq!(output.status.code(), Some(4));
    assert!(rules(&bench, "T-1").contains(&"D1".to_owned()));
    assert!(!runs("61.25"));
}

/// Somebody puts a backup back, or moves the queue: a STOP is then set where a run that goes on does not look.
#[test]
fn a_queue_that_was_replaced_ends_a_running_gate() {
    let bench = Bench::new();
    bench.submit("T-1", "**");
    let recipe = "check:\n\t@true\ntest:\n\t@sleep 61.75; echo '1 passed, 0 failed'\n";
    let text = bench.patch(write("Makefile", recipe));
    let path = bench.patch_file("x.patch", &text);
    let child = bench
        .command(["run", "T-1", "--from", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("61.75");
    let away = bench.scratch("away");
    std::fs::rename(bench.queue(), &away).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&away, &bench.queue()])
        .status();
    assert!(copied.unwrap().success());
    bench.baton(["stop"]).expect(0);
    let stopped = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(30));
    assert_eq!(output.status.code(), Some(4));
    assert!(!runs("61.75"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("moved away or replaced"), "{said}");
    bench.baton(["resume"]).expect(0);
    bench.baton(["stop-check"]).expect(0);
}

/// Whether a program with this argument runs on the machine, behind walls or not.
pub(crate) fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.into_iter().any(|process| {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        words.next().is_some_and(|name| name.ends_with(b"sleep"))
            && words.any(|word| word == argument.as_bytes())
    })
}

pub(crate) fn wait_for(argument: &str) {
    let waited = Instant::now();
    while !runs(argument) {
        assert!(
            waited.elapsed() < Duration::from_secs(60),
            "the gate did not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_gate_sees_only_what_the_policy_names_and_leaves_nothing_behind() {
    let bench = Bench::new();
    bench.submit("T-1", "**");
    let recipe = "check:\n\t@env | cut -d= -f1 | sort | tr '\\n' ' '; sleep 302.5 &\ntest:\n\t@echo '1 passed, 0 failed'\n";
    let text = bench.patch(write("Makefile", recipe));
    let path = bench.patch_file("x.patch", &text);
    let ran = bench
        .command(["run", "T-1", "--from", path.to_str().unwrap()])
        .env("SECRET_TOKEN", "x")
        .env("GIT_DIR", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(
        ran.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
    let log = std::fs::read_to_string(bench.task("pr", "T-1").join("evidence/G4.log")).unwrap();
    let names: Vec<_> = log
        .split_whitespace()
        .filter(|name| !name.starts_with("MAKE") && !name.starts_with("MFLAGS"))
        .collect();
    for name in names {
        assert!(
            [
                "CI", "HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER", "PWD", "SHLVL", "_",
                "OLDPWD"
            ]
            .contains(&name),
            "{name} in {log}"
        );
    }
    assert!(!runs("302.5"), "a grandchild of the gate lives on");
    let record = record(&bench, "pr", "T-1", "G4");
    assert_eq!(record["candidate"]["sandbox"]["leaks"], 1, "{record}");
}

/// A gate's kept record.
fn record(bench: &Bench, state: &str, id: &str, gate: &str) -> Value {
    let path = bench.task(state, id).join(format!("evidence/{gate}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_bare_diff_needs_no_queue() {
    let bench = Bench::new();
    std::fs::remove_dir_all(bench.queue()).unwrap();
    let text = bench.patch(write("src/app.sh", "echo 2\n"));
    let scan = bench.pipe(
        text.as_bytes(),
        [
            "diff-risk-scan",
            "--patch",
            "-",
            "--base",
            "main",
            "--summary-out",
            "../summary.json",
        ],
    );
    assert_eq!(scan.expect(0)["data"]["risk_level"], "LOW");
    let summary: Value =
        serde_json::from_slice(&std::fs::read(bench.scratch("summary.json")).unwrap()).unwrap();
    assert_eq!(
        (
            summary["source"].as_str(),
            summary["files"][0]["path"].as_str()
        ),
        (Some("candidate"), Some("src/app.sh"))
    );
    let gates = bench.pipe(
        text.as_bytes(),
        ["gate-runner", "--patch", "-", "--base", "main"],
    );
    assert_eq!(gates.expect(0)["data"]["all_pass"], true);
    std::fs::write(bench.scratch("risk.json"), &scan.stdout).unwrap();
    std::fs::write(bench.scratch("gates.json"), &gates.stdout).unwrap();
    let decided = bench
        .baton([
            "decision-router",
            "--risk",
            "../risk.json",
            "--gates",
            "../gates.json",
        ])
        .expect(0);
    assert_eq!(decided["decision"], "AUTO_MERGE");
    let alone = bench
        .baton(["decision-router", "--risk", "../risk.json"])
        .expect(4);
    assert_eq!(
        alone["decision"], "ZERO_STOP",
        "without gates the evidence is not whole"
    );
    // Only some gates: the answer is about these, and a skipped gate is no pass all the same.
    let some = bench.pipe(
        text.as_bytes(),
        [
            "gate-runner",
            "--patch",
            "-",
            "--base",
            "main",
            "--only",
            "G1,G2,G3",
        ],
    );
    assert_eq!(some.expect(0)["data"]["all_pass"], false);
    let text_only = bench.pipe(text.as_bytes(), ["diff-risk-scan", "--patch", "-"]);
    assert!(text_only.findings().contains(&"TEXT_ONLY".to_owned()));
}

#[test]
fn a_second_run_of_a_task_waits_for_the_first() {
    let bench = Bench::new();
    bench.submit("T-1", "**");
    let recipe = "check:\n\t@true\ntest:\n\t@sleep 2.125; echo '1 passed, 0 failed'\n";
    let text = bench.patch(write("Makefile", recipe));
    let path = bench.patch_file("x.patch", &text);
    let line = ["run", "T-1", "--from", path.to_str().unwrap()];
    let mut first = bench
        .command(line)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("2.125");
    let second = bench.baton(line);
    assert_eq!(
        (second.code, second.json()["code"].as_str().unwrap()),
        (1, "LOCK_CONFLICT")
    );
    assert!(first.wait().unwrap().success());
    assert!(
        bench.task("pr", "T-1").is_dir(),
        "the second run disturbed the first"
    );
}

#[test]
fn a_base_that_runs_no_test_either_excuses_nothing() {
    let bench = Bench::new();
    bench.write("Makefile", "check:\n\t@true\ntest:\n\t@echo all good\n");
    bench.commit("no tests any more");
    let done = take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    assert_eq!(done["decision"], "PR_ONLY", "{done}");
    assert!(rules(&bench, "T-1").contains(&"D6".to_owned()));
}

#[test]
fn stop_keeps_a_gate_that_waits_from_starting() {
    let bench = Bench::new();
    bench.policy(|policy| policy["gates"][5]["needs"] = serde_json::json!(["G4"]));
    bench.submit("T-1", "**");
    let recipe = "check:\n\t@sleep 62.75\ntest:\n\t@sleep 63.75; echo '1 passed, 0 failed'\n";
    let text = bench.patch(write("Makefile", recipe));
    let path = bench.patch_file("x.patch", &text);
    let child = bench
        .command(["run", "T-1", "--from", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("62.75");
    bench.baton(["stop"]).expect(0);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(4));
    assert!(!runs("62.75") && !runs("63.75"));
    let evidence = bench.task("blocked", "T-1").join("evidence");
    assert!(
        !evidence.join("G5.json").exists(),
        "G5 was started under STOP"
    );
}

#[test]
fn a_kept_result_is_used_again_and_shown_as_such() {
    let bench = Bench::new();
    take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    let (_, first) = gate(&bench, "T-1", "G5");
    assert!(!first.contains("cached=yes"), "{first}");
    // The same change as another task: the same tree, gates and tools.
    take(&bench, "T-2", write("src/app.sh", "echo 2\n")).expect(0);
    let (status, second) = gate(&bench, "T-2", "G5");
    assert_eq!(status, "PASS");
    assert!(
        second.contains("isolation=I3") && second.contains("cached=yes"),
        "{second}"
    );
    let kept = record(&bench, "pr", "T-2", "G5");
    assert_eq!(kept["cached"]["task"], "T-1");
    // Asked for, everything is run.
    bench.submit("T-3", "**");
    let text = bench.patch(write("src/app.sh", "echo 2\n"));
    let path = bench.patch_file("T-3.patch", &text);
    let line = ["run", "T-3", "--no-cache", "--from", path.to_str().unwrap()];
    bench.baton(line).expect(0);
    let (_, third) = gate(&bench, "T-3", "G5");
    assert!(!third.contains("cached=yes"), "{third}");
}

#[test]
fn a_kept_result_that_the_log_does_not_know_counts_for_nothing() {
    let bench = Bench::new();
    take(&bench, "T-1", write("src/app.sh", "echo broken\n")).expect(0);
    assert_eq!(gate(&bench, "T-1", "G5").0, "FAIL");
    for entry in std::fs::read_dir(bench.queue().join("results")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"FAIL\"", "\"PASS\"")).unwrap();
    }
    take(&bench, "T-2", write("src/app.sh", "echo broken\n")).expect(0);
    let (status, note) = gate(&bench, "T-2", "G5");
    assert_eq!(status, "FAIL", "{note}");
    assert!(!note.contains("cached=yes"), "{note}");
}
