//! What must hold when any bytes at all are judged.
#![expect(clippy::panic, reason = "a fuzzer's body fails by a panic")]

use baton_core::envelope::{Finding, Severity};
use baton_core::outputs::RiskLevel;
use baton_core::policy::Policy;
use baton_patch::Limits;
use baton_risk::{Origin, RiskReport, RuleBook, ScanInput};

/// Endings of files that many rules read.
const ENDINGS: [&str; 12] = [
    "py", "js", "sh", "go", "rs", "rb", "php", "yml", "toml", "c", "ps1", "md",
];

thread_local! {
    /// The default rules, compiled once for a whole run of many inputs.
    static BOOK: &'static RuleBook<'static> = default_book();
}

fn default_book() -> &'static RuleBook<'static> {
    let policy = Policy::parse(include_bytes!("../../ssot/POLICY.json"));
    let policy: &'static Policy = Box::leak(Box::new(policy.unwrap_or_else(|why| panic!("{why}"))));
    let rules = include_bytes!("../../ssot/SECRET_RULES.toml").to_vec();
    let book = RuleBook::new(policy, &[("SECRET_RULES.toml".to_owned(), rules)]);
    Box::leak(Box::new(book.unwrap_or_else(|why| panic!("{why}"))))
}

/// Judges the bytes as a patch, as the new text of a file, as text that lies in no file, and as what
/// a program printed.
pub fn rules(bytes: &[u8]) {
    BOOK.with(|book| {
        if let Some(report) = scan(book, bytes) {
            check(&report, bytes);
        }
        let patch = as_new_file(bytes);
        if let Some(report) = scan(book, &patch) {
            check(&report, &patch);
        }
        let text = String::from_utf8_lossy(bytes);
        let findings =
            baton_risk::judge_text(book, "text", &text).unwrap_or_else(|why| panic!("{why}"));
        findings.iter().for_each(check_finding);
        let mask =
            |text: &[u8]| baton_risk::masked(book, text).unwrap_or_else(|why| panic!("{why}"));
        let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(
            lines(&mask(bytes)),
            lines(bytes),
            "masking keeps every line"
        );
    });
}

fn scan(book: &RuleBook<'_>, bytes: &[u8]) -> Option<RiskReport> {
    let limits = Limits {
        allow_delta: true,
        ..Limits::default()
    };
    let patch = baton_patch::parse(bytes, &limits).ok()?;
    let input = ScanInput::from_patch(&patch);
    let report = baton_risk::scan(&input, book, None, &Origin::Text);
    Some(report.unwrap_or_else(|why| panic!("{why}")))
}

fn check(report: &RiskReport, patch: &[u8]) {
    let again = scan(BOOK.with(|book| *book), patch);
    let again = again.map(|again| (again.level, again.findings, again.summary));
    let once = (
        report.level,
        report.findings.clone(),
        report.summary.clone(),
    );
    assert_eq!(
        again,
        Some(once),
        "the same bytes are judged in the same way"
    );
    let flags = report.flags;
    let stops = flags.allowlist_violation || flags.delete_detected || flags.external_io_attempt;
    if stops || report.secret_found {
        assert_eq!(report.level, RiskLevel::Critical);
    }
    let notes = report
        .findings
        .iter()
        .all(|finding| finding.severity == Severity::Info);
    assert_eq!(
        report.level == RiskLevel::Low,
        notes,
        "LOW is for nothing but notes"
    );
    assert!(report.findings.len() <= 201 && !report.reasons.is_empty());
    report.findings.iter().for_each(check_finding);
}

fn check_finding(finding: &Finding) {
    let plain = |c: char| !c.is_control();
    assert!(finding.message.chars().all(plain), "{:?}", finding.message);
    assert!(finding.message.chars().count() < 9000);
}

/// The bytes as a new file of some language, in git's own grammar.
fn as_new_file(bytes: &[u8]) -> Vec<u8> {
    let kind = usize::from(bytes.first().copied().unwrap_or(0)) % ENDINGS.len();
    let name = format!("src/a.{}", ENDINGS.get(kind).unwrap_or(&"py"));
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let count = match lines.len() {
        1 => "1".to_owned(),
        many => format!("1,{many}"),
    };
    let (none, some) = ("0".repeat(40), "1".repeat(40));
    let mut patch = format!(
        "diff --git a/{name} b/{name}\nnew file mode 100644\nindex {none}..{some}\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +{count} @@\n"
    )
    .into_bytes();
    for line in lines {
        patch.push(b'+');
        patch.extend_from_slice(line);
        patch.push(b'\n');
    }
    patch
}
