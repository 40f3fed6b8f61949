//! Which task a worker takes next, and how it comes to hold it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use baton_core::audit::Action;
use baton_core::caller::Caller;
use baton_core::clock::Moment;
use baton_core::driver;
use baton_core::envelope::{Envelope, Status};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::{Attempts, Claim};
use baton_core::task::{Priority, TaskId};

use super::hand::{self, Hand};
use crate::commands::Shared;

/// What lies in claimed and work and waits for a draft.
#[derive(Default)]
pub(super) struct Waiting {
    /// In the order in which a worker takes them: what was tried least comes first.
    pub(super) free: Vec<Free>,
    /// Those that were tried as often as the policy allows, or that need a person.
    pub(super) left: BTreeSet<String>,
}

/// A task that may be taken.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Free {
    pub(super) tries: u64,
    priority: Priority,
    since: String,
    pub(super) id: TaskId,
    /// The last try went wrong a short while ago.
    rests: bool,
}

/// A task that the worker holds, and the envelope of its claim where it came out of the inbox.
pub(super) struct Taken {
    pub(super) claim: Claim,
    pub(super) upstream: Option<Envelope>,
    pub(super) tries: u64,
}

/// Looks through claimed and work. Trouble with one task must not hide the others.
pub(super) fn waiting(session: &Session, name: &str) -> Result<Waiting, Problem> {
    let mut waiting = Waiting::default();
    let most = session.policy()?.caps.max_attempts;
    let store = session.store()?;
    // A queue that lacks a part must not look as if nothing waited.
    store.check_parts()?;
    let (_, entries) = store.scan(&[State::Claimed, State::Work])?;
    for entry in entries {
        let since = entry.updated_at.unwrap_or_default();
        match free(session, name, &entry.task_id, since) {
            Ok(Some(free)) if free.tries < most && free.rests => {}
            Ok(Some(free)) if free.tries < most => waiting.free.push(free),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => {
                waiting.left.insert(entry.task_id);
            }
        }
    }
    waiting.free.sort();
    Ok(waiting)
}

fn free(session: &Session, name: &str, id: &str, since: String) -> Result<Option<Free>, Problem> {
    let id = TaskId::parse(id)?;
    let store = session.store()?;
    let task = match store.task(&id) {
        Err(problem) if problem.code == "TASK_NOT_FOUND" => return Ok(None),
        task => task?,
    };
    let lease = task.lease()?;
    if lease.is_some_and(|lease| !lease.is_free_for(name, Moment::now()))
        || task.has_recorded_draft()?
    {
        return Ok(None);
    }
    // What a killed run has half set aside is finished by the watchdog, or a person's next run.
    if store.cut_off(&id)?.is_some() {
        return Ok(None);
    }
    // A task that cannot be read is taken all the same, so that the check can say what is wrong.
    let priority = task
        .task()
        .map_or_else(|_| Priority::default(), |task| task.priority);
    let rests = task
        .backoff()
        .is_some_and(|backoff| backoff.is_on(Moment::now()));
    Ok(Some(Free {
        rests,
        tries: tries_left_open(session, &id, name)?,
        priority,
        since,
        id,
    }))
}

/// How often this attempt of the task was tried.
fn attempts(session: &Session, id: &TaskId) -> Result<Attempts, Problem> {
    let events = session.store()?.log()?.events_of(id.as_str())?;
    Ok(Attempts::of(events.iter().map(|(event, _)| event)))
}

/// The same with a claim that somebody never came back from; one that was made in the worker's name is
/// no try yet.
fn tries_left_open(session: &Session, id: &TaskId, name: &str) -> Result<u64, Problem> {
    let attempts = attempts(session, id)?;
    let handed_over = attempts.open.as_deref() == Some(name);
    Ok(if handed_over {
        attempts.failed
    } else {
        attempts.with_open()
    })
}

/// Takes the first of these that is still free.
pub(super) fn take(
    session: &Session,
    (name, owner): (&str, &str),
    free: &[Free],
) -> Result<Option<Taken>, Problem> {
    let store = session.store()?;
    let length = Duration::from_secs(session.policy()?.caps.lease_seconds);
    for one in free {
        let claim = store.take(&one.id, (name, owner), length, |task, lease| {
            let mut draft = hand::event(&one.id, Action::TaskClaimed, task.state(), lease)?;
            draft = draft.meta("lease_until", lease.lease_until.clone());
            draft.approvals = vec![hand::write_approval(session)?];
            store.log()?.append(draft).map(drop)
        })?;
        if let Some(claim) = claim {
            return Ok(Some(Taken {
                claim,
                upstream: None,
                tries: one.tries,
            }));
        }
    }
    Ok(None)
}

/// Claims the next task of the inbox: the system moves it, by the standing approval that the policy names
/// for this worker.
pub(super) fn claim(
    shared: &Shared,
    session: &Session,
    owner: &str,
    hand: &Rc<Hand>,
) -> Result<Option<Taken>, Problem> {
    // Asked first, as a claim that finds nothing leaves a line in the log.
    if !session.store()?.has_next(Moment::now())? {
        return Ok(None);
    }
    let mut line = command_line(shared, "claim-lock", "system");
    line.extend(["--next", "--owner", owner].map(OsString::from));
    let caller = Rc::clone(hand) as Rc<dyn Caller>;
    let done = driver::invoke_for(&claim_lock::SKILL, line, None, Some(caller))?;
    let envelope = done.envelope;
    if envelope.status != Status::Ok {
        let mut codes = envelope
            .findings
            .iter()
            .map(|finding| finding.code.as_str());
        return match codes.any(|code| code == "TASK_NOT_FOUND") {
            true => Ok(None),
            false => Err(refused(&envelope)),
        };
    }
    let id = TaskId::parse(&envelope.task.task_id)?;
    let task = session.store()?.task(&id)?;
    let lease = task.lease()?.filter(|lease| lease.owner == owner);
    let lease = lease.ok_or_else(|| {
        Problem::fail(
            "LEASE_LOST",
            format!("task {id} was claimed, and its lock is another's"),
        )
    })?;
    Ok(Some(Taken {
        claim: Claim { task, lease },
        upstream: Some(envelope),
        tries: attempts(session, &id)?.failed,
    }))
}

fn refused(envelope: &Envelope) -> Problem {
    let code = envelope
        .findings
        .last()
        .map_or("CLAIM_FAILED", |finding| finding.code.as_str());
    let say: fn(&str, String) -> Problem = match envelope.status {
        Status::Deny => |code, text| Problem::deny(code, text),
        _ => |code, text| Problem::fail(code, text),
    };
    say(code, envelope.summary.clone())
        .hint("baton doctor, and look at draft.worker in POLICY.json")
}

/// The beginning of a skill's command line.
pub(super) fn command_line(shared: &Shared, skill: &str, actor: &str) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec![skill.into(), "--actor".into(), actor.into()];
    if let Some(repo) = &shared.repo {
        line.extend(["--repo".into(), repo.into()]);
    }
    line
}
