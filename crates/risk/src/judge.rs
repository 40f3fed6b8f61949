//! Judges one file: what a change adds to it.

mod called;
mod kept;
mod removed;
mod text;

mod newcomer;
mod prose;
mod worth;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range, RangeInclusive};
use std::rc::Rc;

use baton_core::policy::{RiskKind, Side};
use baton_core::problem::Problem;

use crate::book::RuleBook;
use crate::glue::{self, Joined, Manner};
use crate::hit::Hit;
use crate::hit::{mask, shorten};
use crate::input::ScanFile;
use crate::judge::called::{Called, line_at, new_number};
use crate::judge::removed::Losing;
use crate::judge::text::ChangedText;
use crate::keyword::{AROUND, Table};
use crate::language::Languages;
use crate::language::comment::{Comments, comment_in, word_of};
use crate::language::encoding::odd_encoding;
use crate::loose::in_loose_text;
use crate::places::named::Named;
use crate::rule::rule_set::RuleSet;
use crate::rule::secret::Place;
use crate::rule::{Found, Rule, all};
use baton_patch::{Hunk, LineKind, SideText};
use worth::{Grade, Spared};

/// To say what stands above a line may take reading all of a file, so that is done so many times in one.
const MOST_LOOKS: usize = 200;
/// Judges one file.
pub(crate) struct Judge<'j, 'p> {
    pub(crate) book: &'j RuleBook<'p>,
    pub(crate) file: &'j ScanFile<'j>,
    pub(crate) languages: Languages,
    /// The languages whose comments are left out; none where a declared encoding may make code of them.
    commented: Languages,
    table: Rc<Table>,
    pub(crate) hits: Vec<Hit>,
    /// How many real matches each rule has, and how many that are let off.
    counted: Vec<(usize, usize, usize)>,
    /// The names that rules for dependencies find in the old text, by the rule.
    before: RefCell<HashMap<String, Rc<HashSet<Vec<u8>>>>>,
    /// How often it was asked what stands above a line.
    looks: Cell<usize>,
    /// Whether what is judged is put together from the pieces of lines that were judged as they stand.
    is_put_together: bool,
}

impl<'j, 'p> Judge<'j, 'p> {
    /// # Errors
    /// What a rule is refused for.
    pub(crate) fn of(
        book: &'j RuleBook<'p>,
        file: &'j ScanFile<'j>,
        named: &Named<'p>,
    ) -> Result<Self, Problem> {
        let languages = file.languages(named.languages);
        let path = file.section.path();
        let decodes = odd_encoding(file, languages).is_some();
        Ok(Self {
            book,
            file,
            languages,
            commented: if decodes {
                Languages::default()
            } else {
                languages
            },
            table: named.table(book, path, languages)?,
            hits: Vec::new(),
            counted: Vec::new(),
            before: RefCell::default(),
            looks: Cell::default(),
            is_put_together: false,
        })
    }

    /// Reads the file as far as it is in sight.
    ///
    /// # Errors
    /// What a rule is refused for.
    pub(crate) fn read(&mut self) -> Result<(), Problem> {
        if let Some(binary) = self.file.binary() {
            return self.binary(binary);
        }
        let mut losing = Vec::new();
        let decodes = self.commented != self.languages;
        let manner = Manner::of(self.file.section.hunks(), self.languages, decodes);
        for hunk in self.file.section.hunks() {
            let called = Called::of(self.book, &self.table, hunk);
            for (number, start) in &called.lines {
                if let Some(rule) = self.book.rule(*number) {
                    self.rule_on_line(*number, rule, hunk, *start)?;
                }
            }
            if self.file.new.is_none() && hunk.insertions > 0 {
                self.several(hunk, &called.several)?;
            }
            losing.extend(Losing::of(self.book, hunk, &called));
            self.is_put_together = true;
            self.joined(hunk, &manner)?;
            self.is_put_together = false;
            self.prose(hunk)?;
        }
        if let Some(whole) = &self.file.new {
            let text = ChangedText::whole(whole, self.file.section);
            let windows = self.book.windows(&self.table, text.bytes());
            self.added(&text, windows)?;
        }
        self.removed(&losing)
    }

    /// What rules that reach over lines find in the lines of a hunk.
    fn several(&mut self, hunk: &Hunk<'_>, called: &RuleSet) -> Result<(), Problem> {
        let may_match = |number: &usize| {
            let rule = self.book.rule(*number);
            rule.is_some_and(|rule| {
                rule.side() == Side::Added && rule.may_match_in_lines(hunk.raw())
            })
        };
        let numbers: Vec<usize> = called.numbers().filter(may_match).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let text = ChangedText::new(hunk.new_text());
        let whole = 0..text.bytes().len();
        let windows = numbers.into_iter().map(|rule| (rule, whole.clone()));
        self.added(&text, windows.collect())
    }

    /// What the rules find once the pieces of added texts are put together. A rule that found the
    /// file already has nothing new to say; nor has one in lines that stand so in the patch.
    fn joined(&mut self, hunk: &Hunk<'_>, manner: &Manner<'_>) -> Result<(), Problem> {
        for Joined { pieces, line } in glue::joined(hunk, manner) {
            let text = |changed, text| {
                ChangedText::new(SideText {
                    first_line: line,
                    changed,
                    text,
                })
            };
            let changed = pieces.changed_lines();
            let every = vec![true; changed.len()];
            let all = OnceCell::new();
            let text_of_all = || all.get_or_init(|| text(every.clone(), pieces.text.clone()));
            let changed = text(changed, pieces.text.clone());
            let lines = changed.around_changes();
            for (number, window) in self.book.windows(&self.table, &pieces.text) {
                let is_new = self.counted_of(number).0 == 0;
                let rule = self.book.rule(number).filter(|_| is_new);
                let Some(rule) = rule.filter(|rule| rule.side() == Side::Added) else {
                    continue;
                };
                if rule.is_loose() {
                    // Its keyword may be what was put together, and its match stand elsewhere.
                    self.rule_on(number, rule, text_of_all(), &window)?;
                } else if rule.stays_in_line() {
                    for lines in &lines {
                        self.rule_on(number, rule, &changed, lines)?;
                    }
                } else {
                    self.rule_on(number, rule, &changed, &window)?;
                }
            }
        }
        Ok(())
    }

    /// What the rules that reach over lines find in the added ones.
    fn added(
        &mut self,
        text: &ChangedText,
        windows: Vec<(usize, Range<usize>)>,
    ) -> Result<(), Problem> {
        for (number, window) in windows {
            let rule = self.book.rule(number);
            let rule = rule.filter(|rule| rule.side() == Side::Added && !rule.stays_in_line());
            if let Some(rule) = rule {
                self.rule_on(number, rule, text, &window)?;
            }
        }
        Ok(())
    }

    /// What a rule that stays in a line finds in one that is added, which starts at this place of the
    /// hunk.
    fn rule_on_line(
        &mut self,
        number: usize,
        rule: &Rule<'p>,
        hunk: &Hunk<'_>,
        start: usize,
    ) -> Result<(), Problem> {
        let line = line_at(hunk.raw(), start);
        let mut spared = Spared::default();
        let mut comment = None;
        rule.each(line, &(0..line.len()), all, |found| {
            if !rule.reads_comments() {
                let comment = comment.get_or_insert_with(|| self.comment_in(line, hunk, start));
                if comment.contains(&word_of(line, found.range.start)) {
                    return Ok(ControlFlow::Continue(()));
                }
            }
            let place = Place {
                path: self.file.section.path(),
                matched: line.get(found.range.clone()).unwrap_or_default(),
                secret: found.secret,
                line,
            };
            let at = || new_number(hunk, start);
            let found = (&found, found.range.clone());
            self.take(number, rule, (found, &place), &mut spared, at)
        })
    }

    /// The part of a line that is surely a comment. What stands above is looked at so many times in one
    /// file; then whatever depends on it is code.
    fn comment_in(&self, line: &[u8], hunk: &Hunk<'_>, start: usize) -> Range<usize> {
        let is_known = Cell::new(true);
        let comment = comment_in(line, self.commented, || {
            let looks = self.looks.get();
            self.looks.set(looks + 1);
            is_known.set(looks < MOST_LOOKS);
            match is_known.get() {
                true => self.above(hunk, start),
                false => Cow::Borrowed(&[]),
            }
        });
        if is_known.get() { comment } else { 0..0 }
    }

    /// What stands above a line in the new file, as far as it is in sight.
    fn above(&self, hunk: &Hunk<'_>, start: usize) -> Cow<'_, [u8]> {
        let number = new_number(hunk, start);
        if let Some(whole) = &self.file.new {
            let mut ends = memchr::memchr_iter(b'\n', whole);
            let end = number.checked_sub(2).and_then(|at| ends.nth(at));
            return Cow::Borrowed(
                whole
                    .get(..end.map_or(0, |end| end + 1))
                    .unwrap_or_default(),
            );
        }
        let new = hunk.lines().filter(|line| line.kind != LineKind::Removed);
        let above = new.take_while(|line| line.new_number < number);
        above
            .flat_map(|line| [line.text, b"\n"])
            .collect::<Vec<_>>()
            .concat()
            .into()
    }

    fn rule_on(
        &mut self,
        number: usize,
        rule: &Rule<'p>,
        text: &ChangedText,
        window: &Range<usize>,
    ) -> Result<(), Problem> {
        // Many places may stand in one long line, which is judged once.
        let mut judged: Option<(RangeInclusive<usize>, Spared)> = None;
        let is_wanted = |place: &Range<usize>| text.touches_change(place);
        let mut comments = Comments::of(text.bytes(), self.commented);
        rule.each(text.bytes(), window, is_wanted, |found| {
            let lines = text.lines_of(found.range.clone());
            if !rule.reads_comments() && comments.hold(found.range.start) {
                return Ok(ControlFlow::Continue(()));
            }
            let place = Place {
                path: self.file.section.path(),
                matched: text.bytes().get(found.range.clone()).unwrap_or_default(),
                secret: found.secret,
                line: text.text_of(&lines),
            };
            let known = judged.take().filter(|(same, _)| *same == lines);
            let mut spared = known.map(|(_, spared)| spared).unwrap_or_default();
            let first = || text.first_changed(&lines).unwrap_or(*lines.start());
            let start = text.start_of(&lines);
            let within = found.range.start - start..found.range.end - start;
            let found = (&found, within);
            let flow = self.take(number, rule, (found, &place), &mut spared, first);
            judged = Some((lines, spared));
            flow
        })
    }

    fn hit(
        &self,
        rule: &Rule<'_>,
        found: &Found<'_>,
        place: &Place<'_>,
        grade: Grade,
    ) -> Result<Option<Hit>, Problem> {
        let path = &self.file.path;
        if rule.kind() == RiskKind::Secret {
            let excerpt = mask(found.secret);
            return Ok(Some(match grade {
                Grade::Real => Hit::of_rule(rule, path, excerpt),
                _ => Hit::built_in("SECRET_ALLOWED", path, rule.reason()).showing(excerpt),
            }));
        }
        let note = match (rule.kind(), grade) {
            (RiskKind::ExternalIo, Grade::Spared) => "REACH_EXCEPTED",
            (_, Grade::Spared) => return Ok(None),
            (RiskKind::ExternalIo, Grade::Kept) => "REACH_KEPT",
            (RiskKind::Dependency, _) => {
                let excerpt = self.excerpt(place)?;
                return Ok(Some(self.dependency(rule, found, grade, excerpt)));
            }
            _ => return Ok(Some(Hit::of_rule(rule, path, self.excerpt(place)?))),
        };
        let hit = Hit::built_in(note, path, rule.reason());
        Ok(Some(hit.showing(self.excerpt(place)?)))
    }

    /// The matched text, shortened and escaped; withheld when a secret stands in the lines around, of which a
    /// long one is read as far as a secret reaches.
    fn excerpt(&self, place: &Place<'_>) -> Result<String, Problem> {
        let secrets = self.book.secrets();
        let at = memchr::memmem::find(place.line, place.matched).unwrap_or(0);
        let around =
            at.saturating_sub(AROUND)..place.line.len().min(at + place.matched.len() + AROUND);
        let around = place.line.get(around).unwrap_or(place.line);
        if in_loose_text(self.book, &secrets, around, "")?.is_empty() {
            return Ok(shorten(place.matched));
        }
        Ok("withheld: a secret stands in the same lines".to_owned())
    }

    /// What the rules find in a binary. Text in UTF-16 is binary to git; without its NUL bytes it
    /// reads like any other.
    fn binary(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        // What is larger than any file may be is refused for that.
        let most = usize::try_from(self.book.policy.caps.max_file_bytes).unwrap_or(usize::MAX);
        let bytes = bytes.get(..most).unwrap_or(bytes);
        let narrow: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        let mut seen = HashSet::new();
        for text in [bytes, &narrow] {
            for (number, window) in self.book.windows(&self.table, text) {
                let Some(rule) = self.book.rule(number) else {
                    continue;
                };
                if rule.side() == Side::Removed || seen.contains(&number) {
                    continue;
                }
                rule.each(text, &window, all, |found| {
                    let matched = text.get(found.range.clone()).unwrap_or_default();
                    let place = Place {
                        path: self.file.section.path(),
                        matched,
                        secret: found.secret,
                        line: matched,
                    };
                    if !rule.counts(&place, &self.book.allowlists)? {
                        return Ok(ControlFlow::Continue(()));
                    }
                    seen.insert(number);
                    self.hits
                        .extend(self.hit(rule, &found, &place, Grade::Real)?);
                    Ok(ControlFlow::Break(()))
                })?;
            }
        }
        Ok(())
    }
}
