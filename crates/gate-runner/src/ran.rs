//! What one gate came to.

use baton_core::envelope::Artifact;
use baton_core::outputs::{CheckStatus, GateResult};
use baton_core::policy::{Gate, Isolation};
use serde_json::{Map, Value};

/// What one gate came to, and the evidence it left.
pub(crate) struct Ran {
    pub(crate) result: GateResult,
    pub(crate) artifacts: Vec<Artifact>,
    /// The gate was cut off by STOP.
    pub(crate) stopped: bool,
    /// The isolation that its command reached.
    pub(crate) isolation: Option<Isolation>,
    /// The digests of results that may be used again, for the log.
    pub(crate) results: Map<String, Value>,
    /// The number in its id.
    pub(crate) number: u32,
    /// What the policy calls it.
    pub(crate) name: String,
    pub(crate) duration_ms: u64,
    /// The most telling lines of a failed run, safe to show.
    pub(crate) failing: Vec<String>,
    /// Tests that ran on the base and are not among the tests now.
    pub(crate) missing: Vec<String>,
}

impl Ran {
    pub(crate) fn skip(gate: &Gate, note: impl Into<String>) -> Self {
        Self::new(gate, CheckStatus::Skip, note)
    }

    pub(crate) fn new(gate: &Gate, status: CheckStatus, note: impl Into<String>) -> Self {
        let note = note.into();
        let result = GateResult {
            gate_id: gate.id.clone(),
            status,
            evidence_paths: Vec::new(),
            note: Some(note),
        };
        Self {
            result,
            artifacts: Vec::new(),
            stopped: false,
            isolation: None,
            results: Map::new(),
            number: number(gate),
            name: gate.name.clone(),
            duration_ms: 0,
            failing: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Passed, or not concerned by the change.
    pub(crate) fn counts_as_passed(&self) -> bool {
        self.result.status == CheckStatus::Pass || self.is_untouched()
    }

    fn is_untouched(&self) -> bool {
        let note = self.result.note.as_deref().unwrap_or_default();
        self.result.status == CheckStatus::Skip && note.starts_with("NOT_TOUCHED:")
    }

    /// Its command was not run, because a result for the same was at hand.
    pub(crate) fn is_used_again(&self) -> bool {
        let note = self.result.note.as_deref().unwrap_or_default();
        self.result.status == CheckStatus::Pass && note.ends_with(" cached=yes")
    }

    /// Status and the word that says why, for people.
    pub(crate) fn headline(&self) -> String {
        let note = self.result.note.as_deref().unwrap_or_default();
        let why = note.split(' ').next().unwrap_or_default();
        match self.result.status {
            CheckStatus::Pass => "passed".to_owned(),
            CheckStatus::Fail => format!("failed ({why})"),
            CheckStatus::Skip => format!("was not run ({})", why.trim_end_matches(':')),
        }
    }
}

/// Gates are told apart by their numbers: G10 comes after G9.
pub(crate) fn number(gate: &Gate) -> u32 {
    let digits = gate.id.trim_start_matches('G');
    digits.parse().unwrap_or(u32::MAX)
}
