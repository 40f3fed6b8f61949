//! What a model may say, and how it becomes a change.
//!
//! A reply passes four steps, all without any file or process: it is taken out of its frame
//! ([`frame`]), read in the form that was asked for, held against the files of the base, and turned into
//! their new bytes. git never sees the text; it is given the new files, and its own difference of the
//! two trees is what goes on. What is mended on the way has an id and is reported; what could be read
//! in two ways is refused.

mod blocks;
mod explain;
mod file;
pub(crate) mod frame;
mod fuzzy;
mod instructions;
mod locate;
mod model;
mod names;
mod placeholder;
mod refusal;
mod repair;
mod resolve;
mod retry;
mod text;
mod udiff;
mod whole;

pub use explain::{Word, explain, words};
pub use instructions::{Format, instructions};
pub use model::Parsed;
pub use refusal::{Code, Near, Refusal, Rejected};
pub use repair::{Repair, RepairId};
pub use resolve::{Change, Files, Nearness, Old, Resolved};
pub use retry::further_prompt;
pub use text::Limits;

/// Reads a reply in one of the forms. `is_closed` says that a frame around it was closed, so that its
/// end is not a cut; `offers` tells which paths may change.
///
/// # Errors
/// What is wrong with it.
pub fn read<'t>(
    format: Format,
    text: &'t [u8],
    is_closed: bool,
    offers: &dyn Fn(&str) -> bool,
    limits: &Limits,
) -> Result<Parsed<'t>, Rejected> {
    match format {
        Format::Whole => whole::parse(text, offers, limits),
        Format::SearchReplace => blocks::parse(text, limits),
        Format::Udiff => udiff::parse(text, is_closed, limits),
    }
}

/// Where a leading `<think>` part ends, which is dropped before a frame is looked for: the markers may
/// stand in it too.
///
/// # Errors
/// `REPLY_CUT` when it is not closed.
pub(crate) fn thinking(text: &[u8]) -> Result<usize, Refusal> {
    text::thinking(text)
}

#[cfg(test)]
mod tests;
