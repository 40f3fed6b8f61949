//! Whether the approvals of a candidate are enough: the one place where this is judged, asked when a
//! landing is planned, again at its last look, and by whoever says what a task waits for.

use std::collections::HashSet;
use std::time::SystemTime;

use crate::approval::{Approval, Verdict, Way};
use crate::candidate::Candidate;
use crate::envelope::ToolClass;
use crate::evidence::{Court, statements};
use crate::policy::{Actor, ApprovalRule};
use crate::problem::Problem;
use crate::signers::{ALLOWED, REVOKED, Signer, Signers};
use crate::store::{Doer, Ledger, TaskFolder};

/// What the approvals are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To let something happen. An approval that a landing was recorded with is spent.
    Act,
    /// To finish recording what has happened already; nothing moves by it.
    Finish,
}

/// The answer for one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The approvals that count.
    pub counted: Vec<Approval>,
    /// What is missing; empty when they are enough.
    pub missing: Vec<String>,
    /// The approvals that do not count, each with why.
    pub refused: Vec<String>,
}

impl Answer {
    /// Whether the approvals are enough.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.missing.is_empty() && !self.counted.is_empty()
    }

    /// In one line: what is missing, then what does not count.
    #[must_use]
    pub fn says(&self) -> String {
        let all: Vec<_> = self
            .missing
            .iter()
            .chain(&self.refused)
            .map(String::as_str)
            .collect();
        all.join("; ")
    }
}

/// An approval that counts, with the one that a person gave and the key that signed it.
struct Counted {
    approval: Approval,
    root: Approval,
    signer: Option<Signer>,
}

/// Everything that the approvals of one candidate are judged by.
pub struct Quorum<'a> {
    /// Queue, repository, objects, policy.
    pub court: &'a Court<'a>,
    /// The keys that count; none where no file names any.
    pub signers: Option<&'a Signers>,
    /// The task.
    pub task: &'a TaskFolder,
    /// Its candidate.
    pub candidate: &'a Candidate,
    /// The time it is judged at.
    pub now: SystemTime,
    /// Where the branch would be pushed to, as the log names it; only where that is what is judged.
    pub push_to: Option<&'a str>,
}

impl Quorum<'_> {
    /// Judges the approvals for one class.
    ///
    /// # Errors
    /// `APPROVAL_CHANGED`, `TOOL_MISSING`, and what reading queue and repository gives. An approval
    /// that does not count is no error: the answer says why.
    pub fn judge(&self, class: ToolClass, purpose: Purpose) -> Result<Answer, Problem> {
        let ledger = self.court.store.ledger(self.candidate)?;
        let mut answer = Answer::default();
        let mut counted = Vec::new();
        for approval in &ledger.given {
            if approval.verdict != Verdict::Approved || !approval.covers(class) {
                continue;
            }
            match self.counts(approval, &ledger, purpose)? {
                Ok(one) => counted.push(one),
                Err(why) => answer
                    .refused
                    .push(format!("{} {why}", approval.approval_id)),
            }
        }
        let revoked = ledger.revoked.iter().filter(|one| one.covers(class));
        answer
            .refused
            .extend(revoked.map(|one| format!("{} was withdrawn", one.approval_id)));
        if counted.is_empty() {
            answer
                .missing
                .push(format!("{class} has no approval that counts"));
        }
        for rule in self.court.policy.approvals.rules_for(class) {
            self.hold(rule, &counted, &ledger, &mut answer);
        }
        answer.counted = counted.into_iter().map(|one| one.approval).collect();
        Ok(answer)
    }

    /// Whether one approval counts at all, before any rule looks at it.
    fn counts(
        &self,
        approval: &Approval,
        ledger: &Ledger,
        purpose: Purpose,
    ) -> Result<Result<Counted, String>, Problem> {
        if !approval.is_valid_at(self.now) {
            let (from, until) = (&approval.approved_at, &approval.until);
            return Ok(Err(format!("counts from {from} until {until} only")));
        }
        if purpose == Purpose::Act && ledger.used.contains(&approval.approval_id) {
            return Ok(Err("was used by the landing it was given for".to_owned()));
        }
        let root = match approval.way {
            Way::Cli | Way::Signed => Some(approval.clone()),
            Way::Carried => {
                self.court
                    .proves(self.task, approval, self.candidate, (self.now, purpose))?
            }
        };
        let Some(root) = root else {
            return Ok(Err(
                "was carried over, and the proof does not hold".to_owned()
            ));
        };
        if root
            .queue
            .as_ref()
            .is_some_and(|queue| *queue != ledger.queue)
        {
            return Ok(Err("was given in another queue".to_owned()));
        }
        if root.task_id.as_str() != self.candidate.task_id {
            return Ok(Err(format!("was given for task {}", root.task_id)));
        }
        // What was gated anew since is not what the person vouched for.
        if approval.evidence_sha256.is_some()
            && approval.evidence_sha256 != statements::manifest_sha256(self.task)?
        {
            return Ok(Err(
                "was given over other evidence; the gates ran again".to_owned()
            ));
        }
        if let Some(why) = self.goes_elsewhere(&root, ledger) {
            return Ok(Err(why));
        }
        let signer = match self.signer(&root, ledger)? {
            Ok(signer) => signer,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Ok(Counted {
            approval: approval.clone(),
            root,
            signer,
        }))
    }

    /// Says why the yes was not for a push to this place.
    fn goes_elsewhere(&self, root: &Approval, ledger: &Ledger) -> Option<String> {
        let push_to = self.push_to?;
        match ledger.push_to.get(&root.approval_id) {
            Some(shown) if shown == push_to => None,
            Some(shown) => Some(format!(
                "was given for a push to {shown}, and the remote is at {push_to} now"
            )),
            None => Some(format!(
                "does not say where the branch goes, and the remote is at {push_to}"
            )),
        }
    }

    /// A signature that is there must hold, whether a rule asks for one or not.
    fn signer(
        &self,
        root: &Approval,
        ledger: &Ledger,
    ) -> Result<Result<Option<Signer>, String>, Problem> {
        if root.way != Way::Signed {
            return Ok(Ok(None));
        }
        let Some(signers) = self.signers else {
            return Ok(Err(format!("is signed, and there is no {ALLOWED}")));
        };
        if ledger.had_revoked && signers.revoked_sha256().is_none() {
            return Ok(Err(format!(
                "is signed, and {REVOKED} is gone, which was there when an approval was signed last: put it back, or an empty one where no key is revoked any more"
            )));
        }
        let signer = signers.verify(root, self.now)?;
        Ok(signer
            .map(Some)
            .map_err(|why| format!("has a signature that does not count: {why}")))
    }

    /// Holds what counts against one rule; says what is missing.
    fn hold(&self, rule: &ApprovalRule, counted: &[Counted], ledger: &Ledger, answer: &mut Answer) {
        let (mut people, mut keys) = (HashSet::new(), HashSet::new());
        let mut enough = 0;
        for one in counted {
            if let Some(why) = self.breaks(rule, one, ledger) {
                let id = &one.approval.approval_id;
                answer
                    .refused
                    .push(format!("{id} does not count for rule {}: {why}", rule.id));
                continue;
            }
            let signer = one.signer.as_ref();
            let person = signer.map_or(&one.root.approved_by, |signer| &signer.principal);
            let (person, key) = (person.to_lowercase(), signer.map(|one| &one.fingerprint));
            // One person with two keys is one, and so is one key under two names.
            if people.contains(&person) || key.is_some_and(|key| keys.contains(key)) {
                continue;
            }
            people.insert(person);
            keys.extend(key);
            enough += 1;
        }
        if enough < rule.count {
            let signed = if rule.signed { "signed " } else { "" };
            answer.missing.push(format!(
                "rule {} wants {} {signed}approval(s) by different people, {enough} there",
                rule.id, rule.count
            ));
        }
    }

    fn breaks(&self, rule: &ApprovalRule, one: &Counted, ledger: &Ledger) -> Option<String> {
        match &one.signer {
            None if rule.signed => return Some("it is not signed".to_owned()),
            Some(signer) if !self.court.policy.approvals.lets(rule, &signer.principal) => {
                return Some(format!(
                    "{} is none of the people it names",
                    signer.principal
                ));
            }
            _ => {}
        }
        if let Some(most) = rule.longest()
            && one.root.length().is_none_or(|length| length > most)
        {
            return Some(format!("it counts for longer than {} s", most.as_secs()));
        }
        if rule.proposer_may_not_approve {
            let giver = ledger.givers.get(&one.root.approval_id).cloned();
            // Of a signed approval this is the name that the key is allowed to.
            let names = [one.root.approved_by.as_str()];
            return is_proposer(names, &giver.unwrap_or_default(), &ledger.proposers);
        }
        None
    }
}

/// Says why the one who gave an approval may be the one who proposed the change: the same session of
/// the operating system, or, where a person proposed, the same name.
#[must_use]
pub fn is_proposer<'a>(
    names: impl IntoIterator<Item = &'a str>,
    giver: &'a Doer,
    proposers: &[(Actor, Doer)],
) -> Option<String> {
    if giver.sitting.is_empty() || proposers.iter().all(|(_, doer)| doer.sitting.is_empty()) {
        return Some("the log does not say who proposed the change".to_owned());
    }
    if proposers
        .iter()
        .any(|(_, doer)| doer.sitting == giver.sitting)
    {
        return Some("it was given in the session that proposed the change".to_owned());
    }
    let names = names.into_iter().chain([giver.by.as_str()]);
    let names: Vec<_> = names.map(address).collect();
    let same = |(actor, doer): &&(Actor, Doer)| {
        *actor == Actor::Human && names.contains(&address(&doer.by))
    };
    let proposer = proposers.iter().find(same)?;
    Some(format!("{} proposed the change", proposer.1.by))
}

/// The mail address in `Name <address>`, or the whole, in lower case.
fn address(name: &str) -> String {
    let inner = name
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.strip_suffix('>'));
    inner.unwrap_or(name).to_lowercase()
}
