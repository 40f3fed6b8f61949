//! `baton verify`: derives everything about a task again, read-only, and compares.

mod case;
mod kept;
mod landing;
mod points;
mod record;

use std::path::PathBuf;

use baton_core::git::Repository;
use baton_core::problem::Problem;
use baton_core::session::Session;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use serde_json::json;

use super::Shared;
use super::audit::named;
use super::bundle::unpack;
use crate::reply::Reply;
use case::{Case, Trust};
use points::{Found, Point};

/// The flags.
#[derive(Clone, Debug, clap::Args)]
struct Arguments {
    /// The task's id
    #[arg(
        value_name = "TASK",
        required_unless_present = "bundle",
        conflicts_with = "bundle"
    )]
    task: Option<String>,
    /// Check what `baton bundle` wrote; no queue and no repository is needed
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Fail as well on what cannot be told from what is here
    #[arg(long)]
    strict: bool,
    /// The log's public key that you trust: its text, or a file that holds it
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Also that the log begins with what this kept checkpoint signs
    #[arg(long, value_name = "CHECKPOINT")]
    against: Vec<PathBuf>,
}

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    Arguments::augment_args(command).after_help(
        "Examples:\n  baton verify T-1 --strict\n  baton verify --bundle t1.bundle --key LOG_KEY.pub\n\n\
         Exit codes:\n  0 VERIFIED  1 MISMATCH, or with --strict UNPROVEN  2 usage error",
    )
}

/// Says VERIFIED, or every point that does not hold.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let arguments = Arguments::from_arg_matches(matches);
    let arguments = arguments.map_err(|error| Problem::usage(error.to_string()))?;
    let mut trust = Trust {
        keys: arguments.key.as_deref().map(named::keys).transpose()?,
        against: arguments.against,
        ..Trust::default()
    };
    let Some(file) = arguments.bundle else {
        let session = shared.session(arguments.task.as_deref())?;
        return answer(&session, &trust, arguments.strict);
    };
    trust.is_bundle = true;
    // Whoever stands in a clone has the branch that the change landed on.
    let here = shared.session(None)?;
    trust.clone = here.root().ok().map(Repository::open).transpose()?;
    let (folder, task) = unpack(&file)?;
    let elsewhere = Shared {
        repo: Some(folder.path().to_owned()),
        ..shared.clone()
    };
    answer(
        &elsewhere.session(Some(task.as_str()))?,
        &trust,
        arguments.strict,
    )
}

fn answer(session: &Session, trust: &Trust, strict: bool) -> Result<Reply, Problem> {
    let id = session.task_id()?.to_string();
    let points = Case::open(session, trust)?.points();
    let of = |wanted: fn(&Found) -> bool| {
        let some = points.iter().filter(|point| wanted(&point.found));
        some.map(Point::to_string).collect::<Vec<_>>()
    };
    let holds = of(|found| matches!(found, Found::Holds));
    let unknown = of(|found| matches!(found, Found::Unknown(_)));
    let wrong = of(|found| matches!(found, Found::Differs(_)));
    let status = match (wrong.is_empty(), unknown.is_empty() || !strict) {
        (false, _) => "MISMATCH",
        (true, false) => "UNPROVEN",
        (true, true) => "VERIFIED",
    };
    let json = json!({
        "command": "verify", "status": status, "task_id": id, "strict": strict,
        "checked": holds, "unknown": unknown, "wrong": wrong,
    });
    let mut reply = Reply::ok(json)
        .code(u8::from(status != "VERIFIED"))
        .line(format!("{id}: {status}"));
    for (word, points) in [
        ("matches", &holds),
        ("unknown", &unknown),
        ("DIFFERS", &wrong),
    ] {
        for point in points {
            reply = reply.line(format!("  {word}: {point}"));
        }
    }
    Ok(reply)
}
