//! Small changes to a bench's repository, and what was kept of their way.

use serde_json::Value;

use crate::support::{Bench, Ran};

/// Takes a change as far as it may go.
pub(crate) fn take(bench: &Bench, id: &str, edit: impl FnOnce(&std::path::Path)) -> Ran {
    bench.submit(id, "**");
    let text = bench.patch(edit);
    let path = bench.patch_file(&format!("{id}.patch"), &text);
    bench.baton(["run", id, "--from", path.to_str().unwrap()])
}

/// The kept result of a tool, whichever state the task is in.
pub(crate) fn kept(bench: &Bench, id: &str, skill: &str) -> Value {
    let folder = ["pr", "blocked", "done", "work"]
        .iter()
        .map(|state| bench.task(state, id))
        .find(|folder| folder.is_dir())
        .unwrap();
    let mut files: Vec<_> = std::fs::read_dir(folder.join("envelopes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let path = files
        .into_iter()
        .rev()
        .find(|path| path.to_string_lossy().ends_with(&format!("-{skill}.json")))
        .unwrap();
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn rules(bench: &Bench, id: &str) -> Vec<String> {
    let decided = kept(bench, id, "decision-router");
    let reasoning = decided["data"]["reasoning"].as_array().unwrap().iter();
    reasoning
        .map(|reason| {
            reason
                .as_str()
                .unwrap()
                .split(':')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

pub(crate) fn gate(bench: &Bench, id: &str, gate: &str) -> (String, String) {
    let ran = kept(bench, id, "gate-runner");
    let found = ran["data"]["gates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["gate_id"] == gate)
        .unwrap();
    (
        found["status"].as_str().unwrap().to_owned(),
        found["note"].as_str().unwrap().to_owned(),
    )
}

pub(crate) fn write(path: &str, text: &str) -> impl FnOnce(&std::path::Path) + use<> {
    let (path, text) = (path.to_owned(), text.to_owned());
    move |root| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
