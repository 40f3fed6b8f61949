//! What servers do, one test for each way in which a reply is not what it seems.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code
)]

#[path = "../../../tests/suite/support/model.rs"]
mod model;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use baton_core::policy::ModelServer;
use baton_core::problem::Problem;
use baton_model::{Answer, Bounds, Client, Failed, Kind, Question, Standing};
use model::{Asked, Reply, Server, Step, ollama_reply, openai_reply};
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

#[test]
fn ollama_is_asked_so_that_it_cuts_nothing_in_silence() {
    let server =
        Server::ollama(|_| Reply::lines(&ollama_reply("g\u{fc}t \u{6f22}\u{5b57}\n", PROMPT)));
    let answer = ask(Kind::Ollama, &format!("{}/v1/", server.endpoint)).unwrap();
    assert_eq!(answer.text, "g\u{fc}t \u{6f22}\u{5b57}\n");
    assert_eq!(answer.model, "tiny:latest");
    assert_eq!(answer.finish, "stop");
    assert_eq!(answer.prompt_tokens, Some(PROMPT.len() as u64 / 4 + 1));
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body,
        json!({
            "model": "tiny", "prompt": PROMPT, "stream": true, "think": false, "truncate": false,
            "shift": false, "options": {"num_ctx": 16384, "num_predict": 4096, "temperature": 0, "seed": 7},
        })
    );
    assert_eq!(asked[0].key, None);
}

#[test]
fn openai_is_asked_for_its_usage_too() {
    let server = Server::openai(|_| Reply::events(&openai_reply("two words", PROMPT)));
    let answer = ask(Kind::OpenAi, &server.endpoint).unwrap();
    assert_eq!(answer.text, "two words");
    assert_eq!(answer.server_version.as_deref(), Some("b1"));
    assert_eq!(answer.output_tokens, Some(3));
    assert_eq!(
        server.asked()[0].body,
        json!({
            "model": "tiny", "messages": [{"role": "user", "content": PROMPT}], "stream": true,
            "stream_options": {"include_usage": true}, "max_tokens": 4096, "temperature": 0, "seed": 7,
        })
    );
}

#[test]
fn a_stream_that_ends_without_its_last_line_is_cut() {
    let mut lines = ollama_reply("half", PROMPT);
    lines.pop();
    let failed = {
        let lines = lines.clone();
        let server = Server::ollama(move |_| Reply::lines(&lines));
        ask(Kind::Ollama, &server.endpoint).unwrap_err()
    };
    assert_eq!(failed.problem.code, "REPLY_CUT");
    assert_eq!(failed.text, "half", "what was paid for is handed back");
    // done: false under 200, where the model repeated itself.
    lines.push(json!({"response": "", "done": false}));
    check(
        ollama_says(move || Reply::lines(&lines)),
        "REPLY_CUT",
        "done: true",
    );
}

#[test]
fn a_connection_that_breaks_in_the_middle_is_cut() {
    let piece = json!({"response": "half", "done": false});
    let said = ollama_says(move || Reply::lines(std::slice::from_ref(&piece)).then(Step::Break));
    check(said, "REPLY_CUT", "broke off");
    let said = openai_says(|| Reply {
        steps: vec![Step::Break],
        ..Reply::events(&[])
    });
    check(said, "REPLY_CUT", "broke off");
}

#[test]
fn the_limit_that_cut_a_reply_is_named() {
    for (count, limit) in [(4096, "num_predict (4096)"), (900, "num_ctx (16384)")] {
        let mut lines = ollama_reply("half", PROMPT);
        let last = lines.last_mut().unwrap();
        last["done_reason"] = json!("length");
        last["eval_count"] = json!(count);
        check(
            ollama_says(move || Reply::lines(&lines)),
            "REPLY_CUT",
            limit,
        );
    }
    for word in ["load", "unload", "?"] {
        let mut lines = ollama_reply("half", PROMPT);
        lines.last_mut().unwrap()["done_reason"] = json!(word);
        check(ollama_says(move || Reply::lines(&lines)), "REPLY_CUT", word);
    }
}

#[test]
fn a_reply_without_a_reason_is_whole_when_it_says_done() {
    let server = Server::ollama(|_| {
        let mut lines = ollama_reply("whole", PROMPT);
        lines.last_mut().unwrap()["done_reason"] = Value::Null;
        Reply::lines(&lines)
    });
    assert_eq!(ask(Kind::Ollama, &server.endpoint).unwrap().text, "whole");
}

#[test]
fn a_prompt_that_was_cut_is_seen_by_its_count() {
    for (count, code) in [
        (json!(PROMPT.len() / 8 - 1), "PROMPT_CUT"),
        (json!(16384), "PROMPT_CUT"),
        (Value::Null, "PROMPT_UNCOUNTED"),
    ] {
        let mut lines = ollama_reply("fine", PROMPT);
        lines.last_mut().unwrap()["prompt_eval_count"] = count;
        check(ollama_says(move || Reply::lines(&lines)), code, "tokens");
    }
}

#[test]
fn an_error_in_the_middle_of_a_stream_is_an_error() {
    let said = ollama_says(|| {
        Reply::lines(&[
            json!({"response": "di", "done": false}),
            json!({"error": "an error was encountered while running the model: CUDA error"}),
        ])
    });
    check(said, "MODEL_FAILED", "CUDA error");
    for line in [
        "data: {\"error\":{\"code\":500,\"message\":\"boom\",\"type\":\"server_error\"}}\n\n",
        "error: {\"code\":500,\"message\":\"boom\",\"type\":\"server_error\"}\n\n",
        "{\"error\":{\"message\":\"boom\"}}\n",
    ] {
        let said = openai_says(move || {
            let mut reply = Reply::events(&openai_reply("di", PROMPT));
            reply.steps.truncate(1);
            reply.then(Step::Send(line.as_bytes().to_vec()))
        });
        check(said, "MODEL_FAILED", "\"boom\"");
    }
}

#[test]
fn thinking_alone_and_saying_nothing_are_told_apart() {
    for (field, part) in [("thinking", "thought"), ("nothing", "had said nothing")] {
        let mut lines = ollama_reply("", PROMPT);
        lines.insert(
            0,
            json!({field: "let me see", "response": "", "done": false}),
        );
        check(
            ollama_says(move || Reply::lines(&lines)),
            "REPLY_EMPTY",
            part,
        );
    }
    for field in ["reasoning", "reasoning_content"] {
        let mut chunks = openai_reply("", PROMPT);
        chunks.insert(
            0,
            json!({"choices": [{"delta": {field: "hm", "content": null}}]}),
        );
        check(
            openai_says(move || Reply::events(&chunks)),
            "REPLY_EMPTY",
            "thought",
        );
    }
}

#[test]
fn every_other_end_of_a_chat_is_refused_by_its_name() {
    for (reason, code) in [
        (json!("length"), "REPLY_CUT"),
        (json!("content_filter"), "REPLY_FILTERED"),
        (json!("tool_calls"), "REPLY_TOOL_CALL"),
        (json!("function_call"), "REPLY_TOOL_CALL"),
        (json!("odd"), "REPLY_CUT"),
        (Value::Null, "REPLY_CUT"),
    ] {
        let mut chunks = openai_reply("half", PROMPT);
        let at = chunks.len() - 2;
        chunks[at]["choices"][0]["finish_reason"] = reason.clone();
        let said = openai_says(move || Reply::events(&chunks));
        assert_eq!(said.0, code, "{reason}: {}", said.1);
    }
}

#[test]
fn a_chat_without_its_last_mark_is_cut() {
    let said = openai_says(|| {
        let mut reply = Reply::events(&openai_reply("whole?", PROMPT));
        reply.steps.pop();
        reply
    });
    check(said, "REPLY_CUT", "[DONE]");
}

#[test]
fn a_chat_may_hold_comments_and_lack_counts() {
    let server = Server::openai(|_| {
        let mut chunks = openai_reply("fine", PROMPT);
        chunks.pop();
        let mut reply = Reply::events(&chunks);
        let aside = ": keep-alive\r\nevent: message\r\n\r\n".as_bytes().to_vec();
        reply.steps.insert(0, Step::Send(aside));
        reply
    });
    let answer = ask(Kind::OpenAi, &server.endpoint).unwrap();
    assert_eq!((answer.text.as_str(), answer.prompt_tokens), ("fine", None));
}

#[test]
fn what_is_no_model_server_is_told_with_its_first_words() {
    let page = "<html><body>Welcome to the proxy</body></html>";
    for status in [200, 404, 502] {
        check(
            ollama_says(move || Reply::text(status, "text/html; charset=utf-8", page)),
            "NOT_A_MODEL_SERVER",
            "Welcome to the proxy",
        );
    }
    check(
        ollama_says(|| Reply::text(500, "text/plain", "Internal Server Error")),
        "NOT_A_MODEL_SERVER",
        "answered 500",
    );
    check(
        openai_says(|| Reply::text(200, "application/json", "{\"choices\": []}")),
        "NOT_A_MODEL_SERVER",
        "data: lines",
    );
    let long = "x".repeat(5000);
    let (_, message) = ollama_says(move || Reply::text(404, "text/plain", &long));
    assert!(message.len() < 500, "{message}");
}

#[test]
fn redirects_are_not_followed() {
    let other = Server::ollama(|_| Reply::lines(&ollama_reply("evil", PROMPT)));
    let place = format!("Location: {}/api/generate", other.endpoint);
    let said = ollama_says(move || Reply {
        header: Some(place.clone()),
        ..Reply::text(307, "text/plain", "")
    });
    check(said, "MODEL_REDIRECTED", "307");
    assert!(other.asked().is_empty());
}

#[test]
fn a_busy_server_is_asked_again_and_not_for_ever() {
    let calls = AtomicUsize::new(0);
    let server = Server::ollama(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Reply::json(503, &json!({"error": "server busy, please try again"})),
        _ => Reply::lines(&ollama_reply("at last", PROMPT)),
    });
    assert_eq!(ask(Kind::Ollama, &server.endpoint).unwrap().text, "at last");
    let server = Server::ollama(|_| {
        Reply::json(503, &json!({"error": "maximum pending requests exceeded"}))
    });
    let failed = ask(Kind::Ollama, &server.endpoint).unwrap_err();
    assert_eq!(failed.problem.code, "MODEL_SERVER_BUSY");
    assert_eq!(server.asked().len(), 4);
    let refused = Server::openai(|_| Reply::json(429, &json!({"error": {"message": "slow down"}})));
    let failed = ask(Kind::OpenAi, &refused.endpoint).unwrap_err();
    assert_eq!(failed.problem.code, "MODEL_SERVER_BUSY");
    assert_eq!(refused.asked().len(), 1, "4xx is never tried again");
}

#[test]
fn statuses_become_codes() {
    for (status, error, code) in [
        (404, json!("model 'tiny' not found"), "MODEL_MISSING"),
        (
            401,
            json!({"message": "Incorrect API key"}),
            "MODEL_KEY_REFUSED",
        ),
        (403, json!("cloud is disabled"), "MODEL_KEY_REFUSED"),
        (
            400,
            json!("the input length exceeds the context length"),
            "PROMPT_TOO_LARGE",
        ),
        (
            400,
            json!({"code": 400, "message": "request (3000 tokens) exceeds the available context size (512 tokens)", "type": "exceed_context_size_error", "n_ctx": 512}),
            "PROMPT_TOO_LARGE",
        ),
        (
            400,
            json!({"code": "context_length_exceeded", "message": "too many"}),
            "PROMPT_TOO_LARGE",
        ),
        (
            400,
            json!("\"tiny\" does not support generate"),
            "MODEL_REFUSED",
        ),
        (
            500,
            json!("llama runner process has terminated"),
            "MODEL_FAILED",
        ),
        (502, json!("upstream"), "MODEL_FAILED"),
    ] {
        let body = json!({"error": error});
        let said = ollama_says(move || Reply::json(status, &body));
        assert_eq!(said.0, code, "{status} {error}: {}", said.1);
    }
}

#[test]
fn a_server_that_is_not_there_is_told_how_to_start() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for (kind, hint) in [
        (Kind::Ollama, "ollama serve"),
        (Kind::OpenAi, "draft.openai.endpoint"),
    ] {
        let failed = ask(kind, &endpoint).unwrap_err();
        assert_eq!(failed.problem.code, "MODEL_SERVER_DOWN");
        assert!(failed.problem.hints[0].contains(hint), "{failed:?}");
        assert!(failed.problem.message.contains(&endpoint), "{failed:?}");
        let problem = stand(kind, &configured(&endpoint, json!({}))).unwrap_err();
        assert_eq!(problem.code, "MODEL_SERVER_DOWN");
    }
}

#[test]
fn a_server_that_closes_without_a_word_is_told_apart_from_none() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let failed = ask(Kind::Ollama, &endpoint).unwrap_err();
    assert_eq!(failed.problem.code, "MODEL_SERVER_LOST");
}

#[test]
fn silence_ends_at_its_own_limits() {
    let limits = json!({"first_byte_seconds": 1, "idle_seconds": 1});
    let held = |steps: fn() -> Vec<Step>| {
        Server::ollama(move |_| Reply {
            steps: steps(),
            ..Reply::lines(&[])
        })
    };
    let silent = held(|| vec![Step::Hold]);
    let server = configured(&silent.endpoint, limits.clone());
    let failed = ask_with(Kind::Ollama, &server, &bounds(&never)).unwrap_err();
    assert_eq!(failed.problem.code, "MODEL_SILENT");
    assert!(
        failed.problem.hints[0].contains("first_byte_seconds"),
        "{failed:?}"
    );
    silent.wait_until_gone();
    let stuck = held(|| {
        let piece = b"{\"response\":\"so far\",\"done\":false}\n".to_vec();
        vec![Step::Send(piece), Step::Hold]
    });
    let server = configured(&stuck.endpoint, limits);
    let failed = ask_with(Kind::Ollama, &server, &bounds(&never)).unwrap_err();
    assert_eq!(failed.problem.code, "MODEL_SILENT");
    assert!(
        failed.problem.hints[0].contains("idle_seconds"),
        "{failed:?}"
    );
    assert_eq!(failed.text, "so far");
    stuck.wait_until_gone();
}

#[test]
fn the_end_of_the_time_ends_a_talkative_server() {
    let server = Server::ollama(|_| {
        let piece = b"{\"response\":\"\",\"done\":false}\n".to_vec();
        let more = (0..2_000_000).map(|_| Step::Send(piece.clone()));
        Reply {
            steps: more.collect(),
            ..Reply::lines(&[])
        }
    });
    let bounds = Bounds {
        until: Instant::now() + Duration::from_millis(300),
        stopped: &never,
    };
    let server = configured(&server.endpoint, json!({}));
    let failed = ask_with(Kind::Ollama, &server, &bounds).unwrap_err();
    assert_eq!(failed.problem.code, "DRAFT_TIMEOUT");
}

#[test]
fn stop_is_heeded_while_the_model_thinks_and_the_connection_is_closed() {
    let server = Server::ollama(|_| Reply::lines(&[]).then(Step::Hold));
    let asked = Cell::new(0);
    let stopped = || {
        asked.set(asked.get() + 1);
        (asked.get() > 3).then(|| Problem::zero_stop("STOP_PRESENT", "STOP is on"))
    };
    let configured = configured(&server.endpoint, json!({}));
    let failed = ask_with(Kind::Ollama, &configured, &bounds(&stopped)).unwrap_err();
    assert_eq!(failed.problem.code, "STOP_PRESENT");
    server.wait_until_gone();
}

#[test]
fn stop_is_heeded_between_tries() {
    let server = Server::ollama(|_| Reply::json(503, &json!({"error": "busy"})));
    let calls = server.endpoint.clone();
    let asked = Cell::new(0);
    let stopped = || {
        asked.set(asked.get() + 1);
        (asked.get() > 2).then(|| Problem::zero_stop("STOP_PRESENT", "STOP is on"))
    };
    let configured = configured(&calls, json!({}));
    let failed = ask_with(Kind::Ollama, &configured, &bounds(&stopped)).unwrap_err();
    assert_eq!(failed.problem.code, "STOP_PRESENT");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn sizes_are_bounded() {
    let said = ollama_says(|| Reply::lines(&ollama_reply(&"x".repeat(1001), PROMPT)));
    check(said, "REPLY_TOO_LARGE", "max_patch_bytes");
    let said = ollama_says(|| Reply {
        steps: (0..20).map(|_| Step::Send(vec![b'x'; 64 << 10])).collect(),
        ..Reply::lines(&[])
    });
    check(said, "REPLY_TOO_LARGE", "line");
    let server = Server::new(|_| Reply {
        steps: (0..200).map(|_| Step::Send(vec![b' '; 64 << 10])).collect(),
        ..Reply::json(200, &json!({}))
    });
    let problem = stand(Kind::Ollama, &configured(&server.endpoint, json!({}))).unwrap_err();
    assert_eq!(problem.code, "NOT_A_MODEL_SERVER");
}

#[test]
fn the_key_goes_into_one_header_and_into_no_message() {
    let folder = std::env::temp_dir().join(format!("baton-key-{}", std::process::id()));
    let key = "sk-0123456789abcdef";
    std::fs::write(&folder, format!("{key}\n")).unwrap();
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let server = Server::openai(move |asked: &Asked| {
        let shown = asked.key.clone().unwrap_or_default();
        // Far enough behind that a message would be cut in the middle of the key.
        let words = format!("{}Incorrect key: {shown}", "x".repeat(170));
        Reply::json(401, &json!({"error": {"message": words}}))
    });
    let with_key = configured(&server.endpoint, json!({"key": {"file": folder}}));
    mode(0o644);
    let problem = Client::new(Kind::OpenAi, &with_key).err().unwrap();
    assert_eq!(problem.code, "TOKEN_MISSING");
    assert!(problem.message.contains("0600"), "{problem}");
    mode(0o600);
    let failed = ask_with(Kind::OpenAi, &with_key, &bounds(&never)).unwrap_err();
    assert_eq!(
        server.asked()[0].key.as_deref(),
        Some("Bearer sk-0123456789abcdef")
    );
    assert_eq!(failed.problem.code, "MODEL_KEY_REFUSED");
    for part in ["sk-0", key] {
        assert!(!format!("{failed:?}").contains(part), "{failed:?}");
    }
    let link = folder.with_extension("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    let linked = configured(&server.endpoint, json!({"key": {"file": link}}));
    assert_eq!(
        Client::new(Kind::OpenAi, &linked).err().unwrap().code,
        "TOKEN_MISSING"
    );
    std::fs::remove_file(link).unwrap();
    std::fs::remove_file(folder).unwrap();
}

#[test]
fn a_server_says_what_it_has() {
    let server = Server::ollama(|_| Reply::lines(&[]));
    let standing = stand(Kind::Ollama, &configured(&server.endpoint, json!({}))).unwrap();
    let expected = Standing {
        version: Some("0.99.1".to_owned()),
        digest: Some("d1g357".to_owned()),
        context: Some(32768),
        is_listed: Some(true),
        remote: None,
    };
    assert_eq!(standing, expected);
    assert!(
        server.asked_at("/api/generate").is_empty(),
        "no prompt is sent"
    );
    let other = configured(&server.endpoint, json!({"model": "huge:70b"}));
    let problem = stand(Kind::Ollama, &other).unwrap_err();
    assert_eq!(problem.code, "MODEL_MISSING");
    assert!(problem.message.contains("tiny:latest"), "{problem}");
    assert!(
        problem.hints[0].contains("ollama pull huge:70b"),
        "{problem:?}"
    );
    let server = Server::openai(|_| Reply::lines(&[]));
    let standing = stand(Kind::OpenAi, &configured(&server.endpoint, json!({}))).unwrap();
    assert_eq!(
        (standing.is_listed, standing.context),
        (Some(true), Some(32768))
    );
    let other = configured(&server.endpoint, json!({"model": "huge"}));
    assert_eq!(stand(Kind::OpenAi, &other).unwrap().is_listed, Some(false));
    let none = Server::new(|_| Reply::text(404, "text/plain", "no such page"));
    let standing = stand(Kind::OpenAi, &configured(&none.endpoint, json!({}))).unwrap();
    assert_eq!(
        standing,
        Standing::default(),
        "not every server lists models"
    );
}

#[test]
fn a_model_that_runs_elsewhere_is_told() {
    for (name, tag, show, host) in [
        ("tiny:120b-cloud", json!({}), json!({}), "ollama.com"),
        ("tiny:cloud", json!({}), json!({}), "ollama.com"),
        (
            "tiny:1",
            json!({"remote_host": "https://llm.example:443"}),
            json!({}),
            "llm.example",
        ),
        (
            "tiny:1",
            json!({}),
            json!({"remote_model": "huge", "remote_host": ""}),
            "ollama.com",
        ),
    ] {
        let (name, mut tag) = (name.to_owned(), tag);
        tag["name"] = json!(name);
        let server = Server::new(move |asked| match asked.path.as_str() {
            "/api/tags" => Reply::json(200, &json!({"models": [tag]})),
            "/api/show" => Reply::json(200, &show),
            _ => Reply::json(200, &json!({"version": "1"})),
        });
        let configured = configured(&server.endpoint, json!({"model": name}));
        let standing = stand(Kind::Ollama, &configured).unwrap();
        assert_eq!(standing.remote.as_deref(), Some(host), "{name}");
    }
}
