//! The description of a branch for review.

use baton_core::audit::path as log_path;
use baton_core::envelope::{Artifact, ArtifactKind, Envelope};
use baton_core::git::Oid;
use baton_core::masking;
use baton_core::outputs::{self, DecisionRouter, DiffRiskScan, GateRunner};
use baton_core::problem::Problem;

use crate::landing::Landing;
use crate::message;

/// The description in Markdown. Words of the task and of gates are shown as code, so that none of
/// them mentions, links or closes anything.
pub(crate) fn review(landing: &Landing<'_>, commit: &Oid) -> Result<String, Problem> {
    let task = landing.session.task()?;
    let asked = landing.session.store()?.asked(task)?;
    let kept = task.envelopes()?;
    let latest = |skill: &str| {
        let mut last = kept.iter().rev().map(|kept| &kept.envelope);
        last.find(|envelope| envelope.skill == skill)
    };
    let candidate = landing.candidate;
    let mut text = format!(
        "## Summary\n\n{}\n\nTask {}, proposed by {}. Commit {commit} on {}, tree {}.\n",
        code(&format!("{}\n\n{}", asked.title, asked.goal)),
        candidate.task_id,
        candidate.actor.name(),
        candidate.base,
        candidate.tree
    );
    if let Some(envelope) = latest("decision-router") {
        let data: DecisionRouter = outputs::from_map(&envelope.data)?;
        text.push_str("\n## Why a person looks at it\n\n");
        text.push_str(&code(&data.reasoning.join("\n")));
        text.push('\n');
    }
    if let Some(envelope) = latest("diff-risk-scan") {
        text.push_str(&risk(envelope)?);
    }
    if let Some(envelope) = latest("gate-runner") {
        text.push_str(&gates(envelope)?);
    }
    evidence(
        landing,
        ["diff-risk-scan", "gate-runner"].map(latest),
        &mut text,
    )?;
    Ok(text)
}

/// The digests of what was looked at, and of the log.
fn evidence(
    landing: &Landing<'_>,
    results: [Option<&Envelope>; 2],
    text: &mut String,
) -> Result<(), Problem> {
    text.push_str("\n## Evidence\n\n| file | SHA-256 |\n|---|---|\n");
    text.push_str(&format!(
        "| draft.patch | {} |\n",
        landing.candidate.patch_sha256
    ));
    let mut named: Vec<&Artifact> = Vec::new();
    for envelope in results.into_iter().flatten() {
        for artifact in &envelope.artifacts {
            let is_file =
                artifact.kind != ArtifactKind::AuditLog && artifact.kind != ArtifactKind::LockFile;
            if is_file && !named.iter().any(|one| one.path == artifact.path) {
                named.push(artifact);
            }
        }
    }
    for artifact in named {
        if let Some(sha256) = artifact.note_value("sha256") {
            text.push_str(&format!("| {} | {sha256} |\n", cell(&artifact.path)));
        }
    }
    let head = landing.session.store()?.log()?.head()?;
    text.push_str(&format!(
        "\nThe log is {} with {} lines; its last line then hashes to {}.\n",
        log_path(),
        head.seq,
        head.sha256
    ));
    Ok(())
}

fn risk(envelope: &Envelope) -> Result<String, Problem> {
    let data: DiffRiskScan = outputs::from_map(&envelope.data)?;
    let stats = serde_json::to_value(data.diff_stats).unwrap_or_default();
    let mut lines = vec![
        format!("risk {}", outputs_name(&data.risk_level)),
        stats.to_string(),
    ];
    lines.extend(data.reasons);
    Ok(format!("\n## Risk\n\n{}\n", code(&lines.join("\n"))))
}

fn outputs_name(level: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(level).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn gates(envelope: &Envelope) -> Result<String, Problem> {
    let data: GateRunner = outputs::from_map(&envelope.data)?;
    let mut text = "\n## Gates\n\n| gate | result | note |\n|---|---|---|\n".to_owned();
    for gate in data.gates {
        text.push_str(&format!(
            "| {} | {} | {} |\n",
            gate.gate_id,
            gate.status,
            cell(gate.note.as_deref().unwrap_or_default())
        ));
    }
    Ok(text)
}

/// Text as an indented block: nothing in it is markup, and nothing in it closes an issue where the
/// forge looks for such words in code as well.
fn code(text: &str) -> String {
    let shown: String = masking::text(text).chars().take(4000).collect();
    let shown = message::inert(&shown);
    let lines = shown.lines().map(|line| {
        let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        format!("    {}", plain.collect::<String>())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Text in a table: as code, on one line.
fn cell(text: &str) -> String {
    let text: String = masking::text(text).chars().take(300).collect();
    let text = message::inert(&text);
    let plain = text.chars().map(|c| match c {
        '|' | '`' => '\'',
        c if c.is_control() => ' ',
        c => c,
    });
    let plain: String = plain.collect();
    if plain.trim().is_empty() {
        return String::new();
    }
    format!("`{}`", plain.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_never_markup() {
        let text = code("Fix @all\nCloses #1\r\n```\n# Head");
        assert!(text.lines().all(|line| line.starts_with("    ")), "{text}");
        assert!(
            text.contains("Closes # 1") && text.contains("@ all"),
            "{text}"
        );
        assert_eq!(cell("a|b `c`\n@d"), "`a'b 'c' @ d`");
        assert_eq!(cell(" "), "");
    }
}
