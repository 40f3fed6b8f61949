//! Keywords: which rules could find something in a text, told by one pass over it.
//!
//! A rule runs only where one of its keywords stands, and a table of keywords is made for just the
//! rules that read a file. A keyword of two or three bytes stands everywhere; rules that need one are
//! mostly for tokens, which are one long run of letters and digits, and theirs are looked for only in
//! a text with such a run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use baton_core::policy::RiskKind;

use crate::gram::{GRAM, Grams, Rarity, Word};
use crate::rule::Rule;
use crate::rule_set::RuleSet;
use crate::shape;

/// A run of so many letters and digits is hardly ever a name.
const LONG_RUN: usize = 20;
/// A pattern longer than this is not read for runs, in bytes.
const MOST_READ: usize = 300;
/// How many tables are kept; a change with more kinds of files makes them again.
const MOST_TABLES: usize = 128;
/// A text up to this size is judged by a rule as a whole, in bytes.
const WHOLE: usize = 16 << 10;
/// In a longer one a pattern is looked for this far around the rule's keywords, in bytes, so that work
/// stays linear; one whose matches may be longer reads all of it.
pub(crate) const AROUND: usize = 4 << 10;

/// Every keyword of a rule book.
#[derive(Debug)]
pub(crate) struct Keywords {
    list: Rc<List>,
    /// Rules without a keyword, or with one of a single byte: looked for in every text.
    always: RuleSet,
    /// Rules whose every match holds a long run.
    gated: RuleSet,
    tables: RefCell<HashMap<RuleSet, Rc<Table>>>,
}

/// The keywords by number, and for each the rules that have it.
#[derive(Debug, Default)]
struct List {
    words: Vec<Word>,
    rules: Vec<Vec<usize>>,
}

/// The keywords of some rules, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Table {
    list: Rc<List>,
    fits: RuleSet,
    grams: Grams,
    /// For the number of each word, whether it is a short one of rules that all need a long run.
    gated: Vec<bool>,
    /// The rules that run on every text.
    pub(crate) always: RuleSet,
}

/// A place of a keyword in a text.
#[derive(Debug)]
pub(crate) struct Place<'t> {
    pub(crate) range: Range<usize>,
    rules: &'t [usize],
    fits: &'t RuleSet,
}

impl Place<'_> {
    /// The rules of the table that have the keyword.
    pub(crate) fn rules(&self) -> impl Iterator<Item = usize> {
        let rules = self.rules.iter().copied();
        rules.filter(|rule| self.fits.has(*rule))
    }
}

impl Keywords {
    pub(crate) fn of(rules: &[Rule<'_>]) -> Self {
        let mut list = List::default();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let rarity = Rarity::new();
        let mut always = RuleSet::of_size(rules.len());
        let mut gated = always.clone();
        let readers = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.reads_text());
        for (at, rule) in readers {
            let own = rule.keywords();
            if own.is_empty() || own.iter().any(|word| word.len() < 2) {
                always.insert(at);
                continue;
            }
            let is_short = own.iter().any(|word| word.len() <= GRAM);
            // Reading a pattern costs time; tokens have short ones.
            let is_token = matches!(rule.kind(), RiskKind::Secret | RiskKind::Payload);
            let may_gate = is_short && is_token && rule.pattern().len() <= MOST_READ;
            if may_gate && shape::longest_run(rule.pattern(), is_of_token) >= LONG_RUN {
                gated.insert(at);
            }
            for word in own {
                let bytes = word.to_ascii_lowercase().into_bytes();
                let number = *known.entry(bytes).or_insert_with_key(|bytes| {
                    list.words.push(Word::new(bytes.clone(), &rarity));
                    list.rules.push(Vec::new());
                    list.words.len() - 1
                });
                if let Some(rules) = list.rules.get_mut(number) {
                    rules.push(at);
                }
            }
        }
        Self {
            list: Rc::new(list),
            always,
            gated,
            tables: RefCell::default(),
        }
    }

    /// The table for these rules; made once for all files that the same rules read.
    pub(crate) fn table(&self, fits: &RuleSet) -> Rc<Table> {
        if let Some(table) = self.tables.borrow().get(fits) {
            return Rc::clone(table);
        }
        let table = Rc::new(self.build(fits));
        let mut tables = self.tables.borrow_mut();
        if tables.len() >= MOST_TABLES {
            tables.clear();
        }
        tables.insert(fits.clone(), Rc::clone(&table));
        table
    }

    fn build(&self, fits: &RuleSet) -> Table {
        let mut numbers = Vec::new();
        let mut gated = vec![false; self.list.words.len()];
        let lists = self.list.rules.iter().zip(&mut gated).enumerate();
        for (number, (rules, is_gated)) in lists {
            let mut own = rules.iter().filter(|rule| fits.has(**rule)).peekable();
            if own.peek().is_some() {
                numbers.push(number);
                *is_gated = own.all(|rule| self.gated.has(*rule));
            }
        }
        Table {
            grams: Grams::of(&self.list.words, &numbers),
            gated,
            list: Rc::clone(&self.list),
            fits: fits.clone(),
            always: self.always.and(fits),
        }
    }
}

/// Bytes that tokens are made of, in the alphabets of base64, base62 and hex, and escapes of bytes.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+/=~\\".contains(&byte)
}

/// Whether a text holds a run of [`LONG_RUN`] bytes that tokens are made of. A look at each so many
/// bytes finds every one.
fn has_long_run(text: &[u8]) -> bool {
    let holds = |at: &usize| text.get(*at).is_some_and(|byte| is_of_token(*byte));
    let mut at = LONG_RUN - 1;
    while at < text.len() {
        let before = (at + 1 - LONG_RUN..=at).rev().take_while(holds).count();
        if before == LONG_RUN {
            return true;
        }
        // What follows the byte that ends the run is new.
        at = at + LONG_RUN - before;
    }
    false
}

impl Table {
    /// Hands over every place of every keyword.
    pub(crate) fn each<'t>(&'t self, text: &[u8], mut visit: impl FnMut(Place<'t>)) {
        let mut has_run = None;
        let mut found = |word: usize, range: Range<usize>| {
            let is_gated = self.gated.get(word).copied().unwrap_or(false);
            if is_gated && !*has_run.get_or_insert_with(|| has_long_run(text)) {
                return;
            }
            let rules = self.list.rules.get(word).map(Vec::as_slice);
            let rules = rules.unwrap_or_default();
            let fits = &self.fits;
            visit(Place { range, rules, fits });
        };
        self.grams.each(&self.list.words, text, &mut found);
    }

    /// The rules to run on a text.
    fn called(&self, text: &[u8]) -> RuleSet {
        let mut called = self.always.clone();
        self.each(text, |place| {
            place.rules().for_each(|rule| called.insert(rule))
        });
        called
    }

    /// The rules to run on a text and the parts of it to run them on.
    pub(crate) fn windows(&self, text: &[u8]) -> Vec<(usize, Range<usize>)> {
        if text.len() <= WHOLE {
            return self
                .called(text)
                .numbers()
                .map(|rule| (rule, 0..text.len()))
                .collect();
        }
        let mut open: HashMap<usize, Range<usize>> = HashMap::new();
        let mut windows = Vec::new();
        self.each(text, |place| {
            let range = &place.range;
            let around = range.start.saturating_sub(AROUND)..(range.end + AROUND).min(text.len());
            for rule in place.rules() {
                let window = open.entry(rule).or_insert_with(|| around.clone());
                if around.start <= window.end {
                    window.end = around.end.max(window.end);
                } else {
                    windows.push((rule, std::mem::replace(window, around.clone())));
                }
            }
        });
        windows.extend(open);
        windows.extend(self.always.numbers().map(|rule| (rule, 0..text.len())));
        windows.sort_by_key(|(rule, window)| (*rule, window.start));
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_found_wherever_it_stands() {
        for before in 0..60 {
            for length in 20..30 {
                let text = format!(
                    "{}{} x",
                    ". a ".repeat(20).split_at(before).0,
                    "k".repeat(length)
                );
                // A letter before may make the run longer.
                let run = length + usize::from(before % 4 == 3);
                assert_eq!(has_long_run(text.as_bytes()), run >= LONG_RUN, "{text}");
            }
        }
        assert!(!has_long_run(b"") && !has_long_run(b"short"));
    }
}
