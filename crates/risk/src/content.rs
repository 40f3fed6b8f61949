//! What a change adds and takes away, judged by the rules that read text.

use std::rc::Rc;

use baton_core::problem::Problem;

use crate::book::RuleBook;
use crate::hidden;
use crate::hit::Hit;
use crate::input::ScanInput;
use crate::judge::Judge;
use crate::loose::in_loose_text;
use crate::places::named::Named;
use crate::places::naming;
use crate::weakened::{self, expected};

/// Finds everything that the text tells.
pub(crate) fn scan<'p>(
    input: &ScanInput<'_>,
    named: &[Rc<Named<'p>>],
    book: &RuleBook<'p>,
) -> Result<Vec<Hit>, Problem> {
    let mut hits = Vec::new();
    for (file, named) in input.files.iter().zip(named) {
        let mut judge = Judge::of(book, file, named)?;
        hidden::scan(file, judge.languages, &mut hits);
        weakened::scan(file, judge.languages, named.is_test, &mut hits);
        judge.read()?;
        hits.append(&mut judge.hits);
    }
    expected::scan(input, named, &mut hits);
    let everywhere = book.loose();
    for (file, named) in input.files.iter().zip(named) {
        let new = file.section.path();
        let old = file.section.old_path.as_deref().unwrap_or_default();
        if !named.says_something && (old.is_empty() || old == new) {
            continue;
        }
        for name in [new, old, &naming::words(new)] {
            let found = in_loose_text(book, &everywhere, name, &file.path)?;
            hits.extend(
                found
                    .into_iter()
                    .map(|hit| hit.showing("in the file's name")),
            );
        }
    }
    for text in &input.around {
        let shown = "the text around the patch";
        hits.extend(in_loose_text(book, &everywhere, text, shown)?);
    }
    Ok(hits)
}
