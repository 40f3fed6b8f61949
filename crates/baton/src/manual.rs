//! `baton man` and `baton completions`: made from the command line itself, so they cannot drift.

use std::process::ExitCode;

use baton_core::exit;
use baton_core::terminal;
use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use crate::command;

/// The two commands.
pub(crate) fn commands() -> [Command; 2] {
    [
        Command::new("man")
            .about("Print the manual page of baton or of one command")
            .arg(
                Arg::new("command")
                    .value_name("COMMAND")
                    .help("The command or tool; baton itself when left out"),
            ),
        Command::new("completions")
            .about("Print a completion script for a shell")
            .arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(clap::value_parser!(Shell))
                    .help("The shell"),
            ),
    ]
}

/// Prints what was asked for; `None` when it was another command.
pub(crate) fn print(matches: &ArgMatches) -> Option<ExitCode> {
    match matches.subcommand()? {
        ("man", matches) => Some(man(
            &command(),
            matches.get_one::<String>("command").map(String::as_str),
        )),
        ("completions", matches) => {
            let shell = matches.get_one::<Shell>("shell").copied()?;
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command(), "baton", &mut text);
            Some(terminal::write_out(&String::from_utf8_lossy(&text), 0))
        }
        _ => None,
    }
}

fn man(whole: &Command, name: Option<&str>) -> ExitCode {
    let named = match name {
        None => Some(whole),
        Some(name) => whole
            .get_subcommands()
            .find(|command| command.get_name() == name),
    };
    let Some(command) = named else {
        terminal::say("baton man: there is no such command; baton --help lists them");
        return ExitCode::from(exit::USAGE);
    };
    let mut text = Vec::new();
    match clap_mangen::Man::new(command.clone()).render(&mut text) {
        Ok(()) => terminal::write_out(&String::from_utf8_lossy(&text), 0),
        Err(error) => {
            terminal::say(&format!("baton man: {error}"));
            ExitCode::FAILURE
        }
    }
}
