//! `baton skills`: the skill pack where coding agents look, and the lint over skills.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use baton_core::environment;
use baton_core::problem::Problem;
use baton_skills::install::{self, Options, Plan, Platform};
use baton_skills::{lint, pack};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{Shared, require_human};
use crate::reply::Reply;

const ALL: &str = "all";

/// Adds the two verbs.
pub(super) fn arguments(command: Command) -> Command {
    let folder = Arg::new("dir")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("A skill, or a folder of skills (default: the repository's .agents/skills)");
    let lint = Command::new("lint")
        .about("Check skills against what every agent's parser takes")
        .after_help(
            "Examples:\n  baton skills lint\n  baton skills lint .claude/skills/mine\n\n\
             Exit codes:\n  0 no findings  1 findings, or no skill there  2 usage error",
        )
        .arg(folder);
    let install = Command::new("install")
        .about("Put baton's skills where coding agents look, or take them away again")
        .after_help(
            "Examples:\n  baton skills install --for codex,cursor,copilot,claude\n  \
             baton skills install --for claude --user --plan\n  baton skills install --uninstall\n\n\
             Exit codes:\n  0 done  1 something is in the way, nothing was changed  2 usage error  3 not for agents",
        )
        .args(install_arguments());
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([install, lint])
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn install_arguments() -> Vec<Arg> {
    let agents = Arg::new("for")
        .long("for")
        .value_name("AGENT,…")
        .value_delimiter(',')
        .action(ArgAction::Append)
        .required_unless_present("uninstall")
        .value_parser(Platform::ALL.map(Platform::name))
        .help("For these agents, beside those of earlier runs");
    let uninstall = flag("uninstall")
        .conflicts_with_all(["copy", "link", "explicit-only", "verifier"])
        .help("Take away what was installed and not edited since; with --for, for these agents");
    vec![
        agents,
        flag("project")
            .conflicts_with("user")
            .help("Into the repository (the default): commit what is written"),
        flag("user").help("Into the home folder, for every repository"),
        flag("link")
            .conflicts_with("copy")
            .help("One copy, and links to it where an agent looks elsewhere (the default)"),
        flag("copy").help("Copies in place of links, for file systems without links"),
        explicit_only(),
        flag("verifier").help("The read-only agent \"verifier\" as well"),
        flag("plan").help("Say what would be done, and change nothing"),
        uninstall,
    ]
}

fn explicit_only() -> Arg {
    let names = pack::SKILLS.map(|skill| skill.name);
    Arg::new("explicit-only")
        .long("explicit-only")
        .value_name("SKILL,…")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value(ALL)
        .value_delimiter(',')
        .value_parser([ALL].into_iter().chain(names).collect::<Vec<_>>())
        .help("Agents use these skills only when they are named; without names, all of them")
}

/// Runs the verb that was named.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    match matches.subcommand() {
        Some(("install", matches)) => install(shared, matches),
        Some(("lint", matches)) => check(shared, matches),
        _ => Err(Problem::usage("say install or lint")),
    }
}

fn check(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let folder = match matches.get_one::<PathBuf>("dir") {
        Some(folder) => folder.clone(),
        None => {
            let session = shared.session(None)?;
            session
                .root()
                .map_or_else(|_| PathBuf::new(), Path::to_owned)
                .join(".agents/skills")
        }
    };
    let linted = lint::folder(&folder)?;
    let findings: Vec<_> = linted
        .findings
        .iter()
        .map(|one| json!({"code": one.code, "path": one.path, "line": one.line, "message": one.message}))
        .collect();
    let is_clean = findings.is_empty();
    let status = if is_clean { "OK" } else { "FAIL" };
    let mut reply = Reply::ok(json!({
        "command": "skills lint", "status": status, "skills": linted.skills, "findings": findings,
    }));
    for finding in &linted.findings {
        reply = reply.line(finding.to_string());
    }
    let (skills, found) = (linted.skills.len(), linted.findings.len());
    let reply = reply.line(format!("{skills} skills, {found} findings"));
    Ok(reply.code(u8::from(!is_clean)))
}

fn install(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(None)?;
    let is_plan = matches.get_flag("plan");
    if !is_plan {
        // They are instructions to agents; an agent does not give itself any.
        require_human(&session, "installing skills")?;
    }
    let options = options(matches);
    let root = match options.user {
        true => home()?,
        false => session.root()?.to_owned(),
    };
    let plan = match matches.get_flag("uninstall") {
        true => install::plan_removal(&root, &options.platforms)?,
        false => install::plan(&root, &options)?,
    };
    if !is_plan {
        plan.carry_out()?;
    }
    Ok(answer(&plan, is_plan, &root.display().to_string()))
}

fn options(matches: &ArgMatches) -> Options {
    let texts = |name: &str| -> BTreeSet<String> {
        let given = matches.get_many::<String>(name).unwrap_or_default();
        given.cloned().collect()
    };
    let (agents, mut explicit_only) = (texts("for"), texts("explicit-only"));
    if explicit_only.contains(ALL) {
        explicit_only = pack::SKILLS.map(|one| one.name.to_owned()).into();
    }
    let named = |platform: &Platform| agents.contains(platform.name());
    Options {
        platforms: Platform::ALL.into_iter().filter(named).collect(),
        copy: matches.get_flag("copy"),
        explicit_only,
        verifier: matches.get_flag("verifier"),
        user: matches.get_flag("user"),
    }
}

fn home() -> Result<PathBuf, Problem> {
    let home = environment::read(environment::HOME).map(PathBuf::from);
    home.filter(|home| home.is_absolute()).ok_or_else(|| {
        Problem::fail(
            "HOME_MISSING",
            "HOME names no folder, so --user has no place",
        )
        .hint("set HOME, or install into the repository with --project")
    })
}

fn answer(plan: &Plan, is_plan: bool, root: &str) -> Reply {
    let agents: Vec<_> = plan.platforms().iter().map(|one| one.name()).collect();
    let switch_off: serde_json::Map<_, _> = plan
        .platforms()
        .iter()
        .map(|one| (one.name().to_owned(), one.switch_off().into()))
        .collect();
    let mut reply = Reply::ok(json!({
        "command": "skills install", "status": "OK", "plan": is_plan, "root": root, "for": agents,
        "steps": plan.steps, "foreign": plan.foreign, "switch_off": switch_off,
    }));
    for step in &plan.steps {
        let would = if is_plan { "would " } else { "" };
        reply = reply.line(format!("  {would}{} {}", step.act, step.path));
    }
    if plan.steps.is_empty() {
        reply = reply.line("nothing to do: everything is as it should be");
    }
    for path in &plan.foreign {
        reply = reply.line(format!(
            "  {path} is the same and not baton's; it stays when baton's go"
        ));
    }
    for platform in plan.platforms() {
        let how = platform.switch_off();
        reply = reply.line(format!(
            "  to switch one off for {}: {how}",
            platform.name()
        ));
    }
    reply
}
