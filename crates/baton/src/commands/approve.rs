//! `baton approve`, `baton reject` and `baton revoke-approval`: a person's yes or no to exactly one
//! candidate, and taking a yes back.

use std::path::PathBuf;
use std::time::Duration;

use baton_core::approval::{Approval, Verdict, Way};
use baton_core::audit::{Action, Draft};
use baton_core::candidate::{self, Candidate};
use baton_core::envelope::{Decision, ToolClass};
use baton_core::problem::Problem;
use baton_core::quorum::Purpose;
use baton_core::session::Session;
use baton_core::signers::{self, ALLOWED, Key, Signer};
use baton_core::store::Doer;
use baton_core::task::TaskId;
use baton_core::{clock, ids, terminal};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::demands::{Demands, check_code};
use super::shown::Shown;
use super::{Shared, named_task, operator, reason, require_person, show, task_argument};
use crate::reply::Reply;

/// How long an approval counts unless --for says otherwise.
pub(super) const DEFAULT_LENGTH: Duration = Duration::from_secs(24 * 3600);

/// Adds the flags of a yes or a no.
pub(super) fn arguments(command: Command) -> Command {
    command.arg(task_argument()).arg(reason_argument()).arg(
        Arg::new("for")
            .long("for")
            .value_name("DUR")
            .value_parser(clock::parse_length)
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
        .after_help("Examples:\n  baton approve T-1\n  baton approve T-1 --for 2h --reason 'looked at it'")
}

/// Adds the flags of a no, which has no end.
pub(super) fn reject_arguments(command: Command) -> Command {
    arguments(command)
        .mut_arg("for", |length| length.hide(true))
        .after_help("Examples:\n  baton reject T-1 --reason 'it changes the interface'")
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

/// Says yes.
pub(super) fn approve(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let session = shared.session(Some(named_task(matches)?))?;
    require_person(&session, "approving")?;
    session.check_stop()?;
    let shown = Shown::of(&session)?;
    let candidate = &shown.candidate;
    let (classes, allowed) = classes(&session, &shown)?;
    check_candidate(&session, candidate)?;
    let demands = Demands::of(&session, &classes)?;
    demands.check_agent()?;
    demands.check_signing(matches)?;
    let length = demands.length(matches)?;
    demands.check_proposer(&session, candidate)?;
    let unfold = matches.get_flag("unfold");
    for line in show::review(&session, candidate, unfold)? {
        terminal::say(&line);
    }
    check_code(&session, matches, candidate, demands.typed_code)?;
    let mut approval = draft(
        &session,
        matches,
        candidate,
        Verdict::Approved,
        classes,
        length,
    )?;
    approval.evidence_sha256.clone_from(&shown.evidence_sha256);
    let signer = match matches.get_flag("sign") {
        true => Some(sign(&session, matches, &mut approval)?),
        false => None,
    };
    demands.check_people(&approval)?;
    write(
        &session,
        candidate,
        &approval,
        signer.as_ref(),
        Some(&shown),
    )?;
    answer(&session, candidate, &approval, signer.as_ref(), &allowed)
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
fn classes(session: &Session, shown: &Shown) -> Result<(Vec<ToolClass>, String), Problem> {
    let landing = &session.policy()?.landing;
    let mut classes = match shown.decision {
        // What may land may also become a branch for review, should it conflict by then.
        Decision::AutoMerge => vec![ToolClass::Merge, ToolClass::Pr],
        _ => vec![ToolClass::Pr],
    };
    let mut allowed = classes.first().map_or(String::new(), ToString::to_string);
    if let (Some(remote), Some(address)) = (&landing.remote, &shown.push_to) {
        classes.push(ToolClass::External);
        allowed = format!("{allowed} (a branch for review is pushed to {remote}, {address})");
    }
    Ok((classes, allowed))
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
        .hint("put it back where it was there before, or write it: docs/approvals.md shows its form; commit it as you commit the policy"));
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

/// An approval or a denial by the person at hand, not signed yet.
pub(super) fn draft(
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
        reason: reason(session, matches),
        queue: Some(session.store()?.name()?),
        nonce: Some(format!("{}{}", ids::random_hex()?, ids::random_hex()?)),
        evidence_sha256: None,
        principal: None,
        carried_from: None,
        signature: None,
    })
}

/// Keeps an approval or a denial; the log line holds its digest, and its signature if it has one. What was
/// shown is looked at once more, while no landing takes its last look.
pub(super) fn write(
    session: &Session,
    candidate: &Candidate,
    approval: &Approval,
    signer: Option<&Signer>,
    shown: Option<&Shown>,
) -> Result<(), Problem> {
    let action = match approval.verdict {
        Verdict::Approved => Action::ApprovalGranted,
        Verdict::Denied => Action::ApprovalDenied,
    };
    let store = session.store()?;
    let state = session.task()?.state();
    store
        .write_approval(approval, |sha256| {
            if approval.verdict == Verdict::Denied {
                // A landing moves the branch before it is recorded, and nothing denies it any more.
                session.check_not_landed("APPROVAL_USED")?;
            }
            shown.map_or(Ok(()), |shown| shown.check(session))?;
            let mut draft = Draft::new(session.actor, action, "baton")?
                .task(&candidate.task_id, Some(state), Some(state))
                .meta("approval_id", approval.approval_id.clone())
                .meta("approved_by", approval.approved_by.clone())
                .meta("until", approval.until.clone());
            for (key, text) in Doer::here(session.repository()?).meta() {
                draft = draft.meta(key, text);
            }
            if let Some(push_to) = shown.and_then(|shown| shown.push_to.clone()) {
                draft = draft.meta("push_to", push_to);
            }
            draft = signed(session, draft, approval, signer)?;
            draft.repo_ref.clone_from(&candidate.base);
            draft.inputs_sha256.clone_from(&candidate.patch_sha256);
            sha256.clone_into(&mut draft.outputs_sha256);
            store.log()?.append(draft)
        })
        .map(drop)
}

/// What the log says of a signature: itself, the key, and the files that said whose key it is.
fn signed(
    session: &Session,
    mut draft: Draft,
    approval: &Approval,
    signer: Option<&Signer>,
) -> Result<Draft, Problem> {
    let (Some(signer), Some(signature)) = (signer, &approval.signature) else {
        return Ok(draft);
    };
    draft = draft
        .meta("signature", signature.clone())
        .meta("key", signer.fingerprint.clone());
    if let Some(signers) = session.signers()? {
        draft = draft.meta("signers_sha256", signers.sha256());
        if let Some(revoked) = signers.revoked_sha256() {
            draft = draft.meta("revoked_sha256", revoked);
        }
    }
    Ok(draft)
}
