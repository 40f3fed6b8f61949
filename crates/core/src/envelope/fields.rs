//! Fields of an envelope that can say one thing only, or what has one form.

use serde::de::{Deserialize, Deserializer, Error as _};

use super::{QUEUE_ROOT, SCHEMA_ID, SCHEMA_VERSION};

fn exactly<'de, D: Deserializer<'de>>(d: D, expected: &'static str) -> Result<String, D::Error> {
    let got = String::deserialize(d)?;
    if got == expected {
        return Ok(got);
    }
    Err(D::Error::custom(format!(
        "expected \"{expected}\", got \"{}\"",
        got.escape_debug()
    )))
}

pub(super) fn schema_id<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    exactly(d, SCHEMA_ID)
}

pub(super) fn schema_version<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    exactly(d, SCHEMA_VERSION)
}

pub(super) fn queue_root<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    exactly(d, QUEUE_ROOT)
}

pub(super) fn skill_name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let name = String::deserialize(d)?;
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if name.split('-').all(word) {
        return Ok(name);
    }
    Err(D::Error::custom(format!(
        "expected lower-case words joined by -, got \"{}\"",
        name.escape_debug()
    )))
}

pub(super) fn version<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let version = String::deserialize(d)?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if version.split('.').count() == 3 && version.split('.').all(number) {
        return Ok(version);
    }
    Err(D::Error::custom(format!(
        "expected a version such as 1.0.0, got \"{}\"",
        version.escape_debug()
    )))
}

/// A state, or `unknown`.
pub(super) mod unknown_state {
    use serde::Serializer;
    use serde::de::{Deserialize, Deserializer, Error as _};

    use crate::state::State;

    pub(in super::super) fn serialize<S: Serializer>(
        state: &Option<State>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(state.map_or("unknown", State::name))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<State>, D::Error> {
        let name = String::deserialize(d)?;
        if name == "unknown" {
            return Ok(None);
        }
        State::from_name(&name).map(Some).ok_or_else(|| {
            D::Error::custom(format!(
                "expected a queue state or unknown, got \"{}\"",
                name.escape_debug()
            ))
        })
    }
}
