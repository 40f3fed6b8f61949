//! Every cut point: each verb is killed as it enters each of its calls that change something, and each such
//! call is made to fail once. Then the recovery runs, and the verb once more. Over PostgreSQL each call that says
//! something to the server, or hears its answer, is such a call too.

use crate::queue::{self, SQLITE, count, is_whole, is_whole_but_for, number, state};
use crate::support::Bench;
use crate::template::Work;
use crate::trace::{self, Fault, Point};

/// A verb of the queue, from where it starts and where it leads.
pub(crate) struct Verb {
    /// Runs before it.
    before: &'static [&'static [&'static str]],
    pub(crate) line: &'static [&'static str],
    /// Whether its effect is there. A look, which changes nothing.
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
    is_done: |bench| {
        let planned = bench.baton(["pr-merge-orchestrator", "--task", "T-1", "--plan"]);
        planned.stdout.contains("approved by ")
    },
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

/// Runs a function with each verb, by the name that its test shall have.
macro_rules! verbs {
    ($to:ident) => {
        $to!(
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
    };
}

macro_rules! cut {
    ($($name:ident: $verb:ident),* $(,)?) => {
        mod folder {
            $(#[test] fn $name() {
                super::all_cuts("folder", stringify!($name), &super::$verb);
                })*
        }
        mod sqlite {
            $(#[test] fn $name() {
                super::all_cuts(super::SQLITE, stringify!($name), &super::$verb);
            })*
        }
        mod postgres {
            $(#[test]
            #[ignore = "needs a server: make faults"]
            fn $name() {
                super::all_cuts("postgres", stringify!($name), &super::$verb);
            })*
        }
    };
}
verbs!(cut);

macro_rules! tear {
    ($($name:ident: $verb:ident),* $(,)?) => {
        mod torn_in_a_folder {
            $(#[test] fn $name() {
                $crate::torn::goes_on_after_a_torn_line("folder", &super::$verb);
            })*
        }
        mod torn_beside_sqlite {
            $(#[test] fn $name() {
                $crate::torn::goes_on_after_a_torn_copy(super::SQLITE, &super::$verb);
            })*
        }
    };
}
verbs!(tear);

/// From where each fault starts: a checkout, and for PostgreSQL a database too.
struct Start {
    bench: Bench,
    work: Option<Work>,
}

impl Start {
    fn new(store: &str, verb: &Verb) -> Self {
        let work = (store == "postgres").then(Work::new);
        let address = work.as_ref().map_or(store, Work::address);
        let bench = prepared(address, verb);
        assert!(!(verb.is_done)(&bench), "{:?} has nothing to do", verb.line);
        if let Some(work) = &work {
            work.keep();
        }
        Self { bench, work }
    }

    /// All of it, as it was.
    fn again(&self) -> Bench {
        if let Some(work) = &self.work {
            work.again();
        }
        self.bench.copy()
    }

    /// Waits until a server has seen that a program is gone.
    fn settle(&self) {
        if let Some(work) = &self.work {
            work.settle();
        }
    }
}

pub(crate) fn prepared(address: &str, verb: &Verb) -> Bench {
    let bench = queue::bench(address);
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo T-1\n").unwrap());
    bench.patch_file("T-1.patch", &text);
    bench.patch_file("event.json", "{\"message\": \"a line\"}");
    for line in verb.before {
        bench.baton(*line).expect(0);
    }
    bench
}

/// How many points of each kind are taken of each verb; 0 is all.
fn most(fault: Fault) -> u64 {
    let cuts = number("BATON_CUTS", 2);
    match fault {
        Fault::Kill => cuts,
        Fault::Error(_) => number("BATON_ERRORS", cuts),
    }
}

/// Of all points only so many are taken, spread evenly.
fn sample<T>(all: Vec<T>, most: u64) -> Vec<T> {
    let most = usize::try_from(most).unwrap();
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

fn all_cuts(store: &str, name: &str, verb: &Verb) {
    if !trace::is_possible() {
        return;
    }
    let began = std::time::Instant::now();
    let start = Start::new(store, verb);
    let points = trace::points(&start.again(), verb.line);
    assert!(
        points.len() > 5,
        "{name} changes hardly anything: {points:?}"
    );
    let faults = faults(&points);
    let (mut kills, mut errors, mut broken) = (0, 0, Vec::new());
    for (point, fault) in faults {
        let (hit, outcome) = one(&start, verb, &point, fault);
        *(if fault == Fault::Kill {
            &mut kills
        } else {
            &mut errors
        }) += usize::from(hit);
        broken.extend(
            outcome
                .err()
                .map(|why| format!("{fault:?} at {point:?}: {why}")),
        );
    }
    let (calls, count) = (points.len(), broken.len());
    let took = began.elapsed();
    eprintln!(
        "{store} {name}: {calls} calls, {kills} kills, {errors} errors, {count} broken, {took:.0?}"
    );
    assert!(kills + errors > 0, "no fault was hit");
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

/// What is done to which call: a disk fails in one way, a connection in another.
fn faults(points: &[Point]) -> Vec<(Point, Fault)> {
    let (server, disk): (Vec<_>, Vec<_>) = points.iter().cloned().partition(Point::is_of_server);
    let all = [
        (points, Fault::Kill),
        (&disk, Fault::Error("EIO")),
        (&disk, Fault::Error("ENOSPC")),
        (&server, Fault::Error("ECONNRESET")),
    ];
    let each = all.map(|(points, fault)| {
        let points = points.iter().map(|point| (point.clone(), fault));
        sample(points.collect(), most(fault))
    });
    each.concat()
}

/// One fault, the recovery, the verb once more, and what must be true then.
fn one(start: &Start, verb: &Verb, point: &Point, fault: Fault) -> (bool, Result<(), String>) {
    let bench = start.again();
    let (first, hit) = trace::with_fault(&bench, verb.line, point, fault);
    start.settle();
    (hit, recovered(&bench, verb, fault, &first))
}

/// After a fault the watchdog goes once, and the verb once more: it is done, and the queue is whole.
pub(crate) fn recovered(
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
    // A branch that moved is no state of the queue: the next run records it, and until then it is named.
    is_whole_but_for(bench, "LANDING_UNRECORDED")
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

/// The message of a commit goes to git over a pipe. What does not arrive whole is not taken for the whole.
#[test]
fn a_landing_whose_message_does_not_reach_git_whole_does_not_land() {
    if !trace::is_possible() {
        return;
    }
    let start = Start::new("folder", &LANDS);
    let points = trace::points(&start.again(), LAND);
    let is_message = |point: &&Point| point.call == "write" && point.shown.contains("Baton-Task");
    let point = points.iter().find(is_message).unwrap();
    let bench = start.again();
    let (first, hit) = trace::with_fault(&bench, LAND, point, Fault::Error("EIO"));
    assert!(hit);
    assert_eq!(first.findings(), ["PIPE_FAILED"]);
    assert_eq!(landings(&bench), 0);
    recovered(&bench, &LANDS, Fault::Error("EIO"), &first).unwrap();
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
