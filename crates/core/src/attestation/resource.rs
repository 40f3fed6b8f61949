//! The in-toto resource descriptor: what something is called and which bytes it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bounds;
use crate::wire;

const LONGEST_TEXT: usize = 4096;
const MOST_DIGESTS: usize = 16;
/// The algorithms that are believed, with the lengths of their digests in hex.
const BELIEVED: [(&str, &[usize]); 4] = [
    ("sha256", &[64]),
    ("gitTree", &[40, 64]),
    ("gitCommit", &[40, 64]),
    ("gitBlob", &[40, 64]),
];

/// One thing that a statement is about or names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// What it is called inside the statement.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
    /// What it is called everywhere.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub uri: Option<String>,
    /// Its digests, by algorithm.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// Its media type.
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub media_type: Option<String>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

impl Resource {
    fn with(name: &str, algorithm: &str, digest: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            digest: BTreeMap::from([(algorithm.to_owned(), digest.to_owned())]),
            ..Self::default()
        }
    }

    /// Something with a SHA-256.
    #[must_use]
    pub fn sha256(name: &str, digest: &str) -> Self {
        Self::with(name, "sha256", digest)
    }

    /// A git tree.
    #[must_use]
    pub fn git_tree(name: &str, id: &str) -> Self {
        Self::with(name, "gitTree", id)
    }

    /// A git commit.
    #[must_use]
    pub fn git_commit(name: &str, id: &str) -> Self {
        Self::with(name, "gitCommit", id)
    }

    /// Whether it has this digest under this algorithm.
    #[must_use]
    pub fn has(&self, algorithm: &str, digest: &str) -> bool {
        self.digest.get(algorithm).is_some_and(|own| own == digest)
    }

    /// A descriptor names a digest or an address; digests of known algorithms are well formed.
    pub(super) fn check(&self, field: &str) -> bounds::Checked {
        if self.digest.is_empty() && self.uri.is_none() {
            return Err(format!("{field} has neither digest nor uri"));
        }
        for text in [&self.name, &self.uri, &self.media_type]
            .into_iter()
            .flatten()
        {
            bounds::text(field, text, 1, LONGEST_TEXT)?;
        }
        bounds::number(field, self.digest.len() as u64, 0, MOST_DIGESTS as u64)?;
        for (algorithm, digest) in &self.digest {
            let lengths = BELIEVED.iter().find(|(name, _)| name == algorithm);
            match lengths {
                Some((_, lengths)) => {
                    bounds::hex(&format!("{field}.{algorithm}"), digest, lengths)?
                }
                None => bounds::text(&format!("{field}.digest"), digest, 1, LONGEST_TEXT)?,
            }
        }
        Ok(())
    }

    /// A subject is matched by its digest alone, so it needs one that is believed.
    pub(super) fn check_subject(&self) -> bounds::Checked {
        self.check("subject")?;
        let believed = |algorithm: &String| BELIEVED.iter().any(|(name, _)| name == algorithm);
        if self.digest.keys().any(believed) {
            return Ok(());
        }
        let expected = BELIEVED.map(|(name, _)| name);
        Err(format!(
            "subject has digests {:?}, expected one of {expected:?}",
            self.digest.keys().collect::<Vec<_>>()
        ))
    }
}
