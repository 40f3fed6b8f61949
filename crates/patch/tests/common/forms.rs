//! The same changes in the forms in which people and programs pass patches around: mails, logs,
//! and plain patches made by hand.

use super::{Repo, base, cases};

/// What each change looks like as a mail and in a log.
pub(crate) fn mails(repo: &Repo, old: &str) -> Vec<Vec<u8>> {
    let commit = |tree: &str, parents: &[&str], message: &str| {
        let mut args = vec!["commit-tree", tree, "-m", message];
        args.extend(parents.iter().flat_map(|parent| ["-p", parent]));
        String::from_utf8(repo.git(&args)).unwrap()
    };
    let first = commit(old, &[], "base");
    let mut mails = Vec::new();
    for (name, edit) in cases() {
        let mut files = base();
        edit(&mut files);
        let message = format!("{name}\n\nbody with - dashes,\n- a list,\n> a quote");
        let second = commit(&repo.tree(&files), &[first.trim()], &message);
        let options = ["--binary", "--full-index", second.trim()];
        for call in [
            &["format-patch", "--stdout", "-1"][..],
            &["format-patch", "--stdout", "-1", "--attach", "-M"],
            &["show", "--stat", "-p"],
            &["log", "-1", "-p", "--no-renames", "--format=email"],
        ] {
            mails.push(repo.git(&[call, &options].concat()));
        }
    }
    mails
}

/// A way to write a line.
type Way = fn(&[u8]) -> Vec<u8>;

/// Rewrites text patches of git as a person, another tool or a model would write them. Binary ones
/// and those of a mode alone have no such form.
pub(crate) fn plain(seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let is_text = |seed: &&Vec<u8>| {
        let has = |line: &[u8]| seed.windows(line.len()).any(|at| at == line);
        has(b"\n@@ -") && !has(b"\nGIT binary") && !has(b"\nrename")
    };
    let ways: [Way; 7] = [
        |line| line.to_vec(),
        |line| without_prefix(line),
        |line| stamped(line, b"\t2024-05-06 07:08:09.000000000 +0200"),
        |line| stamped(line, b"\t1970-01-01 00:00:00.000000000 +0000"),
        |line| stamped(line, b"        (revision 12)"),
        |line| [line, b"\r"].concat(),
        |line| headed(line),
    ];
    let texts: Vec<&Vec<u8>> = seeds.iter().filter(is_text).collect();
    let mut plain = Vec::new();
    for way in ways {
        plain.extend(texts.iter().map(|seed| rewrite(seed, way)));
    }
    plain.extend(texts.iter().map(|seed| fenced(seed)));
    plain
}

/// Drops the header lines that only git writes, and rewrites the others.
fn rewrite(seed: &[u8], way: Way) -> Vec<u8> {
    const GIT: [&[u8]; 5] = [b"diff --git", b"index ", b"old mode", b"new ", b"deleted "];
    let lines = seed.split(|byte| *byte == b'\n');
    let kept = lines.filter(|line| !GIT.iter().any(|start| line.starts_with(start)));
    kept.map(way).collect::<Vec<_>>().join(&b'\n')
}

fn is_name(line: &[u8]) -> bool {
    line.starts_with(b"--- ") || line.starts_with(b"+++ ")
}

fn without_prefix(line: &[u8]) -> Vec<u8> {
    match (is_name(line), line.split_at_checked(4)) {
        (true, Some((marker, [b'a' | b'b', b'/', name @ ..]))) => [marker, name].concat(),
        _ => line.to_vec(),
    }
}

fn stamped(line: &[u8], stamp: &[u8]) -> Vec<u8> {
    let stamp = if is_name(line) { stamp } else { b"" };
    [line, stamp].concat()
}

fn headed(line: &[u8]) -> Vec<u8> {
    match line.strip_prefix(b"--- a/") {
        Some(name) => [b"Index: ", name, b"\n=====\n", line].concat(),
        None => line.to_vec(),
    }
}

/// git's own patch as a model hands it over: words around it, and a fence.
fn fenced(seed: &[u8]) -> Vec<u8> {
    [
        b"Here is the change:\n\n```diff\n",
        seed,
        b"```\n\nIt *should* apply.\n",
    ]
    .concat()
}
