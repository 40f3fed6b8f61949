//! What no model server gets to see, and nobody gets to see of what a server got.

use serde_json::json;

use crate::models::{bench_with, framed, ollama, prompt_of, refused, server};
use crate::support::model::{Asked, Reply, Server, openai_reply};

#[test]
fn a_chat_server_drafts_with_a_key_that_nobody_sees() {
    const KEY: &str = "topsecretwordofours";
    let text = framed("- two");
    let server_ =
        Server::openai(move |asked| Reply::events(&openai_reply(&text, prompt_of(asked))));
    let mut section = server(&format!("{}/v1/", server_.endpoint));
    section["key"] = json!({"env": "MODEL_KEY"});
    let bench = bench_with("openai", section);
    refused(&bench, "openai", 1, "TOKEN_MISSING");
    let line = ["run", "T-1", "--producer", "openai"];
    let output = bench.command(line).env("MODEL_KEY", KEY).output().unwrap();
    let ran = crate::support::ran(output);
    assert_eq!(ran.expect(0)["decision"], "AUTO_MERGE", "{ran:?}");
    let asked = server_.asked_at("/v1/chat/completions");
    assert_eq!(
        asked[0].key.as_deref(),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert!(
        !ran.stdout.contains(KEY) && !ran.stderr.contains(KEY),
        "{ran:?}"
    );
    let kept = std::process::Command::new("grep")
        .args(["-rl", KEY])
        .arg(bench.queue())
        .output()
        .unwrap();
    assert!(kept.stdout.is_empty(), "{kept:?}");
}

#[test]
fn a_key_that_a_server_quotes_is_seen_nowhere() {
    // The part between its signs stands in every form of it.
    const KEY: &str = "ours+zebrawood/of+ours";
    let escaped = KEY.replace('+', "\\u002b").replace('/', "\\/");
    let quoting = format!("{{\"error\": {{\"message\": \"bad key {escaped}\"}}}}");
    let chat = |text: String, fingerprint: String| {
        move |asked: &Asked| {
            let mut chunks = openai_reply(&text, prompt_of(asked));
            chunks[0]["system_fingerprint"] = json!(fingerprint);
            Reply::events(&chunks)
        }
    };
    let servers = [
        (
            Server::openai(move |_| Reply::text(401, "application/json", &quoting)),
            1,
        ),
        (
            Server::openai(chat(format!("No patch for {KEY}."), "b1".into())),
            1,
        ),
        (Server::openai(chat(framed(KEY), KEY.into())), 0),
        (Server::openai(chat(framed("two"), "f".repeat(100_000))), 0),
    ];
    for (number, (server_, exit)) in servers.into_iter().enumerate() {
        let mut section = server(&format!("{}/v1/", server_.endpoint));
        section["key"] = json!({"env": "MODEL_KEY"});
        let bench = bench_with("openai", section);
        let mut command = bench.command(["run", "T-1", "--producer", "openai"]);
        let ran = crate::support::ran(command.env("MODEL_KEY", KEY).output().unwrap());
        ran.expect(exit);
        assert!(
            !ran.stdout.contains("zebrawood") && !ran.stderr.contains("zebrawood"),
            "{number}: {ran:?}"
        );
        let kept = std::process::Command::new("grep")
            .args(["-rl", "zebrawood"])
            .arg(bench.queue())
            .output()
            .unwrap();
        assert!(kept.stdout.is_empty(), "{number}: {kept:?}");
    }
}

#[test]
fn a_secret_in_a_target_file_is_not_sent() {
    let secret = ["ghp_", "1b9Zq4Rt", "Yx2Wc5Vn8Mb3Kj6Hg9Fd0Sa4PqLz"].concat();
    let server_ = ollama(framed("- two"));
    let bench = bench_with("ollama", server(&server_.endpoint));
    bench.write("src/app.sh", &format!("echo 1\n# {secret}\n"));
    bench.commit("somebody was careless");
    drop(bench.baton(["run", "T-1", "--producer", "ollama"]));
    let asked = server_.asked_at("/api/generate");
    let prompt = prompt_of(&asked[0]);
    assert!(
        prompt.contains("echo 1") && !prompt.contains(&secret),
        "{prompt}"
    );
}
