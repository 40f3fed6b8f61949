//! What must hold wherever a queue is kept: every test here runs over folders, over SQLite and, with
//! `make test-postgres`, over PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may"
)]

mod copies;
mod directories;
mod frozen;
mod lines;
mod machines;
mod moves;
mod order;
mod place;
mod tasks;
mod whole;

#[path = "../suite/support/mod.rs"]
#[allow(dead_code, reason = "the other suite needs more of it")]
mod support;
