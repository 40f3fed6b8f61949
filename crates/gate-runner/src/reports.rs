//! Report files that a gate writes into its tree, taken out as hostile files are.

use std::path::Path;

use baton_core::collect::{self, Caps, Pattern, Refusal};
use baton_core::policy::Gate;
use baton_core::problem::Problem;

/// More than any test report needs.
const CAPS: Caps = Caps {
    file_bytes: 16 << 20,
    files: 1_000,
    total_bytes: 64 << 20,
};

/// Report files with their names, or what is wrong with them.
pub(crate) type Found = Result<Vec<(String, Vec<u8>)>, String>;

/// Takes away what lies there before the gate runs: a report that the change brings along is none.
pub(crate) fn clear(gate: &Gate, tree: &Path) -> Result<(), Problem> {
    if gate.reports.is_empty() {
        return Ok(());
    }
    for found in collect::collect(tree, &patterns(gate)?, &CAPS)? {
        let cannot = |why: String| {
            let what = format!(
                "gate {}: the change brings {}, where a report belongs",
                gate.id, found.path
            );
            Problem::fail(
                "GATE_PLACE",
                format!("{what}, and it cannot be taken away: {why}"),
            )
            .hint("take the file out of the change, or name another place in reports")
        };
        match &found.content {
            Err(Refusal::Missing) => {}
            // Only a plain file in plain folders: behind a link lies somebody else's.
            Ok(_) => std::fs::remove_file(tree.join(&found.path))
                .map_err(|error| cannot(error.to_string()))?,
            Err(refusal) => return Err(cannot(refusal.to_string())),
        }
    }
    Ok(())
}

/// The reports that the gate wrote, or what is wrong with them.
pub(crate) fn collect(gate: &Gate, tree: &Path) -> Result<Found, Problem> {
    if gate.reports.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let mut taken = Vec::new();
    for found in collect::collect(tree, &patterns(gate)?, &CAPS)? {
        match found.content {
            Ok(bytes) => taken.push((found.path, bytes)),
            Err(Refusal::Missing) => {}
            Err(refusal) => return Ok(Err(format!("{}: {refusal}", found.path))),
        }
    }
    if taken.is_empty() {
        return Ok(Err(
            "none of the report files that the policy names was written".to_owned(),
        ));
    }
    Ok(Ok(taken))
}

fn patterns(gate: &Gate) -> Result<Vec<Pattern>, Problem> {
    gate.reports
        .iter()
        .map(|text| Pattern::parse(text))
        .collect()
}
