//! From an outcome to an envelope: the log line first, then the move, then the kept result.

use std::ffi::OsString;

use super::{Done, Refused, SKILL_VERSION, Skill};
use crate::audit::{self, Action, Draft};
use crate::envelope::{
    Artifact, ArtifactKind, AuditRef, Decision, Envelope, NO_TASK, SCHEMA_ID, SCHEMA_VERSION,
    Signals, Status, TaskRef, ToolClass,
};
use crate::outcome::Outcome;
use crate::problem::Problem;
use crate::session::{self, Session};
use crate::state::State;
use crate::store::{Doer, Held, Stop, Store};
use crate::{clock, exit, ids, masking};

/// Turns the work into an envelope: recorded, moved, kept.
pub(super) fn finish(
    skill: &Skill,
    session: &mut Session,
    worked: Result<Outcome, Problem>,
    arguments: &[OsString],
) -> Done {
    if worked.is_err() {
        // The rules that mask what is said are the policy's, and the work may have ended before it.
        let _ = session.policy();
    }
    let (mut outcome, mut problem) = match worked {
        Ok(outcome) => (outcome, None),
        Err(problem) => (refusal(skill, session, &problem), Some(problem)),
    };
    // From here on nobody else changes the task's lock or moves it: what the log is told is what is done.
    let _held = match hold(session, &outcome) {
        Ok(held) => held,
        Err(lost) => {
            undo(session);
            outcome = refusal(skill, session, &lost);
            problem = Some(lost);
            None
        }
    };
    let recorded = match record(skill, session, &outcome, arguments) {
        Err(stop) if stop.code == "STOP_PRESENT" => {
            // It came after the work: that it kept the task from moving is recorded instead.
            outcome = refusal(skill, session, &stop);
            problem = Some(stop);
            record(skill, session, &outcome, arguments)
        }
        recorded => recorded,
    };
    let (envelope, mut hints) = match recorded {
        Ok(envelope) => (envelope, outcome.hints),
        Err(failure) => not_recorded(skill, session, outcome, failure),
    };
    if let Some(problem) = problem {
        hints.extend(problem.hints);
    }
    Done {
        code: exit::code(envelope.status, envelope.decision),
        envelope,
        hints,
    }
}

/// The answer where nothing could be recorded, with hints: what failed, unless the answer counts all the same.
fn not_recorded(
    skill: &Skill,
    session: &Session,
    outcome: Outcome,
    failure: Problem,
) -> (Envelope, Vec<String>) {
    // Without a store nothing can be held against what is said, be it that the store is what is broken.
    let has_store = session.store_if_any().is_ok();
    let counts = says_stop(&outcome) || (!has_store && outcome.status != Status::Ok);
    let is_said = outcome.findings.iter().any(|one| one.code == failure.code);
    let outcome = match counts {
        true if is_said => outcome,
        true => unrecorded(outcome, &failure),
        false => refusal(skill, session, &failure),
    };
    let hints = [failure.hints, outcome.hints.clone()].concat();
    (assemble(skill, session, &outcome, unrecorded_id()), hints)
}

/// Whether the answer is that STOP is on, and nothing else: that counts, recorded or not.
fn says_stop(outcome: &Outcome) -> bool {
    let is_seen = outcome.signals.is_some_and(|signals| signals.stop_detected);
    is_seen && outcome.transition.is_none()
}

/// An answer that counts all the same, with why it stands nowhere else.
fn unrecorded(outcome: Outcome, failure: &Problem) -> Outcome {
    let mut why = failure.finding();
    why.message = format!("this is not recorded: {}", why.message);
    outcome.findings([why])
}

/// Keeps the task at hand from everybody else, and makes sure that it is still this run's.
fn hold(session: &Session, outcome: &Outcome) -> Result<Option<Held>, Problem> {
    let open = session.open_task();
    let Some(open) = open.filter(|_| !session.is_plan() && !is_lost(outcome)) else {
        return Ok(None);
    };
    if outcome.transition.is_some() && open.folder.state() == State::Pr {
        // Nobody takes a task away from under a landing.
        session.merge_lock()?;
    }
    open.folder.guard().map(Some)
}

/// Whoever lost the lease writes nothing any more: the folder is another's.
fn is_lost(outcome: &Outcome) -> bool {
    outcome.findings.iter().any(|one| one.code == "LEASE_LOST")
}

/// The outcome that stands for a problem.
fn refusal(skill: &Skill, session: &Session, problem: &Problem) -> Outcome {
    let id = named_task(session);
    let refused = Refused {
        task_id: id.as_deref(),
        state: session.open_task().map(|open| open.before),
        problem,
    };
    let mut outcome = Outcome::new(
        problem.status(),
        problem.message.clone(),
        &(skill.refused)(&refused),
    );
    if outcome.summary.is_empty() {
        outcome.summary.clone_from(&problem.code);
    }
    outcome.findings.push(problem.finding());
    outcome.findings.extend(problem.findings.iter().cloned());
    outcome.action = Some(if problem.code == "STOP_PRESENT" {
        Action::StopDetected
    } else {
        Action::Error
    });
    let signals = Signals {
        stop_detected: problem.code == "STOP_PRESENT",
        allowlist_violation: problem.code == "ALLOWLIST_VIOLATION",
        ..Signals::default()
    };
    if signals != Signals::default() {
        outcome.signals = Some(signals);
    }
    outcome
}

fn named_task(session: &Session) -> Option<String> {
    let open = session.open_task().map(|open| open.folder.id().to_string());
    open.or_else(|| session.task_id().ok().map(|id| id.to_string()))
}

/// Writes the log line, makes the move, keeps the envelope. Where there is no queue, or nothing
/// that must be recorded, only the envelope is made.
fn record(
    skill: &Skill,
    session: &mut Session,
    outcome: &Outcome,
    arguments: &[OsString],
) -> Result<Envelope, Problem> {
    if session.is_plan() || outcome.verified_only || !must_be_recorded(session, outcome) {
        return Ok(assemble(
            skill,
            session,
            outcome,
            ids::fresh("EVT", clock::now())?,
        ));
    }
    if outcome.transition.is_some()
        && !skill.acts_under_stop
        && let Stop::Present(why) = session.store()?.stop()
    {
        undo(session);
        return Err(session::stop_problem(&why));
    }
    let draft = draft(skill, session, outcome, arguments)?;
    let envelope = append(skill, session, outcome, draft).inspect_err(|_| undo(session))?;
    // Kept before the move, so that a kill in between leaves no task without its last result.
    let open = session.open_task().filter(|_| !is_lost(outcome));
    let kept = open.map_or(Ok(()), |open| open.folder.keep_envelope(&envelope));
    if let Err(problem) = kept.and_then(|()| act(session, outcome)) {
        if let Some(open) = session.open_task() {
            open.folder.undo_lock();
        }
        return failed_after_record(skill, session, &problem, outcome.transition);
    }
    Ok(envelope)
}

/// Everything that changes something is recorded, and so is every answer that is not OK.
fn must_be_recorded(session: &Session, outcome: &Outcome) -> bool {
    // One that cannot be opened is there.
    let has_queue = !matches!(session.store_if_any(), Ok(None));
    let acts = session
        .take_approvals()
        .iter()
        .any(|entry| entry.tool_class != ToolClass::Read);
    has_queue
        && (acts
            || session.open_task().is_some()
            || outcome.status != Status::Ok
            || outcome.action.is_some())
}

fn undo(session: &Session) {
    if let Some(open) = session.open_task() {
        open.folder.undo_writes();
    }
}

/// Moves the task, as the log line already says.
fn act(session: &mut Session, outcome: &Outcome) -> Result<(), Problem> {
    let Some(to) = outcome.transition else {
        return Ok(());
    };
    session.task()?;
    let Some(open) = session.open_task() else {
        return Ok(());
    };
    let fence = open.fence;
    // The store is opened apart from the task so that both can be held at once.
    let root = session.root()?.to_owned();
    let store = Store::open(&root)?;
    let Some(open) = session.open_task_mut() else {
        return Ok(());
    };
    store.transition(&mut open.folder, to, fence, outcome.unlock)?;
    if outcome.unlock {
        open.fence = None;
        open.folder.bind(None);
    }
    Ok(())
}

/// The log says that the task moves, and it did not: say that in the log too.
fn failed_after_record(
    skill: &Skill,
    session: &Session,
    problem: &Problem,
    announced: Option<State>,
) -> Result<Envelope, Problem> {
    let outcome = refusal(skill, session, problem);
    let mut draft = draft(skill, session, &outcome, &[])?
        .meta("undoes", "the move in the line before of this task");
    // As the log tells it the task was moved, and is moved back.
    draft.from = announced.or(draft.from);
    append(skill, session, &outcome, draft)
}

/// The envelope, with the line of the log that it names.
fn append(
    skill: &Skill,
    session: &Session,
    outcome: &Outcome,
    mut draft: Draft,
) -> Result<Envelope, Problem> {
    let mut envelope = assemble(skill, session, outcome, draft.event_id.clone());
    draft.outputs_sha256 = envelope.payload_sha256();
    draft.task_id = match envelope.task.task_id.as_str() {
        NO_TASK => "-".to_owned(),
        id => id.to_owned(),
    };
    let receipt = session.store()?.log()?.append(draft)?;
    envelope.artifacts.push(receipt.artifact());
    Ok(envelope)
}

fn draft(
    skill: &Skill,
    session: &Session,
    outcome: &Outcome,
    arguments: &[OsString],
) -> Result<Draft, Problem> {
    let mut draft = Draft::new(
        session.actor,
        outcome.action.unwrap_or(skill.action),
        skill.envelope,
    )?;
    draft.level = audit::level_of(outcome.status, &outcome.findings);
    draft.status = outcome.status.into();
    draft.decision = outcome.decision.unwrap_or(Decision::NotApplicable);
    draft.from = session.open_task().map(|open| open.before);
    draft.to = outcome.transition.or(draft.from);
    draft.approvals = session.take_approvals();
    draft.artifacts.clone_from(&outcome.artifacts);
    draft.findings.clone_from(&outcome.findings);
    draft.meta.clone_from(&outcome.meta);
    draft.inputs_sha256 = outcome
        .inputs_sha256
        .clone()
        .or_else(|| session.upstream.as_ref().map(Envelope::payload_sha256))
        .unwrap_or_else(|| session::arguments_sha256(arguments));
    if let Some(open) = session.open_task()
        && let Ok(Some(candidate)) = open.folder.candidate()
    {
        draft.repo_ref = candidate.base;
    }
    if draft.action == Action::PatchProposed {
        // Four eyes ask later whether the one who approves is another.
        for (key, text) in Doer::here(session.repository()?).meta() {
            draft.meta.insert(key.to_owned(), text.into());
        }
    }
    if let Ok(policy) = session.policy() {
        draft
            .meta
            .insert("policy_sha256".to_owned(), policy.sha256.clone().into());
    }
    Ok(draft)
}

fn unrecorded_id() -> String {
    ids::fresh("EVT", clock::now()).unwrap_or_else(|_| "EVT-unrecorded".to_owned())
}

/// Puts the envelope together: what upstream said is carried on, what this step says is added.
fn assemble(skill: &Skill, session: &Session, outcome: &Outcome, event_id: String) -> Envelope {
    let upstream = session.upstream.as_ref();
    let findings = upstream.map(|envelope| envelope.findings.clone());
    // The receipt is each step's own; a lock that this step takes off binds nobody further on.
    let goes_on = |artifact: &&Artifact| match artifact.kind {
        ArtifactKind::AuditLog => false,
        ArtifactKind::LockFile => !outcome.unlock,
        _ => true,
    };
    let artifacts = upstream.map(|envelope| envelope.artifacts.iter().filter(goes_on).cloned());
    let mut envelope = Envelope {
        schema_id: SCHEMA_ID.to_owned(),
        schema_version: SCHEMA_VERSION.to_owned(),
        skill: skill.envelope.to_owned(),
        skill_version: SKILL_VERSION.to_owned(),
        status: outcome.status,
        decision: outcome.decision,
        summary: outcome.summary.clone(),
        task: task_of(session, outcome),
        signals: match (upstream.and_then(|one| one.signals), outcome.signals) {
            (Some(one), Some(other)) => Some(one.or(other)),
            (one, other) => one.or(other),
        },
        findings: joined(findings.unwrap_or_default(), &outcome.findings),
        artifacts: joined(
            artifacts.into_iter().flatten().collect(),
            &outcome.artifacts,
        ),
        approvals: session.take_approvals(),
        audit: AuditRef {
            event_id,
            append_only_path: audit::path(),
            prev_event_id: upstream.map(|envelope| envelope.audit.event_id.clone()),
        },
        data: outcome.data.clone(),
    };
    masking::envelope(&mut envelope);
    envelope
}

fn task_of(session: &Session, outcome: &Outcome) -> TaskRef {
    let before = session.open_task().map(|open| open.before);
    let after = outcome.transition.filter(|_| !session.is_plan());
    let id = named_task(session).unwrap_or_else(|| NO_TASK.to_owned());
    TaskRef::new(id, before, after.or(before))
}

/// What upstream said, and what it did not.
fn joined<T: Clone + PartialEq>(mut said: Vec<T>, own: &[T]) -> Vec<T> {
    for one in own {
        if !said.contains(one) {
            said.push(one.clone());
        }
    }
    said
}
