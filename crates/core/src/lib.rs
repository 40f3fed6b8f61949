//! The vocabulary and the driver that every baton skill shares.
//!
//! Data flows one way: [`driver`] parses the command line, opens a [`session::Session`], hands it
//! to the skill's `run`, then records the result in the [`audit`] log, moves the task and prints
//! one [`envelope::Envelope`]. Skills reach tasks, artifacts, approvals and the log only through
//! [`store::Store`], and git only through [`git`] and [`candidate`].

#![warn(missing_docs)]

pub mod accepted;
pub mod approval;
pub mod attestation;
pub mod audit;
pub mod bounds;
pub mod caller;
pub mod candidate;
pub mod carry;
pub mod clock;
pub mod collect;
pub mod decision;
pub mod digest;
pub mod driver;
pub mod envelope;
pub mod environment;
pub mod evidence;
pub mod exit;
pub mod files;
pub mod git;
pub mod ids;
pub mod lease;
mod limits;
pub mod manifest;
pub mod masking;
pub mod outcome;
pub mod output_file;
pub mod outputs;
pub mod overlap;
pub mod policy;
pub mod problem;
pub mod process;
pub mod quorum;
pub mod report;
pub mod rules;
pub mod schemas;
pub mod session;
pub mod signers;
pub mod spelling;
pub mod state;
pub mod store;
pub mod task;
pub mod terminal;
pub mod threads;
pub mod wire;
