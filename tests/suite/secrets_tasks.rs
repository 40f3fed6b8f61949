//! A secret in any field of a task: refused before anything is kept.

use serde_json::{Value, json};

use crate::secrets::tokens;
use crate::secrets_entrances::check;
use crate::support::Bench;

/// A task with `text` in one of its fields, by the field's name.
fn tasks(id: &str, text: &str) -> Vec<(&'static str, Value)> {
    let task = || {
        json!({"task_id": id, "title": "A change", "goal": "Change it",
            "scope": {"allow_patch_on_files": ["src/**"]}, "context": {}, "requirements": {}, "meta": {}})
    };
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut task = task();
        edit(&mut task);
        task
    };
    let line = text.replace(['\n', '/', '"'], " ");
    let meta = |key: &str, value: Value| json!({ key: value });
    vec![
        ("$.task_id", with(&|t| t["task_id"] = json!(text))),
        ("$.title", with(&|t| t["title"] = json!(text))),
        ("$.goal", with(&|t| t["goal"] = json!(text))),
        (
            "$.scope.target_files[0]",
            with(&|t| t["scope"]["target_files"] = json!([line])),
        ),
        (
            "$.scope.allow_patch_on_files[0]",
            with(&|t| t["scope"]["allow_patch_on_files"] = json!([line])),
        ),
        (
            "$.scope.deny_paths_glob[0]",
            with(&|t| t["scope"]["deny_paths_glob"] = json!([line])),
        ),
        (
            "$.requirements.must_not[0]",
            with(&|t| t["requirements"]["must_not"] = json!([text])),
        ),
        (
            "$.requirements.tests[0]",
            with(&|t| t["requirements"]["tests"] = json!([text])),
        ),
        (
            "$.context.notes",
            with(&|t| t["context"]["notes"] = json!(text)),
        ),
        (
            "$.meta.created_by",
            with(&|t| t["meta"] = meta("created_by", json!(text))),
        ),
        (
            "$.meta.more.deep[0]",
            with(&|t| t["meta"] = json!({"more": {"deep": [text]}})),
        ),
        (
            "a name in $.meta",
            with(&|t| t["meta"] = meta(text, json!(1))),
        ),
        (
            "$.idempotency_key",
            with(&|t| t["idempotency_key"] = json!(text)),
        ),
        ("$.base", with(&|t| t["base"] = json!(text))),
        (
            "$.success_criteria",
            with(&|t| t["success_criteria"] = json!(text)),
        ),
        ("$.due_at", with(&|t| t["due_at"] = json!(text))),
        ("$.priority", with(&|t| t["priority"] = json!(text))),
        ("a name in $", with(&|t| t[text] = json!(1))),
    ]
}

#[test]
fn every_field_of_a_task_is_refused_before_anything_is_kept() {
    let bench = Bench::new();
    let mut said = Vec::new();
    let tokens = tokens();
    let fields = tasks("T-1", "").len();
    for at in 0..fields.max(tokens.len()) {
        let token = &tokens[at % tokens.len()];
        let (field, task) = tasks("T-1", token).swap_remove(at % fields);
        let file = bench.patch_file("task.json", &task.to_string());
        let file = file.to_str().unwrap();
        let ran = bench.baton(["submit", file]);
        let answer = ran.expect(1);
        assert_eq!(answer["code"], "TASK_TEXT_REFUSED", "{field}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("at {field}: a secret (")),
            "{message}"
        );
        said.push(ran);
        let ran = bench.baton(["intake-validate", "--file", file]);
        assert_eq!(ran.code, 1, "{field}: {}", ran.stdout);
        said.push(ran);
    }
    assert!(
        bench
            .queue()
            .join("inbox")
            .read_dir()
            .unwrap()
            .next()
            .is_none()
    );
    check(&bench, said, "T-1", "a task that is submitted");
}

#[test]
fn a_task_that_is_dropped_into_the_inbox() {
    let bench = Bench::new();
    let mut said = Vec::new();
    let tokens = tokens();
    for (at, token) in tokens.iter().enumerate() {
        let id = format!("T-{at}");
        let mut tasks = tasks(&id, token);
        let (_, task) = tasks.swap_remove(at % tasks.len());
        let loose = format!("inbox/{token}.json");
        std::fs::write(bench.queue().join(loose), task.to_string()).unwrap();
    }
    said.push(bench.baton(["queue-scan"]));
    said.push(bench.baton(["claim-lock", "--next"]));
    // A folder of its own, as somebody makes it by hand.
    for (at, token) in tokens.iter().enumerate() {
        let id = format!("F-{at}");
        let mut tasks = tasks(&id, token);
        // Not the id itself: a folder of that name is what it is.
        let (_, task) = tasks.swap_remove(1 + at % (tasks.len() - 1));
        let folder = bench.queue().join("inbox").join(&id);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("task.json"), task.to_string()).unwrap();
        said.push(bench.baton(["run", &id, "--producer", "command"]));
    }
    check(&bench, said, "F-1", "a task in the inbox");
}
