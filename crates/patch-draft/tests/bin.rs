//! The program itself, as a process: one envelope on standard output, whatever happens.

use anyhow::{Result, ensure};
use assert_cmd::Command;
use baton_core::envelope::{Envelope, Status};

#[test]
fn prints_one_envelope_where_there_is_no_repository() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_patch-draft"))
        .args(["--task", "T-1"])
        .current_dir(folder.path())
        .env_clear()
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        text.lines().count() == 1,
        "one line was expected, got {text:?}"
    );
    let envelope = Envelope::parse(text.as_bytes())?;
    ensure!(
        envelope.skill == "patch-draft-request" && envelope.status == Status::Fail,
        "{text}"
    );
    ensure!(
        envelope
            .findings
            .iter()
            .any(|finding| finding.code == "POLICY_MISSING" || finding.code == "NO_REPOSITORY"),
        "{text}"
    );
    ensure!(output.status.code() == Some(1), "{:?}", output.status);
    Ok(())
}
