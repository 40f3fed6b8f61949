//! A place of a pattern: which bytes may stand there.

use crate::needs::place_of;

/// The bytes by how common they are: of each set of six, one stands half as often as one of the set
/// before.
const LEVELS: [[u64; 4]; 12] = {
    let mut levels = [[0; 4]; 12];
    let mut byte = 0;
    while byte < 256 {
        levels[place_of(byte as u8) / 6][byte / 64] |= 1 << (byte % 64);
        byte += 1;
    }
    levels
};

/// The bytes of words.
pub(crate) const WORD: Bytes = {
    let mut parts = [0; 4];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_' {
            parts[byte / 64] |= 1 << (byte % 64);
        }
        byte += 1;
    }
    Bytes(parts)
};
/// All others.
pub(crate) const NO_WORD: Bytes = Bytes([!WORD.0[0], !WORD.0[1], !WORD.0[2], !WORD.0[3]]);

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bytes([u64; 4]);

/// One place of an anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) bytes: Bytes,
    /// Whether the beginning or the end of a line may stand there.
    pub(crate) edge: bool,
}

impl Bytes {
    pub(crate) fn of(bytes: impl IntoIterator<Item = u8>) -> Self {
        let mut all = Self::default();
        for byte in bytes {
            all.add(byte);
        }
        all
    }

    fn add(&mut self, byte: u8) {
        if let Some(part) = self.0.get_mut(usize::from(byte >> 6)) {
            *part |= 1 << (byte & 63);
        }
    }

    #[inline]
    pub(crate) fn has(&self, byte: u8) -> bool {
        let part = self.0.get(usize::from(byte >> 6)).copied();
        part.unwrap_or(0) >> (byte & 63) & 1 != 0
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = u8> + '_ {
        let parts = self.0.iter().zip([0_u8, 64, 128, 192]);
        parts.flat_map(|(part, first)| {
            let mut rest = *part;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as u8;
                // The lowest bit that is set goes away.
                rest &= rest.checked_sub(1)?;
                Some(first + bit)
            })
        })
    }

    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(own, other)| own & !other == 0)
    }

    pub(crate) fn without(self, other: &Self) -> Self {
        let mut parts = self.0;
        for (own, other) in parts.iter_mut().zip(&other.0) {
            *own &= !other;
        }
        Self(parts)
    }

    pub(crate) fn or(mut self, other: &Self) -> Self {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
        self
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|part| part.count_ones()).sum()
    }

    /// How likely one of them is to stand somewhere.
    pub(crate) fn share(&self) -> f64 {
        if self.count() <= 2 {
            let share = |byte| 0.125 / f64::from(1_u32 << (place_of(byte) / 6));
            return self.all().map(share).sum();
        }
        let levels = LEVELS.iter().zip(3..);
        let share = |(level, bits): (&[u64; 4], i32)| {
            let both = self.0.iter().zip(level).map(|(own, level)| own & level);
            f64::from(both.map(u64::count_ones).sum::<u32>()) * 0.5_f64.powi(bits)
        };
        levels.map(share).sum::<f64>().min(1.0)
    }

    /// Its bytes with both cases made the same.
    pub(crate) fn folded(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.all().map(|byte| byte.to_ascii_lowercase()).collect();
        bytes.sort_unstable();
        bytes.dedup();
        bytes
    }
}

impl Spot {
    pub(crate) fn one(bytes: Bytes) -> Self {
        Self { bytes, edge: false }
    }

    pub(crate) fn edge(bytes: Bytes) -> Self {
        Self { bytes, edge: true }
    }

    /// Whether a line may begin or end there.
    pub(crate) fn holds_edge(&self) -> bool {
        self.edge || self.bytes.has(b'\n')
    }

    /// The one letter that may stand there, in some case, in lower case.
    pub(crate) fn letter(&self) -> Option<u8> {
        let few = self.bytes.count() <= 2;
        let mut letters = self.bytes.all().filter(|_| few && !self.edge);
        let first = letters.next()?.to_ascii_lowercase();
        let is_same = |other: u8| other.to_ascii_lowercase() == first;
        letters.next().is_none_or(is_same).then_some(first)
    }
}
