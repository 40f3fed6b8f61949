//! What must hold for any input at all, as functions that take bytes and fail an assertion when
//! it does not hold.
//!
//! Each function is called from two sides: by the tests of this crate, on stable, with generated
//! input and with damaged patches of real git; and by `libfuzzer/fuzz_targets`, a crate of its own
//! outside of the workspace, which `make fuzz` runs.
//!
//! To add a target: a module here with one public function, a test in `tests/properties.rs`, a
//! file of one line in `libfuzzer/fuzz_targets`, and its `[[bin]]` in `libfuzzer/Cargo.toml`.

#![forbid(unsafe_code)]

mod listing;
mod names;
mod reader;
mod replies;
mod rules;

pub use listing::raw_listing;
pub use names::{paths, quoting};
pub use reader::reader;
pub use replies::replies;
pub use rules::rules;

/// Whether a message is bounded and safe to show on a terminal.
fn is_printable(text: &str) -> bool {
    text.len() < 2000 && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}
