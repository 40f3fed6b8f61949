//! What servers do, one test for each way in which a reply is not what it seems.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code
)]

#[path = "../../../../tests/suite/support/model.rs"]
mod model;
mod servers;
mod streams;

use std::time::{Duration, Instant};

use baton_core::policy::ModelServer;
use baton_core::problem::Problem;
use baton_model::{Answer, Bounds, Client, Failed, Kind, Question, Standing};
use model::{Reply, Server};
use serde_json::{Value, json};

const PROMPT: &str = "Change one to two in src/app.sh, and say what could go wrong.";

fn configured(endpoint: &str, more: Value) -> ModelServer {
    let mut value = json!({"endpoint": endpoint, "model": "tiny"});
    for (name, field) in more.as_object().unwrap() {
        value[name] = field.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn never() -> Option<Problem> {
    None
}

fn bounds(stopped: &dyn Fn() -> Option<Problem>) -> Bounds<'_> {
    Bounds {
        until: Instant::now() + Duration::from_secs(120),
        stopped,
    }
}

fn ask_with(kind: Kind, server: &ModelServer, bounds: &Bounds<'_>) -> Result<Answer, Box<Failed>> {
    let question = Question {
        prompt: PROMPT,
        seed: 7,
        most_reply: 1000,
        progress: &|_| {},
    };
    Client::new(kind, server).unwrap().ask(&question, bounds)
}

fn ask(kind: Kind, endpoint: &str) -> Result<Answer, Box<Failed>> {
    ask_with(kind, &configured(endpoint, json!({})), &bounds(&never))
}

fn stand(kind: Kind, server: &ModelServer) -> Result<Standing, Problem> {
    Client::new(kind, server).unwrap().standing(&bounds(&never))
}

/// The code and message of an answer of Ollama's that must be refused.
fn ollama_says(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (String, String) {
    let server = Server::ollama(move |_| reply());
    let failed = ask(Kind::Ollama, &server.endpoint).unwrap_err();
    assert!(!failed.problem.hints.is_empty(), "{:?}", failed.problem);
    (failed.problem.code, failed.problem.message)
}

fn openai_says(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (String, String) {
    let server = Server::openai(move |_| reply());
    let failed = ask(Kind::OpenAi, &server.endpoint).unwrap_err();
    assert!(!failed.problem.hints.is_empty(), "{:?}", failed.problem);
    (failed.problem.code, failed.problem.message)
}

fn check(said: (String, String), code: &str, part: &str) {
    assert_eq!(said.0, code, "{}", said.1);
    assert!(said.1.contains(part), "{}", said.1);
}
