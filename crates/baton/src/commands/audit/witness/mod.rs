//! `baton audit witness`: second places that keep checkpoints of the log. Whoever holds the log's key
//! can rewrite the log; they cannot rewrite what somebody else has kept.

mod branch;
mod folder;
mod http;
mod places;
mod push;
mod recorded;
mod serve;

use std::path::PathBuf;

use baton_core::audit::{Action, Draft};
use baton_core::masking;
use baton_core::policy::WITNESS_PURPOSE;
use baton_core::problem::Problem;
use baton_core::session::Session;
use clap::Subcommand;
use serde_json::json;

use super::named;
use crate::commands::{operator, require_person};
use crate::reply::Reply;
use places::{Place, Places};

/// The verbs.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Verb {
    /// Hand checkpoints to a file, a folder, a branch of a git remote, or a witness at a URL
    Add(Add),
    /// Say where checkpoints are handed to
    List,
    /// Hand checkpoints to a place no more
    Remove(Remove),
    /// Hand the newest checkpoint to every place, and take in what witnesses sign
    Push,
    /// Print the request to a witness that is reached by hand, such as over ssh
    Request(Request),
    /// Take in a witness's answer to that request, from standard input
    Accept(Accept),
    /// Make a key with which this place is a witness for other logs
    NewKey(serve::NewKey),
    /// Be a witness: answer the request on standard input
    Serve(serve::Arguments),
}

/// The flags of `add`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Add {
    /// A file, a folder, or the submission prefix of a C2SP witness (https://…)
    #[arg(
        value_name = "FILE|DIR|URL",
        required_unless_present = "git",
        conflicts_with = "git"
    )]
    place: Option<String>,
    /// The witness's public key, for a URL
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// A remote of this repository
    #[arg(long, value_name = "REMOTE")]
    git: Option<String>,
    /// The branch of that remote, guarded there against being rewritten
    #[arg(
        long,
        value_name = "NAME",
        default_value = "baton/checkpoints",
        requires = "git"
    )]
    branch: String,
}

/// The flags of `remove`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Remove {
    /// The place as `list` shows it
    #[arg(value_name = "PLACE")]
    place: String,
}

/// The flags of `request`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Request {
    /// How many lines the witness signed for last, if it said so; 0 for one that never did
    #[arg(long, value_name = "N", default_value = "0")]
    old: u64,
}

/// The flags of `accept`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Accept {
    /// The witness's public key: its text, or a file that holds it
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// The request that was answered, if the log may have grown since
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The answer (default: standard input)
    #[arg(value_name = "FILE", default_value = "-")]
    answer: PathBuf,
}

/// Runs the verb; `serve` and `new-key` need no repository.
pub(super) fn run(session: &Session, verb: &Verb) -> Result<Reply, Problem> {
    match verb {
        Verb::Add(arguments) => add(session, arguments),
        Verb::List => list(session),
        Verb::Remove(arguments) => remove(session, &arguments.place),
        Verb::Push => push::run(session),
        Verb::Request(arguments) => push::request(session, arguments.old),
        Verb::Accept(arguments) => push::accept(session, arguments),
        Verb::NewKey(arguments) => serve::new_key(arguments),
        Verb::Serve(arguments) => serve::run(arguments),
    }
}

fn add(session: &Session, arguments: &Add) -> Result<Reply, Problem> {
    require_person(session, "naming a witness")?;
    let place = match (&arguments.place, &arguments.git) {
        (_, Some(remote)) => Place::branch(remote, &arguments.branch)?,
        (Some(place), None) => Place::of(place, arguments.key.as_deref())?,
        (None, None) => return Err(Problem::usage("name a place")),
    };
    may_leave(session, &place)?;
    // It is looked up by its name, so that it cannot be masked.
    masking::refuse("the place's name", &place.to_string())?;
    let log = session.store()?.log()?;
    let mut places = Places::read(log)?;
    places.add(place.clone())?;
    let draft = Draft::new(session.actor, Action::WitnessAdded, "baton")?;
    let draft = draft.meta("by", operator(session)?);
    let draft = recorded::with_mark(draft, session, &place)?;
    log.append(draft.meta("place", place.to_string()))?;
    places.write(log)?;
    Ok(Reply::ok(
        json!({"command": "audit witness add", "status": "OK", "place": place.to_string()}),
    )
    .line(format!("checkpoints go to {place}"))
    .line("  hand the newest one over now: baton audit witness push"))
}

fn list(session: &Session) -> Result<Reply, Problem> {
    let log = session.store()?.log()?;
    let places = Places::read(log)?;
    let seen = log.witnessed()?.map(|(_, head)| head.size);
    let names: Vec<String> = places.all().iter().map(Place::to_string).collect();
    let differs = recorded::differences(session, log, &places)?;
    let status = if differs.is_empty() { "OK" } else { "FAIL" };
    let differ: Vec<_> = differs.iter().map(|(name, _)| name).collect();
    let json = json!({
        "command": "audit witness list", "status": status, "places": names, "handed_out": seen,
        "differ": differ,
    });
    let reply = Reply::ok(json).code(u8::from(!differs.is_empty()));
    let mut reply = names.iter().fold(reply, Reply::line);
    for (_, problem) in &differs {
        reply = reply.line(format!("  DIFFERS: {}", problem.message));
        for hint in &problem.hints {
            reply = reply.line(format!("    {hint}"));
        }
    }
    if names.is_empty() {
        reply = reply
            .line("no witness: who holds the log's key can rewrite the whole log unseen")
            .line("  name one: baton audit witness add FILE|DIR|URL");
    }
    match seen {
        Some(size) => Ok(reply.line(format!("  handed out last: the head of {size} lines"))),
        None => Ok(reply.line("  no checkpoint was handed out yet")),
    }
}

fn remove(session: &Session, name: &str) -> Result<Reply, Problem> {
    require_person(session, "letting a witness go")?;
    let log = session.store()?.log()?;
    let mut places = Places::read(log)?;
    // One that somebody took out of the list is let go in the log.
    if !places.remove(name) && !recorded::knows(log, name)? {
        let why = format!("checkpoints do not go to {name}");
        return Err(Problem::fail("WITNESS_UNKNOWN", why)
            .hint("see where they go: baton audit witness list"));
    }
    let draft = Draft::new(session.actor, Action::WitnessRemoved, "baton")?;
    let draft = draft.meta("by", operator(session)?).meta("place", name);
    log.append(draft)?;
    places.write(log)?;
    Ok(
        Reply::ok(json!({"command": "audit witness remove", "status": "OK", "place": name}))
            .line(format!("checkpoints go to {name} no more")),
    )
}

/// What leaves the machine is EXTERNAL: the matrix must let the actor, and the policy must name the host.
fn may_leave(session: &Session, place: &Place) -> Result<(), Problem> {
    let Some(host) = place.host(session)? else {
        return Ok(());
    };
    let policy = session.policy()?;
    policy.may_leave(session.actor, &host, WITNESS_PURPOSE, "checkpoints")
}
