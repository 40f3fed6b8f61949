//! Mutated patches: whatever the reader takes and git applies must have the same effect.
//!
//! `BATON_MUTANTS=100000 cargo test -p baton-patch --test fuzz_against_git -- --nocapture`
//! runs more of them; the seed stays, so the first ones are the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use baton_patch::{Body, Limits, Mode, Op, Patch, RawChange, agrees, parse, raw};
use common::mutate::{mutate, seeds};
use common::{Random, Repo, base};

#[derive(Debug, Default)]
struct Tally {
    mutants: usize,
    read: usize,
    applied: usize,
    misstated_mode: usize,
    disagreements: Vec<String>,
}

#[test]
fn nothing_that_is_read_and_applied_disagrees() {
    let count = std::env::var("BATON_MUTANTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6000);
    let repo = Repo::new();
    let old = repo.tree(&base());
    repo.prepare(&old);
    let seeds = seeds(&repo, &old);
    let limits = Limits {
        allow_delta: true,
        ..Limits::default()
    };
    let (mut random, mut tally) = (Random(0xba70_17ed), Tally::default());
    while tally.mutants < count {
        let seed = random.pick(&seeds).clone();
        let bytes = mutate(&mut random, &seed, &seeds);
        tally.mutants += usize::from(bytes != seed);
        let Some(patch) = parse(&bytes, &limits).ok().filter(|_| bytes != seed) else {
            continue;
        };
        tally.read += 1;
        if let Ok(applied) = repo.apply(&old, &bytes) {
            tally.applied += 1;
            judge(&mut tally, &patch, &raw::read(&applied).unwrap(), &bytes);
        }
    }
    let Tally {
        mutants,
        read,
        applied,
        misstated_mode,
        disagreements,
    } = &tally;
    println!(
        "{mutants} mutants: {read} read, {applied} of these applied by git, \
         {misstated_mode} of these misstate an old mode, \
         {} silent disagreements",
        disagreements.len()
    );
    assert!(
        *read > count / 100 && *applied > count / 200,
        "the mutants reach git: {tally:?}"
    );
    assert!(
        disagreements.is_empty(),
        "{}",
        disagreements.join("\n---\n")
    );
}

/// Counts a disagreement. One kind is known, since it lies in the base and not in the text: a
/// section that misstates the old mode, which git overlooks with a warning. `agrees` reports
/// it, so it is loud where a repository is at hand; the rest of the patch must still agree.
fn judge(tally: &mut Tally, patch: &Patch<'_>, raw: &[RawChange], bytes: &[u8]) {
    let Err(disagreement) = agrees(patch, raw) else {
        return;
    };
    let base = base();
    let mut rest = patch.clone();
    for section in &mut rest.sections {
        let file = section.old_path.as_ref().and_then(|path| base.get(path));
        let actual = file.and_then(|(mode, _)| Mode::from_digits(mode.as_bytes()));
        if section.old_mode.is_some() && actual.is_some() {
            if section.new_mode == section.old_mode {
                section.new_mode = actual;
            }
            section.old_mode = actual;
        }
    }
    let misstated = rest != *patch;
    if misstated && agrees(&rest, raw).is_ok() {
        tally.misstated_mode += 1;
        return;
    }
    // A mode change that the base already has is the one section that is left without effect.
    rest.sections.retain(|section| {
        section.op != Op::Modify
            || section.body != Body::None
            || section.old_mode != section.new_mode
    });
    if misstated && agrees(&rest, raw).is_ok() {
        tally.misstated_mode += 1;
        return;
    }
    // A mode change that the base already has is the one section that is left without effect.
    rest.sections.retain(|section| {
        section.insertions > 0 || section.deletions > 0 || section.old_mode != section.new_mode
    });
    if misstated && agrees(&rest, raw).is_ok() {
        tally.misstated_mode += 1;
    } else {
        tally.disagreements.push(format!(
            "{disagreement}\n{}",
            String::from_utf8_lossy(bytes)
        ));
    }
}
