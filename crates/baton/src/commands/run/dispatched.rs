//! A run that a dispatcher started holds its task with its own process: when that is gone, so is the claim.

use std::rc::Rc;

use baton_core::caller::Caller;
use baton_core::problem::Problem;
use baton_core::terminal;

/// Answers for the claim that such a run makes.
pub(super) fn caller() -> Rc<dyn Caller> {
    Rc::new(Dispatched)
}

struct Dispatched;

impl Caller for Dispatched {
    fn halt(&self) -> Option<Problem> {
        None
    }

    fn fence(&self) -> Option<u64> {
        None
    }

    fn hold(&self) -> Result<(), Problem> {
        Ok(())
    }

    fn progress(&self, _: u64, _: f64) {}

    fn tell(&self, line: &str) {
        terminal::say(line);
    }

    fn grant(&self) -> Option<String> {
        None
    }
}
