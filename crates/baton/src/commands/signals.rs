//! SIGTERM and SIGINT: the first asks for an end, the second ends at once.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use baton_core::problem::Problem;
use baton_core::threads;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Incoming;
use signal_hook::low_level;

/// How long a running draft has, after the second signal, to be killed with its process group.
pub(super) const GRACE: Duration = Duration::from_millis(300);

/// What came so far.
#[derive(Clone, Default)]
pub(super) struct Signals {
    count: Arc<AtomicUsize>,
    first: Arc<AtomicI32>,
}

impl Signals {
    /// Listens from now on. After the second signal the process ends as soon as it can, and after `grace`
    /// wherever it is.
    ///
    /// # Errors
    /// `SIGNALS_UNAVAILABLE`.
    pub(super) fn listen(grace: Duration) -> Result<Self, Problem> {
        let signals = Self::default();
        let unavailable = |error: &dyn Display| {
            let why = format!("SIGTERM and SIGINT cannot be listened for: {error}");
            Problem::fail("SIGNALS_UNAVAILABLE", why)
                .hint("baton run TASK --producer NAME drafts without a worker")
        };
        let mut incoming = Incoming::new([SIGTERM, SIGINT]).map_err(|error| unavailable(&error))?;
        let heard = signals.clone();
        threads::spawn(move || {
            for signal in incoming.forever() {
                // Who reads the count reads the signal too.
                let no = heard.count.load(Ordering::SeqCst) > 0;
                if !no {
                    heard.first.store(signal, Ordering::SeqCst);
                }
                heard.count.fetch_add(1, Ordering::SeqCst);
                if no {
                    std::thread::sleep(grace);
                    low_level::exit(128 + signal);
                }
            }
        })
        .map_err(|none| {
            let refused = unavailable(&none.message);
            none.hints.into_iter().fold(refused, Problem::hint)
        })?;
        Ok(signals)
    }

    /// The first signal's name, once there was one.
    pub(super) fn first(&self) -> Option<&'static str> {
        let came = self.count.load(Ordering::SeqCst) > 0;
        came.then(|| match self.first.load(Ordering::SeqCst) {
            SIGTERM => "SIGTERM",
            _ => "SIGINT",
        })
    }

    /// Whether somebody asked twice.
    pub(super) fn is_urgent(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 1
    }
}
