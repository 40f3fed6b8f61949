//! The file itself: appended under a lock, linked line to line, read back and checked.

use std::io::{Read, Seek, SeekFrom, Write};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{Action, Draft, Event, FILE, GENESIS, Level, MAX_LINE, Receipt, path};
use crate::envelope::QUEUE_ROOT;
use crate::files::Folder;
use crate::policy::Actor;
use crate::problem::Problem;
use crate::{clock, digest};

const LOCK: &str = ".lock";

/// The last line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 for an empty log.
    pub seq: u64,
    /// Its event.
    pub event_id: Option<String>,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// The open log.
#[derive(Debug)]
pub struct Log {
    folder: Folder,
}

impl Log {
    /// Opens the `audit` folder of a queue.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// Makes the empty log; only `init` does that.
    ///
    /// # Errors
    /// The log exists already.
    pub fn create(&self) -> Result<(), Problem> {
        self.folder
            .write_new(FILE, b"")
            .map_err(|error| Problem::io(path(), &error))
    }

    /// Appends one event: linked, numbered, written in one go, durable when this returns.
    ///
    /// # Errors
    /// `LOG_MISSING`, `LOG_BROKEN`, `LOG_WRITE_FAILED`; after any of them the log ends as before.
    pub fn append(&self, draft: Draft) -> Result<Receipt, Problem> {
        let lock = self.lock()?;
        let mut file = self.open(OFlags::RDWR)?;
        let head = self.repaired_head(&mut file)?;
        let receipt = write_linked(&mut file, &head, draft)?;
        // Let others write while this line goes to the disk: a sync covers all earlier bytes.
        drop(lock);
        file.sync_data().map_err(|error| write_failed(&error))?;
        Ok(receipt)
    }

    /// The last line, without changing anything.
    ///
    /// # Errors
    /// `LOG_MISSING`, `LOG_BROKEN`.
    pub fn head(&self) -> Result<Head, Problem> {
        let mut file = self.open(OFlags::RDONLY)?;
        let (head, _) = tail(&mut file)?;
        Ok(head)
    }

    /// Reads every event in order and checks the chain: numbers without a gap, every link right.
    ///
    /// # Errors
    /// `LOG_MISSING`; `LOG_BROKEN` naming the first line that does not fit.
    pub fn verify(&self, mut each: impl FnMut(&Event, &Receipt)) -> Result<Head, Problem> {
        let mut file = self.open(OFlags::RDONLY)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| Problem::io(path(), &error))?;
        let mut head = Head {
            seq: 0,
            event_id: None,
            sha256: GENESIS.to_owned(),
        };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else {
                return Err(broken(
                    head.seq + 1,
                    "the line has no end; the next append cuts it off",
                ));
            };
            let event = read_line(line, head.seq + 1)?;
            check_link(&event, &head)?;
            let sha256 = digest::sha256(line);
            head = Head {
                seq: event.seq,
                event_id: Some(event.event_id.clone()),
                sha256,
            };
            let receipt = Receipt {
                seq: event.seq,
                event_id: event.event_id.clone(),
                sha256: head.sha256.clone(),
            };
            each(&event, &receipt);
        }
        Ok(head)
    }

    fn lock(&self) -> Result<std::fs::File, Problem> {
        let lock = self
            .folder
            .lock_file(LOCK)
            .map_err(|error| Problem::io("audit lock", &error))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| Problem::io("audit lock", &error.into()))?;
        Ok(lock)
    }

    fn open(&self, flags: OFlags) -> Result<std::fs::File, Problem> {
        self.folder
            .open_file(FILE, flags | OFlags::APPEND)
            .map_err(|error| {
                if error.kind() == std::io::ErrorKind::NotFound {
                    Problem::fail("LOG_MISSING", format!("the audit log {} is gone", path())).hint(
                        "restore it from a copy; baton never starts a second log in its place",
                    )
                } else {
                    Problem::io(path(), &error)
                }
            })
    }

    /// Cuts off a torn last line (a writer was killed or the disk was full), keeps its bytes aside
    /// and says so in the log itself.
    fn repaired_head(&self, file: &mut std::fs::File) -> Result<Head, Problem> {
        let (head, torn) = tail(file)?;
        if torn.is_empty() {
            return Ok(head);
        }
        let sha256 = digest::sha256(&torn);
        let aside = format!("torn-{}-{}", head.seq, sha256.get(..16).unwrap_or(&sha256));
        match self.folder.write_new(&aside, &torn) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Problem::io(&aside, &error));
            }
            _ => {}
        }
        let length = file.metadata().map_err(|error| write_failed(&error))?.len();
        file.set_len(length - torn.len() as u64)
            .map_err(|error| write_failed(&error))?;
        let mut draft = Draft::new(Actor::System, Action::LogRepaired, "audit-append")?
            .meta("torn_bytes", torn.len())
            .meta("torn_sha256", sha256)
            .meta("kept_as", format!("{QUEUE_ROOT}/audit/{aside}"));
        draft.level = Level::Warn;
        write_linked(file, &head, draft)?;
        Ok(tail(file)?.0)
    }
}

fn write_linked(file: &mut std::fs::File, head: &Head, draft: Draft) -> Result<Receipt, Problem> {
    let event = linked(head, draft);
    let line = event_line(event)?;
    let before = file.metadata().map_err(|error| write_failed(&error))?.len();
    let sha256 = digest::sha256(line.bytes.strip_suffix(b"\n").unwrap_or(&line.bytes));
    match file.write(&line.bytes) {
        Ok(count) if count == line.bytes.len() => Ok(Receipt {
            seq: head.seq + 1,
            event_id: line.event_id,
            sha256,
        }),
        outcome => {
            // A short write means a full disk: take the half line back before anybody reads it.
            file.set_len(before).map_err(|error| write_failed(&error))?;
            let error = outcome
                .err()
                .unwrap_or_else(|| std::io::ErrorKind::StorageFull.into());
            Err(write_failed(&error))
        }
    }
}

fn linked(head: &Head, draft: Draft) -> Event {
    Event {
        ts: clock::rfc3339(clock::now()),
        seq: head.seq + 1,
        event_id: draft.event_id,
        prev_event_id: head.event_id.clone(),
        prev_sha256: head.sha256.clone(),
        level: draft.level,
        actor: draft.actor,
        action: draft.action,
        skill: draft.skill,
        status: draft.status,
        decision: draft.decision,
        task_id: draft.task_id,
        from_state: draft.from.into(),
        to_state: draft.to.into(),
        repo_ref: draft.repo_ref,
        inputs_sha256: draft.inputs_sha256,
        outputs_sha256: draft.outputs_sha256,
        approvals: draft.approvals,
        artifacts: draft.artifacts,
        findings: draft.findings,
        meta: draft.meta,
    }
}

struct Line {
    event_id: String,
    bytes: Vec<u8>,
}

/// Serialises an event. A line that would be too long loses findings, worst kept first, and says
/// how many; the kept envelope still holds them all.
fn event_line(mut event: Event) -> Result<Line, Problem> {
    let mut omitted = 0_usize;
    loop {
        let mut bytes = serde_json::to_vec(&event)
            .map_err(|error| Problem::fail("LOG_WRITE_FAILED", error.to_string()))?;
        bytes.push(b'\n');
        if bytes.len() <= MAX_LINE {
            return Ok(Line {
                event_id: event.event_id,
                bytes,
            });
        }
        if event.findings.is_empty() {
            return Err(Problem::fail(
                "LOG_LINE_TOO_LONG",
                format!(
                    "the event has {} bytes, a line holds at most {MAX_LINE}",
                    bytes.len()
                ),
            )
            .hint("put what is large into an artifact and name it"));
        }
        event
            .findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let keep = event.findings.len() / 2;
        omitted += event.findings.len() - keep;
        event.findings.truncate(keep);
        event
            .meta
            .insert("findings_omitted".to_owned(), omitted.into());
    }
}

/// Finds the last whole line and what stands after it.
fn tail(file: &mut std::fs::File) -> Result<(Head, Vec<u8>), Problem> {
    let length = file
        .metadata()
        .map_err(|error| Problem::io(path(), &error))?
        .len();
    // A whole line, its end, and a torn line after it fit into twice the longest line.
    let window = length.min(2 * MAX_LINE as u64 + 2);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(length - window))
        .and_then(|_| file.take(window).read_to_end(&mut bytes))
        .map_err(|error| Problem::io(path(), &error))?;
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let torn = bytes.split_off(end);
    if end == 0 && length > window {
        return Err(Problem::fail(
            "LOG_BROKEN",
            format!("the audit log has no line end in its last {window} bytes"),
        ));
    }
    let Some(whole) = bytes.strip_suffix(b"\n") else {
        return Ok((
            Head {
                seq: 0,
                event_id: None,
                sha256: GENESIS.to_owned(),
            },
            torn,
        ));
    };
    let start = whole
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let line = whole.get(start..).unwrap_or_default();
    let event = Event::parse(line)?;
    Ok((
        Head {
            seq: event.seq,
            event_id: Some(event.event_id),
            sha256: digest::sha256(line),
        },
        torn,
    ))
}

fn read_line(line: &[u8], expected_seq: u64) -> Result<Event, Problem> {
    Event::parse(line).map_err(|problem| broken(expected_seq, &problem.message))
}

fn check_link(event: &Event, head: &Head) -> Result<(), Problem> {
    let line = head.seq + 1;
    if event.seq != line {
        return Err(broken(
            line,
            &format!("seq is {}, expected {line}", event.seq),
        ));
    }
    if event.prev_sha256 != head.sha256 {
        return Err(broken(
            line,
            &format!(
                "prev_sha256 is {}, the line before hashes to {}",
                event.prev_sha256, head.sha256
            ),
        ));
    }
    if event.prev_event_id != head.event_id {
        return Err(broken(line, "prev_event_id does not name the line before"));
    }
    Ok(())
}

fn broken(line: u64, why: &str) -> Problem {
    Problem::fail(
        "LOG_BROKEN",
        format!("the audit log is broken at line {line}: {why}"),
    )
    .hint("compare with a copy kept elsewhere; nothing lands while the chain is broken")
}

fn write_failed(error: &std::io::Error) -> Problem {
    Problem::fail(
        "LOG_WRITE_FAILED",
        format!("the audit log could not be written: {error}"),
    )
    .hint("free disk space or mend the disk, then run the same command again (recovery R7)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn log() -> (tempfile::TempDir, Log, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(Folder::open(dir.path()).unwrap());
        log.create().unwrap();
        let path = dir.path().join(FILE);
        (dir, log, path)
    }

    fn append(log: &Log, text: &str) -> Receipt {
        let draft = Draft::new(Actor::Human, Action::EventRecorded, "audit-append").unwrap();
        log.append(draft.meta("text", text)).unwrap()
    }

    fn lines(path: &PathBuf) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_are_numbered_and_linked_by_the_digest_of_their_bytes() {
        let (_dir, log, path) = log();
        let first = append(&log, "a");
        let second = append(&log, "b");
        assert_eq!((first.seq, second.seq), (1, 2));
        let lines = lines(&path);
        assert_eq!(first.sha256, digest::sha256(lines[0].as_bytes()));
        assert!(lines[1].contains(&format!("\"prev_sha256\":\"{}\"", first.sha256)));
        assert!(lines[0].contains(GENESIS));
        assert_eq!(log.verify(|_, _| {}).unwrap().sha256, second.sha256);
    }

    #[test]
    fn a_torn_last_line_is_kept_aside_cut_off_and_recorded() {
        let (dir, log, path) = log();
        append(&log, "a");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"ts\":\"2026-");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(log.verify(|_, _| {}).unwrap_err().code, "LOG_BROKEN");
        assert_eq!(append(&log, "b").seq, 3);
        let mut actions = Vec::new();
        log.verify(|event, _| actions.push(event.action)).unwrap();
        assert_eq!(
            actions,
            [
                Action::EventRecorded,
                Action::LogRepaired,
                Action::EventRecorded
            ]
        );
        let torn = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let kept: Vec<_> = torn
            .filter(|path| path.to_string_lossy().contains("torn-"))
            .collect();
        assert_eq!(std::fs::read(&kept[0]).unwrap(), b"{\"ts\":\"2026-");
    }

    #[test]
    fn every_change_to_a_line_in_the_middle_is_found() {
        type Change = fn(&mut Vec<String>);
        let changes: [(&str, Change); 5] = [
            ("a changed byte", |lines| {
                lines[1] = lines[1].replace("\"b\"", "\"B\"")
            }),
            ("a dropped line", |lines| drop(lines.remove(1))),
            ("two lines swapped", |lines| lines.swap(1, 2)),
            ("a line twice", |lines| lines.insert(1, lines[1].clone())),
            ("a line that is no event", |lines| {
                lines[1] = "{}".to_owned()
            }),
        ];
        for (what, change) in changes {
            let (_dir, log, path) = log();
            for text in ["a", "b", "c", "d"] {
                append(&log, text);
            }
            let mut lines = lines(&path);
            change(&mut lines);
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
            assert_eq!(
                log.verify(|_, _| {}).unwrap_err().code,
                "LOG_BROKEN",
                "{what}"
            );
        }
    }

    #[test]
    fn writers_at_the_same_time_make_one_order() {
        let (dir, log, _path) = log();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let log = Log::new(Folder::open(dir.path()).unwrap());
                scope.spawn(move || (0..25).for_each(|_| drop(append(&log, &writer.to_string()))));
            }
        });
        assert_eq!(log.verify(|_, _| {}).unwrap().seq, 100);
    }

    #[test]
    fn a_long_event_loses_findings_and_says_how_many() {
        use crate::envelope::{Finding, Severity};
        let (_dir, log, path) = log();
        let mut draft = Draft::new(Actor::Human, Action::RiskScanned, "diff-risk-scan").unwrap();
        draft.findings = (0..1000)
            .map(|_| Finding::new(Severity::Low, "X", "y".repeat(200)))
            .collect();
        draft
            .findings
            .push(Finding::new(Severity::Critical, "WORST", "kept"));
        log.append(draft).unwrap();
        let line = &lines(&path)[0];
        assert!(
            line.len() < MAX_LINE && line.contains("WORST") && line.contains("findings_omitted")
        );
        let draft = Draft::new(Actor::Human, Action::EventRecorded, "audit-append").unwrap();
        let problem = log
            .append(draft.meta("text", "z".repeat(MAX_LINE)))
            .unwrap_err();
        assert_eq!(problem.code, "LOG_LINE_TOO_LONG");
    }
}
