//! SHA-256, over bytes and over JSON values with sorted keys.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of `bytes` in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A SHA-256 in lower-case hex, in one piece of memory.
#[must_use]
pub fn hex_of(sha256: &[u8; 32]) -> [u8; 64] {
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    let mut text = [0; 64];
    let (places, _) = text.as_chunks_mut();
    for (place, byte) in places.iter_mut().zip(sha256) {
        *place = [digit(byte >> 4), digit(byte & 15)];
    }
    text
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// SHA-256 of a JSON value, independent of the order of its keys. The keys are sorted here because
/// a dependency may switch on serde_json's insertion order for the whole build.
#[must_use]
pub fn sha256_canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    sha256(text.as_bytes())
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_does_not_matter_and_value_order_does() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let one = sha256_canonical(&parse(r#"{"a":[1,2],"b":{"x":1,"y":2}}"#));
        let two = sha256_canonical(&parse(r#"{"b":{"y":2,"x":1},"a":[1,2]}"#));
        let three = sha256_canonical(&parse(r#"{"a":[2,1],"b":{"x":1,"y":2}}"#));
        assert_eq!(one, two);
        assert_ne!(one, three);
    }

    #[test]
    fn both_ways_to_hex_write_the_same() {
        for first in 0..=255_u8 {
            let bytes = std::array::from_fn(|at| first.wrapping_add(at as u8));
            assert_eq!(hex_of(&bytes), hex(&bytes).as_bytes());
        }
    }

    #[test]
    fn known_digest() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
