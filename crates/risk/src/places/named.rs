//! What the name of a file tells, whatever a change does to the file. A log names the same files over
//! and over, so a rule book remembers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use baton_core::problem::Problem;

use crate::book::RuleBook;
use crate::keyword::Table;
use crate::language::Languages;
use crate::loose::in_loose_text;
use crate::places::naming;
use crate::places::{Matched, always_closed};

/// So many names are remembered; then all are forgotten, so that memory stays bounded.
const MOST_NAMES: usize = 16 << 10;

/// The names that a rule book was asked for.
#[derive(Debug, Default)]
pub(crate) struct Names<'p>(RefCell<HashMap<Vec<u8>, Rc<Named<'p>>>>);

/// What one name tells.
#[derive(Debug)]
pub(crate) struct Named<'p> {
    pub(crate) matched: Matched<'p>,
    /// Why no policy opens it: the check and its words.
    pub(crate) closed: Option<(&'static str, &'static str)>,
    /// Whether the policy's allowlist holds it.
    pub(crate) is_allowed: bool,
    /// The rules for secrets that it breaks by itself.
    pub(crate) by_path_alone: Vec<usize>,
    /// Whether it hides something or means another file elsewhere.
    pub(crate) is_odd: bool,
    /// Whether a rule finds something in it, read as a text.
    pub(crate) says_something: bool,
    /// Whether it is the name of a test.
    pub(crate) is_test: bool,
    /// The languages that it tells without the first line.
    pub(crate) languages: Languages,
    /// The keywords for the languages that were asked for last.
    table: RefCell<Option<(Languages, Rc<Table>)>>,
}

impl<'p> Named<'p> {
    fn of(book: &RuleBook<'p>, path: &[u8]) -> Result<Self, Problem> {
        let matched = book.places.matched(path);
        let words = naming::words(path);
        Ok(Self {
            closed: always_closed(path),
            is_allowed: book.places.allows(path),
            by_path_alone: book.by_path_alone(path)?,
            is_odd: naming::is_odd(path, &matched),
            says_something: says_something(book, path)? || says_something(book, &words)?,
            is_test: naming::is_test(path),
            languages: Languages::of(path, None),
            table: RefCell::default(),
            matched,
        })
    }

    /// The keywords of the rules that read a file of this name, which is the path, in these languages.
    ///
    /// # Errors
    /// `SECRET_RULES_INVALID`.
    pub(crate) fn table(
        &self,
        book: &RuleBook<'_>,
        path: &[u8],
        own: Languages,
    ) -> Result<Rc<Table>, Problem> {
        if let Some((known, table)) = &*self.table.borrow()
            && *known == own
        {
            return Ok(Rc::clone(table));
        }
        let table = book.table(&book.fitting(path, &self.matched, own)?);
        *self.table.borrow_mut() = Some((own, Rc::clone(&table)));
        Ok(table)
    }
}

fn says_something(book: &RuleBook<'_>, name: &[u8]) -> Result<bool, Problem> {
    let hits = in_loose_text(book, &book.loose(), name, "")?;
    Ok(!hits.is_empty())
}

impl<'p> Names<'p> {
    /// What a name tells under the rules of a book, whose names these are.
    ///
    /// # Errors
    /// What a rule is refused for.
    pub(crate) fn named(&self, book: &RuleBook<'p>, path: &[u8]) -> Result<Rc<Named<'p>>, Problem> {
        if let Some(known) = self.0.borrow().get(path) {
            return Ok(Rc::clone(known));
        }
        let named = Rc::new(Named::of(book, path)?);
        let mut names = self.0.borrow_mut();
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(path.to_vec(), Rc::clone(&named));
        Ok(named)
    }
}
