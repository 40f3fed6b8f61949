//! The front door: `baton <skill> …` runs any skill in process, and the other commands are what an
//! operator needs around them.

mod commands;
mod manual;
mod registry;
mod reply;
mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use baton_core::store::{Driver, database};
use baton_core::{driver, terminal};
use clap::Command;

pub use registry::SKILLS;

/// Runs the program with the given arguments, the first being its name.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    driver::begin(baton_risk::MASKER);
    database::begin(&STORES);
    let named = arguments.get(1).and_then(|name| name.to_str());
    if let Some(skill) = SKILLS.into_iter().find(|skill| Some(skill.name) == named) {
        return driver::main_with(skill, arguments.into_iter().skip(1).collect());
    }
    let command = match named.and_then(commands::named) {
        Some(named) => front().subcommand(named),
        None => command(),
    };
    match command.try_get_matches_from(arguments) {
        Ok(matches) => manual::print(&matches).unwrap_or_else(|| commands::run(&matches)),
        Err(error) => terminal::answer_usage(&error),
    }
}

/// The databases that may hold a queue.
const STORES: [Driver; 2] = [baton_sqlite::DRIVER, baton_postgres::DRIVER];

/// The whole command line.
#[must_use]
pub fn command() -> Command {
    let skills = SKILLS.iter().map(|skill| skill.command());
    front()
        .subcommands(commands::all())
        .subcommands(skills)
        .subcommands(manual::commands())
}

/// The command line without its commands.
fn front() -> Command {
    Command::new("baton")
        .about("A safety pipeline for changes written by AI agents: an agent proposes, baton checks, a person approves")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Examples:\n  baton init && baton submit --id T-1 --title 'Fix it' --goal 'Fix the typo' --allow README.md\n  \
             baton run T-1 --from fix.patch && baton approve T-1 && baton run T-1\n\n\
             Exit codes:\n  0 OK  1 FAIL  2 usage error  3 DENY  4 ZERO_STOP  5 PARTIAL",
        )
}
