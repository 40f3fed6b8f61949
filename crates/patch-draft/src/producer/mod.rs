//! Who can be asked for a patch: a command of the policy's, or a model server.

mod budget;
mod command;
mod server;

use std::time::Duration;

use baton_core::candidate::Source;
use baton_core::envelope::{ArtifactKind, Finding};
use baton_core::masking;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_model::Kind;
use serde_json::{Value, json};

use crate::prompt::{Prompt, Room};
use server::Server;

/// Somebody who can be asked.
pub(crate) enum Producer<'a> {
    /// Any program that reads a prompt on standard input.
    Command(&'a Session, &'a TaskFolder),
    /// A model behind an HTTP interface.
    Server(Box<Server<'a>>),
}

/// What came of asking.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: Vec<u8>,
    /// Who answered: the command's name, or producer and model.
    pub(crate) model: String,
    pub(crate) model_digest: Option<String>,
    pub(crate) server_version: Option<String>,
    /// Why the model stopped, in its server's word.
    pub(crate) finish: Option<String>,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) duration: Duration,
    /// What a person should know of the call.
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
        let draft = &session.policy()?.draft;
        let kind = match name {
            "ollama" => Kind::Ollama,
            "openai" => Kind::OpenAi,
            _ if draft.command.is_empty() => {
                return Err(Problem::usage(
                    "no patch: pass --from FILE, or set draft.command in POLICY.json and pass --producer command",
                ));
            }
            _ => return Ok(Self::Command(session, task)),
        };
        let server = match kind {
            Kind::Ollama => &draft.ollama,
            Kind::OpenAi => &draft.openai,
        };
        let Some(server) = server else {
            return Err(Problem::usage(format!(
                "the policy has no draft.{name}: put endpoint, model and price there, or pass --from FILE"
            )));
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

impl Answer {
    /// What the log keeps of the call.
    pub(crate) fn meta(&self) -> Vec<(&'static str, Value)> {
        let text = |name, text: &Option<String>| text.clone().map(|text| (name, json!(text)));
        let count = |name, count: Option<u64>| count.map(|count| (name, json!(count)));
        let all = [
            text("model_digest", &self.model_digest),
            text("server_version", &self.server_version),
            text("finish", &self.finish),
            count("prompt_tokens", self.prompt_tokens),
            count("output_tokens", self.output_tokens),
            count(
                "asked_ms",
                Some(u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX)),
            ),
        ];
        all.into_iter().flatten().collect()
    }
}

/// Keeps what came of a call that went wrong, so that nothing paid for is lost.
fn keep(task: &TaskFolder, text: &str, problem: Problem) -> Problem {
    if text.is_empty() {
        return problem;
    }
    let text = masking::text(text);
    match task.write_next(ArtifactKind::Other, "evidence/refused.txt", text.as_bytes()) {
        Ok(kept) => problem.hint(format!("what had come is kept at {}", kept.path)),
        Err(trouble) => problem.hint(format!("what had come is lost: {}", trouble.message)),
    }
}
