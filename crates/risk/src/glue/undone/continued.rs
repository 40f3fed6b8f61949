//! Words that go on in the next line, behind a backslash at the line's end.

use crate::glue::edited::Edited;
use crate::language::Languages;

/// Languages that leave out the blanks before the rest of a word.
const DROP_BLANKS: [&str; 9] = [
    "rust", "java", "swift", "julia", "yaml", "workflow", "toml", "just", "elixir",
];
/// Languages in which the line is put together before anything else is read.
const FIRST: [&str; 3] = ["c", "cpp", "objc"];

/// How a language takes a line on into the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Continued {
    /// Whether all blanks before the rest of a word are left out; if not, none but a recipe's own.
    drops_blanks: bool,
    is_make: bool,
    is_dockerfile: bool,
    is_c: bool,
}

impl Continued {
    pub(crate) fn of(languages: Languages) -> Self {
        Self {
            drops_blanks: languages.is_any(&DROP_BLANKS),
            is_make: languages.is_any(&["make"]),
            is_dockerfile: languages.is_any(&["dockerfile"]),
            is_c: languages.is_any(&FIRST),
        }
    }

    /// Whether lines of a hunk could go on so behind a backslash: the next one is an added line.
    pub(crate) fn may(self, before: &[u8], rest: &[u8]) -> bool {
        let Some(next) = self.next_line(rest).and_then(|at| rest.get(at..)) else {
            return false;
        };
        let comments = || next.trim_ascii_start().starts_with(b"#");
        next.strip_prefix(b"+").is_some_and(|next| {
            self.goes_on(before, next).is_some() || (self.is_dockerfile && comments())
        })
    }

    /// How far the next backslash may be that says something of its own: one that stands behind another says
    /// nothing, but for where lines are put together first.
    pub(crate) fn step(self, rest: &[u8]) -> usize {
        usize::from(!self.is_c && rest.first() == Some(&b'\\'))
    }

    /// A text with its words put together; none where none goes on.
    pub(crate) fn undo(self, text: &[u8]) -> Option<Edited> {
        let mut out = Edited::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
            let plain = text.get(at..at + found).unwrap_or_default();
            out.text.extend_from_slice(plain);
            at += found + 1;
            let rest = text.get(at..).unwrap_or_default();
            let joined = self.next_line(rest).and_then(|line| {
                let line = line + self.comments(rest.get(line..)?);
                Some(line + self.goes_on(&out.text, rest.get(line..)?)?)
            });
            match joined {
                Some(length) => {
                    at += length;
                    out.stands_for(at);
                }
                None => {
                    out.text.push(b'\\');
                    let step = self.step(rest);
                    out.text
                        .extend_from_slice(rest.get(..step).unwrap_or_default());
                    at += step;
                }
            }
        }
        out.text
            .extend_from_slice(text.get(at..).unwrap_or_default());
        out.is_changed().then_some(out)
    }

    /// Where the next line begins, if nothing but its end stands behind the backslash.
    fn next_line(self, rest: &[u8]) -> Option<usize> {
        let blanks = match self.is_c || self.is_dockerfile {
            true => blanks(rest),
            false => 0,
        };
        let end = rest.get(blanks..)?;
        let length = if end.starts_with(b"\r") { 2 } else { 1 };
        let is_end = end.get(length - 1) == Some(&b'\n');
        is_end.then_some(blanks + length)
    }

    /// How long the lines of comment are that a Dockerfile leaves out there.
    fn comments(self, text: &[u8]) -> usize {
        let mut length = 0;
        while self.is_dockerfile
            && let Some(rest) = text.get(length..)
            && rest.trim_ascii_start().starts_with(b"#")
            && let Some(end) = memchr::memchr(b'\n', rest.trim_ascii_start())
        {
            length += rest.len() - rest.trim_ascii_start().len() + end + 1;
        }
        length
    }

    /// How many bytes at the beginning of the next line go with its end, where a word goes on there, or what
    /// belongs to a name: its bracket, what stands behind a dot. Two words stay two.
    fn goes_on(self, before: &[u8], next: &[u8]) -> Option<usize> {
        let blanks = blanks(next);
        let first = next.get(blanks).filter(|byte| !b"\r\n".contains(byte))?;
        let last = before.last()?;
        let own = match self.is_make {
            _ if self.drops_blanks => blanks,
            true => usize::from(next.first() == Some(&b'\t')),
            false => 0,
        };
        if own == blanks && !last.is_ascii_whitespace() {
            return Some(own);
        }
        let name = before.trim_ascii_end().last();
        let is_name = name.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let is_called = *first == b'(' && is_name;
        let is_part = (*first == b'.' && is_name) || *last == b'.';
        (is_called || is_part).then_some(blanks)
    }
}

fn blanks(text: &[u8]) -> usize {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    text.iter().take_while(is_blank).count()
}

#[cfg(test)]
mod tests {
    use crate::glue::undone::undone;

    #[test]
    fn words_go_on_behind_a_backslash() {
        for (path, text, whole) in [
            ("a.sh", "cu\\\nrl -s $u", "curl -s $u"),
            ("a.sh", "cu\\\r\nrl -s $u", "curl -s $u"),
            ("Makefile", "\twg\\\n\tet -q", "\twget -q"),
            ("Dockerfile", "RUN wg\\ \n# why\net -q", "RUN wget -q"),
            ("a.c", "soc\\\nket (x)", "socket (x)"),
            ("a.c", "soc\\ \nket\\\n(x)", "socket(x)"),
            ("a.c", "socket \\\n  (x)", "socket (x)"),
            ("a.c", "s(\"a\\\\\nb\")", "s(\"a\\b\")"),
            ("a.py", "K = \"AKIA\\\nJQ\"", "K = \"AKIAJQ\""),
            ("a.py", "socket.\\\n    create(x)", "socket.create(x)"),
            ("a.rs", "n(\"cu\\\n   rl\")", "n(\"curl\")"),
            ("a.yml", "run: \"cu\\\n  rl x\"", "run: \"curl x\""),
        ] {
            assert_eq!(undone(path, text), whole, "{path} {text}");
        }
    }

    #[test]
    fn words_that_only_follow_each_other_stay_apart() {
        for (path, text) in [
            ("a.sh", "curl -s \\\n  -o f $u"),
            ("a.sh", "echo 'a\\\\\nb'"),
            ("a.sh", "echo a\\ \nb"),
            ("Makefile", "S = a.c \\\n\tb.c\\\n\n"),
            ("Makefile", "S = a.c\\\n\t  b.c"),
            (
                "a.c",
                "#define F(x) \\\n  do { \\\n    g(x); \\\n  } while(0)",
            ),
            ("a.py", "x = 1 + \\\n    2"),
        ] {
            assert_eq!(undone(path, text), "", "{path} {text}");
        }
    }
}
