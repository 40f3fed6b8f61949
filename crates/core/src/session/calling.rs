//! What a session asks and tells: the kill switch, whoever runs the skill in process, the person at the terminal.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::Session;
use crate::audit::{Action, Event};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::state::State;
use crate::store::{Held, Picking, Store, TaskFolder};
use crate::task::TaskId;
use crate::terminal;

/// How far back the log is asked who switched STOP on; nothing happens after that but questions.
const MOST_LINES: usize = 10_000;
/// How much of a reason stands in one sentence, in characters.
const MOST_REASON: usize = 200;

fn stop_set(event: &Event) -> String {
    let of = |key: &str| event.meta.get(key).and_then(|said| said.as_str());
    let by = of("by").unwrap_or(event.actor.name());
    let said = format!("{by} set it: {}", of("reason").unwrap_or_default());
    let one_line = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    one_line.take(MOST_REASON).collect()
}

/// A task lies where nothing of this kind is done to it, and `expected` says where it is. For one that is
/// over it is a full stop.
#[must_use]
pub fn wrong_state(id: &TaskId, state: State, expected: &str) -> Problem {
    let why = format!("task {id} is in {state}, {expected}");
    match state {
        State::Done => Problem::zero_stop("STATE_RULE", format!("{why}; it is over"))
            .hint(format!("baton show {id}; baton verify {id}")),
        State::Pr | State::Blocked => Problem::fail("STATE_RULE", why)
            .hint(format!("baton show {id}; start over: baton retry {id}")),
        State::Inbox => Problem::fail("STATE_RULE", why)
            .hint(format!("claim-lock --task {id} | intake-validate")),
        State::Claimed | State::Work => {
            Problem::fail("STATE_RULE", why).hint(format!("baton run {id}"))
        }
    }
}

impl Session {
    /// The same for a program that runs the skill in process and answers for it meanwhile.
    #[must_use]
    pub fn called_by(mut self, caller: Option<Rc<dyn Caller>>) -> Self {
        self.caller = caller;
        self
    }

    /// Why the work must end now, if it must: STOP is on, or whoever runs this skill says so. To be asked
    /// ten times a second while something outside is waited for.
    #[must_use]
    pub fn halted(&self) -> Option<Problem> {
        // Whoever keeps the task from everybody else keeps it from the caller's renewal too.
        let is_held = self.held.borrow().is_some();
        let caller = self.caller.as_ref().filter(|_| !is_held);
        self.check_stop()
            .err()
            .or_else(|| caller.and_then(|caller| caller.halt()))
    }

    /// Who switched STOP on, and why, where the log says so. A STOP that somebody put there by hand says
    /// nothing that could be trusted.
    #[must_use]
    pub fn stop_said(&self) -> Option<String> {
        let mut said = None;
        let mut left = MOST_LINES;
        let walked = self.store().and_then(Store::log).and_then(|log| {
            log.back(|seen| {
                left -= 1;
                match seen.action() {
                    Action::StopSet => said = Some(stop_set(&seen.event()?)),
                    Action::StopLifted => {}
                    _ if left > 0 => return Ok(ControlFlow::Continue(())),
                    _ => {}
                }
                Ok(ControlFlow::Break(()))
            })
        });
        walked.ok().and(said)
    }

    /// Makes sure, before results are written, that nothing halted the work and that the task is still
    /// held as it was at the start; it stays so as long as the answer is kept.
    ///
    /// # Errors
    /// `LEASE_LOST`, `STOP_PRESENT`, and what the caller says.
    pub fn hold(&self) -> Result<Option<Held>, Problem> {
        if let Some(problem) = self.halted() {
            return Err(problem);
        }
        let Some(open) = self.task.get() else {
            return Ok(None);
        };
        // The caller renews the lease, so it comes before everybody is kept out.
        if let Some(caller) = &self.caller {
            caller.hold()?;
        }
        open.folder.guard().map(Some)
    }

    /// The same, until this run is recorded: what it writes and its line in the log are one act.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn hold_on(&self) -> Result<(), Problem> {
        let held = self.hold()?;
        self.held.replace(held);
        Ok(())
    }

    /// The task at hand, for what is made before its decision. One that was decided on, or is over, is left
    /// as it is: nothing is kept with it that its decision did not see.
    ///
    /// # Errors
    /// As [`Self::task`]; `STATE_RULE`, for a task that is over a full stop.
    pub fn undecided_task(&self) -> Result<&TaskFolder, Problem> {
        let id = self.task_id()?;
        match self.store()?.find(&id)? {
            Some(state @ (State::Pr | State::Done | State::Blocked)) => {
                Err(wrong_state(&id, state, "a candidate is looked at in work"))
            }
            _ => self.task(),
        }
    }

    /// Keeps others from picking a task that has to lie apart until this run has ended.
    pub fn keep_picking(&self, picking: Picking) {
        self.picking.replace(Some(picking));
    }

    /// Whether another program runs the skill in process and answers for it meanwhile.
    #[must_use]
    pub fn has_caller(&self) -> bool {
        self.caller.is_some()
    }

    /// Says how a model's reply gets on: how many tokens there are, and how many come in a second.
    pub fn progress(&self, tokens: u64, per_second: f64) {
        match &self.caller {
            Some(caller) => caller.progress(tokens, per_second),
            None => self.tell(&format!(
                "about {tokens} tokens of the reply, {per_second:.0} a second"
            )),
        }
    }

    /// Whether a person watches standard error, or asked to be told.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.common.verbose || std::io::stderr().is_terminal()
    }

    /// Prints progress or an explanation on standard error, for people.
    pub fn tell(&self, text: &str) {
        match &self.caller {
            _ if !self.is_watched() => {}
            Some(caller) => caller.tell(text),
            None => terminal::say(text),
        }
    }
}
