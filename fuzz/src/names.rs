//! Names: how they are quoted, and which of them may be written.

use crate::is_printable;
use baton_patch::path::{self, PATH_BYTES, PathProblem};
use baton_patch::{Code, Limits, Op, is_clean_relative, parse, quote, unquote};

/// Quoting is undone exactly, and a name that we quote is read from a patch as itself.
///
/// # Panics
/// When it is not.
pub fn quoting(bytes: &[u8]) {
    let quoted = quote(bytes);
    assert!(quoted.len() <= 4 * bytes.len() + 2);
    assert!(quoted.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    assert_eq!(unquote(quoted.as_bytes()).as_deref(), Some(bytes));
    let is_quoted = quoted.starts_with('"');
    assert!(is_quoted || quoted.as_bytes() == bytes);
    match unquote(bytes) {
        Some(name) => {
            assert!(bytes.starts_with(b"\"") || name == bytes);
            assert!(name.len() <= bytes.len());
            assert_eq!(unquote(quote(&name).as_bytes()), Some(name));
        }
        None => assert!(bytes.starts_with(b"\"")),
    }
    read_from_a_patch(bytes);
}

/// Puts the name into the smallest patch there is: the reader takes it if, and only if, it may be
/// written.
fn read_from_a_patch(name: &[u8]) {
    let label = |prefix: &[u8]| quote(&[prefix, name].concat());
    let patch = format!(
        "diff --git {} {}\nold mode 100644\nnew mode 100755\n",
        label(b"a/"),
        label(b"b/")
    );
    let may = path::check(name);
    match parse(patch.as_bytes(), &Limits::default()) {
        Ok(read) => {
            assert_eq!(may, Ok(()));
            let changes = read.changes();
            assert_eq!(changes.len(), 1);
            assert!(changes.iter().all(|c| c.path == name && c.op == Op::Modify));
        }
        Err(refusal) => {
            assert!(may.is_err(), "{refusal}");
            let expected = match may {
                Err(PathProblem::TooLong) => Code::PathTooLong,
                _ => Code::UnsafePath,
            };
            // Whatever else is wrong with a path that is too long is not looked at.
            assert!(refusal.code == expected || name.len() > PATH_BYTES);
        }
    }
}

/// A path that may be written stays below its root, in every reading; and the helpers around it
/// keep their word.
///
/// # Panics
/// When one does not.
pub fn paths(bytes: &[u8]) {
    match path::check(bytes) {
        Ok(()) => stays_below(bytes),
        Err(problem) => assert!(is_printable(problem.as_str())),
    }
    let warnings = path::warnings(bytes);
    assert!(warnings.is_sorted() && warnings.windows(2).all(|pair| pair.first() != pair.last()));
    let has_not_utf8 = warnings.contains(&path::PathWarning::NotUtf8);
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            assert!(!has_not_utf8);
            assert_eq!(is_clean_relative(text), path::check(bytes).is_ok());
            folds(text);
        }
        Err(_) => assert!(has_not_utf8),
    }
}

/// The same rules once more, written from the other end: by parts, and without a shared helper.
fn stays_below(path: &[u8]) {
    assert!(path.len() <= PATH_BYTES && !path.is_empty());
    assert!(!path.iter().any(|byte| matches!(byte, 0 | b'\\')));
    for part in path.split(|byte| *byte == b'/') {
        assert!(!matches!(part, b"" | b"." | b".."));
        let lower = part.to_ascii_lowercase();
        assert!(!matches!(lower.as_slice(), b".git" | b"git~1"));
        for start in [&b".git."[..], b".git ", b".git:"] {
            let rest = lower.strip_prefix(start);
            // Past the dots and blanks that Windows drops there must be something that makes it
            // another name, and not a stream.
            assert!(rest.is_none_or(|rest| {
                start.last() != Some(&b':')
                    && !matches!(
                        rest.iter().find(|byte| !matches!(byte, b'.' | b' ')),
                        None | Some(b':')
                    )
            }));
        }
    }
    // Each folder on the way may be written too.
    for (at, byte) in path.iter().enumerate() {
        if *byte == b'/' {
            assert_eq!(path.get(..at).map(path::check), Some(Ok(())));
        }
    }
}

/// Paths that differ in ASCII case alone have one key, and the key is its own key.
fn folds(text: &str) {
    let key = path::fold(text.as_bytes());
    assert_eq!(path::fold(&key), key);
    for variant in [text.to_ascii_uppercase(), text.to_ascii_lowercase()] {
        assert_eq!(path::fold(variant.as_bytes()), key);
    }
    if text.is_ascii() && path::check(text.as_bytes()).is_ok() {
        let parts = key.split(|byte| *byte == b'/');
        assert_eq!(parts.filter(|part| *part == b".git").count(), 0);
    }
}
