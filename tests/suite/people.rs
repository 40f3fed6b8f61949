//! In whose name a landing stands, and how it is signed.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::Bench;

fn landed(landing: &Value) -> Bench {
    let bench = Bench::new();
    bench.policy(|policy| {
        for (key, value) in landing.as_object().unwrap() {
            policy["landing"][key] = value.clone();
        }
    });
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    bench
}

#[test]
fn the_operator_is_whom_git_would_name() {
    let bench = Bench::with_waiting();
    // Of several names git takes the last one, and an empty one is none.
    bench.git(&["config", "--replace-all", "user.name", "First"]);
    bench.git(&["config", "--add", "user.name", "  Last  "]);
    bench.git(&["config", "user.email", ""]);
    bench.baton(["approve", "T-1"]).expect(0);
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    assert!(log.contains("Last <baton@localhost>"), "{log}");
    assert!(!log.contains("First"), "{log}");
}

#[test]
fn the_operator_is_whom_git_would_name_from_any_place_of_settings() {
    let ada = "[user]\n\tname = Ada\n\temail = ada@baton.example\n";
    let own = "baton <baton@localhost>";
    for (variable, value, expected) in [
        ("XDG_CONFIG_HOME", "xdg", "Ada <ada@baton.example>"),
        (
            "GIT_CONFIG_GLOBAL",
            "xdg/git/config",
            "Ada <ada@baton.example>",
        ),
        ("GIT_CONFIG_GLOBAL", "/dev/null", own),
        // A file of the checkout is what changes write.
        ("GIT_CONFIG_GLOBAL", ".ada", own),
        // What is said for one command is not where the user's settings are.
        ("GIT_CONFIG_PARAMETERS", "'user.name'='Ada'", own),
        ("GIT_COMMITTER_NAME", "Ada", own),
    ] {
        let bench = Bench::with_waiting();
        bench.git(&["config", "--remove-section", "user"]);
        let config = bench.scratch("xdg/git/config");
        std::fs::create_dir_all(config.parent().unwrap()).unwrap();
        std::fs::write(&config, ada).unwrap();
        bench.write(".ada", ada);
        let place = bench.scratch(value);
        let value = match place.exists() {
            true => place.to_str().unwrap(),
            false => value,
        };
        for line in [["approve", "T-1"], ["run", "T-1"]] {
            let ran = bench.command(line).env(variable, value).output().unwrap();
            ran_well(&ran);
        }
        let said = ["log", "-1", "--format=%cn <%ce>%n%B", "main"];
        let said = bench.git(&said);
        assert!(said.starts_with(expected), "{variable}={value}: {said}");
        let trailer = format!("Baton-Approved-By: {expected}");
        assert!(said.contains(&trailer), "{variable}={value}: {said}");
    }
}

fn ran_well(output: &std::process::Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn author_and_committer_are_whom_the_policy_names() {
    for (landing, expected) in [
        (
            json!({}),
            "baton (human) <baton@localhost>|Op <op@baton.example>",
        ),
        (
            json!({"author": "operator", "committer": "agent"}),
            "Op <op@baton.example>|baton (human) <baton@localhost>",
        ),
        (
            json!({"author": {"name": "A Bot", "email": "bot@x.example"}, "committer": "operator"}),
            "A Bot <bot@x.example>|Op <op@baton.example>",
        ),
    ] {
        let bench = landed(&landing);
        bench.baton(["run", "T-1"]).expect(0);
        let people = bench.git(&["log", "-1", "--format=%an <%ae>|%cn <%ce>", "main"]);
        assert_eq!(people, expected);
        let text = bench.git(&["log", "-1", "--format=%B", "main"]);
        for trailer in [
            "Baton-Task: T-1",
            "Baton-Decision: AUTO_MERGE",
            "Baton-Event: EVT-",
            "Baton-Approved-By: Op <op@baton.example>",
        ] {
            assert!(text.contains(trailer), "{text}");
        }
    }
}

#[test]
fn a_landing_is_signed_with_the_operators_own_key() {
    let bench = landed(&json!({"sign": "ssh"}));
    let refused = bench.baton(["run", "T-1"]);
    assert!(
        refused.findings().contains(&"SIGNING_FAILED".to_owned()),
        "{}",
        refused.stdout
    );
    assert!(
        bench.task("pr", "T-1").is_dir(),
        "what only waits is not blocked"
    );
    let key = bench.home().join("key");
    let made = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "op@baton.example",
            "-f",
        ])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    // The repository may not say which key signs, or which program.
    bench.git(&["config", "user.signingKey", key.to_str().unwrap()]);
    let refused = bench.baton(["run", "T-1"]);
    assert!(
        refused.findings().contains(&"SIGNING_FAILED".to_owned()),
        "{}",
        refused.stdout
    );
    bench.git(&["config", "--global", "user.signingKey", "~/key"]);
    bench.baton(["run", "T-1"]).expect(0);
    let public = std::fs::read_to_string(bench.home().join("key.pub")).unwrap();
    let signers = bench.scratch("signers");
    std::fs::write(&signers, format!("op@baton.example {public}")).unwrap();
    let allowed = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    bench.git(&["-c", &allowed, "verify-commit", "main"]);
    bench.baton(["verify", "T-1"]).expect(0);
}
