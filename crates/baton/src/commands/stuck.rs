//! What keeps the queue from moving, the policy and the people waited for included.

use std::time::Duration;

use baton_core::accepted;
use baton_core::audit::States;
use baton_core::clock::Moment;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::{Wedge, of_problem};
use baton_core::task::TaskId;

use super::status;

/// How long a task may wait to be picked before that is worth a word.
pub(super) const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Everything that keeps the queue from moving: what is broken first, what waits for people last. `said`
/// is where the log says that each task lies, for a caller that has read all of it.
///
/// # Errors
/// `QUEUE_MISSING`, `QUEUE_BROKEN`.
pub(super) fn find(
    session: &Session,
    said: Option<&States>,
    patience: Duration,
) -> Result<Vec<Wedge>, Problem> {
    let store = session.store()?;
    let mut found = Vec::new();
    let policy = session.policy().and_then(|policy| {
        accepted::check(store, policy)?;
        Ok(policy.caps.max_attempts)
    });
    if let Err(problem) = &policy {
        found.push(of_problem("POLICY_STOPS", None, problem));
    }
    let most = policy.unwrap_or(u64::MAX);
    found.extend(store.wedges(said, most, patience, Moment::now()));
    let is_told = |one: &Wedge| {
        found
            .iter()
            .any(|other: &Wedge| other.task_id == one.task_id)
    };
    // Where they cannot be listed, the queue is broken, which is said above.
    let people = waiting_for_people(session).unwrap_or_default().into_iter();
    let people: Vec<_> = people.filter(|one| !is_told(one)).collect();
    found.extend(people);
    found.sort_by_key(|one| !one.broken);
    Ok(found)
}

/// The tasks in `pr`, each with the person or the landing that it waits for. Trouble with one must not
/// hide the others.
fn waiting_for_people(session: &Session) -> Result<Vec<Wedge>, Problem> {
    let store = session.store()?;
    let (_, entries) = store.scan(&[State::Pr])?;
    let mut found = Vec::new();
    for entry in entries {
        let task = TaskId::parse(&entry.task_id).and_then(|id| store.task(&id));
        let Ok(task) = task else { continue };
        let one = match status::in_pr(session, &task) {
            Ok(one) => one,
            Err(problem) => {
                let problem = problem.hint(format!("baton verify {}", entry.task_id));
                of_problem("TASK_BROKEN", Some(&entry.task_id), &problem)
            }
        };
        found.push(one.since(entry.updated_at));
    }
    Ok(found)
}
