//! One run of one gate on one tree.

use std::path::Path;

use baton_core::git::{ObjectStore, Oid};
use baton_core::outputs::CheckStatus;
use baton_core::policy::{Gate, Isolation, Policy};
use baton_core::problem::Problem;
use baton_sandbox::{EndedBy, Outcome, Refused, Sandbox, Scratch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::counts::{self, Report, Unreadable};
use crate::places::Places;
use crate::reports;
use crate::walls;

/// What every run needs, shared by gates that run at one time.
pub(crate) struct Ground<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) objects: &'a ObjectStore,
    pub(crate) root: &'a Path,
    pub(crate) base_tree: &'a Oid,
    pub(crate) sandbox: Sandbox,
    pub(crate) places: &'a Places,
    /// Asked at least every 50 milliseconds while a gate runs.
    pub(crate) is_stopped: &'a (dyn Fn() -> bool + Sync),
}

/// How a gate's command went on one tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) tree: String,
    pub(crate) status: CheckStatus,
    /// A word for programs that says why.
    pub(crate) why: String,
    /// How it ended, as the sandbox says it.
    pub(crate) ended: String,
    pub(crate) isolation: Isolation,
    pub(crate) duration_ms: u64,
    pub(crate) tests: Option<Report>,
    /// What is wrong with what it said of its tests.
    pub(crate) unreadable: Option<String>,
    /// Everything that the sandbox measured.
    pub(crate) sandbox: Value,
    /// What it wrote; raw until the evidence is kept, and masked from then on.
    #[serde(with = "text")]
    pub(crate) log: Vec<u8>,
}

impl Attempt {
    /// The command came to its own end: nothing was cut off.
    pub(crate) fn ended_itself(&self) -> bool {
        let own = [
            "COMMAND_FAILED",
            "TESTS_FAILED",
            "NO_TEST_RAN",
            "REPORT_UNREADABLE",
        ];
        self.status == CheckStatus::Pass || own.contains(&self.why.as_str())
    }
}

/// Logs are kept as text.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(log: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(log))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(d).map(String::into_bytes)
    }
}

/// Why a gate did not run.
pub(crate) enum NotRun {
    /// The walls, the program or a place is missing: the gate is skipped and says so.
    Refused(Refused),
    /// Something of ours broke.
    Broken(Problem),
}

impl From<Problem> for NotRun {
    fn from(problem: Problem) -> Self {
        match problem.code.as_str() {
            "GATE_PLACE" => Self::Refused(Refused {
                code: "GATE_PLACE",
                message: problem.message,
                fix: problem.hints.join("; "),
                tried: Vec::new(),
            }),
            _ => Self::Broken(problem),
        }
    }
}

/// Runs the gate on a fresh tree of its own. git is never run in that folder afterwards.
pub(crate) fn run(ground: &Ground<'_>, gate: &Gate, tree: &Oid) -> Result<Attempt, NotRun> {
    let folder = Scratch::new().map_err(|error| Problem::io("temporary folder", &error))?;
    let place = folder.path().join("tree");
    std::fs::create_dir(&place).map_err(|error| Problem::io(place.display(), &error))?;
    ground.objects.check_out(tree, &place)?;
    if gate.repository {
        ground
            .objects
            .make_repository(&place, ground.base_tree, tree)?;
    }
    reports::clear(gate, &place)?;
    let mut profile = walls::profile(gate, ground.policy, &place, ground.root)?;
    profile.shell = Some(folder.path().to_path_buf());
    let ran = ground.sandbox.run(&profile, ground.is_stopped);
    let outcome = ran.map_err(NotRun::Refused)?;
    let found = reports::collect(gate, &place)?;
    Ok(judge(gate, tree, &outcome, found))
}

fn judge(gate: &Gate, tree: &Oid, outcome: &Outcome, found: reports::Found) -> Attempt {
    let log = outcome.log.text();
    let read = match (gate.counts_tests, found) {
        (false, _) => Ok(None),
        (true, Err(why)) => Err(why),
        (true, Ok(found)) => counts::read(gate.parser.unwrap_or_default(), &log, &found)
            .map_err(|unreadable: Unreadable| unreadable.to_string()),
    };
    let (status, why) = verdict(gate, outcome, &read);
    let (tests, unreadable) = match read {
        Ok(tests) => (tests, None),
        Err(why) => (None, Some(why)),
    };
    Attempt {
        tree: tree.to_string(),
        status,
        why,
        ended: outcome.ended_by.to_string(),
        isolation: walls::reached(outcome.level),
        duration_ms: outcome.duration_ms,
        tests,
        unreadable,
        sandbox: serde_json::to_value(outcome).unwrap_or_default(),
        log,
    }
}

/// A gate must prove that it ran; everything that is not a proof is a failure with its own word.
fn verdict(
    gate: &Gate,
    outcome: &Outcome,
    tests: &Result<Option<Report>, String>,
) -> (CheckStatus, String) {
    let fail = |why: &str| (CheckStatus::Fail, why.to_owned());
    match outcome.ended_by {
        EndedBy::Timeout => return fail("TIMEOUT"),
        EndedBy::Stopped => return fail("STOP_PRESENT"),
        EndedBy::Lost => return fail("LOST"),
        EndedBy::Signal(_) => return fail("KILLED"),
        EndedBy::Limit(name) => return fail(&format!("LIMIT_{}", name.to_ascii_uppercase())),
        EndedBy::Exit(code) if code != 0 => return fail("COMMAND_FAILED"),
        EndedBy::Exit(_) => {}
    }
    match (gate.counts_tests, tests) {
        (true, Err(_)) => fail("REPORT_UNREADABLE"),
        (true, Ok(None)) => fail("NO_TEST_RAN"),
        (true, Ok(Some(tests))) if tests.executed() == 0 => fail("NO_TEST_RAN"),
        (true, Ok(Some(tests))) if tests.failed > 0 => fail("TESTS_FAILED"),
        _ => (CheckStatus::Pass, "PASSED".to_owned()),
    }
}
