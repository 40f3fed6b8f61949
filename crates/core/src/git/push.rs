//! Pushing: one commit as one new branch of one remote, from the private store, with no hook, no
//! alias and no configuration of the user's or the repository's.

use std::ffi::OsString;

use data_encoding::BASE64;

use super::{Call, ObjectStore, Oid, Repository, last_words};
use crate::problem::Problem;
use crate::process::Finished;
use crate::{environment, masking};

/// The variable by which a password reaches git's credential helper; never an argument.
const PASSWORD: &str = "BATON_PUSH_PASSWORD";
/// The user that a token is the password of.
const USER: &str = "x-access-token";
/// A helper that answers with that variable.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=x-access-token\\npassword=%s\\n' \"$BATON_PUSH_PASSWORD\"; }; f";
/// The user's SSH configuration can name programs, so it is not read.
const SSH: &str = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes";

/// Where a push goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl {
    text: String,
    scheme: &'static str,
    /// The host, in lower case; `localhost` for a folder of this machine.
    pub host: String,
}

/// What a push may show the remote.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The password of a push over HTTPS.
    pub password: Option<String>,
    /// The name of a git credential helper.
    pub helper: Option<String>,
}

impl RemoteUrl {
    /// The address as git has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn failed(&self, branch: &str, done: &Finished) -> Problem {
        let words = last_words(&done.stderr.bytes);
        let host = &self.host;
        Problem::fail(
            "PUSH_FAILED",
            format!("branch {branch} could not be pushed to {host}: {words}"),
        )
        .hint("the branch is made here; mend what the remote says and run it again")
    }

    /// Reads a remote's address.
    ///
    /// # Errors
    /// `REMOTE_REFUSED` for a form that is none of https, ssh and file, for a password in it, and for
    /// http to another machine.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let refused = |why: &str| {
            // A password could stand in it, so only its beginning is shown.
            let shown = text.split('@').next_back().unwrap_or_default();
            let shown = masking::excerpt(shown, 100);
            Problem::fail(
                "REMOTE_REFUSED",
                format!("the remote's address …{shown} {why}"),
            )
            .hint("set it: git remote set-url NAME https://host/owner/name.git")
        };
        if text.starts_with('-') || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(refused("holds characters that no address has"));
        }
        let Some((scheme, authority)) = split(text) else {
            return Err(refused("is none of https, ssh and file"));
        };
        let authority = authority.split('/').next().unwrap_or_default();
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if scheme.starts_with("http") && !user.is_empty() {
            return Err(refused("holds a name or a password"));
        }
        let host = host
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        if host.is_empty() || host.starts_with('-') || !host.bytes().all(plain) {
            return Err(refused("names no plain host"));
        }
        if scheme == "http" && !matches!(host.as_str(), "127.0.0.1" | "localhost") {
            return Err(refused("would send everything in the clear"));
        }
        Ok(Self {
            text: text.to_owned(),
            scheme,
            host,
        })
    }
}

/// The scheme of an address, and what names its host.
fn split(text: &str) -> Option<(&'static str, &str)> {
    for (start, scheme) in [
        ("https://", "https"),
        ("http://", "http"),
        ("ssh://", "ssh"),
    ] {
        if let Some(rest) = text.strip_prefix(start) {
            return Some((scheme, rest));
        }
    }
    if text.starts_with("file:///") || text.starts_with('/') {
        return Some(("file", "localhost/"));
    }
    // The form of SSH, `host:path`; with two colons a helper program would be meant.
    let (host, path) = text.split_once(':')?;
    let plain = !host.contains('/') && !path.starts_with("//") && !path.starts_with(':');
    plain.then_some(("ssh", host))
}

impl Repository {
    /// The address that a remote of this repository is pushed to.
    ///
    /// # Errors
    /// `REMOTE_MISSING`, `REMOTE_REFUSED`.
    pub fn remote_url(&self, name: &str) -> Result<RemoteUrl, Problem> {
        let key = |key: &str| self.setting(&[], &format!("remote.{name}.{key}"));
        let Some(url) = key("pushurl").or_else(|| key("url")) else {
            return Err(Problem::fail(
                "REMOTE_MISSING",
                format!("this repository has no remote \"{name}\""),
            )
            .hint(format!("git remote add {name} URL; or name another in landing.remote of POLICY.json or as the witness")));
        };
        RemoteUrl::parse(&url)
    }
}

impl ObjectStore {
    /// A call that may reach this remote and no other.
    fn reaching(&self, url: &RemoteUrl, credentials: &Credentials) -> Call {
        let mut call = self
            .call()
            .set("GIT_ALLOW_PROTOCOL", url.scheme)
            .args([
                "-c".to_owned(),
                format!("protocol.{}.allow=always", url.scheme),
            ])
            .args(["-c", "http.followRedirects=false"])
            .args(["-c", "credential.helper=", "-c", "core.askPass="]);
        if url.scheme == "ssh" {
            call = call.set("GIT_SSH_COMMAND", SSH);
            if let Some(agent) = environment::read(environment::SSH_AUTH_SOCK) {
                call = call.set(environment::SSH_AUTH_SOCK, agent);
            }
        }
        if let Some(helper) = &credentials.helper {
            call = call.args(["-c".to_owned(), format!("credential.helper={helper}")]);
            if let Some(home) = environment::read(environment::HOME) {
                call = call.set("HOME", home);
            }
        }
        // The hooks of a folder's repository run here, and would see it in their environment.
        if let Some(password) = &credentials.password
            && url.scheme.starts_with("http")
        {
            // A server may quote the header that git makes of it.
            masking::hold(&BASE64.encode(format!("{USER}:{password}").as_bytes()));
            call = call
                .set(PASSWORD, OsString::from(password))
                .args(["-c".to_owned(), format!("credential.helper={HELPER}")]);
        }
        call
    }

    /// The commit that the remote's branch names, if there is one.
    pub(super) fn remote_tip(
        &self,
        url: &RemoteUrl,
        credentials: &Credentials,
        branch: &str,
    ) -> Result<Option<Oid>, Problem> {
        let name = format!("refs/heads/{branch}");
        let listed = self
            .reaching(url, credentials)
            .args(["ls-remote", "--refs", "--end-of-options", &url.text, &name])
            .finish()?;
        if !listed.ended.is_success() {
            return Err(url.failed(branch, &listed));
        }
        let text = String::from_utf8_lossy(&listed.stdout.bytes).into_owned();
        let mut found = text.lines().filter_map(|line| line.split_once('\t'));
        let found = found.find(|(_, found)| *found == name);
        found.map(|(id, _)| Oid::parse(id)).transpose()
    }

    /// Whether the remote's branch names this commit already.
    fn is_there(
        &self,
        url: &RemoteUrl,
        credentials: &Credentials,
        branch: &str,
        commit: &Oid,
    ) -> Result<bool, Problem> {
        match self.remote_tip(url, credentials, branch)? {
            Some(id) if id == *commit => Ok(true),
            Some(id) => Err(Problem::fail(
                "BRANCH_EXISTS",
                format!("{} has a branch {branch} already, at {id}", url.host),
            )
            .hint("delete or rename that branch, then run it again")),
            None => Ok(false),
        }
    }

    /// Makes `branch` of the remote name `commit`. A branch that is there already and names another
    /// commit stays as it is; says whether anything was sent.
    ///
    /// # Errors
    /// `BRANCH_EXISTS`, `PUSH_FAILED` with git's own words.
    pub fn push(
        &self,
        url: &RemoteUrl,
        credentials: &Credentials,
        branch: &str,
        commit: &Oid,
    ) -> Result<bool, Problem> {
        if self.is_there(url, credentials, branch, commit)? {
            return Ok(false);
        }
        // It must still not be there: nothing is overwritten.
        self.send(url, credentials, branch, None, commit)?;
        Ok(true)
    }

    /// Moves the remote's branch from `from`, or from not being there, to `commit`, in one step.
    pub(super) fn send(
        &self,
        url: &RemoteUrl,
        credentials: &Credentials,
        branch: &str,
        from: Option<&Oid>,
        commit: &Oid,
    ) -> Result<(), Problem> {
        let name = format!("refs/heads/{branch}");
        let from = from.map_or("", Oid::as_str);
        let pushed = self
            .reaching(url, credentials)
            .args(["push", "--quiet", "--no-verify"])
            .args([
                format!("--force-with-lease={name}:{from}"),
                "--end-of-options".to_owned(),
            ])
            .args([url.text.clone(), format!("{commit}:{name}")])
            .finish()?;
        if pushed.ended.is_success() {
            return Ok(());
        }
        Err(url.failed(branch, &pushed))
    }

    /// Brings what the remote's branch names into the store.
    pub(super) fn bring(
        &self,
        url: &RemoteUrl,
        credentials: &Credentials,
        branch: &str,
    ) -> Result<(), Problem> {
        let fetched = self
            .reaching(url, credentials)
            .args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"])
            .args(["--no-recurse-submodules", "--end-of-options", &url.text])
            .args([format!("refs/heads/{branch}")])
            .finish()?;
        if fetched.ended.is_success() {
            return Ok(());
        }
        Err(url.failed(branch, &fetched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address() {
        for (text, scheme, host) in [
            ("https://GitHub.com/a/b.git", "https", "github.com"),
            ("https://git.example:8443/a/b", "https", "git.example"),
            ("ssh://git@git.example:22/a/b", "ssh", "git.example"),
            ("git@git.example:a/b.git", "ssh", "git.example"),
            ("file:///srv/b.git", "file", "localhost"),
            ("/srv/b.git", "file", "localhost"),
            ("http://127.0.0.1:8080/b.git", "http", "127.0.0.1"),
        ] {
            let url = RemoteUrl::parse(text).unwrap();
            assert_eq!((url.scheme, url.host.as_str()), (scheme, host), "{text}");
        }
    }

    #[test]
    fn what_runs_a_program_or_tells_a_secret_is_refused() {
        for text in [
            "ext::sh -c true",
            "ext::true",
            "-oProxyCommand=true",
            "http://git.example/a",
            "https://me:secret@git.example/a",
            "ssh://-oProxyCommand=true/a",
            "https:///a",
            "../b.git",
            "git://git.example/a",
            "https://a b/c",
            "",
        ] {
            let problem = RemoteUrl::parse(text).unwrap_err();
            assert_eq!(problem.code, "REMOTE_REFUSED", "{text}");
            assert!(!problem.message.contains("secret"), "{}", problem.message);
        }
    }
}
