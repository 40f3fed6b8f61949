//! What is refused before anything is done: results after a decision, patches that are not there, words of a
//! person that change nothing, plans that could not be carried out.

use serde_json::{Value, json};

use crate::support::Bench;

fn fix(bench: &Bench) -> String {
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let path = bench.patch_file("fix.patch", &text);
    path.to_str().unwrap().to_owned()
}

fn said(json: &Value, field: &str) -> String {
    json[field].to_string()
}

#[test]
fn what_is_decided_on_is_not_looked_at_again() {
    let bench = Bench::with_waiting();
    let tools = ["diff-risk-scan", "gate-runner"];
    for tool in tools {
        let refused = bench.baton([tool, "--task", "T-1"]).expect(1);
        assert_eq!(refused["findings"][0]["code"], "STATE_RULE", "{refused}");
    }
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench.baton(["verify", "T-1"]).expect(0);
    for tool in tools {
        for plan in [&[][..], &["--plan"]] {
            let line = [&[tool, "--task", "T-1"], plan].concat();
            let refused = bench.baton(line).expect(4);
            assert_eq!(refused["findings"][0]["code"], "STATE_RULE", "{refused}");
        }
    }
    for line in [
        &["intake-validate"][..],
        &["patch-draft", "--from", "../T-1.patch"],
    ] {
        let refused = bench.baton([line, &["--task", "T-1"]].concat()).expect(4);
        assert_eq!(refused["findings"][0]["code"], "STATE_RULE", "{refused}");
    }
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
}

#[test]
fn a_patch_that_is_not_there_costs_no_attempt() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.patch_file("empty.patch", "");
    for from in ["../nofile.patch", "..", "../empty.patch"] {
        let refused = bench.baton(["run", "T-1", "--from", from]).expect(1);
        assert_eq!(refused["code"], "FILE_UNREADABLE", "{refused}");
    }
    for line in [
        &["run", "T-1"][..],
        &["run", "T-1", "--producer", "command"],
        &["run", "T-1", "--producer", "ollama", "--fuzz"],
    ] {
        let refused = bench.baton(line);
        assert_ne!(refused.code, 0, "{}", refused.stderr);
    }
    assert!(bench.task("inbox", "T-1").is_dir(), "nobody claimed it");
    bench.baton(["run", "--next"]).expect(2);
    bench.baton(["run", "--next", "--owner", "me"]).expect(2);
    assert!(bench.task("inbox", "T-1").is_dir(), "it was given back");
    bench
        .baton(["run", "T-1", "--from", &fix(&bench)])
        .expect(0);
}

#[test]
fn a_patch_that_is_refused_asks_for_its_own_recovery() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let wrong = std::fs::read_to_string(fix(&bench)).unwrap();
    let wrong = wrong.replace("-echo 1", "-echo 7");
    let wrong = bench.patch_file("wrong.patch", &wrong);
    let ended = bench.baton(["run", "T-1", "--from", wrong.to_str().unwrap()]);
    assert_eq!(ended.expect(1)["data"]["recovery_refs"], json!(["R3"]));
}

#[test]
fn a_plan_looks_first() {
    let bench = Bench::new();
    bench.baton(["claim-lock", "--next", "--plan"]).expect(1);
    bench
        .baton(["claim-lock", "--task", "T-9", "--plan"])
        .expect(1);
    bench.submit("T-1", "src/**");
    bench.baton(["claim-lock", "--next", "--plan"]).expect(0);
    let claim = ["claim-lock", "--task", "T-1", "--owner", "a"];
    bench.baton([&claim[..], &["--plan"]].concat()).expect(0);
    bench.baton(claim).expect(0);
    let other = ["claim-lock", "--task", "T-1", "--owner", "b", "--plan"];
    bench.baton(other).expect(1);
    for flag in ["--renew", "--release"] {
        let planned = bench.baton([&claim[..], &[flag, "--plan"]].concat());
        planned.expect(0);
        assert_eq!(planned.findings(), ["PLAN_ONLY"], "{}", planned.stdout);
    }
    bench.patch_file("none.patch", "no patch at all\n");
    for from in ["../nofile", "../none.patch"] {
        let line = ["patch-draft", "--task", "T-1", "--from", from, "--plan"];
        bench.baton(line).expect(1);
    }
    let path = fix(&bench);
    let line = ["patch-draft", "--task", "T-1", "--from", &path, "--plan"];
    bench.baton(line).expect(0);
    bench.patch_file("note.json", r#"{"message":"hello"}"#);
    let planned = bench.baton(["audit-append", "--event", "../note.json", "--plan"]);
    assert!(said(&planned.expect(0), "summary").contains("would record"));
    assert_eq!(planned.findings(), ["PLAN_ONLY"]);
}

#[test]
fn a_no_says_who_and_why_and_undoes_no_landing() {
    let bench = Bench::with_waiting();
    bench.waiting("T-2");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    let refused = bench.baton(["reject", "T-1"]).expect(1);
    assert_eq!(refused["code"], "STATE_RULE");
    assert!(said(&refused, "next").contains("baton rollback T-1"));
    bench
        .baton(["reject", "T-2", "--reason", "looks crooked"])
        .expect(0);
    let status = bench.baton(["status"]).expect(0);
    let shown = bench.baton(["show", "T-2"]).expect(0);
    for said in [&status["tasks"][0]["waits_for"], &shown["stopped"]] {
        let said = said.as_str().unwrap();
        assert!(
            said.contains("Op <op@baton.example>: looks crooked"),
            "{said}"
        );
    }
}

#[test]
fn a_stop_says_who_and_why() {
    let bench = Bench::new();
    bench.baton(["stop", "--reason", "disk on fire"]).expect(0);
    let checked = bench.baton(["stop-check"]).expect(4);
    let status = bench.baton(["status"]).expect(0);
    for said in [&checked["summary"], &status["stop"]] {
        let said = said.as_str().unwrap();
        assert!(
            said.contains("Op <op@baton.example> set it: disk on fire"),
            "{said}"
        );
    }
    assert!(bench.baton(["doctor"]).stderr.contains("disk on fire"));
    bench.baton(["resume"]).expect(0);
    std::fs::write(bench.queue().join("STOP"), "").unwrap();
    let by_hand = bench.baton(["stop-check"]).expect(4);
    assert!(!said(&by_hand, "summary").contains("disk"), "{by_hand}");
}

#[test]
fn an_agent_is_never_told_to_act_as_somebody_else() {
    let bench = Bench::with_waiting();
    for line in [
        &["claim-lock", "--next"][..],
        &["gate-runner", "--task", "T-1"],
        &["pr-merge-orchestrator", "--task", "T-1"],
    ] {
        let line = [line, &["--actor", "openclaw"]].concat();
        let refused = bench.baton(&line).expect(3);
        assert!(!refused.to_string().contains("--actor"), "{refused}");
        assert!(refused.to_string().contains("a person"), "{refused}");
    }
}

#[test]
fn what_comes_next_is_something_that_can_be_done() {
    let bench = Bench::new();
    bench.policy(|policy| policy["caps"]["max_attempts"] = json!(1));
    bench.waiting("T-1");
    bench.baton(["reject", "T-1"]).expect(0);
    let status = bench.baton(["status"]).expect(0);
    let waits = said(&status["tasks"][0], "waits_for");
    assert!(waits.contains("submit a new task"), "{waits}");
    let refused = bench.baton(["run", "T-1"]).expect(1);
    assert!(
        !refused["next"].to_string().contains("baton retry"),
        "{refused}"
    );
    let refused = bench.baton(["pr-merge-orchestrator", "--task", "T-1"]);
    assert!(!refused.expect(1).to_string().contains("baton run"));
    let unknown = bench.baton(["rollback", "T-9"]).expect(1);
    assert_eq!(unknown["code"], "TASK_NOT_FOUND");
    let due = ["--due", "2020-01-01T00:00:00Z"];
    let submit = [
        "submit", "--id", "T-2", "--title", "t", "--goal", "g", "--allow", "src/**",
    ];
    bench.baton([&submit[..], &due].concat()).expect(0);
    let ended = bench.baton(["run", "T-2", "--from", &fix(&bench)]);
    assert!(
        ended.stderr.contains("under another id"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("baton retry"), "{}", ended.stderr);
}

#[test]
fn a_digest_that_names_another_rehearsal_is_refused() {
    let bench = Bench::new();
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    let mut policy: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    policy["caps"]["max_attempts"] = json!(4);
    std::fs::write(&path, policy.to_string()).unwrap();
    for digest in ["123456", "zz"] {
        let refused = bench.baton(["policy", "accept", "--digest", digest]);
        assert_eq!(refused.expect(3)["code"], "FLIPS_NOT_ACCEPTED");
    }
    let rehearsed = bench.baton(["policy", "rehearse"]).expect(0);
    let digest = rehearsed["digest"].as_str().unwrap();
    bench
        .baton(["policy", "accept", "--digest", digest])
        .expect(0);
}

#[test]
fn a_place_that_is_none_is_named() {
    let bench = Bench::new();
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    std::fs::write(&path, "{broken").unwrap();
    let refused = bench.baton(["status"]);
    let shown = bench
        .baton(["diff-risk-scan", "--patch", "Makefile"])
        .expect(1);
    let shown = said(&shown["findings"][0], "message");
    assert!(
        shown.contains(".autodev_ssot/POLICY.json"),
        "{shown} {refused:?}"
    );
    assert!(shown.contains("Next: mend"), "{shown}");
    bench.git(&["init", "-q", "--bare", "../bare.git"]);
    let bare = bench.baton(["status", "--repo", "../bare.git"]).expect(1);
    assert!(said(&bare, "message").contains("is bare"), "{bare}");
    let none = bench.baton(["run", "T-1", "--repo", "/nonexistent"]);
    assert!(none.stderr.contains("/nonexistent"), "{}", none.stderr);
    let bench = Bench::new();
    let line = [
        "submit", "--id", "../x", "--title", "t", "--goal", "g", "--allow", "src/**",
    ];
    let refused = bench.baton(line).expect(1);
    assert!(!refused.to_string().contains("column"), "{refused}");
}

#[test]
fn gates_that_were_asked_for_are_answered_about() {
    let bench = Bench::new();
    fix(&bench);
    let line = [
        "gate-runner",
        "--patch",
        "../fix.patch",
        "--base",
        "main",
        "--only",
        "G1,G2,G3",
    ];
    let ran = bench.baton(line).expect(0);
    assert_eq!(ran["data"]["all_pass"], false, "{ran}");
}
