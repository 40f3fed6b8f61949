//! A program that runs skills in process and answers for what they do meanwhile, as a worker does.

use crate::problem::Problem;

/// What a skill asks and tells the program that runs it.
pub trait Caller {
    /// Why the work must end now, if it must. It is asked ten times a second while a skill waits for
    /// something outside, so a lease can be renewed here.
    fn halt(&self) -> Option<Problem>;

    /// The fencing number by which the caller holds the task, once it holds one.
    fn fence(&self) -> Option<u64>;

    /// Makes sure that the task stays the caller's for long enough to write results.
    ///
    /// # Errors
    /// `LEASE_LOST`; then nothing is written.
    fn hold(&self) -> Result<(), Problem>;

    /// Takes in how a model's reply gets on.
    fn progress(&self, tokens: u64, per_second: f64);

    /// Says a line to the person at the terminal.
    fn tell(&self, line: &str);

    /// The one standing approval by which tasks may be moved; any that is valid when `None`.
    fn grant(&self) -> Option<String>;
}
