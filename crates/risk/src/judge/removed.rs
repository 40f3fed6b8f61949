//! What goes away: a secret that was there for all to see, and checks that are lost.

use std::ops::{ControlFlow, Range};

use baton_core::policy::{RiskKind, Side};
use baton_core::problem::Problem;
use baton_patch::Hunk;

use crate::book::RuleBook;
use crate::hit::Hit;
use crate::hit::{mask, shorten};
use crate::judge::Judge;
use crate::judge::called::Called;
use crate::judge::text::ChangedText;
use crate::language::Languages;
use crate::language::comment::Comments;
use crate::rule::Rule;
use crate::rule::rule_set::RuleSet;
use crate::rule::secret::Place;

/// The old side of a hunk that removes something, and the rules of which it holds a keyword.
pub(crate) struct Losing {
    text: ChangedText,
    called: RuleSet,
    /// The only lines, counted from 0, in which a match of some of these rules may lie, each behind its
    /// rule.
    gone: Vec<(usize, usize)>,
}

impl Losing {
    /// None where no rule may find something that goes away.
    pub(crate) fn of(book: &RuleBook<'_>, hunk: &Hunk<'_>, called: &Called) -> Option<Self> {
        let gone = called.gone(hunk.raw());
        let mut wanted = RuleSet::default();
        for number in called.losing.numbers().filter(|_| hunk.deletions > 0) {
            let is_bound = || gone.iter().any(|(rule, _)| *rule == number);
            let rule = book.rule(number);
            if rule.is_some_and(|rule| is_bound() || rule.may_match_in_lines(hunk.raw())) {
                wanted.insert(number);
            }
        }
        (!wanted.is_empty()).then(|| Self {
            text: ChangedText::new(hunk.old_text()),
            gone,
            called: wanted,
        })
    }

    /// Whether a rule may find something here, told by the lines that it is bound to.
    fn may_match(&self, number: usize, rule: &Rule<'_>) -> Result<bool, Problem> {
        let own = self.gone.iter().filter(|(rule, _)| *rule == number);
        let mut own = own.map(|(_, line)| *line).peekable();
        if own.peek().is_none() {
            return Ok(true);
        }
        for line in own {
            let line = self.text.around_line(line);
            if rule.matches_within(self.text.bytes(), &line)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<'p> Judge<'_, 'p> {
    /// Judges what the file loses.
    ///
    /// # Errors
    /// What a rule is refused for.
    pub(crate) fn removed(&mut self, losing: &[Losing]) -> Result<(), Problem> {
        let mut called = RuleSet::default();
        losing.iter().for_each(|one| called.grow_by(&one.called));
        for number in called.numbers() {
            let Some(rule) = self.book.rule(number) else {
                continue;
            };
            let mut sides = Vec::new();
            for one in losing.iter().filter(|one| one.called.has(number)) {
                if one.may_match(number, rule)? {
                    sides.push(&one.text);
                }
            }
            match (rule.kind(), rule.side()) {
                (RiskKind::Secret, _) => self.secret_removed(rule, &sides)?,
                (_, Side::Removed) => self.check_lost(rule, &sides)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn secret_removed(&mut self, rule: &Rule<'p>, sides: &[&ChangedText]) -> Result<(), Problem> {
        for side in sides {
            let text = side.bytes();
            let mut hit = None;
            let is_wanted = |place: &Range<usize>| side.touches_change(place);
            rule.each(text, &(0..text.len()), is_wanted, |found| {
                let lines = side.lines_of(found.range.clone());
                let place = Place {
                    path: self.file.section.path(),
                    matched: text.get(found.range).unwrap_or_default(),
                    secret: found.secret,
                    line: side.text_of(&lines),
                };
                match side.first_changed(&lines) {
                    Some(line) if rule.counts(&place, &self.book.allowlists)? => {
                        hit = Some((line, mask(found.secret)));
                        Ok(ControlFlow::Break(()))
                    }
                    _ => Ok(ControlFlow::Continue(())),
                }
            })?;
            if let Some((line, excerpt)) = hit {
                let message = format!("a removed line held a secret ({})", rule.reason());
                let hit = Hit::in_file("SECRET_REMOVED", self.file, message);
                self.hits.push(hit.at(line).showing(excerpt));
                return Ok(());
            }
        }
        Ok(())
    }

    /// A finding where the file loses more matches than it gains; of a rule that judges numbers, where
    /// a limit is weaker than it was, or gone.
    fn check_lost(&mut self, rule: &Rule<'p>, sides: &[&ChangedText]) -> Result<(), Problem> {
        let mut lost = Vec::new();
        for side in sides {
            each_changed(rule, self.languages, side, |line, matched| {
                lost.push((line, matched.to_vec()));
            })?;
        }
        if lost.is_empty() {
            return Ok(());
        }
        let mut gained = Vec::new();
        for side in self.file.section.new_text().map(ChangedText::new) {
            let take = |_, matched: &[u8]| gained.push(matched.to_vec());
            each_changed(rule, self.languages, &side, take)?;
        }
        let message = match rule.limit()? {
            Some(limit) => {
                let weakest = limit.weakest(&gained);
                lost.retain(|(_, old)| !limit.is_kept(old, &weakest));
                rule.reason().to_owned()
            }
            None => {
                let (lost, gained) = (lost.len(), gained.len());
                format!("{} ({lost} gone, {gained} new)", rule.reason())
            }
        };
        let counts = rule.limit()?.is_some() || lost.len() > gained.len();
        if let Some((line, matched)) = lost.first().filter(|_| counts) {
            let hit = Hit::of_rule(rule, &self.file.path, shorten(matched)).at(*line);
            self.hits.push(Hit { message, ..hit });
        }
        Ok(())
    }
}

/// Hands over each match of a rule that touches a changed line.
fn each_changed(
    rule: &Rule<'_>,
    languages: Languages,
    side: &ChangedText,
    mut visit: impl FnMut(usize, &[u8]),
) -> Result<(), Problem> {
    let text = side.bytes();
    let is_wanted = |place: &Range<usize>| side.touches_change(place);
    let mut comments = Comments::of(text, languages);
    rule.each(text, &(0..text.len()), is_wanted, |found| {
        let lines = side.lines_of(found.range.clone());
        let is_said = !rule.reads_comments() && comments.hold(found.range.start);
        if let Some(line) = side.first_changed(&lines)
            && !is_said
            && !rule.excepts(side.text_of(&lines))?
        {
            visit(line, text.get(found.range).unwrap_or_default());
        }
        Ok(ControlFlow::Continue(()))
    })
}
