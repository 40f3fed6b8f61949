//! What a skill's work came to, before the driver makes an envelope of it.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::audit::Action;
use crate::envelope::{Artifact, Decision, Finding, Signals, Status};
use crate::outputs;
use crate::state::State;

/// What a skill's work came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the step ended.
    pub status: Status,
    /// The decision, from decision-router on.
    pub decision: Option<Decision>,
    /// One sentence for people.
    pub summary: String,
    /// The skill's own part of the envelope.
    pub data: Map<String, Value>,
    /// What this step saw.
    pub signals: Option<Signals>,
    /// What this step found.
    pub findings: Vec<Finding>,
    /// What this step made.
    pub artifacts: Vec<Artifact>,
    /// Where the task goes now; the move is recorded first.
    pub transition: Option<State>,
    /// Whether the lock is taken off once the move is made.
    pub unlock: bool,
    /// What the log calls it; the skill's usual action when absent.
    pub action: Option<Action>,
    /// SHA-256 of what it looked at, when that is not simply the upstream envelope.
    pub inputs_sha256: Option<String>,
    /// More for the log line.
    pub meta: Map<String, Value>,
    /// The run only checked what is recorded already, so it adds no line of its own.
    pub verified_only: bool,
    /// What to do next, for people.
    pub hints: Vec<String>,
}

impl Outcome {
    /// Starts an outcome.
    pub fn new(status: Status, summary: impl Into<String>, data: &impl Serialize) -> Self {
        Self {
            status,
            decision: None,
            summary: summary.into(),
            data: outputs::to_map(data),
            signals: None,
            findings: Vec::new(),
            artifacts: Vec::new(),
            transition: None,
            unlock: false,
            action: None,
            inputs_sha256: None,
            meta: Map::new(),
            verified_only: false,
            hints: Vec::new(),
        }
    }

    /// Starts an outcome with status OK.
    pub fn ok(summary: impl Into<String>, data: &impl Serialize) -> Self {
        Self::new(Status::Ok, summary, data)
    }

    /// Adds findings.
    #[must_use]
    pub fn findings(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }

    /// Adds artifacts.
    #[must_use]
    pub fn artifacts(mut self, artifacts: impl IntoIterator<Item = Artifact>) -> Self {
        self.artifacts.extend(artifacts);
        self
    }

    /// Moves the task.
    #[must_use]
    pub fn transition(mut self, to: State) -> Self {
        self.transition = Some(to);
        self
    }

    /// Says what the log calls it.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Adds one key to the log line's `meta`.
    #[must_use]
    pub fn meta(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.meta.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
