//! `baton policy`: a changed policy is rehearsed, and counts once a person has accepted what it changes.

mod hostile;
mod replay;

use std::path::{Path, PathBuf};

use baton_core::accepted::{self, Accepted, Flip};
use baton_core::audit::{Action, Draft};
use baton_core::digest;
use baton_core::files::{self, Folder};
use baton_core::manifest::SSOT;
use baton_core::policy::{self, Policy};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Store;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use super::replayed::Rules;
use super::{Shared, operator, require_human};
use crate::reply::Reply;

/// Adds the two verbs.
pub(super) fn arguments(command: Command) -> Command {
    let new = Arg::new("new")
        .value_name("NEW")
        .value_parser(value_parser!(PathBuf))
        .help("The changed policy (default: POLICY.json as it lies there now)");
    let hostile = Arg::new("hostile")
        .long("hostile")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("Judge the *.patch files of this folder too");
    let digest = Arg::new("digest")
        .long("digest")
        .value_name("SHA256")
        .help("Accept exactly the flips that the rehearsal of this digest listed");
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Examples:\n  baton policy rehearse\n  baton policy accept new-policy.json --digest DIGEST",
        )
        .subcommand(
            Command::new("rehearse")
                .about("Say which recorded decisions a changed policy would make in another way")
                .args([new.clone(), hostile.clone()]),
        )
        .subcommand(
            Command::new("accept")
                .about("Let a changed policy count, with the flips that its rehearsal listed")
                .args([new, hostile, digest]),
        )
}

/// Runs the verb that was named.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    match matches.subcommand() {
        Some(("accept", matches)) => accept(&session, matches),
        Some((_, matches)) => {
            let rehearsal = Rehearsal::of(&session, matches)?;
            let status = if rehearsal.flips.is_empty() {
                "OK"
            } else {
                "FLIPS"
            };
            Ok(rehearsal.reply("policy rehearse", status))
        }
        None => Err(Problem::usage("say rehearse or accept")),
    }
}

/// What a changed policy would do.
struct Rehearsal {
    before: String,
    after: Policy,
    bytes: Vec<u8>,
    decisions: usize,
    hostile: usize,
    flips: Vec<Flip>,
    /// Hostile changes that the new policy would let land.
    let_through: Vec<String>,
}

impl Rehearsal {
    fn of(session: &Session, matches: &ArgMatches) -> Result<Self, Problem> {
        let folder = session.root()?.join(SSOT);
        let named = matches.get_one::<PathBuf>("new").cloned();
        let path = named.unwrap_or_else(|| folder.join("POLICY.json"));
        let bytes = read(&path)?;
        let after = Policy::parse(&bytes).map_err(|mut problem| {
            problem.message = format!("{}: {}", path.display(), problem.message);
            problem
        })?;
        let store = session.store()?;
        let before = accepted::of(store, &counting(store)?)?;
        let kept = accepted::folder(store, &before.sha256)?;
        let old = Rules::of(&before, kept.path())?;
        let new = Rules::of(&after, &folder)?;
        new.book.check_others()?;
        let tasks = replay::tasks(session, &old, &new)?;
        let more = matches.get_one::<PathBuf>("hostile");
        let hostile = hostile::all(more.map(PathBuf::as_path))?;
        let judged = replay::hostile(&hostile, &old, &new)?;
        let let_through = judged.iter().filter(|case| case.lands());
        let let_through = let_through.map(|case| case.what.clone()).collect();
        let (decisions, hostile) = (tasks.len(), judged.len());
        let cases = tasks.into_iter().chain(judged);
        Ok(Self {
            flips: cases.filter_map(replay::Case::flip).collect(),
            before: before.sha256.clone(),
            decisions,
            hostile,
            let_through,
            bytes,
            after,
        })
    }

    /// Names the two policies and every flip.
    fn digest(&self) -> String {
        digest::sha256_canonical(
            &json!({"before": self.before, "after": self.after.sha256, "flips": self.flips}),
        )
    }

    fn reply(&self, command: &str, status: &str) -> Reply {
        let mut reply = Reply::ok(json!({
            "command": command, "status": status, "before": self.before, "after": self.after.sha256,
            "digest": self.digest(), "decisions": self.decisions, "hostile": self.hostile,
            "flips": self.flips, "let_through": self.let_through,
        }))
        .code(u8::from(!self.flips.is_empty()))
        .line(format!(
            "{} recorded decisions and {} hostile changes judged again: {} flip",
            self.decisions,
            self.hostile,
            self.flips.len()
        ));
        for flip in &self.flips {
            let way = if flip.is_looser() {
                "LOOSER"
            } else {
                "stricter"
            };
            let rules = flip.rules.join(", ");
            let (from, to) = (flip.from, flip.to);
            reply = reply.line(format!("  {way}: {}: {from} -> {to} by {rules}", flip.what));
        }
        for what in &self.let_through {
            reply = reply.line(format!("  WOULD LAND: {what}"));
        }
        if self.flips.is_empty() {
            return reply;
        }
        reply.line(format!(
            "  accept them: baton policy accept --digest {}",
            self.digest()
        ))
    }
}

/// The policy that a changed one is held against: the one that a person accepted last, as the log says, whatever
/// a commit or somebody's hand put into checkout and queue.
fn counting(store: &Store) -> Result<String, Problem> {
    match accepted::in_log(store)? {
        Some(sha256) => Ok(sha256),
        None => Ok(Accepted::read(store.root())?.policy_sha256),
    }
}

/// Records the acceptance first, then puts the policy and its record in place, and notes it in the queue.
fn accept(session: &Session, matches: &ArgMatches) -> Result<Reply, Problem> {
    require_human(session, "accepting a policy")?;
    let rehearsal = Rehearsal::of(session, matches)?;
    let digest = rehearsal.digest();
    let given = matches.get_one::<String>("digest");
    let names_it = match given {
        // Nothing flips, so there is nothing that a digest would have to name.
        None => rehearsal.flips.is_empty(),
        Some(given) => *given == digest,
    };
    if !names_it {
        return Err(flips_not_accepted(&rehearsal, given));
    }
    let (store, by) = (session.store()?, operator(session)?);
    let folder = session.root()?.join(SSOT);
    accepted::keep(store, &rehearsal.after, &rehearsal.bytes, &folder)?;
    let (before, after) = (rehearsal.before.as_str(), rehearsal.after.sha256.as_str());
    let draft = Draft::new(session.actor, Action::PolicyAccepted, "baton")?
        .meta("by", by.clone())
        .meta("policy_sha256", after)
        .meta("before_sha256", before)
        .meta("rehearsal", digest)
        .meta("flips", rehearsal.flips.len());
    store.log()?.append(draft)?;
    let record = Accepted::now(after, Some(before), &by, rehearsal.flips.clone());
    for (name, bytes) in [
        ("POLICY.json", rehearsal.bytes.clone()),
        ("POLICY.md", rehearsal.after.render_markdown().into_bytes()),
        (accepted::FILE, record.to_bytes()),
    ] {
        put(&folder, name, &bytes)?;
    }
    accepted::note(store, after)?;
    let reply = rehearsal.reply("policy accept", "OK").code(0);
    Ok(reply.line(format!(
        "the policy {after} counts from now on; commit {SSOT}"
    )))
}

fn flips_not_accepted(rehearsal: &Rehearsal, given: Option<&String>) -> Problem {
    let flips = rehearsal.flips.len();
    let got = given.map_or("no --digest".to_owned(), |given| {
        format!("--digest {}", given.escape_debug())
    });
    let digest = rehearsal.digest();
    let why =
        format!("{flips} decisions flip under this policy: got {got}, expected --digest {digest}");
    Problem::deny("FLIPS_NOT_ACCEPTED", why).hint(match flips {
        0 => "it is another policy than the one that was rehearsed: baton policy rehearse, and leave --digest out",
        _ => "look at each of them: baton policy rehearse; then accept by the digest that it ends with",
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    files::read_named(path, policy::MAX_BYTES).map_err(|error| {
        let why = format!("{} cannot be read: {error}", path.display());
        Problem::fail("POLICY_MISSING", why).hint("name the changed policy's file")
    })
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Problem> {
    Folder::open(folder)
        .and_then(|folder| folder.replace(name, bytes))
        .map_err(|error| Problem::io(format!("{SSOT}/{name}"), &error))
}
