//! What was asked of models for a task, and what it took: one file before each call, one after it.
//!
//! The files outlive a retry and a killed run, so that neither begins a budget anew. A call without its
//! second file counts with everything that was set aside for it.

use std::io;

use serde::{Deserialize, Serialize};

use super::{TaskFolder, broken};
use crate::problem::Problem;
use crate::wire;

/// The folder of a task's calls.
pub(super) const CALLS: &str = "calls";
const CODE: &str = "CALLS_BROKEN";
const MOST_BYTES: usize = 4096;
const RESERVED: &str = "-reserved.json";
const SPENT: &str = "-spent.json";

/// What a call takes, or may take at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallCost {
    /// Of prompt and reply together.
    #[serde(deserialize_with = "wire::count")]
    pub tokens: u64,
    /// In millionths of a cent.
    #[serde(deserialize_with = "wire::count")]
    pub microcents: u64,
    /// Wall time.
    #[serde(deserialize_with = "wire::count")]
    pub milliseconds: u64,
}

impl CallCost {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            microcents: self.microcents.saturating_add(other.microcents),
            milliseconds: self.milliseconds.saturating_add(other.milliseconds),
        }
    }
}

/// The calls of a task so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many there were.
    pub count: u64,
    /// What they took together.
    pub cost: CallCost,
}

impl TaskFolder {
    /// What the task's calls took so far.
    ///
    /// # Errors
    /// `CALLS_BROKEN`: what cannot be read could have cost anything.
    pub fn calls(&self) -> Result<Calls, Problem> {
        let folder = match self.folder().sub(CALLS) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Calls::default()),
            Err(error) => return Err(broken(CALLS, &error)),
        };
        let entries = folder.list().map_err(|error| broken(CALLS, &error))?;
        let mut calls = Calls::default();
        for entry in entries {
            let Some(number) = entry.name.strip_suffix(RESERVED) else {
                continue;
            };
            let read = |name: &str| -> Result<CallCost, Problem> {
                let bytes = folder.read(name, MOST_BYTES).map_err(|error| {
                    Problem::fail(CODE, format!("{}: {error}", self.path(CALLS)))
                })?;
                wire::parse(&bytes, MOST_BYTES, &format!("{CALLS}/{name}"), CODE)
            };
            let spent = format!("{number}{SPENT}");
            let is_over = folder
                .exists(&spent)
                .map_err(|error| broken(CALLS, &error))?;
            let cost = read(if is_over { &spent } else { &entry.name })?;
            calls.count += 1;
            calls.cost = calls.cost.and(cost);
        }
        Ok(calls)
    }

    /// Sets something aside for a call that is about to be made, and gives the call's number.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn reserve_call(&self, cost: CallCost) -> Result<u64, Problem> {
        let folder = self
            .folder()
            .sub_or_new(CALLS)
            .map_err(|error| broken(CALLS, &error))?;
        let mut number = self.calls()?.count + 1;
        loop {
            match folder.write_new(&format!("{number:04}{RESERVED}"), &bytes_of(cost)?) {
                Ok(()) => return Ok(number),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Problem::io(self.path(CALLS), &error)),
            }
        }
    }

    /// Puts down what a call took.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn settle_call(&self, number: u64, cost: CallCost) -> Result<(), Problem> {
        let folder = self
            .folder()
            .sub(CALLS)
            .map_err(|error| broken(CALLS, &error))?;
        folder
            .write_new(&format!("{number:04}{SPENT}"), &bytes_of(cost)?)
            .map_err(|error| Problem::io(self.path(CALLS), &error))
    }
}

fn bytes_of(cost: CallCost) -> Result<Vec<u8>, Problem> {
    let mut bytes =
        serde_json::to_vec(&cost).map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Folder;
    use crate::state::State;
    use crate::store::Directory;
    use crate::task::TaskId;

    fn task(folder: &std::path::Path) -> TaskFolder {
        let folder = Folder::open(folder).unwrap();
        TaskFolder::new(
            TaskId::parse("T-1").unwrap(),
            State::Work,
            Directory::Disk(folder),
        )
    }

    fn cost(tokens: u64) -> CallCost {
        CallCost {
            tokens,
            microcents: tokens * 3,
            milliseconds: tokens * 5,
        }
    }

    #[test]
    fn a_call_that_was_not_settled_counts_in_full_also_after_a_retry() {
        let dir = tempfile::tempdir().unwrap();
        let first = task(dir.path());
        assert_eq!(first.calls().unwrap(), Calls::default());
        let number = first.reserve_call(cost(100)).unwrap();
        first.settle_call(number, cost(10)).unwrap();
        // Killed in the middle of this one.
        first.reserve_call(cost(50)).unwrap();
        first.set_attempt_aside(1).unwrap();
        let calls = task(dir.path()).calls().unwrap();
        assert_eq!((calls.count, calls.cost), (2, cost(60)));
    }

    #[test]
    fn what_cannot_be_read_is_no_zero() {
        let dir = tempfile::tempdir().unwrap();
        let task = task(dir.path());
        task.reserve_call(cost(1)).unwrap();
        let place = dir.path().join(CALLS).join("0001-spent.json");
        std::fs::write(place, "{\"tokens\": -5}").unwrap();
        assert_eq!(task.calls().unwrap_err().code, CODE);
    }
}
