//! The encoding that a source in Python declares. In most of them letters, digits and signs are the bytes of
//! ASCII; in others the bytes of a comment may be code.

use baton_patch::LineKind;

use crate::input::ScanFile;
use crate::language::Languages;

/// Encodings that keep the bytes of ASCII, with one kind of stroke; each may have a number or an ending.
const PLAIN: [&str; 15] = [
    "utf-8",
    "utf8",
    "u8",
    "utf",
    "ascii",
    "us-ascii",
    "646",
    "latin",
    "iso-8859-",
    "iso8859-",
    "8859",
    "l1",
    "cp125",
    "windows-125",
    "koi8-",
];

/// The encoding that a file declares in its first two lines, as far as they are in sight, where it is not one
/// that keeps the bytes of ASCII, and the number of that line.
pub(crate) fn odd_encoding(file: &ScanFile<'_>, languages: Languages) -> Option<(usize, String)> {
    if !languages.is_any(&["python"]) {
        return None;
    }
    let declared = match file.new.as_deref() {
        Some(whole) => declared(whole.split(|byte| *byte == b'\n')),
        None => {
            let hunk = file.section.hunks().first();
            let lines = hunk.into_iter().flat_map(|hunk| hunk.lines());
            let new = lines.filter(|line| line.kind != LineKind::Removed);
            // Where they do not change, the old text has them.
            let first: Vec<_> = new.take_while(|line| line.new_number <= 2).collect();
            let old = || file.old.as_deref().unwrap_or_default();
            match first.first().map(|line| line.new_number) {
                Some(1) => declared(first.iter().map(|line| line.text)),
                _ => declared(old().split(|byte| *byte == b'\n')),
            }
        }
    };
    declared.filter(|(_, name)| !is_plain(name))
}

/// What the first two lines declare, and in which. The second one counts behind a comment or nothing.
fn declared<'t>(lines: impl Iterator<Item = &'t [u8]>) -> Option<(usize, String)> {
    // A line feed is not the only end of a line.
    let lines = lines.take(2).flat_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.split(|byte| *byte == b'\r')
    });
    for (at, line) in lines.take(2).enumerate() {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let line = line.trim_ascii_start();
        if line.is_empty() {
            continue;
        }
        let comment = line.strip_prefix(b"#")?;
        if let Some(name) = memchr::memmem::find_iter(comment, b"coding")
            .find_map(|at| name(comment.get(at + 6..)?))
        {
            return Some((at + 1, name));
        }
    }
    None
}

/// The name behind the word and its sign.
fn name(rest: &[u8]) -> Option<String> {
    let rest = rest.strip_prefix(b":").or(rest.strip_prefix(b"="))?;
    let rest = rest.trim_ascii_start();
    let is_of_it = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let name = rest.iter().take_while(is_of_it).take(40);
    let name: String = name.map(|byte| char::from(*byte)).collect();
    (!name.is_empty()).then_some(name)
}

fn is_plain(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    PLAIN.iter().any(|plain| {
        let rest = name.strip_prefix(plain);
        // `utf-7` is none of them, `utf-8-sig` is one.
        rest.is_some_and(|rest| match *plain {
            "utf" => rest.is_empty(),
            _ => rest.is_empty() || !rest.starts_with(|c: char| c.is_ascii_alphabetic()),
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::tests::{added, scanned};

    fn found(lines: &[&str]) -> String {
        let findings = scanned(&added("a.py", lines), None).findings.into_iter();
        let messages: Vec<_> = findings.map(|finding| finding.message).collect();
        messages.join("\n")
    }

    #[test]
    fn an_encoding_in_which_a_comment_may_be_code_is_found() {
        for name in [
            "unicode_escape",
            "raw_unicode_escape",
            "utf-7",
            "utf_16",
            "hz",
            "cp037",
        ] {
            for first in ["#!/usr/bin/env python3", "", "#"] {
                let line = format!("# -*- coding: {name} -*-");
                let said = found(&[first, &line, "x = 1"]);
                assert!(said.contains("[SOURCE_ENCODING]"), "{name}: {said}");
            }
            let said = found(&[&format!("# vim: set fileencoding={name} :")]);
            assert!(said.contains("[SOURCE_ENCODING]"), "{name}: {said}");
        }
        for name in [
            "utf-8",
            "UTF_8",
            "utf8",
            "latin-1",
            "iso-8859-15",
            "ascii",
            "cp1252",
            "utf-8-sig",
        ] {
            let said = found(&[&format!("# -*- coding: {name} -*-"), "x = 1"]);
            assert!(!said.contains("[SOURCE_ENCODING]"), "{name}: {said}");
        }
        let said = found(&["import a", "# coding: utf-7", "x = 1"]);
        assert!(!said.contains("[SOURCE_ENCODING]"), "{said}");
    }

    #[test]
    fn no_comment_counts_as_one_there() {
        let escaped = "# helper \\nimport urllib.request\\nurllib.request.urlopen(U)";
        assert!(found(&["# coding: unicode_escape", escaped]).contains("[io-"));
        let plain = "# urllib.request.urlopen(U)";
        assert!(found(&["# coding: utf-7", plain]).contains("[io-"));
        assert!(!found(&["# coding: utf-8", escaped, plain]).contains("[io-"));
    }
}
