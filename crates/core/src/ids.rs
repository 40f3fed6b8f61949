//! Names for events, requests and incidents, and who this process is.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::clock::{self, Moment};
use crate::digest;
use crate::problem::Problem;

/// Makes an id such as `EVT-0194f0c1a2b3-9f3c62d1a0b4c5d6`: milliseconds since 1970 in hex, so
/// that ids sort by age, then 64 random bits.
///
/// # Errors
/// `NO_RANDOMNESS` when the system gives none; a guessable id is never made instead.
pub fn fresh(prefix: &str, now: SystemTime) -> Result<String, Problem> {
    let millis = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    Ok(format!("{prefix}-{millis:012x}-{}", random_hex()?))
}

/// Whether a text is such an id of a line of the log.
#[must_use]
pub fn is_event(text: &str) -> bool {
    let is_hex = |part: &str, most: usize| {
        part.len() == most && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts = text
        .strip_prefix("EVT-")
        .and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(millis, random)| is_hex(millis, 12) && is_hex(random, 16))
}

/// 64 random bits in hex.
///
/// # Errors
/// `NO_RANDOMNESS` when the system gives none.
pub fn random_hex() -> Result<String, Problem> {
    random_bytes::<8>().map(|bytes| digest::hex(&bytes))
}

/// Random bytes that nobody can guess.
///
/// # Errors
/// `NO_RANDOMNESS` when the system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], Problem> {
    let mut random = [0_u8; N];
    getrandom::fill(&mut random).map_err(|error| {
        Problem::fail(
            "NO_RANDOMNESS",
            format!("the system gave no random bytes: {error}"),
        )
    })?;
    Ok(random)
}

/// This machine's name, or `unknown-host`.
#[must_use]
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_str()
        .map_or_else(|_| "unknown-host".to_owned(), str::to_owned)
}

/// A name for the operating system's session that this process belongs to, such as one terminal
/// with everything started in it: machine, boot, and the session's leader with its start.
#[must_use]
pub fn sitting() -> String {
    let leader = session_leader();
    // Both numbers are those of `/proc`, whatever namespace it tells of.
    let started = stat_field(&leader.to_string(), 22).and_then(on_machine);
    let started = started.unwrap_or_default();
    let text = format!("{} {} {leader} {started}", host(), boot_id());
    digest::sha256(text.as_bytes()).chars().take(16).collect()
}

/// The process that began this session; 0 where that one is outside this container, which leaves every
/// such process in one and the same session. Read from `/proc` (field 6 of `stat`), as a typed pid of
/// the system call's answer cannot be 0.
#[cfg(target_os = "linux")]
fn session_leader() -> u32 {
    stat_field("self", 6).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn session_leader() -> u32 {
    let leader = rustix::process::getsid(None).map_or(0, |leader| leader.as_raw_nonzero().get());
    u32::try_from(leader).unwrap_or_default()
}

/// The id of the present boot; empty where the system has none.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// When process `pid` started, in clock ticks since the machine's boot (field 22 of `/proc/PID/stat`), so that a
/// reused pid is not taken for the same process. A time namespace counts from another time; where that lies
/// no whole number of ticks away, or before that time the process was there, nothing is told.
#[must_use]
pub fn process_start(pid: u32) -> Option<u64> {
    stat_of(pid, 22).and_then(on_machine)
}

/// A start in ticks of this process's boot clock, in those of the machine's.
fn on_machine(ticks: u64) -> Option<u64> {
    match clock::ahead()? {
        0 => Some(ticks),
        ahead => {
            let tick = 1_000_000_000 / i128::from(rustix::param::clock_ticks_per_second().max(1));
            let start = i128::from(ticks) - ahead / tick;
            // What started before its namespace's zero is told as a number from the far end of 64 bits.
            let now = i128::try_from(Moment::now().boot?.as_nanos()).ok()? / tick;
            let is_told = ahead % tick == 0 && start <= now;
            u64::try_from(start).ok().filter(|_| is_told)
        }
    }
}

/// Whether a process runs, as far as this one can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs, and started then, as [`process_start`] tells.
    Since(u64),
    /// No process has this id, or the one that has it does nothing any more.
    Gone,
    /// There is one, and when it started is hidden, as another account's may be (`hidepid` of `/proc`).
    Unknown,
}

/// What is known of process `pid`. One that has ended and whose exit code nobody has fetched (field 3 is `Z`)
/// does nothing any more; in a container whose first process fetches none it stays so for ever.
#[must_use]
pub fn life(pid: u32) -> Life {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Whatever else it says, there is one.
    if matches!(id.map(test_kill_process), None | Some(Err(Errno::SRCH))) {
        return Life::Gone;
    }
    match stat_of(pid, 3) {
        Some('Z' | 'X') => Life::Gone,
        Some(_) | None => process_start(pid).map_or(Life::Unknown, Life::Since),
    }
}

/// The process namespace of this process, by its inode; absent where the system has none.
#[must_use]
pub fn pid_namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?;
    Some(namespace.ino())
}

/// The field of another process, if `/proc` tells of the processes that this one's ids mean: mounted in another
/// namespace, it has others under them.
fn stat_of<T: FromStr>(pid: u32, number: usize) -> Option<T> {
    let own = std::fs::read_link("/proc/self").ok()?;
    let is_own = own.to_str() == Some(std::process::id().to_string().as_str());
    is_own
        .then(|| stat_field(&pid.to_string(), number))
        .flatten()
}

/// Field `number`, counted from 1 as the manual does, of `/proc/PROCESS/stat`; one after the name.
fn stat_field<T: FromStr>(process: &str, number: usize) -> Option<T> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the command in parentheses and may hold blanks and parentheses.
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let field = rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?;
    field.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const OTHER: &str = "BATON_TEST_OTHER";

    /// Runs the test that calls it once more by `words`, in surroundings of its own, where it gets the id of a
    /// process of this account; or says that this account cannot have such surroundings.
    fn within(words: &str, name: &str) -> Option<u32> {
        if let Ok(other) = std::env::var(OTHER) {
            return other.parse().ok();
        }
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let exe = std::env::current_exe().unwrap();
        let may = sh(&words.replace("RUN", "true")).output().unwrap();
        if !may.status.success() {
            eprintln!("not run: {}", String::from_utf8_lossy(&may.stderr));
            return None;
        }
        let test = format!("{} --exact ids::tests::{name}", exe.display());
        let own = std::process::id().to_string();
        let ran = sh(&words.replace("RUN", &test)).env(OTHER, own).output();
        let ran = ran.unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        None
    }

    #[test]
    fn what_ended_is_gone() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(life(child.id()), Life::Gone);
        let own = std::process::id();
        assert_eq!(Some(life(own)), process_start(own).map(Life::Since));
    }

    #[test]
    fn what_is_hidden_is_not_gone() {
        let words = "unshare --mount sh -c 'mount -t proc -o hidepid=2 proc /proc && \
            exec setpriv --reuid 65534 --regid 65534 --clear-groups RUN'";
        if let Some(other) = within(words, "what_is_hidden_is_not_gone") {
            assert_eq!(life(other), Life::Unknown);
            assert!(process_start(std::process::id()).is_some());
        }
    }

    #[test]
    fn the_ids_of_another_namespace_say_nothing() {
        let words = "unshare --pid --fork RUN";
        if within(words, "the_ids_of_another_namespace_say_nothing").is_some() {
            assert_eq!(process_start(std::process::id()), None);
            assert_eq!(life(std::process::id()), Life::Unknown);
        }
    }

    #[test]
    fn what_is_older_than_the_clock_has_no_start() {
        let words = "unshare --time --boottime=-$(($(cut -d. -f1 /proc/uptime) - 1)) --fork RUN";
        if within(words, "what_is_older_than_the_clock_has_no_start").is_some() {
            assert_eq!(life(1), Life::Unknown);
            let own = std::process::id();
            assert_eq!(Some(life(own)), process_start(own).map(Life::Since));
        }
    }
}
