//! Tables: the rules that read a file, and what calls each of them up.
//!
//! A rule runs only where one of its keywords stands, and a table is made for just the rules that read
//! a file.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::hook::{Around, Hooks};
use crate::rule::Rule;
use crate::rule_set::RuleSet;

/// How many tables are kept; a change with more kinds of files makes them again.
const MOST_TABLES: usize = 128;
/// A text up to this size is judged by a rule as a whole, in bytes.
const WHOLE: usize = 16 << 10;
/// In a longer one a pattern is looked for this far around the rule's keywords, in bytes, so that work
/// stays linear; one whose matches may be longer reads all of it.
pub(crate) const AROUND: usize = 4 << 10;
/// So many bytes are read by a table before it pays to work out anchors.
const MUCH: usize = 512 << 10;

/// The tables of a rule book.
#[derive(Debug, Default)]
pub(crate) struct Tables(RefCell<HashMap<RuleSet, Rc<Table>>>);

/// Some rules, ready to be called up.
#[derive(Debug)]
pub(crate) struct Table {
    fits: RuleSet,
    keywords: Hooks,
    anchors: OnceCell<Hooks>,
    /// How many bytes were read.
    read: Cell<usize>,
}

impl Tables {
    /// The table for these rules; made once for all files that the same rules read.
    pub(crate) fn table(&self, rules: &[Rule<'_>], fits: &RuleSet) -> Rc<Table> {
        if let Some(table) = self.0.borrow().get(fits) {
            return Rc::clone(table);
        }
        let table = Rc::new(Table {
            fits: fits.clone(),
            keywords: Hooks::of_keywords(rules, fits),
            anchors: OnceCell::new(),
            read: Cell::default(),
        });
        let mut tables = self.0.borrow_mut();
        if tables.len() >= MOST_TABLES {
            tables.clear();
        }
        tables.insert(fits.clone(), Rc::clone(&table));
        table
    }
}

impl Table {
    /// What to look for in a text of so many bytes.
    pub(crate) fn hooks(&self, rules: &[Rule<'_>], bytes: usize) -> &Hooks {
        let read = self.read.get().saturating_add(bytes);
        self.read.set(read);
        match read > MUCH {
            true => self
                .anchors
                .get_or_init(|| Hooks::of_anchors(rules, &self.fits)),
            false => &self.keywords,
        }
    }

    /// The rules to run on a text.
    fn called(&self, rules: &[Rule<'_>], text: &[u8]) -> RuleSet {
        let hooks = self.hooks(rules, text.len());
        let mut called = hooks.always.clone();
        let mut perhaps = RuleSet::default();
        hooks.each(text, false, |hook, _| {
            let is_enough = |around: &Around| around.is_enough || around.has_keyword;
            match hook.anchor.as_ref().is_none_or(is_enough) {
                true => called.insert(hook.rule),
                false => perhaps.insert(hook.rule),
            }
        });
        for number in perhaps.numbers() {
            if rules.get(number).is_some_and(|rule| rule.calls_for(text)) {
                called.insert(number);
            }
        }
        called
    }

    /// The rules to run on a text and the parts of it to run them on.
    pub(crate) fn windows(&self, rules: &[Rule<'_>], text: &[u8]) -> Vec<(usize, Range<usize>)> {
        if text.len() <= WHOLE {
            return self
                .called(rules, text)
                .numbers()
                .map(|rule| (rule, 0..text.len()))
                .collect();
        }
        let mut open: HashMap<usize, Range<usize>> = HashMap::new();
        let mut windows = Vec::new();
        self.keywords.each(text, false, |hook, range| {
            let around = range.start.saturating_sub(AROUND)..(range.end + AROUND).min(text.len());
            let window = open.entry(hook.rule).or_insert_with(|| around.clone());
            if around.start <= window.end {
                window.end = around.end.max(window.end);
            } else {
                windows.push((hook.rule, std::mem::replace(window, around)));
            }
        });
        windows.extend(open);
        let always = self.keywords.always.numbers();
        windows.extend(always.map(|rule| (rule, 0..text.len())));
        windows.sort_by_key(|(rule, window)| (*rule, window.start));
        windows
    }
}
