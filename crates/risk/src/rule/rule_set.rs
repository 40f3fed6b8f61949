//! A set of rules by number, small enough to be made for each file.

/// A set of rules by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RuleSet(Vec<u64>);

impl RuleSet {
    pub(crate) fn of_size(rules: usize) -> Self {
        Self(vec![0; rules.div_ceil(64)])
    }

    pub(crate) fn insert(&mut self, rule: usize) {
        if self.0.len() <= rule / 64 {
            // At once as large as most sets become.
            self.0.resize((rule / 64 + 1).next_multiple_of(16), 0);
        }
        if let Some(word) = self.0.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    /// Takes every rule out.
    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(crate) fn has(&self, rule: usize) -> bool {
        let word = self.0.get(rule / 64).copied().unwrap_or(0);
        word & (1 << (rule % 64)) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// As [`Self::join`], for a set that has no size yet.
    pub(crate) fn grow_by(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.join(other);
    }

    /// Takes in every rule of another set.
    pub(crate) fn join(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                // The lowest bit that is set goes away.
                rest &= rest.checked_sub(1)?;
                Some(at * 64 + bit)
            })
        })
    }
    /// The rules that are in both sets.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let words = self.0.iter().zip(&other.0);
        Self(words.map(|(one, other)| one & other).collect())
    }

    /// Takes out every rule of another set.
    pub(crate) fn remove(&mut self, other: &Self) {
        for (word, gone) in self.0.iter_mut().zip(&other.0) {
            *word &= !gone;
        }
    }
}
