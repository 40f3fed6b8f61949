//! What a person sees while gates run.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use baton_core::terminal;

use crate::Ran;

/// How often the line with the running gates is drawn anew.
const TICK: Duration = Duration::from_secs(1);

/// Tells what runs and for how long. Safe to use from gates that run at one time.
pub(crate) struct Progress {
    /// Whether anybody wants to see it.
    is_wanted: bool,
    /// Whether a line can be drawn over.
    is_live: bool,
    running: Mutex<(BTreeMap<String, Instant>, Instant)>,
}

impl Progress {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            is_live: is_wanted && std::io::stderr().is_terminal(),
            running: Mutex::new((BTreeMap::new(), Instant::now())),
        }
    }

    pub(crate) fn begins(&self, id: &str, command: &str) {
        if let Ok(mut state) = self.running.lock() {
            state.0.insert(id.to_owned(), Instant::now());
        }
        self.say(&format!("gate-runner: {id} runs {command}"));
    }

    /// Says how a gate ended, and of a failed one the lines that tell most.
    pub(crate) fn ended(&self, id: &str, ran: &Ran) {
        let since = self
            .running
            .lock()
            .ok()
            .and_then(|mut state| state.0.remove(id));
        let seconds = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let how = ran.headline();
        self.say(&format!("gate-runner: {id} {how} after {seconds:.1} s"));
        for line in &ran.failing {
            self.say(&format!("  | {line}"));
        }
    }

    /// Draws the running gates; called all the time.
    pub(crate) fn tick(&self) {
        if !self.is_live {
            return;
        }
        let Ok(mut state) = self.running.lock() else {
            return;
        };
        if state.1.elapsed() < TICK {
            return;
        }
        state.1 = Instant::now();
        let running: Vec<_> = state
            .0
            .iter()
            .map(|(id, since)| format!("{id} {} s", since.elapsed().as_secs()))
            .collect();
        // Nobody is left to tell when that fails.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[Kgate-runner: {}",
            running.join(", ")
        );
    }

    fn say(&self, line: &str) {
        if self.is_live {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        if self.is_wanted {
            terminal::say(line);
        }
    }
}
