//! Which gate runs when, and why one does not.
//!
//! First the built-in ones, whose verdict the change cannot write. Then the commands, side by side
//! where they do not need each other. Last G6, which looks at what the others left.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread::Builder;

use baton_core::git::Oid;
use baton_core::outputs::CheckStatus;
use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Store;
use baton_core::threads;
use baton_risk::{RiskReport, RuleBook};
use baton_sandbox::Sandbox;

use crate::Ran;
use crate::attempt::Ground;
use crate::builtin::{self, LAST};
use crate::cache::Cache;
use crate::ending::{self, Held};
use crate::job::{self, About};
use crate::keep::Keeper;
use crate::places::Places;
use crate::progress::Progress;
use crate::ran::number;
use crate::subject::Subject;

/// Runs the gates, and gives their results in the order of their numbers, and what the scan found.
pub(crate) fn run(
    session: &Session,
    (subject, book): (&Subject, &RuleBook<'_>),
    only: &[String],
    cache: &Cache,
) -> Result<(Vec<Ran>, RiskReport), Problem> {
    let mut gates: Vec<&Gate> = session.policy()?.gates.iter().collect();
    gates.sort_by_key(|gate| number(gate));
    let scan = subject.scan(session, book)?;
    let mut done: Vec<Ran> = Vec::with_capacity(gates.len());
    let (commands, own): (Vec<&Gate>, Vec<&Gate>) =
        gates.into_iter().partition(|gate| gate.is_command());
    let (last, first): (Vec<&Gate>, Vec<&Gate>) = own.into_iter().partition(|gate| gate.id == LAST);
    for gate in first {
        let ran = match skipped(session, gate, only, &done)? {
            Some(ran) => ran,
            None => builtin::run(session, subject, gate, (book, &scan), &done)?,
        };
        done.push(ran);
    }
    let ran = commands_run(session, subject, book, (commands, only), (cache, &done))?;
    done.extend(ran);
    for gate in last {
        let ran = match skipped(session, gate, only, &done)? {
            Some(ran) => ran,
            None => builtin::run(session, subject, gate, (book, &scan), &done)?,
        };
        done.push(ran);
    }
    done.sort_by_key(|ran| ran.number);
    Ok((done, scan))
}

/// What keeps any gate from running: STOP, and not being asked for. STOP is looked for before every
/// gate, because code of the change must not start once it is on.
fn skipped(
    session: &Session,
    gate: &Gate,
    only: &[String],
    done: &[Ran],
) -> Result<Option<Ran>, Problem> {
    let is_on = session
        .store_if_any()?
        .is_some_and(|store| store.stop().is_present());
    if is_on || done.iter().any(|ran| ran.stopped) {
        return Ok(Some(Ran {
            stopped: true,
            ..Ran::skip(gate, "STOP_PRESENT")
        }));
    }
    if !only.is_empty() && !only.contains(&gate.id) {
        return Ok(Some(Ran::skip(gate, "NOT_SELECTED")));
    }
    Ok(None)
}

/// What keeps a command from running besides: a built-in gate that failed, a change that does not
/// concern it, nothing to run.
fn skipped_command(gate: &Gate, subject: &Subject, done: &[Ran]) -> Result<Option<Ran>, Problem> {
    if done
        .iter()
        .any(|ran| ran.result.status == CheckStatus::Fail)
    {
        let why = "DEPENDENCY_FAILED: a gate before it failed, so code of the change is not run";
        return Ok(Some(Ran::skip(gate, why)));
    }
    not_for(gate, &subject.changed)
}

/// What keeps a command from running on any tree with these changes.
pub(crate) fn not_for(gate: &Gate, changed: &[Vec<u8>]) -> Result<Option<Ran>, Problem> {
    let invalid = |why| Problem::fail("POLICY_INVALID", format!("gates.paths: {why}"));
    if gate.argv.is_empty() {
        let why = "NOT_CONFIGURED: the policy names no command for it";
        return Ok(Some(Ran::skip(gate, why)));
    }
    if !gate.applies(changed).map_err(invalid)? {
        let why = "NOT_TOUCHED: the change touches none of the paths that it is for";
        return Ok(Some(Ran::skip(gate, why)));
    }
    Ok(None)
}

/// Runs the commands, at most `gates_at_once` at one time.
fn commands_run(
    session: &Session,
    subject: &Subject,
    book: &RuleBook<'_>,
    (commands, only): (Vec<&Gate>, &[String]),
    (cache, done): (&Cache, &[Ran]),
) -> Result<Vec<Ran>, Problem> {
    let mut ran = BTreeMap::new();
    let mut waiting = Vec::new();
    for gate in commands {
        let skip = match skipped(session, gate, only, done)? {
            None => skipped_command(gate, subject, done)?,
            skip => skip,
        };
        match skip {
            Some(skip) => drop(ran.insert((0, number(gate)), skip)),
            None => waiting.push((0, gate)),
        }
    }
    let lane = Lane {
        subject,
        tree: &subject.tree,
        ahead: None,
    };
    let ran = side_by_side(session, &[lane], (waiting, ran), (book, cache))?;
    Ok(ran.into_values().collect())
}

/// One tree that gates are run on.
pub(crate) struct Lane<'a> {
    /// The change that it comes of.
    pub(crate) subject: &'a Subject,
    pub(crate) tree: &'a Oid,
    /// What people read of it where it is gated ahead. It is then not held against a base.
    pub(crate) ahead: Option<String>,
}

/// What came of the gates, by the number of the lane and of the gate.
pub(crate) type Results = BTreeMap<(usize, u32), Ran>;

/// Runs the gates that wait, each on the tree of its lane, at most `gates_at_once` at one time.
pub(crate) fn side_by_side(
    session: &Session,
    lanes: &[Lane<'_>],
    (waiting, ran): (Vec<(usize, &Gate)>, Results),
    (book, cache): (&RuleBook<'_>, &Cache),
) -> Result<Results, Problem> {
    if waiting.is_empty() {
        return Ok(ran);
    }
    // Ends last, when nothing of what ran is left.
    let held = ending::hold();
    let _ = baton_sandbox::sweep_left();
    let policy = session.policy()?;
    let store = session.store_if_any()?;
    let progress = Progress::new(session.is_watched());
    let is_stopped = || {
        progress.tick();
        held.is_ending() || store.is_some_and(|store| store.stop().is_present())
    };
    let sandbox = Sandbox::this_program()
        .map_err(|refused| Problem::fail(refused.code, refused.message).hint(refused.fix))?;
    let root = session.root()?;
    let places = Places::default();
    let jobs: Vec<_> = lanes
        .iter()
        .map(|lane| {
            let ground = Ground {
                policy,
                objects: &lane.subject.objects,
                root,
                base_tree: &lane.subject.base_tree,
                sandbox: sandbox.clone(),
                places: &places,
                is_stopped: &is_stopped,
            };
            let about = About {
                tree: lane.tree,
                changed: &lane.subject.changed,
                cache,
                is_kept: lane.subject.task.is_some(),
                is_compared: lane.ahead.is_none(),
            };
            (ground, about)
        })
        .collect();
    let mut line = Line {
        lanes,
        waiting,
        ran,
        progress: &progress,
        stop: store,
        held: &held,
    };
    let most = usize::try_from(policy.caps.gates_at_once).unwrap_or(1);
    let mut keeper = Keeper::new(session, book, cache);
    let ran = line.run(&jobs, most, &mut keeper);
    keeper.close()?;
    ran.map(|()| line.ran)
}

/// The gates that wait, and those that are through.
struct Line<'a> {
    lanes: &'a [Lane<'a>],
    waiting: Vec<(usize, &'a Gate)>,
    ran: Results,
    progress: &'a Progress,
    stop: Option<&'a Store>,
    held: &'a Held,
}

impl<'a> Line<'a> {
    /// Starts what may start, and keeps what has ended, until nothing waits. Evidence is kept here,
    /// on one thread.
    fn run(
        &mut self,
        jobs: &[(Ground<'_>, About<'_>)],
        most: usize,
        keeper: &mut Keeper<'_, '_>,
    ) -> Result<(), Problem> {
        let (tell, hear) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut running = 0;
            let mut trouble = None;
            loop {
                while running < most && trouble.is_none() && !self.held.is_ending() {
                    let Some((at, gate)) = self.next() else { break };
                    let (Some(lane), Some((ground, about))) = (self.lanes.get(at), jobs.get(at))
                    else {
                        continue;
                    };
                    if let Err(problem) = keeper.begin(lane.subject, gate) {
                        trouble = Some(problem);
                        break;
                    }
                    self.progress.begins(&lane.name(gate), &gate.argv.join(" "));
                    let tell = tell.clone();
                    let taken = Builder::new().spawn_scoped(scope, move || {
                        // The hearer is there until every gate has told.
                        let _ = tell.send((at, lane, gate, job::take(ground, gate, about)));
                    });
                    if let Err(error) = taken {
                        trouble = Some(threads::none_left(&error));
                        break;
                    }
                    running += 1;
                }
                if running == 0 {
                    break;
                }
                let Ok((at, lane, gate, taken)) = hear.recv() else {
                    break;
                };
                running -= 1;
                if self.held.is_ending() {
                    continue;
                }
                match taken.and_then(|taken| keeper.gate(lane.subject, gate, taken)) {
                    Ok(ran) => {
                        self.progress.ended(&lane.name(gate), &ran);
                        self.ran.insert((at, number(gate)), ran);
                    }
                    Err(problem) => trouble = Some(problem),
                }
            }
            trouble.map_or(Ok(()), Err)
        })
    }

    /// The next gate whose needs are met; gates whose needs will never be met are skipped.
    fn next(&mut self) -> Option<(usize, &'a Gate)> {
        loop {
            let ready = self.waiting.iter().position(|(at, gate)| {
                let is_through = |id: &String| self.find(*at, id).is_some();
                gate.needs.iter().all(is_through)
            })?;
            let (at, gate) = self.waiting.remove(ready);
            let is_stopped = self.stop.is_some_and(|store| store.stop().is_present());
            let unmet = gate.needs.iter().find(|id| {
                let ran = self.find(at, id);
                !ran.is_some_and(Ran::counts_as_passed)
            });
            let skip = match unmet {
                _ if is_stopped => Ran {
                    stopped: true,
                    ..Ran::skip(gate, "STOP_PRESENT")
                },
                Some(id) => Ran::skip(gate, format!("DEPENDENCY_FAILED: {id} has not passed")),
                None => return Some((at, gate)),
            };
            self.ran.insert((at, number(gate)), skip);
        }
    }

    fn find(&self, at: usize, id: &str) -> Option<&Ran> {
        let mut ran = self.ran.range((at, 0)..=(at, u32::MAX));
        ran.find(|(_, ran)| ran.result.gate_id == id)
            .map(|(_, ran)| ran)
    }
}

impl Lane<'_> {
    fn name(&self, gate: &Gate) -> String {
        match &self.ahead {
            Some(what) => format!("{} {what}", gate.id),
            None => gate.id.clone(),
        }
    }
}
