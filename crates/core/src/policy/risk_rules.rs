//! The risk rules of a policy: nine tenths of its text, at which most runs do not look.

use std::ops::Range;
use std::sync::OnceLock;

use memchr::{memchr, memchr_iter, memmem};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MAX_BYTES, Policy, RiskRule, check};
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
    /// Takes the rules out of a policy's text; gives what is left of it, to be read as a policy with none.
    /// Gives the text back where there are none to be seen.
    pub(super) fn cut_out(text: String) -> Result<(String, Self), String> {
        let Some(place) = place(&text) else {
            return Err(text);
        };
        let (before, after) = (text.get(..place.start), text.get(place.end..));
        let rest = [before.unwrap_or_default(), NONE, after.unwrap_or_default()].concat();
        let unread = Self {
            text,
            place,
            read: OnceLock::new(),
        };
        Ok((rest, unread))
    }

    /// Whether they were read and there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.read.get().is_some_and(Vec::is_empty)
    }

    /// The policy's text, where they were cut out of it.
    pub(super) fn whole(&self) -> &[u8] {
        self.text.as_bytes()
    }
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
        let text = text.get(place.clone()).unwrap_or_default().as_bytes();
        let rules: Vec<_> = wire::parse(text, MAX_BYTES, "policy, risk_rules", "POLICY_INVALID")?;
        check::risk_rules(self, &rules)?;
        Ok(self.risk_rules.read.get_or_init(|| rules))
    }
}

impl<'de> Deserialize<'de> for RiskRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self {
            text: String::new(),
            place: 0..0,
            read: OnceLock::from(Vec::deserialize(deserializer)?),
        })
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
