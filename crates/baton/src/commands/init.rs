//! `baton init`: the single source of truth, the queue and the log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use baton_core::accepted::{self, Accepted};
use baton_core::audit::{self, Action, Draft, Level};
use baton_core::clock;
use baton_core::digest;
use baton_core::manifest::{self, SSOT};
use baton_core::policy::{Isolation, Policy};
use baton_core::problem::Problem;
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
        default_rules(&policy)?.check_all()?;
        write_new(&folder, "POLICY.json", &policy.to_json()?, &mut written)?;
    }
    let bytes =
        fs::read(folder.join("POLICY.json")).map_err(|error| Problem::io("POLICY.json", &error))?;
    let policy = Policy::parse(&bytes)?;
    write_new(
        &folder,
        "POLICY.md",
        &policy.render_markdown(),
        &mut written,
    )?;
    let manifest = manifest(&folder, arguments.store.as_deref())?;
    for (name, text) in [
        (SECRET_RULES_NAME, SECRET_RULES),
        ("MANIFEST.json", &*manifest),
        ("BATON_CURRENT.md", BATON_CURRENT),
        ("AUDIT_SCHEMA.json", AUDIT_SCHEMA),
    ] {
        write_new(&folder, name, text, &mut written)?;
    }
    let by = operator(&session)?;
    let first = Accepted::now(&policy.sha256, None, &by, Vec::new());
    let first = String::from_utf8_lossy(&first.to_bytes()).into_owned();
    write_new(&folder, accepted::FILE, &first, &mut written)?;
    let (store, made) = Store::create(&root)?;
    store.set_audit_rules(policy.audit);
    if made {
        written.push(audit::public_keys_path());
    }
    ignore_queue(&store)?;
    accepted::keep(&store, &policy, &bytes, &folder)?;
    let log = store.log()?;
    let is_new = log.head()?.seq == 0;
    if is_new || made {
        let action = if is_new {
            Action::QueueInitialized
        } else {
            // A log that has lines got its key, or its head, only now: nobody vouches for them before.
            Action::LogSealed
        };
        let mut draft = Draft::new(session.actor, action, "baton")?
            .meta("by", by)
            .meta("policy_sha256", policy.sha256.clone());
        if !is_new {
            draft.level = Level::Warn;
        }
        draft.outputs_sha256 = digest::sha256(policy.sha256.as_bytes());
        log.append(draft)?;
    }
    Ok(answer(&policy, &written))
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

fn fresh_policy(
    session: &baton_core::session::Session,
    arguments: &Arguments,
) -> Result<Policy, Problem> {
    let mut policy = default_policy()?;
    let repository = session.repository()?;
    policy.landing.target = match &arguments.target {
        Some(target) => target.clone(),
        None => repository.current_branch()?.ok_or_else(|| {
            Problem::usage("no branch is checked out: name the one to land on with --target BRANCH")
        })?,
    };
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
                .hint("move a queue with: baton store copy --to ADDRESS"));
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
    let path = store
        .root()
        .join(baton_core::envelope::QUEUE_ROOT)
        .join(".gitignore");
    if path.exists() {
        return Ok(());
    }
    fs::write(&path, "*\n").map_err(|error| Problem::io(path.display(), &error))
}

fn answer(policy: &Policy, written: &[String]) -> Reply {
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
        "gates": gates, "minimum_isolation": policy.isolation.minimum.name(),
    }))
    .line(format!("ready: changes land on {}", policy.landing.target));
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
