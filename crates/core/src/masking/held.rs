//! Keys and tokens that this run was handed. No rule knows them by their form, and a server may quote what it was
//! sent, so that each is looked for as it is and as JSON or an address would write it.

use std::sync::{PoisonError, RwLock};

/// A shorter one is a word, and would be found everywhere.
const SHORTEST: usize = 8;
/// Four escapes, one in the other, put so many backslashes before a byte. A text of nothing else must not be read
/// anew from each of its places.
const MOST_SLASHES: usize = 15;
/// What is shown in place of one.
const HIDDEN: &[u8] = b"***";

static HELD: RwLock<Vec<Vec<u8>>> = RwLock::new(Vec::new());

/// Takes in a key: from here on nothing that is said or kept shows it.
pub fn hold(key: &str) {
    let mut key = key.as_bytes().to_vec();
    // However often a backslash is escaped, it is read as one.
    key.dedup_by(|byte, before| *byte == b'\\' && *before == b'\\');
    let mut held = HELD.write().unwrap_or_else(PoisonError::into_inner);
    if key.len() >= SHORTEST && !held.contains(&key) {
        held.push(key);
        // One may be the beginning of another.
        held.sort_by_key(|key| std::cmp::Reverse(key.len()));
    }
}

/// The text without the keys that this run holds; `None` when it shows none.
#[must_use]
pub fn without_held(text: &[u8]) -> Option<Vec<u8>> {
    let held = HELD.read().unwrap_or_else(PoisonError::into_inner);
    if held.is_empty() {
        return None;
    }
    let mut shown = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(length) = held.iter().find_map(|key| quoted(rest, key)) else {
            at += 1;
            continue;
        };
        shown.extend_from_slice(text.get(copied..at).unwrap_or_default());
        shown.extend_from_slice(HIDDEN);
        at += length;
        copied = at;
    }
    if copied == 0 {
        return None;
    }
    shown.extend_from_slice(text.get(copied..).unwrap_or_default());
    Some(shown)
}

/// How long the key is that a text begins with.
fn quoted(text: &[u8], key: &[u8]) -> Option<usize> {
    key.iter().try_fold(0, |at, byte| {
        let rest = text.get(at..).unwrap_or_default();
        Some(at + written(rest, *byte)?)
    })
}

/// How long the byte is that a text begins with, written as it is, behind backslashes, as `\u002b` or as `%2B`.
fn written(text: &[u8], byte: u8) -> Option<usize> {
    let slashes = text.iter().take(MOST_SLASHES);
    let slashes = slashes.take_while(|byte| **byte == b'\\').count();
    if byte == b'\\' {
        return (slashes > 0).then_some(slashes);
    }
    let is_code = |digits: Option<&[u8]>| {
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) == Some(byte)
    };
    match text.get(slashes..)? {
        [first, ..] if *first == byte => Some(slashes + 1),
        [b'u', b'0', b'0', code @ ..] if slashes > 0 && is_code(code.get(..2)) => Some(slashes + 5),
        [b'%', code @ ..] if slashes == 0 && is_code(code.get(..2)) => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_backslashes_is_read_once() {
        hold("\"quoted-key");
        // Read anew from each place it takes hours.
        let text = ["\\".repeat(4 << 20), "x\\\"quoted-key".to_owned()].concat();
        let shown = without_held(text.as_bytes()).unwrap();
        assert!(shown.ends_with(b"\\x***") && shown.len() < text.len());
    }

    #[test]
    fn a_held_key_is_hidden_in_every_form() {
        hold("ab+c/d\\e\"f==");
        hold("short");
        let shown =
            |text: &str| without_held(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        for text in [
            "ab+c/d\\e\"f==",
            "ab\\u002bc\\/d\\\\e\\\"f==",
            "ab%2Bc%2fd\\e%22f%3D%3d",
            "\\u0061b\\u002Bc/d\\\\\\\\e\\\\\"f\\u003d=",
        ] {
            assert_eq!(
                shown(&format!("key <{text}>, {text}!")).as_deref(),
                Some("key <***>, ***!"),
                "{text}"
            );
        }
        for text in [
            "ab+c/d\\e\"f=",
            "short",
            "",
            "ab+c/",
            "ab\\u102bc/d\\e\"f==",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
