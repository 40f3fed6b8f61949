//! Statements that a stranger can check: in-toto statements in DSSE envelopes.
//!
//! Everything here is pure: bytes in, bytes out. Keys live with the caller, who signs and verifies
//! through closures over the bytes that a signature covers ([`dsse::pae`]).

pub mod dsse;
pub mod predicate;
pub mod resource;
pub mod statement;

#[cfg(test)]
mod tests;

pub use dsse::{Envelope, Signature, Verified};
pub use predicate::{Predicate, Provenance, TestOutcome, TestResult};
pub use resource::Resource;
pub use statement::Statement;
