//! `baton-walls`: says as JSON what this machine can do for a gate; with arguments, runs one.
//!
//! `baton-walls` looks; `baton-walls TREE PROGRAM [ARGUMENT...]` runs a program with the default
//! limits, I3 or nothing, and prints its log and then the evidence.

use std::io::{self, Write};
use std::process::ExitCode;

use baton_sandbox::{Profile, Sandbox, enter_if_called};

fn main() -> ExitCode {
    enter_if_called();
    let mut words = std::env::args().skip(1);
    let done = match words.next() {
        None => look(),
        Some(tree) => run(Profile::new(tree, words.collect())),
    };
    // A reader that went away is told by the code.
    done.unwrap_or(ExitCode::from(2))
}

fn look() -> io::Result<ExitCode> {
    match Sandbox::this_program() {
        Ok(sandbox) => print(&sandbox.probe()).map(|()| ExitCode::SUCCESS),
        Err(refused) => print(&refused).map(|()| ExitCode::from(2)),
    }
}

fn run(mut profile: Profile) -> io::Result<ExitCode> {
    profile
        .environment
        .insert("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
    match Sandbox::this_program().and_then(|sandbox| sandbox.run(&profile, &|| false)) {
        Ok(outcome) => {
            io::stdout().write_all(&outcome.log.text())?;
            print(&outcome)?;
            Ok(ExitCode::from(u8::from(!outcome.ended_by.is_success())))
        }
        Err(refused) => print(&refused).map(|()| ExitCode::from(2)),
    }
}

fn print(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = io::stdout();
    serde_json::to_writer_pretty(&mut out, value)?;
    out.write_all(b"\n")
}
