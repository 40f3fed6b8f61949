//! Manifest and statements over real folders, and what somebody may do to them afterwards.

use std::path::PathBuf;

use serde_json::json;

use super::manifest::{Differs, EvidenceManifest, RunOf, running_program, set_unrecorded_aside};
use super::statements::{self, GateRun};
use crate::attestation::Verified;
use crate::candidate::Candidate;
use crate::digest;
use crate::envelope::{Artifact, ArtifactKind, Envelope};
use crate::outputs::{CheckStatus, GateResult};
use crate::problem::Problem;
use crate::store::{Store, TaskFolder};
use crate::task::Task;

struct Bench {
    folder: tempfile::TempDir,
    task: TaskFolder,
    candidate: Candidate,
    runner: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::create(folder.path()).unwrap();
        let task = json!({"task_id": "T-1", "title": "t", "goal": "g", "scope": {"target_files": ["src/a"], "allow_patch_on_files": ["src/**"], "deny_paths_glob": []}});
        let task = Task::parse(task.to_string().as_bytes()).unwrap();
        store.submit(&task, |_| Ok(())).unwrap();
        let candidate = json!({
            "schema_version": "1.0.0", "task_id": "T-1", "attempt": 1, "base": "1".repeat(40),
            "base_tree": "2".repeat(40), "tree": "3".repeat(40), "patch_sha256": "4".repeat(64),
            "source": "file", "actor": "human", "policy_sha256": "5".repeat(64),
            "created_at": "2026-01-02T03:04:05Z",
        });
        Self {
            task: store.task(&task.task_id).unwrap(),
            candidate: Candidate::parse(candidate.to_string().as_bytes()).unwrap(),
            runner: "6".repeat(64),
            folder,
        }
    }

    fn run(&self) -> RunOf<'_> {
        RunOf {
            candidate: &self.candidate,
            policy_sha256: &self.candidate.policy_sha256,
            runner_sha256: &self.runner,
        }
    }

    fn write(&self, name: &str, text: &str) -> Artifact {
        let kind = ArtifactKind::GateEvidence;
        self.task.write_next(kind, name, text.as_bytes()).unwrap()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(self.task.path(name))
    }

    /// Two gates with their files, and everything that stands over them.
    fn gated(&self) -> Vec<Artifact> {
        let mut artifacts = vec![
            self.write("evidence/G5.log", "1 passed\n"),
            self.write("evidence/G5.json", "{}\n"),
            self.write("evidence/G1.json", "{}\n"),
        ];
        let run = GateRun {
            of: self.run(),
            invocation_id: Some("EVT-1"),
            started_on: "2026-01-02T03:04:05Z",
            finished_on: "2026-01-02T03:04:06Z",
        };
        let over = statements::keep(&self.task, &run, &gates(), &artifacts, |_| Ok(())).unwrap();
        artifacts.extend(over);
        artifacts
    }

    fn record(&self, artifacts: &[Artifact]) {
        let envelope = json!({
            "schema_id": crate::envelope::SCHEMA_ID, "schema_version": "1.0.0", "skill": "gate-runner",
            "skill_version": "1.0.0", "status": "OK", "summary": "gates",
            "task": {"task_id": "T-1", "queue_root": ".autodev_queue", "state_before": "work", "state_after": "work"},
            "artifacts": artifacts, "approvals": [],
            "audit": {"append_only_path": ".autodev_queue/audit/events.ndjson", "event_id": "EVT-1", "prev_event_id": "EVT-0"},
            "data": {"all_pass": true, "gates": gates()},
        });
        let envelope: Envelope = serde_json::from_value(envelope).unwrap();
        self.task.keep_envelope(&envelope).unwrap();
    }

    fn check(&self) -> Result<Option<statements::Attested>, Problem> {
        statements::check(&self.task, &self.candidate, |_, _, _| None)
    }
}

fn gates() -> Vec<GateResult> {
    let gate = |id: &str| GateResult {
        gate_id: id.to_owned(),
        status: CheckStatus::Pass,
        evidence_paths: Vec::new(),
        note: None,
    };
    vec![gate("G1"), gate("G5")]
}

#[test]
fn what_was_kept_is_found_as_it_was() {
    let bench = Bench::new();
    assert_eq!(bench.check().unwrap(), None, "no gates ran yet");
    bench.record(&[]);
    assert_eq!(bench.check().unwrap(), None, "a result without a manifest");
    bench.record(&bench.gated());
    let attested = bench.check().unwrap().unwrap();
    assert_eq!(attested.files, 4);
    let unsigned = |role| (role, Verified::Unsigned);
    let expected = [unsigned("test-result"), unsigned("provenance")];
    assert_eq!(attested.statements, expected);
    // A second run keeps its own files beside those of the first.
    bench.record(&bench.gated());
    assert_eq!(bench.check().unwrap().unwrap().files, 4);
    assert!(bench.at("evidence/manifest.2.json").is_file());
}

#[test]
fn the_manifest_is_sorted_bound_and_comes_back() {
    let bench = Bench::new();
    bench.gated();
    let bytes = bench.task.read("evidence/manifest.json").unwrap();
    let manifest = EvidenceManifest::parse(&bytes).unwrap();
    let paths: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    let expected = [
        "evidence/G1.json",
        "evidence/G5.json",
        "evidence/G5.log",
        "evidence/test-result.dsse.json",
    ];
    assert_eq!(paths, expected);
    assert_eq!(manifest.files[2].bytes, 9);
    assert_eq!(manifest.files[2].sha256, digest::sha256(b"1 passed\n"));
    assert_eq!(manifest.runner_sha256, bench.runner);
    assert_eq!(manifest.to_bytes().unwrap(), bytes);
    manifest.check_candidate(&bench.candidate).unwrap();
    let mut other = bench.candidate.clone();
    other.tree = "9".repeat(40);
    assert_eq!(
        manifest.check_candidate(&other).unwrap_err().code,
        "EVIDENCE_UNBOUND"
    );
}

#[test]
fn every_missing_changed_and_additional_file_is_named() {
    let bench = Bench::new();
    bench.record(&bench.gated());
    let bytes = bench.task.read("evidence/manifest.json").unwrap();
    let manifest = EvidenceManifest::parse(&bytes).unwrap();
    assert_eq!(manifest.check(&bench.task).unwrap(), []);
    std::fs::write(bench.at("evidence/G5.log"), "2 passed\n").unwrap();
    std::fs::remove_file(bench.at("evidence/G1.json")).unwrap();
    std::fs::remove_file(bench.at("evidence/G5.json")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", bench.at("evidence/G5.json")).unwrap();
    std::fs::write(bench.at("evidence/G6.log"), "planted").unwrap();
    std::fs::write(bench.at("evidence/a\x1b[2J"), "planted").unwrap();
    std::fs::create_dir(bench.at("evidence/folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.at("evidence/link")).unwrap();
    std::fs::write(bench.at("evidence/.tmp-0123"), "a killed write").unwrap();
    let found = manifest.check(&bench.task).unwrap();
    let said: Vec<_> = found
        .iter()
        .map(|one| (one.path.as_str(), std::mem::discriminant(&one.what)))
        .collect();
    let kind = |what: Differs| std::mem::discriminant(&what);
    let changed = || kind(Differs::Changed(String::new()));
    let expected = [
        ("evidence/G1.json", kind(Differs::Missing)),
        ("evidence/G5.json", changed()),
        ("evidence/G5.log", changed()),
        ("evidence/G6.log", kind(Differs::Additional)),
        ("evidence/a\\u{1b}[2J", kind(Differs::Additional)),
        ("evidence/folder", kind(Differs::Additional)),
        ("evidence/link", kind(Differs::Additional)),
    ];
    assert_eq!(said, expected);
    let problem = bench.check().unwrap_err();
    assert_eq!(problem.code, "EVIDENCE_CHANGED");
    for (path, _) in expected {
        assert!(
            problem.message.contains(path),
            "{path}: {}",
            problem.message
        );
    }
}

#[test]
fn what_a_killed_run_left_is_set_aside() {
    let bench = Bench::new();
    bench.record(&bench.gated());
    bench.write("evidence/G5.log", "killed");
    std::os::unix::fs::symlink("/etc/passwd", bench.at("evidence/link")).unwrap();
    assert_eq!(bench.check().unwrap_err().code, "EVIDENCE_CHANGED");
    set_unrecorded_aside(&bench.task).unwrap();
    bench.check().unwrap().unwrap();
    let read = |name: &str| std::fs::read_to_string(bench.at(name)).unwrap();
    assert_eq!(read("unrecorded/1-G5.2.log"), "killed");
    assert!(bench.at("unrecorded/2-link").is_symlink());
    assert_eq!(read("evidence/G5.log"), "1 passed\n");
    // Once more finds nothing to do, and a later kill does not get in the way.
    set_unrecorded_aside(&bench.task).unwrap();
    bench.write("evidence/G5.log", "killed again");
    set_unrecorded_aside(&bench.task).unwrap();
    bench.check().unwrap().unwrap();
}

#[test]
fn a_named_file_that_is_gone_is_an_error() {
    for name in [
        "evidence/manifest.json",
        "evidence/test-result.dsse.json",
        "evidence/provenance.dsse.json",
    ] {
        let bench = Bench::new();
        bench.record(&bench.gated());
        std::fs::remove_file(bench.at(name)).unwrap();
        let problem = bench.check().unwrap_err();
        assert!(problem.message.contains(name), "{name}: {problem}");
    }
    // Named by role or not at all: a manifest without its statements is half a record.
    let bench = Bench::new();
    let mut artifacts = bench.gated();
    artifacts.pop();
    std::fs::remove_file(bench.at("evidence/provenance.dsse.json")).unwrap();
    bench.record(&artifacts);
    assert_eq!(bench.check().unwrap_err().code, "EVIDENCE_MISSING");
}

/// Writes a statement anew under the same name and lets the result name the new digest, as somebody
/// would who controls the folder.
fn rewritten(bench: &Bench, name: &str, change: impl Fn(&str) -> String) -> Problem {
    let mut artifacts = bench.gated();
    let text = std::fs::read_to_string(bench.at(name)).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "the test changes nothing");
    std::fs::write(bench.at(name), &changed).unwrap();
    let path = bench.task.path(name);
    for artifact in artifacts
        .iter_mut()
        .filter(|artifact| artifact.path == path)
    {
        let note = artifact.note.take().unwrap();
        let (_, role) = note.split_once(' ').unwrap();
        artifact.note = Some(format!(
            "sha256={} {role}",
            digest::sha256(changed.as_bytes())
        ));
    }
    bench.record(&artifacts);
    bench.check().unwrap_err()
}

fn payload(text: &str, change: impl Fn(String) -> String) -> String {
    let mut envelope = crate::attestation::Envelope::parse(text.as_bytes()).unwrap();
    envelope.payload = change(String::from_utf8(envelope.payload).unwrap()).into_bytes();
    String::from_utf8(envelope.to_bytes().unwrap()).unwrap()
}

#[test]
fn statements_that_say_other_than_the_result_are_refused() {
    let provenance = "evidence/provenance.dsse.json";
    for (from, to) in [
        ("3".repeat(40), "a".repeat(40)),
        ("4".repeat(64), "a".repeat(64)),
        ("1".repeat(40), "a".repeat(40)),
        ("5".repeat(64), "a".repeat(64)),
        ("6".repeat(64), "a".repeat(64)),
        (statements::BUILDER.to_owned(), "urn:somebody".to_owned()),
        (
            statements::BUILD_TYPE.to_owned(),
            "urn:something".to_owned(),
        ),
        ("byproducts".to_owned(), "notes".to_owned()),
    ] {
        let change = |text: &str| payload(text, |payload| payload.replace(&from, &to));
        let problem = rewritten(&Bench::new(), provenance, change);
        assert_eq!(problem.code, "EVIDENCE_UNBOUND", "{from}");
    }
    // A test result in the place of the provenance.
    let bench = Bench::new();
    let other = bench.gated();
    let text = std::fs::read_to_string(bench.folder.path().join(&other[3].path)).unwrap();
    let problem = rewritten(&Bench::new(), provenance, |_| text.clone());
    assert_eq!(problem.code, "EVIDENCE_UNBOUND");
    // Signatures that nobody vouches for are no better than a change.
    let sign =
        |text: &str| text.replace("\"signatures\":[]", "\"signatures\":[{\"sig\":\"YQ==\"}]");
    let problem = rewritten(&Bench::new(), provenance, sign);
    assert_eq!(problem.code, "EVIDENCE_UNTRUSTED");
}

#[test]
fn a_manifest_of_another_run_or_form_is_refused() {
    let name = "evidence/manifest.json";
    let bound = |text: &str| text.replace(&"3".repeat(40), &"a".repeat(40));
    assert_eq!(
        rewritten(&Bench::new(), name, bound).code,
        "EVIDENCE_UNBOUND"
    );
    // A manifest that leaves a file out: the file is still named by the gate result, but the
    // provenance names the manifest as it was.
    let shorter = |text: &str| {
        let mut manifest = EvidenceManifest::parse(text.as_bytes()).unwrap();
        manifest.files.remove(0);
        String::from_utf8(manifest.to_bytes().unwrap()).unwrap()
    };
    assert_eq!(
        rewritten(&Bench::new(), name, shorter).code,
        "EVIDENCE_UNBOUND"
    );
    let form = |from: &'static str, to: &'static str| {
        let problem = rewritten(&Bench::new(), name, |text| text.replacen(from, to, 1));
        assert_eq!(problem.code, "EVIDENCE_MANIFEST_INVALID", "{from}");
    };
    form("evidence/G1.json", "evidence/z.json");
    form("evidence/G1.json", "evidence/G5.json");
    form("evidence/G1.json", "../../task.json");
    form("evidence/G1.json", "draft.patch");
    form("evidence/G1.json", "evidence/a/b");
    form("evidence/G1.json", "evidence/\\u001b[2J");
    form("\"tree\":", "\"tree\": \"\", \"tree\":");
}

#[test]
fn a_file_that_is_not_what_its_artifact_says_gets_no_manifest() {
    let bench = Bench::new();
    let artifact = bench.write("evidence/G5.log", "1 passed\n");
    std::fs::write(bench.at("evidence/G5.log"), "9 passed\n").unwrap();
    let problem = EvidenceManifest::over(&bench.task, &bench.run(), &[artifact]).unwrap_err();
    assert_eq!(problem.code, "EVIDENCE_CHANGED");
    // Nor does a file outside the evidence folder.
    let artifact = bench.write("other.json", "{}");
    let problem = EvidenceManifest::over(&bench.task, &bench.run(), &[artifact]).unwrap_err();
    assert_eq!(problem.code, "EVIDENCE_MANIFEST_INVALID");
}

#[test]
fn the_running_program_has_the_digest_of_its_file() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(running_program().unwrap(), digest::sha256(&own));
}

#[test]
fn the_result_is_passed_only_when_every_gate_passed() {
    use crate::attestation::{Predicate, TestOutcome};
    let bench = Bench::new();
    let of = |statuses: &[CheckStatus]| {
        let mut gates = vec![gates().remove(0); statuses.len()];
        for (gate, status) in gates.iter_mut().zip(statuses) {
            gate.status = *status;
        }
        let statement = statements::test_result(&bench.candidate, &bench.runner, &gates);
        match statement.predicate {
            Predicate::TestResult(result) => (result.result, result.passed_tests.len()),
            Predicate::Provenance(_) => unreachable!(),
        }
    };
    let (pass, fail, skip) = (CheckStatus::Pass, CheckStatus::Fail, CheckStatus::Skip);
    assert_eq!(of(&[pass, pass]), (TestOutcome::Passed, 2));
    assert_eq!(of(&[pass, skip]), (TestOutcome::Warned, 1));
    assert_eq!(of(&[pass, skip, fail]), (TestOutcome::Failed, 1));
    assert_eq!(of(&[]), (TestOutcome::Warned, 0));
}
