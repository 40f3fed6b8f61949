//! A changed byte after the fact, a forged approval, a denied change: all refused.

use std::path::{Path, PathBuf};

use baton_core::decision::{Facts, decide};
use baton_core::envelope::Decision;
use baton_core::outputs::RiskLevel;
use baton_core::policy::{Isolation, Policy};
use proptest::prelude::*;

use crate::support::Bench;

/// Changes one byte in the middle of a file, so that it stays about as long and as readable.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    let at = (middle..bytes.len())
        .find(|at| bytes[*at].is_ascii_alphanumeric())
        .unwrap();
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    std::fs::write(path, bytes).unwrap();
}

fn kept(bench: &Bench, part: &str) -> PathBuf {
    let folder = bench.task("pr", "T-1").join("envelopes");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
        .into_iter()
        .find(|path| path.to_string_lossy().contains(part))
        .unwrap()
}

/// Tries to land T-1 and demands that it does not.
fn must_not_land(bench: &Bench, what: &str) {
    let before = bench.git(&["rev-parse", "main"]);
    let ran = bench.baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"]);
    assert_ne!(ran.code, 0, "{what}: {}", ran.stdout);
    assert_eq!(
        bench.git(&["rev-parse", "main"]),
        before,
        "{what}: main moved"
    );
    assert!(!bench.task("done", "T-1").exists(), "{what}");
    let verified = bench.baton(["verify", "T-1"]);
    assert_eq!(
        verified.json()["status"],
        "MISMATCH",
        "{what}: {}",
        verified.stdout
    );
}

#[test]
fn a_changed_byte_after_the_approval_keeps_it_from_landing() {
    let changes: [(&str, fn(&Bench) -> PathBuf); 12] = [
        ("candidate.json", |bench| {
            bench.task("pr", "T-1").join("candidate.json")
        }),
        ("draft.patch", |bench| {
            bench.task("pr", "T-1").join("draft.patch")
        }),
        ("the kept scan", |bench| kept(bench, "diff-risk-scan")),
        ("the kept gates", |bench| kept(bench, "gate-runner")),
        ("the kept draft", |bench| kept(bench, "patch-draft")),
        ("a gate's log", |bench| {
            bench.task("pr", "T-1").join("evidence/G5.log")
        }),
        ("a gate's record", |bench| {
            bench.task("pr", "T-1").join("evidence/G5.json")
        }),
        ("the evidence manifest", |bench| {
            bench.task("pr", "T-1").join("evidence/manifest.json")
        }),
        ("the test result", |bench| {
            bench
                .task("pr", "T-1")
                .join("evidence/test-result.dsse.json")
        }),
        ("the provenance", |bench| {
            bench
                .task("pr", "T-1")
                .join("evidence/provenance.dsse.json")
        }),
        ("the diff summary", |bench| {
            bench.task("pr", "T-1").join("evidence/diff-summary.json")
        }),
        ("the log", |bench| bench.queue().join("audit/events.ndjson")),
    ];
    for (what, file) in changes {
        let bench = Bench::with_approved();
        flip(&file(&bench));
        must_not_land(&bench, what);
    }
}

#[test]
fn evidence_that_is_gone_or_planted_does_not_verify() {
    let bench = Bench::with_waiting();
    bench.baton(["verify", "T-1"]).expect(0);
    let folder = bench.task("pr", "T-1").join("evidence");
    let wrong = || {
        let said = bench.baton(["verify", "T-1"]).expect(1);
        said["wrong"].to_string()
    };
    std::fs::write(folder.join("G5.9.log"), "9 passed\n").unwrap();
    assert!(wrong().contains("evidence/G5.9.log is named by no result"));
    std::fs::remove_file(folder.join("G5.9.log")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    assert!(wrong().contains("evidence/link is named by no result"));
    std::fs::remove_file(folder.join("link")).unwrap();
    bench.baton(["verify", "T-1"]).expect(0);
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    assert!(wrong().contains("evidence/manifest.json"));
    bench.baton(["approve", "T-1"]).expect(0);
    must_not_land(&bench, "no manifest");
}

#[test]
fn a_changed_or_forged_approval_does_not_count() {
    let bench = Bench::with_approved();
    let folder = bench.queue().join("approved");
    let path = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&path).unwrap();
    // A longer life, written by hand.
    std::fs::write(&path, text.replace("\"reason\": \"\"", "\"reason\": \"x\"")).unwrap();
    must_not_land(&bench, "a changed approval");
    std::fs::remove_file(&path).unwrap();
    let id = text
        .split("\"approval_id\": \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    std::fs::write(folder.join("forged.json"), text.replace(id, "APR-forged")).unwrap();
    must_not_land(&bench, "a forged approval");
}

#[test]
fn missing_or_exchanged_results_are_no_evidence() {
    let bench = Bench::with_approved();
    let gates = kept(&bench, "gate-runner");
    let text = std::fs::read(&gates).unwrap();
    std::fs::remove_file(&gates).unwrap();
    must_not_land(&bench, "no gate result");
    let other = Bench::new();
    other.waiting("T-1");
    std::fs::copy(kept(&other, "gate-runner"), &gates).unwrap();
    must_not_land(&bench, "the gate result of another queue");
    std::fs::write(&gates, text).unwrap();
    bench
        .baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"])
        .expect(0);
}

#[test]
fn a_policy_changed_in_between_voids_the_evidence() {
    let bench = Bench::with_approved();
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("\"lease_seconds\": 900", "\"lease_seconds\": 901"),
    )
    .unwrap();
    must_not_land(&bench, "another policy");
}

#[test]
fn tampering_before_the_decision_is_d4() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let patch = bench.patch_file("fix.patch", &text);
    let patch = patch.to_str().unwrap();
    for line in [
        &["claim-lock", "--task", "T-1"][..],
        &["intake-validate", "--task", "T-1"],
        &["patch-draft", "--task", "T-1", "--from", patch],
        &["diff-risk-scan", "--task", "T-1"],
        &["gate-runner", "--task", "T-1"],
    ] {
        bench.baton(line).expect(0);
    }
    flip(&bench.task("work", "T-1").join("evidence/G5.log"));
    let decided = bench.baton(["decision-router", "--task", "T-1"]).expect(4);
    assert_eq!(decided["decision"], "ZERO_STOP");
    assert!(
        decided["data"]["reasoning"][0]
            .as_str()
            .unwrap()
            .starts_with("D4"),
        "{decided}"
    );
    assert!(bench.task("blocked", "T-1").is_dir());
}

#[test]
fn denied_stays_denied() {
    let bench = Bench::with_waiting();
    bench.baton(["reject", "T-1", "--reason", "no"]).expect(0);
    assert!(bench.task("blocked", "T-1").is_dir());
    bench.baton(["retry", "T-1"]).expect(0);
    let again = bench.run_with("T-1", "T-1");
    assert_eq!(again.code, 3, "{}", again.stdout);
    assert!(
        again.findings().contains(&"DENIED_DIGEST".to_owned()),
        "{}",
        again.stdout
    );
    // Another task with the same bytes is the same candidate.
    bench.submit("T-2", "src/**");
    assert_eq!(bench.run_with("T-2", "T-1").code, 3);
}

#[test]
fn an_approval_that_is_over_does_not_count() {
    let bench = Bench::with_waiting();
    bench.baton(["approve", "T-1", "--for", "1ms"]).expect(0);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let ran = bench.baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"]);
    assert_eq!(
        (ran.code, ran.findings()),
        (3, vec!["APPROVAL_REQUIRED".to_owned()])
    );
}

#[test]
fn only_a_person_approves_rejects_and_resumes() {
    let bench = Bench::with_waiting();
    for actor in ["openclaw", "cursor", "claude_code", "system"] {
        for line in [
            &["approve", "T-1"][..],
            &["reject", "T-1"],
            &["resume"],
            &["init"],
        ] {
            let ran = bench
                .command(line)
                .env("BATON_ACTOR", actor)
                .output()
                .unwrap();
            assert_eq!(ran.status.code(), Some(3), "{actor} {line:?}");
        }
    }
    assert!(
        std::fs::read_dir(bench.queue().join("approved"))
            .unwrap()
            .next()
            .is_none()
    );
}

fn facts() -> impl Strategy<Value = Facts> {
    let list = || prop::collection::vec("[a-z]{1,5}", 0..3);
    let level = || {
        prop_oneof![
            Just(RiskLevel::Low),
            Just(RiskLevel::Medium),
            Just(RiskLevel::High),
            Just(RiskLevel::Critical)
        ]
    };
    let isolation = prop_oneof![
        Just(None),
        Just(Some(Isolation::I1)),
        Just(Some(Isolation::I2)),
        Just(Some(Isolation::I3))
    ];
    (
        list(),
        list(),
        list(),
        list(),
        list(),
        list(),
        (level(), level()),
        isolation,
    )
        .prop_map(
            |(stop, forbidden, secret, unbound, sensitive, gates, (risk, opinion), isolation)| {
                Facts {
                    stop,
                    forbidden,
                    secret,
                    unbound,
                    sensitive,
                    gates_as_on_base: Vec::new(),
                    gates,
                    risk,
                    opinion,
                    isolation,
                    shadow: false,
                }
            },
        )
}

fn joined(a: &Facts, b: &Facts) -> Facts {
    let both = |a: &[String], b: &[String]| [a, b].concat();
    Facts {
        stop: both(&a.stop, &b.stop),
        forbidden: both(&a.forbidden, &b.forbidden),
        secret: both(&a.secret, &b.secret),
        unbound: both(&a.unbound, &b.unbound),
        sensitive: both(&a.sensitive, &b.sensitive),
        gates: both(&a.gates, &b.gates),
        gates_as_on_base: Vec::new(),
        risk: a.risk.max(b.risk),
        opinion: a.opinion.max(b.opinion),
        isolation: a.isolation.into_iter().chain(b.isolation).min(),
        shadow: a.shadow || b.shadow,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adding_any_fact_never_lowers_the_decision(one in facts(), other in facts()) {
        let policy = Policy::parse(include_bytes!("../../ssot/POLICY.json")).unwrap();
        let alone = decide(&policy, &one).decision;
        let both = decide(&policy, &joined(&one, &other)).decision;
        prop_assert!(both >= alone, "{alone:?} fell to {both:?}");
    }

    #[test]
    fn an_opinion_never_lowers_the_decision(facts in facts()) {
        let policy = Policy::parse(include_bytes!("../../ssot/POLICY.json")).unwrap();
        let without = Facts { opinion: RiskLevel::Low, ..facts.clone() };
        let (with, without) = (decide(&policy, &facts), decide(&policy, &without));
        prop_assert!(with.decision >= without.decision);
        let raised = facts.opinion >= RiskLevel::Medium;
        prop_assert!(!raised || with.decision >= Decision::PrOnly);
    }

    #[test]
    fn shadow_mode_never_lets_anything_land_and_never_hides_the_answer(facts in facts()) {
        let policy = Policy::parse(include_bytes!("../../ssot/POLICY.json")).unwrap();
        let open = decide(&policy, &facts);
        let shadow = decide(&policy, &Facts { shadow: true, ..facts.clone() });
        prop_assert_eq!(shadow.would, open.decision);
        prop_assert_eq!(&shadow.matched, &open.matched);
        let holds = !facts.stop.is_empty() || !facts.unbound.is_empty();
        let expected = if holds { Decision::ZeroStop } else { Decision::PrOnly };
        prop_assert_eq!(shadow.decision, expected);
    }
}

#[test]
fn a_later_result_or_a_denial_that_is_taken_away_is_missed() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let patch = bench.patch_file("fix.patch", &text);
    for line in [
        &["claim-lock", "--task", "T-1"][..],
        &["intake-validate", "--task", "T-1"],
        &[
            "patch-draft",
            "--task",
            "T-1",
            "--from",
            patch.to_str().unwrap(),
        ],
        &["diff-risk-scan", "--task", "T-1"],
        &["gate-runner", "--task", "T-1"],
    ] {
        bench.baton(line).expect(0);
    }
    bench
        .baton(["gate-runner", "--task", "T-1", "--only", "G1"])
        .expect(0);
    let folder = bench.task("work", "T-1").join("envelopes");
    let mut kept: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    kept.sort();
    std::fs::remove_file(kept.last().unwrap()).unwrap();
    let decided = bench.baton(["decision-router", "--task", "T-1"]).expect(4);
    assert!(
        decided["data"]["reasoning"][0]
            .as_str()
            .unwrap()
            .contains("later result"),
        "{decided}"
    );

    let bench = Bench::with_waiting();
    bench.baton(["reject", "T-1"]).expect(0);
    let denial = std::fs::read_dir(bench.queue().join("approved"))
        .unwrap()
        .next()
        .unwrap();
    std::fs::remove_file(denial.unwrap().path()).unwrap();
    bench.baton(["retry", "T-1"]).expect(0);
    let again = bench.run_with("T-1", "T-1");
    assert_eq!(again.code, 4, "{}", again.stdout);
    assert!(
        again.findings().contains(&"APPROVAL_CHANGED".to_owned()),
        "{}",
        again.stdout
    );
}
