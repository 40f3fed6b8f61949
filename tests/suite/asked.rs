//! `task.json` counts as it was submitted: whoever writes into the queue widens no scope and changes no title.

use baton_core::audit::{Action, Draft};
use baton_core::digest;
use baton_core::policy::Actor;
use baton_core::state::State;
use baton_core::store::Store;
use baton_core::task::Task;
use serde_json::{Value, json};

use crate::strangers::verify_wrong;
use crate::support::{Bench, Ran};

/// Changes a task's file as somebody would who has no key.
fn edit(bench: &Bench, state: &str, from: &str, to: &str) {
    let path = bench.task(state, "T-1").join("task.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

fn patch(bench: &Bench) -> String {
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let path = bench.patch_file("fix.patch", &text);
    path.to_str().unwrap().to_owned()
}

fn is_refused(ran: &Ran) {
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("TASK_CHANGED"), "{}", ran.stdout);
}

#[test]
fn a_scope_that_is_widened_in_the_queue_lets_nothing_through() {
    let bench = Bench::new();
    let patch = patch(&bench);
    bench.submit("T-1", "README.md");
    let steps = [
        &["claim-lock", "--task", "T-1"][..],
        &["intake-validate", "--task", "T-1"],
        &["patch-draft", "--task", "T-1", "--from", &patch],
        &["diff-risk-scan", "--task", "T-1"],
        &["gate-runner", "--task", "T-1"],
        &["decision-router", "--task", "T-1"],
    ];
    let widen = |bench: &Bench, state: &str| edit(bench, state, "README.md", "src/**");
    for (at, state) in [(1, "claimed"), (2, "work"), (3, "work"), (4, "work")] {
        let bench = bench.copy();
        let patch = bench.scratch("fix.patch");
        for line in &steps[..at] {
            // The copy has the patch in its own folder.
            let line = line.iter().map(|word| match word.ends_with(".patch") {
                true => patch.to_str().unwrap(),
                false => word,
            });
            bench.baton(line).expect(0);
        }
        widen(&bench, state);
        let line = steps[at].iter().map(|word| match word.ends_with(".patch") {
            true => patch.to_str().unwrap(),
            false => word,
        });
        is_refused(&bench.baton(line));
        assert!(verify_wrong(&bench).contains("task as submitted"));
    }
    // Widened for the scan alone, and checked anew meanwhile.
    for line in &steps[..3] {
        bench.baton(*line).expect(0);
    }
    widen(&bench, "work");
    is_refused(&bench.baton(steps[1]));
    edit(&bench, "work", "src/**", "README.md");
    for line in &steps[3..5] {
        let _ = bench.baton(*line);
    }
    let decided = bench.baton(steps[5]).expect(4);
    assert!(decided.to_string().contains("D2"), "{decided}");
}

#[test]
fn a_task_that_was_changed_in_the_inbox_is_stopped_at_its_decision() {
    let bench = Bench::new();
    let patch = patch(&bench);
    bench.submit("T-1", "README.md");
    edit(&bench, "inbox", "README.md", "src/**");
    let run = bench.baton(["run", "T-1", "--from", &patch]);
    assert_eq!(run.code, 4, "{}", run.stdout);
    is_refused(&run);
    // As it was submitted it goes on.
    edit(&bench, "blocked", "src/**", "README.md");
    bench.baton(["retry", "T-1"]).expect(0);
    let readme = bench.patch(|root| std::fs::write(root.join("README.md"), "# new\n").unwrap());
    let readme = bench.patch_file("readme.patch", &readme);
    let run = bench.baton(["run", "T-1", "--from", readme.to_str().unwrap()]);
    assert_eq!(run.expect(0)["task"]["state_after"], "pr");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
}

#[test]
fn what_is_approved_lands_under_the_title_that_was_shown() {
    let bench = Bench::with_waiting();
    let shown = bench.baton(["approve", "T-1"]);
    shown.expect(0);
    assert!(
        shown.stderr.contains("task T-1: A change\n")
            && shown.stderr.contains("may change \"src/**\""),
        "{}",
        shown.stderr
    );
    let head = bench.git(&["rev-parse", "main"]);
    edit(&bench, "pr", "A change", "Another change");
    for line in [&["approve", "T-1"][..], &["show", "T-1", "--diff"]] {
        is_refused(&bench.baton(line));
    }
    is_refused(&bench.baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"]));
    assert_eq!(bench.git(&["rev-parse", "main"]), head);
    assert!(verify_wrong(&bench).contains("task as submitted"));
}

/// Submissions did not always hold the digest of the task's file.
#[test]
fn a_task_that_was_submitted_before_its_line_held_a_digest_goes_on() {
    let bench = Bench::new();
    let patch = patch(&bench);
    let bytes = json!({
        "task_id": "T-1", "title": "A change", "goal": "Change it",
        "scope": {"target_files": [], "allow_patch_on_files": ["src/**"], "deny_paths_glob": []},
    })
    .to_string();
    let task = Task::parse(bytes.as_bytes()).unwrap();
    let store = Store::open(&bench.root()).unwrap();
    let submitted = store.submit(&task, |id| {
        let mut draft = Draft::new(Actor::Human, Action::TaskSubmitted, "baton")?
            .task(id.as_str(), None, Some(State::Inbox))
            .meta("title", "A change");
        draft.inputs_sha256 = digest::sha256(bytes.as_bytes());
        store.log()?.append(draft).map(drop)
    });
    submitted.unwrap();
    drop(store);
    bench.baton(["run", "T-1", "--from", &patch]).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    let said: Value = bench.baton(["verify", "T-1", "--strict"]).expect(0);
    assert!(said["checked"].to_string().contains("task as submitted"));
}
