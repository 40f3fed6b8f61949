//! What a text must hold before a pattern can match in it: told by reading the pattern, and looked for
//! at a small part of what the pattern costs, let alone compiling it.

use std::ops::Range;

use regex_syntax::hir::{Class, Dot, Hir, HirKind, Literal};
use serde::Deserialize;

use crate::pattern::Pattern;
use crate::pattern::shape;

/// A run of so many letters and digits is hardly ever a name.
const LONG_RUN: usize = 20;
/// So many bytes are looked for at once.
const MOST_AT_ONCE: usize = 3;
/// So many sets of bytes are asked for.
const MOST_SETS: usize = 3;
/// The bytes of text and code, the commonest first; the first ones stand in every text.
const COMMON: &[u8] = b" etaoinrslcdpumhfg_\nbyv-,.()w;/*=k\"':x>01#2<{}&3456789[]+|jzq\\!%$";
/// So many of them are not worth looking for.
const EVERYWHERE: usize = 10;
/// One that stands in this place or behind it is missing in most lines.
const RARE: usize = 30;

/// A shorter word is not worth looking for.
const SHORTEST_WORD: usize = 5;
/// A gap of anything that may be this long makes a pattern costly wherever its first part matches.
const LONG_GAP: u32 = 16;

/// One to three bytes; each pattern makes hundreds of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
struct Set {
    bytes: [u8; MOST_AT_ONCE],
    count: usize,
}

/// What every match of a pattern holds.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub(crate) struct Needs {
    /// Whether that is a run of bytes that tokens are made of.
    #[serde(skip_serializing_if = "is_default")]
    long_run: bool,
    /// Whether it holds a byte beyond ASCII.
    #[serde(skip_serializing_if = "is_default")]
    beyond_ascii: bool,
    /// Sets of bytes, of each of which it holds one; the rarest first.
    #[serde(skip_serializing_if = "is_default")]
    sets: Vec<Set>,
    /// A word that it holds in some case, in lower case.
    #[serde(skip_serializing_if = "is_default")]
    word: Option<Vec<u8>>,
    /// How long a word between two quotes it holds at the least; 0 where it holds none.
    #[serde(skip_serializing_if = "is_default")]
    quoted: usize,
    /// What follows its last long gap, by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    tail: Option<Pattern>,
}

#[cfg(test)]
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Needs {
    pub(crate) fn of(hir: &Hir) -> Self {
        let mut sets = sets_of(hir);
        sets.retain(|set| set.rarity() >= EVERYWHERE);
        sets.sort_by_key(|set| std::cmp::Reverse(set.rarity()));
        sets.truncate(MOST_SETS);
        Self {
            long_run: shape::longest_run_of(hir, is_of_token) >= LONG_RUN,
            beyond_ascii: is_beyond_ascii(hir),
            sets,
            word: words_of(hir).into_iter().max_by_key(Vec::len),
            quoted: quoted_in(hir),
            tail: tail_of(hir).map(|tail| Pattern::new(tail.to_string())),
        }
    }

    /// Whether a text holds all of it.
    pub(crate) fn are_met(&self, text: &[u8]) -> bool {
        let word = self.word.as_ref();
        self.sets.iter().all(|set| set.place_in(text).is_some())
            && !(self.beyond_ascii && text.is_ascii())
            && word.is_none_or(|word| holds_word(text, word))
            && (!self.long_run || has_long_run(text))
            && (self.quoted == 0 || has_quoted(text, self.quoted))
    }

    /// The first line from a place of a text on that holds all of it, with its line feed.
    pub(crate) fn next_line(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        let mut from = from;
        loop {
            let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
            let at = from
                + self
                    .rarest()
                    .map_or(Some(0), |rarest| rarest.place_in(rest))?;
            let (head, tail) = text.split_at_checked(at)?;
            let start = memchr::memrchr(b'\n', head).map_or(0, |end| end + 1);
            let end = memchr::memchr(b'\n', tail).map_or(text.len(), |end| at + end + 1);
            if self.are_met(text.get(start..end).unwrap_or_default()) {
                return Some(start..end);
            }
            from = end;
        }
    }

    /// Its rarest bytes, where they tell one line from another.
    fn rarest(&self) -> Option<&Set> {
        let set = self.sets.first();
        set.filter(|set| set.rarity() >= RARE)
    }

    /// Whether it tells one line from another.
    pub(crate) fn tells_lines(&self) -> bool {
        self.rarest().is_some()
    }

    /// How much of what may stand in a line this leaves out.
    pub(crate) fn strength(&self) -> usize {
        let sets = self.sets.iter().map(Set::rarity);
        let word = self.word.as_ref().map_or(0, |word| 20 * word.len());
        let beyond = if self.beyond_ascii { 200 } else { 0 };
        sets.sum::<usize>() + word + 10 * self.quoted + beyond + if self.long_run { 200 } else { 0 }
    }

    /// Whether the tail of the pattern, if it has one, matches in a text.
    pub(crate) fn tail_matches(&self, text: &[u8]) -> bool {
        let tail = self.tail.as_ref().and_then(|tail| tail.get().ok());
        tail.is_none_or(|tail| tail.is_match(text))
    }
}

impl TryFrom<Vec<u8>> for Set {
    type Error = &'static str;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Self::of(bytes).ok_or("no set of one to three bytes")
    }
}

#[cfg(test)]
impl From<Set> for Vec<u8> {
    fn from(set: Set) -> Self {
        set.as_slice().to_vec()
    }
}

impl Set {
    /// The set of some bytes, if they are few enough.
    fn of(bytes: impl IntoIterator<Item = u8>) -> Option<Self> {
        let mut set = Self {
            bytes: [0; MOST_AT_ONCE],
            count: 0,
        };
        for byte in bytes {
            if !set.as_slice().contains(&byte) {
                *set.bytes.get_mut(set.count)? = byte;
                set.count += 1;
            }
        }
        set.bytes.get_mut(..set.count)?.sort_unstable();
        (set.count > 0).then_some(set)
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }

    /// Where the first of its bytes stands in a text.
    fn place_in(&self, text: &[u8]) -> Option<usize> {
        match *self.as_slice() {
            [one] => memchr::memchr(one, text),
            [one, two] => memchr::memchr2(one, two, text),
            [one, two, three] => memchr::memchr3(one, two, three, text),
            _ => Some(0),
        }
    }

    /// How rare its commonest byte is.
    fn rarity(&self) -> usize {
        let bytes = self.as_slice().iter();
        bytes.map(|byte| rarity(*byte)).min().unwrap_or(0)
    }
}

/// Whether a text holds a word, in lower case, in any case.
pub(crate) fn holds_word(text: &[u8], word: &[u8]) -> bool {
    let letters = word.iter().enumerate();
    let rarest = letters.max_by_key(|(_, byte)| rarity(**byte));
    let Some((offset, byte)) = rarest else {
        return true;
    };
    let mut places = memchr::memchr2_iter(*byte, byte.to_ascii_uppercase(), text);
    places.any(|at| {
        let start = at.checked_sub(offset);
        let place = start.and_then(|start| text.get(start..start + word.len()));
        place.is_some_and(|place| place.eq_ignore_ascii_case(word))
    })
}

/// Words that every match holds, in lower case.
fn words_of(hir: &Hir) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    match hir.kind() {
        HirKind::Capture(capture) => words = words_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => words = words_of(&repetition.sub),
        HirKind::Concat(parts) => {
            let mut run = Vec::new();
            for part in parts {
                if let Some(more) = only_word(part) {
                    run.extend(more);
                } else {
                    words.push(std::mem::take(&mut run));
                    words.extend(words_of(part));
                }
            }
            words.push(run);
        }
        _ => words.extend(only_word(hir)),
    }
    // A word over two lines is no run of bytes in a patch.
    words.retain(|word| word.len() >= SHORTEST_WORD && !word.contains(&b'\n'));
    words
}

/// The one text that a part of a pattern matches, in any case, in lower case.
fn only_word(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(Vec::new()),
        HirKind::Literal(Literal(bytes)) => Some(bytes.to_ascii_lowercase()),
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.iter().flat_map(|range| range.start()..=range.end());
            let mut bytes: Vec<u8> = bytes.take(MOST_AT_ONCE).collect();
            bytes.make_ascii_lowercase();
            bytes.dedup();
            (bytes.len() == 1).then_some(bytes)
        }
        HirKind::Capture(capture) => only_word(&capture.sub),
        HirKind::Concat(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(only_word).collect();
            parts.map(|parts| parts.concat())
        }
        _ => None,
    }
}

/// What follows the last long gap of a pattern.
fn tail_of(hir: &Hir) -> Option<Hir> {
    let HirKind::Concat(parts) = hir.kind() else {
        return None;
    };
    let is_long_gap = |part: &Hir| match part.kind() {
        HirKind::Repetition(gap) => {
            *gap.sub == Hir::dot(Dot::AnyByte) && gap.max.is_none_or(|most| most >= LONG_GAP)
        }
        _ => false,
    };
    let gap = parts.iter().rposition(is_long_gap)?;
    let tail = parts.get(gap + 1..).filter(|tail| !tail.is_empty())?;
    Some(Hir::concat(tail.to_vec()))
}

/// How rare a byte is.
fn rarity(byte: u8) -> usize {
    let place = memchr::memchr(byte, COMMON);
    place.unwrap_or(COMMON.len())
}

/// Small sets of bytes, of each of which every match holds one.
fn sets_of(hir: &Hir) -> Vec<Set> {
    let mut sets = match hir.kind() {
        HirKind::Literal(Literal(bytes)) => {
            bytes.iter().filter_map(|byte| Set::of([*byte])).collect()
        }
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.iter().flat_map(|range| range.start()..=range.end());
            return Set::of(bytes).into_iter().collect();
        }
        HirKind::Capture(capture) => return sets_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => return sets_of(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(sets_of).collect(),
        HirKind::Alternation(parts) => sets_of_any(&parts.iter().map(sets_of).collect::<Vec<_>>()),
        _ => Vec::new(),
    };
    sets.sort_unstable();
    sets.dedup();
    sets
}

/// What every match holds that is a match of one of some parts, each with its own sets: what all of
/// them hold, and one of the rarest of each.
fn sets_of_any(parts: &[Vec<Set>]) -> Vec<Set> {
    let first = parts.first().into_iter().flatten();
    let by_all = |set: &&Set| parts.iter().all(|part| part.contains(set));
    let mut sets: Vec<Set> = first.filter(by_all).copied().collect();
    let rarest = parts
        .iter()
        .map(|part| part.iter().max_by_key(|set| set.rarity()));
    if let Some(rarest) = rarest.collect::<Option<Vec<_>>>() {
        let together = rarest.into_iter().flat_map(Set::as_slice).copied();
        sets.extend(Set::of(together));
    }
    sets
}

/// Whether every match holds a byte beyond ASCII.
fn is_beyond_ascii(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(Literal(bytes)) => !bytes.is_ascii(),
        HirKind::Class(Class::Bytes(class)) => class.iter().all(|range| !range.start().is_ascii()),
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().all(|range| !range.start().is_ascii())
        }
        HirKind::Capture(capture) => is_beyond_ascii(&capture.sub),
        HirKind::Repetition(repetition) => repetition.min > 0 && is_beyond_ascii(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().any(is_beyond_ascii),
        HirKind::Alternation(parts) => parts.iter().all(is_beyond_ascii),
        HirKind::Empty | HirKind::Look(_) => false,
    }
}

/// How long a word between two quotes every match holds at the least.
fn quoted_in(hir: &Hir) -> usize {
    let parts = match hir.kind() {
        HirKind::Capture(capture) => return quoted_in(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => return quoted_in(&repetition.sub),
        HirKind::Alternation(parts) => return parts.iter().map(quoted_in).min().unwrap_or(0),
        HirKind::Concat(parts) => parts,
        _ => return 0,
    };
    let within = parts.iter().map(quoted_in);
    let words = parts.windows(3).map(|three| match three {
        [open, word, close] if is_of(open, is_quote) && is_of(close, is_quote) => {
            shape::whole_run_of(word, is_unquoted)
        }
        _ => 0,
    });
    within.chain(words).max().unwrap_or(0)
}

/// Whether a part of a pattern is one byte of some.
fn is_of(hir: &Hir, is_in: fn(u8) -> bool) -> bool {
    match hir.kind() {
        HirKind::Literal(Literal(bytes)) => matches!(**bytes, [byte] if is_in(byte)),
        HirKind::Class(Class::Bytes(class)) => {
            let mut bytes = class.iter().flat_map(|range| range.start()..=range.end());
            bytes.all(is_in)
        }
        _ => false,
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Bytes of a quoted word.
fn is_unquoted(byte: u8) -> bool {
    !is_quote(byte) && !byte.is_ascii_whitespace()
}

/// Whether a text holds a word between two quotes that is at least so long.
fn has_quoted(text: &[u8], length: usize) -> bool {
    let mut quotes = memchr::memchr3_iter(b'"', b'\'', b'`', text);
    let mut open = quotes.next();
    quotes.any(|close| {
        let word = open
            .replace(close)
            .and_then(|open| text.get(open + 1..close));
        word.is_some_and(|word| word.len() >= length && word.iter().all(|byte| is_unquoted(*byte)))
    })
}

/// Bytes that tokens are made of, in the alphabets of base64, base62 and hex, and escapes of bytes.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+/=~\\".contains(&byte)
}

/// Whether a text holds a run of [`LONG_RUN`] bytes that tokens are made of. A look at each so many
/// bytes finds every one.
fn has_long_run(text: &[u8]) -> bool {
    let holds = |at: &usize| text.get(*at).is_some_and(|byte| is_of_token(*byte));
    let mut at = LONG_RUN - 1;
    while at < text.len() {
        let before = (at + 1 - LONG_RUN..=at).rev().take_while(holds).count();
        if before == LONG_RUN {
            return true;
        }
        // What follows the byte that ends the run is new.
        at = at + LONG_RUN - before;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_met(pattern: &str, text: &str) -> bool {
        shape::told(pattern, &[])
            .facts
            .needs
            .are_met(text.as_bytes())
    }

    #[test]
    fn a_text_without_what_every_match_holds_is_told() {
        for (pattern, lacks) in [
            ("https?://[^@]+@x", "see http://host/x"),
            ("(?i)machine[ \t]+x", "achine x"),
            ("tok_[A-Za-z0-9]{30}", "tok_ short and many words"),
            ("(?:a@|b#)c?", "a and b and c"),
            ("(?:x=[0-9]|y=[a-z])", "x: 1, y: a"),
            ("(?:(a@)+b){2,}", "a b a b"),
            ("(?i:oss)[a-z.]*?(secret)x*", "see oss.secre and more"),
            ("=(?:\\xc2\\xa0|\\xe1\\x9a\\x80)", "x = y"),
        ] {
            assert!(!are_met(pattern, lacks), "{pattern}");
        }
    }

    #[test]
    fn a_text_in_which_a_pattern_matches_meets_its_needs() {
        for (pattern, text) in [
            ("https?://[^@]+@x", "http://a@x"),
            ("(?i)KEY@|#", "#"),
            ("(?i)KEY@|", "nothing"),
            ("(?:@x)*y", "y"),
            ("(?:@x){0,3}y", "y"),
            ("[@#$%]a", "%a"),
            ("(?:a@|b#|c%|d!)", "c%"),
            ("\\bK@", "K@"),
            ("\u{2713}[^a]", "\u{2713}b"),
            ("(?u)\\p{Greek}@", "\u{3b1}@"),
            ("(", "whatever"),
            ("(?i:oss)[a-z.]*?(?i:secret)x*", "see Oss.SECRET"),
            ("(?i)\\bkeyword\\b|x", "x"),
        ] {
            assert!(are_met(pattern, text), "{pattern}");
        }
        let token = format!("tok_{}", "a".repeat(30));
        assert!(are_met("tok_[A-Za-z0-9]{30}", &token));
    }

    #[test]
    fn what_follows_a_long_gap_is_looked_for_by_itself() {
        let matches = |pattern: &str, text: &str| {
            let told = shape::told(pattern, &[]);
            told.facts.needs.tail_matches(text.as_bytes())
        };
        let pattern = r"(?s)\b(?i:agent|bot)\b.{0,240}?(?i:approve\b|contents?\s+of)";
        assert!(matches(pattern, "the Agent\nwill\nAPPROVE"));
        assert!(!matches(pattern, "User-Agent: x\nContent-Length: 0"));
        assert!(matches("(?s)a.{0,9}?b", "short gaps are left alone"));
        assert!(matches("(?s)x|a.{0,99}b", "and choices"));
    }

    #[test]
    fn a_quoted_word_is_told() {
        let pattern = "(?i)key\\s*=\\s*[\"'`]([^\"'`\\s]{8,})[\"'`]";
        for text in ["key = \"abcdefgh\"", "'' key='abcdefghi'"] {
            assert!(are_met(pattern, text), "{text}");
        }
        for text in [
            "key = \"abcdefg\"",
            "key = 'abcd efgh'",
            "key=abcdefgh",
            "'key=abcdefgh",
        ] {
            assert!(!are_met(pattern, text), "{text}");
        }
        assert!(are_met("[\"'][a-z]{8}['\"]|x", "x"));
    }

    #[test]
    fn a_long_run_is_found_wherever_it_stands() {
        for before in 0..60 {
            for length in 20..30 {
                let text = format!(
                    "{}{} x",
                    ". a ".repeat(20).split_at(before).0,
                    "k".repeat(length)
                );
                // A letter before may make the run longer.
                let run = length + usize::from(before % 4 == 3);
                assert_eq!(has_long_run(text.as_bytes()), run >= LONG_RUN, "{text}");
            }
        }
        assert!(!has_long_run(b"") && !has_long_run(b"short"));
    }
}
