//! `baton doctor`: can this machine, this queue, this policy and this log be relied on?

use std::path::Path;

use baton_core::accepted;
use baton_core::audit::{self, States};
use baton_core::clock;
use baton_core::git::Repository;
use baton_core::manifest::SSOT;
use baton_core::policy::{Gate, Isolation, Mode, Policy};
use baton_core::problem::{LAYERED, Problem};
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::{Wedge, of_problem};
use baton_risk::RuleBook;
use baton_sandbox::Sandbox;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::{Shared, audit as audit_commands, init, models, store, stuck};
use crate::reply::Reply;

/// git releases that hold the fixes of CVE-2025-48384 and 48385 and everything before them: the
/// lowest patch release of each line, and every later line.
const FIXED_GIT: [(u32, u32, u32); 8] = [
    (2, 43, 7),
    (2, 44, 4),
    (2, 45, 4),
    (2, 46, 4),
    (2, 47, 3),
    (2, 48, 2),
    (2, 49, 1),
    (2, 50, 1),
];

/// How one check went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Warning,
    Bad,
}

struct Checks(Vec<(String, Health, String)>);

impl Checks {
    fn add(&mut self, name: &str, health: Health, text: impl Into<String>) {
        self.0.push((name.to_owned(), health, text.into()));
    }

    fn of(&mut self, name: &str, outcome: Result<String, Problem>) {
        match outcome {
            Ok(text) => self.add(name, Health::Good, text),
            Err(problem) => {
                let hint = problem
                    .hints
                    .first()
                    .map(|hint| format!(" (next: {hint})"))
                    .unwrap_or_default();
                self.add(name, Health::Bad, format!("{}{hint}", problem.message));
            }
        }
    }
}

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    let queue = Arg::new("queue").long("queue").action(ArgAction::SetTrue);
    command.arg(
        queue.help(
            "Check the log and the queue only: what is stuck, since when, and what to run next",
        ),
    )
}

/// Runs every check; ends with 1 when one is bad.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    let mut checks = Checks(Vec::new());
    if matches.get_flag("queue") {
        let said = check_log(&session, &mut checks);
        let found = check_queue(&session, said, &mut checks);
        return Ok(answer(&checks, &found));
    }
    check_git(&session, &mut checks);
    checks.of("policy", check_policy(&session));
    checks.of(
        "manifest",
        session
            .manifest()
            .map(|_| format!("{SSOT}/MANIFEST.json is valid")),
    );
    checks.of("store", store::check(&session));
    check_drift(&session, &mut checks);
    check_target(&session, &mut checks);
    let said = check_log(&session, &mut checks);
    let found = check_queue(&session, said, &mut checks);
    check_gates(&session, &mut checks);
    check_models(&session, &mut checks);
    Ok(answer(&checks, &found))
}

fn check_git(session: &Session, checks: &mut Checks) {
    let version = session.root().and_then(Repository::git_version);
    match version {
        Err(problem) => checks.add("git", Health::Bad, problem.message),
        Ok(version) if is_fixed(&version) => checks.add("git", Health::Good, format!("git {version}")),
        Ok(version) => checks.add("git", Health::Bad, format!("git {version} lacks security fixes; install a later release of its line (2.43.7, 2.45.4, 2.47.3, 2.50.1 or later)")),
    }
}

fn is_fixed(version: &str) -> bool {
    let mut numbers = version
        .split(['.', ' ', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return false;
    };
    let patch = numbers.next().unwrap_or(0);
    let line = FIXED_GIT
        .iter()
        .find(|fixed| (fixed.0, fixed.1) == (major, minor));
    match line {
        Some(fixed) => patch >= fixed.2,
        None => (major, minor) > (2, 50),
    }
}

fn check_policy(session: &Session) -> Result<String, Problem> {
    let book = RuleBook::of_session(session)?;
    book.check_others()?;
    let (rules, secrets) = book.count();
    let mode = match session.policy()?.mode {
        Mode::Enforce => "",
        Mode::Shadow => "; SHADOW MODE: every change goes to a person",
    };
    if let Some(store) = session.store_if_any()? {
        accepted::check_recorded(store, u64::MAX)?;
    }
    Ok(format!(
        "{rules} risk rules and {secrets} secret rules, every example holds{mode}"
    ))
}

/// POLICY.md is for people; it must say what POLICY.json says.
fn check_drift(session: &Session, checks: &mut Checks) {
    let rendered = session.policy().map(Policy::render_markdown);
    let (Ok(rendered), Ok(root)) = (rendered, session.root()) else {
        return;
    };
    let written = std::fs::read_to_string(root.join(SSOT).join("POLICY.md")).unwrap_or_default();
    if written == rendered {
        checks.add("POLICY.md", Health::Good, "says what POLICY.json says");
    } else {
        checks.add(
            "POLICY.md",
            Health::Warning,
            "differs from POLICY.json: remove it and run baton init to write it anew",
        );
    }
}

/// Nothing lands on a branch that is not here, and no task without a base of its own begins.
fn check_target(session: &Session, checks: &mut Checks) {
    let Ok(policy) = session.policy() else { return };
    match init::no_target(session, policy) {
        Ok(None) => {
            let text = format!("changes land on {}", policy.landing.target);
            checks.add("target", Health::Good, text);
        }
        Ok(Some(why)) => checks.add("target", Health::Warning, why),
        Err(problem) => checks.of("target", Err(problem)),
    }
    let repository = session.repository();
    let files = repository.and_then(|repository| repository.check_files_of(&policy.landing.target));
    if let Err(problem) = files {
        checks.of("files", Err(problem));
    }
}

/// Gives where the log says that each task lies.
fn check_log(session: &Session, checks: &mut Checks) -> Result<States, Problem> {
    let checked = session
        .store()
        .and_then(|store| store.log())
        .and_then(|log| log.check(0));
    if let Ok(checked) = &checked
        && let Err(problem) = audit_commands::check_stop(session, checked)
    {
        checks.of("STOP", Err(problem));
    }
    let text = checked.as_ref().map(|checked| {
        let (lines, signed) = (checked.head.seq, &checked.checkpoint);
        let by = format!("{} of them signed by {}", signed.size, signed.origin);
        format!("{}: {lines} lines, every link right, {by}", audit::path())
    });
    checks.of("log", text.map_err(Clone::clone));
    checked.map(|checked| checked.states)
}

/// Names everything that keeps the queue from moving, and gives it.
fn check_queue(
    session: &Session,
    said: Result<States, Problem>,
    checks: &mut Checks,
) -> Vec<Wedge> {
    let looked = session.store().and_then(|store| {
        let mut found = stuck::find(session, said.as_ref().ok(), stuck::PATIENCE)?;
        // Of what is missing it was said already that nothing can be written there.
        if store.check_parts().is_ok()
            && let Err(problem) = store.try_writing()
        {
            let code = match problem.code == "QUEUE_BUSY" {
                true => "QUEUE_BUSY",
                false => "QUEUE_UNWRITABLE",
            };
            found.insert(0, of_problem(code, None, &problem));
        }
        let count = store.scan(&State::ALL).map(|(_, tasks)| tasks.len());
        Ok((count.ok(), found))
    });
    let (tasks, mut found) = match looked {
        Ok(looked) => looked,
        Err(problem) => {
            checks.of("queue", Err(problem));
            return Vec::new();
        }
    };
    // Reading all of it finds what the way to the tasks' own lines does not come by.
    if let Err(problem) = said
        && !found.iter().any(|one| one.code == "LOG_BROKEN")
    {
        found.insert(0, of_problem("LOG_BROKEN", None, &problem));
    }
    let told = checks.0.iter().any(|(name, ..)| name == "STOP");
    if !told && !found.iter().any(|one| one.code == "STOP_ON") {
        checks.add("STOP", Health::Good, "is off");
    }
    let now = clock::now();
    // Of a broken log it was said above.
    for one in found.iter().filter(|one| one.code != "LOG_BROKEN") {
        let health = if one.broken {
            Health::Bad
        } else {
            Health::Warning
        };
        let name = one.task_id.as_deref().unwrap_or("queue");
        let line = one.line(now);
        let line = line.strip_prefix(&format!("{name} ")).unwrap_or(&line);
        let said = (one.code == "STOP_ON").then(|| session.stop_said());
        match said.flatten() {
            Some(said) => checks.add(name, health, format!("{line}; {said}")),
            None => checks.add(name, health, line),
        }
    }
    if session.store().is_ok_and(|store| store.is_layered()) {
        let text = format!("lies on an overlay file system: {LAYERED}");
        checks.add("queue", Health::Warning, text);
    }
    if let Some(tasks) = tasks {
        checks.add("queue", Health::Good, format!("{tasks} tasks"));
    }
    found
}

fn check_gates(session: &Session, checks: &mut Checks) {
    let Ok(policy) = session.policy() else { return };
    let Ok(root) = session.root() else { return };
    for gate in policy.gates.iter().filter(|gate| gate.is_command()) {
        let (health, text) = gate_health(gate, policy, root);
        checks.add(&gate.id, health, text);
    }
    check_isolation(policy, checks);
}

/// Whether each model server of the policy answers. Only drafting needs one, so none is bad.
fn check_models(session: &Session, checks: &mut Checks) {
    let Ok(found) = models::check(session) else {
        return;
    };
    for one in found {
        let (health, text) = match one.said {
            Ok(text) => (Health::Good, text),
            Err(why) => (Health::Warning, why),
        };
        checks.add(&one.name, health, text);
    }
}

/// Builds the walls once at each level and says what stands.
fn check_isolation(policy: &Policy, checks: &mut Checks) {
    let minimum = policy.isolation.minimum;
    let sandbox = match Sandbox::this_program() {
        Ok(sandbox) => sandbox,
        Err(refused) => {
            let text = format!("{} (next: {})", refused.message, refused.fix);
            return checks.add("isolation", Health::Bad, text);
        }
    };
    let probe = sandbox.probe();
    let level = probe
        .level
        .map_or("none".to_owned(), |level| level.to_string());
    let enough = Isolation::from_name(&level).is_some_and(|level| level >= minimum);
    let health = if enough { Health::Good } else { Health::Bad };
    let by = probe
        .bwrap
        .as_ref()
        .map_or("no bwrap".to_owned(), |(path, version)| {
            format!("{version} at {}", path.display())
        });
    checks.add(
        "isolation",
        health,
        format!(
            "gates reach {level} ({by}, Landlock {}, kernel {}); below {} they are not run",
            probe.landlock_abi,
            probe.kernel,
            minimum.name()
        ),
    );
    for gap in probe.gaps {
        let health = if enough { Health::Warning } else { Health::Bad };
        checks.add(
            "isolation",
            health,
            format!("{} (next: {})", gap.what, gap.fix),
        );
    }
}

/// Whether the gate's program is there, for the gate: what lies in a home folder is out of its sight.
fn gate_health(gate: &Gate, policy: &Policy, root: &Path) -> (Health, String) {
    let Some(word) = gate.argv.first() else {
        let text = "is not configured: a required gate without a command never passes; set its argv in POLICY.json";
        return (Health::Warning, text.to_owned());
    };
    let runs = gate.argv.join(" ");
    match gate_runner::program(gate, policy, root) {
        Err(problem) => (Health::Bad, problem.message),
        Ok(Some(path)) => (Health::Good, format!("{runs} (by {})", path.display())),
        Ok(None) if word.contains('/') && !word.starts_with('/') => (Health::Good, runs),
        Ok(None) => {
            let next = "install it for the system, or name its folder in the gate's read_only";
            let text = format!("{word} is nowhere on the PATH that the gate sees (next: {next})");
            (Health::Bad, text)
        }
    }
}

fn answer(checks: &Checks, found: &[Wedge]) -> Reply {
    let bad = checks
        .0
        .iter()
        .filter(|(_, health, _)| *health == Health::Bad)
        .count();
    let list: Vec<Value> = checks
        .0
        .iter()
        .map(|(name, health, text)| json!({"check": name, "health": word(*health), "text": text}))
        .collect();
    let status = if bad == 0 { "OK" } else { "FAIL" };
    let mut reply =
        Reply::ok(json!({"command": "doctor", "status": status, "checks": list, "stuck": found}))
            .code(u8::from(bad > 0));
    for (name, health, text) in &checks.0 {
        reply = reply.line(format!("{:<5} {name}: {text}", word(*health)));
    }
    reply
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "good",
        Health::Warning => "warn",
        Health::Bad => "BAD",
    }
}

#[cfg(test)]
mod tests {
    use super::is_fixed;

    #[test]
    fn old_git_is_refused() {
        for version in [
            "2.47.3",
            "2.47.4.windows.1",
            "2.50.1",
            "2.51.0",
            "3.0.0",
            "2.43.7",
        ] {
            assert!(is_fixed(version), "{version}");
        }
        for version in ["2.47.2", "2.39.5", "2.42.9", "2.50.0", "", "banana"] {
            assert!(!is_fixed(version), "{version}");
        }
    }
}
