//! One owner for one task: claim, renew, release.

use std::time::Duration;

use baton_core::audit::Action;
use baton_core::clock::{self, Moment};
use baton_core::driver::{Refused, Skill, Upstream, plan_finding};
use baton_core::envelope::{
    Artifact, ArtifactKind, Finding, QUEUE_ROOT, Severity, Status, ToolClass,
};
use baton_core::lease::{self, Holder, Lease};
use baton_core::outcome::Outcome;
use baton_core::outputs::{ClaimLock, ClaimResult, to_map};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::{Claim, Conflict, TaskFolder};
use baton_core::{digest, environment, masking};
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde_json::{Map, Value};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "claim-lock",
    envelope: "claim-lock",
    about: "Claim a task for one owner, renew the lease, or give the task back",
    examples: [
        "claim-lock --next --lease 30m",
        "claim-lock --task T-1 --renew --owner me@host",
    ],
    classes: &[ToolClass::Move],
    action: Action::TaskClaimed,
    upstream: Upstream::PassOn,
    acts_under_stop: false,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |matches| matches.get_flag("next"),
    run,
    refused,
};

#[derive(clap::Args)]
struct Arguments {
    /// Claim the next task: P0 before P1 before P2, then by due time, the oldest first
    #[arg(long, conflicts_with_all = ["renew", "release", "task"])]
    next: bool,
    /// Claim the task only when no task that somebody holds may change one of its files; with --next, the
    /// first task of which that is so
    #[arg(long, conflicts_with_all = ["renew", "release"])]
    apart: bool,
    /// Claim under this name (default: BATON_OWNER, else account@host)
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Hold the task this long, such as 15m, at most 24h (default: the policy's lease_seconds)
    #[arg(long, value_name = "DUR", value_parser = lease_length)]
    lease: Option<Duration>,
    /// Extend the lease of a task that this owner holds
    #[arg(long, conflicts_with = "release")]
    renew: bool,
    /// Give a claimed task back to the inbox
    #[arg(long)]
    release: bool,
}

/// No lease is longer than the longest that a policy can give: who needs longer renews it.
fn lease_length(text: &str) -> Result<Duration, String> {
    let length = clock::parse_duration(text)?;
    if length <= lease::LONGEST {
        return Ok(length);
    }
    let most = lease::LONGEST.as_secs() / 3600;
    Err(format!(
        "got \"{text}\", expected at most {most}h; extend it in time with --renew"
    ))
}

fn refused(refused: &Refused<'_>) -> Map<String, Value> {
    let result = match refused.problem.code.as_str() {
        "NOT_OWNER" | "LEASE_LOST" | "LOCK_BROKEN" => ClaimResult::LockConflict,
        _ if refused.problem.status() == Status::Deny => ClaimResult::Denied,
        _ => ClaimResult::NotFound,
    };
    to_map(&ClaimLock {
        result,
        lock_path: refused.path(State::Inbox, ".lock"),
        conflict_owner_hint: None,
    })
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    session.authorize(&[ToolClass::Move])?;
    let owner = arguments
        .owner
        .clone()
        .unwrap_or_else(environment::default_owner);
    if owner.is_empty() || owner.len() > 200 || owner.chars().any(char::is_control) {
        return Err(Problem::usage(
            "an owner's name has 1 to 200 characters and no control characters",
        ));
    }
    // Who renews or releases is known by this name, so that it cannot be masked.
    masking::refuse("the owner's name", &owner)?;
    let length = arguments
        .lease
        .unwrap_or(Duration::from_secs(session.policy()?.caps.lease_seconds));
    if arguments.renew {
        return renew(session, &owner, length);
    }
    if arguments.release {
        return release(session, &owner);
    }
    if session.is_plan() {
        return plan(session, &arguments);
    }
    claim(session, &arguments, &owner, length)
}

fn claim(
    session: &Session,
    arguments: &Arguments,
    owner: &str,
    length: Duration,
) -> Result<Outcome, Problem> {
    let store = session.store()?;
    let now = Moment::now();
    let holder = Holder {
        name: owner,
        of_process: session.has_caller(),
    };
    if arguments.apart || !arguments.next {
        store.take_in_loose_files(session.actor)?;
    }
    let apart = |(claim, picking)| {
        session.keep_picking(picking);
        claim
    };
    let attempt = match (arguments.next, arguments.apart) {
        (true, true) => store.lock_next_apart(holder, length, now)?.map(apart),
        (true, false) => store.lock_next(holder, length, now, session.actor)?,
        (false, true) => {
            let id = session.task_id()?;
            store.lock_apart(&id, holder, length, now)?.map(apart)
        }
        (false, false) => store.lock(&session.task_id()?, holder, length, now)?,
    };
    match attempt {
        Ok(claim) => claimed(session, claim),
        Err(conflict) => Ok(not_claimed(session, &conflict, arguments.next)),
    }
}

fn claimed(session: &Session, claim: Claim) -> Result<Outcome, Problem> {
    let Claim { task, lease } = claim;
    let fresh = task.state() == State::Inbox;
    let state = if fresh { State::Claimed } else { task.state() };
    let lock_path = format!("{QUEUE_ROOT}/{}/{}/.lock", state.name(), task.id());
    let summary = format!(
        "{} holds {} until {}",
        lease.owner,
        task.id(),
        lease.lease_until
    );
    let inputs = digest::sha256(&task.task_bytes()?);
    session.set_task(task, Some(lease.fence))?;
    let data = ClaimLock {
        result: ClaimResult::Claimed,
        lock_path: lock_path.clone(),
        conflict_owner_hint: None,
    };
    let mut outcome = Outcome::ok(summary, &data)
        .artifacts([lock_artifact(&lock_path, &lease)])
        .meta("owner", lease.owner.clone())
        .meta("fence", lease.fence)
        .meta("lease_until", lease.lease_until);
    outcome.inputs_sha256 = Some(inputs);
    if fresh {
        outcome.transition = Some(State::Claimed);
    } else {
        outcome = outcome.findings([Finding::new(
            Severity::Low,
            "LEASE_TAKEN_OVER",
            "the lease of the last holder was over; this claim has a higher fencing number",
        )]);
    }
    Ok(outcome)
}

fn lock_artifact(path: &str, lease: &Lease) -> Artifact {
    let sha256 = digest::sha256(&lease.to_bytes());
    Artifact::new(
        ArtifactKind::LockFile,
        path,
        format!("sha256={sha256} fence={}", lease.fence),
    )
}

fn not_claimed(session: &Session, conflict: &Conflict, next: bool) -> Outcome {
    let id = session
        .task_id()
        .map_or_else(|_| "NA".to_owned(), |id| id.to_string());
    match conflict {
        Conflict::Held {
            owner,
            until,
            lock_path,
        } => held(&id, (owner, until), lock_path),
        Conflict::Overlaps { with } => in_the_way((!next).then_some(&id), with.as_str()),
        Conflict::NotFound if next => {
            let message = "no task waits in the inbox".to_owned();
            not_found(&id, message, "baton submit makes one")
        }
        Conflict::NotFound => {
            let message = format!("there is no task {id} to claim");
            not_found(&id, message, "baton status lists the tasks")
        }
    }
}

fn held(id: &str, (owner, until): (&str, &str), lock_path: &str) -> Outcome {
    let data = ClaimLock {
        result: ClaimResult::LockConflict,
        lock_path: lock_path.to_owned(),
        conflict_owner_hint: Some(owner.to_owned()),
    };
    let message = format!("task {id} is held by {owner} until {until}");
    let finding = Finding::new(
        Severity::Medium,
        "LOCK_CONFLICT",
        format!("{message}; recovery R1, no retry"),
    );
    Outcome::new(Status::Fail, message, &data)
        .findings([finding])
        .action(Action::Error)
        .hint(format!(
            "wait until {until}, or ask {owner} for: claim-lock --task {id} --release"
        ))
}

fn not_found(id: &str, message: String, hint: &str) -> Outcome {
    let data = ClaimLock {
        result: ClaimResult::NotFound,
        lock_path: format!("{QUEUE_ROOT}/inbox/{id}/.lock"),
        conflict_owner_hint: None,
    };
    let finding = Finding::new(Severity::Low, "TASK_NOT_FOUND", message.clone());
    Outcome::new(Status::Fail, message, &data)
        .findings([finding])
        .action(Action::Error)
        .hint(hint)
}

/// Another task that is held may change what this one, or each one that waits, may change.
fn in_the_way(id: Option<&str>, other: &str) -> Outcome {
    let data = ClaimLock {
        result: ClaimResult::LockConflict,
        lock_path: format!("{QUEUE_ROOT}/inbox/{}/.lock", id.unwrap_or("NA")),
        conflict_owner_hint: None,
    };
    let message = match id {
        Some(id) => {
            format!("task {id} may change what {other} may change, and {other} is held")
        }
        None => {
            format!("no task waits that lies apart from {other} and from all others that are held")
        }
    };
    let finding = Finding::new(Severity::Low, "LOCK_CONFLICT", message.clone());
    Outcome::new(Status::Fail, message, &data)
        .findings([finding])
        .action(Action::Error)
        .hint(format!("wait for {other}: baton status"))
}

fn renew(session: &Session, owner: &str, length: Duration) -> Result<Outcome, Problem> {
    let task = session.task()?;
    let now = Moment::now();
    let lease = if session.is_plan() {
        session.store()?.may_release(task, owner)?
    } else {
        session.store()?.renew(task, owner, length, now)?
    };
    let lock_path = task.path(".lock");
    let data = ClaimLock {
        result: ClaimResult::Claimed,
        lock_path: lock_path.clone(),
        conflict_owner_hint: None,
    };
    let said = format!("{owner} holds {} until {}", task.id(), lease.lease_until);
    let plan = session
        .is_plan()
        .then(|| plan_finding("the lease would begin anew"));
    Ok(Outcome::ok(said, &data)
        .artifacts([lock_artifact(&lock_path, &lease)])
        .findings(plan)
        .action(Action::LeaseRenewed)
        .meta("lease_until", lease.lease_until))
}

/// Gives a task back. Drafts stay with it, so the next owner goes on from them.
fn release(session: &Session, owner: &str) -> Result<Outcome, Problem> {
    let task: &TaskFolder = session.task()?;
    let lease = session.store()?.may_release(task, owner)?;
    if !task.state().may_move_to(State::Inbox) {
        return Err(Problem::fail(
            "STATE_RULE",
            format!(
                "task {} is in {} and cannot be given back",
                task.id(),
                task.state()
            ),
        ));
    }
    let lock_path = format!("{QUEUE_ROOT}/inbox/{}/.lock", task.id());
    let data = ClaimLock {
        result: ClaimResult::Claimed,
        lock_path,
        conflict_owner_hint: None,
    };
    if session.is_plan() {
        let said = format!("{owner} would give {} back", task.id());
        let what = "the lock would come off, and the task move to the inbox";
        return Ok(Outcome::ok(said, &data).findings([plan_finding(what)]));
    }
    let mut outcome = Outcome::ok(format!("{owner} gave {} back", task.id()), &data)
        .action(Action::LeaseReleased)
        .transition(State::Inbox)
        .meta("fence", lease.fence);
    outcome.unlock = true;
    Ok(outcome)
}

fn plan(session: &Session, arguments: &Arguments) -> Result<Outcome, Problem> {
    if let Some(conflict) = in_the_way_of(session, arguments)? {
        return Ok(not_claimed(session, &conflict, arguments.next));
    }
    let id = match arguments.next {
        true => None,
        false => Some(session.task_id()?),
    };
    let named = |none: &str| id.as_ref().map_or(none.to_owned(), ToString::to_string);
    let data = ClaimLock {
        result: ClaimResult::NotFound,
        lock_path: format!("{QUEUE_ROOT}/inbox/{}/.lock", named("NA")),
        conflict_owner_hint: None,
    };
    let said = format!("would claim {}", named("the next task"));
    Ok(
        Outcome::ok(said, &data)
            .findings([plan_finding("it would be locked and moved to claimed")]),
    )
}

/// What would keep a claim from being made now, as far as looking tells.
fn in_the_way_of(session: &Session, arguments: &Arguments) -> Result<Option<Conflict>, Problem> {
    let (store, now) = (session.store()?, Moment::now());
    if arguments.next && arguments.apart {
        return store.why_none_apart(now);
    }
    if arguments.next {
        return Ok((!store.has_next(now)?).then_some(Conflict::NotFound));
    }
    let id = session.task_id()?;
    let task = match store.task(&id) {
        Ok(task) => task,
        Err(problem) if problem.code == "TASK_NOT_FOUND" => {
            // A loose file is taken in by the claim.
            let (_, waiting) = store.scan(&[State::Inbox])?;
            let waits = waiting.iter().any(|entry| entry.task_id == id.as_str());
            return Ok((!waits).then_some(Conflict::NotFound));
        }
        Err(problem) => return Err(problem),
    };
    if matches!(task.state(), State::Done | State::Blocked) {
        return Ok(Some(Conflict::NotFound));
    }
    if arguments.apart
        && let Some(with) = store.held_in_the_way_of(&id, now)?
    {
        return Ok(Some(Conflict::Overlaps { with }));
    }
    Ok(task.held(now)?.map(|held| Conflict::Held {
        owner: held.owner,
        until: held.lease_until,
        lock_path: task.path(".lock"),
    }))
}
