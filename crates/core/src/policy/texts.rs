//! Lists of short texts. A policy holds thousands of keywords and examples, every run reads them all, and
//! most runs look at none: so those of one list lie in one piece of memory.

use std::borrow::Cow;
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A list of texts, read and written as a list of strings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts {
    all: Cow<'static, str>,
    /// Where each ends.
    ends: Cow<'static, [u32]>,
}

/// A list that still grows.
#[derive(Default)]
struct Growing {
    all: String,
    ends: Vec<u32>,
}

thread_local! {
    /// What the last list grew in: thousands are read one after the other, and each is copied out of it at
    /// its own size.
    static SPARE: RefCell<Growing> = RefCell::default();
}

impl Texts {
    /// Of texts that lie one behind the other in the program, and where each ends.
    pub(super) const fn of_static(all: &'static str, ends: &'static [u32]) -> Self {
        Self {
            all: Cow::Borrowed(all),
            ends: Cow::Borrowed(ends),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let text = self.all.get(start..*end as usize);
            start = *end as usize;
            text.unwrap_or_default()
        })
    }

    /// The same as texts of their own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }

    /// The list that `fill` makes.
    fn grown<E>(fill: impl FnOnce(&mut Growing) -> Result<(), E>) -> Result<Self, E> {
        let mut growing = SPARE.with(RefCell::take);
        growing.all.clear();
        growing.ends.clear();
        let filled = fill(&mut growing).map(|()| Self {
            all: Cow::Owned(growing.all.as_str().to_owned()),
            ends: Cow::Owned(growing.ends.as_slice().to_owned()),
        });
        SPARE.with(|spare| spare.replace(growing));
        filled
    }
}

impl Growing {
    fn push(&mut self, text: &str) {
        self.all.push_str(text);
        // No document that is read is as large as that.
        self.ends
            .push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let grown = Self::grown(|growing| {
            texts
                .into_iter()
                .for_each(|text| growing.push(text.as_ref()));
            Ok::<_, Infallible>(())
        });
        match grown {
            Ok(texts) => texts,
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
        Texts::grown(|growing| {
            while items.next_element_seed(Next(growing))?.is_some() {}
            Ok(())
        })
    }
}

/// Puts the next text into the list without a copy of its own.
struct Next<'t>(&'t mut Growing);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Next<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written_as_a_list() {
        let written = r#"["one","","z\u00fcrich \"a\"","two"]"#;
        let texts: Texts = serde_json::from_str(written).unwrap();
        assert_eq!(
            texts.iter().collect::<Vec<_>>(),
            ["one", "", "z\u{fc}rich \"a\"", "two"]
        );
        assert_eq!((texts.len(), texts.is_empty()), (4, false));
        assert_eq!(texts, texts.to_vec().iter().collect());
        let again = serde_json::to_string(&texts).unwrap();
        assert_eq!(serde_json::from_str::<Texts>(&again).unwrap(), texts);
        assert_eq!(again, serde_json::to_string(&texts.to_vec()).unwrap());
        assert_ne!(texts, ["one", "z"].iter().collect());
    }

    #[test]
    fn what_is_no_list_of_texts_is_refused_in_the_same_words() {
        for wrong in [
            "1",
            "\"a\"",
            "{}",
            "[1]",
            "[null]",
            "[\"a\", [\"b\"]]",
            "[\"a\"",
        ] {
            let texts = serde_json::from_str::<Texts>(wrong).unwrap_err();
            let strings = serde_json::from_str::<Vec<String>>(wrong).unwrap_err();
            assert_eq!(texts.to_string(), strings.to_string(), "{wrong}");
        }
    }
}
