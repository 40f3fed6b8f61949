//! The risk rules of a policy: nine tenths of its text, at which most runs do not look.

use std::ops::Range;
use std::sync::OnceLock;

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{MAX_BYTES, Policy, RiskRule, check};
use crate::problem::Problem;
use crate::wire;

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

/// As much of a policy as it takes to find its rules.
#[derive(Deserialize)]
struct Whole<'t> {
    #[serde(borrow)]
    risk_rules: &'t RawValue,
}

impl RiskRules {
    /// Takes the rules out of a policy's text; gives what is left of it, to be read as a policy with none.
    /// Nothing where the text is no JSON object with rules in it.
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

    /// The policy's text, where they were cut out of it.
    pub(super) fn whole(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Where the rules stand in a policy's text.
fn place(text: &str) -> Option<Range<usize>> {
    let Whole { risk_rules } = serde_json::from_str(text).ok()?;
    // They are a slice of the text.
    let start = risk_rules.get().as_ptr().addr();
    let start = start.checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(risk_rules.get().len())?;
    (text.get(start..end)? == risk_rules.get()).then_some(start..end)
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
