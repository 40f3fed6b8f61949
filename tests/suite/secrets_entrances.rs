//! The less obvious ways in: names of files, forged envelopes, the words of git, quoted errors, flags and
//! variables. Nothing of a secret is kept or said, whichever it takes.

use std::path::Path;

use serde_json::{Value, json};

use crate::secrets::{nothing_leaks, planted, tokens};
use crate::support::{Bench, Ran};

/// What people look at afterwards.
fn looks(bench: &Bench, task: &str) -> Vec<Ran> {
    [
        vec!["status"],
        vec!["show", task],
        vec!["show", task, "--diff"],
        vec!["verify", task],
        vec!["queue-scan"],
        vec!["audit", "export"],
        vec!["audit", "export", "--format", "csv"],
        vec!["audit", "export", "--format", "otel"],
        vec!["audit", "summary"],
        vec!["audit", "search", "--text", "e"],
        vec!["doctor"],
    ]
    .into_iter()
    .map(|words| bench.baton(words))
    .collect()
}

pub(crate) fn check(bench: &Bench, said: Vec<Ran>, task: &str, way: &str) {
    let mut said = said;
    said.extend(looks(bench, task));
    nothing_leaks(bench, &said.iter().collect::<Vec<_>>(), way);
}

pub(crate) fn run(bench: &Bench, task: &str, patch: &str) -> Ran {
    let path = bench.patch_file(&format!("{task}.patch"), patch);
    bench.baton(["run", task, "--from", path.to_str().unwrap()])
}

#[test]
fn names_of_files_that_are_added() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let patch = bench.patch(|root| {
        for token in tokens() {
            std::fs::write(root.join(format!("src/{token}.txt")), "x\n").unwrap();
            std::fs::create_dir(root.join(format!("src/{token}"))).unwrap();
            std::fs::write(root.join(format!("src/{token}/a.sh")), "echo 1\n").unwrap();
        }
    });
    let summary = bench.scratch("summary.json");
    let mut said = vec![bench.pipe(
        patch.as_bytes(),
        [
            "diff-risk-scan",
            "--patch",
            "-",
            "--summary-out",
            summary.to_str().unwrap(),
            "-v",
        ],
    )];
    let written = std::fs::read_to_string(&summary).unwrap();
    for (_, secret) in planted() {
        assert!(!written.contains(&secret), "the summary holds {secret}");
    }
    said.push(run(&bench, "T-1", &patch));
    assert_eq!(said[1].json()["decision"], "ZERO_STOP");
    check(&bench, said, "T-1", "names that are added");
}

#[test]
fn names_of_files_that_go_and_targets_of_links() {
    let bench = Bench::new();
    for token in tokens() {
        bench.write(&format!("src/{token}.txt"), &format!("text of {token}\n"));
    }
    bench.commit("somebody was careless");
    let links = |root: &Path| {
        for (number, token) in tokens().into_iter().enumerate() {
            std::os::unix::fs::symlink(token, root.join(format!("src/link{number}"))).unwrap();
        }
    };
    let remove = |root: &Path| {
        for token in tokens() {
            std::fs::remove_file(root.join(format!("src/{token}.txt"))).unwrap();
        }
    };
    let rename = |root: &Path| {
        for (number, token) in tokens().into_iter().enumerate() {
            let old = root.join(format!("src/{token}.txt"));
            std::fs::rename(old, root.join(format!("src/new{number}.txt"))).unwrap();
        }
    };
    let change = |root: &Path| {
        for token in tokens() {
            std::fs::write(root.join(format!("src/{token}.txt")), "another text\n").unwrap();
        }
    };
    let edits: [(&str, &dyn Fn(&Path)); 4] = [
        ("T-link", &links),
        ("T-remove", &remove),
        ("T-rename", &rename),
        ("T-change", &change),
    ];
    for (task, edit) in edits {
        bench.submit(task, "src/**");
        let ran = run(&bench, task, &bench.patch(edit));
        assert_eq!(ran.code, 4, "{task}: {}{}", ran.stdout, ran.stderr);
        check(&bench, vec![ran], task, task);
    }
}

/// An envelope with a secret in every text that its schema leaves open.
fn forged(honest: &Value, token: &str) -> Vec<Value> {
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut envelope = honest.clone();
        edit(&mut envelope);
        envelope
    };
    let finding = |code: &str, message: &str, path: &str| json!([{"severity": "CRITICAL", "code": code, "message": message, "evidence_paths": [path]}]);
    let status = |e: &mut Value| e["status"] = json!("FAIL");
    vec![
        with(&|e| e["summary"] = json!(token)),
        with(&|e| {
            status(e);
            e["summary"] = json!(token);
        }),
        with(&|e| {
            status(e);
            e["findings"] = finding(token, token, token);
        }),
        with(&|e| {
            status(e);
            e["findings"] = finding("C", &format!("{}{token}", "word ".repeat(37)), "p");
        }),
        with(&|e| {
            e["artifacts"] = json!([{"kind": "OTHER", "path": token, "note": format!("sha256={token} x={token}")}])
        }),
        with(&|e| {
            e["approvals"] = json!([{"tool_class": "READ", "needs_approval": true, "state": "APPROVED",
                "approved_by": token, "approved_at": token, "note": token}]);
        }),
        with(&|e| {
            e["audit"] =
                json!({"event_id": token, "append_only_path": token, "prev_event_id": token})
        }),
        with(&|e| e["task"]["task_id"] = json!(token)),
        with(&|e| e["data"] = json!({"queue_counts": token, token: 1})),
        with(&|e| e["skill"] = json!(token)),
        with(&|e| e["schema_id"] = json!(token)),
        with(&|e| e["skill_version"] = json!(token)),
        with(&|e| e["status"] = json!(token)),
        with(&|e| e[token] = json!(token)),
    ]
}

#[test]
fn an_envelope_that_somebody_forged() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    let honest = bench.baton(["stop-check", "--task", "T-1"]).expect(0);
    let tokens = tokens();
    let skills = [
        "intake-validate",
        "patch-draft",
        "diff-risk-scan",
        "gate-runner",
        "decision-router",
        "pr-merge-orchestrator",
        "audit-append",
        "incident-brief",
    ];
    let kinds = forged(&honest, "").len();
    let mut said = Vec::new();
    for at in 0..kinds * skills.len() {
        let mut envelopes = forged(&honest, &tokens[at % tokens.len()]);
        let envelope = envelopes.swap_remove(at % kinds);
        let skill = skills[at / kinds];
        said.push(bench.pipe(envelope.to_string().as_bytes(), [skill, "-v"]));
        let file = bench.patch_file("envelope.json", &envelope.to_string());
        let file = file.to_str().unwrap();
        if skill == "audit-append" {
            said.push(bench.baton([skill, "--envelope", file]));
        }
    }
    check(&bench, said, "T-1", "a forged envelope");
}

#[test]
fn the_words_of_git() {
    let bench = Bench::new();
    let tokens = tokens();
    let (name, email, branch) = (&tokens[0], format!("{}@x.example", tokens[1]), &tokens[2]);
    let before = bench.git(&["config", "user.name"]);
    bench.git(&["config", "user.name", name]);
    bench.git(&["config", "user.email", &email]);
    for token in &tokens {
        bench.git(&["commit", "-q", "--allow-empty", "-m", token]);
    }
    bench.git(&["branch", branch]);
    bench.git(&["tag", &tokens[3]]);
    bench.git(&[
        "remote",
        "add",
        &tokens[4],
        &format!("https://user:{}@h.example/x.git", tokens[5]),
    ]);
    let old = bench.git(&["rev-parse", "HEAD"]);
    bench.waiting("T-1");
    let mut said = vec![
        bench.baton(["approve", "T-1"]),
        bench.baton(["run", "T-1"]),
        bench.baton(["rollback", "T-1"]),
        bench.baton(["stop"]),
        bench.baton(["resume"]),
        bench.baton(["diff-risk-scan", "--base", branch, "--patch", "/dev/null"]),
        bench.baton([
            "gate-runner",
            "--base",
            branch,
            "--patch",
            "/dev/null",
            "-v",
        ]),
    ];
    bench.policy(|policy| policy["landing"]["target"] = json!(branch));
    bench.submit("T-2", "src/**");
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    said.push(run(&bench, "T-2", &patch));
    said.push(bench.baton(["approve", "T-2"]));
    said.push(bench.baton(["run", "T-2"]));
    let landed = bench.git(&[
        "log",
        "--format=%B %an %ae %cn %ce",
        &format!("{old}..main"),
    ]);
    let landed = landed.replace(&before, "");
    assert!(landed.contains("Baton-Task: T-1"), "{landed}");
    let by_baton = landed.lines().filter(|line| line.starts_with("Baton-"));
    for line in by_baton {
        assert!(!line.contains(&name[6..]), "{line}");
    }
    check(&bench, said, "T-2", "the words of git");
}

/// Inputs that are wrong, each with the command that refuses it.
fn wrong(token: &str) -> Vec<(String, Vec<&'static str>)> {
    let patch = vec!["diff-risk-scan", "--patch", "-", "-v"];
    let event = vec!["audit-append", "--event", "-"];
    let head = "diff --git a/src/app.sh b/src/app.sh\n";
    let task = json!({"task_id": "T-9", "title": 1, token: token}).to_string();
    vec![
        (
            format!("diff --git a/src/{token} b/src/{token}\nnew file mode {token}\n"),
            patch.clone(),
        ),
        (format!("{token}\n"), patch.clone()),
        (format!("{head}{} {token}\n", "w".repeat(70)), patch.clone()),
        (
            format!("{head}index {token}..{token} 100644\n--- a/src/app.sh\n"),
            patch.clone(),
        ),
        (
            format!("{head}--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 {token} @@\n-{token}\n"),
            patch,
        ),
        (token.to_owned(), vec!["audit-append"]),
        (
            json!({"message": 1, token: token}).to_string(),
            event.clone(),
        ),
        (
            json!({"message": "m", "level": token}).to_string(),
            event.clone(),
        ),
        (
            json!({"message": "m", "meta": {token: {token: [token]}}}).to_string(),
            event,
        ),
        (task.clone(), vec!["submit", "-"]),
        (task, vec!["intake-validate", "--file", "-"]),
    ]
}

#[test]
fn errors_that_quote_what_they_got() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let mut said = Vec::new();
    // Every input with several of the kinds, in turn.
    for (at, token) in tokens().iter().enumerate() {
        let mut inputs = wrong(token);
        let (input, words) = inputs.swap_remove(at % inputs.len());
        said.push(bench.pipe(input.as_bytes(), words));
    }
    check(&bench, said, "T-1", "errors that quote");
}

#[test]
fn a_policy_that_is_broken_by_a_secret() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    let policy: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut said = Vec::new();
    for (at, token) in tokens().iter().enumerate() {
        let mut broken = policy.clone();
        match at % 5 {
            0 => broken[token] = json!(1),
            1 => broken["landing"]["target"] = json!([token]),
            2 => broken["mode"] = json!(token),
            3 => broken["gates"][0]["id"] = json!(token),
            _ => broken["secret_rules"]["files"][0]["path"] = json!(token),
        }
        std::fs::write(&path, broken.to_string()).unwrap();
        for words in [
            vec!["queue-scan"],
            vec!["run", "T-1"],
            vec!["doctor"],
            vec!["status"],
            vec!["policy", "accept"],
        ] {
            said.push(bench.baton(words));
        }
    }
    std::fs::write(&path, policy.to_string()).unwrap();
    check(&bench, said, "T-1", "a broken policy");
}

/// Command lines with a secret where `@` stands.
const LINES: [&str; 32] = [
    "@",
    "--@",
    "status @",
    "status --repo @",
    "show @",
    "run @",
    "run T-1 --from @",
    "approve T-1 --as @",
    "approve T-1 --code @",
    "approve T-1 --for @",
    "approve T-1 --sign --key @",
    "claim-lock --next --owner @",
    "claim-lock --task T-1 --lease @",
    "claim-lock --task @",
    "run --all --owner @",
    "stop-check --actor @",
    "stop-check --task @",
    "status --actor @",
    "queue-scan --state @",
    "explain @",
    "submit --id @ --title @ --goal @ --allow @",
    "gate-runner --only @ --task T-1",
    "diff-risk-scan --patch @",
    "incident-brief --severity @",
    "audit search --text @",
    "audit export --format @",
    "audit verify --against @",
    "audit witness add @",
    "policy rehearse @",
    "stop-check --policy @",
    "man @",
    "completions @",
];

#[test]
fn flags_and_variables() {
    let bench = Bench::with_waiting();
    bench.submit("T-2", "src/**");
    let mut said = Vec::new();
    let tokens = tokens();
    // Each line twice, with another kind each time.
    for (at, line) in LINES.iter().chain(&LINES).enumerate() {
        let token = &tokens[at % tokens.len()];
        said.push(bench.baton(line.split(' ').map(|word| word.replace('@', token))));
    }
    for (at, (name, words)) in [
        ("BATON_ACTOR", vec!["status"]),
        ("BATON_ACTOR", vec!["stop-check"]),
        ("BATON_OWNER", vec!["claim-lock", "--next"]),
        ("USER", vec!["claim-lock", "--next"]),
    ]
    .into_iter()
    .enumerate()
    {
        let output = bench
            .command(words)
            .env(name, &tokens[at])
            .output()
            .unwrap();
        said.push(crate::support::ran(output));
    }
    check(&bench, said, "T-1", "flags and variables");
}
