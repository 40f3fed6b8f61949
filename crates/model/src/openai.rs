//! OpenAI's chat completions, as most servers speak them: server-sent events.

use baton_core::masking;
use baton_core::policy::ModelServer;
use baton_core::problem::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Ended, Reading};
use crate::stream::{Growing, cut};
use crate::{Question, refusal};

pub(crate) fn body(server: &ModelServer, question: &Question<'_>) -> Value {
    json!({
        "model": server.model,
        "messages": [{"role": "user", "content": question.prompt}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": server.num_predict,
        "temperature": server.temperature,
        "seed": question.seed,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    error: Option<Value>,
    model: Option<String>,
    system_fingerprint: Option<String>,
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// A reply on its way.
pub(crate) struct Stream<'a> {
    server: &'a ModelServer,
    growing: Growing,
    model: Option<String>,
    fingerprint: Option<String>,
    finish: Option<String>,
    usage: Usage,
    is_done: bool,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(server: &'a ModelServer, question: &Question<'_>) -> Self {
        Self {
            server,
            growing: Growing::new(question.most_reply),
            model: None,
            fingerprint: None,
            finish: None,
            usage: Usage::default(),
            is_done: false,
        }
    }

    fn take(&mut self, chunk: Chunk) -> Result<(), Problem> {
        if let Some(error) = &chunk.error {
            return Err(refusal::in_stream(error));
        }
        self.model = chunk.model.or(self.model.take());
        self.fingerprint = chunk.system_fingerprint.or(self.fingerprint.take());
        self.usage = chunk.usage.unwrap_or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(());
        };
        self.finish = choice.finish_reason.or(self.finish.take());
        let delta = choice.delta.unwrap_or_default();
        for thought in [delta.reasoning, delta.reasoning_content] {
            self.growing.has_thought |= thought.is_some_and(|text| !text.is_empty());
        }
        self.growing.add(&delta.content.unwrap_or_default())
    }
}

impl Reading for Stream<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let is_said_aside = line.starts_with(b":")
            || [&b"event:"[..], b"id:", b"retry:"]
                .iter()
                .any(|field| line.starts_with(field));
        if line.is_empty() || self.is_done || is_said_aside {
            return Ok(());
        }
        let expected = "data: lines of JSON";
        // Some servers send an error as a bare line, or under a field of its own.
        let data = line
            .strip_prefix(b"data:")
            .or_else(|| line.strip_prefix(b"error:"))
            .unwrap_or(line)
            .trim_ascii();
        if data == b"[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        if !line.starts_with(b"data:") {
            let error = serde_json::from_slice::<Value>(data).unwrap_or_default();
            return Err(match error.get("error") {
                Some(error) => refusal::in_stream(error),
                None if line.starts_with(b"error:") => refusal::in_stream(&error),
                None => refusal::no_json(line, expected),
            });
        }
        match serde_json::from_slice(data) {
            Ok(chunk) => self.take(chunk),
            Err(_) => Err(refusal::no_json(line, expected)),
        }
    }

    fn text(&self) -> &str {
        &self.growing.text
    }

    fn end(&self) -> Result<Ended, Problem> {
        match self.finish.as_deref() {
            Some("stop") => {}
            Some("length") => {
                return Err(cut(
                    format!(
                        "the reply was cut by num_predict ({}) or by the server's context",
                        self.server.num_predict
                    ),
                    "raise num_predict in the policy's draft section, or make the task smaller",
                ));
            }
            Some("content_filter") => {
                let why = "the server's filter ended the reply, expected finish_reason stop";
                return Err(Problem::fail("REPLY_FILTERED", why)
                    .hint("look at what the task and its files say, or ask another model"));
            }
            Some("tool_calls" | "function_call") => {
                let why = "the model called a tool, and none was offered; expected a reply in text";
                return Err(
                    Problem::fail("REPLY_TOOL_CALL", why).hint("ask again, or ask another model")
                );
            }
            Some(other) => {
                let other = masking::excerpt(other, 80);
                return Err(cut(
                    format!("the reply ended with \"{other}\", expected \"stop\""),
                    "ask again",
                ));
            }
            None => {
                return Err(cut(
                    "the reply ended without a finish_reason",
                    "look at the server's own log; then ask again",
                ));
            }
        }
        if !self.is_done {
            return Err(cut(
                "the reply ended without [DONE]",
                "look at the server's own log; then ask again",
            ));
        }
        self.growing.check_not_empty()?;
        Ok(Ended {
            model: self.model.clone(),
            fingerprint: self.fingerprint.clone(),
            finish: self.finish.clone().unwrap_or_default(),
            prompt_tokens: self.usage.prompt_tokens,
            output_tokens: self.usage.completion_tokens,
        })
    }
}
