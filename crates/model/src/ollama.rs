//! Ollama's own interface: `/api/generate`, a JSON object a line.

use baton_core::masking;
use baton_core::policy::ModelServer;
use baton_core::problem::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Ended, Reading};
use crate::stream::{Growing, cut};
use crate::{Question, refusal};

/// A prompt has at most this many bytes a token; fewer tokens counted means that a part was left out.
const MOST_BYTES_A_TOKEN: u64 = 8;

/// What is sent. Everything that would make the server shorten a prompt in silence is switched off.
pub(crate) fn body(server: &ModelServer, question: &Question<'_>) -> Value {
    json!({
        "model": server.model,
        "prompt": question.prompt,
        "stream": true,
        "think": server.think,
        "truncate": false,
        "shift": false,
        "options": {
            "num_ctx": server.num_ctx,
            "num_predict": server.num_predict,
            "temperature": server.temperature,
            "seed": question.seed,
        },
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    error: Option<Value>,
    model: Option<String>,
    response: Option<String>,
    thinking: Option<String>,
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

/// A reply on its way.
pub(crate) struct Stream<'a> {
    server: &'a ModelServer,
    prompt_bytes: u64,
    growing: Growing,
    last: Option<Line>,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(server: &'a ModelServer, question: &Question<'_>) -> Self {
        Self {
            server,
            prompt_bytes: question.prompt.len() as u64,
            growing: Growing::new(question.most_reply),
            last: None,
        }
    }

    fn check_counts(&self, last: &Line) -> Result<(), Problem> {
        let Some(counted) = last.prompt_eval_count else {
            let why = "the server does not say how many tokens of the prompt it read, expected prompt_eval_count";
            return Err(Problem::fail("PROMPT_UNCOUNTED", why)
                .hint("install a current Ollama: without the count a cut prompt is not seen"));
        };
        let least = self.prompt_bytes / MOST_BYTES_A_TOKEN;
        let most = self.server.num_ctx;
        if counted >= least && counted < most {
            return Ok(());
        }
        let why = format!(
            "the server read {counted} tokens of a prompt of {} bytes, expected {least} to {most}: it was cut",
            self.prompt_bytes
        );
        Err(Problem::fail("PROMPT_CUT", why)
            .hint("raise num_ctx in the policy's draft section, or name fewer target_files"))
    }
}

impl Reading for Stream<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        if line.is_empty() || self.last.is_some() {
            return Ok(());
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            return Err(refusal::no_json(line, "a JSON object a line"));
        };
        if let Some(error) = &line.error {
            return Err(refusal::in_stream(error));
        }
        let thought = line.thinking.as_deref().unwrap_or_default();
        self.growing.has_thought |= !thought.is_empty();
        self.growing
            .add(line.response.as_deref().unwrap_or_default())?;
        if line.done {
            self.last = Some(line);
        }
        Ok(())
    }

    fn text(&self) -> &str {
        &self.growing.text
    }

    fn end(&self) -> Result<Ended, Problem> {
        let Some(last) = &self.last else {
            return Err(cut(
                "the reply ended without a line that says done: true",
                "the model may repeat itself, or the server was ended: look at its log, then ask again",
            ));
        };
        match last.done_reason.as_deref() {
            None | Some("stop") => {}
            Some("length") => {
                let output = last.eval_count.unwrap_or_default();
                let limit = if output >= self.server.num_predict {
                    format!("num_predict ({})", self.server.num_predict)
                } else {
                    format!("num_ctx ({})", self.server.num_ctx)
                };
                return Err(cut(
                    format!("the reply was cut after {output} tokens by {limit}"),
                    "raise it in the policy's draft section, or make the task smaller",
                ));
            }
            Some(other) => {
                let other = masking::excerpt(other, 80);
                return Err(cut(
                    format!("the reply ended with \"{other}\", expected \"stop\""),
                    "ask again",
                ));
            }
        }
        self.growing.check_not_empty()?;
        self.check_counts(last)?;
        Ok(Ended {
            model: last.model.clone(),
            fingerprint: None,
            finish: last.done_reason.clone().unwrap_or("stop".to_owned()),
            prompt_tokens: last.prompt_eval_count,
            output_tokens: last.eval_count,
        })
    }
}
