//! What the log says was kept is there as it was: taking a file away proves nothing.

use std::path::Path;

use crate::changes::{take, write};
use crate::signing::{BOB, approvals, lands, sign, waiting};
use crate::strangers::verify_wrong;
use crate::support::Bench;
use serde_json::json;

fn remove(path: &Path) {
    match path.is_dir() {
        true => std::fs::remove_dir_all(path).unwrap(),
        false => std::fs::remove_file(path).unwrap(),
    }
}

/// T-1, landed by its second attempt.
fn tried_twice() -> Bench {
    let bench = Bench::with_waiting();
    bench
        .baton(["ops", "replan", "--id", "T-1", "--notes", "once more"])
        .expect(0);
    bench.run_with("T-1", "T-1").expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    lands(&bench);
    bench
}

#[test]
fn a_file_that_is_gone_or_forged_is_found_whatever_it_is() {
    let start = tried_twice();
    start.baton(["verify", "T-1", "--strict"]).expect(0);
    for (name, point) in [
        ("candidate.json", "candidate"),
        ("draft.patch", "candidate"),
        ("rationale.md", "kept results"),
        ("evidence", "evidence"),
        ("envelopes", "kept results"),
        ("envelopes/01-claim-lock.json", "kept results"),
        ("envelopes/02-intake-validate.json", "kept results"),
        ("envelopes/03-patch-draft-request.json", "evidence"),
        ("envelopes/04-diff-risk-scan.json", "evidence"),
        ("attempts", "kept results"),
        ("attempts/1/envelopes/05-gate-runner.json", "kept results"),
        ("attempts/1/evidence/G5.log", "kept results"),
        ("attempts/1/draft.patch", "kept results"),
    ] {
        let bench = start.copy();
        let path = bench.task("done", "T-1").join(name);
        remove(&path);
        let wrong = verify_wrong(&bench);
        assert!(wrong.contains(&format!("\"{point}: ")), "{name}: {wrong}");
        if !start.task("done", "T-1").join(name).is_dir() {
            std::fs::write(&path, "forged\n").unwrap();
            assert!(!verify_wrong(&bench).is_empty(), "{name} forged");
        }
    }
    // With everything taken away that speaks of the change, the log still does.
    let bench = start.copy();
    for name in ["candidate.json", "evidence"] {
        remove(&bench.task("done", "T-1").join(name));
    }
    for path in approvals(&bench) {
        remove(&path);
    }
    assert!(verify_wrong(&bench).contains("candidate.json is gone"));
}

#[test]
fn what_is_told_of_an_incident_is_what_was_told() {
    let bench = Bench::new();
    bench.submit("T-1", "README.md");
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let patch = bench.patch_file("fix.patch", &patch);
    bench
        .baton(["run", "T-1", "--from", patch.to_str().unwrap()])
        .expect(4);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    let told = bench.task("blocked", "T-1").join("incident/incident.md");
    std::fs::write(&told, "all was well\n").unwrap();
    assert!(verify_wrong(&bench).contains("incident.md"));
    std::fs::remove_file(&told).unwrap();
    assert!(verify_wrong(&bench).contains("incident.md"));
}

#[test]
fn an_approval_that_is_gone_is_missed() {
    let bench = Bench::with_landed();
    remove(&approvals(&bench)[0]);
    assert!(verify_wrong(&bench).contains("its file is gone"));
    let bench = Bench::with_approved();
    remove(&approvals(&bench)[0]);
    let said = bench.baton(["verify", "T-1", "--strict"]).expect(1);
    assert_eq!(said["status"], "UNPROVEN");
    assert!(said["unknown"].to_string().contains("its file is gone"));
}

/// Neither is made from the other.
#[test]
fn a_scan_may_come_after_the_gates() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let patch = bench.patch_file("fix.patch", &patch);
    let from = patch.to_str().unwrap();
    for line in [
        &["claim-lock", "--task", "T-1"][..],
        &["intake-validate", "--task", "T-1"],
        &["patch-draft", "--task", "T-1", "--from", from],
        &["diff-risk-scan", "--task", "T-1"],
        &["gate-runner", "--task", "T-1"],
        &["diff-risk-scan", "--task", "T-1"],
        &["decision-router", "--task", "T-1"],
        &["approve", "T-1"],
    ] {
        bench.baton(line).expect(0);
    }
    lands(&bench);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
}

#[test]
fn a_key_that_is_taken_back_later_was_good_when_it_signed() {
    let rules = json!([crate::signing::rule(json!({}))]);
    let bench = waiting(rules, crate::signing::two);
    sign(&bench, BOB, "bob").expect(0);
    lands(&bench);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    let signers = bench.root().join(".autodev_ssot/ALLOWED_SIGNERS");
    let text = std::fs::read_to_string(&signers).unwrap();
    for (name, content) in [
        (
            "REVOKED_KEYS",
            crate::signing::public(&bench.scratch("bob")),
        ),
        ("ALLOWED_SIGNERS", text.replace(BOB, "eve@baton.example")),
    ] {
        let bench = bench.copy();
        bench.write(&format!(".autodev_ssot/{name}"), &format!("{content}\n"));
        bench.commit("bob is gone");
        bench.baton(["verify", "T-1", "--strict"]).expect(0);
    }
    // One that the base did not have proves nothing once it is gone.
    std::fs::write(&signers, "").unwrap();
    let approval = approvals(&bench).remove(0);
    let text = std::fs::read_to_string(&approval).unwrap();
    std::fs::write(
        &approval,
        text.replace("\"signature\": \"", "\"signature\": \"x"),
    )
    .unwrap();
    assert!(!verify_wrong(&bench).is_empty());
}

#[test]
fn a_branch_for_review_still_has_its_commit_or_was_merged() {
    let bench = Bench::new();
    take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    let branch = "baton/T-1";
    // People go on with it.
    let tree = bench.git(&["rev-parse", "main^{tree}"]);
    let more = bench.git(&["commit-tree", "-p", branch, "-m", "more", &tree]);
    bench.git(&["branch", "-qf", branch, &more]);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    bench.git(&["branch", "-qf", branch, "main"]);
    assert!(verify_wrong(&bench).contains("does not have"));
    bench.git(&["branch", "-qD", branch]);
    let said = bench.baton(["verify", "T-1", "--strict"]).expect(1);
    assert!(said["unknown"].to_string().contains("there is no branch"));
    bench.git(&["merge", "-q", "--no-ff", "-m", "merged", &more]);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
}
