//! The gates that run a command of the repository, on a fresh tree of their own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_core::environment;
use baton_core::git::Oid;
use baton_core::outputs::CheckStatus;
use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_core::process::{self, Ended, Finished, Spec};
use baton_core::session::Session;
use baton_risk::RuleBook;

use crate::counts::{self, Parser, Report};
use crate::subject::Subject;
use crate::{Ran, evidence};

/// How a gate's command went on one tree.
pub(crate) struct Tried {
    pub(crate) finished: Finished,
    pub(crate) counts: Option<Report>,
    pub(crate) status: CheckStatus,
    pub(crate) why: &'static str,
}

/// Runs one command gate on the candidate; when it fails there, once more on the base, so that what
/// was broken before is not blamed on the change.
pub(crate) fn run(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    book: &RuleBook<'_>,
) -> Result<Ran, Problem> {
    if gate.argv.is_empty() {
        return Ok(Ran::skip(
            gate,
            "NOT_CONFIGURED: the policy names no command for it",
        ));
    }
    let tried = match attempt(session, subject, gate, &subject.tree) {
        Ok(tried) => tried,
        Err(problem) if problem.code == "TOOL_MISSING" => {
            return Ok(Ran::new(
                gate,
                CheckStatus::Fail,
                format!("isolation=I1 TOOL_MISSING: {}", problem.message),
            ));
        }
        Err(problem) => return Err(problem),
    };
    let stopped = tried.finished.ended == Ended::Stopped;
    let base = if tried.status == CheckStatus::Fail && !stopped {
        attempt(session, subject, gate, &subject.base_tree).ok()
    } else {
        None
    };
    let mut ran = Ran::new(gate, tried.status, note(&tried, base.as_ref()));
    let base_stopped = base
        .as_ref()
        .is_some_and(|base| base.finished.ended == Ended::Stopped);
    ran.stopped = stopped || base_stopped;
    evidence::keep_command(
        session,
        subject,
        gate,
        &mut ran,
        (&tried, base.as_ref()),
        book,
    )?;
    Ok(ran)
}

fn attempt(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    tree: &Oid,
) -> Result<Tried, Problem> {
    let scratch = tempfile::tempdir().map_err(|error| Problem::io("temporary folder", &error))?;
    let place = |name: &str| -> Result<PathBuf, Problem> {
        let path = scratch.path().join(name);
        std::fs::create_dir(&path).map_err(|error| Problem::io(path.display(), &error))?;
        Ok(path)
    };
    let (work, home, temporary) = (place("tree")?, place("home")?, place("tmp")?);
    subject.objects.check_out(tree, &work)?;
    let folder = working_folder(&work, &gate.cwd)?;
    let spec = Spec {
        argv: gate.argv.iter().map(Into::into).collect(),
        folder,
        environment: surroundings(gate, &home, &temporary),
        input: Vec::new(),
        timeout: Duration::from_secs(
            gate.timeout_seconds
                .min(session.policy()?.caps.gate_timeout_seconds),
        ),
        output_limit: usize::try_from(session.policy()?.caps.gate_log_bytes).unwrap_or(usize::MAX),
        merge: true,
    };
    let store = session.store_if_any()?;
    let finished = process::run(&spec, &|| {
        store.is_some_and(|store| store.stop().is_present())
    })?;
    Ok(judge(gate, finished))
}

/// The working folder must be a real folder of the tree; a link could lead anywhere.
fn working_folder(work: &Path, cwd: &str) -> Result<PathBuf, Problem> {
    let missing = || {
        Problem::fail(
            "GATE_FOLDER_MISSING",
            format!("the gate's working folder {cwd} is not in the candidate"),
        )
    };
    let root = work
        .canonicalize()
        .map_err(|error| Problem::io(work.display(), &error))?;
    let folder = root.join(cwd).canonicalize().map_err(|_| missing())?;
    if folder.starts_with(&root) && folder.is_dir() {
        Ok(folder)
    } else {
        Err(missing())
    }
}

/// The whole environment of a gate: nothing is inherited but what is named here or in the policy.
fn surroundings(gate: &Gate, home: &Path, temporary: &Path) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("HOME".into(), home.into()),
        ("TMPDIR".into(), temporary.into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("CI".into(), "true".into()),
    ];
    if let Some(path) = environment::read(environment::PATH) {
        variables.push((environment::PATH.into(), path));
    }
    for name in gate
        .env_pass
        .iter()
        .filter(|name| !["PATH", "HOME", "TMPDIR"].contains(&name.as_str()))
    {
        if let Some(value) = environment::read(name).or_else(|| toolchain_home(name)) {
            variables.push((name.into(), value));
        }
    }
    variables.extend(
        gate.env
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    variables
}

/// Where a toolchain lies when its variable is not set: under the home that the gate does not see.
fn toolchain_home(name: &str) -> Option<OsString> {
    let folder = match name {
        "RUSTUP_HOME" => ".rustup",
        "CARGO_HOME" => ".cargo",
        "GOMODCACHE" => "go/pkg/mod",
        _ => return None,
    };
    let path = PathBuf::from(environment::read(environment::HOME)?).join(folder);
    path.is_dir().then(|| path.into_os_string())
}

fn judge(gate: &Gate, finished: Finished) -> Tried {
    let counts = gate
        .counts_tests
        .then(|| counts::read(Parser::Auto, &finished.stdout.log(), &[]).unwrap_or(None))
        .flatten();
    let (status, why) = match (finished.ended, gate.counts_tests, &counts) {
        (Ended::Exit(0), true, None) => (CheckStatus::Fail, "NO_TEST_RAN"),
        (Ended::Exit(0), true, Some(counts)) if counts.executed() == 0 => {
            (CheckStatus::Fail, "NO_TEST_RAN")
        }
        (Ended::Exit(0), true, Some(counts)) if counts.failed > 0 => {
            (CheckStatus::Fail, "TESTS_FAILED")
        }
        (Ended::Exit(0), _, _) => (CheckStatus::Pass, "PASSED"),
        (Ended::Timeout, _, _) => (CheckStatus::Fail, "TIMEOUT"),
        (Ended::Stopped, _, _) => (CheckStatus::Fail, "STOP_PRESENT"),
        (Ended::Exit(_) | Ended::Signal(_), _, _) => (CheckStatus::Fail, "COMMAND_FAILED"),
    };
    Tried {
        finished,
        counts,
        status,
        why,
    }
}

/// The note: key=value pairs that programs read.
fn note(tried: &Tried, base: Option<&Tried>) -> String {
    let mut note = format!(
        "{} ended={} duration_ms={} isolation=I1",
        tried.why,
        tried.finished.ended.to_string().replace(' ', ":"),
        tried.finished.duration.as_millis()
    );
    if let Some(counts) = &tried.counts {
        note.push_str(&format!(
            " tests={} failed={}",
            counts.executed(),
            counts.failed
        ));
    }
    if let Some(base) = base {
        let word = if base.status == CheckStatus::Pass {
            "PASS"
        } else {
            "FAIL"
        };
        note.push_str(&format!(" base={word}"));
        // More failures than before, another reason, or fewer tests: not the base's own trouble.
        if is_new(tried, base) {
            note.push_str(" new=yes");
        }
    }
    note
}

fn is_new(tried: &Tried, base: &Tried) -> bool {
    let worse = match (&tried.counts, &base.counts) {
        (Some(now), Some(before)) => {
            now.failed > before.failed || now.executed() < before.executed()
        }
        (None, Some(_)) => true,
        (_, None) => false,
    };
    base.status == CheckStatus::Pass || worse || tried.why != base.why
}
