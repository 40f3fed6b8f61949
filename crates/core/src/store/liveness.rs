//! What keeps the queue from moving: each thing with a code of its own, since when, why, and the command
//! that goes on from there. Only looked at, never changed, and one trouble never hides another.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::claim::is_nobodys;
use super::mending::{self, Place};
use super::{Attempts, Stop, Store, TaskFolder};
use crate::audit::{Event, States};
use crate::clock::{self, Moment};
use crate::lease::Lease;
use crate::outputs::TaskEntry;
use crate::problem::Problem;
use crate::state::State;
use crate::task::TaskId;

/// No policy gives a lease for longer than a day; an end that lies further ahead was written by hand, or
/// by a clock that was wrong.
const LONGEST_LEASE: Duration = Duration::from_secs(2 * 86_400);
/// So often, and so long apart, is a lock asked for before somebody is said to sit on it.
const ASKS: u32 = 50;
const BETWEEN: Duration = Duration::from_millis(10);

/// One thing that keeps a task, or the whole queue, from going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wedge {
    /// What it is; part of the public interface.
    pub code: &'static str,
    /// The task, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Since when, RFC 3339, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why, in one sentence that names who or what is waited for.
    pub why: String,
    /// The command to run next.
    pub next: String,
    /// Whether something is wrong, and not just slow or waiting.
    pub broken: bool,
}

/// Makes one that is no defect.
#[must_use]
pub fn wedge(
    code: &'static str,
    task: Option<&str>,
    why: impl Into<String>,
    next: impl Into<String>,
) -> Wedge {
    Wedge {
        code,
        task_id: task.map(str::to_owned),
        since: None,
        why: why.into(),
        next: next.into(),
        broken: false,
    }
}

impl Wedge {
    /// The same with the time since when.
    #[must_use]
    pub fn since(mut self, since: Option<String>) -> Self {
        self.since = since;
        self
    }

    /// The same as a defect.
    #[must_use]
    pub fn broken(mut self) -> Self {
        self.broken = true;
        self
    }

    /// In one line for people.
    #[must_use]
    pub fn line(&self, now: SystemTime) -> String {
        let about = self
            .task_id
            .as_ref()
            .map(|id| format!("{id} "))
            .unwrap_or_default();
        let since = self.since.as_deref().and_then(clock::parse_rfc3339);
        let since = since.map(|since| format!(", for {}", clock::age(since, now)));
        format!(
            "{about}{}{}: {}; next: {}",
            self.code,
            since.unwrap_or_default(),
            self.why,
            self.next
        )
    }
}

impl Store {
    /// Everything that keeps the queue from moving. `said` is where the log says that each task lies, if
    /// the caller has read all of it; only then missing tasks are seen. `patience` is how long a task may
    /// wait in the inbox before that is worth a word.
    #[must_use]
    pub fn wedges(
        &self,
        said: Option<&States>,
        most_tries: u64,
        patience: Duration,
        now: Moment,
    ) -> Vec<Wedge> {
        let mut found = Vec::new();
        self.look_at_switches(&mut found, now);
        let lacks = self.check_parts().err();
        found.extend(
            lacks
                .iter()
                .map(|problem| of_problem("QUEUE_BROKEN", None, problem)),
        );
        let entries = match self.scan(&State::ALL) {
            Ok((_, entries)) => entries,
            Err(problem) => {
                if lacks.is_none() {
                    found.push(of_problem("QUEUE_BROKEN", None, &problem));
                }
                return found;
            }
        };
        // Nothing leaves `done`, so there only what the log puts elsewhere is worth a look.
        let is_open = |entry: &&TaskEntry| {
            let said = said.map(|said| said.get(&entry.task_id));
            entry.state != State::Done || said.is_some_and(|said| said != Some(&State::Done))
        };
        let ids = entries.iter().filter(is_open);
        let ids: HashSet<String> = ids.map(|entry| entry.task_id.clone()).collect();
        let histories = match self.log().and_then(|log| log.histories(ids)) {
            Ok(histories) => Some(histories),
            Err(problem) => {
                found.push(of_problem("LOG_BROKEN", None, &problem));
                None
            }
        };
        let (seen, twofold) = of_twofold(&entries, &mut found);
        let of_one = |entry: &&TaskEntry| !twofold.contains(entry.task_id.as_str());
        for entry in entries.iter().filter(is_open).filter(of_one) {
            found.extend(self.of_task(entry, histories.as_ref(), most_tries, now));
        }
        found.extend(said.map(|said| self.gone(said, &seen)).unwrap_or_default());
        found.extend(self.of_strange());
        found.extend(self.of_head(patience, now));
        found
    }

    /// What stops everything: the kill switch, a dead landing, somebody who sits on a lock.
    fn look_at_switches(&self, found: &mut Vec<Wedge>, now: Moment) {
        if let Stop::Present(why) = self.stop() {
            let since = self.queue.modified(super::STOP).ok().map(clock::rfc3339);
            found.push(wedge("STOP_ON", None, why, "baton resume").since(since));
        }
        found.extend(self.of_mutex());
        match self.merge_lease() {
            Err(problem) => found.push(of_problem("LOCK_BROKEN", None, &problem)),
            Ok(Some(lease)) if lease.is_over(now) || lease.is_claimant_gone() => {
                let why = format!("a landing of {} ended in the middle", lease.owner);
                let left = wedge("LANDING_LEFT", None, why, "baton run --all");
                found.push(left.since(Some(lease.claimed_at)));
            }
            Ok(_) => {}
        }
    }

    /// How to find the process that has a lock. In a database no file is locked that lies in the queue.
    pub(super) fn who_sits_on(&self, what: &str) -> String {
        match self.database.is_none() {
            true => format!("fuser -v .autodev_queue/{what}"),
            false => {
                "baton ops workers; look for a baton process that was stopped, on each machine"
                    .to_owned()
            }
        }
    }

    fn of_task(
        &self,
        entry: &TaskEntry,
        histories: Option<&HashMap<String, Vec<Event>>>,
        most_tries: u64,
        now: Moment,
    ) -> Vec<Wedge> {
        let id = entry.task_id.as_str();
        let task = match TaskId::parse(id).and_then(|id| self.task(&id)) {
            Ok(task) => task,
            // A loose file, or a task that went away meanwhile.
            Err(problem) if problem.code == "TASK_NOT_FOUND" => return Vec::new(),
            Err(problem) => {
                let at = &entry.path;
                let next =
                    format!("look at {at}: a folder that this account can read has to lie there");
                let broken = wedge("TASK_BROKEN", Some(id), problem.message, next);
                return vec![broken.broken()];
            }
        };
        let since = entry.updated_at.clone();
        if let Some(unread) = self.of_file(&task) {
            return vec![unread.since(since)];
        }
        let mut found: Vec<Wedge> = self
            .of_lock(&task, since.as_ref(), now)
            .into_iter()
            .collect();
        found.extend(self.of_rights(&task).map(|one| one.since(since.clone())));
        found.extend(self.of_key(&task).map(|one| one.since(since.clone())));
        let Some(histories) = histories else {
            return found;
        };
        let events = histories.get(id).map(Vec::as_slice).unwrap_or_default();
        match of_place(&task, events) {
            Some(one) => found.push(one.since(since)),
            None => found.extend(of_tries(&task, events, most_tries, found.is_empty(), since)),
        }
        found
    }

    /// A task whose own file cannot be read, and that did not just go on.
    fn of_file(&self, task: &TaskFolder) -> Option<Wedge> {
        let problem = task.task_bytes().err()?;
        if !self.lies_there(task).unwrap_or(true) {
            return None;
        }
        let id = task.id().as_str();
        let next = format!(
            "put {} back from a copy, readable for this account; or: baton ops cancel --id {id}",
            task.path("task.json")
        );
        Some(wedge("TASK_BROKEN", Some(id), problem.message, next).broken())
    }

    fn of_lock(&self, task: &TaskFolder, since: Option<&String>, now: Moment) -> Option<Wedge> {
        let id = task.id().as_str();
        let is_free = || !matches!(task.hold_if_free(), Ok(None));
        if !asked(is_free) {
            let why = "a process is in the middle of a change and does not go on";
            let next = self.who_sits_on(&format!("{}/{id}", task.state()));
            return Some(
                wedge("TASK_BUSY", Some(id), why, next)
                    .since(since.cloned())
                    .broken(),
            );
        }
        let lease = match task.lease() {
            Ok(lease) => lease?,
            Err(problem) => {
                let next = format!(
                    "look at {}, and remove it when nobody works",
                    task.path(".lock")
                );
                let broken = wedge("LOCK_BROKEN", Some(id), problem.message, next);
                return Some(broken.since(since.cloned()).broken());
            }
        };
        of_lease(id, task.state(), &lease, now)
    }

    /// A task of the inbox whose idempotency key is done by another.
    fn of_key(&self, task: &TaskFolder) -> Option<Wedge> {
        let id = task.id();
        let waits = task.state() == State::Inbox;
        let done = match waits.then(|| self.done_under_its_key(id))? {
            Ok(done) => done?,
            // That there are no keys at all is said of the queue.
            Err(problem) => {
                let is_its_own = self.folder("keys").is_ok();
                return is_its_own.then(|| of_problem("TASK_BROKEN", Some(id.as_str()), &problem));
            }
        };
        let why = format!("{done} is done under the same idempotency key, so nobody picks it");
        let next = format!("baton ops cancel --id {id}");
        Some(wedge("KEY_DONE", Some(id.as_str()), why, next))
    }

    /// What lies in the inbox and is never taken in: links, files of another name than `*.json`.
    fn of_strange(&self) -> Vec<Wedge> {
        let strange = self.strange_in_inbox().into_iter();
        strange
            .map(|(name, what)| {
                let name = name.escape_debug().to_string();
                let why = format!("inbox/{name} is {what}, so it is never taken in");
                let next = "baton submit FILE, if it is a task's, and remove it";
                wedge("LOOSE_REFUSED", None, why, next)
            })
            .collect()
    }

    /// The task that is next, when nobody has picked it for too long.
    fn of_head(&self, patience: Duration, now: Moment) -> Option<Wedge> {
        let waiting = self.waiting_in_order(now).ok()?;
        let is_free = |id: &TaskId| {
            let lease = self.task(id).and_then(|task| task.lease());
            matches!(lease, Ok(None)) && matches!(self.done_under_its_key(id), Ok(None))
        };
        let count = waiting.len();
        let (id, since) = waiting.into_iter().find(|(id, _)| is_free(id))?;
        if now.wall.duration_since(since).unwrap_or_default() < patience {
            return None;
        }
        let why = format!("it is next of {count} in the inbox, and no worker picks it");
        let next = format!("baton run {id}");
        Some(wedge("HEAD_WAITS", Some(id.as_str()), why, next).since(Some(clock::rfc3339(since))))
    }

    /// Tasks of the log that lie nowhere, each since its last line.
    fn gone(&self, said: &States, seen: &HashMap<&str, State>) -> Vec<Wedge> {
        let lost = said.keys().filter(|id| !seen.contains_key(id.as_str()));
        let mut ids: Vec<_> = lost.cloned().collect();
        ids.sort();
        let histories = self
            .log()
            .and_then(|log| log.histories(ids.iter().cloned().collect()));
        let histories = histories.unwrap_or_default();
        let gone = ids.iter().map(|id| {
            let state = said.get(id).map(|state| state.name()).unwrap_or_default();
            let why = format!("the log says that it lies in {state}, and it lies nowhere");
            let next = "baton watchdog --once, for a submission that was cut off; else put the folder back \
                        from a copy, or submit the task again";
            let last = histories.get(id).and_then(|events| events.last());
            let since = last.map(|event| event.ts.clone());
            wedge("TASK_GONE", Some(id), why, next).since(since).broken()
        });
        gone.collect()
    }
}

/// Whether something asked for comes within half a second.
pub(super) fn asked(mut is_free: impl FnMut() -> bool) -> bool {
    (0..ASKS).any(|at| {
        if at > 0 {
            std::thread::sleep(BETWEEN);
        }
        is_free()
    })
}

/// What a problem keeps from moving, and the first thing to do about it.
#[must_use]
pub fn of_problem(code: &'static str, task: Option<&str>, problem: &Problem) -> Wedge {
    let next = problem.hints.first().cloned();
    let next = next.unwrap_or_else(|| "baton doctor".to_owned());
    wedge(code, task, problem.message.clone(), next).broken()
}

fn of_lease(id: &str, state: State, lease: &Lease, now: Moment) -> Option<Wedge> {
    let watchdog = "baton watchdog --once";
    let since = Some(lease.claimed_at.clone());
    if state == State::Inbox && is_nobodys(lease, state, now) {
        let why = format!(
            "{} claimed it and was gone before it was moved",
            lease.owner
        );
        return Some(wedge("CLAIM_CUT_OFF", Some(id), why, watchdog).since(since));
    }
    if !matches!(state, State::Claimed | State::Work) {
        return None;
    }
    if let Some(stale) = lease.staleness(now) {
        let (why, since) = match stale {
            crate::lease::Stale::OwnerDead => (
                format!(
                    "process {} of {} held it and is gone",
                    lease.pid, lease.owner
                ),
                since,
            ),
            crate::lease::Stale::LeaseOver => (
                format!("the lease of {} is over", lease.owner),
                Some(lease.lease_until.clone()),
            ),
        };
        return Some(wedge(stale.code(), Some(id), why, watchdog).since(since));
    }
    if lease.is_over(now + LONGEST_LEASE) {
        return None;
    }
    let why = format!(
        "{} holds it until {}, longer than any policy lets",
        lease.owner, lease.lease_until
    );
    let next = format!(
        "ask {}; then claim-lock --task {id} --release --owner {}",
        lease.owner, lease.owner
    );
    Some(
        wedge("LEASE_ENDLESS", Some(id), why, next)
            .since(since)
            .broken(),
    )
}

/// A task that does not lie where the log says.
fn of_place(task: &TaskFolder, events: &[Event]) -> Option<Wedge> {
    let (id, lies) = (task.id().as_str(), task.state());
    let place = match mending::place(task, events) {
        Ok(place) => place,
        Err(problem) => return Some(of_problem("TASK_BROKEN", Some(id), &problem)),
    };
    match place {
        Place::Agreed => None,
        Place::Half(half) => {
            let code = match half.way {
                mending::Way::SetAside(_) => "RETRY_CUT_OFF",
                // The lock of the claim says it better.
                mending::Way::Undo
                    if lies == State::Inbox && task.lease().is_ok_and(|it| it.is_some()) =>
                {
                    return None;
                }
                _ => "MOVE_CUT_OFF",
            };
            let why = format!(
                "the log says {}, it lies in {lies}: a run ended in between",
                half.said
            );
            Some(wedge(code, Some(id), why, half.way.next(id)))
        }
        Place::Elsewhere(said) => {
            let why = format!("it lies in {lies}, the log says {said}, and no step made that move");
            let next = format!("mv .autodev_queue/{lies}/{id} .autodev_queue/{said}/{id}");
            Some(wedge("FOLDER_MOVED", Some(id), why, next).broken())
        }
        Place::Unknown => {
            let why = format!("it lies in {lies}, and the log knows no such task");
            let next = format!(
                "take .autodev_queue/{lies}/{id} away, then: baton submit FILE, with its task.json"
            );
            Some(wedge("TASK_UNKNOWN", Some(id), why, next).broken())
        }
    }
}

/// A task in claimed or work that nobody holds.
fn of_tries(
    task: &TaskFolder,
    events: &[Event],
    most: u64,
    is_alone: bool,
    since: Option<String>,
) -> Option<Wedge> {
    let id = task.id().as_str();
    let in_hand = matches!(task.state(), State::Claimed | State::Work);
    if !in_hand || !is_alone || !task.lease().is_ok_and(|lease| lease.is_none()) {
        return None;
    }
    let failed = Attempts::of(events).failed;
    if failed >= most {
        let why =
            format!("it was tried {failed} times, so no worker takes it; a person has to look");
        return Some(
            wedge("ATTEMPTS_SPENT", Some(id), why, format!("baton retry {id}")).since(since),
        );
    }
    let why = "nobody holds it: a worker or a person has to go on";
    Some(wedge("UNHELD", Some(id), why, format!("baton run {id}")).since(since))
}

/// Every task with its last state, and those that lie in two.
fn of_twofold<'e>(
    entries: &'e [TaskEntry],
    found: &mut Vec<Wedge>,
) -> (HashMap<&'e str, State>, HashSet<&'e str>) {
    let (mut seen, mut twofold) = (HashMap::new(), HashSet::new());
    for entry in entries {
        let id = entry.task_id.as_str();
        if let Some(first) = seen.insert(id, entry.state) {
            found.push(twice(id, first, entry.state).since(entry.updated_at.clone()));
            twofold.insert(id);
        }
    }
    (seen, twofold)
}

/// A task under two names.
fn twice(id: &str, first: State, second: State) -> Wedge {
    let why = format!("it lies in {first} and in {second}: one folder is another's, or a copy");
    let next = format!("baton watchdog --once, or move .autodev_queue/{first}/{id} away");
    wedge("TASK_TWICE", Some(id), why, next).broken()
}
