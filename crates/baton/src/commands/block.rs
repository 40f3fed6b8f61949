//! A person's word that a task stops here: it goes to blocked, whatever step it was at.

use baton_core::audit::{Action, Draft};
use baton_core::clock::Moment;
use baton_core::envelope::ApprovalEntry;
use baton_core::masking;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;

/// The reason of a task that somebody gave up.
pub(super) const FAILED: &str = "FAILED";
/// The reason of a task that a dispatcher tried too often.
pub(super) const SPENT: &str = "ATTEMPTS_SPENT";
/// The longest notes, in characters; they stand in a line of the log.
const MOST_NOTES: usize = 2000;

/// Moves the task to blocked, with a line in the log that says why and by which approvals; `may` says
/// who may take it away from its holder. False when it lies where nothing is blocked any more.
///
/// # Errors
/// What `may` says, and those of the queue and the log.
pub(super) fn block(
    session: &Session,
    (reason, notes): (&str, Option<&str>),
    approvals: Vec<ApprovalEntry>,
    may: impl FnOnce(&TaskFolder) -> Result<(), Problem>,
) -> Result<bool, Problem> {
    let store = session.store()?;
    // A landing that is under way ends first.
    session.merge_lock()?;
    let mut task = store.task(&session.task_id()?)?;
    let from = task.state();
    if !from.may_move_to(State::Blocked) {
        return Ok(false);
    }
    if from == State::Pr {
        landing_is_over(session, from)?;
    }
    let _held = task.hold()?;
    may(&task)?;
    let fence = task.lease()?.map(|lease| lease.fence);
    let mut draft = Draft::new(session.actor, Action::TaskBlocked, "baton")?
        .task(task.id().as_str(), Some(from), Some(State::Blocked))
        .meta("reason", reason);
    if let Some(notes) = notes {
        draft = draft.meta("notes", notes);
    }
    draft.approvals = approvals;
    store.log()?.append(draft)?;
    store.transition(&mut task, State::Blocked, fence, true)?;
    Ok(true)
}

/// A task whose change the target has is not taken away from its record. Where a landing was killed before
/// that, the checkouts that it left without a branch are put back.
///
/// # Errors
/// `LANDING_UNRECORDED`, and those of log and git.
pub(super) fn landing_is_over(session: &Session, from: State) -> Result<(), Problem> {
    if let Some(landed) = session.unrecorded_landing()? {
        let code = "LANDING_UNRECORDED";
        return Err(match from {
            // From there nothing is finished; before, a person could deny what had landed.
            State::Blocked => Problem::fail(code, landed.to_string()).hint(format!(
                "it stays in blocked; undo it by hand: git revert {}; anything more is a task of its own",
                landed.commit
            )),
            _ => landed.refusal(code),
        });
    }
    put_checkouts_back(session).ok();
    Ok(())
}

/// A checkout that cannot be put back keeps nobody from saying no.
fn put_checkouts_back(session: &Session) -> Result<(), Problem> {
    let repository = session.repository()?;
    // Another queue's landing may be at it just now, and puts them back itself.
    if let Some(_alone) = repository.alone()? {
        let target = &session.policy()?.landing.target;
        repository.worktrees()?.put_back_on(target)?;
    }
    Ok(())
}

/// Refuses while a process is at work on the task, or may be, on another machine.
///
/// # Errors
/// `LOCK_CONFLICT`, `LOCK_BROKEN`.
pub(super) fn nobody_is_at(task: &TaskFolder) -> Result<(), Problem> {
    let lease = task
        .lease()?
        .filter(|lease| lease.staleness(Moment::now()).is_none());
    let Some(lease) = lease.filter(|lease| lease.of_process || lease.is_in_living_hands()) else {
        return Ok(());
    };
    let (id, owner) = (task.id(), &lease.owner);
    let why = format!(
        "{owner} is at work on task {id} until {}",
        lease.lease_until
    );
    Err(Problem::fail("LOCK_CONFLICT", why).hint(format!(
        "wait for it, or take it away: baton ops cancel --id {id}"
    )))
}

/// Notes as they may be kept: some, not too long, and without what the secret rules know.
///
/// # Errors
/// A usage error.
pub(super) fn checked(session: &Session, notes: &str) -> Result<String, Problem> {
    let count = notes.trim().chars().count();
    if !(1..=MOST_NOTES).contains(&count) {
        let why = format!("notes have 1 to {MOST_NOTES} characters, got {count}");
        return Err(Problem::usage(why).hint("say what was done, or what went wrong and why"));
    }
    // Its own rules count where the policy can be read.
    let _ = session.policy();
    Ok(masking::text(notes.trim()).into_owned())
}
