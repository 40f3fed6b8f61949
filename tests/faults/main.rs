//! What holds when something fails in the middle: a process, a call of the system, a disk, a clock, a server.
//! `make test` runs a sample; `make faults` runs all of it, and what needs a server or rights to mount.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may"
)]

mod clocks;
mod cuts;
mod disks;
mod kills;
mod power;
mod queue;
mod server;
mod template;
mod torn;
mod trace;

#[path = "../stores/place.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the other suite needs more of it"
)]
mod place;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, reason = "the other suite needs more of it")]
mod support;
