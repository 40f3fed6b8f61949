//! A changed policy counts only once a person has seen and accepted every decision that it flips.

use serde_json::{Value, json};

use crate::support::Bench;

fn policy_file(bench: &Bench) -> std::path::PathBuf {
    bench.root().join(".autodev_ssot/POLICY.json")
}

/// Writes a changed policy beside the repository and returns its path.
fn changed(bench: &Bench, name: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut policy: Value =
        serde_json::from_slice(&std::fs::read(policy_file(bench)).unwrap()).unwrap();
    edit(&mut policy);
    let path = bench.patch_file(name, &policy.to_string());
    path.to_str().unwrap().to_owned()
}

fn with_zone(policy: &mut Value) {
    let zone = json!({
        "id": "zone-app", "glob": "src/app.sh", "reason": "The program itself.",
        "match": ["src/app.sh"], "no_match": ["src/other.sh"]
    });
    policy["protected_zones"].as_array_mut().unwrap().push(zone);
}

#[test]
fn an_edited_policy_decides_nothing_until_it_is_accepted() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let path = policy_file(&bench);
    let mut policy: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    policy["caps"]["lease_seconds"] = 901.into();
    std::fs::write(&path, policy.to_string()).unwrap();
    let refused = bench.baton(["claim-lock", "--task", "T-1"]);
    assert_eq!(refused.code, 1);
    assert_eq!(refused.findings(), ["POLICY_NOT_ACCEPTED"]);
    assert!(bench.task("inbox", "T-1").is_dir());
    // Reading goes on, and what it says is of the policy that lies there.
    bench.baton(["queue-scan"]).expect(0);
    let agent = bench.baton(["policy", "accept", "--actor", "openclaw"]);
    assert_eq!(
        (agent.code, &agent.json()["code"]),
        (3, &"HUMAN_ONLY".into())
    );
    let none = bench.baton(["policy", "rehearse"]).expect(0);
    assert_eq!(none["flips"], json!([]));
    bench.baton(["policy", "accept"]).expect(0);
    bench.baton(["claim-lock", "--task", "T-1"]).expect(0);
    let record = std::fs::read(bench.root().join(".autodev_ssot/POLICY_ACCEPTED.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["policy_sha256"], none["after"]);
    assert_eq!(record["before_sha256"], none["before"]);
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    let line = log.lines().find(|line| line.contains("POLICY_ACCEPTED"));
    assert!(line.unwrap().contains(none["after"].as_str().unwrap()));
}

#[test]
fn every_decision_that_flips_is_listed_and_accepted_by_its_digest() {
    let bench = Bench::with_waiting();
    let stricter = changed(&bench, "stricter.json", with_zone);
    let listed = bench.baton(["policy", "rehearse", &stricter]).expect(1);
    let flip = &listed["flips"][0];
    assert_eq!(listed["flips"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        (&flip["what"], &flip["from"], &flip["to"]),
        (&"T-1".into(), &"AUTO_MERGE".into(), &"PR_ONLY".into())
    );
    for digest in [&[][..], &["--digest", "0000"]] {
        let refused = bench.baton([&["policy", "accept", &stricter], digest].concat());
        assert_eq!(refused.code, 3);
        assert_eq!(refused.json()["code"], "FLIPS_NOT_ACCEPTED");
    }
    let digest = listed["digest"].as_str().unwrap();
    bench
        .baton(["policy", "accept", &stricter, "--digest", digest])
        .expect(0);
    let table = std::fs::read_to_string(bench.root().join(".autodev_ssot/POLICY.md")).unwrap();
    assert!(table.contains("zone-app"), "POLICY.md says what counts now");
    // The way back is a flip as well, and the looser one.
    let looser = changed(&bench, "looser.json", |policy| {
        policy["protected_zones"].as_array_mut().unwrap().pop();
    });
    let ran = bench.baton(["policy", "rehearse", &looser]);
    assert_eq!(ran.expect(1)["flips"][0]["to"], "AUTO_MERGE");
    // A rehearsal of another policy is no acceptance of this one.
    let refused = bench.baton(["policy", "accept", &looser, "--digest", digest]);
    assert_eq!(refused.code, 3);
}

#[test]
fn no_hostile_change_would_land_and_what_a_policy_stops_seeing_is_listed() {
    let bench = Bench::new();
    let same = bench.baton(["policy", "rehearse"]).expect(0);
    assert!(same["hostile"].as_u64().unwrap() >= 28, "{same}");
    assert_eq!(same["let_through"], json!([]));
    // Without rules on content and zones, most of it would be let through: each one is named.
    let blind = changed(&bench, "blind.json", |policy| {
        policy["risk_rules"] = json!([]);
        policy["lockfiles"] = json!([]);
    });
    let listed = bench.baton(["policy", "rehearse", &blind]).expect(1);
    let flips = listed["flips"].as_array().unwrap();
    let loosened = |flip: &&Value| {
        flip["what"]
            .as_str()
            .unwrap()
            .contains("hostile: a lockfile")
    };
    assert!(flips.iter().any(|flip| loosened(&flip)), "{listed}");
    assert!(!listed["let_through"].as_array().unwrap().is_empty());
    // One's own samples are judged beside them.
    let folder = bench.scratch("samples");
    std::fs::create_dir(&folder).unwrap();
    let own = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    std::fs::write(folder.join("harmless.patch"), own).unwrap();
    let folder = folder.to_str().unwrap();
    let more = bench
        .baton(["policy", "rehearse", "--hostile", folder])
        .expect(0);
    assert_eq!(more["let_through"], json!(["hostile: harmless.patch"]));
    assert_eq!(
        more["hostile"].as_u64().unwrap(),
        same["hostile"].as_u64().unwrap() + 1
    );
}

#[test]
fn a_record_that_is_gone_or_a_kept_policy_that_was_changed_is_an_error() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let record = bench.root().join(".autodev_ssot/POLICY_ACCEPTED.json");
    let text = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    let refused = bench.baton(["claim-lock", "--task", "T-1"]);
    assert_eq!(refused.findings(), ["POLICY_NOT_ACCEPTED"]);
    std::fs::write(&record, text).unwrap();
    let kept = std::fs::read_dir(bench.queue().join("policies")).unwrap();
    for entry in kept.map(|entry| entry.unwrap().path().join("POLICY.json")) {
        let text = std::fs::read_to_string(&entry).unwrap();
        std::fs::write(&entry, text.replace("900", "901")).unwrap();
    }
    let refused = bench.baton(["policy", "rehearse"]);
    assert_eq!(
        (refused.code, &refused.json()["code"]),
        (1, &"POLICY_INVALID".into())
    );
}
