//! How much of a file says something: code that stands between the marks of a comment is as good as gone.
//! Elsewhere what may be code counts as code; here a comment over several lines is left out wherever it has
//! a beginning and an end, in the old text as in the new one.

use std::borrow::Cow;

use memchr::memmem;

use crate::language::Languages;
use crate::language::comment::{SLASHES, comment_in};

/// What begins a comment over several lines, what ends it, and the languages that have it.
pub(crate) const BLOCKS: [(&str, &str, &[&str]); 13] = [
    ("/*", "*/", &SLASHES),
    ("/*", "*/", &["hcl", "sql"]),
    ("#if 0", "#endif", &["c", "cpp", "objc"]),
    ("\"\"\"", "\"\"\"", &["python"]),
    ("'''", "'''", &["python"]),
    ("=begin", "=end", &["ruby"]),
    ("=pod", "=cut", &["perl"]),
    ("--[[", "]]", &["lua"]),
    ("{-", "-}", &["haskell"]),
    ("<#", "#>", &["powershell"]),
    ("#=", "=#", &["julia"]),
    ("#[", "]#", &["nim"]),
    ("(*", "*)", &["fsharp"]),
];

/// So much of a line is read before a mark, in bytes.
const LONGEST_HEAD: usize = 200;

/// How many lines hold a letter or a digit outside of comments.
pub(crate) fn lines_of_code(text: &[u8], languages: Languages) -> u64 {
    let text = without_blocks(text, languages);
    let lines = text.split(|byte| *byte == b'\n');
    let speaks = |line: &&[u8]| {
        let comment = comment_in(line, languages, || Cow::Borrowed(&[]));
        let code = line.get(..comment.start).filter(|_| !comment.is_empty());
        code.unwrap_or(line).iter().any(u8::is_ascii_alphanumeric)
    };
    lines.filter(speaks).count() as u64
}

/// A mark that begins a comment, and where it stands next; it is looked for once, however many others there are.
struct Block {
    open: &'static [u8],
    close: &'static [u8],
    next: Option<usize>,
    /// Whether what closes it may still come.
    closes: bool,
}

impl Block {
    /// Looks for the mark from a place on, unless it is known to stand further on.
    fn look(&mut self, text: &[u8], from: usize) {
        if self.next.is_some_and(|next| next < from) {
            self.next = find(text, from, self.open);
        }
    }

    /// The place behind what closes it.
    fn end(&mut self, text: &[u8], start: usize) -> Option<usize> {
        if self.closes {
            let end = find(text, start + self.open.len(), self.close);
            self.closes = end.is_some();
            return end.map(|end| end + self.close.len());
        }
        None
    }
}

fn find(text: &[u8], from: usize, mark: &[u8]) -> Option<usize> {
    memmem::find(text.get(from..)?, mark).map(|at| from + at)
}

/// The text without its comments over several lines.
fn without_blocks(text: &[u8], languages: Languages) -> Vec<u8> {
    let known = BLOCKS.iter().filter(|(.., of)| languages.is_any(of));
    let block = |(open, close, _): &(&'static str, &'static str, _)| Block {
        open: open.as_bytes(),
        close: close.as_bytes(),
        next: find(text, 0, open.as_bytes()),
        closes: true,
    };
    let mut known: Vec<Block> = known.map(block).collect();
    let mut left = Vec::with_capacity(text.len());
    let mut at = 0;
    loop {
        known.iter_mut().for_each(|block| block.look(text, at));
        let there = known.iter_mut().filter(|block| block.next.is_some());
        let Some(block) = there.min_by_key(|block| block.next) else {
            break;
        };
        let start = block.next.unwrap_or(at);
        let begins = begins(text, start, block.open);
        // A text in such quotes is no comment, and what it holds begins none.
        let is_over = begins || block.open == block.close;
        let end = is_over.then(|| block.end(text, start)).flatten();
        let next = end.unwrap_or(start + block.open.len());
        let kept = if begins && end.is_some() { start } else { next };
        left.extend_from_slice(text.get(at..kept).unwrap_or_default());
        at = next;
    }
    left.extend_from_slice(text.get(at..).unwrap_or_default());
    left
}

/// Whether a mark begins a comment: at the beginning of its line, or behind code without quotes and without
/// the mark of a line's comment, in which it may be part of a text. Far behind it is code.
fn begins(text: &[u8], at: usize, open: &[u8]) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let near = before.get(at.saturating_sub(LONGEST_HEAD)..);
    let near = near.unwrap_or_default();
    let head = match memchr::memrchr(b'\n', near) {
        Some(end) => near.get(end + 1..).unwrap_or_default(),
        None if near.len() == before.len() => near,
        None => return false,
    };
    let head = head.trim_ascii();
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`' | b'#' | b'/');
    head.is_empty() || open == b"/*" && !head.iter().any(is_quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> u64 {
        lines_of_code(text.as_bytes(), Languages::of(path.as_bytes(), None))
    }

    #[test]
    fn code_between_the_marks_of_a_comment_is_gone() {
        let code = "call(\"a\");\ncall('b');\n".repeat(4);
        for (path, text, left) in [
            ("a.js", code.clone(), 8),
            ("a.js", format!("/*\n{code}*/\n"), 0),
            ("a.js", format!("let x = 1; /*\n{code}*/\n"), 1),
            ("a.js", format!("/* one */\n{code}/* two */\n"), 8),
            ("a.js", format!("const g = 'src/*.js';\n{code}/* x */\n"), 9),
            ("a.js", format!("/*\n{code}"), 9 - 1),
            ("a.c", format!("#if 0\n{code}#endif\n"), 0),
            ("a.py", format!("\"\"\"\n{code}\"\"\"\n"), 0),
            ("a.py", format!("x = \"\"\"\n{code}\"\"\"\n{code}"), 17),
            ("a.rb", format!("=begin\n{code}=end\nx\n"), 1),
            ("a.lua", format!("--[[\n{code}]]\n"), 0),
        ] {
            assert_eq!(count(path, &text), left, "{path} {text}");
        }
    }
    #[test]
    fn many_marks_are_read_once() {
        for text in [
            "/* */ ",
            "/*",
            "\n/*",
            "\"\"\" ",
            "'''\"\"\"\n",
            "#if 0\n",
            "/*/\n",
        ] {
            let text = text.repeat(300_000);
            for name in ["a.c", "a.py"] {
                let languages = Languages::of(name.as_bytes(), None);
                let left = without_blocks(text.as_bytes(), languages);
                assert!(left.len() <= text.len(), "{name}");
            }
        }
    }
}
