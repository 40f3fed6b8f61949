//! S3: gets a proposal, from a file, standard input or a command, and turns it into a candidate.
//!
//! The text is used once, here: git applies it to the base in an index of our own, and what goes on
//! is git's own difference of the two trees.

mod producer;
mod prompt;
pub mod reply;

use std::path::{Path, PathBuf};

use baton_core::audit::Action;
use baton_core::candidate::{self, Candidate, Proposal, Source};
use baton_core::driver::{Refused, Skill, Upstream, plan_finding};
use baton_core::envelope::{Artifact, ArtifactKind, Finding, Severity, Status, ToolClass};
use baton_core::git::{ObjectStore, PersonIdent};
use baton_core::outcome::Outcome;
use baton_core::outputs::{PatchDraft, Producer, to_map};
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::report::{Report, ReportStatus};
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::TaskFolder;
use baton_core::{clock, digest, ids};
use baton_risk::RuleBook;
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use serde_json::{Map, Value};

use crate::reply::frame::{self, Reply};

/// The skill.
pub const SKILL: Skill = Skill {
    name: "patch-draft",
    envelope: "patch-draft-request",
    about: "Take a proposed patch and turn it into a candidate",
    examples: [
        "patch-draft --task T-1 --from fix.patch",
        "patch-draft --task T-1 --producer command",
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
    /// Ask for the patch: command runs the policy's draft.command with the prompt on its standard input
    #[arg(long, value_name = "command", value_parser = ["command"])]
    producer: Option<String>,
}

/// What a proposal came as.
struct Draft {
    text: Vec<u8>,
    source: Source,
    /// The command that made it, for the report.
    model: String,
    inputs_sha256: String,
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
        return Err(Problem::fail(
            "STATE_RULE",
            format!(
                "task {} is in {}, drafts are made in claimed or work",
                task.id(),
                task.state()
            ),
        )
        .hint(format!(
            "claim-lock --task {0} | intake-validate",
            task.id()
        )));
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
        let data = refused(&Refused {
            task_id: Some(task.id().as_str()),
            state: Some(task.state()),
            problem: &Problem::fail("PLAN_ONLY", "nothing was drafted"),
        });
        return Ok(
            Outcome::ok(format!("would draft a candidate for {}", task.id()), &data).findings([
                plan_finding("the patch would be applied to the base in a private index"),
            ]),
        );
    }
    task.set_unrecorded_aside()?;
    let mut draft = obtain(session, &arguments, task)?;
    let reply = frame::read(&draft.text);
    let kept = |text: &[u8]| masked(session, text);
    // From here on the text is only kept, if at all; the patch goes its own way.
    if draft.source == Source::Command || reply.is_err() {
        draft.text = kept(&draft.text)?;
    }
    match reply.map_err(|problem| keep_refused(task, &draft, problem))? {
        Reply::NeedInput { notes } => {
            let notes = kept(notes.as_bytes())?;
            need_input(session, task, &draft, &String::from_utf8_lossy(&notes))
        }
        Reply::Patch { patch, notes, .. } => {
            let notes = notes.map(|notes| kept(notes.as_bytes())).transpose()?;
            let notes = notes.map(|notes| String::from_utf8_lossy(&notes).into_owned());
            propose(session, task, &draft, &patch, notes.as_deref())
        }
    }
}

/// A text as it may be kept: without what the secret rules know.
fn masked(session: &Session, text: &[u8]) -> Result<Vec<u8>, Problem> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    baton_risk::masked(&RuleBook::of_session(session)?, text)
}

fn obtain(session: &Session, arguments: &Arguments, task: &TaskFolder) -> Result<Draft, Problem> {
    let policy = session.policy()?;
    if let Some(path) = &arguments.from {
        let limit = usize::try_from(policy.caps.max_patch_bytes).unwrap_or(usize::MAX);
        let text = session.read_named(path, limit)?;
        let source = if path.as_os_str() == "-" {
            Source::Stdin
        } else {
            Source::File
        };
        let inputs_sha256 = digest::sha256(&text);
        return Ok(Draft {
            text,
            source,
            model: "none".to_owned(),
            inputs_sha256,
        });
    }
    if policy.draft.command.is_empty() {
        return Err(Problem::usage(
            "no patch: pass --from FILE, or set draft.command in POLICY.json and pass --producer command",
        ));
    }
    producer::run(session, task)
}

/// Keeps a reply that could not be used, so that nothing paid for is lost.
fn keep_refused(task: &TaskFolder, draft: &Draft, problem: Problem) -> Problem {
    match task.write_next(ArtifactKind::Other, "evidence/refused.txt", &draft.text) {
        Ok(kept) => problem.hint(format!("the text is kept at {}", kept.path)),
        Err(trouble) => problem.hint(format!("the text could not be kept: {}", trouble.message)),
    }
}

fn propose(
    session: &Session,
    task: &TaskFolder,
    draft: &Draft,
    patch: &[u8],
    notes: Option<&str>,
) -> Result<Outcome, Problem> {
    let policy = session.policy()?;
    let repository = session.repository()?;
    let objects = session.store()?.objects(repository)?;
    let asked = task.task()?;
    let base = repository.commit(asked.base.as_deref().unwrap_or(&policy.landing.target))?;
    let proposal = candidate::propose(&objects, &base, patch, &candidate::limits(policy))
        .map_err(|problem| keep_refused(task, draft, problem))?;
    let attempt = task.attempts()? + 1;
    let candidate = proposal.candidate(
        task.id().as_str(),
        attempt,
        draft.source,
        session.actor,
        policy,
    );
    session
        .check_not_denied(&candidate)
        .map_err(|problem| keep_refused(task, draft, problem))?;
    keep_objects(&objects, &proposal, &candidate)?;
    let mut artifacts = task.write_candidate(&candidate, &proposal.patch)?;
    artifacts.extend(keep_words(task, draft, notes)?);
    let report = report(
        session,
        task,
        draft,
        ReportStatus::Proposed,
        notes.unwrap_or("no notes were given"),
    )?;
    artifacts.push(report);
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
        "candidate {} on base {}",
        short(&candidate.tree),
        short(&candidate.base)
    );
    let mut outcome = Outcome::ok(summary, &data)
        .artifacts(artifacts)
        .findings(normalized(&proposal));
    outcome.inputs_sha256 = Some(draft.inputs_sha256.clone());
    Ok(outcome
        .meta("tree", candidate.tree)
        .meta("base", candidate.base)
        .meta("source", draft.model.clone()))
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

fn keep_words(
    task: &TaskFolder,
    draft: &Draft,
    notes: Option<&str>,
) -> Result<Vec<Artifact>, Problem> {
    let words = format!(
        "# Rationale of {}\n\n{}\n",
        task.id(),
        notes.unwrap_or("No notes came with the patch.")
    );
    let mut kept = vec![task.write_new(ArtifactKind::Other, "rationale.md", words.as_bytes())?];
    if draft.source == Source::Command {
        kept.push(task.write_next(ArtifactKind::Other, "evidence/reply.txt", &draft.text)?);
    }
    Ok(kept)
}

/// The worker's report: what was done, with what, and what comes next.
fn report(
    session: &Session,
    task: &TaskFolder,
    draft: &Draft,
    status: ReportStatus,
    notes: &str,
) -> Result<Artifact, Problem> {
    let id = task.id();
    let next = match status {
        ReportStatus::Proposed => format!("baton run {id}"),
        _ => format!("answer in the task and submit it again, or: baton retry {id}"),
    };
    let manifest = session.manifest()?;
    let report = Report::new(
        id,
        status,
        &draft.model,
        notes,
        &task.path("draft.patch"),
        vec![next],
        &manifest,
    );
    task.write_new(ArtifactKind::Other, "report.json", &report.to_bytes())
}

fn need_input(
    session: &Session,
    task: &TaskFolder,
    draft: &Draft,
    notes: &str,
) -> Result<Outcome, Problem> {
    let kept = task.write_next(ArtifactKind::Other, "evidence/reply.txt", &draft.text)?;
    let rationale = task.write_new(
        ArtifactKind::Other,
        "rationale.md",
        format!("# More input is needed for {}\n\n{notes}\n", task.id()).as_bytes(),
    )?;
    let report = report(session, task, draft, ReportStatus::NeedInput, notes)?;
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
    outcome.inputs_sha256 = Some(draft.inputs_sha256.clone());
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

/// Where a command would be run; only its name is shown.
fn shown(program: &Path) -> String {
    program
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
