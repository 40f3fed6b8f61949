//! The half inside: starts the gate behind the inner walls, reaps, counts what is left, kills it.
//!
//! At level I3 it is the first process of the pid namespace, so nothing can leave it and its end is
//! the end of everything inside. Below that it is a subreaper outside of the gate's Landlock domain.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, WaitStatus, wait};

use crate::profile::{HOME, TREE};
use crate::stage::{Broken, Places, at, channel, give_up, walls};
use crate::sys::{self, Forked};
use crate::wire::{End, GO, Report, StagePlan, receive, send};

/// How long what the gate left behind may take to end by itself.
const GRACE: Duration = Duration::from_millis(500);

/// Runs as the keeper, from the outer half or as a program of its own inside `bwrap`.
pub(super) fn run(outer: Option<(UnixStream, Places)>) -> ! {
    let (mut channel, places) = match outer {
        Some(known) => known,
        None => match channel() {
            Some(channel) => (channel, inside()),
            None => sys::leave(125),
        },
    };
    match keep(&mut channel, &places) {
        Ok(()) => sys::leave(0),
        Err(broken) => give_up(&mut channel, broken),
    }
}

fn inside() -> Places {
    Places {
        tree: TREE.into(),
        home: HOME.into(),
        temporary: "/tmp".into(),
    }
}

fn keep(channel: &mut UnixStream, places: &Places) -> Result<(), Broken> {
    let plan: StagePlan = receive(channel).map_err(at("plan"))?;
    // What the gate inherits instead of the channel.
    let null = std::fs::File::open("/dev/null").map_err(at("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(at("standard input"))?;
    drop(null);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_child_subreaper, set_dumpable_behavior};
        // The gate has the same account: it must not write to our memory through /proc.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at("dumpable"))?;
        set_child_subreaper(rustix::process::Pid::from_raw(1)).map_err(at("subreaper"))?;
    }
    match sys::fork().map_err(at("fork"))? {
        Forked::Child => become_gate(channel, &plan, places),
        Forked::Parent(id) => watch(channel, &plan, id),
    }
}

/// In the child: walls, canary, the supervisor's word, then the gate's program.
fn become_gate(channel: &mut UnixStream, plan: &StagePlan, places: &Places) -> ! {
    match prepare(channel, plan, places) {
        Ok(mut command) => {
            let error = command.exec();
            let program = plan.argv.first().map_or("", String::as_str);
            let report = Report::NotStarted {
                error: format!("{program}: {error}"),
            };
            // A supervisor that is gone needs no report.
            let _ = send(channel, &report);
            sys::leave(127)
        }
        Err(broken) => give_up(channel, broken),
    }
}

fn prepare(channel: &mut UnixStream, plan: &StagePlan, places: &Places) -> Result<Command, Broken> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{
            DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal,
        };
        set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(at("dumpable"))?;
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("death signal"))?;
    }
    // A session of its own, so that signals to its group do not mean the keeper too.
    let _ = rustix::process::setsid();
    // Joining nothing would add a slash.
    let folder = if plan.cwd.as_os_str().is_empty() {
        places.tree.clone()
    } else {
        places.tree.join(&plan.cwd)
    };
    std::env::set_current_dir(&folder).map_err(at("working folder"))?;
    let raised = walls::raise(plan, places)?;
    send(channel, &Report::Ready(Box::new(raised))).map_err(at("report"))?;
    let mut word = [0];
    std::io::Read::read_exact(channel, &mut word).map_err(at("go"))?;
    if word != [GO] {
        return Err(at("go")("the supervisor said no"));
    }
    command(plan, places, folder)
}

fn command(plan: &StagePlan, places: &Places, folder: PathBuf) -> Result<Command, Broken> {
    let argv = walls::argv(plan, places);
    let Some((program, arguments)) = argv.split_first() else {
        return Err(at("program")("none is named"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    command
        .env("HOME", &places.home)
        .env("TMPDIR", &places.temporary);
    command
        .env("USER", "gate")
        .env("LOGNAME", "gate")
        .env("PWD", folder);
    command.envs(&plan.environment);
    Ok(command)
}

/// In the keeper: waits for the gate, tells its end, then ends what it left behind.
fn watch(channel: &mut UnixStream, plan: &StagePlan, gate: i32) -> Result<(), Broken> {
    let status = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_pid() == gate => break status,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(at("wait")(error)),
        }
    };
    let ended = Instant::now();
    let report = Report::Ended {
        end: end(status),
        cpu_ms: u64::try_from(sys::children_cpu().as_millis()).unwrap_or(u64::MAX),
    };
    send(channel, &report).map_err(at("report"))?;
    while reap() {
        if ended.elapsed() >= GRACE {
            let processes = left(plan);
            send(channel, &Report::Left { processes }).map_err(at("report"))?;
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Reaps what has ended; whether children are left.
fn reap() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn end(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exit(code),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

/// Counts what is left; below level I3 also kills it, at I3 our own end does. The caller has just seen
/// a child, and one that forks and ends all the time may be missed by a look at the table.
#[cfg(target_os = "linux")]
fn left(plan: &StagePlan) -> u64 {
    use crate::level::Level;
    use crate::processes::descendants;
    use rustix::process::{Signal, kill_process};

    let us = rustix::process::getpid();
    let count = (descendants(us).len() as u64).max(1);
    if plan.level == Level::I3 {
        return count;
    }
    let deadline = Instant::now() + GRACE;
    while reap() && Instant::now() < deadline {
        if plan.own_account {
            sys::kill_all_of_this_account();
        }
        for process in descendants(us) {
            // One that ended meanwhile is the good case.
            let _ = kill_process(process, Signal::KILL);
        }
    }
    count
}

#[cfg(not(target_os = "linux"))]
fn left(_: &StagePlan) -> u64 {
    // The group is all that this system lets us find.
    let group = rustix::process::getpgrp();
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    1
}
