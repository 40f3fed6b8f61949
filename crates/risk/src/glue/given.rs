//! Texts that are given to a name, put in where the name stands beside another text: after
//! `G1 := wg`, `$(G1)et` is `wget` to whoever runs it.
//!
//! Only names that an added line gives one short text are known, and only where they are written into
//! a text or joined to one. What a program works out is beyond this.

use crate::glue::edited::Edited;

/// The longest text that is put in, in bytes.
const LONGEST: usize = 64;
/// So many names are known of one hunk.
const MOST_NAMES: usize = 64;
/// Nothing more is put in once the text has this many bytes.
const MOST: usize = 256 << 10;
/// Words that stand before a name that a script is given.
const WORDS: [&[u8]; 7] = [
    b"export ",
    b"readonly ",
    b"local ",
    b"override ",
    b"ARG ",
    b"ENV ",
    b"declare ",
];

/// The names that added lines give a text.
#[derive(Debug, Default)]
pub(crate) struct Given<'t> {
    texts: Vec<(&'t [u8], &'t [u8])>,
    is_shell: bool,
}

impl<'t> Given<'t> {
    /// Reads what these lines give to names.
    pub(crate) fn read(texts: impl Iterator<Item = &'t [u8]>, is_shell: bool) -> Self {
        let mut given = Self {
            texts: Vec::new(),
            is_shell,
        };
        for line in texts.flat_map(|text| text.split(|byte| *byte == b'\n')) {
            if given.texts.len() >= MOST_NAMES {
                break;
            }
            match is_shell {
                true => given
                    .texts
                    .extend(line.split(|b| *b == b';').filter_map(word)),
                false => given.texts.extend(text(line).or_else(|| digits(line))),
            }
        }
        given
    }

    /// Whether no name is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn of(&self, name: &[u8]) -> Option<&'t [u8]> {
        let known = self.texts.iter().rev().find(|(known, _)| *known == name);
        known.map(|(_, text)| *text)
    }

    /// A text with what its names were given put in; None where none was.
    pub(crate) fn put_in(&self, text: &[u8]) -> Option<Edited> {
        if self.is_empty() {
            return None;
        }
        let mut out = Edited::with_capacity(text.len());
        let (mut at, mut quote) = (0, None);
        while let Some(byte) = text.get(at).copied() {
            let end = at + name_length(text, at);
            if end == at {
                quote = match (quote, byte) {
                    (_, b'\n') => None,
                    (None, b'"' | b'\'' | b'`') => Some(byte),
                    (Some(open), _) if open == byte => None,
                    (same, _) => same,
                };
                out.text.push(byte);
                at += 1;
                continue;
            }
            let name = text.get(at..end).unwrap_or_default();
            let known = self.of(name).filter(|_| out.text.len() < MOST);
            let place = Place {
                before: &out.text,
                after: text.get(end..).unwrap_or_default(),
                is_quoted: quote.is_some(),
            };
            let put = known.and_then(|known| match self.is_shell {
                true => place.in_a_word(known),
                false => place.in_a_text(known),
            });
            let Some(put) = put else {
                out.text.extend_from_slice(name);
                at = end;
                continue;
            };
            out.text.truncate(out.text.len() - put.before);
            out.text.extend_from_slice(&put.text);
            at = end + put.after;
            out.stands_for(at);
        }
        out.is_changed().then_some(out)
    }
}

/// Where a name stands.
struct Place<'p> {
    before: &'p [u8],
    after: &'p [u8],
    is_quoted: bool,
}

/// What is put in for a name, and how many bytes around it go with it.
struct Put {
    before: usize,
    text: Vec<u8>,
    after: usize,
}

impl Place<'_> {
    /// In a script: where a letter, a digit or another name stands beside it.
    fn in_a_word(&self, known: &[u8]) -> Option<Put> {
        let (before, after) = self.marks(&[(b"${", b"}"), (b"$(", b")"), (b"$", b"")])?;
        let left = self.before.len().checked_sub(before + 1);
        let left = left.and_then(|at| self.before.get(at));
        let right = self.after.get(after);
        let is_beside = left.is_some_and(u8::is_ascii_alphanumeric)
            || right.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'$');
        is_beside.then(|| Put {
            before,
            text: known.to_vec(),
            after,
        })
    }

    /// In a program: within a text, or joined to one by an operator.
    fn in_a_text(&self, known: &[u8]) -> Option<Put> {
        if self.is_quoted {
            let (before, after) = self.marks(&[
                (b"${", b"}"),
                (b"#{", b"}"),
                (b"{$", b"}"),
                (b"\\(", b")"),
                (b"{", b"}"),
                (b"$", b""),
            ])?;
            return Some(Put {
                before,
                text: known.to_vec(),
                after,
            });
        }
        let before = usize::from(self.before.ends_with(b"$"));
        let head = self.before.get(..self.before.len() - before)?;
        let is_joined = [
            head.trim_ascii_end().last(),
            self.after.trim_ascii_start().first(),
        ]
        .into_iter()
        .flatten()
        .any(|byte| *byte == b'+' || (before == 1 && *byte == b'.'));
        let is_assigned = self.after.trim_ascii_start().starts_with(b"+=");
        (is_joined && !is_assigned).then(|| Put {
            before,
            text: [b"\"", known, b"\""].concat(),
            after: 0,
        })
    }

    /// How long the first pair of marks is that the name stands between.
    fn marks(&self, pairs: &[(&[u8], &[u8])]) -> Option<(usize, usize)> {
        let pair = pairs
            .iter()
            .find(|(open, close)| self.before.ends_with(open) && self.after.starts_with(close));
        pair.map(|(open, close)| (open.len(), close.len()))
    }
}

/// How long the name is that begins at a place; 0 where none does.
fn name_length(text: &[u8], at: usize) -> usize {
    first_name(text.get(at..).unwrap_or_default()).len()
}

fn is_of_name(byte: &&u8) -> bool {
    byte.is_ascii_alphanumeric() || **byte == b'_'
}

/// The name that a text begins with; empty where it begins with none.
pub(crate) fn first_name(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(is_of_name).count();
    text.get(..length).unwrap_or_default()
}

/// The name that a text ends with.
pub(crate) fn last_name(text: &[u8]) -> &[u8] {
    let length = text.iter().rev().take_while(is_of_name).count();
    text.get(text.len() - length..).unwrap_or_default()
}

/// The name and the word of a line of a script such as `export A=wg` or `A := wg`.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    let word = WORDS.iter().find(|word| line.starts_with(word));
    let line = line.get(word.map_or(0, |word| word.len())..)?;
    let (name, rest) = line.split_at_checked(name_length(line, 0))?;
    let rest = rest.trim_ascii_start();
    let signs: [&[u8]; 4] = [b"::=", b":=", b"?=", b"="];
    let value = signs.iter().find_map(|sign| rest.strip_prefix(*sign))?;
    let value = value.trim_ascii();
    let bare = match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:/@%+-".contains(byte);
    let is_known =
        !name.is_empty() && (1..=LONGEST).contains(&bare.len()) && bare.iter().all(is_plain);
    is_known.then_some((name, bare))
}

/// The name and the text of a line of a program such as `const A = "wg";`.
fn text(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let open = memchr::memchr3(b'"', b'\'', b'`', line)?;
    let head = line.get(..open)?.trim_ascii_end().strip_suffix(b"=")?;
    let head = head.trim_ascii_end();
    // What the text is said to be does not matter: `const A: &str =`, `a :=`.
    let head = head.split(|byte| *byte == b':').next()?.trim_ascii_end();
    let name = last_name(head);
    let quote = line.get(open)?;
    let rest = line.get(open + 1..)?;
    let (value, tail) = rest.split_at_checked(memchr::memchr(*quote, rest)?)?;
    let tail = tail.get(1..)?.trim_ascii_start();
    let is_whole = matches!(tail.first(), None | Some(b';' | b',' | b')' | b'#' | b'/'));
    let is_known = !name.is_empty()
        && is_whole
        && (1..=LONGEST).contains(&value.len())
        && !value.contains(&b'\\');
    is_known.then_some((name, value))
}

/// The name and the number of a line such as `const ID: u64 = 6408;`: written into a text, it is one.
fn digits(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_end();
    let line = line.strip_suffix(b";").unwrap_or(line);
    let (head, value) = line.split_at_checked(memchr::memchr(b'=', line)?)?;
    let value = value.get(1..)?.trim_ascii();
    let is_number = (1..=LONGEST).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let head = head.split(|byte| *byte == b':').next()?.trim_ascii_end();
    let name = last_name(head);
    (is_number && !name.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_in(text: &str, is_shell: bool) -> String {
        let given = Given::read(std::iter::once(text.as_bytes()), is_shell);
        let put = given.put_in(text.as_bytes());
        let put = put.map_or_else(String::new, |put| String::from_utf8(put.text).unwrap());
        put.lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn names_beside_letters_are_put_in_scripts() {
        for (text, last) in [
            ("G1 := wg\n\t$(G1)et -q x", "\twget -q x"),
            ("a=cu; b=rl\n$a$b -s x", "curl -s x"),
            ("export A='so'\n${A}cat - x", "socat - x"),
            ("  local b=\"at\"\nsoc$b x", "socat x"),
            ("ARG T=wg\nRUN ${T}et x", "RUN wget x"),
        ] {
            assert_eq!(put_in(text, true), last, "{text}");
        }
        for text in [
            "A=x\necho $A",
            "A=x y\n$A$A",
            "A=x\n/opt/$A/lib",
            "A=x\n$AB",
            "if [ $A = 1 ]; then",
            "A=\n${A}b",
        ] {
            assert_eq!(put_in(text, true), "", "{text}");
        }
    }

    #[test]
    fn names_within_texts_are_put_in_programs() {
        for (text, last) in [
            ("const K = \"gl\";\nx = `${K}pat`", "x = `glpat`"),
            ("K: str = 'cu'\nrun(f\"{K}rl\")", "run(f\"curl\")"),
            ("k = \"cu\"\n`#{k}rl x`", "`curl x`"),
            ("$k = 'cu';\n$r = \"{$k}rl\";", "$r = \"curl\";"),
            ("let k = \"cu\"\nrun(\"\\(k)rl\")", "run(\"curl\")"),
            ("k := \"cu\"\nrun(k + \"rl\")", "run(\"cu\" + \"rl\")"),
            ("$k = 'cu';\nrun($k . 'rl');", "run(\"cu\" . 'rl');"),
            ("a = 'x'\na = 'y'\nf(a + b)", "f(\"y\" + b)"),
            (
                "const ID: u64 = 64;\nlet u = format!(\"bot{ID}:x\");",
                "let u = format!(\"bot64:x\");",
            ),
        ] {
            assert_eq!(put_in(text, false), last, "{text}");
        }
        for text in [
            "k = \"cu\"\nrun(k, \"rl\")",
            "k == \"cu\"\nrun(k + \"rl\")",
            "k = \"c\\x75\"\nrun(k + \"rl\")",
            "k = \"cu\"\nk += \"rl\"",
            "k = \"cu\" + x\nrun(k + 1)",
            "k = f(\"cu\")\nrun(k + 1)",
            "k = \"it\"\nsay(\"k it\")",
        ] {
            assert_eq!(put_in(text, false), "", "{text}");
        }
    }

    #[test]
    fn what_is_put_in_stays_bounded() {
        let value = "x".repeat(LONGEST);
        let text = format!("a = \"{value}\"\nb = \"{}\"\n", "{a}".repeat(20_000));
        let given = Given::read(std::iter::once(text.as_bytes()), false);
        let put = given.put_in(text.as_bytes()).unwrap();
        assert!(put.text.len() <= MOST + text.len() + LONGEST);
    }
}
