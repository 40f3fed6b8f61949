//! Texts that baton itself writes and that programs compare.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::Value;

use crate::{ids, schemas};

/// The longest code, and the longest word in one.
const MOST: usize = 40;
const LONGEST_WORD: usize = 14;

/// Whether a text, as a whole, has the form of a code or a word of state, is the name of a field that a schema
/// of baton's describes, or the id of a line of the log.
pub(super) fn is_compared(text: &str) -> bool {
    is_code(text) || ids::is_event(text) || fields().contains(text)
}

/// Letters of one case, in words. No digit and no long word: many a token is of upper-case letters and digits.
fn is_code(text: &str) -> bool {
    let is_word = |word: &str| {
        (1..=LONGEST_WORD).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    text.len() <= MOST && text.split('_').all(is_word)
}

/// The names of fields in all schemas. They are read when a rule finds a secret in such a name.
fn fields() -> &'static BTreeSet<String> {
    static FIELDS: OnceLock<BTreeSet<String>> = OnceLock::new();
    FIELDS.get_or_init(|| {
        let mut names = BTreeSet::new();
        for (_, schema) in schemas::ALL {
            if let Ok(schema) = serde_json::from_str(schema) {
                collect(&schema, &mut names);
            }
        }
        names
    })
}

fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            let described = fields.get("properties").and_then(Value::as_object);
            names.extend(described.into_iter().flat_map(|all| all.keys().cloned()));
            fields.values().for_each(|inner| collect(inner, names));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_compare_is_told_from_words() {
        for text in ["SECRET_FOUND", "OK", "secret_rules", "external_io_attempt"] {
            assert!(is_compared(text), "{text}");
        }
        let event = ids::fresh("EVT", std::time::SystemTime::now()).unwrap();
        assert!(is_compared(&event));
        for text in [
            "",
            "_",
            "SECRET_9",
            "AKIA2E4",
            "secret_of_mine",
            "EVT-secret",
        ] {
            assert!(!is_compared(text), "{text}");
        }
        assert!(!is_compared("QWERTYUIOPASDFGH"));
        assert!(!is_compared(&"A_".repeat(MOST)));
    }
}
