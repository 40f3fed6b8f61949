//! From an approved candidate to the target branch, and what keeps it from there.

use crate::support::Bench;

#[test]
fn an_approved_candidate_lands_and_the_clean_checkout_follows() {
    let bench = Bench::new();
    bench.waiting("T-1");
    let before = bench.git(&["rev-parse", "HEAD"]);
    bench.baton(["approve", "T-1"]).expect(0);
    let done = bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(done["decision"], "AUTO_MERGE");
    assert_eq!(bench.git(&["rev-parse", "HEAD^"]), before);
    assert_eq!(std::fs::read_to_string(bench.root().join("src/app.sh")).unwrap(), "echo T-1\n");
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    let message = bench.git(&["log", "-1", "--format=%B"]);
    for trailer in ["Baton-Task: T-1", "Baton-Decision: AUTO_MERGE", "Baton-Event: EVT-"] {
        assert!(message.contains(trailer), "{message}");
    }
    assert_eq!(bench.baton(["verify", "T-1"]).expect(0)["status"], "VERIFIED");
}

#[test]
fn without_an_approval_nothing_lands() {
    let bench = Bench::new();
    bench.waiting("T-1");
    let before = bench.git(&["rev-parse", "main"]);
    bench.baton(["run", "T-1"]).expect(0);
    let refused = bench.baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"]);
    refused.expect(3);
    assert!(refused.findings().contains(&"APPROVAL_REQUIRED".to_owned()));
    assert_eq!(bench.git(&["rev-parse", "main"]), before);
}
