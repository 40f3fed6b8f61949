//! Asks a forge for a review of a pushed branch, over its API: GitHub, GitLab, Gitea and Forgejo.
//!
//! Asking is done at most once: a review that is open already is found first. The token goes into one
//! header and nowhere else.

use std::time::Duration;

use baton_core::masking;
use baton_core::policy::{Forge, ForgeKind};
use baton_core::problem::Problem;
use serde_json::{Value, json};

/// A forge that does not answer within this time is not there.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 4 << 20;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Review<'a> {
    /// The pushed branch.
    pub branch: &'a str,
    /// The branch that it is for.
    pub target: &'a str,
    /// One line.
    pub title: &'a str,
    /// Markdown.
    pub body: &'a str,
}

/// Asks for a review, or finds the one that is open, and returns its address.
///
/// # Errors
/// `FORGE_FAILED` with the forge's status and its own first words.
pub fn ask(forge: &Forge, token: &str, review: &Review<'_>) -> Result<String, Problem> {
    let api = Api::new(forge, token);
    if let Some(address) = api.open_review(review)? {
        return Ok(address);
    }
    let (status, answer) = api.post(&api.reviews(), &api.request(review))?;
    let address = api.address(&answer);
    match (status, address) {
        (200 | 201, Some(address)) => Ok(address),
        _ => Err(api.refused(status, &answer)),
    }
}

struct Api<'a> {
    forge: &'a Forge,
    token: &'a str,
    agent: ureq::Agent,
}

impl<'a> Api<'a> {
    fn new(forge: &'a Forge, token: &'a str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // A redirect would carry the token to a host that no exception names.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("baton/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            forge,
            token,
            agent: config.into(),
        }
    }

    /// The header that carries the token.
    fn key(&self) -> (&'static str, String) {
        match self.forge.kind {
            ForgeKind::Github => ("authorization", format!("Bearer {}", self.token)),
            ForgeKind::Gitlab => ("private-token", self.token.to_owned()),
            ForgeKind::Gitea => ("authorization", format!("token {}", self.token)),
        }
    }

    fn accepts(&self) -> &'static str {
        match self.forge.kind {
            ForgeKind::Github => "application/vnd.github+json",
            ForgeKind::Gitlab | ForgeKind::Gitea => "application/json",
        }
    }

    /// Where reviews are listed and asked for.
    fn reviews(&self) -> String {
        let (api, project) = (&self.forge.api, &self.forge.project);
        match self.forge.kind {
            ForgeKind::Github | ForgeKind::Gitea => format!("{api}/repos/{project}/pulls"),
            ForgeKind::Gitlab => {
                format!("{api}/projects/{}/merge_requests", encoded(project))
            }
        }
    }

    fn request(&self, review: &Review<'_>) -> Value {
        match self.forge.kind {
            ForgeKind::Github | ForgeKind::Gitea => json!({
                "title": review.title, "head": review.branch, "base": review.target, "body": review.body,
            }),
            ForgeKind::Gitlab => json!({
                "title": review.title, "source_branch": review.branch, "target_branch": review.target,
                "description": review.body,
            }),
        }
    }

    /// The open review of this branch for this target.
    fn open_review(&self, review: &Review<'_>) -> Result<Option<String>, Problem> {
        let (branch, target) = (encoded(review.branch), encoded(review.target));
        let reviews = self.reviews();
        let address = match self.forge.kind {
            ForgeKind::Github => {
                let owner = self.forge.project.split('/').next().unwrap_or_default();
                let owner = encoded(owner);
                format!("{reviews}?state=open&head={owner}:{branch}&base={target}")
            }
            ForgeKind::Gitlab => {
                format!("{reviews}?state=opened&source_branch={branch}&target_branch={target}")
            }
            ForgeKind::Gitea => format!("{reviews}/{target}/{branch}"),
        };
        let (status, answer) = self.get(&address)?;
        let is_open = answer.get("state").and_then(Value::as_str) == Some("open");
        match (status, self.forge.kind) {
            (200, ForgeKind::Gitea) if is_open => Ok(self.address(&answer)),
            (200 | 404, ForgeKind::Gitea) => Ok(None),
            (200, _) => Ok(answer.get(0).and_then(|first| self.address(first))),
            _ => Err(self.refused(status, &answer)),
        }
    }

    fn address(&self, answer: &Value) -> Option<String> {
        let field = match self.forge.kind {
            ForgeKind::Github | ForgeKind::Gitea => "html_url",
            ForgeKind::Gitlab => "web_url",
        };
        let address = answer.get(field)?.as_str()?;
        is_address(address).then(|| address.to_owned())
    }

    fn get(&self, address: &str) -> Result<(u16, Value), Problem> {
        let (name, key) = self.key();
        let request = self.agent.get(address).header(name, key);
        let answer = request.header("accept", self.accepts()).call();
        self.read(answer)
    }

    fn post(&self, address: &str, body: &Value) -> Result<(u16, Value), Problem> {
        let (name, key) = self.key();
        let request = self.agent.post(address).header(name, key);
        let answer = request
            .header("accept", self.accepts())
            .header("content-type", "application/json")
            .send(body.to_string());
        self.read(answer)
    }

    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, Value), Problem> {
        let failed = |error: ureq::Error| {
            let message = format!("{} cannot be asked: {error}", self.forge.api);
            Problem::fail("FORGE_FAILED", message).hint(AGAIN)
        };
        let mut answer = answer.map_err(failed)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(MAX_ANSWER);
        let text = text.read_to_vec().map_err(failed)?;
        Ok((status, serde_json::from_slice(&text).unwrap_or(Value::Null)))
    }

    fn refused(&self, status: u16, answer: &Value) -> Problem {
        let words = answer.get("message").or_else(|| answer.get("error"));
        let words = words.map_or("nothing".to_owned(), Value::to_string);
        let words = masking::excerpt(&words, 300);
        let message = format!(
            "{} answered {status} for {} and said {words}",
            self.forge.api, self.forge.project
        );
        let hint = match status {
            401 | 403 => "give landing.forge.token the right to open reviews; then run it again",
            404 => "correct landing.forge.project, or let the token see it; then run it again",
            _ => AGAIN,
        };
        Problem::fail("FORGE_FAILED", message).hint(hint)
    }
}

const AGAIN: &str = "the branch is pushed; run it again, or ask for the review by hand";

/// Whether a forge's words are an address that can be shown: no control character or look-alike
/// reaches a terminal by it.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let web = text.starts_with("https://") || text.starts_with("http://");
    web && text.len() <= 2000 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Writes text as one part of a URL.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |mut url, byte| {
        if plain(byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
        url
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_text() {
        assert!(is_address("https://git.example/a/b/pulls/1?x=%20#y"));
        for bad in [
            "https://git.example/\u{1b}]0;x\u{7}",
            "https://git.example/\u{9b}2J",
            "https://git.example/\u{202e}1",
            "https://git.example/a b",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_address(bad), "{}", bad.escape_debug());
        }
    }

    #[test]
    fn a_part_of_a_url_holds_no_separator() {
        assert_eq!(encoded("group/sub project"), "group%2Fsub%20project");
        assert_eq!(encoded("baton/T-1?a=b&c#d"), "baton%2FT-1%3Fa%3Db%26c%23d");
    }
}
