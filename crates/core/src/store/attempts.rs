//! How often a task was tried, by its lines in the log: counted from the claim on, so that a try which
//! takes its process down with it counts as well.

use crate::audit::{Action, Event};
use crate::state::State;

/// What `meta` of a release says when the try counts: the code of what went wrong.
pub const FAILED: &str = "failed";

/// The tries of a task since it was submitted, or put back by a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Tries that ended badly, or that their owner never came back from.
    pub failed: u64,
    /// Who has claimed the task and did not end it yet.
    pub open: Option<String>,
}

impl Attempts {
    /// Counts.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        events.into_iter().fold(Self::default(), Self::and)
    }

    /// How many there were when the claim that is open counts too.
    #[must_use]
    pub fn with_open(&self) -> u64 {
        self.failed + u64::from(self.open.is_some())
    }

    fn and(mut self, event: &Event) -> Self {
        match event.action {
            Action::TaskSubmitted | Action::TaskRetried | Action::TaskRebased => Self::default(),
            Action::TaskClaimed => {
                let owner = event.meta.get("owner").and_then(|owner| owner.as_str());
                let owner = owner.unwrap_or_default().to_owned();
                let goes_on = |open: &String| goes_on(open, &owner);
                self.failed += u64::from(self.open.as_ref().is_some_and(|open| !goes_on(open)));
                self.open = Some(owner);
                self
            }
            Action::LeaseReleased => {
                self.failed += u64::from(event.meta.contains_key(FAILED));
                self.open = None;
                self
            }
            Action::TaskReclaimed => {
                self.failed += 1;
                self.open = None;
                self
            }
            _ => {
                let rests =
                    |to| matches!(to, State::Inbox | State::Pr | State::Done | State::Blocked);
                if event.moves_to().is_some_and(rests) {
                    self.open = None;
                }
                self
            }
        }
    }
}

/// Whether a claim goes on with the one before: in the same name, or by the worker it was handed to.
fn goes_on(before: &str, owner: &str) -> bool {
    owner == before
        || owner
            .strip_prefix(before)
            .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Draft;
    use crate::policy::Actor;

    fn event(action: Action, meta: &[(&str, &str)], to: Option<State>) -> Event {
        let mut draft = Draft::new(Actor::System, action, "baton").unwrap();
        for (key, text) in meta {
            draft = draft.meta(key, *text);
        }
        let line = serde_json::json!({
            "ts": "2026-01-01T00:00:00Z", "seq": 1, "event_id": draft.event_id, "prev_event_id": null,
            "prev_sha256": crate::audit::GENESIS, "level": "INFO", "actor": "system", "action": action,
            "skill": "baton", "status": "NA", "decision": "NA", "task_id": "T-1", "from_state": "unknown",
            "to_state": to.map_or("unknown", State::name), "repo_ref": "-",
            "inputs_sha256": draft.inputs_sha256, "outputs_sha256": draft.outputs_sha256,
            "approvals": [], "artifacts": [], "findings": [], "meta": draft.meta,
        });
        Event::parse(line.to_string().as_bytes()).unwrap()
    }

    fn claim(owner: &str) -> Event {
        event(Action::TaskClaimed, &[("owner", owner)], None)
    }

    #[test]
    fn a_claim_counts_until_it_ends_well() {
        let release = || event(Action::LeaseReleased, &[], None);
        let cases = [
            (vec![claim("a"), release()], (0, 0)),
            (vec![claim("a")], (0, 1)),
            (vec![claim("a"), claim("b")], (1, 2)),
            (vec![claim("w"), claim("w/1"), release()], (0, 0)),
            (vec![claim("w/1"), claim("w/2")], (1, 2)),
            (
                vec![
                    claim("a"),
                    event(Action::LeaseReleased, &[(FAILED, "X")], None),
                ],
                (1, 1),
            ),
            (
                vec![
                    claim("a"),
                    event(Action::TaskReclaimed, &[], Some(State::Inbox)),
                    claim("b"),
                ],
                (1, 2),
            ),
            (
                vec![
                    claim("a"),
                    event(Action::DecisionMade, &[], Some(State::Pr)),
                ],
                (0, 0),
            ),
            (
                vec![
                    claim("a"),
                    claim("b"),
                    event(Action::TaskRetried, &[], Some(State::Inbox)),
                ],
                (0, 0),
            ),
        ];
        for (at, (events, expected)) in cases.into_iter().enumerate() {
            let got = Attempts::of(&events);
            assert_eq!((got.failed, got.with_open()), expected, "case {at}");
        }
    }
}
