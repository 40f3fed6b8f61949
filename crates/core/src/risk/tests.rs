use super::*;
use baton_patch::{Limits, parse};

fn policy() -> Policy {
    Policy::parse(include_bytes!("../../../../ssot/POLICY.json")).unwrap()
}

fn scanned(text: &str, scope: Option<&Scope>) -> RiskReport {
    let patch = parse(text.as_bytes(), &Limits::default())
        .unwrap_or_else(|refusal| panic!("{refusal}\n{text}"));
    scan(
        &ScanInput::from_patch(&patch),
        &policy(),
        scope,
        &Origin::Text,
    )
    .unwrap()
}

fn added(path: &str, lines: &[&str]) -> String {
    let body: String = lines.iter().map(|line| format!("+{line}\n")).collect();
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..1111111111111111111111111111111111111111\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{} @@\n{body}",
        lines.len()
    )
    .replace(",1 @@", " @@")
}

#[test]
fn a_plain_change_is_low() {
    let report = scanned(
        &added("src/lib.rs", &["pub fn one() -> u8 { 1 }", ""]),
        None,
    );
    assert_eq!(report.level, RiskLevel::Low, "{:?}", report.findings);
    assert_eq!(report.flags, PolicyFlags::default());
    assert_eq!(
        (report.stats.files_changed, report.stats.insertions),
        (1, 2)
    );
}

#[test]
fn a_deleted_file_is_critical() {
    let text = "diff --git a/x b/x\ndeleted file mode 100644\nindex 1111111111111111111111111111111111111111..0000000000000000000000000000000000000000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n";
    let report = scanned(text, None);
    assert_eq!(report.level, RiskLevel::Critical);
    assert!(report.flags.delete_detected);
}

#[test]
fn lockfiles_and_zones_are_found_at_every_depth() {
    for path in ["Cargo.lock", "a/package-lock.json", "a/b/c/d/e/yarn.lock"] {
        let report = scanned(&added(path, &["x", "y"]), None);
        assert!(report.flags.lockfile_touched, "{path}");
        assert!(report.level >= RiskLevel::High);
    }
    for path in [
        ".github/workflows/ci.yml",
        "AGENTS.md",
        "a/b/CLAUDE.md",
        "x/.gitattributes",
    ] {
        assert!(
            scanned(&added(path, &["x", "y"]), None)
                .flags
                .protected_zone_touched,
            "{path}"
        );
    }
}

#[test]
fn the_task_scope_is_an_allowlist() {
    let scope = Scope {
        target_files: vec![],
        allow_patch_on_files: vec!["src/**".into()],
        deny_paths_glob: vec![],
    };
    assert!(
        !scanned(&added("src/a.rs", &["x", "y"]), Some(&scope))
            .flags
            .allowlist_violation
    );
    let report = scanned(&added("README.md", &["x", "y"]), Some(&scope));
    assert!(report.flags.allowlist_violation);
    assert_eq!(report.level, RiskLevel::Critical);
}

#[test]
fn secrets_are_found_and_masked() {
    let secret = format!("AKIA{}", "EXAMPLEEXAMPLEEX".get(..16).unwrap());
    let report = scanned(
        &added("src/config.py", &[&format!("key = '{secret}'"), "x = 1"]),
        None,
    );
    assert!(report.secret_found, "{:?}", report.findings);
    let everything = format!("{:?}", report);
    assert!(
        !everything.contains(&secret),
        "a secret leaked: {everything}"
    );
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.code == SECRET_FOUND)
    );
}

#[test]
fn a_secret_over_two_lines_is_found() {
    let report = scanned(
        &added(
            "k.txt",
            &[
                "-----BEGIN PRIVATE",
                "KEY-----",
                "-----BEGIN PRIVATE KEY-----",
            ],
        ),
        None,
    );
    assert!(report.secret_found);
}

#[test]
fn external_io_is_critical() {
    let report = scanned(
        &added(
            "src/a.py",
            &["import requests", "requests.get('https://evil.example/x')"],
        ),
        None,
    );
    assert!(report.flags.external_io_attempt, "{:?}", report.findings);
    assert_eq!(report.level, RiskLevel::Critical);
}

#[test]
fn links_that_leave_the_tree_are_found() {
    for (target, leaves) in [
        ("/etc/passwd", true),
        ("../../x", true),
        ("../b", false),
        (".git/config", true),
    ] {
        let text = format!(
            "diff --git a/d/l b/d/l\nnew file mode 120000\nindex 0000000000000000000000000000000000000000..1111111111111111111111111111111111111111\n--- /dev/null\n+++ b/d/l\n@@ -0,0 +1 @@\n+{target}\n\\ No newline at end of file\n"
        );
        assert_eq!(
            scanned(&text, None).flags.allowlist_violation,
            leaves,
            "{target}"
        );
    }
}

#[test]
fn a_character_that_hides_is_medium() {
    let report = scanned(&added("src/a.rs", &["let a = \"\u{202E}x\";", "y"]), None);
    assert_eq!(report.level, RiskLevel::Medium);
}

#[test]
fn another_hit_never_lowers_the_level() {
    let patch_text = added("src/lib.rs", &["a", "b"]);
    let patch = parse(patch_text.as_bytes(), &Limits::default()).unwrap();
    let input = ScanInput::from_patch(&patch);
    let severities = [
        Severity::Info,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    let hit = |severity| Hit {
        kind: HitKind::Other,
        rule: "x".into(),
        severity,
        path: "p".into(),
        line: None,
        excerpt: String::new(),
        message: "m".into(),
    };
    for one in severities {
        for other in severities {
            let alone = report(&input, vec![hit(one)], &Origin::Text).level;
            let both = report(&input, vec![hit(one), hit(other)], &Origin::Text).level;
            assert!(both >= alone, "{one:?} + {other:?}");
        }
    }
}
