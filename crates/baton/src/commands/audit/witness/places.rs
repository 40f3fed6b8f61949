//! The list of places that checkpoints are handed to.

use std::fmt;
use std::path::PathBuf;

use baton_core::audit::Log;
use baton_core::git::RemoteUrl;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_transparency::{KeyKind, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::named;

/// The most places.
const MOST: usize = 32;
/// The longest name of a place, in bytes.
const LONGEST: usize = 2000;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Place {
    /// A file that holds the newest checkpoint.
    File { path: PathBuf },
    /// A folder that gets a file for each checkpoint and never loses one.
    Folder { path: PathBuf },
    /// A branch of a git remote, a commit for each checkpoint.
    Branch { remote: String, branch: String },
    /// A witness that speaks C2SP tlog-witness.
    Http { url: String, key: String },
}

impl Place {
    /// A place as the command line names it.
    pub(super) fn of(text: &str, key: Option<&str>) -> Result<Self, Problem> {
        if text.contains("://") {
            let Some(key) = key else {
                return Err(Problem::usage(
                    "a witness at a URL is known by its public key: pass --key VKEY",
                ));
            };
            let key = cosigner(key)?.to_string();
            let url = text.trim_end_matches('/').to_owned();
            let place = Self::Http { url, key };
            return place.check().map(|()| place);
        }
        if key.is_some() {
            return Err(Problem::usage("--key is for a witness at a URL"));
        }
        let path = std::path::absolute(text).map_err(|error| Problem::io(text, &error))?;
        let place = if path.is_dir() {
            Self::Folder { path }
        } else {
            Self::File { path }
        };
        place.check().map(|()| place)
    }

    /// A branch of a remote.
    pub(super) fn branch(remote: &str, branch: &str) -> Result<Self, Problem> {
        let place = Self::Branch {
            remote: remote.to_owned(),
            branch: branch.to_owned(),
        };
        place.check().map(|()| place)
    }

    /// What the list may hold, whoever wrote it.
    fn check(&self) -> Result<(), Problem> {
        let refused = |why: &str| Problem::usage(format!("the place {self} {why}"));
        if self.to_string().len() > LONGEST {
            return Err(refused("has too long a name"));
        }
        match self {
            Self::File { path } | Self::Folder { path } => {
                let plain = path
                    .to_str()
                    .is_some_and(|path| !path.contains(char::is_control));
                if path.is_absolute() && plain {
                    return Ok(());
                }
                Err(refused("is no whole path of printable characters"))
            }
            Self::Branch { remote, branch } => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
                let wrong = |name: &str| {
                    let part = |part: &str| {
                        part.is_empty() || part.starts_with(['.', '-']) || part.ends_with(".lock")
                    };
                    !name.chars().all(plain)
                        || name.contains("..")
                        || name.ends_with('.')
                        || name.split('/').any(part)
                };
                if wrong(remote) || wrong(branch) {
                    return Err(refused("is no remote and branch of plain characters"));
                }
                Ok(())
            }
            Self::Http { url, key } => {
                let web = url.starts_with("https://") || url.starts_with("http://");
                let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
                if !web || !plain || url.contains(['?', '#']) {
                    return Err(refused("is no https address"));
                }
                RemoteUrl::parse(url)?;
                cosigner(key).map(drop)
            }
        }
    }

    /// What the name alone does not say of it: a witness's key, a remote's address.
    pub(super) fn mark(&self, session: &Session) -> Result<Option<String>, Problem> {
        Ok(match self {
            Self::File { .. } | Self::Folder { .. } => None,
            Self::Branch { remote, .. } => {
                let url = session.repository()?.remote_url(remote)?;
                Some(url.as_str().to_owned())
            }
            Self::Http { key, .. } => Some(key.clone()),
        })
    }

    /// The host that is spoken to, where it is another than this file system.
    pub(super) fn host(&self, session: &Session) -> Result<Option<String>, Problem> {
        match self {
            Self::File { .. } | Self::Folder { .. } => Ok(None),
            Self::Branch { remote, .. } => {
                let url = session.repository()?.remote_url(remote)?;
                Ok(Some(url.host))
            }
            Self::Http { url, .. } => Ok(Some(RemoteUrl::parse(url)?.host)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } | Self::Folder { path } => path.display().fmt(f),
            Self::Branch { remote, branch } => write!(f, "git:{remote}:{branch}"),
            Self::Http { url, .. } => f.write_str(url),
        }
    }
}

/// A witness's public key, by its text or a file.
pub(super) fn cosigner(given: &str) -> Result<VerifyingKey, Problem> {
    let key = named::key(given)?;
    if key.kind() == KeyKind::Cosigner {
        return Ok(key);
    }
    Err(Problem::usage(format!(
        "{key} is a log's key, expected a witness's (kind 4)"
    )))
}

/// All places.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Places {
    places: Vec<Place>,
}

impl Places {
    pub(super) fn read(log: &Log) -> Result<Self, Problem> {
        let Some(bytes) = log.places()? else {
            return Ok(Self::default());
        };
        let invalid = |why: String| {
            Problem::fail("WITNESSES_INVALID", format!("the list of witnesses: {why}")).hint(
                "restore .autodev_queue/audit/witnesses.json, or remove it and name them again",
            )
        };
        let places: Self =
            serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if places.places.len() > MOST {
            return Err(invalid(format!(
                "{} places, at most {MOST}",
                places.places.len()
            )));
        }
        for place in &places.places {
            place.check().map_err(|problem| invalid(problem.message))?;
        }
        Ok(places)
    }

    pub(super) fn all(&self) -> &[Place] {
        &self.places
    }

    pub(super) fn add(&mut self, place: Place) -> Result<(), Problem> {
        let name = place.to_string();
        if self.places.iter().any(|known| known.to_string() == name) {
            return Err(Problem::fail(
                "WITNESS_KNOWN",
                format!("checkpoints go to {name} already"),
            )
            .hint("see them all: baton audit witness list"));
        }
        if self.places.len() == MOST {
            let message = format!("{MOST} places are known, no more are kept");
            return Err(Problem::fail("WITNESSES_FULL", message)
                .hint("let one go: baton audit witness remove PLACE"));
        }
        self.places.push(place);
        Ok(())
    }

    /// Says whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.places.len();
        self.places.retain(|place| place.to_string() != name);
        self.places.len() < before
    }

    pub(super) fn write(&self, log: &Log) -> Result<(), Problem> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| Problem::fail("WITNESSES_INVALID", error.to_string()))?;
        log.set_places(format!("{text}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G";

    #[test]
    fn what_a_place_may_be() {
        assert!(matches!(
            Place::of("/tmp", None).unwrap(),
            Place::Folder { .. }
        ));
        assert!(matches!(
            Place::of("/tmp/none/x", None).unwrap(),
            Place::File { .. }
        ));
        assert!(Place::of("https://witness.example/prefix/", Some(KEY)).is_ok());
        assert!(Place::of("http://127.0.0.1:80/x", Some(KEY)).is_ok());
        assert!(Place::branch("origin", "baton/checkpoints").is_ok());
        for (text, key) in [
            ("https://witness.example", None),
            ("/tmp", Some(KEY)),
            ("http://witness.example", Some(KEY)),
            ("file:///etc/passwd", Some(KEY)),
            ("ssh://host/x", Some(KEY)),
            ("https://me:secret@witness.example", Some(KEY)),
            ("https://witness.example/?x", Some(KEY)),
            ("https://witness.example/\n", Some(KEY)),
            (
                "https://witness.example",
                Some("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"),
            ),
            ("/tmp/a\nb", None),
        ] {
            assert!(Place::of(text, key).is_err(), "{text}");
        }
        for (remote, branch) in [
            ("origin", ""),
            ("", "x"),
            ("-o", "x"),
            ("origin", "a..b"),
            ("origin", "a b"),
            ("origin", "/a"),
            ("origin", "a/"),
            ("origin", "a.lock"),
            ("origin", ".a"),
            ("origin", "a//b"),
            ("origin", "a:b"),
        ] {
            assert!(Place::branch(remote, branch).is_err(), "{remote} {branch}");
        }
    }
}
