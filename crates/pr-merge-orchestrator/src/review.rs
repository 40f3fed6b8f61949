//! A branch for review: what people are told of it, where it is pushed, who is asked.

use baton_core::envelope::{Artifact, ArtifactKind};
use baton_core::git::{Credentials, Oid, RemoteUrl};
use baton_core::outputs::LandingMode;
use baton_core::policy::{Forge, LANDING_PURPOSE, TokenSource, Via};
use baton_core::problem::Problem;
use baton_forge::Review;

use crate::landing::Landing;
use crate::{describe, message, tool};

/// The description's name in the task's folder.
const BODY: &str = "evidence/review.md";
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
    let mut hosts = vec![remote(landing)?.host.clone()];
    if let Some(forge) = &landing.policy.forge {
        hosts.push(host_of(forge));
    }
    let policy = landing.session.policy()?;
    for host in hosts {
        policy
            .names_host(&host, LANDING_PURPOSE, "the branch")
            .map_err(|problem| problem.hint("or set landing.push to false"))?;
    }
    Ok(())
}

fn host_of(forge: &Forge) -> String {
    let rest = forge.api.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    host.to_ascii_lowercase()
}

fn remote<'a>(landing: &Landing<'a>) -> Result<&'a RemoteUrl, Problem> {
    let none = || Problem::fail("REMOTE_MISSING", "the policy names no remote");
    landing.session.remote()?.ok_or_else(none)
}

/// Writes the description, and takes the branch as far as the policy lets it.
pub(crate) fn publish(landing: &Landing<'_>, commit: &Oid) -> Result<Out, Problem> {
    let text = describe::review(landing, commit)?;
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
        password: landing
            .policy
            .push_token
            .as_ref()
            .map(TokenSource::read)
            .transpose()?,
        helper: landing.policy.credential_helper.clone(),
    };
    landing.session.check_stop()?;
    let sent = landing
        .objects
        .push(url, &credentials, &landing.branch, commit)?;
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

fn ask(landing: &Landing<'_>, forge: &Forge, body: &str) -> Result<String, Problem> {
    let session = landing.session;
    let title = session.store()?.asked(session.task()?)?.title;
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
            baton_forge::ask(forge, &source.read()?, &review)
        }
        via => tool::ask(landing, forge, via, &title, body),
    }
}
