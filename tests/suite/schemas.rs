//! Schemas, cases and Rust types say the same of every document.

use std::path::{Path, PathBuf};

use baton_core::evidence::manifest::EvidenceManifest;
use baton_core::problem::Problem;
use baton_core::{
    accepted, approval, audit, candidate, envelope, manifest, policy, report, schemas, task,
};
use jsonschema::Validator;
use serde_json::Value;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One kind of document: its schema and the Rust reader of the same bytes.
struct Kind {
    name: &'static str,
    schema: &'static str,
    read: fn(&[u8]) -> Result<(), String>,
}

fn said<T>(outcome: Result<T, Problem>) -> Result<(), String> {
    outcome.map(drop).map_err(|problem| problem.message)
}

const KINDS: [Kind; 12] = [
    Kind {
        name: "skill_io_envelope",
        schema: schemas::ENVELOPE,
        read: |bytes| {
            serde_json::from_slice::<envelope::Envelope>(bytes)
                .map(drop)
                .map_err(|error| error.to_string())
        },
    },
    Kind {
        name: "skill_outputs",
        schema: schemas::OUTPUTS,
        read: |bytes| said(envelope::Envelope::parse(bytes)),
    },
    Kind {
        name: "task",
        schema: schemas::TASK,
        read: |bytes| said(task::Task::parse(bytes)),
    },
    Kind {
        name: "manifest",
        schema: schemas::MANIFEST,
        read: |bytes| said(manifest::Manifest::parse(bytes)),
    },
    Kind {
        name: "policy",
        schema: schemas::POLICY,
        read: |bytes| said(policy::Policy::parse(bytes)),
    },
    Kind {
        name: "candidate",
        schema: schemas::CANDIDATE,
        read: |bytes| said(candidate::Candidate::parse(bytes)),
    },
    Kind {
        name: "diff_summary",
        schema: schemas::DIFF_SUMMARY,
        read: |bytes| said(baton_risk::DiffSummary::parse(bytes)),
    },
    Kind {
        name: "approval",
        schema: schemas::APPROVAL,
        read: |bytes| said(approval::Approval::parse(bytes)),
    },
    Kind {
        name: "audit_event",
        schema: schemas::AUDIT_EVENT,
        read: |bytes| said(audit::Event::parse(bytes)),
    },
    Kind {
        name: "report",
        schema: schemas::REPORT,
        read: |bytes| said(report::Report::parse(bytes)),
    },
    Kind {
        name: "evidence_manifest",
        schema: schemas::EVIDENCE_MANIFEST,
        read: |bytes| said(EvidenceManifest::parse(bytes)),
    },
    Kind {
        name: "policy_accepted",
        schema: schemas::POLICY_ACCEPTED,
        read: |bytes| said(accepted::Accepted::parse(bytes)),
    },
];

/// Where a type is stricter than its schema on purpose.
const STRICTER: [(&str, &str); 1] = [
    // The manifest has one reading: another place for the queue, STOP or the log is an error.
    ("manifest", "paths"),
];

pub(crate) fn validator(schema: &str) -> Validator {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let envelope: Value = serde_json::from_str(schemas::ENVELOPE).unwrap();
    let registry = jsonschema::Registry::new()
        .add("urn:project_baton_v1:skill_output_envelope:1.0.0", envelope)
        .unwrap()
        .prepare()
        .unwrap();
    jsonschema::options()
        .with_registry(&registry)
        .build(&schema)
        .unwrap()
}

fn cases(kind: &str, verdict: &str) -> Vec<(String, Value)> {
    let folder = top().join("schemas/cases").join(kind).join(verdict);
    let mut cases: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.display().to_string(),
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
            )
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

#[test]
fn valid_cases_are_accepted_by_schema_and_type() {
    let mut wrong = Vec::new();
    for kind in KINDS {
        let validator = validator(kind.schema);
        let cases = cases(kind.name, "valid");
        assert!(
            cases.len() >= 4,
            "{} has {} valid cases",
            kind.name,
            cases.len()
        );
        for (name, document) in cases {
            if let Some(error) = validator.iter_errors(&document).next() {
                wrong.push(format!("{name}: the schema refuses it: {error}"));
            }
            if let Err(why) = (kind.read)(document.to_string().as_bytes())
                && !STRICTER
                    .iter()
                    .any(|(name, part)| *name == kind.name && why.contains(part))
            {
                wrong.push(format!("{name}: the type refuses it: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn invalid_cases_are_refused_by_schema_and_type_for_the_named_reason() {
    let mut wrong = Vec::new();
    for kind in KINDS {
        let validator = validator(kind.schema);
        let cases = cases(kind.name, "invalid");
        assert!(
            cases.len() >= 8,
            "{} has {} invalid cases",
            kind.name,
            cases.len()
        );
        for (name, case) in cases {
            let document = &case["document"];
            let (path, keyword) = (
                case["why"]["path"].as_str().unwrap(),
                case["why"]["keyword"].as_str().unwrap(),
            );
            let found: Vec<_> = validator
                .iter_errors(document)
                .map(|error| {
                    (
                        error.instance_path().to_string(),
                        error.kind().keyword().to_owned(),
                    )
                })
                .collect();
            if !found.iter().any(|(at, by)| at == path && by == keyword) {
                wrong.push(format!(
                    "{name}: expected {keyword} at \"{path}\", the schema says {found:?}"
                ));
            }
            if (kind.read)(document.to_string().as_bytes()).is_ok() {
                wrong.push(format!("{name}: the type accepts it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_defaults_are_valid_and_true_to_their_examples() {
    let read = |name: &str| std::fs::read(top().join("ssot").join(name)).unwrap();
    for (name, schema) in [
        ("POLICY.json", schemas::POLICY),
        ("MANIFEST.json", schemas::MANIFEST),
    ] {
        let document: Value = serde_json::from_slice(&read(name)).unwrap();
        let errors: Vec<_> = validator(schema)
            .iter_errors(&document)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    let policy = policy::Policy::parse(&read("POLICY.json")).unwrap();
    let files = policy
        .secret_rules
        .read(&top().join("ssot"), 1 << 20)
        .unwrap();
    let book = baton_risk::RuleBook::new(&policy, &files).unwrap();
    book.check_others().unwrap();
    manifest::Manifest::parse(&read("MANIFEST.json")).unwrap();
    assert_eq!(
        String::from_utf8(read("AUDIT_SCHEMA.json")).unwrap(),
        schemas::AUDIT_EVENT
    );
}

#[test]
fn policy_md_says_what_policy_json_says() {
    let folder = top().join("ssot");
    let policy =
        policy::Policy::parse(&std::fs::read(folder.join("POLICY.json")).unwrap()).unwrap();
    let path = folder.join("POLICY.md");
    if std::env::var_os("BATON_BLESS").is_some() {
        std::fs::write(&path, policy.render_markdown()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == policy.render_markdown(),
        "POLICY.md drifted; run the tests with BATON_BLESS=1"
    );
}

#[test]
fn a_policy_written_again_reads_the_same() {
    let policy =
        policy::Policy::parse(&std::fs::read(top().join("ssot/POLICY.json")).unwrap()).unwrap();
    let mut again = policy::Policy::parse(policy.to_json().unwrap().as_bytes()).unwrap();
    again.sha256.clone_from(&policy.sha256);
    assert_eq!(again, policy);
}

#[test]
fn each_skill_prints_a_schema_of_its_own_output() {
    let examples = cases("skill_outputs", "valid");
    for skill in baton::SKILLS {
        let schema = schemas::for_skill(skill.envelope).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut own = 0;
        for (name, document) in &examples {
            let is_own = document["skill"] == skill.envelope;
            assert_eq!(
                validator.is_valid(document),
                is_own,
                "{} against {name}",
                skill.name
            );
            own += usize::from(is_own);
        }
        assert!(own > 0, "{} has no valid case", skill.name);
    }
}

#[test]
fn the_eleven_skills_are_laid_out_alike() {
    let mut names: Vec<_> = baton::SKILLS.iter().map(|skill| skill.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 11);
    for skill in baton::SKILLS {
        let folder = top().join("crates").join(skill.name);
        for file in ["src/lib.rs", "src/main.rs", "tests/bin.rs"] {
            assert!(folder.join(file).is_file(), "{}/{file}", skill.name);
        }
        let main = std::fs::read_to_string(folder.join("src/main.rs")).unwrap();
        // The one that starts itself again as the inner half of the walls says so first.
        let lines = 3 + main.matches("enter_if_called();").count();
        assert_eq!(
            main.lines().count(),
            lines,
            "the main of {} does one thing",
            skill.name
        );
        skill.command().debug_assert();
    }
    baton::command().debug_assert();
}
