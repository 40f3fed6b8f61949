//! The log against crashes, full disks and hands that change it.

mod attacks;
mod crashes;
mod lines;
mod lookups;

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::*;
use crate::files::Folder;
use crate::policy::{AuditRules, CheckpointRule};

thread_local! {
    /// Whether syncs fail in this test.
    static DISK_FAILS: Cell<bool> = const { Cell::new(false) };
}

/// What the log syncs with in tests.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    if DISK_FAILS.get() {
        return Err(io::Error::from_raw_os_error(5));
    }
    file.sync_data()
}

/// A log in a folder of its own.
struct Place {
    dir: tempfile::TempDir,
    log: Log,
}

impl Place {
    fn new(rules: AuditRules) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("audit")).unwrap();
        let place = Self {
            log: open(dir.path(), rules),
            dir,
        };
        assert!(place.log.create().unwrap());
        place
    }

    /// As another process would open it.
    fn again(&self) -> Log {
        open(self.dir.path(), self.log.rules())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("audit").join(name)
    }

    fn events(&self) -> PathBuf {
        self.path(FILE)
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.events()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn write_lines(&self, lines: &[String]) {
        std::fs::write(self.events(), lines.join("\n") + "\n").unwrap();
    }

    fn segments(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("segments")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".ndjson")).collect();
        names.sort();
        names
    }
}

fn open(root: &std::path::Path, rules: AuditRules) -> Log {
    let log = Log::new(Folder::open(&root.join("audit")).unwrap(), root);
    log.set_rules(rules);
    log
}

fn every(lines: u64) -> AuditRules {
    AuditRules {
        checkpoint: CheckpointRule::Every(lines),
        ..AuditRules::default()
    }
}

fn small_segments(bytes: u64) -> AuditRules {
    AuditRules {
        segment_bytes: bytes,
        ..AuditRules::default()
    }
}

fn draft(text: &str) -> Draft {
    let draft = Draft::new(Actor::Human, Action::EventRecorded, "audit-append").unwrap();
    draft.meta("text", text)
}

fn append(log: &Log, text: &str) -> Receipt {
    log.append(draft(text)).unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
    result.unwrap_err().code
}

fn actions(log: &Log) -> Vec<Action> {
    let mut actions = Vec::new();
    log.verify(|event, _| actions.push(event.action)).unwrap();
    actions
}
