//! Gating ahead of `baton run --all`: the trees that landing one change after the other would make are
//! gated before, several at one time. A landing finds its results at hand, and checks all else itself.

use baton_core::candidate::Candidate;
use baton_core::envelope::Decision;
use baton_core::evidence::Court;
use baton_core::git::{Merged, Oid, PersonIdent};
use baton_core::policy::Isolation;
use baton_core::problem::{Kind, Problem};
use baton_core::session::Session;
use baton_core::task::Scope;
use baton_core::terminal;
use gate_runner::ahead::{Chain, Step, Verdict, Width};
use serde::Serialize;

use super::run::Arguments;
use super::{Shared, all};

/// So many changes are looked at: what lands after more than these is seldom what was guessed, and one
/// change is left out at most so often.
const MOST: usize = 32;

/// What came of it.
#[derive(Default, Serialize)]
pub(super) struct Ahead {
    /// The changes of the last chain, in the order in which they would land.
    chain: Vec<String>,
    /// Changes that were left out of it, because a gate did not pass with them.
    left_out: Vec<String>,
    /// The trees on which commands were run.
    trees_gated: usize,
}

/// An approved change that waits.
struct Waiting {
    id: String,
    candidate: Candidate,
    scope: Scope,
    /// It names a base of its own, and so is not made anew on another one.
    is_fixed: bool,
}

/// Gates ahead what would land of these tasks, if there are several. It is no reason for not landing
/// them when that cannot be done.
///
/// # Errors
/// `STOP_PRESENT`.
pub(super) fn gate(
    shared: &Shared,
    arguments: &Arguments,
    ids: &[String],
) -> Result<Option<Ahead>, Problem> {
    let told = waiting(shared, ids).and_then(|waiting| {
        if waiting.len() < 2 {
            return Ok(None);
        }
        let session = shared.session(None)?;
        match why_not(&session, arguments)? {
            Some(why) => Err(Problem::fail("NOT_AHEAD", why)),
            None => rounds(&session, waiting).map(Some),
        }
    });
    match told {
        Err(problem) if problem.kind != Kind::ZeroStop => {
            terminal::say(&format!("nothing is gated ahead: {}", problem.message));
            Ok(None)
        }
        told => told,
    }
}

/// What makes guessing useless.
fn why_not(session: &Session, arguments: &Arguments) -> Result<Option<&'static str>, Problem> {
    let policy = session.policy()?;
    Ok(if arguments.no_cache {
        Some("with --no-cache no result is used again")
    } else if arguments.shadow {
        Some("with --shadow every change goes to a person")
    } else if policy.isolation.minimum != Isolation::I3 {
        Some(
            "the policy is content with less than I3, and only results from behind I3 are used again",
        )
    } else if !policy.landing.carry_approvals || policy.landing.max_rebases == 0 {
        Some("by the policy no approval is carried over, so nothing lands on top of another change")
    } else {
        None
    })
}

/// Those of the tasks that would land, as far as can be told.
fn waiting(shared: &Shared, ids: &[String]) -> Result<Vec<Waiting>, Problem> {
    let mut waiting = Vec::new();
    for id in ids {
        let session = shared.session(Some(id))?;
        let task = session.task()?;
        let lands = task.recorded_decision()? == Some(Decision::AutoMerge);
        let Some(candidate) = task.candidate()? else {
            continue;
        };
        let is_known = candidate.policy_sha256 == session.policy()?.sha256;
        let is_denied = session.store()?.denial_of(&candidate)?.is_some();
        if !lands || !is_known || is_denied || !all::is_approved(&session)? {
            continue;
        }
        let about = session.store()?.asked(task)?;
        let target = &session.policy()?.landing.target;
        waiting.push(Waiting {
            id: id.clone(),
            candidate,
            scope: about.scope,
            is_fixed: about.base.is_some_and(|base| base != *target),
        });
        if waiting.len() == MOST {
            break;
        }
    }
    Ok(waiting)
}

/// Gates the chain; leaves out the first change with which it does not pass, and begins again without.
fn rounds(session: &Session, mut waiting: Vec<Waiting>) -> Result<Ahead, Problem> {
    let mut told = Ahead::default();
    // Gates that do not pass on the target either: they are held against no change.
    let mut broken = Vec::new();
    loop {
        let steps = steps(session, &waiting)?;
        told.chain = steps.iter().map(|step| step.task.clone()).collect();
        if steps.len() < 2 {
            break;
        }
        let (at, why) = match Chain::open(session, &steps)? {
            Err(unfit) => (unfit.at, unfit.why),
            Ok(chain) => match first_bad(&chain, steps.len(), &mut broken, &mut told)? {
                Some(found) => found,
                None => break,
            },
        };
        let Some(step) = steps.get(at) else { break };
        terminal::say(&format!(
            "ahead: {} is left out, it does not pass on top of those before it: {why}",
            step.task
        ));
        waiting.retain(|one| one.id != step.task);
        told.left_out.push(step.task.clone());
    }
    if told.trees_gated > 0 {
        terminal::say(&format!(
            "ahead: {} trees gated for {}",
            told.trees_gated,
            told.chain.join(", ")
        ));
    }
    Ok(told)
}

/// The trees that landing these would make, each on the one before. What conflicts, or would have to be
/// approved anew, lands some other time and is not among them.
fn steps(session: &Session, waiting: &[Waiting]) -> Result<Vec<Step>, Problem> {
    let (store, repository) = (session.store()?, session.repository()?);
    let objects = store.objects(repository)?;
    let court = Court {
        store,
        repository,
        objects: &objects,
        policy: session.policy()?,
    };
    let mut onto = repository.commit(&court.policy.landing.target)?;
    let mut onto_tree = objects.tree_of(&onto)?;
    let mut steps = Vec::new();
    for one in waiting {
        let base = repository.commit(&one.candidate.base)?;
        let tree = Oid::parse(&one.candidate.tree)?;
        if one.is_fixed && base != onto {
            continue;
        }
        let Merged::Clean(new) = objects.transplant(&base, &tree, &onto)? else {
            continue;
        };
        let old = objects.tree_of(&base)?;
        if base != onto
            && court
                .why_not_the_same((&old, &tree), (&onto_tree, &new))?
                .is_some()
        {
            continue;
        }
        steps.push(Step {
            task: one.id.clone(),
            patch: objects.patch_between(&onto_tree, &new)?,
            scope: one.scope.clone(),
            base: onto.clone(),
        });
        let us = PersonIdent::baton();
        onto = objects.commit(&new, &onto, &us, &us, "what would have landed\n")?;
        onto_tree = new;
    }
    Ok(steps)
}

/// The first change with which the chain does not pass, and the gates that say so. Its last tree comes
/// first: when that fails, halving finds the change.
fn first_bad(
    chain: &Chain<'_>,
    count: usize,
    broken: &mut Vec<String>,
    told: &mut Ahead,
) -> Result<Option<(usize, String)>, Problem> {
    let mut gate = |trees: &[usize], width, without: &[String]| {
        let verdicts = chain.gate(trees, width, without)?;
        told.trees_gated += verdicts.iter().filter(|verdict| verdict.ran).count();
        Ok::<_, Problem>(verdicts)
    };
    let failed =
        |verdicts: &[Verdict]| verdicts.iter().flat_map(|one| one.failed.clone()).collect();
    let mut last: Vec<String> = failed(&gate(&[count], Width::All, broken)?);
    if !last.is_empty() {
        let on_target: Vec<String> = failed(&gate(&[0], Width::All, broken)?);
        last.retain(|id| !on_target.contains(id));
        broken.extend(on_target);
    }
    if !last.is_empty() {
        let (mut good, mut bad) = (0, count);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let now: Vec<String> = failed(&gate(&[middle], Width::All, broken)?);
            if now.is_empty() {
                good = middle;
            } else {
                (bad, last) = (middle, now);
            }
        }
        return Ok(Some((good, last.join(", "))));
    }
    // Each of the others is what will land, too. They differ in files that no other touches.
    let others: Vec<usize> = (1..count).collect();
    let verdicts = gate(&others, Width::Own, broken)?;
    let bad = verdicts.iter().position(|one| !one.failed.is_empty());
    Ok(bad.and_then(|at| Some((at, verdicts.get(at)?.failed.join(", ")))))
}
