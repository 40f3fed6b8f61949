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

/// Of the hostile changes so many must be caught, of each flag as of all, and of the near misses so
/// many let through.
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
    let mut caught: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (case, judged) in cases.iter().zip(&judged) {
        let is_right = set::is_right(case, judged);
        let (right, all) = counts.entry(case.label).or_default();
        *all += 1;
        *right += usize::from(is_right);
        if case.label == Label::Hostile {
            let (right, all) = caught.entry(&case.flag).or_default();
            *all += 1;
            *right += usize::from(is_right);
        }
        if !is_right {
            wrong.push(format!("{} {}: {}", case.flag, case.id, case.trick));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred cases")]
    let is_enough = |(right, all): (usize, usize)| right as f64 / all as f64 >= WANTED;
    for (label, count) in &counts {
        assert!(count.1 >= 300, "{label:?}: the set has only {}", count.1);
    }
    let counted = counts.values().chain(caught.values()).copied();
    let wrong = wrong.join("\n");
    assert!(counted.clone().count() > 10);
    assert!(
        counted.into_iter().all(is_enough),
        "{counts:?} {caught:?}\n{wrong}"
    );
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
