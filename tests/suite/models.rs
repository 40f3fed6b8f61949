//! Drafts by a model server: the whole programs, against a server of ours.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::model::{Asked, Reply, Server, Step, ollama_reply};
use crate::support::{Bench, Ran};

/// The policy's section for a server of the tests.
pub(super) fn server(endpoint: &str) -> Value {
    json!({"endpoint": endpoint, "model": "tiny",
        "price": {"input_cents_per_million": 0, "output_cents_per_million": 0}})
}

pub(super) fn bench_with(name: &str, section: Value) -> Bench {
    let bench = Bench::new();
    bench.policy(|policy| policy["draft"][name] = section);
    submit(&bench, "T-1");
    bench
}

fn submit(bench: &Bench, id: &str) {
    let line = [
        "submit",
        "--id",
        id,
        "--title",
        "Two",
        "--goal",
        "Print two",
        "--allow",
        "src/**",
        "--target",
        "src/app.sh",
    ];
    bench.baton(line).expect(0);
}

/// A framed reply that makes app.sh print two; `notes` are its notes.
pub(super) fn framed(notes: &str) -> String {
    let file = "src/app.sh\n```sh\necho 2\n```\n";
    format!(
        "Here you are:\n---BEGIN_PATCH---\n{file}---END_PATCH---\n---BEGIN_NOTES---\n{notes}\n---END_NOTES---\n"
    )
}

pub(super) fn prompt_of(asked: &Asked) -> &str {
    let prompt = asked.body["prompt"].as_str();
    prompt.unwrap_or_else(|| asked.body["messages"][0]["content"].as_str().unwrap())
}

/// An Ollama that always says this.
pub(super) fn ollama(text: String) -> Server {
    Server::ollama(move |asked| Reply::lines(&ollama_reply(&text, prompt_of(asked))))
}

/// The line of the log by which the draft was recorded.
fn proposed(bench: &Bench) -> Value {
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut lines = lines.filter(|line| line["action"] == "PATCH_PROPOSED");
    lines.next_back().unwrap()
}

#[test]
fn an_ollama_drafts_and_its_reply_becomes_the_candidate() {
    let server_ = ollama(framed("- two"));
    let bench = bench_with("ollama", server(&server_.endpoint));
    let done = bench
        .baton(["run", "T-1", "--producer", "ollama"])
        .expect(0);
    assert_eq!(done["decision"], "AUTO_MERGE", "{done}");
    let task = bench.task("pr", "T-1");
    let read = |name: &str| std::fs::read_to_string(task.join(name)).unwrap();
    let candidate: Value = serde_json::from_str(&read("candidate.json")).unwrap();
    assert_eq!(candidate["source"], "model");
    assert!(read("rationale.md").contains("- two"));
    assert!(read("evidence/reply.txt").starts_with("Here you are:"));
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(report["model"], "ollama:tiny");
    let asked = server_.asked_at("/api/generate");
    let prompt = prompt_of(&asked[0]);
    for part in ["Print two", "echo 1", "complete new text"] {
        assert!(prompt.contains(part), "{part}: {prompt}");
    }
    assert_eq!(report["reply_format"], "whole");
    assert_eq!(report["attempts"][0]["call"]["finish"], "stop", "{report}");
    let meta = proposed(&bench)["meta"].clone();
    assert_eq!(meta["model_digest"], "d1g357", "{meta}");
    assert_eq!(meta["server_version"], "0.99.1", "{meta}");
    assert_eq!(meta["prompt_bytes"], prompt.len(), "{meta}");
    assert_eq!(meta["prompt_tokens"], prompt.len() / 4 + 1, "{meta}");
}

#[test]
fn a_worker_asks_a_model_server() {
    for (format, file) in [
        (&[][..], "src/app.sh\n```sh\necho 2\n```\n"),
        (
            &["--reply-format", "search-replace"],
            "src/app.sh\n<<<<<<< SEARCH\necho 1\n=======\necho 2\n>>>>>>> REPLACE\n",
        ),
    ] {
        let server_ = ollama(format!("---BEGIN_PATCH---\n{file}---END_PATCH---\n"));
        let bench = bench_with("ollama", server(&server_.endpoint));
        let owner = ["--owner", "worker@box"];
        let claim = ["claim-lock", "--task", "T-1"];
        bench.baton([&claim[..], &owner].concat()).expect(0);
        let line = ["worker", "--once", "--producer", "ollama"];
        let done = bench.baton([&line[..], &owner, format].concat()).expect(0);
        assert_eq!(done["drafted"], 1, "{done}");
        let patch = bench.task("claimed", "T-1").join("draft.patch");
        let patch = std::fs::read_to_string(patch).unwrap();
        assert!(patch.contains("-echo 1\n+echo 2\n"), "{patch}");
    }
}

/// Runs the draft alone, so that the task stays at hand.
fn drafted(bench: &Bench, producer: &str, more: &[&str]) -> Ran {
    // Claimed and looked at once is enough.
    drop(bench.baton(["claim-lock", "--task", "T-1"]));
    drop(bench.baton(["intake-validate", "--task", "T-1"]));
    let line = ["patch-draft", "--task", "T-1", "--producer", producer, "-v"];
    bench.baton([&line, more].concat())
}

/// Runs the draft, which must fail with this code, and gives its findings' text.
pub(super) fn refused(bench: &Bench, producer: &str, exit: i32, code: &str) -> String {
    let ran = drafted(bench, producer, &[]);
    let json = ran.expect(exit);
    assert!(ran.findings().contains(&code.to_owned()), "{code}: {json}");
    json["findings"].to_string()
}

#[test]
fn a_server_that_is_down_is_told_and_one_that_comes_back_is_asked() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let bench = bench_with("ollama", server(&endpoint));
    let said = refused(&bench, "ollama", 1, "MODEL_SERVER_DOWN");
    assert!(
        said.contains("ollama serve") && said.contains(&endpoint),
        "{said}"
    );
    let server_ = ollama(framed("- two"));
    bench.policy(|policy| policy["draft"]["ollama"]["endpoint"] = json!(server_.endpoint));
    bench
        .baton(["run", "T-1", "--producer", "ollama"])
        .expect(0);
}

#[test]
fn a_model_that_is_missing_is_told_with_what_is_there() {
    let server_ = ollama(framed("- two"));
    let mut section = server(&server_.endpoint);
    section["model"] = json!("huge:70b");
    let bench = bench_with("ollama", section);
    let said = refused(&bench, "ollama", 1, "MODEL_MISSING");
    assert!(
        said.contains("ollama pull huge:70b") && said.contains("tiny:latest"),
        "{said}"
    );
    assert!(server_.asked_at("/api/generate").is_empty());
}

#[test]
fn stop_ends_an_answer_within_a_second_and_closes_the_connection() {
    let seen: Arc<Mutex<Option<Instant>>> = Arc::default();
    let bench = Bench::new();
    let stop = bench.queue().join("STOP");
    let (when, path) = (Arc::clone(&seen), stop.clone());
    let server_ = Server::ollama(move |_| {
        let piece = json!({"response": "thinking about it", "done": false});
        let mut reply = Reply::lines(std::slice::from_ref(&piece));
        // STOP comes while the answer is under way.
        std::fs::write(&path, "enough").unwrap();
        *when.lock().unwrap() = Some(Instant::now());
        reply.steps.push(Step::Hold);
        reply
    });
    bench.policy(|policy| policy["draft"]["ollama"] = server(&server_.endpoint));
    submit(&bench, "T-1");
    let ran = drafted(&bench, "ollama", &[]);
    let ended = seen.lock().unwrap().unwrap().elapsed();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.findings().contains(&"STOP_PRESENT".to_owned()),
        "{ran:?}"
    );
    server_.wait_until_gone();
    // The promise is a second; the rest is for a busy machine to start and end the program. The
    // model alone would hold it for longer.
    assert!(ended.as_secs() < 30, "{ended:?}");
    std::fs::remove_file(stop).unwrap();
    let calls = bench.task("work", "T-1").join("calls");
    assert!(
        calls.join("0001-spent.json").is_file(),
        "what was asked is counted"
    );
}

#[test]
fn a_server_that_is_killed_in_the_middle_leaves_what_it_had_said() {
    let server_ = Server::ollama(|_| {
        let piece = json!({"response": "---BEGIN_PATCH---\nhalf", "done": false});
        Reply::lines(std::slice::from_ref(&piece)).then(Step::Break)
    });
    let bench = bench_with("ollama", server(&server_.endpoint));
    let said = refused(&bench, "ollama", 1, "REPLY_CUT");
    assert!(said.contains("evidence/refused.txt"), "{said}");
    let kept = std::process::Command::new("grep")
        .args(["-rl", "BEGIN_PATCH---"])
        .arg(bench.queue())
        .output()
        .unwrap();
    assert!(!kept.stdout.is_empty());
}

#[test]
fn a_killed_draft_is_counted_and_can_be_made_again() {
    let hold = Arc::new(Mutex::new(true));
    let held = Arc::clone(&hold);
    let text = framed("- two");
    let server_ = Server::ollama(move |asked| {
        if std::mem::take(&mut *held.lock().unwrap()) {
            return Reply::lines(&[]).then(Step::Hold);
        }
        Reply::lines(&ollama_reply(&text, prompt_of(asked)))
    });
    let bench = bench_with("ollama", server(&server_.endpoint));
    let line = ["run", "T-1", "--producer", "ollama"];
    let mut child = bench
        .command(line)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while server_.asked_at("/api/generate").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    bench.baton(line).expect(0);
    let asked = server_.asked_at("/api/generate");
    let seed = |at: usize| asked[at].body["options"]["seed"].clone();
    assert_eq!(
        (seed(0), seed(1)),
        (json!(0), json!(1)),
        "another seed for another try"
    );
    let calls = bench.task("pr", "T-1").join("calls");
    assert!(!calls.join("0001-spent.json").exists() && calls.join("0002-spent.json").is_file());
}

#[test]
fn a_host_that_is_not_this_machine_is_asked_nothing() {
    // No such host exists; were it looked for, the code would be another one.
    let bench = bench_with("openai", server("http://llm.invalid:8080/v1"));
    let said = refused(&bench, "openai", 3, "EXTERNAL_DENIED");
    assert!(said.contains("llm.invalid"), "{said}");
    let doctor = bench.baton(["doctor"]);
    assert!(doctor.stdout.contains("llm.invalid"), "{doctor:?}");
    bench.policy(|policy| {
        policy["actors"]["human"]["EXTERNAL"] = json!("allow");
        policy["external_exceptions"] = json!([{"id": "llm", "host": "llm.invalid",
            "purpose": "landing", "reason": "another purpose"}]);
    });
    refused(&bench, "openai", 3, "EXTERNAL_DENIED");
    bench.policy(|policy| policy["external_exceptions"][0]["purpose"] = json!("model"));
    refused(&bench, "openai", 1, "MODEL_SERVER_DOWN");
    // What proposes never reaches outside, whatever the exceptions say.
    let ran = drafted(&bench, "openai", &["--actor", "openclaw"]);
    assert!(
        ran.findings().contains(&"EXTERNAL_DENIED".to_owned()),
        "{ran:?}"
    );
}

#[test]
fn a_model_in_a_cloud_is_not_this_machine() {
    let server_ = Server::new(|asked| match asked.path.as_str() {
        "/api/tags" => Reply::json(
            200,
            &json!({"models": [{"name": "tiny:latest", "remote_host": "https://cloud.invalid:443"}]}),
        ),
        "/api/generate" => Reply::lines(&ollama_reply("sent!", prompt_of(asked))),
        _ => Reply::json(200, &json!({"version": "1"})),
    });
    let bench = bench_with("ollama", server(&server_.endpoint));
    let said = refused(&bench, "ollama", 3, "EXTERNAL_DENIED");
    assert!(said.contains("cloud.invalid"), "{said}");
    assert!(
        server_.asked_at("/api/generate").is_empty(),
        "no prompt is sent"
    );
}

#[test]
fn budgets_are_kept_before_a_call_and_over_retries() {
    let server_ = ollama(framed("- two"));
    let mut section = server(&server_.endpoint);
    section.as_object_mut().unwrap().remove("price");
    section["num_predict"] = json!(1000);
    let bench = bench_with("ollama", section);
    refused(&bench, "ollama", 1, "PRICE_UNKNOWN");
    bench.policy(|policy| {
        policy["draft"]["ollama"]["price"] =
            json!({"input_cents_per_million": 1_000_000, "output_cents_per_million": 1_000_000});
        policy["caps"]["cost_cents"] = json!(500);
    });
    refused(&bench, "ollama", 1, "BUDGET_COST");
    bench.policy(|policy| {
        policy["draft"]["ollama"]["price"] =
            json!({"input_cents_per_million": 0, "output_cents_per_million": 0});
        policy["caps"]["tokens_hard"] = json!(900);
    });
    refused(&bench, "ollama", 1, "BUDGET_TOKENS");
    assert!(
        server_.asked_at("/api/generate").is_empty(),
        "nothing was asked until here"
    );
    bench.policy(|policy| {
        policy["caps"]["tokens_hard"] = json!(1500);
        policy["caps"]["tokens_soft"] = json!(10);
    });
    let ran = bench.baton(["run", "T-1", "--producer", "ollama"]);
    ran.expect(0);
    let kept = bench.task("pr", "T-1").join("envelopes");
    let kept = std::fs::read_dir(kept)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let said: String = kept
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert!(said.contains("BUDGET_SOFT"), "{said}");
    bench.baton(["retry", "T-1"]).expect(0);
    let said = refused(&bench, "ollama", 1, "BUDGET_TOKENS");
    assert!(said.contains("1 calls took"), "{said}");
}

#[test]
fn what_the_policy_denies_is_shown_to_no_model_also_before_intake() {
    let server_ = ollama(framed("- two"));
    let bench = Bench::new();
    bench.policy(|policy| policy["draft"]["ollama"] = server(&server_.endpoint));
    bench.write("src/.env", "NAME=value\n");
    bench.commit("a file of the operator's");
    let task = json!({"task_id": "T-1", "title": "A change", "goal": "Change it",
        "scope": {"allow_patch_on_files": ["src/**"], "target_files": ["src/.env"]}});
    let file = bench.patch_file("task.json", &task.to_string());
    drop(bench.baton(["submit", file.to_str().unwrap()]));
    drop(bench.baton(["claim-lock", "--task", "T-1"]));
    let ran = bench.baton(["patch-draft", "--task", "T-1", "--producer", "ollama"]);
    assert!(ran.code == 1, "{ran:?}");
    assert!(ran.stdout.contains("src/.env is denied by"), "{ran:?}");
    assert!(server_.asked_at("/api/generate").is_empty());
}

#[test]
fn what_does_not_fit_into_the_context_is_refused_before_it_is_sent() {
    let server_ = ollama(framed("- two"));
    let mut section = server(&server_.endpoint);
    section["num_ctx"] = json!(600);
    section["num_predict"] = json!(100);
    let bench = bench_with("ollama", section);
    bench.write("src/app.sh", &"echo 1\n".repeat(200));
    bench.commit("long");
    let said = refused(&bench, "ollama", 1, "PROMPT_TOO_LARGE");
    assert!(
        said.contains("src/app.sh 1400 bytes") && said.contains("600"),
        "{said}"
    );
    bench.policy(|policy| policy["draft"]["ollama"]["num_ctx"] = json!(65536));
    let said = refused(&bench, "ollama", 1, "CONTEXT_TOO_LARGE");
    assert!(said.contains("32768"), "{said}");
    assert!(server_.asked_at("/api/generate").is_empty());
}

/// What is decided when the notes hold this.
fn decided_with(notes: &str) -> (Bench, Value) {
    let server_ = ollama(framed(notes));
    let bench = bench_with("ollama", server(&server_.endpoint));
    let done = bench
        .baton(["run", "T-1", "--producer", "ollama"])
        .expect(0);
    (bench, done)
}

#[test]
fn an_opinion_can_only_make_a_decision_stricter() {
    let (bench, done) = decided_with("- two\n- opinion: {\"risk\":\"HIGH\",\"why\":\"it prints\"}");
    assert_eq!(done["decision"], "PR_ONLY", "{done}");
    assert_eq!(proposed(&bench)["meta"]["opinion"], "HIGH");
    bench.baton(["verify", "T-1"]).expect(0);
    for (notes, word) in [
        (
            "opinion: {\"risk\":\"LOW\",\"why\":\"harmless\"}",
            json!("LOW"),
        ),
        ("opinion: {\"decision\":\"AUTO_MERGE\"}", json!("none")),
        ("- no opinion", Value::Null),
    ] {
        let (bench, done) = decided_with(notes);
        assert_eq!(done["decision"], "AUTO_MERGE", "{notes}: {done}");
        assert_eq!(proposed(&bench)["meta"]["opinion"], word, "{notes}");
    }
}

#[test]
fn the_doctor_says_what_a_model_server_has() {
    let server_ = ollama(String::new());
    let bench = bench_with("ollama", server(&server_.endpoint));
    let said = bench.baton(["doctor"]).stdout;
    for part in [
        "0.99.1",
        "has tiny",
        "32768 tokens of context",
        "num_ctx 16384",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(server_.asked_at("/api/generate").is_empty());
    let asked = server_.asked_at("/api/tags").len();
    let rules = bench.root().join(".autodev_ssot/POLICY.json");
    let accepted = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("{accepted} ")).unwrap();
    drop(bench.baton(["doctor"]));
    assert_eq!(
        server_.asked_at("/api/tags").len(),
        asked,
        "a server was asked as a policy says that nobody accepted"
    );
    std::fs::write(&rules, accepted).unwrap();
    bench.policy(|policy| policy["draft"]["ollama"]["model"] = json!("huge:70b"));
    assert!(
        bench
            .baton(["doctor"])
            .stdout
            .contains("ollama pull huge:70b")
    );
}
