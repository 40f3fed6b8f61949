//! Many short words in a text, found in one pass.
//!
//! A word is known by one gram of it, three bytes, or by two side by side; the pass looks the grams of
//! a text up in a small filter that also knows the byte after each, and compares a whole word only
//! where its gram stands. With two grams for each word every second place of the text is enough.

use std::ops::Range;

/// Bytes of a gram.
pub(crate) const GRAM: usize = 3;
/// Bits of the number of a gram in the filter: its 32 KiB stay in the fastest cache.
const FILTER_BITS: u32 = 15;
/// Bits of the number of a gram in the table of words.
const SLOT_BITS: u32 = 13;
/// Makes the same of both cases of a letter, in eight bytes.
const FOLD: u64 = 0x2020_2020_2020_2020;
/// Marks the gram of a word that has but two bytes.
const PAIR: u32 = 1 << 24;
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

/// How rare each gram is, by its number; only the order counts.
pub(crate) struct Rarity(Box<[u16]>);

/// A word to look for, with its rarest places.
#[derive(Debug)]
pub(crate) struct Word {
    /// Lower case; two bytes or more.
    pub(crate) bytes: Vec<u8>,
    /// Where its rarest gram stands, and its rarest two side by side.
    rarest: [usize; 2],
}

/// Some words of a list by their grams.
#[derive(Debug)]
pub(crate) struct Grams {
    /// For the number of each gram the bytes, by their last three bits, that a word has after it.
    filter: Box<[u8]>,
    /// The first entry with a gram of this number, and one more; 0 for none.
    slots: Box<[u32]>,
    entries: Vec<Entry>,
    /// Which places of a text are looked at: each, or each second.
    step: usize,
    has_pairs: bool,
}

/// Small, so that the entries of a table stay in the fastest cache.
#[derive(Debug)]
struct Entry {
    /// The gram, and above it one more byte of the word.
    key: u32,
    /// The number of the word, and where in it the gram stands.
    word: u32,
    offset: u16,
    /// Where the one more byte stands, from the gram's place.
    more: i16,
    /// The next entry of the same slot, and one more; 0 for none.
    next: u32,
}

impl Rarity {
    pub(crate) fn new() -> Self {
        let last = u16::try_from(COMMON.len()).unwrap_or(u16::MAX);
        let mut places = vec![last; 1 << FILTER_BITS];
        for (gram, place) in COMMON.chunks(GRAM).zip(0..) {
            if let Some(known) = places.get_mut(number(folded(gram), FILTER_BITS)) {
                *known = place;
            }
        }
        Self(places.into())
    }

    fn of(&self, gram: &[u8]) -> usize {
        let place = self.0.get(number(folded(gram), FILTER_BITS)).copied();
        let place = usize::from(place.unwrap_or(0));
        if place < COMMON.len() {
            return place;
        }
        let letter = |byte: &u8| LETTERS.iter().position(|letter| letter == byte);
        let letters = gram
            .iter()
            .map(|byte| letter(byte).unwrap_or(LETTERS.len() - 4));
        place + letters.sum::<usize>()
    }
}

impl Word {
    pub(crate) fn new(bytes: Vec<u8>, rarity: &Rarity) -> Self {
        let weight = |offset: usize| {
            let gram = bytes.get(offset..offset + GRAM).unwrap_or_default();
            // The byte after a gram tells much more than where the gram stands in the list.
            let is_last = offset + GRAM == bytes.len();
            rarity.of(gram) + if is_last { 0 } else { COMMON.len() / GRAM }
        };
        let weights: Vec<usize> = (0..(bytes.len() + 1).saturating_sub(GRAM))
            .map(weight)
            .collect();
        let best = |grams: usize| {
            let parts = weights.windows(grams).map(|part| part.iter().min());
            let best = parts.enumerate().max_by_key(|(_, weight)| *weight);
            best.map_or(0, |(at, _)| at)
        };
        let rarest = [best(1), best(2)];
        Self { bytes, rarest }
    }
}

/// The first bytes of a text as a number that is the same for both cases of a letter.
fn folded(bytes: &[u8]) -> u32 {
    let bytes = bytes.iter().take(GRAM).enumerate();
    bytes.fold(0, |all, (at, byte)| {
        all | u32::from(byte | 0x20) << (8 * at)
    })
}

/// A gram and one more byte of its word as one number.
fn key(gram: u32, more: u8) -> u32 {
    (gram & 0x00ff_ffff) | u32::from(more | 0x20) << 24
}

fn number(gram: u32, bits: u32) -> usize {
    (gram.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

impl Grams {
    /// Makes ready to look for the words of these numbers.
    pub(crate) fn of(words: &[Word], numbers: &[usize]) -> Self {
        let numbered = numbers
            .iter()
            .filter_map(|number| Some((*number, words.get(*number)?)));
        let shortest = numbered.clone().map(|(_, word)| word.bytes.len()).min();
        let size = |bits: u32| if numbers.is_empty() { 0 } else { 1 << bits };
        let mut grams = Self {
            filter: vec![0; size(FILTER_BITS)].into(),
            slots: vec![0; size(SLOT_BITS)].into(),
            entries: Vec::with_capacity(2 * numbers.len()),
            step: if shortest.is_some_and(|length| length <= GRAM) {
                1
            } else {
                2
            },
            has_pairs: shortest.is_some_and(|length| length < GRAM),
        };
        for (number, word) in numbered {
            let [single, pair] = word.rarest;
            let offsets = if grams.step == 1 {
                single..single + 1
            } else {
                pair..pair + 2
            };
            offsets.for_each(|offset| grams.add(&word.bytes, number, offset));
        }
        grams
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add(&mut self, word: &[u8], number_of_word: usize, offset: usize) {
        let mut gram = folded(word.get(offset..).unwrap_or_default());
        if word.len() < GRAM {
            gram |= PAIR;
        }
        let byte_at = |at: Option<usize>| word.get(at?).copied();
        // The byte after the gram, or the one before it; the gram's own first where there is neither.
        let after = byte_at(Some(offset + GRAM)).map(|byte| (GRAM as i16, byte));
        let before = || byte_at(offset.checked_sub(1)).map(|byte| (-1, byte));
        let own = || (0, byte_at(Some(offset)).unwrap_or_default());
        let (more, byte) = after.or_else(before).unwrap_or_else(own);
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

    /// Whether a word may have this gram with this byte after it, its highest.
    #[inline(always)]
    fn passes(&self, part: u32) -> bool {
        let known = self.filter.get(number(part & 0x00ff_ffff, FILTER_BITS));
        known.copied().unwrap_or(0) >> ((part >> 24) % 8) & 1 != 0
    }

    /// Hands over every place of every word, by its number.
    pub(crate) fn each(
        &self,
        words: &[Word],
        text: &[u8],
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        if self.is_empty() {
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
                    self.compare(words, text, at + offset, gram, visit);
                }
            }
            at += stride;
        }
        let rest = text.get(at..).unwrap_or_default();
        for (offset, gram) in rest.windows(GRAM).enumerate().step_by(self.step) {
            self.compare(words, text, at + offset, folded(gram), visit);
        }
        if self.has_pairs {
            for (at, pair) in text.windows(2).enumerate() {
                let pair = folded(pair) | PAIR;
                self.compare(words, text, at, pair, visit);
            }
        }
    }

    fn compare(
        &self,
        words: &[Word],
        text: &[u8],
        at: usize,
        gram: u32,
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
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
            let number = own.word as usize;
            let start = at.checked_sub(own.offset.into());
            if let (Some(start), Some(word)) = (start, words.get(number)) {
                let range = start..start + word.bytes.len();
                let place = text.get(range.clone());
                if place.is_some_and(|place| place.eq_ignore_ascii_case(&word.bytes)) {
                    visit(number, range);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str], text: &str) -> Vec<(usize, Range<usize>)> {
        let rarity = Rarity::new();
        let words = words
            .iter()
            .map(|word| Word::new(word.as_bytes().to_vec(), &rarity));
        let words: Vec<_> = words.collect();
        let numbers: Vec<usize> = (0..words.len()).collect();
        let mut found = Vec::new();
        Grams::of(&words, &numbers).each(&words, text.as_bytes(), &mut |word, range| {
            found.push((word, range));
        });
        found.sort_by_key(|(word, range)| (*word, range.start));
        found
    }

    #[test]
    fn every_place_of_every_word_is_found() {
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
