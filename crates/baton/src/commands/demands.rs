//! What the policy asks of the one who approves.

use std::time::Duration;

use baton_core::approval::Approval;
use baton_core::audit::{Action, Draft, EventStatus, Level};
use baton_core::candidate::Candidate;
use baton_core::envelope::ToolClass;
use baton_core::environment;
use baton_core::policy::{ApprovalRule, TypedCode};
use baton_core::problem::Problem;
use baton_core::quorum;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::Doer;
use clap::ArgMatches;

use super::approve::DEFAULT_LENGTH;
use crate::view::code;

/// What the policy's rules for some classes ask of the one who approves. They are judged again at the
/// landing; here they are said before anybody looks through a change in vain.
pub(super) struct Demands<'a> {
    session: &'a Session,
    rules: Vec<&'a ApprovalRule>,
    pub(super) typed_code: TypedCode,
}

impl<'a> Demands<'a> {
    pub(super) fn of(session: &'a Session, classes: &[ToolClass]) -> Result<Self, Problem> {
        let approvals = &session.policy()?.approvals;
        let mut rules: Vec<&ApprovalRule> = Vec::new();
        for rule in classes.iter().flat_map(|class| approvals.rules_for(*class)) {
            if !rules.iter().any(|known| known.id == rule.id) {
                rules.push(rule);
            }
        }
        Ok(Self {
            session,
            rules,
            typed_code: approvals.typed_code,
        })
    }

    fn four_eyes(&self) -> Option<&ApprovalRule> {
        self.rules
            .iter()
            .copied()
            .find(|rule| rule.proposer_may_not_approve)
    }

    /// An agent's own shell is no place to approve from where the policy wants a person to be sure.
    pub(super) fn check_agent(&self) -> Result<(), Problem> {
        let asks = self.typed_code == TypedCode::Always || self.four_eyes().is_some();
        match environment::agent().filter(|_| asks) {
            None => Ok(()),
            Some(name) => Err(Problem::deny(
                "HUMAN_ONLY",
                format!("{name} is set: this shell belongs to an agent, and the policy has a person approve"),
            )
            .hint("approve from a terminal of your own")),
        }
    }

    pub(super) fn check_signing(&self, matches: &ArgMatches) -> Result<(), Problem> {
        let Some(rule) = self.rules.iter().find(|rule| rule.signed) else {
            return Ok(());
        };
        if matches.get_flag("sign") {
            return Ok(());
        }
        Err(Problem::deny(
            "SIGNATURE_REQUIRED",
            format!(
                "rule {} of the policy counts signed approvals only: {}",
                rule.id, rule.reason
            ),
        )
        .hint("baton approve TASK --sign"))
    }

    pub(super) fn length(&self, matches: &ArgMatches) -> Result<Duration, Problem> {
        let most = self.rules.iter().filter_map(|rule| rule.longest()).min();
        let asked = matches.get_one::<Duration>("for").copied();
        match (asked, most) {
            (Some(asked), Some(most)) if asked > most => Err(Problem::usage(format!(
                "--for asks for {} s, the policy lets an approval count for at most {} s",
                asked.as_secs(),
                most.as_secs()
            ))),
            (Some(asked), _) => Ok(asked),
            (None, most) => Ok(most.map_or(DEFAULT_LENGTH, |most| most.min(DEFAULT_LENGTH))),
        }
    }

    pub(super) fn check_proposer(
        &self,
        session: &Session,
        candidate: &Candidate,
    ) -> Result<(), Problem> {
        let Some(rule) = self.four_eyes() else {
            return Ok(());
        };
        let proposers = session.store()?.ledger(candidate)?.proposers;
        let here = Doer::here(session.repository()?);
        let Some(why) = quorum::is_proposer([here.by.as_str()], &here, &proposers) else {
            return Ok(());
        };
        Err(Problem::deny(
            "PROPOSER",
            format!("rule {} of the policy wants four eyes: {why}", rule.id),
        )
        .hint("somebody else approves, from a terminal that the change was not proposed from"))
    }

    pub(super) fn check_people(&self, approval: &Approval) -> Result<(), Problem> {
        let approvals = &self.session.policy()?.approvals;
        let Some(principal) = &approval.principal else {
            return Ok(());
        };
        match self
            .rules
            .iter()
            .find(|rule| !approvals.lets(rule, principal))
        {
            None => Ok(()),
            Some(rule) => Err(Problem::deny(
                "NOT_AN_APPROVER",
                format!(
                    "{principal} is none of the people that rule {} names",
                    rule.id
                ),
            )
            .hint("one of those approves; POLICY.md names them")),
        }
    }
}

/// Demands the code, as the policy says. A wrong one is recorded, and nothing else is.
pub(super) fn check_code(
    session: &Session,
    matches: &ArgMatches,
    candidate: &Candidate,
    typed_code: TypedCode,
) -> Result<(), Problem> {
    let given = matches.get_one::<String>("code").cloned();
    let given = match (given, typed_code) {
        (Some(given), _) => given,
        (None, TypedCode::Never) => return Ok(()),
        (None, _) if code::can_ask() => code::ask()?,
        (None, TypedCode::Terminal) => return Ok(()),
        (None, TypedCode::Always) => {
            return Err(Problem::deny(
                "CODE_REQUIRED",
                "the policy asks for the code at the end of what is shown, and there is no terminal to type it on",
            )
            .hint("read it, then: baton approve TASK --code CODE"));
        }
    };
    if code::is(&given, &code::of(candidate)) {
        return Ok(());
    }
    let mut draft = Draft::new(session.actor, Action::ApprovalRefused, "baton")?
        .task(&candidate.task_id, Some(State::Pr), Some(State::Pr))
        .meta("reason", "the code was not that of the candidate");
    for (key, text) in Doer::here(session.repository()?).meta() {
        draft = draft.meta(key, text);
    }
    (draft.level, draft.status) = (Level::Warn, EventStatus::Deny);
    draft.repo_ref.clone_from(&candidate.base);
    draft.inputs_sha256.clone_from(&candidate.patch_sha256);
    session.store()?.log()?.append(draft)?;
    let message = "the code is not that of this candidate; nothing was approved";
    Err(Problem::deny("CODE_WRONG", message)
        .hint("look at the change again, its code stands in the last line: baton show TASK --diff"))
}
