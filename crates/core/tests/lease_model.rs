//! Every order in which claimers, a watchdog, a clock and kills can meet over one task, explored to the
//! end. The steps are those of `store/claim.rs`, `store/watchdog.rs` and `Store::transition`: what is one
//! step here is one call of the system there, and a kill can come between any two. The mutex is the hold
//! on the task's folder.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "three processes by their numbers; a broken rule is told with the way that led to it"
)]

use std::collections::{HashMap, HashSet, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Inbox,
    Claimed,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lock {
    owner: usize,
    /// Which life of the owner made it: a process that was killed is another one afterwards.
    life: u8,
    fence: u8,
    over: bool,
}

/// Where a process stands. Numbers are the fence it works under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Idle,
    /// Made the lock; the move out of the inbox comes next.
    Locked(u8),
    /// Found a lock that is over and holds the mutex to replace it.
    TakingOver,
    Working(u8),
    /// Wants to finish and holds the mutex, or does without.
    Finishing(u8),
    /// Saw that the fence is still its own.
    Checked(u8),
    Moved(u8),
    /// The watchdog, with the mutex.
    Looking,
    GivesBack,
    Unlocks,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    place: Place,
    lock: Option<Lock>,
    /// The highest fence given: the log's next line.
    last_fence: u8,
    mutex: Option<usize>,
    at: [At; 3],
    lives: [u8; 3],
    /// The fences under which the task was finished.
    finished: Vec<u8>,
    /// What was the highest fence when it was finished.
    newest: Vec<u8>,
}

const WATCHDOG: usize = 2;
/// Claims and kills are counted, or the world would have no end.
const FENCES: u8 = 3;
const LIVES: u8 = 2;

/// Whether the fence is checked under the mutex that takeovers hold, and the move made under it.
#[derive(Clone, Copy)]
struct Rules {
    fence_under_mutex: bool,
}

impl World {
    fn new() -> Self {
        Self {
            place: Place::Inbox,
            lock: None,
            last_fence: 0,
            mutex: None,
            at: [At::Idle; 3],
            lives: [0; 3],
            finished: Vec::new(),
            newest: Vec::new(),
        }
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Everything that can happen next, with a name for the way told on failure.
    fn next(&self, rules: Rules) -> Vec<(String, Self)> {
        let mut next = Vec::new();
        for worker in 0..WATCHDOG {
            self.worker(worker, rules, &mut next);
        }
        self.watchdog(&mut next);
        if self.lock.is_some_and(|lock| !lock.over) {
            let over = |world: &mut Self| {
                if let Some(lock) = &mut world.lock {
                    lock.over = true;
                }
            };
            next.push(("the lease ends".to_owned(), self.with(over)));
        }
        for (process, at) in self.at.iter().enumerate() {
            if *at != At::Idle && self.lives[process] + 1 < LIVES {
                let killed = self.with(|world| {
                    world.at[process] = At::Idle;
                    world.lives[process] += 1;
                    // The system lets go of a dead process's flock.
                    if world.mutex == Some(process) {
                        world.mutex = None;
                    }
                });
                next.push((format!("{process} is killed at {at:?}"), killed));
            }
        }
        next
    }

    fn worker(&self, me: usize, rules: Rules, next: &mut Vec<(String, Self)>) {
        let mut step = |name: &str, change: &dyn Fn(&mut Self)| {
            next.push((format!("{me} {name}"), self.with(change)));
        };
        match self.at[me] {
            At::Idle if self.place == Place::Inbox && self.last_fence < FENCES => {
                if self.lock.is_none() {
                    step("makes the lock", &|world| world.give(me, At::Locked));
                } else if self.mutex.is_none() {
                    step("takes the mutex to take over", &|world| {
                        world.mutex = Some(me);
                        world.at[me] = At::TakingOver;
                    });
                }
            }
            At::TakingOver => step("takes over or leaves it", &|world| {
                if world.is_free() {
                    world.give(me, At::Locked);
                } else {
                    world.at[me] = At::Idle;
                }
                world.mutex = None;
            }),
            // The move out of the inbox: fence and rename as for every move.
            At::Locked(fence) if !rules.fence_under_mutex || self.mutex.is_none() => {
                step("moves to claimed", &|world| {
                    let mine = world.lock.is_some_and(|lock| lock.fence == fence);
                    if mine && world.place == Place::Inbox {
                        world.place = Place::Claimed;
                        world.at[me] = At::Working(fence);
                    } else {
                        world.at[me] = At::Idle;
                    }
                });
            }
            At::Working(fence) if !rules.fence_under_mutex || self.mutex.is_none() => {
                step("begins to finish", &|world| {
                    if rules.fence_under_mutex {
                        world.mutex = Some(me);
                    }
                    world.at[me] = At::Finishing(fence);
                });
            }
            At::Finishing(fence) => step("checks its fence", &|world| {
                let mine = world.lock.is_some_and(|lock| lock.fence == fence);
                if mine && world.place == Place::Claimed {
                    world.at[me] = At::Checked(fence);
                } else {
                    world.stop(me);
                }
            }),
            At::Checked(fence) => step("moves to done", &|world| {
                if world.place == Place::Claimed {
                    world.place = Place::Done;
                    world.finished.push(fence);
                    world.newest.push(world.last_fence);
                    world.at[me] = At::Moved(fence);
                } else {
                    world.stop(me);
                }
            }),
            At::Moved(_) => step("takes its lock off", &|world| {
                world.lock = None;
                world.stop(me);
            }),
            _ => {}
        }
    }

    fn watchdog(&self, next: &mut Vec<(String, Self)>) {
        let me = WATCHDOG;
        let mut step = |name: &str, change: &dyn Fn(&mut Self)| {
            next.push((format!("the watchdog {name}"), self.with(change)));
        };
        match self.at[me] {
            At::Idle if self.mutex.is_none() && self.place != Place::Done => {
                step("takes the mutex", &|world| {
                    world.mutex = Some(me);
                    world.at[me] = At::Looking;
                });
            }
            At::Looking => step("looks", &|world| {
                let stale = world.lock.is_some_and(|lock| lock.over);
                if stale && world.place == Place::Claimed {
                    world.at[me] = At::GivesBack;
                } else {
                    world.stop(me);
                }
            }),
            At::GivesBack => step("moves it back", &|world| {
                if world.place == Place::Claimed {
                    world.place = Place::Inbox;
                    world.at[me] = At::Unlocks;
                } else {
                    world.stop(me);
                }
            }),
            At::Unlocks => step("takes the old lock off", &|world| {
                world.lock = None;
                world.stop(me);
            }),
            _ => {}
        }
    }

    fn give(&mut self, me: usize, at: impl FnOnce(u8) -> At) {
        self.last_fence += 1;
        self.lock = Some(Lock {
            owner: me,
            life: self.lives[me],
            fence: self.last_fence,
            over: false,
        });
        self.at[me] = at(self.last_fence);
    }

    /// A lock in the inbox lasts until its end or its maker's.
    fn is_free(&self) -> bool {
        self.lock
            .is_some_and(|lock| lock.over || self.lives[lock.owner] != lock.life)
            && self.place == Place::Inbox
    }

    fn stop(&mut self, me: usize) {
        self.at[me] = At::Idle;
        if self.mutex == Some(me) {
            self.mutex = None;
        }
    }

    fn broken_rule(&self) -> Option<&'static str> {
        if self.finished.len() > 1 {
            return Some("the task was finished twice");
        }
        // Whoever was given the task last is the only one whose work counts.
        (self.finished != self.newest).then_some("a late owner finished what another one had")
    }
}

/// Explores everything; the way to the first world that breaks a rule, or all worlds.
fn explore(rules: Rules) -> Result<HashMap<World, Vec<World>>, String> {
    let mut from: HashMap<World, (World, String)> = HashMap::new();
    let mut edges: HashMap<World, Vec<World>> = HashMap::new();
    let mut open = VecDeque::from([World::new()]);
    let mut seen = HashSet::from([World::new()]);
    while let Some(world) = open.pop_front() {
        if let Some(rule) = world.broken_rule() {
            let mut way = Vec::new();
            let mut at = &world;
            while let Some((before, step)) = from.get(at) {
                way.push(step.clone());
                at = before;
            }
            way.reverse();
            return Err(format!("{rule}: {}", way.join(", ")));
        }
        let next = world.next(rules);
        for (step, next) in &next {
            if seen.insert(next.clone()) {
                from.insert(next.clone(), (world.clone(), step.clone()));
                open.push_back(next.clone());
            }
        }
        edges.insert(world, next.into_iter().map(|(_, next)| next).collect());
    }
    Ok(edges)
}

#[test]
fn no_order_of_claims_kills_and_rescues_finishes_a_task_twice_or_late() {
    let worlds = explore(Rules {
        fence_under_mutex: true,
    })
    .unwrap_or_else(|way| panic!("{way}"));
    assert!(worlds.len() > 1000, "{} worlds are no search", worlds.len());
    for place in [Place::Inbox, Place::Claimed, Place::Done] {
        assert!(worlds.keys().any(|world| world.place == place));
    }
    // Nothing is stuck for good: as long as somebody may still claim, there is a way to the end.
    let mut backwards: HashMap<&World, Vec<&World>> = HashMap::new();
    for (world, next) in &worlds {
        for one in next {
            backwards.entry(one).or_default().push(world);
        }
    }
    let done = worlds.keys().filter(|world| world.place == Place::Done);
    let mut open: Vec<&World> = done.collect();
    let mut reaches: HashSet<&World> = open.iter().copied().collect();
    while let Some(world) = open.pop() {
        for before in backwards.get(world).into_iter().flatten() {
            if reaches.insert(before) {
                open.push(before);
            }
        }
    }
    let stuck = worlds
        .keys()
        .find(|world| world.last_fence < FENCES && !reaches.contains(world));
    assert_eq!(stuck, None);
}

#[test]
fn the_search_finds_the_late_owner_when_the_fence_is_checked_outside_the_mutex() {
    let found = explore(Rules {
        fence_under_mutex: false,
    });
    let way = found.err().unwrap_or_default();
    assert!(way.starts_with("a late owner finished"), "{way}");
    assert!(way.contains("the lease ends"), "{way}");
}
