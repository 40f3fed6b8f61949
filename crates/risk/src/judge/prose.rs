//! Sentences of prose and comments, read over the ends of their lines.

use std::ops::{ControlFlow, Range};

use baton_core::policy::{RiskKind, Side};
use baton_core::problem::Problem;
use baton_patch::{Hunk, LineKind};

use super::Judge;
use super::worth::Spared;
use crate::hit::Hit;
use crate::hit::shorten;
use crate::language::flowed::flowed;
use crate::rule::{Rule, all};

/// What a line of code begins with that is words for readers.
const MARKS: &[u8] = b"#/*-;%\"'<";
/// So many lines are read at once.
const MOST: usize = 1000;
/// So many matches of a rule in a text may be excepted.
const MOST_ASKED: usize = 100;

impl Judge<'_, '_> {
    /// What the rules for texts that give orders find in sentences that go on in the next line. A rule that
    /// found something as the lines stand has nothing new to say.
    ///
    /// # Errors
    /// What a rule is refused for.
    pub(super) fn prose(&mut self, hunk: &Hunk<'_>) -> Result<(), Problem> {
        let is_code = self.languages.is_code();
        let is_said = |line: &[u8]| {
            let first = line.trim_ascii_start().first();
            first.is_some_and(|first| !is_code || MARKS.contains(first))
        };
        let mut run: Vec<(usize, &[u8])> = Vec::new();
        let lines = hunk.lines().filter(|line| line.kind != LineKind::Removed);
        for line in lines {
            let is_part = line.kind == LineKind::Added && is_said(line.text);
            // A part at a time, for a run may be all of a large change; a sentence over the end of a part is
            // heard in neither.
            if !is_part || run.len() == MOST {
                self.sentences(&run)?;
                run.clear();
            }
            if is_part {
                run.push((line.new_number, line.text));
            }
        }
        self.sentences(&run)
    }

    fn sentences(&mut self, run: &[(usize, &[u8])]) -> Result<(), Problem> {
        let Some((first, line)) = run.first() else {
            return Ok(());
        };
        // One line of plain letters was read as it stands.
        if run.len() == 1 && line.is_ascii() {
            return Ok(());
        }
        let text = flowed(run.iter().map(|(_, line)| *line));
        for (number, window) in self.book.windows(&self.table, &text) {
            let rule = self
                .book
                .rule(number)
                .filter(|rule| rule.kind() == RiskKind::Instruction && rule.side() == Side::Added);
            let Some(rule) = rule.filter(|_| self.counted_of(number) == (0, 0)) else {
                continue;
            };
            if let Some(found) = self.order(rule, &text, &window)? {
                let before = text.get(..found.start).unwrap_or_default();
                let pair = before.iter().filter(|byte| **byte == b'\n').count();
                let line = run.get(pair).map_or(*first, |(line, _)| *line);
                let excerpt = shorten(text.get(found).unwrap_or_default());
                let hit = Hit::of_rule(rule, &self.file.path, excerpt);
                self.hits.push(hit.at(line));
            }
        }
        Ok(())
    }

    /// The first match of a rule that no exception speaks for. So many are asked; one more than these stands.
    fn order(
        &self,
        rule: &Rule<'_>,
        text: &[u8],
        window: &Range<usize>,
    ) -> Result<Option<Range<usize>>, Problem> {
        let (mut first, mut asked) = (None, 0);
        rule.each(text, window, all, |found| {
            let head = text.get(..found.range.start).unwrap_or_default();
            let start = memchr::memrchr(b'\n', head).map_or(0, |end| end + 1);
            let rest = text.get(found.range.end..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest).map_or(text.len(), |end| found.range.end + end);
            let lines = text.get(start..end).unwrap_or_default();
            let within = found.range.start - start..found.range.end - start;
            asked += 1;
            if asked <= MOST_ASKED
                && self.is_spared(rule, lines, &within, &mut Spared::default())?
            {
                return Ok(ControlFlow::Continue(()));
            }
            first = Some(found.range);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }
}
