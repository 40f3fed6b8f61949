//! A branch of a git remote: a commit for each checkpoint, upon the one before. Where the branch is
//! guarded, nobody takes a commit back.

use baton_core::git::Credentials;
use baton_core::policy::TokenSource;
use baton_core::problem::Problem;
use baton_core::session::Session;

use super::push::{Handover, Taken};

/// The file's name on the branch.
const FILE: &str = "checkpoint";

/// Puts the checkpoint on the branch, which must be where it was when its file was read.
pub(super) fn hand(
    session: &Session,
    remote: &str,
    branch: &str,
    handover: &Handover<'_>,
) -> Result<Taken, Problem> {
    let repository = session.repository()?;
    let url = repository.remote_url(remote)?;
    let objects = session.store()?.objects(repository)?;
    let credentials = credentials(session, remote)?;
    let kept = objects.kept(&url, &credentials, branch, FILE)?;
    if let Some(kept) = &kept
        && kept.bytes.is_none()
    {
        return Err(Problem::fail(
            "WITNESS_BRANCH_OTHER",
            format!("branch {branch} of {remote} holds no file {FILE}: it is of another use"),
        )
        .hint("name a branch that is for checkpoints alone, with --branch"));
    }
    let before = kept.as_ref().and_then(|kept| kept.bytes.as_deref());
    if !handover.is_news_after(before)? {
        return Ok(Taken::Already);
    }
    let head = handover.head();
    let message = format!("{}: {} lines\n", head.origin, head.size);
    let tip = kept.as_ref().map(|kept| &kept.tip);
    let text = handover.text();
    let file = (FILE, text.as_bytes());
    objects.keep_on(&url, &credentials, branch, tip, file, &message)?;
    Ok(Taken::Kept)
}

/// What the policy lets landings show to this remote.
fn credentials(session: &Session, remote: &str) -> Result<Credentials, Problem> {
    let landing = &session.policy()?.landing;
    if landing.remote.as_deref() != Some(remote) {
        return Ok(Credentials::default());
    }
    let password = landing.push_token.as_ref().map(TokenSource::read);
    Ok(Credentials {
        password: password.transpose()?,
        helper: landing.credential_helper.clone(),
    })
}
