//! S3: gets a proposal, from a file, standard input, a command or a model, and turns it into a candidate.
//!
//! The text is used once, here: git applies it to the base in an index of our own, and what goes on
//! is git's own difference of the two trees.

mod draft;
mod keep;
mod opinion;
mod producer;
mod prompt;
pub mod reply;

use std::path::PathBuf;

use baton_core::audit::Action;
use baton_core::candidate::{self, Candidate, Match, Proposal};
use baton_core::driver::{Refused, Skill, Upstream, plan_finding};
use baton_core::envelope::{ArtifactKind, Finding, Severity, Status, ToolClass};
use baton_core::evidence::OPINION;
use baton_core::git::{ObjectStore, PersonIdent};
use baton_core::outcome::Outcome;
use baton_core::outputs::{PatchDraft, Producer, to_map};
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::report::ReportStatus;
use baton_core::session::{Session, wrong_state};
use baton_core::state::State;
use baton_core::store::TaskFolder;
use baton_core::{clock, digest, ids};
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde_json::{Map, Value};

use crate::draft::{Drafted, Ground, Reading, Said};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "patch-draft",
    envelope: "patch-draft-request",
    about: "Take a proposed patch and turn it into a candidate",
    examples: [
        "patch-draft --task T-1 --from fix.patch",
        "patch-draft --task T-1 --producer ollama",
    ],
    classes: &[ToolClass::Write],
    action: Action::PatchProposed,
    upstream: Upstream::PassOn,
    acts_under_stop: false,
    arguments: |command| Arguments::augment_args(command),
    // Standard input is the patch then, so the task must be named.
    has_subject: |matches| {
        matches
            .get_one::<PathBuf>("from")
            .is_some_and(|path| path.as_os_str() == "-")
    },
    run,
    refused,
};

#[derive(clap::Args)]
struct Arguments {
    /// Take the patch from this file; - is standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "producer")]
    from: Option<PathBuf>,
    /// Ask for the patch, as the policy's draft section says: a model server, or a command that reads the
    /// prompt on its standard input
    #[arg(long, value_name = "NAME", value_parser = ["ollama", "openai", "command"])]
    producer: Option<String>,
    /// Ask for the reply in this form and read it so; without it a patch from a file is git's own to read,
    /// a command answers with udiff, and a model server with whole files while they are small
    #[arg(long, value_name = "whole|search-replace|udiff", value_parser = ["whole", "search-replace", "udiff"])]
    reply_format: Option<String>,
    /// Let repairs guess (indentation, left-out comments, Unicode quotes), where the policy lets them;
    /// the risk is then MEDIUM at least
    #[arg(long)]
    fuzz: bool,
    /// The patch stems from a reply of which a place was guessed; `baton run` says so
    #[arg(long, hide = true, requires = "from")]
    guessed: bool,
}

fn refused(refused: &Refused<'_>) -> Map<String, Value> {
    to_map(&PatchDraft {
        request_id: "REQ-NONE".to_owned(),
        producer: Producer::Human,
        draft_patch_path: refused.path(State::Work, "draft.patch"),
        rationale_path: refused.path(State::Work, "rationale.md"),
        notes: Some(refused.problem.to_string()),
    })
}

fn run(session: &Session, matches: &ArgMatches) -> Result<Outcome, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    session.authorize(&[ToolClass::Write])?;
    let task = session.task()?;
    if !matches!(task.state(), State::Claimed | State::Work) {
        let expected = "drafts are made in claimed or work";
        return Err(wrong_state(task.id(), task.state(), expected));
    }
    if task.has_recorded_draft()? {
        return Err(Problem::fail(
            "FILE_EXISTS",
            format!(
                "task {} has a candidate already; nothing is overwritten",
                task.id()
            ),
        )
        .hint(format!(
            "go on with: baton run {0}; or start over: baton retry {0}",
            task.id()
        )));
    }
    if session.is_plan() {
        return plan(session, &arguments, task);
    }
    let reading = draft::reading(session, &arguments)?;
    task.set_unrecorded_aside()?;
    let ground = Ground::new(session, task)?;
    let mut drafted = obtain(session, &arguments, task, &ground, reading)?;
    drafted.guessed = arguments.guessed;
    match drafted.said.take() {
        Some(Said::NeedInput { notes }) => {
            let notes = plain(session, &notes)?;
            need_input(session, task, &drafted, &notes)
        }
        said => {
            drafted.said = said;
            propose(session, task, &drafted, &ground)
        }
    }
}

/// Whether there is a patch to be had as these flags say, before a task is claimed for it.
///
/// # Errors
/// A usage error, `FILE_UNREADABLE`, `FUZZ_DENIED`, `OBJECTS_MISSING`.
pub fn check_source(session: &Session, flags: &[String]) -> Result<(), Problem> {
    let usage = |error: clap::Error| Problem::usage(error.to_string());
    let line = std::iter::once(SKILL.name).chain(flags.iter().map(String::as_str));
    let matches = SKILL.command().try_get_matches_from(line).map_err(usage)?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(usage)?;
    draft::reading(session, &arguments)?;
    let target = &session.policy()?.landing.target;
    session.repository()?.check_files_of(target)?;
    match &arguments.from {
        Some(path) => draft::check_file(path),
        None => producer::check(&session.policy()?.draft, producer_named(&arguments)),
    }
}

fn producer_named(arguments: &Arguments) -> &str {
    arguments.producer.as_deref().unwrap_or("command")
}

/// Makes the candidate of a patch that is at hand where it leaves nothing behind; nobody is asked for one.
fn plan(session: &Session, arguments: &Arguments, task: &TaskFolder) -> Result<Outcome, Problem> {
    let reading = draft::reading(session, arguments)?;
    let ground = Ground::new(session, task)?;
    match &arguments.from {
        None => drop(producer::Producer::open(
            session,
            task,
            producer_named(arguments),
        )?),
        Some(path) => {
            let drafted = draft::from_file(session, task, &ground, path, reading)?;
            if let Some(Said::NeedInput { notes }) = &drafted.said {
                return Err(Problem::fail(
                    "NEED_INPUT",
                    first_line(&plain(session, notes)?),
                ));
            }
            let (_folder, objects) = ObjectStore::temporary(ground.repository)?;
            let (proposal, _) = proposal(session, &drafted, &ground, &objects)?;
            drop(check_sources(session, task, &drafted, &proposal)?);
            session.check_not_denied(&candidate(session, task, &drafted, &proposal)?)?;
        }
    }
    let data = refused(&Refused {
        task_id: Some(task.id().as_str()),
        state: Some(task.state()),
        problem: &Problem::fail("PLAN_ONLY", "nothing was drafted"),
    });
    let said = format!("would draft a candidate for {}", task.id());
    let what = "the patch would be applied to the base in a private index";
    Ok(Outcome::ok(said, &data).findings([plan_finding(what)]))
}

/// Words as they may be kept.
fn plain(session: &Session, words: &str) -> Result<String, Problem> {
    let words = keep::masked(session, words.as_bytes())?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

fn obtain(
    session: &Session,
    arguments: &Arguments,
    task: &TaskFolder,
    ground: &Ground<'_>,
    reading: Reading,
) -> Result<Drafted, Problem> {
    if let Some(path) = &arguments.from {
        return draft::from_file(session, task, ground, path, reading);
    }
    let producer = producer::Producer::open(session, task, producer_named(arguments))?;
    draft::by_asking(&producer, session, task, ground, reading)
}

/// What git makes of a reply on the base, and the notes that came with it.
fn proposal<'d>(
    session: &Session,
    drafted: &'d Drafted,
    ground: &Ground<'_>,
    objects: &ObjectStore,
) -> Result<(Proposal, Option<&'d str>), Problem> {
    let limits = candidate::limits(session.policy()?);
    let (proposal, notes) = match &drafted.said {
        Some(Said::Patch { patch, notes }) => (
            candidate::propose(objects, &ground.base, patch, &limits)?,
            notes,
        ),
        Some(Said::Files { resolved, notes }) => {
            let files = ground.new_files(resolved);
            (
                candidate::propose_files(objects, &ground.base, &files, &limits)?,
                notes,
            )
        }
        _ => return Err(Problem::fail("REPLY_EMPTY", "the reply holds no change")),
    };
    Ok((proposal, notes.as_deref()))
}

/// Refuses a patch that takes content out of a file that the task may not touch: the candidate would hold the
/// content, and no word of where it is from. In shadow mode that is said, and nothing is refused.
fn check_sources(
    session: &Session,
    task: &TaskFolder,
    drafted: &Drafted,
    proposal: &Proposal,
) -> Result<Vec<Finding>, Problem> {
    let Some(Said::Patch { patch, .. }) = &drafted.said else {
        return Ok(Vec::new());
    };
    let scope = session.store()?.asked(task)?.scope;
    let mut findings = baton_risk::judge_sources(patch, &proposal.changed, session, &scope)?;
    if findings.is_empty() || session.is_shadow()? {
        return Ok(findings);
    }
    let first = findings.remove(0);
    let message = format!(
        "the patch copies from a file that the task may not touch: {}",
        first.message
    );
    Err(Problem::zero_stop(first.code, message)
        .hint("where everybody may read that file, give the copy as a new file: git diff --no-renames")
        .with_findings(findings))
}

fn candidate(
    session: &Session,
    task: &TaskFolder,
    drafted: &Drafted,
    proposal: &Proposal,
) -> Result<Candidate, Problem> {
    let mut candidate = proposal.candidate(
        task.id().as_str(),
        task.attempts()? + 1,
        drafted.source,
        session.actor,
        session.policy()?,
    );
    candidate.matched = drafted.matched();
    Ok(candidate)
}

fn propose(
    session: &Session,
    task: &TaskFolder,
    drafted: &Drafted,
    ground: &Ground<'_>,
) -> Result<Outcome, Problem> {
    let objects = session.store()?.objects(ground.repository)?;
    let kept = |problem| keep::refused(task, &drafted.text, problem);
    let (proposal, notes) = proposal(session, drafted, ground, &objects).map_err(kept)?;
    let spared = check_sources(session, task, drafted, &proposal).map_err(kept)?;
    let notes = notes.map(|notes| plain(session, notes)).transpose()?;
    let candidate = candidate(session, task, drafted, &proposal)?;
    session.check_not_denied(&candidate).map_err(kept)?;
    session.hold_on()?;
    keep_objects(&objects, &proposal, &candidate)?;
    let mut artifacts = task.write_candidate(&candidate, &proposal.patch)?;
    artifacts.extend(keep::words(task, drafted, notes.as_deref())?);
    let words = notes.as_deref().unwrap_or("no notes were given");
    let report = keep::report(session, task, drafted, ReportStatus::Proposed, words)?;
    artifacts.push(task.write_new(ArtifactKind::Other, "report.json", &report.to_bytes())?);
    let data = PatchDraft {
        request_id: ids::fresh("REQ", clock::now())?,
        producer: producer_of(session.actor),
        draft_patch_path: task.path("draft.patch"),
        rationale_path: task.path("rationale.md"),
        notes: proposal
            .normalized
            .as_ref()
            .map(|why| format!("git read another form of patch: {why}")),
    };
    let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
    let summary = format!(
        "candidate {} on base {}{}",
        short(&candidate.tree),
        short(&candidate.base),
        match candidate.matched {
            Match::Clean => "",
            Match::Repaired => ", from a reply that was mended",
            Match::Fuzzy => ", from a reply of which a place was guessed",
        }
    );
    let mut outcome = Outcome::ok(summary, &data)
        .artifacts(artifacts)
        .findings(normalized(&proposal))
        .findings(keep::repaired(drafted.repairs()))
        .findings(drafted.findings.clone())
        .findings(spared);
    let opinion = opinion::read(notes.as_deref().unwrap_or_default());
    outcome = outcome.findings(opinion.findings);
    for (name, value) in producer::meta(&drafted.attempts) {
        outcome = outcome.meta(name, value);
    }
    if let Some(bytes) = drafted.prompt_bytes {
        outcome = outcome.meta("prompt_bytes", bytes);
    }
    if let Some(word) = opinion.word {
        outcome = outcome.meta(OPINION, word);
    }
    outcome.inputs_sha256 = Some(drafted.inputs_sha256.clone());
    Ok(outcome
        .meta("tree", candidate.tree)
        .meta("base", candidate.base)
        .meta("match", candidate.matched.name())
        .meta("source", drafted.model.clone()))
}

fn normalized(proposal: &Proposal) -> Option<Finding> {
    let why = proposal.normalized.as_ref()?;
    Some(Finding::new(
        Severity::Info,
        "PATCH_NORMALIZED",
        format!("the text is not git's own grammar ({why}); what git made of it is what goes on"),
    ))
}

/// Names the candidate's commit in the private store, so that its objects stay.
fn keep_objects(
    objects: &ObjectStore,
    proposal: &Proposal,
    candidate: &Candidate,
) -> Result<(), Problem> {
    let us = PersonIdent::baton();
    let commit = objects.commit(
        &proposal.tree,
        &proposal.base,
        &us,
        &us,
        &format!("candidate of {}\n", candidate.task_id),
    )?;
    objects.keep(
        &format!(
            "refs/baton/{}/{}",
            digest::sha256(candidate.task_id.as_bytes()),
            candidate.attempt
        ),
        &commit,
    )
}

fn need_input(
    session: &Session,
    task: &TaskFolder,
    drafted: &Drafted,
    notes: &str,
) -> Result<Outcome, Problem> {
    session.hold_on()?;
    let kept = task.write_next(ArtifactKind::Other, "evidence/reply.txt", &drafted.text)?;
    let rationale = task.write_new(
        ArtifactKind::Other,
        "rationale.md",
        format!("# More input is needed for {}\n\n{notes}\n", task.id()).as_bytes(),
    )?;
    let report = keep::report(session, task, drafted, ReportStatus::NeedInput, notes)?;
    let report = task.write_new(ArtifactKind::Other, "report.json", &report.to_bytes())?;
    let data = PatchDraft {
        request_id: ids::fresh("REQ", clock::now())?,
        producer: producer_of(session.actor),
        draft_patch_path: task.path("draft.patch"),
        rationale_path: task.path("rationale.md"),
        notes: Some(notes.to_owned()).filter(|notes| !notes.is_empty()),
    };
    let mut outcome = Outcome::new(
        Status::Fail,
        format!("more input is needed: {}", first_line(notes)),
        &data,
    )
    .findings([Finding::new(Severity::Medium, "NEED_INPUT", notes)])
    .artifacts([kept, rationale, report])
    .action(Action::TaskBlocked)
    .transition(State::Blocked)
    .hint(format!(
        "answer in the task's goal and submit it again, or: baton retry {}",
        task.id()
    ));
    outcome.unlock = true;
    outcome.inputs_sha256 = Some(drafted.inputs_sha256.clone());
    Ok(outcome)
}

fn first_line(notes: &str) -> String {
    notes
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("the reply asks nothing in particular")
        .chars()
        .take(120)
        .collect()
}

fn producer_of(actor: Actor) -> Producer {
    if actor == Actor::Openclaw {
        Producer::OpenClaw
    } else {
        Producer::Human
    }
}
