//! The one loop of everything that works until it is told to end: worker, dispatcher, watchdog.

use std::time::{Duration, Instant};

use baton_core::clock;
use baton_core::envelope::Status;
use baton_core::exit;
use baton_core::problem::{Kind, Problem};
use baton_core::store::Waiter;
use baton_core::terminal;

use super::signals::Signals;

/// How long to wait between two questions whether STOP is lifted, where nothing wakes.
const STOPPED: Duration = Duration::from_millis(500);
/// How long a wait may keep a signal waiting.
const SLICE: Duration = Duration::from_millis(50);
/// The longest wait after rounds that failed, in seconds; the first is one.
const LONGEST_PAUSE: u64 = 60;

/// The flags that say when it ends.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Until {
    /// End after this many tasks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max: Option<u64>,
    /// End when there was nothing to do for this long, such as 10m
    #[arg(long, value_name = "DUR", value_parser = clock::parse_duration)]
    pub(super) idle: Option<Duration>,
    /// Look at the queue this often, for what nothing wakes for (default: 2s)
    #[arg(long, value_name = "DUR", value_parser = clock::parse_duration)]
    pub(super) poll: Option<Duration>,
}

/// How long to wait before an empty queue is looked at again, unless it is said.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// How one round ended.
pub(super) enum Round {
    /// There was nothing to do.
    Nothing,
    /// There was nothing more to begin; what was begun goes on.
    Busy,
    /// Something was begun.
    Begun,
    /// A task was worked on; with the exit code of what became of it, and whether it failed.
    Worked { code: u8, failed: bool },
}

/// The loop.
pub(super) struct Rounds<'a> {
    /// The command, for what it complains of.
    pub(super) name: &'static str,
    pub(super) signals: &'a Signals,
    /// One round, whatever it comes to.
    pub(super) once: bool,
    pub(super) until: Until,
    /// What ends a wait for something to do early.
    pub(super) waiter: Option<Waiter>,
}

impl Rounds<'_> {
    /// Goes round until something ends it; says what, and the exit code. `is_ready` is asked while waiting
    /// whether there is a reason for another round.
    ///
    /// # Errors
    /// What nobody allows, as it is not asked for again; with `once`, whatever the round says but STOP.
    pub(super) fn go(
        &self,
        round: &mut dyn FnMut() -> Result<Round, Problem>,
        is_ready: &dyn Fn() -> bool,
    ) -> Result<(&'static str, u8), Problem> {
        let mut course = Course::default();
        let mut idle_since = Instant::now();
        loop {
            if let Some(signal) = self.signals.first() {
                return Ok((signal, 0));
            }
            let answer = round();
            if self.once {
                return answered_once(answer);
            }
            if !matches!(answer, Ok(Round::Nothing) | Err(_)) {
                idle_since = Instant::now();
            }
            let pause = course.pause(self, answer)?;
            if self.until.max.is_some_and(|most| course.done >= most) {
                return Ok(("max", 0));
            }
            let idle = self.until.idle;
            if idle.is_some_and(|idle| idle_since.elapsed() >= idle) {
                return Ok(("idle", 0));
            }
            self.wait(pause, is_ready);
        }
    }

    /// Waits, and no longer than until a signal comes, `is_ready`, or, where that wakes, the queue changes.
    fn wait(&self, pause: Pause, is_ready: &dyn Fn() -> bool) {
        let until = Instant::now() + pause.length;
        while self.signals.first().is_none() && !is_ready() {
            let left = until.saturating_duration_since(Instant::now()).min(SLICE);
            if left.is_zero() {
                return;
            }
            match self.waiter.as_ref().filter(|_| pause.wakes) {
                Some(waiter) if waiter.wait(left) => return,
                Some(_) => {}
                None => std::thread::sleep(left),
            }
        }
    }
}

/// How long to wait for the next round.
struct Pause {
    length: Duration,
    /// Whether a change of the queue ends it.
    wakes: bool,
}

/// What the rounds came to so far.
#[derive(Default)]
struct Course {
    done: u64,
    /// How many went wrong one after the other.
    failures: u32,
    /// The trouble that was said last: each is said once, not at each round.
    said: Option<String>,
}

impl Course {
    fn pause(
        &mut self,
        rounds: &Rounds<'_>,
        answer: Result<Round, Problem>,
    ) -> Result<Pause, Problem> {
        // What ends under STOP says nothing of STOP.
        if !matches!(answer, Ok(Round::Worked { .. }) | Err(_)) {
            self.said = None;
        }
        let (length, wakes) = match answer {
            Ok(Round::Begun) => (Duration::ZERO, false),
            Ok(Round::Nothing | Round::Busy) => (rounds.until.poll.unwrap_or(POLL), true),
            Ok(Round::Worked { failed, .. }) => {
                self.done += 1;
                (self.after(failed), false)
            }
            Err(problem) if matches!(problem.kind, Kind::Usage | Kind::Deny) => {
                return Err(problem);
            }
            Err(problem) => {
                if self.said.as_ref() != Some(&problem.code) {
                    terminal::complain(rounds.name, &problem);
                }
                let is_stop = problem.code == "STOP_PRESENT";
                self.said = Some(problem.code);
                match is_stop {
                    true => (STOPPED, true),
                    false => (self.after(true), false),
                }
            }
        };
        Ok(Pause { length, wakes })
    }

    /// One second after the first failure, twice as long after each further one.
    fn after(&mut self, failed: bool) -> Duration {
        if !failed {
            self.failures = 0;
            return Duration::ZERO;
        }
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(LONGEST_PAUSE);
        self.failures = (self.failures + 1).min(32);
        Duration::from_secs(seconds.min(LONGEST_PAUSE))
    }
}

fn answered_once(answer: Result<Round, Problem>) -> Result<(&'static str, u8), Problem> {
    match answer {
        Ok(Round::Worked { code, .. }) => Ok(("once", code)),
        Ok(_) => Ok(("once", 0)),
        Err(problem) if problem.code == "STOP_PRESENT" => {
            Ok(("once", exit::code(Status::ZeroStop, None)))
        }
        Err(problem) => Err(problem),
    }
}
