//! What is kept of a draft: the reply, the words that came with it, the report.

use baton_core::envelope::{Artifact, ArtifactKind, Finding, Severity};
use baton_core::masking;
use baton_core::problem::Problem;
use baton_core::report::{self, Report, ReportStatus};
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_risk::RuleBook;

use crate::draft::Drafted;
use crate::reply::{Refusal, Rejected, Repair, RepairId, explain_codes};

/// What a problem is called when the folder is another's by now.
pub(crate) const LEASE_LOST: &str = "LEASE_LOST";
/// How many repairs or refusals are findings; all are in the report.
const MOST_FINDINGS: usize = 50;
/// How many refusals of one reply the report holds.
const MOST_REFUSALS: usize = 100;

/// A text as it may be kept: without what the secret rules know.
pub(crate) fn masked(session: &Session, text: &[u8]) -> Result<Vec<u8>, Problem> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    baton_risk::masked(&RuleBook::of_session(session)?, text)
}

/// Keeps a reply that could not be used, so that nothing paid for is lost.
pub(crate) fn refused(task: &TaskFolder, text: &[u8], problem: Problem) -> Problem {
    if problem.code == LEASE_LOST {
        return problem;
    }
    match task.write_next(ArtifactKind::Other, "evidence/refused.txt", text) {
        Ok(kept) => problem.hint(format!("the text is kept at {}", kept.path)),
        Err(trouble) => problem.hint(format!("the text could not be kept: {}", trouble.message)),
    }
}

/// Keeps the notes and, where somebody was asked, what they answered.
pub(crate) fn words(
    task: &TaskFolder,
    drafted: &Drafted,
    notes: Option<&str>,
) -> Result<Vec<Artifact>, Problem> {
    let words = format!(
        "# Rationale of {}\n\n{}\n",
        task.id(),
        notes.unwrap_or("No notes came with the patch.")
    );
    let mut kept = vec![task.write_new(ArtifactKind::Other, "rationale.md", words.as_bytes())?];
    if drafted.was_asked() || drafted.format.is_some() {
        kept.push(task.write_next(ArtifactKind::Other, "evidence/reply.txt", &drafted.text)?);
    }
    Ok(kept)
}

/// The report: what was done, with what, and what comes next.
pub(crate) fn report(
    session: &Session,
    task: &TaskFolder,
    drafted: &Drafted,
    status: ReportStatus,
    notes: &str,
) -> Result<Report, Problem> {
    let id = task.id();
    let next = match status {
        ReportStatus::Proposed => format!("baton run {id}"),
        ReportStatus::NeedInput => {
            format!("answer in the task and submit it again, or: baton retry {id}")
        }
        ReportStatus::Refused => format!("patch-draft --task {id}, with another reply"),
    };
    let manifest = session.manifest()?;
    let path = task.path("draft.patch");
    let mut report = Report::new(
        id,
        status,
        &drafted.model,
        notes,
        &path,
        vec![next],
        &manifest,
    );
    report.reply_format = drafted.format.map(|format| format.name().to_owned());
    report.matched = drafted.matched();
    report.repairs = drafted.repairs().iter().map(repair).collect();
    report.attempts.clone_from(&drafted.attempts);
    Ok(report)
}

fn repair(repair: &Repair) -> report::Repair {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    report::Repair {
        id: repair.id.as_str().to_owned(),
        path: repair.path.clone(),
        hunk: count(repair.hunk),
        line: count(repair.line),
        before: masking::text(&repair.before).into_owned(),
        after: masking::text(&repair.after).into_owned(),
    }
}

/// The refusals of one reply for the report.
pub(crate) fn refusals(rejected: &Rejected) -> Vec<report::Refusal> {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let refusals = rejected.refusals.iter().take(MOST_REFUSALS);
    refusals
        .map(|refusal| report::Refusal {
            code: refusal.code.as_str().to_owned(),
            path: refusal.path.clone(),
            hunk: count(refusal.hunk),
            line: count(refusal.line),
            message: refusal.message.clone(),
            hint: refusal.code.hint().to_owned(),
        })
        .collect()
}

/// One finding for each repair.
pub(crate) fn repaired(repairs: &[Repair]) -> Vec<Finding> {
    // The guessed ones are never those left out.
    let mut sorted: Vec<&Repair> = repairs.iter().collect();
    sorted.sort_by_key(|repair| !repair.id.is_fuzzy());
    let mut findings: Vec<Finding> = sorted
        .iter()
        .take(MOST_FINDINGS)
        .map(|repair| one(repair))
        .collect();
    if sorted.len() > MOST_FINDINGS {
        let more = sorted.len() - MOST_FINDINGS;
        let message = format!("{more} more repairs are in report.json");
        findings.push(Finding::new(
            Severity::Info,
            explain_codes::REPAIRED,
            message,
        ));
    }
    findings
}

fn one(repair: &Repair) -> Finding {
    let (severity, code) = match repair.id.is_fuzzy() {
        true => (Severity::Medium, explain_codes::FUZZY),
        false => (Severity::Info, explain_codes::REPAIRED),
    };
    let place = match (&repair.path, repair.hunk) {
        (Some(path), 0) => format!("{path}, "),
        (Some(path), hunk) => format!("{path}, hunk {hunk}, "),
        (None, _) => String::new(),
    };
    let about = RepairId::about(repair.id).trim_end_matches('.');
    Finding::new(
        severity,
        code,
        format!(
            "{}: {place}line {} of the reply: {about}: \"{}\" became \"{}\"",
            repair.id.as_str(),
            repair.line,
            masking::excerpt(&repair.before, 80),
            masking::excerpt(&repair.after, 80)
        ),
    )
}

/// A reply that was turned down, as a problem: the first refusal speaks, all are findings.
pub(crate) fn problem(rejected: &Rejected) -> Problem {
    let say = |refusal: &Refusal| format!("{}: {}", refusal.place(), refusal.message);
    let Some(first) = rejected.refusals.first() else {
        return Problem::fail("REPLY_EMPTY", "the reply holds nothing");
    };
    let others = rejected.refusals.iter().skip(1).take(MOST_FINDINGS);
    let others = others.map(|refusal| {
        let message = format!("{}; next: {}", say(refusal), refusal.code.hint());
        Finding::new(Severity::High, refusal.code.as_str(), message)
    });
    Problem::fail(first.code.as_str(), say(first))
        .hint(first.code.hint())
        .with_findings(others)
}
