//! What is refused before a task is touched.

use baton_core::problem::Problem;
use baton_core::state::State;

use super::Way;
use crate::commands::{rebase, retry};

impl Way<'_> {
    /// A patch that is not there must not cost the task an attempt, nor leave it claimed. Whether the next
    /// task of the inbox has a draft is told once it is claimed.
    pub(super) fn check_source(&self) -> Result<(), Problem> {
        let flags = self.draft_flags();
        let is_drafted = match (self.state()?, flags.is_empty()) {
            (None, is_empty) => is_empty,
            (Some(State::Pr | State::Done | State::Blocked), _) => true,
            (Some(_), false) => false,
            (Some(_), true) => rebase::has_change(&self.session()?)?,
        };
        match is_drafted {
            true => Ok(()),
            false => patch_draft::check_source(&self.session()?, &flags),
        }
    }

    /// The next task of the inbox is known by now; one for which there is no patch goes back.
    pub(super) fn check_source_of_next(&mut self, owner: Option<&str>) -> Result<(), Problem> {
        let checked = self.check_source();
        if checked.is_err() {
            let mut flags = vec!["--release".to_owned()];
            flags.extend(owner.map(|owner| format!("--owner={owner}")));
            self.step(&claim_lock::SKILL, &flags)?;
        }
        checked
    }

    /// Nothing is done to a task that came to rest.
    pub(super) fn at_rest(&self, state: State) -> Problem {
        let id = self.task.clone().unwrap_or_default();
        let why = format!("task {id} is in {state}; there is nothing to run");
        let next = self
            .session()
            .ok()
            .filter(|_| state == State::Blocked)
            .and_then(|session| retry::next(&session, session.task().ok()?).ok());
        Problem::fail("STATE_RULE", why).hint(match next {
            Some(next) => format!("see why: baton show {id}; then: {next}"),
            None => format!("baton show {id}"),
        })
    }
}
