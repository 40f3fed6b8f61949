//! `make bench-gates`: what a gate costs beyond its command, beside git doing the same by the ways that
//! other runners take. Everything is made on the spot; medians of the rounds, in one run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and one that cannot go on ends"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use baton_core::candidate;
use baton_core::git::{ObjectStore, Repository};
use baton_core::policy::Policy;
use baton_sandbox::{Profile, Sandbox, enter_if_called};

const FILES: usize = 4_000;
const ROUNDS: usize = 15;

fn main() {
    enter_if_called();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repo = folder.path().join("repo");
    make_repository(&repo);
    println!("{FILES} files; medians of {ROUNDS} rounds\n");
    println!("| what | ms | beside | ms |\n|---|---|---|---|");
    walls(folder.path());
    trees(folder.path(), &repo);
    built_in(folder.path(), &repo);
}

fn walls(folder: &Path) {
    let tree = folder.join("empty");
    std::fs::create_dir(&tree).unwrap();
    let profile = Profile::new(&tree, vec!["/bin/true".to_owned()]);
    let sandbox = Sandbox::this_program().expect("this program is its own second stage");
    let (walled, bare) = paired(
        || {
            let outcome = sandbox.run(&profile, &|| false).expect("walls");
            assert!(outcome.ended_by.is_success());
        },
        || {
            Command::new("/bin/true").status().unwrap();
        },
    );
    row(
        "true behind I3 walls, canary included",
        walled,
        "true bare",
        bare,
    );
    let cost = walled.saturating_sub(bare);
    println!("| what the walls cost | {} | asked: under | 15 |", ms(cost));
}

fn trees(folder: &Path, repo: &Path) {
    let patch = patch(repo, 8);
    let repository = Repository::open(repo).unwrap();
    let base = repository.commit("HEAD").unwrap();
    let policy = policy(repo);
    let limits = candidate::limits(&policy);
    let store = ObjectStore::open(&folder.join("objects"), &repository).unwrap();
    let mut tree = None;
    let index = folder.join("index");
    let git = |arguments: &[&str], input: &[u8]| {
        run(
            Command::new("git")
                .args(arguments)
                .current_dir(repo)
                .env("GIT_INDEX_FILE", &index),
            input,
        )
    };
    let (ours, bare) = paired(
        || {
            tree = Some(
                candidate::propose(&store, &base, &patch, &limits)
                    .unwrap()
                    .tree,
            )
        },
        || {
            git(&["read-tree", "HEAD"], b"");
            git(&["apply", "--cached", "-"], &patch);
            git(&["write-tree"], b"");
        },
    );
    row(
        "tree id and canonical patch, read twice",
        ours,
        "read-tree, apply, write-tree",
        bare,
    );
    let tree = tree.unwrap();
    let mut number = 0;
    let mut next = || {
        number += 1;
        folder.join(format!("tree-{number}"))
    };
    let mut place = PathBuf::new();
    let (checkout, worktree) = paired_with(
        || {
            let place = next();
            std::fs::create_dir(&place).unwrap();
            let time = timed(|| store.check_out(&tree, &place).unwrap());
            std::fs::remove_dir_all(place).unwrap();
            time
        },
        || {
            place = folder.join("worktree");
            let path = place.to_str().unwrap();
            let time = timed(|| git(&["worktree", "add", "-q", "--detach", path], b""));
            git(&["worktree", "remove", "--force", path], b"");
            time
        },
    );
    row(
        "fresh tree of the candidate",
        checkout,
        "git worktree add",
        worktree,
    );
    println!(
        "| the share of it | {:.2} | asked: under | 1.2 |",
        checkout.as_secs_f64() / worktree.as_secs_f64()
    );
}

fn built_in(folder: &Path, repo: &Path) {
    let patch = patch(repo, 40);
    let lines = patch
        .split(|byte| *byte == b'\n')
        .filter(|line| line.first() == Some(&b'+'))
        .count();
    let path = folder.join("long.patch");
    std::fs::write(&path, patch).unwrap();
    let runner =
        PathBuf::from(std::env::var_os("BATON_BIN").expect("BATON_BIN names the built programs"))
            .join("gate-runner");
    let runs = |more: &[&str]| {
        let mut command = Command::new(&runner);
        command
            .args(["--base", "HEAD", "--patch"])
            .arg(&path)
            .args(more)
            .current_dir(repo);
        run(&mut command, b"")
    };
    let (all, planned) = paired(
        || drop(runs(&["--only", "G0,G1,G2,G3,G6"])),
        || drop(runs(&["--plan"])),
    );
    row(
        &format!("the built-in gates, whole process, {lines} lines added"),
        all,
        "the same up to the candidate: policy, rules, trees",
        planned,
    );
    let cost = all.saturating_sub(planned);
    println!("| what the gates cost | {} | asked: under | 50 |", ms(cost));
}

/// Eight lines in each of so many files are changed, and one file is added.
fn patch(repo: &Path, files: usize) -> Vec<u8> {
    for number in 0..files {
        let path = repo.join(format!("src/part{}/file{number}.txt", number % 40));
        let text = std::fs::read_to_string(&path).unwrap();
        let more: String = (0..25)
            .map(|line| format!("another line {number} {line}\n"))
            .collect();
        std::fs::write(path, format!("{more}{text}")).unwrap();
    }
    std::fs::write(repo.join("src/new.txt"), "new\n").unwrap();
    git(repo, &["add", "-A"]);
    let patch = run(
        Command::new("git")
            .args([
                "diff",
                "--cached",
                "--binary",
                "--full-index",
                "--no-renames",
            ])
            .current_dir(repo),
        b"",
    );
    git(repo, &["reset", "-q", "--hard"]);
    patch
}

fn make_repository(repo: &Path) {
    for number in 0..FILES {
        let path = repo.join(format!("src/part{}/file{number}.txt", number % 40));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text: String = (0..80)
            .map(|line| format!("file {number} line {line}\n"))
            .collect();
        std::fs::write(path, text).unwrap();
    }
    git(repo, &["init", "-q", "-b", "main"]);
    git(repo, &["config", "user.name", "Bench"]);
    git(repo, &["config", "user.email", "bench@baton.example"]);
    let ssot = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ssot");
    let place = repo.join(".autodev_ssot");
    std::fs::create_dir(&place).unwrap();
    for name in ["POLICY.json", "SECRET_RULES.toml"] {
        std::fs::copy(ssot.join(name), place.join(name)).unwrap();
    }
    git(repo, &["add", "-A"]);
    git(repo, &["commit", "-q", "-m", "first"]);
}

fn policy(repo: &Path) -> Policy {
    Policy::parse(&std::fs::read(repo.join(".autodev_ssot/POLICY.json")).unwrap()).unwrap()
}

fn git(repo: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .args(arguments)
        .current_dir(repo)
        .status()
        .unwrap();
    assert!(status.success(), "git {arguments:?}");
}

fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    drop(work());
    began.elapsed()
}

/// Both in turn, so that what slows the machine slows both.
fn paired(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (Duration, Duration) {
    paired_with(|| timed(&mut ours), || timed(&mut theirs))
}

fn paired_with(
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    let (mut a, mut b): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (ours(), theirs())).unzip();
    a.sort_unstable();
    b.sort_unstable();
    (a[ROUNDS / 2], b[ROUNDS / 2])
}

fn row(what: &str, ours: Duration, beside: &str, theirs: Duration) {
    println!("| {what} | {} | {beside} | {} |", ms(ours), ms(theirs));
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
