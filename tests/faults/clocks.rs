//! Somebody sets the wall clock, by a day either way: no lease ends by that, and none lasts longer.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::queue::{self, SQLITE, is_whole, state};
use crate::support::{Bench, Ran, ran};

macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod folder { $(#[test] fn $name() { super::$name("folder"); })* }
        mod sqlite { $(#[test] fn $name() { super::$name(super::SQLITE); })* }
    };
}

both!(
    a_step_frees_no_lease,
    a_step_extends_no_lease,
    a_step_ends_no_rest_and_makes_none_longer,
);

/// The library that lies to a program about the wall clock alone: baton asks the kernel itself for the time
/// since boot.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let name = "faketime/libfaketime.so.1";
    let found = folders
        .map(|folder| folder.path().join(name))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("not run: libfaketime is missing");
    }
    found
}

/// Two machines' worth of trouble: the program with its wall clock a day before, and a day after.
fn stepped(bench: &Bench, library: &Path, step: &str, line: &[&str]) -> Ran {
    let mut command = bench.command(line);
    command.env("LD_PRELOAD", library).env("FAKETIME", step);
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    ran(command.output().unwrap())
}

const CLAIM: [&str; 5] = ["claim-lock", "--task", "T-1", "--owner", "anna"];
const OTHER: [&str; 5] = ["claim-lock", "--task", "T-1", "--owner", "bert"];
const WATCH: [&str; 2] = ["watchdog", "--once"];

/// A queue whose grants are old enough to hold a day ago as well.
fn submitted(library: &Path, address: &str) -> Bench {
    let bench = Bench::bare();
    stepped(&bench, library, "-10d", &["init", "--store", address]).expect(0);
    bench.commit("ssot");
    bench.submit("T-1", "src/**");
    bench
}

/// The step is one: without this the tests could not fail.
fn is_off(bench: &Bench, seconds: i64) {
    let line = queue::lines(bench).pop().unwrap();
    let told = baton_core::clock::parse_rfc3339(line["ts"].as_str().unwrap()).unwrap();
    let now = baton_core::clock::now();
    let off = match told.duration_since(now) {
        Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap(),
        Err(behind) => -i64::try_from(behind.duration().as_secs()).unwrap(),
    };
    assert!(
        (off - seconds).abs() < 600,
        "the clock was {off} seconds off"
    );
}

fn a_step_frees_no_lease(address: &str) {
    let Some(library) = library() else { return };
    let bench = submitted(&library, address);
    bench.baton(CLAIM).expect(0);
    for step in ["+1d", "-1d"] {
        let refused = stepped(&bench, &library, step, &OTHER);
        assert_eq!(refused.findings(), ["LOCK_CONFLICT"], "{step}");
        let watched = stepped(&bench, &library, step, &WATCH).expect(0);
        assert_eq!(watched["acts"], Value::Array(Vec::new()), "{step}");
        assert_eq!(state(&bench, "T-1").as_deref(), Some("claimed"));
    }
    // The other way round: claimed while the clock was wrong, and then set right.
    for (step, seconds) in [("-1d", -86_400), ("+1d", 86_400)] {
        let bench = submitted(&library, address);
        stepped(&bench, &library, step, &CLAIM).expect(0);
        is_off(&bench, seconds);
        assert_eq!(bench.baton(OTHER).findings(), ["LOCK_CONFLICT"], "{step}");
        bench.baton(WATCH).expect(0);
        assert_eq!(state(&bench, "T-1").as_deref(), Some("claimed"));
        is_whole(&bench).unwrap();
    }
}

fn a_step_extends_no_lease(address: &str) {
    let Some(library) = library() else { return };
    let short = [&CLAIM[..], &["--lease", "1ms"]].concat();
    for step in ["-1d", "+1d"] {
        let bench = submitted(&library, address);
        // Its end lies a day ahead by the wall clock that comes next.
        let (first, second) = if step == "-1d" {
            ("+0", step)
        } else {
            (step, "+0")
        };
        stepped(&bench, &library, first, &short).expect(0);
        let taken = stepped(&bench, &library, second, &OTHER).expect(0);
        assert_eq!(taken["findings"][0]["code"], "LEASE_TAKEN_OVER", "{step}");
        is_whole(&bench).unwrap();
    }
}

fn a_step_ends_no_rest_and_makes_none_longer(address: &str) {
    let Some(library) = library() else { return };
    let bench = submitted(&library, address);
    let short = [&CLAIM[..], &["--lease", "1ms"]].concat();
    bench.baton(short).expect(0);
    let watched = bench.baton(WATCH).expect(0);
    assert_eq!(watched["acts"][0]["what"], "RECLAIMED", "{watched}");
    for step in ["+1d", "-1d"] {
        let none = stepped(&bench, &library, step, &["claim-lock", "--next"]);
        assert_eq!(none.findings(), ["TASK_NOT_FOUND"], "{step}");
    }
}
