//! Disks that are full, cannot be written, or lie on another machine; and two watchdogs over one queue.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::queue::{self, SQLITE, count, is_whole, state};
use crate::support::{Bench, Ran, ran};
use crate::trace;

macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod folder { $(#[test] fn $name() { super::$name("folder"); })* }
        mod sqlite { $(#[test] fn $name() { super::$name(super::SQLITE); })* }
    };
}

both!(
    a_full_disk_refuses_and_loses_nothing,
    a_queue_that_cannot_be_written_says_so,
    a_full_disk_is_no_reason_to_go_on,
    two_watchdogs_do_everything_once,
    a_network_file_system_is_refused,
);

/// A file system on a folder, until dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts there, or says why that cannot be.
    pub(crate) fn new(options: &[&str], source: &str, place: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(place).unwrap();
        command(Command::new("mount").args(options).arg(source).arg(place))?;
        Ok(Self(place.to_owned()))
    }

    fn again(&self, options: &str) {
        let options = format!("remount,{options}");
        command(Command::new("mount").args(["-o", &options]).arg(&self.0)).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0).status();
        assert!(
            done.is_ok_and(|done| done.success()),
            "still mounted: {}",
            self.0.display()
        );
    }
}

/// Runs a command of the system to its end.
pub(crate) fn command(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A repository whose queue lies on a file system of its own; nothing where that cannot be mounted. What comes
/// last is dropped first: a folder cannot be removed while something is mounted in it.
fn on_tmpfs(address: &str, size: &str) -> Option<(Bench, Mount)> {
    let bench = Bench::bare();
    let options = format!("size={size}");
    let mount = match Mount::new(&["-t", "tmpfs", "-o", &options], "none", &bench.queue()) {
        Ok(mount) => mount,
        Err(why) => {
            eprintln!("not run: {why}");
            return None;
        }
    };
    bench.baton(["init", "--store", address]).expect(0);
    bench.commit("ssot");
    Some((bench, mount))
}

fn submit(bench: &Bench, number: usize) -> Ran {
    let id = format!("T-{number}");
    bench.baton([
        "submit",
        "--id",
        &id,
        "--title",
        "t",
        "--goal",
        "g",
        "--allow",
        "src/**",
        "--key",
        &format!("key-of-{id}"),
    ])
}

/// Fills the rest of the disk but for so many bytes.
fn fill(bench: &Bench, left: usize) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(bench.queue().join("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let size = file.metadata().unwrap().len();
    file.set_len(size.saturating_sub(left as u64)).unwrap();
}

fn a_full_disk_refuses_and_loses_nothing(address: &str) {
    let Some((bench, _mount)) = on_tmpfs(address, "4m") else {
        return;
    };
    let mut acknowledged = vec![];
    let mut refused = 0;
    // From a full disk upwards, so that each submission ends for want of space at another place.
    for number in 0..24 {
        fill(&bench, number * 4096);
        let ran = submit(&bench, number);
        match ran.code {
            0 => acknowledged.push(number),
            _ => {
                assert!(
                    ran.stderr.contains("space") || ran.stderr.contains("full"),
                    "{}",
                    ran.stderr
                );
                refused += 1;
            }
        }
        std::fs::remove_file(bench.queue().join("filler")).unwrap();
        bench.baton(["watchdog", "--once"]).expect(0);
        is_whole(&bench).unwrap_or_else(|why| panic!("{} bytes left: {why}", number * 4096));
    }
    assert!(refused > 1, "only {refused} were refused");
    for number in 0..24 {
        let lies = state(&bench, &format!("T-{number}"));
        assert!(
            lies.is_some() || !acknowledged.contains(&number),
            "T-{number} is lost"
        );
        submit(&bench, number).expect(0);
    }
    is_whole(&bench).unwrap();
    let status = bench.baton(["status"]).expect(0);
    assert_eq!(status["counts"]["inbox"], 24, "{status}");
}

fn a_queue_that_cannot_be_written_says_so(address: &str) {
    let Some((bench, mount)) = on_tmpfs(address, "16m") else {
        return;
    };
    submit(&bench, 1).expect(0);
    mount.again("ro");
    for line in [
        &["claim-lock", "--task", "T-1"][..],
        &["audit-append", "--event", "../event.json"],
        &["stop"],
    ] {
        bench.patch_file("event.json", "{\"message\": \"a line\"}");
        let ran = bench.baton(line);
        assert!(ran.code != 0, "{line:?}: {}", ran.stdout);
        assert!(
            ran.stderr.to_lowercase().contains("read-only") || ran.stderr.contains("readonly"),
            "{line:?}: {}",
            ran.stderr
        );
    }
    mount.again("rw");
    assert_eq!(state(&bench, "T-1").as_deref(), Some("inbox"));
    is_whole(&bench).unwrap();
}

fn a_full_disk_is_no_reason_to_go_on(address: &str) {
    let Some((bench, _mount)) = on_tmpfs(address, "4m") else {
        return;
    };
    fill(&bench, 0);
    let halted = bench.baton(["stop", "--reason", "now"]);
    // The line of the log may fit into what is left of its last block.
    assert!([0, 5].contains(&halted.code), "{halted:?}");
    assert_eq!(halted.json()["stop"], true, "{halted:?}");
    assert_ne!(bench.baton(["stop-check"]).code, 0);
    std::fs::remove_file(bench.queue().join("filler")).unwrap();
    assert_eq!(bench.baton(["stop-check"]).code, 4);
    bench.baton(["stop"]).expect(0);
    bench.baton(["resume"]).expect(0);
    is_whole(&bench).unwrap();
}

fn two_watchdogs_do_everything_once(address: &str) {
    const TASKS: usize = 6;
    let bench = queue::bench(address);
    for number in 0..TASKS {
        submit(&bench, number).expect(0);
        let id = format!("T-{number}");
        bench
            .baton([
                "claim-lock",
                "--task",
                &id,
                "--owner",
                "me",
                "--lease",
                "1ms",
            ])
            .expect(0);
    }
    let watch = || {
        let mut command = bench.command(["watchdog", "--once"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both: Vec<_> = (0..3).map(|_| watch()).collect();
    let mut acts = 0;
    for child in both {
        let said = ran(child.wait_with_output().unwrap()).expect(0);
        acts += said["acts"].as_array().unwrap().len();
    }
    assert_eq!(acts, TASKS, "each is told of once");
    assert_eq!(count(&bench, "TASK_RECLAIMED"), TASKS);
    for number in 0..TASKS {
        assert_eq!(
            state(&bench, &format!("T-{number}")).as_deref(),
            Some("inbox")
        );
    }
    is_whole(&bench).unwrap();
}

/// The kernel's own answer about the file system is changed on its way back to the program: NFS's number, a
/// word in the machine's own order, comes first in it.
fn a_network_file_system_is_refused(address: &str) {
    if !trace::is_possible() {
        return;
    }
    let bench = queue::bench(address);
    submit(&bench, 1).expect(0);
    assert_eq!(told_of_nfs(&bench, 1), ["QUEUE_ON_NETWORK"]);
    if address == SQLITE {
        // The queue lies here, and the database's file there.
        let bench = queue::bench("sqlite:../queue.db");
        assert_eq!(told_of_nfs(&bench, 2), ["QUEUE_ON_NETWORK"]);
    }
}

fn told_of_nfs(bench: &Bench, question: usize) -> Vec<String> {
    let number = 0x6969_u64.to_ne_bytes();
    let number: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
    let inject = format!("inject=fstatfs:poke_exit=@arg2={number}:when={question}");
    let options = ["-e", "trace=fstatfs", "-e", &inject];
    let out = bench.scratch("fstatfs");
    let ran = ran(trace::traced(bench, &out, &options, &["status"])
        .output()
        .unwrap());
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("NFS_SUPER_MAGIC"), "nobody asked: {text}");
    assert!(
        ran.stderr.contains("baton init --store postgres://"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    vec![ran.json()["code"].as_str().unwrap().to_owned()]
}
