//! `baton worker`: drafts for one task after the other, as openclaw, until it is told to end.

mod hand;
mod queue;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::{Duration, Instant};

use baton_core::caller::Caller;
use baton_core::driver::{self, Done, Skill};
use baton_core::envelope::{ApprovalState, Envelope, Status, ToolClass};
use baton_core::policy::{Actor, Claims};
use baton_core::problem::{Kind, Problem};
use baton_core::session::{Common, Session};
use baton_core::state::State;
use baton_core::{clock, environment, files, ids, masking, terminal};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use serde_json::json;

use self::hand::Hand;
use self::queue::Taken;
use super::rounds::{End, Round, Rounds, Until};
use super::signals::{self, Signals};
use super::{Shared, stuck, watchdog};
use crate::reply::Reply;

/// How often the queue is gone through for claims that nobody comes back from.
const PATROL: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
struct Arguments {
    /// Take one task at the most, and wait for none
    #[arg(long, conflicts_with_all = ["max", "idle"])]
    once: bool,
    #[command(flatten)]
    until: Until,
    /// Whom to ask for patches, as the policy's draft section says
    #[arg(long, value_name = "NAME", default_value = "command", value_parser = ["ollama", "openai", "command"])]
    producer: String,
    /// Ask for replies in this form, as patch-draft does
    #[arg(long, value_name = "whole|search-replace|udiff", value_parser = ["whole", "search-replace", "udiff"])]
    reply_format: Option<String>,
    /// The worker's name, by which tasks are handed to it (default: BATON_OWNER, else worker@host)
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// On SIGTERM or SIGINT finish the running draft first
    #[arg(long)]
    drain: bool,
}

/// Adds the flags.
pub(super) fn arguments(command: Command) -> Command {
    Arguments::augment_args(command).after_help(
        "Examples:\n  baton worker --once\n  baton worker --producer command --idle 10m\n\n\
         STOP stops a running draft within a second; the worker goes on when it is lifted. SIGTERM and SIGINT\n\
         end it with exit code 0, a second signal at once. With --once the exit code is that of the draft.",
    )
}

/// What became of the tasks.
#[derive(Default)]
struct Counts {
    drafted: u64,
    refused: u64,
    need_input: u64,
    released: u64,
    lost: u64,
}

struct Worker<'a> {
    shared: &'a Shared,
    arguments: &'a Arguments,
    /// What tasks are handed to it by.
    name: String,
    /// What its locks say: the name, and what no other process has.
    owner: String,
    signals: Signals,
    hand: Rc<Hand>,
    counts: Counts,
    left: BTreeSet<String>,
    /// When the queue was gone through last, as the watchdog does.
    patrolled: Option<Instant>,
}

/// Works until something ends it.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    let mut worker = Worker::new(shared, &arguments)?;
    let end = worker.go()?;
    // The last look: what was tried too often may have been tried just now.
    worker.look_again();
    let counts = &worker.counts;
    Ok(end.reply(json!({
        "command": "worker", "drafted": counts.drafted, "refused": counts.refused,
        "need_input": counts.need_input, "released": counts.released, "lost": counts.lost,
        "left": worker.left,
    })))
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared, arguments: &'a Arguments) -> Result<Self, Problem> {
        shared.acts_only_as(Actor::Openclaw, "a worker")?;
        let name = arguments.owner.clone();
        let name = name.or_else(|| environment::read_text(environment::OWNER));
        let name = name.unwrap_or_else(|| format!("worker@{}", ids::host()));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        if !name.bytes().all(plain) || !(1..=120).contains(&name.len()) {
            return Err(Problem::usage(format!(
                "a worker's name has 1 to 120 letters, digits and . _ @ -, got \"{}\"",
                name.escape_debug()
            )));
        }
        masking::refuse("the worker's name", &name)?;
        let signals = Signals::listen(signals::GRACE)?;
        Ok(Self {
            shared,
            arguments,
            owner: format!("{name}/{}", ids::random_hex()?),
            name,
            hand: Rc::new(Hand::new(signals.clone(), arguments.drain)),
            signals,
            counts: Counts::default(),
            left: BTreeSet::new(),
            patrolled: None,
        })
    }

    /// A session as openclaw.
    fn session(&self) -> Session {
        let common = Common {
            repo: self.shared.repo.clone(),
            ..Common::default()
        };
        Session::new(common, Actor::Openclaw, None)
    }

    /// Goes round until something ends it; says what.
    fn go(&mut self) -> Result<End, Problem> {
        let session = self.session();
        self.check_policy(&session)?;
        let signals = self.signals.clone();
        let rounds = Rounds {
            name: "baton worker",
            signals: &signals,
            once: self.arguments.once,
            until: self.arguments.until.clone(),
            waiter: Some(session.store()?.waiter()),
        };
        rounds.go(&mut || self.round(), &|| false)
    }

    /// Whether the policy lets openclaw write, and the system move for this worker where it says so.
    fn check_policy(&self, session: &Session) -> Result<(), Problem> {
        session.authorize(&[ToolClass::Read, ToolClass::Write])?;
        let policy = session.policy()?;
        let rule = &policy.draft.worker;
        let grant = rule.grant_for(&self.name).map(str::to_owned);
        if rule.claims == Claims::Granted {
            let Some(grant) = &grant else {
                let owner = rule.owner.as_deref().unwrap_or_default();
                let why = format!(
                    "the policy lets the worker {owner} claim tasks, this one is {}",
                    self.name
                );
                return Err(
                    Problem::deny("NOT_GRANTED", why).hint(format!("baton worker --owner {owner}"))
                );
            };
            let entry =
                policy.authorize_by(Actor::System, ToolClass::Move, clock::now(), Some(grant));
            if entry.state != ApprovalState::Approved {
                let note = entry.note.unwrap_or_default();
                return Err(Problem::deny(
                    "APPROVAL_REQUIRED",
                    format!("no task may be claimed: {note}"),
                )
                .hint("renew the standing approval, or set draft.worker.claims to claimed_only"));
            }
        }
        self.hand.set_grant(grant);
        Ok(())
    }

    fn round(&mut self) -> Result<Round, Problem> {
        let session = self.session();
        session.check_stop()?;
        self.check_policy(&session)?;
        self.patrol()?;
        let waiting = queue::waiting(&session, &self.name)?;
        self.left = waiting.left;
        let (again, new): (Vec<_>, Vec<_>) =
            waiting.free.into_iter().partition(|one| one.tries > 0);
        let names = (self.name.as_str(), self.owner.as_str());
        let mut taken = queue::take(&session, names, &new)?;
        if taken.is_none() && self.hand.grant().is_some() {
            taken = queue::claim(self.shared, &session, &self.owner, &self.hand)?;
        }
        if taken.is_none() {
            taken = queue::take(&session, names, &again)?;
        }
        let Some(taken) = taken else {
            return Ok(Round::Nothing);
        };
        self.hand.hold_on(self.session(), &taken.claim)?;
        if taken.claim.task.has_recorded_draft()? {
            // Out of the inbox with what an owner who is gone had drafted: `baton run` goes on from there.
            self.counts.released += 1;
            self.hand.let_go("it has a draft already", None)?;
            return Ok(Round::Worked {
                code: 0,
                failed: false,
            });
        }
        let worked = self.work(&taken);
        let settled = worked.and_then(|done| self.settle(&taken, &done));
        // A task in the hand that went no way at all is given back.
        self.hand.let_go("the worker could not go on", None)?;
        settled
    }

    /// Between two tasks, once a minute, does what `baton watchdog` does: by the grant alone that the policy
    /// gives this worker for moves, so without one not at all.
    fn patrol(&mut self) -> Result<(), Problem> {
        let is_due = self.patrolled.is_none_or(|last| last.elapsed() >= PATROL);
        if self.hand.grant().is_none() || !is_due {
            return Ok(());
        }
        self.patrolled = Some(Instant::now());
        let caller = Rc::clone(&self.hand) as Rc<dyn Caller>;
        match watchdog::pass(self.shared, false, stuck::PATIENCE, Some(caller)) {
            Ok(round) => round.tell(),
            Err(problem) if matches!(problem.kind, Kind::Usage | Kind::Deny) => {
                return Err(problem);
            }
            Err(problem) => terminal::complain("baton worker", &problem),
        }
        Ok(())
    }

    /// Has the task checked, and drafts.
    fn work(&self, taken: &Taken) -> Result<Done, Problem> {
        let id = taken.claim.task.id().as_str();
        let mut upstream = taken.upstream.clone();
        let checked = match (self.hand.grant(), taken.claim.task.state()) {
            (Some(_), _) => {
                let done =
                    self.step(&intake_validate::SKILL, "system", &["--task", id], upstream)?;
                upstream = Some(done.envelope.clone());
                Some(done)
            }
            // Without MOVE it is checked where it lies.
            (None, State::Claimed) => {
                upstream = None;
                // A copy: the queue may lie where there are no files.
                let folder = files::temporary_folder("baton-worker-")?;
                let file = folder.path().join("task.json");
                let bytes = taken.claim.task.task_bytes()?;
                std::fs::write(&file, bytes).map_err(|error| Problem::io("task.json", &error))?;
                let file = file.to_string_lossy().into_owned();
                Some(self.step(
                    &intake_validate::SKILL,
                    "openclaw",
                    &["--file", &file],
                    None,
                )?)
            }
            (None, _) => None,
        };
        if let Some(done) = checked.filter(|done| done.envelope.status != Status::Ok) {
            return Ok(done);
        }
        let mut flags = vec!["--task", id, "--producer", &self.arguments.producer];
        if let Some(format) = &self.arguments.reply_format {
            flags.extend(["--reply-format", format]);
        }
        self.step(&patch_draft::SKILL, "openclaw", &flags, upstream)
    }

    fn step(
        &self,
        skill: &Skill,
        actor: &str,
        flags: &[&str],
        upstream: Option<Envelope>,
    ) -> Result<Done, Problem> {
        let mut line = queue::command_line(self.shared, skill.name, actor);
        line.extend(flags.iter().map(OsString::from));
        let caller = Rc::clone(&self.hand) as Rc<dyn Caller>;
        driver::invoke_for(skill, line, upstream, Some(caller))
    }

    /// Counts what became of a task, and gives it back.
    fn settle(&mut self, taken: &Taken, done: &Done) -> Result<Round, Problem> {
        let id = taken.claim.task.id();
        let envelope = &done.envelope;
        let has = |code: &str| envelope.findings.iter().any(|finding| finding.code == code);
        self.hand.tell(&format!("{id}: {}", envelope.summary));
        let mut failed = false;
        if envelope.status == Status::Ok {
            self.counts.drafted += 1;
            self.hand.let_go("drafted", None)?;
        } else if has("NEED_INPUT") {
            self.counts.need_input += 1;
            self.hand.let_go("more input is needed", None)?;
        } else if has("LEASE_LOST") {
            self.counts.lost += 1;
        } else if has("STOP_PRESENT") || has("WORKER_ENDED") {
            self.counts.released += 1;
            self.hand.let_go(&envelope.summary, None)?;
        } else {
            failed = true;
            self.counts.refused += 1;
            self.give_up(taken, done)?;
        }
        let code = done.code;
        Ok(Round::Worked { code, failed })
    }

    /// A try that failed: the task is given back, or goes to blocked where it was tried often enough and
    /// the system may move it.
    fn give_up(&mut self, taken: &Taken, done: &Done) -> Result<(), Problem> {
        let id = taken.claim.task.id().as_str();
        let most = self.session().policy()?.caps.max_attempts;
        if self.hand.grant().is_some() && taken.tries + 1 >= most {
            let upstream = Some(done.envelope.clone());
            let blocked = self.step(&incident_brief::SKILL, "system", &["--task", id], upstream)?;
            self.hand
                .tell(&format!("{id}: {}", blocked.envelope.summary));
            if blocked.envelope.status == Status::Ok {
                return Ok(());
            }
        }
        self.counts.released += 1;
        let last = done.envelope.findings.last();
        let code = last.map_or("FAILED", |finding| finding.code.as_str());
        self.hand.let_go(&done.envelope.summary, Some(code))
    }

    fn look_again(&mut self) {
        let session = self.session();
        // Only for the answer; what cannot be looked at was complained of already.
        if let Ok(waiting) = queue::waiting(&session, &self.name) {
            self.left = waiting.left;
        }
    }
}
