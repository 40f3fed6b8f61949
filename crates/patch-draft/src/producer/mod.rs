//! Who can be asked for a patch: a command of the policy's, or a model server.

mod budget;
mod command;
mod server;

use std::time::Duration;

use baton_core::candidate::Source;
use baton_core::envelope::Finding;
use baton_core::masking;
use baton_core::policy::{Draft, ModelServer};
use baton_core::problem::Problem;
use baton_core::report::{Attempt, Call};
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_model::Kind;
use serde_json::{Value, json};

use crate::keep;
use crate::prompt::{Form, Prompt, Room};
use crate::reply::Format;
use server::Server;

/// Somebody who can be asked.
pub(crate) enum Producer<'a> {
    /// Any program that reads a prompt on standard input.
    Command(&'a Session, &'a TaskFolder),
    /// A model behind an HTTP interface.
    Server(Box<Server<'a>>),
}

/// What came of asking.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) text: Vec<u8>,
    /// What is known of the call.
    pub(crate) call: Call,
    /// What a person should know of it.
    pub(crate) findings: Vec<Finding>,
}

impl<'a> Producer<'a> {
    /// Gets ready to ask the one that `--producer` names.
    ///
    /// # Errors
    /// A usage error when the policy's draft section does not say how; `EXTERNAL_DENIED` for a host that
    /// is not this machine and that no exception names; `PRICE_UNKNOWN`, `TOKEN_MISSING`.
    pub(crate) fn open(
        session: &'a Session,
        task: &'a TaskFolder,
        name: &str,
    ) -> Result<Self, Problem> {
        let Some((kind, server)) = named(&session.policy()?.draft, name)? else {
            return Ok(Self::Command(session, task));
        };
        let server = Server::open(session, task, kind, server)?;
        Ok(Self::Server(Box::new(server)))
    }

    /// How much a prompt may hold.
    pub(crate) fn room(&self) -> Option<Room> {
        match self {
            Self::Command(..) => None,
            Self::Server(server) => Some(server.room()),
        }
    }

    /// What the report calls it.
    pub(crate) fn model(&self) -> Result<String, Problem> {
        match self {
            Self::Command(session, _) => session.policy().map(command::name),
            Self::Server(server) => Ok(server.name()),
        }
    }

    /// The form that it is asked to answer in, unless a person says otherwise.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Command(..) => Form::Is(Format::Udiff),
            Self::Server(_) => Form::ByFiles,
        }
    }

    /// Where a candidate of this producer's comes from.
    pub(crate) fn source(&self) -> Source {
        match self {
            Self::Command(..) => Source::Command,
            Self::Server(_) => Source::Model,
        }
    }

    /// Asks once. What had come before something went wrong is kept with the task.
    ///
    /// # Errors
    /// `STOP_PRESENT`, `DRAFT_TIMEOUT`, `DRAFT_FAILED`, `TOOL_MISSING`, the budget's `BUDGET_TOKENS`,
    /// `BUDGET_COST` and `BUDGET_TIME`, and the codes of docs/models.md.
    pub(crate) fn ask(&self, prompt: &Prompt) -> Result<Answer, Problem> {
        match self {
            Self::Command(session, task) => command::ask(session, task, prompt),
            Self::Server(server) => server.ask(prompt),
        }
    }
}

/// Whether the policy's draft section says how to ask the one of this name.
///
/// # Errors
/// A usage error.
pub(crate) fn check(draft: &Draft, name: &str) -> Result<(), Problem> {
    named(draft, name).map(drop)
}

/// The server of this name; none for the command.
fn named<'d>(draft: &'d Draft, name: &str) -> Result<Option<(Kind, &'d ModelServer)>, Problem> {
    let (kind, server) = match name {
        "ollama" => (Kind::Ollama, &draft.ollama),
        "openai" => (Kind::OpenAi, &draft.openai),
        _ if draft.command.is_empty() => {
            return Err(Problem::usage(
                "no patch: pass --from FILE, or set draft.command in POLICY.json and pass --producer command",
            ));
        }
        _ => return Ok(None),
    };
    match server {
        Some(server) => Ok(Some((kind, server))),
        None => Err(Problem::usage(format!(
            "the policy has no draft.{name}: put endpoint, model and price there, or pass --from FILE"
        ))),
    }
}

/// What the log keeps of the last of some calls, and how many there were.
pub(crate) fn meta(attempts: &[Attempt]) -> Vec<(&'static str, Value)> {
    let Some(Attempt { n, call, .. }) = attempts.last() else {
        return Vec::new();
    };
    let text = |name, text: &Option<String>| text.clone().map(|text| (name, json!(text)));
    let count = |name, count: Option<u64>| count.map(|count| (name, json!(count)));
    let all = [
        text("model_digest", &call.model_digest),
        text("server_version", &call.server_version),
        text("finish", &call.finish),
        count("prompt_tokens", call.prompt_tokens),
        count("output_tokens", call.output_tokens),
        count("asked_ms", call.duration_ms),
        count("asked_times", Some(*n)),
    ];
    all.into_iter().flatten().collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Keeps what came of a call that went wrong, so that nothing paid for is lost.
fn kept(task: &TaskFolder, text: &str, problem: Problem) -> Problem {
    match masking::text(text) {
        text if text.is_empty() => problem,
        text => keep::refused(task, text.as_bytes(), problem),
    }
}
