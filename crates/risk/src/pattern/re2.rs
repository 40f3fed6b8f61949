//! Patterns in the syntax of RE2, in which rule files of that format are written, put into our own. Both share
//! nearly all of it; where they differ, the same text would mean another thing here: `\>` is a bracket there
//! and the end of a word here, `&&` and `--` in a class are letters there and operators here, a brace that
//! repeats nothing is a letter, and so is a bracket within a class.
//! Source: the syntax page of RE2 and the parser of Go's `regexp/syntax`.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// What means something else in our syntax unless a backslash stands before it.
const META: &str = r"\.+*?()|[]{}^$#&-~";

/// The longest count of a repetition, and name of a class, that is looked for, in letters.
const LONGEST: usize = 24;

/// The pattern as we write it.
pub(crate) fn translated(pattern: &str) -> String {
    let mut reader = Reader {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len()),
    };
    while let Some(letter) = reader.rest.next() {
        match letter {
            '\\' => reader.escape(),
            '[' => reader.class(),
            '{' => reader.brace(),
            letter => reader.out.push(letter),
        }
    }
    reader.out
}

struct Reader<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
}

impl Reader<'_> {
    /// What follows a backslash outside of a class.
    fn escape(&mut self) {
        match self.rest.next() {
            Some('Q') => self.quoted(),
            // In our syntax a brace behind it would belong to it.
            Some(border @ ('b' | 'B')) => self.out.extend(['\\', border]),
            Some(digit @ '0'..='7') => self.octal(digit),
            Some(letter) if letter.is_ascii_punctuation() => self.letter(letter),
            Some('x') => match self.hex() {
                Some(letter) => self.letter(letter),
                // No number at all, which is refused.
                None => self.out += "\\x{}",
            },
            Some(letter) => self.kind(letter),
            None => self.out.push('\\'),
        }
    }

    /// Everything up to `\E` stands for itself.
    fn quoted(&mut self) {
        while let Some(letter) = self.rest.next() {
            if letter == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.letter(letter);
        }
    }

    /// A letter by its number: `\012`, but no `\1`, which would be what a group held.
    fn octal(&mut self, first: char) {
        let mut digits = String::from(first);
        while digits.len() < 3
            && let Some(digit) = self.rest.next_if(|letter| ('0'..='7').contains(letter))
        {
            digits.push(digit);
        }
        match u32::from_str_radix(&digits, 8) {
            Ok(number) if digits.len() > 1 || first == '0' => self.number(number),
            _ => {
                self.out.push('\\');
                self.out += &digits;
            }
        }
    }

    /// A brace repeats what stands before it only as `{2}`, `{2,}` or `{2,4}`.
    fn brace(&mut self) {
        let ahead: String = self.rest.clone().take(LONGEST).collect();
        let counts = ahead.split_once('}').map(|(counts, _)| counts);
        let (least, most) = counts.map_or(("", ""), |counts| {
            counts.split_once(',').unwrap_or((counts, ""))
        });
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match is_number(least) && (most.is_empty() || is_number(most)) {
            true => self.out.push('{'),
            false => self.letter('{'),
        }
    }

    /// A class, letter by letter and range by range.
    fn class(&mut self) {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        while let Some(letter) = self.rest.next() {
            match letter {
                ']' if !is_first => {
                    self.out.push(']');
                    return;
                }
                '[' if self.rest.peek() == Some(&':') => self.named(),
                '\\' => {
                    if let Some(low) = self.class_escape() {
                        self.range(low);
                    }
                }
                letter => self.range(letter),
            }
            is_first = false;
        }
    }

    /// `[:alpha:]`; or the bracket alone where no such name follows.
    fn named(&mut self) {
        let ahead: String = self.rest.clone().skip(1).take(LONGEST).collect();
        let name = ahead.split_once(":]").map_or("", |(name, _)| name);
        let letters = name.strip_prefix('^').unwrap_or(name);
        if letters.is_empty() || !letters.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return self.range('[');
        }
        let _ = write!(self.out, "[:{name}:]");
        // The colon before the name, and what closes it.
        self.rest.nth(name.len() + 2);
    }

    /// What follows a backslash in a class: a letter, or a class that is written out.
    fn class_escape(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        let control = |letter| match letter {
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            letter if letter.is_ascii_punctuation() => Some(letter),
            _ => None,
        };
        if let Some(letter) = control(letter) {
            return Some(letter);
        }
        if letter == 'x' {
            return self.hex();
        }
        self.kind(letter);
        None
    }

    /// A letter that stands for many behind a backslash. `\p{…}` goes on, and `\p{^…}` is what it is not.
    fn kind(&mut self, letter: char) {
        let is_named = matches!(letter, 'p' | 'P') && self.rest.next_if_eq(&'{').is_some();
        if !is_named {
            return self.out.extend(['\\', letter]);
        }
        let is_other = self.rest.next_if_eq(&'^').is_some();
        let letter = match (letter, is_other) {
            ('p', true) | ('P', false) => 'P',
            _ => 'p',
        };
        self.out.extend(['\\', letter, '{']);
        for inner in self.rest.by_ref() {
            self.out.push(inner);
            if inner == '}' {
                break;
            }
        }
    }

    /// A letter by its number in two digits, or in braces.
    fn hex(&mut self) -> Option<char> {
        let digits: String = match self.rest.next_if_eq(&'{') {
            Some(_) => self
                .rest
                .by_ref()
                .take_while(|letter| *letter != '}')
                .collect(),
            None => self.rest.by_ref().take(2).collect(),
        };
        u32::from_str_radix(&digits, 16)
            .ok()
            .and_then(char::from_u32)
    }

    /// A letter of a class, or the range that it begins.
    fn range(&mut self, low: char) {
        let mut ahead = self.rest.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']');
        self.letter(low);
        if !is_range {
            return;
        }
        self.rest.next();
        self.out.push('-');
        match self.rest.next() {
            Some('\\') => {
                if let Some(high) = self.class_escape() {
                    self.letter(high);
                }
            }
            Some(high) => self.letter(high),
            None => {}
        }
    }

    /// A letter that stands for itself.
    fn letter(&mut self, letter: char) {
        match letter {
            '\0'..='\u{1f}' => self.number(u32::from(letter)),
            letter if META.contains(letter) => self.out.extend(['\\', letter]),
            letter => self.out.push(letter),
        }
    }

    fn number(&mut self, number: u32) {
        let _ = write!(self.out, "\\x{{{number:X}}}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Regex;

    fn finds(pattern: &str, text: &str) -> bool {
        let own = translated(pattern);
        let regex = Regex::of(&own).unwrap_or_else(|why| panic!("{pattern} {own}: {why}"));
        regex.is_match(text.as_bytes())
    }

    #[test]
    fn patterns_mean_what_they_mean_there() {
        for (pattern, matches, other) in [
            (r"<tok\>([a-z]{6})", "<tok>abcdef", "<tok abcdef"),
            (r"^tok=([a-z&&0-9]{6})$", "tok=ab&&12", "tok=ab--12"),
            (r"^tok=([\w--.]{6})$", "tok=ab-c.2", "tok=ab&c12"),
            (r"^\$(?:\d+|{\d+})$", "${12}", "${a}"),
            (r"^\${(?:[A-Z_]+|[a-z_]+)}$", "${HOME}", "$HOME"),
            (r"tmpl{{ *x", "tmpl{{  x", "tmpl{ x"),
            (r"^kk[[:=]x", "kk[x", "kk-x"),
            (r"^kk[[:digit:]:=]x$", "kk7x", "kk[x"),
            (r"^\Qa.b[\E+$", "a.b[[", "axb["),
            (r"^a{2,3}$", "aaa", "a{2,3}"),
            (r"^[]a^-]+$", "]a^-", "b"),
            (r"^[^]a]$", "b", "]"),
            (r"^[a\-z]$", "-", "b"),
            (r"^[\]\d\x{41}-C]+$", "]7B", "D"),
            (r"^\101\n$", "A\n", "B\n"),
            (r"^[+--]$", ",", "."),
            (r"^tok\x{5f}\x2B[a-z]{2}$", "tok_+ab", "tok+ab"),
            (r"^\x{1F600}{2}$", "\u{1F600}\u{1F600}", "\u{1F600}"),
            (r"^\p{L}+_\pN{2}$", "key_12", "k1y_12"),
            (r"^\P{Lu}\p{^Lu}[\p{^Lu}]$", "abc", "aBc"),
            (r"(?i)\bkey\b['\x22]?=", "KEY\"=", "key="),
        ] {
            assert!(finds(pattern, matches), "{pattern} misses {matches}");
            let is_last = pattern.starts_with("(?i)");
            assert!(is_last || !finds(pattern, other), "{pattern} finds {other}");
        }
    }

    #[test]
    fn our_own_rules_stay_what_they_are() {
        let file: toml::Table =
            toml::from_str(include_str!("../../../../ssot/SECRET_RULES.toml")).unwrap();
        let examples = include_str!("../../tests/secret_examples.json").replace("{~~}", "");
        let examples: serde_json::Value = serde_json::from_str(&examples).unwrap();
        let mut asked = 0;
        for rule in file["rules"].as_array().unwrap() {
            let Some(pattern) = rule.get("regex").and_then(toml::Value::as_str) else {
                continue;
            };
            let own = &examples[rule["id"].as_str().unwrap()];
            for text in own["match"].as_array().unwrap() {
                assert!(finds(pattern, text.as_str().unwrap()), "{pattern}");
                asked += 1;
            }
        }
        assert!(asked > 250, "{asked}");
    }
}
