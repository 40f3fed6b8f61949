//! What the results of the gates say, each held against the gate that the policy defines.

use crate::decision::Facts;
use crate::envelope::Envelope;
use crate::outputs::{self, CheckStatus, GateResult, GateRunner};
use crate::policy::{Gate, Isolation, Policy};
use crate::problem::Problem;

/// Holds every gate of the policy against its result. `changed` are the candidate's paths, where the
/// repository is at hand.
pub(super) fn add_gates(
    envelope: &Envelope,
    policy: &Policy,
    changed: Option<&[Vec<u8>]>,
    facts: &mut Facts,
) -> Result<(), Problem> {
    let data: GateRunner = outputs::from_map(&envelope.data)?;
    for gate in &policy.gates {
        let result = data.gates.iter().find(|result| result.gate_id == gate.id);
        let passed = |result| has_passed(gate, result) || is_untouched(gate, result, changed);
        match result {
            None if gate.required => facts.gates.push(format!("{} has no result", gate.id)),
            Some(result) if gate.required && !passed(result) => {
                facts.gates.push(describe(result));
            }
            Some(result) if gate.required && result.status == CheckStatus::Fail => {
                facts.gates_as_on_base.push(describe(result));
            }
            _ => {}
        }
        if let Some(level) = result.and_then(|result| isolation_of(gate, result)) {
            facts.isolation = Some(facts.isolation.map_or(level, |weakest| weakest.min(level)));
        }
    }
    Ok(())
}

/// The gate was left out because the change does not concern it, and so it is.
fn is_untouched(gate: &Gate, result: &GateResult, changed: Option<&[Vec<u8>]>) -> bool {
    let said = result
        .note
        .as_deref()
        .is_some_and(|note| note.starts_with("NOT_TOUCHED:"));
    let skipped = result.status == CheckStatus::Skip && said && !gate.paths.is_empty();
    skipped && changed.is_none_or(|changed| gate.applies(changed) == Ok(false))
}

/// A gate counts as passed when it passed, or when its command failed on the base in the same way.
/// Only the note of a command gate is read so: a built-in gate's note quotes the change.
fn has_passed(gate: &Gate, result: &GateResult) -> bool {
    match result.status {
        CheckStatus::Pass => true,
        CheckStatus::Fail => {
            // A run that proved nothing is no failure that the base shares.
            let note = result.note.as_deref().unwrap_or_default();
            let really_failed =
                note.starts_with("COMMAND_FAILED ") || note.starts_with("TESTS_FAILED ");
            let counted = note_value(result, "tests").is_some_and(|tests| tests != "0");
            gate.is_command()
                && really_failed
                && (counted || !gate.counts_tests)
                && note_value(result, "base") == Some("FAIL")
                && note_value(result, "new") != Some("yes")
        }
        CheckStatus::Skip => false,
    }
}

fn isolation_of(gate: &Gate, result: &GateResult) -> Option<Isolation> {
    // Of a gate that did not run the note is a sentence, and may quote the change.
    note_value(result, "isolation")
        .filter(|_| gate.is_command() && result.status != CheckStatus::Skip)
        .and_then(Isolation::from_name)
}

fn describe(result: &GateResult) -> String {
    let note: String = result
        .note
        .as_deref()
        .unwrap_or_default()
        .chars()
        .take(160)
        .collect();
    format!("{} {}: {note}", result.gate_id, result.status)
}

fn note_value<'a>(result: &'a GateResult, key: &str) -> Option<&'a str> {
    result
        .note
        .as_deref()?
        .split(' ')
        .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}
