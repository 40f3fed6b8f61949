//! Keywords: which rules could find something in a text, told by one pass over it.
//!
//! A rule runs only where one of its keywords stands, and a table of keywords is made for just the
//! rules that read a file.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::gram::{Grams, Words};
use crate::rule::Rule;
use crate::rule_set::RuleSet;

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
    tables: RefCell<HashMap<RuleSet, Rc<Table>>>,
}

/// The keywords by number, and for each the rules that have it. There are thousands, so that each part
/// is one piece of memory.
#[derive(Debug, Default)]
struct List {
    words: Words,
    rules: Vec<usize>,
    /// Where the rules of each word end.
    ends: Vec<usize>,
}

impl List {
    /// Takes in rules with their keywords, sorted by keyword.
    fn of(keywords: &[(Cow<'_, [u8]>, usize)]) -> Self {
        let mut list = Self::default();
        for of_word in keywords.chunk_by(|(one, _), (next, _)| one == next) {
            let rules = of_word.iter().map(|(_, rule)| *rule);
            list.rules.extend(rules);
            list.ends.push(list.rules.len());
            if let Some((word, _)) = of_word.first() {
                list.words.push(word);
            }
        }
        list
    }

    fn rules_of(&self, word: usize) -> &[usize] {
        let before = word.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = before.copied().unwrap_or(0);
        let end = self.ends.get(word).copied().unwrap_or(start);
        self.rules.get(start..end).unwrap_or_default()
    }
}

/// The keywords of some rules, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Table {
    list: Rc<List>,
    fits: RuleSet,
    grams: Grams,
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

/// Words, each with a number of its own.
#[derive(Debug)]
pub(crate) struct Numbered {
    list: List,
    grams: Grams,
}

impl Numbered {
    /// Of sorted words in lower case, none twice.
    pub(crate) fn of(words: &[(Cow<'_, [u8]>, usize)]) -> Self {
        let list = List::of(words);
        let numbers: Vec<_> = (0..words.len()).collect();
        Self {
            grams: Grams::of(&list.words, &numbers),
            list,
        }
    }

    /// The least number among the words that stand in a text.
    pub(crate) fn least(&self, text: &[u8]) -> Option<usize> {
        let mut least = None;
        self.grams.each(&self.list.words, text, &mut |word, _| {
            let own = self.list.rules_of(word).iter().copied();
            least = own.chain(least).min();
        });
        least
    }
}

impl Keywords {
    pub(crate) fn of(rules: &[Rule<'_>]) -> Self {
        let mut keywords = Vec::new();
        let mut always = RuleSet::of_size(rules.len());
        let readers = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.reads_text());
        for (at, rule) in readers {
            if rule.has_no_keyword() {
                always.insert(at);
                continue;
            }
            keywords.extend(rule.keywords().iter().map(|word| (lower(word), at)));
        }
        // Numbers are compared many times faster than pieces of memory, and most words differ early.
        keywords.sort_unstable_by(|(one, at), (other, next)| {
            let order = beginning(one).cmp(&beginning(other));
            order.then_with(|| one.cmp(other)).then(at.cmp(next))
        });
        keywords.dedup();
        Self {
            list: Rc::new(List::of(&keywords)),
            always,
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
        let fit = |rules: &[usize]| rules.iter().any(|rule| fits.has(*rule));
        let numbers = 0..self.list.ends.len();
        let numbers = numbers.filter(|word| fit(self.list.rules_of(*word)));
        let numbers: Vec<usize> = numbers.collect();
        Table {
            grams: Grams::of(&self.list.words, &numbers),
            list: Rc::clone(&self.list),
            fits: fits.clone(),
            always: self.always.and(fits),
        }
    }
}

/// The first bytes of a word as a number of the same order.
fn beginning(word: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (byte, of_word) in bytes.iter_mut().zip(word) {
        *byte = *of_word;
    }
    u64::from_be_bytes(bytes)
}

/// A keyword in lower case; nearly every one is written so.
fn lower(word: &str) -> Cow<'_, [u8]> {
    let word = word.as_bytes();
    match word.iter().any(u8::is_ascii_uppercase) {
        true => word.to_ascii_lowercase().into(),
        false => word.into(),
    }
}

impl Table {
    /// Hands over every place of every keyword.
    pub(crate) fn each<'t>(&'t self, text: &[u8], mut visit: impl FnMut(Place<'t>)) {
        let mut found = |word: usize, range: Range<usize>| {
            let rules = self.list.rules_of(word);
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
