//! What git writes, the reader takes, and says the same as git's own tree difference.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use baton_patch::{Body, Limits, Op, agrees, parse, raw};
use common::{Files, Random, Repo, base, cases, text};

/// Ways in which people have git write a diff: (settings, options).
const WAYS: [(&[&str], &[&str]); 9] = [
    (&[], &["--binary", "--full-index", "--no-renames"]),
    (&[], &["--binary", "--full-index", "-M"]),
    (
        &[],
        &[
            "--binary",
            "--full-index",
            "-M",
            "-C",
            "--find-copies-harder",
        ],
    ),
    (&[], &["--binary", "--full-index", "--no-renames", "-U0"]),
    (
        &[],
        &[
            "--binary",
            "--full-index",
            "--no-renames",
            "--patience",
            "-U10",
            "--inter-hunk-context=5",
        ],
    ),
    (
        &["core.quotePath=false"],
        &["--binary", "--full-index", "-M"],
    ),
    (
        &["diff.mnemonicPrefix=true"],
        &["--binary", "--full-index", "-M"],
    ),
    (&[], &["--binary"]),
    (&[], &["--binary", "--full-index", "-M", "-R"]),
];

/// Reads the patch in every way and compares it with the raw difference.
fn check(repo: &Repo, name: &str, old: &str, new: &str) -> usize {
    let limits = Limits {
        allow_delta: true,
        ..Limits::default()
    };
    for (settings, options) in WAYS {
        let reverse = options.contains(&"-R");
        let raw = if reverse {
            repo.raw(new, old)
        } else {
            repo.raw(old, new)
        };
        let raw = raw::read(&raw).unwrap();
        let bytes = repo.diff(old, new, settings, options);
        let shown = String::from_utf8_lossy(&bytes);
        let patch =
            parse(&bytes, &limits).unwrap_or_else(|e| panic!("{name} {options:?}: {e}\n{shown}"));
        agrees(&patch, &raw).unwrap_or_else(|e| panic!("{name} {options:?}: {e}\n{shown}"));
        if !reverse && !options.contains(&"-U0") {
            let applied = raw::read(&repo.apply(old, &bytes).unwrap()).unwrap();
            assert_eq!(applied, raw, "{name} {options:?}");
        }
    }
    WAYS.len()
}

#[test]
fn every_kind_of_change_round_trips() {
    let repo = Repo::new();
    let old = repo.tree(&base());
    repo.prepare(&old);
    let mut read = 0;
    for (name, edit) in cases() {
        let mut files = base();
        edit(&mut files);
        read += check(&repo, name, &old, &repo.tree(&files));
    }
    println!("{read} patches of {} kinds of change read", cases().len());
}

#[test]
fn generated_histories_round_trip() {
    let repo = Repo::new();
    let mut random = Random(0x5eed);
    let mut files = base();
    let mut old = repo.tree(&files);
    for step in 0..30 {
        for _ in 0..=random.below(4) {
            change(&mut random, &mut files);
        }
        let new = repo.tree(&files);
        repo.prepare(&old);
        if old != new {
            check(&repo, &format!("step {step}"), &old, &new);
        }
        old = new;
    }
}

/// Makes one random change.
fn change(random: &mut Random, files: &mut Files) {
    let paths: Vec<Vec<u8>> = files.keys().cloned().collect();
    let path = random.pick(&paths).clone();
    match random.below(8) {
        0 => drop(files.insert(
            format!("f{}", random.below(1000)).into_bytes(),
            ("100644", text(0..random.below(30))),
        )),
        1 if files.len() > 8 => drop(files.remove(&path)),
        2 => {
            let file = files.remove(&path).unwrap();
            files.insert(
                format!("moved/{} to", random.below(1000)).into_bytes(),
                file,
            );
        }
        _ => {
            let (mode, content) = files.get_mut(&path).unwrap();
            if *mode != "160000" && *mode != "120000" {
                let at = random.below(content.len() + 1);
                let end = (at + random.below(60)).min(content.len());
                content.splice(at..end, text(0..random.below(3)));
            }
        }
    }
}

#[test]
fn mail_and_log_forms_are_read_with_their_covering_text() {
    let repo = Repo::new();
    let old = repo.tree(&base());
    let mut files = base();
    files.insert(b"x".to_vec(), ("100644", text(1..50)));
    files.insert(b"hollow".to_vec(), ("100644", Vec::new()));
    let new = repo.tree(&files);
    let commit = |tree: &str, parents: &[&str]| {
        let mut args = vec!["commit-tree", tree, "-m", "subject\n\nbody with - dashes"];
        args.extend(parents.iter().flat_map(|parent| ["-p", parent]));
        String::from_utf8(repo.git(&args))
            .unwrap()
            .trim()
            .to_owned()
    };
    let first = commit(&old, &[]);
    let second = commit(&new, &[&first]);
    let range = format!("{first}..{second}");
    for args in [
        &[
            "format-patch",
            "--stdout",
            "--binary",
            "--full-index",
            &range,
        ][..],
        &["show", "--binary", "--full-index", &second],
        &["log", "-1", "-p", "--stat", "--binary", &second],
    ] {
        let bytes = repo.git(args);
        let patch = parse(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{args:?}: {e}"));
        assert!(!patch.prologue.is_empty());
        agrees(&patch, &raw::read(&repo.raw(&old, &new)).unwrap()).unwrap();
    }
}

#[test]
fn text_of_a_section_is_what_the_new_file_holds() {
    let repo = Repo::new();
    let (old, mut files) = (repo.tree(&base()), base());
    let content = b"line 1 of some text\nkey = \"a\n  b\"\nlast".to_vec();
    files.insert(b"dir/other".to_vec(), ("100644", content.clone()));
    let bytes = repo.diff(&old, &repo.tree(&files), &[], &["--binary", "--full-index"]);
    let patch = parse(&bytes, &Limits::default()).unwrap();
    let section = &patch.sections[0];
    assert_eq!(
        (section.op, section.insertions, section.deletions),
        (Op::Modify, 3, 8)
    );
    let added: Vec<(usize, &[u8])> = section.added_text().collect();
    assert_eq!(added, [(2, &b"key = \"a"[..]), (3, b"  b\""), (4, b"last")]);
    assert_eq!(
        section.removed_text().next(),
        Some((2, &b"line 2 of some text"[..]))
    );
    let side: Vec<_> = section.new_text().collect();
    assert_eq!(side[0].text, content);
    assert_eq!(side[0].first_line, 1);
    assert_eq!(side[0].changed.get(..2), Some(&[false, true][..]));
    let old: Vec<_> = section.old_text().collect();
    assert!(
        old[0]
            .text
            .starts_with(b"line 1 of some text\nline 2 of some text\n")
    );
    assert_eq!(old[0].changed.get(..2), Some(&[false, true][..]));
}

#[test]
fn binary_content_is_decoded() {
    let repo = Repo::new();
    let (old, mut files) = (repo.tree(&base()), base());
    let content = common::binary(21, 4000);
    files.insert(b"image.bin".to_vec(), ("100644", content.clone()));
    let bytes = repo.diff(&old, &repo.tree(&files), &[], &["--binary", "--full-index"]);
    let patch = parse(&bytes, &Limits::default()).unwrap();
    let Body::Binary { new, old } = &patch.sections[0].body else {
        panic!("not binary")
    };
    assert_eq!(new, &content);
    assert_eq!(old.as_deref(), Some(&base()[&b"image.bin"[..]].1[..]));
}
