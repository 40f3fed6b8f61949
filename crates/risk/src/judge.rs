//! Judges one file: what a change adds to it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range, RangeInclusive};
use std::rc::Rc;

use baton_core::policy::{LANDING_PURPOSE, MODEL_PURPOSE, RiskKind, Side, WITNESS_PURPOSE};
use baton_core::problem::Problem;

use crate::book::RuleBook;
use crate::called::{Called, line_at, new_number};
use crate::comment::{Comments, comment_in, word_of};
use crate::content::{counts, in_loose_text, mask, shorten};
use crate::glue::{self, Joined, Manner};
use crate::hit::Hit;
use crate::input::ScanFile;
use crate::kept;
use crate::keyword::Table;
use crate::language::Languages;
use crate::named::Named;
use crate::removed::Losing;
use crate::rule::{Found, Rule, all};
use crate::rule_set::RuleSet;
use crate::secret::Place;
use crate::settings;
use crate::text::{self, ChangedText};
use baton_patch::{Hunk, LineKind, SideText};

/// How many hits one rule may have in one file; more say nothing new.
const MOST_PER_FILE: usize = 20;
/// To say what stands above a line may take reading all of a file, so that is done so many times in one.
const MOST_LOOKS: usize = 200;
/// A comment with this word on the line asks for a secret to be let through.
const ALLOW_COMMENT: &[u8] = b"gitleaks:allow";

/// Judges one file.
pub(crate) struct Judge<'j, 'p> {
    pub(crate) book: &'j RuleBook<'p>,
    pub(crate) file: &'j ScanFile<'j>,
    pub(crate) languages: Languages,
    table: Rc<Table>,
    pub(crate) hits: Vec<Hit>,
    /// How many hits each rule has, and how many of those were spared.
    counted: Vec<(usize, usize, usize)>,
    /// The names that rules for dependencies find in the old text, by the rule.
    before: RefCell<HashMap<String, Rc<HashSet<Vec<u8>>>>>,
    /// How often it was asked what stands above a line.
    looks: Cell<usize>,
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
        Ok(Self {
            book,
            file,
            languages,
            table: named.table(book, path, languages)?,
            hits: Vec::new(),
            counted: Vec::new(),
            before: RefCell::default(),
            looks: Cell::default(),
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
        let manner = Manner::of(self.file.section.hunks(), self.languages);
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
            self.joined(hunk, &manner)?;
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
                let is_new = self.counted.iter().all(|(known, ..)| *known != number);
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
        let mut spared = None;
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
            self.take(number, rule, (&found, &place), &mut spared, at)
        })
    }

    /// The part of a line that is surely a comment. What stands above is looked at so many times in one
    /// file; then whatever depends on it is code.
    fn comment_in(&self, line: &[u8], hunk: &Hunk<'_>, start: usize) -> Range<usize> {
        let is_known = Cell::new(true);
        let comment = comment_in(line, self.languages, || {
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
        let mut judged: Option<(RangeInclusive<usize>, Option<bool>)> = None;
        let is_wanted = |place: &Range<usize>| text.touches_change(place);
        let mut comments = Comments::of(text.bytes(), self.languages);
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
            let mut spared = judged
                .take()
                .filter(|(same, _)| *same == lines)
                .and_then(|(_, spared)| spared);
            let first = || text.first_changed(&lines).unwrap_or(*lines.start());
            let flow = self.take(number, rule, (&found, &place), &mut spared, first);
            judged = Some((lines, spared));
            flow
        })
    }

    /// Takes a match in, if it counts. What speaks for its lines is asked once for all their matches.
    fn take(
        &mut self,
        number: usize,
        rule: &Rule<'p>,
        (found, place): (&Found<'_>, &Place<'_>),
        spared: &mut Option<bool>,
        line: impl FnOnce() -> usize,
    ) -> Result<ControlFlow<()>, Problem> {
        if !counts(self.book, rule, place)? {
            return Ok(ControlFlow::Continue(()));
        }
        let is_spared = match *spared {
            Some(known) => known,
            None => *spared.insert(self.is_spared(rule, place.line)?),
        };
        let places = self.count(number, is_spared);
        if places <= MOST_PER_FILE {
            let hit = self.hit(rule, found, place, is_spared)?;
            self.hits.extend(hit.map(|hit| hit.at(line())));
        }
        Ok(if places >= MOST_PER_FILE && !is_spared {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// Counts a hit; a spared one never uses up the places of a real one.
    fn count(&mut self, rule: usize, spared: bool) -> usize {
        let known = self.counted.iter().position(|(number, ..)| *number == rule);
        let at = known.unwrap_or_else(|| {
            self.counted.push((rule, 0, 0));
            self.counted.len() - 1
        });
        let Some((_, real, excepted)) = self.counted.get_mut(at) else {
            return 0;
        };
        let count = if spared { excepted } else { real };
        *count += 1;
        *count
    }

    /// Whether something speaks for the lines around a match: an allow comment, an exception of the
    /// rule, or hosts that the policy excepts.
    fn is_spared(&self, rule: &Rule<'_>, lines: &[u8]) -> Result<bool, Problem> {
        match rule.kind() {
            RiskKind::Secret => {
                let allowed = self.book.policy.secret_rules.allow_comments;
                Ok(allowed
                    && lines
                        .windows(ALLOW_COMMENT.len())
                        .any(|part| part == ALLOW_COMMENT))
            }
            RiskKind::ExternalIo => {
                Ok(rule.excepts(lines)? || self.names_only_excepted_hosts(rule, lines)?)
            }
            RiskKind::Weakened => {
                Ok(rule.excepts(lines)? || settings::is_shortened(lines, self.file))
            }
            _ => rule.excepts(lines),
        }
    }

    /// Whether the lines name a host, every host that they name is excepted by the policy, and the
    /// rule finds no more places in them than there are hosts.
    fn names_only_excepted_hosts(&self, rule: &Rule<'_>, lines: &[u8]) -> Result<bool, Problem> {
        let exceptions = &self.book.policy.external_exceptions;
        if exceptions.is_empty() {
            return Ok(false);
        }
        let Some(hosts) = text::hosts(lines) else {
            return Ok(false);
        };
        // Where baton itself sends things is nothing that a change may name.
        let own = [LANDING_PURPOSE, MODEL_PURPOSE, WITNESS_PURPOSE];
        let known = |host: &String| {
            let mut named = exceptions.iter().filter(|one| one.host == *host);
            named.any(|one| !own.contains(&one.purpose.as_str()))
        };
        Ok(!hosts.is_empty() && hosts.iter().all(known) && rule.count(lines)? <= hosts.len())
    }

    fn hit(
        &self,
        rule: &Rule<'_>,
        found: &Found<'_>,
        place: &Place<'_>,
        spared: bool,
    ) -> Result<Option<Hit>, Problem> {
        let path = &self.file.path;
        if rule.kind() == RiskKind::Secret {
            let excerpt = mask(found.secret);
            return Ok(Some(match spared {
                true => Hit::built_in("SECRET_ALLOWED", path, rule.reason()).showing(excerpt),
                false => Hit::of_rule(rule, path, excerpt),
            }));
        }
        let excerpt = self.excerpt(place)?;
        Ok(match (rule.kind(), spared) {
            (RiskKind::ExternalIo, true) => {
                let hit = Hit::built_in("REACH_EXCEPTED", path, rule.reason());
                Some(hit.showing(excerpt))
            }
            (_, true) => None,
            (RiskKind::ExternalIo, false) if kept::stood_before(place, self.file.section) => {
                let hit = Hit::built_in("REACH_KEPT", path, rule.reason());
                Some(hit.showing(excerpt))
            }
            (RiskKind::Dependency, false) => Some(self.dependency(rule, found, excerpt)),
            (_, false) => Some(Hit::of_rule(rule, path, excerpt)),
        })
    }

    /// A dependency that comes in; one that the old text names in the same way is only changed.
    fn dependency(&self, rule: &Rule<'_>, found: &Found<'_>, excerpt: String) -> Hit {
        let name = String::from_utf8_lossy(found.name.unwrap_or_default());
        let name: String = name
            .chars()
            .flat_map(char::escape_debug)
            .take(100)
            .collect();
        let raw = found.name.unwrap_or_default();
        let hit = match self.names_before(rule).contains(raw) || self.takes_away(raw) {
            true => Hit::built_in("DEPENDENCY_CHANGED", &self.file.path, "was there before"),
            false => Hit::of_rule(rule, &self.file.path, String::new()),
        };
        let message = format!("{name}: {}", hit.message);
        Hit { message, ..hit }.showing(excerpt)
    }

    /// Whether a removed line holds this name as a word of its own: a list that is written in another
    /// way brings nothing in.
    fn takes_away(&self, name: &[u8]) -> bool {
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./".contains(byte);
        let stands_alone = |line: &[u8], at: usize| {
            let before = at.checked_sub(1).and_then(|at| line.get(at));
            let after = line.get(at + name.len());
            before.is_none_or(|byte| !inner(byte)) && after.is_none_or(|byte| !inner(byte))
        };
        let mut removed = self.file.section.removed_text();
        !name.is_empty()
            && removed.any(|(_, line)| {
                let mut places = memchr::memmem::find_iter(line, name);
                places.any(|at| stands_alone(line, at))
            })
    }

    /// The names that a rule for dependencies finds in the old text, as far as it is in sight.
    fn names_before(&self, rule: &Rule<'_>) -> Rc<HashSet<Vec<u8>>> {
        if let Some(known) = self.before.borrow().get(rule.id()) {
            return Rc::clone(known);
        }
        let names = Rc::new(self.read_names_before(rule));
        let mut before = self.before.borrow_mut();
        before.insert(rule.id().to_owned(), Rc::clone(&names));
        names
    }

    fn read_names_before(&self, rule: &Rule<'_>) -> HashSet<Vec<u8>> {
        let mut names = HashSet::new();
        let mut look = |text: &[u8]| {
            let gather = |found: Found<'_>| {
                names.extend(found.name.map(<[u8]>::to_vec));
                Ok(ControlFlow::Continue(()))
            };
            // What cannot be read names nothing.
            drop(rule.each(text, &(0..text.len()), all, gather));
        };
        match &self.file.old {
            Some(old) => look(old),
            None => self
                .file
                .section
                .old_text()
                .for_each(|side| look(&side.text)),
        }
        names
    }

    /// The matched text, shortened and escaped; withheld when a secret stands in the lines around.
    fn excerpt(&self, place: &Place<'_>) -> Result<String, Problem> {
        let secrets = self.book.secrets();
        if in_loose_text(self.book, &secrets, place.line, "")?.is_empty() {
            return Ok(shorten(place.matched));
        }
        Ok("withheld: a secret stands in the same lines".to_owned())
    }

    /// What the rules find in a binary. Text in UTF-16 is binary to git; without its NUL bytes it
    /// reads like any other.
    fn binary(&mut self, bytes: &[u8]) -> Result<(), Problem> {
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
                    if !counts(self.book, rule, &place)? {
                        return Ok(ControlFlow::Continue(()));
                    }
                    seen.insert(number);
                    self.hits.extend(self.hit(rule, &found, &place, false)?);
                    Ok(ControlFlow::Break(()))
                })?;
            }
        }
        Ok(())
    }
}
