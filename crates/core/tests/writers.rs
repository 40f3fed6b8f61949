//! Many processes write to one log and are killed in between: one chain, nothing that was acknowledged
//! is lost, nothing stands twice. `BATON_EVENTS` and `BATON_KILLS` make it larger.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may"
)]

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_core::audit::{Action, Draft, Log};
use baton_core::files::Folder;
use baton_core::policy::{Actor, AuditRules, CheckpointRule};

const WRITERS: usize = 8;
const FOLDER: &str = "BATON_TEST_LOG";
const ACKNOWLEDGED: &str = "BATON_TEST_ACKNOWLEDGED";
/// How the files begin in which writers say what was acknowledged.
const SAID: &str = "acknowledged-";

fn open(folder: &Path) -> Log {
    let log = Log::new(Folder::open(&folder.join("audit")).unwrap(), folder);
    log.set_rules(AuditRules {
        checkpoint: CheckpointRule::Every(16),
        segment_bytes: 1 << 20,
    });
    log
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A process of its own, started by the test below: appends until it is killed, and says after each
/// line that it was acknowledged.
#[test]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let log = open(Path::new(&folder));
    let path = std::env::var(ACKNOWLEDGED).unwrap();
    let mut said = File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    loop {
        let draft = Draft::new(Actor::System, Action::EventRecorded, "audit-append").unwrap();
        let receipt = log.append(draft).unwrap();
        let line = format!("{} {}\n", receipt.seq, receipt.event_id);
        said.write_all(line.as_bytes()).unwrap();
    }
}

/// Each writer says so in a file of its own: a kill may tear its last word there.
fn start(folder: &Path, which: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ACKNOWLEDGED, folder.join(format!("{SAID}{which}")))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills are spread evenly over the events; the pauses between them differ, so that they hit anything.
#[test]
fn killed_writers_lose_nothing_and_leave_one_chain() {
    let (events, kills) = (number("BATON_EVENTS", 4_000), number("BATON_KILLS", 40));
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    std::fs::create_dir(folder.join("audit")).unwrap();
    assert!(open(folder).create().unwrap());
    let mut writers: Vec<_> = (0..WRITERS).map(|which| start(folder, which)).collect();
    let mut killed = 0;
    let mut log = open(folder);
    loop {
        let seq = usize::try_from(log.head().unwrap().seq).unwrap();
        if seq >= events && killed >= kills {
            break;
        }
        if killed < kills && seq >= events * killed / kills {
            let which = killed * 5 % WRITERS;
            assert!(
                writers[which].try_wait().unwrap().is_none(),
                "a writer gave up"
            );
            writers[which].kill().unwrap();
            writers[which].wait().unwrap();
            killed += 1;
            writers[which] = start(folder, WRITERS + killed);
        }
        std::thread::sleep(Duration::from_micros(
            u64::try_from(killed * 7919 % 5000).unwrap(),
        ));
        log = open(folder);
    }
    for writer in &mut writers {
        assert!(writer.try_wait().unwrap().is_none(), "a writer gave up");
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    check(folder, killed);
}

fn check(folder: &Path, killed: usize) {
    let log = open(folder);
    // The next line cuts off what the last kill tore.
    let draft = Draft::new(Actor::System, Action::EventRecorded, "audit-append").unwrap();
    log.append(draft).unwrap();
    let checked = log.check(0).unwrap();
    let (mut lines, mut repaired) = (HashMap::new(), 0);
    log.verify(|event, receipt| {
        repaired += u64::from(event.action == Action::LogRepaired);
        let twice = lines.insert(event.event_id.clone(), receipt.seq);
        assert!(twice.is_none(), "{} stands twice", event.event_id);
    })
    .unwrap();
    let mut acknowledged = 0;
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap());
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with(SAID)) {
        let text = std::fs::read_to_string(file.path()).unwrap();
        for line in text.split_inclusive('\n') {
            let Some(line) = line.strip_suffix('\n') else {
                continue;
            };
            let (seq, id) = line.split_once(' ').unwrap();
            assert_eq!(lines.get(id), Some(&seq.parse().unwrap()), "{line} is lost");
            acknowledged += 1;
        }
    }
    println!(
        "{WRITERS} writers, {} lines, {acknowledged} acknowledged, {killed} kills, {repaired} torn ends: one chain, none lost, none twice",
        checked.head.seq
    );
    assert!(acknowledged > 0);
}

/// The system takes the beginning of a line and no more, as it does on a full disk.
#[test]
fn a_short_write_is_taken_back() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    std::fs::create_dir(folder.join("audit")).unwrap();
    assert!(open(folder).create().unwrap());
    let program = std::env::current_exe().unwrap();
    let ended = Command::new("bash")
        .args([
            "-c",
            "ulimit -f 40; exec \"$0\" --exact writer --test-threads=1",
        ])
        .arg(program)
        .env(FOLDER, folder)
        .env(ACKNOWLEDGED, folder.join("acknowledged-0"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(!ended.unwrap().success(), "40 KiB hold all lines");
    let bytes = std::fs::read(folder.join("audit/events.ndjson")).unwrap();
    assert!(
        bytes.ends_with(b"\n") && bytes.len() > 30 << 10,
        "{} bytes",
        bytes.len()
    );
    let log = open(folder);
    let before = log.check(1).unwrap().head.seq;
    let acknowledged = std::fs::read_to_string(folder.join("acknowledged-0")).unwrap();
    assert_eq!(acknowledged.lines().count() as u64, before);
    let draft = Draft::new(Actor::System, Action::EventRecorded, "audit-append").unwrap();
    assert_eq!(log.append(draft).unwrap().seq, before + 1);
    log.check(1).unwrap();
}
