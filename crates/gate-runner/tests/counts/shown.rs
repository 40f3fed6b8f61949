//! The lines that a person sees first.

use gate_runner::counts::{Parser, failing_lines, read};

use super::samples::sample;

#[test]
fn the_failed_tests_come_first() {
    for (parser, log, first, within) in [
        (
            Parser::Cargo,
            sample!("cargo.txt"),
            "test tests::breaks ... FAILED",
            "assertion `left == right` failed: left is not right",
        ),
        (
            Parser::Nextest,
            sample!("nextest.txt"),
            "FAIL [   0.253s] (1/4) sample tests::breaks",
            "right: 3",
        ),
        (
            Parser::Pytest,
            sample!("pytest.txt"),
            "FAILED py/test_a.py::T::test_bad - AssertionError: 1 != 2",
            "E   RuntimeError: boom",
        ),
        (
            Parser::Unittest,
            sample!("unittest.txt"),
            "ERROR: test_err (u.T.test_err)",
            "AssertionError: 1 != 2",
        ),
        (
            Parser::Node,
            sample!("node-spec.txt"),
            "✖ breaks (3.224527ms)",
            "Error: boom",
        ),
        (
            Parser::Node,
            sample!("node-tap.txt"),
            "not ok 2 - breaks",
            "not ok 1 - child",
        ),
        (
            Parser::Jest,
            sample!("jest.txt"),
            "FAIL ./s.test.js",
            "● outer › breaks",
        ),
        (
            Parser::Vitest,
            sample!("vitest.txt"),
            "× outer > breaks 4ms",
            "Error: boom",
        ),
        (
            Parser::Mocha,
            sample!("mocha.txt"),
            "1) breaks",
            "Error: boom",
        ),
        (
            Parser::Tap,
            sample!("perl-tap.txt"),
            "not ok 2 - breaks",
            "#   Failed test 'breaks'",
        ),
    ] {
        let report = read(parser, log.as_bytes(), &[]).unwrap();
        let lines = failing_lines(log.as_bytes(), report.as_ref());
        let has = |wanted: &str| lines.iter().any(|line| line.starts_with(wanted));
        assert!(lines[0].starts_with(first), "{parser:?}: {lines:#?}");
        assert!(
            has(within) || parser == Parser::Tap,
            "{parser:?}: {lines:#?}"
        );
    }
}

#[test]
fn a_build_that_failed_shows_its_errors() {
    let log = "   Compiling sample\nerror[E0425]: cannot find value `x`\n --> src/lib.rs:1:1\nerror: could not compile `sample`\n";
    assert_eq!(
        failing_lines(log.as_bytes(), None),
        [
            "error[E0425]: cannot find value `x`",
            "error: could not compile `sample`"
        ]
    );
}

#[test]
fn a_log_that_says_nothing_shows_its_end() {
    let log: String = (0..9).map(|at| format!("line {at}\n\n")).collect();
    assert_eq!(
        failing_lines(log.as_bytes(), None),
        ["line 4", "line 5", "line 6", "line 7", "line 8"]
    );
    assert!(failing_lines(b"", None).is_empty());
}

#[test]
fn a_flood_of_failures_is_cut() {
    let log: String = (0..100).map(|at| format!("not ok {at}\n")).collect();
    let lines = failing_lines(log.as_bytes(), None);
    assert_eq!(lines.len(), 20);
    assert_eq!(lines[0], "not ok 0");
}
