//! What is checked of a task, and what came of each point.

use std::fmt;

use baton_core::problem::Problem;

/// What came of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was derived again and is the same.
    Holds,
    /// It is not as recorded; how.
    Differs(String),
    /// It cannot be told from what is here; why.
    Unknown(String),
    /// There is nothing of it yet.
    Nothing,
}

/// One point.
#[derive(Clone, Debug)]
pub(super) struct Point {
    what: &'static str,
    pub(super) found: Found,
}

impl Point {
    /// A check that could not be gone through with holds no more than one that failed.
    pub(super) fn of(what: &'static str, checked: Result<Found, Problem>) -> Self {
        let found = checked.unwrap_or_else(|problem| Found::Differs(problem.message));
        Self { what, found }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Found::Holds | Found::Nothing => f.write_str(self.what),
            Found::Differs(why) | Found::Unknown(why) => write!(f, "{}: {why}", self.what),
        }
    }
}
