//! The watchdog's rules: claims whose owner is gone go back to the inbox, or to a person once they were
//! tried too often; moves that a crash cut in two are completed or taken back. Whoever runs a pass, and by
//! whose word, is the caller's matter; each act is recorded before it is made, and made while nobody else
//! can change the task, so that two watchdogs do everything once.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::mending::{self, Half, Place, Way};
use super::task_folder::LOCK_FILE;
use super::{Attempts, Backoff, Held, Store, TaskFolder, broken};
use crate::audit::{Action, Draft, Event, Level};
use crate::clock::{self, Moment};
use crate::envelope::ApprovalEntry;
use crate::lease::{Holder, Lease};
use crate::policy::Actor;
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

/// The states that a task may be stuck in. Nothing leaves `done`.
const OPEN: [State; 5] = [
    State::Inbox,
    State::Claimed,
    State::Work,
    State::Pr,
    State::Blocked,
];

/// By whose word, and by which numbers, a pass is made.
pub struct Watch<'a> {
    /// The queue.
    pub store: &'a Store,
    /// The approvals by which the system moves tasks; they stand in each line.
    pub approvals: Vec<ApprovalEntry>,
    /// Tries after which a person has to look.
    pub max_attempts: u64,
    /// How long the watchdog's own locks last.
    pub length: Duration,
    /// The time.
    pub now: Moment,
    /// Whether to say what would be done and change nothing.
    pub plan: bool,
}

/// What was done, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum What {
    /// A stale claim: back to the inbox.
    Reclaimed,
    /// A stale claim of a task that was tried often enough: to blocked, by an incident.
    Spent,
    /// A half-made move: made.
    Completed,
    /// A half-made move: taken back.
    Undone,
    /// A lock in the inbox whose claimer never moved the task: taken off.
    Unlocked,
    /// A second name of one folder: taken away.
    Dropped,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Act {
    /// The task.
    pub task_id: String,
    /// What was done.
    pub what: What,
    /// Where it lay.
    pub from: State,
    /// Where it lies now, or is to go.
    pub to: State,
    /// Why, in one sentence.
    pub why: String,
    /// When it may be picked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
}

/// A task that was tried too often. The watchdog's own lock is on it until the incident is written.
#[derive(Clone, Debug)]
pub struct Spent {
    /// The task.
    pub id: TaskId,
    /// Where it lies.
    pub state: State,
    /// The watchdog's lock.
    pub lease: Lease,
    /// Why, in one sentence.
    pub why: String,
}

/// What a pass came to.
#[derive(Clone, Debug, Default)]
pub struct Patrol {
    /// What was done.
    pub acts: Vec<Act>,
    /// What an incident has to be written for.
    pub spent: Vec<Spent>,
    /// Tasks that could not be helped, and why. One must not hide the others.
    pub trouble: Vec<(String, Problem)>,
}

impl Watch<'_> {
    /// Goes through the queue once. `may_act` is asked before each act.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, those of reading the log, and what `may_act` says.
    pub fn pass(&self, may_act: &dyn Fn() -> Result<(), Problem>) -> Result<Patrol, Problem> {
        let mut patrol = Patrol::default();
        if !self.plan {
            // What cannot be mended is said by whoever appends or checks.
            drop(self.store.log()?.mend());
        }
        self.drop_second_names(may_act, &mut patrol)?;
        self.complete_submissions(may_act, &mut patrol)?;
        let (_, entries) = self.store.scan(&OPEN)?;
        let ids: HashSet<String> = entries.into_iter().map(|entry| entry.task_id).collect();
        let histories = self.store.log()?.histories(ids.clone())?;
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort();
        for id in ids {
            let events = histories.get(&id).map(Vec::as_slice).unwrap_or_default();
            match self.needs(&id, events) {
                Ok(false) => continue,
                Ok(true) => may_act()?,
                Err(problem) => {
                    patrol.trouble.push((id, problem));
                    continue;
                }
            }
            if let Err(problem) = self.help(&id, &mut patrol) {
                patrol.trouble.push((id, problem));
            }
        }
        Ok(patrol)
    }

    /// Whether there may be something to do: asked without keeping anybody out.
    fn needs(&self, id: &str, events: &[Event]) -> Result<bool, Problem> {
        let task = match self.store.task(&TaskId::parse(id)?) {
            // A loose file, or one that went away meanwhile.
            Err(problem) if problem.code == "TASK_NOT_FOUND" => return Ok(false),
            task => task?,
        };
        Ok(self.judge(&task, events)?.is_some())
    }

    /// What is to be done for a task, by its folder and its lines.
    fn judge(&self, task: &TaskFolder, events: &[Event]) -> Result<Option<Need>, Problem> {
        let lease = task.lease()?;
        let stale = |lease: &Lease| lease.staleness(self.now);
        let is_gone = |lease: &Lease| stale(lease).is_some() || lease.is_claimant_gone();
        if let Place::Half(half) = mending::place(task, events)? {
            // Whoever just claims it writes the next line.
            let is_free = task.state() != State::Inbox || lease.as_ref().is_none_or(is_gone);
            let is_ours = half.way != Way::Run && is_free;
            return Ok(is_ours.then_some(Need::Mend(half)));
        }
        let Some(lease) = lease else { return Ok(None) };
        Ok(match task.state() {
            State::Inbox if is_gone(&lease) => Some(Need::Unlock(lease)),
            State::Claimed | State::Work if stale(&lease).is_some() => Some(Need::Reclaim(lease)),
            _ => None,
        })
    }

    /// Looks again while nobody else can change the task, and acts.
    fn help(&self, id: &str, patrol: &mut Patrol) -> Result<(), Problem> {
        let id = TaskId::parse(id)?;
        let task = self.store.task(&id)?;
        // Nobody takes a task away from under a landing; that lock comes before the task's.
        let landing = match task.state() {
            State::Pr if !self.plan => {
                let owner = crate::environment::default_owner();
                match self.store.lock_landing(&owner, self.length, self.now)? {
                    Ok(lock) => Some(lock),
                    Err(_) => return Ok(()),
                }
            }
            _ => None,
        };
        // Somebody is at it; the next pass looks again.
        let Some(held) = task.hold_if_free()? else {
            return Ok(());
        };
        if !self.store.lies_there(&task)? {
            return Ok(());
        }
        let events = self.store.log()?.events_of(id.as_str())?;
        let events: Vec<_> = events.into_iter().map(|(event, _)| event).collect();
        match self.judge(&task, &events)? {
            None => {}
            Some(Need::Mend(half)) => patrol.acts.push(self.mend(task, &half, &held)?),
            Some(Need::Unlock(lease)) => patrol.acts.push(self.unlock(&task, &lease, &held)?),
            Some(Need::Reclaim(lease)) => self.reclaim(task, &lease, &events, &held, patrol)?,
        }
        drop(landing);
        Ok(())
    }

    fn reclaim(
        &self,
        mut task: TaskFolder,
        lease: &Lease,
        events: &[Event],
        _held: &Held,
        patrol: &mut Patrol,
    ) -> Result<(), Problem> {
        let (id, from) = (task.id().clone(), task.state());
        let code = lease
            .staleness(self.now)
            .map_or("LEASE_OVER", |stale| stale.code());
        // The claim that is open counts, whether or not its line is there.
        let failed = Attempts::of(events).failed + 1;
        let who = match code {
            "OWNER_DEAD" => format!("process {} of {} is gone", lease.pid, lease.owner),
            _ => format!(
                "the lease of {} is over since {}",
                lease.owner, lease.lease_until
            ),
        };
        let why = format!("{who}; try {failed} of {}", self.max_attempts);
        let is_spent = failed >= self.max_attempts;
        let to = if is_spent {
            State::Blocked
        } else {
            State::Inbox
        };
        let backoff = Backoff::after(failed, code, self.now)?;
        let act = Act {
            task_id: id.to_string(),
            what: if is_spent {
                What::Spent
            } else {
                What::Reclaimed
            },
            from,
            to,
            why: why.clone(),
            not_before: (!is_spent).then(|| backoff.not_before.clone()),
        };
        if self.plan {
            patrol.acts.push(act);
            return Ok(());
        }
        let draft = self.draft(
            Action::TaskReclaimed,
            &id,
            from,
            if is_spent { from } else { to },
        )?;
        let draft = draft
            .meta("reason", code)
            .meta("owner", lease.owner.clone())
            .meta("fence", lease.fence)
            .meta("failed_tries", failed);
        if is_spent {
            let lease = self.take(&task, lease, draft)?;
            patrol.spent.push(Spent {
                id,
                state: from,
                lease,
                why,
            });
        } else {
            let draft = draft.meta("not_before", backoff.not_before.clone());
            self.store.log()?.append(draft)?;
            task.write_backoff(&backoff)?;
            self.store
                .transition(&mut task, State::Inbox, Some(lease.fence), true)?;
        }
        patrol.acts.push(act);
        Ok(())
    }

    /// Puts the watchdog's own lock in place of the stale one: from now on its owner changes nothing.
    fn take(&self, task: &TaskFolder, stale: &Lease, draft: Draft) -> Result<Lease, Problem> {
        let name = format!("watchdog@{}", crate::ids::host());
        let holder = Holder {
            name: &name,
            of_process: true,
        };
        let lease = holder.lease(self.store.next_fence(stale.fence)?, self.now, self.length);
        self.store
            .log()?
            .append(draft.meta("new_fence", lease.fence))?;
        let written = task.folder().replace(LOCK_FILE, &lease.to_bytes());
        written.map_err(|error| broken(LOCK_FILE, &error))?;
        Ok(lease)
    }

    /// A claim that died between its lock and its move never was.
    fn unlock(&self, task: &TaskFolder, lease: &Lease, _held: &Held) -> Result<Act, Problem> {
        let state = task.state();
        let act = Act {
            task_id: task.id().to_string(),
            what: What::Unlocked,
            from: state,
            to: state,
            why: format!(
                "{} claimed it and was gone before it was moved",
                lease.owner
            ),
            not_before: None,
        };
        if self.plan {
            return Ok(act);
        }
        let draft = self.draft(Action::LeaseReleased, task.id(), state, state)?;
        let draft = draft
            .meta("reason", "CLAIM_CUT_OFF")
            .meta("fence", lease.fence);
        self.store.log()?.append(draft)?;
        self.store.unlock(task)?;
        Ok(act)
    }

    fn mend(&self, mut task: TaskFolder, half: &Half, _held: &Held) -> Result<Act, Problem> {
        let (id, lies, said) = (task.id().clone(), task.state(), half.said);
        let undo = half.way == Way::Undo;
        let act = Act {
            task_id: id.to_string(),
            what: if undo { What::Undone } else { What::Completed },
            from: lies,
            to: if undo { lies } else { said },
            why: format!("the log says {said}, it lies in {lies}: a run ended in between"),
            not_before: half.not_before.clone(),
        };
        if self.plan {
            return Ok(act);
        }
        let (action, key, to) = match undo {
            true => (Action::MoveUndone, "undoes", lies),
            false => (Action::MoveCompleted, "completes", said),
        };
        let draft = self.draft(action, &id, said, to)?;
        self.store
            .log()?
            .append(draft.meta(key, half.event_id.clone()))?;
        match half.way {
            // A lock in the inbox is that of the claim that never was.
            Way::Undo if lies == State::Inbox => self.store.unlock(&task)?,
            Way::Undo | Way::Run => {}
            Way::SetAside(number) => self.store.set_aside(&mut task, number)?,
            Way::Complete => self.complete(&mut task, half)?,
        }
        Ok(act)
    }

    fn complete(&self, task: &mut TaskFolder, half: &Half) -> Result<(), Problem> {
        if let Some(wall) = half.not_before.as_deref().and_then(clock::parse_rfc3339) {
            let end = Moment { wall, boot: None };
            task.write_backoff(&Backoff::until(end, 1, "MOVE_CUT_OFF"))?;
        }
        // Only a task in hand keeps its lock.
        let unlock = !matches!(half.said, State::Claimed | State::Work);
        let fence = task.lease()?.map(|lease| lease.fence);
        self.store.transition(task, half.said, fence, unlock)
    }

    /// One folder under two names, as a power cut leaves it on some file systems: the earlier state's name
    /// goes. Two folders of one name are for a person.
    fn drop_second_names(
        &self,
        may_act: &dyn Fn() -> Result<(), Problem>,
        patrol: &mut Patrol,
    ) -> Result<(), Problem> {
        let (_, entries) = self.store.scan(&State::ALL)?;
        let mut states: BTreeMap<String, Vec<State>> = BTreeMap::new();
        for entry in entries {
            states.entry(entry.task_id).or_default().push(entry.state);
        }
        for (id, states) in states {
            for pair in states.windows(2) {
                let &[from, to] = pair else { continue };
                if !self.store.is_one(&id, from, to)? {
                    continue;
                }
                may_act()?;
                let act = Act {
                    task_id: id.clone(),
                    what: What::Dropped,
                    from,
                    to,
                    why: format!("{from} and {to} name one and the same; the later one stays"),
                    not_before: None,
                };
                if !self.plan {
                    let draft = self.draft(Action::MoveCompleted, &TaskId::parse(&id)?, to, to)?;
                    self.store
                        .log()?
                        .append(draft.meta("dropped", from.name()))?;
                    self.store.drop_name(&id, from)?;
                }
                patrol.acts.push(act);
            }
        }
        Ok(())
    }

    fn complete_submissions(
        &self,
        may_act: &dyn Fn() -> Result<(), Problem>,
        patrol: &mut Patrol,
    ) -> Result<(), Problem> {
        for id in self.store.unshown()? {
            may_act()?;
            if let Err(problem) = self.complete_submission(&id, patrol) {
                patrol.trouble.push((id.to_string(), problem));
            }
        }
        Ok(())
    }

    fn complete_submission(&self, id: &TaskId, patrol: &mut Patrol) -> Result<(), Problem> {
        let (from, to) = (State::Inbox, State::Inbox);
        self.store.complete_submission(id, self.plan, || {
            if !self.plan {
                let draft = self.draft(Action::MoveCompleted, id, from, to)?;
                self.store.log()?.append(draft.meta("shown", to.name()))?;
            }
            patrol.acts.push(Act {
                task_id: id.to_string(),
                what: What::Completed,
                from,
                to,
                why: "the log tells of its submission, which ended before the task was shown"
                    .to_owned(),
                not_before: None,
            });
            Ok(())
        })
    }

    fn draft(&self, action: Action, id: &TaskId, from: State, to: State) -> Result<Draft, Problem> {
        let mut draft = Draft::new(Actor::System, action, "baton")?;
        draft = draft.task(id.as_str(), Some(from), Some(to));
        draft.level = Level::Warn;
        draft.approvals.clone_from(&self.approvals);
        Ok(draft)
    }
}

/// What a task needs.
enum Need {
    Mend(Half),
    Unlock(Lease),
    Reclaim(Lease),
}
