//! Gating ahead: the trees that approved changes would make if they landed one after the other.
//!
//! Nothing is decided here. What such a run leaves are results as [`crate::cache`] keeps them, got by
//! the same job behind the same walls. A landing has its own scan, gates and decision all the same; its
//! commands find their results at hand, if what lands is what was guessed.

use baton_core::audit::{Action, Draft};
use baton_core::envelope::ToolClass;
use baton_core::problem::Problem;
use baton_core::session::{Session, stop_problem};
use baton_core::store::Stop;
use baton_risk::RuleBook;
use serde_json::{Map, Value};

use crate::builtin::{self, LAST};
use crate::cache::Cache;
use crate::schedule::{self, Lane, Results};
pub use crate::subject::Step;
use crate::subject::Subject;
use crate::{Ran, SKILL, ran};

/// Changes one on top of the other, each of which the built-in gates let pass.
pub struct Chain<'s> {
    session: &'s Session,
    book: RuleBook<'s>,
    subjects: Vec<Subject>,
}

/// A change that the built-in gates do not let pass: none of its code is run ahead.
pub struct Unfit {
    /// Its place among the steps, from 0.
    pub at: usize,
    /// Which gate, and what it found.
    pub why: String,
}

/// What the commands said of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The required gates that have not passed.
    pub failed: Vec<String>,
    /// A command was run; otherwise all that was asked for was at hand.
    pub ran: bool,
}

/// Which gates are run on a tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Those that the change on top concerns: what its landing asks for.
    Own,
    /// Those that any change so far concerns.
    All,
}

impl<'s> Chain<'s> {
    /// Makes the trees again from their patches, as a landing does, and runs the built-in gates.
    ///
    /// # Errors
    /// `STOP_PRESENT`, `APPROVAL_REQUIRED` where the actor has no EXEC, `CHAIN_BROKEN` when a step does not stand on
    /// the one before, and whatever keeps a patch from being read or scanned.
    pub fn open(session: &'s Session, steps: &[Step]) -> Result<Result<Self, Unfit>, Problem> {
        session.check_stop()?;
        session.authorize(&[ToolClass::Exec])?;
        let book = RuleBook::of_session(session)?;
        let mut subjects: Vec<Subject> = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let subject = Subject::ahead(session, step)?;
            let stands = subjects.last().map(|last| &last.tree);
            if stands.is_some_and(|tree| *tree != subject.base_tree) {
                return Err(Problem::fail(
                    "CHAIN_BROKEN",
                    format!(
                        "the change of {} does not stand on the one before",
                        step.task
                    ),
                ));
            }
            if let Some(why) = objection(session, &subject, &book)? {
                return Ok(Err(Unfit { at, why }));
            }
            subjects.push(subject);
        }
        Ok(Ok(Self {
            session,
            book,
            subjects,
        }))
    }

    /// Runs commands on these trees, side by side: 0 is the target as it is, 1 the tree with the first
    /// change, and so on. `without` are gates that are left out. Results are kept, and the log vouches
    /// for them.
    ///
    /// # Errors
    /// `STOP_PRESENT`, and whatever breaks on our side.
    pub fn gate(
        &self,
        trees: &[usize],
        width: Width,
        without: &[String],
    ) -> Result<Vec<Verdict>, Problem> {
        self.session.check_stop()?;
        let cache = Cache::open(self.session)?;
        let lanes = trees
            .iter()
            .map(|tree| self.lane(*tree))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut waiting, mut ran) = (Vec::new(), Results::new());
        for (lane, tree) in trees.iter().enumerate() {
            let changed = self.changed(*tree, width);
            for gate in &self.session.policy()?.gates {
                if !gate.is_command() || without.contains(&gate.id) {
                    continue;
                }
                match schedule::not_for(gate, &changed)? {
                    Some(skip) => drop(ran.insert((lane, ran::number(gate)), skip)),
                    None => waiting.push((lane, gate)),
                }
            }
        }
        for lane in &lanes {
            self.record(Action::AheadStarted, lane, Map::new())?;
        }
        let ran =
            schedule::side_by_side(self.session, &lanes, (waiting, ran), (&self.book, &cache))?;
        if ran.values().any(|ran| ran.stopped) {
            return Err(self.stopped());
        }
        let lanes = lanes.iter().enumerate();
        lanes
            .map(|(at, lane)| {
                self.verdict(lane, ran.range((at, 0)..=(at, u32::MAX)).map(|it| it.1))
            })
            .collect()
    }

    fn lane(&self, tree: usize) -> Result<Lane<'_>, Problem> {
        let there_is_none = || {
            Problem::fail(
                "CHAIN_BROKEN",
                format!("the chain has no tree {tree}, only {}", self.subjects.len()),
            )
        };
        let top = self.subjects.get(tree.saturating_sub(1));
        let subject = top.ok_or_else(there_is_none)?;
        let (tree, what) = match tree {
            0 => (&subject.base_tree, "ahead, on the target".to_owned()),
            _ => (
                &subject.tree,
                format!("ahead, up to {}", subject.results_of().unwrap_or_default()),
            ),
        };
        Ok(Lane {
            subject,
            tree,
            ahead: Some(what),
        })
    }

    fn changed(&self, tree: usize, width: Width) -> Vec<Vec<u8>> {
        let so_far = match (tree, width) {
            (0, _) => self.subjects.as_slice(),
            (_, Width::All) => self.subjects.get(..tree).unwrap_or_default(),
            (_, Width::Own) => self.subjects.get(tree - 1..tree).unwrap_or_default(),
        };
        so_far
            .iter()
            .flat_map(|subject| subject.changed.clone())
            .collect()
    }

    fn verdict<'r>(
        &self,
        lane: &Lane<'_>,
        ran: impl Iterator<Item = &'r Ran>,
    ) -> Result<Verdict, Problem> {
        let policy = self.session.policy()?;
        let (mut results, mut failed, mut is_run) = (Map::new(), Vec::new(), false);
        for ran in ran {
            results.extend(ran.results.clone());
            is_run |= ran.isolation.is_some() && !ran.is_used_again();
            let id = &ran.result.gate_id;
            let is_required = policy
                .gates
                .iter()
                .any(|gate| gate.id == *id && gate.required);
            if is_required && !ran.counts_as_passed() {
                failed.push(id.clone());
            }
        }
        let mut meta: Map<String, Value> = Cache::meta(results).into_iter().collect();
        meta.insert("failed".to_owned(), failed.clone().into());
        self.record(Action::AheadFinished, lane, meta)?;
        Ok(Verdict {
            failed,
            ran: is_run,
        })
    }

    /// Names the tree in the log. It is no state of any task, so the line is about none.
    fn record(
        &self,
        action: Action,
        lane: &Lane<'_>,
        meta: Map<String, Value>,
    ) -> Result<(), Problem> {
        let subject = lane.subject;
        let mut draft = Draft::new(self.session.actor, action, SKILL.envelope)?
            .meta("tree", lane.tree.as_str())
            .meta("base_tree", subject.base_tree.as_str())
            .meta("change_of", subject.results_of().unwrap_or_default());
        draft.meta.extend(meta);
        draft.repo_ref = subject.base.to_string();
        draft.inputs_sha256.clone_from(&subject.patch_sha256);
        self.session.store()?.log()?.append(draft).map(drop)
    }

    fn stopped(&self) -> Problem {
        match self.session.store().map(|store| store.stop()) {
            Ok(Stop::Present(why)) => stop_problem(&why),
            Ok(Stop::Absent) => stop_problem("it appeared while a gate ran"),
            Err(problem) => problem,
        }
    }
}

/// What the built-in gates have against a change.
fn objection(
    session: &Session,
    subject: &Subject,
    book: &RuleBook<'_>,
) -> Result<Option<String>, Problem> {
    let scan = subject.scan(session, book)?;
    let gates = session.policy()?.gates.iter();
    // The last one is about evidence, and there is none yet.
    for gate in gates.filter(|gate| !gate.is_command() && gate.id != LAST) {
        let ran = builtin::run(session, subject, gate, (book, &scan), &[])?;
        if !ran.counts_as_passed() {
            let note = ran.result.note.unwrap_or_default();
            return Ok(Some(format!("{}: {note}", gate.id)));
        }
    }
    Ok(None)
}
