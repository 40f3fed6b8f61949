//! Hostile report files, logs that were cut, long ones, and anything at all.

use gate_runner::counts::{Parser, Verdict, failing_lines, read};
use proptest::prelude::*;

use super::samples::sample;
use super::{brief, names, report, short};

use Parser::{Auto, Cargo, Go, Jest, Mocha, Nextest, Node, Plain, Pytest, Tap, Unittest, Vitest};

/// Whatever a test prints right before or after any line of the runner, without a line end or with
/// escapes that would hide it on a screen: a failed run never reads as one without failures.
#[test]
fn nothing_glued_to_a_line_hides_every_failure() {
    let logs = [
        (Cargo, sample!("cargo.txt")),
        (Nextest, sample!("nextest.txt")),
        (Pytest, sample!("pytest.txt")),
        (Unittest, sample!("unittest.txt")),
        (Node, sample!("node-spec.txt")),
        (Node, sample!("node-tap.txt")),
        (Jest, sample!("jest.txt")),
        (Vitest, sample!("vitest.txt")),
        (Mocha, sample!("mocha.txt")),
        (Tap, sample!("perl-tap.txt")),
    ];
    let glue = [
        "junk",
        "0",
        "ok ",
        "# ",
        "\r",
        "\u{1b}[",
        "\u{1b}[0",
        "\u{1b}]0;",
        "\u{1b}P",
        "\u{9b}",
        "\0",
        "\u{202e}",
        "\u{8}\u{8}",
        "  ---\n",
        "1..0\n",
        "(",
        "{",
    ];
    for (parser, log) in logs {
        let lines: Vec<&str> = log.lines().collect();
        for at in 0..lines.len() {
            for glue in glue {
                let mut changed = lines.clone();
                let glued = format!("{glue}{}", lines[at]);
                changed[at] = &glued;
                let changed = changed.join("\n");
                if let Ok(Some(report)) = read(parser, changed.as_bytes(), &[]) {
                    assert!(
                        report.failed > 0,
                        "{parser:?} with {glue:?} before {:?}",
                        lines[at]
                    );
                }
            }
        }
    }
}

/// A log that was cut anywhere is never a full pass with fewer tests than it had.
#[test]
fn a_log_that_was_cut_is_no_pass() {
    for (parser, log) in [
        (Cargo, sample!("cargo.txt")),
        (Nextest, sample!("nextest.txt")),
        (Pytest, sample!("pytest.txt")),
        (Node, sample!("node-spec.txt")),
        (Tap, sample!("perl-tap.txt")),
    ] {
        let whole = report(parser, log).failed;
        for end in (0..log.len()).filter(|end| log.is_char_boundary(*end)) {
            if let Ok(Some(report)) = read(parser, &log.as_bytes()[..end], &[]) {
                assert_eq!(report.failed, whole, "{parser:?} cut at {end}");
            }
        }
    }
}

fn junit(xml: &str) -> String {
    brief(&read(
        Parser::Junit,
        b"",
        &[("a.xml".to_owned(), xml.as_bytes().to_vec())],
    ))
}

#[test]
fn hostile_report_files() {
    let case = "<testcase name='a'/>";
    let bad = "<testcase name='b'><failure/></testcase>";
    let suite =
        |attributes: &str, inner: &str| format!("<testsuite {attributes}>{inner}</testsuite>");
    let bomb = format!(
        "{}{}",
        "<testsuite>".repeat(100_000),
        "</testsuite>".repeat(100_000)
    );
    let attributes: String = (0..20_000).map(|at| format!(" a{at}='x'")).collect();
    for (xml, expected) in [
        (suite("tests='1'", case), "1/0/0"),
        (suite("", &format!("{case}{bad}")), "1/1/0"),
        (suite("tests='-1'", case), "unreadable"),
        (suite("tests='99999999999999999999'", case), "unreadable"),
        (suite("tests='2'", case), "unreadable"),
        (suite("tests='1' failures='0'", bad), "unreadable"),
        (suite("tests='1' failures='1'", case), "unreadable"),
        (suite("tests='1' tests='1'", case), "unreadable"),
        (suite("name='&lol;'", case), "unreadable"),
        (suite("", &format!("{case}&lol;")), "1/0/0"),
        (suite(&attributes, case), "1/0/0"),
        (suite("", "<testcase/>"), "unreadable"),
        (
            suite("", "<testcase name='a'><testcase name='b'/></testcase>"),
            "unreadable",
        ),
        (
            suite(
                "",
                "<testcase name='a'><properties><failure/></properties></testcase>",
            ),
            "1/0/0",
        ),
        (
            suite("", "<testcase name='a'><skipped/><error/></testcase>"),
            "0/1/0",
        ),
        (
            suite("", "<testcase name='a'><error/><skipped/></testcase>"),
            "0/1/0",
        ),
        (suite("", "<testcase name='a' status='notrun'/>"), "0/0/1"),
        (suite("", "<testcase name='a' status='failed'/>"), "0/1/0"),
        (suite("name='s'", "<error>no setup</error>"), "0/1/0"),
        (
            suite(
                "",
                "<!-- <testcase name='x'/> --><![CDATA[<testcase name='y'/>]]>",
            ),
            "0/0/0",
        ),
        (
            format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{}", suite("", case)),
            "unreadable",
        ),
        (format!("{0}{0}", suite("", case)), "unreadable"),
        (format!("<testsuite>{case}"), "unreadable"),
        (format!("<testsuite>{case}</testsuites>"), "unreadable"),
        ("<coverage/>".to_owned(), "unreadable"),
        ("<testcase name='a'/>".to_owned(), "unreadable"),
        (String::new(), "unreadable"),
        ("no XML".to_owned(), "unreadable"),
        ("<testsuite tests='1".to_owned(), "unreadable"),
        (bomb, "unreadable"),
        (" ".repeat((16 << 20) + 1), "unreadable"),
    ] {
        let start: String = xml.chars().take(200).collect();
        assert_eq!(junit(&xml), expected, "{start}");
    }
    let not_text = [("a.xml".to_owned(), b"<testsuite name='\xff'/>".to_vec())];
    assert_eq!(brief(&read(Parser::Junit, b"", &not_text)), "unreadable");
}

#[test]
fn names_cannot_deceive_the_eye() {
    let log = "1..1\nnot ok 1 - safe\u{202e}\u{200b}\u{1b}[31mred\u{7}\n";
    let report = report(Tap, log);
    assert_eq!(
        names(&report, Verdict::Failed),
        ["safe\\u{202e}\\u{200b}red"]
    );
    let shown = failing_lines(log.as_bytes(), Some(&report));
    assert_eq!(shown, ["not ok 1 - safe\\u{202e}\\u{200b}red"]);
}

/// The readers walk a log once, and what they keep of a line is bounded, so a long line or many
/// lines cost what their bytes cost. Here: that they are read at all, and read right.
#[test]
fn long_lines_and_many_lines_are_read() {
    let long = "x".repeat(1 << 20);
    let many: String = (1..=100_000)
        .map(|at| format!("ok {at} - {at}\n"))
        .collect();
    let same: String = (1..=100_000)
        .map(|at| format!("ok {at} - same\n"))
        .collect();
    assert_eq!(short(Tap, &format!("1..100000\n{many}")), "100000/0/0");
    assert_eq!(
        report(Tap, &format!("{same}1..100000\n"))
            .cases
            .unwrap()
            .len(),
        100_000
    );
    for (parser, _) in [
        (Tap, ()),
        (Cargo, ()),
        (Nextest, ()),
        (Pytest, ()),
        (Go, ()),
        (Node, ()),
        (Jest, ()),
        (Vitest, ()),
        (Mocha, ()),
        (Unittest, ()),
        (Plain, ()),
        (Auto, ()),
    ] {
        for text in [
            &long,
            &" # ".repeat(1 << 18),
            &"1 passed, ".repeat(1 << 17),
            &"\u{1b}[".repeat(1 << 18),
        ] {
            assert_eq!(short(parser, text), "none", "{parser:?}");
        }
    }
    let named = format!(
        "{long}\nrunning 1 test\ntest {long} ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n"
    );
    let report = report(Auto, &named);
    assert!(names(&report, Verdict::Failed)[0].len() < 400);
    assert!(
        failing_lines(named.as_bytes(), Some(&report))
            .iter()
            .all(|line| line.len() < 400)
    );
}

/// A cut or shuffled piece of something a runner could print.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "running 2 tests\n",
        "test a ... ok\n",
        "test b ... FAILED\n",
        "failures:\n",
        "    b\n",
        "test result: ok. 2 passed; 0 failed; 0 ignored\n",
        "test result: FAILED. 1 passed; 1 failed\n",
        "Summary [ 0.1s] 2 tests run: 1 passed, 1 failed\n",
        "=== 1 failed, 2 passed in 0.1s ===\n",
        "TAP version 13\n",
        "1..2\n",
        "ok 1 - a\n",
        "    not ok 2 - b # TODO\n",
        "  ---\n",
        "  ...\n",
        "--- FAIL: TestA (0.0s)\n",
        "ok  \ta\t0.1s\n",
        "{\"Action\":\"pass\",\"Package\":\"a\"}\n",
        "ℹ tests 2\n",
        "ℹ pass 2\n",
        "ℹ fail 0\n",
        "# tests 1\n",
        "▶ a\n",
        "  ✔ b (1ms)\n",
        "✖ c\n",
        "Test Suites: 1 passed, 1 total\n",
        "Tests:       1 passed, 1 total\n",
        "  ● a › b\n",
        " Test Files  1 passed (1)\n",
        "      Tests  1 passed (1)\n",
        " ✓ a (2 tests) 2ms\n",
        "  2 passing (1ms)\n",
        "  1 failing\n",
        "  1) a\n",
        "Ran 2 tests in 0.1s\n",
        "OK\n",
        "FAILED (failures=1)\n",
        "2 passed, 1 failed\n",
        "\u{1b}[31m",
        "\r",
        "\0",
        "999999999999",
        "-1",
        "<testsuite tests='1'>",
        "<testcase name='a'>",
        "<failure/>",
        "</testcase>",
        "</testsuite>",
        "<",
        "&",
    ]);
    prop::collection::vec(
        prop_oneof![4 => piece.prop_map(str::to_owned), 1 => any::<String>()],
        0..24,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_panics_and_every_answer_is_the_same_twice(log in pieces(), junk in prop::collection::vec(any::<u8>(), 0..200)) {
        let files = [("a.xml".to_owned(), log.clone().into_bytes())];
        for parser in Parser::ALL {
            for (log, files) in [(log.as_bytes(), &files[..0]), (junk.as_slice(), &files[..])] {
                let first = read(parser, log, files);
                prop_assert_eq!(&first, &read(parser, log, files));
                if let Ok(Some(report)) = &first {
                    let failed = report.cases.iter().flatten().filter(|(_, verdict)| **verdict == Verdict::Failed);
                    prop_assert!(report.failed > 0 || failed.count() == 0);
                }
                let shown = failing_lines(log, first.as_ref().ok().and_then(Option::as_ref));
                prop_assert!(shown.len() <= 20);
                prop_assert!(shown.iter().all(|line| !line.chars().any(char::is_control)));
            }
        }
    }
}
