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
use baton_core::signers::{ALLOWED, REVOKED, Signers, revokes_all};
use baton_core::store::{Ledger, Store};

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
    let then = signers_then(case, candidate)?;
    let now = match (case.session.signers(), &then) {
        // What was written into the checkout by hand proves nothing; what the base has does.
        (Err(problem), Some(_)) if problem.code == "SIGNERS_DIFFER" => None,
        (now, _) => now?,
    };
    for approval in &ledger.given {
        let (Way::Signed, Some(given)) = (approval.way, approval.given_at()) else {
            continue;
        };
        // The key was good when it signed; whether it still is matters to a landing only.
        let mut signer = Err("no file says whose key it is".to_owned());
        for signers in [&now, &then].into_iter().flatten() {
            let held = signers.verify(approval, given)?;
            signer = signer.or(held);
        }
        if let Err(why) = signer {
            let id = &approval.approval_id;
            return Ok(Found::Differs(format!(
                "the signature of {id} does not hold: {why}"
            )));
        }
    }
    if let Some(found) = missing_files(case, &ledger) {
        return Ok(found);
    }
    if ending(case).is_none() {
        let none = ledger.given.is_empty();
        return Ok(if none { Found::Nothing } else { Found::Holds });
    }
    match enough(case, candidate, now.as_ref())? {
        Found::Differs(why) if then.is_some() => {
            Ok(match enough(case, candidate, then.as_ref())? {
                Found::Holds => Found::Holds,
                _ => Found::Differs(why),
            })
        }
        found => Ok(found),
    }
}

/// The approvals that the log records in this attempt, and whose files are gone. A landing needs those that it
/// was recorded with; any other counts for nothing, and its run may have been killed before the file was written.
fn missing_files(case: &Case<'_>, ledger: &Ledger) -> Option<Found> {
    let is_there = |id: &str| {
        let mut all = ledger.given.iter().chain(&ledger.revoked);
        all.any(|one| one.approval_id == id)
    };
    let given = case.attempt().iter().filter_map(|event| {
        let gives = matches!(
            event.action,
            Action::ApprovalGranted | Action::ApprovalCarried
        );
        let id = event.meta.get("approval_id")?.as_str()?;
        gives.then_some(id)
    });
    let gone: Vec<_> = given.filter(|id| !is_there(id)).collect();
    let used = gone.iter().find(|id| ledger.used.contains(**id));
    let (id, was_used) = (used.or(gone.first())?, used.is_some());
    Some(match (was_used, ending(case)) {
        (true, Some(_)) => Found::Differs(format!("it landed with {id}, and its file is gone")),
        _ => Found::Unknown(format!("the log records {id}, and its file is gone")),
    })
}

/// Whether the approvals were enough when it landed, by these keys.
fn enough(
    case: &Case<'_>,
    candidate: &Candidate,
    signers: Option<&Signers>,
) -> Result<Found, Problem> {
    let Some(ending) = ending(case) else {
        return Ok(Found::Nothing);
    };
    let class = match ending.action {
        Action::ChangeLanded => ToolClass::Merge,
        _ => ToolClass::Pr,
    };
    let repository = case.session.repository()?;
    let (_folder, objects) = ObjectStore::temporary(repository)?;
    let ledger = case.session.store()?.whole_ledger(candidate)?;
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
        signers,
        task: case.task,
        candidate,
        now: instant(&ending.ts).unwrap_or(std::time::SystemTime::UNIX_EPOCH),
        push_to: None,
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

/// The keys as the candidate's base has them: one that was revoked or taken out later was good then.
fn signers_then(case: &Case<'_>, candidate: &Candidate) -> Result<Option<Signers>, Problem> {
    let repository = case.session.repository()?;
    let base = repository.commit(&candidate.base)?;
    let failed = |error: std::io::Error| Problem::io(SSOT, &error);
    let folder = files::temporary_folder("baton-signers-")?;
    for name in [ALLOWED, REVOKED] {
        if let Some(bytes) = repository.file_at(&base, &format!("{SSOT}/{name}"), MAX_SIGNERS)? {
            std::fs::write(folder.path().join(name), bytes).map_err(failed)?;
        }
    }
    Signers::read(folder.path())
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

/// The file that says whose keys are whose is the committed one, and what that revokes is revoked. In a bundle it came along with all the
/// rest, and the caller's own clone has what was committed in the base.
pub(super) fn signers(case: &Case<'_>, candidate: &Candidate) -> Result<Found, Problem> {
    let ledger = case.session.store()?.whole_ledger(candidate)?;
    if ledger.given.iter().all(|one| one.way != Way::Signed) {
        return Ok(Found::Nothing);
    }
    let path = format!("{SSOT}/{ALLOWED}");
    let revoked = format!("{SSOT}/{REVOKED}");
    let root = case.session.root()?;
    let used = files::read_placed(&root.join(&path), MAX_SIGNERS);
    let used = used.map_err(|error| Problem::io(&path, &error))?;
    // None is what a clone without one has too.
    let used_revoked = files::read_placed(&root.join(&revoked), MAX_SIGNERS).ok();
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
    let taken_back = repository.file_at(&commit, &revoked, MAX_SIGNERS)?;
    let is_committed = committed == Some(used);
    let revokes = revokes_all(used_revoked.as_deref(), taken_back.as_deref());
    // What let it land was signed by keys that its base has, and the candidate names its base.
    let by_base = || match signers_then(case, candidate)? {
        Some(then) => Ok(enough(case, candidate, Some(&then))? == Found::Holds),
        None => Ok::<_, Problem>(false),
    };
    Ok(if (is_committed && revokes) || by_base()? {
        Found::Holds
    } else if !is_committed {
        Found::Unknown(format!("{path} is not the one that {at} has"))
    } else {
        Found::Unknown(format!("{revoked} revokes less than the one that {at} has"))
    })
}

/// What the log says landed is the candidate, made on its base, under its task's name, and still there.
pub(super) fn landed(case: &Case<'_>, candidate: &Candidate) -> Result<Found, Problem> {
    let Some(ending) = ending(case) else {
        return unrecorded(case, candidate);
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

/// Nothing came of it as the log has it; the branch may have it all the same.
fn unrecorded(case: &Case<'_>, candidate: &Candidate) -> Result<Found, Problem> {
    let repository = match (case.trust.is_bundle, &case.trust.clone) {
        (false, _) => case.session.repository()?,
        (true, Some(clone)) => clone,
        (true, None) => return Ok(Found::Nothing),
    };
    let store = case.session.store()?;
    let landed = store.unrecorded_landing(repository, &candidate.task_id)?;
    Ok(landed.map_or(Found::Nothing, |landed| {
        let id = &candidate.task_id;
        Found::Differs(format!("{landed}: baton run {id} finishes it"))
    }))
}

/// Whether other machines land for this queue too. In a bundle the commit lies beside the log.
fn is_of_many(case: &Case<'_>) -> Result<bool, Problem> {
    Ok(!case.trust.is_bundle && Store::address(case.session.root()?)?.is_some())
}

/// The branch that it landed on has the commit in its history. What was made for review may have been merged,
/// and its branch be gone. A bundle has no branches, the caller's own clone may.
fn still_there(case: &Case<'_>, ending: &Event, commit: &Oid) -> Result<Found, Problem> {
    let branch = ending.meta.get("branch").and_then(|value| value.as_str());
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
    let has = |branch: &str| {
        let tip = repository.tip(branch)?;
        tip.map(|tip| repository.is_ancestor(commit, &tip))
            .transpose()
    };
    let was_merged = ending.action == Action::PrBranchCreated
        && has(&case.policy()?.landing.target)? == Some(true);
    Ok(match has(branch)? {
        Some(true) => Found::Holds,
        _ if was_merged => Found::Holds,
        Some(false) => Found::Differs(format!("{branch} does not have {commit} any more")),
        None => Found::Unknown(format!("there is no branch {branch} here")),
    })
}
