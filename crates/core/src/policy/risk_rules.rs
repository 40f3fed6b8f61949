//! Takes the risk rules out of a policy's text: nine tenths of it, and most of them are known by their text.

use memchr::{memchr, memmem};

use super::{RiskRule, check, known};

/// Their field in a policy's text.
const FIELD: &[u8] = b"\"risk_rules\"";
/// What is put in place of the list.
const NONE: &str = "[]";

/// A policy's text with no risk rules, and the rules; nothing where the list is not seen at once, or where
/// something is wrong with it.
///
/// Whether the list was the policy's own field shows when the rest is read as a policy: a reader that takes
/// no unknown field finds an empty list there.
pub(super) fn cut_out(text: &str) -> Option<(String, Vec<RiskRule>)> {
    let bytes = text.as_bytes();
    let name = memmem::find(bytes, FIELD)? + FIELD.len();
    let start = name + memchr(b'[', bytes.get(name..)?)?;
    if bytes.get(name..start)?.trim_ascii() != b":" {
        return None;
    }
    let (rules, after) = list(text.get(start..)?)?;
    Some(([text.get(..start)?, NONE, after].concat(), rules))
}

/// The rules of the list that a text begins with, and what comes behind it.
pub(super) fn list(text: &str) -> Option<(Vec<RiskRule>, &str)> {
    let mut rules = Vec::with_capacity(known::COUNT);
    let mut next = 0;
    let mut rest = blank(text.strip_prefix('[')?);
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            return (rules.len() <= check::MOST_RISK_RULES).then_some((rules, after));
        }
        if !rules.is_empty() {
            rest = blank(rest.strip_prefix(',')?);
        }
        let length = if let Some((number, length)) = known::at(rest, next) {
            rules.push(known::rule(number)?);
            next = number + 1;
            length
        } else {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter();
            let rule = values.next()?.ok()?;
            check::risk_rule(&rule).ok()?;
            rules.push(rule);
            values.byte_offset()
        };
        rest = blank(rest.get(length..)?);
    }
}

/// What comes behind the blanks that JSON knows.
fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\n', '\r', '\t'])
}
