//! One attempt at one level: starts the second stage, hears its report, lets the gate go, watches,
//! reads the log, and sees to it that nothing is left.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::bait::Laid;
use crate::handle::Handle;
use crate::level::Level;
use crate::log::{Log, Recorder};
use crate::outcome::EndedBy;
use crate::processes::{children, descendants};
use crate::profile::Profile;
use crate::refused::Refused;
use crate::watch::{LOOK, Peaks, Watch};
use crate::wire::{End, GO, OUTER, OuterPlan, Ready, Report, StagePlan, send, take};

/// How long the walls may take to build. A thousand times what they take on an idle machine.
const SETUP: Duration = Duration::from_secs(10);
/// How often the caller is asked whether to stop.
const STOP: Duration = Duration::from_millis(50);
/// How long reading and dying may go on after the main process ended.
const DRAIN: Duration = Duration::from_millis(500);
/// How much longer the keeper may take to count what is left. It takes microseconds, once a busy machine
/// lets it; killed before, it would leave a leak uncounted.
const COUNTING: Duration = Duration::from_secs(5);
/// How long a kill may take before it counts as failed.
const DYING: Duration = Duration::from_secs(2);

/// What came of an attempt.
pub(crate) enum Attempt {
    /// The gate ran.
    Ran(Box<Ran>),
    /// The level was not reached, or the canary got through; the words say what.
    Unreached(String),
    /// The gate's program is not there.
    NotStarted(String),
    /// The caller said stop before the gate began.
    StoppedEarly,
}

/// What is known of a gate that ran.
pub(crate) struct Ran {
    pub(crate) ready: Ready,
    pub(crate) ended_by: EndedBy,
    pub(crate) duration: Duration,
    pub(crate) setup: Duration,
    pub(crate) cpu_ms: u64,
    pub(crate) peaks: Peaks,
    pub(crate) leaks: u64,
    pub(crate) all_dead: bool,
    pub(crate) log: Log,
}

/// Runs one attempt.
pub(crate) fn attempt(
    program: &std::path::Path,
    profile: &Profile,
    plans: (&OuterPlan, StagePlan),
    laid: &Laid,
    judge: &dyn Fn(&Ready) -> Result<(), String>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Attempt, Refused> {
    let (outer, mut stage) = plans;
    let level = outer.level;
    let begun = Instant::now();
    let (theirs, mut ours) =
        UnixStream::pair().map_err(|error| Refused::failed("a channel", &error))?;
    let (log, write_end) = std::io::pipe().map_err(|error| Refused::failed("a pipe", &error))?;
    let child = start(program, theirs, write_end.into())?;
    stage.bait.outer = child.id();
    let mut run = Run::new(child, log.into(), level, profile, begun)?;
    let told = send(&mut ours, outer).and_then(|()| send(&mut ours, &stage));
    if let Err(error) = told {
        run.note = Some(format!("the second stage did not listen: {error}"));
    }
    run.go_on(ours, laid, judge, is_stopped);
    Ok(run.finish())
}

fn start(program: &std::path::Path, channel: UnixStream, log: OwnedFd) -> Result<Child, Refused> {
    let second = log
        .try_clone()
        .map_err(|error| Refused::failed("a pipe", &error))?;
    Command::new(program)
        .arg(OUTER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(channel)))
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(second))
        .spawn()
        .map_err(|error| Refused::failed("the second stage", &error))
}

/// One attempt while it lasts.
struct Run<'a> {
    child: Child,
    pid: Pid,
    /// Becomes readable when the child has ended.
    handle: Handle,
    /// The first process inside: its end is the end of everything inside.
    inner: Option<Handle>,
    log: OwnedFd,
    log_open: bool,
    recorder: Recorder,
    level: Level,
    profile: &'a Profile,
    watch: Watch,
    begun: Instant,
    started: Option<Instant>,
    ended: Option<(Instant, EndedBy)>,
    ready: Option<Ready>,
    note: Option<String>,
    not_started: Option<String>,
    stopped: bool,
    killed: bool,
    exited: bool,
    cpu_ms: u64,
    leaks: u64,
    next_look: Instant,
    next_stop: Instant,
}

impl<'a> Run<'a> {
    fn new(
        child: Child,
        log: OwnedFd,
        level: Level,
        profile: &'a Profile,
        begun: Instant,
    ) -> Result<Self, Refused> {
        let failed = |error: std::io::Error| Refused::failed("the second stage", &error);
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
        let handle = Handle::open(pid).map_err(failed)?;
        let watch = Watch::new(pid, &profile.limits, &profile.tree);
        let watch = watch.map_err(|error| Refused::failed("a thread for the watch", &error))?;
        Ok(Self {
            child,
            pid,
            handle,
            inner: None,
            log,
            log_open: true,
            recorder: Recorder::new(profile.limits.log_bytes),
            level,
            profile,
            watch,
            begun,
            started: None,
            ended: None,
            ready: None,
            note: None,
            not_started: None,
            stopped: false,
            killed: false,
            exited: false,
            cpu_ms: 0,
            leaks: 0,
            next_look: begun,
            next_stop: begun,
        })
    }

    fn go_on(
        &mut self,
        mut channel: UnixStream,
        laid: &Laid,
        judge: &dyn Fn(&Ready) -> Result<(), String>,
        is_stopped: &dyn Fn() -> bool,
    ) {
        // Blocking while the plans were sent; from here on only what has arrived is read.
        let _ = channel.set_nonblocking(true);
        let mut arrived = Vec::new();
        let mut channel_open = true;
        while !self.is_over() {
            let (log, word) = self.wait(channel_open.then_some(&channel));
            // Asked before the last reading: what was said before the end has arrived by then.
            let exited = !self.exited && matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
            if channel_open && (word || exited) {
                channel_open = read_all(&mut channel, &mut arrived);
                while let Some(report) = take::<Report>(&mut arrived) {
                    match report {
                        Ok(report) => self.hear(report, &mut channel, laid, judge),
                        Err(error) => self.give_up(format!("the second stage's report: {error}")),
                    }
                }
            }
            if log {
                self.read_log();
            }
            if exited {
                self.exited = true;
                self.end_with(EndedBy::Lost);
            }
            self.check(is_stopped);
        }
    }

    /// Waits until something happens; whether the log and the channel can be read.
    fn wait(&mut self, channel: Option<&UnixStream>) -> (bool, bool) {
        // Every look, question and deadline comes within this, or at most this much late.
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK.subsec_nanos()),
        };
        // A closed end would answer at once for ever, so only open ones are asked.
        let mut ends = Vec::with_capacity(3);
        if self.log_open {
            ends.push(PollFd::new(&self.log, PollFlags::IN));
        }
        if let Some(channel) = channel {
            ends.push(PollFd::new(channel, PollFlags::IN));
        }
        if let Some(end) = self.handle.end().filter(|_| !self.exited) {
            ends.push(PollFd::from_borrowed_fd(end, PollFlags::IN));
        }
        // An interrupted wait is a short one.
        let _ = poll(&mut ends, Some(&timeout));
        let mut answers = ends.iter().map(|end| !end.revents().is_empty());
        let log = self.log_open && answers.next().unwrap_or(false);
        let word = channel.is_some() && answers.next().unwrap_or(false);
        (log, word)
    }

    fn hear(
        &mut self,
        report: Report,
        channel: &mut UnixStream,
        laid: &Laid,
        judge: &dyn Fn(&Ready) -> Result<(), String>,
    ) {
        match report {
            Report::Ready(ready) if self.ready.is_none() => {
                let mut ready = *ready;
                laid.check(&mut ready.trials);
                if let Err(words) = judge(&ready) {
                    return self.give_up(words);
                }
                self.ready = Some(ready);
                self.let_go(channel);
            }
            Report::Failed { step, error } if self.started.is_none() => {
                self.give_up(format!("{step}: {error}"));
            }
            Report::NotStarted { error } => self.not_started = Some(error),
            Report::Ended { end, cpu_ms } if self.ended.is_none() => {
                self.cpu_ms = cpu_ms;
                self.end_with(match end {
                    End::Exit(code) => EndedBy::Exit(code),
                    End::Signal(signal) => EndedBy::Signal(signal),
                });
            }
            // What a kill of ours leaves for a moment is no leak of the gate.
            Report::Left { processes } if !self.killed => self.leaks = processes,
            // Said twice, or after the end: not by the second stage as it is written.
            _ => {}
        }
    }

    fn let_go(&mut self, channel: &mut UnixStream) {
        let mut root = self.pid;
        if self.level == Level::I3 {
            // The second stage guards `bwrap`, and below that is the first process inside.
            let only = |parent: Pid| children(parent).first().copied();
            root = only(root).unwrap_or(root);
            self.inner = only(root).and_then(|inner| Handle::open(inner).ok());
        }
        if self.level == Level::I3 && self.inner.is_none() {
            return self.give_up("the processes inside cannot be seen from outside".to_owned());
        }
        self.watch.start(root);
        let now = Instant::now();
        self.started = Some(now);
        self.next_look = now + LOOK;
        if let Err(error) = channel.write_all(&[GO]) {
            self.give_up(format!("the second stage did not listen: {error}"));
        }
    }

    fn give_up(&mut self, words: String) {
        self.note.get_or_insert(words);
        self.ready = None;
        self.end_with(EndedBy::Lost);
        self.kill();
    }

    fn end_with(&mut self, ended_by: EndedBy) {
        self.ended.get_or_insert((Instant::now(), ended_by));
    }

    /// When the gate, the set-up or the reading must be over.
    fn deadline(&self) -> Option<Instant> {
        match (&self.ended, self.started) {
            (Some((ended, _)), _) => Some(*ended + DRAIN),
            (None, Some(started)) => {
                started.checked_add(Duration::from_millis(self.profile.limits.wall_ms))
            }
            (None, None) => Some(self.begun + SETUP),
        }
    }

    fn check(&mut self, is_stopped: &dyn Fn() -> bool) {
        let now = Instant::now();
        if self.ended.is_some() {
            if self
                .deadline()
                .is_some_and(|deadline| now >= deadline + COUNTING)
            {
                self.kill();
            }
            return;
        }
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            if self.started.is_none() {
                return self.give_up("the walls did not stand in time".to_owned());
            }
            self.end_with(EndedBy::Timeout);
            return self.kill();
        }
        if now >= self.next_stop {
            self.next_stop = now + STOP;
            if is_stopped() {
                self.stopped = true;
                self.end_with(EndedBy::Stopped);
                return self.kill();
            }
        }
        if self.started.is_some() && now >= self.next_look {
            let passed = self.watch.look();
            self.next_look = Instant::now() + LOOK;
            let flooded = self.recorder.total() > self.profile.limits.output_bytes;
            if let Some(name) = passed.or(flooded.then_some("output")) {
                self.end_with(EndedBy::Limit(name));
                self.kill();
            }
        }
    }

    /// Whether nothing more can come.
    fn is_over(&self) -> bool {
        let Some((ended, _)) = self.ended else {
            return false;
        };
        let late = Instant::now() >= ended + DRAIN + DYING;
        let read = !self.log_open || Instant::now() >= ended + DRAIN;
        late || (self.exited && read)
    }

    fn read_log(&mut self) {
        let mut buffer = [0_u8; 64 << 10];
        // One at a time, so that a flood does not keep the watch from looking.
        match rustix::io::read(&self.log, &mut buffer) {
            Ok(0) => self.log_open = false,
            Ok(count) => self
                .recorder
                .take_in(buffer.get(..count).unwrap_or_default()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.log_open = false,
        }
    }

    /// Kills everything. Inside a pid namespace the first process takes all others with it, and `bwrap` and
    /// its guard end by that; below that the keeper lives on for a moment to gather what was orphaned.
    fn kill(&mut self) {
        if self.exited {
            return;
        }
        match &self.inner {
            Some(inner) => inner.kill(),
            None => self.kill_builders(),
        }
        let ours_to_wait_for = self.level < Level::I3 && self.started.is_some() && !self.killed;
        self.killed = true;
        if ours_to_wait_for {
            for process in descendants(self.pid) {
                // Already gone is the good case.
                let _ = kill_process(process, Signal::KILL);
            }
        } else if self.is_late() {
            self.handle.kill();
        }
    }

    /// Until its walls stand, what `bwrap` has started does not yet die with it: it waits, for ever, for a
    /// word from the one that is killed. They are below it, or in the group that the second stage made.
    fn kill_builders(&self) {
        for process in descendants(self.pid) {
            // Already gone is the good case, here and below.
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    fn is_late(&self) -> bool {
        self.started.is_none()
            || self
                .ended
                .is_some_and(|(ended, _)| Instant::now() >= ended + 2 * DRAIN)
    }

    fn finish(mut self) -> Attempt {
        if !self.exited {
            if self.inner.is_none() {
                self.kill_builders();
            }
            self.handle.kill();
            let _ = self.child.wait();
        }
        let all_dead = self.inner.as_ref().is_some_and(Handle::is_gone);
        if let Some(error) = self.not_started {
            return Attempt::NotStarted(error);
        }
        let (Some(ready), Some(started), Some((ended, ended_by))) =
            (self.ready, self.started, self.ended)
        else {
            if self.stopped {
                return Attempt::StoppedEarly;
            }
            let words = [self.note, Some(self.recorder.words())];
            let words: Vec<String> = words
                .into_iter()
                .flatten()
                .filter(|w| !w.is_empty())
                .collect();
            return Attempt::Unreached(if words.is_empty() {
                "the second stage ended without a word".to_owned()
            } else {
                words.join("; ")
            });
        };
        Attempt::Ran(Box::new(Ran {
            ready,
            ended_by,
            duration: ended.saturating_duration_since(started),
            setup: started.saturating_duration_since(self.begun),
            cpu_ms: self.cpu_ms.max(self.watch.peaks.cpu_ms),
            peaks: self.watch.peaks,
            leaks: self.leaks,
            all_dead,
            log: self.recorder.finish(self.log_open),
        }))
    }
}

/// Reads all that has arrived; whether more can come.
fn read_all(channel: &mut UnixStream, arrived: &mut Vec<u8>) -> bool {
    let mut buffer = [0_u8; 16 << 10];
    loop {
        match channel.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => arrived.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
