//! What a change adds and takes away, judged by the rules that read text.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range, RangeInclusive};

use baton_core::envelope::Severity;
use baton_core::policy::{RiskKind, Side};
use baton_core::problem::Problem;
use baton_patch::Hunk;

use crate::book::{RuleBook, RuleSet};
use crate::checks::HitKind;
use crate::comment::begins_in_comment;
use crate::hidden;
use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput};
use crate::language::Languages;
use crate::places::Matched;
use crate::rule::{Found, Rule, Source};
use crate::secret::Place;
use crate::text::{self, ChangedText};

/// How many hits one rule may have in one file; more say nothing new.
const MOST_PER_FILE: usize = 20;
/// The longest excerpt, in characters.
const EXCERPT: usize = 120;
/// A comment with this word on the line asks for a secret to be let through.
const ALLOW_COMMENT: &[u8] = b"gitleaks:allow";
/// Kinds that also judge text which lies in no file: names, mails, the words of a task.
const EVERYWHERE: [RiskKind; 2] = [RiskKind::Secret, RiskKind::Instruction];

/// Finds everything that the text tells.
pub(crate) fn scan(
    input: &ScanInput<'_>,
    matched: &[Matched<'_>],
    book: &RuleBook<'_>,
) -> Result<Vec<Hit>, Problem> {
    let mut hits = Vec::new();
    let mut called = RuleSet::default();
    for (file, matched) in input.files.iter().zip(matched) {
        let mut judge = Judge::of(book, file, matched);
        hidden::scan(file, judge.languages, &mut hits);
        judge.read(&mut called)?;
        hits.append(&mut judge.hits);
    }
    let everywhere = book.of_kinds(&EVERYWHERE);
    for file in &input.files {
        let old = file.section.old_path.as_deref().unwrap_or_default();
        for name in [file.section.path(), old] {
            book.called(name, &everywhere, &mut called);
            if called.is_empty() {
                continue;
            }
            let found = in_loose_text(book, &everywhere, name, &file.path)?;
            hits.extend(found.into_iter().map(|hit| hit.showing("in the file's name")));
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
    fits: &RuleSet,
    text: &[u8],
    shown: &str,
) -> Result<Vec<Hit>, Problem> {
    let mut hits = Vec::new();
    if text.is_empty() {
        return Ok(hits);
    }
    for (number, window) in book.windows(text, fits) {
        let Some(rule) = book.rule(number) else {
            continue;
        };
        rule.each(text, &window, |found| {
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
fn counts(book: &RuleBook<'_>, rule: &Rule<'_>, place: &Place<'_>) -> Result<bool, Problem> {
    match &rule.source {
        Source::Policy(_) => Ok(true),
        Source::Secret(secret) => secret.counts(place, &book.allowlists),
    }
}

/// Judges one file.
struct Judge<'j, 'p> {
    book: &'j RuleBook<'p>,
    file: &'j ScanFile<'j>,
    languages: Languages,
    fits: RuleSet,
    hits: Vec<Hit>,
    /// How many hits each rule has, and how many of those were spared.
    counted: Vec<(usize, usize, usize)>,
}

impl<'j, 'p> Judge<'j, 'p> {
    fn of(book: &'j RuleBook<'p>, file: &'j ScanFile<'j>, matched: &Matched<'_>) -> Self {
        let languages = file.languages();
        Self {
            book,
            file,
            languages,
            fits: book.fitting(file.section.path(), matched, languages),
            hits: Vec::new(),
            counted: Vec::new(),
        }
    }

    fn read(&mut self, called: &mut RuleSet) -> Result<(), Problem> {
        if let Some(binary) = self.file.binary() {
            return self.binary(binary);
        }
        let hunks = self.file.section.hunks();
        let mut wanted = Vec::new();
        let mut losing = RuleSet::default();
        for hunk in hunks {
            self.book.called(hunk.raw(), &self.fits, called);
            if called.is_empty() {
                continue;
            }
            if self.file.new.is_none() && hunk.insertions > 0 {
                let text = ChangedText::new(hunk.new_text());
                let windows = self.book.windows_of(text.bytes(), &self.fits, called);
                self.added(&text, windows)?;
            }
            if hunk.deletions > 0 || !losing.is_empty() {
                wanted.push(hunk);
                losing.grow_by(called);
            }
        }
        if let Some(whole) = &self.file.new {
            let text = ChangedText::whole(whole, self.file.section);
            let windows = self.book.windows(text.bytes(), &self.fits);
            self.added(&text, windows)?;
        }
        self.removed(hunks, &wanted, &losing)
    }

    /// What the rules find in the added lines.
    fn added(
        &mut self,
        text: &ChangedText,
        windows: Vec<(usize, Range<usize>)>,
    ) -> Result<(), Problem> {
        for (number, window) in windows {
            let rule = self.book.rule(number);
            if let Some(rule) = rule.filter(|rule| rule.side() == Side::Added) {
                self.rule_on(number, rule, text, &window)?;
            }
        }
        Ok(())
    }

    fn rule_on(
        &mut self,
        number: usize,
        rule: &Rule<'p>,
        text: &ChangedText,
        window: &Range<usize>,
    ) -> Result<(), Problem> {
        // Many places may stand in one long line, which is judged once.
        let mut judged: Option<(RangeInclusive<usize>, bool)> = None;
        rule.each(text.bytes(), window, |found| {
            let lines = text.lines_of(found.range.clone());
            let Some(line) = text.first_changed(&lines) else {
                return Ok(ControlFlow::Continue(()));
            };
            let at = found.range.start;
            if !rule.reads_comments() && begins_in_comment(text.bytes(), at, self.languages) {
                return Ok(ControlFlow::Continue(()));
            }
            let around = text.text_of(&lines);
            let place = Place {
                path: self.file.section.path(),
                matched: text.bytes().get(found.range.clone()).unwrap_or_default(),
                secret: found.secret,
                line: around,
            };
            if !counts(self.book, rule, &place)? {
                return Ok(ControlFlow::Continue(()));
            }
            let spared = match judged.take() {
                Some((same, spared)) if same == lines => spared,
                _ => self.is_spared(rule, around)?,
            };
            judged = Some((lines.clone(), spared));
            let places = self.count(number, spared);
            if places <= MOST_PER_FILE {
                let hit = self.hit(rule, &found, &place, spared)?;
                self.hits.extend(hit.map(|hit| hit.at(line)));
            }
            Ok(if places >= MOST_PER_FILE && !spared {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
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
                Ok(allowed && lines.windows(ALLOW_COMMENT.len()).any(|part| part == ALLOW_COMMENT))
            }
            RiskKind::ExternalIo => {
                Ok(rule.excepts(lines)? || self.names_only_excepted_hosts(rule, lines)?)
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
        let known = |host: &String| exceptions.iter().any(|one| one.host == *host);
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
            (RiskKind::Dependency, false) => Some(self.dependency(rule, found, excerpt)),
            (_, false) => Some(Hit::of_rule(rule, path, excerpt)),
        })
    }

    /// A dependency that comes in; one that the old text names in the same way is only changed.
    fn dependency(&self, rule: &Rule<'_>, found: &Found<'_>, excerpt: String) -> Hit {
        let name = String::from_utf8_lossy(found.name.unwrap_or_default());
        let name: String = name.chars().flat_map(char::escape_debug).take(100).collect();
        let hit = match self.names_before(rule).contains(found.name.unwrap_or_default()) {
            true => Hit::built_in("DEPENDENCY_CHANGED", &self.file.path, "was there before"),
            false => Hit::of_rule(rule, &self.file.path, String::new()),
        };
        let message = format!("{name}: {}", hit.message);
        Hit { message, ..hit }.showing(excerpt)
    }

    /// The names that a rule for dependencies finds in the old text, as far as it is in sight.
    fn names_before(&self, rule: &Rule<'_>) -> HashSet<Vec<u8>> {
        let mut names = HashSet::new();
        let mut look = |text: &[u8]| {
            let gather = |found: Found<'_>| {
                names.extend(found.name.map(<[u8]>::to_vec));
                Ok(ControlFlow::Continue(()))
            };
            // What cannot be read names nothing.
            drop(rule.each(text, &(0..text.len()), gather));
        };
        match &self.file.old {
            Some(old) => look(old),
            None => self.file.section.old_text().for_each(|side| look(&side.text)),
        }
        names
    }

    /// The matched text, shortened and escaped; withheld when a secret stands in the lines around.
    fn excerpt(&self, place: &Place<'_>) -> Result<String, Problem> {
        let secrets = self.book.of_kinds(&[RiskKind::Secret]);
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
            for (number, window) in self.book.windows(text, &self.fits) {
                let Some(rule) = self.book.rule(number) else {
                    continue;
                };
                if rule.side() == Side::Removed || seen.contains(&number) {
                    continue;
                }
                rule.each(text, &window, |found| {
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

    /// What goes away: a secret that was there for all to see, and checks that are lost.
    fn removed(
        &mut self,
        hunks: &[Hunk<'_>],
        wanted: &[&Hunk<'_>],
        called: &RuleSet,
    ) -> Result<(), Problem> {
        let removes = wanted.iter().filter(|hunk| hunk.deletions > 0);
        let sides: Vec<_> = removes
            .map(|hunk| ChangedText::new(hunk.old_text()))
            .collect();
        if sides.is_empty() {
            return Ok(());
        }
        for number in called.numbers() {
            let Some(rule) = self.book.rule(number) else {
                continue;
            };
            match (rule.kind(), rule.side()) {
                (RiskKind::Secret, _) => self.secret_removed(rule, &sides)?,
                (_, Side::Removed) => self.check_lost(rule, &sides, hunks)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn secret_removed(&mut self, rule: &Rule<'p>, sides: &[ChangedText]) -> Result<(), Problem> {
        for side in sides {
            let text = side.bytes();
            let mut hit = None;
            rule.each(text, &(0..text.len()), |found| {
                let lines = side.lines_of(found.range.clone());
                let place = Place {
                    path: self.file.section.path(),
                    matched: text.get(found.range).unwrap_or_default(),
                    secret: found.secret,
                    line: side.text_of(&lines),
                };
                match side.first_changed(&lines) {
                    Some(line) if counts(self.book, rule, &place)? => {
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

    /// A finding where the file loses more matches than it gains.
    fn check_lost(
        &mut self,
        rule: &Rule<'p>,
        sides: &[ChangedText],
        hunks: &[Hunk<'_>],
    ) -> Result<(), Problem> {
        let (mut lost, mut gained, mut first) = (0_usize, 0_usize, None);
        for side in sides {
            each_changed(rule, self.languages, side, |line, excerpt| {
                lost += 1;
                first.get_or_insert((line, shorten(excerpt)));
            })?;
        }
        for hunk in hunks {
            let side = ChangedText::new(hunk.new_text());
            each_changed(rule, self.languages, &side, |_, _| gained += 1)?;
        }
        if let Some((line, excerpt)) = first.filter(|_| lost > gained) {
            let mut hit = Hit::of_rule(rule, &self.file.path, excerpt).at(line);
            hit.message = format!("{} ({lost} gone, {gained} new)", hit.message);
            self.hits.push(hit);
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
    rule.each(text, &(0..text.len()), |found| {
        let lines = side.lines_of(found.range.clone());
        let is_said = !rule.reads_comments()
            && begins_in_comment(text, found.range.start, languages);
        if let Some(line) = side.first_changed(&lines)
            && !is_said
            && !rule.excepts(side.text_of(&lines))?
        {
            visit(line, text.get(found.range).unwrap_or_default());
        }
        Ok(ControlFlow::Continue(()))
    })
}

fn shorten(matched: &[u8]) -> String {
    let shown = String::from_utf8_lossy(matched);
    let shown = shown.trim();
    shown.chars().flat_map(char::escape_debug).take(EXCERPT).collect()
}

/// The first four characters at the most, and how many there are.
pub(crate) fn mask(secret: &[u8]) -> String {
    let secret = String::from_utf8_lossy(secret);
    let length = secret.chars().count();
    let kept = secret.chars().take((length / 4).min(4));
    let kept: String = kept.flat_map(char::escape_debug).collect();
    format!("{kept}… ({length} characters)")
}

/// The text with every secret in it masked; for what a program printed.
///
/// # Errors
/// `POLICY_EXAMPLE`, `POLICY_INVALID`, `SECRET_RULES_INVALID`.
pub fn masked(book: &RuleBook<'_>, text: &[u8]) -> Result<Vec<u8>, Problem> {
    let secrets = book.of_kinds(&[RiskKind::Secret]);
    let mut places: Vec<Range<usize>> = Vec::new();
    for (number, window) in book.windows(text, &secrets) {
        let Some(rule) = book.rule(number) else {
            continue;
        };
        rule.each(text, &window, |found| {
            let place = Place {
                path: b"",
                matched: text.get(found.range.clone()).unwrap_or_default(),
                secret: found.secret,
                line: text.get(found.range.clone()).unwrap_or_default(),
            };
            if counts(book, rule, &place)? {
                places.push(found.range);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    places.sort_by_key(|place| place.start);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for place in places {
        if place.end <= at {
            continue;
        }
        out.extend_from_slice(text.get(at..place.start.max(at)).unwrap_or_default());
        let hidden = text.get(place.start.max(at)..place.end).unwrap_or_default();
        out.extend_from_slice(b"[secret masked]");
        // Lines stay countable.
        out.extend(hidden.iter().filter(|byte| **byte == b'\n'));
        at = place.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    Ok(out)
}

/// What the rules find in the words of a task, or of anything else that comes from outside.
///
/// # Errors
/// `POLICY_EXAMPLE`, `POLICY_INVALID`, `SECRET_RULES_INVALID`.
pub fn judge_text(
    book: &RuleBook<'_>,
    called: &str,
    text: &str,
) -> Result<Vec<baton_core::envelope::Finding>, Problem> {
    let everywhere = book.of_kinds(&[
        RiskKind::Secret,
        RiskKind::Instruction,
        RiskKind::Payload,
        RiskKind::Hidden,
    ]);
    let mut hits = in_loose_text(book, &everywhere, text.as_bytes(), called)?;
    for (id, excerpt) in hidden::in_text(text) {
        let message = crate::checks::built_in(id).about;
        hits.push(Hit::built_in(id, called, message).showing(excerpt));
    }
    hits.retain(|hit| hit.kind != HitKind::Note && hit.severity >= Severity::Medium);
    Ok(hits.iter().map(Hit::finding).collect())
}
