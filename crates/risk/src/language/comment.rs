//! Whether a place lies in a comment. A call that is written about is no call.
//!
//! Only what is surely a comment counts. A mark may stand in a text over many lines, of which a patch
//! shows a part, so a comment ends where such a text could run something (`$(`, `${`, a backtick),
//! where any language closes a comment or a text, and where a quote stands. In doubt a place is code.

use std::borrow::Cow;
use std::ops::Range;

use crate::language::Languages;

/// What ends a comment, or runs code in the middle of a text that looks like one.
const ENDS: [&[u8]; 13] = [
    b"*/", b"]]", b"#>", b"=#", b"-}", b"?>", b"-->", b"%>", b"*)", b"$(", b"${", b"#{", b"\\(",
];
/// How far up the beginning of a block comment is looked for, in lines.
const LINES_ABOVE: usize = 400;

/// Languages whose comments begin with `#`.
pub(crate) const HASH: [&str; 20] = [
    "python",
    "ruby",
    "perl",
    "r",
    "elixir",
    "julia",
    "nim",
    "crystal",
    "shell",
    "powershell",
    "dockerfile",
    "make",
    "just",
    "cmake",
    "bazel",
    "yaml",
    "workflow",
    "toml",
    "ini",
    "hcl",
];
/// Languages whose comments begin with `//` or stand between `/*` and `*/`.
pub(crate) const SLASHES: [&str; 18] = [
    "javascript",
    "typescript",
    "go",
    "rust",
    "java",
    "kotlin",
    "scala",
    "groovy",
    "c",
    "cpp",
    "objc",
    "csharp",
    "fsharp",
    "swift",
    "dart",
    "php",
    "zig",
    "css",
];
/// Of those, languages in which no statement begins with `*`.
const STARS: [&str; 9] = [
    "javascript",
    "typescript",
    "java",
    "kotlin",
    "scala",
    "groovy",
    "csharp",
    "dart",
    "php",
];

/// The marks that begin a comment.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each mark")]
struct Marks {
    hash: bool,
    slashes: bool,
    stars: bool,
    /// Whether a block comment is all that `/*` can begin outside of quotes and of a line's comment.
    blocks: bool,
    dashes: bool,
    semicolon: bool,
    /// Whether a brace runs code within some texts.
    braces: bool,
    /// Whether code in document comments is run by the tests.
    doc_tests: bool,
}

impl Marks {
    /// Of any of these languages.
    fn of(languages: Languages) -> Self {
        // The comment before `import "C"` is C that is compiled; which one that is no line tells.
        let is_compiled = languages.is_any(&["cgo"]) && languages.is_any(&["go"]);
        Self {
            hash: languages.is_any(&HASH),
            slashes: languages.is_any(&SLASHES) && !is_compiled,
            stars: languages.is_any(&STARS),
            blocks: languages.is_only(&["c", "cpp", "objc"]),
            dashes: languages.is_any(&["lua", "sql", "haskell"]),
            semicolon: languages.is_any(&["clojure"]),
            braces: languages.is_any(&["python", "csharp"]),
            doc_tests: languages.is_any(&["rust"]),
        }
    }
}

/// The comments of a text, told line by line; the last line is remembered, however many places it
/// has.
pub(crate) struct Comments<'t> {
    text: &'t [u8],
    languages: Languages,
    line: Range<usize>,
    comment: Range<usize>,
}

impl<'t> Comments<'t> {
    pub(crate) fn of(text: &'t [u8], languages: Languages) -> Self {
        Self {
            text,
            languages,
            line: 0..0,
            comment: 0..0,
        }
    }

    /// Whether the place at `at` lies in a comment.
    pub(crate) fn hold(&mut self, at: usize) -> bool {
        let at = word_of(self.text, at);
        if !self.line.contains(&at) {
            self.read_line(at);
        }
        self.comment.contains(&at)
    }

    fn read_line(&mut self, at: usize) {
        let before = self.text.get(..at).unwrap_or_default();
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let rest = self.text.get(at..).unwrap_or_default();
        let end = at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let above = || Cow::Borrowed(self.text.get(..start).unwrap_or_default());
        let line = self.text.get(start..end).unwrap_or_default();
        let comment = comment_in(line, self.languages, above);
        self.comment = start + comment.start..start + comment.end;
        self.line = start..end + 1;
    }
}

/// Where the word stands that a match is about: its first bytes may be the blanks or the sign before.
pub(crate) fn word_of(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let lead = |byte: &&u8| !byte.is_ascii_alphanumeric();
    at + rest.iter().take_while(lead).count()
}

/// The part of a line that is surely a comment; empty where there is none. What stands above is asked
/// for only where it matters.
pub(crate) fn comment_in<'a>(
    line: &[u8],
    languages: Languages,
    above: impl Fn() -> Cow<'a, [u8]>,
) -> Range<usize> {
    let marks = Marks::of(languages);
    // `//go:generate` is an order to a tool; code in a document comment is a test.
    let code = line.trim_ascii_start();
    let runs = marks.doc_tests && is_document(code) && in_fence(&above());
    if runs || code.starts_with(b"//go:") {
        return 0..0;
    }
    let first = line.len() - code.len();
    let start = match mark_of(line, marks) {
        Some(mark) => mark,
        None if marks.stars && code.starts_with(b"* ") && opens_a_block(&above()) => first,
        None if marks.blocks && leaves_a_block_open(&above()) => first,
        None => return 0..0,
    };
    let comment = line.get(start..).unwrap_or_default();
    start..start + end_of(comment, marks)
}

/// Whether a line is a comment whole, in a file whose language is not known: settings, manifests.
pub(crate) fn is_noted(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    // `--exclude` is a switch in a file of them.
    let marks = [&b"#"[..], b"//", b";", b"/*", b"*", b"-- ", b"<!--"];
    line == b"--" || marks.iter().any(|mark| line.starts_with(mark))
}

fn is_document(line: &[u8]) -> bool {
    line.starts_with(b"///") || line.starts_with(b"//!")
}

/// Whether the document comment above leaves a fence open, within which the tests run code.
fn in_fence(above: &[u8]) -> bool {
    let above = above.strip_suffix(b"\n").unwrap_or(above);
    let lines = above.rsplit(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let document = lines.take(LINES_ABOVE).take_while(|line| is_document(line));
    let is_fence = |line: &&[u8]| {
        line.get(3..)
            .unwrap_or_default()
            .trim_ascii()
            .starts_with(b"```")
    };
    document.filter(is_fence).count() % 2 == 1
}

/// Whether the lines above end within a block comment that was opened at the beginning of a line, and
/// nothing in between could have closed it or be a text that only looks like one.
fn opens_a_block(above: &[u8]) -> bool {
    let above = above.strip_suffix(b"\n").unwrap_or(above);
    for line in above.rsplit(|byte| *byte == b'\n').take(LINES_ABOVE) {
        let line = line.trim_ascii();
        let is_doubtful = line.iter().any(|byte| matches!(byte, b'"' | b'`'));
        if is_doubtful || memchr::memmem::find(line, b"*/").is_some() {
            return false;
        }
        if line.starts_with(b"/*") {
            return true;
        }
        if !line.is_empty() && !line.starts_with(b"*") {
            return false;
        }
    }
    false
}

/// Whether lines of C leave a block comment open that they surely begin: outside of quotes, of a line's
/// comment, and of a line for the preprocessor, where `/*` may be part of a file's name. A line that ends
/// with a backslash may hide the end of one, or make a line's comment go on.
fn leaves_a_block_open(above: &[u8]) -> bool {
    let above = above.strip_suffix(b"\n").unwrap_or(above);
    let goes_on = |line: &[u8]| {
        let line = line.trim_ascii_end();
        line.ends_with(b"\\") || line.ends_with(b"??/")
    };
    let mut lines = above.rsplit(|byte| *byte == b'\n').take(LINES_ABOVE);
    while let Some(line) = lines.next() {
        let is_doubtful = line.iter().any(|byte| matches!(byte, b'"' | b'`'));
        if is_doubtful || goes_on(line) || memchr::memmem::find(line, b"*/").is_some() {
            return false;
        }
        let opening = memchr::memmem::find(line, b"/*");
        let Some(head) = opening.and_then(|at| line.get(..at)) else {
            continue;
        };
        let is_plain = !head.contains(&b'\'')
            && memchr::memmem::find(head, b"//").is_none()
            && !line.trim_ascii_start().starts_with(b"#");
        return is_plain && lines.next().is_some_and(|before| !goes_on(before));
    }
    false
}

/// Where a comment begins in a line: the first mark outside of quotes.
fn mark_of(line: &[u8], marks: Marks) -> Option<usize> {
    let mut quotes = [0_usize; 3];
    for (at, byte) in line.iter().enumerate() {
        let rest = line.get(at..).unwrap_or_default();
        let mut before = line.get(..at).unwrap_or_default().iter().rev();
        let (last, other) = (before.next(), before.next());
        // A blank behind a backslash is part of a word.
        let is_blank = last.is_none_or(u8::is_ascii_whitespace) && other != Some(&b'\\');
        let is_free = is_blank || last == Some(&b';');
        let is_mark = match byte {
            b'#' => marks.hash && is_free,
            b'/' => {
                let doubled = rest.starts_with(b"//") && !matches!(last, Some(b':' | b'\\'));
                marks.slashes && (doubled || rest.starts_with(b"/*"))
            }
            b'-' => marks.dashes && rest.starts_with(b"--") && !rest.starts_with(b"--[") && is_free,
            b';' => marks.semicolon && is_blank,
            _ => false,
        };
        if is_mark && quotes.iter().all(|count| count % 2 == 0) {
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

/// Where a comment ends, counted from its mark: where code may follow, or run within it.
fn end_of(comment: &[u8], marks: Marks) -> usize {
    let ends = |rest: &[u8]| {
        let single = matches!(rest.first(), Some(b'"' | b'\'' | b'`'));
        let opens = marks.braces && rest.first() == Some(&b'{');
        single || opens || ENDS.iter().any(|end| rest.starts_with(end))
    };
    let mut places = 0..comment.len();
    let end = places.find(|at| comment.get(*at..).is_some_and(ends));
    end.unwrap_or(comment.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_comment(path: &str, text: &str) -> bool {
        let at = text.find("call").unwrap();
        Comments::of(text.as_bytes(), Languages::of(path.as_bytes(), None)).hold(at)
    }

    #[test]
    fn only_what_is_surely_a_comment_counts() {
        for (path, text) in [
            ("a.py", "# call(x)"),
            ("a.py", "x = 1\n    y = 'a#b'  # then call(x)"),
            ("a.sh", "echo hi  # call x"),
            ("a.js", "// call(x)"),
            ("a.js", "const a = 'b'; // call(x)"),
            ("a.ts", "/**\n * One.\n *\n * call(x)"),
            ("a.go", "/* call(x) */"),
            ("a.lua", "-- call(x)"),
            ("a.rs", "/// Will call x."),
            ("a.rs", "/// ```\n/// one();\n/// ```\n/// Then call x."),
            ("a.c", "\nint n; /* set\n   by call(x)"),
            ("a.h", "x\n/* As the\n   user's file says:\n\n   - call(x)"),
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

    #[test]
    fn what_runs_although_it_looks_like_a_comment_is_code() {
        for (path, text) in [
            ("a.sh", "true \\ # ; call x"),
            ("a.sh", "cat <<X\n # $(call x)"),
            ("a.sh", " # `call x`"),
            ("Makefile", "\t# $(shell call x)"),
            ("a.js", "const r = 1\n * call(u)"),
            ("a.js", "const g = 'src/*.js'\n * call(u)"),
            ("a.js", "x = `\n/* ` + `\n * call(u)"),
            ("a.js", "/* a */\nconst r = 1\n * call(u)"),
            ("A.java", "int r = 1\n * call(u)"),
            ("a.js", " // ${call(u)}"),
            ("a.py", " # {call(u)}"),
            ("a.rb", " # #{call(u)}"),
            ("a.lua", "--[[x]] call(u)"),
            ("a.lua", "--[[\n]] call(u)"),
            ("a.ps1", "<# a #> call $u"),
            ("a.ps1", " # a #> call $u"),
            ("a.jl", "#= x =# call(u)"),
            ("a.php", "// ?><?php call($u);"),
            ("a.rs", "/// One.\n/// ```\n/// let r = call(u);"),
            ("a.rs", "//! ```no_run\n//! call(u);"),
            ("a.swift", "// \\(call(u))"),
            ("a.c", "x\n/* a */\ncall(u)"),
            ("a.c", "x\n/* a\n b */ call(u)"),
            ("a.c", "x\n// src/*\ncall(u)"),
            ("a.c", "// x \\\n/* y\ncall(u)"),
            ("a.c", "// x \\ \n/* y\ncall(u)"),
            ("a.c", "x\nint a = '/*';\ncall(u)"),
            ("a.c", "x\nchar *a = \"/*\";\ncall(u)"),
            ("a.c", "x\n#include <a/*b.h>\ncall(u)"),
            ("a.c", "x\n/* a\n\"*\\\n/ \"\ncall(u)"),
            ("a.c", "x\n/* a *\\\n/ call(u)"),
            ("a.c", "x\n/* a\n*\\ \n/ call(u)"),
            ("a.c", "/* a\n call(u)"),
            ("a.js", "x\nconst r = /a/*2\ncall(u)"),
        ] {
            assert!(!is_comment(path, text), "{text}");
        }
    }

    #[test]
    fn a_long_line_is_read_once() {
        let text = "# call ".repeat(100_000);
        let mut comments = Comments::of(text.as_bytes(), Languages::of(b"a.py", None));
        let places = memchr::memmem::find_iter(text.as_bytes(), "call");
        assert_eq!(places.filter(|at| comments.hold(*at)).count(), 100_000);
    }
}
