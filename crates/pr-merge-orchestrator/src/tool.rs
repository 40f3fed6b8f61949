//! Asks for a review through a forge's own tool, which brings its own credentials.

use std::ffi::OsString;
use std::time::Duration;

use baton_core::environment;
use baton_core::policy::{Forge, ForgeKind, Via};
use baton_core::problem::Problem;
use baton_core::process::{self, Finished, Spec};

use crate::landing::Landing;

/// A forge's tool that takes longer hangs on something.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Asks, and returns the address that the tool prints.
pub(crate) fn ask(
    landing: &Landing<'_>,
    forge: &Forge,
    via: Via,
    title: &str,
    body: &str,
) -> Result<String, Problem> {
    let program = via.program().unwrap_or_default();
    let empty = baton_core::files::temporary_folder("baton-")?;
    let words = words(landing, forge, via, title, body);
    let spec = Spec {
        argv: std::iter::once(program)
            .chain(words)
            .map(Into::into)
            .collect(),
        // Not in the repository: these tools run git, and git would read its configuration.
        folder: empty.path().to_owned(),
        environment: surroundings(forge)?,
        input: if via == Via::Gh {
            body.into()
        } else {
            Vec::new()
        },
        timeout: TIMEOUT,
        output_limit: 64 << 10,
        all_or_nothing: false,
        memory: None,
        leash: true,
        merge: false,
    };
    let done = process::run(&spec, &|| landing.session.check_stop().is_err())?;
    address(program, &done)
}

fn words<'w>(
    landing: &'w Landing<'_>,
    forge: &'w Forge,
    via: Via,
    title: &'w str,
    body: &'w str,
) -> Vec<&'w str> {
    let (branch, target) = (landing.branch.as_str(), landing.policy.target.as_str());
    let (first, head, base, text): ([&str; 2], &str, &str, Vec<&str>) = match via {
        Via::Glab => (
            ["mr", "create"],
            "--source-branch",
            "--target-branch",
            vec!["--description", body, "--yes"],
        ),
        Via::Tea => (
            ["pulls", "create"],
            "--head",
            "--base",
            vec!["--description", body],
        ),
        Via::Gh | Via::Api => (
            ["pr", "create"],
            "--head",
            "--base",
            vec!["--body-file", "-"],
        ),
    };
    let mut words = first.to_vec();
    words.extend(["--repo", forge.project.as_str()]);
    words.extend([head, branch, base, target, "--title", title]);
    words.extend(text);
    words
}

fn surroundings(forge: &Forge) -> Result<Vec<(OsString, OsString)>, Problem> {
    let known = |name: &str| Some((name.into(), environment::read(name)?));
    let names = [environment::PATH, environment::HOME];
    let mut all: Vec<_> = names.into_iter().filter_map(known).collect();
    if let Some(source) = &forge.token {
        let name = match forge.kind {
            ForgeKind::Github => "GH_TOKEN",
            ForgeKind::Gitlab => "GITLAB_TOKEN",
            ForgeKind::Gitea => "GITEA_SERVER_TOKEN",
        };
        all.push((name.into(), source.read()?.into()));
    }
    Ok(all)
}

fn address(program: &str, done: &Finished) -> Result<String, Problem> {
    let said = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
    let address = last_address(&said);
    if let Some(address) = address.filter(|_| done.ended.is_success()) {
        return Ok(address.to_owned());
    }
    let words = String::from_utf8_lossy(&done.stderr.bytes).into_owned();
    let words: String = words.trim().escape_debug().take(300).collect();
    Err(Problem::fail(
        "FORGE_FAILED",
        format!("{program} ended with {} and said: {words}", done.ended),
    )
    .hint("the branch is pushed; run it again, or ask for the review by hand"))
}

/// The last word that is an address and nothing but one.
fn last_address(said: &str) -> Option<&str> {
    let mut words = said.split_whitespace();
    words.rfind(|word| baton_forge::is_address(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_prints_reaches_no_terminal_as_an_escape() {
        let said = "made it\nhttps://git.example/a/1\nhttps://git.example/\u{1b}]0;x\u{7}\n";
        assert_eq!(last_address(said), Some("https://git.example/a/1"));
        assert_eq!(last_address("https://git.example/\u{9b}2J"), None);
    }
}
