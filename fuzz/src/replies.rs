//! Replies of models: whatever they say, what comes of it touches offered files only, holds nothing but
//! lines of the old file and of the reply, and is the same each time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use baton_patch::path;
use patch_draft::reply::{
    Files, Format, Limits, Nearness, Old, Rejected, Resolved, Text, further_prompt, read,
};

/// The files that may change, as the base has them.
const FILES: [(&str, &[u8]); 6] = [
    (
        "src/g.py",
        b"import os\n\ndef one():\n    return 1\n\n# two\ndef two():\n    return 2\n\ndef three():\n    return 3\n",
    ),
    ("src/open.txt", b"a\nb\nc"),
    ("src/dos.txt", b"a\r\nb\r\nc\r\n"),
    ("src/mixed.txt", b"a\r\nb\nc\n"),
    ("docs/read me.md", b"# x\n\n```sh\nmake\n```\n\n```sh\nmake\n```\n"),
    ("src/empty", b""),
];
/// Files that may be made.
const NEW: [&str; 2] = ["src/new.txt", "b/src/new.txt"];

/// Reads the bytes as a reply. The first byte chooses the form, whether repairs may guess, and whether a
/// frame was closed; where its highest bit is set, what stands before the first NUL is a file too.
///
/// # Panics
/// When one of the properties does not hold.
pub fn replies(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let format = match choice % 3 {
        0 => Format::Whole,
        1 => Format::SearchReplace,
        _ => Format::Udiff,
    };
    let cut = rest.iter().position(|byte| *byte == 0);
    let (given, reply) = match cut.filter(|_| choice & 0x80 != 0) {
        Some(at) => (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
        None => (None, rest),
    };
    let (fuzz, is_closed) = (choice & 0x40 != 0, choice & 0x20 != 0);
    let files = files(given);
    let once = resolve(format, reply, is_closed, fuzz, &files);
    let again = resolve(format, reply, is_closed, fuzz, &files);
    assert_eq!(once, again, "the same reply, the same answer");
    match &once {
        Ok(resolved) => accepted(resolved, reply, &files, fuzz),
        Err(rejected) => refused(rejected, format),
    }
    // Guessing is what comes last: it changes nothing that holds without it.
    if let (false, Ok(_)) = (fuzz, &once) {
        assert_eq!(once, resolve(format, reply, is_closed, true, &files));
    }
}

fn files(given: Option<&[u8]>) -> Files {
    let known = FILES
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Old::File(text.to_vec())));
    let new = NEW.iter().map(|path| ((*path).to_owned(), Old::Missing));
    let link = (
        "src/link".to_owned(),
        Old::NoFile("it is a symbolic link".to_owned()),
    );
    let mut old: BTreeMap<String, Old> = known.chain(new).chain([link]).collect();
    if let Some(given) = given {
        old.insert("src/given".to_owned(), Old::File(given.to_vec()));
    }
    Files {
        old,
        folders: BTreeSet::new(),
    }
}

fn resolve(
    format: Format,
    reply: &[u8],
    is_closed: bool,
    fuzz: bool,
    files: &Files,
) -> Result<Resolved, Rejected> {
    let limits = Limits::default();
    let offers = |path: &str| files.old.contains_key(path);
    let text = Text {
        is_closed,
        ..Text::bare(reply)
    };
    let parsed = read(format, text, &offers, &limits)?;
    for path in parsed.paths() {
        assert_eq!(path::check(path.as_bytes()), Ok(()), "{path:?}");
    }
    parsed.resolve(files, fuzz, &limits)
}

fn plain(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn accepted(resolved: &Resolved, reply: &[u8], files: &Files, fuzz: bool) {
    assert!(!resolved.changes.is_empty());
    let mut seen = HashSet::new();
    for change in &resolved.changes {
        assert!(seen.insert(&change.path), "{} twice", change.path);
        match files.old.get(&change.path) {
            Some(Old::Missing) => assert_eq!(change.old, None),
            Some(Old::File(text)) => assert_eq!(change.old.as_ref(), Some(text)),
            other => assert!(other.is_none(), "{other:?} was changed"),
        }
        assert!(files.old.contains_key(&change.path), "{}", change.path);
        assert!(!change.new.is_empty() && change.old.as_ref() != Some(&change.new));
        lines_are_known(
            change.old.as_deref().unwrap_or_default(),
            &change.new,
            reply,
            fuzz,
        );
        one_kind_of_end(change.old.as_deref(), &change.new, reply);
    }
    let worst = match resolved.repairs.as_slice() {
        [] => Nearness::Clean,
        repairs if repairs.iter().any(|repair| repair.id.is_fuzzy()) => Nearness::Fuzzy,
        _ => Nearness::Repaired,
    };
    assert_eq!(resolved.nearness, worst);
    assert!(fuzz || worst != Nearness::Fuzzy);
    assert!(resolved.repairs.len() <= Limits::default().repairs);
}

/// Nothing is made up: each line stood in the old file, or stands in the reply behind at most a marker.
/// A hunk that is shifted has lines with other blanks before them.
fn lines_are_known(old: &[u8], new: &[u8], reply: &[u8], fuzz: bool) {
    let key = |line: &[u8]| {
        let line = plain(line);
        if fuzz {
            line.trim_ascii_start().to_vec()
        } else {
            line.to_vec()
        }
    };
    let mut known: HashSet<Vec<u8>> = old.split(|byte| *byte == b'\n').map(key).collect();
    for line in reply.split(|byte| *byte == b'\n') {
        known.insert(key(line));
        known.insert(key(line.get(1..).unwrap_or_default()));
        // A marker's CR is one, and a line's own another.
        known.insert(key(plain(line)));
        known.insert(key(plain(line.get(1..).unwrap_or_default())));
    }
    for line in new.split(|byte| *byte == b'\n') {
        assert!(
            known.contains(&key(line)),
            "{:?} is made up",
            line.escape_ascii().to_string()
        );
    }
}

/// A file whose lines all end alike keeps that, unless the reply itself has a CR somewhere.
fn one_kind_of_end(old: Option<&[u8]>, new: &[u8], reply: &[u8]) {
    let ends = |text: &[u8]| {
        let with = text.windows(2).filter(|pair| *pair == b"\r\n").count();
        (
            with,
            text.iter().filter(|byte| **byte == b'\n').count() - with,
        )
    };
    // A CR that ends no line is part of one.
    let stray = |text: &[u8]| {
        let all = text.iter().filter(|byte| **byte == b'\r').count();
        all != ends(text).0
    };
    if reply.contains(&b'\r') || old.is_some_and(stray) {
        return;
    }
    match old.map(ends) {
        None | Some((0, _)) => assert_eq!(ends(new).0, 0),
        Some((_, 0)) => assert_eq!(ends(new).1, 0),
        Some(_) => {}
    }
}

fn refused(rejected: &Rejected, format: Format) {
    assert!(!rejected.refusals.is_empty());
    for refusal in &rejected.refusals {
        assert!(refusal.message.chars().count() <= 400);
        assert!(
            !refusal.message.chars().any(char::is_control),
            "{refusal:?}"
        );
        let broken = |fine: &&(String, usize)| {
            Some(&fine.0) == refusal.path.as_ref() && fine.1 == refusal.hunk
        };
        assert_eq!(rejected.fine.iter().find(broken), None);
    }
    let prompt = further_prompt("", format, rejected, "f00d");
    assert!(prompt.len() < 128 << 10, "{} bytes", prompt.len());
}
