//! What let a change land, and what landed.

use baton_core::approval::{Way, instant};
use baton_core::audit::{Action, Event};
use baton_core::candidate::{self, Candidate};
use baton_core::envelope::ToolClass;
use baton_core::evidence::Court;
use baton_core::files;
use baton_core::git::{ObjectStore, Oid, Repository};
use baton_core::manifest::SSOT;
use baton_core::problem::Problem;
use baton_core::quorum::{Purpose, Quorum};
use baton_core::signers::ALLOWED;
use baton_core::store::Store;

use super::case::Case;
use super::points::Found;

/// The largest file of signers that is read, in bytes.
const MAX_SIGNERS: usize = 1 << 20;

/// The line that says what came of the change, if it got so far.
fn ending<'c>(case: &'c Case<'_>) -> Option<&'c Event> {
    let ends =
        |event: &&Event| matches!(event.action, Action::ChangeLanded | Action::PrBranchCreated);
    case.attempt().iter().rev().find(ends)
}

/// Every signature holds, and what a landing was recorded with was enough at that time.
pub(super) fn approvals(case: &Case<'_>, candidate: &Candidate) -> Result<Found, Problem> {
    let ledger = case.session.store()?.whole_ledger(candidate)?;
    let signers = case.session.signers()?;
    for approval in &ledger.given {
        let (Way::Signed, Some(then)) = (approval.way, approval.given_at()) else {
            continue;
        };
        // The key was good when it signed; whether it still is matters to a landing only.
        let signer = match &signers {
            Some(signers) => signers.verify(approval, then)?,
            None => Err("no file says whose key it is".to_owned()),
        };
        if let Err(why) = signer {
            let id = &approval.approval_id;
            return Ok(Found::Differs(format!(
                "the signature of {id} does not hold: {why}"
            )));
        }
    }
    let Some(ending) = ending(case) else {
        let none = ledger.given.is_empty();
        return Ok(if none { Found::Nothing } else { Found::Holds });
    };
    let class = if ending.action == Action::ChangeLanded {
        ToolClass::Merge
    } else {
        ToolClass::Pr
    };
    let repository = case.session.repository()?;
    let (_folder, objects) = ObjectStore::temporary(repository)?;
    if ledger.given.iter().any(|one| one.way == Way::Carried) {
        derive(case, candidate, repository, &objects)?;
    }
    let court = Court {
        store: case.session.store()?,
        repository,
        objects: &objects,
        policy: case.policy()?,
    };
    let quorum = Quorum {
        court: &court,
        signers: signers.as_ref(),
        task: case.task,
        candidate,
        now: instant(&ending.ts).unwrap_or(std::time::SystemTime::UNIX_EPOCH),
    };
    let answer = quorum.judge(class, Purpose::Finish)?;
    Ok(if answer.is_enough() {
        Found::Holds
    } else {
        Found::Differs(format!(
            "they were not enough when it landed: {}",
            answer.says()
        ))
    })
}

/// Makes the trees of this candidate and of those before: a carried approval came from one of them.
fn derive(
    case: &Case<'_>,
    candidate: &Candidate,
    repository: &Repository,
    objects: &ObjectStore,
) -> Result<(), Problem> {
    let limits = candidate::limits(case.policy()?);
    candidate::verify(repository, objects, candidate, &case.task.patch()?, &limits)?;
    for number in 1..=case.task.attempts()? {
        let attempt = case.task.attempt(number)?;
        if let Some(before) = attempt.candidate()? {
            // One that cannot be made any more proves nothing, which the judgement says.
            let made = candidate::verify(repository, objects, &before, &attempt.patch()?, &limits);
            drop(made);
        }
    }
    Ok(())
}

/// The file that says whose keys are whose is the committed one. In a bundle it came along with all the
/// rest, and the caller's own clone has what was committed in the base.
pub(super) fn signers(case: &Case<'_>, candidate: &Candidate) -> Result<Found, Problem> {
    let ledger = case.session.store()?.whole_ledger(candidate)?;
    if ledger.given.iter().all(|one| one.way != Way::Signed) {
        return Ok(Found::Nothing);
    }
    let path = format!("{SSOT}/{ALLOWED}");
    let used = files::read_placed(&case.session.root()?.join(&path), MAX_SIGNERS);
    let used = used.map_err(|error| Problem::io(&path, &error))?;
    let (repository, at) = match (case.trust.is_bundle, &case.trust.clone) {
        (false, _) => (case.session.repository()?, "HEAD"),
        (true, Some(clone)) => (clone, candidate.base.as_str()),
        (true, None) => {
            let why = format!("{path} came with the bundle: run it in a clone that you trust");
            return Ok(Found::Unknown(why));
        }
    };
    let commit = repository.commit(at)?;
    let committed = repository.file_at(&commit, &path, MAX_SIGNERS)?;
    Ok(if committed == Some(used) {
        Found::Holds
    } else {
        Found::Unknown(format!("{path} is not the one that {at} has"))
    })
}

/// What the log says landed is the candidate, made on its base, under its task's name, and still there.
pub(super) fn landed(case: &Case<'_>, candidate: &Candidate) -> Result<Found, Problem> {
    let Some(ending) = ending(case) else {
        return Ok(Found::Nothing);
    };
    let said = |key: &str| ending.meta.get(key).and_then(|value| value.as_str());
    let Some(commit) = said("commit") else {
        return Ok(Found::Differs("the log names no commit".to_owned()));
    };
    let repository = case.session.repository()?;
    let commit = match repository.commit(Oid::parse(commit)?.as_str()) {
        Err(problem) if problem.code == "BASE_MISSING" && is_of_many(case)? => {
            let why =
                format!("{commit} is not here: another machine landed it; git fetch, and again");
            return Ok(Found::Unknown(why));
        }
        commit => commit?,
    };
    let tree = repository.tree_of(&commit)?;
    if tree.as_str() != candidate.tree {
        let expected = &candidate.tree;
        return Ok(Found::Differs(format!(
            "{commit} has tree {tree}, approved was {expected}"
        )));
    }
    let message = repository.message(&commit)?;
    for line in [
        format!("Baton-Task: {}", candidate.task_id),
        format!("Baton-Patch-Sha256: {}", candidate.patch_sha256),
    ] {
        if !message.lines().any(|own| own == line) {
            return Ok(Found::Differs(format!("{commit} does not say {line}")));
        }
    }
    let parent = repository.parents(&commit)?;
    if parent != [candidate.base.clone()] {
        let (got, base) = (parent.join(" "), &candidate.base);
        return Ok(Found::Differs(format!(
            "{commit} stands on {got}, expected {base}"
        )));
    }
    still_there(case, ending, &commit)
}

/// Whether other machines land for this queue too. In a bundle the commit lies beside the log.
fn is_of_many(case: &Case<'_>) -> Result<bool, Problem> {
    Ok(!case.trust.is_bundle && Store::address(case.session.root()?)?.is_some())
}

/// The target has the commit in its history. A bundle has no branches, the caller's own clone may.
fn still_there(case: &Case<'_>, ending: &Event, commit: &Oid) -> Result<Found, Problem> {
    let branch = ending.meta.get("branch").and_then(|value| value.as_str());
    let branch = branch.filter(|_| ending.action == Action::ChangeLanded);
    let Some(branch) = branch else {
        return Ok(Found::Holds);
    };
    let repository = match (case.trust.is_bundle, &case.trust.clone) {
        (false, _) => case.session.repository()?,
        (true, Some(clone)) => clone,
        (true, None) => {
            let why = format!("that {branch} has {commit} is for a clone to say: run it in one");
            return Ok(Found::Unknown(why));
        }
    };
    let tip = repository.tip(branch)?;
    let has = tip
        .map(|tip| repository.is_ancestor(commit, &tip))
        .transpose()?;
    Ok(match has {
        Some(true) => Found::Holds,
        Some(false) => Found::Differs(format!("{branch} does not have {commit} any more")),
        None => Found::Unknown(format!("there is no branch {branch} here")),
    })
}
