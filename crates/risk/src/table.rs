//! Tables: the rules that read a file, and the keywords that call each of them up.
//!
//! A rule runs only where one of its keywords stands, and a table is made of the keywords of just the
//! rules that read a file.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::gram::{Grams, Word};
use crate::rule::Rule;
use crate::rule_set::RuleSet;

/// How many tables are kept; a change with more kinds of files makes them again.
const MOST_TABLES: usize = 128;
/// A text up to this size is judged by a rule as a whole, in bytes.
const WHOLE: usize = 16 << 10;
/// In a longer one a pattern is looked for this far around the rule's keywords, in bytes, so that work
/// stays linear; one whose matches may be longer reads all of it.
pub(crate) const AROUND: usize = 4 << 10;

/// The tables of a rule book.
#[derive(Debug, Default)]
pub(crate) struct Tables(RefCell<HashMap<RuleSet, Rc<Table>>>);

/// The keywords of some rules, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Table {
    words: Vec<Word>,
    /// For each word the rules that have it.
    rules: Vec<Vec<usize>>,
    grams: Grams,
    /// The rules that run on every text: those without a keyword, or with one of a single byte.
    pub(crate) always: RuleSet,
}

impl Tables {
    /// The table for these rules; made once for all files that the same rules read.
    pub(crate) fn table(&self, rules: &[Rule<'_>], fits: &RuleSet) -> Rc<Table> {
        if let Some(table) = self.0.borrow().get(fits) {
            return Rc::clone(table);
        }
        let table = Rc::new(Table::of(rules, fits));
        let mut tables = self.0.borrow_mut();
        if tables.len() >= MOST_TABLES {
            tables.clear();
        }
        tables.insert(fits.clone(), Rc::clone(&table));
        table
    }
}

impl Table {
    fn of(rules: &[Rule<'_>], fits: &RuleSet) -> Self {
        let mut always = RuleSet::of_size(rules.len());
        let mut known: HashMap<Cow<'_, [u8]>, usize> = HashMap::new();
        let mut words = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        for number in fits.numbers() {
            let Some(rule) = rules.get(number).filter(|rule| rule.reads_text()) else {
                continue;
            };
            if rule.has_no_keyword() {
                always.insert(number);
                continue;
            }
            for word in rule.keywords() {
                let at = *known
                    .entry(lower(word.as_bytes()))
                    .or_insert_with_key(|bytes| {
                        words.push(Word::new(bytes.to_vec()));
                        owners.push(Vec::new());
                        owners.len() - 1
                    });
                if let Some(owners) = owners.get_mut(at) {
                    owners.push(number);
                }
            }
        }
        Self {
            grams: Grams::of(&words),
            words,
            rules: owners,
            always,
        }
    }

    /// Hands over every place of every keyword, with the rules that have it.
    pub(crate) fn each<'t>(
        &'t self,
        text: &[u8],
        mut visit: impl FnMut(&'t [usize], Range<usize>),
    ) {
        let mut found = |word: usize, range: Range<usize>| {
            let rules = self.rules.get(word).map(Vec::as_slice);
            visit(rules.unwrap_or_default(), range);
        };
        self.grams.each(&self.words, text, &mut found);
    }

    /// The rules to run on a text.
    fn called(&self, text: &[u8]) -> RuleSet {
        let mut called = self.always.clone();
        self.each(text, |rules, _| {
            rules.iter().for_each(|rule| called.insert(*rule))
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
        self.each(text, |rules, range| {
            let around = range.start.saturating_sub(AROUND)..(range.end + AROUND).min(text.len());
            for rule in rules {
                let window = open.entry(*rule).or_insert_with(|| around.clone());
                if around.start <= window.end {
                    window.end = around.end.max(window.end);
                } else {
                    windows.push((*rule, std::mem::replace(window, around.clone())));
                }
            }
        });
        windows.extend(open);
        windows.extend(self.always.numbers().map(|rule| (rule, 0..text.len())));
        windows.sort_by_key(|(rule, window)| (*rule, window.start));
        windows
    }
}

/// A word in lower case.
fn lower(word: &[u8]) -> Cow<'_, [u8]> {
    match word.iter().any(u8::is_ascii_uppercase) {
        true => Cow::Owned(word.to_ascii_lowercase()),
        false => Cow::Borrowed(word),
    }
}
