//! Mutated patches: whatever the reader takes and git applies must have the same effect.
//!
//! `BATON_MUTANTS=100000 cargo test -p baton-patch --test fuzz_against_git -- --nocapture`
//! runs more of them; the seed is fixed, so a run can be repeated.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use baton_patch::{Body, Limits, Mode, Op, Patch, RawChange, Section, agrees, parse, raw};
use common::mutate::{mutate, seeds};
use common::{Random, Repo, base, forms};

/// What came of the mutants of one form.
#[derive(Debug, Default)]
struct Tally {
    mutants: usize,
    /// Accepted by the reader.
    read: usize,
    /// Of these, accepted by git.
    applied: usize,
    /// Of these, known and loud: see [`judge`].
    misstated_mode: usize,
}

/// A repository with the base of all seeds, and the place where disagreements are kept.
struct Bench {
    repo: Repo,
    old: String,
    limits: Limits,
    disagreements: Vec<String>,
}

#[test]
fn nothing_that_is_read_and_applied_disagrees() {
    let count: usize = std::env::var("BATON_MUTANTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6000);
    let mut bench = Bench::new();
    let own = seeds(&bench.repo, &bench.old);
    let forms = [
        ("git's own", 5, own.clone()),
        ("mails and logs", 3, forms::mails(&bench.repo, &bench.old)),
        ("by hand", 2, forms::plain(&own)),
    ];
    // A mutation may take a block from any of them, so that forms mix.
    let all: Vec<Vec<u8>> = forms.iter().flat_map(|form| form.2.clone()).collect();
    let mut random = Random(0xba70_17ed);
    let (mut read, mut applied) = (0, 0);
    for (name, share, seeds) in &forms {
        let mut tally = Tally::default();
        while tally.mutants < count * share / 10 {
            let seed = random.pick(seeds).clone();
            let bytes = mutate(&mut random, &seed, &all);
            if bytes != seed {
                tally.mutants += 1;
                bench.try_mutant(&mut tally, &bytes);
            }
        }
        println!("{name}, {} seeds: {tally:?}", seeds.len());
        read += tally.read;
        applied += tally.applied;
    }
    let silent = &bench.disagreements;
    println!("{count} mutants, {} silent disagreements", silent.len());
    assert!(
        read > count / 100 && applied > count / 200,
        "the mutants reach git: {read} read, {applied} applied"
    );
    assert!(silent.is_empty(), "{}", silent.join("\n---\n"));
}

#[test]
fn plain_patches_are_refused_whole() {
    let repo = Repo::new();
    let old = repo.tree(&base());
    let plain = forms::plain(&seeds(&repo, &old));
    assert!(plain.len() > 300, "{}", plain.len());
    let read = |bytes: &&Vec<u8>| parse(bytes, &Limits::default()).is_ok();
    // A fence around git's own words is covering text and changes nothing.
    let is_fenced = |bytes: &&Vec<u8>| bytes.starts_with(b"Here is");
    let fenced = plain.iter().filter(is_fenced).count();
    assert_eq!(plain.iter().filter(read).count(), fenced);
    assert_eq!(plain.iter().filter(read).filter(is_fenced).count(), fenced);
}

impl Bench {
    fn new() -> Self {
        let repo = Repo::new();
        let old = repo.tree(&base());
        repo.prepare(&old);
        Bench {
            repo,
            old,
            limits: Limits {
                allow_delta: true,
                ..Limits::default()
            },
            disagreements: Vec::new(),
        }
    }

    fn try_mutant(&mut self, tally: &mut Tally, bytes: &[u8]) {
        let Ok(patch) = parse(bytes, &self.limits) else {
            return;
        };
        tally.read += 1;
        let Ok(applied) = self.repo.apply(&self.old, bytes) else {
            return;
        };
        tally.applied += 1;
        let changes = raw::read(&applied).unwrap();
        let verdict = judge(&patch, &changes)
            .and_then(|misstated| self.counts(&patch, bytes).map(|()| misstated))
            .and_then(|misstated| self.contents(&patch, &changes).map(|()| misstated));
        match verdict {
            Ok(misstated) => tally.misstated_mode += usize::from(misstated),
            Err(why) => {
                let shown = String::from_utf8_lossy(bytes);
                self.disagreements.push(format!("{why}\n{shown}"));
            }
        }
    }

    /// Compares added and removed lines of each section with git's count of them.
    fn counts(&self, patch: &Patch<'_>, bytes: &[u8]) -> Result<(), String> {
        let args = ["apply", "--cached", "--numstat", "-z", "-"];
        let output = self.repo.run(&args, bytes, &self.repo.index("base"));
        let line = |section: &Section<'_>| {
            let counts = if section.is_binary() {
                "-\t-".to_owned()
            } else {
                format!("{}\t{}", section.insertions, section.deletions)
            };
            [counts.as_bytes(), b"\t", section.path(), b"\0"].concat()
        };
        let ours: Vec<u8> = patch.sections.iter().flat_map(line).collect();
        if ours == output.stdout {
            return Ok(());
        }
        let (ours, theirs) = (ours.escape_ascii(), output.stdout.escape_ascii());
        Err(format!("counts: the reader says {ours}, git {theirs}"))
    }

    /// Compares the content of new files, and of all binary ones, with the blobs that git wrote.
    fn contents(&self, patch: &Patch<'_>, changes: &[RawChange]) -> Result<(), String> {
        for section in &patch.sections {
            let expected = match (&section.body, section.op) {
                (Body::Binary { new, .. }, op) if op != Op::Delete => new.clone(),
                (Body::Text(_), Op::Add) => section.new_text().flat_map(|s| s.text).collect(),
                (Body::None, Op::Add) => Vec::new(),
                _ => continue,
            };
            let written = changes.iter().find(|change| change.path == section.path());
            let written = written.filter(|change| change.new_mode != Some(Mode::Submodule));
            let Some(written) = written else { continue };
            if self.repo.git(&["cat-file", "blob", &written.new_id]) != expected {
                return Err(format!(
                    "{}: another content",
                    section.path().escape_ascii()
                ));
            }
        }
        Ok(())
    }
}

/// Says whether git did what the patch says, and whether that took a known exception. One kind
/// is known, since it lies in the base and not in the text: a section that misstates the old mode,
/// which git overlooks with a warning. `agrees` reports it, so it is loud where a repository is at
/// hand; the rest of the patch must still agree.
fn judge(patch: &Patch<'_>, raw: &[RawChange]) -> Result<bool, String> {
    let Err(disagreement) = agrees(patch, raw) else {
        return Ok(false);
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
    // A mode change that the base already has is the one section that is left without effect.
    rest.sections.retain(|section| {
        section.op != Op::Modify
            || section.body != Body::None
            || section.old_mode != section.new_mode
    });
    if misstated && agrees(&rest, raw).is_ok() {
        return Ok(true);
    }
    Err(disagreement.to_string())
}
