//! `baton run`: the whole way in process, with a step list for people.

mod after;
mod arguments;
mod before;
mod dispatched;
mod waiting;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use baton_core::candidate::Match;
use baton_core::driver::{self, Done, Skill};
use baton_core::envelope::{ApprovalState, Decision, Envelope, Status, ToolClass};
use baton_core::exit;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::task::TaskId;
use baton_core::terminal;
use clap::{ArgMatches, FromArgMatches as _};

pub(super) use self::arguments::{Arguments, arguments};
use super::{Shared, rebase, retry, rollback, stop, tip};
use crate::reply::Reply;

/// Takes one task as far as it may go, with a patch where it has none yet.
pub(super) fn take(shared: &Shared, task: &str, from: Option<PathBuf>) -> Result<Reply, Problem> {
    let arguments = Arguments {
        from,
        ..Arguments::default()
    };
    one(shared, &arguments, task)
}

/// Takes one task as far as it may go, as these arguments say.
pub(super) fn one(shared: &Shared, arguments: &Arguments, task: &str) -> Result<Reply, Problem> {
    let arguments = Arguments {
        task: Some(task.to_owned()),
        ..arguments.clone()
    };
    go(shared, &arguments)
}

/// Where the run stands.
struct Way<'a> {
    shared: &'a Shared,
    arguments: &'a Arguments,
    actor: &'static str,
    task: Option<String>,
    last: Option<Done>,
    step: usize,
    /// The candidate of this run was set aside; what the caller gave is used up.
    anew: bool,
    /// The checkouts that a landing left alone which came to nothing.
    left: Vec<String>,
}

/// Takes a task as far as it may go and prints the last envelope.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Problem::usage(error.to_string()))?;
    if arguments.watch {
        return super::dispatch::run(shared, &arguments);
    }
    if arguments.all {
        return super::all::run(shared, &arguments);
    }
    go(shared, &arguments)
}

fn go(shared: &Shared, arguments: &Arguments) -> Result<Reply, Problem> {
    let mut way = Way::new(shared, arguments)?;
    way.go()?;
    let done = way
        .last
        .ok_or_else(|| Problem::fail("INTERNAL_ERROR", "the run made no step"))?;
    let json = serde_json::to_value(&done.envelope).unwrap_or_default();
    let left = way.left.iter();
    let mut reply = Reply::ok(json).code(done.code);
    reply.always_json = true;
    for hint in left.chain(&done.hints) {
        reply = reply.line(format!("next: {hint}"));
    }
    Ok(reply)
}

impl<'a> Way<'a> {
    fn new(shared: &'a Shared, arguments: &'a Arguments) -> Result<Self, Problem> {
        Ok(Self {
            shared,
            arguments,
            actor: shared.actor()?.name(),
            task: arguments.task.clone(),
            last: None,
            step: 0,
            anew: false,
            left: Vec::new(),
        })
    }

    /// The way through. The first step that does not end well leads to the incident.
    fn go(&mut self) -> Result<(), Problem> {
        if !self.step(&stop_check::SKILL, &[])? || !self.step(&queue_scan::SKILL, &[])? {
            // A task that waits in the inbox was not begun: it stays where it is.
            return match self.state() {
                Ok(Some(State::Inbox)) => self.record(),
                _ => self.converge(),
            };
        }
        if self.task.is_some() {
            retry::finish_cut_off(&self.session()?)?;
        }
        let is_open = |state| matches!(state, State::Inbox | State::Claimed | State::Work);
        if self.arguments.apart && !self.state()?.is_some_and(is_open) {
            return Err(self.is_elsewhere());
        }
        self.check_source()?;
        let mut left = self.session()?.policy()?.landing.max_rebases;
        loop {
            let went = match self.state()? {
                None | Some(State::Inbox) => self.claim()? && self.work()?,
                Some(State::Claimed | State::Work) => self.hold()? && self.work()?,
                Some(State::Pr) => true,
                Some(state @ (State::Done | State::Blocked)) => return Err(self.at_rest(state)),
            };
            if !went || !self.decision_allows() {
                return self.converge();
            }
            let landed = self.land(left > 0)?;
            if !self.is_moved() || left == 0 || !rebase::is_possible(&self.session()?)? {
                return if landed {
                    self.record()?;
                    self.look_at_the_tip()
                } else {
                    self.converge()
                };
            }
            left -= 1;
            self.make_anew()?;
        }
    }

    /// Whether the target moved, and the change can be made anew on it.
    fn is_moved(&self) -> bool {
        let findings = self.last.iter().flat_map(|done| &done.envelope.findings);
        let mut codes = findings.map(|finding| finding.code.as_str());
        codes.any(|code| code == "BASE_MOVED")
    }

    /// Takes the task through scan, gates and decision again, on the target's new head.
    fn make_anew(&mut self) -> Result<(), Problem> {
        rebase::begin(&self.session()?)?;
        terminal::say("   the target moved: the change is made anew on its head");
        // What was said of the candidate before is not said of the next one.
        self.keep_what_was_left();
        self.anew = true;
        Ok(())
    }

    fn session(&self) -> Result<Session, Problem> {
        self.shared.session(self.task.as_deref())
    }

    fn state(&self) -> Result<Option<State>, Problem> {
        let Some(task) = &self.task else {
            return Ok(None);
        };
        let id = TaskId::parse(task)?;
        self.session()?.store()?.find(&id)
    }

    /// Who picks a task to run it apart means one that is to be run.
    fn is_elsewhere(&self) -> Problem {
        let id = self.task.clone().unwrap_or_default();
        let why = format!("task {id} was taken further, or away, by another");
        Problem::fail("LOCK_CONFLICT", why).hint(format!("baton show {id}"))
    }

    fn claim(&mut self) -> Result<bool, Problem> {
        let mut flags = Vec::new();
        if self.arguments.next {
            flags.push("--next".to_owned());
        }
        flags.extend(self.arguments.apart.then(|| "--apart".to_owned()));
        if let Some(owner) = &self.arguments.owner {
            flags.extend(["--owner".to_owned(), owner.clone()]);
        }
        let claimed = self.step(&claim_lock::SKILL, &flags)?;
        if let Some(done) = self.last.as_ref().filter(|_| claimed) {
            self.task = Some(done.envelope.task.task_id.clone());
        }
        if claimed && self.arguments.next {
            self.check_source_of_next(self.arguments.owner.as_deref())?;
        }
        Ok(claimed)
    }

    /// A task that is in hand already is gone on with only by its holder, or once its lease is over.
    fn hold(&mut self) -> Result<bool, Problem> {
        let session = self.session()?;
        let lease = session.task()?.lease()?;
        let owner = self
            .arguments
            .owner
            .clone()
            .unwrap_or_else(baton_core::environment::default_owner);
        if let Some(lease) = lease.as_ref().filter(|lease| lease.is_in_living_hands()) {
            let message = format!(
                "task {} is being worked on by process {} of {}",
                session.task()?.id(),
                lease.pid,
                lease.owner
            );
            return Err(Problem::fail("LOCK_CONFLICT", message)
                .hint("wait for it; baton status shows how far it is"));
        }
        match lease {
            Some(lease) if lease.owner == owner => self.step(
                &claim_lock::SKILL,
                &["--renew".to_owned(), "--owner".to_owned(), owner],
            ),
            _ => self.claim(),
        }
    }

    fn work(&mut self) -> Result<bool, Problem> {
        if !self.step(&intake_validate::SKILL, &[])? {
            return Ok(false);
        }
        // A task that was given back, or taken from an owner who is gone, comes with what it has.
        let drafted = self.session()?.task()?.has_recorded_draft()?;
        if !drafted && !self.draft()? {
            return Ok(false);
        }
        if !self.step(&diff_risk_scan::SKILL, &[])? {
            return Ok(false);
        }
        // A failed gate is for the router to judge, not the end of the way; gates that could not be run are not.
        let fresh = self.arguments.no_cache.then(|| "--no-cache".to_owned());
        let ran = self.step(&gate_runner::SKILL, fresh.as_slice())?;
        Ok((ran || !self.waits()) && self.step(&decision_router::SKILL, &[])?)
    }

    /// After a landing, where the policy wants it, the gates run on the target's tip. When one does
    /// not pass there any more, a revert is made ready and the queue stops.
    fn look_at_the_tip(&mut self) -> Result<(), Problem> {
        let Some(tip) = tip::of(&self.session()?)? else {
            return Ok(());
        };
        let before = self.last.take();
        let file = temporary(&tip.patch)?;
        let path = file.path().to_string_lossy().into_owned();
        let flags = ["--patch".to_owned(), path, "--base".to_owned(), tip.base];
        // The gates look at the tip, not at the task's candidate.
        let task = self.task.take();
        let ran = self.step(&gate_runner::SKILL, &flags);
        self.task = task;
        ran?;
        let now = self.last.take();
        self.last = before;
        let Some(now) = now else { return Ok(()) };
        let worse = tip::worse(&self.session()?, &now.envelope)?;
        if worse.is_empty() {
            return Ok(());
        }
        self.pause(&worse)
    }

    /// Makes the revert of what just landed ready, and switches STOP on.
    fn pause(&mut self, worse: &[String]) -> Result<(), Problem> {
        let session = self.session()?;
        let id = session.task_id()?;
        let reason = format!("{} does not pass on what {id} landed", worse.join(", "));
        let made = rollback::make(&session, &reason).and_then(|made| {
            let file = temporary(made.patch.as_deref().unwrap_or_default())?;
            let arguments = Arguments {
                task: Some(made.id.clone()),
                from: Some(file.path().to_owned()),
                ..Arguments::default()
            };
            let mut way = Way::new(self.shared, &arguments)?;
            match way.claim()? && way.ready()? {
                true => Ok(made.id),
                false => Err(Problem::fail(
                    "ROLLBACK_CONFLICT",
                    "its steps did not end well",
                )),
            }
        });
        // Whatever became of the revert, nothing else lands.
        stop::switch_on(&session, session.store()?, "baton run", &reason)?;
        let next = match made {
            Ok(revert) => format!("the revert is ready: baton resume, then baton run {revert}"),
            Err(problem) => format!("no revert could be made: {problem}"),
        };
        if let Some(last) = &mut self.last {
            last.code = last.code.max(exit::code(Status::ZeroStop, None));
            last.hints.push(format!("STOP is on: {reason}; {next}"));
        }
        Ok(())
    }

    /// Takes a claimed task as far as its candidate and the scan of it.
    fn ready(&mut self) -> Result<bool, Problem> {
        Ok(self.step(&intake_validate::SKILL, &[])?
            && self.draft()?
            && self.step(&diff_risk_scan::SKILL, &[])?)
    }

    /// Drafts from what the caller names, or from the attempt before when the target moved.
    fn draft(&mut self) -> Result<bool, Problem> {
        let flags = self.draft_flags();
        let given = (flags.is_empty() || self.anew)
            .then(|| rebase::again(&self.session()?))
            .transpose()?
            .flatten();
        let Some(again) = given else {
            return self.step(&patch_draft::SKILL, &flags);
        };
        let file = temporary(&again.patch)?;
        let path = file.path().to_string_lossy().into_owned();
        // The proposer stays who it was.
        let actor = std::mem::replace(&mut self.actor, again.actor.name());
        let mut flags = vec!["--from".to_owned(), path];
        // What was guessed once stays guessed.
        if again.matched == Match::Fuzzy {
            flags.push("--guessed".to_owned());
        }
        let drafted = self.step(&patch_draft::SKILL, &flags);
        self.actor = actor;
        drafted
    }

    fn draft_flags(&self) -> Vec<String> {
        let mut flags = match (&self.arguments.from, &self.arguments.producer) {
            (Some(path), _) => vec!["--from".to_owned(), path.to_string_lossy().into_owned()],
            (None, Some(producer)) => vec!["--producer".to_owned(), producer.clone()],
            (None, None) => return Vec::new(),
        };
        if let Some(format) = &self.arguments.reply_format {
            flags.extend(["--reply-format".to_owned(), format.clone()]);
        }
        flags.extend(self.arguments.fuzz.then(|| "--fuzz".to_owned()));
        flags
    }

    fn decision_allows(&self) -> bool {
        let decision = self.last.as_ref().and_then(|done| done.envelope.decision);
        decision != Some(Decision::ZeroStop)
    }

    /// Plans the landing; with an approval at hand, does it. Where the target moved, that is left to
    /// the next time around.
    fn land(&mut self, may_make_anew: bool) -> Result<bool, Problem> {
        if let Some(said) = rebase::carry(&self.session()?)? {
            terminal::say(&format!("   {said}"));
        }
        if !self.step(&pr_merge_orchestrator::SKILL, &[])? {
            return Ok(false);
        }
        if may_make_anew && self.is_moved() {
            return Ok(true);
        }
        let approved = self.last.as_ref().is_some_and(|done| {
            done.envelope.approvals.iter().any(|entry| {
                matches!(entry.tool_class, ToolClass::Pr | ToolClass::Merge)
                    && entry.state == ApprovalState::Approved
            })
        });
        if approved {
            return self.step(&pr_merge_orchestrator::SKILL, &["--execute".to_owned()]);
        }
        Ok(true)
    }

    /// Every way that ends badly ends in an incident, and the incident in the log. What only waits is none.
    fn converge(&mut self) -> Result<(), Problem> {
        if self.waits() || self.task.is_none() || self.has_landed() {
            return self.record();
        }
        let before = self.last.clone();
        self.step(&incident_brief::SKILL, &[])?;
        self.record()?;
        // The incident itself went well; what the caller asked for did not.
        if let (Some(before), Some(last)) = (before, self.last.as_mut()) {
            last.code = last.code.max(before.code);
        }
        Ok(())
    }

    /// The last envelope of the way is checked against the log; it stays the one that is printed.
    fn record(&mut self) -> Result<(), Problem> {
        let Some(before) = self.last.clone() else {
            return Ok(());
        };
        let recorded = self.step(&audit_append::SKILL, &[])?;
        let failed = self.last.take().filter(|_| !recorded);
        self.last = Some(failed.unwrap_or(before));
        Ok(())
    }

    /// Runs one skill on what the one before said. Says whether it ended well.
    fn step(&mut self, skill: &Skill, flags: &[String]) -> Result<bool, Problem> {
        let upstream = self.last.as_ref().map(|done| done.envelope.clone());
        let is_ours = self.arguments.apart && skill.name == claim_lock::SKILL.name;
        let done = driver::invoke_for(
            skill,
            self.command_line(skill, flags),
            upstream.filter(|_| skill.upstream != driver::Upstream::Never),
            is_ours.then(dispatched::caller),
        )?;
        self.step += 1;
        let mark = match done.envelope.status {
            Status::Ok => "ok  ",
            Status::Partial => "part",
            Status::Fail => "FAIL",
            Status::Deny => "DENY",
            Status::ZeroStop => "STOP",
        };
        terminal::say(&format!(
            "{:>2} {mark} {:<21} {}",
            self.step,
            skill.name,
            first_line(&done.envelope)
        ));
        let well = matches!(done.envelope.status, Status::Ok | Status::Partial);
        self.last = Some(done);
        Ok(well)
    }

    fn command_line(&self, skill: &Skill, flags: &[String]) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec![skill.name.into(), "--actor".into(), self.actor.into()];
        if let Some(repo) = &self.shared.repo {
            line.extend(["--repo".into(), repo.into()]);
        }
        if let Some(task) = self
            .task
            .as_ref()
            .filter(|_| !flags.iter().any(|flag| flag == "--next"))
        {
            line.extend(["--task".into(), task.into()]);
        }
        if self.arguments.shadow {
            line.push("--shadow".into());
        }
        line.extend(flags.iter().map(OsString::from));
        line
    }
}

fn first_line(envelope: &Envelope) -> String {
    envelope
        .summary
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(140)
        .collect()
}

/// A file with these bytes, gone when dropped.
pub(super) fn temporary(bytes: &[u8]) -> Result<tempfile::NamedTempFile, Problem> {
    let trouble = |error: std::io::Error| Problem::io("temporary file", &error);
    let mut file = tempfile::NamedTempFile::new().map_err(trouble)?;
    file.write_all(bytes).map_err(trouble)?;
    Ok(file)
}
