//! A line as our own writer makes it: every key in its place, no blanks between them, no escapes in the
//! texts that say what the line is. Whoever checks a whole log reads millions of these. What is written in
//! any other way is left to the reader that takes every JSON, and both read the same out of a line.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use super::glance::{AnyObject, Glance, Text};

/// What is left of a line.
struct Rest<'a>(&'a str);

/// Reads a line that is written so.
pub(super) fn read(line: &str) -> Option<Glance<'_>> {
    let rest = &mut Rest(line);
    let glance = Glance {
        ts: rest.key("{\"ts\":")?.text()?,
        seq: rest.key(",\"seq\":")?.number()?,
        event_id: rest.key(",\"event_id\":")?.text()?,
        prev_event_id: rest.key(",\"prev_event_id\":")?.text_or_null()?,
        prev_sha256: rest.key(",\"prev_sha256\":")?.text()?,
        _level: rest.key(",\"level\":")?.word()?,
        _actor: rest.key(",\"actor\":")?.word()?,
        action: rest.key(",\"action\":")?.word()?,
        skill: rest.key(",\"skill\":")?.text()?,
        _status: rest.key(",\"status\":")?.word()?,
        _decision: rest.key(",\"decision\":")?.word()?,
        task_id: rest.key(",\"task_id\":")?.text()?,
        from_state: rest.key(",\"from_state\":")?.word()?,
        to_state: rest.key(",\"to_state\":")?.word()?,
        repo_ref: rest.key(",\"repo_ref\":")?.text()?,
        inputs_sha256: rest.key(",\"inputs_sha256\":")?.text()?,
        outputs_sha256: rest.key(",\"outputs_sha256\":")?.text()?,
        _approvals: rest.key(",\"approvals\":")?.list()?,
        _artifacts: rest.key(",\"artifacts\":")?.list()?,
        _findings: rest.key(",\"findings\":")?.list()?,
        _meta: rest.key(",\"meta\":")?.object()?,
    };
    (rest.0 == "}").then_some(glance)
}

impl<'a> Rest<'a> {
    fn key(&mut self, key: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(key)?;
        Some(self)
    }

    fn plain(&mut self) -> Option<&'a str> {
        let begun = self.0.strip_prefix('"')?;
        let (text, rest) = begun.split_at(memchr::memchr(b'"', begun.as_bytes())?);
        let is_plain = |all, byte: u8| all & (byte >= b' ') & (byte != b'\\');
        self.0 = rest.get(1..)?;
        text.bytes().fold(true, is_plain).then_some(text)
    }

    fn text(&mut self) -> Option<Text<'a>> {
        Some(Text(Cow::Borrowed(self.plain()?)))
    }

    fn text_or_null(&mut self) -> Option<Option<Text<'a>>> {
        match self.0.strip_prefix("null") {
            Some(rest) => {
                self.0 = rest;
                Some(None)
            }
            None => self.text().map(Some),
        }
    }

    /// One of the words of an enum.
    fn word<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let word = IntoDeserializer::<Error>::into_deserializer(self.plain()?);
        T::deserialize(word).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        (!digits.starts_with('0')).then(|| digits.parse().ok())?
    }

    fn list<T: Deserialize<'a>>(&mut self) -> Option<Vec<T>> {
        match self.0.strip_prefix("[]") {
            Some(rest) => {
                self.0 = rest;
                Some(Vec::new())
            }
            None => self.value(),
        }
    }

    fn object(&mut self) -> Option<AnyObject> {
        match self.0.strip_prefix("{}") {
            Some(rest) => {
                self.0 = rest;
                Some(AnyObject)
            }
            None => self.value(),
        }
    }

    /// What the line says in its own words, read by the reader for every JSON.
    fn value<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter();
        let value = values.next()?.ok()?;
        self.0 = self.0.get(values.byte_offset()..)?;
        Some(value)
    }
}
