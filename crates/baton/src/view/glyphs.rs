//! Text as a person is shown it before they approve: whatever does not look like what it is stands
//! there with its code point.

use baton_core::terminal::visible_line;
use baton_risk::drawn_like;

/// A run of blanks inside a line longer than this is written as its length.
const BLANKS: usize = 24;
/// The same at the beginning of a line, where blanks are layout.
const INDENT: usize = 64;

/// A line's content, made plain. Nothing in the result steers a terminal, hides, or passes for an
/// ASCII letter that it is not.
pub(crate) fn line(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    for chunk in text.utf8_chunks() {
        words(chunk.valid(), &mut shown);
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    blanks(&shown)
}

/// A path, quoted when anything in it needs a second look. In a path no letter may pass for another.
pub(crate) fn path(path: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => shown.push_str("\\\""),
                '\\' => shown.push_str("\\\\"),
                '\t' => shown.push_str("\\t"),
                c if hides(c) || confusable(c) => shown.push_str(&escaped(c)),
                c => shown.push_str(&visible_line(c.encode_utf8(&mut [0; 4]))),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@,=~#%".contains(c);
    if shown.chars().all(plain) {
        return shown;
    }
    format!("\"{shown}\"")
}

/// Whether letters in it are written from right to left: then a terminal may move what stands beside
/// them, and no escape shows that.
pub(crate) fn goes_left(text: &[u8]) -> bool {
    let left = |c: char| {
        matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    };
    String::from_utf8_lossy(text).chars().any(left)
}

/// How many columns a text takes at most.
pub(crate) fn columns(c: char) -> usize {
    match c {
        '\t' => 4,
        '\u{1100}'.. => 2,
        _ => 1,
    }
}

fn escaped(c: char) -> String {
    c.escape_unicode().to_string()
}

/// Word by word, for only beside its neighbours a letter can be told to pass for another.
fn words(text: &str, shown: &mut String) {
    let is_in = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|c| is_in(c) != is_in(first))
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        if !part.is_ascii() && is_in(first) {
            word(part, shown);
            continue;
        }
        for c in part.chars() {
            match c {
                c if hides(c) || (!c.is_alphanumeric() && confusable(c)) => {
                    shown.push_str(&escaped(c));
                }
                c => shown.push_str(&visible_line(c.encode_utf8(&mut [0; 4]))),
            }
        }
    }
}

fn word(word: &str, shown: &mut String) {
    let mixed = word.chars().any(|c| c.is_ascii_alphabetic());
    let whole = word.chars().all(|c| c.is_ascii() || confusable(c));
    for c in word.chars() {
        if hides(c) || ((mixed || whole) && confusable(c)) {
            shown.push_str(&escaped(c));
        } else {
            shown.push_str(&visible_line(c.encode_utf8(&mut [0; 4])));
        }
    }
}

/// Characters that [`visible_line`] leaves, and that are blank, have no fixed shape, or stand on the
/// one before them.
fn hides(c: char) -> bool {
    let is_blank = matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2800}' | '\u{3000}'
    );
    let is_stacked = matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}');
    let has_no_shape = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fffc}' | '\u{13430}'..='\u{1345f}'
        | '\u{1d159}' | '\u{f0000}'..='\u{10ffff}');
    is_blank || is_stacked || has_no_shape
}

/// Whether a character is drawn like one of ASCII, by the Unicode list of confusable characters.
fn confusable(c: char) -> bool {
    // Quotes, dashes and dots of ordinary prose are drawn wide enough to be told apart.
    if c.is_ascii() || matches!(c, '\u{b7}' | '\u{2010}'..='\u{2023}' | '\u{2025}'..='\u{2027}') {
        return false;
    }
    drawn_like(c).is_some()
}

/// Tabs become arrows, long runs of blanks their length, and blanks at the end dots.
fn blanks(text: &str) -> String {
    let is_blank = |c: char| matches!(c, ' ' | '\t');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|c| is_blank(c) != is_blank(first))
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        if !is_blank(first) {
            out.push_str(part);
            continue;
        }
        let count = part.chars().count();
        let most = if out.is_empty() { INDENT } else { BLANKS };
        let last = rest.is_empty();
        if count > most {
            let with = if part.contains('\t') {
                ", tabs among them"
            } else {
                ""
            };
            out.push_str(&format!("[{count} blanks{with}]"));
            continue;
        }
        for c in part.chars() {
            out.push_str(match c {
                '\t' => "→   ",
                _ if last => "·",
                _ => " ",
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "let a = 1; // plain",
            "caf\u{e9} na\u{ef}ve – “quoted” … 漢字 ✓ 🦀",
            "# это проверка кода",
            "\u{3b2} * \u{394}t",
        ] {
            assert_eq!(line(text.as_bytes()), text);
        }
        assert_eq!(path(b"src/a-b_c.rs"), "src/a-b_c.rs");
    }

    #[test]
    fn nothing_hides_in_any_text() {
        for code in (0..=0x10_ffff_u32).filter_map(char::from_u32) {
            let text = format!("a{code}b");
            let shown = line(text.as_bytes());
            let named = shown.contains("\\u{") || code == '\n' || code == '\r';
            assert!(!code.is_control() || named || code == '\t', "{code:?}");
            assert!(!hides(code) || named, "{code:?}");
        }
    }
}
