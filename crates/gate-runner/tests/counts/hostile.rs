//! A change writes most of its log. It may claim passes; it must not hide a failure.

use gate_runner::counts::{Parser, Verdict, read};

use super::samples::sample;
use super::{brief, check, names, report};

use Parser::{Auto, Cargo, Go, Jest, Mocha, Nextest, Node, Plain, Pytest, Tap, Unittest, Vitest};

const REAL_CARGO: &str = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";

#[test]
fn cargo_lines_that_a_test_prints() {
    let fake = "test result: ok. 500 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
    let fitting = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
    let inside = |text: &str| REAL_CARGO.replacen("test b", &format!("{text}test b"), 1);
    check(&[
        (Cargo, REAL_CARGO, "1/1/0"),
        (Auto, &format!("{fake}{REAL_CARGO}"), "501/1/0"),
        (Cargo, &inside(fake), "1/1/0"),
        (Cargo, &inside(fitting), "unreadable"),
        (Cargo, &format!("{REAL_CARGO}{fake}"), "unreadable"),
        (Cargo, &inside("running 9 tests\n"), "unreadable"),
        (Cargo, &inside("test c ... FAILED\n"), "unreadable"),
        // Printed without a line end in front of the runner's line.
        (Cargo, &inside("junk"), "1/1/0"),
        (
            Cargo,
            &REAL_CARGO.replace("test result", "junktest result"),
            "1/1/0",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("test result", "\u{1b}[test result"),
            "1/1/0",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("test result", "\u{1b}[2Ktest result"),
            "1/1/0",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("test result", "ok\rtest result"),
            "1/1/0",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("test result", "\0\u{8}test result"),
            "1/1/0",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("FAILED. 1", "FAILED. -1"),
            "unreadable",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("FAILED. 1", "FAILED. 99999999999999999999"),
            "unreadable",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("result: FAILED", "result: ok"),
            "unreadable",
        ),
        (
            Cargo,
            &REAL_CARGO.replace("1 passed; 1 failed", "2 passed; 0 failed"),
            "unreadable",
        ),
        (Cargo, "test result: FAILED. \n", "unreadable"),
        (Cargo, "running 2 tests\ntest a ... ok\n", "unreadable"),
        (
            Cargo,
            "running 1 test\ntest result: ok. 1 passed; 0 fail",
            "unreadable",
        ),
        // An abort in the first binary leaves it without a result.
        (
            Cargo,
            &format!("running 1 test\n{REAL_CARGO}"),
            "unreadable",
        ),
        // Shown by another runner, indented.
        (Auto, "    test result: ok. 3 passed; 0 failed", "none"),
    ]);
}

#[test]
fn a_failure_that_was_glued_over_is_still_no_old_failure() {
    // `b` lost its line; the list at the end still names it.
    let log = REAL_CARGO.replace("test b", "junktest b");
    let report = report(Cargo, &log);
    assert!(!report.complete);
    assert_eq!(names(&report, Verdict::Failed), ["b"]);
}

#[test]
fn the_output_of_a_failed_test_may_show_anything() {
    let log = REAL_CARGO.replacen(
        "failures:\n\n",
        "failures:\n\n---- b stdout ----\nrunning 7 tests\ntest x ... ok\ntest result: ok. 7 passed; 0 failed\nfailures:\n    not me\n",
        1,
    );
    let report = report(Cargo, &log);
    assert_eq!((report.passed, report.failed), (1, 1));
    assert_eq!(names(&report, Verdict::Failed), ["b"]);
}

#[test]
fn tap_documents_that_do_not_agree() {
    check(&[
        (
            Tap,
            "TAP version 13\n1..2\nok 1 - a\nnot ok 2 - b\n",
            "1/1/0",
        ),
        (Tap, "TAP version 14\nok 1 - a\nok - b\n1..2\n", "2/0/0"),
        (Tap, "ok\nnot ok\n1..2\n", "1/1/0"),
        (Tap, "1..3\nok 1\nok 2\n", "unreadable"),
        (Tap, "1..1\nok 1\nok 2\n", "unreadable"),
        (Tap, "ok 1\nok 2\n", "unreadable"),
        (Tap, "1..2\nok 1\nok 1\n", "unreadable"),
        (Tap, "1..2\nok 2\nok 1\n", "unreadable"),
        (Tap, "1..2\nok 1\nBail out! no database\n", "unreadable"),
        (Tap, "1..99999999999\nok 1\n", "unreadable"),
        (Tap, "1..-1\nok 1\n", "unreadable"),
        (Tap, "1..2\n1..1\nok 1\n", "unreadable"),
        (Tap, "1..2 # all of them\nok 1\nok 2\n", "2/0/0"),
        (Tap, "1..2\nok 1\nhalf done\rnot ok 2\n", "1/1/0"),
        (Tap, "1..1\nok 1\n1..2\nok 1\nnot ok 2\n", "2/1/0"),
        (
            Tap,
            "TAP version 13\n1..1\nok 1\nTAP version 13\n1..1\nnot ok 1\n",
            "1/1/0",
        ),
        (
            Tap,
            "1..3\nok 1 # SKIP net\nnot ok 2 # TODO later\nok 3 # todo done\n",
            "1/0/2",
        ),
        (Tap, "1..1\nnot ok 1 - the todo list\n", "0/1/0"),
        (Tap, "1..1\nnot ok 1 - handles \\# todo\n", "0/1/0"),
        (Tap, "1..1\nnot ok 1 - says #todolist\n", "0/1/0"),
        // A block hides nothing that is indented less.
        (
            Tap,
            "1..2\nok 1\n  ---\n  x: |\n    not ok 7\nnot ok 2\n",
            "1/1/0",
        ),
        (Tap, "1..2\nok 1\n  ---\n  ...\nnot ok 2\n", "1/1/0"),
        // Subtests.
        (
            Tap,
            "    1..2\n    ok 1 - a\n    ok 2 - b\nok 1 - group\n1..1\n",
            "2/0/0",
        ),
        (
            Tap,
            "    1..2\n    ok 1 - a\n    not ok 2 - b\nok 1 - group\n1..1\n",
            "1/1/0",
        ),
        (
            Tap,
            "    1..2\n    ok 1 - a\nok 1 - group\n1..1\n",
            "unreadable",
        ),
        (
            Tap,
            "    1..1\n    ok 1 - a\nnot ok 1 - group\n1..1\n",
            "1/1/0",
        ),
        (
            Tap,
            "    1..1\n    not ok 1 - a\nnot ok 1 - group # TODO\n1..1\n",
            "0/0/1",
        ),
        (Tap, "1..1\nok 1\n    not ok 1 - loose\n", "unreadable"),
        // Lines of a run that is not TAP.
        (Auto, "ok 1 is fine\nok 2\n", "none"),
        (Auto, "not ok 2 - b\n3 passed, 0 failed\n", "unreadable"),
        (
            Auto,
            "junk1..2\nok 1\nnot ok 2\n=== 500 passed in 0.1s ===\n",
            "unreadable",
        ),
    ]);
    let deep: String = (0..40)
        .map(|at| format!("{}not ok 1\n", "    ".repeat(at)))
        .collect();
    check(&[(Tap, &deep, "unreadable")]);
}

#[test]
fn one_runner_imitates_another() {
    let pytest = "=== 1 failed, 2 passed in 0.12s ===\n";
    let fakes = [
        "test result: ok. 500 passed; 0 failed; 0 ignored\n",
        "     Summary [   0.1s] 500 tests run: 500 passed, 0 skipped\n",
        "Test Suites: 1 passed, 1 total\nTests:       500 passed, 500 total\n",
        " Test Files  1 passed (1)\n      Tests  500 passed (500)\n",
        "  500 passing (5ms)\n",
        "Ran 500 tests in 0.1s\n\nOK\n",
        "ℹ tests 500\nℹ pass 500\nℹ fail 0\n",
        "ok  \texample.org/a\t0.1s\n",
        "500 passed, 0 failed\n",
        "1..1\nok 1\n",
    ];
    for fake in fakes {
        for log in [format!("{fake}{pytest}"), format!("{pytest}{fake}")] {
            let report = report(Auto, &log);
            assert_eq!(report.failed, 1, "{log}");
        }
    }
    check(&[
        (
            Auto,
            "2 passed, 1 failed\n=== 500 passed in 1.00s ===\n",
            "unreadable",
        ),
        (Pytest, &format!("500 passed, 0 failed\n{pytest}"), "2/1/0"),
    ]);
}

#[test]
fn pytest_lines() {
    let session = "===== test session starts =====\n";
    check(&[
        (Pytest, "1 failed, 2 passed in 0.12s", "2/1/0"),
        (Pytest, "junk1 failed, 2 passed in 0.12s", "2/1/0"),
        (Pytest, "\u{1b}[1 failed, 2 passed in 0.12s", "2/1/0"),
        (
            Pytest,
            "=== 2 passed, 1 error in 62.15s (0:01:02) ===",
            "2/1/0",
        ),
        (
            Pytest,
            "=== 500 passed in 0.1s ===\n=== 1 failed in 0.1s ===",
            "500/1/0",
        ),
        (
            Pytest,
            &format!("{session}=== 500 passed in 0.1s ===\n=== 1 failed in 0.1s ==="),
            "unreadable",
        ),
        (Pytest, session, "unreadable"),
        (Pytest, "=== -1 failed, 2 passed in 0.12s ===", "2/1/0"),
        (Pytest, "=== 99999999999 passed in 0.12s ===", "unreadable"),
        (Pytest, "it took 3 goes in 0.12s", "none"),
        (
            Pytest,
            "=== 2 passed, 1 xpassed, 1 xfailed in 0.12s ===",
            "3/0/1",
        ),
    ]);
}

#[test]
fn summaries_that_do_not_add_up() {
    check(&[
        (
            Nextest,
            "Summary [ 0.1s] 3 tests run: 2 passed, 1 timed out, 0 skipped",
            "2/1/0",
        ),
        (
            Nextest,
            "junkSummary [ 0.1s] 2 tests run: 1 passed (1 slow, 1 leaky), 1 failed, 0 skipped",
            "1/1/0",
        ),
        (
            Nextest,
            "Summary [ 0.1s] 2/9 tests run: 1 passed, 1 failed, 0 skipped",
            "1/1/0",
        ),
        (
            Nextest,
            "Summary [ 0.1s] 3 tests run: 2 passed, 0 skipped",
            "unreadable",
        ),
        (
            Nextest,
            "Summary [ 0.1s] -3 tests run: -3 passed",
            "unreadable",
        ),
        (
            Nextest,
            "    Starting 4 tests across 2 binaries\n        PASS [ 0.1s] a b\n",
            "unreadable",
        ),
        (
            Nextest,
            "        FAIL [ 0.1s] a b\n     Summary [ 0.1s] 1 test run: 1 passed, 0 skipped",
            "unreadable",
        ),
        (Unittest, "Ran 3 tests in 0.1s\n", "unreadable"),
        (
            Unittest,
            "Ran 3 tests in 0.1s\n\nFAILED (failures=1)\nOK\n",
            "2/1/0",
        ),
        (
            Unittest,
            "Ran 3 tests in 0.1s\n\nOK\nFAILED (errors=1)\n",
            "2/1/0",
        ),
        (
            Unittest,
            "junkRan 3 tests in 0.1s\n\njunkFAILED (errors=1)\n",
            "2/1/0",
        ),
        (Unittest, "FAILED (failures=1)\n", "unreadable"),
        (
            Unittest,
            "Ran 3 tests in 0.1s\n\nFAILED (skipped=1)\n",
            "unreadable",
        ),
        (Unittest, "Ran -3 tests in 0.1s\n\nOK\n", "unreadable"),
        (
            Unittest,
            "Ran 0 tests in 0.1s\n\nFAILED (errors=1)\n",
            "0/1/0",
        ),
        (Jest, "Test Suites: 1 passed, 1 total\n", "unreadable"),
        (
            Jest,
            "junkTest Suites: 1 failed, 1 total\nTests:       1 failed, 1 total\n",
            "unreadable",
        ),
        (
            Jest,
            "Test Suites: 1 passed, 1 total\nTests:       1 failed, 3 passed, 3 total\n",
            "unreadable",
        ),
        (
            Jest,
            "Test Suites: 1 failed, 1 total\nTests:       0 total\n",
            "0/1/0",
        ),
        (
            Jest,
            "Test Suites: 1 passed, 1 total\nTests:       -1 passed, 3 total\n",
            "unreadable",
        ),
        (Vitest, " Test Files  1 passed (1)\n", "unreadable"),
        (
            Vitest,
            " Test Files  1 failed (1)\n      Tests  no tests\n",
            "0/1/0",
        ),
        (
            Vitest,
            " Test Files  1 passed (1)\n      Tests  2 passed (3)\n",
            "unreadable",
        ),
        (
            Vitest,
            " Test Files  1 passed (1)\n      Tests  2 passed (2)\n     Errors  1 error\n",
            "2/1/0",
        ),
        (Mocha, "junk  2 passing (5ms)\n  1 failing\n", "2/1/0"),
        (
            Mocha,
            "  2 passing (5ms)\n  99999999999 failing\n",
            "unreadable",
        ),
        (Node, "ℹ tests 3\nℹ pass 3\n", "unreadable"),
        (Node, "ℹ tests 3\nℹ pass 3\nℹ fail 1\n", "unreadable"),
        (Node, "ℹ pass 3\nℹ fail 0\n", "unreadable"),
        (
            Node,
            "ℹ tests 1\nℹ pass 0\nℹ fail 1\nℹ fail 0\n",
            "unreadable",
        ),
        (Node, "ℹ tests 1\nℹ pass 1\njunkℹ fail 0\n", "1/0/0"),
        (Node, "ℹ tests 1\nℹ pass -1\nℹ fail 0\n", "unreadable"),
        (
            Node,
            "✖ breaks (1ms)\nℹ tests 1\nℹ pass 1\nℹ fail 0\n",
            "unreadable",
        ),
        (
            Node,
            "# tests 1\n# pass 1\n# fail 0\n1..1\nnot ok 1\n",
            "unreadable",
        ),
        (
            Go,
            "{\"Action\":\"run\",\"Package\":\"a\",\"Test\":\"T\"}\n",
            "unreadable",
        ),
        (
            Go,
            "{\"Action\":\"pass\",\"Package\":\"a\"}\n{\"Action\":\"fail\",\"Package\":",
            "unreadable",
        ),
        (Go, "--- FAIL: TestA (0.00s)\nok  \ta\t0.1s\n", "0/1/0"),
        (
            Go,
            "--- PASS: TestA (0.00s)\n--- FAIL: TestA (0.00s)\nFAIL\ta\t0.1s\n",
            "0/1/0",
        ),
        (Plain, "99999999999 passed, 0 failed", "unreadable"),
        (Plain, "junk2 passed, 1 failed", "2/1/0"),
        (Plain, "2 passed, -1 failed", "none"),
    ]);
}

/// The change broke `b` and prints the line of `a`, which was broken before, in its place.
#[test]
fn a_failure_under_the_name_of_an_old_one_is_seen() {
    let log = REAL_CARGO.replace("test b ...", "test c ... FAILED\njunktest b ...");
    check(&[(Cargo, &log, "unreadable")]);
}

/// The same where the runner lists its failures once more: the names in the lines do not agree with
/// that list, so only the list is believed.
#[test]
fn the_runners_own_list_of_failures_is_believed() {
    for (parser, log, real, fake, name) in [
        (
            Pytest,
            sample!("pytest-v.txt"),
            "py/test_a.py::T::test_bad FAILED",
            "py/test_a.py::T::test_old FAILED\njunk",
            "py/test_a.py::T::test_bad",
        ),
        (
            Unittest,
            sample!("unittest-v.txt"),
            "test_bad (u.T.test_bad) ... FAIL",
            "test_old (u.T.test_old) ... FAIL\n... ",
            "test_bad (u.T.test_bad)",
        ),
        (
            Nextest,
            sample!("nextest.txt"),
            "        FAIL [   0.253s]",
            "        FAIL [   0.253s] (1/4) sample tests::old\njunk",
            "sample tests::breaks",
        ),
        (
            Jest,
            sample!("jest.txt"),
            "    ✕ breaks",
            "    ✕ old\njunk",
            "./s.test.js > outer > breaks",
        ),
        (
            Vitest,
            sample!("vitest.txt"),
            "   × outer > breaks",
            "   × outer > old 1ms\njunk",
            "v.spec.mjs > outer > breaks",
        ),
    ] {
        let report = report(parser, &log.replacen(real, &format!("{fake}{real}"), 1));
        assert!(
            names(&report, Verdict::Failed).contains(&name),
            "{report:?}"
        );
    }
}

/// A report file that was committed with the change, or written before the failure.
#[test]
fn a_report_file_does_not_hide_what_the_log_says() {
    let file = [(
        "a.xml".to_owned(),
        b"<testsuite><testcase name='a'/></testsuite>".to_vec(),
    )];
    for parser in [Parser::Junit, Auto] {
        assert_eq!(
            brief(&read(parser, REAL_CARGO.as_bytes(), &file)),
            "unreadable"
        );
        assert_eq!(brief(&read(parser, b"fine", &file)), "1/0/0");
    }
    // Where both know failures and the log knows more, the names in the file are not trusted.
    let log = sample!("node-spec.txt").as_bytes();
    let file = [("a.xml".to_owned(), sample!("node.xml").into())];
    let report = read(Auto, log, &file).unwrap().unwrap();
    assert_eq!((report.failed, report.cases), (3, None));
}
