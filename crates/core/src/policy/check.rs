//! What a policy must hold to: the floor that is built in, and the bounds of its schema.

use std::collections::HashSet;

use super::{
    Access, CheckpointRule, Condition, GateKind, PathRule, Policy, RiskRule, StandingApproval,
    approval_types, check_gates, draft_types, landing_types, worker_types,
};
use crate::approval;
use crate::bounds::{self, Checked};
use crate::envelope::{Decision, Severity, ToolClass};
use crate::lease;
use crate::problem::Problem;

/// The gates whose verdict no command may give, for the change could have written the command.
const BUILT_IN_GATES: [&str; 5] = ["G0", "G1", "G2", "G3", "G6"];

/// Refuses a policy that asks for less than the floor.
pub(super) fn floor(policy: &Policy) -> Result<(), Problem> {
    let loosened = |what: String| {
        Problem::fail(
            "POLICY_LOOSENED",
            format!("policy: {what}; the floor can be tightened and not loosened"),
        )
        .hint("restore POLICY.json from the base commit")
    };
    let openclaw = &policy.actors.openclaw;
    for class in [
        ToolClass::Move,
        ToolClass::Exec,
        ToolClass::Pr,
        ToolClass::Merge,
        ToolClass::External,
    ] {
        if openclaw.of(class) != Access::Deny {
            return Err(loosened(format!("openclaw may never do {class}")));
        }
    }
    let needs = &policy.needs_approval;
    let all = [
        needs.read,
        needs.write,
        needs.mov,
        needs.exec,
        needs.pr,
        needs.merge,
        needs.external,
        needs.costly,
    ];
    if all.contains(&false) {
        return Err(loosened("every class needs an approval".to_owned()));
    }
    for approval in &policy.standing_approvals {
        let candidate_only = [ToolClass::Pr, ToolClass::Merge, ToolClass::External];
        if let Some(class) = approval
            .tool_classes
            .iter()
            .find(|class| candidate_only.contains(class))
        {
            return Err(loosened(format!(
                "{class} has no standing approval ({}): it is approved for one candidate",
                approval.id
            )));
        }
    }
    for (at, condition) in Condition::ORDER.iter().enumerate() {
        let id = format!("D{}", at + 1);
        let rule = policy
            .decision_rules
            .get(at)
            .filter(|rule| rule.id == id && rule.when == *condition);
        let Some(rule) = rule else {
            return Err(loosened(format!(
                "decision rule {} must be {id}, in order",
                at + 1
            )));
        };
        if at < 4 && rule.then != Decision::ZeroStop {
            return Err(loosened(format!("{id} is ZERO_STOP")));
        }
    }
    for gate in &policy.gates {
        let own = BUILT_IN_GATES.contains(&gate.id.as_str());
        if own && (gate.kind != GateKind::Builtin || !gate.required) {
            return Err(loosened(format!(
                "{} is built in and required",
                gate.id.escape_debug()
            )));
        }
    }
    Ok(())
}

/// The bounds that the schema puts on everything.
pub(super) fn bounds(policy: &Policy) -> Checked {
    bounds::schema_version(&policy.schema_version)?;
    approvals(policy)?;
    path_rules("allowlist", &policy.allowlist, 1, 0)?;
    path_rules("deny_paths", &policy.deny_paths, 0, 1)?;
    path_rules("protected_zones", &policy.protected_zones, 0, 1)?;
    path_rules("lockfiles", &policy.lockfiles, 0, 1)?;
    bounds::list(
        "risk_rules",
        &policy.risk_rules,
        0,
        MOST_RISK_RULES,
        risk_rule,
    )?;
    secret_rules(policy)?;
    exceptions(policy)?;
    check_gates::gates(policy)?;
    decisions(policy)?;
    recovery(policy)?;
    caps(policy)?;
    approval_types::check(&policy.approvals)?;
    landing_types::check(&policy.landing)?;
    audit(policy)?;
    draft_types::check(&policy.draft)?;
    worker_types::check(policy)
}

/// The most risk rules that a policy may have.
pub(super) const MOST_RISK_RULES: usize = 2000;

/// What is said of a policy that does not keep to its bounds.
pub(super) fn invalid(why: String) -> Problem {
    Problem::fail("POLICY_INVALID", format!("policy: {why}")).hint("baton doctor checks a policy")
}

/// That no id of the policy is there twice.
pub(super) fn unique_ids(policy: &Policy) -> Result<(), Problem> {
    ids(policy).map_err(invalid)
}

fn ids(policy: &Policy) -> Checked {
    let paths = [
        &policy.allowlist,
        &policy.deny_paths,
        &policy.protected_zones,
        &policy.lockfiles,
    ];
    let mut seen = HashSet::new();
    let ids = paths
        .into_iter()
        .flatten()
        .map(|rule| &*rule.id)
        .chain(policy.risk_rules.iter().map(|rule| &*rule.id))
        .chain(
            policy
                .standing_approvals
                .iter()
                .map(|approval| &*approval.id),
        )
        .chain(
            policy
                .external_exceptions
                .iter()
                .map(|exception| &*exception.id),
        )
        .chain(policy.approvals.rules.iter().map(|rule| &*rule.id));
    for id in ids {
        let first = id
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !first || id.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!(
                "rule id \"{}\" is not written in lower case",
                id.escape_debug()
            ));
        }
        bounds::identifier("rule id", id, 64)?;
        if !seen.insert(id) {
            return Err(format!("rule id \"{id}\" is there twice"));
        }
    }
    Ok(())
}

pub(super) fn reason(text: &str) -> Checked {
    bounds::text("reason", text, 1, 1000)
}

fn approvals(policy: &Policy) -> Checked {
    bounds::list(
        "standing_approvals",
        &policy.standing_approvals,
        0,
        100,
        |approval| {
            bounds::list("standing_approvals.actors", &approval.actors, 1, 5, |_| {
                Ok(())
            })?;
            bounds::unique("standing_approvals.actors", &approval.actors)?;
            bounds::list(
                "standing_approvals.tool_classes",
                &approval.tool_classes,
                1,
                5,
                |_| Ok(()),
            )?;
            bounds::unique("standing_approvals.tool_classes", &approval.tool_classes)?;
            bounds::text(
                "standing_approvals.approved_by",
                &approval.approved_by,
                1,
                200,
            )?;
            bounds::timestamp("standing_approvals.approved_at", &approval.approved_at)?;
            bounds::timestamp("standing_approvals.until", &approval.until)?;
            ends_after_it_begins(approval)?;
            reason(&approval.reason)
        },
    )
}

fn ends_after_it_begins(approval: &StandingApproval) -> Checked {
    let instant = |text: &str| {
        approval::instant(text).ok_or_else(|| {
            format!(
                "standing approval {} names {text}, expected a day that the calendar has, from 1970 on",
                approval.id
            )
        })
    };
    if instant(&approval.approved_at)? < instant(&approval.until)? {
        return Ok(());
    }
    Err(format!(
        "standing approval {} ends at {}, expected a time after {}",
        approval.id, approval.until, approval.approved_at
    ))
}

fn path_rules(field: &str, rules: &[PathRule], least: usize, least_no_match: usize) -> Checked {
    bounds::list(field, rules, least, 1000, |rule| {
        bounds::path(field, &rule.glob, 1024)?;
        reason(&rule.reason)?;
        let path = |path: &str| bounds::path(field, path, 4096);
        bounds::each_text(&format!("{field}.match"), &rule.matches, 1, 64, path)?;
        bounds::each_text(
            &format!("{field}.no_match"),
            &rule.no_match,
            least_no_match,
            64,
            path,
        )
    })
}

/// The bounds of one of them.
pub(super) fn risk_rule(rule: &RiskRule) -> Checked {
    let id = &rule.id;
    if rule.severity == Severity::Info {
        return Err(format!(
            "risk rule {id} has severity INFO, expected LOW or more"
        ));
    }
    bounds::each_text("risk_rules.where.globs", &rule.place.globs, 0, 64, |glob| {
        bounds::path("risk_rules.where.globs", glob, 1024)
    })?;
    bounds::unique_texts("risk_rules.where.globs", &rule.place.globs)?;
    let languages = &rule.place.languages;
    bounds::each_text("risk_rules.where.languages", languages, 0, 64, |name| {
        bounds::text("risk_rules.where.languages", name, 1, 32)
    })?;
    bounds::unique_texts("risk_rules.where.languages", languages)?;
    let is_bound = !rule.place.globs.is_empty() || !languages.is_empty();
    bounds::each_text(
        "risk_rules.keywords",
        &rule.keywords,
        usize::from(!is_bound),
        64,
        |word| {
            if word.contains('\n') {
                return Err(format!("risk rule {id}: a keyword stands in one line"));
            }
            bounds::text("risk_rules.keywords", word, 2, 100)
        },
    )?;
    bounds::unique_texts("risk_rules.keywords", &rule.keywords)?;
    bounds::text("risk_rules.pattern", &rule.pattern, 1, 4000)?;
    if let Some(except) = &rule.except {
        bounds::text("risk_rules.except", except, 1, 4000)?;
    }
    reason(&rule.reason)?;
    let example = |text: &str| bounds::text("risk rule example", text, 1, 4000);
    bounds::each_text("risk_rules.match", &rule.matches, 1, 32, example)?;
    bounds::each_text("risk_rules.no_match", &rule.no_match, 1, 32, example)
}

fn secret_rules(policy: &Policy) -> Checked {
    let files = &policy.secret_rules.files;
    bounds::list("secret_rules.files", files, 1, 16, |file| {
        bounds::path("secret_rules.files.path", &file.path, 1024)?;
        bounds::sha256("secret_rules.files.sha256", &file.sha256)
    })?;
    let paths: Vec<_> = files.iter().map(|file| &file.path).collect();
    bounds::unique("secret_rules.files.path", &paths)
}

fn exceptions(policy: &Policy) -> Checked {
    bounds::list(
        "external_exceptions",
        &policy.external_exceptions,
        0,
        100,
        |exception| {
            let label = |label: &str| {
                let inner = label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
                inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
            };
            if exception.host.len() > 253 || !exception.host.split('.').all(label) {
                return Err(format!(
                    "external_exceptions.host \"{}\" is no plain host name",
                    exception.host.escape_debug()
                ));
            }
            bounds::text("external_exceptions.purpose", &exception.purpose, 1, 200)?;
            reason(&exception.reason)
        },
    )
}

pub(super) fn argv(field: &str, argv: &[String]) -> Checked {
    bounds::list(field, argv, 0, 256, |word| {
        bounds::text(field, word, 0, 4096)
    })
}

fn decisions(policy: &Policy) -> Checked {
    bounds::list("decision_rules", &policy.decision_rules, 9, 9, |rule| {
        if rule.then == Decision::NotApplicable {
            return Err(format!(
                "{} decides NA, expected AUTO_MERGE, PR_ONLY or ZERO_STOP",
                rule.id
            ));
        }
        reason(&rule.reason)
    })
}

fn recovery(policy: &Policy) -> Checked {
    const SKILLS: [&str; 11] = [
        "stop-check",
        "queue-scan",
        "claim-lock",
        "intake-validate",
        "patch-draft-request",
        "diff-risk-scan",
        "gate-runner",
        "decision-router",
        "pr-merge-orchestrator",
        "audit-append",
        "incident-brief",
    ];
    for number in 1..=8 {
        let id = format!("R{number}");
        if policy
            .recovery
            .iter()
            .filter(|recovery| recovery.id == id)
            .count()
            != 1
        {
            return Err(format!("recovery must hold {id} exactly once"));
        }
    }
    bounds::list("recovery", &policy.recovery, 8, 8, |recovery| {
        bounds::text("recovery.title", &recovery.title, 1, 100)?;
        bounds::text("recovery.trigger", &recovery.trigger, 1, 500)?;
        if !SKILLS.contains(&recovery.called_by.as_str()) {
            return Err(format!(
                "recovery.called_by \"{}\" is no skill",
                recovery.called_by.escape_debug()
            ));
        }
        bounds::text("recovery.definition", &recovery.definition, 1, 2000)?;
        bounds::list("recovery.procedure", &recovery.procedure, 1, 32, |step| {
            bounds::text("recovery.procedure", step, 1, 1000)
        })
    })
}

fn audit(policy: &Policy) -> Checked {
    let rules = &policy.audit;
    // What is not signed is read again by each process that appends.
    if let CheckpointRule::Every(lines) = rules.checkpoint {
        bounds::number("audit.checkpoint.every", lines, 1, 10_000)?;
    }
    let (least, most) = (1 << 20, 1 << 30);
    bounds::number("audit.segment_bytes", rules.segment_bytes, least, most)
}

fn caps(policy: &Policy) -> Checked {
    let caps = &policy.caps;
    for (field, number, least, most) in [
        ("caps.max_file_bytes", caps.max_file_bytes, 1, 1 << 30),
        ("caps.max_context_files", caps.max_context_files, 1, 10_000),
        ("caps.max_patch_bytes", caps.max_patch_bytes, 1, 1 << 30),
        ("caps.max_changed_files", caps.max_changed_files, 1, 100_000),
        (
            "caps.gate_timeout_seconds",
            caps.gate_timeout_seconds,
            1,
            86_400,
        ),
        ("caps.gate_log_bytes", caps.gate_log_bytes, 1024, 1 << 30),
        (
            "caps.gate_memory_bytes",
            caps.gate_memory_bytes,
            64 << 20,
            1 << 40,
        ),
        ("caps.gate_processes", caps.gate_processes, 8, 100_000),
        (
            "caps.gate_disk_bytes",
            caps.gate_disk_bytes,
            1 << 20,
            1 << 40,
        ),
        ("caps.gates_at_once", caps.gates_at_once, 1, 64),
        ("caps.gate_retries", caps.gate_retries, 0, 10),
        (
            "caps.draft_timeout_seconds",
            caps.draft_timeout_seconds,
            1,
            86_400,
        ),
        ("caps.draft_retries", caps.draft_retries, 0, 2),
        ("caps.max_attempts", caps.max_attempts, 1, 100),
        ("caps.cost_cents", caps.cost_cents, 0, 10_000_000),
        ("caps.tokens_soft", caps.tokens_soft, 1, 100_000_000),
        ("caps.tokens_hard", caps.tokens_hard, 1, 100_000_000),
        (
            "caps.lease_seconds",
            caps.lease_seconds,
            10,
            lease::LONGEST.as_secs(),
        ),
        (
            "caps.delete_share_percent",
            caps.delete_share_percent,
            1,
            100,
        ),
    ] {
        bounds::number(field, number, least, most)?;
    }
    Ok(())
}
