//! Undoing a landing, asked for by a person or made ready because the gates fail on what landed.

use crate::changes::{take, write};
use crate::moved::actions;
use crate::support::Bench;

fn landed(bench: &Bench, id: &str) -> String {
    bench.waiting(id);
    bench.baton(["approve", id]).expect(0);
    bench.baton(["run", id]).expect(0);
    bench.git(&["rev-parse", "main"])
}

#[test]
fn a_revert_is_gated_approved_and_landed_like_any_change() {
    let bench = Bench::new();
    let before = bench.git(&["rev-parse", "main^{tree}"]);
    let commit = landed(&bench, "T-1");
    let ran = bench.baton(["rollback", "T-1", "--reason", "it is slow"]);
    let envelope = ran.expect(0);
    assert_eq!(envelope["task"]["task_id"], "T-1-rollback");
    assert_eq!(envelope["task"]["state_after"], "pr");
    assert_eq!(
        bench.git(&["rev-parse", "main"]),
        commit,
        "not without an approval"
    );
    bench.baton(["approve", "T-1-rollback"]).expect(0);
    bench.baton(["run", "T-1-rollback"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^{tree}"]), before);
    assert_eq!(
        bench.git(&["rev-parse", "main^"]),
        commit,
        "history is not rewritten"
    );
    assert!(
        bench
            .git(&["log", "-1", "--format=%s"])
            .starts_with("Roll back: ")
    );
    bench.baton(["verify", "T-1-rollback"]).expect(0);
    let again = bench.baton(["rollback", "T-1"]);
    assert_eq!(
        (again.code, &again.json()["code"]),
        (1, &"ROLLBACK_NOTHING".into())
    );
}

#[test]
fn a_revert_keeps_what_landed_since_and_is_under_way_once() {
    let bench = Bench::new();
    landed(&bench, "T-1");
    bench.write("README.md", "# since\n");
    bench.commit("since");
    bench.baton(["rollback", "T-1"]).expect(0);
    let again = bench.baton(["rollback", "T-1"]).expect(0);
    assert_eq!(again["task"]["task_id"], "T-1-rollback");
    bench.baton(["approve", "T-1-rollback"]).expect(0);
    bench.baton(["run", "T-1-rollback"]).expect(0);
    assert_eq!(bench.git(&["show", "main:README.md"]), "# since");
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo 1");
}

#[test]
fn what_cannot_be_undone_says_why() {
    let bench = Bench::new();
    let code = |ran: crate::support::Ran| ran.json()["code"].as_str().unwrap_or("").to_owned();
    let commit = landed(&bench, "T-1");
    bench.write("src/app.sh", "echo rewritten\n");
    bench.commit("since");
    let conflict = bench.baton(["rollback", "T-1"]);
    assert!(
        conflict.stderr.contains("src/app.sh"),
        "{}",
        conflict.stderr
    );
    assert!(conflict.stderr.contains(&format!("git revert {commit}")));
    assert_eq!(code(conflict), "ROLLBACK_CONFLICT");
    take(&bench, "T-2", write("Cargo.lock", "version = 4\n")).expect(0);
    assert_eq!(code(bench.baton(["rollback", "T-2"])), "ROLLBACK_NOTHING");
    bench.baton(["approve", "T-2"]).expect(0);
    bench.baton(["run", "T-2"]).expect(0);
    assert_eq!(code(bench.baton(["rollback", "T-2"])), "ROLLBACK_NOTHING");
    // A deletion is stopped, whoever asks for it.
    take(&bench, "T-3", write("src/new.sh", "echo new\n")).expect(0);
    bench.baton(["approve", "T-3"]).expect(0);
    bench.baton(["run", "T-3"]).expect(0);
    let stopped = bench.baton(["rollback", "T-3"]);
    assert_eq!(stopped.code, 4, "{}", stopped.stdout);
    assert!(stopped.stderr.contains("src/new.sh"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("git revert"), "{}", stopped.stderr);
    assert_eq!(bench.git(&["show", "main:src/new.sh"]), "echo new");
}

#[test]
fn gates_that_fail_on_what_landed_stop_the_queue_and_a_revert_is_ready() {
    let bench = Bench::new();
    bench.policy(|policy| policy["landing"]["gates_on_tip"] = true.into());
    // A test that depends on what is outside of the change: the day it lands, it breaks.
    std::fs::create_dir(bench.scratch("outside")).unwrap();
    let world = bench.scratch("outside/world");
    bench.policy(|policy| {
        policy["gates"][5]["read_only"] = serde_json::json!([bench.scratch("outside")]);
    });
    std::fs::write(&world, "fine").unwrap();
    bench.write(
        "Makefile",
        &format!(
            "check:\n\t@sh -n src/app.sh\ntest:\n\t@grep -q fine {0} && echo '1 passed, 0 failed' || {{ echo '0 passed, 1 failed'; exit 1; }}\n",
            world.display()
        ),
    );
    bench.commit("a test of the world");
    bench.waiting("T-0");
    bench.baton(["approve", "T-0"]).expect(0);
    bench.baton(["run", "T-0"]).expect(0);
    assert!(
        !bench.queue().join("STOP").exists(),
        "all is well on the tip"
    );
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    std::fs::write(&world, "broken").unwrap();
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("baton run T-1-rollback"),
        "{}",
        ran.stderr
    );
    let stop = std::fs::read_to_string(bench.queue().join("STOP")).unwrap();
    assert!(
        stop.contains("G5 does not pass on what T-1 landed"),
        "{stop}"
    );
    assert!(
        bench
            .task("work", "T-1-rollback")
            .join("candidate.json")
            .is_file()
    );
    std::fs::write(&world, "fine").unwrap();
    bench
        .baton(["resume", "--reason", "looked at it"])
        .expect(0);
    bench.baton(["run", "T-1-rollback"]).expect(0);
    bench.baton(["approve", "T-1-rollback"]).expect(0);
    bench.baton(["run", "T-1-rollback"]).expect(0);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-0");
    assert!(actions(&bench, "T-1-rollback").contains(&"CHANGE_LANDED".to_owned()));
}
