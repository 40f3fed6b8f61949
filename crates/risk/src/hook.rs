//! The rules that could find something in a text, told by one pass over it for their hooks: their
//! keywords, or where much is read the anchors of those whose matches lie in one line. Anchors call up
//! far fewer rules, and find the same.

use std::collections::HashMap;
use std::ops::Range;

use crate::anchor::Anchor;
use crate::gram::{Grams, Word};
use crate::rule::Rule;
use crate::rule_set::RuleSet;
use crate::spot::Spot;

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
    /// What makes an anchor of the word; None for a keyword.
    pub(crate) anchor: Option<Around>,
}

/// What stands around the word of an anchor.
#[derive(Debug)]
pub(crate) struct Around {
    /// The places from the word on, and those before it, the nearest first.
    ahead: Vec<u16>,
    behind: Vec<u16>,
    /// Whether a keyword of the rule stands in the anchor.
    pub(crate) has_keyword: bool,
    /// Whether every match of the rule holds a keyword, or none is asked for.
    pub(crate) is_enough: bool,
}

/// Makes hooks.
struct Maker<'r> {
    known: HashMap<&'r [u8], usize>,
    others: HashMap<Vec<u8>, usize>,
    kinds: HashMap<Spot, u16>,
    made: Made,
}

#[derive(Default)]
struct Made {
    words: Vec<Word>,
    hooks: Vec<Vec<Hook>>,
    spots: Vec<Spot>,
    always: RuleSet,
}

impl Hooks {
    /// The keywords of the rules that read text.
    pub(crate) fn of_keywords(rules: &[Rule<'_>], fits: &RuleSet) -> Self {
        Self::made(rules, fits, |_| None)
    }

    /// The anchors of the rules that have some, and the keywords of the others.
    pub(crate) fn of_anchors(rules: &[Rule<'_>], fits: &RuleSet) -> Self {
        Self::made(rules, fits, |rule| rule.anchors())
    }

    fn made<'r>(
        rules: &'r [Rule<'_>],
        fits: &RuleSet,
        anchors: impl Fn(&'r Rule<'_>) -> Option<(&'r [Anchor], bool)>,
    ) -> Self {
        let mut maker = Maker {
            known: HashMap::new(),
            others: HashMap::new(),
            kinds: HashMap::new(),
            made: Made::default(),
        };
        for number in fits.numbers() {
            let Some(rule) = rules.get(number).filter(|rule| rule.reads_text()) else {
                continue;
            };
            match anchors(rule) {
                Some((anchors, is_enough)) => maker.add_anchors(number, rule, anchors, is_enough),
                None if rule.has_no_keyword() => maker.made.always.insert(number),
                None => maker.add_keywords(number, rule),
            }
        }
        let made = maker.made;
        Self {
            grams: Grams::of(&made.words),
            words: made.words,
            hooks: made.hooks,
            spots: made.spots,
            always: made.always,
        }
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
                let around = hook.anchor.as_ref();
                if around.is_none_or(|around| self.fits(around, text, range.start, is_raw)) {
                    visit(hook, range.clone());
                }
            }
        };
        self.grams.each(&self.words, text, &mut found);
    }

    /// Whether the bytes around a word are those of an anchor. What lies in another line is not asked.
    fn fits(&self, around: &Around, text: &[u8], start: usize, is_raw: bool) -> bool {
        let spot = |number: &u16| self.spots.get(usize::from(*number));
        for (spot, at) in around.ahead.iter().filter_map(spot).zip(start..) {
            match text.get(at) {
                Some(byte) if *byte != b'\n' => {
                    if !spot.bytes.has(*byte) {
                        return false;
                    }
                }
                _ if spot.holds_edge() => break,
                _ => return false,
            }
        }
        let mut at = start;
        for spot in around.behind.iter().filter_map(spot) {
            let is_marker = is_raw && (at == 1 || text.get(at.wrapping_sub(2)) == Some(&b'\n'));
            let byte = at.checked_sub(1).and_then(|before| text.get(before));
            match byte.filter(|byte| **byte != b'\n' && !is_marker) {
                Some(byte) if spot.bytes.has(*byte) => at -= 1,
                Some(_) => return false,
                None => return spot.holds_edge(),
            }
        }
        true
    }
}

impl<'r> Maker<'r> {
    fn add_keywords(&mut self, number: usize, rule: &'r Rule<'_>) {
        for word in rule.keywords() {
            let bytes = word.as_bytes();
            let made = &mut self.made;
            let is_lower = !bytes.iter().any(u8::is_ascii_uppercase);
            let at = match is_lower {
                true => *self
                    .known
                    .entry(bytes)
                    .or_insert_with(|| made.add_word(bytes)),
                false => *self
                    .others
                    .entry(bytes.to_ascii_lowercase())
                    .or_insert_with_key(|bytes| made.add_word(bytes)),
            };
            made.add(
                at,
                Hook {
                    rule: number,
                    anchor: None,
                },
            );
        }
    }

    fn add_anchors(
        &mut self,
        number: usize,
        rule: &Rule<'_>,
        anchors: &'r [Anchor],
        is_enough: bool,
    ) {
        for anchor in anchors {
            let kinds: Vec<u16> = anchor.spots.iter().map(|spot| self.kind(*spot)).collect();
            let (behind, ahead) = kinds.split_at(anchor.offset.min(kinds.len()));
            let around = Around {
                ahead: ahead.to_vec(),
                behind: behind.iter().rev().copied().collect(),
                has_keyword: rule.has_no_keyword() || holds_keyword(anchor, rule),
                is_enough,
            };
            let made = &mut self.made;
            let word = anchor.word.as_slice();
            let at = *self
                .known
                .entry(word)
                .or_insert_with(|| made.add_word(word));
            made.add(
                at,
                Hook {
                    rule: number,
                    anchor: Some(around),
                },
            );
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

impl Made {
    fn add_word(&mut self, bytes: &[u8]) -> usize {
        self.words.push(Word::new(bytes.to_vec()));
        self.hooks.push(Vec::new());
        self.words.len() - 1
    }

    fn add(&mut self, word: usize, hook: Hook) {
        if let Some(hooks) = self.hooks.get_mut(word) {
            hooks.push(hook);
        }
    }
}

/// Whether a keyword of the rule stands in an anchor.
fn holds_keyword(anchor: &Anchor, rule: &Rule<'_>) -> bool {
    let end = anchor.offset + anchor.word.len();
    let letters = anchor.letters();
    let before = letters.clone().take(anchor.offset);
    let word = anchor.word.iter().copied();
    let text: Vec<u8> = before.chain(word).chain(letters.skip(end)).collect();
    rule.keywords().iter().any(|word| {
        let mut parts = text.windows(word.len().max(1));
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use baton_core::policy::Policy;
    use regex::bytes::Regex;

    use super::*;
    use crate::book::RuleBook;
    use crate::pattern;
    use crate::rule::Source;

    const POLICY: &[u8] = include_bytes!("../../../ssot/POLICY.json");
    const SECRETS: &[u8] = include_bytes!("../../../ssot/SECRET_RULES.toml");

    fn only(rule: usize) -> RuleSet {
        let mut set = RuleSet::default();
        set.insert(rule);
        set
    }

    fn calls(hooks: &Hooks, text: &[u8], is_raw: bool) -> bool {
        let mut is_called = !hooks.always.is_empty();
        hooks.each(text, is_raw, |_, _| is_called = true);
        is_called
    }

    /// Every text that is an example of some rule, line by line, with what may stand beside it.
    fn lines(policy: &Policy) -> Vec<String> {
        let examples = include_str!("../tests/secret_examples.json").replace("{~~}", "");
        let secrets: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            serde_json::from_str(&examples).unwrap();
        let own = policy.risk_rules.iter();
        let own = own.flat_map(|rule| rule.matches.iter().chain(&rule.no_match));
        let others = secrets.values().flat_map(BTreeMap::values).flatten();
        let texts = own.chain(others).flat_map(|text| text.split('\n'));
        let lines = texts.flat_map(|line| {
            let wide = format!("  {line}\r");
            [line.to_owned(), line.to_ascii_uppercase(), wide]
        });
        lines.collect()
    }

    #[test]
    fn anchors_call_up_every_rule_that_finds_something() {
        let policy = Policy::parse(POLICY).unwrap();
        let files = [("default".to_owned(), SECRETS.to_vec())];
        let book = RuleBook::new(&policy, &files).unwrap();
        let lines = lines(&policy);
        let (mut anchored, mut found, mut spared) = (0, 0, 0);
        for (number, rule) in book.rules().iter().enumerate() {
            if !rule.reads_text() || rule.anchors().is_none() {
                continue;
            }
            anchored += 1;
            let hooks = Hooks::of_anchors(book.rules(), &only(number));
            let regex: Regex = pattern::compile(rule.pattern()).unwrap();
            for line in &lines {
                let plain = format!("{line}\n");
                let raw = format!("+{line}\n");
                if !regex.is_match(plain.as_bytes()) {
                    spared += usize::from(!calls(&hooks, plain.as_bytes(), false));
                    continue;
                }
                found += 1;
                let id = rule.id();
                assert!(calls(&hooks, plain.as_bytes(), false), "{id}: {plain}");
                assert!(calls(&hooks, raw.as_bytes(), true), "{id}: {raw}");
            }
        }
        let secrets = book.rules().iter();
        let secrets = secrets.filter(|rule| matches!(rule.source, Source::Secret(_)));
        assert!(
            anchored > secrets.count() && found > anchored,
            "{anchored} {found}"
        );
        assert!(spared > 100 * found, "{spared} {found}");
    }
}
