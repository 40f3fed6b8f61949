//! Telling a line that stands for code which was left out.

/// What stands for a part that is said to stay.
const WORDS: [&str; 13] = [
    "rest of",
    "remaining",
    "existing",
    "unchanged",
    "previous code",
    "same as before",
    "as before",
    "omitted",
    "other methods",
    "other functions",
    "your code",
    "code here",
    "stays the same",
];
/// The same said without dots.
const SENTENCES: [&str; 8] = [
    "rest of code unchanged",
    "rest of the code unchanged",
    "rest of the file unchanged",
    "rest of the code remains",
    "rest of the file remains",
    "rest of the code stays",
    "rest of file remains",
    "existing code unchanged",
];
const MARKS: [&str; 9] = ["//", "#", "/*", "*", "--", "<!--", ";", "%", "\""];

/// Whether a line stands for code that was left out.
pub(crate) fn is_placeholder(line: &[u8], is_new_file: bool) -> bool {
    let text = String::from_utf8_lossy(line).trim().to_lowercase();
    let bare = bare(&text);
    // In a new file there is nothing to leave out, and `...` is Python.
    if matches!(bare, "..." | "\u{2026}" | "[...]" | "(...)") {
        return !is_new_file;
    }
    let is_comment = bare.len() != text.len() || text.starts_with(['(', '[', '<', '{']);
    let has_dots = bare.starts_with("...")
        || bare.ends_with("...")
        || bare.starts_with('\u{2026}')
        || bare.ends_with('\u{2026}');
    let has_word = WORDS.iter().any(|word| bare.contains(word));
    let says = SENTENCES.iter().any(|sentence| bare.contains(sentence));
    (has_dots && has_word && (is_comment || bare.starts_with("...")))
        || (says && (is_comment || bare.len() < 60))
}

/// The text without the marks of a comment.
fn bare(text: &str) -> &str {
    let mut text = text;
    while let Some(rest) = MARKS.iter().find_map(|mark| text.strip_prefix(mark)) {
        text = rest.trim_start();
    }
    for end in ["*/", "-->"] {
        text = text.strip_suffix(end).unwrap_or(text).trim_end();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn what_stands_for_code_is_told_from_code() {
        for line in [
            "    ...",
            "// ... rest of code unchanged ...",
            "# ... existing code ...",
            "/* ... remaining methods ... */",
            "<!-- rest of the file remains the same -->",
            "    // rest of the code stays the same",
            "... (unchanged)",
            "\u{2026}",
            "# ...",
        ] {
            assert!(is_placeholder(line.as_bytes(), false), "{line}");
        }
        for line in [
            "print(\"Loading...\")",
            "// wait for the remaining bytes",
            "let [first, ...rest] = items;",
            "match existing { .. }",
            "fn f(args: ...) {",
            "The rest of the queue is read at once.",
            "foo(a, b, ...)",
        ] {
            assert!(!is_placeholder(line.as_bytes(), false), "{line}");
        }
        assert!(!is_placeholder(b"    ...", true));
        assert!(is_placeholder(b"# ... rest of code unchanged", true));
    }
}
