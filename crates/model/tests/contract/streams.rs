//! What comes, piece by piece, and what of it counts.

use super::*;
use crate::model::{Step, ollama_reply, openai_reply};

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
