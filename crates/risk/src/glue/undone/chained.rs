//! Names whose parts stand apart: `net . Dial` is `net.Dial`, and so is a part that stands in the next line.

use crate::glue::edited::Edited;
use crate::language::Languages;
use crate::language::comment::{HASH, SLASHES};

/// Languages in which blanks may stand around the dot of a name.
const DOTS: [&str; 16] = [
    "python",
    "javascript",
    "typescript",
    "go",
    "rust",
    "java",
    "kotlin",
    "scala",
    "groovy",
    "csharp",
    "fsharp",
    "vb",
    "swift",
    "ruby",
    "dart",
    "lua",
];
/// And around two colons.
const COLONS: [&str; 4] = ["rust", "cpp", "ruby", "php"];
/// And around an arrow.
const ARROWS: [&str; 2] = ["php", "perl"];
/// Words behind which a part stands by itself.
const FREE: [&[u8]; 8] = [
    b"from", b"import", b"return", b"case", b"in", b"else", b"when", b"as",
];
/// So many lines of comments and nothing may stand between two parts.
const MOST_LINES: usize = 8;

/// What joins the parts of a name in a language, and what parts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chained {
    dots: bool,
    colons: bool,
    arrows: bool,
    hashes: bool,
    slashes: bool,
}

/// A text whose parts are looked at.
#[derive(Clone, Copy)]
struct Lines<'t> {
    text: &'t [u8],
    /// Whether each line begins with the mark of a hunk. Only added lines belong together then.
    are_marked: bool,
}

impl Chained {
    pub(crate) fn of(languages: Languages) -> Self {
        Self {
            dots: languages.is_any(&DOTS),
            colons: languages.is_any(&COLONS),
            arrows: languages.is_any(&ARROWS),
            hashes: languages.is_any(&HASH) || languages.is_any(&["php"]),
            slashes: languages.is_any(&SLASHES),
        }
    }

    /// Whether parts of a name stand apart in lines of a hunk.
    pub(crate) fn may(self, raw: &[u8]) -> bool {
        let lines = Lines {
            text: raw,
            are_marked: true,
        };
        let mut at = 0;
        while let Some(length) = self.next(raw, at) {
            at += length;
            let sign = self.sign(raw, at);
            if sign.is_some_and(|sign| self.joined(lines, raw, at, sign).is_some()) {
                return true;
            }
            at += sign.unwrap_or(1);
        }
        false
    }

    /// A text with the parts of each name together; none where none stand apart. The line ends between them
    /// stand behind the name then, so that what is below keeps its line.
    pub(crate) fn undo(self, text: &[u8]) -> Option<Edited> {
        let lines = Lines {
            text,
            are_marked: false,
        };
        let mut out = Edited::with_capacity(text.len());
        let (mut at, mut owed) = (0, 0);
        while let Some(length) = self.next(text, at) {
            put(&mut out, text.get(at..at + length)?, &mut owed);
            at += length;
            let sign = self.sign(text, at);
            let sign_text = text.get(at..at + sign.unwrap_or(1))?;
            let joined = sign.and_then(|sign| self.joined(lines, &out.text, at, sign));
            at += sign_text.len();
            if let Some((kept, skipped)) = joined {
                owed += ends(out.text.get(kept..)?) + ends(text.get(at..at + skipped)?);
                out.text.truncate(kept);
                at += skipped;
            }
            out.text.extend_from_slice(sign_text);
            if joined.is_some() {
                out.stands_for(at);
            }
        }
        put(&mut out, text.get(at..)?, &mut owed);
        out.is_changed().then_some(out)
    }

    /// How far it is to the next byte that a sign may begin with.
    fn next(self, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        match (self.dots, self.colons, self.arrows) {
            (false, false, false) => None,
            (true, false, _) => memchr::memchr(b'.', rest),
            (false, true, false) => memchr::memchr(b':', rest),
            (false, false, true) => memchr::memchr(b'-', rest),
            (true, true, _) => memchr::memchr2(b'.', b':', rest),
            (false, true, true) => memchr::memchr2(b':', b'-', rest),
        }
    }

    /// How long the sign is that stands at a place: no part of a longer one, such as a range.
    fn sign(self, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        match rest {
            [b'.', next, ..] if self.dots => (*next != b'.' && before != Some(&b'.')).then_some(1),
            [b':', b':', ..] if self.colons => Some(2),
            [b'-', b'>', ..] if self.arrows => Some(2),
            _ => None,
        }
    }

    /// Where what stands before a sign ends, and how much behind it is left out; none where its parts
    /// stand together or are none.
    fn joined(
        self,
        lines: Lines<'_>,
        before: &[u8],
        at: usize,
        sign: usize,
    ) -> Option<(usize, usize)> {
        let before = before.get(..at.min(before.len()))?;
        let tail = lines.text.get(at + sign..)?;
        let is_blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        let is_mark = lines.are_marked && before.ends_with(b"\n+");
        // Nearly all stand together.
        if !(is_blank(before.last()) || is_mark || is_blank(tail.first())) {
            return None;
        }
        let kept = self.end_of_name(before, lines.are_marked)?;
        let skipped = self.start_of_name(tail, lines.are_marked)?;
        let name = tail.get(skipped..)?;
        name.first()
            .filter(|byte| byte.is_ascii_alphabetic() || **byte == b'_')?;
        // Behind the end of a sentence begins the next one, too.
        let is_call = || {
            let end = name.iter().position(|byte| !is_of_path(*byte));
            let end = end.and_then(|end| name.get(end..));
            end.is_some_and(|end| trimmed_start(end).starts_with(b"("))
        };
        let is_apart = kept < before.len() || (skipped > 0 && (sign > 1 || is_call()));
        is_apart.then_some((kept, skipped))
    }

    /// Where the name ends that stands before blanks, line ends and comments.
    fn end_of_name(self, before: &[u8], are_marked: bool) -> Option<usize> {
        let mut head = before;
        for _ in 0..MOST_LINES {
            head = trimmed_end(head);
            let above = match head {
                [above @ .., b'\n', b'+'] if are_marked => above,
                [above @ .., b'\n'] if !are_marked => above,
                _ => {
                    let asked = head.strip_suffix(b"?").map_or(head, trimmed_end);
                    let is_name = |byte: &&u8| is_of_path(**byte) || matches!(**byte, b')' | b']');
                    let named = asked.last().filter(is_name)?;
                    let start = asked.iter().rposition(|byte| !byte.is_ascii_alphabetic());
                    let word = asked.get(start.map_or(0, |at| at + 1)..)?;
                    let is_free = *named == b'.' || FREE.contains(&word);
                    // A name keeps its question mark.
                    return (!is_free).then_some(head.len());
                }
            };
            let above = above.strip_suffix(b"\r").unwrap_or(above);
            let start = memchr::memrchr(b'\n', above).map_or(0, |end| end + 1);
            let line = above.get(start..)?;
            if are_marked && line.first() != Some(&b'+') {
                return None;
            }
            head = above.get(..start + self.code(line))?;
        }
        None
    }

    /// How long a line is without its comment.
    fn code(self, line: &[u8]) -> usize {
        let mut marks = memchr::memchr2_iter(b'/', b'#', line);
        let comment = marks.find(|at| {
            let rest = line.get(*at..).unwrap_or_default();
            let before = at.checked_sub(1).and_then(|at| line.get(at));
            let is_free = before.is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'+');
            (self.slashes && rest.starts_with(b"//") && before != Some(&b':'))
                || (self.hashes && rest.starts_with(b"#") && is_free)
        });
        comment.unwrap_or(line.len())
    }

    /// How many bytes of blanks, line ends and comments a name stands behind.
    fn start_of_name(self, tail: &[u8], are_marked: bool) -> Option<usize> {
        let mut at = 0;
        for _ in 0..MOST_LINES {
            let rest = trimmed_start(tail.get(at..)?);
            let is_comment = (self.slashes && rest.starts_with(b"//"))
                || (self.hashes && rest.starts_with(b"#"));
            if !is_comment && rest.first() != Some(&b'\n') {
                return Some(tail.len() - rest.len());
            }
            at = tail.len() - rest.len() + memchr::memchr(b'\n', rest)? + 1;
            if are_marked {
                tail.get(at).filter(|byte| **byte == b'+')?;
                at += 1;
            }
        }
        None
    }
}

/// Writes a text down, with the line ends that are owed behind its first line.
fn put(out: &mut Edited, text: &[u8], owed: &mut usize) {
    let end = memchr::memchr(b'\n', text).filter(|_| *owed > 0);
    let (first, rest) = text.split_at(end.map_or(0, |end| end + 1));
    out.text.extend_from_slice(first);
    if end.is_some() {
        out.text.extend(std::iter::repeat_n(b'\n', *owed));
        *owed = 0;
    }
    out.text.extend_from_slice(rest);
}

fn ends(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':')
}

fn trimmed_end(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev();
    let blanks = blanks.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    text.get(..text.len() - blanks.count()).unwrap_or(text)
}

fn trimmed_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter();
    let blanks = blanks.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    text.get(blanks.count()..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use crate::glue::undone::undone;

    #[test]
    fn parts_of_a_name_that_stand_apart_are_put_together() {
        for (path, text, whole) in [
            ("a.go", "net . Dial(u)", "net.Dial(u)"),
            ("a.go", "net. Dial (u)", "net.Dial (u)"),
            ("a.go", "net.\n\tDial(u)\nx", "net.Dial(u)\n\nx"),
            ("a.go", "net. // plain\n\tDial(u)\nx", "net.Dial(u)\n\nx"),
            (
                "a.js",
                "axios\n  .get(u)\n  .then(f)\nx",
                "axios.get(u).then(f)\n\n\nx",
            ),
            (
                "a.js",
                "axios // of old\n\n  // why\n  .get(u)\n",
                "axios.get(u)\n\n\n\n",
            ),
            ("a.js", "a ?. b(u)", "a ?.b(u)"),
            (
                "a.py",
                "r = (requests  # why\n    .get(u))\n",
                "r = (requests.get(u))\n\n",
            ),
            ("a.py", "os . system(x)", "os.system(x)"),
            (
                "A.java",
                "new URL(a)\r\n  .open()\r\nx",
                "new URL(a).open()\r\n\nx",
            ),
            (
                "a.rs",
                "std :: net\n ::connect(a)\n",
                "std::net::connect(a)\n\n",
            ),
            ("a.rb", "Net :: HTTP . get(u)", "Net::HTTP.get(u)"),
            ("a.cpp", "asio :: ip", "asio::ip"),
            (
                "a.php",
                "Http :: get($u); $c -> x()",
                "Http::get($u); $c->x()",
            ),
        ] {
            assert_eq!(undone(path, text), whole, "{path} {text}");
        }
    }

    #[test]
    fn what_is_no_name_stays_as_it_is() {
        for (path, text) in [
            ("a.py", "# One sentence. Another one\n"),
            ("a.py", "from . import a\n"),
            ("a.py", "x = f(*a, ...)\n"),
            ("a.js", "f(a, ...b)\n"),
            ("a.js", "x = a ? .5 : b\n"),
            ("a.rs", "for i in 0 .. n {}\n"),
            ("a.php", "$a . b('x')\n"),
            ("a.c", "a . b(x)\n"),
            ("a.go", "import . \"net\"\n"),
            ("a.txt", "os . system(x)\n"),
            ("a.rb", "puts 'Done.'\ncall(x)\n"),
        ] {
            assert_eq!(undone(path, text), "", "{path} {text}");
        }
    }

    #[test]
    fn many_dots_and_blanks_are_read_once() {
        let parts = "a/ . b/ .".repeat(20_000);
        assert_eq!(undone("a.js", &parts), "");
        let parts = "a . ".repeat(20_000);
        assert_eq!(undone("a.js", &parts).len(), 2 * 20_000 + 2);
        let lines = "a // .\n  .b\n".repeat(9000);
        assert_eq!(undone("a.js", &lines).lines().count(), 2 * 9000);
    }
}
