//! What each gate leaves behind: a record for programs, a log for people.

use std::collections::BTreeMap;

use baton_core::digest;
use baton_core::envelope::ArtifactKind;
use baton_core::outputs::CheckStatus;
use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::Begun;
use baton_core::{masking, terminal, wire};
use baton_risk::RuleBook;
use baton_sandbox::Refused;
use serde_json::{Value, json};

use crate::attempt::Attempt;
use crate::cache::Cache;
use crate::counts::{Comparison, Report, Verdict};
use crate::job::{self, Runs, Taken, Which};
use crate::subject::Subject;
use crate::{Ran, session_policy_sha};

/// So many test names a record holds of each kind.
const MOST_NAMES: usize = 100;

fn head(session: &Session, subject: &Subject, gate: &Gate, ran: &Ran) -> Value {
    let policy = session_policy_sha(session);
    json!({
        "gate_id": gate.id, "name": gate.name, "status": ran.result.status, "note": ran.result.note,
        "base": subject.base.as_str(), "tree": subject.tree.as_str(), "patch_sha256": subject.patch_sha256,
        "policy_sha256": policy,
    })
}

/// Keeps a built-in gate's record.
pub(crate) fn builtin(
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
    // What was found names files, and a file's name is the change's own word.
    masking::value(&mut record);
    write(session, subject, gate, ran, (&record, None), &[])
}

/// Keeps what command gates do. The log of each is there, made by us and by nobody else, before the gate
/// starts.
pub(crate) struct Keeper<'a, 'p> {
    session: &'a Session,
    book: &'a RuleBook<'p>,
    cache: &'a Cache,
    begun: BTreeMap<String, Begun>,
}

impl<'a, 'p> Keeper<'a, 'p> {
    pub(crate) fn new(session: &'a Session, book: &'a RuleBook<'p>, cache: &'a Cache) -> Self {
        Self {
            session,
            book,
            cache,
            begun: BTreeMap::new(),
        }
    }

    /// Makes the log of a gate that is about to start.
    pub(crate) fn begin(&mut self, subject: &Subject, gate: &Gate) -> Result<(), Problem> {
        if subject.task.is_some() {
            let log = self.session.task()?.begin_log(&gate.id)?;
            self.begun.insert(gate.id.clone(), log);
        }
        Ok(())
    }

    /// Keeps what it did, or why it did nothing.
    pub(crate) fn gate(
        &mut self,
        subject: &Subject,
        gate: &Gate,
        taken: Taken,
    ) -> Result<Ran, Problem> {
        let (session, book) = (self.session, self.book);
        match taken.on {
            Err(refused) if refused.code == "STOPPED" => Ok(Ran {
                stopped: true,
                ..Ran::skip(gate, "STOP_PRESENT")
            }),
            Err(refused) => not_run(session, subject, gate, (&refused, book)),
            Ok(mut runs) => {
                mask(book, &mut runs)?;
                let told = (&taken.tools, taken.version.as_deref());
                let log = self.begun.remove(&gate.id);
                let mut ran = run(session, subject, gate, &runs, (told, log, book))?;
                if let Some(task) = subject.results_of() {
                    let attempt = |which| match which {
                        Which::Candidate => Some(&runs.candidate),
                        Which::Base => runs.base.as_ref(),
                    };
                    let entries: Vec<_> = taken
                        .fresh
                        .into_iter()
                        .filter_map(|(key, which)| {
                            Some(job::entry(key, gate, task, attempt(which)?))
                        })
                        .collect();
                    ran.results = self.cache.keep(&entries)?;
                }
                Ok(ran)
            }
        }
    }

    /// Takes the logs away of gates that did not run after all.
    pub(crate) fn close(self) -> Result<(), Problem> {
        for log in self.begun.values() {
            self.session.task()?.give_back(log)?;
        }
        Ok(())
    }
}

/// What a test prints may hold what no log may keep.
fn mask(book: &RuleBook<'_>, runs: &mut Runs) -> Result<(), Problem> {
    let others = [&mut runs.base, &mut runs.with_base_files, &mut runs.again];
    let others = others.into_iter().flatten();
    for attempt in others.chain([&mut runs.candidate]) {
        // A log that was kept is masked already; doing it again changes nothing.
        attempt.log = terminal::visible(&baton_risk::masked(book, &attempt.log)?);
        if let Some(why) = &mut attempt.unreadable {
            *why = masked(book, why)?;
        }
        masking::value(&mut attempt.sandbox);
        if let Some(cases) = attempt
            .tests
            .as_mut()
            .and_then(|tests| tests.cases.as_mut())
        {
            mask_names(book, cases)?;
        }
    }
    Ok(())
}

/// Masks the names of tests. Two that differ still do: names are held against the base's.
fn mask_names(book: &RuleBook<'_>, cases: &mut BTreeMap<String, Verdict>) -> Result<(), Problem> {
    let names: Vec<&str> = cases.keys().map(String::as_str).collect();
    let all = names.join("\n");
    // Seldom is there anything to mask, and one look at all costs less than one at each.
    if baton_risk::masked(book, all.as_bytes())? == all.as_bytes() {
        return Ok(());
    }
    let mut shown = BTreeMap::new();
    for (name, verdict) in std::mem::take(cases) {
        let mut kept = masked(book, &name)?;
        if kept != name {
            let digest = digest::sha256(name.as_bytes());
            kept.push_str(" #");
            kept.push_str(digest.get(..8).unwrap_or_default());
        }
        shown.insert(kept, verdict);
    }
    *cases = shown;
    Ok(())
}

fn not_run(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    (refused, book): (&Refused, &RuleBook<'_>),
) -> Result<Ran, Problem> {
    let note = format!(
        "{}: {} (next: {})",
        refused.code, refused.message, refused.fix
    );
    let note = masked(book, &note)?;
    let mut ran = Ran::skip(gate, note);
    let mut record = head(session, subject, gate, &ran);
    add(
        &mut record,
        json!({"kind": "command", "argv": gate.argv, "not_run": refused}),
    );
    wire::each_text(&mut record, &|text| masked(book, text))?;
    write(session, subject, gate, &mut ran, (&record, None), &[])?;
    Ok(ran)
}

fn run(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    runs: &Runs,
    ((tools, version), log, book): ((&Value, Option<&str>), Option<Begun>, &RuleBook<'_>),
) -> Result<Ran, Problem> {
    let (status, why) = runs.verdict();
    let mut ran = Ran::new(gate, status, note(runs, why));
    ran.stopped = runs.is_stopped();
    ran.isolation = Some(runs.candidate.isolation);
    ran.duration_ms = runs.candidate.duration_ms;
    if status != CheckStatus::Pass {
        ran.failing = runs.telling_lines();
    }
    let comparison = runs.comparison();
    if let Some(comparison) = &comparison {
        ran.missing.clone_from(&comparison.missing);
    }
    let mut record = head(session, subject, gate, &ran);
    let task = session.common.task.clone();
    add(
        &mut record,
        json!({
            "kind": "command", "verdict_by": "reported by code under test",
            "argv": gate.argv, "cwd": gate.cwd, "why": why,
            "command_fingerprint": gate.fingerprint(&session_policy_sha(session)),
            "tools": tools, "version": version,
            "candidate": account(&runs.candidate),
            "cached": runs.cached,
            "on_base": runs.base.as_ref().map(account),
            "with_base_files": runs.with_base_files.as_ref().map(account),
            "again": runs.again.as_ref().map(account),
            "beside_base": comparison.as_ref().map(compared),
            "flaky": runs.is_flaky(),
            "reproduce": format!("gate-runner --task {} --only {} --no-cache", task.unwrap_or_else(|| "TASK".to_owned()), gate.id),
        }),
    );
    let mut logs = vec![(String::new(), runs.candidate.log.as_slice())];
    for (name, attempt) in [
        (".base", &runs.base),
        (".base-files", &runs.with_base_files),
        (".again", &runs.again),
    ] {
        logs.extend(
            attempt
                .as_ref()
                .map(|attempt| (name.to_owned(), attempt.log.as_slice())),
        );
    }
    // Names of tests and of files are the change's own words.
    wire::each_text(&mut record, &|text| masked(book, text))?;
    write(session, subject, gate, &mut ran, (&record, log), &logs)?;
    Ok(ran)
}

/// One text of the change's as it may be kept: without secrets, on one line.
fn masked(book: &RuleBook<'_>, text: &str) -> Result<String, Problem> {
    let masked = baton_risk::masked(book, text.as_bytes())?;
    Ok(terminal::visible_line(&String::from_utf8_lossy(&masked)))
}

fn account(attempt: &Attempt) -> Value {
    json!({
        "tree": attempt.tree, "passed": attempt.status == CheckStatus::Pass, "why": attempt.why,
        "ended": attempt.ended, "isolation": attempt.isolation, "duration_ms": attempt.duration_ms,
        "tests": attempt.tests.as_ref().map(tests), "unreadable": attempt.unreadable, "sandbox": attempt.sandbox,
        "log_sha256": digest::sha256(&attempt.log), "log_bytes_kept": attempt.log.len(),
    })
}

/// The counts, and the names of what failed.
fn tests(report: &Report) -> Value {
    let failed = report.cases.iter().flatten();
    let failed: Vec<_> = failed
        .filter(|(_, verdict)| **verdict == Verdict::Failed)
        .map(|(name, _)| name)
        .take(MOST_NAMES)
        .collect();
    json!({
        "passed": report.passed, "failed": report.failed, "skipped": report.skipped,
        "read_from": report.source, "named": report.complete, "failed_names": failed,
    })
}

fn compared(comparison: &Comparison) -> Value {
    let some = |names: &[String]| json!({"count": names.len(), "names": names.iter().take(MOST_NAMES).collect::<Vec<_>>()});
    json!({
        "new_failures": some(&comparison.new_failures), "broken_before": some(&comparison.broken_before),
        "mended": some(&comparison.mended), "missing": some(&comparison.missing),
        "newly_skipped": some(&comparison.newly_skipped), "fewer": comparison.fewer,
        "more_failed": comparison.more_failed, "names_lost": comparison.names_lost,
    })
}

/// The note: key=value pairs that programs read.
fn note(runs: &Runs, why: &str) -> String {
    let tried = &runs.candidate;
    let mut note = format!(
        "{why} ended={} duration_ms={} isolation={}",
        tried.ended,
        tried.duration_ms,
        tried.isolation.name()
    );
    if let Some(tests) = &tried.tests {
        note.push_str(&format!(
            " tests={} failed={}",
            tests.executed(),
            tests.failed
        ));
    }
    if let Some(base) = &runs.base {
        let passed = base.status == CheckStatus::Pass;
        note.push_str(if passed { " base=PASS" } else { " base=FAIL" });
        if let Some(tests) = &base.tests {
            note.push_str(&format!(" base_tests={}", tests.executed()));
        }
        if tried.status == CheckStatus::Fail && runs.is_new() {
            note.push_str(" new=yes");
        }
    }
    for (is_so, word) in [
        (runs.is_flaky(), " flaky=yes"),
        (runs.cached.is_some(), " cached=yes"),
    ] {
        if is_so {
            note.push_str(word);
        }
    }
    note
}

fn add(record: &mut Value, more: Value) {
    if let (Value::Object(record), Value::Object(more)) = (record, more) {
        record.extend(more);
    }
}

/// Writes the files into the task's evidence folder; a bare patch leaves nothing behind.
fn write(
    session: &Session,
    subject: &Subject,
    gate: &Gate,
    ran: &mut Ran,
    (record, mut begun): (&Value, Option<Begun>),
    logs: &[(String, &[u8])],
) -> Result<(), Problem> {
    if subject.task.is_none() {
        return Ok(());
    }
    let task = session.task()?;
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
    bytes.push(b'\n');
    let mut kept = Vec::new();
    for (name, log) in logs {
        let begun = begun.take_if(|_| name.is_empty());
        let begun = match begun {
            Some(begun) => begun,
            None => task.begin_log(&format!("{}{name}", gate.id))?,
        };
        kept.push(task.fill(begun, ArtifactKind::GateEvidence, log)?);
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
