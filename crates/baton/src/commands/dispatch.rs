//! `baton run --watch`: the dispatcher. It picks tasks as they come and has each run the whole way by a
//! `baton run` of its own, so that one that goes wrong takes nothing with it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use baton_core::audit::{Action, Draft};
use baton_core::clock::Moment;
use baton_core::envelope::ToolClass;
use baton_core::problem::{Kind, Problem};
use baton_core::state::State;
use baton_core::store::TaskFolder;
use baton_core::task::TaskId;
use baton_core::{environment, exit, ids, terminal, threads};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use super::Shared;
use super::block::{SPENT, block};
use super::rounds::{Brake, Round, Rounds};
use super::run::Arguments;
use super::signals::Signals;
use crate::reply::Reply;

/// How long it has, after the second signal, to kill what runs and to give the tasks back: some files and
/// lines of the log, on a machine that may have much to do.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked, at the end, whether what still runs has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long until it is tried again to give back what could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// What a claim says when another has the task, took it away, or moved it on between the look and the claim.
const TAKEN: [&str; 3] = ["LOCK_CONFLICT", "TASK_NOT_FOUND", "LEASE_LOST"];

/// A run that has ended, and what it said.
struct Ended {
    id: TaskId,
    output: std::io::Result<Output>,
}

/// What a run said at its end.
struct Said {
    code: u8,
    text: String,
    /// The task was another's before it was begun.
    is_taken: bool,
}

impl Said {
    /// An envelope, or the answer to a problem that came before any.
    fn of(output: &std::io::Result<Output>) -> Self {
        let output = output.as_ref().ok();
        let code = output.and_then(|output| output.status.code());
        let json: Value = output
            .and_then(|output| serde_json::from_slice(&output.stdout).ok())
            .unwrap_or_default();
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let found = json.get("findings").and_then(Value::as_array);
        let mut codes = found
            .into_iter()
            .flatten()
            .filter_map(|one| one.get("code"));
        let is_conflict = |code: &str| TAKEN.contains(&code);
        // What is taken away later was begun, and counts as what it came to.
        let is_of_claim = text("skill").is_none_or(|skill| skill == claim_lock::SKILL.envelope);
        let why = match code {
            Some(code) => format!("its run ended with exit code {code}"),
            None => "its run was killed".to_owned(),
        };
        Self {
            code: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
            text: text("summary")
                .or(text("message"))
                .map_or(why, str::to_owned),
            is_taken: text("code").is_some_and(is_conflict)
                || (is_of_claim && codes.any(|code| code.as_str().is_some_and(is_conflict))),
        }
    }
}

struct Dispatcher<'a> {
    shared: &'a Shared,
    arguments: &'a Arguments,
    /// What the locks of its runs say: the name, and what no other dispatcher has.
    owner: String,
    /// Each task that runs, with the process that runs it.
    running: BTreeMap<TaskId, Pid>,
    ended: Arc<Mutex<Vec<Ended>>>,
    /// Runs that have ended and whose tasks could not be given back yet.
    unsettled: VecDeque<Ended>,
    /// When that is tried again.
    again: Instant,
    /// How many of `ended` are to be looked at.
    waiting: Arc<AtomicUsize>,
    begun: u64,
    brake: Brake,
    /// Until when places rest whose tasks failed; all others go on.
    resting: Vec<Instant>,
    /// How many tasks ended in each state.
    counts: BTreeMap<&'static str, u64>,
}

/// Dispatches until something ends it, and lets what runs then come to its end.
pub(super) fn run(shared: &Shared, arguments: &Arguments) -> Result<Reply, Problem> {
    let signals = Signals::listen(GRACE)?;
    let session = shared.session(None)?;
    let owner = arguments
        .owner
        .clone()
        .unwrap_or_else(environment::default_owner);
    let mut dispatcher = Dispatcher {
        shared,
        arguments,
        owner: format!("{owner}/{}", ids::random_hex()?),
        running: BTreeMap::new(),
        ended: Arc::default(),
        unsettled: VecDeque::new(),
        again: Instant::now(),
        waiting: Arc::default(),
        begun: 0,
        brake: Brake::default(),
        resting: Vec::new(),
        counts: BTreeMap::new(),
    };
    let rounds = Rounds {
        name: "baton run",
        signals: &signals,
        once: false,
        until: arguments.until.clone(),
        waiter: Some(session.store()?.waiter()),
    };
    let waiting = Arc::clone(&dispatcher.waiting);
    let end = rounds.go(&mut || dispatcher.round(), &|| {
        waiting.load(Ordering::SeqCst) > 0
    });
    let trouble = dispatcher.finish(&signals);
    let end = end.map(|end| end.with_trouble(trouble));
    Ok(end?.reply(json!({
        "command": "run", "begun": dispatcher.begun, "counts": dispatcher.counts,
    })))
}

impl Dispatcher<'_> {
    /// Looks at a run that has ended, or begins one.
    fn round(&mut self) -> Result<Round, Problem> {
        if let Some(ended) = self.take_ended() {
            return self.settle_or_keep(ended);
        }
        // What goes wrong with one again keeps no other from being begun.
        if let Some(ended) = self.due()
            && let Ok(round) = self.settle_or_keep(ended)
        {
            return Ok(round);
        }
        let session = self.shared.session(None)?;
        session.check_stop()?;
        let classes = [
            ToolClass::Read,
            ToolClass::Write,
            ToolClass::Move,
            ToolClass::Exec,
        ];
        session.authorize(&classes)?;
        let most = usize::from(self.arguments.parallel.unwrap_or(1));
        let may_begin = self.arguments.until.max.is_none_or(|max| self.begun < max);
        if may_begin && self.running.len() < most {
            let store = session.store()?;
            store.take_in_loose_files(session.actor)?;
            let running: Vec<_> = self.running.keys().cloned().collect();
            if let Some(id) = store.next_apart(&running, Moment::now())? {
                if let Some(rest) = self.rest(most) {
                    return Ok(Round::Later(rest));
                }
                self.begin(id)?;
                return Ok(Round::Begun);
            }
        }
        Ok(match self.running.is_empty() {
            true => Round::Nothing,
            false => Round::Busy,
        })
    }

    /// How long it is until one of the places is free, where each has a task or rests after one that failed.
    fn rest(&mut self, places: usize) -> Option<Duration> {
        let now = Instant::now();
        self.resting.retain(|until| *until > now);
        let next = self.resting.iter().min()?;
        let is_full = self.running.len() + self.resting.len() >= places;
        is_full.then(|| next.saturating_duration_since(now))
    }

    /// The place of a task that failed rests, so that not all tasks are spent on what is wrong with all of them;
    /// one that does well shows that nothing is.
    fn slow_down(&mut self, failed: bool) {
        let rest = self.brake.after(failed);
        match failed {
            true => self.resting.push(Instant::now() + rest),
            false => self.resting.clear(),
        }
    }

    fn take_ended(&self) -> Option<Ended> {
        let ended = self
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if ended.is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        ended
    }

    /// Starts the run of a task, in a process group of its own: what the terminal tells this process is
    /// for this process to pass on.
    fn begin(&mut self, id: TaskId) -> Result<(), Problem> {
        let wait = self.listener(&id)?;
        let cannot = |error: std::io::Error| {
            Problem::fail("RUN_NOT_STARTED", format!("{id} cannot be run: {error}"))
                .hint(format!("baton run {id}"))
        };
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(self.command_line(&id)?).process_group(0);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(cannot)?;
        let pid = Pid::from_child(&child);
        terminal::say(&format!("{id}: begun"));
        // Who is handed it is there: it waits for this.
        let _ = wait.send(child);
        self.running.insert(id, pid);
        self.begun += 1;
        Ok(())
    }

    /// Who passes on what the run of a task says to people, and waits for its end. It is there before the run is:
    /// without a thread to listen nothing is begun.
    fn listener(&self, id: &TaskId) -> Result<Sender<Child>, Problem> {
        let (ended, waiting) = (Arc::clone(&self.ended), Arc::clone(&self.waiting));
        let name = id.clone();
        let (pass_on, passing) = threads::waiting(move |stderr: ChildStderr| {
            let lines = BufReader::new(stderr).split(b'\n');
            for line in lines.map_while(Result::ok) {
                terminal::say(&format!("{name}: {}", String::from_utf8_lossy(&line)));
            }
        })?;
        let id = id.clone();
        let (wait, _) = threads::waiting(move |mut child: Child| {
            let stderr = child.stderr.take();
            let _ = stderr.map(|stderr| pass_on.send(stderr));
            drop(pass_on);
            let output = child.wait_with_output();
            // All that it said comes before what became of it.
            let _ = passing.join();
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.push(Ended { id, output });
            waiting.fetch_add(1, Ordering::SeqCst);
        })?;
        Ok(wait)
    }

    fn command_line(&self, id: &TaskId) -> Result<Vec<std::ffi::OsString>, Problem> {
        let actor = self.shared.actor()?.name();
        let words = [
            "run",
            id.as_str(),
            "--apart",
            "--actor",
            actor,
            "--owner",
            &self.owner,
        ];
        let mut line: Vec<std::ffi::OsString> = words.map(Into::into).to_vec();
        if let Some(repo) = &self.shared.repo {
            line.extend(["--repo".into(), repo.into()]);
        }
        let valued = [
            ("--producer", &self.arguments.producer),
            ("--reply-format", &self.arguments.reply_format),
        ];
        for (flag, value) in valued {
            if let Some(value) = value {
                line.extend([flag.into(), value.into()]);
            }
        }
        let switches = [
            ("--fuzz", self.arguments.fuzz),
            ("--shadow", self.arguments.shadow),
            ("--no-cache", self.arguments.no_cache),
        ];
        line.extend(
            switches
                .into_iter()
                .filter(|(_, on)| *on)
                .map(|(flag, _)| flag.into()),
        );
        Ok(line)
    }

    /// As [`Self::settle`]; what cannot be settled is kept, and held by its lock, until that is mended.
    fn settle_or_keep(&mut self, ended: Ended) -> Result<Round, Problem> {
        let settled = self.settle(&ended);
        let is_usage = |problem: &Problem| problem.kind == Kind::Usage;
        if settled.as_ref().is_err_and(|problem| !is_usage(problem)) {
            self.unsettled.push_back(ended);
            self.again = Instant::now() + AGAIN;
        }
        settled
    }

    fn due(&mut self) -> Option<Ended> {
        let is_due = Instant::now() >= self.again;
        is_due.then(|| self.unsettled.pop_front()).flatten()
    }

    /// Says and counts what became of a task, and gives it back where its run left it locked.
    fn settle(&mut self, ended: &Ended) -> Result<Round, Problem> {
        self.running.remove(&ended.id);
        let said = Said::of(&ended.output);
        if said.is_taken {
            // Another was quicker, or holds what is in its way by now.
            self.begun -= 1;
            terminal::say(&format!("{}: {}", ended.id, said.text));
            return Ok(Round::Begun);
        }
        if said.code == exit::USAGE {
            // The next one would be begun with the same words.
            self.begun -= 1;
            return Err(Problem::usage(said.text));
        }
        let session = self.shared.session(None)?;
        // STOP is nobody's bad try, and no good one.
        let is_stopped = session.store()?.stop().is_present();
        let failed = said.code != 0 && !is_stopped;
        self.give_back(&ended.id, &said.text, failed)?;
        let state = session.store()?.find(&ended.id)?;
        let name = state.map_or("gone", State::name);
        *self.counts.entry(name).or_default() += 1;
        terminal::say(&format!("{}: {name}: {}", ended.id, said.text));
        if said.code == 0 || failed {
            self.slow_down(failed);
        }
        // The other places need not wait.
        Ok(Round::Worked {
            code: said.code,
            failed: false,
        })
    }

    /// What only waits for something else, and what was killed, is left in claimed or work with a lock that
    /// nobody stands behind any more. It goes back into the inbox; tried too often, to a person.
    fn give_back(&self, id: &TaskId, why: &str, failed: bool) -> Result<(), Problem> {
        let session = self.shared.session(Some(id.as_str()))?;
        let store = session.store()?;
        let Ok(mut task) = store.task(id) else {
            return Ok(());
        };
        let state = task.state();
        let lease = task.lease()?.filter(|lease| lease.owner == self.owner);
        let Some(lease) = lease.filter(|_| matches!(state, State::Claimed | State::Work)) else {
            return Ok(());
        };
        let moves = session.standing(ToolClass::Move)?;
        if failed && store.tries(&task)? >= session.policy()?.caps.max_attempts {
            let is_ours = |task: &TaskFolder| task.check_fence(Some(lease.fence));
            block(&session, (SPENT, Some(why)), vec![moves], is_ours)?;
            return Ok(());
        }
        // While STOP is on nothing moves.
        let stays = store.stop().is_present();
        let event = || {
            let draft = Draft::new(session.actor, Action::LeaseReleased, "baton")?;
            let to = if stays { state } else { State::Inbox };
            let mut draft = draft
                .task(id.as_str(), Some(state), Some(to))
                .meta("owner", lease.owner.clone())
                .meta("fence", lease.fence)
                .meta("reason", why);
            draft.approvals = vec![moves];
            Ok(draft)
        };
        let failed = failed.then_some("RUN_FAILED");
        match stays {
            true => store.let_go(&task, &lease, failed, event)?,
            false => store.put_back(&mut task, &lease, failed, event)?,
        };
        Ok(())
    }

    /// Waits for what runs. Who asks twice has it killed, and the tasks given back; what cannot be is the trouble.
    fn finish(&mut self, signals: &Signals) -> Option<Problem> {
        if !self.running.is_empty() {
            let count = self.running.len();
            terminal::say(&format!(
                "{count} of the tasks still run and are waited for; a second signal ends them"
            ));
        }
        let mut killed = false;
        while !self.running.is_empty() {
            if signals.is_urgent() && !std::mem::replace(&mut killed, true) {
                for pid in self.running.values() {
                    // One that has ended meanwhile is no trouble.
                    let _ = kill_process_group(*pid, Signal::KILL);
                }
            }
            match self.take_ended() {
                // Trouble with one must not keep the others waiting.
                Some(ended) => drop(self.settle_or_keep(ended)),
                None => std::thread::sleep(LOOK),
            }
        }
        let mut trouble = None;
        for ended in std::mem::take(&mut self.unsettled) {
            if let Err(problem) = self.settle(&ended) {
                terminal::complain("baton run", &problem);
                trouble = Some(problem);
            }
        }
        trouble
    }
}
