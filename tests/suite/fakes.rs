//! Ways to make a gate look green that is not. None of them passes.

use serde_json::{Value, json};

use crate::support::Bench;

/// A test run of the repository: what `make test` does.
fn makefile(recipe: &str) -> String {
    let lines: Vec<_> = recipe.lines().map(|line| format!("\t@{line}")).collect();
    format!("check:\n\t@true\ntest:\n{}\n", lines.join("\n"))
}

/// Runs the gates on a change of these files, and gives G5's status and note.
fn g5(bench: &Bench, files: &[(&str, &str)]) -> (String, String) {
    let patch = bench.patch(|root| {
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(target) = text.strip_prefix("-> ") {
                std::os::unix::fs::symlink(target, path).unwrap();
            } else {
                std::fs::write(path, text).unwrap();
            }
        }
    });
    let ran = bench.pipe(
        patch.as_bytes(),
        ["gate-runner", "--patch", "-", "--base", "HEAD"],
    );
    let answer = ran.json();
    let gates = answer["data"]["gates"].as_array().unwrap();
    let gate = gates.iter().find(|gate| gate["gate_id"] == "G5").unwrap();
    let passed = gate["status"] == "PASS";
    let all = answer["data"]["all_pass"] == true;
    assert!(passed || !all, "all_pass without G5: {answer}");
    (
        gate["status"].as_str().unwrap().to_owned(),
        gate["note"].as_str().unwrap_or_default().to_owned(),
    )
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("Makefile", &makefile("echo '4 passed, 0 failed'"));
    bench.commit("four tests");
    bench
}

/// What is printed by a run that ends with 0, and the word that G5 has for it.
const PRINTED: [(&str, &str, &str); 23] = [
    ("nothing at all", "true", "NO_TEST_RAN"),
    ("only a friendly word", "echo all good", "NO_TEST_RAN"),
    (
        "no test of none",
        "echo '0 passed, 0 failed'",
        "NO_TEST_RAN",
    ),
    (
        "every test skipped",
        "echo '0 passed, 0 failed, 9 skipped'",
        "NO_TEST_RAN",
    ),
    (
        "a failure and exit 0",
        "echo '3 passed, 1 failed'",
        "TESTS_FAILED",
    ),
    (
        "a failure under a second, better word",
        "echo '3 passed, 1 failed'; echo '4 passed, 0 failed'",
        "TESTS_FAILED",
    ),
    (
        "a better word above the failure",
        "echo '4 passed, 0 failed'; echo '3 passed, 1 failed'",
        "TESTS_FAILED",
    ),
    (
        "a failure in colours",
        "printf '\\033[32m4 passed\\033[0m, \\033[31m1 failed\\033[0m\\n'",
        "TESTS_FAILED",
    ),
    (
        "cargo without tests",
        "printf '\\nrunning 0 tests\\n\\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\\n'",
        "NO_TEST_RAN",
    ),
    (
        "cargo, all ignored",
        "printf '\\nrunning 1 test\\ntest a ... ignored\\n\\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\\n'",
        "NO_TEST_RAN",
    ),
    (
        "cargo, tests announced and no result",
        "printf '\\nrunning 9 tests\\ntest a ... ok\\n'",
        "REPORT_UNREADABLE",
    ),
    (
        "pytest without tests",
        "echo '===== no tests ran in 0.01s ====='",
        "NO_TEST_RAN",
    ),
    (
        "pytest, all deselected",
        "echo '===== 5 deselected in 0.01s ====='",
        "NO_TEST_RAN",
    ),
    (
        "pytest with an error",
        "echo '===== 4 passed, 1 error in 0.01s ====='",
        "TESTS_FAILED",
    ),
    (
        "TAP that skips all",
        "printf '1..0 # SKIP nothing here\\n'",
        "NO_TEST_RAN",
    ),
    (
        "TAP with fewer than planned",
        "printf 'TAP version 13\\n1..5\\nok 1 a\\nok 2 b\\n'",
        "REPORT_UNREADABLE",
    ),
    (
        "TAP that gives up",
        "printf 'TAP version 13\\n1..4\\nok 1 a\\nBail out! tired\\n'",
        "REPORT_UNREADABLE",
    ),
    (
        "TAP with a failure",
        "printf 'TAP version 13\\n1..4\\nok 1 a\\nnot ok 2 b\\nok 3 c\\nok 4 d\\n'",
        "TESTS_FAILED",
    ),
    (
        "TAP, all to do",
        "printf 'TAP version 13\\n1..1\\nnot ok 1 a # TODO later\\n'",
        "NO_TEST_RAN",
    ),
    (
        "go without test files",
        "printf '?   \\texample.com/a\\t[no test files]\\n'",
        "NO_TEST_RAN",
    ),
    (
        "unittest without tests",
        "printf '\\n----------------------------------------------------------------------\\nRan 0 tests in 0.000s\\n\\nOK\\n'",
        "NO_TEST_RAN",
    ),
    (
        "fewer tests than before",
        "echo '3 passed, 0 failed'",
        "FEWER_TESTS",
    ),
    (
        "some skipped that ran before",
        "echo '3 passed, 0 failed, 1 skipped'",
        "FEWER_TESTS",
    ),
];

#[test]
fn what_is_printed_does_not_make_a_pass() {
    let bench = bench();
    let control = g5(
        &bench,
        &[("Makefile", &makefile("echo '4 passed, 0 failed'; true"))],
    );
    assert_eq!(control.0, "PASS", "{}", control.1);
    for (name, recipe, why) in PRINTED {
        let (status, note) = g5(&bench, &[("Makefile", &makefile(recipe))]);
        assert_eq!(status, "FAIL", "{name}: {note}");
        assert!(note.starts_with(why), "{name}: {note}");
    }
}

#[test]
fn how_it_ends_does_not_make_a_pass() {
    let bench = bench();
    bench.policy(|policy| policy["gates"][5]["timeout_seconds"] = json!(4));
    let said = "echo '4 passed, 0 failed'";
    for (name, recipe, why) in [
        ("an exit code", format!("{said}; exit 3"), "COMMAND_FAILED"),
        ("the exit code of a part", format!("false; {said}"), ""),
        (
            "killed by itself",
            format!("{said}; kill -9 $$PPID"),
            "KILLED",
        ),
        ("too slow", format!("{said}; sleep 61.5"), "TIMEOUT"),
        (
            "too slow and deaf",
            format!("{said}; trap '' TERM INT HUP; sleep 61.5"),
            "TIMEOUT",
        ),
        (
            "a child that speaks later",
            format!("(sleep 1; {said}) &"),
            "NO_TEST_RAN",
        ),
        (
            "a flood",
            "yes '4 passed, 0 failed'".to_owned(),
            "LIMIT_OUTPUT",
        ),
        (
            "too many processes",
            format!("{said}; f() {{ f | f & }}; f; sleep 61.5"),
            "",
        ),
    ] {
        let (status, note) = g5(&bench, &[("Makefile", &makefile(&recipe))]);
        if name == "the exit code of a part" {
            // A shell line is what the repository says it is: the claim of a command is its own.
            assert_eq!(status, "PASS", "{note}");
            continue;
        }
        assert_eq!(status, "FAIL", "{name}: {note}");
        assert!(note.starts_with(why), "{name}: {note}");
    }
}

const REPORT: &str = "out/junit.xml";
const GOOD: &str = "<testsuite tests=\"4\" failures=\"0\"><testcase name=\"a\"/><testcase name=\"b\"/><testcase name=\"c\"/><testcase name=\"d\"/></testsuite>";

#[test]
fn a_report_file_that_is_no_report_of_this_run_does_not_make_a_pass() {
    let bench = bench();
    let writes = |text: &str| format!("mkdir -p out; cat > out/junit.xml <<'END'\n{text}\nEND\n");
    bench.write("run.sh", &writes(GOOD));
    bench.write("Makefile", &makefile("sh run.sh"));
    bench.commit("writes a report");
    bench.policy(|policy| {
        policy["gates"][5]["parser"] = json!("junit");
        policy["gates"][5]["reports"] = json!([REPORT]);
    });
    let (status, note) = g5(&bench, &[("run.sh", &format!("{}true\n", writes(GOOD)))]);
    assert_eq!(status, "PASS", "{note}");
    let rows: [(&str, Vec<(&str, String)>, &str); 10] = [
        (
            "none written",
            vec![("run.sh", "true\n".to_owned())],
            "REPORT_UNREADABLE",
        ),
        (
            "brought along and none written",
            vec![("run.sh", "true\n".to_owned()), (REPORT, GOOD.to_owned())],
            "REPORT_UNREADABLE",
        ),
        (
            "broken",
            vec![(
                "run.sh",
                writes("<testsuite tests=\"4\"><testcase name=\"a\"/>"),
            )],
            "REPORT_UNREADABLE",
        ),
        (
            "fewer cases than it says",
            vec![(
                "run.sh",
                writes("<testsuite tests=\"4\" failures=\"0\"><testcase name=\"a\"/></testsuite>"),
            )],
            "REPORT_UNREADABLE",
        ),
        (
            "a failure that the count denies",
            vec![(
                "run.sh",
                writes(&GOOD.replace(
                    "<testcase name=\"a\"/>",
                    "<testcase name=\"a\"><failure/></testcase>",
                )),
            )],
            "",
        ),
        (
            "empty",
            vec![("run.sh", writes("<testsuites/>"))],
            "NO_TEST_RAN",
        ),
        (
            "entities",
            vec![(
                "run.sh",
                writes("<!DOCTYPE a [<!ENTITY b \"c\">]><testsuite tests=\"0\"/>"),
            )],
            "REPORT_UNREADABLE",
        ),
        (
            "a link to another",
            vec![(
                "run.sh",
                format!(
                    "{}mv out/junit.xml out/real.xml; ln -s real.xml out/junit.xml\n",
                    writes(GOOD)
                ),
            )],
            "REPORT_UNREADABLE",
        ),
        (
            "a pipe that never ends",
            vec![("run.sh", "mkdir -p out; mkfifo out/junit.xml\n".to_owned())],
            "REPORT_UNREADABLE",
        ),
        (
            "the log tells otherwise",
            vec![(
                "run.sh",
                format!("{}echo '3 passed, 1 failed'\n", writes(GOOD)),
            )],
            "",
        ),
    ];
    for (name, files, why) in &rows {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let (status, note) = g5(&bench, &files);
        assert_eq!(status, "FAIL", "{name}: {note}");
        assert!(note.starts_with(why), "{name}: {note}");
    }
    // A link in the change where the report belongs is refused before anything runs.
    let (status, note) = g5(&bench, &[("run.sh", "true\n"), ("out", "-> /tmp")]);
    assert_eq!(status, "SKIP", "{note}");
}

#[test]
fn a_gate_that_did_not_run_is_no_pass() {
    let bench = bench();
    let change = [("src/app.sh", "echo 2\n")];
    bench.policy(|policy| policy["gates"][5]["argv"] = json!([]));
    let (status, note) = g5(&bench, &change);
    assert!(
        status == "SKIP" && note.starts_with("NOT_CONFIGURED"),
        "{note}"
    );
    bench.policy(|policy| policy["gates"][5]["argv"] = json!(["./tests/run"]));
    let (status, note) = g5(&bench, &change);
    assert!(
        status == "SKIP" && note.starts_with("TOOL_MISSING"),
        "{note}"
    );
    bench.policy(|policy| policy["gates"][5]["cwd"] = json!("nowhere"));
    let (status, note) = g5(&bench, &change);
    assert!(
        status == "SKIP" && note.starts_with("PROFILE_INVALID"),
        "{note}"
    );
    bench.policy(|policy| {
        policy["gates"][5]["cwd"] = json!(".");
        policy["gates"][5]["argv"] = json!(["make", "test"]);
    });
    // A change with a secret: G3 fails, and code of the change does not run at all.
    let key = format!("key = \"AKIA{}\"\n", "Z7QW5K3MXN2P4RTB");
    let (status, note) = g5(&bench, &[("src/app.sh", &key)]);
    assert!(
        status == "SKIP" && note.starts_with("DEPENDENCY_FAILED"),
        "{note}"
    );
    let some = bench.baton(["gate-runner", "--list"]).expect(0);
    let listed: Vec<&Value> = some["data"]["gates"].as_array().unwrap().iter().collect();
    assert!(
        listed.iter().all(|gate| gate["status"] == "SKIP"),
        "a list runs nothing"
    );
    assert_eq!(some["data"]["all_pass"], false);
}
