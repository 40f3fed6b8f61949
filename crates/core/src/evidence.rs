//! What the kept results say of a candidate, and whether they can be believed.
//!
//! A kept envelope counts only if the log holds its digest, if it names this very candidate, and if
//! every evidence file it names still has its SHA-256. Anything else is D4.

mod gates;
pub mod manifest;
pub mod statements;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::audit::{Action, Event};
use crate::candidate::{self, Candidate};
use crate::decision::{Facts, SECRET_FOUND};
use crate::envelope::{Artifact, ArtifactKind, Envelope, Finding, Signals};
use crate::git::{ObjectStore, Repository};
use crate::outputs::{self, DiffRiskScan, PolicyFlags, RiskLevel};
use crate::policy::{Mode, Policy};
use crate::problem::Problem;
use crate::store::{Stop, Store, TaskFolder};

/// The entry of a decision's log line that says it was made in shadow mode.
pub const SHADOW: &str = "shadow";

/// The parts of a queue that the evidence of one task is judged with.
pub struct Court<'a> {
    /// The queue.
    pub store: &'a Store,
    /// The user's repository.
    pub repository: &'a Repository,
    /// Where the candidate's objects are.
    pub objects: &'a ObjectStore,
    /// The policy.
    pub policy: &'a Policy,
}

/// What the log holds of one event.
struct Line {
    outputs_sha256: String,
    policy_sha256: Option<String>,
}

/// The recorded events of one task by their ids, and the policy that is in force now.
struct Recorded {
    lines: HashMap<String, Line>,
    /// The last result of each skill in the task's present attempt.
    latest: HashMap<String, String>,
    /// The lines of runs that were refused.
    refused: HashSet<String>,
    /// Whether the attempt's last decision was made in shadow mode.
    in_shadow: bool,
    /// How risky whoever proposed the change holds it to be.
    opinion: RiskLevel,
    policy_sha256: String,
}

impl Court<'_> {
    /// Gathers the facts for the decision table. Nothing that is wrong with the evidence is an
    /// error here: it is a fact, and D4 speaks.
    ///
    /// # Errors
    /// `STORE_UNREACHABLE`: nobody knows what the evidence is.
    pub fn facts(&self, task: &TaskFolder) -> Result<Facts, Problem> {
        let mut facts = Facts::default();
        if let Stop::Present(why) = self.store.stop() {
            facts.stop.push(why);
        }
        if let Err(problem) = self.gather(task, &mut facts) {
            unbound_by(problem, &mut facts)?;
        }
        Ok(facts)
    }

    fn gather(&self, task: &TaskFolder, facts: &mut Facts) -> Result<(), Problem> {
        let candidate = task
            .candidate()?
            .ok_or_else(|| Problem::fail("CANDIDATE_MISSING", "there is no candidate"))?;
        let events = self.store.log()?.events_of(task.id().as_str())?;
        let events = || events.iter().map(|(event, _)| event);
        task.check_asked(events())?;
        let recorded = self.recorded(events());
        self.check_record(task, &candidate, &recorded)?;
        facts.opinion = recorded.opinion;
        let derived = candidate::verify(
            self.repository,
            self.objects,
            &candidate,
            &task.patch()?,
            &candidate::limits(self.policy),
        )?;
        self.store.approvals_for(&candidate)?;
        let kept = task.envelopes()?;
        facts.shadow = self.policy.mode == Mode::Shadow || recorded.in_shadow;
        let latest = |skill: &str| {
            kept.iter()
                .rev()
                .map(|kept| &kept.envelope)
                .find(|envelope| envelope.skill == skill)
        };
        match latest("diff-risk-scan") {
            None => facts
                .unbound
                .push("there is no diff-risk-scan result".to_owned()),
            Some(envelope) => match check_bound(task, &candidate, envelope, &recorded) {
                Err(problem) => unbound_by(problem, facts)?,
                Ok(()) => add_scan(envelope, facts)?,
            },
        }
        match latest("gate-runner") {
            None => facts
                .unbound
                .push("there is no gate-runner result".to_owned()),
            Some(envelope) => match check_bound(task, &candidate, envelope, &recorded) {
                Err(problem) => unbound_by(problem, facts)?,
                Ok(()) => gates::add_gates(envelope, self.policy, Some(&derived.changed), facts)?,
            },
        }
        Ok(())
    }

    /// What these lines hold, the task's own since it was submitted, chained to the signed head.
    fn recorded<'e>(&self, events: impl Iterator<Item = &'e Event>) -> Recorded {
        let mut lines = HashMap::new();
        let (mut latest, mut refused) = (HashMap::new(), HashSet::new());
        let (mut in_shadow, mut was_spared) = (false, false);
        let mut opinion = RiskLevel::Low;
        for event in events {
            let policy_sha256 = event
                .meta
                .get("policy_sha256")
                .and_then(|sha256| sha256.as_str());
            let line = Line {
                outputs_sha256: event.outputs_sha256.clone(),
                policy_sha256: policy_sha256.map(str::to_owned),
            };
            lines.insert(event.event_id.clone(), line);
            match event.action {
                // What the attempt before kept was set aside with it.
                Action::TaskRetried | Action::TaskRebased => {
                    latest.clear();
                    (in_shadow, was_spared) = (false, false);
                    // A change that is made anew on another base is the same change.
                    if event.action == Action::TaskRetried {
                        opinion = RiskLevel::Low;
                    }
                }
                Action::DecisionMade => in_shadow = says_shadow(event),
                // What was let through at one step is a matter for a person at all that follow.
                Action::TaskValidated => was_spared |= says_shadow(event),
                Action::PatchProposed | Action::RiskScanned | Action::GatesFinished => {
                    opinion = opinion.max(opinion_of(event));
                    latest.insert(event.skill.clone(), event.event_id.clone());
                }
                Action::Error => drop(refused.insert(event.event_id.clone())),
                _ => {}
            }
        }
        Recorded {
            lines,
            latest,
            refused,
            in_shadow: in_shadow || was_spared,
            opinion,
            policy_sha256: self.policy.sha256.clone(),
        }
    }

    /// The candidate's own record must be the one that patch-draft logged.
    fn check_record(
        &self,
        task: &TaskFolder,
        candidate: &Candidate,
        recorded: &Recorded,
    ) -> Result<(), Problem> {
        let kept = task.envelopes()?;
        // Who drafts once more, not knowing that the first run came through, is refused: that is no draft.
        let is_draft = |envelope: &&Envelope| {
            let was_refused = recorded.refused.contains(&envelope.audit.event_id);
            envelope.skill == "patch-draft-request" && !was_refused
        };
        let draft = kept.iter().map(|kept| &kept.envelope).rfind(is_draft);
        let Some(draft) = draft else {
            return Err(Problem::fail(
                "EVIDENCE_MISSING",
                "there is no patch-draft result for the candidate",
            ));
        };
        check_bound(task, candidate, draft, recorded)
    }
}

/// What a proposer's opinion is called in the log.
pub const OPINION: &str = "opinion";

fn opinion_of(event: &Event) -> RiskLevel {
    let said = event.meta.get(OPINION).cloned();
    said.and_then(|level| serde_json::from_value(level).ok())
        .unwrap_or(RiskLevel::Low)
}

/// Whether a step was taken in shadow mode, and let something through.
fn says_shadow(event: &Event) -> bool {
    let says = event.meta.get(SHADOW).and_then(|says| says.as_str());
    says == Some("yes")
}

fn add_scan(envelope: &Envelope, facts: &mut Facts) -> Result<(), Problem> {
    let data: DiffRiskScan = outputs::from_map(&envelope.data)?;
    let scan = Scanned {
        flags: data.policy_flags,
        signals: envelope.signals.unwrap_or_default(),
        level: data.risk_level,
        findings: &envelope.findings,
    };
    add_scanned(&scan, facts);
    Ok(())
}

/// What a scan came to, as far as the decision table asks.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// The five flags.
    pub flags: PolicyFlags,
    /// The same for the chain.
    pub signals: Signals,
    /// How risky the change is.
    pub level: RiskLevel,
    /// What was found.
    pub findings: &'a [Finding],
}

/// The facts that a policy would have before it, were it in force: a scan under it, and the gates as they
/// ran, on the paths that changed. That evidence is bound is not asked.
///
/// # Errors
/// `UPSTREAM_INVALID`.
pub fn replayed(
    scan: &Scanned<'_>,
    gates: Option<(&Envelope, &[Vec<u8>])>,
    policy: &Policy,
) -> Result<Facts, Problem> {
    let mut facts = Facts {
        shadow: policy.mode == Mode::Shadow,
        ..Facts::default()
    };
    add_scanned(scan, &mut facts);
    if let Some((envelope, changed)) = gates {
        gates::add_gates(envelope, policy, Some(changed), &mut facts)?;
    }
    Ok(facts)
}

fn add_scanned(scan: &Scanned<'_>, facts: &mut Facts) {
    let flags = scan.flags;
    add_signals(&scan.signals, facts);
    for (seen, what) in [
        (flags.allowlist_violation, "allowlist violation"),
        (flags.delete_detected, "a file is deleted or emptied"),
        (flags.external_io_attempt, "external IO"),
    ] {
        push_once(seen, what, &mut facts.forbidden);
    }
    push_once(
        flags.protected_zone_touched,
        "a protected zone is touched",
        &mut facts.sensitive,
    );
    push_once(
        flags.lockfile_touched,
        "a lockfile is touched",
        &mut facts.sensitive,
    );
    let findings = scan.findings.iter();
    let secrets = findings.filter(|finding| finding.code == SECRET_FOUND);
    facts
        .secret
        .extend(secrets.map(|finding| finding.message.clone()));
    facts.risk = facts.risk.max(scan.level);
}

/// Adds what the chain saw; a signal once seen is never lost.
pub fn add_signals(signals: &Signals, facts: &mut Facts) {
    push_once(
        signals.stop_detected,
        "a step before saw STOP",
        &mut facts.stop,
    );
    push_once(
        signals.allowlist_violation,
        "allowlist violation",
        &mut facts.forbidden,
    );
    push_once(
        signals.delete_detected,
        "a file is deleted or emptied",
        &mut facts.forbidden,
    );
    push_once(
        signals.external_io_attempt,
        "external IO",
        &mut facts.forbidden,
    );
    push_once(
        signals.protected_zone_touched == Some(true),
        "a protected zone is touched",
        &mut facts.sensitive,
    );
    push_once(
        signals.lockfile_touched == Some(true),
        "a lockfile is touched",
        &mut facts.sensitive,
    );
}

fn push_once(seen: bool, what: &str, list: &mut Vec<String>) {
    if seen && !list.iter().any(|known| known == what) {
        list.push(what.to_owned());
    }
}

/// Adds what envelopes say that were handed in as files, where there is no queue to check them
/// against. They must at least name one and the same candidate.
///
/// # Errors
/// `UPSTREAM_INVALID`.
pub fn facts_of_files(
    scan: Option<&Envelope>,
    gates: Option<&Envelope>,
    policy: &Policy,
) -> Result<Facts, Problem> {
    let mut facts = Facts::default();
    match scan {
        None => facts
            .unbound
            .push("no diff-risk-scan result was given".to_owned()),
        Some(envelope) => add_scan(envelope, &mut facts)?,
    }
    match gates {
        None => facts
            .unbound
            .push("no gate-runner result was given".to_owned()),
        Some(envelope) => gates::add_gates(envelope, policy, None, &mut facts)?,
    }
    let names: Vec<_> = [scan, gates]
        .into_iter()
        .flatten()
        .map(candidate_name)
        .collect();
    if names.iter().any(Option::is_none) || names.windows(2).any(|pair| pair.first() != pair.last())
    {
        facts
            .unbound
            .push("the results do not name one and the same candidate".to_owned());
    }
    for envelope in [scan, gates].into_iter().flatten() {
        let wrong = !matches!(
            envelope.status,
            crate::envelope::Status::Ok | crate::envelope::Status::Fail
        );
        push_once(
            wrong,
            "a result ended with DENY, ZERO_STOP or PARTIAL",
            &mut facts.unbound,
        );
    }
    Ok(facts)
}

fn candidate_name(envelope: &Envelope) -> Option<String> {
    let named = envelope
        .artifacts
        .iter()
        .rev()
        .find(|artifact| artifact.note_value("tree").is_some())?;
    Some(format!(
        "{} {}",
        named.note_value("base")?,
        named.note_value("tree")?
    ))
}

/// What is wrong with the evidence is a fact. A database that went away says nothing of it.
fn unbound_by(problem: Problem, facts: &mut Facts) -> Result<(), Problem> {
    if problem.code == "STORE_UNREACHABLE" {
        return Err(problem);
    }
    facts.unbound.push(problem.to_string());
    Ok(())
}

/// Checks one kept envelope: recorded as it is, under this policy, about this candidate, its files
/// unchanged.
///
/// # Errors
/// `EVIDENCE_CHANGED`, `EVIDENCE_UNBOUND`.
fn check_bound(
    task: &TaskFolder,
    candidate: &Candidate,
    envelope: &Envelope,
    recorded: &Recorded,
) -> Result<(), Problem> {
    let line = recorded.lines.get(&envelope.audit.event_id);
    let Some(line) = line.filter(|line| line.outputs_sha256 == envelope.payload_sha256()) else {
        return Err(Problem::fail(
            "EVIDENCE_CHANGED",
            format!(
                "the kept result of {} is not the one that the log records",
                envelope.skill
            ),
        ));
    };
    if line.policy_sha256.as_ref() != Some(&recorded.policy_sha256) {
        return Err(unbound(
            envelope,
            "another policy than the one in force now",
        ));
    }
    // A later result that was taken away must not let an earlier one speak.
    if recorded.latest.get(&envelope.skill) != Some(&envelope.audit.event_id) {
        return Err(Problem::fail(
            "EVIDENCE_MISSING",
            format!(
                "the log records a later result of {} than the one that is kept",
                envelope.skill
            ),
        ));
    }
    if envelope.task.task_id != task.id().as_str() {
        return Err(unbound(envelope, "another task"));
    }
    let names_it = |artifact: &&Artifact| {
        artifact.note_value("base") == Some(&candidate.base)
            && artifact.note_value("tree") == Some(&candidate.tree)
            && artifact.note_value("patch") == Some(&candidate.patch_sha256)
    };
    if !envelope
        .artifacts
        .iter()
        .any(|artifact| names_it(&artifact))
    {
        return Err(unbound(envelope, "another candidate, or names none"));
    }
    for artifact in &envelope.artifacts {
        // Locks and the log change by design; everything else is evidence.
        if matches!(
            artifact.kind,
            ArtifactKind::LockFile | ArtifactKind::AuditLog
        ) {
            continue;
        }
        task.read_artifact(artifact)?;
    }
    Ok(())
}

fn unbound(envelope: &Envelope, what: &str) -> Problem {
    Problem::fail(
        "EVIDENCE_UNBOUND",
        format!("the kept result of {} is about {what}", envelope.skill),
    )
}
