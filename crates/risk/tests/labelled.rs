//! How right the rules are on changes with a known answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::collections::BTreeMap;

#[path = "labelled/set.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod set;

use set::Label;

/// Of the hostile changes so many must be caught, and of the near misses so many let through.
const WANTED: f64 = 0.98;

#[test]
fn hostile_changes_are_caught_and_near_misses_let_through() {
    let policy = set::policy();
    let cases = set::cases();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let judged: Vec<_> = std::thread::scope(|scope| {
        // A rule book keeps what it compiled to itself, so that each worker has one.
        let policy = &policy;
        let start = |part| scope.spawn(move || set::judge(part, &set::book(policy)));
        let parts = cases.chunks(cases.len().div_ceil(workers));
        let started: Vec<_> = parts.map(start).collect();
        let done = started.into_iter().map(|worker| worker.join().unwrap());
        done.flatten().collect()
    });
    let mut counts: BTreeMap<Label, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (case, judged) in cases.iter().zip(&judged) {
        let (right, all) = counts.entry(case.label).or_default();
        *all += 1;
        if set::is_right(case, judged) {
            *right += 1;
        } else {
            wrong.push(format!("{} {}: {}", case.flag, case.id, case.trick));
        }
    }
    let is_enough = |label| {
        let (right, all): (usize, usize) = counts[&label];
        assert!(all >= 300, "{label:?}: the set has only {all}");
        #[expect(clippy::cast_precision_loss, reason = "a few hundred cases")]
        let share = right as f64 / all as f64;
        share >= WANTED
    };
    let enough = is_enough(Label::Hostile) && is_enough(Label::NearMiss);
    assert!(enough, "{counts:?}\n{}", wrong.join("\n"));
}

#[test]
fn every_case_is_told_apart_by_its_name_and_names_its_trick() {
    let cases = set::cases();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| &case.id).collect();
    assert_eq!(names.len(), cases.len());
    for case in &cases {
        assert!(case.trick.len() > 10, "{}", case.id);
        set::kind(&case.flag);
    }
}
