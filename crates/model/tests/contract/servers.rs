//! Servers that are down, busy, silent or no model servers; and what they say of themselves.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::{Asked, Step, ollama_reply};

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
