//! Patterns as data: compiled on first use, bounded in size.
//!
//! Letters, digits, blanks and word borders are ASCII's, as in the rule files that teams already
//! have; a pattern that asks for a class of Unicode is compiled with Unicode.

mod held;
mod known;
pub(crate) mod needs;
pub(crate) mod part;
pub(crate) mod re2;
pub(crate) mod shape;

use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::rc::Rc;

use regex_automata::Input;
use regex_automata::meta;
pub(crate) use regex_automata::util::captures::Captures as Groups;
use regex_syntax::hir::Hir;
use serde::Deserialize;

/// The largest compiled pattern, in bytes: a pattern is data and must not eat the memory.
const PATTERN_LIMIT: usize = 8 << 20;
/// The states that a search works out as it goes may take so many bytes.
const STATES_LIMIT: usize = 2 << 20;
/// A pattern that has read so many bytes, or is to read a text that brings it there, is compiled once
/// more, for speed.
const FEW_BYTES: usize = 8 << 10;

/// A pattern that is compiled on first use.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern {
    text: String,
    compiled: OnceCell<Box<Regex>>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
impl serde::Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(&self.text)
    }
}

impl Pattern {
    pub(crate) fn new(text: String) -> Self {
        Self {
            text,
            compiled: OnceCell::new(),
        }
    }

    /// The compiled pattern.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn get(&self) -> Result<&Regex, String> {
        if let Some(regex) = self.compiled.get() {
            return Ok(regex);
        }
        let regex = Regex::of(&self.text)?;
        Ok(self.compiled.get_or_init(|| Box::new(regex)))
    }
}

/// A compiled pattern. What makes a search fast (words to jump to, states that are kept) takes several
/// times as long to make as the rest, and a change gives most patterns but a line to read. So it is made
/// for those that read more. Both find the same.
#[derive(Debug)]
pub(crate) struct Regex {
    hir: Rc<Hir>,
    plain: meta::Regex,
    fast: OnceCell<Option<meta::Regex>>,
    /// How many bytes were read in search of it.
    read: Cell<usize>,
}

impl Regex {
    /// Compiles a pattern, or says what is wrong with it.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        Self::of_hir(text, Rc::new(shape::read(text)?.hir))
    }

    /// Compiles a pattern that was read before.
    pub(crate) fn of_hir(text: &str, hir: Rc<Hir>) -> Result<Self, String> {
        let plain = limits().hybrid(false).onepass(false).auto_prefilter(false);
        let plain = meta::Builder::new().configure(plain).build_from_hir(&hir);
        let plain = plain.map_err(|error| {
            let why = match error.size_limit() {
                Some(most) => format!("compiled it is larger than {most} bytes"),
                None => error.to_string(),
            };
            format!("pattern \"{}\": {why}", text.escape_debug())
        })?;
        Ok(Self {
            hir,
            plain,
            fast: OnceCell::new(),
            read: Cell::new(0),
        })
    }

    /// What to search so many bytes with.
    fn searcher(&self, bytes: usize) -> &meta::Regex {
        if self.read.get().saturating_add(bytes) <= FEW_BYTES {
            return &self.plain;
        }
        let build = || {
            let mut builder = meta::Builder::new();
            builder.configure(limits()).build_from_hir(&self.hir).ok()
        };
        // One that grows too large that way is as right without.
        self.fast.get_or_init(build).as_ref().unwrap_or(&self.plain)
    }

    /// Takes note of what was read: all that was given, or what stands up to the end of a match.
    fn has_read(&self, given: Range<usize>, found: Option<usize>) {
        let bytes = found.unwrap_or(given.end).saturating_sub(given.start);
        self.read.set(self.read.get().saturating_add(bytes));
    }

    /// The first match within a part of a text; what stands around it is in sight.
    pub(crate) fn find_in(&self, text: &[u8], part: Range<usize>) -> Option<Range<usize>> {
        let searcher = self.searcher(part.len());
        let found = searcher.search(&Input::new(text).range(part.clone()));
        self.has_read(part, found.map(|found| found.end()));
        found.map(|found| found.range())
    }

    /// Every match in a text, one after the other.
    pub(crate) fn all_in<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Range<usize>> + 't {
        let mut at = 0;
        std::iter::from_fn(move || {
            let found = (at <= text.len()).then(|| self.find_in(text, at..text.len()))??;
            at = found.end + usize::from(found.is_empty());
            Some(found)
        })
    }

    /// The groups of the first match that begins at a place of a text or after it.
    pub(crate) fn groups_at(&self, text: &[u8], at: usize) -> Option<Groups> {
        let input = Input::new(text).range(at..);
        let searcher = self.searcher(text.len() - at);
        let mut groups = searcher.create_captures();
        searcher.search_captures(&input, &mut groups);
        self.has_read(at..text.len(), groups.get_match().map(|found| found.end()));
        groups.is_match().then_some(groups)
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        let found = self.searcher(text.len()).search_half(&Input::new(text));
        self.has_read(0..text.len(), found.map(|found| found.offset()));
        found.is_some()
    }

    /// Whether it has groups that are asked for.
    pub(crate) fn has_groups(&self) -> bool {
        self.plain.captures_len() > 1
    }

    /// Whether it has a group of this name.
    pub(crate) fn has_group(&self, name: &str) -> bool {
        let mut names = self.plain.group_info().all_names();
        names.any(|(_, _, known)| known == Some(name))
    }
}

fn limits() -> meta::Config {
    meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(PATTERN_LIMIT))
        // A rule book stays in its thread; to ask how many there could be takes reading of files.
        .pool_capacity(1)
        .hybrid_cache_capacity(STATES_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(regex: &Regex, text: &[u8]) -> Vec<(Range<usize>, bool)> {
        let has_group = |found: &Range<usize>| {
            let groups = regex.groups_at(text, found.start);
            groups.is_some_and(|groups| groups.get_group(1).is_some())
        };
        let found = regex.all_in(text);
        found
            .map(|found| (found.clone(), has_group(&found)))
            .collect()
    }

    #[test]
    fn a_pattern_finds_the_same_once_it_has_read_much() {
        let text = b"one twofold TWO\ntwo one-two \xff two".repeat(20);
        for pattern in [
            "(one)|two",
            "(?i)two(?:\\n|$)",
            "(?m)^two",
            "(?s-u).two",
            "[^a-z](t)wo\\b",
            "\\p{L}+wo",
            "twofold",
            "o*",
        ] {
            let regex = Regex::of(pattern).unwrap();
            let (first, is_match) = (places(&regex, &text[..55]), regex.is_match(&text));
            assert!(regex.fast.get().is_none(), "{pattern}");
            assert!(regex.is_match(&vec![b'x'; FEW_BYTES + 1]) == (pattern == "o*"));
            assert!(regex.fast.get().is_some_and(Option::is_some), "{pattern}");
            assert_eq!(places(&regex, &text[..55]), first, "{pattern}");
            assert_eq!(regex.is_match(&text), is_match, "{pattern}");
            assert!(first.len() > 1, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_grows_too_large_is_refused() {
        let why = Regex::of("(?:a{1000}){1000}").unwrap_err();
        assert!(why.contains("larger than 8388608 bytes"), "{why}");
        assert!(Regex::of("(").unwrap_err().contains("unclosed group"));
    }
}
