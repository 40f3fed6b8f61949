//! Runs one command of an untrusted change behind walls, watches it from outside, and says which
//! walls stood, which of them were tried in this very run, and what was used.
//!
//! A host program calls [`enter_if_called`] first in its `main`, because it is started again as the
//! second stage; then [`Sandbox::run`] runs a [`Profile`]. What cannot be isolated as strongly as
//! the profile asks is not run: [`Refused`] says why and what to do.
//!
//! Isolation is not truth: a command that executes the change's own code can be made to say what
//! the change wants. It only cannot reach the machine while saying so.

mod account;
mod aspects;
mod bait;
#[cfg(target_os = "linux")]
mod bwrap;
mod disk;
mod evidence;
mod fixes;
mod handle;
mod level;
mod log;
mod outcome;
mod probe;
mod processes;
mod profile;
mod refused;
mod sandbox;
mod scratch;
#[cfg(target_os = "macos")]
mod seatbelt;
mod stage;
mod supervise;
mod sweep;
#[allow(unsafe_code, reason = "all of it is there")]
mod sys;
mod watch;
mod wire;

pub use level::{Aspect, Cover, Level, Relax};
pub use log::Log;
pub use outcome::{Backend, Covered, EndedBy, Limit, Outcome, Walls};
pub use probe::{Gap, Probe, Reached};
pub use profile::{HOME, Limits, Profile, TREE};
pub use refused::{Refused, Tried};
pub use sandbox::Sandbox;
pub use scratch::{Scratch, sweep_left};
pub use stage::enter_if_called;
pub use sweep::sweep;
pub use wire::Trial;
