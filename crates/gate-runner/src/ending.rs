//! SIGINT, SIGTERM and SIGHUP while commands run: what runs is killed and its trees are taken away, and
//! then the signal does what it always does. Nothing of such a run is kept. A second one ends the process
//! at once, as do all of them while no command runs.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// What is listened with, once commands ran in this process.
static HEARD: OnceLock<Heard> = OnceLock::new();

struct Heard {
    /// A signal ends the process where it is.
    is_free: Arc<AtomicBool>,
    /// The signal that came while commands ran, or 0.
    came: Arc<AtomicUsize>,
}

impl Heard {
    fn listen() -> Self {
        let heard = Self {
            is_free: Arc::new(AtomicBool::new(true)),
            came: Arc::new(AtomicUsize::new(0)),
        };
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Under `nohup`, or behind `&` in a script, some are not to end it.
            if ignored & 1_u64.wrapping_shl(signal.unsigned_abs() - 1) == 0 {
                // One that cannot be listened for ends the process at once, as before.
                let _ = heard.listen_for(signal);
            }
        }
        heard
    }

    /// What is registered first is done first.
    fn listen_for(&self, signal: c_int) -> std::io::Result<()> {
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_conditional_default(signal, Arc::clone(&self.is_free))?;
        flag::register_usize(signal, Arc::clone(&self.came), number)?;
        flag::register(signal, Arc::clone(&self.is_free)).map(drop)
    }
}

/// The signals that this process was started to ignore.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

/// As long as it is held, a signal waits.
pub(crate) struct Held(&'static Heard);

/// Lets signals wait until what runs is taken away.
pub(crate) fn hold() -> Held {
    let heard = HEARD.get_or_init(Heard::listen);
    heard.is_free.store(false, Ordering::SeqCst);
    Held(heard)
}

impl Held {
    /// Whether the process is to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.0.came.load(Ordering::SeqCst) != 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.is_free.store(true, Ordering::SeqCst);
        if let Ok(signal @ 1..) = c_int::try_from(self.0.came.load(Ordering::SeqCst)) {
            // It does not come back from there.
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}
