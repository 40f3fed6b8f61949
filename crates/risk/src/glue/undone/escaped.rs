//! Characters that the source writes by their numbers or their names: `"\x63url"` is `"curl"` to whoever
//! compiles it. Only those of ASCII are put in their place, for the words of rules are made of these.

use crate::glue::edited::Edited;
use crate::language::Languages;

/// Languages in which a letter behind a backslash is that letter, and those letters that are something else.
const ITSELF: [(&[&str], &[u8]); 5] = [
    (&["javascript", "typescript"], b"bfnrtvxu"),
    (&["dart"], b"bfnrtvxu"),
    (&["ruby"], b"abcefnrstvxuMC"),
    (&["perl"], b"abcefnrtvxuoNlLUEQF"),
    (&["c", "cpp", "objc"], b"abefnrtvxuUN"),
];
/// Letters that mean a class of others in a pattern, so that more has to follow before they are letters.
const CLASSES: &[u8] = b"dswDSWBp";
/// Characters that are written by their names, beside the letters.
const NAMES: [(&str, u8); 8] = [
    ("SPACE", b' '),
    ("FULL STOP", b'.'),
    ("COLON", b':'),
    ("SOLIDUS", b'/'),
    ("LOW LINE", b'_'),
    ("HYPHEN-MINUS", b'-'),
    ("VERTICAL LINE", b'|'),
    ("LEFT PARENTHESIS", b'('),
];
/// A number or a name in braces is no longer than this, in bytes.
const LONGEST: usize = 64;

/// What is read before anything else, so that it may end a comment or a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Nothing,
    /// Characters by their numbers in Unicode.
    Unicode,
    /// Every escape.
    All,
}

/// How a language writes characters in another way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped {
    /// So many digits may stand behind `\x`.
    hex: usize,
    /// What the digits behind a backslash count in.
    radix: u32,
    /// Whether fewer digits are enough.
    is_short: bool,
    /// The letters that do not stand for themselves, where the others do.
    taken: Option<&'static [u8]>,
    /// Whether a slash may stand for itself.
    slashes: bool,
    /// What says nothing at all behind a backslash.
    nothing: Option<u8>,
    first: First,
    /// Whether a character is put where it stands, and not as a text would write it.
    is_raw: bool,
}

impl Escaped {
    pub(crate) fn of(languages: Languages, decodes: bool) -> Self {
        let is_any = |names: &[&str]| languages.is_any(names);
        let nothing = [("lua", b'z'), ("haskell", b'&'), ("perl", b'E')];
        let nothing = nothing.into_iter().find(|(name, _)| is_any(&[name]));
        Self {
            hex: match is_any(&["csharp"]) {
                true => 4,
                false if is_any(&["c", "cpp", "objc", "haskell"]) => LONGEST,
                false => 2,
            },
            radix: if is_any(&["lua", "nim", "haskell"]) {
                10
            } else {
                8
            },
            is_short: is_any(&[
                "shell",
                "make",
                "just",
                "dockerfile",
                "workflow",
                "r",
                "julia",
            ]),
            taken: ITSELF
                .iter()
                .find(|(names, _)| is_any(names))
                .map(|(_, taken)| *taken),
            slashes: is_any(&["json", "yaml", "javascript", "typescript"]),
            nothing: nothing.map(|(_, sign)| sign),
            first: match is_any(&["java", "groovy", "scala"]) {
                _ if decodes => First::All,
                true => First::Unicode,
                false => First::Nothing,
            },
            is_raw: false,
        }
    }

    /// What is undone before anything else is read.
    pub(crate) fn first(&self) -> Option<Self> {
        (self.first != First::Nothing).then_some(Self {
            is_raw: true,
            ..*self
        })
    }

    /// Whether an escape stands behind a backslash.
    pub(crate) fn is_at(&self, before: &[u8], rest: &[u8]) -> bool {
        let mut said = Vec::new();
        let last = before.last().copied();
        let first = self
            .first()
            .and_then(|first| first.read(last, rest, &mut said));
        first.or_else(|| self.read(last, rest, &mut said)).is_some()
    }

    /// A text with each escape undone; none where it holds none.
    pub(crate) fn undo(&self, text: &[u8]) -> Option<Edited> {
        let mut out = Edited::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
            let plain = text.get(at..at + found).unwrap_or_default();
            out.text.extend_from_slice(plain);
            at += found;
            let rest = text.get(at + 1..).unwrap_or_default();
            let last = out.text.last().copied();
            match self.read(last, rest, &mut out.text) {
                Some(length) => {
                    at += 1 + length;
                    out.stands_for(at);
                }
                None => {
                    let both = text.get(at..).unwrap_or_default();
                    let both = both.get(..2).unwrap_or(both);
                    out.text.extend_from_slice(both);
                    at += both.len();
                }
            }
        }
        out.text
            .extend_from_slice(text.get(at..).unwrap_or_default());
        out.is_changed().then_some(out)
    }

    /// Writes down what stands behind a backslash and gives how long that is; none where it is no escape.
    fn read(&self, last: Option<u8>, rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let (sign, tail) = rest.split_first()?;
        if self.is_raw && self.first == First::Unicode && *sign != b'u' {
            return None;
        }
        let start = out.len();
        let length = match sign {
            b'x' => self.number(tail, (16, 2..=self.hex), out),
            b'u' => self.unicode(tail, out),
            b'U' => self.number(tail, (16, self.few(8)..=8), out),
            b'o' => self.number(tail, (8, 2..=3), out),
            b'N' => self.name(tail, out),
            b'0'..=b'9' => self.digits(rest, out).map(|length| length - 1),
            b'n' | b't' | b'r' | b'v' | b'f' => self.control(*sign, tail, out),
            _ => None,
        };
        if length.is_none() {
            out.truncate(start);
        }
        let itself = || self.itself(last, *sign, tail, out);
        length.or_else(itself).map(|length| 1 + length)
    }

    /// How many digits are enough.
    fn few(&self, all: usize) -> usize {
        if self.is_short { 2 } else { all }
    }

    /// Behind `\u`, of which Java takes as many as there are.
    fn unicode(&self, tail: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let more = tail.iter().take_while(|byte| **byte == b'u').count();
        let tail = tail.get(more..)?;
        Some(more + self.number(tail, (16, self.few(4)..=4), out)?)
    }

    /// A letter that stands for what is not shown.
    fn control(&self, sign: u8, tail: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let value = match sign {
            b'n' => 10,
            b't' => 9,
            b'r' => 13,
            b'v' => 11,
            _ => 12,
        };
        self.put(value, tail, out).map(|()| 0)
    }

    /// What stands for itself behind a backslash, or for nothing.
    fn itself(&self, last: Option<u8>, sign: u8, tail: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        if self.nothing == Some(sign) {
            let blanks = tail.iter().take_while(|byte| byte.is_ascii_whitespace());
            return Some(if sign == b'z' { blanks.count() } else { 0 });
        }
        let is_class = || {
            let few = tail.iter().take(2).filter(|byte| byte.is_ascii_lowercase());
            CLASSES.contains(&sign) && few.count() < 2
        };
        let is_itself = match sign {
            b'/' => self.slashes && matches!(last, Some(b':' | b'/')),
            _ => {
                let is_within = is_of_name(last.as_ref()) || is_of_name(tail.first());
                let is_free = self.taken.is_some_and(|taken| !taken.contains(&sign));
                sign.is_ascii_alphabetic() && is_free && is_within && !is_class()
            }
        };
        is_itself.then(|| out.push(sign)).map(|()| 0)
    }

    /// The digits behind a backslash.
    fn digits(&self, rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        // `echo` wants a zero before them.
        let zero = usize::from(self.is_short && rest.first() == Some(&b'0'));
        let digits = rest.get(zero..)?;
        if zero == 1
            && let Some(length) = self.number(digits, (self.radix, 3..=3), out)
        {
            return Some(zero + length);
        }
        let few = if rest.first() == Some(&b'0') { 1 } else { 2 };
        self.number(rest, (self.radix, few..=3), out)
    }

    /// A number of so many digits, or some in braces.
    fn number(
        &self,
        text: &[u8],
        (radix, digits): (u32, std::ops::RangeInclusive<usize>),
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        if let Some(inner) = text.strip_prefix(b"{") {
            let end = memchr::memchr(b'}', inner.get(..LONGEST).unwrap_or(inner))?;
            let (inner, tail) = inner.split_at_checked(end)?;
            let words = inner.split(u8::is_ascii_whitespace);
            for word in words.filter(|word| !word.is_empty()) {
                self.put(value(word, radix)?, tail.get(1..)?, out)?;
            }
            return Some(end + 2);
        }
        let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
        let most = text.iter().take(*digits.end());
        let length = most.take_while(is_digit).count();
        let (own, tail) = text.split_at_checked(length)?;
        let value = digits.contains(&length).then(|| value(own, radix))??;
        self.put(value, tail, out)?;
        Some(length)
    }

    /// A character by its name in Unicode.
    fn name(&self, text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let inner = text.strip_prefix(b"{")?;
        let end = memchr::memchr(b'}', inner.get(..LONGEST).unwrap_or(inner))?;
        let (name, tail) = inner.split_at_checked(end)?;
        let name = std::str::from_utf8(name).ok()?.to_ascii_uppercase();
        let letter = |kind: &str| match name.strip_prefix(kind)?.as_bytes() {
            [letter] => Some(*letter),
            _ => None,
        };
        let number = name.strip_prefix("U+");
        let sign = NAMES.iter().find(|(known, _)| *known == name);
        let small = letter("LATIN SMALL LETTER ").map(|one| one.to_ascii_lowercase());
        let known = small.or_else(|| letter("LATIN CAPITAL LETTER "));
        let known = known.or(sign.map(|(_, sign)| *sign)).map(u32::from);
        let known = known.or_else(|| value(number?.as_bytes(), 16))?;
        self.put(known, tail.get(1..)?, out)?;
        Some(end + 2)
    }

    /// Writes a character down as the text would that is written without its number. One that is not shown
    /// is a blank, and only where it parts a word that follows from what stands before.
    fn put(&self, value: u32, tail: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let byte = u8::try_from(value).ok().filter(u8::is_ascii)?;
        match byte {
            _ if self.is_raw => out.push(byte),
            b'"' | b'\'' | b'`' | b'\\' => out.extend([b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ if is_of_name(tail.first()) => out.push(b' '),
            _ => return None,
        }
        Some(())
    }
}

fn is_of_name(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// The value of digits, between which a language may allow a stroke.
fn value(digits: &[u8], radix: u32) -> Option<u32> {
    let mut digits = digits.iter().filter(|byte| **byte != b'_');
    digits.try_fold(0_u32, |value, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use crate::glue::undone::undone;

    #[test]
    fn characters_by_their_numbers_are_put_in() {
        for (path, text, plain) in [
            ("a.py", r#"s("cu\x72l -d")"#, r#"s("curl -d")"#),
            ("a.py", r#"i("\163\157cket")"#, r#"i("socket")"#),
            ("a.py", r#""\N{LATIN SMALL LETTER C}url""#, r#""curl""#),
            ("a.py", r#""\ncurl\x20-s""#, r#"" curl -s""#),
            ("a.py", r#""{\x22a\x22}\U0000006c""#, r#""{\"a\"}l""#),
            ("a.js", r"f\u0065tch(u); g\u{0065}t(u)", "fetch(u); get(u)"),
            ("a.js", r#"require("\http")"#, r#"require("http")"#),
            ("A.java", r"new \uu0055RL(u)", "new URL(u)"),
            ("A.java", "// a \\u000a b();", "// a \n b();"),
            ("A.java", r#""\u005c143url""#, r#""curl""#),
            ("a.cs", r#"H\u0074tp("\x63url")"#, r#"Http("curl")"#),
            (
                "a.c",
                r#"system("\x0063url \163h")"#,
                r#"system("curl sh")"#,
            ),
            ("a.rb", r#"s("\u{63 75 72 6c}")"#, r#"s("curl")"#),
            ("a.rs", r#"n("\u{00_63}url")"#, r#"n("curl")"#),
            ("a.pl", r#""\x{63}u\Erl\o{101}""#, r#""curlA""#),
            ("a.lua", "\"\\099u\\z\n  rl\"", "\"curl\""),
            ("a.hs", r#""cu\&rl\99""#, r#""curlc""#),
            ("a.sh", r"$'\x63u\162\u6c' x", "$'curl' x"),
            ("a.sh", r"printf '\0143url' | sh", "printf 'curl' | sh"),
            ("package.json", r#"{"\u0070ost": 1}"#, r#"{"post": 1}"#),
            (
                "a.json",
                r#""https:\/\/a.example/""#,
                r#""https://a.example/""#,
            ),
            ("a.yml", r#"run: "c\x75rl x""#, r#"run: "curl x""#),
        ] {
            assert_eq!(undone(path, text), plain, "{path} {text}");
        }
    }

    #[test]
    fn ordinary_escapes_stay_as_they_are() {
        for (path, text) in [
            ("a.py", r#"print("\x1b[31mred\x1b[0m\n")"#),
            ("a.py", r#"name = "caf\u00e9\n""#),
            ("a.py", r#"re.sub(r"(\w+)\s+\1", "\\x63url", t)"#),
            ("a.c", r#"printf("%s\n\r\n", "\033[1m");"#),
            ("a.c", r#"char c = '\0';"#),
            ("a.c", r#""\x63afe""#),
            ("a.js", r"const r = /^\s*\d+\.\d+$/;"),
            ("a.sh", r"sed -e 's/\(a\)/\1/' -e 's/\//-/'"),
            ("a.md", r"Write `\x63url`."),
            ("a.cs", r#"@"c:\users\x""#),
            ("a.json", r#"{"a": "\u00e9\\u0070"}"#),
        ] {
            assert_eq!(undone(path, text), "", "{path} {text}");
        }
    }
}
