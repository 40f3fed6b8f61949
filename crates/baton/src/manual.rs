//! `baton man` and `baton completions`: made from the command line itself, so they cannot drift.

use std::process::ExitCode;

use baton_core::exit;
use baton_core::terminal;
use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use crate::{SKILLS, command};

/// The two commands.
pub(crate) fn commands() -> [Command; 2] {
    [
        Command::new("man")
            .about("Print the manual page of baton or of one command")
            .arg(
                Arg::new("command")
                    .value_name("COMMAND")
                    .num_args(0..)
                    .help("The command or tool, and its verb where it has verbs; baton itself when left out"),
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
        ("man", matches) => {
            let named = matches.get_many::<String>("command").unwrap_or_default();
            Some(man(command(), named))
        }
        ("completions", matches) => {
            let shell = matches.get_one::<Shell>("shell").copied()?;
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command(), "baton", &mut text);
            Some(terminal::write_out(&String::from_utf8_lossy(&text), 0))
        }
        _ => None,
    }
}

fn man<'n>(mut whole: Command, mut named: impl Iterator<Item = &'n String> + Clone) -> ExitCode {
    let first = named.clone().next();
    if let Some(skill) = SKILLS
        .iter()
        .find(|skill| Some(skill.name) == first.map(|name| &**name))
    {
        // A tool is a program of its own, and has no verbs.
        whole = skill.command();
        named.next();
    }
    // Each page gets its whole name, by which the others refer to it.
    whole.build();
    let mut command = &whole;
    for name in named {
        let Some(found) = command.find_subcommand(name) else {
            let of = command.get_bin_name().unwrap_or("baton");
            terminal::say(&format!(
                "baton man: there is no such command; {of} --help lists them"
            ));
            return ExitCode::from(exit::USAGE);
        };
        command = found;
    }
    let mut text = Vec::new();
    match clap_mangen::Man::new(command.clone()).render(&mut text) {
        Ok(()) => terminal::write_out(&String::from_utf8_lossy(&text), 0),
        Err(error) => {
            terminal::say(&format!("baton man: {error}"));
            ExitCode::FAILURE
        }
    }
}
