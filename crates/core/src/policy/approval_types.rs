//! The `approvals` section of `POLICY.json`: what an approval of a candidate must be in order to count.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::{self, Checked};
use crate::envelope::ToolClass;
use crate::{signers, wire};

/// The longest that a rule lets an approval count: a year.
const LONGEST: u64 = 366 * 24 * 3600;
/// The classes that are approved for one candidate.
const CLASSES: [ToolClass; 3] = [ToolClass::Pr, ToolClass::Merge, ToolClass::External];

/// When the person types the code at the end of what is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TypedCode {
    /// On a terminal; scripts need none.
    #[default]
    Terminal,
    /// Always; scripts pass it by `--code`, and agents are refused.
    Always,
    /// Only a code that is passed is looked at.
    Never,
}

/// What the approvals for some classes must be. Every rule that names a class must hold for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// Its own name.
    pub id: String,
    /// Which classes: PR, MERGE, EXTERNAL.
    pub tool_classes: Vec<ToolClass>,
    /// Whether only a signature by a key in `ALLOWED_SIGNERS` counts.
    #[serde(default)]
    pub signed: bool,
    /// How many different people, with different keys.
    #[serde(default = "one", deserialize_with = "wire::count")]
    pub count: u64,
    /// Only these, by their names in `ALLOWED_SIGNERS`; with no roles either, anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
    /// Only who has one of these roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Whether who submitted or drafted the change cannot approve it.
    #[serde(default)]
    pub proposer_may_not_approve: bool,
    /// The longest that an approval may count, from when it was given.
    #[serde(
        default,
        deserialize_with = "some_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_seconds: Option<u64>,
    /// Why.
    pub reason: String,
}

impl ApprovalRule {
    /// The longest that an approval may count.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        self.max_seconds.map(Duration::from_secs)
    }
}

/// The section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// When a code is typed.
    #[serde(default)]
    pub typed_code: TypedCode,
    /// Who has which role, by their names in `ALLOWED_SIGNERS`.
    #[serde(default)]
    pub roles: BTreeMap<String, Vec<String>>,
    /// What approvals must be. With none, one approval by any person will do.
    #[serde(default)]
    pub rules: Vec<ApprovalRule>,
}

impl Approvals {
    /// The rules that speak of a class.
    pub fn rules_for(&self, class: ToolClass) -> impl Iterator<Item = &ApprovalRule> {
        let speaks = move |rule: &&ApprovalRule| rule.tool_classes.contains(&class);
        self.rules.iter().filter(speaks)
    }

    /// Whether a rule lets this person count, by the name in `ALLOWED_SIGNERS`.
    #[must_use]
    pub fn lets(&self, rule: &ApprovalRule, principal: &str) -> bool {
        let is = |name: &String| name == principal;
        let by_role = |role: &String| {
            self.roles
                .get(role)
                .is_some_and(|names| names.iter().any(is))
        };
        let anybody = rule.people.is_empty() && rule.roles.is_empty();
        anybody || rule.people.iter().any(is) || rule.roles.iter().any(by_role)
    }

    /// Everybody a rule names, each once; none when it names nobody.
    fn named<'a>(&'a self, rule: &'a ApprovalRule) -> Vec<&'a String> {
        let by_role = rule
            .roles
            .iter()
            .filter_map(|role| self.roles.get(role))
            .flatten();
        let mut all: Vec<_> = rule.people.iter().chain(by_role).collect();
        all.sort();
        all.dedup();
        all
    }
}

fn one() -> u64 {
    1
}

fn some_count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    wire::count(deserializer).map(Some)
}

/// The bounds that the schema puts on it, and what no schema can say.
pub(super) fn check(approvals: &Approvals) -> Checked {
    if approvals.roles.len() > 100 {
        let roles = approvals.roles.len();
        return Err(format!(
            "approvals.roles has {roles} entries, expected at most 100"
        ));
    }
    for (role, names) in &approvals.roles {
        bounds::identifier("approvals.roles", role, 64)?;
        principals("approvals.roles", names, 1)?;
    }
    bounds::list("approvals.rules", &approvals.rules, 0, 100, |rule| {
        self::rule(approvals, rule)
    })
}

fn principals(field: &str, names: &[String], least: usize) -> Checked {
    let each =
        |name: &String| signers::check_principal(name).map_err(|why| format!("{field}: {why}"));
    bounds::list(field, names, least, 100, each)?;
    bounds::unique(field, names)
}

fn rule(approvals: &Approvals, rule: &ApprovalRule) -> Checked {
    let id = &rule.id;
    bounds::identifier("approvals.rules.id", id, 64)?;
    let classes = &rule.tool_classes;
    bounds::list("approvals.rules.tool_classes", classes, 1, 3, |class| {
        let known = CLASSES.contains(class);
        let why = || format!("approval rule {id} names {class}, expected PR, MERGE or EXTERNAL");
        known.then_some(()).ok_or_else(why)
    })?;
    bounds::unique("approvals.rules.tool_classes", classes)?;
    bounds::number("approvals.rules.count", rule.count, 1, 10)?;
    principals("approvals.rules.people", &rule.people, 0)?;
    bounds::list("approvals.rules.roles", &rule.roles, 0, 100, |role| {
        let known = approvals.roles.contains_key(role);
        let why = || {
            format!(
                "approval rule {id} names the role \"{}\", which approvals.roles does not have",
                role.escape_debug()
            )
        };
        known.then_some(()).ok_or_else(why)
    })?;
    bounds::unique("approvals.rules.roles", &rule.roles)?;
    if let Some(most) = rule.max_seconds {
        bounds::number("approvals.rules.max_seconds", most, 60, LONGEST)?;
    }
    bounds::text("approvals.rules.reason", &rule.reason, 1, 1000)?;
    let named = approvals.named(rule);
    let names_people = !named.is_empty();
    if !rule.signed && (rule.count > 1 || names_people) {
        return Err(format!(
            "approval rule {id} counts or names people and has signed false; an unsigned name is only a claim"
        ));
    }
    if names_people && (named.len() as u64) < rule.count {
        return Err(format!(
            "approval rule {id} wants {} of {} people, which nobody can give",
            rule.count,
            named.len()
        ));
    }
    Ok(())
}
