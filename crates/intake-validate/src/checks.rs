//! The checks, each with its id. A check that cannot be made because an earlier one failed is SKIP.

use baton_core::manifest::SSOT;
use baton_core::outputs::{Check, CheckStatus};
use baton_core::policy::Policy;
use baton_core::problem::Problem;
use baton_core::rules::{Case, PathRules, ScopeRules};
use baton_core::session::Session;
use baton_core::task::{self, Task, TaskId};
use baton_core::{clock, masking, schemas};
use baton_risk::RuleBook;
use serde_json::Value;

/// The files that must be there before any task is worked on.
const REQUIRED: [&str; 5] = [
    "MANIFEST.json",
    "POLICY.json",
    "POLICY.md",
    "BATON_CURRENT.md",
    "AUDIT_SCHEMA.json",
];
/// How many schema errors one note lists.
const MOST_ERRORS: usize = 3;

/// What the checks came to.
pub(crate) struct Checked {
    pub(crate) checks: Vec<Check>,
    /// Whether shadow mode let something through.
    pub(crate) is_spared: bool,
}

impl Checked {
    fn add(&mut self, id: &str, problems: &[String]) {
        let status = if problems.is_empty() {
            CheckStatus::Pass
        } else {
            CheckStatus::Fail
        };
        let note = (!problems.is_empty()).then(|| problems.join("; "));
        self.checks.push(Check {
            check_id: id.to_owned(),
            status,
            note,
        });
    }

    fn skip(&mut self, id: &str, why: &str) {
        self.checks.push(Check {
            check_id: id.to_owned(),
            status: CheckStatus::Skip,
            note: Some(why.to_owned()),
        });
    }

    /// A stable reason code for each check that failed.
    pub(crate) fn reason_codes(&self) -> Vec<String> {
        let failed = self
            .checks
            .iter()
            .filter(|check| check.status == CheckStatus::Fail);
        failed
            .map(|check| match check.check_id.as_str() {
                "REQUIRED_FILES" => "REQUIRED_FILES_MISSING",
                "SCHEMA" => "TASK_INVALID",
                "TASK_ID" => "TASK_ID_INVALID",
                "ALLOWLIST" => "ALLOWLIST_VIOLATION",
                "PROTECTED_ZONE" => "PROTECTED_ZONE_TOUCHED",
                "DENY_PATHS" => "DENIED_PATH",
                "BASE_EXISTS" => "BASE_MISSING",
                "DUE_AT" => "TASK_OVERDUE",
                "TASK_TEXT" => "TASK_TEXT_REFUSED",
                _ => "LIMITS_EXCEEDED",
            })
            .map(str::to_owned)
            .collect()
    }
}

/// Makes every check on a task's bytes. `id` is the folder's name, when it lies in the queue.
pub(crate) fn all(
    session: &Session,
    bytes: &[u8],
    id: Option<&TaskId>,
) -> Result<Checked, Problem> {
    let mut checked = Checked {
        checks: Vec::new(),
        is_spared: false,
    };
    checked.add("REQUIRED_FILES", &required_files(session, id.is_some()));
    let schema = schema_errors(bytes)?;
    checked.add("SCHEMA", &schema);
    let rest = [
        "TASK_ID",
        "ALLOWLIST",
        "PROTECTED_ZONE",
        "DENY_PATHS",
        "BASE_EXISTS",
        "LIMITS",
        "DUE_AT",
        "TASK_TEXT",
    ];
    let task = match Task::parse(bytes) {
        Ok(task) if schema.is_empty() => task,
        Ok(_) => {
            rest.iter()
                .for_each(|check| checked.skip(check, "the task has the wrong form"));
            return Ok(checked);
        }
        Err(problem) => {
            if schema.is_empty() {
                checked.add("TASK_ID", &[problem.message]);
            }
            let left = if schema.is_empty() {
                rest.get(1..)
            } else {
                rest.get(..)
            };
            left.unwrap_or_default()
                .iter()
                .for_each(|check| checked.skip(check, "the task has the wrong form"));
            return Ok(checked);
        }
    };
    let policy = session.policy()?;
    checked.add("TASK_ID", &task_id(&task, id));
    checked.add("ALLOWLIST", &allowlist(&task, policy)?);
    checked.add("PROTECTED_ZONE", &protected(&task, policy)?);
    checked.add("DENY_PATHS", &denied(&task, policy)?);
    repository_checks(session, &task, &mut checked)?;
    checked.add("DUE_AT", &due(&task));
    words(session, (&task, bytes), &mut checked)?;
    Ok(checked)
}

/// In the queue the single source of truth must be whole; a bare file is checked without it.
fn required_files(session: &Session, in_queue: bool) -> Vec<String> {
    if !in_queue {
        return Vec::new();
    }
    let Ok(root) = session.root() else {
        return vec!["there is no repository".to_owned()];
    };
    let folder = root.join(SSOT);
    let mut problems: Vec<_> = REQUIRED
        .iter()
        .filter(|name| !folder.join(name).is_file())
        .map(|name| format!("{SSOT}/{name} is missing; run baton init, or restore it"))
        .collect();
    if let Err(problem) = session.manifest() {
        problems.push(problem.message);
    }
    problems
}

fn schema_errors(bytes: &[u8]) -> Result<Vec<String>, Problem> {
    let document: Value = match serde_json::from_slice(bytes) {
        Ok(document) => document,
        Err(error) => return Ok(vec![format!("task.json is not JSON: {error}")]),
    };
    let broken = |error: String| {
        Problem::fail(
            "INTERNAL_ERROR",
            format!("the task schema itself is broken: {error}"),
        )
    };
    let schema: Value =
        serde_json::from_str(schemas::TASK).map_err(|error| broken(error.to_string()))?;
    let validator =
        jsonschema::validator_for(&schema).map_err(|error| broken(error.to_string()))?;
    let errors = validator.iter_errors(&document).take(MOST_ERRORS);
    Ok(errors
        .map(|error| {
            let path = error.instance_path().to_string();
            let text = masking::text(&error.to_string())
                .chars()
                .take(200)
                .collect::<String>();
            format!(
                "at {}: {text}",
                if path.is_empty() { "the top" } else { &path }
            )
        })
        .collect())
}

fn task_id(task: &Task, id: Option<&TaskId>) -> Vec<String> {
    match id {
        Some(id) if *id != task.task_id => {
            vec![format!(
                "task.json says {}, its folder is {id}",
                task.task_id
            )]
        }
        _ => Vec::new(),
    }
}

/// An entry without wildcards is a path, and can be held against the policy now. What a wildcard
/// lets in is judged when the change is known.
fn is_plain(entry: &str) -> bool {
    !entry.contains(['*', '?', '[', '{'])
}

fn plain_entries(task: &Task) -> impl Iterator<Item = &String> {
    let scope = &task.scope;
    scope
        .allow_patch_on_files
        .iter()
        .chain(&scope.target_files)
        .filter(|entry| is_plain(entry))
}

fn allowlist(task: &Task, policy: &Policy) -> Result<Vec<String>, Problem> {
    let allowed = PathRules::compile(&policy.allowlist, Case::Exact)?;
    let scope = ScopeRules::compile(&task.scope)?;
    let mut problems: Vec<_> = plain_entries(task)
        .filter(|entry| allowed.first_match(entry).is_none())
        .map(|entry| format!("{entry} is outside the policy's allowlist"))
        .collect();
    let outside = task
        .scope
        .target_files
        .iter()
        .filter(|entry| is_plain(entry) && !scope.allows(entry));
    problems.extend(
        outside
            .map(|entry| format!("{entry} is a target that allow_patch_on_files does not allow")),
    );
    Ok(problems)
}

fn protected(task: &Task, policy: &Policy) -> Result<Vec<String>, Problem> {
    let zones = PathRules::compile(&policy.protected_zones, Case::Folded)?;
    Ok(hits(task, &zones, "lies in the protected zone"))
}

fn denied(task: &Task, policy: &Policy) -> Result<Vec<String>, Problem> {
    let rules = PathRules::compile(&policy.deny_paths, Case::Folded)?;
    Ok(hits(task, &rules, "is denied by"))
}

fn hits(task: &Task, rules: &PathRules, what: &str) -> Vec<String> {
    plain_entries(task)
        .filter_map(|entry| {
            rules
                .first_match_folded(entry)
                .map(|rule| format!("{entry} {what} {}", rule.id))
        })
        .collect()
}

fn repository_checks(session: &Session, task: &Task, checked: &mut Checked) -> Result<(), Problem> {
    let policy = session.policy()?;
    let Ok(repository) = session.repository() else {
        checked.skip("BASE_EXISTS", "there is no repository here");
        checked.add("LIMITS", &limits(task, policy));
        return Ok(());
    };
    let mut over = limits(task, policy);
    match repository.commit(task.base.as_deref().unwrap_or(&policy.landing.target)) {
        Err(problem) => checked.add("BASE_EXISTS", &[problem.message]),
        Ok(base) => {
            checked.add("BASE_EXISTS", &[]);
            let most = usize::try_from(policy.caps.max_file_bytes).unwrap_or(usize::MAX);
            for path in task.scope.target_files.iter().filter(|path| is_plain(path)) {
                let is_file = repository
                    .mode_at(&base, path)?
                    .is_some_and(|mode| mode.starts_with("100"));
                if is_file && repository.file_at(&base, path, most)?.is_none() {
                    over.push(format!(
                        "{path} is larger than {most} bytes (max_file_bytes)"
                    ));
                }
            }
        }
    }
    checked.add("LIMITS", &over);
    Ok(())
}

fn limits(task: &Task, policy: &Policy) -> Vec<String> {
    let most = policy.caps.max_context_files;
    let files = task.scope.target_files.len() as u64;
    if files > most {
        return vec![format!(
            "{files} target files, at most {most} are read (max_context_files)"
        )];
    }
    Vec::new()
}

/// A task's words come from outside and go to a model and into the log: they are judged by the rules
/// that judge a change. In shadow mode what they find is said and nothing is refused.
fn words(
    session: &Session,
    (task, bytes): (&Task, &[u8]),
    checked: &mut Checked,
) -> Result<(), Problem> {
    let book = RuleBook::of_session(session)?;
    let scope = &task.scope;
    let names = scope
        .allow_patch_on_files
        .iter()
        .chain(&scope.target_files)
        .chain(&scope.deny_paths_glob);
    let names = names.cloned().collect::<Vec<_>>().join("\n");
    let criteria = task.success_criteria.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for (called, text) in [
        ("title", task.title.as_str()),
        ("goal", &task.goal),
        ("context.notes", &task.context.notes),
        ("success_criteria", criteria),
        ("scope", &names),
    ] {
        let findings = baton_risk::judge_text(&book, called, text)?;
        found.extend(findings.into_iter().map(|finding| finding.message));
    }
    // Every other field can hold a secret too, those that a submitter adds as well.
    found.extend(task::secrets_in(bytes));
    if session.is_shadow()? && !found.is_empty() {
        checked.skip("TASK_TEXT", &format!("shadow mode: {}", found.join("; ")));
        checked.is_spared = true;
    } else {
        checked.add("TASK_TEXT", &found);
    }
    Ok(())
}

fn due(task: &Task) -> Vec<String> {
    let Some(due) = &task.due_at else {
        return Vec::new();
    };
    match clock::parse_with_offset(due) {
        None => vec![format!(
            "due_at \"{}\" is not a time such as 2026-02-08T09:00:00Z",
            due.escape_debug()
        )],
        Some(due) if due < clock::now() => {
            vec!["the due time is over; submit the task again with a later one".to_owned()]
        }
        Some(_) => Vec::new(),
    }
}
