//! What somebody with a shell in the checkout edits by hand, and lets nothing through.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::consent::{on_a_terminal, shown_code};
use crate::signing::{
    ADA, BOB, approvals, code, does_not_land, lands, public, rule, sign, two, waiting,
};
use crate::support::remote::bare;
use crate::support::{Bench, Ran};

fn ssot(bench: &Bench, name: &str) -> PathBuf {
    bench.root().join(".autodev_ssot").join(name)
}

fn note(bench: &Bench) -> PathBuf {
    bench.queue().join("POLICY_ACCEPTED")
}

/// Changes the policy and its record as an editor does; gives the new digest.
fn edit(bench: &Bench, edit: impl FnOnce(&mut Value)) -> String {
    let (path, record) = (
        ssot(bench, "POLICY.json"),
        ssot(bench, "POLICY_ACCEPTED.json"),
    );
    let mut policy: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut policy);
    std::fs::write(&path, policy.to_string()).unwrap();
    let sha256 = baton_core::digest::sha256(policy.to_string().as_bytes());
    let mut said: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    said["policy_sha256"] = sha256.clone().into();
    std::fs::write(&record, said.to_string()).unwrap();
    sha256
}

fn shorter(policy: &mut Value) {
    policy["caps"]["lease_seconds"] = 901.into();
}

fn actions(bench: &Bench, action: &str) -> usize {
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    log.matches(&format!("\"action\":\"{action}\"")).count()
}

fn said(ran: &Ran) -> String {
    format!("{} {}", ran.stdout, ran.stderr)
}

#[test]
fn an_acceptance_that_was_written_by_hand_is_none() {
    let bench = Bench::new();
    bench.submit("T-2", "src/**");
    bench.waiting("T-1");
    let place = bench.scratch("head");
    bench.baton(["stop"]).expect(0);
    let before = ["POLICY.json", "POLICY_ACCEPTED.json"].map(|name| {
        let path = ssot(&bench, name);
        (path.clone(), std::fs::read(path).unwrap())
    });
    let sha256 = edit(&bench, shorter);
    let place = place.to_str().unwrap();
    for command in [
        &["approve", "T-1"][..],
        &["resume"],
        &["audit", "witness", "add", place],
        &["audit", "witness", "remove", place],
    ] {
        let refused = bench.baton(command);
        assert_eq!(code(&refused), "POLICY_NOT_ACCEPTED", "{command:?}");
        assert!(said(&refused).contains("by hand"), "{}", said(&refused));
    }
    // What only holds back, or reads, goes on.
    bench.baton(["stop"]).expect(0);
    bench.baton(["queue-scan"]).expect(0);
    bench.baton(["status"]).expect(0);
    let unwell = bench.baton(["doctor", "--queue"]);
    assert!(
        said(&unwell).contains("was accepted last"),
        "{}",
        said(&unwell)
    );
    let refused = bench.baton(["verify", "T-1"]).expect(1);
    assert!(
        refused["wrong"].to_string().contains("policy in force"),
        "{refused}"
    );
    // With the queue's note it would count, and the log has no line of it.
    std::fs::write(note(&bench), format!("{sha256}\n")).unwrap();
    let refused = bench.baton(["verify", "T-1"]).expect(1);
    assert!(
        refused["wrong"]
            .to_string()
            .contains("and the log that it is"),
        "{refused}"
    );
    for command in [
        &["approve", "T-1"][..],
        &["pr-merge-orchestrator", "--task", "T-1", "--execute"],
    ] {
        let refused = bench.copy();
        std::fs::remove_file(refused.queue().join("STOP.set")).unwrap();
        std::fs::remove_file(refused.queue().join("STOP")).unwrap();
        let refused = refused.baton(command);
        assert!(
            refused.stdout.contains("and the log that it is"),
            "{}",
            said(&refused)
        );
    }
    let unwell = bench.baton(["doctor"]).expect(1);
    assert!(
        unwell["checks"]
            .to_string()
            .contains("and the log that it is"),
        "{unwell}"
    );
    // A person looks at it, and it counts; the log says so.
    for (path, text) in before {
        std::fs::write(path, text).unwrap();
    }
    bench.baton(["policy", "accept"]).expect(0);
    assert_eq!(actions(&bench, "POLICY_ACCEPTED"), 1);
    bench.baton(["resume"]).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench.baton(["verify", "T-1"]).expect(0);
}

#[test]
fn a_queue_without_the_note_goes_by_its_log_once() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let noted = std::fs::read_to_string(note(&bench)).unwrap();
    std::fs::remove_file(note(&bench)).unwrap();
    bench.baton(["queue-scan"]).expect(0);
    let _ = bench.baton(["verify", "T-1"]);
    assert!(!note(&bench).exists(), "who only reads writes nothing");
    let edited = bench.copy();
    edit(&edited, shorter);
    let refused = edited.baton(["claim-lock", "--task", "T-1"]);
    assert_eq!(refused.findings(), ["POLICY_NOT_ACCEPTED"]);
    assert!(!note(&edited).exists());
    bench
        .baton(["claim-lock", "--task", "T-1", "--plan"])
        .expect(0);
    assert!(!note(&bench).exists());
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    assert_eq!(std::fs::read_to_string(note(&bench)).unwrap(), noted);
    // One that cannot be read is no default.
    std::fs::write(note(&bench), "yes\n").unwrap();
    let refused = bench.baton(["intake-validate", "--task", "T-1"]);
    assert_eq!(refused.findings(), ["POLICY_NOT_ACCEPTED"]);
    bench.baton(["policy", "accept"]).expect(0);
    bench.baton(["intake-validate", "--task", "T-1"]).expect(0);
}

#[test]
fn a_policy_that_came_with_a_commit_counts_once_it_is_accepted_here() {
    let theirs = Bench::new();
    let ours = theirs.copy();
    std::fs::remove_dir_all(ours.queue()).unwrap();
    ours.baton(["init"]).expect(0);
    ours.submit("T-1", "src/**");
    theirs.policy(shorter);
    let from = theirs.root();
    ours.git(&["fetch", "-q", from.to_str().unwrap(), "main"]);
    ours.git(&[
        "checkout",
        "-q",
        "FETCH_HEAD",
        "--",
        ".autodev_ssot/POLICY.json",
        ".autodev_ssot/POLICY_ACCEPTED.json",
    ]);
    let refused = ours.baton(["claim-lock", "--task", "T-1"]);
    assert_eq!(refused.findings(), ["POLICY_NOT_ACCEPTED"]);
    assert!(
        said(&refused).contains("came with a commit"),
        "{}",
        said(&refused)
    );
    let again = ours.baton(["init"]).expect(0);
    assert_eq!(again["ready"], false);
    let listed = ours.baton(["policy", "rehearse"]).expect(0);
    assert_ne!(listed["before"], listed["after"]);
    ours.baton(["policy", "accept"]).expect(0);
    ours.baton(["claim-lock", "--task", "T-1"]).expect(0);
    // The one before is not what counts any more, though a person accepted it once.
    ours.git(&["checkout", "-q", "HEAD", "--", ".autodev_ssot"]);
    let refused = ours.baton(["intake-validate", "--task", "T-1"]);
    assert!(
        said(&refused).contains("it counted before"),
        "{}",
        said(&refused)
    );
}

#[test]
fn what_was_decided_under_another_policy_is_not_approved() {
    let bench = Bench::with_waiting();
    bench.policy(shorter);
    let refused = bench.baton(["approve", "T-1"]);
    assert_eq!(code(&refused), "DECISION_MISSING");
    assert!(
        said(&refused).contains("baton retry T-1"),
        "{}",
        said(&refused)
    );
    assert!(approvals(&bench).is_empty());
    bench.baton(["retry", "T-1"]).expect(0);
    bench.run_with("T-1", "T-1").expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    lands(&bench);
}

#[test]
fn what_others_did_while_somebody_read_is_not_approved() {
    let bench = waiting(json!([]), |_| String::new());
    let right = shown_code(&bench.baton(["show", "T-1", "--diff"]).stderr);
    let patch = bench.scratch("T-1.patch").display().to_string();
    let replanned = format!("\"$BATON\" retry T-1 && \"$BATON\" run T-1 --no-cache --from {patch}");
    for (meanwhile, expected) in [
        (&*replanned, "its gates ran again"),
        ("\"$BATON\" stop", "STOP is on"),
        ("\"$BATON\" reject T-1", "denied exactly this change"),
        ("\"$BATON\" ops cancel --id T-1", "is in blocked"),
    ] {
        let bench = bench.copy();
        let (ended, seen) = on_a_terminal(&bench, &right, meanwhile);
        assert_ne!(ended, 0, "{meanwhile}: {seen}");
        assert!(seen.contains(expected), "{meanwhile}: {seen}");
        assert_eq!(actions(&bench, "APPROVAL_GRANTED"), 0, "{meanwhile}");
    }
    let (ended, seen) = on_a_terminal(&bench, &right, "true");
    assert_eq!(ended, 0, "{seen}");
}

#[test]
fn a_push_goes_where_the_approval_says() {
    let (good, evil) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let urls = [&good, &evil].map(|folder| format!("file://{}", bare(folder.path()).display()));
    let bench = Bench::new();
    bench.pushes_to(&urls[0], &json!({}));
    crate::changes::take(
        &bench,
        "T-1",
        crate::changes::write("Cargo.lock", "version = 4\n"),
    )
    .expect(0);
    let approved = bench.baton(["approve", "T-1"]);
    approved.expect(0);
    let (before, _) = approved
        .stderr
        .split_once("code of this candidate")
        .unwrap();
    assert!(before.contains(&urls[0]), "{}", approved.stderr);
    bench.git(&["remote", "set-url", "origin", &urls[1]]);
    let refused = bench.baton(["run", "T-1"]);
    assert_eq!(refused.code, 3, "{}", said(&refused));
    assert!(
        said(&refused).contains("was given for a push to"),
        "{}",
        said(&refused)
    );
    let branches = Command::new("git")
        .arg("--git-dir")
        .arg(urls[1].strip_prefix("file://").unwrap())
        .args(["branch", "--list"])
        .output();
    assert!(branches.unwrap().stdout.is_empty());
    // Who looks again may let it go there.
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench.baton(["verify", "T-1"]).expect(0);
}

#[test]
fn a_stop_that_was_taken_away_by_hand_still_halts() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.baton(["stop", "--reason", "look first"]).expect(0);
    std::fs::remove_file(bench.queue().join("STOP")).unwrap();
    let halted = bench.baton(["claim-lock", "--task", "T-1"]);
    assert_eq!(halted.findings(), ["STOP_PRESENT"]);
    for command in [&["status"][..], &["doctor", "--queue"]] {
        let told = bench.baton(command);
        assert!(
            said(&told).contains("taken away by hand"),
            "{}",
            said(&told)
        );
    }
    bench.baton(["audit", "verify"]).expect(0);
    // With all of it gone, the log still tells.
    let gone = bench.copy();
    std::fs::remove_file(gone.queue().join("STOP.set")).unwrap();
    assert_eq!(code(&gone.baton(["audit", "verify"])), "STOP_TAKEN_AWAY");
    assert!(said(&gone.baton(["doctor", "--queue"])).contains("BAD   STOP"));
    gone.baton(["stop"]).expect(0);
    for bench in [&gone, &bench] {
        bench.baton(["resume"]).expect(0);
        bench.baton(["audit", "verify"]).expect(0);
        assert!(said(&bench.baton(["doctor", "--queue"])).contains("STOP: is off"));
        bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    }
    // One that a person put there by hand, unrecorded, is theirs to take away.
    std::fs::write(bench.queue().join("STOP"), "").unwrap();
    bench.baton(["stop-check"]).expect(4);
    std::fs::remove_file(bench.queue().join("STOP")).unwrap();
    bench.baton(["stop-check"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn revoked_keys_stay_revoked_whatever_is_done_to_the_checkout() {
    let bench = waiting(json!([rule(json!({}))]), two);
    let list = ssot(&bench, "REVOKED_KEYS");
    let both = ["ada", "bob"].map(|name| public(&bench.scratch(name)));
    std::fs::write(&list, both.join("\n")).unwrap();
    bench.commit("revoke both");
    std::fs::remove_file(&list).unwrap();
    let refused = sign(&bench, BOB, "bob");
    assert_eq!(code(&refused), "SIGNERS_INVALID");
    assert!(
        said(&refused).contains("not in the checkout"),
        "{}",
        said(&refused)
    );
    std::fs::write(&list, &both[0]).unwrap();
    assert_eq!(code(&sign(&bench, BOB, "bob")), "SIGNERS_INVALID");
    std::fs::write(&list, both.join("\n")).unwrap();
    assert_eq!(code(&sign(&bench, BOB, "bob")), "SIGNATURE_REFUSED");
    // What was meant so is committed, and then counts.
    std::fs::write(&list, &both[1]).unwrap();
    bench.commit("ada's key was found again");
    bench.baton(["retry", "T-1"]).expect(0);
    bench.run_with("T-1", "T-1").expect(0);
    sign(&bench, ADA, "ada").expect(0);
    let gone = bench.copy();
    std::fs::remove_file(ssot(&gone, "REVOKED_KEYS")).unwrap();
    assert!(does_not_land(&gone).contains("not in the checkout"));
    lands(&bench);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    std::fs::remove_file(&list).unwrap();
    bench.baton(["verify", "T-1"]).expect(1);
}

#[test]
fn a_file_of_revoked_keys_that_was_never_committed_is_missed_too() {
    let bench = waiting(json!([rule(json!({}))]), two);
    let list = ssot(&bench, "REVOKED_KEYS");
    std::fs::write(&list, public(&bench.scratch("bob"))).unwrap();
    sign(&bench, ADA, "ada").expect(0);
    std::fs::remove_file(&list).unwrap();
    let said = does_not_land(&bench);
    assert!(said.contains("REVOKED_KEYS is gone"), "{said}");
    std::fs::write(&list, "").unwrap();
    lands(&bench);
}

#[test]
fn checkpoints_go_where_a_person_said_and_nowhere_else() {
    let bench = Bench::new();
    let (ours, other) = (bench.scratch("kept"), bench.scratch("other"));
    for folder in [&ours, &other] {
        std::fs::create_dir(folder).unwrap();
    }
    let [ours, other] = [ours, other].map(|one| one.to_str().unwrap().to_owned());
    bench.baton(["audit", "witness", "add", &ours]).expect(0);
    bench.baton(["audit", "witness", "push"]).expect(0);
    let list = bench.queue().join("audit/witnesses.json");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replace(&ours, &other)).unwrap();
    let told = bench.baton(["audit", "witness", "list"]).expect(1);
    assert_eq!(told["differ"], json!([other, ours]));
    let pushed = bench.baton(["audit", "witness", "push"]).expect(1);
    for place in pushed["places"].as_array().unwrap() {
        assert_eq!(place["code"], "WITNESS_DIFFERS", "{pushed}");
    }
    // A list that is gone names nobody, and the log still does.
    std::fs::remove_file(&list).unwrap();
    let pushed = bench.baton(["audit", "witness", "push"]).expect(1);
    assert_eq!(pushed["places"][0]["place"], json!(ours));
    bench.baton(["audit", "witness", "remove", &ours]).expect(0);
    bench.baton(["audit", "witness", "add", &other]).expect(0);
    bench.baton(["audit", "witness", "push"]).expect(0);
    bench.baton(["audit", "witness", "list"]).expect(0);
}

#[test]
fn a_remote_that_checkpoints_go_to_is_known_by_its_address() {
    let (good, evil) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let urls = [&good, &evil].map(|folder| format!("file://{}", bare(folder.path()).display()));
    let bench = Bench::new();
    bench.policy(|policy| {
        policy["actors"]["human"]["EXTERNAL"] = "allow".into();
        policy["external_exceptions"] =
            json!([{"id": "seen", "host": "localhost", "purpose": "witness", "reason": "checkpoints"}]);
    });
    bench.git(&["remote", "add", "origin", &urls[0]]);
    bench
        .baton(["audit", "witness", "add", "--git", "origin"])
        .expect(0);
    bench.baton(["audit", "witness", "push"]).expect(0);
    bench.git(&["remote", "set-url", "origin", &urls[1]]);
    let pushed = bench.baton(["audit", "witness", "push"]).expect(1);
    assert_eq!(pushed["places"][0]["code"], "WITNESS_DIFFERS", "{pushed}");
}

#[test]
fn an_approval_counts_for_some_time_and_not_for_ever() {
    let bench = Bench::with_waiting();
    for length in ["9000000d", "99999999999d", "18446744073709551615s", "0s"] {
        let refused = bench.baton(["approve", "T-1", "--for", length]);
        assert_eq!(refused.code, 2, "{length}: {}", refused.stderr);
        assert!(
            refused.stderr.contains(length) && refused.stderr.contains("expected at"),
            "{}",
            refused.stderr
        );
    }
    assert!(approvals(&bench).is_empty());
    bench.baton(["approve", "T-1", "--for", "1s"]).expect(0);
}
