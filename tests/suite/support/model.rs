//! A model server for tests. It keeps to what Ollama and OpenAI-compatible servers document, and says
//! what a test tells it to say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// The value of the authorization header.
    pub(crate) key: Option<String>,
    /// The body; `null` when there is none.
    pub(crate) body: Value,
}

/// One step of an answer.
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Says nothing more until the client has gone.
    Hold,
    /// Closes the connection in the middle.
    Break,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) header: Option<String>,
    pub(crate) steps: Vec<Step>,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json", &value.to_string())
    }

    pub(crate) fn text(status: u16, kind: &'static str, text: &str) -> Self {
        Self {
            status,
            kind,
            header: None,
            steps: vec![Step::Send(text.as_bytes().to_vec())],
        }
    }

    /// Lines of JSON, each sent by itself.
    pub(crate) fn lines(lines: &[Value]) -> Self {
        let lines = lines.iter().map(|line| format!("{line}\n").into_bytes());
        Self {
            status: 200,
            kind: "application/x-ndjson",
            header: None,
            steps: lines.map(Step::Send).collect(),
        }
    }

    /// Server-sent events, with `[DONE]` at the end.
    pub(crate) fn events(chunks: &[Value]) -> Self {
        let chunks = chunks.iter().map(Value::to_string);
        let all = chunks.chain(["[DONE]".to_owned()]);
        Self {
            status: 200,
            kind: "text/event-stream",
            header: None,
            steps: all
                .map(|data| Step::Send(format!("data: {data}\n\n").into_bytes()))
                .collect(),
        }
    }

    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// A reply of Ollama's in pieces, and its last line.
pub(crate) fn ollama_reply(text: &str, prompt: &str) -> Vec<Value> {
    let chars: Vec<_> = text.chars().collect();
    let mut lines: Vec<_> = chars
        .chunks(7)
        .map(|piece| {
            let piece: String = piece.iter().collect();
            json!({"model": "tiny:latest", "response": piece, "done": false})
        })
        .collect();
    lines.push(json!({
        "model": "tiny:latest", "response": "", "done": true, "done_reason": "stop",
        "prompt_eval_count": prompt.len() / 4 + 1, "eval_count": text.len() / 4 + 1,
    }));
    lines
}

/// A reply of chat completions in pieces, with usage.
pub(crate) fn openai_reply(text: &str, prompt: &str) -> Vec<Value> {
    let chars: Vec<_> = text.chars().collect();
    let mut chunks: Vec<_> = chars
        .chunks(7)
        .map(|piece| {
            let piece: String = piece.iter().collect();
            json!({"model": "tiny", "system_fingerprint": "b1", "choices": [{"index": 0, "delta": {"content": piece}}]})
        })
        .collect();
    chunks.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    chunks.push(json!({"choices": [], "usage": {
        "prompt_tokens": prompt.len() / 4 + 1, "completion_tokens": text.len() / 4 + 1}}));
    chunks
}

/// A running server.
pub(crate) struct Server {
    /// `http://127.0.0.1:port`.
    pub(crate) endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    gone: Arc<AtomicUsize>,
}

impl Server {
    /// Serves until the test's process ends.
    pub(crate) fn new(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            gone: Arc::default(),
        };
        let (asked, gone) = (Arc::clone(&server.asked), Arc::clone(&server.gone));
        let handler = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, gone) = (Arc::clone(&asked), Arc::clone(&gone));
                let handler = Arc::clone(&handler);
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    asked.lock().unwrap().push(request.clone());
                    answer(stream, handler(&request), &gone);
                });
            }
        });
        server
    }

    /// An Ollama that has the model `tiny`, and answers `/api/generate` as it is told.
    pub(crate) fn ollama(generate: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(move |asked| match asked.path.as_str() {
            "/api/version" => Reply::json(200, &json!({"version": "0.99.1"})),
            "/api/tags" => Reply::json(
                200,
                &json!({"models": [{"name": "tiny:latest", "digest": "d1g357"}]}),
            ),
            "/api/show" => Reply::json(
                200,
                &json!({"capabilities": ["completion"], "model_info": {"llama.context_length": 32768}}),
            ),
            "/api/generate" => generate(asked),
            _ => Reply::text(404, "text/plain", "404 page not found"),
        })
    }

    /// An OpenAI-compatible server that lists the model `tiny`.
    pub(crate) fn openai(complete: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(move |asked| match asked.path.as_str() {
            "/v1/models" => Reply::json(
                200,
                &json!({"data": [{"id": "tiny", "meta": {"n_ctx_train": 32768}}]}),
            ),
            "/v1/chat/completions" => complete(asked),
            _ => Reply::json(
                404,
                &json!({"error": {"message": "File Not Found", "code": 404}}),
            ),
        })
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked of this path.
    pub(crate) fn asked_at(&self, path: &str) -> Vec<Asked> {
        let all = self.asked().into_iter();
        all.filter(|asked| asked.path == path).collect()
    }

    /// Waits until a client that was held has closed its connection.
    pub(crate) fn wait_until_gone(&self) {
        for _ in 0..1000 {
            if self.gone.load(Ordering::SeqCst) > 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the client kept its connection");
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let (mut key, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => key = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Asked { path, key, body })
}

/// Writes an answer in chunks, as such servers do. A client that went away is its own affair.
fn answer(mut stream: TcpStream, reply: Reply, gone: &AtomicUsize) {
    let more = reply
        .header
        .map_or(String::new(), |header| format!("{header}\r\n"));
    let head = format!(
        "HTTP/1.1 {} X\r\nContent-Type: {}\r\nConnection: close\r\n{more}Transfer-Encoding: chunked\r\n\r\n",
        reply.status, reply.kind
    );
    let mut sent = stream.write_all(head.as_bytes());
    for step in reply.steps {
        match step {
            Step::Send(bytes) if sent.is_ok() => {
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
                sent = stream.write_all(&chunk);
            }
            Step::Send(_) => return,
            Step::Hold => {
                // Comes back once the other side has closed.
                let _ = stream.read(&mut [0; 1]);
                gone.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Step::Break => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
}
