//! What a reader needs of a line to follow the log, borrowed from the line where it can be. Everything in
//! the line is held to the same types and bounds as [`super::Event`]. Checking the whole log lives on this.

use std::borrow::Cow;

use super::written::{self, Lengths};
use super::{Action, Event, EventState, Head, MAX_LINE, broken};
use crate::digest;
use crate::problem::Problem;
use crate::state::State;

/// Of [`super::Event`], what says which line it is, where it belongs and where it moves its task.
pub(super) struct Glance<'a> {
    pub(super) seq: u64,
    pub(super) event_id: Cow<'a, str>,
    pub(super) prev_event_id: Option<Cow<'a, str>>,
    pub(super) prev_sha256: Cow<'a, str>,
    pub(super) action: Action,
    pub(super) task_id: Cow<'a, str>,
    pub(super) from_state: EventState,
    pub(super) to_state: EventState,
}

impl From<Event> for Glance<'_> {
    fn from(event: Event) -> Self {
        Self {
            seq: event.seq,
            event_id: event.event_id.into(),
            prev_event_id: event.prev_event_id.map(Into::into),
            prev_sha256: event.prev_sha256.into(),
            action: event.action,
            task_id: event.task_id.into(),
            from_state: event.from_state,
            to_state: event.to_state,
        }
    }
}

impl<'a> Glance<'a> {
    /// Reads one line, which is expected to be number `expected`.
    ///
    /// # Errors
    /// `LOG_BROKEN` naming the line and the field.
    pub(super) fn parse(line: &'a [u8], expected: u64) -> Result<Self, Problem> {
        Self::next(line, expected, &mut Lengths::default(), &mut || ())
    }

    /// As [`Self::parse`], for the line after the one whose texts have these lengths. `meanwhile` is called
    /// again and again, for what has nothing to do with the reading and is done in small pieces.
    #[inline]
    pub(super) fn next(
        line: &'a [u8],
        expected: u64,
        lengths: &mut Lengths,
        meanwhile: &mut impl FnMut(),
    ) -> Result<Self, Problem> {
        if line.len() >= MAX_LINE {
            let why = format!("it has {} bytes, at most {MAX_LINE} are read", line.len());
            return Err(broken(expected, &why));
        }
        // Once for the line is less than once for each of its strings.
        let text = std::str::from_utf8(line).unwrap_or_default();
        match written::read(text, lengths, meanwhile) {
            Some(glance) => Ok(glance),
            None => Self::of_any(line, expected),
        }
    }

    /// A line that is written in another way, or is no event.
    #[cold]
    fn of_any(line: &[u8], expected: u64) -> Result<Self, Problem> {
        let event = Event::parse(line).map_err(|problem| broken(expected, &problem.message))?;
        Ok(event.into())
    }

    pub(super) fn event_id(&self) -> &str {
        &self.event_id
    }

    pub(super) fn into_event_id(self) -> Cow<'a, str> {
        self.event_id
    }

    pub(super) fn prev_event_id(&self) -> Option<&str> {
        self.prev_event_id.as_deref()
    }

    pub(super) fn prev_sha256(&self) -> &str {
        &self.prev_sha256
    }

    pub(super) fn task_id(&self) -> &str {
        &self.task_id
    }

    /// Where it moves its task, if it does. A line that moves nothing says where its writer found the
    /// task, which somebody may have moved since.
    pub(super) fn moves_to(&self) -> Option<State> {
        let moves = self.task_id() != "-" && self.from_state != self.to_state;
        self.to_state.state().filter(|_| moves)
    }

    /// Whether it follows the line that ends at `head`.
    pub(super) fn follows(&self, head: &Head) -> Result<(), Problem> {
        self.links(head.seq, &head.sha256, head.event_id.as_deref())
    }

    /// Whether it follows line number `seq` with these names.
    pub(super) fn links(
        &self,
        seq: u64,
        sha256: &str,
        event_id: Option<&str>,
    ) -> Result<(), Problem> {
        let line = seq + 1;
        if self.seq != line {
            return Err(broken(
                line,
                &format!("seq is {}, expected {line}", self.seq),
            ));
        }
        if self.prev_sha256() != sha256 {
            let why = format!(
                "prev_sha256 is {}, the line before hashes to {sha256}",
                self.prev_sha256()
            );
            return Err(broken(line, &why));
        }
        if self.prev_event_id() != event_id {
            return Err(broken(line, "prev_event_id does not name the line before"));
        }
        Ok(())
    }

    /// The head that its line makes.
    pub(super) fn head(&self, line: &[u8]) -> Head {
        Head {
            seq: self.seq,
            event_id: Some(self.event_id().to_owned()),
            sha256: digest::sha256(line),
        }
    }
}
