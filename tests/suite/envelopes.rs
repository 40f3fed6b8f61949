//! Every tool, in every outcome, prints one envelope that the schema accepts, with the agreed exit
//! code.

use std::os::unix::fs::symlink;
use std::path::Path;

use baton_core::schemas as embedded;
use serde_json::Value;

use crate::schemas::validator;
use crate::support::{Bench, Ran};

/// What names a subject to each tool, so that none reads standard input.
pub(crate) fn with_task(skill: &str) -> Vec<&str> {
    match skill {
        "patch-draft" => vec![skill, "--task", "T-1", "--from", "../fix.patch"],
        "audit-append" => vec![skill, "--envelope", "../envelope.json"],
        _ => vec![skill, "--task", "T-1"],
    }
}

/// Checks form, schema and exit code, and returns the envelope.
pub(crate) fn checked(ran: &Ran) -> Value {
    let envelope = ran.json();
    let errors: Vec<_> = validator(embedded::OUTPUTS)
        .iter_errors(&envelope)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}: {envelope}");
    let expected = match (
        envelope["status"].as_str().unwrap(),
        envelope["decision"].as_str(),
    ) {
        ("OK", Some("ZERO_STOP")) | ("ZERO_STOP", _) => 4,
        ("OK", _) => 0,
        ("FAIL", _) => 1,
        ("DENY", _) => 3,
        ("PARTIAL", _) => 5,
        other => panic!("{other:?}"),
    };
    assert_eq!(ran.code, expected, "{envelope}");
    envelope
}

pub(crate) fn codes(envelope: &Value) -> Vec<&str> {
    envelope["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect()
}

/// A bench with task T-1 in the inbox, a patch for it, and an envelope to record.
pub(crate) fn bench() -> Bench {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    bench.patch_file("fix.patch", &text);
    let envelope = bench.baton(["stop-check"]);
    std::fs::write(bench.scratch("envelope.json"), &envelope.stdout).unwrap();
    bench
}

/// Every file below a folder, with its content.
fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push((
                    entry.path().display().to_string(),
                    std::fs::read(entry.path()).unwrap(),
                ));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_way_through_ends_well_at_every_tool() {
    let bench = bench();
    let steps: [(&[&str], &str); 10] = [
        (&["stop-check", "--task", "T-1"], "inbox"),
        (&["queue-scan"], "unknown"),
        (&["claim-lock", "--task", "T-1"], "claimed"),
        (&["intake-validate", "--task", "T-1"], "work"),
        (
            &["patch-draft", "--task", "T-1", "--from", "../fix.patch"],
            "work",
        ),
        (&["diff-risk-scan", "--task", "T-1"], "work"),
        (&["gate-runner", "--task", "T-1"], "work"),
        (&["decision-router", "--task", "T-1"], "pr"),
        (&["pr-merge-orchestrator", "--task", "T-1"], "pr"),
        (
            &["audit-append", "--envelope", "../envelope.json"],
            "unknown",
        ),
    ];
    for (line, after) in steps {
        let envelope = checked(&bench.baton(line));
        assert_eq!(envelope["status"], "OK", "{line:?}: {envelope}");
        if line[0] != "stop-check" {
            assert_eq!(envelope["task"]["state_after"], after, "{line:?}");
        }
    }
    assert_eq!(
        checked(&bench.baton(["incident-brief", "--task", "T-1"]))["status"],
        "OK"
    );
}

#[test]
fn stop_in_every_form_halts_every_tool_that_acts() {
    for form in ["file", "dangling link", "folder"] {
        let bench = bench();
        let stop = bench.queue().join("STOP");
        match form {
            "file" => std::fs::write(&stop, "").unwrap(),
            "folder" => std::fs::create_dir(&stop).unwrap(),
            _ => symlink("/nonexistent/nowhere", &stop).unwrap(),
        }
        for skill in baton::SKILLS {
            let envelope = checked(&bench.baton(with_task(skill.name)));
            if skill.acts_under_stop && skill.name != "stop-check" {
                continue;
            }
            assert_eq!(envelope["status"], "ZERO_STOP", "{form}: {envelope}");
            assert_eq!(
                envelope["signals"]["stop_detected"], true,
                "{form}: {}",
                skill.name
            );
            assert!(codes(&envelope).contains(&"STOP_PRESENT"), "{envelope}");
        }
        // The incident may take the task out of the way; nothing may take it up.
        let rests = ["inbox", "blocked"]
            .iter()
            .any(|state| bench.task(state, "T-1").join("task.json").is_file());
        assert!(rests, "{form}: the task was taken up under STOP");
        for command in [&["run", "T-1"][..], &["retry", "T-1"], &["approve", "T-1"]] {
            assert_ne!(bench.baton(command).code, 0, "{form}: {command:?}");
        }
    }
}

#[test]
fn a_missing_broken_or_loosened_policy_is_an_error_everywhere() {
    let breakages: [(&str, fn(&str) -> Option<String>, &str); 5] = [
        ("missing", |_| None, "POLICY_MISSING"),
        ("no JSON", |_| Some("{".to_owned()), "POLICY_INVALID"),
        (
            "unknown key",
            |text| Some(text.replacen('{', "{\"surprise\":1,", 1)),
            "POLICY_INVALID",
        ),
        (
            "key twice",
            |text| Some(text.replacen('{', "{\"schema_version\":\"1.0.0\",", 1)),
            "POLICY_INVALID",
        ),
        ("loosened", |text| Some(loosened(text)), "POLICY_LOOSENED"),
    ];
    for (what, breakage, code) in breakages {
        let bench = bench();
        let path = bench.root().join(".autodev_ssot/POLICY.json");
        let text = std::fs::read_to_string(&path).unwrap();
        match breakage(&text) {
            None => std::fs::remove_file(&path).unwrap(),
            Some(text) => std::fs::write(&path, text).unwrap(),
        }
        for skill in baton::SKILLS {
            let envelope = checked(&bench.baton(with_task(skill.name)));
            assert_eq!(envelope["status"], "FAIL", "{what}: {envelope}");
            assert!(
                codes(&envelope).contains(&code) || skill.name == "pr-merge-orchestrator",
                "{what}: {envelope}"
            );
        }
        assert!(
            bench.task("inbox", "T-1").is_dir(),
            "{what}: the task moved"
        );
    }
}

fn loosened(text: &str) -> String {
    let mut policy: Value = serde_json::from_str(text).unwrap();
    policy["actors"]["openclaw"]["MOVE"] = "allow".into();
    policy.to_string()
}

#[test]
fn what_an_actor_may_not_do_is_denied() {
    let bench = bench();
    for skill in baton::SKILLS {
        let denied = skill
            .classes
            .iter()
            .any(|class| !matches!(class.to_string().as_str(), "READ" | "WRITE"));
        let mut line = with_task(skill.name);
        line.extend(["--actor", "openclaw"]);
        let envelope = checked(&bench.baton(&line));
        if denied && skill.name != "pr-merge-orchestrator" {
            assert_eq!(envelope["status"], "DENY", "{envelope}");
            assert!(codes(&envelope).contains(&"APPROVAL_REQUIRED"));
        }
    }
    expire_standing_approvals(&bench);
    for skill in baton::SKILLS
        .iter()
        .filter(|skill| skill.name != "pr-merge-orchestrator")
    {
        let envelope = checked(&bench.baton(with_task(skill.name)));
        assert_eq!(envelope["status"], "DENY", "{envelope}");
    }
}

fn expire_standing_approvals(bench: &Bench) {
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    let mut policy: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for approval in policy["standing_approvals"].as_array_mut().unwrap() {
        approval["approved_at"] = "2020-01-01T00:00:00Z".into();
        approval["until"] = "2020-01-02T00:00:00Z".into();
    }
    std::fs::write(path, policy.to_string()).unwrap();
    bench.accepted();
}

#[test]
fn a_broken_upstream_is_refused_with_the_path_that_broke_it() {
    let bench = bench();
    let good: Value =
        serde_json::from_slice(&std::fs::read(bench.scratch("envelope.json")).unwrap()).unwrap();
    let broken = |edit: fn(&mut Value)| {
        let mut envelope = good.clone();
        edit(&mut envelope);
        envelope.to_string()
    };
    let cases = [
        (String::new(), "empty"),
        ("  \n".to_owned(), "empty"),
        ("not json".to_owned(), "at $"),
        ("[]".to_owned(), "at $"),
        (
            broken(|envelope| envelope["status"] = "MAYBE".into()),
            "at $.status",
        ),
        (
            broken(|envelope| envelope["task"]["queue_root"] = "/etc".into()),
            "at $.task.queue_root",
        ),
        (
            broken(|envelope| envelope["data"]["stop_detected"] = "no".into()),
            "at $.data.stop_detected",
        ),
        (broken(|envelope| envelope["extra"] = 1.into()), "at $"),
        (format!("{good} {good}"), "one JSON document expected"),
    ];
    for skill in baton::SKILLS
        .iter()
        .filter(|skill| skill.upstream != baton_core::driver::Upstream::Never)
    {
        for (input, part) in &cases {
            let envelope = checked(&bench.pipe(input.as_bytes(), [skill.name]));
            assert_eq!(envelope["status"], "FAIL", "{}: {envelope}", skill.name);
            let finding = &envelope["findings"][0];
            assert_eq!(finding["code"], "UPSTREAM_INVALID", "{envelope}");
            assert!(
                finding["message"].as_str().unwrap().contains(part),
                "{}: {input:?}: {finding}",
                skill.name
            );
        }
    }
}

#[test]
fn a_bad_upstream_is_passed_on_by_tools_that_do_not_act() {
    use baton_core::driver::Upstream;
    let bench = bench();
    let mut upstream: Value =
        serde_json::from_slice(&std::fs::read(bench.scratch("envelope.json")).unwrap()).unwrap();
    upstream["task"]["task_id"] = "T-1".into();
    upstream["findings"] =
        serde_json::json!([{"severity": "HIGH", "code": "EARLIER", "message": "seen before"}]);
    for (status, code) in [("FAIL", 1), ("DENY", 3), ("ZERO_STOP", 4)] {
        upstream["status"] = status.into();
        for skill in baton::SKILLS
            .iter()
            .filter(|skill| skill.upstream == Upstream::PassOn)
        {
            let ran = bench.pipe(upstream.to_string().as_bytes(), [skill.name]);
            let envelope = checked(&ran);
            assert_eq!(
                (ran.code, envelope["status"].as_str()),
                (code, Some(status)),
                "{envelope}"
            );
            let found = codes(&envelope);
            assert!(
                found.contains(&"UPSTREAM_NOT_OK") && found.contains(&"EARLIER"),
                "{envelope}"
            );
            assert_eq!(
                envelope["audit"]["prev_event_id"],
                upstream["audit"]["event_id"]
            );
        }
    }
    assert!(bench.task("inbox", "T-1").is_dir());
}

#[test]
fn a_plan_changes_nothing() {
    let bench = bench();
    for skill in baton::SKILLS {
        let before = listing(&bench.queue());
        let mut line = with_task(skill.name);
        line.push("--plan");
        checked(&bench.baton(&line));
        assert!(
            listing(&bench.queue()) == before,
            "{} --plan changed the queue",
            skill.name
        );
    }
    // Once more where each step could really act.
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    let steps = [
        &["intake-validate", "--task", "T-1"][..],
        &["patch-draft", "--task", "T-1", "--from", "../fix.patch"],
        &["diff-risk-scan", "--task", "T-1"],
        &["gate-runner", "--task", "T-1"],
        &["decision-router", "--task", "T-1"],
    ];
    for line in steps {
        let before = listing(&bench.queue());
        let mut plan = line.to_vec();
        plan.push("--plan");
        let envelope = checked(&bench.baton(&plan));
        assert_eq!(
            envelope["task"]["state_before"],
            envelope["task"]["state_after"]
        );
        assert!(
            listing(&bench.queue()) == before,
            "{line:?} --plan changed the queue"
        );
        bench.baton(line).expect(0);
    }
}

#[test]
fn a_queue_that_is_missing_or_broken_is_an_error() {
    let bench = bench();
    let inbox = bench.queue().join("inbox");
    std::fs::rename(&inbox, bench.scratch("elsewhere")).unwrap();
    symlink(bench.scratch("elsewhere"), &inbox).unwrap();
    for skill in [
        "queue-scan",
        "claim-lock",
        "intake-validate",
        "gate-runner",
        "incident-brief",
    ] {
        let envelope = checked(&bench.baton([skill, "--task", "T-1"]));
        assert_eq!(envelope["status"], "FAIL", "{envelope}");
        assert!(
            codes(&envelope).contains(&"QUEUE_BROKEN") || skill == "incident-brief",
            "{envelope}"
        );
    }
    std::fs::remove_file(&inbox).unwrap();
    std::fs::rename(bench.scratch("elsewhere"), &inbox).unwrap();
    std::fs::remove_file(bench.queue().join("audit/events.ndjson")).unwrap();
    let envelope = checked(&bench.baton(["claim-lock", "--task", "T-1"]));
    assert!(codes(&envelope).contains(&"LOG_MISSING"), "{envelope}");
    assert!(
        !bench.task("inbox", "T-1").join(".lock").exists(),
        "the lock was taken back"
    );
    std::fs::remove_dir_all(bench.queue()).unwrap();
    let envelope = checked(&bench.baton(["stop-check"]));
    assert!(codes(&envelope).contains(&"QUEUE_MISSING"), "{envelope}");
}

#[test]
fn usage_errors_print_no_envelope() {
    let bench = bench();
    for line in [
        &["claim-lock", "--nonsense"][..],
        &["gate-runner", "--only", "G9", "--task", "T-1"],
        &["claim-lock", "--next", "--task", "T-1"],
        &["patch-draft", "--from", "-"],
        &["stop-check", "--actor", "root"],
    ] {
        let ran = bench.baton(line);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{line:?}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.is_empty(), "{line:?}");
    }
}

#[test]
fn the_shell_chain_of_the_readme_runs() {
    let bench = bench();
    let chain = "set -o pipefail; export BATON_ACTOR=cursor; b=\"$0\"; \"$b\" claim-lock --next | \"$b\" intake-validate | \
        \"$b\" patch-draft --actor openclaw --from ../fix.patch | \"$b\" diff-risk-scan | \"$b\" gate-runner | \"$b\" decision-router | \"$b\" audit-append";
    let output = std::process::Command::new("bash")
        .args(["-c", chain])
        .arg(crate::support::program())
        .current_dir(bench.root())
        .env("HOME", bench.home())
        .output()
        .unwrap();
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        validator(embedded::OUTPUTS).is_valid(&envelope),
        "{envelope}"
    );
    assert_eq!(
        (output.status.code(), envelope["decision"].as_str()),
        (Some(0), Some("AUTO_MERGE")),
        "{envelope}"
    );
    assert_eq!(
        envelope["data"]["appended"], false,
        "the receipt was checked and nothing added"
    );
    assert!(bench.task("pr", "T-1").is_dir());
}
