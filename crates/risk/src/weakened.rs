//! Checks that were made weaker: what no pattern can tell, because it shows in how the parts of a change go together.

pub(crate) mod expected;
mod mocked;
pub(crate) mod settings;
mod shadowed;
mod stubbed;

use crate::hit::Hit;
use crate::input::ScanFile;
use crate::language::Languages;

/// Finds what one file tells.
pub(crate) fn scan(file: &ScanFile<'_>, languages: Languages, is_test: bool, hits: &mut Vec<Hit>) {
    mocked::scan(file, languages, hits);
    if is_test {
        stubbed::scan(file, hits);
        shadowed::scan(file, hits);
    }
    settings::scan(file, hits);
}
