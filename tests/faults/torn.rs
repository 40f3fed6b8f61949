//! The power goes while a line of the log is written: half of it is on the disk. Each verb is killed as it has
//! written its line and before anybody was told, and the line is cut in the middle.

use std::path::PathBuf;

use crate::cuts::{Verb, prepared, recovered};
use crate::queue::{count, lines};
use crate::support::Bench;
use crate::trace::{self, Fault, Point};

fn log(bench: &Bench) -> PathBuf {
    bench.queue().join("audit/events.ndjson")
}

fn text(bench: &Bench) -> String {
    std::fs::read_to_string(log(bench)).unwrap()
}

/// Cuts the last line in the middle.
fn tear(bench: &Bench) {
    let whole = text(bench);
    let last = whole.lines().last().unwrap().len();
    let file = std::fs::File::options().write(true).open(log(bench));
    let keep = whole.len() - last / 2 - 1;
    file.unwrap().set_len(keep as u64).unwrap();
}

/// Kills the verb as it enters its first such call on the log.
fn killed(start: &Bench, verb: &Verb, calls: &[&str]) -> (Bench, crate::support::Ran) {
    let is_one = |point: &&Point| {
        calls.contains(&point.call.as_str()) && point.shown.contains("audit/events.ndjson>")
    };
    let points = trace::points(&start.copy(), verb.line);
    let point = points.iter().find(is_one).expect("a call on the log");
    let bench = start.copy();
    let (first, hit) = trace::with_fault(&bench, verb.line, point, Fault::Kill);
    assert!(hit, "{point:?} was not come to");
    (bench, first)
}

/// A log that is a file: the half line is taken out and kept aside, the log says so once, and nothing else is gone.
pub(crate) fn goes_on_after_a_torn_line(address: &str, verb: &Verb) {
    if !trace::is_possible() {
        return;
    }
    let start = prepared(address, verb);
    let acknowledged = text(&start);
    let (bench, first) = killed(&start, verb, &["fsync", "fdatasync"]);
    let unacknowledged = text(&bench)[acknowledged.len()..].to_owned();
    assert_eq!(unacknowledged.lines().count(), 1, "one line was written");
    tear(&bench);
    let half = text(&bench)[acknowledged.len()..].to_owned();
    if verb.line[0] == "stop" {
        // While everything halts the watchdog writes nothing; whoever stops once more does.
        bench.baton(verb.line).expect(0);
    }
    recovered(&bench, verb, Fault::Kill, &first).unwrap();
    goes_on(&bench, &acknowledged, 1);
    let line: serde_json::Value = serde_json::from_str(&unacknowledged).unwrap();
    let is_it = |other: &serde_json::Value| other["event_id"] == line["event_id"];
    assert!(!lines(&bench).iter().any(is_it), "the half line is back");
    let repaired = lines(&bench);
    let repaired = repaired
        .iter()
        .find(|line| line["action"] == "LOG_REPAIRED");
    let kept = repaired.unwrap()["meta"]["kept_as"].as_str().unwrap();
    let kept = std::fs::read_to_string(bench.root().join(kept)).unwrap();
    assert_eq!(kept, half);
}

/// Beside a database the file is a copy, which nobody has to sync: it is made whole from the database without a
/// word, the line of the killed verb with it.
pub(crate) fn goes_on_after_a_torn_copy(address: &str, verb: &Verb) {
    if !trace::is_possible() {
        return;
    }
    let start = prepared(address, verb);
    let acknowledged = text(&start);
    let (bench, first) = killed(&start, verb, &["write", "writev", "pwrite64", "pwritev"]);
    assert_eq!(text(&bench), acknowledged, "the copy comes last");
    tear(&bench);
    recovered(&bench, verb, Fault::Kill, &first).unwrap();
    goes_on(&bench, &acknowledged, 0);
}

fn goes_on(bench: &Bench, acknowledged: &str, repaired: usize) {
    assert!(
        text(bench).starts_with(acknowledged),
        "an acknowledged line is gone"
    );
    assert_eq!(count(bench, "LOG_REPAIRED"), repaired);
    bench.baton(["audit", "verify"]).expect(0);
}
