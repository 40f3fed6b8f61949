//! Landings that happened and are in no line of the log yet: killed in between, or under way just now.
//! The log names a landing before the branch moves, so the branch is asked.

use super::Store;
use crate::audit::{Action, Event};
use crate::envelope::Decision;
use crate::git::{Oid, Repository};
use crate::problem::Problem;

/// A landing that moved its target, and that the log does not know to be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecorded {
    /// The branch that moved.
    pub branch: String,
    /// What it was moved to; others may have landed on top.
    pub commit: Oid,
    task_id: String,
}

impl Unrecorded {
    /// The refusal of whatever would take the change back on paper only.
    #[must_use]
    pub fn refusal(&self, code: &str) -> Problem {
        let Self { task_id, .. } = self;
        Problem::fail(code, self.to_string()).hint(format!(
            "baton run {task_id} finishes it; then undo it: baton rollback {task_id}"
        ))
    }
}

impl std::fmt::Display for Unrecorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, branch, commit) = (&self.task_id, &self.branch, &self.commit);
        write!(
            f,
            "task {id} landed: {branch} has its change as {commit}, and that is not recorded yet"
        )
    }
}

/// What a commit says that this landing made, in a line of its message.
fn line(started: &Event) -> String {
    format!("Baton-Event: {}", started.event_id)
}

fn said<'e>(event: &'e Event, key: &str) -> &'e str {
    let value = event.meta.get(key).and_then(|value| value.as_str());
    value.unwrap_or_default()
}

impl Store {
    /// The lines by which a commit on `branch` says that it is a landing of this task, of this tree on
    /// this base.
    ///
    /// # Errors
    /// `LOG_BROKEN`.
    pub fn landing_lines(
        &self,
        task_id: &str,
        branch: &str,
        [base, tree]: [&Oid; 2],
    ) -> Result<Vec<String>, Problem> {
        let events = self.log()?.events_of(task_id)?;
        let ours = |event: &&Event| {
            event.action == Action::LandingStarted
                && said(event, "branch") == branch
                && said(event, "tree") == tree.as_str()
                && event.repo_ref == base.as_str()
        };
        let events = events.iter().map(|(event, _)| event);
        Ok(events.filter(ours).map(line).collect())
    }

    /// The landing of this task that moved its target and was not recorded. A branch for review is no
    /// landing: it can be given up until it went out.
    ///
    /// # Errors
    /// `LOG_BROKEN`, `GIT_FAILED`.
    pub fn unrecorded_landing(
        &self,
        repository: &Repository,
        task_id: &str,
    ) -> Result<Option<Unrecorded>, Problem> {
        let events = self.log()?.events_of(task_id)?;
        let mut events = events.iter().map(|(event, _)| event);
        let is_over = |event: &Event| event.action == Action::ChangeLanded;
        let starts = |event: &&Event| {
            event.action == Action::LandingStarted && event.decision == Decision::AutoMerge
        };
        if events.clone().any(is_over) {
            return Ok(None);
        }
        for started in events.by_ref().filter(starts) {
            let branch = said(started, "branch").to_owned();
            let (base, tree) = (&started.repo_ref, said(started, "tree"));
            let (base, tree) = (Oid::parse(base)?, Oid::parse(tree)?);
            let Some(tip) = repository.tip(&branch)? else {
                continue;
            };
            if let Some(commit) = repository.landed_as(&base, &tip, &tree, &[line(started)])? {
                let task_id = task_id.to_owned();
                return Ok(Some(Unrecorded {
                    branch,
                    commit,
                    task_id,
                }));
            }
        }
        Ok(None)
    }
}
