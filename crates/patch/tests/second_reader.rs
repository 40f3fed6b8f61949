//! The `unidiff` crate as a second opinion on plain text patches, and how far it reaches.
//!
//! `cargo test -p baton-patch --test second_reader -- --nocapture` prints the figures of
//! docs/decisions/0001-patch-reader.md.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use baton_patch::{Body, Limits, Patch, parse};
use common::mutate::{mutate, seeds};
use common::{Random, Repo, base};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Path, insertions, deletions of each file, sorted.
type Files = Vec<(Vec<u8>, usize, usize)>;

enum Answer {
    Files(Files),
    Error,
    Panic,
}

fn second(bytes: &[u8]) -> Answer {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Answer::Error;
    };
    let read = catch_unwind(AssertUnwindSafe(|| {
        let mut set = unidiff::PatchSet::new();
        set.parse(text).map(|()| set)
    }));
    match read {
        Err(_) => Answer::Panic,
        Ok(Err(_)) => Answer::Error,
        Ok(Ok(set)) => {
            let mut files: Files = set
                .files()
                .iter()
                .map(|f| (f.path().into_bytes(), f.added(), f.removed()))
                .collect();
            files.sort();
            Answer::Files(files)
        }
    }
}

fn first(patch: &Patch<'_>) -> Files {
    let mut files: Files = patch
        .sections
        .iter()
        .map(|s| (s.path().to_vec(), s.insertions, s.deletions))
        .collect();
    files.sort();
    files
}

/// Whether every section is text under a name that is plain UTF-8 without quotes or blanks.
fn is_plain(patch: &Patch<'_>) -> bool {
    patch.sections.iter().all(|section| {
        let plain = |path: &Option<Vec<u8>>| {
            path.as_ref()
                .is_none_or(|path| path.iter().all(u8::is_ascii_graphic) && !path.contains(&b'"'))
        };
        matches!(section.body, Body::Text(_))
            && plain(&section.old_path)
            && plain(&section.new_path)
    })
}

#[test]
fn agrees_on_plain_text_and_is_measured_on_the_rest() {
    let repo = Repo::new();
    let old = repo.tree(&base());
    let seeds = seeds(&repo, &old);
    let limits = Limits {
        allow_delta: true,
        ..Limits::default()
    };
    let (mut right, mut wrong, mut refused, mut panicked, mut plain) = (0, 0, 0, 0, 0);
    for bytes in &seeds {
        let patch = parse(bytes, &limits).unwrap();
        let ours = first(&patch);
        let theirs = second(bytes);
        if is_plain(&patch) && std::str::from_utf8(bytes).is_ok() {
            let Answer::Files(theirs) = &theirs else {
                panic!("{}", String::from_utf8_lossy(bytes))
            };
            assert_eq!(&ours, theirs, "{}", String::from_utf8_lossy(bytes));
            plain += 1;
        }
        match theirs {
            Answer::Files(theirs) if theirs == ours => right += 1,
            Answer::Files(_) => wrong += 1,
            Answer::Error => refused += 1,
            Answer::Panic => panicked += 1,
        }
    }
    println!(
        "unidiff on {} patches written by git: {right} right, {wrong} wrong without a word, \
         {refused} refused, {panicked} panics; {plain} are plain text, all of these right",
        seeds.len()
    );
    assert!(plain > 20 && wrong > 0, "the decision record rests on this");
}

#[test]
fn is_measured_on_mutants() {
    const MUTANTS: usize = 20_000;
    let repo = Repo::new();
    let old = repo.tree(&base());
    let seeds = seeds(&repo, &old);
    let mut random = Random(0xba70_17ed);
    let (mut panicked, mut taken) = (0, 0);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    for _ in 0..MUTANTS {
        let seed = random.pick(&seeds).clone();
        let bytes = mutate(&mut random, &seed, &seeds);
        let ours = parse(&bytes, &Limits::default());
        match second(&bytes) {
            Answer::Panic => panicked += 1,
            Answer::Files(_) if ours.is_err() => taken += 1,
            Answer::Files(_) | Answer::Error => {}
        }
    }
    std::panic::set_hook(hook);
    println!(
        "unidiff on {MUTANTS} mutants: {panicked} panics, {taken} taken that this reader refuses"
    );
}
