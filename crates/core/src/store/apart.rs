//! Tasks that run at one time change no file of each other's: a task is picked only when what it may
//! change lies apart from what every task that somebody holds may change.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Claim, Conflict, Lock, Store, TaskFolder};
use crate::clock::Moment;
use crate::lease::Holder;
use crate::overlap::may_overlap;
use crate::problem::Problem;
use crate::state::State;
use crate::task::{Scope, TaskId};

/// How many of the tasks that wait are looked at for one that may run: each is held against those before.
const MOST: usize = 1000;

/// Keeps everybody else from picking a task that has to lie apart, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Picking(#[expect(dead_code, reason = "dropped, the lock is off")] Lock);

/// A task that somebody is at, or that comes before another.
struct Taken {
    id: TaskId,
    /// None when it cannot be read; then it may change anything.
    scope: Option<Scope>,
}

impl Taken {
    fn of(task: &TaskFolder) -> Self {
        Self {
            id: task.id().clone(),
            scope: task.task().ok().map(|task| task.scope),
        }
    }

    fn is_in_the_way_of(&self, other: &Self) -> bool {
        let scopes = self.scope.as_ref().zip(other.scope.as_ref());
        self.id != other.id && scopes.is_none_or(|(one, other)| may_overlap(one, other))
    }
}

impl Store {
    /// The task that is next and lies apart from every task that is held, or `begun` by the caller, without
    /// taking it: one that was drafted and given back, then those of the inbox in their order. One that has
    /// to wait keeps its place: what comes after it and would be in its way waits too, so that a task which
    /// may change much is not passed by for ever.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn next_apart(&self, begun: &[TaskId], now: Moment) -> Result<Option<TaskId>, Problem> {
        let (mut before, drafted) = self.in_hand(now)?;
        let of_caller = begun.iter().filter_map(|id| self.task(id).ok());
        before.extend(of_caller.map(|task| Taken::of(&task)));
        let waiting = self.waiting_after(drafted, now)?;
        let waiting = waiting.into_iter().filter(|id| !begun.contains(id));
        let found = self.first_apart(&mut before, waiting, &mut |task| {
            Ok(Some(task.id().clone()))
        })?;
        Ok(found.ok())
    }

    /// As [`Self::lock_next`], of the tasks that lie apart from every task that is held, as [`Self::next_apart`]
    /// picks them and as [`Self::lock_apart`] holds others off. One that has to wait says for whom.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub fn lock_next_apart(
        &self,
        holder: Holder<'_>,
        length: Duration,
        now: Moment,
    ) -> Result<(Result<Claim, Conflict>, Picking), Problem> {
        let picking = Picking(self.mutex()?);
        let (mut before, _) = self.in_hand(now)?;
        let waiting = self.waiting_after(Vec::new(), now)?;
        let found = self.first_apart(&mut before, waiting.into_iter(), &mut |task| {
            let claimed = self.lock_if_free(task.id(), holder, length, now)?.ok();
            Ok(claimed.filter(|claim| claim.task.state() == State::Inbox))
        })?;
        let nobody = |with| match with {
            Some(with) => Conflict::Overlaps { with },
            None => Conflict::NotFound,
        };
        Ok((found.map_err(nobody), picking))
    }

    /// Whom the next task would have to wait for, or that there is none, as far as looking tells.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn why_none_apart(&self, now: Moment) -> Result<Option<Conflict>, Problem> {
        let (mut before, _) = self.in_hand(now)?;
        let waiting = self.waiting_after(Vec::new(), now)?.into_iter();
        let found = self.first_apart(&mut before, waiting, &mut |_| Ok(Some(())))?;
        Ok(match found {
            Ok(()) => None,
            Err(Some(with)) => Some(Conflict::Overlaps { with }),
            Err(None) => (!self.has_loose_files()?).then_some(Conflict::NotFound),
        })
    }

    /// The tasks of the inbox in their order, behind those that come first.
    fn waiting_after(&self, first: Vec<TaskId>, now: Moment) -> Result<Vec<TaskId>, Problem> {
        let mut waiting = first;
        self.in_order(now, None, |(id, _)| {
            waiting.push(id);
            Ok(match waiting.len() < MOST {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        Ok(waiting)
    }

    /// What `take` gives for the first of those that wait and that lie apart from all `before` and from those of
    /// them that come earlier; else for whom the first of them has to wait.
    fn first_apart<T>(
        &self,
        before: &mut Vec<Taken>,
        waiting: impl Iterator<Item = TaskId>,
        take: &mut dyn FnMut(&TaskFolder) -> Result<Option<T>, Problem>,
    ) -> Result<Result<T, Option<TaskId>>, Problem> {
        let mut waits_for = None;
        for id in waiting {
            // One that cannot be read or written to is named among what is stuck, and nobody waits for it.
            let is_free = |task: &TaskFolder| {
                task.lease().is_ok_and(|lease| lease.is_none()) && task.is_usable()
            };
            let Some(task) = self.task(&id).ok().filter(is_free) else {
                continue;
            };
            if task.state() == State::Inbox && !self.is_wanted(&id)? {
                continue;
            }
            let taken = Taken::of(&task);
            match before.iter().find(|one| one.is_in_the_way_of(&taken)) {
                Some(other) => waits_for = waits_for.or_else(|| Some(other.id.clone())),
                None => {
                    if let Some(found) = take(&task)? {
                        return Ok(Ok(found));
                    }
                }
            }
            before.push(taken);
        }
        Ok(Err(waits_for))
    }

    /// As [`Self::lock`], and only when the task lies apart from every task that is held. Nobody else can do
    /// this until the answer's second half is dropped, which has to outlive the move out of the inbox: of two
    /// who pick at one time, the second sees what the first one picked.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub fn lock_apart(
        &self,
        id: &TaskId,
        holder: Holder<'_>,
        length: Duration,
        now: Moment,
    ) -> Result<(Result<Claim, Conflict>, Picking), Problem> {
        let picking = Picking(self.mutex()?);
        if let Ok(task) = self.task(id) {
            let taken = Taken::of(&task);
            let mut held = self.in_hand(now)?.0.into_iter();
            if let Some(other) = held.find(|one| one.is_in_the_way_of(&taken)) {
                return Ok((Err(Conflict::Overlaps { with: other.id }), picking));
            }
        }
        Ok((self.lock(id, holder, length, now)?, picking))
    }

    /// Of the tasks in claimed and work, those that somebody holds, and those that nobody does and that have
    /// a draft and do not rest.
    fn in_hand(&self, now: Moment) -> Result<(Vec<Taken>, Vec<TaskId>), Problem> {
        let (_, entries) = self.scan(&[State::Claimed, State::Work])?;
        let (mut held, mut drafted) = (Vec::new(), Vec::new());
        for entry in entries {
            // One that went away meanwhile.
            let Ok(task) = TaskId::parse(&entry.task_id).and_then(|id| self.task(&id)) else {
                continue;
            };
            let rests = || task.backoff().is_some_and(|backoff| backoff.is_on(now));
            match task.lease() {
                Ok(None) if !rests() && task.has_recorded_draft().unwrap_or_default() => {
                    drafted.push(task.id().clone());
                }
                Ok(None) => {}
                Ok(Some(lease)) if lease.staleness(now).is_some() => {}
                // A lock that cannot be read counts as held.
                Ok(Some(_)) | Err(_) => held.push(Taken::of(&task)),
            }
        }
        Ok((held, drafted))
    }
}
