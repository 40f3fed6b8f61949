//! The risk rules that baton comes with, taken apart while it was built.
//!
//! Nearly every rule of nearly every policy is one of them, letter for letter. Such a rule is told by its
//! text and needs no reading; any other is read like the rest of the policy.

use std::borrow::Cow;
use std::ops::Range;

use super::{RiskKind, RiskRule, Side, Texts, Where};
use crate::envelope::Severity;

/// One rule, by where its parts lie.
struct Known {
    /// Where its text ends in [`JSON`].
    json: u32,
    kind: RiskKind,
    severity: Severity,
    side: Side,
    comments: bool,
    has_except: bool,
    /// In [`TEXT`]: where id, pattern, exception, reason, languages, globs, keywords, matches and what is
    /// not to match begin, and where the last ends.
    parts: [u32; 10],
    /// In [`ENDS`]: the same of the lists.
    lists: [u32; 6],
}

/// The rules as they stand in `POLICY.json`, one behind the other.
static JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/known.json"));
/// The texts of the rules.
static TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/known.txt"));
include!(concat!(env!("OUT_DIR"), "/known.rs"));

/// How many there are.
pub(super) const COUNT: usize = ROWS.len();

/// Whether a rule is one of the shipped ones, in every field.
pub(super) fn has(rule: &RiskRule) -> bool {
    let same_id = |row: &&Known| row.text(0) == rule.id;
    let shipped = ROWS.iter().find(same_id).map(Known::rule);
    shipped.is_some_and(|shipped| shipped == *rule)
}

/// The rule of the shipped ones that a text begins with, and how long it is there; `next` is the one that
/// is likely, the one behind the last.
pub(super) fn at(text: &str, next: usize) -> Option<(usize, usize)> {
    let begins = |number: &usize| json(*number).is_some_and(|rule| text.starts_with(rule));
    let (behind, before) = (next..ROWS.len(), 0..next.min(ROWS.len()));
    let number = behind.chain(before).find(begins)?;
    Some((number, json(number)?.len()))
}

fn json(number: usize) -> Option<&'static str> {
    let before = number.checked_sub(1).and_then(|before| ROWS.get(before));
    let start = before.map_or(0, |row| row.json);
    JSON.get(start as usize..ROWS.get(number)?.json as usize)
}

/// One of the rules.
pub(super) fn rule(number: usize) -> Option<RiskRule> {
    ROWS.get(number).map(Known::rule)
}

impl Known {
    fn rule(&self) -> RiskRule {
        let text = |number| Cow::Borrowed(self.text(number));
        RiskRule {
            id: text(0),
            kind: self.kind,
            severity: self.severity,
            place: Where {
                languages: self.list(0),
                globs: self.list(1),
            },
            side: self.side,
            comments: self.comments,
            keywords: self.list(2),
            pattern: text(1),
            except: self.has_except.then(|| text(2)),
            reason: text(3),
            matches: self.list(3),
            no_match: self.list(4),
        }
    }

    fn text(&self, number: usize) -> &'static str {
        TEXT.get(between(&self.parts, number)).unwrap_or_default()
    }

    /// A list; they stand behind the four texts.
    fn list(&self, number: usize) -> Texts {
        let ends = ENDS.get(between(&self.lists, number));
        Texts::of_static(self.text(4 + number), ends.unwrap_or_default())
    }
}

fn between(borders: &[u32], number: usize) -> Range<usize> {
    let border = |number: usize| borders.get(number).map_or(0, |border| *border as usize);
    border(number)..border(number + 1)
}
