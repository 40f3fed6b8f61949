//! Getting a reply and making sense of it: from a file or by asking, at most a few times.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use baton_core::audit::Action;
use baton_core::candidate::{Match, NewFile, Source};
use baton_core::envelope::{ArtifactKind, Finding};
use baton_core::git::{Oid, Repository};
use baton_core::policy::Caps;
use baton_core::problem::Problem;
use baton_core::report::{Attempt, AttemptOutcome, Call, ReportStatus};
use baton_core::rules::ScopeRules;
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_core::task::Task;
use baton_core::{digest, ids};

use crate::producer::Producer;
use crate::prompt::{Form, Prompt};
use crate::reply::frame::{self, Reply};
use crate::reply::{
    self, Code, Files, Format, Limits, Nearness, Old, Rejected, Repair, Resolved, Text,
};
use crate::{Arguments, keep, prompt};

/// How a reply is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// None: git itself reads the patch.
    pub(crate) format: Option<Format>,
    pub(crate) fuzz: bool,
}

/// What a reply came to.
#[derive(Debug)]
pub(crate) enum Said {
    NeedInput {
        notes: String,
    },
    Patch {
        patch: Vec<u8>,
        notes: Option<String>,
    },
    Files {
        resolved: Resolved,
        notes: Option<String>,
    },
}

/// A reply that can be used, and how it was come by.
#[derive(Debug)]
pub(crate) struct Drafted {
    pub(crate) said: Option<Said>,
    /// The reply; masked where it is only kept.
    pub(crate) text: Vec<u8>,
    pub(crate) source: Source,
    /// The program that made it, for the report.
    pub(crate) model: String,
    pub(crate) inputs_sha256: String,
    /// Bytes of the last prompt, if somebody was asked.
    pub(crate) prompt_bytes: Option<usize>,
    pub(crate) format: Option<Format>,
    /// It stems from a reply of which a place was guessed.
    pub(crate) guessed: bool,
    pub(crate) attempts: Vec<Attempt>,
    /// What a person should know of the call.
    pub(crate) findings: Vec<Finding>,
}

impl Drafted {
    pub(crate) fn was_asked(&self) -> bool {
        !matches!(self.source, Source::File | Source::Stdin)
    }

    pub(crate) fn repairs(&self) -> &[Repair] {
        match &self.said {
            Some(Said::Files { resolved, .. }) => &resolved.repairs,
            _ => &[],
        }
    }

    pub(crate) fn matched(&self) -> Match {
        let said = match &self.said {
            Some(Said::Files { resolved, .. }) => matched(resolved),
            _ => Match::Clean,
        };
        if self.guessed { Match::Fuzzy } else { said }
    }
}

fn matched(resolved: &Resolved) -> Match {
    match resolved.nearness {
        Nearness::Clean => Match::Clean,
        Nearness::Repaired => Match::Repaired,
        Nearness::Fuzzy => Match::Fuzzy,
    }
}

/// What the task lets change, as the base has it.
pub(crate) struct Ground<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) base: Oid,
    scope: ScopeRules,
    limits: Limits,
    /// The paths that are executable in the base.
    executable: RefCell<BTreeSet<String>>,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(session: &'a Session, task: &TaskFolder) -> Result<Self, Problem> {
        let policy = session.policy()?;
        let repository = session.repository()?;
        let asked = session.store()?.asked(task)?;
        let base = asked.base.as_deref().unwrap_or(&policy.landing.target);
        let base = repository.commit(base)?;
        // Without them no gate has a tree to run on.
        repository.check_files(&base)?;
        Ok(Self {
            base,
            repository,
            scope: ScopeRules::compile(&asked.scope)?,
            limits: limits(&policy.caps),
            executable: RefCell::default(),
        })
    }

    /// The new files of a reply for the candidate.
    pub(crate) fn new_files<'r>(&self, resolved: &'r Resolved) -> Vec<NewFile<'r>> {
        let executable = self.executable.borrow();
        let files = resolved.changes.iter().map(|change| NewFile {
            path: &change.path,
            is_executable: executable.contains(&change.path),
            bytes: &change.new,
        });
        files.collect()
    }

    /// Makes sense of a reply: out of its frame, and read in the form that was asked for.
    fn read(&self, text: &[u8], reading: Reading) -> Result<Result<Said, Rejected>, Problem> {
        let Some(format) = reading.format else {
            return Ok(Ok(match frame::read(text)? {
                Reply::NeedInput { notes } => Said::NeedInput { notes },
                Reply::Patch { patch, notes, .. } => Said::Patch { patch, notes },
            }));
        };
        let (framed, thought) = match reply::unframe(text) {
            Err(rejected) => return Ok(Err(rejected)),
            Ok(unframed) => unframed,
        };
        let (patch, notes, is_closed, first_line) = match framed {
            Reply::NeedInput { notes } => return Ok(Ok(Said::NeedInput { notes })),
            Reply::Patch {
                patch,
                notes,
                is_framed,
                first_line,
            } => (patch, notes, is_framed, first_line),
        };
        let bytes = patch.as_slice();
        let text = Text {
            bytes,
            is_closed,
            first_line,
        };
        let offers = |path: &str| self.scope.allows(path);
        let parsed = match reply::read(format, text, &offers, &self.limits) {
            Err(rejected) => return Ok(Err(rejected)),
            Ok(parsed) => parsed.after(thought),
        };
        let files = self.files(&parsed.paths())?;
        let resolved = parsed.resolve(&files, reading.fuzz, &self.limits);
        Ok(resolved.map(|resolved| Said::Files { resolved, notes }))
    }

    /// What the base has under these paths, as far as the task lets them change.
    fn files(&self, paths: &[&str]) -> Result<Files, Problem> {
        let mut files = Files::default();
        let offered: Vec<_> = paths
            .iter()
            .filter(|path| self.scope.allows(path))
            .collect();
        if offered.len() > 2 * self.limits.files {
            return Err(Problem::fail(
                Code::TooLarge.as_str(),
                format!(
                    "{} files, at most {} may change",
                    offered.len(),
                    self.limits.files
                ),
            )
            .hint(Code::TooLarge.hint()));
        }
        for path in offered {
            files.old.insert((*path).to_owned(), self.old(path)?);
        }
        if self.repository.mode_at(&self.base, "b")?.as_deref() == Some(FOLDER) {
            files.folders.insert("b".to_owned());
        }
        Ok(files)
    }

    fn old(&self, path: &str) -> Result<Old, Problem> {
        match self.repository.mode_at(&self.base, path)?.as_deref() {
            None => self.missing(path),
            Some(mode @ ("100644" | "100755")) => {
                if mode == "100755" {
                    self.executable.borrow_mut().insert(path.to_owned());
                }
                let bytes = self
                    .repository
                    .file_at(&self.base, path, self.limits.bytes)?;
                Ok(bytes.map_or(Old::TooLarge, Old::File))
            }
            Some("120000") => Ok(Old::NoFile("it is a symbolic link".to_owned())),
            Some("160000") => Ok(Old::NoFile("it is a submodule".to_owned())),
            Some(_) => Ok(Old::NoFile("it is a folder".to_owned())),
        }
    }

    fn missing(&self, path: &str) -> Result<Old, Problem> {
        for (end, _) in path.match_indices('/') {
            let parent = path.get(..end).unwrap_or_default();
            match self.repository.mode_at(&self.base, parent)?.as_deref() {
                Some(FOLDER) => {}
                None => break,
                Some(_) => return Ok(Old::NoFile(format!("{parent} is no folder"))),
            }
        }
        Ok(Old::Missing)
    }
}

const FOLDER: &str = "040000";

fn limits(caps: &Caps) -> Limits {
    let of = |cap: u64| usize::try_from(cap).unwrap_or(usize::MAX);
    Limits {
        bytes: of(caps.max_patch_bytes),
        files: of(caps.max_changed_files),
        ..Limits::default()
    }
}

/// How the reply is to be read, as flags and policy say.
///
/// # Errors
/// `FUZZ_DENIED`.
pub(crate) fn reading(session: &Session, arguments: &Arguments) -> Result<Reading, Problem> {
    use baton_core::policy::Fuzzy;
    let named = arguments
        .reply_format
        .as_deref()
        .and_then(Format::from_name);
    // A patch that is handed in is git's to read; what a program answers is ours.
    if arguments.fuzz && named.is_none() && arguments.from.is_some() {
        return Err(Problem::usage(
            "--fuzz needs --reply-format: git itself mends nothing",
        ));
    }
    if arguments.fuzz && session.policy()?.draft.fuzzy == Fuzzy::Deny {
        return Err(Problem::deny(
            reply::explain_codes::FUZZ_DENIED,
            "repairs that guess are not allowed: draft.fuzzy of POLICY.json is \"deny\"",
        )
        .hint("leave --fuzz out, or let a person set draft.fuzzy to \"allow\""));
    }
    Ok(Reading {
        format: named,
        fuzz: arguments.fuzz,
    })
}

/// That there is something in the file that a flag names. What comes through a pipe is read once, later.
///
/// # Errors
/// `FILE_UNREADABLE`.
pub(crate) fn check_file(path: &Path) -> Result<(), Problem> {
    if path.as_os_str() == "-" {
        return Ok(());
    }
    let unreadable = |why: String| {
        Problem::fail("FILE_UNREADABLE", format!("{}: {why}", path.display()))
            .hint("name a file that holds a patch, or - for standard input; no task was claimed")
    };
    let found = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if found.is_dir() {
        return Err(unreadable("got a folder, expected a file".to_owned()));
    }
    if found.is_file() {
        std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
        if found.len() == 0 {
            return Err(unreadable("the file is empty".to_owned()));
        }
    }
    Ok(())
}

/// Takes the reply from a file or standard input.
pub(crate) fn from_file(
    session: &Session,
    task: &TaskFolder,
    ground: &Ground<'_>,
    path: &Path,
    reading: Reading,
) -> Result<Drafted, Problem> {
    let text = session.read_patch(path)?;
    let is_stdin = path.as_os_str() == "-";
    let mut drafted = Drafted {
        said: None,
        source: if is_stdin {
            Source::Stdin
        } else {
            Source::File
        },
        model: "none".to_owned(),
        inputs_sha256: digest::sha256(&text),
        prompt_bytes: None,
        format: reading.format,
        guessed: false,
        attempts: Vec::new(),
        findings: Vec::new(),
        text,
    };
    let said = ground.read(&drafted.text, reading).and_then(|said| {
        note(&mut drafted.attempts, &drafted.text, &said, Call::default());
        said.map_err(|rejected| keep::problem(&rejected))
    });
    if said.is_err() || drafted.format.is_some() {
        drafted.text = keep::masked(session, &drafted.text)?;
    }
    match said {
        Ok(said) => drafted.said = Some(said),
        Err(problem) => return Err(give_up(session, task, &drafted, problem)),
    }
    Ok(drafted)
}

/// The task, with what a person wrote for this attempt of it.
fn asked(session: &Session, task: &TaskFolder) -> Result<Task, Problem> {
    let mut asked = session.store()?.asked(task)?;
    let events = session.store()?.log()?.events_of(task.id().as_str())?;
    let mut put_back = events.iter().rev().map(|(event, _)| event);
    let put_back = put_back.find(|event| event.action == Action::TaskRetried);
    let notes = put_back.and_then(|event| event.meta.get("notes")?.as_str());
    if let Some(notes) = notes {
        let before = std::mem::take(&mut asked.context.notes);
        asked.context.notes = format!("{before}\n{notes}").trim_start().to_owned();
    }
    Ok(asked)
}

/// Asks a producer, and again with what was wrong as long as the policy lets it.
pub(crate) fn by_asking(
    producer: &Producer<'_>,
    session: &Session,
    task: &TaskFolder,
    ground: &Ground<'_>,
    mut reading: Reading,
) -> Result<Drafted, Problem> {
    let policy = session.policy()?;
    let form = reading.format.map_or_else(|| producer.form(), Form::Is);
    let (asked, room) = (asked(session, task)?, producer.room());
    let (prompt, format) =
        prompt::write(&asked, ground.repository, &ground.base, policy, form, room)?;
    reading.format = Some(format);
    let mut drafted = Drafted {
        said: None,
        text: Vec::new(),
        source: producer.source(),
        model: producer.model()?,
        inputs_sha256: digest::sha256(prompt.text.as_bytes()),
        prompt_bytes: None,
        format: Some(format),
        guessed: false,
        attempts: Vec::new(),
        findings: Vec::new(),
    };
    let mut next = prompt.clone();
    for left in (0..=policy.caps.draft_retries).rev() {
        let answer = producer.ask(&next)?;
        let said = ground.read(&answer.text, reading)?;
        note(&mut drafted.attempts, &answer.text, &said, answer.call);
        drafted.findings = answer.findings;
        drafted.prompt_bytes = Some(next.text.len());
        // From here on the text is only kept; what it says goes its own way.
        drafted.text = keep::masked(session, &answer.text)?;
        let rejected = match said {
            Ok(said) => {
                drafted.said = Some(said);
                return Ok(drafted);
            }
            Err(rejected) => rejected,
        };
        let more = reply::further_prompt(&prompt.text, format, &rejected, &ids::random_hex()?);
        next = Prompt::of(&more);
        // What was wrong may leave no room for an answer.
        if left == 0 || room.is_some_and(|room| !next.fits(room)) {
            return Err(give_up(session, task, &drafted, keep::problem(&rejected)));
        }
        let _held = session.hold()?;
        task.write_next(ArtifactKind::Other, "evidence/refused.txt", &drafted.text)?;
    }
    Err(Problem::fail(Code::Empty.as_str(), "nobody was asked"))
}

/// Notes what came of one reply.
fn note(attempts: &mut Vec<Attempt>, text: &[u8], said: &Result<Said, Rejected>, call: Call) {
    let outcome = match said {
        Err(_) => AttemptOutcome::Refused,
        Ok(Said::NeedInput { .. }) => AttemptOutcome::NeedInput,
        Ok(Said::Patch { .. }) => AttemptOutcome::Clean,
        Ok(Said::Files { resolved, .. }) => match resolved.nearness {
            Nearness::Clean => AttemptOutcome::Clean,
            Nearness::Repaired => AttemptOutcome::Repaired,
            Nearness::Fuzzy => AttemptOutcome::Fuzzy,
        },
    };
    attempts.push(Attempt {
        n: attempts.len() as u64 + 1,
        reply_sha256: digest::sha256(text),
        outcome,
        refusals: said.as_ref().err().map(keep::refusals).unwrap_or_default(),
        call,
    });
}

/// Keeps the last reply and a report of every one, for a person to see what was tried.
fn give_up(session: &Session, task: &TaskFolder, drafted: &Drafted, problem: Problem) -> Problem {
    if session.is_plan() {
        return problem;
    }
    let problem = keep::refused(task, &drafted.text, problem);
    if drafted.format.is_none() {
        return problem;
    }
    let summary = problem.to_string();
    let kept =
        keep::report(session, task, drafted, ReportStatus::Refused, &summary).and_then(|report| {
            task.write_next(
                ArtifactKind::Other,
                "evidence/refused.json",
                &report.to_bytes(),
            )
        });
    match kept {
        Ok(kept) => problem.hint(format!("every call is told in {}", kept.path)),
        Err(trouble) => problem.hint(format!("the report could not be kept: {}", trouble.message)),
    }
}
