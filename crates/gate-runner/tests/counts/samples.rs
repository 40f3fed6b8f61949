//! Outputs that the runners themselves wrote.

use gate_runner::counts::{Parser, Report, Verdict, read};

use super::{brief, check, names, report};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../samples/", $name))
    };
}
pub(super) use sample;

const LOGS: [(Parser, &str, &str); 19] = [
    (Parser::Cargo, sample!("cargo.txt"), "4/1/1"),
    (Parser::Cargo, sample!("cargo-q.txt"), "4/1/1"),
    (Parser::Cargo, sample!("cargo-nocap.txt"), "4/1/1"),
    (Parser::Nextest, sample!("nextest.txt"), "3/1/1"),
    (Parser::Pytest, sample!("pytest.txt"), "3/4/2"),
    (Parser::Pytest, sample!("pytest-q.txt"), "3/4/2"),
    (Parser::Pytest, sample!("pytest-rA.txt"), "3/4/2"),
    (Parser::Pytest, sample!("pytest-v.txt"), "3/4/2"),
    (Parser::Unittest, sample!("unittest.txt"), "1/2/2"),
    (Parser::Unittest, sample!("unittest-v.txt"), "1/2/2"),
    (Parser::Node, sample!("node-spec.txt"), "3/3/2"),
    (Parser::Node, sample!("node-tap.txt"), "3/3/2"),
    (Parser::Jest, sample!("jest.txt"), "3/1/1"),
    (Parser::Jest, sample!("jest-short.txt"), "3/1/1"),
    (Parser::Jest, sample!("jest-two.txt"), "6/2/2"),
    (Parser::Mocha, sample!("mocha.txt"), "3/2/1"),
    (Parser::Vitest, sample!("vitest.txt"), "3/1/2"),
    (Parser::Vitest, sample!("vitest-v.txt"), "3/1/2"),
    (Parser::Tap, sample!("perl-tap.txt"), "3/1/2"),
];

#[test]
fn every_runner_is_read_by_its_parser_and_by_auto() {
    check(&LOGS);
    check(&LOGS.map(|(_, log, expected)| (Parser::Auto, log, expected)));
}

#[test]
fn line_ends_and_colours_change_nothing() {
    for (parser, log, expected) in LOGS {
        let windows = log.replace('\n', "\r\n");
        let coloured: String = log
            .lines()
            .map(|line| format!("\u{1b}[1;31m{line}\u{1b}[0m\n"))
            .collect();
        check(&[(parser, &windows, expected), (parser, &coloured, expected)]);
    }
}

#[test]
fn names_are_read_where_they_are_given() {
    for (parser, log, failed) in [
        (
            Parser::Cargo,
            sample!("cargo.txt"),
            vec!["sample src/lib.rs: tests::breaks"],
        ),
        (
            Parser::Nextest,
            sample!("nextest.txt"),
            vec!["sample tests::breaks"],
        ),
        (
            Parser::Pytest,
            sample!("pytest-rA.txt"),
            vec![
                "py/test_a.py::T::test_bad",
                "py/test_a.py::T::test_err",
                "py/test_a.py::test_p[2]",
                "py/test_a.py::test_teardown",
            ],
        ),
        (
            Parser::Pytest,
            sample!("pytest-v.txt"),
            vec![
                "py/test_a.py::T::test_bad",
                "py/test_a.py::T::test_err",
                "py/test_a.py::test_p[2]",
                "py/test_a.py::test_teardown",
            ],
        ),
        (
            Parser::Unittest,
            sample!("unittest-v.txt"),
            vec!["test_bad (u.T.test_bad)", "test_err (u.T.test_err)"],
        ),
        (
            Parser::Node,
            sample!("node-spec.txt"),
            vec!["outer", "outer > breaks", "parent", "parent > child"],
        ),
        (
            Parser::Node,
            sample!("node-tap.txt"),
            vec!["outer", "outer > breaks", "parent", "parent > child"],
        ),
        (
            Parser::Jest,
            sample!("jest.txt"),
            vec!["./s.test.js > outer > breaks"],
        ),
        (
            Parser::Mocha,
            sample!("mocha.txt"),
            vec![
                "hook > \"before each\" hook for \"never\"",
                "outer > breaks",
            ],
        ),
        (
            Parser::Vitest,
            sample!("vitest.txt"),
            vec!["v.spec.mjs > outer > breaks"],
        ),
        (
            Parser::Vitest,
            sample!("vitest-v.txt"),
            vec!["v.spec.mjs > outer > breaks"],
        ),
        (Parser::Tap, sample!("perl-tap.txt"), vec!["breaks"]),
    ] {
        let report = report(parser, log);
        assert!(report.complete, "{report:?}");
        assert_eq!(names(&report, Verdict::Failed), failed, "{parser:?}");
        assert!(!names(&report, Verdict::Passed).is_empty(), "{parser:?}");
    }
}

#[test]
fn without_all_names_those_of_the_failures_are_read() {
    for (parser, log, failed) in [
        // The parts of `--nocapture` lines stand apart, so only the list at the end is whole; the
        // tests without output are named, but not all of them are.
        (Parser::Cargo, sample!("cargo-q.txt"), vec!["tests::breaks"]),
        (
            Parser::Cargo,
            sample!("cargo-nocap.txt"),
            vec!["sample src/lib.rs: tests::breaks"],
        ),
        (
            Parser::Pytest,
            sample!("pytest.txt"),
            vec![
                "py/test_a.py::T::test_bad",
                "py/test_a.py::T::test_err",
                "py/test_a.py::test_p[2]",
                "py/test_a.py::test_teardown",
            ],
        ),
        (
            Parser::Unittest,
            sample!("unittest.txt"),
            vec!["test_bad (u.T.test_bad)", "test_err (u.T.test_err)"],
        ),
        (
            Parser::Jest,
            sample!("jest-short.txt"),
            vec!["./s.test.js > outer > breaks"],
        ),
        (
            Parser::Jest,
            sample!("jest-two.txt"),
            vec![
                "./s.test.js > outer > breaks",
                "./t.test.js > outer > breaks",
            ],
        ),
    ] {
        let report = report(parser, log);
        assert!(!report.complete, "{report:?}");
        assert_eq!(report.cases.as_ref().unwrap().len(), failed.len());
        assert_eq!(names(&report, Verdict::Failed), failed, "{parser:?}");
    }
}

fn file(name: &str, xml: &str) -> (String, Vec<u8>) {
    (name.to_owned(), xml.as_bytes().to_vec())
}

fn junit(xml: &str) -> Report {
    read(Parser::Junit, b"", &[file("a.xml", xml)])
        .unwrap()
        .unwrap()
}

#[test]
fn report_files_are_read() {
    for (xml, passed, failed, skipped, name) in [
        (sample!("nextest.xml"), 3, 1, 0, "sample > tests::breaks"),
        (
            sample!("pytest.xml"),
            2,
            4,
            2,
            "pytest > py.test_a > test_teardown",
        ),
        (sample!("node.xml"), 3, 2, 2, "outer > test > breaks"),
        (
            sample!("vitest.xml"),
            3,
            1,
            2,
            "v.spec.mjs > outer > breaks",
        ),
    ] {
        let report = junit(xml);
        let counts = (report.passed, report.failed, report.skipped);
        assert_eq!(counts, (passed, failed, skipped), "{report:?}");
        assert!(
            names(&report, Verdict::Failed).contains(&name),
            "{report:?}"
        );
        let auto = read(Parser::Auto, b"no counts here", &[file("a.xml", xml)]);
        assert_eq!(auto, Ok(Some(report)));
    }
}

/// mocha writes `tests="5"` above six cases when a hook fails.
#[test]
fn a_report_that_miscounts_its_own_cases_is_not_believed() {
    let mocha = [file("mocha.xml", sample!("mocha.xml"))];
    assert_eq!(brief(&read(Parser::Junit, b"", &mocha)), "unreadable");
}

#[test]
fn several_files_are_added_up() {
    let files = [
        file("a.xml", sample!("vitest.xml")),
        file("b.xml", sample!("nextest.xml")),
        file("c.xml", sample!("vitest.xml")),
    ];
    let report = read(Parser::Junit, b"", &files).unwrap().unwrap();
    assert_eq!((report.passed, report.failed, report.skipped), (9, 3, 4));
    // Two tests of the same name stay two.
    assert!(names(&report, Verdict::Failed).contains(&"v.spec.mjs > outer > breaks #2"));
    assert_eq!(read(Parser::Junit, b"3 passed, 0 failed", &[]), Ok(None));
}

/// Go is not on every machine that builds this; the forms are those of its documentation.
#[test]
fn go_is_read_in_three_forms() {
    let plain = "--- FAIL: TestB (0.00s)\n    b_test.go:5: no\nFAIL\nFAIL\texample.org/b\t0.003s\nok  \texample.org/a\t0.002s\n?   \texample.org/c\t[no test files]\nok  \texample.org/d\t0.1s [no tests to run]\nok  \texample.org/e\t(cached)\nFAIL\n";
    let verbose = "=== RUN   TestA\n=== RUN   TestA/sub\n--- PASS: TestA (0.00s)\n    --- PASS: TestA/sub (0.00s)\n=== RUN   TestS\n    a_test.go:3: no net\n--- SKIP: TestS (0.00s)\nPASS\nok  \texample.org/a\t0.002s\n=== RUN   TestA\npartial--- FAIL: TestA (0.10s)\nFAIL\nFAIL\texample.org/b\t0.003s\n";
    let json = [
        r#"{"Time":"2026-01-02T03:04:05Z","Action":"start","Package":"example.org/a"}"#,
        r#"{"Time":"2026-01-02T03:04:05Z","Action":"run","Package":"example.org/a","Test":"TestA"}"#,
        r#"{"Time":"2026-01-02T03:04:05Z","Action":"output","Package":"example.org/a","Test":"TestA","Output":"--- FAIL: TestX (0.00s)\n"}"#,
        r#"{"Time":"2026-01-02T03:04:05Z","Action":"pass","Package":"example.org/a","Test":"TestA","Elapsed":0.1}"#,
        r#"{"Time":"2026-01-02T03:04:05Z","Action":"run","Package":"example.org/a","Test":"TestB"}"#,
        r#"{"Time":"2026-01-02T03:04:05Z","Action":"fail","Package":"example.org/a","Elapsed":0.2}"#,
        r#"{"Action":"skip","Package":"example.org/c"}"#,
    ]
    .join("\n");
    let broken =
        "# example.org/a\n./a.go:3: undefined: x\nFAIL\texample.org/a [build failed]\nFAIL\n";
    check(&[
        (Parser::Auto, plain, "2/1/0"),
        (Parser::Auto, verbose, "2/1/1"),
        (Parser::Auto, &json, "1/2/0"),
        (Parser::Go, broken, "0/1/0"),
        (
            Parser::Go,
            "=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\n",
            "1/0/0",
        ),
        (
            Parser::Go,
            "=== RUN   TestA\npanic: boom\nFAIL\texample.org/a\t0.1s\n",
            "0/1/0",
        ),
        (
            Parser::Go,
            "=== RUN   TestA\n=== RUN   TestB\n--- PASS: TestB (0.00s)\nPASS\nok  \texample.org/a\t0.1s\n",
            "1/1/0",
        ),
    ]);
    let failed = report(Parser::Go, verbose);
    assert_eq!(names(&failed, Verdict::Failed), ["example.org/b TestA"]);
    let failed = report(Parser::Go, &json);
    assert_eq!(
        names(&failed, Verdict::Failed),
        ["example.org/a", "example.org/a TestB"]
    );
}

#[test]
fn plain_counts_are_read() {
    check(&[
        (Parser::Auto, "suite: 12 passed, 0 failed", "12/0/0"),
        (Parser::Auto, "5 passed, 1 failed, 2 skipped", "5/1/2"),
        (Parser::Auto, "1 failed, 5 passed", "5/1/0"),
        (
            Parser::Auto,
            "2 passed, 0 failed\n3 passed, 1 failed\n",
            "5/1/0",
        ),
        (
            Parser::Plain,
            "all of it: 7 passed, 0 failed, 1 ignored.",
            "7/0/1",
        ),
    ]);
    for log in [
        "",
        "everything passed",
        "all 3 passed!",
        "ok then",
        "ok 1 and go",
        "1 passed",
        "passed 3, failed 0",
        "test result: who knows",
        "3 failing",
        "Tests: a lot",
        "1..2 is a range",
        "OK",
        "FAIL",
        "# pass 3",
    ] {
        check(&[(Parser::Auto, log, "none")]);
    }
}

#[test]
fn zero_is_zero_and_not_nothing() {
    check(&[
        (
            Parser::Auto,
            "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "0/0/0",
        ),
        (Parser::Auto, "1..1\nok 1 # SKIP", "0/0/1"),
        (Parser::Auto, "1..0 # SKIP nothing here", "0/0/0"),
        (Parser::Auto, "===== no tests ran in 0.01s =====", "0/0/0"),
        (Parser::Auto, "===== 3 deselected in 0.01s =====", "0/0/0"),
        (
            Parser::Auto,
            "Ran 0 tests in 0.000s\n\nNO TESTS RAN",
            "0/0/0",
        ),
        (Parser::Auto, "  0 passing (1ms)\n", "0/0/0"),
        (
            Parser::Auto,
            "ℹ tests 0\nℹ suites 0\nℹ pass 0\nℹ fail 0\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0",
            "0/0/0",
        ),
    ]);
}
