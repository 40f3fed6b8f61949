//! What a statement says: the result of tests, or how something was run.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resource::Resource;
use crate::{bounds, wire};

/// The predicate type of a test result.
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// The predicate type of a provenance.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

const MOST_TESTS: usize = 100_000;
const MOST_RESOURCES: usize = 10_000;
const LONGEST_TEXT: usize = 4096;

/// The predicates that baton makes and reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// [`TEST_RESULT`].
    TestResult(TestResult),
    /// [`PROVENANCE`].
    Provenance(Provenance),
}

/// How a run of tests came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the specification's and say it")]
pub enum TestOutcome {
    Passed,
    Warned,
    Failed,
}

/// The result of one run of tests, with the names of the tests where they are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// The result of the whole.
    pub result: TestOutcome,
    /// What the run was configured by.
    pub configuration: Vec<Resource>,
    /// Tests that passed.
    #[serde(default)]
    pub passed_tests: Vec<String>,
    /// Tests that passed with a warning.
    #[serde(default)]
    pub warned_tests: Vec<String>,
    /// Tests that failed.
    #[serde(default)]
    pub failed_tests: Vec<String>,
}

/// How something was run, from what, by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// What was asked for.
    pub build_definition: BuildDefinition,
    /// What happened.
    pub run_details: RunDetails,
}

/// The inputs of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// An address that says how to read the parameters.
    pub build_type: String,
    /// What the one who asked controls.
    pub external_parameters: Map<String, Value>,
    /// What the runner controls.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub internal_parameters: Map<String, Value>,
    /// What the run read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_dependencies: Vec<Resource>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// Who ran it.
    pub builder: Builder,
    /// When, and under which name.
    #[serde(default)]
    pub metadata: Metadata,
    /// What it left behind besides the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<Resource>,
}

/// The program and platform that a run is trusted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// Its address.
    pub id: String,
    /// The versions of its parts.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub version: Map<String, Value>,
    /// What it is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builder_dependencies: Vec<Resource>,
}

/// The name and the times of a run, RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are the specification's and say it")]
pub struct Metadata {
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub invocation_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_on: Option<String>,
    #[serde(
        default,
        deserialize_with = "wire::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub finished_on: Option<String>,
}

impl Predicate {
    /// The address that names the predicate's type.
    #[must_use]
    pub fn uri(&self) -> &'static str {
        match self {
            Self::TestResult(_) => TEST_RESULT,
            Self::Provenance(_) => PROVENANCE,
        }
    }

    pub(super) fn read(uri: &str, value: &Value) -> Result<Self, String> {
        match uri {
            TEST_RESULT => from(value).map(Self::TestResult),
            PROVENANCE => from(value).map(Self::Provenance),
            other => Err(format!(
                "predicateType is \"{}\", expected \"{TEST_RESULT}\" or \"{PROVENANCE}\"",
                other.escape_debug()
            )),
        }
    }

    pub(super) fn to_value(&self) -> Result<Value, String> {
        match self {
            Self::TestResult(result) => serde_json::to_value(result),
            Self::Provenance(provenance) => serde_json::to_value(provenance),
        }
        .map_err(|error| error.to_string())
    }

    pub(super) fn check(&self) -> bounds::Checked {
        match self {
            Self::TestResult(result) => result.check(),
            Self::Provenance(provenance) => provenance.check(),
        }
    }
}

impl TestResult {
    fn check(&self) -> bounds::Checked {
        resources("configuration", &self.configuration)?;
        for (field, tests) in [
            ("passedTests", &self.passed_tests),
            ("warnedTests", &self.warned_tests),
            ("failedTests", &self.failed_tests),
        ] {
            bounds::texts(field, tests, MOST_TESTS, LONGEST_TEXT)?;
        }
        if self.result != TestOutcome::Failed && !self.failed_tests.is_empty() {
            let failed = self.failed_tests.len();
            return Err(format!(
                "result is {:?} with {failed} failed tests, expected FAILED",
                self.result
            ));
        }
        Ok(())
    }
}

impl Provenance {
    fn check(&self) -> bounds::Checked {
        let definition = &self.build_definition;
        let details = &self.run_details;
        bounds::text("buildType", &definition.build_type, 1, LONGEST_TEXT)?;
        resources("resolvedDependencies", &definition.resolved_dependencies)?;
        bounds::text("builder.id", &details.builder.id, 1, LONGEST_TEXT)?;
        let dependencies = &details.builder.builder_dependencies;
        resources("builderDependencies", dependencies)?;
        resources("byproducts", &details.byproducts)?;
        let metadata = &details.metadata;
        if let Some(id) = &metadata.invocation_id {
            bounds::text("invocationId", id, 1, LONGEST_TEXT)?;
        }
        for (field, time) in [
            ("startedOn", &metadata.started_on),
            ("finishedOn", &metadata.finished_on),
        ] {
            time.iter()
                .try_for_each(|time| bounds::timestamp(field, time))?;
        }
        Ok(())
    }
}

fn resources(field: &str, list: &[Resource]) -> bounds::Checked {
    bounds::list(field, list, 0, MOST_RESOURCES, |one| one.check(field))
}

fn from<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| format!("at $.predicate.{}: {}", error.path(), error.inner()))
}
