//! A target that moved between draft and landing: the change is made anew on the new head, or becomes
//! a branch for review; an approval is carried over by proof only.

use serde_json::Value;

use crate::changes::{take, write};
use crate::support::Bench;

fn carrying() -> Bench {
    let bench = Bench::new();
    bench.policy(|policy| {
        policy["landing"]["carry_approvals"] = true.into();
    });
    bench
}

/// The actions that the log holds of a task, in order.
pub(crate) fn actions(bench: &Bench, id: &str) -> Vec<String> {
    let text = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["task_id"] == id)
        .map(|event| event["action"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_change_is_made_anew_and_approved_anew() {
    let bench = Bench::with_approved();
    bench.write("README.md", "# meanwhile\n");
    let moved = bench.commit("meanwhile");
    let ran = bench.baton(["run", "T-1"]);
    let envelope = ran.expect(0);
    assert_eq!(envelope["task"]["state_after"], "pr");
    assert_eq!(bench.git(&["rev-parse", "main"]), moved);
    assert!(ran.stderr.contains("baton approve T-1"), "{}", ran.stderr);
    let candidate = bench.task("pr", "T-1").join("candidate.json");
    let candidate: Value = serde_json::from_slice(&std::fs::read(candidate).unwrap()).unwrap();
    assert_eq!(candidate["base"], moved);
    assert_ne!(
        bench
            .baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"])
            .code,
        0,
        "the old approval counts for nothing"
    );
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^"]), moved);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    assert!(actions(&bench, "T-1").contains(&"TASK_REBASED".to_owned()));
    bench.baton(["verify", "T-1"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn the_policy_may_forbid_making_anew() {
    let bench = Bench::new();
    bench.policy(|policy| policy["landing"]["max_rebases"] = 0.into());
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.write("README.md", "# meanwhile\n");
    let moved = bench.commit("meanwhile");
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 1);
    assert!(ran.findings().contains(&"BASE_MOVED".to_owned()));
    assert_eq!(bench.git(&["rev-parse", "main"]), moved);
    assert!(
        bench.task("pr", "T-1").is_dir(),
        "what only waits is not blocked"
    );
}

#[test]
fn an_approval_is_carried_over_when_the_change_is_the_same_and_the_drift_elsewhere() {
    let bench = carrying();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.write("README.md", "# meanwhile\n");
    let moved = bench.commit("meanwhile");
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(ran.stderr.contains("carried over"), "{}", ran.stderr);
    assert_eq!(bench.git(&["rev-parse", "main^"]), moved);
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("APPROVAL_CARRIED"))
        .unwrap();
    let event: Value = serde_json::from_str(line).unwrap();
    let (from, to) = (&event["meta"]["from"], &event["meta"]["to"]);
    assert_ne!(from, to);
    assert!(to.as_str().unwrap().contains(&moved), "{to}");
    bench.baton(["verify", "T-1"]).expect(0);
}

#[test]
fn an_approval_is_not_carried_over_without_proof() {
    // The same file elsewhere, a manifest, a gate's definition, the policy.
    for (path, text) in [
        ("src/app.sh", "echo 1\n\n\n\n\n\n\n\n\n# tail\n"),
        ("sub/package.json", "{}\n"),
        (
            "Makefile",
            "check:\n\t@true\ntest:\n\t@echo '1 passed, 0 failed'\n",
        ),
        ("AGENTS.md", "be kind\n"),
        (".autodev_ssot/NOTE.md", "a note\n"),
    ] {
        let bench = carrying();
        bench.write("src/app.sh", "echo 1\n\n\n\n\n\n\n\n\n");
        bench.commit("longer");
        take(
            &bench,
            "T-1",
            write("src/app.sh", "echo 2\n\n\n\n\n\n\n\n\n"),
        )
        .expect(0);
        bench.baton(["approve", "T-1"]).expect(0);
        bench.write(path, text);
        let moved = bench.commit("meanwhile");
        let ran = bench.baton(["run", "T-1"]);
        assert_eq!(
            bench.git(&["rev-parse", "main"]),
            moved,
            "{path}: {}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains("is not carried over"),
            "{path}: {}",
            ran.stderr
        );
        assert!(
            !actions(&bench, "T-1").contains(&"APPROVAL_CARRIED".to_owned()),
            "{path}"
        );
    }
}

#[test]
fn a_denial_of_the_change_before_is_never_carried_past() {
    let bench = carrying();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.write("README.md", "# meanwhile\n");
    let moved = bench.commit("meanwhile");
    // Withdrawn after the target moved: the change never comes to be carried.
    bench.baton(["reject", "T-1"]).expect(0);
    assert_ne!(bench.baton(["run", "T-1"]).code, 0);
    assert_eq!(bench.git(&["rev-parse", "main"]), moved);
}

#[test]
fn a_conflict_becomes_a_branch_for_review_and_names_the_files() {
    let bench = Bench::new();
    let base = bench.git(&["rev-parse", "main"]);
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.write("src/app.sh", "echo other\n");
    let moved = bench.commit("meanwhile");
    let ran = bench.baton(["run", "T-1"]);
    let envelope = ran.expect(0);
    assert_eq!(envelope["decision"], "PR_ONLY");
    assert!(ran.findings().contains(&"MERGE_CONFLICT".to_owned()));
    assert!(ran.stdout.contains("src/app.sh"), "{}", ran.stdout);
    assert_eq!(bench.git(&["rev-parse", "main"]), moved);
    assert_eq!(bench.git(&["rev-parse", "baton/T-1^"]), base);
    assert_eq!(bench.git(&["show", "baton/T-1:src/app.sh"]), "echo T-1");
    bench.baton(["verify", "T-1"]).expect(0);
}

#[test]
fn a_run_that_was_killed_while_making_anew_is_gone_on_with() {
    let bench = Bench::with_waiting();
    bench.write("README.md", "# meanwhile\n");
    bench.commit("meanwhile");
    let mut child = bench
        .command(["run", "T-1"])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Killed as soon as the attempt is set aside.
    let aside = |state: &str| bench.task(state, "T-1").join("attempts/1/draft.patch");
    while !["inbox", "claimed", "work", "pr"]
        .iter()
        .any(|state| aside(state).is_file())
    {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    drop(child.kill());
    child.wait().unwrap();
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.expect(0)["task"]["state_after"], "pr", "{}", ran.stderr);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
}

#[test]
fn several_that_wait_land_one_after_the_other_each_on_top_of_the_last() {
    let bench = carrying();
    for name in ["a", "b", "c", "d"] {
        bench.write(&format!("src/{name}.sh"), "echo 1\n");
    }
    let start = bench.commit("files");
    for (id, name) in [("T-1", "a"), ("T-2", "b"), ("T-3", "c"), ("T-4", "d")] {
        take(&bench, id, write(&format!("src/{name}.sh"), "echo 2\n")).expect(0);
        if id != "T-3" {
            bench.baton(["approve", id]).expect(0);
        }
    }
    let done = bench.baton(["run", "--all"]).expect(0);
    assert_eq!(done["done"], serde_json::json!(["T-1", "T-2", "T-4"]));
    assert_eq!(done["waiting"], serde_json::json!(["T-3"]));
    assert_eq!(bench.git(&["rev-parse", "main~3"]), start);
    // Each was gated on what it landed on.
    for id in ["T-2", "T-4"] {
        let runs = actions(&bench, id);
        let gated = runs.iter().filter(|action| *action == "GATES_FINISHED");
        assert_eq!(gated.count(), 2, "{runs:?}");
        bench.baton(["verify", id]).expect(0);
    }
    let again = bench.baton(["run", "--all"]).expect(0);
    assert_eq!(again["done"], serde_json::json!([]));
}
