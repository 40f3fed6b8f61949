//! Secrets stay out: every text that is said or kept passes here on its way.
//!
//! The rules that know a secret live in a crate above this one, so that each program hands them over as
//! it starts. They are held for the whole process: usage errors, log lines and lines on standard error
//! come from places that no session reaches, and a mask that had to be handed along would be missing at
//! the next such place.

mod held;
mod own;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use serde_json::{Map, Value};

use crate::audit::Draft;
use crate::envelope::{ApprovalEntry, Artifact, Envelope, Finding, NO_TASK};
use crate::policy::SecretRules;
use crate::problem::Problem;

pub use held::{hold, without_held};

/// Finds secrets in a text.
pub trait Masker: Sync {
    /// The text with every secret in it masked; `None` when it holds none.
    fn masked(&self, rules: Option<&Rules>, text: &str) -> Option<String>;
    /// Of what kind the first secret in a text is; `None` when it holds none.
    fn kind(&self, rules: Option<&Rules>, text: &str) -> Option<String>;
}

/// The rules of the policy that this run works under. Before a policy is known, and where its rules
/// cannot be read, those that baton comes with count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The files and their digests, as the policy names them.
    pub pinned: SecretRules,
    /// The folder that they lie in.
    pub folder: PathBuf,
}

static MASKER: OnceLock<&'static dyn Masker> = OnceLock::new();
static RULES: RwLock<Option<Arc<Rules>>> = RwLock::new(None);

/// Hands over what finds secrets; a program does so before anything else. The first one stays.
pub fn begin(masker: &'static dyn Masker) {
    let _ = MASKER.set(masker);
}

/// Says which rules count from here on.
pub(crate) fn use_rules(pinned: &SecretRules, folder: &Path) {
    if MASKER.get().is_none() {
        return;
    }
    let rules = Rules {
        pinned: pinned.clone(),
        folder: folder.to_owned(),
    };
    *RULES.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(rules));
}

fn ask<T>(question: impl FnOnce(&dyn Masker, Option<&Rules>) -> Option<T>) -> Option<T> {
    let masker = MASKER.get()?;
    let rules = RULES.read().unwrap_or_else(PoisonError::into_inner).clone();
    question(*masker, rules.as_deref())
}

/// The text as it may be said and kept.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let text = match without_held(text.as_bytes()) {
        Some(shown) => Cow::Owned(String::from_utf8_lossy(&shown).into_owned()),
        None => Cow::Borrowed(text),
    };
    match ask(|masker, rules| masker.masked(rules, &text)) {
        Some(masked) => Cow::Owned(masked),
        None => text,
    }
}

/// The first `most` characters of a text, escaped, to be quoted in a message. It is masked before it is
/// cut: half a secret is one that no rule knows.
#[must_use]
pub fn excerpt(text: &str, most: usize) -> String {
    let masked = self::text(text);
    masked
        .chars()
        .take(most)
        .flat_map(char::escape_debug)
        .collect()
}

/// Of what kind the first secret in a text is.
#[must_use]
pub fn kind_of(text: &str) -> Option<String> {
    if without_held(text.as_bytes()).is_some() {
        return Some("a key of this run".to_owned());
    }
    ask(|masker, rules| masker.kind(rules, text))
}

/// Refuses a text that must stay as it is and holds a secret: `called` says what it is.
///
/// # Errors
/// `SECRET_REFUSED`, which names the kind and never the secret.
pub fn refuse(called: &str, text: &str) -> Result<(), Problem> {
    match kind_of(text) {
        None => Ok(()),
        Some(kind) => Err(Problem::fail(
            "SECRET_REFUSED",
            format!("{called} holds a secret ({kind}); it would stand in files that are kept"),
        )
        .hint("leave the secret out, and change it where it is valid: it was written down")),
    }
}

/// Where in a JSON value a secret stands, and of what kind: in texts and in names of fields.
#[must_use]
pub fn places_in(value: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    look(value, "$", &mut found);
    found
}

fn look(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.extend(kind_of(text).map(|kind| (at.to_owned(), kind))),
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                look(value, &format!("{at}[{number}]"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                match kind_of(name) {
                    Some(kind) => found.push((format!("a name in {at}"), kind)),
                    None => look(value, &format!("{at}.{name}"), found),
                }
            }
        }
        _ => {}
    }
}

fn change(own: &mut String) {
    if let Cow::Owned(masked) = field(own) {
        *own = masked;
    }
}

/// A text of a field, as it may be said and kept. What programs compare is for the rules that baton comes with
/// alone: a team's rule that finds `SECRET_FOUND` or the name of a field would blind the very decision that
/// it is to serve.
fn field(text: &str) -> Cow<'_, str> {
    match self::text(text) {
        Cow::Owned(_) if own::is_compared(text) && is_plain(text) => Cow::Borrowed(text),
        shown => shown,
    }
}

/// Whether neither a key of this run nor the rules that baton comes with say that a text is secret.
fn is_plain(text: &str) -> bool {
    let own = MASKER.get().map(|masker| masker.kind(None, text));
    without_held(text.as_bytes()).is_none() && own.flatten().is_none()
}

/// Masks every text in a JSON value, names of fields too.
pub fn value(value: &mut Value) {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().for_each(self::value),
        Value::Object(fields) => map(fields),
        _ => {}
    }
}

/// Masks every text in a JSON object, names of fields too. Fields whose masked names are the same are
/// numbered.
pub fn map(fields: &mut Map<String, Value>) {
    fields.values_mut().for_each(value);
    if !fields.keys().any(|key| matches!(field(key), Cow::Owned(_))) {
        return;
    }
    for (key, value) in std::mem::take(fields) {
        let shown = field(&key).into_owned();
        let mut free = shown.clone();
        let mut number = 2;
        while fields.contains_key(&free) {
            free = format!("{shown} {number}");
            number += 1;
        }
        fields.insert(free, value);
    }
}

fn findings(findings: &mut [Finding]) {
    for finding in findings {
        change(&mut finding.code);
        change(&mut finding.message);
        finding.evidence_paths.iter_mut().for_each(change);
    }
}

fn artifacts(artifacts: &mut [Artifact]) {
    for artifact in artifacts {
        change(&mut artifact.path);
        artifact.note.iter_mut().for_each(change);
    }
}

fn approvals(approvals: &mut [ApprovalEntry]) {
    for approval in approvals {
        approval.approved_by.iter_mut().for_each(change);
        approval.approved_at.iter_mut().for_each(change);
        approval.note.iter_mut().for_each(change);
    }
}

/// A name that a task may have, or `none` where it is a secret.
fn name(id: &mut String, none: &str) {
    if kind_of(id).is_some() {
        none.clone_into(id);
    }
}

/// Masks an envelope, whoever wrote it.
pub fn envelope(envelope: &mut Envelope) {
    change(&mut envelope.skill);
    change(&mut envelope.summary);
    name(&mut envelope.task.task_id, NO_TASK);
    findings(&mut envelope.findings);
    artifacts(&mut envelope.artifacts);
    approvals(&mut envelope.approvals);
    change(&mut envelope.audit.event_id);
    envelope.audit.prev_event_id.iter_mut().for_each(change);
    map(&mut envelope.data);
}

/// Masks what a log line will say. Digests, times and what baton counts are its own.
pub fn draft(draft: &mut Draft) {
    name(&mut draft.task_id, "-");
    approvals(&mut draft.approvals);
    artifacts(&mut draft.artifacts);
    findings(&mut draft.findings);
    map(&mut draft.meta);
}

/// Masks a problem.
pub fn problem(problem: &mut Problem) {
    change(&mut problem.code);
    change(&mut problem.message);
    problem.hints.iter_mut().for_each(change);
    findings(&mut problem.findings);
}
