//! The `landing` section of `POLICY.json`: where changes land, in whose name, and what leaves the
//! machine.

use serde::{Deserialize, Serialize};

use crate::bounds::{self, Checked};
use crate::git::is_branch_name;
use crate::problem::Problem;
use crate::{environment, files, masking, wire};

/// What `purpose` of an external exception is for a host that branches for review go to. Such an
/// exception lets no change name the host.
pub const LANDING_PURPOSE: &str = "landing";

/// Who stands in a commit as author or committer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Signatory {
    /// By role.
    Role(Role),
    /// Always this one.
    Fixed(Person),
}

/// The roles that can stand in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who proposed the change, as `baton (<actor>)`.
    Agent,
    /// The person that git knows here.
    Operator,
}

/// A name and a mail address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Person {
    pub name: String,
    pub email: String,
}

/// How landings are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Signing {
    #[default]
    None,
    Ssh,
    Gpg,
}

/// Where a token is read from. It never stands in the policy, on a command line or in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenSource {
    /// The environment variable of this name.
    Env(String),
    /// The first line of this file.
    File(String),
}

/// The interface that a forge speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ForgeKind {
    Github,
    Gitlab,
    /// Forgejo speaks it too.
    Gitea,
}

/// What asks the forge for a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// baton itself, over HTTPS.
    Api,
    /// GitHub's own tool.
    Gh,
    /// GitLab's own tool.
    Glab,
    /// Gitea's own tool.
    Tea,
}

impl Via {
    /// The program's name; none for the API.
    #[must_use]
    pub const fn program(self) -> Option<&'static str> {
        match self {
            Self::Api => None,
            Self::Gh => Some("gh"),
            Self::Glab => Some("glab"),
            Self::Tea => Some("tea"),
        }
    }
}

/// Where reviews are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forge {
    /// Which interface.
    pub kind: ForgeKind,
    /// What speaks it.
    pub via: Via,
    /// The project, such as `owner/name`.
    pub project: String,
    /// The address of the API, without a slash at the end.
    pub api: String,
    /// The token that opens a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSource>,
}

/// Where and how changes land.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landing {
    /// The branch that AUTO_MERGE moves.
    pub target: String,
    /// What the name of a branch for review begins with.
    pub branch_prefix: String,
    /// How often in one run a change is made anew on a target that moved.
    #[serde(default = "rebases", deserialize_with = "wire::count")]
    pub max_rebases: u64,
    /// Whether an approval is carried over to the same net change on a target that moved.
    #[serde(default)]
    pub carry_approvals: bool,
    /// Who stands as author.
    #[serde(default = "agent")]
    pub author: Signatory,
    /// Who stands as committer.
    #[serde(default = "operator")]
    pub committer: Signatory,
    /// Whether and how commits are signed.
    #[serde(default)]
    pub sign: Signing,
    /// Whether the gates run once more on what landed.
    #[serde(default)]
    pub gates_on_tip: bool,
    /// Whether branches for review are pushed.
    #[serde(default)]
    pub push: bool,
    /// The name of the git remote they go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The password of a push over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_token: Option<TokenSource>,
    /// The git credential helper that a push over HTTPS may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_helper: Option<String>,
    /// Where a review is asked for once the branch is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<Forge>,
}

impl Landing {
    /// The branch for review of a task. git has no branch that ends in a dot or in `.lock`, tasks may.
    #[must_use]
    pub fn review_branch(&self, task: &str) -> String {
        let ending = if task.ends_with('.') || task.to_ascii_lowercase().ends_with(".lock") {
            "_"
        } else {
            ""
        };
        format!("{}{task}{ending}", self.branch_prefix)
    }
}

fn rebases() -> u64 {
    3
}

fn agent() -> Signatory {
    Signatory::Role(Role::Agent)
}

fn operator() -> Signatory {
    Signatory::Role(Role::Operator)
}

/// Whether text is made of these bytes and ASCII letters and digits, and begins with one of those.
fn is_plain(text: &str, most: usize, more: &[u8]) -> bool {
    let first = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    let all = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
    first && all && text.len() <= most
}

/// The bounds that the schema puts on it.
pub(super) fn check(landing: &Landing) -> Checked {
    let target = &landing.target;
    bounds::text("landing.target", target, 1, 200)?;
    if !is_branch_name(target) || target.contains(char::is_whitespace) {
        let target = target.escape_debug();
        return Err(format!(
            "landing.target \"{target}\" is no branch name: expected one that git check-ref-format --branch takes, \
             such as main"
        ));
    }
    let prefix = &landing.branch_prefix;
    if !is_plain(prefix, 100, b"._/-") || !is_branch_name(&landing.review_branch("T-1")) {
        let prefix = prefix.escape_debug();
        return Err(format!(
            "landing.branch_prefix \"{prefix}\" cannot begin a branch name: expected one such as baton/"
        ));
    }
    bounds::number("landing.max_rebases", landing.max_rebases, 0, 10)?;
    signatory("landing.author", &landing.author)?;
    signatory("landing.committer", &landing.committer)?;
    outside(landing)
}

fn signatory(field: &str, who: &Signatory) -> Checked {
    let Signatory::Fixed(person) = who else {
        return Ok(());
    };
    // git cuts these off, or ends the name at them.
    let odd = |text: &str| text.contains(['<', '>']) || text.chars().any(char::is_control);
    bounds::text(field, &person.name, 1, 200)?;
    bounds::text(field, &person.email, 1, 200)?;
    if odd(&person.name) || odd(&person.email) || person.name.trim().is_empty() {
        return Err(format!(
            "{field} holds a name or address that git cannot write"
        ));
    }
    Ok(())
}

fn outside(landing: &Landing) -> Checked {
    if let Some(remote) = &landing.remote
        && !is_plain(remote, 100, b"._-")
    {
        let remote = remote.escape_debug();
        return Err(format!("landing.remote \"{remote}\" is no remote's name"));
    }
    if let Some(helper) = &landing.credential_helper
        && !is_plain(helper, 100, b"-")
    {
        let helper = helper.escape_debug();
        return Err(format!(
            "landing.credential_helper \"{helper}\" is no helper's name, such as libsecret"
        ));
    }
    if let Some(token) = &landing.push_token {
        token_source("landing.push_token", token)?;
    }
    if landing.push && landing.remote.is_none() {
        return Err("landing.push needs landing.remote".to_owned());
    }
    let Some(forge) = &landing.forge else {
        return Ok(());
    };
    if !landing.push {
        return Err("landing.forge needs landing.push: a review is of a pushed branch".to_owned());
    }
    self::forge(forge)
}

pub(super) fn token_source(field: &str, token: &TokenSource) -> Checked {
    match token {
        TokenSource::Env(name) if is_plain(name, 100, b"_") => Ok(()),
        TokenSource::Env(name) => Err(format!(
            "{field}.env \"{}\" is no variable's name",
            name.escape_debug()
        )),
        TokenSource::File(path) => bounds::text(&format!("{field}.file"), path, 1, 4096),
    }
}

fn forge(forge: &Forge) -> Checked {
    let fits = match forge.via {
        Via::Api => forge.token.is_some(),
        Via::Gh => forge.kind == ForgeKind::Github,
        Via::Glab => forge.kind == ForgeKind::Gitlab,
        Via::Tea => forge.kind == ForgeKind::Gitea,
    };
    if !fits {
        return Err(
            "landing.forge.via is api (with a token), or the forge's own tool: gh, glab, tea"
                .to_owned(),
        );
    }
    let project = &forge.project;
    let parts: Vec<_> = project.split('/').collect();
    let plain = |part: &&str| is_plain(part, 100, b"._-") && !part.contains("..");
    let two = parts.len() == 2 || (forge.kind == ForgeKind::Gitlab && parts.len() <= 20);
    if !two || parts.len() < 2 || !parts.iter().all(plain) {
        return Err(format!(
            "landing.forge.project \"{}\" is no project such as owner/name",
            project.escape_debug()
        ));
    }
    bounds::text("landing.forge.api", &forge.api, 8, 500)?;
    let rest = forge.api.strip_prefix("https://").or_else(|| {
        // A token must not cross a network in the clear.
        forge.api.strip_prefix("http://").filter(|rest| {
            let host = rest.split(['/', ':']).next();
            matches!(host, Some("127.0.0.1" | "localhost"))
        })
    });
    if !rest.is_some_and(|rest| is_plain(rest, 500, b"._-:/") && !rest.ends_with('/')) {
        return Err(format!(
            "landing.forge.api \"{}\" is no https address without a slash at the end",
            forge.api.escape_debug()
        ));
    }
    forge
        .token
        .as_ref()
        .map_or(Ok(()), |token| token_source("landing.forge.token", token))
}

/// The longest token, in bytes.
const MAX_TOKEN: usize = 8192;

impl TokenSource {
    /// Reads the token; its value goes into no message, and from here on nothing shows it.
    ///
    /// # Errors
    /// `TOKEN_MISSING`.
    pub fn read(&self) -> Result<String, Problem> {
        let missing = |what: String| {
            Problem::fail("TOKEN_MISSING", format!("{what} holds no token"))
                .hint("put the token there and run it again; it is never logged")
        };
        let text = match self {
            Self::Env(name) => environment::read_text(name)
                .ok_or_else(|| missing(format!("the variable {name}")))?,
            Self::File(path) => {
                let path = std::path::Path::new(path);
                let bytes = files::read_private(path, MAX_TOKEN)
                    .map_err(|error| missing(format!("{} ({error})", path.display())))?;
                String::from_utf8(bytes).map_err(|_| missing(path.display().to_string()))?
            }
        };
        let line = text.lines().next().unwrap_or_default().trim().to_owned();
        if line.is_empty() || line.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(missing(
                "what the policy names as the place of a token".to_owned(),
            ));
        }
        masking::hold(&line);
        Ok(line)
    }
}
