//! What a change adds and takes away, judged by the rules that read text.

use std::ops::ControlFlow;
use std::rc::Rc;

use baton_core::envelope::{Finding, Severity};
use baton_core::policy::RiskKind;
use baton_core::problem::Problem;

use crate::book::RuleBook;
use crate::checks::{self, HitKind};
use crate::expected;
use crate::flowed::flowed;
use crate::hidden;
use crate::hit::Hit;
use crate::input::ScanInput;
use crate::judge::Judge;
use crate::keyword::Table;
use crate::mocked;
use crate::named::Named;
use crate::naming;
use crate::rule::{Rule, Source, all};
use crate::secret::Place;
use crate::settings;
use crate::shadowed;
use crate::stubbed;

/// The longest excerpt, in characters.
const EXCERPT: usize = 120;
/// Finds everything that the text tells.
pub(crate) fn scan<'p>(
    input: &ScanInput<'_>,
    named: &[Rc<Named<'p>>],
    book: &RuleBook<'p>,
) -> Result<Vec<Hit>, Problem> {
    let mut hits = Vec::new();
    for (file, named) in input.files.iter().zip(named) {
        let mut judge = Judge::of(book, file, named)?;
        hidden::scan(file, judge.languages, &mut hits);
        mocked::scan(file, judge.languages, &mut hits);
        if named.is_test {
            stubbed::scan(file, &mut hits);
            shadowed::scan(file, &mut hits);
        }
        settings::scan(file, &mut hits);
        judge.read()?;
        hits.append(&mut judge.hits);
    }
    expected::scan(input, named, &mut hits);
    let everywhere = book.loose();
    for (file, named) in input.files.iter().zip(named) {
        let new = file.section.path();
        let old = file.section.old_path.as_deref().unwrap_or_default();
        if !named.says_something && (old.is_empty() || old == new) {
            continue;
        }
        for name in [new, old, &naming::words(new)] {
            let found = in_loose_text(book, &everywhere, name, &file.path)?;
            hits.extend(
                found
                    .into_iter()
                    .map(|hit| hit.showing("in the file's name")),
            );
        }
    }
    for text in &input.around {
        let shown = "the text around the patch";
        hits.extend(in_loose_text(book, &everywhere, text, shown)?);
    }
    Ok(hits)
}

/// What the rules that read every file find in a text that lies in none.
pub(crate) fn in_loose_text(
    book: &RuleBook<'_>,
    table: &Table,
    text: &[u8],
    shown: &str,
) -> Result<Vec<Hit>, Problem> {
    let mut hits = Vec::new();
    if text.is_empty() {
        return Ok(hits);
    }
    for (number, window) in book.windows(table, text) {
        let Some(rule) = book.rule(number) else {
            continue;
        };
        rule.each(text, &window, all, |found| {
            let place = Place {
                path: b"",
                matched: text.get(found.range.clone()).unwrap_or_default(),
                secret: found.secret,
                line: text,
            };
            if !counts(book, rule, &place)? {
                return Ok(ControlFlow::Continue(()));
            }
            let excerpt = match rule.kind() {
                RiskKind::Secret => mask(found.secret),
                _ => shorten(place.matched),
            };
            hits.push(Hit::of_rule(rule, shown, excerpt));
            Ok(ControlFlow::Break(()))
        })?;
    }
    Ok(hits)
}

/// Whether a match of a rule stands: a secret must be random enough and on no allowlist.
pub(crate) fn counts(
    book: &RuleBook<'_>,
    rule: &Rule<'_>,
    place: &Place<'_>,
) -> Result<bool, Problem> {
    match &rule.source {
        Source::Policy(_) => Ok(true),
        Source::Secret(secret) => secret.counts(place, &book.allowlists),
    }
}

/// The text, short and safe to show.
pub(crate) fn shorten(matched: &[u8]) -> String {
    let shown = String::from_utf8_lossy(matched);
    let shown = shown.trim();
    shown
        .chars()
        .flat_map(char::escape_debug)
        .take(EXCERPT)
        .collect()
}

/// The first four characters at the most, and how many there are.
pub(crate) fn mask(secret: &[u8]) -> String {
    let secret = String::from_utf8_lossy(secret);
    let length = secret.chars().count();
    let kept = secret.chars().take((length / 4).min(4));
    let kept: String = kept.flat_map(char::escape_debug).collect();
    format!("{kept}… ({length} characters)")
}

/// What the rules find in the words of a task, or of anything else that comes from outside.
///
/// # Errors
/// `POLICY_EXAMPLE`, `POLICY_INVALID`, `SECRET_RULES_INVALID`.
pub fn judge_text(book: &RuleBook<'_>, called: &str, text: &str) -> Result<Vec<Finding>, Problem> {
    let everywhere = book.table_of(&[
        RiskKind::Secret,
        RiskKind::Instruction,
        RiskKind::Payload,
        RiskKind::Hidden,
    ]);
    let mut hits = in_loose_text(book, &everywhere, text.as_bytes(), called)?;
    let orders = book.table_of(&[RiskKind::Instruction]);
    let read = flowed(text.lines().map(str::as_bytes));
    let again = in_loose_text(book, &orders, &read, called)?.into_iter();
    let known: Vec<String> = hits.iter().map(|hit| hit.rule.clone()).collect();
    hits.extend(again.filter(|hit| !known.contains(&hit.rule)));
    for (id, excerpt) in hidden::in_text(text) {
        let message = checks::built_in(id).about;
        hits.push(Hit::built_in(id, called, message).showing(excerpt));
    }
    hits.retain(|hit| hit.kind != HitKind::Note && hit.severity >= Severity::Medium);
    Ok(hits.iter().map(Hit::finding).collect())
}
