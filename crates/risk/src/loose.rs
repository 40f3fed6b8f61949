//! Texts that lie in no file: names, the words around a patch, what a task says.

use std::ops::ControlFlow;

use baton_core::envelope::{Finding, Severity};
use baton_core::policy::RiskKind;
use baton_core::problem::Problem;

use crate::book::RuleBook;
use crate::checks::{self, HitKind};
use crate::hidden;
use crate::hit::{Hit, mask, shorten};
use crate::keyword::Table;
use crate::language::flowed::flowed;
use crate::rule::all;
use crate::rule::secret::Place;

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
            if !rule.counts(&place, &book.allowlists)? {
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
