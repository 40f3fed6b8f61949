//! Looks for STOP in a database beside whoever waits for the answer: a server that takes the question and does
//! not answer must not keep a STOP that lies here from being seen.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How often to look here while the database is silent.
const LOOK: Duration = Duration::from_millis(50);

/// One thread that asks, for all who want to know.
pub(super) struct Lookout {
    question: Arc<dyn Fn() -> io::Result<bool> + Send + Sync>,
    /// None until somebody has asked, and as long as there is no thread to be had.
    asking: Mutex<Option<Asking>>,
}

struct Asking {
    questions: Sender<u64>,
    answers: Receiver<(u64, io::Result<bool>)>,
    /// The number of the last question: what comes late answers none that is asked now.
    last: u64,
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookout")
    }
}

impl Lookout {
    /// Asks with `question`, from the first one who wants to know on.
    pub(super) fn new(question: impl Fn() -> io::Result<bool> + Send + Sync + 'static) -> Self {
        Self {
            question: Arc::new(question),
            asking: Mutex::default(),
        }
    }

    /// Asks, and looks `here` as long as there is no answer: what lies here is an answer too.
    ///
    /// # Errors
    /// The database's, the system's when it gives no thread, and `TimedOut` when the database was silent for as
    /// long as `patience`.
    pub(super) fn ask(
        &self,
        patience: Duration,
        here: impl Fn() -> io::Result<bool>,
    ) -> io::Result<bool> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever asked before may have waited long.
        if here()? {
            return Ok(true);
        }
        let asking = match asking.as_mut() {
            Some(asking) => asking,
            None => asking.insert(Asking::begin(&self.question)?),
        };
        asking.last += 1;
        let wanted = asking.last;
        asking.questions.send(wanted).map_err(|_| gone())?;
        let began = Instant::now();
        loop {
            match asking.answers.recv_timeout(LOOK) {
                Ok((number, answer)) if number == wanted => return answer,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                Err(RecvTimeoutError::Timeout) if here()? => return Ok(true),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if began.elapsed() >= patience {
                let why = format!("the store has not answered for {} s", patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }
}

impl Asking {
    /// Begins to ask; ends with the last question after this was dropped.
    fn begin(question: &Arc<dyn Fn() -> io::Result<bool> + Send + Sync>) -> io::Result<Self> {
        let (questions, asked) = channel::<u64>();
        let (answer, answers) = channel();
        let ask = Arc::clone(question);
        Builder::new().spawn(move || {
            for number in asked {
                if answer.send((number, ask())).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            questions,
            answers,
            last: 0,
        })
    }
}

fn gone() -> io::Error {
    io::Error::other("whoever asks the store has ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_the_store_says_is_the_answer() {
        let on = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&on);
        let lookout = Lookout::new(move || Ok(seen.load(Ordering::SeqCst)));
        assert!(!lookout.ask(LONG, || Ok(false)).unwrap());
        on.store(true, Ordering::SeqCst);
        assert!(lookout.ask(LONG, || Ok(false)).unwrap());
    }

    #[test]
    fn a_store_that_is_silent_keeps_nobody_from_a_stop_that_lies_here() {
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let lookout = Lookout::new(move || {
            let _ = held.lock().unwrap().recv();
            Ok(false)
        });
        let began = Instant::now();
        let here = || Ok(began.elapsed() > Duration::from_millis(200));
        assert!(lookout.ask(LONG, here).unwrap());
        assert!(began.elapsed() < Duration::from_secs(5));
        let silent = lookout.ask(Duration::from_millis(200), || Ok(false));
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Answers to what was asked before are no answer now.
        drop(release);
        assert!(!lookout.ask(LONG, || Ok(false)).unwrap());
    }
}
