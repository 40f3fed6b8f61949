//! A witness at a URL, by C2SP tlog-witness. What it answers is text of a stranger: bounded, read
//! strictly, and of it only that witness's own verified signatures are kept.

use std::time::Duration;

use baton_core::masking;
use baton_core::problem::Problem;
use baton_transparency::witness::Answer;
use baton_transparency::{MAX_NOTE_BYTES, SignatureLine, VerifyingKey};

use super::push::Handover;
use crate::commands::audit::named::refused;

/// A witness that does not answer within this time is not there.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the question is put anew because the witness names another old size.
const TRIES: usize = 3;

/// Asks the witness to sign, starting from what it is thought to have signed last.
pub(super) fn ask(
    url: &str,
    key: &VerifyingKey,
    known: u64,
    handover: &Handover<'_>,
) -> Result<Vec<SignatureLine>, Problem> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // A redirect would lead to a host that no exception names.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("baton/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent: ureq::Agent = config.into();
    let mut old = known;
    for _ in 0..TRIES {
        match post(&agent, url, &handover.request(old)?.to_string())? {
            Answer::Cosigned(lines) => return Ok(lines),
            Answer::Conflict(size) => old = handover.check_claim(key.name(), size)?,
            Answer::Refused { status, why } => {
                let why = masking::excerpt(&why, 300);
                return Err(failed(url, &format!("answered {status} and said {why}")));
            }
        }
    }
    Err(failed(url, "names another size each time it is asked"))
}

fn post(agent: &ureq::Agent, url: &str, body: &str) -> Result<Answer, Problem> {
    let lost = |error: ureq::Error| failed(url, &format!("cannot be asked: {error}"));
    let request = agent.post(format!("{url}/add-checkpoint"));
    let request = request.header("content-type", "text/plain; charset=utf-8");
    let mut answer = request.send(body).map_err(lost)?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(MAX_NOTE_BYTES as u64);
    let text = text.read_to_vec().map_err(lost)?;
    let text = String::from_utf8_lossy(&text);
    Answer::parse(status, &text).map_err(|error| refused(&error))
}

fn failed(url: &str, what: &str) -> Problem {
    Problem::fail("WITNESS_FAILED", format!("the witness {url} {what}"))
        .hint("hand it over again later: baton audit witness push")
}
