//! What a model may say, and how it becomes a change.
//!
//! A reply passes four steps, all without any file or process: it is taken out of its frame
//! ([`frame`]), read in the form that was asked for, held against the files of the base, and turned into
//! their new bytes. git never sees the text; it is given the new files, and its own difference of the
//! two trees is what goes on. What is mended on the way has an id and is reported; what could be read
//! in two ways is refused.

use baton_core::problem::Problem;

mod blocks;
mod checks;
pub(crate) mod explain_codes;
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

pub use explain_codes::{Word, explain, words};
pub use instructions::{Format, instructions};
pub use model::Parsed;
pub use refusal::{Code, Near, Refusal, Rejected};
pub use repair::{Repair, RepairId};
pub use resolve::{Change, Files, Nearness, Old, Resolved};
pub use retry::further_prompt;
pub use text::Limits;

pub use frame::Reply;

/// A reply, out of its frame.
#[derive(Clone, Copy, Debug)]
pub struct Text<'t> {
    /// What is to be read.
    pub bytes: &'t [u8],
    /// Whether a frame around it was closed, so that its end is not a cut.
    pub is_closed: bool,
    /// Its first line within the reply, from 1.
    pub first_line: usize,
}

impl<'t> Text<'t> {
    /// A reply without a frame.
    #[must_use]
    pub fn bare(bytes: &'t [u8]) -> Self {
        Self {
            bytes,
            is_closed: false,
            first_line: 1,
        }
    }
}

/// Reads a reply in one of the forms. `offers` tells which paths may change.
///
/// # Errors
/// What is wrong with it.
pub fn read<'t>(
    format: Format,
    text: Text<'t>,
    offers: &dyn Fn(&str) -> bool,
    limits: &Limits,
) -> Result<Parsed<'t>, Rejected> {
    match format {
        Format::Whole => whole::parse(text, offers, limits),
        Format::SearchReplace => blocks::parse(text, limits),
        Format::Udiff => udiff::parse(text, limits),
    }
}

/// Takes a reply out of its frame. A leading `<think>` part is dropped first: markers may stand in it,
/// too. The repair is given where that happened to a framed reply.
///
/// # Errors
/// `REPLY_EMPTY`, `REPLY_CUT`, `REPLY_AMBIGUOUS`.
pub fn unframe(text: &[u8]) -> Result<(Reply, Option<Repair>), Rejected> {
    let end = text::thinking(text)?;
    let (before, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    if end == 0 || !frame::is_framed(rest) {
        let reply = frame::read(text).map_err(|problem| of_frame(&problem))?;
        return Ok((reply, None));
    }
    let mut reply = frame::read(rest).map_err(|problem| of_frame(&problem))?;
    if let Reply::Patch { first_line, .. } = &mut reply {
        *first_line += before.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok((reply, Some(Repair::new(RepairId::Think, 1, before, b""))))
}

/// What is wrong with a frame, as a reply that was turned down.
fn of_frame(problem: &Problem) -> Rejected {
    let code = Code::ALL.iter().find(|code| code.as_str() == problem.code);
    let code = code.copied().unwrap_or(Code::Empty);
    Refusal::new(code, 0, &problem.message).into()
}

#[cfg(test)]
mod tests;
