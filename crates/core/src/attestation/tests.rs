use ed25519_dalek::{Signature as Ed25519, Signer, SigningKey};
use serde_json::{Value, json};

use super::dsse::{self, IN_TOTO, pae};
use super::predicate::{BuildDefinition, Builder, Metadata, PROVENANCE, RunDetails, TEST_RESULT};
use super::*;

/// The keys and envelopes are from the test vectors of the DSSE specification's own repository; the
/// seeds are the first two of RFC 8032.
const SEEDS: [(&str, &str); 2] = [
    (
        "A",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    ),
    (
        "B",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    ),
];
const BODY: &str = "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ==";
const SIG_A: &str =
    "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA==";
const SIG_B: &str =
    "c1+67/aT0yqEpwx8PsVY3MLHsj9D0CZ014/Fv/QlG59P+9CobUZ7xECJ/V3USG0Ob9CiE5LjReEZUzNF2l7eBw==";

fn key(name: &str) -> SigningKey {
    let (_, seed) = SEEDS.iter().find(|(known, _)| *known == name).unwrap();
    let seed = data_encoding::HEXLOWER.decode(seed.as_bytes()).unwrap();
    SigningKey::from_bytes(&seed.try_into().unwrap())
}

/// Which of the trusted keys made a signature; the id in the envelope is not asked.
fn by_trial(_keyid: &str, pae: &[u8], sig: &[u8]) -> Option<String> {
    let sig = Ed25519::from_slice(sig).ok()?;
    let holds = |name: &&str| key(name).verifying_key().verify_strict(pae, &sig).is_ok();
    ["A", "B"].into_iter().find(holds).map(str::to_owned)
}

fn signed(by: &[&str]) -> Verified {
    Verified::Signed {
        by: by.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn envelope(payload: &str, kind: &str, sigs: &[(&str, &str)]) -> Value {
    let sigs = sigs.iter();
    let sigs: Vec<_> = sigs
        .map(|(keyid, sig)| json!({"keyid": keyid, "sig": sig}))
        .collect();
    json!({"payload": payload, "payloadType": kind, "signatures": sigs})
}

fn verified(value: &Value) -> Verified {
    let envelope = Envelope::parse(value.to_string().as_bytes()).unwrap();
    envelope.verify(by_trial)
}

#[test]
fn the_specification_s_encoding_and_envelope() {
    // The worked example of the DSSE protocol page.
    let pae = pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(
        pae,
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    let text = r#"{"payload": "aGVsbG8gd29ybGQ=",
 "payloadType": "http://example.com/HelloWorld",
 "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;
    let envelope = Envelope::parse(text.as_bytes()).unwrap();
    assert_eq!(envelope.payload, b"hello world");
    let seen = std::cell::RefCell::new(Vec::new());
    let verdict = envelope.verify(|keyid, covered, sig| {
        seen.borrow_mut()
            .push((keyid.to_owned(), covered.to_vec(), sig.len()));
        None
    });
    assert_eq!(verdict, Verified::Untrusted);
    assert_eq!(seen.into_inner(), [(String::new(), pae, 64)]);
    assert!(envelope.statement().is_err(), "another payload type");
}

#[test]
fn the_published_vectors_that_hold() {
    let once = envelope(BODY, IN_TOTO, &[("A", SIG_A)]);
    assert_eq!(verified(&once), signed(&["A"]));
    let url_safe = envelope(
        "-_-_Pj8=",
        IN_TOTO,
        &[(
            "A",
            "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw==",
        )],
    );
    assert_eq!(verified(&url_safe), signed(&["A"]));
    let not_ascii = envelope(
        BODY,
        "application/vnd.ex\u{e4}mple+json",
        &[(
            "A",
            "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw==",
        )],
    );
    assert_eq!(verified(&not_ascii), signed(&["A"]));
    let empty = envelope(
        "",
        IN_TOTO,
        &[(
            "A",
            "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==",
        )],
    );
    assert_eq!(verified(&empty), signed(&["A"]));
    let both = envelope(BODY, IN_TOTO, &[("A", SIG_A), ("B", SIG_B)]);
    assert_eq!(verified(&both), signed(&["A", "B"]));
    let no_ids = json!({"payload": BODY, "payloadType": IN_TOTO, "signatures": [{"sig": SIG_B}, {"sig": SIG_A}]});
    assert_eq!(verified(&no_ids), signed(&["A", "B"]));
}

#[test]
fn the_published_vectors_that_do_not_hold() {
    let other_type = envelope(BODY, "application/vnd.example.other+json", &[("A", SIG_A)]);
    assert_eq!(verified(&other_type), Verified::Untrusted);
    // One key that signs twice is one key, under whatever ids.
    let twice = envelope(BODY, IN_TOTO, &[("A", SIG_A), ("B", SIG_A)]);
    assert_eq!(verified(&twice), signed(&["A"]));
    let empty_type = envelope(BODY, "", &[("A", SIG_A)]);
    assert!(Envelope::parse(empty_type.to_string().as_bytes()).is_err());
}

fn statement() -> Statement {
    Statement {
        subject: vec![
            Resource::git_tree("tree", &"a".repeat(40)),
            Resource::sha256("patch", &"b".repeat(64)),
        ],
        predicate: Predicate::TestResult(TestResult {
            result: TestOutcome::Failed,
            configuration: vec![Resource::sha256("policy", &"c".repeat(64))],
            passed_tests: vec!["one".to_owned()],
            warned_tests: Vec::new(),
            failed_tests: vec!["two".to_owned()],
        }),
    }
}

fn provenance() -> Statement {
    Statement {
        subject: statement().subject,
        predicate: Predicate::Provenance(Provenance {
            build_definition: BuildDefinition {
                build_type: "urn:x".to_owned(),
                external_parameters: json!({"gates": ["G5"]}).as_object().unwrap().clone(),
                internal_parameters: serde_json::Map::new(),
                resolved_dependencies: vec![Resource::git_commit("base", &"d".repeat(40))],
            },
            run_details: RunDetails {
                builder: Builder {
                    id: "urn:y".to_owned(),
                    version: serde_json::Map::new(),
                    builder_dependencies: Vec::new(),
                },
                metadata: Metadata {
                    invocation_id: Some("EVT-1".to_owned()),
                    started_on: Some("2026-01-02T03:04:05Z".to_owned()),
                    finished_on: None,
                },
                byproducts: vec![Resource::sha256("manifest", &"e".repeat(64))],
            },
        }),
    }
}

#[test]
fn what_is_signed_comes_back_and_a_changed_byte_does_not() {
    let mut envelope = Envelope::of(&statement()).unwrap();
    assert_eq!(envelope.verify(by_trial), Verified::Unsigned);
    for name in ["B", "A"] {
        let sign = |bytes: &[u8]| Ok(key(name).sign(bytes).to_bytes().to_vec());
        envelope.sign(name, sign).unwrap();
    }
    let mut read = Envelope::parse(&envelope.to_bytes().unwrap()).unwrap();
    assert_eq!(read, envelope);
    assert_eq!(read.verify(by_trial), signed(&["A", "B"]));
    assert_eq!(read.statement().unwrap(), statement());
    for at in 0..read.payload.len() {
        read.payload[at] ^= 1;
        assert_eq!(read.verify(by_trial), Verified::Untrusted, "byte {at}");
        read.payload[at] ^= 1;
    }
    read.signatures.clear();
    // Somebody who would believe anything finds nothing to believe.
    let gullible = read.verify(|_, _, _| Some("A".to_owned()));
    assert_eq!(gullible, Verified::Unsigned);
}

#[test]
fn signing_twice_or_with_nothing_is_refused() {
    let mut envelope = Envelope::of(&statement()).unwrap();
    assert!(envelope.sign("", |_| Ok(vec![1])).is_err());
    assert!(envelope.sign("A", |_| Ok(Vec::new())).is_err());
    let failed = envelope.sign("A", |_| {
        Err(crate::problem::Problem::fail("NO_KEY", "there is no key"))
    });
    assert_eq!(failed.unwrap_err().code, "NO_KEY");
    assert!(envelope.signatures.is_empty());
    envelope.sign("A", |_| Ok(vec![1])).unwrap();
    assert!(envelope.sign("A", |_| Ok(vec![2])).is_err());
    assert_eq!(envelope.signatures.len(), 1);
}

#[test]
fn malformed_envelopes_are_refused() {
    let good = envelope(BODY, IN_TOTO, &[("A", SIG_A)]).to_string();
    assert!(Envelope::parse(good.as_bytes()).is_ok());
    let with_more = good.replacen('{', "{\"later\":1,", 1);
    assert!(
        Envelope::parse(with_more.as_bytes()).is_ok(),
        "unknown fields are passed over"
    );
    let of = |payload: &str| envelope(payload, IN_TOTO, &[]).to_string();
    for (text, what) in [
        (of("YQ"), "no padding"),
        (of("YQ=="), "fine"),
        (of("YR=="), "bits beyond the end"),
        (of("YQ==\n"), "a line end"),
        (of(" YQ=="), "a blank"),
        (of("-/8="), "two alphabets"),
        (of("YQ==YQ=="), "two texts"),
        (of("Y\u{e4}=="), "no ASCII"),
        (
            good.replacen('{', "{\"payload\":\"YQ==\",", 1),
            "a key twice",
        ),
        (
            good.replacen("{\"keyid\"", "{\"sig\":\"YQ==\",\"keyid\"", 1),
            "a key twice, inside",
        ),
        (
            good.replacen('{', "{\"x\":{\"y\":1,\"\\u0079\":2},", 1),
            "a key twice, elsewhere",
        ),
        (good.replacen(IN_TOTO, &"t".repeat(300), 1), "a long type"),
        (format!("{good}{good}"), "two documents"),
        (format!("[{good}]"), "a list"),
        (
            r#"{"payload":"","payloadType":"t"}"#.to_owned(),
            "no signatures field",
        ),
        (
            r#"{"payload":"","payloadType":"t","signatures":null}"#.to_owned(),
            "null",
        ),
        (
            r#"{"payload":"","payloadType":"t","signatures":[{}]}"#.to_owned(),
            "no sig",
        ),
        (
            r#"{"payload":"","payloadType":"t","signatures":[{"sig":""}]}"#.to_owned(),
            "empty sig",
        ),
        (
            envelope("", "t", &[("A", "YQ=="); 65]).to_string(),
            "too many signatures",
        ),
        ("[".repeat(100_000), "depth"),
    ] {
        let refused = Envelope::parse(text.as_bytes()).is_err();
        assert_eq!(refused, what != "fine", "{what}");
    }
    let large = vec![b' '; dsse::MAX_BYTES + 1];
    assert!(
        Envelope::parse(&large)
            .unwrap_err()
            .message
            .contains("at most")
    );
}

#[test]
fn statements_have_the_specified_form() {
    let value: Value = serde_json::from_slice(&statement().to_bytes().unwrap()).unwrap();
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "tree", "digest": {"gitTree": "a".repeat(40)}},
            {"name": "patch", "digest": {"sha256": "b".repeat(64)}},
        ],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": "FAILED",
            "configuration": [{"name": "policy", "digest": {"sha256": "c".repeat(64)}}],
            "passedTests": ["one"], "warnedTests": [], "failedTests": ["two"],
        },
    });
    assert_eq!(value, expected);
    let value: Value = serde_json::from_slice(&provenance().to_bytes().unwrap()).unwrap();
    assert_eq!(value["predicateType"], PROVENANCE);
    let expected = json!({
        "buildDefinition": {
            "buildType": "urn:x", "externalParameters": {"gates": ["G5"]},
            "resolvedDependencies": [{"name": "base", "digest": {"gitCommit": "d".repeat(40)}}],
        },
        "runDetails": {
            "builder": {"id": "urn:y"},
            "metadata": {"invocationId": "EVT-1", "startedOn": "2026-01-02T03:04:05Z"},
            "byproducts": [{"name": "manifest", "digest": {"sha256": "e".repeat(64)}}],
        },
    });
    assert_eq!(value["predicate"], expected);
    for statement in [statement(), provenance()] {
        let bytes = statement.to_bytes().unwrap();
        assert_eq!(Statement::parse(&bytes).unwrap(), statement);
    }
}

#[test]
fn statements_that_say_nothing_or_two_things_are_refused() {
    let good: Value = serde_json::from_slice(&statement().to_bytes().unwrap()).unwrap();
    let parse = |value: &Value| Statement::parse(value.to_string().as_bytes());
    let changed = |pointer: &str, to: Value| {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = to;
        parse(&value)
    };
    assert!(parse(&good).is_ok());
    assert!(
        changed(
            "/subject/0/digest",
            json!({"gitTree": "a".repeat(64), "md9": "x"})
        )
        .is_ok()
    );
    for (pointer, to) in [
        ("/_type", json!("https://in-toto.io/Statement/v0.1")),
        ("/subject", json!([])),
        ("/subject/0/digest", json!({})),
        (
            "/subject/0/digest",
            json!({"md5": "d41d8cd98f00b204e9800998ecf8427e"}),
        ),
        ("/subject/0/digest/gitTree", json!("A".repeat(40))),
        ("/subject/0/digest/gitTree", json!("a".repeat(39))),
        ("/subject/1/name", json!("tree")),
        (
            "/predicateType",
            json!("https://in-toto.io/attestation/test-result/v0.2"),
        ),
        ("/predicateType", json!(PROVENANCE)),
        ("/predicate", json!(null)),
        ("/predicate/result", json!("PASSED")),
        ("/predicate/result", json!("passed")),
        ("/predicate/configuration", json!([{"name": "x"}])),
        ("/predicate/failedTests", json!([""])),
        ("/predicate/failedTests", json!(null)),
    ] {
        let problem = changed(pointer, to.clone()).unwrap_err();
        assert_eq!(problem.code, "ATTESTATION_INVALID", "{pointer} {to}");
    }
    let twice = good
        .to_string()
        .replacen("\"result\":", "\"result\":\"PASSED\",\"result\":", 1);
    assert!(Statement::parse(twice.as_bytes()).is_err());
}
