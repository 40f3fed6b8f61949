//! Somebody who trusts nobody: a task checked from its queue and, on another machine, from one file.

use std::path::{Path, PathBuf};
use std::process::Command;

use baton_core::store::Store;
use serde_json::{Value, json};

use crate::signing::lands;
use crate::support::{Bench, Ran, program, ran};

/// A queue of its own with T-1, landed.
fn another() -> Bench {
    let bench = Bench::new();
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    lands(&bench);
    bench
}

pub(crate) fn key(bench: &Bench) -> String {
    let text = std::fs::read_to_string(bench.root().join(".autodev_ssot/LOG_KEY.pub")).unwrap();
    text.trim().to_owned()
}

pub(crate) fn bundle(bench: &Bench, name: &str) -> PathBuf {
    let file = bench.scratch(name);
    let said = bench.baton(["bundle", "T-1", "--out", file.to_str().unwrap()]);
    assert_eq!(said.expect(0)["task_id"], "T-1");
    file
}

/// Runs it in this folder, with a home that is empty.
fn at(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder)
        .stdin(std::process::Stdio::null());
    ran(command.output().unwrap())
}

/// What git says to this input.
pub(crate) fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("HOME", "/nonexistent");
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

pub(crate) fn line(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

pub(crate) fn verify(folder: &Path, file: &Path, more: &[&str]) -> Ran {
    let line = ["verify", "--bundle", file.to_str().unwrap()];
    at(folder, &[&line, more].concat())
}

/// What `verify` says differs of T-1, which does.
pub(crate) fn verify_wrong(bench: &Bench) -> String {
    let said = bench.baton(["verify", "T-1"]).expect(1);
    assert_eq!(said["status"], "MISMATCH", "{said}");
    said["wrong"].to_string()
}

fn list(said: &Value, name: &str) -> String {
    said[name].to_string()
}

const POINTS: [&str; 16] = [
    "audit log",
    "key of the log",
    "place in the queue",
    "events in order",
    "task as submitted",
    "kept results",
    "policy in force",
    "policy of the time",
    "candidate",
    "risk, scanned again",
    "gates as defined then",
    "evidence",
    "decision",
    "evidence manifest and statements",
    "approvals",
    "landed commit",
];

#[test]
fn a_landed_change_is_proven_strictly_and_in_a_clone_from_one_file() {
    let bench = Bench::with_landed();
    let said = bench.baton(["verify", "T-1", "--strict"]).expect(0);
    assert_eq!(said["checked"], json!(POINTS));
    assert_eq!((&said["unknown"], &said["wrong"]), (&json!([]), &json!([])));
    let file = bundle(&bench, "t1.bundle");
    let key = key(&bench);
    let elsewhere = tempfile::tempdir().unwrap();
    let clone = elsewhere.path().join("clone");
    let (from, to) = (bench.root(), clone.to_str().unwrap());
    git(
        elsewhere.path(),
        &["clone", "-q", from.to_str().unwrap(), to],
        b"",
    );
    let said = verify(&clone, &file, &["--strict", "--key", &key]).expect(0);
    assert_eq!(said["checked"], json!(POINTS));
    // Without a clone nobody knows the branch, and without the key nobody knows the log.
    let said = verify(elsewhere.path(), &file, &["--key", &key]).expect(0);
    assert_eq!(said["status"], "VERIFIED");
    assert!(
        list(&said, "unknown").contains("is for a clone to say"),
        "{said}"
    );
    let said = verify(&clone, &file, &["--strict"]).expect(1);
    assert_eq!(
        (&said["status"], &said["wrong"]),
        (&"UNPROVEN".into(), &json!([]))
    );
    assert!(list(&said, "unknown").contains("pass the one that you trust with --key"));
    let other = another();
    let said = verify(&clone, &file, &["--key", &self::key(&other)]).expect(1);
    assert!(list(&said, "wrong").contains("key of the log"), "{said}");
    // The branch went back to before the landing.
    git(&clone, &["reset", "-q", "--hard", "HEAD^"], b"");
    let said = verify(&clone, &file, &["--key", &key]).expect(1);
    assert!(list(&said, "wrong").contains("does not have"), "{said}");
}

#[test]
fn a_kept_checkpoint_is_held_against_the_log_in_a_bundle() {
    let bench = Bench::with_landed();
    let kept = bench.queue().join("audit/checkpoint");
    let old = bench.scratch("old-checkpoint");
    std::fs::copy(&kept, &old).unwrap();
    bench.baton(["stop", "--reason", "more lines"]).expect(0);
    let file = bundle(&bench, "t1.bundle");
    let nowhere = tempfile::tempdir().unwrap();
    let (key, old) = (key(&bench), old.to_str().unwrap());
    verify(nowhere.path(), &file, &["--key", &key, "--against", old]).expect(0);
    let other = another();
    let foreign = other.queue().join("audit/checkpoint");
    let said = verify(
        nowhere.path(),
        &file,
        &["--against", foreign.to_str().unwrap()],
    )
    .expect(1);
    assert!(list(&said, "wrong").contains("audit log"), "{said}");
}

#[test]
fn folders_that_the_log_does_not_tell_of_are_found() {
    let start = Bench::with_landed();
    start.submit("T-2", "src/**");
    start.baton(["audit", "verify"]).expect(0);
    let changes: [(&str, fn(&Bench)); 5] = [
        ("T-1 lies in pr, the log says done", |bench| {
            std::fs::rename(bench.task("done", "T-1"), bench.task("pr", "T-1")).unwrap();
        }),
        ("T-1 is gone, the log says done", |bench| {
            std::fs::remove_dir_all(bench.task("done", "T-1")).unwrap();
        }),
        (
            "T-9 lies in work, and the log knows no such task",
            |bench| {
                std::fs::create_dir(bench.task("work", "T-9")).unwrap();
            },
        ),
        ("T-2 lies in done, the log says inbox", |bench| {
            std::fs::rename(bench.task("inbox", "T-2"), bench.task("done", "T-2")).unwrap();
        }),
        ("which is no task's name", |bench| {
            std::fs::create_dir(bench.task("inbox", "no task")).unwrap();
        }),
    ];
    for (why, change) in changes {
        let bench = start.copy();
        change(&bench);
        let said = bench.baton(["audit", "verify"]);
        assert_eq!(
            (said.code, &said.json()["code"]),
            (1, &"QUEUE_DIFFERS".into()),
            "{why}"
        );
        assert!(said.stdout.contains(why), "{why}: {}", said.stdout);
    }
    let bench = start.copy();
    std::fs::rename(bench.task("done", "T-1"), bench.task("blocked", "T-1")).unwrap();
    let said = bench.baton(["verify", "T-1"]).expect(1);
    assert!(
        list(&said, "wrong").contains("T-1 lies in blocked, the log says done"),
        "{said}"
    );
}

#[test]
fn a_decision_is_checked_under_the_policy_of_its_time() {
    let bench = Bench::with_landed();
    // Under this one it would not have landed.
    bench.policy(|policy| {
        let gates = policy["gates"].as_array_mut().unwrap();
        let gate = gates.iter_mut().find(|gate| gate["id"] == "G5").unwrap();
        gate["argv"] = json!(["false"]);
    });
    let said = bench.baton(["verify", "T-1", "--strict"]).expect(0);
    assert_eq!(said["checked"], json!(POINTS));
    // A policy that nobody accepted decided nothing that counts.
    let kept = bench.queue().join("policies");
    let then = std::fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for folder in then {
        std::fs::remove_file(folder.join("POLICY.json")).unwrap();
    }
    let said = bench.baton(["verify", "T-1"]).expect(1);
    assert!(
        list(&said, "wrong").contains("policy of the time"),
        "{said}"
    );
}

#[test]
fn what_is_not_committed_is_not_proven() {
    let bench = Bench::with_landed();
    bench.git(&["rm", "-q", "--cached", ".autodev_ssot/LOG_KEY.pub"]);
    bench.git(&["commit", "-q", "-m", "without the key"]);
    bench.baton(["verify", "T-1"]).expect(0);
    let said = bench.baton(["verify", "T-1", "--strict"]).expect(1);
    assert_eq!(said["status"], "UNPROVEN");
    assert!(
        list(&said, "unknown").contains("LOG_KEY.pub is not committed"),
        "{said}"
    );
    let key = key(&bench);
    bench
        .baton(["verify", "T-1", "--strict", "--key", &key])
        .expect(0);
}

/// Lines that whoever has the key writes: the chain and every root hold.
#[test]
fn steps_in_another_order_are_found_though_the_log_holds() {
    use baton_core::audit::{Action, Draft};
    use baton_core::policy::Actor;
    use baton_core::state::State;
    let start = Bench::with_landed();
    let write = |bench: &Bench, action, from, to| {
        let store = Store::open(&bench.root()).unwrap();
        let draft = Draft::new(Actor::Human, action, "baton").unwrap();
        let draft = draft.task("T-1", from, to);
        store.log().unwrap().append(draft).unwrap();
    };
    let done = Some(State::Done);
    for (why, action, from, to) in [
        ("RISK_SCANNED", Action::RiskScanned, done, done),
        (
            "leaves work",
            Action::EventRecorded,
            Some(State::Work),
            done,
        ),
    ] {
        let bench = start.copy();
        write(&bench, action, from, to);
        bench.baton(["audit", "verify"]).expect(0);
        let said = bench.baton(["verify", "T-1"]).expect(1);
        assert!(
            list(&said, "wrong").contains("events in order"),
            "{why}: {said}"
        );
        assert!(list(&said, "wrong").contains(why), "{why}: {said}");
    }
}

/// The index counts for nothing: what it would say is made from the lines.
#[test]
fn a_kept_checkpoint_holds_without_the_index() {
    let bench = Bench::with_landed();
    let kept = bench.scratch("kept");
    std::fs::copy(bench.queue().join("audit/checkpoint"), &kept).unwrap();
    let kept = kept.to_str().unwrap();
    let other = another();
    let foreign = other.queue().join("audit/checkpoint");
    let hashes = bench.queue().join("audit/tree/hashes");
    let whole = std::fs::read(&hashes).unwrap();
    for index in [None, Some(&whole[..64])] {
        match index {
            None => std::fs::remove_file(&hashes).unwrap(),
            Some(part) => std::fs::write(&hashes, part).unwrap(),
        }
        bench
            .baton(["verify", "T-1", "--strict", "--against", kept])
            .expect(0);
        bench
            .baton(["audit", "verify", "--against", kept])
            .expect(0);
        let said = bench.baton(["verify", "T-1", "--against", foreign.to_str().unwrap()]);
        assert_eq!(said.code, 1, "{}", said.stdout);
    }
}

/// The signature on a statement, with openssl alone.
#[test]
fn a_statement_is_checked_with_openssl() {
    let bench = Bench::with_landed();
    let path = bench
        .task("done", "T-1")
        .join("evidence/test-result.dsse.json");
    let envelope: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let decode = |text: &Value| {
        data_encoding::BASE64
            .decode(text.as_str().unwrap().as_bytes())
            .unwrap()
    };
    let payload = decode(&envelope["payload"]);
    let kind = envelope["payloadType"].as_str().unwrap();
    let mut covered = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    covered.extend_from_slice(&payload);
    let public = decode(&Value::from(key(&bench).splitn(3, '+').nth(2).unwrap()));
    let der = [
        &b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..],
        &public[1..],
    ]
    .concat();
    let signature = decode(&envelope["signatures"][0]["sig"]);
    let holds = |covered: &[u8]| {
        for (name, bytes) in [("pae", covered), ("key.der", &der), ("sig", &signature)] {
            std::fs::write(bench.scratch(name), bytes).unwrap();
        }
        let mut openssl = Command::new("openssl");
        openssl.args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"]);
        for (flag, name) in [("-inkey", "key.der"), ("-in", "pae"), ("-sigfile", "sig")] {
            openssl.arg(flag).arg(bench.scratch(name));
        }
        openssl.output().unwrap().status.success()
    };
    assert!(holds(&covered));
    covered[40] ^= 1;
    assert!(!holds(&covered));
}

#[test]
fn verify_writes_nothing() {
    let bench = Bench::with_landed();
    let state = || {
        let list = "find . -type f -not -path './.git/*' | sort | xargs -d '\\n' sha256sum";
        let mut shell = Command::new("sh");
        let done = shell
            .args(["-euc", list])
            .current_dir(bench.root())
            .output();
        String::from_utf8(done.unwrap().stdout).unwrap()
    };
    let before = state();
    assert!(before.contains("events.ndjson"), "{before}");
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
    assert_eq!(state(), before);
    // Every line has its head already.
    bundle(&bench, "t1.bundle");
    assert_eq!(state(), before);
}
