//! Results that are used again: for the same tree, the same gate, the same tools and the same walls.
//!
//! An entry counts only while the log holds its digest, so it is as hard to plant as a log line.

use std::collections::HashMap;
use std::ops::ControlFlow;

use baton_core::audit::Action;
use baton_core::digest;
use baton_core::git::Oid;
use baton_core::policy::{Gate, Isolation};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::{Directory, RECENT};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::attempt::{Attempt, Ground};

/// The entry of a log line that names the results that its run added.
const META: &str = "results";
/// The largest entry: a log at its limit, every byte of it written as an escape, and some.
const MOST: usize = 64 << 20;

/// Where a result comes from that is used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FirstRun {
    /// The task whose run it was.
    pub(crate) task: String,
    /// When it was kept.
    pub(crate) at: String,
}

/// One kept result.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) gate_id: String,
    pub(crate) first_run: FirstRun,
    pub(crate) attempt: Attempt,
}

/// The kept results of a queue.
pub(crate) struct Cache {
    folder: Option<Directory>,
    /// The digest of each entry by its key, from the log.
    recorded: HashMap<String, String>,
}

impl Cache {
    /// A cache that knows nothing and keeps nothing.
    pub(crate) fn off() -> Self {
        Self {
            folder: None,
            recorded: HashMap::new(),
        }
    }

    /// Opens the queue's cache and reads from the end of the log what it may hold: what is older than
    /// [`RECENT`] lines is run again.
    pub(crate) fn open(session: &Session) -> Result<Self, Problem> {
        let store = session.store()?;
        let mut recorded = HashMap::new();
        let mut walked = 0;
        store.log()?.back(|seen| {
            walked += 1;
            if let Action::GatesFinished | Action::AheadFinished = seen.action() {
                let event = seen.event()?;
                let results = event.meta.get(META).and_then(Value::as_object);
                for (key, sha256) in results.into_iter().flatten() {
                    if let Some(sha256) = sha256.as_str() {
                        // The last word comes first on the way back.
                        let known = recorded.entry(key.clone());
                        known.or_insert_with(|| sha256.to_owned());
                    }
                }
            }
            Ok(if walked < RECENT {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        Ok(Self {
            folder: Some(store.results()?),
            recorded,
        })
    }

    /// The name of a result: everything that it depends on.
    pub(crate) fn key(ground: &Ground<'_>, gate: &Gate, tree: &Oid, tools: &Value) -> String {
        let mut definition = serde_json::to_value(gate).unwrap_or_default();
        if let Some(fields) = definition.as_object_mut() {
            // What does not change the run: texts for people, order, and when it is run at all.
            for field in [
                "name",
                "reason",
                "required",
                "needs",
                "paths",
                "protected_base",
            ] {
                fields.remove(field);
            }
        }
        let caps = &ground.policy.caps;
        let base = gate.repository.then(|| ground.base_tree.to_string());
        digest::sha256_canonical(&json!({
            "tree": tree.as_str(), "gate": definition, "tools": tools, "repository_base": base,
            "limits": [caps.gate_timeout_seconds, caps.gate_memory_bytes, caps.gate_processes,
                caps.gate_disk_bytes, caps.gate_log_bytes],
            "isolation": ground.policy.isolation, "runner": env!("CARGO_PKG_VERSION"),
        }))
    }

    /// A kept result, if the log vouches for it. Anything wrong with it counts as nothing there: the
    /// gate is then run.
    pub(crate) fn find(&self, key: &str) -> Option<Entry> {
        let expected = self.recorded.get(key)?;
        let bytes = self.folder.as_ref()?.read(&name(key), MOST).ok()?;
        if digest::sha256(&bytes) != *expected {
            return None;
        }
        let entry: Entry = serde_json::from_slice(&bytes).ok()?;
        (entry.key == key).then_some(entry)
    }

    /// Whether a result may be used again: the walls were whole, and the command came to its own end.
    pub(crate) fn is_kept(attempt: &Attempt) -> bool {
        attempt.isolation == Isolation::I3 && attempt.ended_itself()
    }

    /// Keeps results and says what the log must hold of them.
    pub(crate) fn keep(&self, entries: &[Entry]) -> Result<Map<String, Value>, Problem> {
        let mut results = Map::new();
        let Some(folder) = &self.folder else {
            return Ok(results);
        };
        for entry in entries {
            let bytes = serde_json::to_vec(entry)
                .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
            if bytes.len() > MOST {
                continue;
            }
            let sha256 = digest::sha256(&bytes);
            folder
                .replace(&name(&entry.key), &bytes)
                .map_err(|error| Problem::io("a kept result", &error))?;
            results.insert(entry.key.clone(), sha256.into());
        }
        Ok(results)
    }

    /// Adds them to the log line of this run.
    pub(crate) fn meta(results: Map<String, Value>) -> Option<(String, Value)> {
        (!results.is_empty()).then(|| (META.to_owned(), results.into()))
    }
}

fn name(key: &str) -> String {
    format!("{key}.json")
}
