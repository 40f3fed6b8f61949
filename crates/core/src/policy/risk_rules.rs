//! The risk rules of a policy: nine tenths of its text, at which most runs do not look. Those that baton comes
//! with are known by their text.

use std::ops::Range;
use std::sync::OnceLock;

use memchr::{memchr, memchr_iter, memmem};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MAX_BYTES, Policy, RiskRule, check, known};
use crate::problem::Problem;
use crate::wire;

/// Their field in a policy's text.
const FIELD: &[u8] = b"\"risk_rules\"";
/// What stands in a policy's text in place of the rules that are read later.
const NONE: &str = "[]";

/// The risk rules, read with the policy or, in one that a person accepted, where they are first asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RiskRules {
    /// The policy's text, until they are read, and where in it they stand.
    text: String,
    place: Range<usize>,
    read: OnceLock<Vec<RiskRule>>,
}

impl RiskRules {
    /// Rules that stand there in a policy's text, to be read later.
    pub(super) fn unread(text: String, place: Range<usize>) -> Self {
        Self {
            text,
            place,
            read: OnceLock::new(),
        }
    }

    /// Rules that were read.
    pub(super) fn of(rules: Vec<RiskRule>) -> Self {
        Self {
            read: OnceLock::from(rules),
            ..Self::default()
        }
    }

    /// Whether they were read and there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.read.get().is_some_and(Vec::is_empty)
    }
}

/// A policy's text without its rules, to be read as a policy with none, and where they stand; nothing where
/// there are none to be seen.
pub(super) fn cut_out(text: &str) -> Option<(String, Range<usize>)> {
    let place = place(text)?;
    let (before, after) = (text.get(..place.start)?, text.get(place.end..)?);
    Some(([before, NONE, after].concat(), place))
}

/// The rules of a list, where nothing is wrong with it.
pub(super) fn list(text: &str) -> Option<Vec<RiskRule>> {
    let mut rules = Vec::new();
    let mut next = 0;
    let mut rest = blank(text.strip_prefix('[')?);
    while rest != "]" {
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
    (rules.len() <= check::MOST_RISK_RULES).then_some(rules)
}

/// Reads a list once more, to say what is wrong with it.
fn refused(text: &str) -> Result<Vec<RiskRule>, Problem> {
    let text = text.as_bytes();
    let rules: Vec<_> = wire::parse(text, MAX_BYTES, "policy, risk_rules", "POLICY_INVALID")?;
    check::risk_rules(&rules)?;
    Ok(rules)
}

/// What comes behind the blanks that JSON knows.
fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\n', '\r', '\t'])
}

/// Where a list of that name stands in a JSON text. Whether it is the policy's own field shows when the rest
/// is read as a policy: a reader that takes no unknown field then finds an empty list there.
fn place(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let name = memmem::find(bytes, FIELD)? + FIELD.len();
    let start = name + memchr(b'[', bytes.get(name..)?)?;
    if bytes.get(name..start)?.trim_ascii() != b":" {
        return None;
    }
    let end = start + end_of_list(bytes.get(start..)?)?;
    Some(start..end)
}

/// Where the list ends that a text begins with.
pub(super) fn end_of_list(text: &[u8]) -> Option<usize> {
    let (mut depth, mut outside, mut is_inside) = (0_usize, 0, false);
    // From quote to quote: to look for each next byte that counts would be to begin a search for each.
    for quote in memchr_iter(b'"', text).chain([text.len()]) {
        if is_inside {
            is_inside = is_escaped(text, quote);
            outside = quote + 1;
            continue;
        }
        for (at, byte) in text.get(outside..quote)?.iter().enumerate() {
            match byte {
                b'[' => depth += 1,
                b']' if depth == 1 => return Some(outside + at + 1),
                b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        is_inside = true;
    }
    None
}

/// Whether an odd number of backslashes stands before a place.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().iter().rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

impl Policy {
    /// The risk rules in the policy's order.
    ///
    /// # Errors
    /// `POLICY_INVALID` naming the rule, where they were not read before.
    pub fn risk_rules(&self) -> Result<&[RiskRule], Problem> {
        if let Some(rules) = self.risk_rules.read.get() {
            return Ok(rules);
        }
        let RiskRules { text, place, .. } = &self.risk_rules;
        let text = text.get(place.clone()).unwrap_or_default();
        let rules = match list(text) {
            Some(rules) => rules,
            None => refused(text)?,
        };
        check::unique_ids(self, &rules)?;
        Ok(self.risk_rules.read.get_or_init(|| rules))
    }
}

impl<'de> Deserialize<'de> for RiskRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(Vec::deserialize(deserializer)?))
    }
}

impl Serialize for RiskRules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.read.get() {
            Some(rules) => rules.serialize(serializer),
            None => Err(S::Error::custom("the risk rules were not read")),
        }
    }
}
