//! Each malformation that is mended: the bytes before, the bytes after, the ids.

use super::*;

/// Checks that a diff gives the change of `diff()` with these repairs.
#[track_caller]
fn mended(reply: &str, ids: &[&str]) {
    let (new, got) = one(Format::Udiff, &[("src/g.py", PY)], reply, false);
    assert_eq!(new, changed(), "{reply}");
    assert_eq!(got, ids, "{reply}");
}

/// The diff without its first two lines.
fn bare() -> String {
    diff().splitn(3, '\n').nth(2).unwrap().to_owned()
}

#[test]
fn r01_thinking_is_dropped_with_the_markers_in_it() {
    mended(
        &format!("<think>\nlet me see\n--- a/x\n</think>\n\n{}", diff()),
        &["R01-think"],
    );
    let framed = format!(
        "<think>\n---BEGIN_PATCH---\n</think>\n---BEGIN_PATCH---\n{}---END_PATCH---\n",
        diff()
    );
    mended(&framed, &["R01-think"]);
}

#[test]
fn r02_r03_fences_and_prose_around_the_diff() {
    for fence in ["```", "~~~", "````"] {
        mended(&format!("{fence}diff\n{}{fence}\n", diff()), &["R02-fence"]);
    }
    mended(
        &format!("Here it is:\n\n{}\nThat is all.\n- it works\n", diff()),
        &["R03-prose"],
    );
    mended(
        &format!("Here:\n```diff\n{}```\nRun it:\n```sh\nmake\n```\n", diff()),
        &["R03-prose", "R02-fence"],
    );
}

#[test]
fn r04_paths_without_what_is_around_them() {
    for (old, new) in [
        ("src/g.py", "src/g.py"),
        ("./src/g.py", "./src/g.py"),
        (
            "a/src/g.py\t2026-01-01 10:00:00",
            "b/src/g.py\t2026-01-01 10:00:01",
        ),
        (
            "a/src/g.py 2026-01-01 10:00:00",
            "b/src/g.py 2026-01-01 10:00:01",
        ),
        ("\"a/src/g.py\"", "\"b/src/g.py\""),
        ("`src/g.py`", "`src/g.py`"),
        ("a/src/g.py", "src/g.py"),
        ("a/src/g.py", "a/src/g.py"),
    ] {
        let reply = bare().replace("--- a/src/g.py", &format!("--- {old}"));
        let reply = reply.replace("+++ b/src/g.py", &format!("+++ {new}"));
        mended(&reply, &["R05-git-header", "R04-prefix"]);
    }
    for path in [
        "`src/g.py`",
        "## src/g.py",
        "**src/g.py**",
        "src/g.py:",
        "./src/g.py",
        "### `src/g.py`:",
    ] {
        let reply = format!("{path}\n````\n{}````\n", changed());
        let (new, ids) = one(Format::Whole, &[("src/g.py", PY)], &reply, false);
        assert_eq!((new, ids), (changed(), vec!["R04-prefix"]), "{path}");
    }
}

#[test]
fn r04_a_missing_prefix_never_means_another_file() {
    // git apply would strip `src/` and change the file at the top, or make one there.
    let reply = bare().replace("a/src", "src").replace("b/src", "src");
    let base = [("src/g.py", PY), ("g.py", PY)];
    assert_eq!(one(Format::Udiff, &base, &reply, false).0, changed());
    let reply = "--- /dev/null\n+++ src/n.py\n@@ -0,0 +1 @@\n+x\n";
    let resolved = resolve(Format::Udiff, &[], reply, false).unwrap();
    assert_eq!(resolved.changes[0].path, "src/n.py");
}

#[test]
fn r05_r06_headers_are_supplied() {
    mended(&bare(), &["R05-git-header"]);
    for (head, ids) in [
        (
            "--- /dev/null\n+++ b/src/n.py\n@@ -0,0 +1 @@\n+x\n",
            vec!["R05-git-header"],
        ),
        (
            "--- a/dev/null\n+++ b/src/n.py\n@@ -0,0 +1 @@\n+x\n",
            vec!["R05-git-header", "R06-devnull"],
        ),
        (
            "--- a/src/n.py\n+++ b/src/n.py\n@@ -0,0 +1 @@\n+x\n",
            vec!["R05-git-header", "R06-devnull"],
        ),
        (
            "diff --git a/src/n.py b/src/n.py\nnew file mode 100644\n--- a/src/n.py\n+++ b/src/n.py\n@@ -0,0 +1 @@\n+x\n",
            vec!["R06-devnull"],
        ),
        (
            "diff --git a/src/n.py b/src/n.py\n--- /dev/null\n+++ b/src/n.py\n@@ -0,0 +1 @@\n+x\n",
            vec!["R06-devnull"],
        ),
    ] {
        assert_eq!(
            one(Format::Udiff, &[], head, false),
            ("x\n".to_owned(), ids),
            "{head}"
        );
    }
}

#[test]
fn r07_counts_are_counted_again() {
    for head in [
        "@@ -5,9 +5,9 @@",
        "@@ -5,2 +5,2 @@",
        "@@ -5 +5 @@",
        "@@ -5,7 +5,8 @@",
    ] {
        let reply = diff().replace("@@ -5,7 +5,7 @@ def one():", head);
        let framed = format!("---BEGIN_PATCH---\n{reply}---END_PATCH---\n");
        mended(&framed, &["R07-count"]);
    }
    // git apply cuts the file short here and says that all is well.
    let reply = "diff --git a/src/n b/src/n\nnew file mode 100644\n--- /dev/null\n+++ b/src/n\n@@ -0,0 +1,2 @@\n+a\n+b\n+c\n";
    assert_eq!(
        one(Format::Udiff, &[], reply, false),
        ("a\nb\nc\n".to_owned(), vec!["R07-count"])
    );
    // Two files without headers, counts right: `--recount` would take the second for a deletion.
    let reply = "--- a/src/x\n+++ b/src/x\n@@ -1 +1 @@\n-a\n+b\n--- a/src/y\n+++ b/src/y\n@@ -1 +1 @@\n-a\n+c\n";
    let resolved = resolve(
        Format::Udiff,
        &[("src/x", "a\n"), ("src/y", "a\n")],
        reply,
        false,
    )
    .unwrap();
    assert_eq!(resolved.changes.len(), 2);
}

#[test]
fn r08_r09_numbers_are_not_needed_and_not_believed() {
    for head in [
        "@@",
        "@@ ... @@",
        "@@ def two",
        "@@ -,+ @@",
        "@@ def two(): @@",
        "@@@",
    ] {
        let reply = diff().replace("@@ -5,7 +5,7 @@ def one():", head);
        mended(&reply, &["R08-no-numbers"]);
    }
    let reply = diff().replace("@@ -5,7 +5,7 @@", "@@ -105,7 +1,7 @@");
    mended(&reply, &["R09-anchor"]);
}

#[test]
fn r10_r11_empty_lines_and_the_last_line_feed() {
    let reply = diff().replace("\n \n", "\n\n");
    mended(&reply, &["R10-blank-context"]);
    mended(diff().trim_end(), &["R11-final-newline"]);
    // Empty lines behind a hunk are none of it.
    mended(&format!("{}\n\n\n", diff()), &[]);
}

#[test]
fn r12_the_end_of_the_file_stays_as_it_is() {
    let open = PY.trim_end();
    let reply = "--- a/src/g.py\n+++ b/src/g.py\n@@ -10,2 +10,2 @@\n def three():\n-    return 3\n+    return 33\n";
    let base = [("src/g.py", open)];
    let (new, ids) = one(Format::Udiff, &base, reply, false);
    assert_eq!(
        (new, ids),
        (
            open.replace("return 3", "return 33"),
            vec!["R05-git-header", "R12-eof-marker"]
        )
    );
    // With the markers it is all as it was written: kept, added, taken away.
    let mark = "\\ No newline at end of file\n";
    let marked = |old: &str, new: &str| {
        reply
            .replace("return 3\n", &format!("return 3\n{old}"))
            .replace("return 33\n", &format!("return 33\n{new}"))
    };
    for (text, reply, expected) in [
        (
            open,
            marked(mark, mark),
            open.replace("return 3", "return 33"),
        ),
        (
            open,
            marked(mark, ""),
            format!("{}\n", open.replace("return 3", "return 33")),
        ),
        (PY, marked("", mark), open.replace("return 3", "return 33")),
    ] {
        let (new, ids) = one(Format::Udiff, &[("src/g.py", text)], &reply, false);
        assert_eq!((new, ids), (expected, vec!["R05-git-header"]));
    }
    // A marker that the file does not bear out.
    let (new, ids) = one(
        Format::Udiff,
        &[("src/g.py", PY)],
        &marked(mark, mark),
        false,
    );
    assert_eq!(
        (new, ids),
        (
            PY.replace("return 3", "return 33"),
            vec!["R05-git-header", "R12-eof-marker"]
        )
    );
    // The other forms have no marker.
    let blocks =
        "src/g.py\n<<<<<<< SEARCH\n    return 3\n=======\n    return 33\n>>>>>>> REPLACE\n";
    let whole = format!(
        "src/g.py\n````\n{}````\n",
        PY.replace("return 3", "return 33")
    );
    for (format, reply) in [(Format::SearchReplace, blocks), (Format::Whole, &whole)] {
        let (new, ids) = one(format, &base, reply, false);
        assert_eq!(
            (new, ids),
            (
                open.replace("return 3", "return 33"),
                vec!["R12-eof-marker"]
            )
        );
    }
    // A line that is put behind an open one closes it.
    let reply = "--- a/src/g.py\n+++ b/src/g.py\n@@ -11,1 +11,2 @@\n     return 3\n+# end\n";
    assert_eq!(
        one(Format::Udiff, &base, reply, false).0,
        format!("{open}\n# end")
    );
}

#[test]
fn r13_line_ends_are_those_of_the_file() {
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let windows = crlf(PY);
    let base = [("src/g.py", windows.as_str())];
    // A diff with LF on a file with CR LF: git apply says no, or leaves both kinds in the file.
    let (new, ids) = one(Format::Udiff, &base, &diff(), false);
    assert_eq!((new, ids), (crlf(&changed()), vec!["R13-eol"]));
    // As git writes it: the header with LF, the content with CR LF.
    let (head, body) = diff()
        .split_once(" def one():\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let own = format!("{head}\n{}", crlf(&body));
    assert_eq!(
        one(Format::Udiff, &base, &own, false),
        (crlf(&changed()), vec![])
    );
    // The other way round, on the way through an editor.
    mended(&crlf(&diff()), &["R13-eol"]);
    for (format, reply) in [
        (
            Format::Whole,
            format!("src/g.py\n````\n{}````\n", changed()),
        ),
        (
            Format::SearchReplace,
            "src/g.py\n<<<<<<< SEARCH\n    return 2\n=======\n    return 22\n>>>>>>> REPLACE\n"
                .to_owned(),
        ),
    ] {
        assert_eq!(
            one(format, &base, &reply, false),
            (crlf(&changed()), vec!["R13-eol"])
        );
        let unix = [("src/g.py", PY)];
        assert_eq!(
            one(format, &unix, &crlf(&reply), false),
            (changed(), vec!["R13-eol"])
        );
        assert_eq!(
            one(format, &base, &crlf(&reply), false),
            (crlf(&changed()), vec![])
        );
    }
    // What is written on purpose stays: a CR in one line of a file without any.
    let reply = "--- a/src/g.py\n+++ b/src/g.py\n@@ -1 +1,2 @@\n import os\n+x = 1\r\n";
    let (new, ids) = one(Format::Udiff, &[("src/g.py", PY)], reply, false);
    assert_eq!(
        (new, ids),
        (
            PY.replacen("os\n", "os\nx = 1\r\n", 1),
            vec!["R05-git-header"]
        )
    );
}

#[test]
fn r14_blanks_at_the_end_of_context() {
    let text = PY
        .replace("def two():\n", "def two():   \n")
        .replace("# two", "# two\t");
    let base = [("src/g.py", text.as_str())];
    let (new, ids) = one(Format::Udiff, &base, &diff(), false);
    assert_eq!(new, text.replace("return 2\n", "return 22\n"));
    assert_eq!(ids, ["R14-context-trailing-ws"; 2]);
    let blocks = "src/g.py\n<<<<<<< SEARCH\ndef two():\n    return 2\n=======\ndef two():\n    return 22\n>>>>>>> REPLACE\n";
    let (new, ids) = one(Format::SearchReplace, &base, blocks, false);
    assert_eq!(
        (new, ids),
        (
            text.replace("return 2\n", "return 22\n"),
            vec!["R14-context-trailing-ws"]
        )
    );
}

#[test]
fn the_guesses_are_made_on_request_only() {
    let two = |old: &str, new: &str| {
        format!("src/g.py\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n")
    };
    let deep = "class A:\n    def two(self):\n        return 2\n\n    def three(self):\n        return 3\n";
    let gap = "a = 1\n\n# why\nb = 2\nc = 3\n";
    let quotes = "say(\"it's\")\nb = 2\n";
    for (id, text, old, new, expected) in [
        (
            "F1-indent",
            deep,
            "def two(self):\n    return 2\n",
            "def two(self):\n    x = 1\n\n    return 2\n",
            deep.replace("        return 2", "        x = 1\n\n        return 2"),
        ),
        (
            "F1-indent",
            PY,
            "        return 2\n",
            "        return 22\n",
            changed(),
        ),
        (
            "F2-missing-context",
            gap,
            "a = 1\nb = 2\nc = 3\n",
            "a = 1\nb = 2\nc = 4\n",
            gap.replace("c = 3", "c = 4"),
        ),
        (
            "F3-unicode",
            quotes,
            "say(\u{201c}it\u{2019}s\u{201d})\nb = 2\n",
            "say(\u{201c}it\u{2019}s\u{201d})\nb = 3\n",
            quotes.replace("b = 2", "b = 3"),
        ),
    ] {
        let base = [("src/g.py", text)];
        let reply = two(old, new);
        let codes = refused(Format::SearchReplace, &base, &reply, false);
        assert!(
            ["HUNK_NOT_FOUND", "HUNK_REMOVES_UNKNOWN"].contains(&codes[0]),
            "{codes:?}"
        );
        let (got, ids) = one(Format::SearchReplace, &base, &reply, true);
        assert_eq!(got, expected);
        assert!(
            ids.iter().all(|one| *one == id) && !ids.is_empty(),
            "{ids:?}"
        );
    }
    // Not where two places fit, nor where before or behind the gap cannot be told.
    let base = [("src/g.py", "if a:\n    x = 1\nif b:\n        x = 1\n")];
    assert_eq!(
        refused(
            Format::SearchReplace,
            &base,
            &two("x = 1\n", "x = 2\n"),
            true
        ),
        ["HUNK_NOT_UNIQUE"]
    );
    let base = [("src/g.py", gap)];
    let reply = two("a = 1\nb = 2\n", "a = 1\nnew = 1\nb = 2\n");
    assert_eq!(
        refused(Format::SearchReplace, &base, &reply, true),
        ["HUNK_NOT_FOUND"]
    );
    // An added line that stands farther out than the shift cannot be moved with the rest.
    let base = [("src/g.py", PY)];
    let reply = two("        return 2\n", "        return 2\nx = 1\n");
    assert_eq!(
        refused(Format::SearchReplace, &base, &reply, true),
        ["HUNK_NOT_FOUND"]
    );
}

#[test]
fn every_repair_has_a_test_of_its_own() {
    let text = include_str!("repairs.rs");
    for id in RepairId::ALL {
        assert!(
            text.contains(&format!("\"{}\"", id.as_str())),
            "{}",
            id.as_str()
        );
    }
}
