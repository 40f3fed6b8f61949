//! Limits of the system that end a process which goes over them, where it could answer instead.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

/// From here on a file that would grow over the limit (`ulimit -f`) is an error of whoever writes it, and no death
/// without an answer. The signal is caught and not ignored: what this process starts finds it as it always is.
pub(crate) fn answer() {
    // Where it cannot be caught it ends the process, as before.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(status: &str, mask: &str) -> bool {
        let mut lines = status.lines();
        let mask = lines.find_map(|line| line.strip_prefix(mask)).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (SIGXFSZ - 1) & 1 == 1
    }

    #[test]
    fn what_is_started_finds_the_signal_as_it_always_is() {
        answer();
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(has(&own, "SigCgt:"));
        let cat = std::process::Command::new("cat")
            .arg("/proc/self/status")
            .output()
            .unwrap();
        let started = String::from_utf8(cat.stdout).unwrap();
        assert!(!has(&started, "SigCgt:") && !has(&started, "SigIgn:"));
    }
}
