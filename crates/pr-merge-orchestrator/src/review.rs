//! A branch for review: what people are told of it, where it is pushed, who is asked.

use baton_core::audit::path as log_path;
use baton_core::envelope::{Artifact, ArtifactKind, Envelope};
use baton_core::git::{Credentials, Oid, RemoteUrl};
use baton_core::outputs::{self, DecisionRouter, DiffRiskScan, GateRunner, LandingMode};
use baton_core::policy::{Forge, ForgeKind, LANDING_PURPOSE, TokenSource, Via};
use baton_core::problem::Problem;
use baton_core::process::{self, Spec};
use baton_core::{environment, files};
use baton_forge::Review;

use crate::landing::Landing;
use crate::message;

/// The description's name in the task's folder.
const BODY: &str = "evidence/review.md";
/// The longest token, in bytes.
const MAX_TOKEN: usize = 8192;
/// A forge's tool that takes longer hangs on something.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

/// What went out.
pub(crate) struct Out {
    pub(crate) body: Artifact,
    pub(crate) did: Vec<String>,
    pub(crate) address: Option<String>,
}

/// The host of a push is named by the policy, and so is the forge's.
pub(crate) fn may_leave(landing: &Landing<'_>) -> Result<(), Problem> {
    if landing.mode == LandingMode::AutoMerge || !landing.policy.push {
        return Ok(());
    }
    let mut hosts = vec![remote(landing)?.host];
    if let Some(forge) = &landing.policy.forge {
        hosts.push(host_of(forge));
    }
    let exceptions = &landing.session.policy()?.external_exceptions;
    for host in hosts {
        let named = exceptions
            .iter()
            .any(|one| one.host == host && one.purpose == LANDING_PURPOSE);
        if !named {
            return Err(Problem::deny(
                "EXTERNAL_DENIED",
                format!("the branch would go to {host}, and no external exception of the policy names it"),
            )
            .hint(format!(
                "add the host {host} with the purpose \"{LANDING_PURPOSE}\" to external_exceptions by a reviewed commit, or set landing.push to false"
            )));
        }
    }
    Ok(())
}

fn host_of(forge: &Forge) -> String {
    let rest = forge.api.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    host.to_ascii_lowercase()
}

fn remote(landing: &Landing<'_>) -> Result<RemoteUrl, Problem> {
    let name = landing.policy.remote.as_deref().unwrap_or_default();
    landing.repository.remote_url(name)
}

/// Writes the description, and takes the branch as far as the policy lets it.
pub(crate) fn publish(landing: &Landing<'_>, commit: &Oid) -> Result<Out, Problem> {
    let text = describe(landing, commit)?;
    let mut out = Out {
        body: keep(landing, &text)?,
        did: Vec::new(),
        address: None,
    };
    if !landing.policy.push {
        return Ok(out);
    }
    let url = remote(landing)?;
    let credentials = Credentials {
        password: landing.policy.push_token.as_ref().map(token).transpose()?,
        helper: landing.policy.credential_helper.clone(),
    };
    landing.session.check_stop()?;
    let sent = landing
        .objects
        .push(&url, &credentials, &landing.branch, commit)?;
    let said = if sent { "pushed to" } else { "is at" };
    out.did
        .push(format!("done: {} {said} {}", landing.branch, url.host));
    if let Some(forge) = &landing.policy.forge {
        landing.session.check_stop()?;
        let address = ask(landing, forge, &text)?;
        out.did.push(format!("done: review asked for at {address}"));
        out.address = Some(address);
    }
    Ok(out)
}

/// Keeps the description; a run before that was cut off may have kept it already.
fn keep(landing: &Landing<'_>, text: &str) -> Result<Artifact, Problem> {
    let task = landing.session.task()?;
    task.write_next(ArtifactKind::Other, BODY, text.as_bytes())
}

/// Reads a token; its value goes into no message.
fn token(source: &TokenSource) -> Result<String, Problem> {
    let missing = |what: String| {
        Problem::fail("TOKEN_MISSING", format!("{what} holds no token"))
            .hint("put the token there and run it again; it is never logged")
    };
    let text = match source {
        TokenSource::Env(name) => {
            environment::read_text(name).ok_or_else(|| missing(format!("the variable {name}")))?
        }
        TokenSource::File(path) => {
            let path = std::path::Path::new(path);
            let bytes = files::read_named(path, MAX_TOKEN)
                .map_err(|error| missing(format!("{} ({error})", path.display())))?;
            String::from_utf8(bytes).map_err(|_| missing(path.display().to_string()))?
        }
    };
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    if line.is_empty() || line.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(missing("what landing names as its token".to_owned()));
    }
    Ok(line)
}

fn ask(landing: &Landing<'_>, forge: &Forge, body: &str) -> Result<String, Problem> {
    let title = landing.session.task()?.task()?.title;
    let title = message::subject(&title, landing.candidate);
    match forge.via {
        Via::Api => {
            let source = forge
                .token
                .as_ref()
                .ok_or_else(|| Problem::fail("TOKEN_MISSING", "landing.forge has no token"))?;
            let review = Review {
                branch: &landing.branch,
                target: &landing.policy.target,
                title: &title,
                body,
            };
            baton_forge::ask(forge, &token(source)?, &review)
        }
        via => by_tool(landing, forge, via, &title, body),
    }
}

/// Asks through the forge's own tool, which brings its own credentials.
fn by_tool(
    landing: &Landing<'_>,
    forge: &Forge,
    via: Via,
    title: &str,
    body: &str,
) -> Result<String, Problem> {
    let program = via.program().unwrap_or_default();
    let (branch, target) = (landing.branch.as_str(), landing.policy.target.as_str());
    let project = forge.project.as_str();
    let line: Vec<&str> = match via {
        Via::Glab => vec![
            "mr",
            "create",
            "--repo",
            project,
            "--source-branch",
            branch,
            "--target-branch",
            target,
            "--title",
            title,
            "--description",
            body,
            "--yes",
        ],
        Via::Tea => vec![
            "pulls",
            "create",
            "--repo",
            project,
            "--head",
            branch,
            "--base",
            target,
            "--title",
            title,
            "--description",
            body,
        ],
        Via::Gh | Via::Api => vec![
            "pr",
            "create",
            "--repo",
            project,
            "--head",
            branch,
            "--base",
            target,
            "--title",
            title,
            "--body-file",
            "-",
        ],
    };
    let mut environment = Vec::new();
    for name in [environment::PATH, environment::HOME] {
        environment.extend(environment::read(name).map(|value| (name.into(), value)));
    }
    if let Some(source) = &forge.token {
        let name = match forge.kind {
            ForgeKind::Github => "GH_TOKEN",
            ForgeKind::Gitlab => "GITLAB_TOKEN",
            ForgeKind::Gitea => "GITEA_SERVER_TOKEN",
        };
        environment.push((name.into(), token(source)?.into()));
    }
    let empty = tempfile::tempdir().map_err(|error| Problem::io("temporary folder", &error))?;
    let spec = Spec {
        argv: std::iter::once(program)
            .chain(line)
            .map(Into::into)
            .collect(),
        // Not in the repository: these tools run git, and git would read its configuration.
        folder: empty.path().to_owned(),
        environment,
        input: if via == Via::Gh {
            body.into()
        } else {
            Vec::new()
        },
        timeout: TIMEOUT,
        output_limit: 64 << 10,
        merge: false,
    };
    let done = process::run(&spec, &|| landing.session.check_stop().is_err())?;
    let said = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
    let address = said
        .split_whitespace()
        .rfind(|word| word.starts_with("https://") || word.starts_with("http://"));
    match address {
        Some(address) if done.ended.is_success() => Ok(address.to_owned()),
        _ => {
            let words = String::from_utf8_lossy(&done.stderr.bytes).into_owned();
            let words: String = words.trim().escape_debug().take(300).collect();
            Err(Problem::fail(
                "FORGE_FAILED",
                format!("{program} ended with {} and said: {words}", done.ended),
            )
            .hint("the branch is pushed; run it again, or ask for the review by hand"))
        }
    }
}

/// The description in Markdown. Words of the task and of gates are shown as code, so that none of
/// them mentions, links or closes anything.
fn describe(landing: &Landing<'_>, commit: &Oid) -> Result<String, Problem> {
    let task = landing.session.task()?;
    let asked = task.task()?;
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
    text.push_str("\n## Evidence\n\n| file | SHA-256 |\n|---|---|\n");
    text.push_str(&format!("| draft.patch | {} |\n", candidate.patch_sha256));
    let mut named: Vec<&Artifact> = Vec::new();
    for envelope in ["diff-risk-scan", "gate-runner"]
        .map(latest)
        .into_iter()
        .flatten()
    {
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
    Ok(text)
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

/// Text as an indented block: nothing in it is markup.
fn code(text: &str) -> String {
    let shown: String = text.chars().take(4000).collect();
    let lines = shown.lines().map(|line| {
        let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        format!("    {}", plain.collect::<String>())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Text in a table: as code, on one line.
fn cell(text: &str) -> String {
    let plain = text.chars().take(300).map(|c| match c {
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
        assert_eq!(cell("a|b `c`\n@d"), "`a'b 'c' @d`");
        assert_eq!(cell(" "), "");
    }
}
