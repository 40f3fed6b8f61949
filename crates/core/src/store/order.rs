//! Who is next: an index over the inbox, so that a claim costs the same however many wait. It is made of
//! names alone, in buckets of some hundreds, is never synced and counts for nothing by itself: a name whose
//! task is not in the inbox is dropped, and a task that has no name is found when the inbox is listed, which
//! happens every few seconds and whenever the index knows of nobody.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::{Directory, Store, backoff, broken};
use crate::clock::Moment;
use crate::files::Entry;
use crate::policy::Actor;
use crate::problem::Problem;
use crate::state::State;
use crate::task::{self, Priority, TaskId};

/// The index's folder in the queue.
const FOLDER: &str = "order";
/// When the inbox was listed last: the time of this file.
const LISTED: &str = "listed";
/// Names in a bucket. Measured: a listing of a thousand names costs as much as half a start of a process.
const BUCKET: usize = 512;
/// How long a task that somebody put into the inbox by hand may go unseen while others wait. A listing of
/// 100,000 names, a twentieth of a second, is then a hundredth of the time.
const LOOK: Duration = Duration::from_secs(5);

/// As much of a task as the order of the queue needs.
#[derive(Default, Deserialize)]
struct Order {
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    due_at: Option<String>,
}

/// A task that waits, and since when.
pub(super) type Waiting = (TaskId, SystemTime);

/// Whose turn it is, and where that stands in the index: the lane, by urgency; the bucket in it; the name in
/// that, which begins with what the bucket is sorted by.
struct Turn {
    lane: String,
    /// None where buckets are filled one after the other.
    bucket: Option<String>,
    name: String,
}

impl Turn {
    /// What is due comes before what is not, and the old before the young.
    fn of(id: &TaskId, order: &Order, since: SystemTime) -> Self {
        let due = order.due_at.as_deref();
        let due = due.and_then(crate::clock::parse_with_offset).map(nanos);
        let since = nanos(since);
        let priority = order.priority.name();
        match due {
            Some(due) => Self {
                lane: format!("{priority}-due"),
                // A day for a bucket, so that buckets lie in the order of what is in them.
                bucket: Some(format!("{:08}", due / (86_400 * 1_000_000_000))),
                name: format!("{due:020}-{since:020}~{id}"),
            },
            None => Self {
                lane: format!("{priority}-later"),
                bucket: None,
                name: format!("{since:020}~{id}"),
            },
        }
    }
}

impl Store {
    /// Puts a task of the inbox into the index. Whatever goes wrong, the inbox itself is listed again soon.
    pub(super) fn enqueue(&self, id: &TaskId) {
        let entered = self.state_folder(State::Inbox).and_then(|inbox| {
            let found = enter(&self.queue, &inbox, id);
            found.map_err(|error| broken(FOLDER, &error))
        });
        drop(entered);
    }

    /// Visits the tasks of the inbox that may be claimed now: P0 before P1 before P2, then what is due first,
    /// then the oldest; none that rests after a try that went wrong. Loose files are taken in on the way, for
    /// `actor`, where one is given.
    ///
    /// # Errors
    /// `QUEUE_BROKEN`, and what `visit` says.
    pub(super) fn in_order<T>(
        &self,
        now: Moment,
        actor: Option<Actor>,
        mut visit: impl FnMut(Waiting) -> Result<ControlFlow<T>, Problem>,
    ) -> Result<Option<T>, Problem> {
        let failed = |error: io::Error| broken(FOLDER, &error);
        // Each task is passed by that cannot be opened; a queue that lacks a part must not look empty for it.
        self.check_parts()?;
        let inbox = self.state_folder(State::Inbox)?;
        if self.is_look_due() {
            self.look(&inbox, actor, &self.indexed().map_err(failed)?)?;
        }
        let mut seen = HashSet::new();
        for _ in 0..2 {
            let mut walk = Walk {
                inbox: &inbox,
                now,
                seen: &mut seen,
            };
            if let ControlFlow::Break(found) = walk.all(&self.queue, &mut visit)? {
                return Ok(Some(found));
            }
            // The index knows of nobody more: what it does not know is looked for, and visited.
            if !self.look(&inbox, actor, &seen)? {
                break;
            }
        }
        Ok(None)
    }

    /// All that [`Self::in_order`] visits, from the inbox itself: for who looks on and changes nothing.
    pub(super) fn waiting_in_order(&self, now: Moment) -> Result<Vec<Waiting>, Problem> {
        let inbox = self.state_folder(State::Inbox)?;
        let mut waiting = Vec::new();
        for entry in inbox.list().map_err(|error| broken("inbox", &error))? {
            let (true, Ok(id)) = (entry.is_folder, TaskId::parse(&entry.name)) else {
                continue;
            };
            let Ok(task) = inbox.sub(&entry.name) else {
                continue;
            };
            let Ok(since) = task.modified("task.json") else {
                continue;
            };
            if !rests(&task, now) {
                let turn = Turn::of(&id, &order_of(&task), since);
                waiting.push((turn.lane, turn.name, id, since));
            }
        }
        waiting.sort();
        let waiting = waiting.into_iter();
        Ok(waiting.map(|(_, _, id, since)| (id, since)).collect())
    }

    fn is_look_due(&self) -> bool {
        let listed = self
            .queue
            .sub(FOLDER)
            .and_then(|order| order.modified(LISTED));
        // One that lies ahead was written by a clock that was wrong.
        let age = listed
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_none_or(|age| age >= LOOK)
    }

    /// Lists the inbox: takes in loose files, and puts into the index what is not known. Says whether
    /// anything was put there.
    fn look(
        &self,
        inbox: &Directory,
        actor: Option<Actor>,
        known: &HashSet<TaskId>,
    ) -> Result<bool, Problem> {
        if let Some(actor) = actor {
            self.take_in_loose_files(actor)?;
        }
        let entries = inbox.list().map_err(|error| broken("inbox", &error))?;
        let mut found = false;
        for entry in entries.iter().filter(|entry| entry.is_folder) {
            let id = TaskId::parse(&entry.name).ok();
            if let Some(id) = id.filter(|id| !known.contains(id)) {
                // What cannot be put there, in a queue that nobody may write to, would be looked for again.
                found |= enter(&self.queue, inbox, &id).is_ok();
            }
        }
        let order = self.queue.sub_or_new(FOLDER);
        drop(order.and_then(|order| order.note(LISTED, b"")));
        Ok(found)
    }

    /// Every task that the index names.
    fn indexed(&self) -> io::Result<HashSet<TaskId>> {
        let mut known = HashSet::new();
        for (_, lane) in lanes(&self.queue)? {
            for (_, bucket) in folders(&lane)? {
                let entries = bucket.list()?.into_iter();
                known.extend(entries.filter_map(|entry| id_of(&entry.name)));
            }
        }
        Ok(known)
    }
}

/// One pass over the index.
struct Walk<'w> {
    inbox: &'w Directory,
    now: Moment,
    seen: &'w mut HashSet<TaskId>,
}

impl Walk<'_> {
    fn all<T>(
        &mut self,
        queue: &Directory,
        visit: &mut impl FnMut(Waiting) -> Result<ControlFlow<T>, Problem>,
    ) -> Result<ControlFlow<T>, Problem> {
        let failed = |error: io::Error| broken(FOLDER, &error);
        for (_, lane) in lanes(queue).map_err(failed)? {
            let buckets = folders(&lane).map_err(failed)?;
            let last = buckets.len().saturating_sub(1);
            for (at, (name, bucket)) in buckets.into_iter().enumerate() {
                let found = self.bucket(&bucket, visit)?;
                if found.is_break() {
                    return Ok(found);
                }
                if at < last {
                    // Full of those who wait, or gone by another's hand: both are fine.
                    drop(lane.remove_if_empty(&name));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn bucket<T>(
        &mut self,
        bucket: &Directory,
        visit: &mut impl FnMut(Waiting) -> Result<ControlFlow<T>, Problem>,
    ) -> Result<ControlFlow<T>, Problem> {
        for name in sorted(bucket).map_err(|error| broken(FOLDER, &error))? {
            let Some(id) = id_of(&name) else { continue };
            if self.seen.contains(&id) {
                continue;
            }
            let task = match self.inbox.sub(id.as_str()) {
                Ok(task) => task,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Claimed. Whoever comes at the same time drops the name as well.
                    drop(bucket.forget(&name));
                    continue;
                }
                // A file in its place, or a folder that is not ours to read: the others must not wait for it.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(broken(id.as_str(), &error)),
            };
            self.seen.insert(id.clone());
            // Claimed in this moment.
            let Ok(since) = task.modified("task.json") else {
                continue;
            };
            if rests(&task, self.now) {
                continue;
            }
            let found = visit((id, since))?;
            if found.is_break() {
                return Ok(found);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn rests(task: &Directory, now: Moment) -> bool {
    backoff::of_folder(task).is_some_and(|backoff| backoff.is_on(now))
}

/// A task that cannot be read is still claimed, so that intake can say what is wrong.
fn order_of(task: &Directory) -> Order {
    let bytes = task.read("task.json", task::MAX_BYTES).ok();
    let order = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    order.unwrap_or_default()
}

/// Puts a task into its lane.
fn enter(queue: &Directory, inbox: &Directory, id: &TaskId) -> io::Result<()> {
    let task = inbox.sub(id.as_str())?;
    let since = task.modified("task.json")?;
    let turn = Turn::of(id, &order_of(&task), since);
    let lane = queue.sub_or_new(FOLDER)?.sub_or_new(&turn.lane)?;
    // A bucket may be taken away, being empty, between our choosing it and our writing.
    for _ in 0..3 {
        let bucket = match &turn.bucket {
            Some(bucket) => lane.sub_or_new(bucket)?,
            None => open_bucket(&lane)?,
        };
        match bucket.note(&turn.name, b"") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            noted => return noted,
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The bucket that is filled now.
fn open_bucket(lane: &Directory) -> io::Result<Directory> {
    let Some((name, bucket)) = folders(lane)?.pop() else {
        return lane.sub_or_new(&format!("{:08}", 1));
    };
    if bucket.list()?.len() < BUCKET {
        return Ok(bucket);
    }
    let number: u64 = name.parse().unwrap_or_default();
    lane.sub_or_new(&format!("{:08}", number + 1))
}

fn lanes(queue: &Directory) -> io::Result<Vec<(String, Directory)>> {
    match queue.sub(FOLDER) {
        Ok(order) => folders(&order),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The folders inside, by name.
fn folders(folder: &Directory) -> io::Result<Vec<(String, Directory)>> {
    let mut names: Vec<_> = folder
        .list()?
        .into_iter()
        .filter(|entry| entry.is_folder)
        .collect();
    names.sort_by(|one, other| one.name.cmp(&other.name));
    let open = |Entry { name, .. }| match folder.sub(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.map(|folder| (name, folder))),
    };
    names.into_iter().filter_map(open).collect()
}

fn sorted(bucket: &Directory) -> io::Result<Vec<String>> {
    let mut names: Vec<_> = bucket.list()?.into_iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    Ok(names)
}

fn id_of(name: &str) -> Option<TaskId> {
    let (_, id) = name.split_once('~')?;
    TaskId::parse(id).ok()
}

fn nanos(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
