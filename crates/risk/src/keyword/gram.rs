//! Many short words in a text, found in one pass.
//!
//! A word is known by two windows of four bytes, one byte apart: wherever it stands, one of them begins at
//! an even place of the text. The pass looks every second place up in a small filter of these, and compares a
//! whole word only where one of its windows may stand. A word of four bytes or three fills no two windows,
//! so that any byte may stand in the rest; words of two are looked for by themselves.

use std::ops::Range;

use memchr::memmem::Finder;

use crate::keyword::rare::rarest_windows;

/// Bytes of a gram.
pub(crate) const GRAM: usize = 3;
/// Bits of the number of a window in the filter, a bit for each: its 32 KiB stay in the fastest cache.
const FILTER_BITS: u32 = 18;
/// Bits of the number of a window in the table of words.
const SLOT_BITS: u32 = 12;
/// Bits of the number of a window in the second filter.
const SECOND_BITS: u32 = 16;
/// What of a window counts in the filter: for both cases of a letter the same, and of its first and last
/// byte, of which a short word leaves one open, four bits.
const COUNTS: u32 = 0x0f5f_5f0f;
/// Makes the same of both cases of a letter, in eight bytes.
const FOLD: u64 = 0x2020_2020_2020_2020;
/// Windows that are looked up at once, and the bytes that they take.
const WINDOWS: usize = 8;
const BLOCK: usize = 2 * WINDOWS + 2;
/// The bytes of a gram in a number that holds four.
pub(crate) const OF_GRAM: u32 = 0x00ff_ffff;
/// Marks the number of a gram at the end of a window, and at its beginning.
const AT_END: u32 = 0x0100_0000;
const AT_START: u32 = 0x0200_0000;
/// Words to look for, by number: lower case, two bytes or more.
#[derive(Debug, Default)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    /// Where each word stands in these, and where the first of its windows stands in it.
    places: Vec<(Range<u32>, u32)>,
}

/// Some words of a list by their windows.
#[derive(Debug)]
pub(crate) struct Grams {
    /// A bit for the number of each window that a word may stand in.
    filter: Box<[u32; 1 << (FILTER_BITS - 5)]>,
    /// As the filter, of all four bytes, or of the three that are known.
    second: Box<[u32; 1 << (SECOND_BITS - 5)]>,
    /// Where the entries with a window of each number begin; those of the next one follow.
    starts: Box<[u32; (1 << SLOT_BITS) + 1]>,
    entries: Vec<Entry>,
    /// Words of two bytes in each of their cases.
    pairs: Vec<(Finder<'static>, usize)>,
}

/// Small, so that the entries of a table stay in a fast cache.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// What of the word stands in the eight bytes that the window begins.
    key: u64,
    /// The number of the word, and where in it the window begins.
    word: u32,
    offset: i16,
    /// How many bytes of the key count; before a window that begins before the word, one does not.
    length: u16,
}

impl Words {
    pub(crate) fn get(&self, number: usize) -> Option<&[u8]> {
        let (range, _) = self.places.get(number)?;
        self.bytes.get(range.start as usize..range.end as usize)
    }

    fn window(&self, number: usize) -> usize {
        let place = self.places.get(number);
        place.map_or(0, |(_, window)| *window as usize)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn push(&mut self, word: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(word);
        let range = start..self.bytes.len() as u32;
        self.places.push((range, rarest_windows(word) as u32));
    }
}

/// The first bytes of a text, four at the most, as a number that is the same for both cases of a
/// letter.
pub(crate) fn folded(bytes: &[u8]) -> u32 {
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

pub(crate) const fn number(gram: u32, bits: u32) -> usize {
    (gram.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

/// An array of zeros that never lies on the stack.
fn zeros<T: Clone + Default, const N: usize>() -> Option<Box<[T; N]>> {
    vec![T::default(); N].into_boxed_slice().try_into().ok()
}

impl Grams {
    /// Makes ready to look for the words of these numbers.
    pub(crate) fn of(words: &Words, numbers: &[usize]) -> Self {
        let mut grams = Self {
            filter: zeros().unwrap_or_else(|| Box::new([0; 1 << (FILTER_BITS - 5)])),
            second: zeros().unwrap_or_else(|| Box::new([0; 1 << (SECOND_BITS - 5)])),
            starts: zeros().unwrap_or_else(|| Box::new([0; (1 << SLOT_BITS) + 1])),
            entries: Vec::new(),
            pairs: Vec::new(),
        };
        let mut entries = Vec::with_capacity(2 * numbers.len());
        for number in numbers {
            if let Some(word) = words.get(*number) {
                grams.add(word, words.window(*number), *number, &mut entries);
            }
        }
        grams.sort(&entries);
        grams
    }

    /// Takes the entries in, each behind the number of its window, and puts those of a number side by side.
    fn sort(&mut self, entries: &[(usize, Entry)]) {
        for (slot, _) in entries {
            if let Some(next) = self.starts.get_mut(slot + 1) {
                *next += 1;
            }
        }
        let mut end = 0;
        for start in self.starts.iter_mut() {
            end += *start;
            *start = end;
        }
        let mut ends = self.starts.clone();
        self.entries = vec![Entry::default(); entries.len()];
        for (slot, entry) in entries {
            if let Some(end) = ends.get_mut(*slot)
                && let Some(place) = self.entries.get_mut(*end as usize)
            {
                *place = *entry;
                *end += 1;
            }
        }
    }

    fn add(
        &mut self,
        word: &[u8],
        window: usize,
        number: usize,
        entries: &mut Vec<(usize, Entry)>,
    ) {
        let four = folded(word);
        match word.len() {
            0..GRAM => {
                let finders = cases(word).into_iter();
                let finders = finders.map(|word| Finder::new(&word).into_owned());
                self.pairs.extend(finders.map(|finder| (finder, number)));
            }
            GRAM => {
                self.let_pass(any_last(four));
                entries.push(self.entry(word, 0, (four | AT_START, number)));
                self.let_pass(any_first(four));
                entries.push(self.entry(word, -1, (four | AT_END, number)));
            }
            4 => {
                self.let_pass([four]);
                entries.push(self.entry(word, 0, (four, number)));
                self.let_pass(any_first(four & OF_GRAM));
                entries.push(self.entry(word, -1, (four & OF_GRAM | AT_END, number)));
            }
            _ => {
                for offset in window..=window + 1 {
                    let four = folded(word.get(offset..).unwrap_or_default());
                    self.let_pass([four]);
                    entries.push(self.entry(word, offset as i16, (four, number)));
                }
            }
        }
    }

    /// A window of a word, which begins at an offset of it, behind its number.
    fn entry(
        &mut self,
        word: &[u8],
        offset: i16,
        (slot, number_of_word): (u32, usize),
    ) -> (usize, Entry) {
        let own = word.get(offset.max(0) as usize..).unwrap_or_default();
        let mut entry = Entry {
            key: eight_of(own),
            word: number_of_word as u32,
            offset,
            length: own.len().clamp(1, 8) as u16,
        };
        if offset < 0 {
            entry.key <<= 8;
        }
        entry.key &= entry.mask();
        set(&mut *self.second, number(slot, SECOND_BITS));
        (number(slot, SLOT_BITS), entry)
    }

    fn let_pass(&mut self, windows: impl IntoIterator<Item = u32>) {
        for window in windows {
            set(&mut *self.filter, number(window & COUNTS, FILTER_BITS));
        }
    }

    /// 1 where a word may stand in this window; else 0.
    #[inline(always)]
    fn passes(&self, window: u32) -> u32 {
        is_set(&*self.filter, number(window & COUNTS, FILTER_BITS))
    }

    /// Hands over every place of every word, by its number.
    pub(crate) fn each(
        &self,
        words: &Words,
        text: &[u8],
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        let mut pairs = self.places_of_pairs(text).into_iter().peekable();
        let mut each = |number: usize, range: Range<usize>| {
            while let Some((at, pair)) = pairs.next_if(|(at, _)| *at < range.start) {
                visit(pair, at..at + 2);
            }
            if number < words.len() {
                visit(number, range);
            }
        };
        let mut at = 0;
        while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
            let mut found = 0;
            for number in 0..WINDOWS {
                let bytes = block.get(2 * number..).and_then(<[u8]>::first_chunk);
                let window = bytes.map_or(0, |four| u32::from_le_bytes(*four));
                found |= self.passes(window) << number;
            }
            while found != 0 {
                self.compare(
                    words,
                    text,
                    at + 2 * found.trailing_zeros() as usize,
                    &mut each,
                );
                found &= found - 1;
            }
            at += 2 * WINDOWS;
        }
        while at < text.len() {
            self.compare(words, text, at, &mut each);
            at += 2;
        }
        each(words.len(), text.len()..text.len());
    }

    /// Where words of two bytes stand, in order, each with its number.
    fn places_of_pairs(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        for (finder, number) in &self.pairs {
            let mut from = 0;
            while let Some(at) = finder.find(text.get(from..).unwrap_or_default()) {
                places.push((from + at, *number));
                from += at + 1;
            }
        }
        places.sort_unstable();
        places
    }

    /// Compares the words that may stand in the window that begins here.
    #[inline(always)]
    fn compare(
        &self,
        words: &Words,
        text: &[u8],
        at: usize,
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        let eight = text.get(at..).map(eight_of).unwrap_or_default();
        let four = eight as u32;
        let is_known = |slot: u32| is_set(&*self.second, number(slot, SECOND_BITS));
        let (start, end) = (four & OF_GRAM | AT_START, four >> 8 | AT_END);
        let known = [is_known(four), is_known(start), is_known(end)];
        if known != [0; 3] {
            self.compare_slots(words, text, (at, eight), ([four, start, end], known), visit);
        }
    }

    /// Looks the slots through that are known.
    #[inline(never)]
    fn compare_slots(
        &self,
        words: &Words,
        text: &[u8],
        place: (usize, u64),
        (slots, known): ([u32; 3], [u32; 3]),
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        // Windows of two kinds may share a slot, which is looked through once.
        let mut done = [usize::MAX; 3];
        for ((slot, known), done_at) in slots.into_iter().zip(known).zip(0..) {
            let slot = number(slot, SLOT_BITS);
            if known == 0 || done.contains(&slot) {
                continue;
            }
            if let Some(done) = done.get_mut(done_at) {
                *done = slot;
            }
            self.compare_slot(words, text, place, slot, visit);
        }
    }

    fn compare_slot(
        &self,
        words: &Words,
        text: &[u8],
        (at, eight): (usize, u64),
        slot: usize,
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        let bound = |slot: usize| self.starts.get(slot).map_or(0, |start| *start as usize);
        let entries = self.entries.get(bound(slot)..bound(slot + 1));
        for own in entries.unwrap_or_default() {
            if (eight ^ own.key) & own.mask() == 0 {
                own.compare(words, text, at, visit);
            }
        }
    }
}

impl Entry {
    /// Which bytes of the key count.
    #[inline(always)]
    fn mask(&self) -> u64 {
        let mask = u64::MAX >> (64 - 8 * u32::from(self.length));
        if self.offset < 0 { mask << 8 } else { mask }
    }

    fn compare(
        &self,
        words: &Words,
        text: &[u8],
        at: usize,
        visit: &mut impl FnMut(usize, Range<usize>),
    ) {
        let number = self.word as usize;
        let start = at.checked_add_signed(-isize::from(self.offset));
        if let (Some(start), Some(word)) = (start, words.get(number)) {
            let range = start..start + word.len();
            let place = text.get(range.clone());
            if place.is_some_and(|place| place.eq_ignore_ascii_case(word)) {
                visit(number, range);
            }
        }
    }
}

/// Every window that counts as another one, as the last byte of it behind three, or the first before them.
fn any_last(three: u32) -> impl Iterator<Item = u32> {
    (0..16).map(move |byte| three & OF_GRAM | byte << 24)
}

fn any_first(three: u32) -> impl Iterator<Item = u32> {
    (0..16).map(move |byte| three << 8 | byte)
}

/// Sets a bit of many.
fn set(bits: &mut [u32], bit: usize) {
    if let Some(known) = bits.get_mut(bit / 32) {
        *known |= 1 << (bit % 32);
    }
}

/// 1 where a bit is set, else 0.
#[inline(always)]
fn is_set(bits: &[u32], bit: usize) -> u32 {
    bits.get(bit / 32).copied().unwrap_or(0) >> (bit % 32) & 1
}

/// A short word in every case of its letters.
fn cases(word: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for byte in word {
        let upper = byte.to_ascii_uppercase();
        let more = all.clone().into_iter().filter(|_| upper != *byte);
        let mut more: Vec<Vec<u8>> = more.collect();
        all.iter_mut().for_each(|word| word.push(*byte));
        more.iter_mut().for_each(|word| word.push(upper));
        all.append(&mut more);
    }
    all
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
