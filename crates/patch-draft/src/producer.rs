//! Asking a command for a patch: any program that reads the prompt on standard input.

use std::path::Path;
use std::time::Duration;

use baton_core::candidate::Source;
use baton_core::problem::Problem;
use baton_core::process::{self, Ended, Finished, Spec};
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_core::{digest, environment, files, ids, masking};

use crate::{Draft, keep_refused, prompt, shown};

/// Runs the policy's command with the prompt and takes its standard output as the reply.
///
/// # Errors
/// `DRAFT_FAILED`, `DRAFT_TIMEOUT`, `STOP_PRESENT`, `TOOL_MISSING`, `LIMITS_EXCEEDED`.
pub(crate) fn run(session: &Session, task: &TaskFolder) -> Result<Draft, Problem> {
    let policy = session.policy()?;
    let repository = session.repository()?;
    let asked = task.task()?;
    let base = repository.commit(asked.base.as_deref().unwrap_or(&policy.landing.target))?;
    let prompt = prompt::write(&asked, repository, &base, &policy.caps, &ids::random_hex()?)?;
    // A model is somebody else's machine more often than not.
    let prompt = masking::text(&prompt).into_owned();
    let model = format!(
        "command:{}",
        policy
            .draft
            .command
            .first()
            .map_or_else(String::new, |program| shown(Path::new(program)))
    );
    session.tell(&format!("patch-draft: asking {model}"));
    // The command gets a folder of its own: it sees the prompt and not the repository.
    let folder = files::temporary_folder("baton-")?;
    let spec = Spec {
        argv: policy.draft.command.iter().map(Into::into).collect(),
        folder: folder.path().to_owned(),
        environment: [environment::PATH, environment::HOME, environment::USER]
            .into_iter()
            .filter_map(|name| environment::read(name).map(|value| (name.into(), value)))
            .chain([("LANG".into(), "C.UTF-8".into())])
            .collect(),
        input: prompt.clone().into_bytes(),
        timeout: Duration::from_secs(policy.caps.draft_timeout_seconds),
        output_limit: usize::try_from(policy.caps.max_patch_bytes).unwrap_or(usize::MAX),
        all_or_nothing: false,
        merge: false,
        memory: None,
    };
    let done = process::run(&spec, &|| session.halted().is_some())?;
    let draft = Draft {
        text: done.stdout.bytes.clone(),
        source: Source::Command,
        model,
        inputs_sha256: digest::sha256(prompt.as_bytes()),
    };
    check(&done, session).map_err(|problem| keep_refused(task, &draft, problem))?;
    Ok(draft)
}

fn check(done: &Finished, session: &Session) -> Result<(), Problem> {
    let said: String = String::from_utf8_lossy(&done.stderr.bytes)
        .lines()
        .take(3)
        .collect::<Vec<_>>()
        .join("; ");
    let said = said.escape_debug().to_string();
    let halted = (done.ended == Ended::Stopped).then(|| session.halted());
    match (done.ended, halted.flatten()) {
        (Ended::Exit(0), _) if done.stdout.is_cut() => Err(Problem::fail(
            "REPLY_CUT",
            format!(
                "the reply has {} bytes, the policy allows fewer (max_patch_bytes)",
                done.stdout.total
            ),
        )),
        (Ended::Exit(0), _) => Ok(()),
        (Ended::Stopped, Some(problem)) => Err(problem),
        (Ended::Timeout, _) => Err(Problem::fail(
            "DRAFT_TIMEOUT",
            format!(
                "the command gave no reply within {} s",
                done.duration.as_secs()
            ),
        )
        .hint("raise caps.draft_timeout_seconds, or use a faster command")),
        (ended, _) => Err(Problem::fail(
            "DRAFT_FAILED",
            format!("the command ended with {ended}: {said}"),
        )
        .hint("run the command by hand with any prompt on its standard input")),
    }
}
