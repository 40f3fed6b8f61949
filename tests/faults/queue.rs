//! What must be true of a queue after whatever happened to it.

use serde_json::Value;

use crate::support::Bench;

/// A fixed sequence of numbers that look like chance.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `BATON_SEED`, else always the same; said, so that a run can be had again.
    pub(crate) fn new(about: &str) -> Self {
        let seed = number("BATON_SEED", 7);
        eprintln!("{about}: BATON_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }
}

/// A number that the environment may set.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect(name))
}

/// A repository whose queue lies in this store; it can be copied whole.
pub(crate) fn bench(address: &str) -> Bench {
    let bench = Bench::bare();
    bench.baton(["init", "--store", address]).expect(0);
    bench.commit("ssot");
    bench
}

/// The store that lies in a file beside everything else of the queue.
pub(crate) const SQLITE: &str = "sqlite:.autodev_queue/queue.db";

/// Where a task lies; nothing when it lies nowhere. In two states it cannot be shown.
pub(crate) fn state(bench: &Bench, id: &str) -> Option<String> {
    let shown = bench.baton(["show", id]);
    let json = shown.json();
    match shown.code {
        0 => Some(json["state"].as_str().unwrap().to_owned()),
        _ if json["code"] == "TASK_NOT_FOUND" => None,
        _ => panic!("{id}: {json}"),
    }
}

/// The log verifies, each task lies in exactly one state, and that is the one which the log says.
pub(crate) fn is_whole(bench: &Bench) -> Result<(), String> {
    is_whole_but_for(bench, "")
}

/// The same, where something of this code may be left for the next run.
pub(crate) fn is_whole_but_for(bench: &Bench, left: &str) -> Result<(), String> {
    let looked = bench.baton(["doctor", "--queue"]);
    let said = looked.json();
    let checks = said["checks"].as_array().unwrap();
    let is_log_good = checks
        .iter()
        .any(|check| check["check"] == "log" && check["health"] == "good");
    let mut stuck = said["stuck"].as_array().unwrap().iter();
    if is_log_good && stuck.all(|one| one["broken"] == false || one["code"] == left) {
        return Ok(());
    }
    Err(format!("doctor: {}", looked.stdout))
}

/// All lines of the log.
pub(crate) fn lines(bench: &Bench) -> Vec<Value> {
    let text = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How many lines say this.
pub(crate) fn count(bench: &Bench, action: &str) -> usize {
    let lines = lines(bench);
    lines.iter().filter(|line| line["action"] == action).count()
}
