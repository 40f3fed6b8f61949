//! A run beside the one on its base.

use gate_runner::counts::{Comparison, Parser, compare};

use super::report;

/// Tests by name: `+` passed, `-` failed, `~` skipped.
fn tap(tests: &str) -> String {
    let lines = tests.split_whitespace().map(|test| {
        let (mark, name) = test.split_at(1);
        match mark {
            "+" => format!("ok - {name}\n"),
            "-" => format!("not ok - {name}\n"),
            _ => format!("ok - {name} # SKIP\n"),
        }
    });
    let count = tests.split_whitespace().count();
    format!("1..{count}\n{}", lines.collect::<String>())
}

fn compared(now: &str, base: &str) -> Comparison {
    compare(
        &report(Parser::Tap, &tap(now)),
        &report(Parser::Tap, &tap(base)),
    )
}

fn counted(now: &str, base: &str) -> Comparison {
    compare(&report(Parser::Plain, now), &report(Parser::Plain, base))
}

#[test]
fn mending_one_test_does_not_pay_for_breaking_another() {
    let found = compared("+a -b", "-a +b");
    assert_eq!(found.new_failures, ["b"]);
    assert_eq!(found.mended, ["a"]);
    assert_eq!(found.more_failed, 0);
    assert!(found.is_worse());
    // The same where only the failures are named.
    let log =
        |failed: &str| format!("FAILED t.py::{failed} - no\n=== 1 failed, 1 passed in 0.1s ===\n");
    let run = |failed: &str| report(Parser::Pytest, &log(failed));
    let found = compare(&run("b"), &run("a"));
    assert_eq!(found.new_failures, ["t.py::b"]);
    assert!(found.is_worse());
    assert!(!compare(&run("a"), &run("a")).is_worse());
}

#[test]
fn what_was_broken_before_is_not_blamed() {
    let found = compared("-a +b", "-a +b");
    assert_eq!(found.broken_before, ["a"]);
    assert!(!found.is_worse() && !found.is_thinner());
    let found = compared("-a +b +c", "-a +b");
    assert!(!found.is_worse() && !found.is_thinner());
}

#[test]
fn a_new_or_unskipped_test_that_fails_is_blamed() {
    assert_eq!(compared("+a -b", "+a").new_failures, ["b"]);
    assert_eq!(compared("+a -b", "+a ~b").new_failures, ["b"]);
}

#[test]
fn tests_that_went_away_are_a_finding() {
    let found = compared("+a +c", "+a +b");
    assert_eq!(found.missing, ["b"]);
    assert_eq!(found.fewer, 0);
    assert!(found.is_thinner() && !found.is_worse());
    let found = compared("+a ~b", "+a -b");
    assert_eq!(found.newly_skipped, ["b"]);
    assert_eq!(found.fewer, 1);
    assert!(found.is_thinner());
    // What did not run at the base is not missed.
    assert!(!compared("+a", "+a ~b").is_thinner());
}

#[test]
fn tests_of_the_same_name_are_counted() {
    assert_eq!(compared("-a -a", "+a -a").new_failures, ["a #2"]);
    assert!(!compared("-a +a", "+a -a").is_worse());
    assert_eq!(compared("+a", "+a +a").missing, ["a #2"]);
}

#[test]
fn without_names_the_counts_decide() {
    assert_eq!(
        counted("5 passed, 2 failed", "6 passed, 1 failed").more_failed,
        1
    );
    assert!(counted("5 passed, 2 failed", "6 passed, 1 failed").is_worse());
    assert_eq!(counted("4 passed, 1 failed", "6 passed, 1 failed").fewer, 2);
    let same = counted("6 passed, 1 failed", "6 passed, 1 failed");
    assert!(!same.is_worse() && !same.is_thinner());
}

/// A change that makes its run nameless could hide which tests fail.
#[test]
fn losing_the_names_is_blamed() {
    let named = report(Parser::Tap, &tap("-a +b"));
    let nameless = report(Parser::Plain, "1 passed, 1 failed");
    assert!(compare(&nameless, &named).is_worse());
    assert!(!compare(&named, &nameless).is_worse());
    let few = report(
        Parser::Pytest,
        "FAILED t.py::a - no\n=== 1 failed, 1 passed in 0.1s ===\n",
    );
    let none = report(Parser::Pytest, "=== 1 failed, 1 passed in 0.1s ===\n");
    let green = report(Parser::Pytest, "=== 2 passed in 0.1s ===\n");
    assert!(compare(&none, &few).names_lost);
    assert!(compare(&few, &named).names_lost);
    assert!(!compare(&green, &few).names_lost);
}
