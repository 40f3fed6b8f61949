//! Nothing that the secret rules know gets into log, envelope, report, evidence or prompt, whatever way it
//! comes in. The proposal itself (`task.json`, `draft.patch`, git's objects) is what it is.

use std::path::Path;

use serde_json::{Value, json};

use crate::changes::{rules, take, write};
use crate::signing::lands;
use crate::support::{Bench, Ran};

/// Made-up secrets of fifty kinds, each as a line of code, and what of it must not be found anywhere.
pub(crate) fn planted() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../risk/tests/secret_examples.json");
    let text = std::fs::read_to_string(path).unwrap().replace("{~~}", "");
    let kinds: std::collections::BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let token = |kind: &Value| {
        let line = kind["match"][0].as_str()?.to_owned();
        let token = line.strip_prefix("x = \"")?.strip_suffix('"')?.to_owned();
        let is_plain = token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        (is_plain && (20..200).contains(&token.len())).then_some((line, token))
    };
    let found: Vec<_> = kinds.values().filter_map(token).take(50).collect();
    assert_eq!(found.len(), 50);
    // A mask may keep the first letters, which say of what kind it is.
    let rest = |(line, token): (String, String)| (line, token[6..].to_owned());
    found.into_iter().map(rest).collect()
}

/// The secrets alone, without the code around them.
pub(crate) fn tokens() -> Vec<String> {
    let bare = |(line, _): (String, String)| line["x = \"".len()..line.len() - 1].to_owned();
    planted().into_iter().map(bare).collect()
}

/// All of them, a line each, begun with `mark`.
pub(crate) fn lines(mark: &str) -> String {
    let lines = planted()
        .into_iter()
        .map(|(line, _)| format!("{mark}{line}\n"));
    lines.collect()
}

/// Looks at every byte that baton wrote and said.
pub(crate) fn nothing_leaks(bench: &Bench, said: &[&Ran], way: &str) {
    let planted = planted();
    let mut looked = 0;
    let mut look = |what: &str, bytes: &[u8]| {
        looked += bytes.len();
        let text = String::from_utf8_lossy(bytes);
        for (line, secret) in &planted {
            assert!(!text.contains(secret), "{way}: {what} holds {line}");
        }
    };
    for ran in said {
        look("what was said", ran.stdout.as_bytes());
        look("what was said", ran.stderr.as_bytes());
    }
    for path in files(&bench.queue()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        look(
            "a file's name",
            path.strip_prefix(bench.root())
                .unwrap()
                .to_string_lossy()
                .as_bytes(),
        );
        let is_proposal = name == "task.json" || name.ends_with("draft.patch");
        // The policy is a file of the repository that a person accepted; it is kept byte for byte.
        let is_policy = path.starts_with(bench.queue().join("policies"));
        let is_object = path.starts_with(bench.queue().join("git"));
        if !is_proposal && !is_policy && !is_object {
            look(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
    assert!(looked > 1_000, "{way}: only {looked} bytes were looked at");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap().is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn a_patch_that_adds_or_removes_them() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let added = bench.patch(|root| std::fs::write(root.join("src/app.sh"), lines("# ")).unwrap());
    let path = bench.patch_file("added.patch", &added);
    let ran = bench.baton(["run", "T-1", "--from", path.to_str().unwrap()]);
    assert_eq!(ran.json()["decision"], "ZERO_STOP");
    let shown = bench.baton(["show", "T-1"]);
    let whole = bench.baton(["show", "T-1", "--diff"]);
    nothing_leaks(&bench, &[&ran, &shown, &whole], "added lines");
    let bench = Bench::new();
    bench.write("src/app.sh", &format!("echo 1\n{}", lines("# ")));
    bench.commit("somebody was careless");
    bench.submit("T-2", "src/**");
    let removed = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let path = bench.patch_file("removed.patch", &removed);
    let ran = bench.baton(["run", "T-2", "--from", path.to_str().unwrap()]);
    let shown = bench.baton(["show", "T-2", "--diff"]);
    nothing_leaks(&bench, &[&ran, &shown], "removed lines");
}

#[test]
fn what_a_gate_prints_and_how_it_calls_its_tests() {
    let bench = Bench::new();
    let print = planted()
        .into_iter()
        .map(|(line, _)| format!("\t@echo '{}'\n", line.replace('"', "")));
    let make = format!(
        "check:\n\t@true\ntest:\n{}\t@echo '1 passed, 0 failed'\n",
        print.collect::<String>()
    );
    bench.write("Makefile", &make);
    bench.commit("a talkative gate");
    bench.submit("T-1", "src/**");
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let path = bench.patch_file("p.patch", &patch);
    let ran = bench.baton(["run", "T-1", "--from", path.to_str().unwrap()]);
    assert!(bench.task("pr", "T-1").is_dir(), "{}", ran.stdout);
    let shown = bench.baton(["show", "T-1", "--diff"]);
    nothing_leaks(&bench, &[&ran, &shown], "a gate's output");
}

#[test]
fn the_words_of_a_task_and_of_a_draft() {
    let bench = Bench::new();
    let goal = format!("Use these:\n{}", lines(""));
    let said = bench.baton([
        "submit",
        "--id",
        "T-1",
        "--title",
        "Change it",
        "--goal",
        &goal,
        "--allow",
        "src/**",
    ]);
    let ran = bench.baton(["run", "T-1", "--producer", "command"]);
    let shown = bench.baton(["show", "T-1"]);
    nothing_leaks(&bench, &[&said, &ran, &shown], "a task's goal");
    let bench = Bench::new();
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let reply = format!(
        "---BEGIN_PATCH---\n{patch}---END_PATCH---\n---BEGIN_NOTES---\n{}---END_NOTES---\n",
        lines("- ")
    );
    let reply = bench.patch_file("reply", &reply);
    let line = format!("cat {}", reply.display());
    bench.policy(|policy| policy["draft"]["command"] = json!(["sh", "-c", line]));
    bench.submit("T-2", "src/**");
    let ran = bench.baton(["run", "T-2", "--producer", "command"]);
    let shown = bench.baton(["show", "T-2"]);
    nothing_leaks(&bench, &[&ran, &shown], "a draft's notes");
}

#[test]
fn what_people_and_tools_say() {
    let bench = Bench::with_waiting();
    let all = lines("");
    let why = all.as_str();
    let mut said = vec![bench.baton(["approve", "T-1", "--reason", why])];
    said.push(bench.baton(["revoke-approval", "T-1", "--reason", why]));
    said.push(bench.baton(["reject", "T-1", "--reason", why]));
    said.push(bench.baton(["stop", "--reason", why]));
    said.push(bench.baton(["resume", "--reason", why]));
    bench.waiting("T-2");
    said.push(bench.baton(["approve", "T-2"]));
    said.push(bench.baton(["run", "T-2"]));
    said.push(bench.baton(["rollback", "T-2", "--reason", why]));
    let event = json!({"message": why, "meta": {"why": why, "deep": [{"er": why}]}});
    let path = bench.patch_file("event.json", &event.to_string());
    let ran = bench.baton(["audit-append", "--event", path.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    said.push(ran);
    nothing_leaks(
        &bench,
        &said.iter().collect::<Vec<_>>(),
        "reasons and events",
    );
}

#[test]
fn a_secret_in_a_line_that_is_refused_is_masked() {
    let bench = Bench::new();
    let key = ["aB3dE5fG7hI9", "jK1lM3nO5pQ7"].concat();
    let patch = format!(
        "diff --git a/src/a.py b/src/a.py\nindex {one}..{two} 100644\n--- a/src/a.py\n+++ b/src/a.py\n@@ -1,3 +1,4 @@\n a\nzz api_key=\"{key}\"\n b\n c\n",
        one = "1".repeat(40),
        two = "2".repeat(40)
    );
    let found = bench.pipe(patch.as_bytes(), ["diff-risk-scan", "--patch", "-"]);
    assert_ne!(found.code, 0);
    assert!(found.stderr.contains("masked"), "{}", found.stderr);
    assert!(!found.stdout.contains(&key) && !found.stderr.contains(&key));
    let log = std::fs::read(bench.queue().join("audit/events.ndjson")).unwrap();
    assert!(!String::from_utf8_lossy(&log).contains(&key));
}

#[test]
fn a_rule_that_fits_what_baton_writes_blinds_no_decision() {
    let start = Bench::new();
    let key = format!("key = 'AKIA{}'\n", "QYLPMN5HFIQR7XYA");
    for regex in [
        "(?i)secret_\\w+",
        "\\b[0-9a-f]{40}\\b",
        "\\b[0-9a-f]{64}\\b",
        "EVT-[0-9a-f-]+",
        "(?i)\\w+_attempt\\b",
    ] {
        let bench = start.copy();
        let own = format!("[[rules]]\nid = 'ours'\nregex = '''{regex}'''\n");
        bench.write(".autodev_ssot/OWN.toml", &own);
        let sha256 = baton_core::digest::sha256(own.as_bytes());
        bench.policy(|policy| {
            let files = policy["secret_rules"]["files"].as_array_mut().unwrap();
            files.push(json!({"path": "OWN.toml", "sha256": sha256}));
        });
        let honest = take(&bench, "T-1", write("src/app.sh", "echo 2\n"));
        assert!(bench.task("pr", "T-1").exists(), "{regex}: {honest:?}");
        assert_eq!(
            take(&bench, "T-2", write("src/a.py", &key)).code,
            4,
            "{regex}"
        );
        assert!(rules(&bench, "T-2").contains(&"D3".to_owned()), "{regex}");
        bench.baton(["approve", "T-1"]).expect(0);
        lands(&bench);
        bench.baton(["audit", "verify"]).expect(0);
        assert_eq!(
            bench.baton(["verify", "T-1"]).json()["status"],
            "VERIFIED",
            "{regex}"
        );
    }
}
