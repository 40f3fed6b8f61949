//! The in-toto statement, version 1: subjects, and one predicate about them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::predicate::Predicate;
use super::resource::Resource;
use crate::bounds;
use crate::problem::Problem;
use crate::wire;

/// The `_type` of every statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The largest statement that is read, in bytes; in base64 it still fits into an envelope.
pub const MAX_BYTES: usize = 11 << 20;

const CODE: &str = "ATTESTATION_INVALID";
const MOST_SUBJECTS: usize = 1024;

/// What is said, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is about: at least one thing, each with a digest.
    pub subject: Vec<Resource>,
    /// What it says.
    pub predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Resource>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Value,
}

impl Statement {
    /// Reads a statement of a known predicate. Fields that are not known are passed over, as the
    /// specification demands; a key that stands twice in an object is refused.
    ///
    /// # Errors
    /// `ATTESTATION_INVALID`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let written: Written = wire::parse_unique(bytes, MAX_BYTES, "in-toto statement", CODE)?;
        if written.kind != STATEMENT {
            let got = written.kind.escape_debug();
            return Err(refused(format!(
                "_type is \"{got}\", expected \"{STATEMENT}\""
            )));
        }
        let statement = Self {
            subject: written.subject,
            predicate: Predicate::read(&written.predicate_type, &written.predicate)
                .map_err(refused)?,
        };
        statement.check().map_err(refused)?;
        Ok(statement)
    }

    /// The bytes that an envelope carries.
    ///
    /// # Errors
    /// `ATTESTATION_INVALID` when it breaks the rules that [`Self::parse`] checks.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        self.check().map_err(refused)?;
        let written = Written {
            kind: STATEMENT.to_owned(),
            subject: self.subject.clone(),
            predicate_type: self.predicate.uri().to_owned(),
            predicate: self.predicate.to_value().map_err(refused)?,
        };
        bounded(&written, "in-toto statement", MAX_BYTES)
    }

    /// Whether a subject has this digest under this algorithm.
    #[must_use]
    pub fn is_about(&self, algorithm: &str, digest: &str) -> bool {
        self.subject.iter().any(|one| one.has(algorithm, digest))
    }

    fn check(&self) -> bounds::Checked {
        let subject = &self.subject;
        bounds::list(
            "subject",
            subject,
            1,
            MOST_SUBJECTS,
            Resource::check_subject,
        )?;
        let names: Vec<_> = subject.iter().filter_map(|one| one.name.as_ref()).collect();
        bounds::unique("subject", &names)?;
        self.predicate.check()
    }
}

fn refused(why: String) -> Problem {
    Problem::fail(CODE, format!("in-toto statement: {why}"))
}

/// One line of JSON that its reader will take back.
pub(super) fn bounded(value: &impl Serialize, what: &str, most: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| Problem::fail(CODE, format!("{what}: {error}")))?;
    bytes.push(b'\n');
    if bytes.len() <= most {
        return Ok(bytes);
    }
    let got = bytes.len();
    Err(Problem::fail(
        CODE,
        format!("{what} has {got} bytes, at most {most} are read back"),
    ))
}
