//! Many short words in a text, found in one pass.
//!
//! A word is known by one gram of it, three bytes, and the byte after it; the pass looks every place
//! of a text up in a small filter of these, and compares a whole word only where its gram stands.

use std::ops::Range;

/// Bytes of a gram.
pub(crate) const GRAM: usize = 3;
/// Bits of the number of a gram in the filter: its 32 KiB stay in the fastest cache.
const FILTER_BITS: u32 = 13;
/// Bits of the number of a word of the second filters, of 64 bits each.
const SECOND_BITS: u32 = 10;
/// Bits of the number of a gram in the list of common ones.
const COMMON_BITS: u32 = 15;
/// Bits of the number of a gram in the table of words.
const SLOT_BITS: u32 = 12;
/// Makes the same of both cases of a letter, in eight bytes.
const FOLD: u64 = 0x2020_2020_2020_2020;
/// Places that eight bytes are enough for, each with a gram and the byte after it.
const PLACES: usize = 5;
/// The bytes of a gram in a number that holds four.
const OF_GRAM: u32 = 0x00ff_ffff;
/// The bytes of a word that has but two.
const OF_PAIR: u32 = 0x0000_ffff;
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

/// How rare each gram is, by its number, and each letter; only the order counts.
struct Rarity {
    grams: [u16; 1 << COMMON_BITS],
    letters: [u8; 256],
}

/// Words to look for, by number: lower case, two bytes or more.
#[derive(Debug, Default)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    /// Where each word stands in these, and where its rarest gram stands in it.
    places: Vec<(Range<u32>, u32)>,
}

/// Some words of a list by their grams.
#[derive(Debug)]
pub(crate) struct Grams {
    /// For the number of each gram the bytes, by their last five bits, that a word has after it.
    filter: Box<[u32; 1 << FILTER_BITS]>,
    /// What passed the filter is looked up once more, by another number: four bytes of the longer words,
    /// three of the shorter ones.
    fours: Box<[u64; 1 << SECOND_BITS]>,
    threes: Box<[u64; 1 << SECOND_BITS]>,
    /// The first entry with a gram of this number, and one more; 0 for none.
    slots: Box<[u32; 1 << SLOT_BITS]>,
    entries: Vec<Entry>,
    /// Where words of two bytes may stand; of no size without any.
    pairs: Vec<u64>,
}

/// Small, so that the entries of a table stay in a fast cache.
#[derive(Debug)]
struct Entry {
    /// The gram and what follows it in the word, eight bytes at the most.
    key: u64,
    /// Which bytes of the key count.
    mask: u64,
    /// The number of the word, and where in it the gram stands.
    word: u32,
    offset: u16,
    /// The next entry of the same slot, and one more; 0 for none.
    next: u32,
}

/// The rarity of grams, worked out by the compiler.
static RARITY: Rarity = Rarity::new();

impl Rarity {
    #[expect(clippy::indexing_slicing, reason = "the compiler looks up each place")]
    const fn new() -> Self {
        let mut grams = [COMMON.len() as u16; 1 << COMMON_BITS];
        let mut at = 0;
        while at < COMMON.len() / GRAM {
            let (first, second, third) = (COMMON[3 * at], COMMON[3 * at + 1], COMMON[3 * at + 2]);
            let gram = u32::from_le_bytes([first | 0x20, second | 0x20, third | 0x20, 0]);
            grams[number(gram, COMMON_BITS)] = at as u16;
            at += 1;
        }
        let mut letters = [LETTERS.len() as u8 - 4; 256];
        let mut at = 0;
        while at < LETTERS.len() {
            letters[LETTERS[at] as usize] = at as u8;
            at += 1;
        }
        Self { grams, letters }
    }

    fn of(&self, gram: &[u8]) -> usize {
        let place = self
            .grams
            .get(number(folded(gram) & OF_GRAM, COMMON_BITS))
            .copied();
        let place = usize::from(place.unwrap_or(0));
        if place < COMMON.len() {
            return place;
        }
        let letter = |byte: &u8| self.letters.get(usize::from(*byte)).copied();
        let letters = gram.iter().filter_map(letter).map(usize::from);
        place + letters.sum::<usize>()
    }
}

impl Words {
    pub(crate) fn get(&self, number: usize) -> Option<&[u8]> {
        let (range, _) = self.places.get(number)?;
        self.bytes.get(range.start as usize..range.end as usize)
    }

    fn rarest(&self, number: usize) -> usize {
        self.places
            .get(number)
            .map_or(0, |(_, rarest)| *rarest as usize)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn push(&mut self, word: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(word);
        let range = start..self.bytes.len() as u32;
        self.places.push((range, rarest_gram(word) as u32));
    }
}

/// Where the rarest gram of a word stands.
fn rarest_gram(bytes: &[u8]) -> usize {
    let weight = |offset: usize| {
        let gram = bytes.get(offset..offset + GRAM).unwrap_or_default();
        // The byte after a gram tells much more than where the gram stands in the list.
        let is_last = offset + GRAM == bytes.len();
        RARITY.of(gram) + if is_last { 0 } else { COMMON.len() / GRAM }
    };
    let offsets = 0..(bytes.len() + 1).saturating_sub(GRAM);
    offsets.max_by_key(|offset| weight(*offset)).unwrap_or(0)
}

/// The first bytes of a text, four at the most, as a number that is the same for both cases of a
/// letter.
fn folded(bytes: &[u8]) -> u32 {
    eight_of(bytes) as u32
}

/// As [`folded`], with eight bytes.
#[inline]
fn eight_of(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        return u64::from_le_bytes(*eight) | FOLD;
    }
    let bytes = bytes.iter().enumerate();
    bytes.fold(0, |all, (at, byte)| {
        all | u64::from(byte | 0x20) << (8 * at)
    })
}

const fn number(gram: u32, bits: u32) -> usize {
    (gram.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

/// Where a second filter knows some bytes.
#[inline]
fn second(bytes: u32) -> (usize, u64) {
    let number = bytes.wrapping_mul(0x85eb_ca6b) ^ (bytes >> 15);
    let place = number.wrapping_mul(0xc2b2_ae35) >> (26 - SECOND_BITS);
    ((place >> 6) as usize, 1 << (place % 64))
}

fn mark(filter: &mut [u64; 1 << SECOND_BITS], bytes: u32) {
    let (at, bit) = second(bytes);
    if let Some(known) = filter.get_mut(at) {
        *known |= bit;
    }
}

#[inline]
fn is_marked(filter: &[u64; 1 << SECOND_BITS], bytes: u32) -> bool {
    let (at, bit) = second(bytes);
    filter.get(at).copied().unwrap_or(0) & bit != 0
}

/// An array of zeros that never lies on the stack.
fn zeros<T: Clone + Default, const N: usize>() -> Option<Box<[T; N]>> {
    vec![T::default(); N].into_boxed_slice().try_into().ok()
}

impl Grams {
    /// Makes ready to look for the words of these numbers.
    pub(crate) fn of(words: &Words, numbers: &[usize]) -> Self {
        let mut grams = Self {
            filter: zeros().unwrap_or_else(|| Box::new([0; 1 << FILTER_BITS])),
            fours: zeros().unwrap_or_else(|| Box::new([0; 1 << SECOND_BITS])),
            threes: zeros().unwrap_or_else(|| Box::new([0; 1 << SECOND_BITS])),
            slots: zeros().unwrap_or_else(|| Box::new([0; 1 << SLOT_BITS])),
            entries: Vec::with_capacity(numbers.len()),
            pairs: Vec::new(),
        };
        for number in numbers {
            if let Some(word) = words.get(*number) {
                grams.add(word, words.rarest(*number), *number);
            }
        }
        grams
    }

    fn add(&mut self, word: &[u8], rarest: usize, number_of_word: usize) {
        let own = word.get(rarest..).unwrap_or_default();
        let four = folded(own);
        let slot = match own.len() {
            // Any byte may follow, and makes another gram of it.
            0..GRAM => {
                self.mark_pair(four);
                for byte in 0..=u8::MAX {
                    let three = four | u32::from(byte | 0x20) << 16;
                    self.let_pass(three, u32::MAX);
                    mark(&mut self.threes, three);
                }
                four & OF_PAIR
            }
            GRAM => {
                self.let_pass(four, u32::MAX);
                mark(&mut self.threes, four);
                four
            }
            _ => {
                mark(&mut self.fours, four);
                self.let_pass(four & OF_GRAM, 1 << ((four >> 24) % 32));
                four & OF_GRAM
            }
        };
        if let Some(slot) = self.slots.get_mut(number(slot, SLOT_BITS)) {
            self.entries.push(Entry {
                key: eight_of(own),
                mask: u64::MAX >> (64 - 8 * own.len().clamp(1, 8)),
                word: number_of_word as u32,
                offset: rarest as u16,
                next: *slot,
            });
            *slot = self.entries.len() as u32;
        }
    }

    fn mark_pair(&mut self, four: u32) {
        self.pairs.resize(1 << (16 - 6), 0);
        let pair = (four & OF_PAIR) as usize;
        if let Some(known) = self.pairs.get_mut(pair / 64) {
            *known |= 1 << (pair % 64);
        }
    }

    #[inline]
    fn may_be_pair(&self, four: u32) -> bool {
        let pair = (four & OF_PAIR) as usize;
        let known = self.pairs.get(pair / 64);
        known.is_some_and(|known| known & 1 << (pair % 64) != 0)
    }

    fn let_pass(&mut self, gram: u32, followers: u32) {
        if let Some(known) = self.filter.get_mut(number(gram, FILTER_BITS)) {
            *known |= followers;
        }
    }

    /// 1 where a word may have this gram with this byte after it, its highest; else 0.
    #[inline(always)]
    fn passes(&self, four: u32) -> u32 {
        let known = self.filter.get(number(four & OF_GRAM, FILTER_BITS));
        known.copied().unwrap_or(0) >> ((four >> 24) % 32) & 1
    }

    /// Hands over every place of every word, by its number.
    pub(crate) fn each(
        &self,
        words: &Words,
        text: &[u8],
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        if self.entries.is_empty() {
            return;
        }
        let mut at = 0;
        while let Some(eight) = text.get(at..at + 8).and_then(|eight| eight.first_chunk()) {
            let eight = u64::from_le_bytes(*eight) | FOLD;
            let four = |offset: usize| (eight >> (8 * offset)) as u32;
            let mut found =
                (0..PLACES).fold(0, |all, offset| all | self.passes(four(offset)) << offset);
            while found != 0 {
                let offset = found.trailing_zeros() as usize;
                found &= found - 1;
                let four = four(offset);
                if !(is_marked(&self.fours, four) || is_marked(&self.threes, four & OF_GRAM)) {
                    continue;
                }
                self.compare(words, text, at + offset, four, visit);
            }
            at += PLACES;
        }
        let rest = text.get(at..).unwrap_or_default();
        for offset in 0..rest.len() {
            let four = folded(rest.get(offset..).unwrap_or_default());
            self.compare(words, text, at + offset, four, visit);
        }
    }

    fn compare(
        &self,
        words: &Words,
        text: &[u8],
        at: usize,
        four: u32,
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        let eight = text.get(at..).map(eight_of).unwrap_or_default();
        self.compare_slot(words, text, (at, eight), four & OF_GRAM, visit);
        if self.may_be_pair(four) {
            self.compare_slot(words, text, (at, eight), four & OF_PAIR, visit);
        }
    }

    #[inline]
    fn compare_slot(
        &self,
        words: &Words,
        text: &[u8],
        (at, eight): (usize, u64),
        slot: u32,
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        let slot = self.slots.get(number(slot, SLOT_BITS));
        let mut next = slot.copied().unwrap_or(0);
        let entry = |number: u32| self.entries.get(number.checked_sub(1)? as usize);
        while let Some(own) = entry(next) {
            next = own.next;
            if eight & own.mask != own.key {
                continue;
            }
            let number = own.word as usize;
            let start = at.checked_sub(own.offset.into());
            if let (Some(start), Some(word)) = (start, words.get(number)) {
                let range = start..start + word.len();
                let place = text.get(range.clone());
                if place.is_some_and(|place| place.eq_ignore_ascii_case(word)) {
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
        let numbers: Vec<usize> = (0..words.len()).collect();
        let mut list = Words::default();
        words.iter().for_each(|word| list.push(word.as_bytes()));
        let words = list;
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
