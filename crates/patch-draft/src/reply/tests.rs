//! Replies as models write them, on small files: what becomes of the bytes, which repair it took, and
//! which code refuses the rest.

mod refusals;
mod repairs;

use super::*;

/// `src/g.py` of most tests.
const PY: &str = "import os\n\ndef one():\n    return 1\n\n# two\ndef two():\n    return 2\n\ndef three():\n    return 3\n";

/// What comes of a reply on these files. Everything under `src/` and `docs/` may change, and what is
/// named with other contents is there.
fn resolve(
    format: Format,
    base: &[(&str, &str)],
    reply: &str,
    fuzz: bool,
) -> Result<Resolved, Rejected> {
    let offers = |path: &str| path.starts_with("src/") || path.starts_with("docs/");
    let limits = Limits {
        lines: 2000,
        hunks: 20,
        files: 5,
        repairs: 30,
        ..Limits::default()
    };
    let (reply, thought) = unframe(reply.as_bytes())?;
    let Reply::Patch {
        patch,
        is_framed,
        first_line,
        ..
    } = reply
    else {
        panic!("a question");
    };
    let text = Text {
        bytes: &patch,
        is_closed: is_framed,
        first_line,
    };
    let parsed = read(format, text, &offers, &limits)?.after(thought);
    let old = |path: &str| match base.iter().find(|(name, _)| *name == path) {
        Some((_, "<link>")) => Old::NoFile("it is a symbolic link".to_owned()),
        Some((_, "<huge>")) => Old::TooLarge,
        Some((_, text)) => Old::File(text.as_bytes().to_vec()),
        None => Old::Missing,
    };
    let paths = parsed.paths().into_iter().filter(|path| offers(path));
    let files = Files {
        old: paths.map(|path| (path.to_owned(), old(path))).collect(),
        folders: base
            .iter()
            .filter(|(path, _)| *path == "b/")
            .map(|_| "b".to_owned())
            .collect(),
    };
    parsed.resolve(&files, fuzz, &limits)
}

/// The new bytes of the one file that changes, and the ids of the repairs.
#[track_caller]
fn one(
    format: Format,
    base: &[(&str, &str)],
    reply: &str,
    fuzz: bool,
) -> (String, Vec<&'static str>) {
    let resolved =
        resolve(format, base, reply, fuzz).unwrap_or_else(|why| panic!("{why:#?}\n{reply}"));
    assert_eq!(resolved.changes.len(), 1);
    let ids = resolved.repairs.iter().map(|repair| repair.id.as_str());
    let ids: Vec<_> = ids.collect();
    let worst = match ids.as_slice() {
        [] => Nearness::Clean,
        ids if ids.iter().any(|id| id.starts_with('F')) => Nearness::Fuzzy,
        _ => Nearness::Repaired,
    };
    assert_eq!(resolved.nearness, worst);
    (
        String::from_utf8(resolved.changes[0].new.clone()).unwrap(),
        ids,
    )
}

/// The codes for which a reply is turned down.
#[track_caller]
fn refused(format: Format, base: &[(&str, &str)], reply: &str, fuzz: bool) -> Vec<&'static str> {
    match resolve(format, base, reply, fuzz) {
        Ok(resolved) => panic!("{resolved:#?}\n{reply}"),
        Err(rejected) => rejected
            .refusals
            .iter()
            .map(|one| one.code.as_str())
            .collect(),
    }
}

/// `src/g.py` as git writes the change from `return 2` to `return 22`.
fn diff() -> String {
    "diff --git a/src/g.py b/src/g.py\nindex 1111111..2222222 100644\n--- a/src/g.py\n+++ b/src/g.py\n@@ -5,7 +5,7 @@ def one():\n \n # two\n def two():\n-    return 2\n+    return 22\n \n def three():\n     return 3\n".to_owned()
}

fn changed() -> String {
    PY.replace("return 2\n", "return 22\n")
}

#[test]
fn the_three_forms_say_the_same_change() {
    let base = [("src/g.py", PY)];
    let whole = format!("src/g.py\n````python\n{}````\n", changed());
    let in_info = format!("````python src/g.py\n{}````\n", changed());
    let blocks = "src/g.py\n<<<<<<< SEARCH\ndef two():\n    return 2\n=======\ndef two():\n    return 22\n>>>>>>> REPLACE\n";
    for (format, reply) in [
        (Format::Whole, whole.as_str()),
        (Format::Whole, &in_info),
        (Format::SearchReplace, blocks),
        (Format::Udiff, &diff()),
    ] {
        assert_eq!(
            one(format, &base, reply, false),
            (changed(), vec![]),
            "{reply}"
        );
        let framed = format!(
            "Sure!\n---BEGIN_PATCH---\n{reply}---END_PATCH---\n---BEGIN_NOTES---\n- x\n---END_NOTES---\n"
        );
        assert_eq!(
            one(format, &base, &framed, false),
            (changed(), vec![]),
            "{framed}"
        );
    }
}

#[test]
fn new_files_and_several_files_at_once() {
    let whole = "src/new.txt\n```\none\ntwo\n```\n\nsrc/g.py\n```\nprint(1)\n```\n";
    let blocks = "src/new.txt\n<<<<<<< SEARCH\n=======\none\ntwo\n>>>>>>> REPLACE\n\nsrc/g.py\n```python\n<<<<<<< SEARCH\nimport os\n=======\nprint(1)\n>>>>>>> REPLACE\n```\n<<<<<<< SEARCH\n    return 3\n=======\n    return 4\n>>>>>>> REPLACE\n";
    let udiff = "diff --git a/src/new.txt b/src/new.txt\nnew file mode 100644\nindex 0000000..1111111\n--- /dev/null\n+++ b/src/new.txt\n@@ -0,0 +1,2 @@\n+one\n+two\ndiff --git a/src/g.py b/src/g.py\n--- a/src/g.py\n+++ b/src/g.py\n@@ -1,3 +1,3 @@\n-import os\n+print(1)\n \n def one():\n";
    for (format, reply) in [
        (Format::Whole, whole),
        (Format::SearchReplace, blocks),
        (Format::Udiff, udiff),
    ] {
        let resolved = resolve(format, &[("src/g.py", PY)], reply, false).unwrap();
        assert_eq!(resolved.nearness, Nearness::Clean, "{:?}", resolved.repairs);
        let [new, old] = resolved.changes.as_slice() else {
            panic!("{resolved:?}");
        };
        assert_eq!(
            (new.old.as_deref(), new.new.as_slice()),
            (None, &b"one\ntwo\n"[..])
        );
        assert_eq!(old.old.as_deref(), Some(PY.as_bytes()));
        assert!(old.new.starts_with(b"print(1)\n"));
    }
}

#[test]
fn the_form_for_small_files_is_whole() {
    assert_eq!(Format::for_files([&b"a\n"[..]]), Format::Whole);
    assert_eq!(
        Format::for_files([b"a\n".repeat(401).as_slice()]),
        Format::SearchReplace
    );
    assert_eq!(
        Format::for_files([&vec![b'x'; 16_001][..]]),
        Format::SearchReplace
    );
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
        // What the prompt shows must itself be in the form.
        let shown = instructions(format);
        let shown = shown.split_once("\n\n").unwrap().1;
        let read = read(
            format,
            Text::bare(shown.as_bytes()),
            &|path| path == "src/example.txt",
            &Limits::default(),
        );
        let paths: Vec<_> = match &read {
            Ok(parsed) => parsed.paths(),
            // A diff's hunk is followed by words here.
            Err(why) => {
                assert_eq!(
                    (format, why.refusals[0].code),
                    (Format::Udiff, Code::Unmarked)
                );
                continue;
            }
        };
        assert_eq!(paths, ["src/example.txt"]);
    }
}

#[test]
fn a_further_prompt_quotes_the_hunk_and_the_real_lines() {
    let reply = "--- a/src/g.py\n+++ b/src/g.py\n@@ ... @@\n-import os\n+import sys\n@@ ... @@\n def two():\n-    return 9\n+    return 22\n@@ ... @@\n \n+new\n";
    let rejected = resolve(Format::Udiff, &[("src/g.py", PY)], reply, false).unwrap_err();
    let prompt = further_prompt("PROMPT\n", Format::Udiff, &rejected, "f00d");
    for part in [
        "PROMPT\n",
        "src/g.py, hunk 2: HUNK_REMOVES_UNKNOWN",
        "-    return 9\n+    return 22\nGIVEN f00d>>>",
        "from line 4:\n<<<FILE f00d\n    return 1\n\n# two\ndef two():\n    return 2\n",
        "src/g.py, hunk 3: HUNK_NOT_UNIQUE: its old lines stand in 3 places: at lines 2, 5, 9",
        "These were fine, give them again as they were: src/g.py hunk 1.",
        instructions(Format::Udiff),
    ] {
        assert!(prompt.contains(part), "{part}\n---\n{prompt}");
    }
    assert_eq!(rejected.fine, [("src/g.py".to_owned(), 1)]);
    assert!(prompt.len() < 16_000);
}
