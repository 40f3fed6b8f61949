//! The rules of a table as hooks: the anchors of those whose matches lie in one line, the keywords of
//! the others. Where much is read, one pass for hooks calls up far fewer rules than one for keywords,
//! and no other finds anything more.

use std::collections::HashMap;
use std::ops::Range;

use baton_core::policy::Side;

use crate::anchor::{Anchor, Spot};
use crate::book::RuleBook;
use crate::gram::{Grams, Rarity, Word};
use crate::rule::Rule;
use crate::rule_set::RuleSet;

/// The hooks of some rules, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Hooks {
    words: Vec<Word>,
    /// For each word its hooks.
    hooks: Vec<Vec<Hook>>,
    grams: Grams,
    /// The kinds of places, which many anchors share.
    spots: Vec<Spot>,
    /// The rules that run on every text.
    pub(crate) always: RuleSet,
}

/// A word that calls up a rule.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) rule: usize,
    /// What stands from the word on, and before it, the nearest first.
    ahead: Vec<u16>,
    behind: Vec<u16>,
    pub(crate) is_anchor: bool,
    /// Whether a keyword of the rule stands in the anchor.
    pub(crate) has_keyword: bool,
    /// What the rule looks at.
    pub(crate) reads_added_line: bool,
    pub(crate) is_losing: bool,
    pub(crate) is_loose: bool,
}

/// Makes hooks.
struct Maker<'b, 'p> {
    book: &'b RuleBook<'p>,
    rarity: Rarity,
    known: HashMap<Vec<u8>, usize>,
    kinds: HashMap<Spot, u16>,
    made: Hooks,
}

impl Hooks {
    /// Makes the hooks of the rules that read text.
    pub(crate) fn of(book: &RuleBook<'_>, fits: &RuleSet) -> Self {
        let mut maker = Maker {
            book,
            rarity: Rarity::new(),
            known: HashMap::new(),
            kinds: HashMap::new(),
            made: Self {
                words: Vec::new(),
                hooks: Vec::new(),
                grams: Grams::of(&[], &[]),
                spots: Vec::new(),
                always: RuleSet::default(),
            },
        };
        for number in fits.numbers() {
            if let Some(rule) = book.rule(number).filter(|rule| rule.reads_text()) {
                maker.add_rule(number, rule);
            }
        }
        let mut made = maker.made;
                let numbers: Vec<usize> = (0..made.words.len()).collect();
        made.grams = Grams::of(&made.words, &numbers);
        made
    }

    /// Hands over each hook that fits a place of a text, and where its word stands. In the raw text
    /// of a hunk the first byte of each line is its marker.
    pub(crate) fn each<'h>(
        &'h self,
        text: &[u8],
        is_raw: bool,
        mut visit: impl FnMut(&'h Hook, Range<usize>),
    ) {
        let mut found = |word: usize, range: Range<usize>| {
            let hooks = self.hooks.get(word).map(Vec::as_slice);
            for hook in hooks.unwrap_or_default() {
                if self.fits(hook, text, range.start, is_raw) {
                    visit(hook, range.clone());
                }
            }
        };
        self.grams.each(&self.words, text, &mut found);
    }

    /// Whether the bytes around a word are those of an anchor. What lies in another line is not asked.
    fn fits(&self, hook: &Hook, text: &[u8], start: usize, is_raw: bool) -> bool {
        let spot = |number: &u16| self.spots.get(usize::from(*number)).copied();
        let ahead = hook.ahead.iter().filter_map(spot);
        for (spot, at) in ahead.zip(start..) {
            match text.get(at) {
                Some(b'\n') | None => {
                    if !(spot.edge || spot.bytes.has(b'\n')) {
                        return false;
                    }
                    break;
                }
                Some(byte) if spot.bytes.has(*byte) => {}
                Some(_) => return false,
            }
        }
        let mut at = start;
        for spot in hook.behind.iter().filter_map(spot) {
            let byte = at.checked_sub(1).and_then(|before| text.get(before));
            let is_marker = || is_raw && (at == 1 || text.get(at.wrapping_sub(2)) == Some(&b'\n'));
            match byte {
                Some(byte) if *byte != b'\n' && !is_marker() => {
                    if !spot.bytes.has(*byte) {
                        return false;
                    }
                }
                _ => return spot.edge || spot.bytes.has(b'\n'),
            }
            at -= 1;
        }
        true
    }
}

impl Maker<'_, '_> {
    fn add_rule(&mut self, number: usize, rule: &Rule<'_>) {
        let is_losing = self.book.losing.has(number);
        let hook = |is_anchor: bool| Hook {
            rule: number,
            ahead: Vec::new(),
            behind: Vec::new(),
            is_anchor,
            has_keyword: false,
            reads_added_line: rule.stays_in_line() && rule.side() == Side::Added,
            is_losing,
            is_loose: rule.is_loose(),
        };
        if let Some(anchors) = rule.anchors() {
            for anchor in anchors {
                let mut own = hook(true);
                own.has_keyword = rule.has_no_keyword() || holds_keyword(anchor, rule);
                let numbers: Vec<u16> = anchor.spots.iter().map(|spot| self.kind(*spot)).collect();
                let (behind, ahead) = numbers.split_at(anchor.offset.min(numbers.len()));
                own.ahead = ahead.to_vec();
                own.behind = behind.iter().rev().copied().collect();
                self.add(&anchor.word, own);
            }
        } else if rule.has_no_keyword() {
            self.made.always.insert(number);
        } else {
            for word in rule.keywords() {
                self.add(word.to_ascii_lowercase().as_bytes(), hook(false));
            }
        }
    }

    fn add(&mut self, word: &[u8], hook: Hook) {
        let made = &mut self.made;
        let number = *self.known.entry(word.to_vec()).or_insert_with_key(|bytes| {
            made.words.push(Word::new(bytes.clone(), &self.rarity));
            made.hooks.push(Vec::new());
            made.words.len() - 1
        });
        if let Some(hooks) = made.hooks.get_mut(number) {
            hooks.push(hook);
        }
    }

    fn kind(&mut self, spot: Spot) -> u16 {
        let spots = &mut self.made.spots;
        *self.kinds.entry(spot).or_insert_with(|| {
            spots.push(spot);
            (spots.len() - 1) as u16
        })
    }
}

/// Whether a keyword of the rule stands in an anchor.
fn holds_keyword(anchor: &Anchor, rule: &Rule<'_>) -> bool {
    let text: Vec<u8> = anchor.letters().collect();
    let own = anchor.offset..anchor.offset + anchor.word.len();
    let word = anchor.word.iter().copied();
    let before = text.iter().copied().take(own.start);
    let after = text.iter().copied().skip(own.end);
    let text: Vec<u8> = before.chain(word).chain(after).collect();
    rule.keywords().iter().any(|word| {
        let mut parts = text.windows(word.len().max(1));
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    })
}
