//! Whether the queue's folders are as the log tells.

use super::{Store, broken};
use crate::audit::States;
use crate::envelope::QUEUE_ROOT;
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

/// So often is a task looked at again that somebody may be moving.
const LOOKS: usize = 3;

impl Store {
    /// Holds each task's folder against the state that the log says it came to, and the other way round.
    /// Returns what differs, a sentence each; how many tasks there are is the length of `said`.
    ///
    /// A loose file in the inbox, which nobody took in yet, is in no log.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, also when a task lies in two states, and those of reading the log.
    pub fn differs_from(&self, said: &States) -> Result<Vec<String>, Problem> {
        let mut differs = Vec::new();
        let mut ids: Vec<_> = said.keys().cloned().collect();
        for state in State::ALL {
            let folder = self.state_folder(state)?;
            let entries = folder
                .list()
                .map_err(|error| broken(state.name(), &error))?;
            let folders = entries.into_iter().filter(|entry| entry.is_folder);
            ids.extend(
                folders
                    .map(|entry| entry.name)
                    .filter(|name| !said.contains_key(name)),
            );
        }
        ids.sort();
        ids.dedup();
        for id in ids {
            let Ok(task) = TaskId::parse(&id) else {
                let id = id.escape_debug();
                differs.push(format!(
                    "{QUEUE_ROOT} has a folder \"{id}\", which is no task's name"
                ));
                continue;
            };
            differs.extend(self.task_differs(&task, said.get(&id).copied())?);
        }
        Ok(differs)
    }

    /// The same for one task. It may be on its way, since a line is written before the move that it tells
    /// of, so it is looked at again.
    ///
    /// # Errors
    /// As [`Self::differs_from`].
    pub fn task_differs(
        &self,
        id: &TaskId,
        mut said: Option<State>,
    ) -> Result<Option<String>, Problem> {
        let mut lies = self.find(id)?;
        for _ in 1..LOOKS {
            if lies == said {
                return Ok(None);
            }
            let events = self.log()?.events_of(id.as_str())?;
            said = events.iter().rev().find_map(|(event, _)| event.moves_to());
            lies = self.find(id)?;
        }
        Ok(match (said, lies) {
            (said, lies) if said == lies => None,
            (Some(said), Some(lies)) => Some(format!("{id} lies in {lies}, the log says {said}")),
            (Some(said), None) => Some(format!("{id} is gone, the log says {said}")),
            (None, lies) => {
                let lies = lies.map(State::name).unwrap_or_default();
                Some(format!(
                    "{id} lies in {lies}, and the log knows no such task"
                ))
            }
        })
    }
}
