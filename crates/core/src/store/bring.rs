//! Candidates on a machine that did not draft them: where the queue is shared, so are their patches, and from
//! base and patch git makes the very same tree again.

use super::{Store, TaskFolder};
use crate::candidate::Candidate;
use crate::digest;
use crate::git::{ObjectStore, Oid};
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

/// States whose tasks somebody may still work on.
const OPEN: [State; 3] = [State::Claimed, State::Work, State::Pr];

impl Store {
    /// Makes the trees of open tasks' candidates that this machine has not. One whose base is not in this
    /// checkout stays away, and whoever asks for it is told so by git.
    pub(super) fn bring_candidates(&self, objects: &ObjectStore) -> Result<(), Problem> {
        let (_, tasks) = self.scan(&OPEN)?;
        for task in tasks {
            // What is wrong with one task is for whoever works on it.
            if let Ok(task) = self.listed(&task.task_id, task.state)
                && let Ok(Some(candidate)) = task.candidate()
                && let Ok(tree) = Oid::parse(&candidate.tree)
                && !objects.has_own(&tree)
            {
                drop(make(objects, &task, &candidate, &tree));
            }
        }
        Ok(())
    }

    /// A task where it was just listed: looked for in all states, each one would cost a database a dozen
    /// questions more.
    fn listed(&self, id: &str, state: State) -> Result<TaskFolder, Problem> {
        let id = TaskId::parse(id)?;
        match self.state_folder(state)?.sub(id.as_str()) {
            Ok(folder) => Ok(TaskFolder::new(id, state, folder)),
            // It was moved meanwhile.
            Err(_) => self.task(&id),
        }
    }
}

fn make(
    objects: &ObjectStore,
    task: &TaskFolder,
    candidate: &Candidate,
    tree: &Oid,
) -> Result<(), Problem> {
    let patch = task.patch()?;
    let made = (digest::sha256(&patch) == candidate.patch_sha256)
        .then(|| -> Result<Oid, Problem> {
            let index = objects.index_of(&Oid::parse(&candidate.base_tree)?)?;
            objects.apply(&index, &patch)?;
            objects.write_tree(&index)
        })
        .transpose()?;
    if made.as_ref() == Some(tree) {
        return Ok(());
    }
    Err(Problem::fail(
        "CANDIDATE_INVALID",
        "base and patch make another tree than the candidate names",
    ))
}
