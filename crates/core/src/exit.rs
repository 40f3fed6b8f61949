//! The one place where a result becomes a process exit code.

use crate::envelope::{Decision, Status};

/// Exit code for a command line that could not be understood; no envelope is printed with it.
pub const USAGE: u8 = 2;

/// Maps a result to the exit code that scripts branch on.
///
/// A decision of `ZERO_STOP` is an answer of the router with status OK; it still ends with the
/// code for ZERO_STOP, so that a shell chain stops there.
#[must_use]
pub fn code(status: Status, decision: Option<Decision>) -> u8 {
    match (status, decision) {
        (Status::ZeroStop, _) | (Status::Ok, Some(Decision::ZeroStop)) => 4,
        (Status::Ok, _) => 0,
        (Status::Fail, _) => 1,
        (Status::Deny, _) => 3,
        (Status::Partial, _) => 5,
    }
}

/// The status of a program that ended with an exit code.
#[must_use]
pub fn status(code: u8) -> Status {
    match code {
        0 => Status::Ok,
        3 => Status::Deny,
        4 => Status::ZeroStop,
        5 => Status::Partial,
        _ => Status::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_code() {
        let codes = [
            (Status::Ok, 0),
            (Status::Fail, 1),
            (Status::Deny, 3),
            (Status::ZeroStop, 4),
            (Status::Partial, 5),
        ];
        for (status, expected) in codes {
            assert_eq!(code(status, None), expected, "{status:?}");
            assert_eq!(super::status(expected), status);
        }
        assert_eq!(code(Status::Ok, Some(Decision::ZeroStop)), 4);
        assert_eq!(code(Status::Ok, Some(Decision::PrOnly)), 0);
    }
}
