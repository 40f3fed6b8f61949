//! Gate results in the forms that other tools read.

pub mod junit;
pub mod sarif;

use std::path::PathBuf;

use baton_core::problem::Problem;

/// Writes into a new file, where one is asked for.
///
/// # Errors
/// `FILE_EXISTS`, `IO_ERROR`.
pub(crate) fn write(path: &Option<PathBuf>, text: impl FnOnce() -> String) -> Result<(), Problem> {
    use std::io::Write;
    let Some(path) = path else { return Ok(()) };
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let mut file = made.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let there = format!("{} is there already", path.display());
            Problem::fail("FILE_EXISTS", there).hint("name a new file; nothing is overwritten")
        }
        _ => Problem::io(path.display(), &error),
    })?;
    file.write_all(text().as_bytes())
        .map_err(|error| Problem::io(path.display(), &error))
}
