//! `make bench-audit`: what a durable line of the log costs, beside a bare chained append and SQLite;
//! how fast the log is checked and a line proven; what a power cut leaves. Everything is made on the
//! spot, and what stands in one table was measured in one run. `ONLY=writers|checking|cuts` runs a part,
//! `EVENTS=10000000` makes the long log longer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and one that cannot go on ends"
)]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use baton_core::audit::{Action, Draft, Event, GENESIS, Log};
use baton_core::digest;
use baton_core::files::Folder;
use baton_core::policy::{Actor, AuditRules, CheckpointRule};
use baton_transparency::{check_inclusion, inclusion, leaf_hash};
use rustix::fs::{FlockOperation, flock};

/// Lines of each run of the writers' table, in all.
const LINES: usize = 6_000;
const ROUNDS: usize = 9;
/// Lines before the power cut.
const BEFORE_CUT: u64 = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, folder, lines] = &arguments[..] {
        return write(role, Path::new(folder), lines.parse().unwrap());
    }
    let scratch = tempfile::tempdir().expect("a temporary folder");
    println!(
        "one line is {} bytes; medians of {ROUNDS} rounds\n",
        sample().len()
    );
    let only = std::env::var("ONLY").unwrap_or_default();
    type Part = (&'static str, fn(&Path));
    let parts: [Part; 3] = [
        ("writers", writers),
        ("checking", checking),
        ("cuts", power_cuts),
    ];
    for (name, part) in parts {
        if only.is_empty() || only == name {
            part(scratch.path());
        }
    }
}

fn open(folder: &Path, checkpoint: CheckpointRule) -> Log {
    let log = Log::new(Folder::open(&folder.join("audit")).unwrap(), folder);
    let segment_bytes = AuditRules::default().segment_bytes;
    log.set_rules(AuditRules {
        checkpoint,
        segment_bytes,
    });
    log
}

fn fresh(folder: &Path) {
    std::fs::create_dir_all(folder.join("audit")).unwrap();
    open(folder, CheckpointRule::Append).create().unwrap();
}

fn draft() -> Draft {
    Draft::new(Actor::System, Action::EventRecorded, "audit-append").unwrap()
}

fn sample() -> String {
    let folder = tempfile::tempdir().unwrap();
    fresh(folder.path());
    let log = open(folder.path(), CheckpointRule::Append);
    log.append(draft()).unwrap();
    log.append(draft()).unwrap();
    let text = std::fs::read_to_string(folder.path().join("audit/events.ndjson")).unwrap();
    text.lines().nth(1).unwrap().to_owned()
}

/// One writing process: waits for a line on standard input, so that starting is not measured.
fn write(role: &str, folder: &Path, lines: usize) {
    let rule = match role {
        "append" => Some(CheckpointRule::Append),
        "every" => Some(CheckpointRule::Every(64)),
        _ => None,
    };
    let log = rule.map(|rule| open(folder, rule));
    let bare = rule.is_none().then(|| Bare::open(folder));
    std::io::stdin().read_line(&mut String::new()).unwrap();
    for _ in 0..lines {
        match (&log, &bare) {
            (Some(log), _) => drop(log.append(draft()).unwrap()),
            (None, Some(bare)) => bare.append(),
            (None, None) => {}
        }
    }
}

/// The floor: lock, last line, SHA-256, one write, unlock, fdatasync, and nothing else.
struct Bare {
    file: File,
    lock: File,
    line: String,
}

impl Bare {
    fn open(folder: &Path) -> Self {
        let open = |name: &str| {
            let path = folder.join(name);
            let mut options = File::options();
            options
                .create(true)
                .append(true)
                .read(true)
                .open(path)
                .unwrap()
        };
        Self {
            file: open("bare"),
            lock: open("bare.lock"),
            line: sample(),
        }
    }

    fn append(&self) {
        flock(&self.lock, FlockOperation::LockExclusive).unwrap();
        let end = self.file.metadata().unwrap().len();
        let size = end.min(self.line.len() as u64);
        let mut last = vec![0; usize::try_from(size).unwrap()];
        self.file.read_exact_at(&mut last, end - size).unwrap();
        let line = format!("{}{}\n", digest::sha256(&last), &self.line[64..]);
        assert_eq!((&self.file).write(line.as_bytes()).unwrap(), line.len());
        flock(&self.lock, FlockOperation::Unlock).unwrap();
        self.file.sync_data().unwrap();
    }
}

const SQLITE: &str = r#"
import sqlite3, sys
role, path, lines = sys.argv[1], sys.argv[2], int(sys.argv[3])
db = sqlite3.connect(path + "/log.db", timeout=60, isolation_level=None)
while True:
    try:
        db.execute("pragma journal_mode=WAL")
        break
    except sqlite3.OperationalError:
        pass  # Another one is at it, and here SQLite waits for nobody.
db.execute("pragma synchronous=FULL")
db.execute("create table if not exists log(line text)")
line = "x" * 760
sys.stdin.readline()
for _ in range(lines):
    db.execute("insert into log values(?)", (line,))
"#;

fn writers(scratch: &Path) {
    println!("durable lines a second, whole writers, each a process that runs on");
    println!("| way | 1 writer | 8 writers | of the floor |\n|---|---|---|---|");
    let ways = [
        ("bare", "bare chained append + fdatasync: the floor"),
        ("every", "the log, head signed every 64 lines"),
        ("append", "the log, head signed with every line"),
        ("sqlite", "SQLite, WAL, synchronous FULL (python3)"),
    ];
    let mut times = vec![[Vec::new(), Vec::new()]; ways.len()];
    for round in 0..ROUNDS {
        for (at, (role, _)) in ways.iter().enumerate() {
            for (column, writers) in [1, 8].into_iter().enumerate() {
                let folder = scratch.join(format!("{role}-{writers}-{round}"));
                fresh(&folder);
                times[at][column].push(run(role, &folder, writers));
                std::fs::remove_dir_all(&folder).unwrap();
            }
        }
    }
    for ((_, name), columns) in ways.iter().zip(&times) {
        let [one, eight] = columns.each_ref().map(|times| {
            let rates = times.iter().map(|time| LINES as f64 / time.as_secs_f64());
            median(rates.collect())
        });
        // A disk is faster in one minute than in the next: each round is held against its own floor.
        let [floor, wide] = [0, 1].map(|column| {
            let rounds = times[0][column].iter().zip(&columns[column]);
            let shares = rounds.map(|(floor, ours)| floor.as_secs_f64() / ours.as_secs_f64());
            median(shares.collect()) * 100.0
        });
        println!("| {name} | {one:.0} | {eight:.0} | {floor:.0} % / {wide:.0} % |");
    }
    println!("asked of the log: at least 85 % of the floor\n");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run(role: &str, folder: &Path, writers: usize) -> Duration {
    let lines = (LINES / writers).to_string();
    let path = folder.to_string_lossy().into_owned();
    let mut started = Vec::new();
    for _ in 0..writers {
        let mut command = match role {
            "sqlite" => {
                let mut python = Command::new("python3");
                python.args(["-c", SQLITE]);
                python
            }
            _ => Command::new(std::env::current_exe().unwrap()),
        };
        command.args([role, &path, &lines]).stdin(Stdio::piped());
        started.push(command.spawn().unwrap());
    }
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    for writer in &mut started {
        writeln!(writer.stdin.take().unwrap()).unwrap();
    }
    for mut writer in started {
        assert!(writer.wait().unwrap().success());
    }
    begin.elapsed()
}

/// Writes a log of many lines without syncing, as if it had grown; then it is indexed and signed.
fn grow(folder: &Path, lines: u64) {
    fresh(folder);
    let file = File::options()
        .append(true)
        .open(folder.join("audit/events.ndjson"))
        .unwrap();
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut event: Event = serde_json::from_str(&sample()).unwrap();
    (event.prev_event_id, event.prev_sha256) = (None, GENESIS.to_owned());
    for seq in 1..=lines {
        event.seq = seq;
        event.event_id = format!("EVT-{seq:012x}-0123456789abcdef");
        event.task_id = format!("T-{}", seq / 15);
        let line = serde_json::to_vec(&event).unwrap();
        out.write_all(&line).unwrap();
        out.write_all(b"\n").unwrap();
        event.prev_sha256 = digest::sha256(&line);
        event.prev_event_id = Some(event.event_id.clone());
    }
    out.flush().unwrap();
}

const PYTHON: &str = r#"
import hashlib, json, sys
last, seq = "0" * 64, 0
with open(sys.argv[1], "rb") as log:
    for line in log:
        line = line[:-1]
        event = json.loads(line)
        seq += 1
        assert event["seq"] == seq and event["prev_sha256"] == last
        last = hashlib.sha256(line).hexdigest()
        if seq == int(sys.argv[2]):
            break
"#;

fn checking(scratch: &Path) {
    let lines = std::env::var("EVENTS")
        .ok()
        .and_then(|text| text.parse().ok());
    let lines: u64 = lines.unwrap_or(1_000_000);
    let folder = scratch.join("long");
    grow(&folder, lines);
    let log = open(&folder, CheckpointRule::Append);
    let (signed, indexing) = timed(|| log.seal_now().unwrap());
    assert_eq!(signed.1.size, lines);
    println!(
        "a log of {lines} lines; index and first signed head made in {:.1} s\n",
        indexing.as_secs_f64()
    );
    lookups(&log, lines);
    println!("| check, in process | lines a second | lines a second and thread |\n|---|---|---|");
    for threads in [1, 2] {
        let rounds = if lines > 2_000_000 { 1 } else { 3 };
        let checked = (0..rounds).map(|_| timed(|| log.check(threads).unwrap()).1);
        let best = checked.min().unwrap();
        let rate = lines as f64 / best.as_secs_f64();
        let each = rate / threads as f64;
        println!(
            "| everything (chain, bounds, tree, index, heads), {threads} threads | {rate:.0} | {each:.0} |"
        );
    }
    let some = lines.min(200_000);
    let path = folder.join("audit/events.ndjson");
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON]).arg(&path).arg(some.to_string());
    let (status, took) = timed(|| python.status().unwrap());
    assert!(status.success());
    let rate = some as f64 / took.as_secs_f64();
    println!("| the chain alone, by python3, a process | {rate:.0} | {rate:.0} |");
    let sha = hash_rate(&sample());
    println!("| SHA-256 of each line, twice, and nothing else | {sha:.0} | {sha:.0} |\n");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What chain and tree cost at least: each line is hashed for the one and for the other.
fn hash_rate(line: &str) -> f64 {
    let count = 200_000;
    let (_, took) = timed(|| {
        for _ in 0..count {
            std::hint::black_box(digest::sha256(line.as_bytes()));
            std::hint::black_box(leaf_hash(line.as_bytes()));
        }
    });
    f64::from(count) / took.as_secs_f64()
}

fn lookups(log: &Log, lines: u64) {
    println!("| one question, in process | median | slowest of 200 |\n|---|---|---|");
    let (_, head) = log.checkpoint().unwrap();
    let place = |number: u64| number * 7_919_999 % lines;
    question("inclusion proof, made and checked", |number| {
        let at = place(number);
        let index = log.index().unwrap();
        let proof = inclusion(at, lines, &index).unwrap();
        let leaf =
            baton_transparency::Hashes::read(&index, baton_transparency::stored_index(0, at));
        check_inclusion(&leaf.unwrap(), at, lines, &proof, &head.root).unwrap();
    });
    question("one line by its number, shown to be signed", |number| {
        let seq = place(number) + 1;
        assert_eq!(log.line(seq).unwrap().unwrap().1.seq, seq);
    });
    question("the quick check", |_| {
        assert_eq!(log.quick_check().unwrap().seq, lines);
    });
    println!("asked of a proof in 10 million lines: under 10 ms\n");
}

fn question(name: &str, ask: impl Fn(u64)) {
    let mut times: Vec<_> = (1..=200).map(|number| timed(|| ask(number)).1).collect();
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "| {name} | {:.3} ms | {:.3} ms |",
        ms(times[100]),
        ms(times[199])
    );
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let made = act();
    (made, begin.elapsed())
}

/// A power cut is a copy of the image while it is mounted: what was synced is in it.
fn power_cuts(scratch: &Path) {
    println!("power cut right after {BEFORE_CUT} acknowledged lines (drive cache assumed kept)");
    println!("| file system | head signed | lines there | log |\n|---|---|---|---|");
    for kind in ["ext4", "xfs", "btrfs"] {
        for (rule, name) in [
            (CheckpointRule::Append, "with every line"),
            (CheckpointRule::Every(64), "every 64 lines"),
        ] {
            let row = cut(scratch, kind, rule).unwrap_or_else(|why| format!("not run: {why} | "));
            println!("| {kind} | {name} | {row} |");
        }
    }
    println!();
}

fn cut(scratch: &Path, kind: &str, rule: CheckpointRule) -> Result<String, String> {
    let (image, copy) = (scratch.join("image"), scratch.join("copy"));
    let place = scratch.join("mounted");
    std::fs::create_dir_all(&place).unwrap();
    File::create(&image).unwrap().set_len(400 << 20).unwrap();
    command(&format!("mkfs.{kind}"), &["-q", &text(&image)])?;
    let mount = |image: &PathBuf| command("mount", &["-o", "loop", &text(image), &text(&place)]);
    mount(&image)?;
    fresh(&place);
    command("sync", &[])?;
    let log = open(&place, rule);
    (0..BEFORE_CUT).for_each(|_| drop(log.append(draft()).unwrap()));
    let copied = command("cp", &["--sparse=always", &text(&image), &text(&copy)]);
    drop(log);
    command("umount", &[&text(&place)])?;
    copied?;
    mount(&copy)?;
    let log = open(&place, rule);
    let there = log.head().map(|head| head.seq);
    let state = log.append(draft()).and_then(|_| log.check(1));
    drop(log);
    command("umount", &[&text(&place)])?;
    std::fs::remove_file(&image).unwrap();
    std::fs::remove_file(&copy).unwrap();
    let there = there.map_err(|problem| problem.to_string())?;
    let state = state.map_or_else(
        |problem| problem.to_string(),
        |checked| format!("whole, goes on at line {}", checked.head.seq),
    );
    Ok(format!("{there} of {BEFORE_CUT} | {state}"))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', " ");
    Err(format!("{program}: {said}"))
}
