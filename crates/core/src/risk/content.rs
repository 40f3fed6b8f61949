//! What a change adds: secrets, code that reaches outside, characters that hide.

use std::ops::RangeInclusive;

use super::text::{self, AddedText};
use super::{Hit, HitKind, ScanFile, ScanInput};
use crate::envelope::Severity;
use crate::policy::{ExternalException, Policy, RiskKind};
use crate::problem::Problem;
use crate::rules::{CompiledRisk, RiskRules};

/// How many hits one rule may have in one file; more say nothing new.
const MOST_PER_FILE: usize = 20;
/// The longest excerpt, in characters.
const EXCERPT: usize = 120;

/// What one scan looks with.
struct Scan<'a> {
    rules: RiskRules<'a>,
    exceptions: &'a [ExternalException],
}

/// Finds everything that the text tells.
pub(super) fn scan(input: &ScanInput<'_>, policy: &Policy) -> Result<Vec<Hit>, Problem> {
    let scan = Scan {
        rules: RiskRules::compile(&policy.risk_rules)?,
        exceptions: &policy.external_exceptions,
    };
    let mut hits = Vec::new();
    for file in &input.files {
        let texts: Vec<AddedText> = file.section.new_text().map(AddedText::new).collect();
        hidden(file, &texts, &mut hits);
        for rule in scan.rules.for_path(file.section.path()) {
            scan.lines(rule, file, &texts, &mut hits)?;
            scan.binary(rule, file, &mut hits)?;
            names(rule, file, &mut hits)?;
            removed(rule, file, &mut hits)?;
        }
    }
    around(input, &scan.rules, &mut hits)?;
    Ok(hits)
}

impl Scan<'_> {
    /// What a rule finds in the added lines. An excepted hit never uses up the places of a real one.
    fn lines(
        &self,
        rule: &CompiledRisk<'_>,
        file: &ScanFile<'_>,
        texts: &[AddedText],
        hits: &mut Vec<Hit>,
    ) -> Result<(), Problem> {
        let pattern = rule.pattern()?;
        let (mut found, mut excepted) = (0, 0);
        // Many places may stand in one long line, which is judged once.
        for text in texts {
            let mut judged: Option<(RangeInclusive<usize>, bool)> = None;
            for place in pattern.find_iter(text.bytes()) {
                let lines = text.lines_of(place.range());
                let Some(line) = text.first_added(&lines) else {
                    continue;
                };
                let spared = match judged.take() {
                    Some((same, spared)) if same == lines => spared,
                    _ => self.is_excepted(rule, text, &lines)?,
                };
                judged = Some((lines.clone(), spared));
                let count = if spared { &mut excepted } else { &mut found };
                *count += 1;
                if *count <= MOST_PER_FILE {
                    let excerpt = self.excerpt(rule, place.as_bytes(), text.text_of(&lines))?;
                    hits.push(hit(rule, file, Some(line as u64), excerpt, spared));
                }
                if found >= MOST_PER_FILE {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What a rule finds in a binary. Text in UTF-16 is binary to git; without its NUL bytes it
    /// reads like any other.
    fn binary(
        &self,
        rule: &CompiledRisk<'_>,
        file: &ScanFile<'_>,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Problem> {
        let Some(bytes) = file.binary.as_deref() else {
            return Ok(());
        };
        let pattern = rule.pattern()?;
        let narrow: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        if let Some(place) = pattern.find(bytes).or_else(|| pattern.find(&narrow)) {
            let excerpt = self.excerpt(rule, place.as_bytes(), place.as_bytes())?;
            hits.push(hit(rule, file, None, excerpt, false));
        }
        Ok(())
    }

    /// Whether the policy spares a reach outside: its lines name a host, every host that they name
    /// is excepted, and the rule finds no more places in them than there are hosts.
    fn is_excepted(
        &self,
        rule: &CompiledRisk<'_>,
        text: &AddedText,
        lines: &RangeInclusive<usize>,
    ) -> Result<bool, Problem> {
        if rule.rule.kind != RiskKind::ExternalIo || self.exceptions.is_empty() {
            return Ok(false);
        }
        let bytes = text.text_of(lines);
        let Some(hosts) = text::hosts(bytes) else {
            return Ok(false);
        };
        let known = |host: &String| self.exceptions.iter().any(|one| one.host == *host);
        let places = rule.pattern()?.find_iter(bytes).count();
        Ok(!hosts.is_empty() && hosts.iter().all(known) && places <= hosts.len())
    }

    /// The matched text, shortened and escaped. A secret is masked, also one that another rule
    /// finds in the lines around the match.
    fn excerpt(
        &self,
        rule: &CompiledRisk<'_>,
        matched: &[u8],
        lines: &[u8],
    ) -> Result<String, Problem> {
        if rule.rule.kind == RiskKind::Secret {
            return Ok(mask(matched));
        }
        for secret in self.rules.all() {
            if secret.rule.kind == RiskKind::Secret && secret.pattern()?.is_match(lines) {
                return Ok("withheld: a secret stands in the same lines".to_owned());
            }
        }
        let shown = String::from_utf8_lossy(matched);
        Ok(shown
            .chars()
            .flat_map(char::escape_debug)
            .take(EXCERPT)
            .collect())
    }
}

/// A secret in a name is in every listing.
fn names(rule: &CompiledRisk<'_>, file: &ScanFile<'_>, hits: &mut Vec<Hit>) -> Result<(), Problem> {
    if rule.rule.kind != RiskKind::Secret {
        return Ok(());
    }
    let pattern = rule.pattern()?;
    let old = file.section.old_path.as_deref().unwrap_or_default();
    if pattern.is_match(file.section.path()) || pattern.is_match(old) {
        let excerpt = "in the file's name".to_owned();
        hits.push(hit(rule, file, None, excerpt, false));
    }
    Ok(())
}

/// A secret that goes away was there for all to see: worth saying, one grade lower.
fn removed(
    rule: &CompiledRisk<'_>,
    file: &ScanFile<'_>,
    hits: &mut Vec<Hit>,
) -> Result<(), Problem> {
    if rule.rule.kind != RiskKind::Secret {
        return Ok(());
    }
    let pattern = rule.pattern()?;
    let found = file
        .section
        .removed_text()
        .find_map(|(line, text)| Some((line, mask(pattern.find(text)?.as_bytes()))));
    if let Some((line, excerpt)) = found {
        hits.push(Hit {
            kind: HitKind::Other,
            rule: "SECRET_REMOVED".to_owned(),
            severity: lower(rule.rule.severity),
            path: file.path.clone(),
            line: Some(line as u64),
            excerpt,
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
    line: Option<u64>,
    excerpt: String,
    excepted: bool,
) -> Hit {
    let (kind, severity) = match (rule.rule.kind, excepted) {
        // The brief: a secret or a reach outside is critical, whatever the rule's own weight.
        (RiskKind::Secret, _) => (HitKind::Secret, Severity::Critical),
        (RiskKind::ExternalIo, false) => (HitKind::ExternalIo, Severity::Critical),
        // Text does not show where a program will really connect to, so a person looks.
        (RiskKind::ExternalIo, true) => (HitKind::Other, Severity::Medium),
    };
    Hit {
        kind,
        rule: rule.rule.id.clone(),
        severity,
        path: file.path.clone(),
        line,
        excerpt,
        message: rule.rule.reason.clone(),
    }
}

/// The first four characters at the most, and how many there are.
fn mask(secret: &[u8]) -> String {
    let secret = String::from_utf8_lossy(secret);
    let length = secret.chars().count();
    let kept = secret.chars().take((length / 4).min(4));
    let kept: String = kept.flat_map(char::escape_debug).collect();
    format!("{kept}… ({length} characters)")
}

/// Characters that change how a line is shown, so that a reviewer sees other code than runs.
fn hidden(file: &ScanFile<'_>, texts: &[AddedText], hits: &mut Vec<Hit>) {
    let added = texts.iter().flat_map(AddedText::added_lines);
    let found = added
        .map(|(number, line)| (number, text::hiding_character(line, number == 1)))
        .find_map(|(number, hiding)| Some((number, hiding?)));
    if let Some((number, hiding)) = found {
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
    }
}

/// The text before and after the sections goes along with the patch, into mails and logs.
fn around(
    input: &ScanInput<'_>,
    rules: &RiskRules<'_>,
    hits: &mut Vec<Hit>,
) -> Result<(), Problem> {
    for text in &input.around {
        for rule in rules
            .for_path(b"")
            .filter(|rule| rule.rule.kind == RiskKind::Secret)
        {
            if let Some(place) = rule.pattern()?.find(text) {
                hits.push(Hit {
                    kind: HitKind::Secret,
                    rule: rule.rule.id.clone(),
                    severity: Severity::Critical,
                    path: "the text around the patch".to_owned(),
                    line: None,
                    excerpt: mask(place.as_bytes()),
                    message: rule.rule.reason.clone(),
                });
            }
        }
    }
    Ok(())
}
