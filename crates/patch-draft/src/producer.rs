//! Asking for a reply. A producer takes the prompt's bytes and gives the reply's; everything else, the
//! prompt, the reading, further calls and the record, is the same for all.

use std::path::Path;
use std::time::Duration;

use baton_core::candidate::Source;
use baton_core::problem::Problem;
use baton_core::process::{self, Ended, Finished, Spec};
use baton_core::report::Call;
use baton_core::session::{Session, stop_problem};
use baton_core::store::{Stop, TaskFolder};
use baton_core::{environment, files};

use crate::keep;

/// What a producer gave.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The reply, as it came.
    pub(crate) text: Vec<u8>,
    /// What is known of the call, for the report.
    pub(crate) call: Call,
}

/// Something that can be asked for a reply.
pub(crate) trait Producer {
    /// What the report calls it.
    fn model(&self) -> String;
    /// What the candidate's record calls its source.
    fn source(&self) -> Source;
    /// Asks once.
    ///
    /// # Errors
    /// Whatever kept the reply from coming.
    fn ask(&self, prompt: &[u8]) -> Result<Answer, Problem>;
}

/// The policy's command: any program that reads the prompt on standard input.
pub(crate) struct Command<'a> {
    pub(crate) session: &'a Session,
    pub(crate) task: &'a TaskFolder,
}

impl Producer for Command<'_> {
    fn model(&self) -> String {
        let command = self.session.policy().map(|policy| &policy.draft.command);
        let program = command.ok().and_then(|command| command.first());
        // Only its name is shown.
        let name = program.and_then(|program| Path::new(program).file_name());
        let name = name.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        format!("command:{name}")
    }

    fn source(&self) -> Source {
        Source::Command
    }

    /// # Errors
    /// `DRAFT_FAILED`, `DRAFT_TIMEOUT`, `REPLY_CUT`, `STOP_PRESENT`, `TOOL_MISSING`.
    fn ask(&self, prompt: &[u8]) -> Result<Answer, Problem> {
        let policy = self.session.policy()?;
        let store = self.session.store()?;
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
            input: prompt.to_vec(),
            timeout: Duration::from_secs(policy.caps.draft_timeout_seconds),
            output_limit: usize::try_from(policy.caps.max_patch_bytes).unwrap_or(usize::MAX),
            all_or_nothing: false,
            merge: false,
            memory: None,
        };
        let done = process::run(&spec, &|| store.stop().is_present())?;
        check(&done, store.stop()).map_err(|problem| {
            // What a command said before it failed is kept like any reply.
            match keep::masked(self.session, &done.stdout.bytes) {
                Ok(text) => keep::refused(self.task, &text, problem),
                Err(_) => problem,
            }
        })?;
        let millis = u64::try_from(done.duration.as_millis()).unwrap_or(u64::MAX);
        Ok(Answer {
            text: done.stdout.bytes,
            call: Call {
                model: Some(self.model()),
                duration_ms: Some(millis),
                ..Call::default()
            },
        })
    }
}

fn check(done: &Finished, stop: Stop) -> Result<(), Problem> {
    let said: String = String::from_utf8_lossy(&done.stderr.bytes)
        .lines()
        .take(3)
        .collect::<Vec<_>>()
        .join("; ");
    let said = said.escape_debug().to_string();
    match (done.ended, stop) {
        (Ended::Exit(0), _) if done.stdout.is_cut() => Err(Problem::fail(
            "REPLY_CUT",
            format!(
                "the reply has {} bytes, the policy allows fewer (max_patch_bytes)",
                done.stdout.total
            ),
        )),
        (Ended::Exit(0), _) => Ok(()),
        (Ended::Stopped, Stop::Present(why)) => Err(stop_problem(&why)),
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
