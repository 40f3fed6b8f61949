//! A base that fails already excuses the very same failures, and nothing else.

use serde_json::json;

use crate::changes::{gate, rules, take, write};
use crate::support::Bench;

/// A test that fails on the base, and one that asks what the program says.
fn asks(old: &str, expected: &str) -> String {
    format!(
        "echo 'TAP version 13'; echo 1..2; echo '{old} 1 old'\n[ \"$(sh src/app.sh)\" = {expected} ] && echo 'ok 2 total' || echo 'not ok 2 total'\n"
    )
}

/// A bench whose G5 runs `tests/check.sh`, which `protected_base` names.
fn with_tests(script: &str) -> Bench {
    let bench = Bench::new();
    bench.write("tests/check.sh", script);
    bench.write("Makefile", "check:\n\t@true\ntest:\n\t@sh tests/check.sh\n");
    bench.commit("tests of its own");
    bench.policy(|policy| policy["gates"][5]["protected_base"] = json!(["tests/**"]));
    bench
}

/// Takes a change of the program and of its tests; gives the note of G5 and what was decided.
fn take_both(bench: &Bench, id: &str, program: &str, tests: &str) -> (String, String) {
    let done = take(bench, id, |root| {
        std::fs::write(root.join("src/app.sh"), program).unwrap();
        std::fs::write(root.join("tests/check.sh"), tests).unwrap();
    })
    .expect(0);
    let (status, note) = gate(bench, id, "G5");
    assert_eq!(status, "FAIL", "{note}");
    (note, done["decision"].as_str().unwrap().to_owned())
}

#[test]
fn tests_of_the_base_are_run_where_the_base_fails_too() {
    let bench = with_tests(&asks("not ok", "1"));
    // The change breaks the program, and bends the test to it.
    let (note, decision) = take_both(&bench, "T-1", "echo 3\n", &asks("not ok", "3"));
    assert!(note.starts_with("BASE_TESTS_FAILED "), "{note}");
    assert!(
        note.contains("base=FAIL") && note.contains("new=yes"),
        "{note}"
    );
    assert_eq!(decision, "PR_ONLY");
    assert!(rules(&bench, "T-1").contains(&"D6".to_owned()));
    // The test that fails on the base is bent: it passes now, and with the base's files it does not.
    let (note, decision) = take_both(&bench, "T-2", "echo 1 # same\n", &asks("ok", "1"));
    assert!(note.starts_with("BASE_TESTS_FAILED "), "{note}");
    assert_eq!(decision, "PR_ONLY");
    // What fails with both as it does on the base is not blamed on the change.
    let same = format!("# more to come\n{}", asks("not ok", "1"));
    let (note, decision) = take_both(&bench, "T-3", "echo 1 # same\n", &same);
    assert!(note.starts_with("TESTS_FAILED "), "{note}");
    assert!(
        note.contains("base=FAIL") && !note.contains("new=yes"),
        "{note}"
    );
    assert_eq!(decision, "AUTO_MERGE");
}

#[test]
fn without_names_a_failure_with_the_tests_of_the_base_is_not_excused() {
    let bench = with_tests("echo '1 passed, 1 failed'; exit 1\n");
    let more = "echo more; echo '1 passed, 1 failed'; exit 1\n";
    let (note, decision) = take_both(&bench, "T-1", "echo 1 # same\n", more);
    assert!(note.starts_with("BASE_TESTS_FAILED "), "{note}");
    assert_eq!(decision, "PR_ONLY");
}

#[test]
fn tests_that_are_skipped_now_are_not_excused() {
    let script = "echo 'TAP version 13'; echo 'not ok 1 old'\ngrep -q slow src/app.sh && echo 'ok 2 total # SKIP slow' || echo 'ok 2 total'\n[ -f src/more.sh ] && echo 'ok 3 more'\necho 1..$(($(ls src | wc -l) + 1))\n";
    let bench = with_tests(script);
    let done = take(&bench, "T-1", |root| {
        std::fs::write(root.join("src/app.sh"), "echo 3 # slow\n").unwrap();
        // As many are run as before.
        std::fs::write(root.join("src/more.sh"), "true\n").unwrap();
    })
    .expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL");
    assert!(
        note.starts_with("FEWER_TESTS ") && note.contains("new=yes"),
        "{note}"
    );
    assert_eq!(done["decision"], "PR_ONLY");
    let done = take(&bench, "T-2", write("src/more.sh", "true\n")).expect(0);
    assert_eq!(done["decision"], "AUTO_MERGE");
}

#[test]
fn an_approval_is_not_carried_over_a_gate_that_fails_as_on_the_base() {
    let bench = Bench::new();
    bench.policy(|policy| policy["landing"]["carry_approvals"] = true.into());
    let recipe = "check:\n\t@true\ntest:\n\t@[ -z \"$$(ls docs 2>&-)\" ] && echo '1 passed, 0 failed' || { echo '0 passed, 1 failed'; exit 1; }\n";
    bench.write("Makefile", recipe);
    bench.commit("a test of the documents");
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.write("docs/notes.md", "red\n");
    let moved = bench.commit("the target goes red");
    let ran = bench.baton(["run", "T-1"]);
    assert!(
        ran.stderr.contains("the gates are not green again: G5"),
        "{}",
        ran.stderr
    );
    assert_eq!(bench.git(&["rev-parse", "main"]), moved);
    // A person may still say yes to it.
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^"]), moved);
}
