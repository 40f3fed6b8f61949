//! The operator's commands, one file each.

mod ahead;
mod all;
mod approve;
mod audit;
mod block;
mod bundle;
mod codes;
mod demands;
mod dispatch;
mod doctor;
mod explain;
mod init;
mod models;
mod ops;
mod orch;
mod policy;
mod rebase;
mod replayed;
mod retry;
mod rollback;
mod rounds;
mod run;
mod show;
mod shown;
mod signals;
mod skills;
mod status;
mod stop;
mod store;
mod stuck;
mod submit;
mod tip;
mod unchecked;
mod verify;
mod watchdog;
mod withdraw;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::session::{Common, Session};
use baton_core::{environment, masking};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};

use crate::reply::{self, Reply};

/// The flags of every operator command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shared {
    /// Work in the repository at this folder (default: search upward for .git)
    #[arg(long, value_name = "DIR", global = true)]
    repo: Option<PathBuf>,
    /// Act as openclaw, cursor, claude_code, human or system (default: BATON_ACTOR, else human)
    #[arg(long, value_name = "NAME", global = true)]
    actor: Option<String>,
    /// Print the JSON line even on a terminal
    #[arg(long, global = true)]
    json: bool,
}

impl Shared {
    /// The actor that was named, by the flag or by the environment.
    fn named_actor(&self) -> Option<String> {
        let named = self.actor.clone();
        named.or_else(|| environment::read_text(environment::ACTOR))
    }

    /// Refuses every name but this one, for a command that always acts as the same.
    fn acts_only_as(&self, actor: Actor, what: &str) -> Result<(), Problem> {
        if self.named_actor().is_none_or(|named| named == actor.name()) {
            return Ok(());
        }
        let why = format!("{what} acts as {} and as nobody else", actor.name());
        Err(Problem::usage(why).hint("leave --actor and BATON_ACTOR out"))
    }

    fn actor(&self) -> Result<Actor, Problem> {
        let name = self.named_actor();
        let unknown =
            |name: &str| Problem::usage(format!("no actor is called \"{}\"", name.escape_debug()));
        name.map_or(Ok(Actor::Human), |name| {
            name.parse().map_err(|_| unknown(&name))
        })
    }

    /// Opens a session for this command, about `task` if there is one.
    fn session(&self, task: Option<&str>) -> Result<Session, Problem> {
        let common = Common {
            repo: self.repo.clone(),
            task: task.map(str::to_owned),
            ..Common::default()
        };
        Ok(Session::new(common, self.actor()?, None))
    }
}

type Work = fn(&Shared, &ArgMatches) -> Result<Reply, Problem>;

/// One command: its name, its line of help, its flags and its work.
struct Entry {
    name: &'static str,
    about: &'static str,
    arguments: fn(Command) -> Command,
    work: Work,
}

impl Entry {
    fn command(&self) -> Command {
        let command = Shared::augment_args(Command::new(self.name));
        // The doc comment of a flags struct would become the text about the command, so that comes last.
        (self.arguments)(command).about(self.about)
    }
}

const ENTRIES: [Entry; 24] = [
    Entry {
        name: "init",
        about: "Set a repository up: single source of truth, queue, log",
        arguments: init::arguments,
        work: init::run,
    },
    Entry {
        name: "doctor",
        about: "Check this machine, the queue, the policy and the log",
        arguments: doctor::arguments,
        work: doctor::run,
    },
    Entry {
        name: "explain",
        about: "Say what a rule, a check or a code means and what to do about it",
        arguments: explain::arguments,
        work: explain::run,
    },
    Entry {
        name: "submit",
        about: "Put a task into the inbox",
        arguments: submit::arguments,
        work: submit::run,
    },
    Entry {
        name: "run",
        about: "Take a task the whole way, or as far as it may go",
        arguments: run::arguments,
        work: run::run,
    },
    Entry {
        name: "worker",
        about: "Draft for one task after the other, as openclaw, until told to end",
        arguments: |command| acts_as(worker::arguments(command), "openclaw"),
        work: worker::run,
    },
    Entry {
        name: "watchdog",
        about: "Take tasks back from owners who are gone, and finish what a crash cut in two",
        arguments: |command| acts_as(watchdog::arguments(command), "system"),
        work: watchdog::run,
    },
    Entry {
        name: "store",
        about: "Say where the queue is kept, bring its tables up to date, copy it to another place",
        arguments: store::arguments,
        work: store::run,
    },
    Entry {
        name: "status",
        about: "Say what waits, for what or whom, and since when",
        arguments: |c| c,
        work: status::run,
    },
    Entry {
        name: "show",
        about: "Show a task: its change, its results, its timeline",
        arguments: show::arguments,
        work: show::run,
    },
    Entry {
        name: "approve",
        about: "Approve exactly the candidate of a task",
        arguments: approve::approve_arguments,
        work: approve::approve,
    },
    Entry {
        name: "revoke-approval",
        about: "Withdraw an approval before its change has landed, for good",
        arguments: approve::revoke_arguments,
        work: withdraw::revoke,
    },
    Entry {
        name: "reject",
        about: "Deny exactly the candidate of a task, for good",
        arguments: approve::reject_arguments,
        work: withdraw::reject,
    },
    Entry {
        name: "stop",
        about: "Switch STOP on: everything halts",
        arguments: stop::arguments,
        work: stop::stop,
    },
    Entry {
        name: "resume",
        about: "Lift STOP",
        arguments: stop::arguments,
        work: stop::resume,
    },
    Entry {
        name: "retry",
        about: "Set a task's last attempt aside and put it back into the inbox",
        arguments: retry::arguments,
        work: retry::run,
    },
    Entry {
        name: "rollback",
        about: "Undo what a task landed, by a revert that is gated and approved like any change",
        arguments: rollback::arguments,
        work: rollback::run,
    },
    Entry {
        name: "orch",
        about: "Work with the queue as rows, and with QUEUE.md",
        arguments: orch::arguments,
        work: orch::run,
    },
    Entry {
        name: "ops",
        about: "See who works at what; cancel a task, plan it anew, try it again",
        arguments: ops::arguments,
        work: ops::run,
    },
    Entry {
        name: "bundle",
        about: "Write all that a stranger needs to verify a task into one file",
        arguments: bundle::arguments,
        work: bundle::run,
    },
    Entry {
        name: "verify",
        about: "Derive a task's candidate and evidence again and compare",
        arguments: verify::arguments,
        work: verify::run,
    },
    Entry {
        name: "policy",
        about: "Rehearse a changed policy, and let it count",
        arguments: policy::arguments,
        work: policy::run,
    },
    Entry {
        name: "skills",
        about: "Put the skill pack where coding agents look, or check skills",
        arguments: skills::arguments,
        work: skills::run,
    },
    Entry {
        name: "audit",
        about: "Check the log or sum it up",
        arguments: audit::arguments,
        work: audit::run,
    },
];

/// The commands for the command line.
pub(crate) fn all() -> impl Iterator<Item = Command> {
    ENTRIES.iter().map(Entry::command)
}

/// The command of this name alone: to make all of them took a quarter of a short one's time.
pub(crate) fn named(name: &str) -> Option<Command> {
    let entry = ENTRIES.iter().find(|entry| entry.name == name);
    entry.map(Entry::command)
}

/// Runs the command that was named.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let Some((name, matches)) = matches.subcommand() else {
        return ExitCode::from(baton_core::exit::USAGE);
    };
    let Some(entry) = ENTRIES.iter().find(|entry| entry.name == name) else {
        return ExitCode::from(baton_core::exit::USAGE);
    };
    let worked = Shared::from_arg_matches(matches)
        .map_err(|error| Problem::usage(error.to_string()))
        .and_then(|shared| Ok(((entry.work)(&shared, matches)?, shared.json)));
    match worked {
        Ok((reply, json)) => reply.print(json),
        Err(problem) => reply::problem(name, &problem).print(false),
    }
}

/// Says of a command that takes no other actor who that is.
fn acts_as(command: Command, only: &str) -> Command {
    command.mut_arg("actor", |actor| {
        actor.help(format!(
            "Act as {only}, which is the default; any other is refused"
        ))
    })
}

/// The argument that names a task.
fn task_argument() -> clap::Arg {
    clap::Arg::new("task")
        .value_name("TASK")
        .required(true)
        .help("The task's id")
}

fn named_task(matches: &ArgMatches) -> Result<&str, Problem> {
    matches
        .get_one::<String>("task")
        .map(String::as_str)
        .ok_or_else(|| Problem::usage("no task was named"))
}

/// Who the operator is, as git knows them.
fn operator(session: &Session) -> Result<String, Problem> {
    let person = session.repository()?.operator();
    Ok(format!("{} <{}>", person.name, person.email))
}

/// What somebody says with `--reason`, as it may be kept: in files and in the log nothing stays that the
/// secret rules know.
fn reason(session: &Session, matches: &ArgMatches) -> String {
    let said = matches.get_one::<String>("reason").map(String::as_str);
    // Its own rules count where the policy can be read; `baton stop` works whatever is broken.
    let _ = session.policy();
    masking::text(said.unwrap_or_default()).into_owned()
}

/// Only a person may do this.
fn require_human(session: &Session, what: &str) -> Result<(), Problem> {
    if session.actor == Actor::Human {
        return Ok(());
    }
    Err(Problem::deny(
        "HUMAN_ONLY",
        format!(
            "{what} is for a person, this run acts as {}",
            session.actor.name()
        ),
    )
    .hint("a person runs it, without --actor and BATON_ACTOR"))
}

/// Only a person may let something through, and only under a policy that a person accepted.
fn require_person(session: &Session, what: &str) -> Result<(), Problem> {
    require_human(session, what)?;
    session.check_acceptance()
}
