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
/// Digits of a line's number, which is at most 2^53.
const MOST_DIGITS: usize = 16;

/// How long the texts of the line before were. Most lines are like the line before; and where a text's end
/// is guessed and looked at, what comes after it need not wait until the end is found.
#[derive(Default)]
pub(super) struct Lengths([usize; 16]);

/// What is left of a line.
struct Rest<'a, 'l, M> {
    left: &'a str,
    lengths: std::slice::IterMut<'l, usize>,
    meanwhile: M,
}

/// Reads a line that is written so, and whose every field is within its bounds. What is said of one that is
/// not is the other reader's to say. `meanwhile` is called at each text.
#[inline(always)]
pub(super) fn read<'a>(
    line: &'a str,
    lengths: &mut Lengths,
    meanwhile: &mut impl FnMut(),
) -> Option<Glance<'a>> {
    guessed(line, lengths, meanwhile).or_else(|| {
        // A quote may stand where a shorter text's end was guessed.
        *lengths = Lengths::default();
        searched(line, lengths)
    })
}

#[cold]
fn searched<'a>(line: &'a str, lengths: &mut Lengths) -> Option<Glance<'a>> {
    guessed(line, lengths, &mut || ())
}

#[inline(always)]
fn guessed<'a>(
    line: &'a str,
    lengths: &mut Lengths,
    meanwhile: &mut impl FnMut(),
) -> Option<Glance<'a>> {
    let rest = &mut Rest {
        left: line,
        lengths: lengths.0.iter_mut(),
        meanwhile,
    };
    rest.key(r#"{"ts":""#)?;
    let ts = rest.bounded(r#"","seq":"#)?;
    let seq = rest.number(r#","event_id":""#)?;
    let event_id = rest.text(r#"","prev_event_id":"#)?;
    let prev_event_id = rest.text_or_null(r#"","prev_sha256":""#)?;
    let prev_sha256 = rest.bounded(r#"","level":""#)?;
    rest.word::<Level>(r#"","actor":""#)?;
    rest.word::<Actor>(r#"","action":""#)?;
    let action = rest.word(r#"","skill":""#)?;
    let skill = rest.text(r#"","status":""#)?;
    rest.word::<EventStatus>(r#"","decision":""#)?;
    rest.word::<Decision>(r#"","task_id":""#)?;
    let task_id = rest.bounded(r#"","from_state":""#)?;
    let from_state = rest.word(r#"","to_state":""#)?;
    let to_state = rest.word(r#"","repo_ref":""#)?;
    let repo_ref = rest.text(r#"","inputs_sha256":""#)?;
    let inputs_sha256 = rest.bounded(r#"","outputs_sha256":""#)?;
    let outputs_sha256 = rest.bounded(r#"","approvals":"#)?;
    rest.list::<ApprovalEntry>(r#","artifacts":"#)?;
    rest.list::<Artifact>(r#","findings":"#)?;
    rest.list::<Finding>(r#","meta":"#)?;
    rest.object("}")?;
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
    let is_event = rest.left.is_empty() && fields.check(&mut rest.meanwhile).is_ok();
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
    let odd = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        // A byte's highest bit says whether it, or one below it, is less.
        let is_below = |word: u64, end: u64| word.wrapping_sub(ONES * end) & !word;
        let is = |byte: u8| is_below(word ^ (ONES * u64::from(byte)), 1);
        is_below(word, 0x20) | is(b'"') | is(b'\\')
    };
    // What fills no word is looked at with the bytes before it, some of them once more.
    let Some(last) = bytes.last_chunk() else {
        let is_odd = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
        return !bytes.iter().any(is_odd);
    };
    let (words, _) = bytes.as_chunks();
    let found = words
        .iter()
        .fold(odd(last), |found, word| found | odd(word));
    found & (ONES << 7) == 0
}

#[inline(always)]
fn split<'a>(left: &'a str, length: usize, next: &str) -> Option<(&'a str, &'a str)> {
    let (text, left) = left.split_at_checked(length)?;
    Some((text, left.strip_prefix(next)?))
}

#[cold]
fn split_anew<'a>(left: &'a str, length: &mut usize, next: &str) -> Option<(&'a str, &'a str)> {
    *length = memchr::memchr(b'"', left.as_bytes())?;
    split(left, *length, next)
}

impl<'a, M: FnMut()> Rest<'a, '_, M> {
    /// What always stands between two values.
    #[inline(always)]
    fn key(&mut self, key: &str) -> Option<()> {
        self.left = self.left.strip_prefix(key)?;
        Some(())
    }

    /// A text before its end quote and the next key. For texts whose bounds leave no room for a quote or an
    /// escape in their middle.
    #[inline(always)]
    fn bounded(&mut self, next: &str) -> Option<&'a str> {
        (self.meanwhile)();
        let length = self.lengths.next()?;
        let (text, left) = match split(self.left, *length, next) {
            Some(split) => split,
            None => split_anew(self.left, length, next)?,
        };
        self.left = left;
        Some(text)
    }

    /// As [`Self::bounded`], for any text.
    #[inline(always)]
    fn text(&mut self, next: &str) -> Option<&'a str> {
        let text = self.bounded(next)?;
        is_plain(text.as_bytes()).then_some(text)
    }

    #[inline(always)]
    fn text_or_null(&mut self, next: &str) -> Option<Option<&'a str>> {
        if self.key("\"").is_some() {
            return self.text(next).map(Some);
        }
        self.lengths.next()?;
        self.key("null")?;
        self.key(next.strip_prefix('"')?)?;
        Some(None)
    }

    /// One of the words of an enum.
    #[inline(always)]
    fn word<T: Deserialize<'a>>(&mut self, next: &str) -> Option<T> {
        let word = IntoDeserializer::<Error>::into_deserializer(self.bounded(next)?);
        T::deserialize(word).ok()
    }

    #[inline(always)]
    fn number(&mut self, next: &str) -> Option<u64> {
        let digits = self.left.bytes().take(MOST_DIGITS);
        let (mut number, mut length) = (0, 0);
        for digit in digits.map(|byte| byte.wrapping_sub(b'0')) {
            if digit > 9 {
                break;
            }
            (number, length) = (number * 10 + u64::from(digit), length + 1);
        }
        let is_canonical = length > 0 && !self.left.starts_with("0");
        self.left = self.left.get(length..)?;
        self.key(next)?;
        is_canonical.then_some(number)
    }

    #[inline(always)]
    fn list<T: Deserialize<'a>>(&mut self, next: &str) -> Option<()> {
        match self.left.strip_prefix("[]") {
            Some(left) => self.left = left,
            None => self.json::<Each<T>>()?,
        }
        self.key(next)
    }

    #[inline(always)]
    fn object(&mut self, next: &str) -> Option<()> {
        match self.left.strip_prefix("{}") {
            Some(left) => self.left = left,
            None => {
                let nested = memchr::memchr2_iter(b'{', b'[', self.left.as_bytes()).count();
                let is_object = self.left.starts_with("{") && nested <= MOST_NESTED;
                is_object.then(|| self.json::<Anything>())??;
            }
        }
        self.key(next)
    }

    /// What the line says in its own words, read by the reader for every JSON and let go.
    #[cold]
    fn json<T: Deserialize<'a>>(&mut self) -> Option<()> {
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
