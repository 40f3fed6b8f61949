//! What came of each test, by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::text;

/// What came of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It failed, or ended without a verdict.
    Failed,
    /// It was not run, or was expected to fail and did.
    Skipped,
    /// It ran and held.
    Passed,
}

/// How many tests came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        let number = match verdict {
            Verdict::Failed => &mut self.failed,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Passed => &mut self.passed,
        };
        *number = number.saturating_add(1);
    }

    pub(super) fn total(self) -> u64 {
        self.passed
            .saturating_add(self.failed)
            .saturating_add(self.skipped)
    }
}

/// Collects the cases of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Cases {
    seen: BTreeMap<String, Tally>,
    tally: Tally,
}

impl Cases {
    pub(super) fn add(&mut self, name: &str, verdict: Verdict) {
        self.seen
            .entry(text::shown(name.trim()))
            .or_default()
            .count(verdict);
        self.tally.count(verdict);
    }

    /// For a name that `Outline` or `join` made: it may be longer than one title.
    pub(super) fn add_path(&mut self, name: String, verdict: Verdict) {
        self.seen.entry(name).or_default().count(verdict);
        self.tally.count(verdict);
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether a test of this name failed.
    pub(super) fn has_failed(&self, name: &str) -> bool {
        self.seen
            .get(&text::shown(name.trim()))
            .is_some_and(|tally| tally.failed > 0)
    }

    /// Whether all that another part of the log lists as failed is known to have failed here. When
    /// not, one of both is a test's own print.
    pub(super) fn confirms(&self, listed: &Self) -> bool {
        let mut failed = listed.seen.iter().filter(|(_, tally)| tally.failed > 0);
        failed.all(|(name, _)| self.seen.get(name).is_some_and(|tally| tally.failed > 0))
    }

    pub(super) fn extend(&mut self, other: Self) {
        for (name, tally) in other.seen {
            self.seen.entry(name).or_default().add(tally);
        }
        self.tally.add(other.tally);
    }

    /// For formats in which a name stands for one test however often it is named: the worst counts.
    pub(super) fn worst(self) -> BTreeMap<String, Verdict> {
        let worst = |tally: Tally| match tally {
            Tally { failed: 1.., .. } => Verdict::Failed,
            Tally { passed: 1.., .. } => Verdict::Passed,
            Tally { .. } => Verdict::Skipped,
        };
        self.seen
            .into_iter()
            .map(|(name, tally)| (name, worst(tally)))
            .collect()
    }

    /// For formats in which several tests may have the same name: they are numbered, the failed
    /// ones first, so that the order in which they ran does not matter.
    pub(super) fn each(self) -> BTreeMap<String, Verdict> {
        let mut cases = BTreeMap::new();
        let mut more = Vec::new();
        for (name, tally) in self.seen {
            let mut verdicts = [
                (Verdict::Failed, tally.failed),
                (Verdict::Skipped, tally.skipped),
                (Verdict::Passed, tally.passed),
            ]
            .into_iter()
            .flat_map(|(verdict, number)| (0..number).map(move |_| verdict));
            let first = verdicts.next();
            more.extend(
                verdicts
                    .enumerate()
                    .map(|(at, v)| (name.clone(), at + 2, v)),
            );
            cases.extend(first.map(|first| (name, first)));
        }
        for (name, number, verdict) in more {
            let worst = cases.entry(format!("{name} #{number}")).or_insert(verdict);
            *worst = (*worst).min(verdict);
        }
        cases
    }

    /// Only those that failed.
    pub(super) fn failed(mut self) -> Self {
        for tally in self.seen.values_mut() {
            *tally = Tally {
                failed: tally.failed,
                ..Tally::default()
            };
        }
        self.seen.retain(|_, tally| tally.failed > 0);
        self.tally = Tally {
            failed: self.tally.failed,
            ..Tally::default()
        };
        self
    }
}
