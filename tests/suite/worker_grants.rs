//! What a worker may take out of the inbox, and by whose word.

use serde_json::{Value, json};

use crate::worker::{NAME, bench, drafted, events, lock, worker};

fn rule() -> Value {
    json!({"claims": "granted", "owner": NAME, "approval": "worker-move"})
}

fn grant() -> Value {
    json!({
        "id": "worker-move", "actors": ["system"], "tool_classes": ["MOVE"], "approved_by": "Op <op@baton.example>",
        "approved_at": "2026-01-01T00:00:00Z", "until": "2036-01-01T00:00:00Z", "reason": "The worker claims."
    })
}

#[test]
fn moves_nothing_out_of_the_inbox_without_a_grant_in_its_name() {
    let bench = bench("", |_| {});
    bench.submit("T-1", "src/**");
    assert_eq!(worker(&bench, &["--once"]).expect(0)["drafted"], 0);
    assert!(bench.task("inbox", "T-1").is_dir());
    bench.policy(|policy| {
        policy["draft"]["worker"] = rule();
        let grant = grant();
        policy["standing_approvals"]
            .as_array_mut()
            .unwrap()
            .push(grant);
    });
    let other = bench.baton(["worker", "--once", "--owner", "another"]);
    assert_eq!(other.expect(3)["code"], "NOT_GRANTED");
    assert!(bench.task("inbox", "T-1").is_dir());
    assert_eq!(worker(&bench, &["--once"]).expect(0)["drafted"], 1);
    assert_eq!(drafted(&bench.task("work", "T-1")), 4);
    for event in events(&bench, "T-1") {
        let moves = event["from_state"] != event["to_state"] && event["action"] != "TASK_SUBMITTED";
        assert_eq!(moves, event["actor"] == "system", "{event}");
        if moves {
            let approvals = event["approvals"].to_string();
            assert!(approvals.contains("standing=worker-move"), "{approvals}");
        }
    }
    bench.baton(["run", "T-1"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_grant_is_for_the_system_and_for_one_worker_and_for_nothing_else() {
    let (rule, grant) = (rule(), grant());
    type Edit = fn(&mut Value, &mut Value);
    let cases: [(Edit, &str); 6] = [
        (
            |rule, _| rule["approval"] = "nothing".into(),
            "no standing approval",
        ),
        (
            |rule, _| rule["approval"] = "standing-move".into(),
            "nothing else",
        ),
        (
            |_, grant| grant["actors"] = json!(["human"]),
            "nothing else",
        ),
        (
            |_, grant| grant["tool_classes"] = json!(["EXEC"]),
            "nothing else",
        ),
        (|rule, _| rule["owner"] = Value::Null, "must say to whom"),
        (
            |rule, _| rule["claims"] = "claimed_only".into(),
            "are not \"granted\"",
        ),
    ];
    let bench = bench("", |_| {});
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    let policy: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (edit, expected) in cases {
        let (mut rule, mut grant, mut policy) = (rule.clone(), grant.clone(), policy.clone());
        edit(&mut rule, &mut grant);
        policy["draft"]["worker"] = rule;
        policy["standing_approvals"]
            .as_array_mut()
            .unwrap()
            .push(grant);
        std::fs::write(&path, policy.to_string()).unwrap();
        let said = worker(&bench, &["--once"]).expect(1);
        assert_eq!(said["code"], "POLICY_INVALID", "{said}");
        assert!(
            said["message"].as_str().unwrap().contains(expected),
            "{said}"
        );
    }
}

#[test]
fn with_a_grant_a_task_that_failed_often_enough_goes_to_blocked() {
    let bench = bench("exit 7", |policy| {
        policy["caps"]["max_attempts"] = 1.into();
        policy["draft"]["worker"] = rule();
        let grant = grant();
        policy["standing_approvals"]
            .as_array_mut()
            .unwrap()
            .push(grant);
    });
    bench.submit("T-1", "src/**");
    let said = worker(&bench, &["--once"]).expect(1);
    assert_eq!((&said["refused"], &said["left"]), (&json!(1), &json!([])));
    assert!(bench.task("blocked", "T-1/incident").is_dir());
    assert!(!lock(&bench, "blocked", "T-1").exists());
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_grant_that_is_over_moves_nothing() {
    let bench = bench("", |policy| {
        policy["draft"]["worker"] = rule();
        let mut grant = grant();
        grant["until"] = "2026-01-02T00:00:00Z".into();
        let standing = policy["standing_approvals"].as_array_mut().unwrap();
        standing.push(grant);
    });
    bench.submit("T-1", "src/**");
    let said = worker(&bench, &["--once"]).expect(3);
    assert_eq!(said["code"], "APPROVAL_REQUIRED", "{said}");
    assert!(bench.task("inbox", "T-1").is_dir());
}
