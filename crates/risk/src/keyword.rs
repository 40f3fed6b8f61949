//! Keywords: which rules could find something in a text, told by one pass over it.
//!
//! A rule runs only where one of its keywords stands. Each keyword is known by two grams side by
//! side, three bytes each, that are rare in text; the pass looks every second gram of a text up in a
//! small filter, and compares a whole keyword only where its gram stands. So the pass costs the same
//! however many keywords there are, and a table is made in microseconds, for just the rules that
//! read a file.
//!
//! A keyword of two or three bytes stands everywhere. Such rules are mostly for tokens, which are
//! one long run of letters and digits: their keywords are looked for only in a text with such a run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::pattern;
use crate::rule::Rule;
use crate::rule_set::RuleSet;

/// Bytes of a gram.
const GRAM: usize = 3;
/// Bits of the number of a gram in the filter: its 32 KiB stay in the fastest cache.
const FILTER_BITS: u32 = 15;
/// Bits of the number of a gram in the table of keywords.
const SLOT_BITS: u32 = 11;
/// A run of so many letters and digits is hardly ever a name.
const LONG_RUN: usize = 20;
/// Makes the same of both cases of a letter, in eight bytes.
const FOLD: u64 = 0x2020_2020_2020_2020;
/// Marks the gram of a keyword that has but two bytes.
const PAIR: u32 = 1 << 24;
/// How many tables are kept; a change with more kinds of files makes them again.
const MOST_TABLES: usize = 128;
/// Letters from the commonest in text and code to the rarest.
const LETTERS: &[u8] = b" etaoinsrlcdpumhfgbyvwkxjqz";
/// The commonest grams in the history of some thirty thousand commits of five programs, and in their
/// documents, the commonest first.
const COMMON: &[u8] = b"\
    \x20thionesttes reconthetiostrdataaaataingreshe  co  c stopt inhttttpent ifed procomver  iileindfor\
    er andgitateuseultit ameatifil toterecttrundeintis to on set seinedefitht cseronsnamreaendt alin\
    \x20 ror ct ode dedifstssslturng  li  sallst es ersse errde codeadrettatucteasnd  anrucoutetuctionn\
    \x20teortchedexessbleasschaurn wi noe tthi foder is fihisif  prabl ma cllenargiffprell e cparrinex \
    nt porock chff in rn asydirgetasean siole  pannepenre incharefiizeadd caist ustpsdocwinfinspaar \
    esuonftri a sulnteostuncpanimeopeet nfiticn cfunen bugsiz offigwitmplnotmattedreqnstplee socspat\
    lserattimypeorm htcluitelud opitinit datyp alake enncle ithuertudeic rrolasth areof exthanlespti\
    ten si hasocrecs tomm  fne  be  ehert trororehubaderlo exoole a as  denstorrsiclaautbufailndi do\
    sel  tonehosont onas s aackleame lop sonfoperoto";

/// Every keyword of a rule book.
#[derive(Debug)]
pub(crate) struct Keywords {
    words: Vec<Keyword>,
    /// Rules without a keyword, or with one of a single byte: looked for in every text.
    always: RuleSet,
    /// Rules whose every match holds a long run.
    gated: RuleSet,
    rules: usize,
    tables: RefCell<HashMap<RuleSet, Rc<Table>>>,
}

#[derive(Debug)]
struct Keyword {
    /// Lower case.
    bytes: Vec<u8>,
    /// The rules that have it.
    rules: Vec<usize>,
}

/// A text up to this size is judged by a rule as a whole, in bytes.
const WHOLE: usize = 16 << 10;
/// In a longer one a pattern is looked for this far around the rule's keywords, in bytes: work stays
/// linear, and no secret or call is longer.
const AROUND: usize = 4 << 10;

/// The keywords of some rules, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Table {
    long: Grams,
    /// Keywords too short for two grams.
    short: Grams,
    /// As short, of rules that need a long run.
    gated: Grams,
    /// The rules that run on every text.
    pub(crate) always: RuleSet,
}

/// Some keywords by their grams.
#[derive(Debug)]
struct Grams {
    /// For the number of each gram the bytes, by their last three bits, that a keyword has after it.
    filter: Box<[u8]>,
    /// The first entry with a gram of this number, and one more; 0 for none.
    slots: Box<[u32]>,
    entries: Vec<Entry>,
    words: Vec<(Vec<u8>, RuleSet)>,
    /// Which places of a text are looked at: each, or each second.
    step: usize,
    has_pairs: bool,
}

/// Small, so that the entries of a table stay in the fastest cache.
#[derive(Debug)]
struct Entry {
    /// The gram, and above it one more byte of the word.
    key: u32,
    /// The word, and where in it the gram stands.
    word: u32,
    offset: u16,
    /// Where the one more byte stands, from the gram's place.
    more: i16,
    /// The next entry of the same slot, and one more; 0 for none.
    next: u32,
}

/// A place of a keyword in a text.
#[derive(Debug)]
pub(crate) struct Place<'t> {
    pub(crate) range: Range<usize>,
    /// The rules that have the keyword.
    pub(crate) rules: &'t RuleSet,
}

impl Keywords {
    pub(crate) fn of(rules: &[Rule<'_>]) -> Self {
        let mut words: Vec<Keyword> = Vec::new();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
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
            if is_short && pattern::longest_run(rule.pattern(), is_token) >= LONG_RUN {
                gated.insert(at);
            }
            for word in own {
                let bytes = word.to_ascii_lowercase().into_bytes();
                let number = *known.entry(bytes).or_insert_with_key(|bytes| {
                    words.push(Keyword {
                        bytes: bytes.clone(),
                        rules: Vec::new(),
                    });
                    words.len() - 1
                });
                if let Some(word) = words.get_mut(number) {
                    word.rules.push(at);
                }
            }
        }
        Self {
            words,
            always,
            gated,
            rules: rules.len(),
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
        let mut always = RuleSet::of_size(self.rules);
        always.join_both(&self.always, fits);
        let (mut long, mut short, mut gated) = (Vec::new(), Vec::new(), Vec::new());
        for word in &self.words {
            let own = |is_gated: bool| {
                let mut rules = RuleSet::of_size(self.rules);
                let own = word.rules.iter().filter(|rule| fits.has(**rule));
                let own = own.filter(|rule| self.gated.has(**rule) == is_gated);
                own.for_each(|rule| rules.insert(*rule));
                (!rules.is_empty()).then(|| (word.bytes.clone(), rules))
            };
            let open = if word.bytes.len() > GRAM {
                &mut long
            } else {
                &mut short
            };
            open.extend(own(false));
            gated.extend(own(true));
        }
        Table {
            long: Grams::of(long),
            short: Grams::of(short),
            gated: Grams::of(gated),
            always,
        }
    }
}

/// Bytes that tokens are made of, in the alphabets of base64, base62 and hex.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+/=~\\".contains(&byte)
}

/// How rare a gram is; only the order counts.
fn rarity(gram: &[u8]) -> usize {
    let mut known = COMMON.chunks(GRAM);
    if let Some(place) = known.position(|common| common == gram) {
        return place;
    }
    let letter = |byte: &u8| LETTERS.iter().position(|letter| letter == byte);
    let letters = gram
        .iter()
        .map(|byte| letter(byte).unwrap_or(LETTERS.len() - 4));
    COMMON.len() + letters.sum::<usize>()
}

/// The first bytes of a text as a number that is the same for both cases of a letter.
fn folded(bytes: &[u8]) -> u32 {
    let bytes = bytes.iter().take(GRAM).enumerate();
    bytes.fold(0, |all, (at, byte)| {
        all | u32::from(byte | 0x20) << (8 * at)
    })
}

fn number(gram: u32, bits: u32) -> usize {
    (gram.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

/// Where in a word its rarest grams stand, so many side by side.
fn rarest(word: &[u8], grams: usize) -> Range<usize> {
    let weight = |offset: usize| {
        let gram = word.get(offset..offset + GRAM).unwrap_or_default();
        // The byte after a gram tells much more than where the gram stands in the list.
        let is_last = offset + GRAM == word.len();
        rarity(gram) + if is_last { 0 } else { COMMON.len() / GRAM }
    };
    let starts = 0..=word.len().saturating_sub(GRAM + grams - 1);
    let best = starts.max_by_key(|start| (*start..start + grams).map(weight).min());
    let start = best.unwrap_or(0);
    start..start + grams
}

impl Table {
    /// Hands over every place of every keyword.
    pub(crate) fn each<'t>(&'t self, text: &[u8], mut visit: impl FnMut(Place<'t>)) {
        self.long.each(text, &mut visit);
        self.short.each(text, &mut visit);
        if !self.gated.words.is_empty() && has_long_run(text) {
            self.gated.each(text, &mut visit);
        }
    }
}

/// Whether a text holds a run of [`LONG_RUN`] bytes that tokens are made of. A look at each so many
/// bytes finds every one.
fn has_long_run(text: &[u8]) -> bool {
    let holds = |at: &usize| text.get(*at).is_some_and(|byte| is_token(*byte));
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

impl Grams {
    fn of(words: Vec<(Vec<u8>, RuleSet)>) -> Self {
        let shortest = words.iter().map(|(word, _)| word.len()).min();
        let step = if shortest.is_some_and(|length| length <= GRAM) {
            1
        } else {
            2
        };
        let size = |bits: u32| if words.is_empty() { 0 } else { 1 << bits };
        let mut grams = Self {
            filter: vec![0; size(FILTER_BITS)].into(),
            slots: vec![0; size(SLOT_BITS)].into(),
            entries: Vec::new(),
            words: Vec::new(),
            step,
            has_pairs: shortest.is_some_and(|length| length < GRAM),
        };
        for (at, (word, _)) in words.iter().enumerate() {
            let offsets = if word.len() < GRAM {
                0..1
            } else {
                rarest(word, step)
            };
            offsets.for_each(|offset| grams.add(word, at, offset));
        }
        grams.words = words;
        grams
    }

    fn add(&mut self, word: &[u8], number_of_word: usize, offset: usize) {
        let mut gram = folded(word.get(offset..).unwrap_or_default());
        if word.len() < GRAM {
            gram |= PAIR;
        }
        // The byte after the gram, or the one before it; the gram's own first where there is neither.
        let after = word.get(offset + GRAM).map(|byte| (GRAM as i16, *byte));
        let before = || Some((-1, *word.get(offset.checked_sub(1)?)?));
        let (more, byte) = after.or_else(before).unwrap_or((0, word[offset]));
        if let Some(known) = self.filter.get_mut(number(gram, FILTER_BITS)) {
            *known |= after.map_or(0xff, |(_, byte)| 1 << ((byte | 0x20) % 8));
        }
        if let Some(slot) = self.slots.get_mut(number(gram, SLOT_BITS)) {
            self.entries.push(Entry {
                key: key(gram, byte),
                word: number_of_word as u32,
                offset: offset as u16,
                more,
                next: *slot,
            });
            *slot = self.entries.len() as u32;
        }
    }

    /// Whether a keyword may have this gram with this byte after it, its highest.
    #[inline(always)]
    fn passes(&self, part: u32) -> bool {
        let known = self.filter.get(number(part & 0x00ff_ffff, FILTER_BITS));
        known.copied().unwrap_or(0) >> ((part >> 24) % 8) & 1 != 0
    }

    /// Hands over every place of every keyword.
    fn each<'t>(&'t self, text: &[u8], visit: &mut impl FnMut(Place<'t>)) {
        if self.words.is_empty() {
            return;
        }
        // Eight bytes hold the first five grams, each with the byte after it.
        let stride = if self.step == 1 { 5 } else { 6 };
        let mut at = 0;
        while let Some(eight) = text.get(at..at + 8).and_then(|eight| eight.first_chunk()) {
            let eight = u64::from_le_bytes(*eight) | FOLD;
            let passes = |offset: usize| self.passes((eight >> (8 * offset)) as u32);
            let even = passes(0) | passes(2) | passes(4);
            if even || (self.step == 1 && (passes(1) | passes(3))) {
                for offset in (0..5).step_by(self.step).filter(|offset| passes(*offset)) {
                    let gram = (eight >> (8 * offset)) as u32 & 0x00ff_ffff;
                    self.compare(text, at + offset, gram, visit);
                }
            }
            at += stride;
        }
        let rest = text.get(at..).unwrap_or_default();
        for (offset, gram) in rest.windows(GRAM).enumerate().step_by(self.step) {
            self.compare(text, at + offset, folded(gram), visit);
        }
        if self.has_pairs {
            for (at, pair) in text.windows(2).enumerate() {
                let pair = folded(pair) | PAIR;
                self.compare(text, at, pair, visit);
            }
        }
    }

    fn compare<'t>(&'t self, text: &[u8], at: usize, gram: u32, visit: &mut impl FnMut(Place<'t>)) {
        let entry = |number: u32| self.entries.get(number.checked_sub(1)? as usize);
        let mut next = self
            .slots
            .get(number(gram, SLOT_BITS))
            .copied()
            .unwrap_or(0);
        while let Some(own) = entry(next) {
            next = own.next;
            let more = at.checked_add_signed(own.more.into());
            let more = more.and_then(|at| text.get(at)).copied().unwrap_or(0);
            if own.key != key(gram, more) {
                continue;
            }
            let start = at.checked_sub(own.offset.into());
            let word = self.words.get(own.word as usize);
            if let (Some(start), Some((word, rules))) = (start, word) {
                let range = start..start + word.len();
                let place = text.get(range.clone());
                if place.is_some_and(|place| place.eq_ignore_ascii_case(word)) {
                    visit(Place { range, rules });
                }
            }
        }
    }
}

/// A gram and one more byte of its word as one number.
fn key(gram: u32, more: u8) -> u32 {
    (gram & 0x00ff_ffff) | u32::from(more | 0x20) << 24
}

impl Table {
    /// The rules to run on a text.
    fn called(&self, text: &[u8]) -> RuleSet {
        let mut called = self.always.clone();
        self.each(text, |place| called.join(place.rules));
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
        self.each(text, |Place { range, rules }| {
            let around = range.start.saturating_sub(AROUND)..(range.end + AROUND).min(text.len());
            for rule in rules.numbers() {
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

    fn table(words: &[&str]) -> Table {
        let words = words.iter().enumerate().map(|(at, word)| {
            let mut rules = RuleSet::of_size(words.len());
            rules.insert(at);
            (word.as_bytes().to_vec(), rules)
        });
        let words: Vec<_> = words.collect();
        let (long, short) = words
            .into_iter()
            .partition(|(word, _): &(Vec<u8>, _)| word.len() > GRAM);
        Table {
            long: Grams::of(long),
            short: Grams::of(short),
            gated: Grams::of(Vec::new()),
            always: RuleSet::default(),
        }
    }

    fn found(words: &[&str], text: &str) -> Vec<(usize, Range<usize>)> {
        let mut found = Vec::new();
        table(words).each(text.as_bytes(), |place| {
            found.extend(
                place
                    .rules
                    .numbers()
                    .map(|rule| (rule, place.range.clone())),
            );
        });
        found.sort_by_key(|(rule, range)| (*rule, range.start));
        found
    }

    #[test]
    fn every_place_of_every_keyword_is_found() {
        let words = ["pw", "url", "curl", "password", "word", "忽略"];
        let text = "CURL a passWord pw 忽略";
        let looked_for = words.iter().enumerate().flat_map(|(rule, word)| {
            let lower = text.to_ascii_lowercase();
            let starts: Vec<_> = lower.match_indices(word).map(|(at, _)| at).collect();
            starts
                .into_iter()
                .map(move |at| (rule, at..at + word.len()))
        });
        assert_eq!(found(&words, text), looked_for.collect::<Vec<_>>());
        assert_eq!(found(&words, "p"), []);
        assert_eq!(found(&words, ""), []);
    }

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

    #[test]
    fn a_fold_that_is_no_case_finds_nothing() {
        // `@` and a grave accent differ by the bit that tells cases apart.
        assert_eq!(found(&["a@b.c"], "a`b.c"), []);
        assert_eq!(found(&["{~}x"], "[^]x"), []);
    }

    #[test]
    fn it_agrees_with_a_plain_search() {
        for words in [
            &["ab", "bab", "abba", "aa", "babab", "b\"a"][..],
            &["bab", "abba"],
            &["abba", "babab", "aabb", "b\"aa"],
        ] {
            let mut seed = 7_u32;
            let mut letter = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ['a', 'b', 'B', '"'][(seed >> 30) as usize]
            };
            let text: String = (0..4_000).map(|_| letter()).collect();
            let lower = text.to_ascii_lowercase();
            let mut plain = Vec::new();
            for (rule, word) in words.iter().enumerate() {
                let places = (0..lower.len()).filter(|at| lower[*at..].starts_with(word));
                plain.extend(places.map(|at| (rule, at..at + word.len())));
            }
            assert!(plain.len() > 100);
            assert_eq!(found(words, &text), plain);
        }
    }
}
