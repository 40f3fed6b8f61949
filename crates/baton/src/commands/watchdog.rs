//! `baton watchdog`: claims that nobody comes back from, moves that a crash cut in two, and a queue that
//! stands still. What is done and when is core's ([`baton_core::store::Watch`]); here is by whose word.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use baton_core::caller::Caller;
use baton_core::clock::{self, Moment};
use baton_core::driver;
use baton_core::envelope::{
    Artifact, ArtifactKind, AuditRef, Envelope, Finding, SCHEMA_ID, SCHEMA_VERSION, Severity,
    Status, TaskRef, ToolClass,
};
use baton_core::outputs::{ClaimLock, ClaimResult, to_map};
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::session::{Common, Session};
use baton_core::store::{Act, Spent, Watch, Wedge};
use baton_core::{audit, exit, ids, terminal};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use serde_json::{Value, json};

use super::rounds::{self, Rounds, Until};
use super::signals::{self, Signals};
use super::{Shared, stuck};
use crate::reply::Reply;

#[derive(clap::Args)]
struct Arguments {
    /// Go through the queue once
    #[arg(long, conflicts_with = "every")]
    once: bool,
    /// Go through it again after this long, such as 5m
    #[arg(long, value_name = "DUR", default_value = "1m", value_parser = rounds::interval)]
    every: Duration,
    /// Say once what would be done, and change nothing
    #[arg(long, conflicts_with = "every")]
    plan: bool,
    /// Log QUEUE_STALLED when tasks wait and nothing moved for this long
    #[arg(long, value_name = "DUR", default_value = "30m", value_parser = clock::parse_duration)]
    patience: Duration,
}

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    Arguments::augment_args(command).after_help(
        "Examples:\n  baton watchdog --once\n  baton watchdog --every 5m\n\n\
         It acts as system, with MOVE as the policy gives it. A claim whose owner is gone goes back to the\n\
         inbox and rests 1, 3, then 10 minutes; at max_attempts it goes to blocked with an incident. STOP\n\
         halts it. Exit codes: 0 done, 1 a task could not be helped, 3 not allowed, 4 STOP (with --once).",
    )
}

/// Watches until something ends it.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    shared.acts_only_as(Actor::System, "a watchdog")?;
    if arguments.once || arguments.plan {
        let round = pass(shared, arguments.plan, arguments.patience, None)?;
        return Ok(round.reply("once", 1));
    }
    watch(shared, &arguments)
}

/// Pass after pass, until a signal comes. What nobody allows is not tried again.
fn watch(shared: &Shared, arguments: &Arguments) -> Result<Reply, Problem> {
    let signals = Signals::listen(signals::GRACE)?;
    let mut counts = BTreeMap::new();
    let mut last = Round::default();
    let mut passes = 0;
    let rounds = Rounds {
        name: "baton watchdog",
        signals: &signals,
        once: false,
        until: Until {
            poll: Some(arguments.every),
            ..Until::default()
        },
        waiter: None,
    };
    let mut pass = || {
        last = pass(shared, false, arguments.patience, None)?;
        last.tell();
        for (what, count) in &last.counts {
            *counts.entry(what.clone()).or_default() += count;
        }
        passes += 1;
        Ok(rounds::Round::Nothing)
    };
    let (ended_by, trouble) = rounds.go(&mut pass, &|| false)?.into_parts();
    last.counts = counts;
    last.of_queue = trouble;
    Ok(last.reply(ended_by, passes))
}

/// What one pass came to.
#[derive(Default)]
pub(super) struct Round {
    acts: Vec<Act>,
    counts: BTreeMap<String, u64>,
    trouble: Vec<(String, Problem)>,
    /// Why the last pass could not be made, where that is so.
    of_queue: Option<Problem>,
    stuck: Vec<Wedge>,
    stalled_since: Option<String>,
}

/// Goes through the queue once, as the system. `caller` is the program that does it beside its own work,
/// and names the one standing approval that it may move tasks by.
///
/// # Errors
/// `STOP_PRESENT`, `APPROVAL_REQUIRED`, `POLICY_…`, and those of the queue and the log.
pub(super) fn pass(
    shared: &Shared,
    plan: bool,
    patience: Duration,
    caller: Option<Rc<dyn Caller>>,
) -> Result<Round, Problem> {
    let common = Common {
        repo: shared.repo.clone(),
        ..Common::default()
    };
    let session = Session::new(common, Actor::System, None).called_by(caller.clone());
    session.check_stop()?;
    session.authorize(&[ToolClass::Read, ToolClass::Move])?;
    let caps = &session.policy()?.caps;
    let watch = Watch {
        store: session.store()?,
        approvals: vec![session.standing(ToolClass::Move)?],
        max_attempts: caps.max_attempts,
        length: Duration::from_secs(caps.lease_seconds),
        now: Moment::now(),
        plan,
    };
    if !plan {
        // Trees of gates that were killed take up room, and no task tells of them.
        let _ = baton_sandbox::sweep_left();
    }
    let patrol = watch.pass(&|| session.check_stop())?;
    let mut round = Round {
        acts: patrol.acts,
        trouble: patrol.trouble,
        ..Round::default()
    };
    for spent in &patrol.spent {
        session.check_stop()?;
        if let Err(problem) = block(shared, spent, caller.clone()) {
            round.trouble.push((spent.id.to_string(), problem));
        }
    }
    round.stuck = stuck::find(&session, None, patience)?;
    if !plan {
        let noted = watch
            .store
            .note_stall(&round.stuck, patience, watch.now, &watch.approvals)?;
        round.stalled_since = noted;
    }
    for act in &round.acts {
        let what = serde_json::to_value(act.what).unwrap_or_default();
        let what = what.as_str().unwrap_or_default().to_owned();
        *round.counts.entry(what).or_default() += 1;
    }
    Ok(round)
}

/// Writes the incident of a task that was tried too often, which moves it to blocked.
fn block(shared: &Shared, spent: &Spent, caller: Option<Rc<dyn Caller>>) -> Result<(), Problem> {
    let mut line: Vec<OsString> = vec!["incident-brief".into(), "--actor".into(), "system".into()];
    if let Some(repo) = &shared.repo {
        line.extend(["--repo".into(), repo.into()]);
    }
    line.extend(["--task".into(), spent.id.as_str().into()]);
    let envelope = Some(cause(spent)?);
    let done = driver::invoke_for(&incident_brief::SKILL, line, envelope, caller)?;
    match done.envelope.status {
        Status::Ok => Ok(()),
        _ => Err(
            Problem::fail("INCIDENT_FAILED", done.envelope.summary).hint(format!(
                "baton show {}; the next pass tries again",
                spent.id
            )),
        ),
    }
}

/// What went wrong, as a claim would say it: with the watchdog's own lock, so that nobody else's is meant.
fn cause(spent: &Spent) -> Result<Envelope, Problem> {
    let id = spent.id.as_str();
    let lock_path = format!(".autodev_queue/{}/{id}/.lock", spent.state);
    let note = format!("fence={}", spent.lease.fence);
    let data = ClaimLock {
        result: ClaimResult::LockConflict,
        lock_path: lock_path.clone(),
        conflict_owner_hint: None,
    };
    Ok(Envelope {
        schema_id: SCHEMA_ID.to_owned(),
        schema_version: SCHEMA_VERSION.to_owned(),
        skill: claim_lock::SKILL.envelope.to_owned(),
        skill_version: driver::SKILL_VERSION.to_owned(),
        status: Status::Fail,
        decision: None,
        summary: format!("nobody came back from it: {}", spent.why),
        task: TaskRef::new(id, Some(spent.state), Some(spent.state)),
        signals: None,
        findings: vec![Finding::new(
            Severity::High,
            "ATTEMPTS_SPENT",
            spent.why.clone(),
        )],
        artifacts: vec![Artifact::new(ArtifactKind::LockFile, lock_path, note)],
        approvals: Vec::new(),
        audit: AuditRef {
            event_id: ids::fresh("EVT", clock::now())?,
            append_only_path: audit::path(),
            prev_event_id: None,
        },
        data: to_map(&data),
    })
}

impl Round {
    /// Whether a task, or the whole queue, could not be helped.
    fn is_bad(&self) -> bool {
        !self.trouble.is_empty() || self.of_queue.is_some()
    }

    /// Says on standard error what was done.
    pub(super) fn tell(&self) {
        self.lines().iter().for_each(|line| terminal::say(line));
    }

    fn lines(&self) -> Vec<String> {
        let acts = self.acts.iter().map(|act| {
            let what = serde_json::to_value(act.what).unwrap_or_default();
            let rests = act
                .not_before
                .as_ref()
                .map(|at| format!(", rests until {at}"));
            let what = what.as_str().unwrap_or_default();
            let (from, to) = (act.from, act.to);
            format!(
                "{} {what}: {from} to {to}: {}{}",
                act.task_id,
                act.why,
                rests.unwrap_or_default()
            )
        });
        let trouble = self.trouble.iter();
        let trouble = trouble.map(|(id, problem)| format!("{id} could not be helped: {problem}"));
        acts.chain(trouble).collect()
    }

    fn reply(&self, ended_by: &str, passes: u64) -> Reply {
        let trouble = self.trouble.iter().map(|(id, problem)| {
            json!({"task_id": id, "code": problem.code, "message": problem.message, "next": problem.hints})
        });
        let trouble: Vec<Value> = self
            .of_queue
            .iter()
            .map(rounds::told)
            .chain(trouble)
            .collect();
        let status = if self.is_bad() {
            Status::Fail
        } else {
            Status::Ok
        };
        let json = json!({
            "command": "watchdog", "status": status, "ended_by": ended_by, "passes": passes,
            "counts": self.counts, "acts": self.acts, "trouble": trouble,
            "stuck": self.stuck, "stalled_since": self.stalled_since,
        });
        let mut reply = Reply::ok(json).code(exit::code(status, None));
        reply.always_json = true;
        let now = clock::now();
        let stuck = self.stuck.iter().map(|one| format!("  {}", one.line(now)));
        self.lines()
            .into_iter()
            .chain(stuck)
            .fold(reply, Reply::line)
    }
}
