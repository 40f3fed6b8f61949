//! What the language itself undoes before anything runs: characters that are written by their numbers, words
//! that go on in the next line, comments within a call, names whose parts stand apart. The rules read what is left then.

mod chained;
mod continued;
mod escaped;
mod parted;

use crate::glue::edited::Pieces;
use crate::glue::undone::chained::Chained;
use crate::glue::undone::continued::Continued;
use crate::glue::undone::escaped::Escaped;
use crate::glue::undone::parted::Parted;
use crate::language::Languages;

/// Prose and lists of values, in which such a form is only written about.
const NOT_READ: [&str; 4] = ["markdown", "csv", "css", "xml"];

/// What the languages of a file undo.
pub(crate) struct Undone {
    escaped: Escaped,
    continued: Continued,
    parted: Parted,
    chained: Chained,
    is_read: bool,
}

impl Undone {
    /// In these languages. `decodes` says that a declared encoding undoes escapes in all of the source.
    pub(crate) fn of(languages: Languages, decodes: bool) -> Self {
        Self {
            escaped: Escaped::of(languages, decodes),
            continued: Continued::of(languages),
            parted: Parted::of(languages),
            chained: Chained::of(languages),
            is_read: !languages.is_only(&NOT_READ),
        }
    }

    /// Whether the lines of a hunk could hold such a form; most do not, and are not copied.
    pub(crate) fn may(&self, raw: &[u8]) -> bool {
        self.is_read
            && (self.is_behind_a_backslash(raw) || self.parted.may(raw) || self.chained.may(raw))
    }

    fn is_behind_a_backslash(&self, raw: &[u8]) -> bool {
        let mut at = 0;
        while let Some(found) = raw.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
            at += found + 1;
            let rest = raw.get(at..).unwrap_or_default();
            let before = raw.get(..at - 1).unwrap_or_default();
            if self.escaped.is_at(before, rest) || self.continued.may(before, rest) {
                return true;
            }
            at += self.continued.step(rest);
        }
        false
    }

    /// A text with all of them undone; none where it holds none.
    pub(crate) fn undo(&self, text: &[u8]) -> Option<Pieces> {
        // What Java reads first may make an escape of its own.
        let first = self.escaped.first();
        let pieces = Pieces::then(None, text, |text| first?.undo(text));
        let pieces = Pieces::then(pieces, text, |text| self.continued.undo(text));
        let pieces = Pieces::then(pieces, text, |text| self.parted.undo(text));
        let pieces = Pieces::then(pieces, text, |text| self.chained.undo(text));
        Pieces::then(pieces, text, |text| self.escaped.undo(text))
    }
}

#[cfg(test)]
pub(crate) fn undone(path: &str, text: &str) -> String {
    let languages = Languages::of(path.as_bytes(), None);
    let undone = Undone::of(languages, false);
    let raw: String = text.lines().map(|line| format!("+{line}\n")).collect();
    match undone.undo(text.as_bytes()).filter(|_| undone.is_read) {
        Some(pieces) => {
            assert!(undone.may(raw.as_bytes()), "{:.200}", text);
            String::from_utf8(pieces.text).unwrap()
        }
        None => String::new(),
    }
}
