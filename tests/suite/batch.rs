//! Several changes that wait: what they would make together is gated ahead, and each lands by itself.

use std::path::PathBuf;

use baton_core::policy::Actor;
use baton_core::session::{Common, Session};
use baton_core::task::Scope;
use gate_runner::ahead::{Chain, Step};
use serde_json::{Value, json};

use crate::changes::{gate, take, write};
use crate::gates::{runs, wait_for};
use crate::support::Bench;

const FILES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Approvals are carried, and each change can have a file of its own.
fn queue(test: &str) -> Bench {
    let bench = Bench::bare();
    for name in FILES {
        bench.write(&format!("src/{name}.sh"), "echo 1\n#\n#\n#\n#\n#\n#\n#\n");
    }
    bench.write("Makefile", &format!("check:\n\t@true\ntest:\n\t@{test}\n"));
    bench.commit("files");
    bench.baton(["init"]).expect(0);
    bench.commit("ssot");
    bench.policy(|policy| policy["landing"]["carry_approvals"] = true.into());
    bench
}

const PASSES: &str = "echo '1 passed, 0 failed'";

/// A test that fails, or does something else, once both files are changed. It names neither: an approval
/// is not carried over a change of what a gate's definition names.
fn both(one: &str, other: &str, then: &str) -> String {
    format!(
        "if grep -q 2 src/[{one}]*.sh && grep -q 2 src/[{other}]*.sh; then {then}; fi; {PASSES}"
    )
}

/// Changes one file and approves it.
fn approved(bench: &Bench, id: &str, name: &str) {
    let change = write(&format!("src/{name}.sh"), "echo 2\n#\n#\n#\n#\n#\n#\n#\n");
    take(bench, id, change).expect(0);
    bench.baton(["approve", id]).expect(0);
}

/// The log's lines about trees that were gated ahead.
fn ahead(bench: &Bench) -> Vec<Value> {
    let text = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["action"].as_str().unwrap().starts_with("AHEAD_"))
        .collect()
}

#[test]
fn what_changes_would_make_together_is_gated_ahead_and_used_at_their_landings() {
    let bench = queue(PASSES);
    for (id, name) in [("T-1", "a"), ("T-2", "b"), ("T-3", "c")] {
        approved(&bench, id, name);
    }
    // This one touches a file of the first and would be approved anew: nothing is guessed about it.
    let other = write("src/a.sh", "echo 1\n#\n#\n#\n#\n#\n#\n# 2\n");
    take(&bench, "T-4", other).expect(0);
    bench.baton(["approve", "T-4"]).expect(0);
    let ran = bench.baton(["run", "--all"]);
    let done = ran.expect(0);
    assert_eq!(done["done"], json!(["T-1", "T-2", "T-3"]), "{}", ran.stderr);
    assert_eq!(done["waiting"], json!(["T-4"]));
    // The first lands as it was gated, so two trees were left.
    let told = json!({"chain": ["T-1", "T-2", "T-3"], "left_out": [], "trees_gated": 2});
    assert_eq!(done["ahead"], told);
    for id in ["T-2", "T-3"] {
        for name in ["G4", "G5"] {
            let (status, note) = gate(&bench, id, name);
            assert!(
                status == "PASS" && note.contains("cached=yes"),
                "{id} {note}"
            );
        }
        bench.baton(["verify", id]).expect(0);
    }
    let landed = [
        bench.git(&["rev-parse", "main~1^{tree}"]),
        bench.git(&["rev-parse", "main^{tree}"]),
    ];
    let lines = ahead(&bench);
    for tree in landed {
        let of_tree = lines.iter().filter(|line| line["meta"]["tree"] == tree);
        let of_tree: Vec<_> = of_tree
            .map(|line| line["action"].as_str().unwrap())
            .collect();
        assert_eq!(of_tree, ["AHEAD_STARTED", "AHEAD_FINISHED"]);
    }
    assert!(lines.iter().all(|line| line["task_id"] == "-"));
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_change_that_breaks_only_with_another_is_found_by_halving_and_goes_to_a_person() {
    let fails = "echo '0 passed, 1 failed'; exit 1";
    let bench = queue(&both("a", "d", fails));
    for (number, name) in FILES.into_iter().enumerate() {
        approved(&bench, &format!("T-{}", number + 1), name);
    }
    let ran = bench.baton(["run", "--all"]);
    let done = ran.expect(0);
    let others = json!(["T-1", "T-2", "T-3", "T-5", "T-6"]);
    assert_eq!(done["done"], others, "{}", ran.stderr);
    assert_eq!(done["waiting"], json!(["T-4"]));
    assert_eq!(
        (&done["ahead"]["chain"], &done["ahead"]["left_out"]),
        (&others, &json!(["T-4"]))
    );
    assert_eq!(gate(&bench, "T-4", "G5").0, "FAIL");
    for id in ["T-2", "T-3", "T-5", "T-6"] {
        let (_, note) = gate(&bench, id, "G5");
        assert!(note.contains("cached=yes"), "{id} {note}");
    }
    // All six, the target, three, four; without the fourth all five, and the two in between that were
    // not gated before. Every prefix of both chains would be eleven.
    assert_eq!(done["ahead"]["trees_gated"], 7);
    let last = bench.git(&["rev-parse", "main^{tree}"]);
    assert!(
        ahead(&bench)
            .iter()
            .any(|line| line["meta"]["tree"] == last)
    );
}

#[test]
fn stop_ends_gating_ahead_and_nothing_lands() {
    let bench = queue(&both("a", "b", "sleep 64.125"));
    approved(&bench, "T-1", "a");
    approved(&bench, "T-2", "b");
    let before = bench.git(&["rev-parse", "main"]);
    let child = bench
        .command(["run", "--all"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("64.125");
    bench.baton(["stop"]).expect(0);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(4));
    assert!(!runs("64.125"));
    assert_eq!(bench.git(&["rev-parse", "main"]), before);
    let finished = ahead(&bench);
    assert!(
        !finished
            .iter()
            .any(|line| line["action"] == "AHEAD_FINISHED")
    );
}

#[test]
fn a_kept_result_with_other_bytes_counts_for_nothing_ahead() {
    let bench = queue(PASSES);
    approved(&bench, "T-1", "a");
    approved(&bench, "T-2", "b");
    for entry in std::fs::read_dir(bench.queue().join("results")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let done = bench.baton(["run", "--all"]).expect(0);
    // The first one's tree is gated again: its result is not the one that the log names.
    assert_eq!(done["ahead"]["trees_gated"], 2);
    assert_eq!(done["done"], json!(["T-1", "T-2"]));
}

#[test]
fn where_no_result_could_be_used_nothing_is_gated_ahead() {
    let bench = queue(PASSES);
    approved(&bench, "T-1", "a");
    let alone = bench.copy();
    let done = alone.baton(["run", "--all"]).expect(0);
    assert_eq!(
        (&done["ahead"], &done["done"]),
        (&Value::Null, &json!(["T-1"]))
    );
    approved(&bench, "T-2", "b");
    let ran = bench.baton(["run", "--all", "--no-cache"]);
    let done = ran.expect(0);
    assert_eq!(
        (&done["ahead"], &done["done"]),
        (&Value::Null, &json!(["T-1", "T-2"]))
    );
    assert!(
        ran.stderr.contains("nothing is gated ahead: "),
        "{}",
        ran.stderr
    );
    let (_, note) = gate(&bench, "T-2", "G5");
    assert!(!note.contains("cached=yes"), "{note}");
    assert!(ahead(&bench).is_empty() && ahead(&alone).is_empty());
}

#[test]
fn no_code_of_a_chain_with_a_secret_is_run_ahead() {
    let bench = queue(PASSES);
    let session = |root: PathBuf| {
        let common = Common {
            repo: Some(root),
            ..Common::default()
        };
        Session::new(common, Actor::Human, None)
    };
    let step = |text: &str| Step {
        task: "T-1".to_owned(),
        base: session(bench.root())
            .repository()
            .unwrap()
            .commit("main")
            .unwrap(),
        patch: bench.patch(write("src/a.sh", text)).into_bytes(),
        scope: Scope {
            target_files: Vec::new(),
            allow_patch_on_files: vec!["src/**".to_owned()],
            deny_paths_glob: Vec::new(),
        },
    };
    let session = session(bench.root());
    assert!(Chain::open(&session, &[step("echo 2\n")]).unwrap().is_ok());
    let secret = step(&format!("key=AKIA{}\n", "QYLPMN5HFIQR7XYA"));
    let unfit = Chain::open(&session, &[secret]).unwrap().err().unwrap();
    assert!(
        unfit.at == 0 && unfit.why.starts_with("G3: "),
        "{}",
        unfit.why
    );
    // Two changes of the same base are no chain.
    let apart = Chain::open(&session, &[step("echo 2\n"), step("echo 3\n")]);
    assert_eq!(apart.err().unwrap().code, "CHAIN_BROKEN");
    assert!(ahead(&bench).is_empty());
}
