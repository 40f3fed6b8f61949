//! A queue that stands still: tasks wait, and nothing has moved for long. It is logged once.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Store, Wedge};
use crate::audit::{Action, Draft, Level};
use crate::clock::{self, Moment};
use crate::envelope::ApprovalEntry;
use crate::policy::Actor;
use crate::problem::Problem;
use crate::state::State;

impl Store {
    /// Writes one line when tasks wait and nothing has moved for as long as `patience`; once, until
    /// something moves again. Gives the time since when.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, and those of the log.
    pub fn note_stall(
        &self,
        found: &[Wedge],
        patience: Duration,
        now: Moment,
        approvals: &[ApprovalEntry],
    ) -> Result<Option<String>, Problem> {
        let (counts, _) = self.scan(&[State::Inbox, State::Claimed, State::Work, State::Pr])?;
        let waiting = counts.inbox + counts.claimed + counts.work + counts.pr;
        if waiting == 0 {
            return Ok(None);
        }
        let _mutex = self.mutex()?;
        let Some(since) = self.last_move()? else {
            return Ok(None);
        };
        let is_long = clock::parse_rfc3339(&since)
            .is_some_and(|since| now.wall.duration_since(since).unwrap_or_default() >= patience);
        if !is_long {
            return Ok(None);
        }
        let mut draft = Draft::new(Actor::System, Action::QueueStalled, "baton")?;
        draft = draft.meta("since", since.clone()).meta("waiting", waiting);
        if let Some(first) = found.first() {
            let head = first.task_id.clone().unwrap_or_else(|| "-".to_owned());
            draft = draft.meta("code", first.code).meta("head", head);
            draft = draft
                .meta("why", first.why.clone())
                .meta("next", first.next.clone());
        }
        draft.level = Level::Warn;
        draft.approvals = approvals.to_vec();
        self.log()?.append(draft)?;
        Ok(Some(since))
    }

    /// When something moved last; nothing when a stall is on record since.
    fn last_move(&self) -> Result<Option<String>, Problem> {
        let mut last = None;
        self.log()?.back(|seen| {
            if seen.action() == Action::QueueStalled {
                return Ok(ControlFlow::Break(()));
            }
            if !is_a_move(seen.action()) {
                return Ok(ControlFlow::Continue(()));
            }
            last = Some(seen.event()?.ts);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(last)
    }
}

/// Looking, refusing and keeping the log move nothing.
fn is_a_move(action: Action) -> bool {
    !matches!(
        action,
        Action::Error
            | Action::StopDetected
            | Action::EnvelopeRecorded
            | Action::EventRecorded
            | Action::LogRepaired
            | Action::IndexRebuilt
            | Action::LogSealed
            | Action::WitnessAdded
            | Action::WitnessRemoved
            | Action::WitnessAsked
    )
}
