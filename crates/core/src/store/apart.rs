//! Tasks that run at one time change no file of each other's: a task is picked only when what it may
//! change lies apart from what every task that somebody holds may change.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Claim, Conflict, Lock, Store, TaskFolder};
use crate::clock::Moment;
use crate::lease::Holder;
use crate::overlap::{Effort, Reach};
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

/// How many of the tasks that wait are held against those before them.
const MOST: usize = 1000;

/// Keeps everybody else from picking a task that has to lie apart, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Picking(#[expect(dead_code, reason = "dropped, the lock is off")] Lock);

/// What a claim of a task that has to lie apart ends in.
type Picked = Result<(Claim, Picking), Conflict>;

/// A task that somebody is at, or that comes before another.
struct Taken {
    id: TaskId,
    /// None when it cannot be read; then it may change anything.
    reach: Option<Reach>,
}

impl Taken {
    fn of(task: &TaskFolder) -> Self {
        Self {
            id: task.id().clone(),
            reach: task.task().ok().map(|task| Reach::of(&task.scope)),
        }
    }

    fn is_in_the_way_of(&self, other: &Self, effort: &mut Effort) -> bool {
        let reaches = self.reach.as_ref().zip(other.reach.as_ref());
        self.id != other.id && reaches.is_none_or(|(one, other)| one.may_overlap(other, effort))
    }
}

/// Looks at one task after the other for the first that lies apart from all before it. One that has to wait
/// keeps its place: what comes after it and would be in its way waits too, so that a task which may change
/// much is not passed by for ever.
struct Choice<'s, T> {
    store: &'s Store,
    now: Moment,
    /// What the task gives that may be taken; none when it is not to be had after all.
    take: &'s mut dyn FnMut(&TaskFolder) -> Result<Option<T>, Problem>,
    before: Vec<Taken>,
    effort: Effort,
    /// For whom the first that has to wait waits.
    waits_for: Option<TaskId>,
}

impl<T> Choice<'_, T> {
    /// What was taken of those that are `first`, or else of the inbox in its order; or for whom the first of
    /// them has to wait.
    fn make(mut self, first: &[TaskId]) -> Result<Result<T, Option<TaskId>>, Problem> {
        for id in first {
            if let Some(found) = self.look_at(id)? {
                return Ok(Ok(found));
            }
        }
        let most = self.before.len() + MOST;
        let found = self.store.in_order(self.now, None, |(id, _)| {
            Ok(match self.look_at(&id)? {
                None if self.before.len() < most => ControlFlow::Continue(()),
                found => ControlFlow::Break(found),
            })
        })?;
        Ok(found.flatten().ok_or(self.waits_for))
    }

    fn look_at(&mut self, id: &TaskId) -> Result<Option<T>, Problem> {
        // One that cannot be read or written to is named among what is stuck, and nobody waits for it.
        let Some(task) = self.store.task(id).ok().filter(TaskFolder::is_usable) else {
            return Ok(None);
        };
        let Ok(held) = task.held(self.now) else {
            return Ok(None);
        };
        if task.state() == State::Inbox && !self.store.is_wanted(id)? {
            return Ok(None);
        }
        let taken = Taken::of(&task);
        // Who holds it in the inbox has not moved it yet.
        if held.is_none() {
            let in_the_way = |one: &&Taken| one.is_in_the_way_of(&taken, &mut self.effort);
            match self.before.iter().find(in_the_way) {
                Some(other) => {
                    self.waits_for.get_or_insert_with(|| other.id.clone());
                }
                None => {
                    if let Some(found) = (self.take)(&task)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
        self.before.push(taken);
        Ok(None)
    }
}

impl Store {
    /// The task that is next and lies apart from every task that is held, or `begun` by the caller, without
    /// taking it: one that was drafted and given back, then those of the inbox in their order.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn next_apart(&self, begun: &[TaskId], now: Moment) -> Result<Option<TaskId>, Problem> {
        let (mut before, drafted) = self.in_hand(now)?;
        let of_caller = begun.iter().filter_map(|id| self.task(id).ok());
        before.extend(of_caller.map(|task| Taken::of(&task)));
        let mut take = |task: &TaskFolder| {
            let id = task.id();
            Ok((!begun.contains(id)).then(|| id.clone()))
        };
        Ok(self.choice(before, now, &mut take).make(&drafted)?.ok())
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
    ) -> Result<Picked, Problem> {
        // Others may submit and approve while one is chosen; only the chosen one is looked at again.
        let mut take = |task: &TaskFolder| {
            let lock = || self.lock_if_free(task.id(), holder, length, now);
            let picked = self.lock_if_apart(task.id(), now, lock)?.ok();
            Ok(picked.filter(|(claim, _)| claim.task.state() == State::Inbox))
        };
        let before = self.in_hand(now)?.0;
        let picked = self.choice(before, now, &mut take).make(&[])?;
        Ok(picked.map_err(|waits_for| match waits_for {
            Some(with) => Conflict::Overlaps { with },
            None => Conflict::NotFound,
        }))
    }

    /// Whom the next task would have to wait for, or that there is none, as far as looking tells.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn why_none_apart(&self, now: Moment) -> Result<Option<Conflict>, Problem> {
        let before = self.in_hand(now)?.0;
        let found = self.choice(before, now, &mut |_| Ok(Some(()))).make(&[])?;
        Ok(match found {
            Ok(()) => None,
            Err(Some(with)) => Some(Conflict::Overlaps { with }),
            Err(None) => (!self.has_loose_files()?).then_some(Conflict::NotFound),
        })
    }

    fn choice<'s, T>(
        &'s self,
        before: Vec<Taken>,
        now: Moment,
        take: &'s mut dyn FnMut(&TaskFolder) -> Result<Option<T>, Problem>,
    ) -> Choice<'s, T> {
        Choice {
            store: self,
            now,
            take,
            before,
            effort: Effort::default(),
            waits_for: None,
        }
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
    ) -> Result<Picked, Problem> {
        self.lock_if_apart(id, now, || self.lock(id, holder, length, now))
    }

    fn lock_if_apart(
        &self,
        id: &TaskId,
        now: Moment,
        lock: impl FnOnce() -> Result<Result<Claim, Conflict>, Problem>,
    ) -> Result<Picked, Problem> {
        let picking = Picking(self.mutex()?);
        if let Some(with) = self.held_in_the_way_of(id, now)? {
            return Ok(Err(Conflict::Overlaps { with }));
        }
        Ok(lock()?.map(|claim| (claim, picking)))
    }

    /// The task that is held and may change what this one may change, if there is one.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`.
    pub fn held_in_the_way_of(&self, id: &TaskId, now: Moment) -> Result<Option<TaskId>, Problem> {
        let Ok(task) = self.task(id) else {
            return Ok(None);
        };
        let (taken, mut effort) = (Taken::of(&task), Effort::default());
        let mut held = self.in_hand(now)?.0.into_iter();
        let other = held.find(|one| one.is_in_the_way_of(&taken, &mut effort));
        Ok(other.map(|one| one.id))
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
