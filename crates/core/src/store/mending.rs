//! Moves that a crash cut in two: the line in the log comes first, then the rename. What the log says and
//! the folder does not show is completed where everything that belongs to the step is there, and else
//! taken back, in the log.

use super::{TaskFolder, set_aside};
use crate::audit::{Action, Event};
use crate::problem::Problem;
use crate::state::State;

/// A move that the log tells of and the folder does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Half {
    /// The line.
    pub(super) event_id: String,
    /// Where the log says that the task lies.
    pub(super) said: State,
    /// What becomes of it.
    pub(super) way: Way,
    /// When the task may be picked again, where the line says so.
    pub(super) not_before: Option<String>,
}

/// What becomes of a half-made move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The folder is moved.
    Complete,
    /// The log says that the task lies where it lies.
    Undo,
    /// The attempt of this number is set aside, and the folder moved into the inbox.
    SetAside(u32),
    /// A landing: only a run of it can tell what is left to do.
    Run,
}

impl Way {
    /// The command that does it.
    pub(super) fn next(self, id: &str) -> String {
        match self {
            Self::Run => format!("baton run {id}"),
            _ => "baton watchdog --once".to_owned(),
        }
    }
}

/// Where a task lies, held against its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the log says.
    Agreed,
    /// On its way: a crash came between the line and the move.
    Half(Half),
    /// Somewhere else, by no step that is recorded.
    Elsewhere(State),
    /// In no log.
    Unknown,
}

/// Holds the folder against the log.
///
/// # Errors
/// `EVIDENCE_CHANGED` when a kept envelope cannot be read.
pub(super) fn place(task: &TaskFolder, events: &[Event]) -> Result<Place, Problem> {
    let lies = task.state();
    let at = events.iter().rposition(|event| event.moves_to().is_some());
    let Some((at, line)) = at.and_then(|at| Some((at, events.get(at)?))) else {
        return Ok(Place::Unknown);
    };
    let Some(said) = line.moves_to().filter(|said| *said != lies) else {
        return Ok(Place::Agreed);
    };
    if line.from_state.state() != Some(lies) {
        return Ok(Place::Elsewhere(said));
    }
    let after = events.get(at + 1..).unwrap_or_default();
    let goes_on = |event: &Event| {
        event.action == Action::TaskClaimed && event.from_state.state() == Some(lies)
    };
    let way = match set_aside::announced(events) {
        Some(number) => Way::SetAside(number),
        // Somebody went on from where it lies.
        None if after.iter().any(goes_on) => Way::Undo,
        // A claim counts for its claimer alone, who is gone.
        None if said == State::Claimed => Way::Undo,
        None if said == State::Inbox || line.skill == "baton" => Way::Complete,
        None if is_kept(task, &line.event_id)? => Way::Complete,
        None if said == State::Done => Way::Run,
        None => Way::Undo,
    };
    let not_before = line.meta.get("not_before").and_then(|at| at.as_str());
    Ok(Place::Half(Half {
        event_id: line.event_id.clone(),
        said,
        way,
        not_before: not_before.map(str::to_owned),
    }))
}

/// Whether the step's own envelope lies with the task, so that the step is whole but for the move.
fn is_kept(task: &TaskFolder, event_id: &str) -> Result<bool, Problem> {
    let kept = task.envelopes()?;
    Ok(kept
        .iter()
        .any(|kept| kept.envelope.audit.event_id == event_id))
}
