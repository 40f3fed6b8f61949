//! The one driver of every skill: it parses, runs, records, moves, keeps and prints.
//!
//! "Exactly one envelope on standard output" and "no effect without a record" live here and nowhere
//! else. A skill says what it found and where the task should go; the driver writes the log line
//! first, then moves the task, then prints.

mod hand_over;
mod record;

use std::any::Any;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

use crate::audit::Action;
use crate::caller::Caller;
use crate::envelope::{Envelope, Finding, QUEUE_ROOT, Severity, Status, ToolClass};
use crate::exit;
use crate::masking::{self, Masker};
use crate::outcome::Outcome;
use crate::policy::Actor;
use crate::problem::{Kind, Problem};
use crate::session::{self, Common, Input, Session};
use crate::state::State;
use crate::terminal::{answer_usage, complain, say, write_out};
use crate::{environment, limits, schemas};

/// The version of every skill's output.
pub const SKILL_VERSION: &str = "1.0.0";

/// What a skill does with the envelope that comes down the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Its subject is the queue itself; standard input is never read.
    Never,
    /// Reads one when no subject is named; passes on a status that is not OK or PARTIAL.
    PassOn,
    /// Reads one when no subject is named; acts on every status.
    Act,
}

/// One skill: everything the driver, the front door and the documents need to know of it.
pub struct Skill {
    /// The binary's name.
    pub name: &'static str,
    /// The name in the envelope.
    pub envelope: &'static str,
    /// One line, imperative.
    pub about: &'static str,
    /// Two real command lines.
    pub examples: [&'static str; 2],
    /// What it does, for the approval matrix.
    pub classes: &'static [ToolClass],
    /// What the log calls a run that went well.
    pub action: Action,
    /// What it does with upstream.
    pub upstream: Upstream,
    /// Whether it runs while STOP is on, because looking, explaining and recording go on then.
    pub acts_under_stop: bool,
    /// Adds the skill's own flags.
    pub arguments: fn(Command) -> Command,
    /// Whether the skill's own flags name its subject.
    pub has_subject: fn(&ArgMatches) -> bool,
    /// The work.
    pub run: fn(&Session, &ArgMatches) -> Result<Outcome, Problem>,
    /// The envelope's `data` when the work was refused or failed.
    pub refused: fn(&Refused<'_>) -> Map<String, Value>,
}

/// What is known when a run is refused.
pub struct Refused<'a> {
    /// The task, if one was named.
    pub task_id: Option<&'a str>,
    /// The state it lies in, if it was found.
    pub state: Option<State>,
    /// Why.
    pub problem: &'a Problem,
}

impl Refused<'_> {
    /// Where a file of the task would lie.
    #[must_use]
    pub fn path(&self, state: State, name: &str) -> String {
        let state = self.state.unwrap_or(state);
        format!(
            "{QUEUE_ROOT}/{}/{}/{name}",
            state.name(),
            self.task_id.unwrap_or("NA")
        )
    }
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// What it says.
    pub envelope: Envelope,
    /// The process's exit code.
    pub code: u8,
    /// What to do next, for people.
    pub hints: Vec<String>,
}

impl Skill {
    /// The skill's command line.
    #[must_use]
    pub fn command(&self) -> Command {
        let [first, second] = self.examples;
        let after = format!(
            "Examples:\n  {first}\n  {second}\n\nExit codes:\n  0 OK  1 FAIL  2 usage error, no envelope  3 DENY  4 ZERO_STOP  5 PARTIAL"
        );
        // The doc comment of a flags struct would become the text about the program, so that comes
        // last.
        (self.arguments)(Common::augment_args(Command::new(self.name)))
            .about(self.about)
            .version(env!("CARGO_PKG_VERSION"))
            .after_help(after)
    }
}

/// What every program does before anything else; `masker` is what finds secrets in what it says.
pub fn begin(masker: &'static dyn Masker) {
    limits::answer();
    masking::begin(masker);
}

/// Runs a skill as a process of its own; `masker` is what finds secrets in what it says.
#[must_use]
pub fn main(skill: &Skill, masker: &'static dyn Masker) -> ExitCode {
    begin(masker);
    main_with(skill, std::env::args_os().collect())
}

/// Runs a skill with the given arguments, the first being the program's name, and prints its
/// envelope.
#[must_use]
pub fn main_with(skill: &Skill, arguments: Vec<OsString>) -> ExitCode {
    let matches = match skill.command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return answer_usage(&error),
    };
    if matches.get_flag("schema") {
        return print_schema(skill);
    }
    let repo = matches.get_one::<PathBuf>("repo").map(PathBuf::as_path);
    hand_over::if_needed(skill, repo, &arguments);
    match run(skill, &matches, &arguments, Input::Process, None) {
        Ok(done) => print(
            skill.name,
            &done,
            matches.get_flag("pretty"),
            matches.get_flag("verbose"),
        ),
        Err(problem) => {
            complain(skill.name, &problem);
            ExitCode::from(exit::USAGE)
        }
    }
}

/// Runs a skill in process, as the front door does; nothing is printed.
///
/// # Errors
/// Only usage errors; everything else is an envelope.
pub fn invoke(
    skill: &Skill,
    arguments: Vec<OsString>,
    upstream: Option<Envelope>,
) -> Result<Done, Problem> {
    invoke_for(skill, arguments, upstream, None)
}

/// The same for a caller that answers for the work meanwhile.
///
/// # Errors
/// As [`invoke`].
pub fn invoke_for(
    skill: &Skill,
    arguments: Vec<OsString>,
    upstream: Option<Envelope>,
    caller: Option<Rc<dyn Caller>>,
) -> Result<Done, Problem> {
    let matches = skill
        .command()
        .try_get_matches_from(&arguments)
        .map_err(|error| Problem::usage(error.to_string()))?;
    run(
        skill,
        &matches,
        &arguments,
        Input::Given(upstream.map(Box::new)),
        caller,
    )
}

fn print_schema(skill: &Skill) -> ExitCode {
    match schemas::for_skill(skill.envelope) {
        Ok(schema) => write_out(&format!("{schema}\n"), 0),
        Err(problem) => {
            complain(skill.name, &problem);
            ExitCode::FAILURE
        }
    }
}

/// Prints the envelope in one write. An envelope that nobody received is never exit 0.
fn print(name: &str, done: &Done, pretty: bool, verbose: bool) -> ExitCode {
    let text = if pretty {
        serde_json::to_string_pretty(&done.envelope)
    } else {
        serde_json::to_string(&done.envelope)
    };
    if verbose || done.code != 0 || std::io::stderr().is_terminal() {
        say(&format!("{name}: {}", done.envelope.summary));
        for hint in &done.hints {
            say(&format!("  next: {hint}"));
        }
    }
    write_out(&format!("{}\n", text.unwrap_or_default()), done.code)
}

fn run(
    skill: &Skill,
    matches: &ArgMatches,
    arguments: &[OsString],
    input: Input,
    caller: Option<Rc<dyn Caller>>,
) -> Result<Done, Problem> {
    let common =
        Common::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    let actor = actor(&common)?;
    let ends_process = matches!(input, Input::Process);
    let (upstream, broken) = match upstream_of(skill, matches, &common, input)? {
        Ok(upstream) => (upstream, None),
        Err(problem) => (None, Some(problem)),
    };
    let mut session = Session::new(common, actor, upstream).called_by(caller);
    // What upstream says goes into files, log and envelope; before it is masked, the policy's own rules
    // must be known. A policy that cannot be read is for the work to refuse.
    if session.upstream.is_some() {
        let _ = session.policy();
    }
    session.upstream.iter_mut().for_each(masking::envelope);
    let worked = match broken {
        Some(problem) => Err(problem),
        None => work(skill, &session, matches),
    };
    let done = match worked {
        Err(problem) if problem.kind == Kind::Usage => Err(problem),
        worked => Ok(record::finish(skill, &mut session, worked, arguments)),
    };
    if ends_process {
        session.leave_policy();
    }
    done
}

fn actor(common: &Common) -> Result<Actor, Problem> {
    let name = common
        .actor
        .clone()
        .or_else(|| environment::read_text(environment::ACTOR));
    name.map_or(Ok(Actor::Human), |name| {
        name.parse().map_err(|_| {
            let name = name.escape_debug().to_string();
            Problem::usage(format!(
                "no actor is called \"{name}\": openclaw, cursor, claude_code, human or system"
            ))
        })
    })
}

/// Decides whether standard input is read. The outer error is a usage error; the inner one a broken
/// upstream, which still becomes an envelope.
fn upstream_of(
    skill: &Skill,
    matches: &ArgMatches,
    common: &Common,
    input: Input,
) -> Result<Result<Option<Envelope>, Problem>, Problem> {
    let has_subject = common.task.is_some() || (skill.has_subject)(matches);
    match input {
        Input::Given(envelope)
            if envelope.is_some() || has_subject || skill.upstream == Upstream::Never =>
        {
            Ok(Ok(envelope.map(|envelope| *envelope)))
        }
        Input::Process if has_subject || skill.upstream == Upstream::Never => Ok(Ok(None)),
        Input::Process if !std::io::stdin().is_terminal() => {
            Ok(session::read_upstream(std::io::stdin().lock()).map(Some))
        }
        Input::Process | Input::Given(_) => Err(Problem::usage(
            "nothing to work on: pass --task ID, or pipe in the output of the skill before",
        )
        .hint(format!("{} --help shows two examples", skill.name))),
    }
}

/// Runs the skill behind the two gates that every skill stands behind: upstream and STOP. A panic
/// is a failure like any other.
fn work(skill: &Skill, session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    if !skill.acts_under_stop {
        session.check_stop()?;
    }
    if skill.upstream == Upstream::PassOn
        && let Some(problem) = session.upstream.as_ref().and_then(refused_by_upstream)
    {
        return Err(problem);
    }
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(|| (skill.run)(session, matches)));
    std::panic::set_hook(previous);
    outcome.unwrap_or_else(|panic| {
        Err(Problem::fail(
            "INTERNAL_ERROR",
            format!("a defect in {}: {}", skill.name, panic_text(panic.as_ref())),
        )
        .hint("nothing was moved; please report it with the command line"))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked".to_owned())
}

fn refused_by_upstream(upstream: &Envelope) -> Option<Problem> {
    let kind: fn(&str, String) -> Problem = match upstream.status {
        Status::Ok | Status::Partial => return None,
        Status::Fail => |code, message| Problem::fail(code, message),
        Status::Deny => |code, message| Problem::deny(code, message),
        Status::ZeroStop => |code, message| Problem::zero_stop(code, message),
    };
    let message = format!(
        "{} ended with {}: {}",
        upstream.skill, upstream.status, upstream.summary
    );
    Some(kind("UPSTREAM_NOT_OK", message))
}

/// A finding that a plan run adds, so that nobody takes a plan for an effect.
#[must_use]
pub fn plan_finding(what: &str) -> Finding {
    Finding::new(
        Severity::Info,
        "PLAN_ONLY",
        format!("nothing was changed; without --plan: {what}"),
    )
}
