//! Each refusal: a reply, and the code that turns it down.

use super::*;

const U: Format = Format::Udiff;
const W: Format = Format::Whole;
const S: Format = Format::SearchReplace;

/// Replies on `src/g.py` with [`PY`], and what is wrong with each.
fn table() -> Vec<(Format, String, &'static str)> {
    let u = |body: &str| format!("--- a/src/g.py\n+++ b/src/g.py\n{body}");
    let s = |old: &str, new: &str| {
        format!("src/g.py\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n")
    };
    let w = |path: &str, body: &str| format!("{path}\n```\n{body}```\n");
    let git = |extended: &str| format!("diff --git a/src/g.py b/src/g.py\n{extended}\n");
    let hunk = "@@ -1,1 +1,1 @@\n-import os\n+import sys\n";
    let many: String = (0..21).map(|n| format!("@@ @@\n-a{n}\n+b{n}\n")).collect();
    let files: String = (0..6).map(|n| w(&format!("src/{n}"), "x\n")).collect();
    let cases: Vec<(Format, String, &str)> = vec![
        (U, "I cannot do that.\n".into(), "REPLY_EMPTY"),
        (W, "I cannot do that.\n".into(), "REPLY_EMPTY"),
        (S, "I cannot do that.\n".into(), "REPLY_EMPTY"),
        (U, "\n \n".into(), "REPLY_EMPTY"),
        // Cut in every place where it can be seen.
        (U, format!("<think>\n{}", u(hunk)), "REPLY_CUT"),
        (U, format!("---BEGIN_PATCH---\n{}", u(hunk)), "REPLY_CUT"),
        (U, format!("```diff\n{}", u(hunk)), "REPLY_CUT"),
        (U, u("@@ -1,3 +1,4 @@\n import os\n+x\n"), "REPLY_CUT"),
        (
            U,
            u("@@ -1,1 +1,2 @@\n import os\n+x = compute("),
            "REPLY_CUT",
        ),
        (U, u("@@ ... @@\n+x\n import o"), "REPLY_CUT"),
        (W, "src/g.py\n```\nimport os\n".into(), "REPLY_CUT"),
        (
            S,
            "src/g.py\n<<<<<<< SEARCH\nimport os\n=======\nimp".into(),
            "REPLY_CUT",
        ),
        (
            U,
            format!(
                "---BEGIN_PATCH---\n---BEGIN_PATCH---\n{}---END_PATCH---\n",
                u(hunk)
            ),
            "REPLY_AMBIGUOUS",
        ),
        (U, u(&many), "REPLY_TOO_LARGE"),
        (W, files, "REPLY_TOO_LARGE"),
        (W, w("src/g.py", &"x\n".repeat(2001)), "REPLY_TOO_LARGE"),
        (W, w("src/huge", "x\n"), "REPLY_TOO_LARGE"),
        // What stands for code.
        (
            U,
            u("@@ -1 +1,2 @@\n import os\n+# ... rest of code unchanged ...\n"),
            "REPLY_PLACEHOLDER",
        ),
        (
            S,
            s("    return 1\n", "    return 1\n    ...\n"),
            "REPLY_PLACEHOLDER",
        ),
        (
            W,
            w("src/g.py", "import sys\n# ... existing code ...\n"),
            "REPLY_PLACEHOLDER",
        ),
        (W, w("src/g.py", PY), "REPLY_NO_CHANGE"),
        (S, s("import os\n", "import os\n"), "REPLY_NO_CHANGE"),
        (U, u("@@ -1,2 +1,2 @@\n import os\n \n"), "REPLY_NO_CHANGE"),
        (U, git("index 1..2"), "REPLY_NO_CHANGE"),
        (W, w("src/new", ""), "REPLY_NO_CHANGE"),
        (
            W,
            format!("{}and\n{}", w("src/g.py", "x\n"), w("src/x", "y\n")),
            "REPLY_TEXT_BETWEEN",
        ),
        (W, w("docs/a.md", "# x\n"), "REPLY_FENCE_UNCLEAR"),
        (
            W,
            "src/x\n```\na\n```sh\nb\n```\n".into(),
            "REPLY_FENCE_UNCLEAR",
        ),
        (W, w("src/fenced", "x\n"), "REPLY_FENCE_UNCLEAR"),
        (S, s("import os\n=======\n", "x\n"), "REPLY_BLOCK_MALFORMED"),
        (
            S,
            "src/g.py\n<<<<<<< SEARCH\n<<<<<<< SEARCH\n".into(),
            "REPLY_BLOCK_MALFORMED",
        ),
        (
            S,
            format!("src/g.py\n=======\n{}", s("a\n", "b\n")),
            "REPLY_BLOCK_MALFORMED",
        ),
        // Places.
        (
            U,
            u("@@ -1,2 +1,3 @@\n import os\n import re\n+x\n"),
            "HUNK_NOT_FOUND",
        ),
        (
            S,
            s("import os\nimport re\n", "import os\nx\nimport re\n"),
            "HUNK_NOT_FOUND",
        ),
        // Outdented, zero context, dropped context, as git apply and GNU patch see them in B2.
        (
            U,
            u("@@ -3,2 +3,3 @@\n def one():\n+    x = 1\n return 1\n"),
            "HUNK_NOT_FOUND",
        ),
        (
            U,
            u("@@ -4,3 +4,3 @@\n     return 1\n def two():\n-    return 2\n+    return 22\n"),
            "HUNK_NOT_FOUND",
        ),
        (U, u("@@ -2 +2,2 @@\n \n+x\n"), "HUNK_NOT_UNIQUE"),
        (S, s("\n", "\nx\n"), "HUNK_NOT_UNIQUE"),
        (
            U,
            u("@@ -1 +1 @@\n-import re\n+x\n"),
            "HUNK_REMOVES_UNKNOWN",
        ),
        // A bullet of prose behind the last hunk looks like a removed line.
        (
            U,
            u(&format!("{hunk}- it works now\n")),
            "HUNK_REMOVES_UNKNOWN",
        ),
        (U, u("@@ -1,0 +2 @@\n+x\n"), "HUNK_WITHOUT_OLD_LINES"),
        (S, s("", "x\n"), "HUNK_WITHOUT_OLD_LINES"),
        (
            U,
            u("@@ -1 +1 @@\n-import os\n+x\n@@ -1,2 +1,3 @@\n import os\n \n+y\n def one():\n"),
            "HUNK_OVERLAP",
        ),
        (
            S,
            format!(
                "{}{}",
                s("import os\n", "x\n"),
                s("import os\n\ndef one():\n", "y\n")
            ),
            "HUNK_OVERLAP",
        ),
        (
            U,
            u("@@ -1,2 +1,3 @@\n import os\n+x\ndef one():\n+y\n"),
            "HUNK_LINE_UNMARKED",
        ),
        (
            U,
            format!("```diff\n{}oops\n```\n", u(hunk)),
            "HUNK_LINE_UNMARKED",
        ),
        (
            U,
            u("@@ -1 +1 @@\n\\ No newline at end of file\n-import os\n+x\n"),
            "HUNK_LINE_UNMARKED",
        ),
        (
            U,
            u("@@ -1 +1 @@\n-import os\n\\ No newline at end of file\n+x\n"),
            "HUNK_NOT_FOUND",
        ),
        (
            U,
            "--- /dev/null\n+++ b/src/n\n@@ -0,0 +1,2 @@\n+a\n b\n".into(),
            "HUNK_LINE_UNMARKED",
        ),
        // Paths.
        (U, hunk.into(), "REPLY_PATH_MISSING"),
        (
            U,
            format!("```diff\n+import sys\n```\n{}", u(hunk)),
            "REPLY_PATH_MISSING",
        ),
        (W, "```\nimport sys\n```\n".into(), "REPLY_PATH_MISSING"),
        (
            S,
            "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n".into(),
            "REPLY_PATH_MISSING",
        ),
        (
            W,
            "src/x\n```python src/g.py\na\n```\n".into(),
            "REPLY_PATH_UNCLEAR",
        ),
        (
            U,
            format!("diff --git a/src/x b/src/x\n{}", u(hunk)),
            "REPLY_PATH_UNCLEAR",
        ),
        (
            U,
            u(hunk).replace("src/g.py", "g.py"),
            "REPLY_PATH_NOT_OFFERED",
        ),
        (W, w("SRC/g.py", "x\n"), "REPLY_PATH_NOT_OFFERED"),
        (
            S,
            s("a\n", "b\n").replace("src/", "etc/"),
            "REPLY_PATH_NOT_OFFERED",
        ),
        (
            U,
            u(hunk).replace("src/g.py", "/etc/passwd"),
            "REPLY_PATH_UNSAFE",
        ),
        (
            U,
            u(hunk).replace("src/g.py", "src/../../x"),
            "REPLY_PATH_UNSAFE",
        ),
        (W, w("src/../.git/config", "x\n"), "REPLY_PATH_UNSAFE"),
        (W, w("/etc/passwd", "x\n"), "REPLY_PATH_UNSAFE"),
        (
            S,
            s("a\n", "b\n").replace("src/g.py", "src/.GIT/config"),
            "REPLY_PATH_UNSAFE",
        ),
        (W, w("src/link", "x\n"), "REPLY_PATH_IS_LINK"),
        (
            U,
            u(hunk).replace("src/g.py", "src/link"),
            "REPLY_PATH_IS_LINK",
        ),
        (
            W,
            format!("{}\n{}", w("src/g.py", "x\n"), w("src/g.py", "y\n")),
            "REPLY_FILE_TWICE",
        ),
        (U, format!("{}{}", u(hunk), u(hunk)), "REPLY_FILE_TWICE"),
        // What only a person may do.
        (
            U,
            git("old mode 100644\nnew mode 100755"),
            "REPLY_MODE_REFUSED",
        ),
        (
            U,
            git("new file mode 120000\n--- /dev/null\n+++ b/src/g.py\n@@ -0,0 +1 @@\n+/etc/passwd"),
            "REPLY_MODE_REFUSED",
        ),
        (U, git("new file mode 100755"), "REPLY_MODE_REFUSED"),
        (U, git("new file mode 160000"), "REPLY_MODE_REFUSED"),
        (
            U,
            git("GIT binary patch\nliteral 3"),
            "REPLY_BINARY_REFUSED",
        ),
        (
            U,
            git("index 1..2\nBinary files a/src/g.py and b/src/g.py differ"),
            "REPLY_BINARY_REFUSED",
        ),
        (W, w("src/g.py", "a\0b\n"), "REPLY_BINARY_REFUSED"),
        (W, w("src/binary", "x\n"), "REPLY_BINARY_REFUSED"),
        (
            U,
            git("similarity index 100%\nrename from src/g.py\nrename to src/h.py"),
            "REPLY_RENAME_REFUSED",
        ),
        (
            U,
            git("copy from src/g.py\ncopy to src/h.py"),
            "REPLY_RENAME_REFUSED",
        ),
        (
            U,
            "--- a/src/g.py\n+++ b/src/h.py\n@@ -1 +1 @@\n-import os\n+x\n".into(),
            "REPLY_RENAME_REFUSED",
        ),
        (U, git("deleted file mode 100644"), "REPLY_DELETE_REFUSED"),
        (
            U,
            "--- a/src/g.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-import os\n".into(),
            "REPLY_DELETE_REFUSED",
        ),
        (W, w("src/g.py", ""), "REPLY_DELETE_REFUSED"),
        (S, s(PY, ""), "REPLY_DELETE_REFUSED"),
        (
            U,
            "--- /dev/null\n+++ b/src/g.py\n@@ -0,0 +1 @@\n+x\n".into(),
            "REPLY_FILE_EXISTS",
        ),
        (
            U,
            u("@@ -1,2 +1,2 @@\n a\n-b\n+c\n").replace("g.py", "absent"),
            "REPLY_FILE_ABSENT",
        ),
        (
            S,
            s("a\n", "b\n").replace("g.py", "absent"),
            "REPLY_FILE_ABSENT",
        ),
        // Line ends.
        (W, w("src/mixed", "x\n"), "REPLY_LINE_ENDS_MIXED"),
        (
            U,
            "--- a/src/mixed\n+++ b/src/mixed\n@@ -1,2 +1,3 @@\n a\n+x\n b\n".into(),
            "REPLY_LINE_ENDS_MIXED",
        ),
        (
            W,
            w("src/n", "x\n").replace('\n', "\r\n"),
            "REPLY_LINE_ENDS_UNKNOWN",
        ),
        (
            U,
            "--- /dev/null\r\n+++ b/src/n\r\n@@ -0,0 +1 @@\r\n+x\r\n".into(),
            "REPLY_LINE_ENDS_UNKNOWN",
        ),
        (
            U,
            "--- /dev/null\n+++ b/src/n\n@@ -0,0 +1 @@\r\n+x\r\n".into(),
            "REPLY_LINE_ENDS_UNKNOWN",
        ),
    ];
    cases
}

const BASE: [(&str, &str); 6] = [
    ("src/g.py", PY),
    ("src/link", "<link>"),
    ("src/huge", "<huge>"),
    ("src/binary", "a\0b\n"),
    ("src/mixed", "a\r\nb\n"),
    ("src/fenced", "a\n```\nb\n```\n"),
];

#[test]
fn each_reply_is_turned_down_for_its_reason() {
    let mut wrong = Vec::new();
    for (format, reply, code) in table() {
        let first = match resolve(format, &BASE, &reply, false) {
            Ok(_) => "taken",
            Err(rejected) => rejected.refusals[0].code.as_str(),
        };
        if first != code {
            wrong.push(format!("{format:?}: {first} and not {code}:\n{reply}"));
        }
        // Guessing saves none of them, but the one that is indented wrongly.
        let with_fuzz = resolve(format, &BASE, &reply, true);
        let may = reply.contains("\n return 1\n") || reply.contains(" def two():\n");
        if with_fuzz.is_ok() && !may {
            wrong.push(format!("{format:?}: taken with --fuzz:\n{reply}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
}

#[test]
fn every_code_has_a_reply() {
    let table = table();
    for code in Code::ALL {
        assert!(
            table.iter().any(|(_, _, one)| *one == code.as_str()),
            "{}",
            code.as_str()
        );
    }
}

#[test]
fn a_folder_that_is_called_like_a_prefix_makes_the_path_unclear() {
    let reply = "--- /dev/null\n+++ b/src/n\n@@ -0,0 +1 @@\n+x\n";
    let offers = |path: &str| path.ends_with("src/n");
    let parsed = || read(U, Text::bare(reply.as_bytes()), &offers, &Limits::default()).unwrap();
    let mut files = Files::default();
    for path in parsed().paths() {
        files.old.insert(path.to_owned(), Old::Missing);
    }
    assert_eq!(files.old.len(), 2);
    let resolved = parsed().resolve(&files, false, &Limits::default()).unwrap();
    assert_eq!(resolved.changes[0].path, "src/n");
    files.folders.insert("b".to_owned());
    let why = parsed()
        .resolve(&files, false, &Limits::default())
        .unwrap_err();
    assert_eq!(why.refusals[0].code, Code::PathUnclear);
}

#[test]
fn work_is_bounded() {
    let text = "x\n".repeat(1000);
    let hunks = "@@ @@\n x\n-y\n+z\n".repeat(10);
    let reply = format!("--- a/src/g\n+++ b/src/g\n{hunks}");
    let limits = Limits {
        work: 5000,
        ..Limits::default()
    };
    let parsed = read(U, Text::bare(reply.as_bytes()), &|_| true, &limits).unwrap();
    let mut files = Files::default();
    for path in parsed.paths() {
        files
            .old
            .insert(path.to_owned(), Old::File(text.clone().into_bytes()));
    }
    let why = parsed.resolve(&files, false, &limits).unwrap_err();
    assert!(
        why.refusals.iter().any(|one| one.code == Code::TooLarge),
        "{why:?}"
    );
}
