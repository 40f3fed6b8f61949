//! G0: asks whether the kill switch is on.

use baton_core::audit::Action;
use baton_core::driver::{Skill, Upstream};
use baton_core::envelope::{Decision, Finding, QUEUE_ROOT, Severity, Signals, Status, ToolClass};
use baton_core::outcome::Outcome;
use baton_core::outputs::{StopAction, StopCheck, to_map};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::{STOP, Stop, Store};
use clap::ArgMatches;

/// The skill.
pub const SKILL: Skill = Skill {
    name: "stop-check",
    envelope: "stop-check",
    about: "Say whether the kill switch is on",
    examples: ["stop-check", "stop-check --task T-1 && echo go on"],
    classes: &[ToolClass::Read],
    action: Action::StopDetected,
    upstream: Upstream::Never,
    acts_under_stop: true,
    arguments: |command| command,
    has_subject: |_| true,
    run,
    // A check that could not be made counts as a stop.
    refused: |_| {
        to_map(&StopCheck {
            stop_detected: true,
            stop_paths: Vec::new(),
            action: StopAction::ZeroStop,
        })
    },
};

fn run(session: &Session, _: &ArgMatches) -> Result<Outcome, Problem> {
    let stop = match session.store() {
        Ok(store) => store.stop(),
        Err(_) if Store::is_stopped_here(session.root()?) => {
            Stop::Present(format!("{QUEUE_ROOT}/{STOP} is there"))
        }
        Err(problem) => return Err(problem),
    };
    let may_read = session.authorize(&[ToolClass::Read]);
    if stop == Stop::Absent {
        // That STOP is on is said whatever the policy is like.
        may_read?;
    }
    let has_task = session.has_task();
    if has_task {
        // Refuses a name that cannot be a task's, before anything is said about it.
        session.task_id()?;
    }
    Ok(match stop {
        Stop::Absent => Outcome::ok(
            "no STOP; go on",
            &StopCheck {
                stop_detected: false,
                stop_paths: Vec::new(),
                action: StopAction::Continue,
            },
        ),
        Stop::Present(why) => {
            let said = session.stop_said().map(|said| format!("{why}; {said}"));
            stopped(&said.unwrap_or(why), has_task)
        }
    })
}

fn stopped(why: &str, has_task: bool) -> Outcome {
    let data = StopCheck {
        stop_detected: true,
        stop_paths: vec![format!("{QUEUE_ROOT}/{STOP}")],
        action: if has_task {
            StopAction::MoveToBlocked
        } else {
            StopAction::ZeroStop
        },
    };
    let mut outcome = Outcome::new(Status::ZeroStop, format!("STOP is on: {why}"), &data)
        .findings([Finding::new(Severity::Critical, "STOP_PRESENT", why)])
        .action(Action::StopDetected)
        .hint("an operator lifts it with: baton resume");
    outcome.decision = Some(Decision::ZeroStop);
    outcome.signals = Some(Signals {
        stop_detected: true,
        ..Signals::default()
    });
    outcome
}
