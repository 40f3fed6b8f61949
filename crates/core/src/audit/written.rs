//! A line as our own writer makes it: every key in its place, no blanks between them, no escapes in the
//! texts that say what the line is. Whoever checks a whole log reads millions of these. What is written in
//! any other way is left to the reader that takes every JSON, and both read the same out of a line.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::glance::Glance;
use super::{EventStatus, Fields, Level};
use crate::envelope::{ApprovalEntry, Artifact, Decision, Finding};
use crate::policy::Actor;

/// Objects and lists in a line's `meta`, at most: in none of more levels does the reader for every JSON, which
/// begins to count outside of it, come to its limit first.
const MOST_NESTED: usize = 100;

/// How long the texts of the line before were. Most lines are like the line before; and where a text's end
/// is guessed and looked at, what comes after it need not wait until the end is found.
#[derive(Default)]
pub(super) struct Lengths([usize; 16]);

/// What is left of a line.
struct Rest<'a, 'l> {
    left: &'a str,
    lengths: std::slice::IterMut<'l, usize>,
}

/// Reads a line that is written so, and whose every field is within its bounds. What is said of one that is
/// not is the other reader's to say.
#[inline(always)]
pub(super) fn read<'a>(line: &'a str, lengths: &mut Lengths) -> Option<Glance<'a>> {
    guessed(line, lengths).or_else(|| {
        // A quote may stand where a shorter text's end was guessed.
        *lengths = Lengths::default();
        searched(line, lengths)
    })
}

#[cold]
fn searched<'a>(line: &'a str, lengths: &mut Lengths) -> Option<Glance<'a>> {
    guessed(line, lengths)
}

#[inline(always)]
fn guessed<'a>(line: &'a str, lengths: &mut Lengths) -> Option<Glance<'a>> {
    let rest = &mut Rest {
        left: line,
        lengths: lengths.0.iter_mut(),
    };
    let ts = rest.key("{\"ts\":\"")?.bounded()?;
    let seq = rest.key(",\"seq\":")?.number()?;
    let event_id = rest.key(",\"event_id\":\"")?.text()?;
    let prev_event_id = rest.key(",\"prev_event_id\":")?.text_or_null()?;
    let prev_sha256 = rest.key(",\"prev_sha256\":\"")?.bounded()?;
    rest.key(",\"level\":\"")?.word::<Level>()?;
    rest.key(",\"actor\":\"")?.word::<Actor>()?;
    let action = rest.key(",\"action\":\"")?.word()?;
    let skill = rest.key(",\"skill\":\"")?.text()?;
    rest.key(",\"status\":\"")?.word::<EventStatus>()?;
    rest.key(",\"decision\":\"")?.word::<Decision>()?;
    let task_id = rest.key(",\"task_id\":\"")?.bounded()?;
    let from_state = rest.key(",\"from_state\":\"")?.word()?;
    let to_state = rest.key(",\"to_state\":\"")?.word()?;
    let repo_ref = rest.key(",\"repo_ref\":\"")?.text()?;
    let inputs_sha256 = rest.key(",\"inputs_sha256\":\"")?.bounded()?;
    let outputs_sha256 = rest.key(",\"outputs_sha256\":\"")?.bounded()?;
    rest.key(",\"approvals\":")?.list::<ApprovalEntry>()?;
    rest.key(",\"artifacts\":")?.list::<Artifact>()?;
    rest.key(",\"findings\":")?.list::<Finding>()?;
    rest.key(",\"meta\":")?.object()?;
    let fields = Fields {
        ts,
        seq,
        event_id,
        prev_event_id,
        task_id,
        skill,
        repo_ref,
        digests: [prev_sha256, inputs_sha256, outputs_sha256],
    };
    let is_event = rest.left == "}" && fields.check().is_ok();
    is_event.then_some(Glance {
        seq,
        event_id: Cow::Borrowed(event_id),
        prev_event_id: prev_event_id.map(Cow::Borrowed),
        prev_sha256: Cow::Borrowed(prev_sha256),
        action,
        task_id: Cow::Borrowed(task_id),
        from_state,
        to_state,
    })
}

/// Whether a text has neither quotes nor escapes nor control characters; eight bytes are looked at at once.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let is_odd = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    let (words, rest) = bytes.as_chunks();
    let found = words.iter().fold(0, |found, word| {
        let word = u64::from_le_bytes(*word);
        // A byte's highest bit says whether it, or one below it, is less.
        let is_below = |word: u64, end: u64| word.wrapping_sub(ONES * end) & !word;
        let is = |byte: u8| is_below(word ^ (ONES * u64::from(byte)), 1);
        found | is_below(word, 0x20) | is(b'"') | is(b'\\')
    });
    found & (ONES << 7) == 0 && !rest.iter().any(is_odd)
}

impl<'a> Rest<'a, '_> {
    #[inline(always)]
    fn key(&mut self, key: &str) -> Option<&mut Self> {
        self.left = self.left.strip_prefix(key)?;
        Some(self)
    }

    /// What stands before an end quote; the one before it is taken. For texts whose bounds leave no room for
    /// a quote or an escape in their middle.
    #[inline(always)]
    fn bounded(&mut self) -> Option<&'a str> {
        let length = self.lengths.next()?;
        let bytes = self.left.as_bytes();
        if bytes.get(*length) != Some(&b'"') {
            *length = memchr::memchr(b'"', bytes)?;
        }
        let (text, rest) = self.left.split_at_checked(*length)?;
        self.left = rest.get(1..)?;
        Some(text)
    }

    /// As [`Self::bounded`], for any text.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        self.bounded().filter(|text| is_plain(text.as_bytes()))
    }

    #[inline(always)]
    fn text_or_null(&mut self) -> Option<Option<&'a str>> {
        match self.left.strip_prefix("null") {
            Some(rest) => {
                self.left = rest;
                self.lengths.next()?;
                Some(None)
            }
            None => self.key("\"")?.text().map(Some),
        }
    }

    /// One of the words of an enum.
    #[inline(always)]
    fn word<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let word = IntoDeserializer::<Error>::into_deserializer(self.bounded()?);
        T::deserialize(word).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.left.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.left.split_at(end);
        self.left = rest;
        (!digits.starts_with('0')).then(|| digits.parse().ok())?
    }

    #[inline(always)]
    fn list<T: Deserialize<'a>>(&mut self) -> Option<()> {
        match self.left.strip_prefix("[]") {
            Some(rest) => {
                self.left = rest;
                Some(())
            }
            None => self.value::<Each<T>>(),
        }
    }

    #[inline(always)]
    fn object(&mut self) -> Option<()> {
        match self.left.strip_prefix("{}") {
            Some(rest) => {
                self.left = rest;
                Some(())
            }
            None => {
                let nested = memchr::memchr2_iter(b'{', b'[', self.left.as_bytes()).count();
                let is_object = self.left.starts_with('{') && nested <= MOST_NESTED;
                is_object.then(|| self.value::<Anything>())?
            }
        }
    }

    /// What the line says in its own words, read by the reader for every JSON and let go.
    #[cold]
    fn value<T: Deserialize<'a>>(&mut self) -> Option<()> {
        let mut values = serde_json::Deserializer::from_str(self.left).into_iter::<T>();
        values.next()?.ok()?;
        self.left = self.left.get(values.byte_offset()..)?;
        Some(())
    }
}

/// A list of values of this kind.
struct Each<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<T>()?.is_some() {}
        Ok(self)
    }
}

/// Any value. Other than what is ignored, its texts and numbers are read as those that are kept.
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
