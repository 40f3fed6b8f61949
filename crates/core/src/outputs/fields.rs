//! Fields of a skill's output that have one form.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::envelope::Decision;

fn numbered<'de, D: Deserializer<'de>>(d: D, prefix: char) -> Result<String, D::Error> {
    let id = String::deserialize(d)?;
    match id.strip_prefix(prefix) {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(id),
        _ => Err(D::Error::custom(format!(
            "expected {prefix} and a number, got \"{}\"",
            id.escape_debug()
        ))),
    }
}

pub(super) fn gate_id<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    numbered(d, 'G')
}

pub(super) fn recovery_refs<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Reference(#[serde(deserialize_with = "reference")] String);
    fn reference<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
        numbered(d, 'R')
    }
    Ok(Vec::<Reference>::deserialize(d)?
        .into_iter()
        .map(|reference| reference.0)
        .collect())
}

pub(super) fn real_decision<'de, D: Deserializer<'de>>(d: D) -> Result<Decision, D::Error> {
    match Decision::deserialize(d)? {
        Decision::NotApplicable => Err(D::Error::custom(
            "expected AUTO_MERGE, PR_ONLY or ZERO_STOP, got NA",
        )),
        decision => Ok(decision),
    }
}
