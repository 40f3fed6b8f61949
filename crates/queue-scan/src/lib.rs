//! S1: what waits, and where.

use baton_core::audit::Action;
use baton_core::driver::{Skill, Upstream};
use baton_core::envelope::ToolClass;
use baton_core::outcome::Outcome;
use baton_core::outputs::{Counts, QueueScan, to_map};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use clap::{ArgMatches, Args as _, FromArgMatches as _};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "queue-scan",
    envelope: "queue-scan",
    about: "List the tasks of the queue and count them by state",
    examples: [
        "queue-scan --state inbox --limit 10",
        "queue-scan | jq .data.counts",
    ],
    classes: &[ToolClass::Read],
    action: Action::EnvelopeRecorded,
    upstream: Upstream::Never,
    acts_under_stop: true,
    arguments: |command| Arguments::augment_args(command),
    has_subject: |_| true,
    run,
    refused: |_| {
        to_map(&QueueScan {
            counts: Counts::default(),
            tasks: Vec::new(),
        })
    },
};

#[derive(clap::Args)]
struct Arguments {
    /// List only tasks in this state: inbox, claimed, work, pr, done or blocked
    #[arg(long, value_name = "S", value_parser = state)]
    state: Option<State>,
    /// List at most this many tasks; the counts stay whole
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

fn state(name: &str) -> Result<State, String> {
    State::from_name(name)
        .ok_or_else(|| "expected inbox, claimed, work, pr, done or blocked".to_owned())
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    session.authorize(&[ToolClass::Read])?;
    let (counts, mut tasks) = session.store()?.scan(&State::ALL)?;
    if session.common.task.is_some() {
        let id = session.task_id()?;
        tasks.retain(|task| task.task_id == id.as_str());
    }
    if let Some(state) = arguments.state {
        tasks.retain(|task| task.state == state);
    }
    let found = tasks.len();
    tasks.truncate(arguments.limit.unwrap_or(usize::MAX));
    let summary = if tasks.len() == found {
        format!("{found} tasks listed; {} wait in the inbox", counts.inbox)
    } else {
        format!(
            "{} of {found} tasks listed; {} wait in the inbox",
            tasks.len(),
            counts.inbox
        )
    };
    Ok(Outcome::ok(summary, &QueueScan { counts, tasks }))
}
