//! One task with everything that was recorded of it, under the policy of its time.

use std::path::PathBuf;

use baton_core::accepted;
use baton_core::attestation::Verified;
use baton_core::audit;
use baton_core::audit::{Action, Checked, Event};
use baton_core::candidate::{self, Candidate};
use baton_core::decision::{Facts, decide};
use baton_core::envelope::{Decision, Envelope};
use baton_core::evidence::{Court, statements};
use baton_core::git::{ObjectStore, Repository};
use baton_core::outputs::{self, CheckStatus, DiffRiskScan, GateRunner};
use baton_core::policy::{Condition, Policy};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_transparency::VerifyingKey;
use serde_json::Value;

use super::super::replayed::{Replayed, Rules};
use super::points::{Found, Point};
use super::{kept, landing, record};

/// What the one who checks brings along.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// Public keys of logs.
    pub(super) keys: Option<Vec<VerifyingKey>>,
    /// Checkpoints that were kept.
    pub(super) against: Vec<PathBuf>,
    /// Everything else came from somebody else in one file.
    pub(super) is_bundle: bool,
    /// The repository that the caller stands in, where everything else came in a file.
    pub(super) clone: Option<Repository>,
}

/// A task under examination.
pub(super) struct Case<'s> {
    pub(super) session: &'s Session,
    pub(super) trust: &'s Trust,
    pub(super) task: &'s TaskFolder,
    /// Its lines of the log, from its submission on.
    pub(super) events: Vec<Event>,
    candidate: Result<Option<Candidate>, Problem>,
    pub(super) envelopes: Vec<Envelope>,
    /// What the whole log came to.
    log: Result<Checked, Problem>,
    /// The policy that it was decided under; before a decision the one of now.
    policy: Result<Policy, Problem>,
}

impl<'s> Case<'s> {
    /// Reads what there is.
    pub(super) fn open(session: &'s Session, trust: &'s Trust) -> Result<Self, Problem> {
        let task = session.task()?;
        let log = session.store()?.log()?;
        let checked = log.check(0);
        let events = log.events_of(task.id().as_str()).unwrap_or_default();
        let events: Vec<_> = events.into_iter().map(|(event, _)| event).collect();
        let policy = policy_of(session, &events);
        let kept = task.envelopes().unwrap_or_default();
        Ok(Self {
            session,
            trust,
            task,
            events,
            candidate: task.candidate(),
            envelopes: kept.into_iter().map(|kept| kept.envelope).collect(),
            log: checked,
            policy,
        })
    }

    /// Checks everything. Where nothing is there yet, there is no point.
    pub(super) fn points(&self) -> Vec<Point> {
        let log = self.log.as_ref().map_err(Clone::clone);
        let of_log = |check: fn(&Self, &Checked) -> Result<Found, Problem>| {
            log.clone().and_then(|checked| check(self, checked))
        };
        let mut points = vec![
            Point::of("audit log", of_log(record::log)),
            Point::of("key of the log", of_log(record::key)),
            Point::of("place in the queue", of_log(record::place)),
            Point::of("events in order", record::order(self)),
            Point::of("task as submitted", record::task(self)),
            Point::of("kept results", kept::results(self)),
            Point::of("policy in force", record::in_force(self)),
            Point::of(
                "policy of the time",
                record::policy(self, self.policy.as_ref().ok()),
            ),
        ];
        points.extend(self.points_of_candidate());
        points.retain(|point| point.found != Found::Nothing);
        points
    }

    /// Those that need the candidate, or say that it is gone.
    fn points_of_candidate(&self) -> Vec<Point> {
        let candidate = match &self.candidate {
            Ok(Some(candidate)) => candidate,
            Ok(None) if kept::must_have_candidate(self) => {
                let why = "the log says that there was one, and candidate.json is gone";
                return vec![Point::of("candidate", Ok(Found::Differs(why.to_owned())))];
            }
            Ok(None) => return Vec::new(),
            Err(problem) => return vec![Point::of("candidate", Err(problem.clone()))],
        };
        let statements = self.check_statements(candidate);
        vec![
            Point::of("candidate", self.check_candidate(candidate)),
            Point::of("risk, scanned again", self.check_risk(candidate)),
            Point::of("gates as defined then", self.check_gates()),
            Point::of("evidence", self.check_evidence()),
            Point::of("decision", self.check_decision()),
            Point::of("evidence manifest and statements", statements),
            Point::of("approvals", landing::approvals(self, candidate)),
            Point::of("keys of the signers", landing::signers(self, candidate)),
            Point::of("landed commit", landing::landed(self, candidate)),
        ]
    }

    /// The policy of the time.
    pub(super) fn policy(&self) -> Result<&Policy, Problem> {
        self.policy.as_ref().map_err(Clone::clone)
    }

    /// The lines since the present attempt began.
    pub(super) fn attempt(&self) -> &[Event] {
        let anew =
            |event: &Event| matches!(event.action, Action::TaskRetried | Action::TaskRebased);
        let from = self.events.iter().rposition(anew).unwrap_or(0);
        self.events.get(from..).unwrap_or_default()
    }

    /// The last result of a skill that is kept.
    pub(super) fn latest(&self, skill: &str) -> Option<&Envelope> {
        self.envelopes.iter().rev().find(|one| one.skill == skill)
    }

    /// Applies the canonical patch to the base once more, in a throw-away object store.
    fn check_candidate(&self, candidate: &Candidate) -> Result<Found, Problem> {
        let repository = self.session.repository()?;
        let (_folder, objects) = ObjectStore::temporary(repository)?;
        let limits = candidate::limits(self.policy()?);
        candidate::verify(
            repository,
            &objects,
            candidate,
            &self.task.patch()?,
            &limits,
        )?;
        Ok(Found::Holds)
    }

    /// Scans the change under the rules of the time. What a scan saw in the checkout of the time, trees
    /// do not tell.
    fn check_risk(&self, candidate: &Candidate) -> Result<Found, Problem> {
        let Some(scan) = self.latest("diff-risk-scan") else {
            return Ok(Found::Nothing);
        };
        let then: DiffRiskScan = outputs::from_map(&scan.data)?;
        let policy = self.policy()?;
        let folder = accepted::folder(self.session.store()?, &policy.sha256)?;
        let rules = Rules::of(policy, folder.path())?;
        let again = Replayed::of(self.session, policy, self.task, candidate)?;
        let now = again.scan(&rules)?;
        let names = |flags: outputs::PolicyFlags| {
            let all = [
                ("allowlist_violation", flags.allowlist_violation),
                ("protected_zone_touched", flags.protected_zone_touched),
                ("lockfile_touched", flags.lockfile_touched),
                ("delete_detected", flags.delete_detected),
                ("external_io_attempt", flags.external_io_attempt),
            ];
            let set = all.into_iter().filter(|(_, set)| *set);
            set.map(|(name, _)| name).collect::<Vec<_>>()
        };
        let (was, is) = (names(then.policy_flags), names(now.flags));
        let says = format!(
            "recorded {} with {}, found now {} with {}",
            then.risk_level,
            was.join(" "),
            now.level,
            is.join(" ")
        );
        if is.iter().any(|flag| !was.contains(flag)) || now.level > then.risk_level {
            return Ok(Found::Differs(says));
        }
        Ok(if was == is && now.level == then.risk_level {
            Found::Holds
        } else {
            Found::Unknown(says)
        })
    }

    /// Whether the gates that ran are those that the policy of the time defines.
    fn check_gates(&self) -> Result<Found, Problem> {
        let Some(envelope) = self.latest("gate-runner") else {
            return Ok(Found::Nothing);
        };
        let policy = self.policy()?;
        let data: GateRunner = outputs::from_map(&envelope.data)?;
        let starts = self.attempt().iter();
        let mut starts = starts.filter(|event| event.action == Action::GatesStarted);
        let started = starts
            .next_back()
            .and_then(|event| event.meta.get("commands")?.as_str());
        let defined = policy.gate_fingerprints();
        if started.is_some_and(|started| started != defined) {
            let why = "the log says that other gates were started than the policy defines";
            return Ok(Found::Differs(why.to_owned()));
        }
        for gate in policy.gates.iter().filter(|gate| gate.is_command()) {
            let result = data.gates.iter().find(|result| result.gate_id == gate.id);
            let Some(result) = result.filter(|result| result.status != CheckStatus::Skip) else {
                continue;
            };
            let record = result
                .evidence_paths
                .iter()
                .find(|path| path.ends_with(".json"));
            let artifact = envelope.artifacts.iter().rev();
            let artifact = artifact.into_iter().find(|one| Some(&one.path) == record);
            let record: Value = match artifact {
                Some(artifact) => serde_json::from_slice(&self.task.read_artifact(artifact)?)
                    .map_err(|error| Problem::fail("EVIDENCE_CHANGED", error.to_string()))?,
                None => Value::Null,
            };
            let ran = record.get("command_fingerprint").and_then(Value::as_str);
            if ran != Some(&*gate.fingerprint(&policy.sha256)) {
                let why = format!("{} ran something else than the policy defines", gate.id);
                return Ok(Found::Differs(why));
            }
        }
        Ok(Found::Holds)
    }

    /// What the evidence says, under the policy of the time.
    fn facts(&self) -> Result<Facts, Problem> {
        let repository = self.session.repository()?;
        let (_folder, objects) = ObjectStore::temporary(repository)?;
        let court = Court {
            store: self.session.store()?,
            repository,
            objects: &objects,
            policy: self.policy()?,
        };
        let mut facts = court.facts(self.task)?;
        // STOP says something of the present, not of this task.
        facts.stop.clear();
        Ok(facts)
    }

    fn check_evidence(&self) -> Result<Found, Problem> {
        let mut unbound = self.facts()?.unbound;
        // Work that was never recorded is not missing.
        let has = |action| self.attempt().iter().any(|event| event.action == action);
        for (skill, action) in [
            ("diff-risk-scan", Action::RiskScanned),
            ("gate-runner", Action::GatesFinished),
        ] {
            if !has(action) {
                unbound.retain(|why| *why != format!("there is no {skill} result"));
            }
        }
        Ok(unbound
            .into_iter()
            .next()
            .map_or(Found::Holds, Found::Differs))
    }

    /// Asks the table of the time again. A STOP of the time is in the log and nowhere else.
    fn check_decision(&self) -> Result<Found, Problem> {
        let made = self.attempt().iter().rev();
        let mut made = made.filter(|event| event.action == Action::DecisionMade);
        let Some(made) = made.next() else {
            return Ok(Found::Nothing);
        };
        let policy = self.policy()?;
        let named = |when: Condition| {
            let rule = policy.decision_rules.iter().find(|rule| rule.when == when);
            rule.map(|rule| rule.id.as_str()).unwrap_or_default()
        };
        let (stop, otherwise) = (named(Condition::StopPresent), named(Condition::Otherwise));
        let rules = made.meta.get("rules").and_then(Value::as_str);
        let recorded: Vec<_> = rules.unwrap_or_default().split(' ').collect();
        let now = decide(policy, &self.facts()?);
        let mut derived: Vec<_> = now.matched.iter().map(|one| one.rule.as_str()).collect();
        let same = if recorded.contains(&stop) {
            derived.retain(|rule| *rule != otherwise);
            derived.insert(0, stop);
            recorded == derived && made.decision == Decision::ZeroStop
        } else {
            recorded == derived && made.decision == now.decision
        };
        let kept = self.task.recorded_decision()?;
        if same && kept == Some(made.decision) {
            return Ok(Found::Holds);
        }
        Ok(Found::Differs(format!(
            "recorded {:?} by {}, kept {kept:?}, derived {:?} by {}",
            made.decision,
            recorded.join(" "),
            now.decision,
            derived.join(" ")
        )))
    }

    /// Only a gate result that names a manifest has statements. The log's key signs them.
    fn check_statements(&self, candidate: &Candidate) -> Result<Found, Problem> {
        let keys = self.session.store()?.log()?.public_keys()?;
        let checked = statements::check(self.task, candidate, |_, covered, signature| {
            audit::signer_of(&keys, covered, signature)
        })?;
        let Some(attested) = checked else {
            return Ok(Found::Nothing);
        };
        let unsigned = attested
            .statements
            .iter()
            .find(|(_, proven)| *proven == Verified::Unsigned);
        Ok(unsigned.map_or(Found::Holds, |(role, _)| {
            Found::Unknown(format!("the {role} statement carries no signature"))
        }))
    }
}

/// The policy that the last decision was made under, as it was kept when it was accepted.
fn policy_of(session: &Session, events: &[Event]) -> Result<Policy, Problem> {
    let sha256 = |event: &Event| {
        let sha256 = event.meta.get("policy_sha256")?.as_str()?;
        Some(sha256.to_owned())
    };
    let decided = events.iter().rev();
    let mut decided = decided.filter(|event| event.action == Action::DecisionMade);
    match decided.next().and_then(sha256) {
        Some(sha256) => accepted::of(session.store()?, &sha256),
        None => session.policy().cloned(),
    }
}
