//! `baton init`: the single source of truth, the queue and the log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use baton_core::accepted::{self, Accepted};
use baton_core::audit::{self, Action, Draft, Level};
use baton_core::clock;
use baton_core::digest;
use baton_core::envelope::QUEUE_ROOT;
use baton_core::git::{Repository, is_branch_name};
use baton_core::manifest::{self, SSOT};
use baton_core::policy::{Isolation, Policy};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Store;
use baton_risk::RuleBook;
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use serde_json::json;

use super::{Shared, operator, require_human};
use crate::reply::Reply;

mod detect;

const MANIFEST: &str = include_str!("../../../../ssot/MANIFEST.json");
const POLICY: &str = include_str!("../../../../ssot/POLICY.json");
const SECRET_RULES: &str = include_str!("../../../../ssot/SECRET_RULES.toml");
const SECRET_RULES_NAME: &str = "SECRET_RULES.toml";
const BATON_CURRENT: &str = include_str!("../../../../ssot/BATON_CURRENT.md");
const AUDIT_SCHEMA: &str = include_str!("../../../../ssot/AUDIT_SCHEMA.json");
/// Standing approvals end; a year is long enough to be useful and short enough to be seen again.
const STANDING: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(clap::Args)]
struct Arguments {
    /// Land on this branch (default: the one that is checked out)
    #[arg(long, value_name = "BRANCH")]
    target: Option<String>,
    /// Keep the queue there: folder, sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "ADDRESS")]
    store: Option<String>,
    /// Lower the isolation that gates need in order to be run, by name: I3, I2 or I1
    #[arg(long, value_name = "LEVEL", value_parser = ["I3", "I2", "I1"])]
    minimum_isolation: Option<String>,
}

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    Arguments::augment_args(command)
        .after_help("Examples:\n  baton init\n  baton init --store sqlite:.autodev_queue/queue.db")
}

/// Sets the repository up. What is there already stays as it is.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    let session = shared.session(None)?;
    require_human(&session, "setting a repository up")?;
    let root = session.root()?.to_owned();
    let folder = root.join(SSOT);
    fs::create_dir_all(&folder).map_err(|error| Problem::io(SSOT, &error))?;
    let mut written = Vec::new();
    if !folder.join("POLICY.json").exists() {
        let policy = fresh_policy(&session, &arguments)?;
        write_new(&folder, "POLICY.json", &policy.to_json()?, &mut written)?;
    }
    let bytes =
        fs::read(folder.join("POLICY.json")).map_err(|error| Problem::io("POLICY.json", &error))?;
    let policy = Policy::parse(&bytes)?;
    arguments.agree(&policy)?;
    let by = operator(&session)?;
    let made = write_rest(&folder, &arguments, &policy, &by, &mut written)
        .and_then(|()| Store::create(&root));
    let (store, made) = made.inspect_err(|_| take_back(&root, &written))?;
    store.set_audit_rules(policy.audit);
    if made {
        written.push(audit::public_keys_path());
    }
    ignore_queue(&store)?;
    accepted::keep(&store, &policy, &bytes, &folder)?;
    record(&session, &store, made, by)?;
    if let Some(sha256) = accepted::in_queue(&store)? {
        accepted::note_once(&store, &sha256)?;
    }
    let missing = missing(&session, &store, &policy)?;
    Ok(answer(&policy, &written, missing.as_deref()))
}

impl Arguments {
    /// Refuses flags that the policy which is there already contradicts: it changes by a person's acceptance.
    fn agree(&self, policy: &Policy) -> Result<(), Problem> {
        let has = [
            ("target", &self.target, &*policy.landing.target),
            (
                "minimum-isolation",
                &self.minimum_isolation,
                policy.isolation.minimum.name(),
            ),
        ];
        for (flag, asked, there) in has {
            let Some(asked) = asked.as_deref().filter(|asked| *asked != there) else {
                continue;
            };
            let field = match flag {
                "target" => "landing.target",
                _ => "isolation.minimum",
            };
            let why = format!("--{flag} {asked}: {SSOT}/POLICY.json is there and has {there}");
            return Err(Problem::usage(why).hint(format!(
                "set {field} in {SSOT}/POLICY.json, then: baton policy rehearse, and baton policy accept"
            )));
        }
        Ok(())
    }
}

/// Writes what is missing beside the policy.
fn write_rest(
    folder: &Path,
    arguments: &Arguments,
    policy: &Policy,
    by: &str,
    written: &mut Vec<String>,
) -> Result<(), Problem> {
    write_new(folder, "POLICY.md", &policy.render_markdown(), written)?;
    let manifest = manifest(folder, arguments.store.as_deref())?;
    for (name, text) in [
        (SECRET_RULES_NAME, SECRET_RULES),
        ("MANIFEST.json", &*manifest),
        ("BATON_CURRENT.md", BATON_CURRENT),
        ("AUDIT_SCHEMA.json", AUDIT_SCHEMA),
    ] {
        write_new(folder, name, text, written)?;
    }
    let first = Accepted::now(&policy.sha256, None, by, Vec::new());
    let first = String::from_utf8_lossy(&first.to_bytes()).into_owned();
    write_new(folder, accepted::FILE, &first, written)
}

/// A queue that could not be made leaves no manifest that names it, nor anything else of this run's: the next
/// one may ask for another place.
fn take_back(root: &Path, written: &[String]) {
    for path in written {
        // What stays is seen and can be removed by hand; why the run failed is what counts.
        let _ = fs::remove_file(root.join(path));
    }
    let queue = root.join(QUEUE_ROOT);
    for folder in [root.join(SSOT), queue.join("audit"), queue] {
        let _ = fs::remove_dir(folder);
    }
}

/// The log's line of a new queue, or of a log that got its key only now. It names the policy that a person
/// accepted, which one that was edited since is not.
fn record(session: &Session, store: &Store, made: bool, by: String) -> Result<(), Problem> {
    let log = store.log()?;
    let is_new = log.head()?.seq == 0;
    if !is_new && !made {
        return Ok(());
    }
    let known = if is_new {
        None
    } else {
        accepted::in_queue(store)?
    };
    let counts = match known {
        Some(known) => known,
        None => Accepted::read(store.root())?.policy_sha256,
    };
    let action = if is_new {
        Action::QueueInitialized
    } else {
        // A log that has lines got its key, or its head, only now: nobody vouches for them before.
        Action::LogSealed
    };
    let mut draft = Draft::new(session.actor, action, "baton")?
        .meta("by", by)
        .meta("policy_sha256", counts.clone());
    if !is_new {
        draft.level = Level::Warn;
    }
    draft.outputs_sha256 = digest::sha256(counts.as_bytes());
    log.append(draft).map(drop)
}

/// What keeps changes from landing here all the same, if anything does, and what to do about it.
fn missing(session: &Session, store: &Store, policy: &Policy) -> Result<Option<String>, Problem> {
    if let Err(problem) = accepted::check(store, policy) {
        let next = problem.hints.join("; ");
        return Ok(Some(format!("{}; {next}", problem.message)));
    }
    no_target(session, policy)
}

/// Says that the branch which changes land on is not here, if it is not.
pub(super) fn no_target(session: &Session, policy: &Policy) -> Result<Option<String>, Problem> {
    let target = &policy.landing.target;
    Ok(match session.repository()?.tip(target)? {
        Some(_) => None,
        None => Some(format!(
            "there is no branch {target} here with a commit on it; make one: git branch {target} COMMIT"
        )),
    })
}

/// The policy that a fresh repository gets, before anything in it is said of that repository.
pub(super) fn default_policy() -> Result<Policy, Problem> {
    Policy::parse(POLICY.as_bytes())
}

/// Its rules, with the secret rules that lie beside it.
pub(super) fn default_rules(policy: &Policy) -> Result<RuleBook<'_>, Problem> {
    RuleBook::new(
        policy,
        &[(SECRET_RULES_NAME.to_owned(), SECRET_RULES.into())],
    )
}

fn fresh_policy(session: &Session, arguments: &Arguments) -> Result<Policy, Problem> {
    let mut policy = default_policy()?;
    policy.landing.target = target(session.repository()?, arguments.target.as_deref())?;
    if let Some(level) = arguments
        .minimum_isolation
        .as_deref()
        .and_then(Isolation::from_name)
    {
        policy.isolation.minimum = level;
        policy.isolation.fallback = level < Isolation::I3;
    }
    let now = clock::now();
    let by = operator(session)?;
    for approval in &mut policy.standing_approvals {
        approval.approved_by.clone_from(&by);
        approval.approved_at = clock::rfc3339(now);
        approval.until = clock::rfc3339(now + STANDING);
    }
    detect::gates(session.root()?, &mut policy.gates);
    Ok(policy)
}

/// The branch to land on: the one that was asked for, which is there, or the one that is checked out.
fn target(repository: &Repository, asked: Option<&str>) -> Result<String, Problem> {
    let current = repository.current_branch()?;
    let Some(asked) = asked else {
        return current.ok_or_else(|| {
            Problem::usage("no branch is checked out: name the one to land on with --target BRANCH")
        });
    };
    let is_there = is_branch_name(asked) && repository.tip(asked)?.is_some();
    // The one that is checked out may have its first commit still to come.
    if current.as_deref() != Some(asked) && !is_there {
        let why = format!("--target {asked}: there is no branch of that name here");
        return Err(Problem::usage(why).hint("name one that git branch lists, or make it first"));
    }
    Ok(asked.to_owned())
}

/// The manifest, with the store that was asked for. One that is there already decides.
fn manifest(folder: &Path, store: Option<&str>) -> Result<String, Problem> {
    let Some(store) = store else {
        return Ok(MANIFEST.to_owned());
    };
    manifest::check_address(store)?;
    let path = folder.join("MANIFEST.json");
    if path.symlink_metadata().is_ok() {
        let there = manifest::store_of(folder.parent().unwrap_or(folder))?;
        let there = there.unwrap_or_else(|| manifest::FOLDERS.to_owned());
        if there != store {
            let why = format!("{SSOT}/MANIFEST.json keeps the queue at {there}, not at {store}");
            return Err(Problem::fail("STORE_OTHER", why)
                .hint(
                    "a queue that is there is moved by: baton store copy --to ADDRESS; where none was made yet, \
                     set \"store\" in the manifest, then: baton init",
                ));
        }
    }
    let store = serde_json::to_string(store).unwrap_or_default();
    let field = format!("  \"store\": {store},\n  \"paths\": {{");
    Ok(MANIFEST.replacen("  \"paths\": {", &field, 1))
}

fn write_new(
    folder: &Path,
    name: &str,
    text: &str,
    written: &mut Vec<String>,
) -> Result<(), Problem> {
    let path = folder.join(name);
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    fs::write(&path, text).map_err(|error| Problem::io(path.display(), &error))?;
    written.push(format!("{SSOT}/{name}"));
    Ok(())
}

/// The queue is runtime and never committed; it says so itself, and no file of the user's changes.
fn ignore_queue(store: &Store) -> Result<(), Problem> {
    let path = store.root().join(QUEUE_ROOT).join(".gitignore");
    if path.exists() {
        return Ok(());
    }
    fs::write(&path, "*\n").map_err(|error| Problem::io(path.display(), &error))
}

fn answer(policy: &Policy, written: &[String], missing: Option<&str>) -> Reply {
    let gates: Vec<_> = policy
        .gates
        .iter()
        .filter(|gate| gate.is_command())
        .map(|gate| {
            format!(
                "{} runs: {}",
                gate.id,
                if gate.argv.is_empty() {
                    "nothing yet; set its argv in POLICY.json".to_owned()
                } else {
                    gate.argv.join(" ")
                }
            )
        })
        .collect();
    let mut reply = Reply::ok(json!({
        "command": "init", "status": "OK", "written": written, "target": policy.landing.target,
        "gates": gates, "minimum_isolation": policy.isolation.minimum.name(), "ready": missing.is_none(),
    }))
    .line(match missing {
        None => format!("ready: changes land on {}", policy.landing.target),
        Some(why) => format!("set up, and not ready: {why}"),
    });
    for gate in gates {
        reply = reply.line(format!("  {gate}"));
    }
    reply
        .line(format!(
            "  gates are run at isolation {} or more",
            policy.isolation.minimum.name()
        ))
        .line(format!("  look at {SSOT}/POLICY.md and commit {SSOT}"))
}
