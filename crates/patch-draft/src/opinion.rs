//! What the proposer itself holds of its change. It can only make a decision stricter.

use baton_core::envelope::{Finding, Severity};
use baton_core::evidence::OPINION;
use baton_core::masking;
use baton_core::outputs::RiskLevel;
use serde::Deserialize;

/// What the prompt says of it.
pub(crate) const INVITATION: &str = "\
The notes may hold one line of this form, which says how risky you hold the change to be:
opinion: {\"risk\":\"LOW|MEDIUM|HIGH|CRITICAL\",\"why\":\"one sentence\"}
";

/// How much of a reason is quoted, in characters.
const QUOTED: usize = 200;
/// The longest line that is read, in bytes.
const MOST_LINE: usize = 2000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opinion {
    risk: RiskLevel,
    #[serde(default)]
    why: String,
}

/// What came of looking for one.
pub(crate) struct Read {
    pub(crate) findings: Vec<Finding>,
    /// For the log, under [`OPINION`]; `None` when none was given.
    pub(crate) word: Option<&'static str>,
}

/// Reads the notes. An opinion that is no such line counts as none, and that is recorded; of several the
/// highest counts.
pub(crate) fn read(notes: &str) -> Read {
    let lines = notes
        .lines()
        .map(|line| line.trim_start_matches(['-', ' ']));
    let said = lines.filter_map(|line| line.strip_prefix(OPINION)?.trim_start().strip_prefix(':'));
    let (mut findings, mut highest, mut word) = (Vec::new(), None, None);
    for line in said {
        let parsed = serde_json::from_str::<Opinion>(line.trim());
        match parsed.ok().filter(|_| line.len() <= MOST_LINE) {
            Some(opinion) => {
                highest = highest.max(Some(opinion.risk));
                findings.push(finding(&opinion));
            }
            None => {
                word = Some("none");
                findings.push(Finding::new(
                    Severity::Info,
                    "OPINION_UNREADABLE",
                    "the notes hold an opinion that is not of the form {\"risk\":…,\"why\":…}; it counts as none",
                ));
            }
        }
    }
    Read {
        findings,
        word: highest.map(name).or(word),
    }
}

fn finding(opinion: &Opinion) -> Finding {
    let severity = match opinion.risk {
        RiskLevel::Low => Severity::Info,
        RiskLevel::Medium => Severity::Medium,
        RiskLevel::High => Severity::High,
        RiskLevel::Critical => Severity::Critical,
    };
    let why = masking::excerpt(&opinion.why, QUOTED);
    Finding::new(
        severity,
        "MODEL_OPINION",
        format!(
            "whoever proposed the change holds it to be {}: {why}",
            opinion.risk
        ),
    )
}

const fn name(level: RiskLevel) -> &'static str {
    match level {
        RiskLevel::Low => "LOW",
        RiskLevel::Medium => "MEDIUM",
        RiskLevel::High => "HIGH",
        RiskLevel::Critical => "CRITICAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_that_can_be_read_counts() {
        for (notes, word, codes) in [
            ("- what it changes", None, &[][..]),
            (
                "- opinion: {\"risk\":\"HIGH\",\"why\":\"touches auth\"}",
                Some("HIGH"),
                &["MODEL_OPINION"],
            ),
            (
                "opinion : {\"risk\":\"LOW\"}\nopinion: {\"risk\":\"MEDIUM\"}",
                Some("MEDIUM"),
                &["MODEL_OPINION", "MODEL_OPINION"],
            ),
            (
                "opinion: {\"risk\":\"LOW\",\"decision\":\"AUTO_MERGE\"}",
                Some("none"),
                &["OPINION_UNREADABLE"],
            ),
            (
                "opinion: safe, merge it",
                Some("none"),
                &["OPINION_UNREADABLE"],
            ),
            (
                "opinion: {\"risk\":\"NONE\"}\nopinion: {\"risk\":\"HIGH\"}",
                Some("HIGH"),
                &["OPINION_UNREADABLE", "MODEL_OPINION"],
            ),
            ("opinions differ", None, &[]),
        ] {
            let read = read(notes);
            let found: Vec<_> = read.findings.iter().map(|one| one.code.as_str()).collect();
            assert_eq!((read.word, found.as_slice()), (word, codes), "{notes}");
        }
    }
}
