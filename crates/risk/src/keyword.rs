//! Keywords: which rules could find something in a text, told by one pass over it.
//!
//! A rule runs only where one of its keywords stands, and a table of keywords is made for just the
//! rules that read a file.

mod gram;
mod rare;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::keyword::gram::{Grams, Words};
use crate::rule::Rule;
use crate::rule::rule_set::RuleSet;

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
    rules: Vec<u32>,
    /// Where the rules of each word end.
    ends: Vec<u32>,
}

impl List {
    /// Takes in keywords in lower case, each with a rule that has it.
    fn of<'k>(keywords: impl Iterator<Item = (Cow<'k, [u8]>, usize)>, most: usize) -> Self {
        let mut list = Self::default();
        let mut index = Index::of_size(most);
        let mut pairs = Vec::with_capacity(most);
        let mut last = Vec::new();
        for (word, rule) in keywords {
            let rule = rule as u32;
            let number = index.number(&mut list.words, &word);
            match last.get_mut(number) {
                // A rule may name a word twice.
                Some(known) if *known == rule => continue,
                Some(known) => *known = rule,
                None => last.push(rule),
            }
            pairs.push((number as u32, rule));
        }
        list.fill(&pairs, last.len());
        list
    }

    /// Puts the rules of each word side by side.
    fn fill(&mut self, pairs: &[(u32, u32)], words: usize) {
        let mut counts = vec![0; words];
        for (word, _) in pairs {
            if let Some(count) = counts.get_mut(*word as usize) {
                *count += 1;
            }
        }
        let mut end = 0;
        for count in counts {
            self.ends.push(end);
            end += count;
        }
        self.rules = vec![0; pairs.len()];
        for (word, rule) in pairs {
            if let Some(end) = self.ends.get_mut(*word as usize)
                && let Some(place) = self.rules.get_mut(*end as usize)
            {
                *place = *rule;
                *end += 1;
            }
        }
    }

    fn rules_of(&self, word: usize) -> &[u32] {
        let before = word.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = before.copied().unwrap_or(0);
        let end = self.ends.get(word).copied().unwrap_or(start);
        self.rules
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }
}

/// The numbers of words, by a hash of each.
struct Index {
    /// The number of a word, and one more; 0 for none. A word that is not in its own slot is in one of the
    /// next.
    slots: Vec<u32>,
}

impl Index {
    /// For so many words at the most.
    fn of_size(words: usize) -> Self {
        let size = (2 * words).next_power_of_two();
        Self {
            slots: vec![0; size],
        }
    }

    /// The number of a word, which is put into the list where it is new.
    fn number(&mut self, words: &mut Words, word: &[u8]) -> usize {
        let last = self.slots.len() - 1;
        let mut at = hash(word) & last;
        while let Some(slot) = self.slots.get_mut(at) {
            let Some(number) = slot.checked_sub(1).map(|number| number as usize) else {
                words.push(word);
                *slot = words.len() as u32;
                return words.len() - 1;
            };
            if words.get(number) == Some(word) {
                return number;
            }
            at = (at + 1) & last;
        }
        0
    }
}

/// A number for a word; who writes the rules has nothing to gain from words that share one.
fn hash(word: &[u8]) -> usize {
    let mix = |all: u64, byte: &u8| (all ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let all = word.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    (all ^ (all >> 32)) as usize
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
    rules: &'t [u32],
    fits: &'t RuleSet,
}

impl Place<'_> {
    /// The rules of the table that have the keyword.
    pub(crate) fn rules(&self) -> impl Iterator<Item = usize> {
        let rules = self.rules.iter().map(|rule| *rule as usize);
        rules.filter(|rule| self.fits.has(*rule))
    }
}

/// Words, each with a number of its own.
#[derive(Debug)]
pub(crate) struct Numbered {
    words: Words,
    numbers: Vec<usize>,
    grams: Grams,
}

impl Numbered {
    /// Of words in lower case, none twice.
    pub(crate) fn of<'w>(all: impl Iterator<Item = (Cow<'w, [u8]>, usize)>) -> Self {
        let mut words = Words::default();
        let numbers: Vec<usize> = all
            .map(|(word, number)| {
                words.push(&word);
                number
            })
            .collect();
        let places: Vec<usize> = (0..numbers.len()).collect();
        Self {
            grams: Grams::of(&words, &places),
            words,
            numbers,
        }
    }

    /// The least number among the words that stand in a text.
    pub(crate) fn least(&self, text: &[u8]) -> Option<usize> {
        let mut least = None;
        self.grams.each(&self.words, text, &mut |word, _| {
            least = self
                .numbers
                .get(word)
                .copied()
                .into_iter()
                .chain(least)
                .min();
        });
        least
    }
}

impl Keywords {
    pub(crate) fn of(rules: &[Rule<'_>]) -> Self {
        let mut always = RuleSet::of_size(rules.len());
        let mut readers = Vec::with_capacity(rules.len());
        for (at, rule) in rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.reads_text())
        {
            match rule.has_no_keyword() {
                true => always.insert(at),
                false => readers.push((at, rule)),
            }
        }
        let most = readers.iter().map(|(_, rule)| rule.keywords().len()).sum();
        let keywords = readers.into_iter().flat_map(|(at, rule)| {
            let own = rule.keywords().iter();
            own.map(move |word| (lower(word), at))
        });
        Self {
            list: Rc::new(List::of(keywords, most)),
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
        let fit = |rules: &[u32]| rules.iter().any(|rule| fits.has(*rule as usize));
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

    /// The rules to run on a text. A rule is asked whether it may match where one of its keywords stands;
    /// one that says so once is not asked again.
    fn called(
        &self,
        text: &[u8],
        may_match: &mut impl FnMut(usize, &Range<usize>) -> bool,
    ) -> RuleSet {
        let mut called = self.always.clone();
        self.each(text, |place| {
            for rule in place.rules() {
                if !called.has(rule) && may_match(rule, &place.range) {
                    called.insert(rule);
                }
            }
        });
        called
    }

    /// The rules to run on a text and the parts of it to run them on; none where `may_match` says of no
    /// place of a keyword that the rule may match there.
    pub(crate) fn windows(
        &self,
        text: &[u8],
        mut may_match: impl FnMut(usize, &Range<usize>) -> bool,
    ) -> Vec<(usize, Range<usize>)> {
        if text.len() <= WHOLE {
            let called = self.called(text, &mut may_match);
            return called.numbers().map(|rule| (rule, 0..text.len())).collect();
        }
        let mut open: HashMap<usize, Range<usize>> = HashMap::new();
        let mut windows = Vec::new();
        let mut called = RuleSet::default();
        self.each(text, |place| {
            let range = &place.range;
            let around = range.start.saturating_sub(AROUND)..(range.end + AROUND).min(text.len());
            for rule in place.rules() {
                if !called.has(rule) && may_match(rule, range) {
                    called.insert(rule);
                }
                let window = open.entry(rule).or_insert_with(|| around.clone());
                if around.start <= window.end {
                    window.end = around.end.max(window.end);
                } else {
                    windows.push((rule, std::mem::replace(window, around.clone())));
                }
            }
        });
        windows.extend(open);
        windows.retain(|(rule, _)| called.has(*rule));
        windows.extend(self.always.numbers().map(|rule| (rule, 0..text.len())));
        windows.sort_by_key(|(rule, window)| (*rule, window.start));
        windows
    }
}
