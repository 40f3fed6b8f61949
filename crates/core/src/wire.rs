//! Reading rules that serde does not have: absent is not null, empty strings are refused, an
//! integer may be written `1.0` as JSON Schema allows.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};

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
    // Keeping track of the path costs more than the reading; only a document that is refused needs it.
    if let Ok(parsed) = serde_json::from_slice(bytes) {
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
