//! Whether all that the log says was kept of a task is kept, and as it was.

use std::collections::HashSet;

use baton_core::audit::{Action, Event};
use baton_core::digest;
use baton_core::envelope::{Artifact, ArtifactKind, Envelope, QUEUE_ROOT, Status};
use baton_core::problem::Problem;
use baton_core::store::TaskFolder;

use super::case::Case;
use super::points::Found;
use crate::commands::audit::name;

/// The lines that a skill writes of work that it ended, and that its result stands behind.
const WORK: [Action; 10] = [
    Action::TaskClaimed,
    Action::TaskValidated,
    Action::PatchProposed,
    Action::RiskScanned,
    Action::GatesFinished,
    Action::DecisionMade,
    Action::LandingPlanned,
    Action::ChangeLanded,
    Action::PrBranchCreated,
    Action::IncidentRaised,
];
/// The lines by which a run that was killed is taken up, or its task begun anew.
const TAKEN_UP: [Action; 6] = [
    Action::TaskReclaimed,
    Action::LeaseReleased,
    Action::MoveCompleted,
    Action::MoveUndone,
    Action::TaskRetried,
    Action::TaskRebased,
];

/// Every kept result, of attempts that were set aside too, is the one of its line; every file that one
/// names is there as it was; and every line that a result stands behind has it.
pub(super) fn results(case: &Case<'_>) -> Result<Found, Problem> {
    let mut kept = HashSet::new();
    if let Some(why) = of_folder(case, case.task, &mut kept)? {
        return Ok(Found::Differs(why));
    }
    let said = case.events.iter().filter_map(|event| {
        let number = event.meta.get("attempt_set_aside")?.as_u64()?;
        u32::try_from(number).ok()
    });
    let attempts = said.max().unwrap_or(0).max(case.task.attempts()?);
    for number in 1..=attempts {
        let attempt = case.task.attempt(number)?;
        if let Some(why) = of_folder(case, &attempt, &mut kept)? {
            return Ok(Found::Differs(format!("attempt {number}: {why}")));
        }
    }
    let mut lines = case.events.iter().enumerate();
    let lost = lines.find(|(at, event)| {
        has_result(event) && !kept.contains(&event.event_id) && !was_cut_off(&case.events, *at)
    });
    Ok(lost.map_or(Found::Holds, |(_, event)| {
        let (seq, action) = (event.seq, name(&event.action));
        Found::Differs(format!("line {seq} is {action}, and its result is gone"))
    }))
}

/// What is wrong with the results of one attempt; adds those that are there.
fn of_folder(
    case: &Case<'_>,
    folder: &TaskFolder,
    kept: &mut HashSet<String>,
) -> Result<Option<String>, Problem> {
    let mut read = HashSet::new();
    let envelopes = folder.envelopes()?;
    for one in &envelopes {
        let (id, skill) = (&one.envelope.audit.event_id, &one.envelope.skill);
        let line = case.events.iter().find(|event| event.event_id == *id);
        if line.is_none_or(|line| line.outputs_sha256 != one.envelope.payload_sha256()) {
            let why = format!("the kept result of {skill} is not the one that the log records");
            return Ok(Some(why));
        }
        for artifact in &one.envelope.artifacts {
            if is_file_of(case, artifact) && read.insert((&artifact.path, &artifact.note)) {
                folder.read_artifact(artifact)?;
            }
        }
        kept.insert(id.clone());
    }
    Ok(None)
}

/// Whether it is a file of the task that stays as it was written. Locks and the log change by design.
fn is_file_of(case: &Case<'_>, artifact: &Artifact) -> bool {
    let mut parts = artifact.path.splitn(4, '/');
    let is_ours = parts.next() == Some(QUEUE_ROOT)
        && parts.next().is_some()
        && parts.next() == Some(case.task.id().as_str());
    let changes = matches!(
        artifact.kind,
        ArtifactKind::LockFile | ArtifactKind::AuditLog
    );
    is_ours && !changes && artifact.note_value("sha256").is_some()
}

/// Whether a skill kept a result of this line. A claim that a worker makes for another has none.
fn has_result(event: &Event) -> bool {
    WORK.contains(&event.action) && event.outputs_sha256 != digest::sha256(b"")
}

/// Whether a run may have been killed after this line and before it kept its result: nothing goes on from
/// there but what takes such a run up, or the same work once more.
fn was_cut_off(events: &[Event], at: usize) -> bool {
    let Some((line, after)) = events.get(at..).and_then(<[Event]>::split_first) else {
        return false;
    };
    let Some(next) = after.first() else {
        return line.moves_to().is_none();
    };
    let begins = |event: &&Event| matches!(event.action, Action::TaskRetried | Action::TaskRebased);
    let mut attempt = after.iter().take_while(|event| !begins(event));
    TAKEN_UP.contains(&next.action) || attempt.any(|event| event.skill == line.skill)
}

/// Whether the log says that there is a candidate, whatever lies there now.
pub(super) fn must_have_candidate(case: &Case<'_>) -> bool {
    let is_draft = |one: &Envelope| one.skill == "patch-draft-request" && one.status == Status::Ok;
    let rests_on_one = |event: &Event| {
        matches!(
            event.action,
            Action::RiskScanned
                | Action::GatesFinished
                | Action::ApprovalGranted
                | Action::LandingStarted
                | Action::ChangeLanded
                | Action::PrBranchCreated
        )
    };
    case.envelopes.iter().any(is_draft) || case.attempt().iter().any(rests_on_one)
}
