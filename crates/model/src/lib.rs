//! Asks a model server for a reply: Ollama's own interface, and OpenAI's chat completions, which most
//! other servers speak.
//!
//! A reply is either whole or an error that says what is missing. What a server can do in silence (cut
//! the prompt, stop half way, think and say nothing) is asked not to happen, and then looked for.

#![warn(missing_docs)]

mod client;
mod exchange;
mod ollama;
mod openai;
mod refusal;
mod stream;

use std::time::{Duration, Instant};

use baton_core::problem::Problem;

pub use client::Client;

/// The interface that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/api/generate`.
    Ollama,
    /// `/v1/chat/completions`.
    OpenAi,
}

impl Kind {
    /// The name in flags and in the policy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
        }
    }
}

/// How long a call may go on, and what ends it early.
pub struct Bounds<'a> {
    /// Nothing is waited for beyond this.
    pub until: Instant,
    /// Asked ten times a second; what it returns ends the call at once, and the connection with it.
    pub stopped: &'a dyn Fn() -> Option<Problem>,
}

/// One question.
pub struct Question<'a> {
    /// The whole prompt.
    pub prompt: &'a str,
    /// The seed of this call.
    pub seed: u64,
    /// The longest reply, in bytes.
    pub most_reply: usize,
    /// Told of each piece: how many bytes the reply has so far.
    pub progress: &'a dyn Fn(usize),
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the model said, without its thinking.
    pub text: String,
    /// The model, as the server names it.
    pub model: String,
    /// The server's version or fingerprint, if it gives one.
    pub server_version: Option<String>,
    /// Why the model stopped, in the server's word.
    pub finish: String,
    /// How many tokens the prompt had, if the server counted them.
    pub prompt_tokens: Option<u64>,
    /// How many tokens the reply had, if the server counted them.
    pub output_tokens: Option<u64>,
    /// From the question to the end of the reply.
    pub duration: Duration,
}

/// A call that gave no whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What was wrong.
    pub problem: Problem,
    /// What had come by then.
    pub text: String,
    /// Whether the model may have worked on it.
    pub is_spent: bool,
    /// Whether the server asked to be asked again.
    is_busy: bool,
}

impl From<Problem> for Box<Failed> {
    fn from(problem: Problem) -> Self {
        Self::new(Failed {
            problem,
            text: String::new(),
            is_spent: true,
            is_busy: false,
        })
    }
}

/// What a server says of itself and of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its version.
    pub version: Option<String>,
    /// The digest of the model's files.
    pub digest: Option<String>,
    /// How many tokens the model can take.
    pub context: Option<u64>,
    /// Whether the server lists the model; `None` when it lists none.
    pub is_listed: Option<bool>,
    /// Where the model really runs, when the server only hands prompts on.
    pub remote: Option<String>,
}
