//! The one loop of everything that works until it is told to end: worker, dispatcher, watchdog.

use std::time::{Duration, Instant};

use baton_core::clock;
use baton_core::exit;
use baton_core::problem::{Kind, Problem};
use baton_core::store::Waiter;
use baton_core::terminal;
use serde_json::{Value, json};

use super::signals::Signals;
use crate::reply::Reply;

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
    #[arg(long, value_name = "DUR", value_parser = interval)]
    pub(super) poll: Option<Duration>,
}

/// How long to wait before an empty queue is looked at again, unless it is said.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// The shortest time between two looks: none at all would keep a processor busy with looking.
const SHORTEST: Duration = Duration::from_millis(10);

/// Reads how long to wait between two looks.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let length = clock::parse_duration(text)?;
    match length >= SHORTEST {
        true => Ok(length),
        false => Err(format!("got \"{text}\", expected at least 10ms")),
    }
}

/// How one round ended.
pub(super) enum Round {
    /// There was nothing to do.
    Nothing,
    /// There was nothing more to begin; what was begun goes on.
    Busy,
    /// Something may be begun after this long.
    Later(Duration),
    /// Something was begun.
    Begun,
    /// A task was worked on; with the exit code of what became of it, and whether it failed so that the next one
    /// has to wait.
    Worked { code: u8, failed: bool },
}

/// How the loop ended.
pub(super) struct End {
    /// What ended it.
    by: &'static str,
    code: u8,
    /// What went wrong in the last round and was not mended since.
    trouble: Option<Problem>,
}

impl End {
    /// The answer of the command: `json` with how it ended, a failure where the last round was one.
    pub(super) fn reply(self, json: Value) -> Reply {
        let trouble = self.trouble.as_ref();
        let status = trouble.map_or(exit::status(self.code), Problem::status);
        let told = trouble.map(told).into_iter().collect();
        let code = trouble.map_or(self.code, |_| exit::code(status, None).max(self.code));
        let mut reply = Reply::ok(json)
            .field("status", json!(status))
            .field("ended_by", self.by.into())
            .field("trouble", told)
            .code(code);
        reply.always_json = true;
        reply
    }

    /// The same, with what went wrong after the last round.
    pub(super) fn with_trouble(self, later: Option<Problem>) -> Self {
        Self {
            trouble: later.or(self.trouble),
            ..self
        }
    }

    /// What ended it, and what went wrong in the last round.
    pub(super) fn into_parts(self) -> (&'static str, Option<Problem>) {
        (self.by, self.trouble)
    }
}

/// Trouble that is nobody's task's, as it stands in an answer.
pub(super) fn told(problem: &Problem) -> Value {
    json!({"code": problem.code, "message": problem.message, "next": problem.hints})
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
    /// Goes round until something ends it; says what. `is_ready` is asked while waiting whether there is a
    /// reason for another round.
    ///
    /// # Errors
    /// What nobody allows, as it is not asked for again; with `once`, whatever the round says but STOP.
    pub(super) fn go(
        &self,
        round: &mut dyn FnMut() -> Result<Round, Problem>,
        is_ready: &dyn Fn() -> bool,
    ) -> Result<End, Problem> {
        let mut course = Course::default();
        let mut idle_since = Instant::now();
        loop {
            if let Some(signal) = self.signals.first() {
                return Ok(course.end(signal));
            }
            let answer = round();
            if self.once {
                return answered_once(self.name, answer);
            }
            if !matches!(answer, Ok(Round::Nothing) | Err(_)) {
                idle_since = Instant::now();
            }
            let pause = course.pause(self, answer)?;
            if self.until.max.is_some_and(|most| course.done >= most) {
                return Ok(course.end("max"));
            }
            let idle = self.until.idle;
            if idle.is_some_and(|idle| idle_since.elapsed() >= idle) {
                return Ok(course.end("idle"));
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
    brake: Brake,
    /// The trouble that was said last: each is said once, not at each round.
    said: Option<String>,
    /// What went wrong in the last round; STOP is no trouble.
    trouble: Option<Problem>,
}

impl Course {
    fn end(self, by: &'static str) -> End {
        End {
            by,
            code: 0,
            trouble: self.trouble,
        }
    }

    fn pause(
        &mut self,
        rounds: &Rounds<'_>,
        answer: Result<Round, Problem>,
    ) -> Result<Pause, Problem> {
        // What ends under STOP says nothing of STOP.
        if !matches!(answer, Ok(Round::Worked { .. }) | Err(_)) {
            self.said = None;
        }
        self.trouble = answer.as_ref().err().cloned();
        self.trouble
            .take_if(|problem| problem.code == "STOP_PRESENT");
        let (length, wakes) = match answer {
            Ok(Round::Begun) => (Duration::ZERO, false),
            Ok(Round::Nothing | Round::Busy) => (rounds.until.poll.unwrap_or(POLL), true),
            Ok(Round::Later(length)) => (length.min(rounds.until.poll.unwrap_or(POLL)), true),
            Ok(Round::Worked { failed, .. }) => {
                self.done += 1;
                (self.brake.after(failed), false)
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
                    false => (self.brake.after(true), false),
                }
            }
        };
        Ok(Pause { length, wakes })
    }
}

/// What slows down whatever goes wrong over and over.
#[derive(Default)]
pub(super) struct Brake {
    /// How many went wrong one after the other.
    failures: u32,
}

impl Brake {
    /// One second after the first failure, twice as long after each further one.
    pub(super) fn after(&mut self, failed: bool) -> Duration {
        if !failed {
            self.failures = 0;
            return Duration::ZERO;
        }
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(LONGEST_PAUSE);
        self.failures = (self.failures + 1).min(32);
        Duration::from_secs(seconds.min(LONGEST_PAUSE))
    }
}

fn answered_once(name: &str, answer: Result<Round, Problem>) -> Result<End, Problem> {
    let (code, trouble) = match answer {
        Ok(Round::Worked { code, .. }) => (code, None),
        Ok(_) => (0, None),
        Err(problem) if problem.code == "STOP_PRESENT" => {
            terminal::complain(name, &problem);
            (exit::code(problem.status(), None), Some(problem))
        }
        Err(problem) => return Err(problem),
    };
    Ok(End {
        by: "once",
        code,
        trouble,
    })
}
