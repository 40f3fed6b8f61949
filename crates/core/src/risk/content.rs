//! What a change adds: secrets, code that reaches outside, characters that hide.

use baton_patch::{NewText, Op};

use super::{Hit, HitKind, ScanFile, ScanInput};
use crate::envelope::Severity;
use crate::policy::{ExternalException, Policy, RiskKind};
use crate::problem::Problem;
use crate::rules::{CompiledRisk, RiskRules};

/// How many hits one rule may have in one file; more say nothing new.
const MOST_PER_FILE: usize = 20;
/// The longest excerpt, in characters.
const EXCERPT: usize = 120;

/// Finds everything that the text tells.
pub(super) fn scan(input: &ScanInput<'_>, policy: &Policy) -> Result<Vec<Hit>, Problem> {
    let rules = RiskRules::compile(&policy.risk_rules)?;
    let mut hits = Vec::new();
    for file in &input.files {
        for text in file.section.new_text() {
            hidden(file, &text, &mut hits);
        }
        for rule in rules.for_path(&file.path) {
            by_rule(rule, file, policy, &mut hits)?;
        }
    }
    around(input, &rules, &mut hits)?;
    Ok(hits)
}

fn by_rule(
    rule: &CompiledRisk<'_>,
    file: &ScanFile<'_>,
    policy: &Policy,
    hits: &mut Vec<Hit>,
) -> Result<(), Problem> {
    let pattern = rule.pattern()?;
    let mut found = 0;
    for text in file.section.new_text() {
        for place in pattern.find_iter(&text.text) {
            let (first, last) = (
                text.line_of(place.start()),
                text.line_of(place.end().saturating_sub(1).max(place.start())),
            );
            let Some(line) = (first..=last).find(|line| text.is_added(*line)) else {
                continue;
            };
            let excerpt = excerpt(rule, place.as_bytes());
            let excepted = is_excepted(rule, &text, line, &policy.external_exceptions);
            hits.push(hit(rule, file, Some(line), excerpt, excepted));
            found += 1;
            if found >= MOST_PER_FILE {
                return Ok(());
            }
        }
    }
    if let Some(place) = file.binary.as_deref().and_then(|bytes| pattern.find(bytes)) {
        hits.push(hit(
            rule,
            file,
            None,
            excerpt(rule, place.as_bytes()),
            false,
        ));
    }
    for name in [Some(&file.path), file.old_path.as_ref()]
        .into_iter()
        .flatten()
    {
        if rule.rule.kind == RiskKind::Secret && pattern.is_match(name.as_bytes()) {
            hits.push(hit(
                rule,
                file,
                None,
                "in the file's name".to_owned(),
                false,
            ));
        }
    }
    removed(rule, file, hits)
}

/// A secret that goes away was there for all to see: worth saying, one grade lower.
fn removed(
    rule: &CompiledRisk<'_>,
    file: &ScanFile<'_>,
    hits: &mut Vec<Hit>,
) -> Result<(), Problem> {
    if rule.rule.kind != RiskKind::Secret || file.op == Op::Delete {
        return Ok(());
    }
    let pattern = rule.pattern()?;
    let found = file
        .section
        .removed_text()
        .find_map(|(line, text)| Some((line, pattern.find(text)?.as_bytes().to_vec())));
    if let Some((line, place)) = found {
        hits.push(Hit {
            kind: HitKind::Other,
            rule: "SECRET_REMOVED".to_owned(),
            severity: lower(rule.rule.severity),
            path: file.path.clone(),
            line: Some(line as u64),
            excerpt: excerpt(rule, &place),
            message: format!(
                "a removed line held a secret; change it where it counts ({})",
                rule.rule.reason
            ),
        });
    }
    Ok(())
}

fn lower(severity: Severity) -> Severity {
    match severity {
        Severity::Critical => Severity::High,
        Severity::High => Severity::Medium,
        Severity::Medium | Severity::Low | Severity::Info => Severity::Low,
    }
}

fn hit(
    rule: &CompiledRisk<'_>,
    file: &ScanFile<'_>,
    line: Option<usize>,
    excerpt: String,
    excepted: bool,
) -> Hit {
    let (kind, severity) = match (rule.rule.kind, excepted) {
        // The brief: a secret or a reach outside is critical, whatever the rule's own weight.
        (RiskKind::Secret, _) => (HitKind::Secret, Severity::Critical),
        (RiskKind::ExternalIo, false) => (HitKind::ExternalIo, Severity::Critical),
        (RiskKind::ExternalIo, true) => (HitKind::Other, Severity::Low),
    };
    Hit {
        kind,
        rule: rule.rule.id.clone(),
        severity,
        path: file.path.clone(),
        line: line.map(|line| line as u64),
        excerpt,
        message: rule.rule.reason.clone(),
    }
}

/// Whether every host that the line names is one that the policy excepts, and it names one.
fn is_excepted(
    rule: &CompiledRisk<'_>,
    text: &NewText,
    line: usize,
    exceptions: &[ExternalException],
) -> bool {
    if rule.rule.kind != RiskKind::ExternalIo || exceptions.is_empty() {
        return false;
    }
    let index = line.saturating_sub(text.first_line);
    let Some(line) = text.text.split(|byte| *byte == b'\n').nth(index) else {
        return false;
    };
    let line = String::from_utf8_lossy(line).to_ascii_lowercase();
    let mut hosts = line.split("://").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'))
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    let known = |host: &str| exceptions.iter().any(|exception| exception.host == host);
    // An `@` would put the real host behind what looks like one.
    !line.contains('@') && hosts.clone().next().is_some() && hosts.all(known)
}

/// The matched text, shortened, escaped, and masked when it is a secret.
fn excerpt(rule: &CompiledRisk<'_>, matched: &[u8]) -> String {
    let text = String::from_utf8_lossy(matched);
    let text: String = match rule.rule.kind {
        RiskKind::Secret => mask(&text),
        RiskKind::ExternalIo => text.into_owned(),
    };
    text.chars()
        .flat_map(char::escape_debug)
        .take(EXCERPT)
        .collect()
}

/// The first four characters at the most, and how many there are.
fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    let kept: String = secret.chars().take((length / 4).min(4)).collect();
    format!("{kept}… ({length} characters)")
}

/// Characters that change how a line is shown, so that a reviewer sees other code than runs.
fn hidden(file: &ScanFile<'_>, text: &NewText, hits: &mut Vec<Hit>) {
    for (index, line) in text.text.split(|byte| *byte == b'\n').enumerate() {
        let number = text.first_line + index;
        if !text.is_added(number) {
            continue;
        }
        let shown = String::from_utf8_lossy(line);
        if let Some(hiding) = shown.chars().find(|c| hides(*c)) {
            hits.push(Hit {
                kind: HitKind::Other,
                rule: "HIDDEN_CHARACTER".to_owned(),
                severity: Severity::Medium,
                path: file.path.clone(),
                line: Some(number as u64),
                excerpt: hiding.escape_unicode().to_string(),
                message: "an added line holds a character that changes how the line is shown"
                    .to_owned(),
            });
            return;
        }
    }
}

fn hides(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{E0000}'..='\u{E007F}' | '\u{61C}' | '\u{1B}' | '\u{8}')
}

/// The text before and after the sections goes along with the patch, into mails and logs.
fn around(
    input: &ScanInput<'_>,
    rules: &RiskRules<'_>,
    hits: &mut Vec<Hit>,
) -> Result<(), Problem> {
    for text in &input.around {
        for rule in rules
            .for_path("")
            .filter(|rule| rule.rule.kind == RiskKind::Secret)
        {
            if let Some(place) = rule.pattern()?.find(text) {
                hits.push(Hit {
                    kind: HitKind::Secret,
                    rule: rule.rule.id.clone(),
                    severity: Severity::Critical,
                    path: "the text around the patch".to_owned(),
                    line: None,
                    excerpt: excerpt(rule, place.as_bytes()),
                    message: rule.rule.reason.clone(),
                });
            }
        }
    }
    Ok(())
}
