//! Every cut point: each verb is killed as it enters each of its calls that change something, and each such
//! call is made to fail once. Then the recovery runs, and the verb once more.

use crate::queue::{self, SQLITE, count, is_whole, is_whole_but_for, number, state};
use crate::support::Bench;
use crate::trace::{self, Fault, Point};

/// A verb of the queue, from where it starts and where it leads.
struct Verb {
    /// Runs before it.
    before: &'static [&'static [&'static str]],
    line: &'static [&'static str],
    /// Whether its effect is there.
    is_done: fn(&Bench) -> bool,
}

const SUBMIT: &[&str] = &[
    "submit",
    "--id",
    "T-1",
    "--title",
    "A change",
    "--goal",
    "Change it",
    "--allow",
    "src/**",
    "--key",
    "key-of-T-1",
];
const CLAIM: &[&str] = &["claim-lock", "--task", "T-1", "--owner", "me"];
const LAPSED: &[&str] = &[
    "claim-lock",
    "--task",
    "T-1",
    "--owner",
    "me",
    "--lease",
    "1ms",
];
const RENEW: &[&str] = &[
    "claim-lock",
    "--task",
    "T-1",
    "--owner",
    "me",
    "--renew",
    "--lease",
    "20m",
];
const RELEASE: &[&str] = &["claim-lock", "--task", "T-1", "--owner", "me", "--release"];
const INTAKE: &[&str] = &["intake-validate", "--task", "T-1"];
const DRAFT: &[&str] = &["patch-draft", "--task", "T-1", "--from", "../T-1.patch"];
const SCAN: &[&str] = &["diff-risk-scan", "--task", "T-1"];
const GATES: &[&str] = &["gate-runner", "--task", "T-1"];
const ROUTE: &[&str] = &["decision-router", "--task", "T-1"];
const APPROVE: &[&str] = &["approve", "T-1"];
const LAND: &[&str] = &["pr-merge-orchestrator", "--task", "T-1", "--execute"];
const APPEND: &[&str] = &["audit-append", "--event", "../event.json"];
const WATCH: &[&str] = &["watchdog", "--once"];
const STOP: &[&str] = &["stop", "--reason", "a fault"];

fn lies_in(bench: &Bench, expected: &str) -> bool {
    state(bench, "T-1").as_deref() == Some(expected)
}

const SUBMITS: Verb = Verb {
    before: &[],
    line: SUBMIT,
    is_done: |bench| lies_in(bench, "inbox"),
};
const CLAIMS: Verb = Verb {
    before: &[SUBMIT],
    line: CLAIM,
    is_done: |bench| lies_in(bench, "claimed"),
};
const RENEWS: Verb = Verb {
    before: &[SUBMIT, CLAIM],
    line: RENEW,
    is_done: |bench| lies_in(bench, "claimed") && count(bench, "LEASE_RENEWED") > 0,
};
const RELEASES: Verb = Verb {
    before: &[SUBMIT, CLAIM],
    line: RELEASE,
    is_done: |bench| lies_in(bench, "inbox"),
};
const TAKES_IN: Verb = Verb {
    before: &[SUBMIT, CLAIM],
    line: INTAKE,
    is_done: |bench| lies_in(bench, "work"),
};
const DRAFTS: Verb = Verb {
    before: &[SUBMIT, CLAIM, INTAKE],
    line: DRAFT,
    is_done: |bench| {
        bench
            .baton(["diff-risk-scan", "--task", "T-1", "--plan"])
            .code
            == 0
    },
};
const DECIDES: Verb = Verb {
    before: &[SUBMIT, CLAIM, INTAKE, DRAFT, SCAN, GATES],
    line: ROUTE,
    is_done: |bench| lies_in(bench, "pr"),
};
const APPROVES: Verb = Verb {
    before: &[SUBMIT, CLAIM, INTAKE, DRAFT, SCAN, GATES, ROUTE],
    line: APPROVE,
    is_done: |bench| bench.copy().baton(LAND).code == 0,
};
const LANDS: Verb = Verb {
    before: &[SUBMIT, CLAIM, INTAKE, DRAFT, SCAN, GATES, ROUTE, APPROVE],
    line: LAND,
    is_done: |bench| lies_in(bench, "done") && landings(bench) == 1,
};
const APPENDS: Verb = Verb {
    before: &[SUBMIT],
    line: APPEND,
    is_done: |bench| count(bench, "EVENT_RECORDED") > 0,
};
const WATCHES: Verb = Verb {
    before: &[SUBMIT, LAPSED],
    line: WATCH,
    is_done: |bench| lies_in(bench, "inbox") && count(bench, "TASK_RECLAIMED") > 0,
};
const STOPS: Verb = Verb {
    before: &[SUBMIT],
    line: STOP,
    is_done: |bench| bench.baton(["stop-check"]).code == 4,
};

fn landings(bench: &Bench) -> usize {
    let text = bench.git(&[
        "log",
        "--format=%(trailers:key=Baton-Task,valueonly)",
        "main",
    ]);
    text.lines().filter(|line| *line == "T-1").count()
}

macro_rules! cut {
    ($($name:ident: $verb:ident),* $(,)?) => {
        mod folder {
            $(#[test] fn $name() { super::all_cuts("folder", stringify!($name), &super::$verb); })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::all_cuts(super::SQLITE, stringify!($name), &super::$verb); })*
        }
    };
}

cut!(
    submit: SUBMITS,
    claim: CLAIMS,
    renew: RENEWS,
    release: RELEASES,
    intake_validate: TAKES_IN,
    patch_draft: DRAFTS,
    decision_router: DECIDES,
    approve: APPROVES,
    merge: LANDS,
    audit_append: APPENDS,
    watchdog: WATCHES,
    stop: STOPS,
);

fn prepared(address: &str, verb: &Verb) -> Bench {
    let bench = queue::bench(address);
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo T-1\n").unwrap());
    bench.patch_file("T-1.patch", &text);
    bench.patch_file("event.json", "{\"message\": \"a line\"}");
    for line in verb.before {
        bench.baton(*line).expect(0);
    }
    bench
}

/// Of all points only so many are taken, spread evenly, unless `BATON_CUTS` says otherwise (0 is all).
fn sample<T>(all: Vec<T>) -> Vec<T> {
    let most = usize::try_from(number("BATON_CUTS", 2)).unwrap();
    if most == 0 || all.len() <= most {
        return all;
    }
    let step = all.len() as f64 / most as f64;
    let picked: Vec<_> = (0..most)
        .map(|at| (at as f64 * step + step / 2.0) as usize)
        .collect();
    let all = all.into_iter().enumerate();
    all.filter(|(at, _)| picked.contains(at))
        .map(|(_, one)| one)
        .collect()
}

fn all_cuts(address: &str, name: &str, verb: &Verb) {
    if !trace::is_possible() {
        return;
    }
    let began = std::time::Instant::now();
    let start = prepared(address, verb);
    assert!(!(verb.is_done)(&start), "{name} has nothing to do");
    let points = trace::points(&start.copy(), verb.line);
    assert!(
        points.len() > 5,
        "{name} changes hardly anything: {points:?}"
    );
    let with = |fault| points.iter().map(move |point| (point.clone(), fault));
    let faults = [
        sample(with(Fault::Kill).collect()),
        sample(with(Fault::Error("EIO")).collect()),
        sample(with(Fault::Error("ENOSPC")).collect()),
    ];
    let (mut hits, mut broken) = (0, Vec::new());
    for (point, fault) in faults.concat() {
        let (hit, outcome) = one(&start, verb, &point, fault);
        hits += usize::from(hit);
        broken.extend(
            outcome
                .err()
                .map(|why| format!("{fault:?} at {point:?}: {why}")),
        );
    }
    let (calls, count) = (points.len(), broken.len());
    let took = began.elapsed();
    eprintln!("{address} {name}: {calls} calls, {hits} faults, {count} broken, {took:.0?}");
    assert!(hits > 0, "no fault was hit");
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

/// One fault, the recovery, the verb once more, and what must be true then.
fn one(start: &Bench, verb: &Verb, point: &Point, fault: Fault) -> (bool, Result<(), String>) {
    let bench = start.copy();
    let (first, hit) = trace::with_fault(&bench, verb.line, point, fault);
    (hit, recovered(&bench, verb, fault, &first))
}

fn recovered(
    bench: &Bench,
    verb: &Verb,
    fault: Fault,
    first: &crate::support::Ran,
) -> Result<(), String> {
    let told = || format!("first: {first:?}");
    if fault != Fault::Kill && ![0, 1, 2, 3, 4, 5].contains(&first.code) {
        return Err(format!("ended badly; {}", told()));
    }
    if first.code == 0 && !(verb.is_done)(bench) {
        return Err(format!("said done and it is not; {}", told()));
    }
    let watched = bench.baton(WATCH);
    if ![0, 4].contains(&watched.code) {
        return Err(format!("watchdog: {watched:?}; {}", told()));
    }
    let half = if verb.line == SUBMIT { "TASK_GONE" } else { "" };
    is_whole_but_for(bench, half)
        .map_err(|why| format!("after the watchdog: {why}; {}", told()))?;
    if fault != Fault::Kill && lies_in(bench, "blocked") {
        // A tool that fails in the middle may give the task to a person, who tries it again.
        return tried_again(bench).map_err(|why| format!("{why}; {}", told()));
    }
    let was_done = (verb.is_done)(bench);
    let mut again = bench.baton(verb.line);
    if again.findings() == ["LEASE_LOST"] && !was_done {
        // The lock is off and the task still there: as its hint says, it is claimed first.
        bench.baton(CLAIM).expect(0);
        again = bench.baton(verb.line);
    }
    if again.code != 0 && !was_done {
        return Err(format!("again: {again:?}; {}", told()));
    }
    if !(verb.is_done)(bench) {
        return Err(format!("not done in the end: {again:?}; {}", told()));
    }
    is_whole(bench).map_err(|why| format!("in the end: {why}; {}", told()))
}

/// A person looks at a blocked task, and has it tried again.
fn tried_again(bench: &Bench) -> Result<(), String> {
    for line in [
        &["retry", "T-1"][..],
        &["run", "T-1", "--from", "../T-1.patch"],
    ] {
        let ran = bench.baton(line);
        if ran.code != 0 {
            return Err(format!("{line:?}: {ran:?}"));
        }
    }
    if !lies_in(bench, "pr") {
        return Err("blocked, tried again, and not in pr".to_owned());
    }
    is_whole(bench)
}

/// Who does not know whether a tool came through runs it once more. It is refused, and takes nothing away.
#[test]
fn a_tool_that_is_run_once_more_and_refused_takes_no_result_away() {
    let bench = prepared("folder", &APPROVES);
    assert_eq!(count(&bench, "DECISION_MADE"), 1);
    assert_eq!(bench.baton(ROUTE).findings(), ["STATE_RULE"]);
    bench.baton(APPROVE).expect(0);
    bench.baton(LAND).expect(0);
    let bench = prepared("folder", &DRAFTS);
    bench.baton(DRAFT).expect(0);
    assert_eq!(bench.baton(DRAFT).findings(), ["FILE_EXISTS"]);
    for line in [SCAN, GATES, ROUTE, APPROVE, LAND] {
        bench.baton(line).expect(0);
    }
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    is_whole(&bench).unwrap();
}
