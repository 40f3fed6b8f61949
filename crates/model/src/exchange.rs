//! One request and its answer, read piece by piece.
//!
//! A thread reads, and whoever asked waits for its pieces in short turns: so STOP, silence and the end
//! of the time are seen while the server says nothing, and the connection is closed then.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use baton_core::problem::Problem;
use baton_core::threads;
use ureq::{Agent, Body, Error, http};

use crate::Bounds;

/// How often STOP and the clocks are looked at.
const TURN: Duration = Duration::from_millis(100);
/// A host that cannot be found or does not take the call within this time is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// How many bytes are handed over at once.
const PIECE: usize = 16 << 10;
/// How many pieces wait before the reading thread does.
const WAITING: usize = 64;
/// The largest answer that is read, in bytes; a reply is a small part of the stream around it.
pub(crate) const MOST_BODY: u64 = 512 << 20;

/// What is asked.
pub(crate) struct Call<'a> {
    pub(crate) url: &'a str,
    pub(crate) key: Option<&'a str>,
    /// Nothing for GET.
    pub(crate) body: Option<Vec<u8>>,
    /// How long the first piece of the answer's body may take.
    pub(crate) first: Duration,
    /// How long there may be silence after that.
    pub(crate) idle: Duration,
}

/// What begins an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) kind: String,
}

enum Event {
    Head(Head),
    Piece(Vec<u8>),
    End,
    /// Nobody took the call.
    Nobody(String),
    /// The call was taken, and the connection broke.
    Broken(String),
}

/// An answer on its way. The connection is closed when it is dropped.
pub(crate) struct Exchange<'a> {
    url: &'a str,
    agent: Option<Agent>,
    events: Receiver<Event>,
    bounds: &'a Bounds<'a>,
    first: Duration,
    idle: Duration,
    heard: Instant,
    looked: Instant,
    is_answering: bool,
    read: u64,
}

impl<'a> Exchange<'a> {
    /// Puts the question.
    pub(crate) fn begin(call: Call<'a>, bounds: &'a Bounds<'a>) -> Result<Self, Problem> {
        let agent = agent(bounds);
        let (sender, events) = sync_channel(WAITING);
        let (url, key) = (call.url.to_owned(), call.key.map(str::to_owned));
        let (asking, body) = (agent.clone(), call.body);
        threads::spawn(move || read(&asking, &url, key.as_deref(), body, &sender))?;
        let now = Instant::now();
        Ok(Self {
            url: call.url,
            agent: Some(agent),
            events,
            bounds,
            first: call.first,
            idle: call.idle,
            heard: now,
            looked: now,
            is_answering: false,
            read: 0,
        })
    }

    /// Status and type of the answer.
    pub(crate) fn head(&mut self) -> Result<Head, Problem> {
        match self.next()? {
            Event::Head(head) => Ok(head),
            Event::Nobody(why) => Err(Problem::fail(
                "MODEL_SERVER_DOWN",
                format!("nothing answers at {}: {why}", self.url),
            )),
            Event::Broken(why) => Err(Problem::fail(
                "MODEL_SERVER_LOST",
                format!("{} took the question and gave no answer: {why}", self.url),
            )
            .hint("look at the server's own log; then ask again")),
            Event::Piece(_) | Event::End => Err(cut(self.url, "it has no beginning")),
        }
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) fn piece(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        match self.next()? {
            Event::Piece(piece) => {
                self.is_answering = true;
                self.read += piece.len() as u64;
                if self.read > MOST_BODY {
                    let why = format!("{} sent more than {MOST_BODY} bytes", self.url);
                    return Err(Problem::fail("REPLY_TOO_LARGE", why)
                        .hint("set num_predict lower, or ask another model"));
                }
                Ok(Some(piece))
            }
            Event::End => Ok(None),
            Event::Nobody(why) | Event::Broken(why) => Err(cut(self.url, &why)),
            Event::Head(_) => Err(cut(self.url, "it begins twice")),
        }
    }

    fn next(&mut self) -> Result<Event, Problem> {
        loop {
            let event = self.events.recv_timeout(TURN);
            if event.is_err() || self.looked.elapsed() >= TURN {
                self.look()?;
            }
            match event {
                Ok(event) => {
                    self.heard = Instant::now();
                    return Ok(event);
                }
                Err(RecvTimeoutError::Timeout) => self.check_silence()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Event::Broken("the connection was closed".to_owned()));
                }
            }
        }
    }

    fn look(&mut self) -> Result<(), Problem> {
        self.looked = Instant::now();
        if let Some(problem) = (self.bounds.stopped)() {
            return Err(problem);
        }
        if self.looked >= self.bounds.until {
            return Err(Problem::fail(
                "DRAFT_TIMEOUT",
                format!("{} was not done when the time was over", self.url),
            )
            .hint("raise caps.draft_timeout_seconds, or use a faster model"));
        }
        Ok(())
    }

    fn check_silence(&self) -> Result<(), Problem> {
        let (most, field, what) = if self.is_answering {
            (self.idle, "idle_seconds", "stopped speaking")
        } else {
            (self.first, "first_byte_seconds", "said nothing")
        };
        if self.heard.elapsed() < most {
            return Ok(());
        }
        Err(Problem::fail(
            "MODEL_SILENT",
            format!(
                "{} {what}: silent for {} s, {} s are allowed",
                self.url,
                self.heard.elapsed().as_secs(),
                most.as_secs()
            ),
        )
        .hint(format!(
            "look at the server's load and log; or raise {field} in the policy's draft section"
        )))
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        // The thread may be waiting for the server; this wakes it.
        if let Some(agent) = self.agent.take() {
            agent.shutdown();
        }
    }
}

fn cut(url: &str, why: &str) -> Problem {
    Problem::fail(
        "REPLY_CUT",
        format!("the answer of {url} broke off, expected its end: {why}"),
    )
    .hint("look at the server's own log; then ask again")
}

fn agent(bounds: &Bounds<'_>) -> Agent {
    let left = bounds.until.saturating_duration_since(Instant::now());
    Agent::config_builder()
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        // The clocks here are finer; this one ends a thread that nobody waits for any more.
        .timeout_global(Some(left + CONNECT))
        // A redirect would carry prompt and key to a host that no exception names.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("baton/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn read(
    agent: &Agent,
    url: &str,
    key: Option<&str>,
    body: Option<Vec<u8>>,
    events: &SyncSender<Event>,
) {
    let answer = match send(agent, url, key, body) {
        Ok(answer) => answer,
        Err(error) => {
            let event = broken(&error);
            // Whoever asked may have gone; then there is nobody to tell.
            let _ = events.send(event);
            return;
        }
    };
    let kind = answer.headers().get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let head = Head {
        status: answer.status().as_u16(),
        kind: kind.to_ascii_lowercase(),
    };
    if events.send(Event::Head(head)).is_err() {
        return;
    }
    let mut body = answer.into_body().into_reader();
    let mut buffer = vec![0; PIECE];
    loop {
        let event = match body.read(&mut buffer) {
            Ok(0) => Event::End,
            Ok(count) => Event::Piece(buffer.get(..count).unwrap_or_default().to_vec()),
            Err(error) => Event::Broken(error.to_string()),
        };
        let is_last = !matches!(event, Event::Piece(_));
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

fn send(
    agent: &Agent,
    url: &str,
    key: Option<&str>,
    body: Option<Vec<u8>>,
) -> Result<http::Response<Body>, Error> {
    let bearer = key.map(|key| format!("Bearer {key}"));
    match body {
        None => {
            let mut request = agent.get(url).header("accept", "application/json");
            if let Some(bearer) = bearer {
                request = request.header("authorization", bearer);
            }
            request.call()
        }
        Some(body) => {
            let mut request = agent.post(url).header("content-type", "application/json");
            if let Some(bearer) = bearer {
                request = request.header("authorization", bearer);
            }
            request.send(&body)
        }
    }
}

fn broken(error: &Error) -> Event {
    use std::io::ErrorKind;
    let nobody = match error {
        Error::HostNotFound | Error::ConnectionFailed => true,
        Error::Timeout(which) => {
            matches!(which, ureq::Timeout::Connect | ureq::Timeout::Resolve)
        }
        // What can go wrong once there is a connection; the rest (no such name, refused, no way there)
        // comes before it.
        Error::Io(error) => !matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
                | ErrorKind::TimedOut
                | ErrorKind::WouldBlock
                | ErrorKind::InvalidData
        ),
        _ => false,
    };
    if nobody {
        Event::Nobody(error.to_string())
    } else {
        Event::Broken(error.to_string())
    }
}
