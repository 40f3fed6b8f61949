//! `baton approve`, `baton reject` and `baton revoke-approval`: a person's yes or no to exactly one
//! candidate, and taking a yes back.

use std::path::PathBuf;
use std::time::Duration;

use baton_core::approval::{Approval, Verdict, Way};
use baton_core::audit::{Action, Draft, EventStatus, Level};
use baton_core::candidate::{self, Candidate};
use baton_core::envelope::{Decision, ToolClass};
use baton_core::evidence::statements;
use baton_core::policy::{ApprovalRule, TypedCode};
use baton_core::problem::Problem;
use baton_core::quorum::{self, Purpose};
use baton_core::session::Session;
use baton_core::signers::{self, ALLOWED, Key, Signer};
use baton_core::state::State;
use baton_core::store::Doer;
use baton_core::task::TaskId;
use baton_core::{clock, environment, ids, terminal};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::{Shared, named_task, operator, require_human, show, task_argument};
use crate::reply::Reply;
use crate::view::code;

/// How long an approval counts unless --for says otherwise.
const DEFAULT_LENGTH: Duration = Duration::from_secs(24 * 3600);

/// Adds the flags of a yes or a no.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(task_argument()).arg(reason_argument()).arg(
        Arg::new("for")
            .long("for")
            .value_name("DUR")
            .value_parser(clock::parse_duration)
            .help("Let it count this long (default: 24h, or what the policy allows)"),
    )
}

/// Adds the flags of a yes.
pub(super) fn approve_arguments(command: Command) -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    arguments(command)
        .arg(flag("sign", "Sign it with your SSH key"))
        .arg(
            Arg::new("key")
                .long("key")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .requires("sign")
                .help("Sign with this key; its .pub file for a key in an agent (default: git's user.signingKey)"),
        )
        .arg(
            Arg::new("as")
                .long("as")
                .value_name("NAME")
                .requires("sign")
                .help("Sign as this name in ALLOWED_SIGNERS (default: git's user.email)"),
        )
        .arg(
            Arg::new("code")
                .long("code")
                .value_name("CODE")
                .help("The code at the end of what is shown, where nobody can type it"),
        )
        .arg(flag("unfold", "Show generated files and lockfiles whole"))
}

/// Adds the flags of taking a yes back.
pub(super) fn revoke_arguments(command: Command) -> Command {
    command.arg(task_argument()).arg(reason_argument()).arg(
        Arg::new("approval")
            .long("approval")
            .value_name("ID")
            .help("Withdraw this one only (default: every approval of the change)"),
    )
}

fn reason_argument() -> Arg {
    Arg::new("reason")
        .long("reason")
        .value_name("TEXT")
        .default_value("")
        .help("Say why")
}

fn reason(matches: &ArgMatches) -> String {
    matches
        .get_one::<String>("reason")
        .cloned()
        .unwrap_or_default()
}

/// Says yes.
pub(super) fn approve(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_human(&session, "approving")?;
    session.check_stop()?;
    let (candidate, decision) = decided(&session)?;
    let (classes, allowed) = classes(&session, decision)?;
    session.check_not_denied(&candidate)?;
    check_candidate(&session, &candidate)?;
    let demands = Demands::of(&session, &classes)?;
    demands.check_agent()?;
    demands.check_signing(matches)?;
    let length = demands.length(matches)?;
    demands.check_proposer(&session, &candidate)?;
    let unfold = matches.get_flag("unfold");
    for line in show::review(&session, &candidate, unfold)? {
        terminal::say(&line);
    }
    check_code(&session, matches, &candidate, demands.typed_code)?;
    let mut approval = draft(
        &session,
        matches,
        &candidate,
        Verdict::Approved,
        classes,
        length,
    )?;
    let signer = match matches.get_flag("sign") {
        true => Some(sign(&session, matches, &mut approval)?),
        false => None,
    };
    demands.check_people(&approval)?;
    write(&session, &candidate, &approval, signer.as_ref())?;
    answer(&session, &candidate, &approval, signer.as_ref(), &allowed)
}

fn answer(
    session: &Session,
    candidate: &Candidate,
    approval: &Approval,
    signer: Option<&Signer>,
    allowed: &str,
) -> Result<Reply, Problem> {
    let class = approval
        .tool_classes
        .first()
        .copied()
        .unwrap_or(ToolClass::Pr);
    let missing = session.quorum(candidate, class, Purpose::Act)?.missing;
    let mut reply = Reply::ok(json!({
        "command": "approve", "status": "OK", "task_id": candidate.task_id, "approval_id": approval.approval_id,
        "tool_classes": approval.tool_classes, "tree": candidate.tree, "until": approval.until,
        "signed_by": signer.map(|signer| &signer.principal), "key": signer.map(|signer| &signer.fingerprint),
        "missing": missing,
    }));
    reply = reply.line(format!(
        "approved {allowed} of exactly this change (tree {}) until {}",
        candidate.tree, approval.until
    ));
    if let Some(signer) = signer {
        reply = reply.line(format!(
            "  signed by {} with {}",
            signer.principal, signer.fingerprint
        ));
    }
    for missing in &missing {
        reply = reply.line(format!("  not enough yet: {missing}"));
    }
    if missing.is_empty() {
        reply = reply.line(format!("  go on with: baton run {}", candidate.task_id));
    }
    Ok(reply)
}

/// What the approval is for: in classes, and in words.
fn classes(session: &Session, decision: Decision) -> Result<(Vec<ToolClass>, String), Problem> {
    let landing = &session.policy()?.landing;
    let mut classes = match decision {
        // What may land may also become a branch for review, should it conflict by then.
        Decision::AutoMerge => vec![ToolClass::Merge, ToolClass::Pr],
        _ => vec![ToolClass::Pr],
    };
    let mut allowed = classes.first().map_or(String::new(), ToString::to_string);
    if let Some(remote) = landing.remote.as_ref().filter(|_| landing.push) {
        classes.push(ToolClass::External);
        allowed = format!("{allowed} (a branch for review is pushed to {remote})");
    }
    Ok((classes, allowed))
}

/// What the policy's rules for some classes ask of the one who approves. They are judged again at the
/// landing; here they are said before anybody looks through a change in vain.
struct Demands<'a> {
    session: &'a Session,
    rules: Vec<&'a ApprovalRule>,
    typed_code: TypedCode,
}

impl<'a> Demands<'a> {
    fn of(session: &'a Session, classes: &[ToolClass]) -> Result<Self, Problem> {
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
    fn check_agent(&self) -> Result<(), Problem> {
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

    fn check_signing(&self, matches: &ArgMatches) -> Result<(), Problem> {
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

    fn length(&self, matches: &ArgMatches) -> Result<Duration, Problem> {
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

    fn check_proposer(&self, session: &Session, candidate: &Candidate) -> Result<(), Problem> {
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

    fn check_people(&self, approval: &Approval) -> Result<(), Problem> {
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
fn check_code(
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

/// Signs an approval and checks the signature as the landing will.
fn sign(
    session: &Session,
    matches: &ArgMatches,
    approval: &mut Approval,
) -> Result<Signer, Problem> {
    let Some(allowed) = session.signers()? else {
        return Err(Problem::fail(
            "SIGNERS_MISSING",
            format!("there is no .autodev_ssot/{ALLOWED}, so no signature could count"),
        )
        .hint("docs/approvals.md shows its form; commit it as you commit the policy"));
    };
    let repository = session.repository()?;
    let name = matches.get_one::<String>("as").cloned();
    let name = name.unwrap_or_else(|| repository.operator().email);
    signers::check_principal(&name).map_err(Problem::usage)?;
    approval.way = Way::Signed;
    approval.approved_by.clone_from(&name);
    approval.principal = Some(name);
    let key = Key::find(
        matches.get_one::<PathBuf>("key").map(PathBuf::as_path),
        repository,
    )?;
    approval.signature = Some(key.sign(&approval.statement())?);
    allowed.verify(approval, clock::now())?.map_err(|why| {
        let name = &approval.approved_by;
        Problem::deny(
            "SIGNATURE_REFUSED",
            format!("the signature as {name} would not count: {why}"),
        )
        .hint(format!(
            "{ALLOWED} says which key is whose; --as NAME and --key FILE choose"
        ))
    })
}

/// Says no, for good: the same bytes are never asked for again.
pub(super) fn reject(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_human(&session, "rejecting")?;
    let candidate = session.candidate()?;
    let all = vec![ToolClass::Pr, ToolClass::Merge];
    let length = matches.get_one::<Duration>("for").copied();
    let length = length.unwrap_or(DEFAULT_LENGTH);
    let approval = draft(&session, matches, &candidate, Verdict::Denied, all, length)?;
    write(&session, &candidate, &approval, None)?;
    let blocked = block(&session)?;
    Ok(Reply::ok(json!({
        "command": "reject", "status": "OK", "task_id": candidate.task_id, "approval_id": approval.approval_id, "blocked": blocked,
    }))
    .line(format!("denied exactly this change (tree {}); the same bytes stay denied", candidate.tree))
    .line(format!("  ask for another with: baton retry {}", candidate.task_id)))
}

/// Takes back what was approved, for good; another approval can be given.
pub(super) fn revoke(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_human(&session, "withdrawing an approval")?;
    let task = session.task()?;
    let (id, state) = (task.id().to_string(), task.state());
    let candidate = task
        .candidate()?
        .ok_or_else(|| Problem::fail("CANDIDATE_MISSING", format!("task {id} has no candidate")))?;
    let store = session.store()?;
    let only = matches.get_one::<String>("approval");
    let given = store.approvals_for(&candidate)?.into_iter();
    let ids: Vec<_> = given
        .filter(|one| one.verdict == Verdict::Approved)
        .map(|one| one.approval_id)
        .filter(|one| only.is_none_or(|only| only == one))
        .collect();
    if ids.is_empty() {
        return Err(Problem::fail(
            "APPROVAL_MISSING",
            format!("task {id} has no such approval"),
        )
        .hint(format!("baton show {id}")));
    }
    let (by, reason) = (Doer::here(session.repository()?), reason(matches));
    store.revoke_approvals(&candidate, &ids, || {
        for approval in &ids {
            let mut draft = Draft::new(session.actor, Action::ApprovalRevoked, "baton")?
                .task(&id, Some(state), Some(state))
                .meta("approval_id", approval.clone())
                .meta("reason", reason.clone());
            for (key, text) in by.clone().meta() {
                draft = draft.meta(key, text);
            }
            draft.repo_ref.clone_from(&candidate.base);
            draft.inputs_sha256.clone_from(&candidate.patch_sha256);
            store.log()?.append(draft)?;
        }
        Ok(())
    })?;
    Ok(Reply::ok(json!({
        "command": "revoke-approval", "status": "OK", "task_id": id, "revoked": ids,
    }))
    .line(format!("withdrawn, for good: {}", ids.join(", ")))
    .line(format!(
        "  the change waits for another approval: baton approve {id}"
    )))
}

/// The candidate and what was decided on it; only a decided candidate can be approved.
fn decided(session: &Session) -> Result<(Candidate, Decision), Problem> {
    let task = session.task()?;
    if task.state() != State::Pr {
        return Err(Problem::fail(
            "STATE_RULE",
            format!(
                "task {} is in {}, approvals are given in pr",
                task.id(),
                task.state()
            ),
        )
        .hint(format!("baton show {}", task.id())));
    }
    let candidate = session.candidate()?;
    let decision = task.recorded_decision()?;
    match decision {
        Some(decision @ (Decision::AutoMerge | Decision::PrOnly)) => Ok((candidate, decision)),
        _ => Err(Problem::fail(
            "DECISION_MISSING",
            format!("task {} has no decision that could be approved", task.id()),
        )
        .hint(format!("baton run {}", task.id()))),
    }
}

/// What is shown must be what is approved: everything is derived again first.
fn check_candidate(session: &Session, candidate: &Candidate) -> Result<(), Problem> {
    let repository = session.repository()?;
    let objects = session.store()?.objects(repository)?;
    let patch = session.task()?.patch()?;
    candidate::verify(
        repository,
        &objects,
        candidate,
        &patch,
        &candidate::limits(session.policy()?),
    )
    .map(drop)
}

fn draft(
    session: &Session,
    matches: &ArgMatches,
    candidate: &Candidate,
    verdict: Verdict,
    tool_classes: Vec<ToolClass>,
    length: Duration,
) -> Result<Approval, Problem> {
    let now = clock::now();
    Ok(Approval {
        schema_version: "1.0.0".to_owned(),
        approval_id: ids::fresh("APR", now)?,
        verdict,
        task_id: TaskId::parse(&candidate.task_id)?,
        tool_classes,
        base: candidate.base.clone(),
        tree: candidate.tree.clone(),
        patch_sha256: candidate.patch_sha256.clone(),
        approved_by: operator(session)?,
        approved_at: clock::rfc3339(now),
        until: clock::rfc3339(now + length),
        way: Way::Cli,
        reason: reason(matches),
        queue: Some(session.store()?.name()?),
        nonce: Some(format!("{}{}", ids::random_hex()?, ids::random_hex()?)),
        evidence_sha256: match verdict {
            Verdict::Approved => statements::manifest_sha256(session.task()?)?,
            Verdict::Denied => None,
        },
        principal: None,
        carried_from: None,
        signature: None,
    })
}

fn write(
    session: &Session,
    candidate: &Candidate,
    approval: &Approval,
    signer: Option<&Signer>,
) -> Result<(), Problem> {
    let action = match approval.verdict {
        Verdict::Approved => Action::ApprovalGranted,
        Verdict::Denied => Action::ApprovalDenied,
    };
    let store = session.store()?;
    let state = session.task()?.state();
    store
        .write_approval(approval, |sha256| {
            let mut draft = Draft::new(session.actor, action, "baton")?
                .task(&candidate.task_id, Some(state), Some(state))
                .meta("approval_id", approval.approval_id.clone())
                .meta("approved_by", approval.approved_by.clone())
                .meta("until", approval.until.clone());
            for (key, text) in Doer::here(session.repository()?).meta() {
                draft = draft.meta(key, text);
            }
            if let (Some(signer), Some(signature)) = (signer, &approval.signature) {
                draft = draft
                    .meta("signature", signature.clone())
                    .meta("key", signer.fingerprint.clone());
                if let Some(signers) = session.signers()? {
                    draft = draft.meta("signers_sha256", signers.sha256());
                }
            }
            draft.repo_ref.clone_from(&candidate.base);
            draft.inputs_sha256.clone_from(&candidate.patch_sha256);
            sha256.clone_into(&mut draft.outputs_sha256);
            store.log()?.append(draft)
        })
        .map(drop)
}

/// A denied task waits for nobody any more.
fn block(session: &Session) -> Result<bool, Problem> {
    let store = session.store()?;
    // A landing that is under way ends first.
    session.merge_lock()?;
    let mut task = store.task(&session.task_id()?)?;
    let from = task.state();
    if !from.may_move_to(State::Blocked) {
        return Ok(false);
    }
    let fence = task.lease()?.map(|lease| lease.fence);
    let draft = Draft::new(session.actor, Action::TaskBlocked, "baton")?
        .task(task.id().as_str(), Some(from), Some(State::Blocked))
        .meta("reason", "a person denied the candidate");
    store.log()?.append(draft)?;
    store.transition(&mut task, State::Blocked, fence)?;
    store.unlock(&task)?;
    Ok(true)
}
