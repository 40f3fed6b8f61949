//! Calls that a comment parts: `fetch/* why */(u)` is a call of `fetch`.

use crate::glue::edited::Edited;
use crate::language::Languages;
use crate::language::commented::BLOCKS;

/// Languages in which a single quote also stands where no text begins; a text in such is one letter there.
const LETTERS: [&str; 13] = [
    "c", "cpp", "objc", "rust", "java", "kotlin", "scala", "go", "csharp", "swift", "zig",
    "haskell", "fsharp",
];
/// One letter between such quotes, however it is written, is no longer than this, in bytes.
const LETTER: usize = 12;

/// The comments that may stand within a line of a language.
#[derive(Clone, Debug)]
pub(crate) struct Parted {
    /// What begins such a comment, and what ends it.
    marks: Vec<(&'static [u8], &'static [u8])>,
    /// Whether two slashes begin a comment that ends with the line.
    slashes: bool,
    letters: bool,
}

impl Parted {
    pub(crate) fn of(languages: Languages) -> Self {
        let is_inner = |open: &str| open.bytes().all(|byte| byte.is_ascii_punctuation());
        let known = BLOCKS
            .iter()
            .filter(|(open, close, of)| open != close && is_inner(open) && languages.is_any(of));
        let marks = known.map(|(open, close, _)| (open.as_bytes(), close.as_bytes()));
        let marks: Vec<_> = marks.collect();
        Self {
            slashes: marks.iter().any(|(open, _)| *open == b"/*"),
            letters: languages.is_any(&LETTERS),
            marks,
        }
    }

    /// Whether a comment in lines of a hunk could part what belongs together: behind most comes the line's end.
    pub(crate) fn may(&self, raw: &[u8]) -> bool {
        self.marks.iter().any(|(open, close)| {
            let mut known = 0;
            memchr::memmem::find_iter(raw, close).any(|at| {
                // What begins it stands behind the one before, or in a line above.
                let new = raw.get(known..at).unwrap_or_default();
                let head = memchr::memrchr(b'\n', new).map_or(known, |end| known + end + 2);
                known = at + close.len();
                let head = raw.get(head..at).unwrap_or_default();
                match next_of(raw.get(known..).unwrap_or_default()) {
                    Some((b'(', _)) => true,
                    Some((_, true)) | None => false,
                    Some(_) => memchr::memmem::find(head, open)
                        .is_none_or(|at| head.get(..at).is_some_and(|head| !is_blank(head))),
                }
            })
        })
    }

    /// A text without the comments that part what belongs together; none where it holds none.
    pub(crate) fn undo(&self, text: &[u8]) -> Option<Edited> {
        if self.marks.is_empty() {
            return None;
        }
        let mut out = Edited::with_capacity(text.len());
        let (mut closes, mut quotes) = (vec![true; self.marks.len()], [0; 3]);
        let (mut at, mut comment_end) = (0, None);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let plain = rest.iter().take_while(|byte| !self.is_stop(**byte)).count();
            let (plain, rest) = rest.split_at_checked(plain)?;
            let before = plain.last().or(out.text.last()).copied();
            out.text.extend_from_slice(plain);
            at += plain.len();
            let comment = self.comment(rest, &mut closes);
            let tail = comment.and_then(|length| rest.get(length..));
            if let Some((tail, blank)) = tail.and_then(|tail| Some((tail, parts(&out.text, tail)?)))
            {
                // One blank is enough.
                let is_apart = out.text.last().is_some_and(u8::is_ascii_whitespace);
                let blanks = tail
                    .iter()
                    .take_while(|byte| is_apart && matches!(**byte, b' ' | b'\t'));
                at = text.len() - tail.len() + blanks.count();
                out.text.extend((blank && !is_apart).then_some(b' '));
                out.stands_for(at);
                continue;
            }
            let length = comment
                .or_else(|| self.line_comment(rest, before))
                .unwrap_or_else(|| self.quoted(text, at, &mut quotes));
            let kept = rest.get(..length).unwrap_or(rest);
            out.text.extend_from_slice(kept);
            at += kept.len();
            comment_end = comment.map(|_| out.text.len()).or(comment_end);
        }
        out.is_changed().then_some(out)
    }

    fn is_stop(&self, byte: u8) -> bool {
        let begins = |(open, _): &(&[u8], &[u8])| open.first() == Some(&byte);
        matches!(byte, b'"' | b'\'' | b'`') || self.marks.iter().any(begins)
    }

    /// How long the comment is that a text begins with. A mark that nothing closes is looked for no more.
    fn comment(&self, text: &[u8], closes: &mut [bool]) -> Option<usize> {
        let mut marks = self.marks.iter().zip(closes);
        let ((open, close), closes) = marks.find(|((open, _), _)| text.starts_with(open))?;
        let inner = text.get(open.len()..).filter(|_| *closes)?;
        let end = memchr::memmem::find(inner, close);
        *closes = end.is_some();
        Some(open.len() + end? + close.len())
    }

    /// How long a comment is that ends with its line.
    fn line_comment(&self, rest: &[u8], before: Option<u8>) -> Option<usize> {
        let is_one =
            self.slashes && rest.starts_with(b"//") && !matches!(before, Some(b':' | b'\\'));
        is_one.then(|| memchr::memchr(b'\n', rest).unwrap_or(rest.len()))
    }

    /// How long the text in quotes is that begins at a place, or the sign that stands there. A quote that is
    /// not closed in its line is known not to be for the rest of it.
    fn quoted(&self, text: &[u8], at: usize, open_until: &mut [usize; 3]) -> usize {
        let quotes = [b'"', b'\'', b'`'];
        let quote = text.get(at).copied().unwrap_or_default();
        let kind = quotes.iter().position(|one| *one == quote);
        let Some(until) = kind.and_then(|kind| open_until.get_mut(kind)) else {
            return 1;
        };
        if at < *until {
            return 1;
        }
        let inner = text.get(at + 1..).unwrap_or_default();
        let is_letter = self.letters && quote == b'\'';
        let inner = inner.get(..LETTER).filter(|_| is_letter).unwrap_or(inner);
        let mut place = 0;
        while let Some(byte) = inner.get(place).filter(|byte| **byte != b'\n') {
            match byte {
                b'\\' => place += 1,
                byte if *byte == quote => return place + 2,
                _ => {}
            }
            place += 1;
        }
        if !is_letter {
            *until = at + 1 + place;
        }
        1
    }
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The first byte that is no blank, and whether it stands in another line.
fn next_of(text: &[u8]) -> Option<(u8, bool)> {
    let mut is_below = false;
    for (at, byte) in text.iter().enumerate() {
        // Of a hunk, each line begins with its mark.
        let is_mark = *byte == b'+' && at > 0 && text.get(at - 1) == Some(&b'\n');
        match byte {
            b'\n' if is_below => return None,
            b'\n' => is_below = true,
            _ if is_mark || byte.is_ascii_whitespace() => {}
            _ => return Some((*byte, is_below)),
        }
    }
    None
}

/// Whether a comment parts what stands before it from what stands behind it, and whether a blank stands
/// for it then.
fn parts(before: &[u8], tail: &[u8]) -> Option<bool> {
    let (next, is_below) = next_of(tail)?;
    let head = before.trim_ascii_end();
    let last = *head.last()?;
    let is_above = memchr::memchr(b'\n', before.get(head.len()..)?).is_some();
    if is_above || is_below {
        return (next == b'(' && is_of_name(last)).then_some(false);
    }
    let is_apart = b",;{}".contains(&last) || b",;{})".contains(&next);
    (!is_apart).then_some(is_of_name(last) && is_of_name(next))
}

#[cfg(test)]
mod tests {
    use crate::glue::undone::undone;

    #[test]
    fn a_comment_within_a_call_is_left_out() {
        for (path, text, whole) in [
            ("a.js", "fetch/**/(u);", "fetch(u);"),
            ("a.js", "fetch /* a\n b */ (u);", "fetch (u);"),
            ("a.js", "fetch\n/* a */ (u);", "fetch\n(u);"),
            ("a.js", "fetch/* a */\n(u);", "fetch\n(u);"),
            ("a.js", "require(/**/'http')", "require('http')"),
            (
                "a.js",
                "x = \"/*\"; fetch/* \" /* */(u)",
                "x = \"/*\"; fetch(u)",
            ),
            ("a.c", "socket/* fd */(AF_INET)", "socket(AF_INET)"),
            (
                "a.c",
                "x = '\"'; socket/**/(y, \"\")",
                "x = '\"'; socket(y, \"\")",
            ),
            ("a.go", "net./**/Dial/**/(u)", "net.Dial(u)"),
            ("A.java", "new/**/URL/**/(u)", "new URL(u)"),
            (
                "a.rs",
                "fn f<'a>(x: &'a T) { g/**/(x) }",
                "fn f<'a>(x: &'a T) { g(x) }",
            ),
            ("a.php", "curl_init/**/($u)", "curl_init($u)"),
            ("a.lua", "connect--[[ x ]](u)", "connect(u)"),
        ] {
            assert_eq!(undone(path, text), whole, "{path} {text}");
        }
    }

    #[test]
    fn other_comments_stay_where_they_are() {
        for (path, text) in [
            ("a.c", "int a; /* one */\nint b; /* two */"),
            ("a.c", "/* why */ f(x);"),
            ("a.c", "f(a, /* none */ b /* last */);"),
            ("a.c", "x /* never closed\n(y)"),
            ("a.js", "glob('src/**/*.js')"),
            ("a.js", "// a /* b\nf(u) // c */ (d)"),
            ("a.py", "a /* b */ (c)"),
        ] {
            assert_eq!(undone(path, text), "", "{path} {text}");
        }
    }

    #[test]
    fn many_marks_are_read_once() {
        for part in ["/*", "f/**/(", "\"", "'", "/* */ ", "a/*\n"] {
            let text = part.repeat(200_000);
            assert!(undone("a.js", &text).len() <= text.len() + 1);
        }
    }
}
