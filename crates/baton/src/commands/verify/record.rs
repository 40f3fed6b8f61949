//! What the log says around a task: that it holds, whose it is, and that the task went its way in order.

use std::ops::ControlFlow;

use baton_core::accepted;
use baton_core::audit::{self, Action, Checked, Event};
use baton_core::policy::Policy;
use baton_core::problem::Problem;
use baton_core::state::State;

use super::case::Case;
use super::points::Found;
use crate::commands::audit::{held_against, name};

/// The largest file of public keys that is read, in bytes.
const MAX_KEYS: usize = 256 << 10;

/// Every line, link and root holds, and every checkpoint that was kept; what came in a file is signed whole.
pub(super) fn log(case: &Case<'_>, checked: &Checked) -> Result<Found, Problem> {
    let log = case.session.store()?.log()?;
    for path in &case.trust.against {
        held_against(log, checked, path)?;
    }
    // In its queue the next line that is written signs them; in a bundle whoever made it may have added them.
    let (signed, all) = (checked.checkpoint.size, checked.head.seq);
    if case.trust.is_bundle && signed < all {
        let why = format!(
            "its signed head covers {signed} of {all} lines, and nobody vouches for those after it: have the bundle made again"
        );
        return Ok(Found::Unknown(why));
    }
    Ok(Found::Holds)
}

/// The key that signs the log is one that the caller trusts, or at least the committed one.
pub(super) fn key(case: &Case<'_>, checked: &Checked) -> Result<Found, Problem> {
    let origin = &checked.checkpoint.origin;
    let keys = case.session.store()?.log()?.public_keys()?;
    let Some(ours) = keys.into_iter().find(|key| key.name() == origin) else {
        return Ok(Found::Differs(format!(
            "there is no public key of {origin}"
        )));
    };
    if let Some(trusted) = &case.trust.keys {
        return Ok(if trusted.contains(&ours) {
            Found::Holds
        } else {
            let names: Vec<_> = trusted.iter().map(ToString::to_string).collect();
            let names = names.join(", ");
            Found::Differs(format!("it is signed by {ours}, trusted are {names}"))
        });
    }
    if case.trust.is_bundle {
        let why = format!("{ours} came with the bundle: pass the one that you trust with --key");
        return Ok(Found::Unknown(why));
    }
    let repository = case.session.repository()?;
    let head = repository.commit("HEAD")?;
    let committed = repository.file_at(&head, &audit::public_keys_path(), MAX_KEYS)?;
    let committed = String::from_utf8(committed.unwrap_or_default()).unwrap_or_default();
    Ok(if committed.lines().any(|line| line == ours.to_string()) {
        Found::Holds
    } else {
        let path = audit::public_keys_path();
        Found::Unknown(format!("{path} is not committed with {ours}"))
    })
}

/// The task lies where the log says.
pub(super) fn place(case: &Case<'_>, checked: &Checked) -> Result<Found, Problem> {
    let said = checked.states.get(case.task.id().as_str()).copied();
    let differs = case.session.store()?.task_differs(case.task.id(), said)?;
    Ok(differs.map_or(Found::Holds, Found::Differs))
}

/// The policy that lies there is the accepted one, and what still waits was decided under it.
pub(super) fn in_force(case: &Case<'_>) -> Result<Found, Problem> {
    let policy = case.session.policy()?;
    let store = case.session.store()?;
    accepted::check(store, policy)?;
    accepted::check_recorded(store, u64::MAX)?;
    let then = &case.policy()?.sha256;
    let waits = !matches!(case.task.state(), State::Done | State::Blocked);
    Ok(if waits && *then != policy.sha256 {
        let now = &policy.sha256;
        Found::Differs(format!(
            "it was decided under {then}, and {now} is in force now"
        ))
    } else {
        Found::Holds
    })
}

/// The policy that counted is one that a person accepted before, and the log says so.
pub(super) fn policy(case: &Case<'_>, policy: Option<&Policy>) -> Result<Found, Problem> {
    let sha256 = &policy.ok_or_else(|| missing(case))?.sha256;
    let mut accepted = false;
    case.session.store()?.log()?.back(|seen| {
        let accepts = matches!(
            seen.action(),
            Action::QueueInitialized | Action::LogSealed | Action::PolicyAccepted
        );
        if accepts {
            let event = seen.event()?;
            let named = event.meta.get("policy_sha256").and_then(|one| one.as_str());
            accepted = named == Some(sha256);
        }
        Ok(if accepted {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(if accepted {
        Found::Holds
    } else {
        Found::Differs(format!(
            "the log does not say that anybody accepted {sha256}"
        ))
    })
}

fn missing(case: &Case<'_>) -> Problem {
    let none = || Problem::fail("POLICY_MISSING", "there is no policy");
    case.policy().err().unwrap_or_else(none)
}

/// The task is the one that the log holds the digest of, from its submission on.
pub(super) fn task(case: &Case<'_>) -> Result<Found, Problem> {
    Ok(match case.task.check_asked(&case.events)? {
        true => Found::Holds,
        false => Found::Nothing,
    })
}

/// Each move goes on where the one before ended, and the steps of the present attempt come in the order of
/// the way through.
pub(super) fn order(case: &Case<'_>) -> Result<Found, Problem> {
    let events = &case.events;
    if events.first().map(|event| event.action) != Some(Action::TaskSubmitted) {
        return Ok(Found::Differs(
            "the log does not begin with its submission".to_owned(),
        ));
    }
    let moves: Vec<_> = events
        .iter()
        .filter(|event| event.moves_to().is_some())
        .collect();
    for pair in moves.windows(2) {
        let [before, after] = pair else { continue };
        if before.to_state != after.from_state {
            return Ok(Found::Differs(format!(
                "line {} leaves {}, and line {} had led to {}",
                after.seq,
                name(&after.from_state),
                before.seq,
                name(&before.to_state)
            )));
        }
    }
    Ok(steps(case.attempt()).map_or(Found::Holds, Found::Differs))
}

/// Nothing may stand before what it is made from. Scan and gates are made from the draft, and neither from
/// the other.
fn steps(attempt: &[Event]) -> Option<String> {
    const ENDS: [Action; 2] = [Action::ChangeLanded, Action::PrBranchCreated];
    const WAY: [&[Action]; 4] = [
        &[Action::PatchProposed],
        &[Action::RiskScanned, Action::GatesFinished],
        &[Action::DecisionMade],
        &ENDS,
    ];
    let last = |action: Action| attempt.iter().rev().find(|event| event.action == action);
    let landed = ENDS.into_iter().any(|action| last(action).is_some());
    let mut before: Option<&Event> = None;
    for step in WAY {
        let mut latest = before;
        for action in step.iter().copied() {
            let Some(event) = last(action) else {
                let is_needed = action != Action::RiskScanned && !ENDS.contains(&action);
                if landed && is_needed {
                    let action = name(&action);
                    return Some(format!("it landed, and the log has no {action} before"));
                }
                continue;
            };
            if let Some(before) = before.filter(|before| before.seq > event.seq) {
                let (first, then) = (name(&action), name(&before.action));
                return Some(format!(
                    "line {} is {first}, and {then} comes after it, in line {}",
                    event.seq, before.seq
                ));
            }
            latest = latest
                .filter(|latest| latest.seq > event.seq)
                .or(Some(event));
        }
        before = latest;
    }
    None
}
