//! Contradictions, covering text, line ends and limits: what the reader refuses beside the
//! fifteen findings, which have a file of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use baton_patch::{Code, Limits, parse};
use common::findings::{ONE, TWO, ZERO, edit, small};
use common::{Repo, base, text};

#[track_caller]
fn refuses(patch: &str, code: Code, line: usize) {
    let refusal = parse(patch.as_bytes(), &Limits::default()).expect_err(patch);
    assert_eq!(
        (refusal.code, refusal.line),
        (code, line),
        "{refusal}\n{patch}"
    );
}

#[test]
fn contradictions_in_one_section_are_refused() {
    let moved = "diff --git a/x b/n\nsimilarity index 100%\nrename from x\nrename to n\n";
    assert!(parse(moved.as_bytes(), &Limits::default()).is_ok());
    refuses(&moved.replace("100%", "90%"), Code::EmptySection, 1);
    refuses(&moved.replace("100%", "101%"), Code::BadHeader, 2);
    refuses(&moved.replace("to n", "to m"), Code::NameMismatch, 1);
    refuses(&moved.replace("rename to", "copy to"), Code::BadHeader, 3);
    refuses(&format!("{moved}rename from y\n"), Code::BadHeader, 5);
    refuses(&format!("{moved}{}", edit("n")), Code::DuplicatePath, 5);
    refuses(&format!("{moved}{}", edit("x")), Code::DuplicatePath, 5);
    refuses(&edit("x").replace(TWO, ZERO), Code::BadIndex, 2);
    refuses(
        &edit("x").replace(TWO, &TWO.to_uppercase()),
        Code::BadIndex,
        2,
    );
    refuses(
        &edit("sub").replace("100644", "160000"),
        Code::BadSubmodule,
        1,
    );
    let binary = format!(
        "diff --git a/x b/x\ndeleted file mode 100644\nindex {ONE}..{ZERO}\nGIT binary patch\n\
         literal 0\nHcmV?d00001\n\nliteral 0\nHcmV?d00001\n\n"
    );
    assert!(parse(binary.as_bytes(), &Limits::default()).is_ok());
    // The same header over a body that leaves something behind.
    let left = binary.replacen("literal 0\nHcmV?d00001", "literal 1\nIcmZPo000310RR91", 1);
    assert!(parse(left.as_bytes(), &Limits::default()).is_err());
}

#[test]
fn a_patch_in_another_form_is_called_by_it() {
    let plain = format!("From: a\n\n{}", edit("x"));
    let coloured: String = plain
        .lines()
        .map(|line| format!("\x1b[1m{line}\x1b[m\n"))
        .collect();
    refuses(&coloured, Code::Coloured, 3);
    refuses(&plain.replace('\n', "\r\n"), Code::CarriageReturn, 3);
    refuses(&format!("\u{feff}{}", edit("x")), Code::ByteOrderMark, 1);
    let wide = |mark: &[u8]| {
        let units = edit("x").into_bytes().into_iter();
        [mark.to_vec(), units.flat_map(|byte| [byte, 0]).collect()].concat()
    };
    for text in [wide(b"\xff\xfe"), wide(b"")] {
        let refusal = parse(&text, &Limits::default()).expect_err("UTF-16");
        assert_eq!(
            (refusal.code, refusal.line),
            (Code::WideText, 1),
            "{refusal}"
        );
        assert!(refusal.hint.contains("--output"), "{refusal}");
    }
    // Content may hold CR and colours.
    for content in ["a\r", "\x1b[1mdiff --git \x1b[m"] {
        let patch = edit("x").replace("+two\n", &format!("+{content}\n"));
        assert!(
            parse(patch.as_bytes(), &Limits::default()).is_ok(),
            "{patch}"
        );
    }
}

#[test]
fn covering_text_holds_no_second_diff() {
    for line in [
        "--- a/x",
        "+++ b/x",
        "@@ -1 +1 @@",
        "diff --cc x",
        "diff --combined x",
        "GIT binary patch",
        "Binary files a and b differ",
        "Index: x",
        "*** x",
    ] {
        refuses(
            &format!("text\n{line}\n{}", edit("x")),
            Code::StrayHeader,
            2,
        );
        refuses(&format!("{}\n{line}\n", edit("x")), Code::StrayHeader, 9);
    }
    refuses(
        &format!("{}\n{}", edit("x"), edit("y")),
        Code::StrayHeader,
        9,
    );
    refuses("just prose\n", Code::NoChange, 1);
    refuses("", Code::NoChange, 1);
}

#[test]
fn line_ends_are_gits_own() {
    refuses(&edit("x").replace('\n', "\r\n"), Code::CarriageReturn, 1);
    refuses(edit("x").trim_end(), Code::Truncated, 7);
    refuses(
        &edit("x").replace("+two\n", "+two\n\\ Kein Zeilenumbruch\n"),
        Code::NoNewline,
        8,
    );
    let early = edit("x").replace(
        "@@ -1 +1 @@\n-one\n",
        "@@ -1,2 +1 @@\n-one\n\\ No newline at end of file\n-x\n",
    );
    refuses(&early, Code::NoNewline, 7);
    refuses(&edit("x").replace("-one\n", "\n"), Code::HunkLine, 6);
}

/// A line without text and without a line feed is counted, and is not there.
#[test]
fn a_line_that_is_none_is_refused() {
    let patch = edit("x")
        .replace("@@ -1 +1 @@", "@@ -1 +1,2 @@")
        .replace("-one\n+two\n", " one\n+\n\\ No newline at end of file\n");
    let repo = Repo::new();
    let tree = repo.tree(&small());
    repo.prepare(&tree);
    let changed = repo.apply(&tree, patch.as_bytes()).unwrap();
    assert_eq!(
        changed, b"",
        "git counts one more line, and writes the same file"
    );
    refuses(&patch, Code::NoNewline, 8);
    let emptied = edit("x").replace("+two\n", "+\n\\ No newline at end of file\n");
    refuses(&emptied, Code::NoNewline, 8);
}

#[test]
fn limits_hold() {
    let patch = format!("{}{}", edit("x"), edit("y"));
    let full = Limits::default();
    for (limits, code) in [
        (
            Limits {
                bytes: 10,
                ..full.clone()
            },
            Code::TooLarge,
        ),
        (
            Limits {
                sections: 1,
                ..full.clone()
            },
            Code::TooManySections,
        ),
        (
            Limits {
                hunks: 1,
                ..full.clone()
            },
            Code::TooManyHunks,
        ),
        (
            Limits {
                line_bytes: 10,
                ..full.clone()
            },
            Code::LineTooLong,
        ),
        (
            Limits {
                path_bytes: 0,
                ..full.clone()
            },
            Code::PathTooLong,
        ),
    ] {
        assert_eq!(parse(patch.as_bytes(), &limits).unwrap_err().code, code);
    }
    let repo = Repo::new();
    let mut files = base();
    let old = repo.tree(&files);
    let mut zeros = vec![0; 2_000_000];
    zeros.extend(text(1..3));
    files.insert(b"bomb".to_vec(), ("100644", zeros));
    let bytes = repo.diff(&old, &repo.tree(&files), &[], &["--binary", "--full-index"]);
    assert!(bytes.len() < 100_000);
    let limits = Limits {
        binary_bytes: 1_000_000,
        ..full
    };
    assert_eq!(
        parse(&bytes, &limits).unwrap_err().code,
        Code::BinaryTooLarge
    );
}
