//! Whether a place lies in a comment. A call that is written about is no call.
//!
//! Only what is surely a comment counts: a mark outside of quotes, and no quote or closing mark
//! between it and the place. In doubt a place is code.

use crate::language::{Languages, Marks};

/// Whether the place at `at` stands behind a comment's mark in its line.
pub(crate) fn begins_in_comment(text: &[u8], at: usize, languages: Languages) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    let line = before.get(start..).unwrap_or_default();
    // The first bytes of a match may be the blanks or the sign before the word that it is about.
    let rest = text.get(at..).unwrap_or_default();
    let lead = rest
        .iter()
        .take_while(|byte| !byte.is_ascii_alphanumeric() && **byte != b'\n');
    let line = text
        .get(start..start + line.len() + lead.count())
        .unwrap_or(line);
    // `//go:generate` is an order to a tool.
    if text.get(start..).unwrap_or_default().starts_with(b"//go:") {
        return false;
    }
    let marks = languages.comment_marks();
    is_starred(line, marks) || mark_of(line, marks).is_some()
}

/// A line of a block comment in languages that have no pointers to dereference.
fn is_starred(line: &[u8], marks: Marks) -> bool {
    marks.stars && line.trim_ascii_start().starts_with(b"* ") && !holds_closing(line)
}

/// Where a comment begins in a piece of a line.
fn mark_of(line: &[u8], marks: Marks) -> Option<usize> {
    let mut quotes = [0_usize; 3];
    for (at, byte) in line.iter().enumerate() {
        let rest = line.get(at..).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|at| line.get(at)).copied();
        let is_open = quotes.iter().all(|count| count % 2 == 0);
        let free = before.is_none_or(|byte| byte.is_ascii_whitespace() || byte == b';');
        let is_mark = (marks.hash && *byte == b'#' && free)
            || (marks.slashes && rest.starts_with(b"//") && !matches!(before, Some(b':' | b'\\')))
            || (marks.slashes && rest.starts_with(b"/*"))
            || (marks.dashes && rest.starts_with(b"--") && free)
            || (marks.semicolon
                && *byte == b';'
                && before.is_none_or(|byte| byte.is_ascii_whitespace()));
        if is_mark && is_open && !holds_closing(rest) {
            return Some(at);
        }
        match byte {
            b'"' => quotes[0] += 1,
            b'\'' => quotes[1] += 1,
            b'`' => quotes[2] += 1,
            _ => {}
        }
    }
    None
}

/// Whether a comment or a text over many lines may end here, so that code follows.
fn holds_closing(text: &[u8]) -> bool {
    let quote = text.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    quote || memchr::memmem::find(text, b"*/").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_comment(path: &str, text: &str) -> bool {
        let at = text.find("call").unwrap();
        begins_in_comment(text.as_bytes(), at, Languages::of(path.as_bytes(), None))
    }

    #[test]
    fn only_what_is_surely_a_comment_counts() {
        for (path, text) in [
            ("a.py", "# call(x)"),
            ("a.py", "x = 1\n    y = 'a#b'  # then call(x)"),
            ("a.sh", "echo hi  # call x"),
            ("a.js", "// call(x)"),
            ("a.js", "const a = 'b'; // call(x)"),
            ("a.ts", " * call(x)"),
            ("a.go", "/* call(x) */"),
            ("a.lua", "-- call(x)"),
        ] {
            assert!(is_comment(path, text), "{text}");
        }
        for (path, text) in [
            ("a.py", "call(x)  # why"),
            ("a.py", "x = 'a # b' + call(x)"),
            ("a.py", "x = \"\"\"a\" # \"\"\"; call(x)"),
            ("a.sh", "echo ${#list} call"),
            ("a.sh", "echo it's # \n call"),
            ("a.sh", "echo it's # call"),
            ("a.js", "fetch('http://x/' + call)"),
            ("a.js", "/* why */ call(x)"),
            ("a.c", "* call(x) = 1;"),
            ("a.go", "//go:generate call x"),
            ("a.py", "a //call"),
            ("a.md", "# call"),
        ] {
            assert!(!is_comment(path, text), "{text}");
        }
    }
}
