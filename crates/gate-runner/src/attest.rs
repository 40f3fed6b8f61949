//! What stands over the evidence of a whole run: the manifest and the statements.

use std::time::SystemTime;

use baton_core::clock;
use baton_core::envelope::Artifact;
use baton_core::evidence::manifest::{RunOf, running_program};
use baton_core::evidence::statements::{self, GateRun};
use baton_core::problem::Problem;
use baton_core::session::Session;

use crate::Ran;
use crate::subject::Subject;

/// Keeps manifest and statements in the task's folder; a bare patch leaves nothing behind.
pub(crate) fn attest(
    session: &Session,
    subject: &Subject,
    ran: &[Ran],
    started: SystemTime,
) -> Result<Vec<Artifact>, Problem> {
    let Some(candidate) = &subject.task else {
        return Ok(Vec::new());
    };
    let run = GateRun {
        of: RunOf {
            candidate,
            policy_sha256: &session.policy()?.sha256,
            runner_sha256: &running_program()?,
        },
        invocation_id: None,
        started_on: &clock::rfc3339(started),
        finished_on: &clock::rfc3339(clock::now()),
    };
    let gates: Vec<_> = ran.iter().map(|ran| ran.result.clone()).collect();
    let files: Vec<_> = ran.iter().flat_map(|ran| ran.artifacts.clone()).collect();
    let log = session.store()?.log()?;
    statements::keep(session.task()?, &run, &gates, &files, |statement| {
        log.sign(statement)
    })
}
