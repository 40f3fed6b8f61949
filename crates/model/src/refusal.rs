//! What servers say when they say no, in our words.

use baton_core::masking;
use baton_core::problem::Problem;
use serde_json::Value;

use crate::Kind;

/// How much of a server's own words is quoted, in characters.
const QUOTED: usize = 200;

fn quoted(text: &str) -> String {
    match text.trim() {
        "" => "nothing".to_owned(),
        text => format!("\"{}\"", masking::excerpt(text, QUOTED)),
    }
}

/// The words of an error: a text, or an object that holds one. The code can be of any type.
fn words(error: &Value) -> String {
    let text = error.as_str().or_else(|| error.get("message")?.as_str());
    text.map_or_else(|| error.to_string(), str::to_owned)
}

/// A body or line that is not what such a server sends.
pub(crate) fn no_json(got: &[u8], expected: &str) -> Problem {
    let why = format!(
        "the server sent {}, expected {expected}",
        quoted(&String::from_utf8_lossy(got))
    );
    Problem::fail("NOT_A_MODEL_SERVER", why)
        .hint("correct the endpoint in the policy's draft section: a proxy or another program answers there")
}

/// An error that came after the answer had begun well.
pub(crate) fn in_stream(error: &Value) -> Problem {
    let words = words(error);
    if is_about_context(error, &words) {
        return too_large(&words);
    }
    let why = format!("the server broke the reply off and said {}", quoted(&words));
    Problem::fail("MODEL_FAILED", why).hint("look at the server's own log; then ask again")
}

fn is_about_context(error: &Value, words: &str) -> bool {
    let field = |name: &str| {
        let value = error.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_ascii_lowercase()
    };
    let told = ["type", "code"].map(field);
    let words = words.to_ascii_lowercase();
    told.iter()
        .any(|told| told.contains("context_length") || told.contains("exceed_context"))
        || (words.contains("context")
            && ["exceed", "too long", "longer than"]
                .iter()
                .any(|part| words.contains(part)))
}

fn too_large(words: &str) -> Problem {
    let why = format!(
        "the prompt does not fit into the server's context; it said {}",
        quoted(words)
    );
    Problem::fail("PROMPT_TOO_LARGE", why)
        .hint("start the server with a larger context, or name fewer target_files")
}

/// An answer with a status that is not 200.
pub(crate) fn of_status(kind: Kind, url: &str, model: &str, status: u16, body: &[u8]) -> Problem {
    if (300..400).contains(&status) {
        let why =
            format!("{url} answered {status} and points elsewhere; redirects are not followed");
        return Problem::fail("MODEL_REDIRECTED", why)
            .hint("put the address that it points to into the policy's draft section");
    }
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let error = document.as_ref().and_then(|document| document.get("error"));
    let Some(error) = error else {
        let why = format!(
            "{url} answered {status} and sent {}, expected JSON",
            quoted(&String::from_utf8_lossy(body))
        );
        return Problem::fail("NOT_A_MODEL_SERVER", why)
            .hint("correct the endpoint in the policy's draft section: a proxy or another program answers there");
    };
    let words = words(error);
    let said = format!("{url} answered {status} and said {}", quoted(&words));
    match status {
        401 | 403 => Problem::fail("MODEL_KEY_REFUSED", said)
            .hint("put a valid key where the policy's draft section names it"),
        404 if words.to_ascii_lowercase().contains("model") => missing(kind, model, &[]),
        429 => Problem::fail("MODEL_SERVER_BUSY", said).hint("ask again later"),
        503 => Problem::fail("MODEL_SERVER_BUSY", said)
            .hint("ask again when the server has loaded the model or worked off its queue"),
        400 | 413 | 422 if is_about_context(error, &words) => too_large(&words),
        500.. => {
            Problem::fail("MODEL_FAILED", said).hint("look at the server's own log; then ask again")
        }
        _ => Problem::fail("MODEL_REFUSED", said)
            .hint("correct the policy's draft section, or the server"),
    }
}

/// The model is not there. `installed` is what is, if it is known.
pub(crate) fn missing(kind: Kind, model: &str, installed: &[String]) -> Problem {
    let shown: Vec<_> = installed
        .iter()
        .take(20)
        .map(|name| masking::excerpt(name, 80))
        .collect();
    let shown = match shown.as_slice() {
        [] => "none that it names".to_owned(),
        shown => shown.join(", "),
    };
    Problem::fail(
        "MODEL_MISSING",
        format!("the server does not have the model {model}; installed: {shown}"),
    )
    .hint(match kind {
        Kind::Ollama => {
            format!("ollama pull {model}; or name one that is there in the policy's draft section")
        }
        Kind::OpenAi => {
            "load it there, or name one that is there in the policy's draft section".to_owned()
        }
    })
}
