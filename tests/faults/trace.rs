//! Programs under strace: every call by which they change something, and a fault put into one of them.

use std::path::Path;
use std::process::Command;

use crate::support::{Bench, Ran, program, ran};

/// Everything that changes a file, a folder or a lock, and what is said to a server or heard from it. A name that
/// the machine does not have is passed over.
const CALLS: [&str; 27] = [
    "open",
    "openat",
    "creat",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "flock",
    "ftruncate",
    "fallocate",
    "fchmod",
    "connect",
    "sendto",
    "sendmsg",
    "recvfrom",
    "recvmsg",
];

/// One call of a program: the how-manieth of its name, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) call: String,
    pub(crate) at: usize,
    /// As strace shows it, with the paths of descriptors.
    pub(crate) shown: String,
}

impl Point {
    /// Whether it is about the connection to a server.
    pub(crate) fn is_of_server(&self) -> bool {
        self.shown.contains("<socket:[")
    }
}

/// What is done to a call. None of them lets it happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed as it enters the call.
    Kill,
    /// The call fails with this.
    Error(&'static str),
}

/// Whether programs can be traced here; says so where they cannot.
pub(crate) fn is_possible() -> bool {
    let traced = Command::new("strace")
        .args(["-qq", "-e", "trace=none", "true"])
        .output();
    let can = traced.is_ok_and(|traced| traced.status.success());
    if !can {
        eprintln!("not run: strace is missing, or may not trace here");
    }
    can
}

/// A program under strace, in the environment that every program has in the tests.
pub(crate) fn traced(bench: &Bench, out: &Path, options: &[&str], line: &[&str]) -> Command {
    let plain = bench.command(line);
    let mut command = Command::new("strace");
    command.args(["-qq", "-o"]).arg(out).args(options);
    command.arg(program()).args(line);
    command.current_dir(bench.root()).env_clear();
    command.envs(
        plain
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.stdin(std::process::Stdio::null());
    command
}

/// Runs a program to its end, and names each of its own calls that change something or hear it from a server.
/// What it starts is not looked at: a kill there is for the tests that kill by chance.
pub(crate) fn points(bench: &Bench, line: &[&str]) -> Vec<Point> {
    let out = bench.scratch("calls");
    let trace = CALLS.map(|call| format!("?{call}")).join(",");
    let ended = ran(
        traced(bench, &out, &["-y", "-e", &format!("trace={trace}")], line)
            .output()
            .unwrap(),
    );
    assert_eq!(ended.code, 0, "{line:?}: {}", ended.stderr);
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let text = std::fs::read_to_string(out).unwrap();
    let calls = text.lines().filter_map(|shown| {
        let (call, rest) = shown.split_once('(')?;
        let at = seen.entry(call.to_owned()).or_default();
        *at += 1;
        is_change(call, rest).then(|| Point {
            call: call.to_owned(),
            at: *at,
            shown: shown.chars().take(160).collect(),
        })
    });
    calls.collect()
}

/// A look that found nothing yet, and a wake-up of the program by itself, change nothing.
fn is_change(call: &str, rest: &str) -> bool {
    match call {
        "open" | "openat" => rest.contains("O_CREAT"),
        "recvfrom" | "recvmsg" => !rest.contains("= -1 EAGAIN"),
        _ => !rest.contains("<anon_inode:[eventfd]>"),
    }
}

/// Runs a program with a fault at one of its calls. Says whether it came to that call.
pub(crate) fn with_fault(bench: &Bench, line: &[&str], point: &Point, fault: Fault) -> (Ran, bool) {
    let out = bench.scratch("fault");
    let what = match fault {
        Fault::Kill => "signal=KILL".to_owned(),
        Fault::Error(error) => format!("error={error}"),
    };
    let (call, at) = (&point.call, point.at);
    let inject = format!("inject={call}:{what}:when={at}");
    let options = ["-e", &format!("trace={call}"), "-e", &inject];
    let ended = ran(traced(bench, &out, &options, line).output().unwrap());
    let text = std::fs::read_to_string(out).unwrap_or_default();
    let hit = text.contains("(INJECTED)") || text.contains("killed by SIGKILL");
    (ended, hit)
}
