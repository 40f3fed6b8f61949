//! Asking a command for a patch: any program that reads the prompt on standard input.

use std::path::Path;
use std::time::Duration;

use baton_core::policy::Policy;
use baton_core::problem::Problem;
use baton_core::process::{self, Ended, Finished, Spec};
use baton_core::report::Call;
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_core::{environment, files};

use super::{Answer, kept, millis};
use crate::prompt::Prompt;

/// Runs the policy's command with the prompt and takes its standard output as the reply.
///
/// # Errors
/// `DRAFT_FAILED`, `DRAFT_TIMEOUT`, `STOP_PRESENT`, `TOOL_MISSING`, `REPLY_CUT`.
pub(super) fn ask(
    session: &Session,
    task: &TaskFolder,
    prompt: &Prompt,
) -> Result<Answer, Problem> {
    let policy = session.policy()?;
    let model = name(policy);
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
        input: prompt.text.clone().into_bytes(),
        timeout: Duration::from_secs(policy.caps.draft_timeout_seconds),
        output_limit: usize::try_from(policy.caps.max_patch_bytes).unwrap_or(usize::MAX),
        all_or_nothing: false,
        merge: false,
        memory: None,
        leash: true,
    };
    let done = process::run(&spec, &|| session.halted().is_some())?;
    check(&done, session)
        .map_err(|problem| kept(task, &String::from_utf8_lossy(&done.stdout.bytes), problem))?;
    Ok(Answer {
        text: done.stdout.bytes,
        call: Call {
            model: Some(model),
            duration_ms: Some(millis(done.duration)),
            ..Call::default()
        },
        findings: Vec::new(),
    })
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

/// What the report calls the command; only its program's name is shown.
pub(super) fn name(policy: &Policy) -> String {
    let program = policy.draft.command.first().map(Path::new);
    let name = program.and_then(Path::file_name).unwrap_or_default();
    format!("command:{}", name.to_string_lossy())
}
