//! `baton run --all`: every approved candidate that waits lands, one after the other, each made anew
//! and gated on top of the one before. What they would make together is gated ahead of that.

use baton_core::envelope::{Decision, Status, ToolClass};
use baton_core::exit;
use baton_core::problem::Problem;
use baton_core::quorum::Purpose;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;
use baton_core::task::{Priority, TaskId};
use baton_core::terminal;
use serde_json::json;

use super::run::Arguments;
use super::{Shared, ahead};
use crate::reply::Reply;

/// Lands what is approved and waits, the most urgent first and then the oldest.
pub(super) fn run(shared: &Shared, arguments: &Arguments) -> Result<Reply, Problem> {
    let (mut done, mut waiting, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut code = 0;
    let ids = in_order(&shared.session(None)?)?;
    let ahead = ahead::gate(shared, arguments, &ids)?;
    for id in ids {
        let session = shared.session(Some(&id))?;
        session.check_stop()?;
        if !is_approved(&session)? {
            waiting.push(id);
            continue;
        }
        terminal::say(&format!("{id}:"));
        let reply = super::run::one(shared, arguments, &id)?;
        for line in &reply.text {
            terminal::say(&format!("   {line}"));
        }
        code = code.max(reply.code);
        let task = TaskId::parse(&id)?;
        match session.store()?.find(&task)? {
            Some(State::Done) => done.push(id),
            // The target moved, and the policy has the person asked again.
            _ if reply.code == 0 => waiting.push(id),
            _ => failed.push(id),
        }
        if code == exit::code(Status::ZeroStop, None) {
            break;
        }
    }
    let list = |ids: &[String]| match ids {
        [] => "none".to_owned(),
        ids => ids.join(", "),
    };
    let status = if failed.is_empty() { "OK" } else { "FAIL" };
    Ok(Reply::ok(json!({
        "command": "run", "status": status, "done": done, "waiting": waiting, "failed": failed,
        "ahead": ahead,
    }))
    .code(code)
    .line(format!("landed: {}", list(&done)))
    .line(format!("wait for an approval: {}", list(&waiting)))
    .line(format!("failed: {}", list(&failed))))
}

fn in_order(session: &Session) -> Result<Vec<String>, Problem> {
    session.check_stop()?;
    let store = session.store()?;
    let (_, entries) = store.scan(&[State::Pr])?;
    let mut order = Vec::new();
    for entry in entries {
        let task = store.task(&TaskId::parse(&entry.task_id)?)?;
        order.push((priority(&task), since(&task)?, entry.task_id));
    }
    order.sort();
    Ok(order.into_iter().map(|(_, _, id)| id).collect())
}

fn priority(task: &TaskFolder) -> Priority {
    task.task()
        .map_or_else(|_| Priority::default(), |task| task.priority)
}

fn since(task: &TaskFolder) -> Result<String, Problem> {
    let candidate = task.candidate()?;
    Ok(candidate.map_or_else(String::new, |candidate| candidate.created_at))
}

pub(super) fn is_approved(session: &Session) -> Result<bool, Problem> {
    let Some(candidate) = session.task()?.candidate()? else {
        return Ok(false);
    };
    let denied = session.store()?.denial_of(&candidate)?.is_some();
    let class = match session.task()?.recorded_decision()? {
        Some(Decision::AutoMerge) => ToolClass::Merge,
        _ => ToolClass::Pr,
    };
    Ok(!denied
        && session
            .quorum(&candidate, class, Purpose::Finish)?
            .is_enough())
}
