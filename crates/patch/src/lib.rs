//! Reads the patch grammar that git itself writes, and refuses every other form.
//!
//! `git apply` is lenient: it skips what it does not know, lets later header lines win over
//! earlier ones and guesses names. A scanner that is as lenient will differ from it somewhere,
//! and that difference is where a change hides. This crate therefore accepts only what
//! `git diff --binary --full-index` writes (abbreviated ids pass for text), so that what the
//! reader reports and what git does are the same set of paths, operations and modes. Any
//! other form is to be applied by git once and emitted again before it is read here.
//!
//! Everything is pure: no files, no processes, bytes instead of strings, time linear in the
//! input (sorting the path names aside), and no panic on any input.
//!
//! What text alone cannot tell is left to a caller that has the repository: whether the
//! preimage matches, whether a folder on the way is a link, and whether a binary literal has
//! the id that its header names (git checks that one itself). [`raw`] compares a patch with
//! the tree difference that git reports.

#![forbid(unsafe_code)]

mod beside;
mod binary;
mod conflict;
mod cursor;
mod form;
mod hunk;
mod label;
mod limits;
mod model;
mod parser;
pub mod path;
mod quoting;
pub mod raw;
mod refusal;
mod section;

pub use beside::{Beside, beside};
pub use hunk::{Hunk, HunkLine, LineKind, SideText};
pub use limits::Limits;
pub use model::{Body, Change, Mode, Op, Patch, Section};
pub use parser::parse;
pub use path::{is_clean_relative, quote, unquote};
pub use raw::{Disagreement, RawChange, RawError, agrees};
pub use refusal::{Code, Refusal};
