//! Reading rules that serde does not have: absent is not null, empty strings are refused, an
//! integer may be written `1.0` as JSON Schema allows.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};

use crate::problem::Problem;

/// Reads an optional field that may be absent but not `null`.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a string of at least one character.
pub fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(D::Error::custom("expected a non-empty string, got \"\""));
    }
    Ok(text)
}

/// Reads an optional, never null, never empty string.
pub fn present_non_empty<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    non_empty(d).map(Some)
}

/// Reads a list of non-empty strings.
pub fn non_empty_items<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let items = Vec::<String>::deserialize(d)?;
    if items.iter().any(String::is_empty) {
        return Err(D::Error::custom(
            "expected non-empty strings, got \"\" among them",
        ));
    }
    Ok(items)
}

/// Reads a count: a whole number that is not negative, also when written as `2.0`.
pub fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    if let Some(count) = number.as_u64() {
        return Ok(count);
    }
    match number.as_f64() {
        // 2^53: above it a float no longer names one whole number.
        Some(float) if float >= 0.0 && float.fract() == 0.0 && float <= 9_007_199_254_740_992.0 =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked above"
            )]
            Ok(float as u64)
        }
        _ => Err(D::Error::custom(format!(
            "expected a whole number >= 0, got {number}"
        ))),
    }
}

/// Parses JSON bytes into `T` and names the JSON path that broke the rules.
///
/// # Errors
/// `code` with the path and what was expected there; input over `limit` bytes is refused unread.
pub fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
    what: &str,
    code: &str,
) -> Result<T, Problem> {
    if bytes.len() > limit {
        return Err(Problem::fail(
            code,
            format!("{what} has {} bytes, at most {limit} are read", bytes.len()),
        ));
    }
    // Keeping track of the path costs more than the reading; only a document that is refused needs it. A
    // text is known to be UTF-8 at once, and not string by string.
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(parsed) = serde_json::from_str(text)
    {
        return Ok(parsed);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = json_path(&error.path().to_string());
        Problem::fail(code, format!("{what}: at {path}: {}", error.into_inner()))
    })?;
    reader.end().map_err(|error| {
        Problem::fail(code, format!("{what}: one JSON document expected: {error}"))
    })?;
    Ok(parsed)
}

/// Parses as [`parse`] does, and refuses a document in which an object has a key twice, at any
/// depth: two readers of it could see two different things.
///
/// # Errors
/// As [`parse`].
pub fn parse_unique<T: DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
    what: &str,
    code: &str,
) -> Result<T, Problem> {
    let parsed = parse(bytes, limit, what, code)?;
    match serde_json::from_slice::<Unique>(bytes) {
        Ok(Unique) => Ok(parsed),
        Err(error) => Err(Problem::fail(code, format!("{what}: {error}"))),
    }
}

/// Any JSON value whose objects have no key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if seen.contains(&key) {
                let key = key.escape_debug();
                return Err(A::Error::custom(format!("the key \"{key}\" stands twice")));
            }
            fields.next_value::<Self>()?;
            seen.insert(key);
        }
        Ok(self)
    }
}

fn json_path(path: &str) -> String {
    if path == "." {
        "$".to_owned()
    } else {
        format!("$.{path}")
    }
}

/// Reads a field that must be there and may be `null`.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// Reads a count that must be there and may be `null`.
pub fn nullable_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Count(#[serde(deserialize_with = "count")] u64);
    Ok(Option::<Count>::deserialize(deserializer)?.map(|count| count.0))
}

/// Changes every text in a JSON value, in whatever depth; names of fields stay.
///
/// # Errors
/// What `change` says.
pub fn each_text<E>(
    value: &mut serde_json::Value,
    change: &impl Fn(&str) -> Result<String, E>,
) -> Result<(), E> {
    use serde_json::Value;
    match value {
        Value::String(text) => *text = change(text)?,
        Value::Array(values) => values
            .iter_mut()
            .try_for_each(|one| each_text(one, change))?,
        Value::Object(fields) => {
            let mut fields = fields.values_mut();
            fields.try_for_each(|field| each_text(field, change))?;
        }
        _ => {}
    }
    Ok(())
}
