//! The statements about a gate run that a stranger can check, and their check against what is kept.

use serde_json::{Map, Value, json};

use super::manifest::{EvidenceManifest, RunOf};
use crate::attestation::predicate::{BuildDefinition, Builder, Metadata, RunDetails};
use crate::attestation::{
    Envelope as Dsse, Predicate, Provenance, Resource, Statement, TestOutcome, TestResult, Verified,
};
use crate::candidate::Candidate;
use crate::envelope::{Artifact, ArtifactKind, Envelope};
use crate::outputs::{self, CheckStatus, GateResult, GateRunner};
use crate::problem::Problem;
use crate::store::TaskFolder;

/// How to read the parameters of a provenance: `docs/evidence.md` says it.
pub const BUILD_TYPE: &str = "urn:project_baton_v1:gate_run:1.0.0";
/// Who ran the gates.
pub const BUILDER: &str = "urn:project_baton_v1:gate-runner";

/// The files beside the manifest that a gate result names by `role=` in an artifact's note.
const MANIFEST: &str = "manifest";
const TEST_RESULT: &str = "test-result";
const PROVENANCE: &str = "provenance";
/// How many differences one message names.
const MOST_NAMED: usize = 20;

/// One gate run, as a provenance tells it.
#[derive(Clone, Copy, Debug)]
pub struct GateRun<'a> {
    /// What was judged, and by what.
    pub of: RunOf<'a>,
    /// The name of the run, where it has one.
    pub invocation_id: Option<&'a str>,
    /// When it began, RFC 3339.
    pub started_on: &'a str,
    /// When it ended, RFC 3339.
    pub finished_on: &'a str,
}

/// What the statements of a gate run proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// How many files the manifest holds.
    pub files: usize,
    /// What the signatures of each statement prove, by its role.
    pub statements: Vec<(&'static str, Verified)>,
}

fn subject(candidate: &Candidate) -> Vec<Resource> {
    vec![
        Resource::git_tree("candidate-tree", &candidate.tree),
        Resource::sha256("candidate-patch", &candidate.patch_sha256),
    ]
}

fn policy(sha256: &str) -> Resource {
    Resource::sha256("POLICY.json", sha256)
}

/// The result of the gates. PASSED says that every gate passed; a skipped gate stands in no list and
/// makes it WARNED, so whoever needs a gate looks for its name among the passed ones.
#[must_use]
pub fn test_result(candidate: &Candidate, policy_sha256: &str, gates: &[GateResult]) -> Statement {
    let named = |status: CheckStatus| {
        let gates = gates.iter().filter(|gate| gate.status == status);
        gates.map(|gate| gate.gate_id.clone()).collect::<Vec<_>>()
    };
    let (passed_tests, failed_tests) = (named(CheckStatus::Pass), named(CheckStatus::Fail));
    let result = if !failed_tests.is_empty() {
        TestOutcome::Failed
    } else if passed_tests.is_empty() || passed_tests.len() < gates.len() {
        TestOutcome::Warned
    } else {
        TestOutcome::Passed
    };
    Statement {
        subject: subject(candidate),
        predicate: Predicate::TestResult(TestResult {
            result,
            configuration: vec![policy(policy_sha256)],
            passed_tests,
            warned_tests: Vec::new(),
            failed_tests,
        }),
    }
}

/// How the gates were run, with the manifest as what the run left behind.
#[must_use]
pub fn provenance(run: &GateRun<'_>, gates: &[GateResult], manifest_sha256: &str) -> Statement {
    let of = &run.of;
    let object = |value: Value| match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let gates: Vec<_> = gates.iter().map(|gate| &gate.gate_id).collect();
    let parameters = json!({"task_id": of.candidate.task_id, "gates": gates});
    Statement {
        subject: subject(of.candidate),
        predicate: Predicate::Provenance(Provenance {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE.to_owned(),
                external_parameters: object(parameters),
                internal_parameters: Map::new(),
                resolved_dependencies: vec![
                    Resource::git_commit("base", &of.candidate.base),
                    policy(of.policy_sha256),
                ],
            },
            run_details: RunDetails {
                builder: Builder {
                    id: BUILDER.to_owned(),
                    version: object(json!({"baton": env!("CARGO_PKG_VERSION")})),
                    builder_dependencies: vec![Resource::sha256("runner", of.runner_sha256)],
                },
                metadata: Metadata {
                    invocation_id: run.invocation_id.map(str::to_owned),
                    started_on: Some(run.started_on.to_owned()),
                    finished_on: Some(run.finished_on.to_owned()),
                },
                byproducts: vec![Resource::sha256(MANIFEST, manifest_sha256)],
            },
        }),
    }
}

/// Keeps everything that stands over the evidence of a gate run: the test result, the manifest over
/// `files` and the test result, and the provenance that names the manifest. `seal` may sign each
/// envelope before it is written. The artifacts belong into the gate result, which the log records.
///
/// # Errors
/// What reading the files, sealing and writing say.
pub fn keep(
    task: &TaskFolder,
    run: &GateRun<'_>,
    gates: &[GateResult],
    files: &[Artifact],
    seal: impl Fn(&mut Dsse) -> Result<(), Problem>,
) -> Result<Vec<Artifact>, Problem> {
    let put = |role: &str, statement: &Statement| {
        let mut envelope = Dsse::of(statement)?;
        seal(&mut envelope)?;
        let (kind, name) = (
            ArtifactKind::GateEvidence,
            format!("evidence/{role}.dsse.json"),
        );
        Ok::<_, Problem>(with_role(
            task.write_next(kind, &name, &envelope.to_bytes()?)?,
            role,
        ))
    };
    let result = put(
        TEST_RESULT,
        &test_result(run.of.candidate, run.of.policy_sha256, gates),
    )?;
    let mut all = files.to_vec();
    all.push(result.clone());
    let manifest = EvidenceManifest::over(task, &run.of, &all)?.write(task)?;
    let manifest = with_role(manifest, MANIFEST);
    let sha256 = manifest.note_value("sha256").unwrap_or_default();
    let provenance = put(PROVENANCE, &provenance(run, gates, sha256))?;
    Ok(vec![result, manifest, provenance])
}

fn with_role(mut artifact: Artifact, role: &str) -> Artifact {
    let note = artifact.note.take().unwrap_or_default();
    artifact.note = Some(format!("{note} role={role}"));
    artifact
}

/// Checks manifest and statements of the task's last gate run against the candidate, the gate result
/// and the files. `None` when the gate result names no manifest. `key_of` is asked as
/// [`Dsse::verify`] asks it.
///
/// # Errors
/// `EVIDENCE_CHANGED`, `EVIDENCE_UNBOUND`, `FILE_MISSING` and what a malformed file gives.
pub fn check(
    task: &TaskFolder,
    candidate: &Candidate,
    key_of: impl Fn(&str, &[u8], &[u8]) -> Option<String>,
) -> Result<Option<Attested>, Problem> {
    let kept = task.envelopes()?;
    let gates = kept.iter().rev().map(|kept| &kept.envelope);
    let Some(gates) = gates.into_iter().find(|one| one.skill == "gate-runner") else {
        return Ok(None);
    };
    let Some(named) = role(gates, MANIFEST) else {
        return Ok(None);
    };
    let manifest = EvidenceManifest::parse(&task.read_artifact(named)?)?;
    manifest.check_candidate(candidate)?;
    check_files(&manifest, task)?;
    let mut statements = Vec::new();
    for name in [TEST_RESULT, PROVENANCE] {
        let artifact = role(gates, name).ok_or_else(|| {
            let message = format!("the gate result names a manifest and no {name}");
            Problem::fail("EVIDENCE_MISSING", message)
        })?;
        let envelope = Dsse::parse(&task.read_artifact(artifact)?)?;
        let verified = envelope.verify(&key_of);
        if verified == Verified::Untrusted {
            let message = format!("{} is signed by no key that is trusted here", artifact.path);
            return Err(Problem::fail("EVIDENCE_UNTRUSTED", message));
        }
        if !says_so(
            name,
            &envelope.statement()?,
            (&manifest, named),
            candidate,
            gates,
        )? {
            let message = format!("{} says other than the gate result", artifact.path);
            return Err(Problem::fail("EVIDENCE_UNBOUND", message));
        }
        statements.push((name, verified));
    }
    Ok(Some(Attested {
        files: manifest.files.len(),
        statements,
    }))
}

/// Whether the statement of a role says of the candidate what the gate result and the manifest say.
fn says_so(
    name: &str,
    statement: &Statement,
    (manifest, named): (&EvidenceManifest, &Artifact),
    candidate: &Candidate,
    gates: &Envelope,
) -> Result<bool, Problem> {
    Ok(match &statement.predicate {
        Predicate::TestResult(_) if name == TEST_RESULT => {
            let data: GateRunner = outputs::from_map(&gates.data)?;
            *statement == test_result(candidate, &manifest.policy_sha256, &data.gates)
        }
        Predicate::Provenance(predicate) if name == PROVENANCE => {
            let sha256 = named.note_value("sha256").unwrap_or_default();
            statement.subject == subject(candidate) && is_of(predicate, manifest, sha256)
        }
        _ => false,
    })
}

fn role<'a>(gates: &'a Envelope, role: &str) -> Option<&'a Artifact> {
    // What came down the chain stands before what this run made.
    let mut artifacts = gates.artifacts.iter().rev();
    artifacts.find(|artifact| artifact.note_value("role") == Some(role))
}

fn check_files(manifest: &EvidenceManifest, task: &TaskFolder) -> Result<(), Problem> {
    let differences = manifest.check(task)?;
    if differences.is_empty() {
        return Ok(());
    }
    let named = differences.iter().take(MOST_NAMED).map(ToString::to_string);
    let mut message = named.collect::<Vec<_>>().join("; ");
    if let Some(more) = differences
        .len()
        .checked_sub(MOST_NAMED)
        .filter(|more| *more > 0)
    {
        message.push_str(&format!("; and {more} more"));
    }
    Err(Problem::fail("EVIDENCE_CHANGED", message)
        .hint("run the gates again for new evidence: gate-runner --task ID"))
}

/// Whether a provenance names this manifest and the inputs that the manifest is bound to.
fn is_of(provenance: &Provenance, manifest: &EvidenceManifest, sha256: &str) -> bool {
    let (definition, details) = (&provenance.build_definition, &provenance.run_details);
    let has = |list: &[Resource], algorithm: &str, digest: &str| {
        list.iter().any(|one| one.has(algorithm, digest))
    };
    let read = &definition.resolved_dependencies;
    definition.build_type == BUILD_TYPE
        && details.builder.id == BUILDER
        && has(&details.byproducts, "sha256", sha256)
        && has(read, "gitCommit", &manifest.base)
        && has(read, "sha256", &manifest.policy_sha256)
        && has(
            &details.builder.builder_dependencies,
            "sha256",
            &manifest.runner_sha256,
        )
}
