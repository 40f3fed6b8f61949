//! Which gate runs when, and why one does not.
//!
//! First the built-in ones, whose verdict the change cannot write. Then the commands, side by side
//! where they do not need each other. Last G6, which looks at what the others left.

use std::collections::BTreeMap;
use std::sync::mpsc;

use baton_core::outputs::CheckStatus;
use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Store;
use baton_risk::{RiskReport, RuleBook};
use baton_sandbox::Sandbox;

use crate::attempt::Ground;
use crate::cache::Cache;
use crate::job::{self, About, Taken};
use crate::progress::Progress;
use crate::subject::Subject;
use crate::{Ran, builtin, keep};

/// The gate that looks at what the others left.
pub(crate) const LAST: &str = "G6";

/// Runs the gates, and gives their results in the order of their numbers, and what the scan found.
pub(crate) fn run(
    session: &Session,
    subject: &Subject,
    only: &[String],
    cache: &Cache,
) -> Result<(Vec<Ran>, RiskReport), Problem> {
    let mut gates: Vec<&Gate> = session.policy()?.gates.iter().collect();
    gates.sort_by_key(|gate| number(gate));
    let book = RuleBook::of_session(session)?;
    let scan = subject.scan(session, &book)?;
    let mut done: Vec<Ran> = Vec::with_capacity(gates.len());
    let (commands, own): (Vec<&Gate>, Vec<&Gate>) =
        gates.into_iter().partition(|gate| gate.is_command());
    let (last, first): (Vec<&Gate>, Vec<&Gate>) = own.into_iter().partition(|gate| gate.id == LAST);
    for gate in first {
        let ran = match skipped(session, gate, only, &done)? {
            Some(ran) => ran,
            None => builtin::run(session, subject, gate, (&book, &scan), (&done, cache))?,
        };
        done.push(ran);
    }
    let ran = commands_run(session, subject, &book, (commands, only), (cache, &done))?;
    done.extend(ran);
    for gate in last {
        let ran = match skipped(session, gate, only, &done)? {
            Some(ran) => ran,
            None => builtin::run(session, subject, gate, (&book, &scan), (&done, cache))?,
        };
        done.push(ran);
    }
    done.sort_by_key(|ran| ran.number);
    Ok((done, scan))
}

/// Gates are told apart by their numbers: G10 comes after G9.
pub(crate) fn number(gate: &Gate) -> u32 {
    let digits = gate.id.trim_start_matches('G');
    digits.parse().unwrap_or(u32::MAX)
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
    let invalid = |why| Problem::fail("POLICY_INVALID", format!("gates.paths: {why}"));
    if done
        .iter()
        .any(|ran| ran.result.status == CheckStatus::Fail)
    {
        let why = "DEPENDENCY_FAILED: a gate before it failed, so code of the change is not run";
        return Ok(Some(Ran::skip(gate, why)));
    }
    if gate.argv.is_empty() {
        let why = "NOT_CONFIGURED: the policy names no command for it";
        return Ok(Some(Ran::skip(gate, why)));
    }
    if !gate.applies(&subject.changed).map_err(invalid)? {
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
    let mut ran: BTreeMap<u32, Ran> = BTreeMap::new();
    let mut waiting: Vec<&Gate> = Vec::new();
    for gate in commands {
        let skip = match skipped(session, gate, only, done)? {
            None => skipped_command(gate, subject, done)?,
            skip => skip,
        };
        match skip {
            Some(skip) => drop(ran.insert(number(gate), skip)),
            None => waiting.push(gate),
        }
    }
    if waiting.is_empty() {
        return Ok(ran.into_values().collect());
    }
    let policy = session.policy()?;
    let store = session.store_if_any()?;
    let progress = Progress::new(session.is_watched());
    let is_stopped = || {
        progress.tick();
        store.is_some_and(|store| store.stop().is_present())
    };
    let ground = Ground {
        policy,
        objects: &subject.objects,
        root: session.root()?,
        base_tree: &subject.base_tree,
        sandbox: Sandbox::this_program()
            .map_err(|refused| Problem::fail(refused.code, refused.message).hint(refused.fix))?,
        is_stopped: &is_stopped,
    };
    let about = About {
        tree: &subject.tree,
        changed: &subject.changed,
        cache,
        is_kept: subject.task.is_some(),
    };
    let most = usize::try_from(policy.caps.gates_at_once).unwrap_or(1);
    let mut line = Line {
        waiting,
        ran,
        progress: &progress,
        stop: store,
    };
    line.run((&ground, &about), most, &mut |gate, taken| {
        keep::gate(session, subject, gate, taken, (book, cache))
    })?;
    Ok(line.ran.into_values().collect())
}

/// The gates that wait, and those that are through.
struct Line<'a> {
    waiting: Vec<&'a Gate>,
    ran: BTreeMap<u32, Ran>,
    progress: &'a Progress,
    stop: Option<&'a Store>,
}

impl<'a> Line<'a> {
    /// Starts what may start, and keeps what has ended, until nothing waits. Evidence is kept here,
    /// on one thread.
    fn run(
        &mut self,
        (ground, about): (&Ground<'_>, &About<'_>),
        most: usize,
        keep: &mut dyn FnMut(&Gate, Taken) -> Result<Ran, Problem>,
    ) -> Result<(), Problem> {
        let (tell, hear) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut running = 0;
            let mut trouble = None;
            loop {
                while running < most && trouble.is_none() {
                    let Some(gate) = self.next() else { break };
                    running += 1;
                    self.progress.begins(&gate.id, &gate.argv.join(" "));
                    let tell = tell.clone();
                    scope.spawn(move || {
                        // The hearer is there until every gate has told.
                        let _ = tell.send((gate, job::take(ground, gate, about)));
                    });
                }
                if running == 0 {
                    break;
                }
                let Ok((gate, taken)) = hear.recv() else {
                    break;
                };
                running -= 1;
                match taken.and_then(|taken| keep(gate, taken)) {
                    Ok(ran) => {
                        self.progress.ended(&gate.id, &ran);
                        self.ran.insert(number(gate), ran);
                    }
                    Err(problem) => trouble = Some(problem),
                }
            }
            trouble.map_or(Ok(()), Err)
        })
    }

    /// The next gate whose needs are met; gates whose needs will never be met are skipped.
    fn next(&mut self) -> Option<&'a Gate> {
        loop {
            let ready = self.waiting.iter().position(|gate| {
                let is_through = |id: &String| self.find(id).is_some();
                gate.needs.iter().all(is_through)
            })?;
            let gate = self.waiting.remove(ready);
            let is_stopped = self.stop.is_some_and(|store| store.stop().is_present());
            let unmet = gate.needs.iter().find(|id| {
                let ran = self.find(id);
                ran.is_none_or(|ran| ran.result.status != CheckStatus::Pass)
            });
            let skip = match unmet {
                _ if is_stopped => Ran {
                    stopped: true,
                    ..Ran::skip(gate, "STOP_PRESENT")
                },
                Some(id) => Ran::skip(gate, format!("DEPENDENCY_FAILED: {id} has not passed")),
                None => return Some(gate),
            };
            self.ran.insert(number(gate), skip);
        }
    }

    fn find(&self, id: &str) -> Option<&Ran> {
        self.ran.values().find(|ran| ran.result.gate_id == id)
    }
}
