//! The gates of `POLICY.json`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::rules::{Case, Globs};
use crate::{digest, wire};

/// Who carries a gate out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateKind {
    /// baton itself: a verdict that the change cannot write.
    Builtin,
    /// A command of the repository: a claim of code that the change may have written.
    Command,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "schemas/policy.schema.json describes each field"
)]
pub struct Gate {
    pub id: String,
    pub name: String,
    pub kind: GateKind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    #[serde(default = "here")]
    pub cwd: String,
    #[serde(default, deserialize_with = "distinct")]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub env_pass: Vec<String>,
    #[serde(default = "gate_timeout", deserialize_with = "wire::count")]
    pub timeout_seconds: u64,
    pub required: bool,
    #[serde(default)]
    pub counts_tests: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<Parser>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected_base: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub borrow: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repository: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relax: Vec<Relax>,
    pub reason: String,
}

/// Which runner's output tells how many tests ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the runners' own names")]
pub enum Parser {
    /// Every format that is recognised; what they say is added up.
    #[default]
    Auto,
    Junit,
    Tap,
    Cargo,
    Nextest,
    Pytest,
    Go,
    Node,
    Jest,
    Vitest,
    Mocha,
    Unittest,
    Plain,
}

impl Parser {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::Auto,
        Self::Junit,
        Self::Tap,
        Self::Cargo,
        Self::Nextest,
        Self::Pytest,
        Self::Go,
        Self::Node,
        Self::Jest,
        Self::Vitest,
        Self::Mocha,
        Self::Unittest,
        Self::Plain,
    ];
}

/// A refusal of the walls that a gate's tool cannot live with; lifting one is recorded as weaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "schemas/policy.schema.json describes each")]
pub enum Relax {
    Memfd,
    SysvIpc,
    PosixQueues,
    Ptrace,
    Perf,
}

/// Reads an object and refuses a key that is there twice: readers differ on which one counts.
fn distinct<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if pairs.contains_key(&key) {
                    let key = key.escape_debug();
                    return Err(A::Error::custom(format!(
                        "the key \"{key}\" is there twice"
                    )));
                }
                pairs.insert(key, value);
            }
            Ok(pairs)
        }
    }
    d.deserialize_map(Pairs)
}

/// In whatever case: a file system may not tell names apart by it.
fn compile(globs: &[String]) -> Result<Globs, String> {
    let globs = globs.iter().map(|glob| (0, glob.as_str()));
    Globs::compile(globs, Case::Folded)
}

fn here() -> String {
    ".".to_owned()
}

/// The brief's gate timeout.
fn gate_timeout() -> u64 {
    900
}

impl Gate {
    /// Whether it runs a command of the repository.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.kind == GateKind::Command
    }

    /// Names what the gate runs under this policy: two runs differ if any of it differs. The log names it
    /// before the gate starts.
    #[must_use]
    pub fn fingerprint(&self, policy_sha256: &str) -> String {
        digest::sha256_canonical(&json!({"gate": self, "policy_sha256": policy_sha256}))
    }

    /// Whether a change of these paths concerns it: always, unless it names its paths.
    ///
    /// # Errors
    /// Says which glob cannot be read, and why.
    pub fn applies(&self, changed: &[Vec<u8>]) -> Result<bool, String> {
        if self.paths.is_empty() {
            return Ok(true);
        }
        let globs = compile(&self.paths)?;
        Ok(changed.iter().any(|path| !globs.owners(path).is_empty()))
    }

    /// What the gate wants to see as it is in the base.
    ///
    /// # Errors
    /// Says which glob cannot be read, and why.
    pub fn protected(&self) -> Result<Globs, String> {
        compile(&self.protected_base)
    }
}
