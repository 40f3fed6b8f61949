//! A run on the candidate beside the same run on its base.

use std::collections::BTreeMap;

use super::{Report, Verdict};

/// What differs between two runs of the same gate.
///
/// Names decide where both runs give them: a change that mends one test and breaks another has the
/// same counts. A test that has another name now is missing under the old one; nobody but a person
/// can tell that from a test that was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Fail now and did not at the base, where they passed, were skipped or did not exist. Blamed on
    /// the change.
    pub new_failures: Vec<String>,
    /// Fail in both. Not blamed on the change.
    pub broken_before: Vec<String>,
    /// Failed at the base and pass now.
    pub mended: Vec<String>,
    /// Ran at the base and are not among the tests now. A finding: the change took proof away.
    pub missing: Vec<String>,
    /// Ran at the base and are skipped now. A finding, as above.
    pub newly_skipped: Vec<String>,
    /// How many tests fewer were executed, skipped ones not counted, whatever their names. A
    /// finding, as above.
    pub fewer: u64,
    /// How many tests more failed than at the base. Blamed on the change.
    pub more_failed: u64,
    /// The base's run named its tests, or its failures, and this one does not, though it would have
    /// to. Blamed on the change, as its failures cannot be told from the old ones.
    pub names_lost: bool,
}

impl Comparison {
    /// Whether the change broke something.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        !self.new_failures.is_empty() || self.more_failed > 0 || self.names_lost
    }

    /// Whether less was tested than before: a finding, even when all that ran passed.
    #[must_use]
    pub fn is_thinner(&self) -> bool {
        !self.missing.is_empty() || !self.newly_skipped.is_empty() || self.fewer > 0
    }
}

/// Compares the run on the candidate with the one on its base.
#[must_use]
pub fn compare(now: &Report, base: &Report) -> Comparison {
    let mut comparison = Comparison {
        fewer: base.executed().saturating_sub(now.executed()),
        more_failed: now.failed.saturating_sub(base.failed),
        ..Comparison::default()
    };
    match (&now.cases, &base.cases) {
        (Some(cases), Some(before)) => {
            by_name(&mut comparison, cases, before);
            if now.complete && base.complete {
                absent(&mut comparison, cases, before);
            }
            comparison.names_lost = base.complete && !now.complete;
        }
        (None, Some(_)) => comparison.names_lost = base.complete || now.failed > 0,
        (_, None) => {}
    }
    comparison
}

fn by_name(
    comparison: &mut Comparison,
    now: &BTreeMap<String, Verdict>,
    base: &BTreeMap<String, Verdict>,
) {
    for (name, verdict) in now {
        let list = match (*verdict, base.get(name).copied()) {
            (Verdict::Failed, Some(Verdict::Failed)) => &mut comparison.broken_before,
            (Verdict::Failed, _) => &mut comparison.new_failures,
            (Verdict::Passed, Some(Verdict::Failed)) => &mut comparison.mended,
            (Verdict::Skipped, Some(Verdict::Failed | Verdict::Passed)) => {
                &mut comparison.newly_skipped
            }
            _ => continue,
        };
        list.push(name.clone());
    }
}

fn absent(
    comparison: &mut Comparison,
    now: &BTreeMap<String, Verdict>,
    base: &BTreeMap<String, Verdict>,
) {
    let gone = base
        .iter()
        .filter(|(name, verdict)| **verdict != Verdict::Skipped && !now.contains_key(*name));
    comparison.missing = gone.map(|(name, _)| name.clone()).collect();
}
