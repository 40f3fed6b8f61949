//! Gate results in the forms that other tools read.

pub mod junit;
pub mod sarif;

use std::path::PathBuf;

use baton_core::output_file;
use baton_core::problem::Problem;

/// Writes into a new file, where one is asked for.
///
/// # Errors
/// As [`output_file::write_new`].
pub(crate) fn write(path: &Option<PathBuf>, text: impl FnOnce() -> String) -> Result<(), Problem> {
    match path {
        Some(path) => output_file::write_new(path, text().as_bytes()),
        None => Ok(()),
    }
}
