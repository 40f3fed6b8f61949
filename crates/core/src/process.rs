//! Child processes: a clean environment, a process group of their own, bounded output, a time
//! limit, and an end within two seconds when STOP appears; on a leash, with this process as well.
//!
//! This is supervision, not isolation: a child that starts a new session leaves the group.

mod attended;
mod leash;
mod streams;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::problem::Problem;

pub use attended::run_attended;
use leash::Leash;
use streams::Streams;

/// How often STOP is asked for while a child runs. With the time a kill takes, a child ends well
/// within two seconds.
const STOP_POLL: Duration = Duration::from_millis(100);
/// How long to wait for the streams between two looks at a child.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// How long to wait between two looks at a child whose streams are closed: it ends within microseconds
/// or it stays.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// How much of the end of an output is kept beyond its limit, in bytes.
const TAIL: usize = 64 << 10;

/// What to run, and within which bounds.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The program and its arguments; never a shell string.
    pub argv: Vec<OsString>,
    /// The working folder.
    pub folder: PathBuf,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// What the child reads on standard input.
    pub input: Vec<u8>,
    /// Killed after this time.
    pub timeout: Duration,
    /// How many bytes of each stream are kept.
    pub output_limit: usize,
    /// A stream is closed once it holds more than that, and whoever writes on gets SIGPIPE: for a child
    /// whose answer is of no use when it is cut. Else all of it is read, and the rest left out.
    pub all_or_nothing: bool,
    /// Standard error goes into the same buffer as standard output.
    pub merge: bool,
    /// How much memory the child may fill, in bytes, where the system can hold it to that: from before
    /// the first byte of its input, so it binds what works on input.
    pub memory: Option<u64>,
    /// The child and its group are killed when this process is, even by SIGKILL, and `folder`, which has to be a
    /// temporary one of the child's own, goes with them. For what runs for minutes: it takes another process to
    /// see to that.
    pub leash: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Killed at the time limit.
    Timeout,
    /// Killed because STOP appeared.
    Stopped,
}

impl Ended {
    /// Whether the child ended by itself with code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Stopped => f.write_str("STOP"),
        }
    }
}

/// What one stream held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes, up to the limit.
    pub bytes: Vec<u8>,
    /// Of what did not fit, the last bytes: a test runner sums up at the end.
    tail: Vec<u8>,
    /// How many there were in all.
    pub total: u64,
}

impl Captured {
    /// Whether bytes were left out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total > self.bytes.len() as u64
    }

    /// The beginning and the end, with a line between them that says how much is left out.
    #[must_use]
    pub fn log(&self) -> Vec<u8> {
        let shown = (self.bytes.len() + self.tail.len()) as u64;
        let mut log = self.bytes.clone();
        if self.total > shown {
            log.extend_from_slice(
                format!("\n[{} bytes left out]\n", self.total - shown).as_bytes(),
            );
        }
        log.extend_from_slice(&self.tail);
        log
    }

    fn take_in(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.bytes.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.bytes.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        // Cut seldom, so that a long output costs linear time.
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        self.total += bytes.len() as u64;
    }
}

/// A child that has ended; nothing of its process group is left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How.
    pub ended: Ended,
    /// Standard output, with standard error in it when merged.
    pub stdout: Captured,
    /// Standard error, empty when merged.
    pub stderr: Captured,
    /// Wall time.
    pub duration: Duration,
}

/// Runs a child to its end.
///
/// # Errors
/// `TOOL_MISSING` when the program cannot be started, `PIPE_FAILED` when bytes were lost on the way to it or from it.
pub fn run(spec: &Spec, is_stopped: &dyn Fn() -> bool) -> Result<Finished, Problem> {
    let started = Instant::now();
    let leash = spec.leash.then(|| Leash::new(&spec.folder)).transpose()?;
    let mut child = spawn(spec)?;
    if let Some(Err(problem)) = leash.as_ref().map(|leash| leash.hold(&child)) {
        kill_group(&mut child);
        return Err(problem);
    }
    let mut streams = Streams::of(&mut child, spec);
    let deadline = started + spec.timeout;
    let ended = supervise(&mut child, &mut streams, deadline, is_stopped);
    kill_group(&mut child);
    drop(leash);
    streams.finish(ended, started)
}

fn spawn(spec: &Spec) -> Result<Child, Problem> {
    let child = start(spec)?;
    #[cfg(target_os = "linux")]
    if let Some(memory) = spec.memory {
        use rustix::process::{Resource, Rlimit, prlimit};
        let both = Rlimit {
            current: Some(memory),
            maximum: Some(memory),
        };
        // One that ended already needs no limit.
        let _ = prlimit(Some(Pid::from_child(&child)), Resource::Data, both);
    }
    Ok(child)
}

fn start(spec: &Spec) -> Result<Child, Problem> {
    launch(spec, command(spec)?.process_group(0))
}

fn command(spec: &Spec) -> Result<Command, Problem> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(Problem::fail("TOOL_MISSING", "no program was named"));
    };
    let mut command = Command::new(found(program, &spec.environment));
    command
        .args(arguments)
        .current_dir(&spec.folder)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(if spec.input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

fn launch(spec: &Spec, command: &mut Command) -> Result<Child, Problem> {
    command.spawn().map_err(|error| {
        let name = spec.argv.first().map(|name| name.to_string_lossy());
        let name = name.unwrap_or_default();
        Problem::fail(
            "TOOL_MISSING",
            format!("{name} could not be started: {error}"),
        )
        .hint(format!(
            "install {name}, or correct the command in POLICY.json"
        ))
    })
}

/// The program's file in the child's own search path. A name with its folder lets the child be started
/// without a copy of this process; what is not found is left for the system to complain of.
fn found(program: &OsStr, environment: &[(OsString, OsString)]) -> PathBuf {
    let is_path = program.as_encoded_bytes().contains(&b'/');
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let folders = path.filter(|_| !is_path).map(|(_, path)| path);
    let mut files = folders
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join(program));
    let runs = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let file = files.find(|file| file.is_absolute() && runs(file));
    file.unwrap_or_else(|| PathBuf::from(program))
}

/// Waits for the end, the time limit or STOP.
fn supervise(
    child: &mut Child,
    streams: &mut Streams<'_>,
    deadline: Instant,
    is_stopped: &dyn Fn() -> bool,
) -> Ended {
    let mut last_poll = Instant::now();
    let mut pause = SHORTEST_PAUSE;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return ended_by(status);
        }
        let now = Instant::now();
        if now >= deadline {
            return Ended::Timeout;
        }
        if streams.is_broken() {
            return Ended::Stopped;
        }
        if now.duration_since(last_poll) >= STOP_POLL {
            last_poll = now;
            if is_stopped() {
                return Ended::Stopped;
            }
        }
        if streams.is_done() {
            // The streams are closed, so the end is near: look often at first.
            std::thread::sleep(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        } else {
            streams.pump(LONGEST_WAIT);
        }
    }
}

fn kill_group(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Nothing left of the group is the good case.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn ended_by(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exit(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(script: &str) -> Spec {
        Spec {
            argv: vec!["sh".into(), "-c".into(), script.into()],
            folder: "/".into(),
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            input: Vec::new(),
            timeout: Duration::from_secs(20),
            output_limit: 100,
            all_or_nothing: false,
            merge: false,
            memory: None,
            leash: false,
        }
    }

    #[test]
    fn captures_both_streams_and_the_code() {
        let done = run(&spec("cat; echo out; echo err >&2; exit 3"), &|| false).unwrap();
        assert_eq!(done.ended, Ended::Exit(3));
        assert_eq!(done.stdout.bytes, b"out\n");
        assert_eq!(done.stderr.bytes, b"err\n");
    }

    #[test]
    fn input_arrives_and_output_is_bounded() {
        let mut spec = spec("cat");
        spec.input = vec![b'x'; 1 << 20];
        let done = run(&spec, &|| false).unwrap();
        assert_eq!((done.stdout.bytes.len(), done.stdout.total), (100, 1 << 20));
        assert!(done.stdout.is_cut());
    }

    #[test]
    fn much_goes_in_while_much_comes_out() {
        let mut spec = spec("tee /dev/stderr");
        spec.input = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        spec.output_limit = 4 << 20;
        let done = run(&spec, &|| false).unwrap();
        assert!(done.stdout.bytes == spec.input && done.stderr.bytes == spec.input);
        spec.merge = true;
        let done = run(&spec, &|| false).unwrap();
        assert_eq!(done.stdout.total, 2 * 3_000_000);
        assert_eq!(done.stderr, Captured::default());
    }

    #[test]
    fn a_child_need_not_read_nor_keep_its_streams() {
        let mut spec = spec("exit 5");
        spec.input = vec![b'x'; 1 << 20];
        assert_eq!(run(&spec, &|| false).unwrap().ended, Ended::Exit(5));
        spec.argv[2] = "exec <&- >&- 2>&-; sleep 0.2; exit 4".into();
        assert_eq!(run(&spec, &|| false).unwrap().ended, Ended::Exit(4));
    }

    #[test]
    fn who_holds_the_streams_in_a_session_of_its_own_is_not_waited_for() {
        let done = run(&spec("setsid sleep 5 & echo here"), &|| false).unwrap();
        assert_eq!(done.ended, Ended::Exit(0));
        assert_eq!(done.stdout.bytes, b"here\n");
        assert!(done.duration < Duration::from_secs(4), "{done:?}");
    }

    #[test]
    fn a_child_whose_answer_would_be_cut_ends_at_once() {
        let mut spec = spec("yes");
        spec.all_or_nothing = true;
        let done = run(&spec, &|| false).unwrap();
        assert!(done.stdout.is_cut());
        assert_ne!(done.ended, Ended::Timeout);
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let mut spec =
            spec("head -c 1000000 /dev/zero | tr '\\0' 'a'; echo; echo 3 passed, 0 failed");
        spec.output_limit = 10;
        let done = run(&spec, &|| false).unwrap();
        let log = String::from_utf8(done.stdout.log()).unwrap();
        assert!(
            log.starts_with("aaaaaaaaaa\n[") && log.contains("bytes left out]\na"),
            "{:.60}",
            log
        );
        assert!(log.ends_with("\n3 passed, 0 failed\n"));
        assert!(log.len() < 200_000);
    }

    #[test]
    fn a_child_that_sleeps_is_killed_with_its_group() {
        let mut spec = spec("sleep 30 & echo $!; sleep 30");
        spec.timeout = Duration::from_millis(300);
        let started = Instant::now();
        let done = run(&spec, &|| false).unwrap();
        assert_eq!(done.ended, Ended::Timeout);
        assert!(started.elapsed() < Duration::from_secs(10));
        let pid: u32 = String::from_utf8(done.stdout.bytes)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(
            state.is_empty() || state.contains(") Z "),
            "the grandchild lives: {state}"
        );
    }

    #[test]
    fn stop_ends_a_child_early() {
        let done = run(&spec("sleep 30"), &|| true).unwrap();
        assert_eq!(done.ended, Ended::Stopped);
        assert!(done.duration < Duration::from_secs(2));
    }

    #[test]
    fn nothing_is_inherited() {
        let done = run(&spec("env | cut -d= -f1 | sort | tr '\\n' ' '"), &|| false).unwrap();
        let names = String::from_utf8(done.stdout.bytes).unwrap();
        assert!(
            names
                .split_whitespace()
                .all(|name| ["PATH", "PWD", "SHLVL", "_", "OLDPWD"].contains(&name)),
            "{names}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut spec = spec("");
        spec.argv = vec!["no-such-program".into()];
        let problem = run(&spec, &|| false).unwrap_err();
        assert_eq!(problem.code, "TOOL_MISSING");
        assert!(problem.message.contains("no-such-program"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_fills_no_more_memory_than_it_may() {
        let fill = "read -r go; head -c 300000000 /dev/zero | tail -c 300000000 | wc -c";
        let held = Spec {
            memory: Some(64 << 20),
            input: b"go\n".to_vec(),
            ..spec(fill)
        };
        let done = run(&held, &|| false).unwrap();
        assert!(!done.stdout.bytes.starts_with(b"300000000"), "{done:?}");
    }
}
