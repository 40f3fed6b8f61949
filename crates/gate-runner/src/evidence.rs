//! What each gate leaves behind: a record for programs, a log for people.

use baton_core::digest;
use baton_core::envelope::ArtifactKind;
use baton_core::outputs::CheckStatus;
use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_risk::RuleBook;
use serde_json::{Value, json};

use crate::command::Tried;
use crate::subject::Subject;
use crate::{Ran, session_policy_sha};

/// Names what a gate runs: two runs differ if any of this differs.
pub(crate) fn fingerprint(gate: &Gate, policy_sha256: &str) -> String {
    digest::sha256_canonical(&json!({
        "argv": gate.argv, "cwd": gate.cwd, "env": gate.env, "env_pass": gate.env_pass,
        "timeout_seconds": gate.timeout_seconds, "policy_sha256": policy_sha256,
    }))
}

fn head(session: &Session, subject: &Subject, gate: &Gate, ran: &Ran) -> Value {
    let policy = session_policy_sha(session);
    json!({
        "gate_id": gate.id, "name": gate.name, "status": ran.result.status, "note": ran.result.note,
        "base": subject.base.as_str(), "tree": subject.tree.as_str(), "patch_sha256": subject.patch_sha256,
        "policy_sha256": policy,
    })
}

/// Keeps a built-in gate's record.
pub(crate) fn keep_builtin(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    ran: &mut Ran,
    found: &[String],
) -> Result<(), Problem> {
    let mut record = head(session, subject, gate, ran);
    add(
        &mut record,
        json!({"kind": "builtin", "verdict_by": "baton", "found": found}),
    );
    keep(session, subject, gate, ran, &record, None)
}

/// Keeps a command gate's record and log.
pub(crate) fn keep_command(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    ran: &mut Ran,
    (tried, base): (&Tried, Option<&Tried>),
    book: &RuleBook<'_>,
) -> Result<(), Problem> {
    let stdout = &tried.finished.stdout;
    // What a test prints may hold what no log may keep.
    let log = baton_risk::masked(book, &stdout.log())?;
    let mut names: Vec<&str> = gate
        .env
        .keys()
        .chain(&gate.env_pass)
        .map(String::as_str)
        .collect();
    names.extend(["CI", "HOME", "LANG", "PATH", "TMPDIR"]);
    names.sort_unstable();
    names.dedup();
    let mut record = head(session, subject, gate, ran);
    add(
        &mut record,
        json!({
            "kind": "command", "verdict_by": "reported by code under test",
            "argv": gate.argv, "cwd": gate.cwd, "environment": names, "timeout_seconds": gate.timeout_seconds,
            "command_fingerprint": fingerprint(gate, &session_policy_sha(session)),
            "ended": tried.finished.ended.to_string(), "why": tried.why,
            "duration_ms": u64::try_from(tried.finished.duration.as_millis()).unwrap_or(u64::MAX),
            "isolation": "I1", "boundary": "none",
            "log_bytes_kept": log.len(), "log_bytes_total": stdout.total, "log_truncated": stdout.is_cut(),
            "log_sha256": digest::sha256(&log),
            "tests": tried.counts.as_ref().map(|counts| json!({"executed": counts.executed(), "failed": counts.failed})),
            "on_base": base.map(|base| json!({
                "passed": base.status == CheckStatus::Pass, "ended": base.finished.ended.to_string(), "why": base.why,
                "tests": base.counts.as_ref().map(|counts| json!({"executed": counts.executed(), "failed": counts.failed})),
            })),
            "reproduce": format!("gate-runner --task {} --only {}", session.common.task.clone().unwrap_or_else(|| "TASK".to_owned()), gate.id),
        }),
    );
    keep(session, subject, gate, ran, &record, Some(&log))
}

fn add(record: &mut Value, more: Value) {
    if let (Value::Object(record), Value::Object(more)) = (record, more) {
        record.extend(more);
    }
}

/// Writes the files into the task's evidence folder; a bare patch leaves nothing behind.
fn keep(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    ran: &mut Ran,
    record: &Value,
    log: Option<&[u8]>,
) -> Result<(), Problem> {
    if subject.task.is_none() {
        return Ok(());
    }
    let task = session.task()?;
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
    bytes.push(b'\n');
    let mut kept = Vec::new();
    if let Some(log) = log {
        kept.push(task.write_next(
            ArtifactKind::GateEvidence,
            &format!("evidence/{}.log", gate.id),
            log,
        )?);
    }
    kept.push(task.write_next(
        ArtifactKind::GateEvidence,
        &format!("evidence/{}.json", gate.id),
        &bytes,
    )?);
    ran.result.evidence_paths = kept.iter().map(|artifact| artifact.path.clone()).collect();
    ran.artifacts = kept;
    Ok(())
}
