//! What a rule, a check or a code means, where it comes from and what to do about it.

use baton_core::decision::SECRET_FOUND;
use baton_core::envelope::Severity;
use baton_core::policy::{PathRule, Policy, Recovery, RiskRule};
use baton_patch::Code;
use serde::Serialize;

use crate::book::RuleBook;
use crate::checks::{self, BUILT_IN, BuiltIn, HitKind};
use crate::rule::{Rule, Source};

/// The words on one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// What it is called in findings.
    pub id: String,
    /// Where it comes from: the policy, a secret rule file, or baton itself.
    pub source: &'static str,
    /// What it raises.
    pub raises: String,
    /// Its weight, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What it is for.
    pub reason: String,
    /// What it looks at.
    pub looks_at: String,
    /// What it matches.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<String>,
    /// What it must leave alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_match: Vec<String>,
    /// The smallest permitted steps.
    pub next: Vec<String>,
}

/// Explains a rule of the policy or of a secret rule file, a built-in check, a finding's code, a
/// decision rule, a gate, a recovery, or a refusal of the patch reader. None when nothing is called
/// so.
#[must_use]
pub fn explain(book: &RuleBook<'_>, id: &str) -> Option<Explained> {
    let rule = book.rules().iter().find(|rule| rule.id() == id);
    rule.map(content_rule)
        .or_else(|| path_rule(book.policy, id))
        .or_else(|| BUILT_IN.iter().find(|check| check.id == id).map(built_in))
        .or_else(|| code(book, id))
        .or_else(|| table(book.policy, id))
        .or_else(|| refusal(id))
}

/// Every name that [`explain`] knows, in the order in which people look for them.
#[must_use]
pub fn names(book: &RuleBook<'_>) -> Vec<String> {
    let policy = book.policy;
    let content = book.rules().iter().map(|rule| rule.id().to_owned());
    let paths = path_sets(policy).into_iter();
    let paths = paths.flat_map(|(_, _, rules)| rules.iter().map(|rule| rule.id.clone()));
    let checks = BUILT_IN.iter().map(|check| check.id.to_owned());
    let decisions = policy.decision_rules.iter().map(|rule| rule.id.clone());
    let gates = policy.gates.iter().map(|gate| gate.id.clone());
    let recovery = policy.recovery.iter().map(|one| one.id.clone());
    let codes = Code::ALL.iter().map(|code| code.as_str().to_owned());
    let table = decisions.chain(gates).chain(recovery);
    let rules = book.rules().iter().map(|rule| HitKind::from(rule.kind()));
    let kinds = rules.chain(BUILT_IN.iter().map(|check| check.kind));
    let kinds: std::collections::BTreeSet<_> = kinds.map(HitKind::code).collect();
    content
        .chain(paths)
        .chain(checks)
        .chain(table)
        .chain(kinds.into_iter().map(str::to_owned))
        .chain(codes)
        .collect()
}

fn content_rule(rule: &Rule<'_>) -> Explained {
    let kind = HitKind::from(rule.kind());
    let mut explained = Explained {
        id: rule.id().to_owned(),
        raises: kind.code().to_owned(),
        severity: Some(rule.severity()),
        reason: rule.reason().to_owned(),
        next: vec![kind.next().to_owned()],
        ..Explained::default()
    };
    match &rule.source {
        Source::Policy(rule) => of_policy(rule, &mut explained),
        Source::Secret(rule) => {
            explained.source = "secret rule file";
            explained.looks_at = match (&rule.regex, &rule.path) {
                (Some(regex), None) => format!("every file, for {regex}"),
                (Some(regex), Some(path)) => format!("files like {path}, for {regex}"),
                (None, path) => format!("names like {}", path.as_deref().unwrap_or_default()),
            };
        }
    }
    explained
}

fn of_policy(rule: &RiskRule, explained: &mut Explained) {
    explained.source = "risk_rules of POLICY.json";
    let place = [
        rule.place.languages.to_vec().join(", "),
        rule.place.globs.to_vec().join(" "),
    ];
    let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let place = match place.as_slice() {
        [] => "every file".to_owned(),
        parts => parts.join(", "),
    };
    explained.looks_at = format!("{place}, for {}", rule.pattern);
    explained.matches = rule.matches.to_vec();
    explained.no_match = rule.no_match.to_vec();
    let change = format!(
        "a person can change {} in POLICY.json by a reviewed commit",
        rule.id
    );
    explained.next.push(change);
}

type PathSet<'p> = (&'static str, HitKind, &'p [PathRule]);

fn path_sets(policy: &Policy) -> [PathSet<'_>; 4] {
    [
        ("allowlist of POLICY.json", HitKind::Note, &policy.allowlist),
        (
            "deny_paths of POLICY.json",
            HitKind::Allowlist,
            &policy.deny_paths,
        ),
        (
            "protected_zones of POLICY.json",
            HitKind::Protected,
            &policy.protected_zones,
        ),
        (
            "lockfiles of POLICY.json",
            HitKind::Lockfile,
            &policy.lockfiles,
        ),
    ]
}

fn path_rule(policy: &Policy, id: &str) -> Option<Explained> {
    path_sets(policy)
        .into_iter()
        .find_map(|(source, kind, rules)| {
            let rule = rules.iter().find(|rule| rule.id == id)?;
            Some(Explained {
                id: rule.id.clone(),
                source,
                raises: kind.code().to_owned(),
                reason: rule.reason.clone(),
                looks_at: format!("paths like {}", rule.glob),
                matches: rule.matches.to_vec(),
                no_match: rule.no_match.to_vec(),
                next: vec![kind.next().to_owned()],
                ..Explained::default()
            })
        })
}

fn built_in(check: &BuiltIn) -> Explained {
    Explained {
        id: check.id.to_owned(),
        source: "built in",
        raises: check.kind.code().to_owned(),
        severity: Some(check.severity),
        reason: check.about.to_owned(),
        looks_at: "every change".to_owned(),
        next: vec![checks::next(check.id, check.kind).to_owned()],
        ..Explained::default()
    }
}

/// A finding's code stands for many rules: all of its kind.
fn code(book: &RuleBook<'_>, id: &str) -> Option<Explained> {
    let checks = BUILT_IN.iter().map(|check| check.kind);
    let rules = book.rules().iter().map(|rule| HitKind::from(rule.kind()));
    let paths = path_sets(book.policy).into_iter().map(|(_, kind, _)| kind);
    let kind = checks
        .chain(rules)
        .chain(paths)
        .find(|kind| kind.code() == id)?;
    let rules = book
        .rules()
        .iter()
        .filter(|rule| HitKind::from(rule.kind()) == kind);
    let checks = BUILT_IN.iter().filter(|check| check.kind == kind);
    let names: Vec<_> = rules
        .map(|rule| rule.id().to_owned())
        .chain(checks.map(|check| check.id.to_owned()))
        .collect();
    let decided = match kind {
        HitKind::Secret => "D3 makes it ZERO_STOP",
        HitKind::Delete | HitKind::Allowlist | HitKind::ExternalIo => "D2 makes it ZERO_STOP",
        HitKind::Protected | HitKind::Lockfile => "D5 makes it PR_ONLY",
        _ => "D7 makes it PR_ONLY from MEDIUM on",
    };
    Some(Explained {
        id: id.to_owned(),
        source: "built in",
        raises: if id == SECRET_FOUND {
            SECRET_FOUND
        } else {
            kind.code()
        }
        .to_owned(),
        reason: format!("The code of every finding of this kind; {decided}."),
        looks_at: format!("what these look at: {}", names.join(", ")),
        next: vec![
            "baton explain RULE, with the rule that the finding names in brackets".to_owned(),
            kind.next().to_owned(),
        ],
        ..Explained::default()
    })
}

/// Rows of the policy's tables.
fn table(policy: &Policy, id: &str) -> Option<Explained> {
    let decision = policy.decision_rules.iter().find(|rule| rule.id == id);
    let gate = policy.gates.iter().find(|gate| gate.id == id);
    let recovery = policy.recovery.iter().find(|one| one.id == id);
    let explained = |source, raises: String, reason: &str, looks_at: String, next| Explained {
        id: id.to_owned(),
        source,
        raises,
        reason: reason.to_owned(),
        looks_at,
        next,
        ..Explained::default()
    };
    if let Some(rule) = decision {
        let when = word(&rule.when);
        let next = vec!["baton show TASK tells which finding or gate spoke".to_owned()];
        let source = "decision_rules of POLICY.json";
        return Some(explained(
            source,
            word(&rule.then),
            &rule.reason,
            when,
            next,
        ));
    }
    if let Some(gate) = gate {
        let runs = match gate.argv.as_slice() {
            [] if gate.is_command() => "nothing yet: set its argv in POLICY.json".to_owned(),
            [] => "baton itself".to_owned(),
            argv => argv.join(" "),
        };
        let next = vec![format!("gate-runner --task TASK --only {id} runs it alone")];
        return Some(explained(
            "gates of POLICY.json",
            "PASS, FAIL or SKIP".to_owned(),
            &gate.reason,
            runs,
            next,
        ));
    }
    recovery.map(
        |Recovery {
             definition,
             trigger,
             procedure,
             ..
         }| {
            let raises = "an incident".to_owned();
            explained(
                "recovery of POLICY.json",
                raises,
                definition,
                trigger.clone(),
                procedure.clone(),
            )
        },
    )
}

fn refusal(id: &str) -> Option<Explained> {
    let code = Code::ALL.iter().find(|code| code.as_str() == id)?;
    Some(Explained {
        id: id.to_owned(),
        source: "the patch reader",
        raises: "PATCH_REFUSED".to_owned(),
        reason: "The patch is not in the grammar that git itself writes, so what git would do with it cannot be told for certain.".to_owned(),
        looks_at: "every patch".to_owned(),
        next: vec![code.hint().to_owned()],
        ..Explained::default()
    })
}

/// A value's name as the data writes it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
