//! The client: one server, one model.

use std::time::{Duration, Instant};

use baton_core::masking;
use baton_core::policy::ModelServer;
use baton_core::problem::Problem;
use serde_json::{Value, json};

use crate::exchange::{Call, Exchange, Head};
use crate::stream::Lines;
use crate::{Answer, Bounds, Failed, Kind, Question, Standing, ollama, openai, refusal};

/// How long to wait before the tries after the first, where a server says that it is busy.
const WAITS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
];
/// The longest name of a model or of what runs it, in bytes.
const MOST_NAME: usize = 200;
/// How long a server may take to say what it has.
const STANDING: Duration = Duration::from_secs(10);
/// The largest answer to such a question, and the most that is read of an error, in bytes.
const MOST_ANSWER: usize = 8 << 20;
/// Where a model of Ollama's runs that only passes through, if the server does not say.
const CLOUD: &str = "ollama.com";

/// How a reply is read.
pub(crate) trait Reading {
    fn line(&mut self, line: &[u8]) -> Result<(), Problem>;
    fn text(&self) -> &str;
    fn end(&self) -> Result<Ended, Problem>;
}

/// What the end of a reply says.
pub(crate) struct Ended {
    pub(crate) model: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) finish: String,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
}

/// A client for one server and one model. Whether the host may be asked at all is the caller's question.
pub struct Client<'a> {
    kind: Kind,
    server: &'a ModelServer,
    base: String,
    key: Option<String>,
}

impl<'a> Client<'a> {
    /// Makes a client, and reads the key if the policy names one.
    ///
    /// # Errors
    /// `POLICY_INVALID` for an endpoint that is no address, `TOKEN_MISSING`.
    pub fn new(kind: Kind, server: &'a ModelServer) -> Result<Self, Problem> {
        let place = server.place().ok_or_else(|| {
            Problem::fail("POLICY_INVALID", "the endpoint is no address")
                .hint("correct the endpoint in the policy's draft section")
        })?;
        let key = server.key.as_ref().map(|key| key.read()).transpose()?;
        Ok(Self {
            kind,
            server,
            base: place.base,
            key,
        })
    }

    /// Asks the server what it is and whether it has the model. No prompt is sent.
    ///
    /// # Errors
    /// `MODEL_SERVER_DOWN`, `MODEL_MISSING`, `NOT_A_MODEL_SERVER`, `MODEL_KEY_REFUSED` and others.
    pub fn standing(&self, bounds: &Bounds<'_>) -> Result<Standing, Problem> {
        match self.kind {
            Kind::Ollama => self.ollama_standing(bounds),
            Kind::OpenAi => self.openai_standing(bounds),
        }
    }

    fn ollama_standing(&self, bounds: &Bounds<'_>) -> Result<Standing, Problem> {
        let version = self.json("/api/version", None, bounds)?;
        let tags = self.json("/api/tags", None, bounds)?;
        let models = tags.get("models").and_then(Value::as_array);
        let Some(models) = models else {
            return Err(refusal::no_json(
                tags.to_string().as_bytes(),
                "a list of models at /api/tags",
            ));
        };
        let name = |model: &Value| {
            let name = model.get("name").or_else(|| model.get("model"));
            name.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let full = |name: &str| {
            // What stands before the last slash may hold a port.
            let last = name.rsplit('/').next().unwrap_or(name);
            let tag = if last.contains(':') { "" } else { ":latest" };
            format!("{name}{tag}").to_ascii_lowercase()
        };
        let wanted = full(&self.server.model);
        let Some(model) = models.iter().find(|model| full(&name(model)) == wanted) else {
            let installed: Vec<_> = models.iter().map(name).collect();
            return Err(refusal::missing(self.kind, &self.server.model, &installed));
        };
        let body = json!({"model": self.server.model});
        let shown = self.json("/api/show", Some(&body), bounds)?;
        Ok(Standing {
            version: text(&version, "version"),
            digest: text(model, "digest"),
            context: context_length(&shown),
            is_listed: Some(true),
            remote: remote(&wanted, &[model, &shown]),
        })
    }

    fn openai_standing(&self, bounds: &Bounds<'_>) -> Result<Standing, Problem> {
        let answer = match self.json("/v1/models", None, bounds) {
            // Not every server lists its models.
            Err(problem)
                if matches!(
                    problem.code.as_str(),
                    "NOT_A_MODEL_SERVER" | "MODEL_REFUSED" | "MODEL_MISSING"
                ) =>
            {
                return Ok(Standing::default());
            }
            answer => answer?,
        };
        let models = answer.get("data").and_then(Value::as_array);
        let listed = models.map(|models| {
            let mut models = models.iter();
            models.find(|model| text(model, "id").as_deref() == Some(self.server.model.as_str()))
        });
        let field = |name: &str| listed.flatten()?.get(name).cloned();
        let meta = field("meta").unwrap_or_default();
        Ok(Standing {
            context: field("max_model_len")
                .and_then(|length| length.as_u64())
                .or_else(|| meta.get("n_ctx")?.as_u64())
                .or_else(|| meta.get("n_ctx_train")?.as_u64()),
            is_listed: listed.map(|model| model.is_some()),
            ..Standing::default()
        })
    }

    /// Asks the model. A server that is busy is asked again, a few times.
    ///
    /// # Errors
    /// A code for each way in which a reply is not whole; docs/models.md lists them.
    pub fn ask(&self, question: &Question<'_>, bounds: &Bounds<'_>) -> Result<Answer, Box<Failed>> {
        let mut waits = WAITS.into_iter();
        loop {
            let failed = match self.try_ask(question, bounds) {
                Err(failed) if failed.is_busy => failed,
                outcome => return outcome,
            };
            match waits.next() {
                Some(wait) => self.pause(wait, bounds)?,
                None => return Err(failed),
            }
        }
    }

    /// Waits, in turns, so that STOP is seen.
    fn pause(&self, wait: Duration, bounds: &Bounds<'_>) -> Result<(), Problem> {
        let until = (Instant::now() + wait).min(bounds.until);
        while Instant::now() < until {
            if let Some(problem) = (bounds.stopped)() {
                return Err(problem);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn try_ask(&self, question: &Question<'_>, bounds: &Bounds<'_>) -> Result<Answer, Box<Failed>> {
        match self.kind {
            Kind::Ollama => {
                let body = ollama::body(self.server, question);
                let mut reading = ollama::Stream::new(self.server, question);
                self.read("/api/generate", &body, &mut reading, question, bounds)
            }
            Kind::OpenAi => {
                let body = openai::body(self.server, question);
                let mut reading = openai::Stream::new(self.server, question);
                self.read(
                    "/v1/chat/completions",
                    &body,
                    &mut reading,
                    question,
                    bounds,
                )
            }
        }
    }

    fn read(
        &self,
        path: &str,
        body: &Value,
        reading: &mut dyn Reading,
        question: &Question<'_>,
        bounds: &Bounds<'_>,
    ) -> Result<Answer, Box<Failed>> {
        let started = Instant::now();
        let url = format!("{}{path}", self.base);
        let call = Call {
            url: &url,
            key: self.key.as_deref(),
            body: Some(body.to_string().into_bytes()),
            first: Duration::from_secs(self.server.first_byte_seconds),
            idle: Duration::from_secs(self.server.idle_seconds),
        };
        let mut exchange = Exchange::begin(call, bounds)?;
        let head = exchange.head().map_err(|problem| {
            let is_down = problem.code == "MODEL_SERVER_DOWN";
            let mut failed: Box<Failed> = self.with_start(problem).into();
            failed.is_spent = !is_down;
            failed
        })?;
        if head.status != 200 {
            let said = rest(&mut exchange)?;
            let model = &self.server.model;
            let mut failed: Box<Failed> =
                refusal::of_status(self.kind, &url, model, head.status, &said).into();
            (failed.is_spent, failed.is_busy) = (false, head.status == 503);
            return Err(failed);
        }
        let ended = check_kind(&head, &mut exchange)
            .and_then(|()| self.follow(&mut exchange, reading, question))
            .and_then(|()| reading.end());
        let ended = ended.map_err(|problem| {
            let mut failed: Box<Failed> = problem.into();
            failed.text = without_key(reading.text());
            failed
        })?;
        Ok(Answer {
            text: without_key(reading.text()),
            model: ended
                .model
                .and_then(name)
                .unwrap_or_else(|| self.server.model.clone()),
            server_version: ended.fingerprint.and_then(name),
            finish: ended.finish,
            prompt_tokens: ended.prompt_tokens,
            output_tokens: ended.output_tokens,
            duration: started.elapsed(),
        })
    }

    /// A small question with a JSON answer.
    fn json(
        &self,
        path: &str,
        body: Option<&Value>,
        bounds: &Bounds<'_>,
    ) -> Result<Value, Problem> {
        let url = format!("{}{path}", self.base);
        let call = Call {
            url: &url,
            key: self.key.as_deref(),
            body: body.map(|body| body.to_string().into_bytes()),
            first: STANDING,
            idle: STANDING,
        };
        let mut exchange = Exchange::begin(call, bounds)?;
        let head = exchange
            .head()
            .map_err(|problem| self.with_start(problem))?;
        let said = rest(&mut exchange)?;
        if head.status != 200 {
            let model = &self.server.model;
            return Err(refusal::of_status(
                self.kind,
                &url,
                model,
                head.status,
                &said,
            ));
        }
        match serde_json::from_slice(&said) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(refusal::no_json(&said, &format!("a JSON object at {url}"))),
        }
    }

    fn with_start(&self, problem: Problem) -> Problem {
        if problem.code != "MODEL_SERVER_DOWN" {
            return problem;
        }
        problem.hint(match self.kind {
            Kind::Ollama => "start it: ollama serve (OLLAMA_HOST says where it listens); or correct draft.ollama.endpoint",
            Kind::OpenAi => "start the server, or correct draft.openai.endpoint",
        })
    }

    fn follow(
        &self,
        exchange: &mut Exchange<'_>,
        reading: &mut dyn Reading,
        question: &Question<'_>,
    ) -> Result<(), Problem> {
        let mut lines = Lines::default();
        while let Some(piece) = exchange.piece()? {
            lines.push(&piece, &mut |line| reading.line(line))?;
            (question.progress)(reading.text().len());
        }
        lines.finish(&mut |line| reading.line(line))
    }
}

/// A reply as it goes on: a server may put the key that it was sent into it.
fn without_key(text: &str) -> String {
    let shown = masking::without_held(text.as_bytes());
    shown.map_or_else(
        || text.to_owned(),
        |shown| String::from_utf8_lossy(&shown).into_owned(),
    )
}

/// What a server calls itself or its model, where that is a name: it is kept with every reply.
fn name(text: String) -> Option<String> {
    let is_name = text.len() <= MOST_NAME && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    is_name.then(|| without_key(&text))
}

/// A page for people is no reply, whatever its status.
fn check_kind(head: &Head, exchange: &mut Exchange<'_>) -> Result<(), Problem> {
    if !head.kind.starts_with("text/html") {
        return Ok(());
    }
    let said = rest(exchange)?;
    Err(refusal::no_json(&said, "a reply and no page"))
}

/// What is left of an answer, within bounds.
fn rest(exchange: &mut Exchange<'_>) -> Result<Vec<u8>, Problem> {
    let mut said = Vec::new();
    while let Some(piece) = exchange.piece()? {
        said.extend_from_slice(&piece);
        if said.len() > MOST_ANSWER {
            let why =
                format!("the server sent more than {MOST_ANSWER} bytes, expected a short answer");
            return Err(Problem::fail("NOT_A_MODEL_SERVER", why)
                .hint("correct the endpoint in the policy's draft section"));
        }
    }
    Ok(said)
}

fn text(value: &Value, field: &str) -> Option<String> {
    let text = value.get(field)?.as_str()?;
    Some(text.chars().take(200).collect())
}

/// `model_info` names the length after the model's architecture.
fn context_length(shown: &Value) -> Option<u64> {
    let info = shown.get("model_info")?.as_object()?;
    let mut lengths = info
        .iter()
        .filter(|(name, _)| name.ends_with(".context_length"));
    lengths.next()?.1.as_u64()
}

/// Where a model runs that the server only hands prompts on to.
fn remote(name: &str, told: &[&Value]) -> Option<String> {
    let named = |field: &str| {
        let mut told = told.iter().filter_map(|value| text(value, field));
        told.find(|text| !text.is_empty())
    };
    if let Some(host) = named("remote_host") {
        let rest = host
            .split_once("://")
            .map_or(host.as_str(), |(_, rest)| rest);
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return Some(host.to_ascii_lowercase());
    }
    let is_cloud = name.ends_with(":cloud") || name.ends_with("-cloud");
    (is_cloud || named("remote_model").is_some()).then(|| CLOUD.to_owned())
}
