use serde_json::{Value, json};

use super::*;

const TEXT: &str = include_str!("../../../../ssot/POLICY.json");

/// The default policy with one part of it replaced, read again.
fn with(pointer: &str, part: Value) -> Result<Policy, Problem> {
    let mut value: Value = serde_json::from_str(TEXT).unwrap();
    *value.pointer_mut(pointer).unwrap() = part;
    Policy::parse(value.to_string().as_bytes())
}

/// The risk rules as they stand in the default policy.
fn list() -> &'static str {
    let list = &TEXT[TEXT.find("\"risk_rules\": [").unwrap() + "\"risk_rules\": ".len()..];
    let after = risk_rules::list(list).unwrap().1;
    &list[..list.len() - after.len()]
}

fn at(text: &str) -> SystemTime {
    instant(text).unwrap()
}

#[test]
fn the_default_policy_is_read() {
    let policy = Policy::parse(TEXT.as_bytes()).unwrap();
    assert_eq!(policy.sha256, digest::sha256(TEXT.as_bytes()));
    let written = policy.to_json().unwrap();
    let again = Policy::parse(written.as_bytes()).unwrap();
    assert_eq!(again.render_markdown(), policy.render_markdown());
    // The rules are written as they were read, letter for letter, or they would not be known.
    assert!(written.contains(list()));
}

#[test]
fn what_nobody_would_see_is_written_as_an_escape() {
    let hidden = "a\u{a0}b\u{200b}c\u{e0041}d\u{202e}\u{e9}\u{1f980}";
    let policy = with("/risk_rules/0/reason", json!(hidden)).unwrap();
    let text = policy.to_json().unwrap();
    let shown = "a\\u00a0b\\u200bc\\udb40\\udc41d\\u202e\u{e9}\u{1f980}";
    assert!(text.contains(shown), "{text:.2000}");
    assert_eq!(
        Policy::parse(text.as_bytes()).unwrap().risk_rules[0].reason,
        hidden
    );
}

#[test]
fn only_the_policys_own_rules_are_taken() {
    let default = Policy::parse(TEXT.as_bytes()).unwrap();
    let other = "[ \\\"risk_rules\\\": [] ]";
    let said = TEXT.replacen("Looking changes nothing.", other, 1);
    assert!(said != TEXT);
    let policy = Policy::parse(said.as_bytes()).unwrap();
    assert_eq!(policy.risk_rules, default.risk_rules);
    // The name of a field may be written in another way, and the rules are not seen at once.
    let escaped = TEXT.replacen("\"risk_rules\"", "\"risk\\u005frules\"", 1);
    assert!(risk_rules::cut_out(&escaped).is_none());
    assert_eq!(
        Policy::parse(escaped.as_bytes()).unwrap().risk_rules,
        default.risk_rules
    );
    // A list of that name that stands elsewhere, before or instead.
    for (from, to) in [
        ("\"env\": {}", "\"env\": {\"risk_rules\": []}"),
        ("\"openclaw\": {", "\"openclaw\": {\"risk_rules\": [],"),
        ("\"risk_rules\": [", "\"risk_rules\" [: "),
        ("\"risk_rules\": [", "\"risk_rules\": [[[\"\\"),
    ] {
        let text = TEXT.replacen(from, to, 1);
        assert!(text != TEXT, "{from}");
        let problem = Policy::parse(text.as_bytes()).unwrap_err();
        assert_eq!(problem.code, "POLICY_INVALID", "{to}");
    }
}

#[test]
fn a_rule_that_baton_comes_with_is_known_and_is_what_it_says() {
    let text = list();
    let parsed: Vec<RiskRule> = serde_json::from_str(text).unwrap();
    assert_eq!(risk_rules::list(text).unwrap(), (parsed.clone(), ""));
    let known = (0..).map_while(known::rule).collect::<Vec<_>>();
    assert_eq!(known, parsed);
    assert!(parsed.iter().all(RiskRule::is_shipped));
    for mut rule in parsed.clone() {
        rule.reason = "another".into();
        assert!(!rule.is_shipped(), "{}", rule.id);
    }
    // Each is found from wherever the last one stood, and none by a part of it.
    let inner = text.trim_matches(['[', ']', '\n', ' ']);
    for (number, rule) in inner.split(",\n    {").enumerate() {
        let rule = format!("{{{}", rule.trim_start_matches('{'));
        for next in [0, number, number + 1, parsed.len(), usize::MAX] {
            assert_eq!(known::at(&rule, next), Some((number, rule.len())), "{rule}");
        }
        assert_eq!(known::at(&rule[..rule.len() - 1], number), None);
        assert_eq!(known::at(&rule[1..], number), None);
    }
}

#[test]
fn known_rules_and_others_are_read_beside_each_other() {
    let list = list();
    let values: Vec<Value> = serde_json::from_str(list).unwrap();
    let own = list
        .split(",\n    {")
        .nth(1)
        .map(|rule| format!("{{{rule}"))
        .unwrap();
    let mut other = values[0].clone();
    other["id"] = json!("of-our-own");
    let edited = own.replacen("\"severity\": \"", "\"severity\":  \"", 1);
    assert_ne!(edited, own);
    for (text, want) in [
        ("[]".to_owned(), json!([])),
        (format!("[{own}]"), json!([values[1]])),
        (format!(" [{own}]").trim().to_owned(), json!([values[1]])),
        (format!("[\n{other} ,\t{own}\r]"), json!([other, values[1]])),
        (format!("[{own},{other}]"), json!([values[1], other])),
        (format!("[{edited}]"), json!([values[1]])),
    ] {
        let want: Vec<RiskRule> = serde_json::from_value(want).unwrap();
        let text = format!("{text}, \"more\": [\"]\"]");
        let (rules, after) = risk_rules::list(&text).unwrap();
        assert_eq!((rules, after), (want, ", \"more\": [\"]\"]"), "{text}");
    }
    let mut wrong = other.clone();
    wrong["severity"] = json!("INFO");
    for text in [
        format!("[{own} {other}]"),
        format!("[{own},]"),
        format!("[,{own}]"),
        format!("[{own}}}]"),
        format!("[{own},{wrong}]"),
        format!("[{own}\u{c}]"),
        format!("[{own}"),
        format!("{own}]"),
        format!("[{}]", vec![&*own; 2001].join(",")),
        "[1]".to_owned(),
    ] {
        assert!(risk_rules::list(&text).is_none(), "{text:.200}");
    }
    let twice = TEXT.replacen(list, &format!("[{own},{own}]"), 1);
    let problem = Policy::parse(twice.as_bytes()).unwrap_err();
    assert!(problem.message.contains("is there twice"), "{problem}");
}

#[test]
fn what_is_wrong_with_a_risk_rule_is_told_with_its_place() {
    let first: Value = serde_json::from_str::<Value>(TEXT).unwrap()["risk_rules"][0].clone();
    for (part, place) in [
        (json!([first, first]), "is there twice"),
        (json!([first, {"id": "x"}]), "$.risk_rules[1]"),
        (json!([1]), "$.risk_rules[0]"),
        (json!([{"reason": "a \"]\" [ \\"}]), "$.risk_rules[0]"),
    ] {
        let problem = with("/risk_rules", part).unwrap_err();
        assert_eq!(problem.code, "POLICY_INVALID", "{problem}");
        assert!(problem.message.contains(place), "{problem}");
    }
}

#[test]
fn a_policy_whose_rules_are_known_is_held_to_everything_else() {
    let twice = "\"risk_rules\": [], \"risk_rules\":";
    for (from, to, code) in [
        (
            "\"MOVE\": \"deny\"",
            "\"MOVE\": \"allow\"",
            "POLICY_LOOSENED",
        ),
        (
            "\"landing\":",
            "\"more\": 1, \"landing\":",
            "POLICY_INVALID",
        ),
        ("\"risk_rules\":", twice, "POLICY_INVALID"),
        ("\"risk_rules\":", "\"no_rules\":", "POLICY_INVALID"),
        (
            "\"schema_version\": \"1.0.0\"",
            "\"schema_version\": 1",
            "POLICY_INVALID",
        ),
    ] {
        let text = TEXT.replacen(from, to, 1);
        assert!(text != TEXT, "{from}");
        let problem = Policy::parse(text.as_bytes()).unwrap_err();
        assert_eq!(problem.code, code, "{to}");
        let whole = Policy::whole(text.as_bytes()).unwrap_err();
        assert_eq!(problem.message, whole.message);
    }
}

#[test]
fn the_floor_cannot_be_loosened() {
    for (pointer, part) in [
        ("/actors/openclaw/MOVE", json!("allow")),
        ("/actors/openclaw/EXEC", json!("limited")),
        ("/actors/openclaw/PR", json!("allow")),
        ("/actors/openclaw/MERGE", json!("allow")),
        ("/actors/openclaw/EXTERNAL", json!("allow")),
        ("/needs_approval/READ", json!(false)),
        ("/needs_approval/COSTLY", json!(false)),
        ("/standing_approvals/0/tool_classes", json!(["PR"])),
        ("/standing_approvals/0/tool_classes", json!(["MERGE"])),
        ("/standing_approvals/0/tool_classes", json!(["EXTERNAL"])),
        ("/decision_rules/0/then", json!("PR_ONLY")),
        ("/decision_rules/1/then", json!("AUTO_MERGE")),
        ("/decision_rules/2/then", json!("PR_ONLY")),
        ("/decision_rules/3/then", json!("PR_ONLY")),
        ("/decision_rules/0/when", json!("otherwise")),
        ("/decision_rules", json!([])),
        ("/gates/0/required", json!(false)),
        ("/gates/3/kind", json!("command")),
        ("/gates/6/kind", json!("command")),
    ] {
        let problem = with(pointer, part.clone()).unwrap_err();
        assert_eq!(problem.code, "POLICY_LOOSENED", "{pointer} {part}");
    }
}

#[test]
fn what_is_no_policy_is_refused() {
    for (pointer, part) in [
        ("/isolation", json!({"minimum": "I3", "more": 1})),
        ("/isolation/minimum", json!("I9")),
        ("/gates/0/id", json!("G1")),
        ("/gates", json!([])),
        ("/recovery", json!([])),
        ("/decision_rules/8/then", json!("NA")),
        ("/deny_paths/0/id", json!("deny-pem")),
        ("/deny_paths/0/no_match", json!([])),
        ("/risk_rules/0/severity", json!("INFO")),
        // A rule for every file needs a word that calls it up.
        (
            "/risk_rules/0",
            json!({
                "id": "x", "kind": "payload", "severity": "LOW", "where": {}, "keywords": [],
                "pattern": "x", "reason": "r", "match": ["x"], "no_match": ["y"]
            }),
        ),
        ("/secret_rules/files", json!([])),
        ("/caps/lease_seconds", json!(0)),
        ("/standing_approvals/0/until", json!("2026-01-01T00:00:00Z")),
        ("/standing_approvals/0/until", json!("2027-02-30T00:00:00Z")),
    ] {
        let problem = with(pointer, part.clone()).unwrap_err();
        assert_eq!(problem.code, "POLICY_INVALID", "{pointer} {part}");
    }
    for (from, to) in [
        (
            "\"landing\":",
            "\"landing\": {\"target\": \"x\", \"branch_prefix\": \"y\"}, \"landing\":",
        ),
        ("\"env\": {}", "\"env\": {\"A\": \"1\", \"A\": \"2\"}"),
    ] {
        let problem = Policy::parse(TEXT.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(problem.code, "POLICY_INVALID", "{to}");
    }
}

#[test]
fn what_lands_goes_to_a_branch() {
    for target in ["main", "release/1.0", "feature/é#1"] {
        with("/landing/target", json!(target)).unwrap();
    }
    for (field, name) in [
        ("target", "main@{0}"),
        ("target", "main~1"),
        ("target", "a..b"),
        ("target", "x.lock"),
        ("target", "HEAD"),
        ("target", "a\u{a0}b"),
        ("branch_prefix", "a..b/"),
        ("branch_prefix", "a//"),
        ("branch_prefix", "a.lock/"),
    ] {
        let problem = with(&format!("/landing/{field}"), json!(name)).unwrap_err();
        assert_eq!(problem.code, "POLICY_INVALID", "{field} {name}");
        assert!(problem.message.contains("expected one"), "{problem}");
    }
}

#[test]
fn a_secret_file_is_held_to_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let rules = with("/secret_rules/allow_comments", json!(true))
        .unwrap()
        .secret_rules;
    let name = &rules.files[0].path;
    let problem = rules.read(folder.path(), 1 << 20).unwrap_err();
    assert_eq!(problem.code, "SECRET_RULES_MISSING");
    let text = include_bytes!("../../../../ssot/SECRET_RULES.toml");
    std::fs::write(folder.path().join(name), text).unwrap();
    assert_eq!(rules.read(folder.path(), 1 << 20).unwrap()[0].1, text);
    std::fs::write(folder.path().join(name), b"# all is well\n").unwrap();
    let problem = rules.read(folder.path(), 1 << 20).unwrap_err();
    assert_eq!(problem.code, "SECRET_RULES_CHANGED");
    assert!(
        problem.message.contains(&rules.files[0].sha256),
        "{problem}"
    );
}

#[test]
fn authority_is_matrix_then_standing_approval_then_waiting() {
    let policy = Policy::parse(TEXT.as_bytes()).unwrap();
    let now = at("2026-06-01T00:00:00Z");
    for (actor, class, expected) in [
        (Actor::Openclaw, ToolClass::Read, ApprovalState::Approved),
        (Actor::Openclaw, ToolClass::Move, ApprovalState::Denied),
        (Actor::Openclaw, ToolClass::Merge, ApprovalState::Denied),
        (Actor::System, ToolClass::Exec, ApprovalState::Approved),
        (Actor::System, ToolClass::Merge, ApprovalState::Denied),
        (Actor::Human, ToolClass::Merge, ApprovalState::Pending),
        (Actor::Human, ToolClass::Costly, ApprovalState::Pending),
        (Actor::Human, ToolClass::External, ApprovalState::Denied),
    ] {
        let entry = policy.authorize(actor, class, now);
        assert_eq!(entry.state, expected, "{actor:?} {class:?}");
        assert!(entry.needs_approval && entry.note.is_some());
        let given = entry.approved_by.is_some() && entry.approved_at.is_some();
        assert_eq!(given, expected == ApprovalState::Approved);
    }
}

#[test]
fn a_standing_approval_has_a_beginning_and_an_end() {
    let policy = with(
        "/standing_approvals/0/until",
        json!("2026-06-01T09:00:00+09:00"),
    )
    .unwrap();
    for (now, expected) in [
        ("2025-12-31T23:59:59Z", ApprovalState::Pending),
        ("2026-01-01T00:00:00Z", ApprovalState::Approved),
        ("2026-05-31T23:59:59Z", ApprovalState::Approved),
        ("2026-06-01T00:00:00Z", ApprovalState::Pending),
    ] {
        let entry = policy.authorize(Actor::Human, ToolClass::Read, at(now));
        assert_eq!(entry.state, expected, "{now}");
    }
}

#[test]
fn external_needs_a_named_exception() {
    let exception = json!([{"id": "x", "host": "a.example", "purpose": "p", "reason": "r"}]);
    let mut value: Value = serde_json::from_str(TEXT).unwrap();
    value["actors"]["human"]["EXTERNAL"] = json!("allow");
    let now = at("2026-06-01T00:00:00Z");
    for (exceptions, expected) in [
        (json!([]), ApprovalState::Denied),
        (exception, ApprovalState::Pending),
    ] {
        value["external_exceptions"] = exceptions;
        let policy = Policy::parse(value.to_string().as_bytes()).unwrap();
        let entry = policy.authorize(Actor::Human, ToolClass::External, now);
        assert_eq!(entry.state, expected);
    }
}
