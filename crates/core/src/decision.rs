//! D1..D9: from what is known of a candidate to what may happen to it.
//!
//! The facts are gathered elsewhere ([`crate::evidence`]); here is only the table. Every matching
//! rule speaks and the highest answer wins, so no further fact can lower a decision.

use crate::envelope::Decision;
use crate::outputs::RiskLevel;
use crate::policy::{Condition, Isolation, Policy};

/// The code of a finding that stands for a secret in the change; D3 looks for it.
pub const SECRET_FOUND: &str = "SECRET_FOUND";

/// What is known of a candidate. A list that is not empty means yes and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kill switch is on.
    pub stop: Vec<String>,
    /// Outside the allowlist, deletes, or reaches outside.
    pub forbidden: Vec<String>,
    /// Holds a secret.
    pub secret: Vec<String>,
    /// Evidence is missing, changed, or about another candidate; the log is broken.
    pub unbound: Vec<String>,
    /// Touches a protected zone or a lockfile.
    pub sensitive: Vec<String>,
    /// A gate failed that does not fail on the base, or was skipped, or did not prove that it ran.
    pub gates: Vec<String>,
    /// A gate failed as it does on the base. No rule asks for it; an approval is not carried over it.
    pub gates_as_on_base: Vec<String>,
    /// How risky the scan found it.
    pub risk: RiskLevel,
    /// How risky whoever proposed it holds it to be. It counts only where it is more than what the scan
    /// found.
    pub opinion: RiskLevel,
    /// The weakest isolation that a command gate ran under; `None` when none ran.
    pub isolation: Option<Isolation>,
    /// Answers are recorded and not carried out: the change goes to a person, whatever was found.
    pub shadow: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            stop: Vec::new(),
            forbidden: Vec::new(),
            secret: Vec::new(),
            unbound: Vec::new(),
            sensitive: Vec::new(),
            gates: Vec::new(),
            gates_as_on_base: Vec::new(),
            risk: RiskLevel::Low,
            opinion: RiskLevel::Low,
            isolation: None,
            shadow: false,
        }
    }
}

/// One rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The rule's id.
    pub rule: String,
    /// What it demands.
    pub then: Decision,
    /// The rule's reason and what matched.
    pub because: String,
}

/// The answer of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is carried out: the highest of all matching rules, and in shadow mode PR_ONLY.
    pub decision: Decision,
    /// The highest of all matching rules.
    pub would: Decision,
    /// Every rule that matched, in the policy's order.
    pub matched: Vec<Matched>,
}

/// Applies the policy's table.
#[must_use]
pub fn decide(policy: &Policy, facts: &Facts) -> Verdict {
    let mut matched = Vec::new();
    let mut otherwise = Vec::new();
    for rule in &policy.decision_rules {
        let why = match rule.when {
            Condition::StopPresent => reason(&facts.stop),
            Condition::ForbiddenChange => reason(&facts.forbidden),
            Condition::SecretFound => reason(&facts.secret),
            Condition::EvidenceUnbound => reason(&facts.unbound),
            Condition::ProtectedOrLockfile => reason(&facts.sensitive),
            Condition::GateNotPassed => reason(&facts.gates),
            Condition::RiskMediumOrMore => risky(facts),
            Condition::IsolationBelowMinimum => below(facts.isolation, policy.isolation.minimum),
            Condition::Otherwise => {
                otherwise.push(rule);
                None
            }
        };
        if let Some(why) = why {
            matched.push(Matched {
                rule: rule.id.clone(),
                then: rule.then,
                because: format!("{} ({why})", rule.reason),
            });
        }
    }
    if matched.is_empty() {
        matched.extend(otherwise.into_iter().map(|rule| Matched {
            rule: rule.id.clone(),
            then: rule.then,
            because: rule.reason.clone(),
        }));
    }
    // A policy without a rule for the rest is refused when it loads; should it ever happen, stop.
    let would = matched
        .iter()
        .map(|rule| rule.then)
        .max()
        .unwrap_or(Decision::ZeroStop);
    // The kill switch and evidence that cannot be believed hold in shadow mode too.
    let holds = !facts.stop.is_empty() || !facts.unbound.is_empty();
    let decision = match facts.shadow && !holds {
        true => Decision::PrOnly,
        false => would,
    };
    Verdict {
        decision,
        would,
        matched,
    }
}

fn risky(facts: &Facts) -> Option<String> {
    let (who, level) = if facts.opinion > facts.risk {
        ("whoever proposed it", facts.opinion)
    } else {
        ("the scan", facts.risk)
    };
    (level >= RiskLevel::Medium).then(|| format!("{who} says {level}"))
}

fn reason(found: &[String]) -> Option<String> {
    const MOST: usize = 3;
    let shown: Vec<_> = found.iter().take(MOST).map(String::as_str).collect();
    match found.len() {
        0 => None,
        1..=MOST => Some(shown.join("; ")),
        more => Some(format!("{}; and {} more", shown.join("; "), more - MOST)),
    }
}

fn below(reached: Option<Isolation>, minimum: Isolation) -> Option<String> {
    let reached = reached?;
    (reached < minimum).then(|| {
        format!(
            "reached {}, the policy demands {}",
            reached.name(),
            minimum.name()
        )
    })
}
