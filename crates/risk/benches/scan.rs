//! `make bench-scan`: reader, paths and rules on a `git log -p` of 100 MB or more, beside programs that
//! read the same bytes. Whole processes, in turn, on one machine; medians of the rounds.
//!
//! REPO names the repository whose log is taken (this one without it); a short log is repeated.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use baton_patch::Limits;
use baton_risk::{Origin, RuleBook, ScanInput};

#[path = "../tests/labelled/set.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod set;

const WANTED: u64 = 100 << 20;
const ROUNDS: usize = 5;
/// A program that takes longer is cut off.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == "--read-as") {
        return read_as(&arguments[at + 1], Path::new(&arguments[at + 2]));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log.patch");
    let bytes = write_log(&log);
    let words = folder.path().join("words.txt");
    std::fs::write(&words, WORDS.join("\n")).expect("a list of patterns");
    let own = std::env::current_exe().expect("this program");
    let own = own.to_str().expect("a plain path");
    let (log, words) = (log.to_str().expect("plain"), words.to_str().expect("plain"));
    println!("{bytes} bytes of git log -p, median of {ROUNDS} rounds\n");
    println!("| what | wall s | MB/s | peak MiB |\n|---|---|---|---|");
    for (name, argv) in [
        ("wc -l", vec!["wc", "-l", log]),
        (
            "git apply --numstat",
            vec!["git", "apply", "--numstat", log],
        ),
        (
            "ripgrep, 20 secret patterns",
            vec!["rg", "-c", "-f", words, log],
        ),
        (
            "detect-secrets",
            vec!["detect-secrets", "scan", "--all-files", log],
        ),
        ("ripsecrets", vec!["ripsecrets", log]),
        ("gitleaks", vec!["gitleaks", "dir", log]),
        ("cut into commits", vec![own, "--read-as", "commits", log]),
        ("reader", vec![own, "--read-as", "reader", log]),
        (
            "reader, paths and rules",
            vec![own, "--read-as", "rules", log],
        ),
    ] {
        println!("{}", row(name, &argv, bytes));
    }
    ordinary(folder.path());
}

/// Patterns that any secret search has; for the same work by another program.
const WORDS: [&str; 20] = [
    "AKIA[A-Z0-9]{16}",
    "ghp_[A-Za-z0-9]{36}",
    "gho_[A-Za-z0-9]{36}",
    "glpat-[A-Za-z0-9_-]{20}",
    "xox[abp]-[A-Za-z0-9-]{10,}",
    "AIza[0-9A-Za-z_-]{35}",
    "sk_live_[A-Za-z0-9]{24}",
    "sk-ant-[A-Za-z0-9_-]{32}",
    "npm_[A-Za-z0-9]{36}",
    "pypi-AgE[A-Za-z0-9_-]{50}",
    "SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}",
    "-----BEGIN [A-Z ]*PRIVATE KEY",
    "eyJ[A-Za-z0-9_-]{10,}\\.eyJ[A-Za-z0-9_-]{10,}",
    "dop_v1_[0-9a-f]{64}",
    "hvs\\.[A-Za-z0-9_-]{24}",
    "(?i)password\\s*=\\s*[\"'][^\"']{8,}",
    "(?i)api_key\\s*=\\s*[\"'][^\"']{16,}",
    "https://hooks\\.slack\\.com/services/",
    "AGE-SECRET-KEY-1",
    "shpat_[0-9a-f]{32}",
];

fn write_log(to: &Path) -> u64 {
    let repo = std::env::var("REPO")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../..").to_owned());
    let arguments = [
        "log",
        "-p",
        "--no-merges",
        "--no-renames",
        "--binary",
        "--full-index",
        "--no-color",
    ];
    let log = set::git(Path::new(&repo), &arguments, b"");
    let mut all = Vec::new();
    while (all.len() as u64) < WANTED {
        all.extend_from_slice(&log);
        assert!(!log.is_empty(), "the repository has no history");
    }
    std::fs::write(to, &all).expect("room for the log");
    all.len() as u64
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^53")]
fn row(name: &str, argv: &[&str], bytes: u64) -> String {
    let mut times = Vec::new();
    let mut peak = 0;
    for _ in 0..ROUNDS {
        match measure(argv) {
            Some((time, _)) if time > PATIENCE => {
                return format!("| {name} | more than {} | | |", PATIENCE.as_secs());
            }
            Some((time, memory)) => {
                times.push(time);
                peak = peak.max(memory);
            }
            None => return format!("| {name} | not on this machine | | |"),
        }
    }
    times.sort();
    let median = times[ROUNDS / 2].as_secs_f64();
    format!(
        "| {name} | {median:.3} | {:.0} | {} |",
        bytes as f64 / 1e6 / median,
        peak / 1024
    )
}

/// Wall time, and the highest memory that was seen, in KiB.
fn measure(argv: &[&str]) -> Option<(Duration, u64)> {
    let start = Instant::now();
    let mut child = Command::new(argv[0])
        .args(&argv[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = peak.max(kib.unwrap_or(0));
        }
        if start.elapsed() > PATIENCE {
            // Some scanners take minutes for what others read in a second.
            child.kill().ok()?;
            child.wait().ok()?;
            return Some((start.elapsed(), peak));
        }
        if child.try_wait().ok()?.is_some() {
            return Some((start.elapsed(), peak));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Reads the log commit by commit, so that memory stays that of one commit.
fn read_as(what: &str, log: &Path) {
    let policy = set::policy();
    let book = matches!(what, "rules" | "print").then(|| set::book(&policy));
    let limits = Limits {
        bytes: 1 << 30,
        sections: 1 << 20,
        hunks: 1 << 24,
        line_bytes: 64 << 20,
        allow_delta: true,
        ..Limits::default()
    };
    let (mut commits, mut refused, mut files) = (0_u64, 0_u64, 0_usize);
    let sections = memchr::memmem::Finder::new("\ndiff --git ");
    each_commit(log, |bytes| {
        commits += 1;
        if what == "commits" || sections.find(bytes).is_none() {
            return;
        }
        match baton_patch::parse(bytes, &limits) {
            Err(_) => refused += 1,
            Ok(patch) => files += judge(&patch, book.as_ref(), what == "print"),
        }
    });
    println!("{commits} commits, {refused} refused, {files} files");
}

fn judge(patch: &baton_patch::Patch<'_>, book: Option<&RuleBook<'_>>, prints: bool) -> usize {
    if let Some(book) = book {
        let input = ScanInput::from_patch(patch);
        let report = baton_risk::scan(&input, book, None, &Origin::Text).expect("a scan");
        if prints {
            // To compare what two versions find, commit by commit.
            println!("{report:?}");
        }
        return report.summary.files.len();
    }
    patch.sections.len()
}

/// Hands over each commit of a log. A line that begins with `commit ` begins one: in a log, words of
/// a message are indented and lines of a file have their marker.
fn each_commit(log: &Path, mut visit: impl FnMut(&[u8])) {
    let mut file = std::fs::File::open(log).expect("the log");
    let mut buffer: Vec<u8> = Vec::new();
    let mut ended = false;
    while !ended {
        let mut part = file.by_ref().take(4 << 20);
        ended = part.read_to_end(&mut buffer).expect("the log") == 0;
        let mut start = 0;
        while let Some(end) = next_commit(&buffer[start..]) {
            visit(&buffer[start..start + end]);
            start += end;
        }
        if ended {
            visit(&buffer[start..]);
        }
        buffer.drain(..start);
    }
}

fn next_commit(text: &[u8]) -> Option<usize> {
    let mark = b"\ncommit ";
    let mut from = 1;
    loop {
        let at = memchr::memmem::find(text.get(from..)?, mark)?;
        let id = text.get(from + at + mark.len()..from + at + mark.len() + 40)?;
        if id.iter().all(u8::is_ascii_hexdigit) {
            return Some(from + at + 1);
        }
        from += at + 1;
    }
}

/// An ordinary patch, whole process: what a person or an agent waits for.
fn ordinary(folder: &Path) {
    let Ok(programs) = std::env::var("BATON_BIN") else {
        println!("\nBATON_BIN names no folder of programs: the ordinary patch was not measured");
        return;
    };
    let program = PathBuf::from(programs).join("diff-risk-scan");
    let patch = folder.join("ordinary.patch");
    std::fs::write(&patch, ordinary_patch()).expect("a patch");
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ssot/POLICY.json");
    let (program, patch) = (
        program.to_str().expect("plain"),
        patch.to_str().expect("plain"),
    );
    let argv = [program, "--patch", patch, "--policy", policy];
    let mut times: Vec<Duration> = (0..101)
        .filter_map(|_| Some(measure_short(&argv)?.0))
        .collect();
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!(
        "\nan ordinary patch (3 files, 60 lines), whole process, median of 101: {:.1} ms",
        median.as_secs_f64() * 1e3
    );
}

fn measure_short(argv: &[&str]) -> Option<(Duration, bool)> {
    let start = Instant::now();
    let output = Command::new(argv[0])
        .args(&argv[1..])
        .current_dir(std::env::temp_dir())
        .output()
        .ok()?;
    Some((start.elapsed(), output.status.success()))
}

fn ordinary_patch() -> String {
    let file = |name: &str, line: &str| {
        let body: String = (0..20)
            .map(|number| format!("+{line} {number}\n"))
            .collect();
        format!(
            "diff --git a/{name} b/{name}\nnew file mode 100644\nindex {}..{}\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,20 @@\n{body}",
            "0".repeat(40),
            "1".repeat(40)
        )
    };
    file(
        "src/key.py",
        "    def token(self, password, http): return assert_equal(self.api_key,",
    ) + &file(
        "src/lib.rs",
        "pub fn fetch(key: &str, url: &str) -> Option<Secret> { None } //",
    ) + &file(
        "docs/guide.md",
        "Set the password and the token in your environment, then run the tests:",
    )
}
