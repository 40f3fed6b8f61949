//! The properties on generated input, and on damaged patches of real git. Fuzzers go further:
//! `make fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../crates/patch/tests/common/mod.rs"]
mod common;

use baton_fuzz::{paths, quoting, raw_listing, reader, rules};
use common::mutate::{mutate, seeds};
use common::{Random, Repo, base, cases};
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces that lead deep into the patch reader.
const PATCH: [&str; 30] = [
    "diff --git a/x b/x\n",
    "diff --git ",
    "a/x",
    "\"a/\\303\\251\"",
    "old mode 100644\n",
    "new mode 100755\n",
    "new file mode 100644\n",
    "deleted file mode 100644\n",
    "similarity index 100%\n",
    "rename from x\n",
    "rename to y\n",
    "index 0000000..e69de29\n",
    "index 1234567..89abcde 100644\n",
    "--- a/x\n",
    "+++ b/x\n",
    "--- /dev/null\n",
    "@@ -1 +1 @@\n",
    "@@ -0,0 +1,2147483647 @@\n",
    "@@ -2147483647,2147483647 +1 @@\n",
    "-a\n",
    "+b\n",
    " c\n",
    "\\ No newline at end of file\n",
    "GIT binary patch\n",
    "literal 0\nHcmV?d00001\n\n",
    "literal 2147483647\nzcmV?d00001\n\n",
    "\n",
    "-- \n",
    "diff --git a/y b/y\nold mode 100644\nnew mode 100755\n",
    "diff --git a/n b/n\nnew file mode 100644\nindex 0000000..e69de29\n",
];

/// Pieces of names, hostile ones among them.
const NAMES: [&str; 24] = [
    "a", "B", "/", ".", "..", ".git", ".GIT", "git~1", " ", ":", "C:", "\\", "\"", "\t", "\n",
    "\0", "\\303", "\\\"", "\u{e9}", "\u{200c}", "\u{feff}", "\u{202e}", "\u{130}", "x/y",
];

/// Pieces of a raw listing.
const LISTING: [&str; 15] = [
    ":100644 100755 ",
    ":000000 100644 ",
    ":120000 000000 ",
    ":100644 120000 ",
    ":160000 160000 ",
    "0123456789012345678901234567890123456789 ",
    "0000000000000000000000000000000000000000 ",
    "M\0",
    "A\0",
    "D\0",
    "T\0",
    "x\0",
    "a b/\n\0",
    ":100644 100755 0123456789012345678901234567890123456789 \
     0123456789012345678901234567890123456789 M\0x\0",
    ":100644 000000 0123456789012345678901234567890123456789 \
     0000000000000000000000000000000000000000 D\0x\0",
];

/// A few pieces in a row, with a little noise between them.
fn of(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => proptest::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..9),
    ];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hold_on_random_bytes(bytes in vec(any::<u8>(), 0..400)) {
        for property in [reader, quoting, paths, raw_listing] {
            property(&bytes);
        }
    }

    #[test]
    fn rules_hold_on_random_text(bytes in vec(any::<u8>(), 0..300)) {
        rules(&bytes);
    }

    #[test]
    fn reader_holds_on_pieces_of_patches(bytes in of(&PATCH, 30)) {
        reader(&bytes);
    }

    #[test]
    fn names_hold_on_pieces_of_names(bytes in of(&NAMES, 12)) {
        quoting(&bytes);
        paths(&bytes);
    }

    #[test]
    fn raw_listing_holds_on_pieces_of_listings(bytes in of(&LISTING, 12)) {
        raw_listing(&bytes);
    }
}

/// What the default rules match and must not match, as pieces of hostile text.
fn examples() -> Vec<String> {
    let policy = include_bytes!("../../ssot/POLICY.json");
    let policy = baton_core::policy::Policy::parse(policy).unwrap();
    let rules = policy.risk_rules.iter();
    rules
        .flat_map(|rule| [rule.matches.to_vec(), rule.no_match.to_vec()].concat())
        .collect()
}

#[test]
fn rules_hold_on_pieces_of_what_they_match() {
    const ROUNDS: usize = 3_000;
    let pieces = examples();
    let mut random = Random(0xba70_17ed);
    for _ in 0..ROUNDS {
        let mut text = Vec::new();
        for _ in 0..random.below(6) + 1 {
            let piece = random.pick(&pieces).as_bytes();
            let end = random.below(piece.len()) + 1;
            text.extend_from_slice(if random.below(4) == 0 {
                &piece[..end]
            } else {
                piece
            });
            text.push(*random.pick(b"\n\n\n ;\t\r\x1b\xe2"));
        }
        rules(&text);
    }
}

#[test]
fn rules_hold_on_damaged_patches_of_git() {
    let repo = Repo::new();
    let old = repo.tree(&base());
    let seeds = seeds(&repo, &old);
    let mut random = Random(0xba70_17ed);
    for _ in 0..1_000 {
        let seed = random.pick(&seeds).clone();
        rules(&mutate(&mut random, &seed, &seeds));
    }
}

#[test]
fn reader_holds_on_damaged_patches_of_git() {
    const MUTANTS: usize = 20_000;
    let repo = Repo::new();
    let old = repo.tree(&base());
    let seeds = seeds(&repo, &old);
    for seed in &seeds {
        reader(seed);
    }
    let mut random = Random(0xba70_17ed);
    for _ in 0..MUTANTS {
        let seed = random.pick(&seeds).clone();
        reader(&mutate(&mut random, &seed, &seeds));
    }
}

#[test]
fn raw_listing_holds_on_damaged_listings_of_git() {
    let repo = Repo::new();
    let old = repo.tree(&base());
    let mut random = Random(0xba70_17ed);
    for (_, edit) in cases() {
        let mut files = base();
        edit(&mut files);
        let listing = repo.raw(&old, &repo.tree(&files));
        raw_listing(&listing);
        for _ in 0..200 {
            let mut damaged = listing.clone();
            let at = random.below(damaged.len());
            damaged[at] = *random.pick(b":0 1ADMTx\0/");
            raw_listing(&damaged);
        }
    }
}
