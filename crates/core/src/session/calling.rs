//! What a session asks and tells: the kill switch, whoever runs the skill in process, the person at the terminal.

use std::io::IsTerminal;
use std::rc::Rc;

use super::Session;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::store::{Held, Picking};
use crate::terminal;

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
