//! `make bench`: whole-process times, taken in turn with `/bin/true` and other programs, so that a
//! noisy machine disturbs all of them alike. Prints figures; fails only when a program fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rounds after one that warms up.
const ROUNDS: usize = 200;

struct Subject {
    name: String,
    argv: Vec<String>,
    times: Vec<Duration>,
}

fn main() {
    let programs = PathBuf::from(std::env::var("BATON_BIN").unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let repository = set_up(scratch.path(), &programs);
    startup(&repository, &programs);
    queue(&repository, &programs);
}

fn startup(repository: &Path, programs: &Path) {
    let mut subjects = vec![
        subject("/bin/true", &["/bin/true"]),
        subject("git --version", &["git", "--version"]),
    ];
    for skill in baton::SKILLS {
        let program = programs.join(skill.name).to_string_lossy().into_owned();
        subjects.push(subject(
            &format!("{} --version", skill.name),
            &[&program, "--version"],
        ));
    }
    let stop_check = programs.join("stop-check").to_string_lossy().into_owned();
    let queue_scan = programs.join("queue-scan").to_string_lossy().into_owned();
    subjects.push(subject("stop-check (real run)", &[&stop_check]));
    subjects.push(subject("queue-scan (real run, 100 tasks)", &[&queue_scan]));
    for round in 0..=ROUNDS {
        for subject in &mut subjects {
            let started = Instant::now();
            run(repository, &subject.argv);
            if round > 0 {
                subject.times.push(started.elapsed());
            }
        }
    }
    let floor = median(&mut subjects[0].times);
    let target = floor * 2 + Duration::from_millis(1);
    println!(
        "start-up, {ROUNDS} rounds in turn; the target is twice /bin/true plus 1 ms = {:.2} ms",
        millis(target)
    );
    println!(
        "{:<34} {:>10} {:>8}  within the target",
        "program", "median ms", "x true"
    );
    for subject in &mut subjects {
        let middle = median(&mut subject.times);
        let within = if middle <= target { "yes" } else { "NO" };
        println!(
            "{:<34} {:>10.2} {:>8.2}  {within}",
            subject.name,
            millis(middle),
            middle.as_secs_f64() / floor.as_secs_f64()
        );
    }
}

/// 100 claims, one process each, durable; and the log they leave, verified.
fn queue(repository: &Path, programs: &Path) {
    let claim = programs.join("claim-lock").to_string_lossy().into_owned();
    let started = Instant::now();
    for _ in 0..100 {
        run(
            repository,
            &[
                claim.clone(),
                "--next".to_owned(),
                "--owner".to_owned(),
                "bench".to_owned(),
            ],
        );
    }
    println!(
        "\n100 durable claims, one process each: {:.2} ms a claim",
        millis(started.elapsed()) / 100.0
    );
    let baton = programs.join("baton").to_string_lossy().into_owned();
    let started = Instant::now();
    run(
        repository,
        &[baton, "audit".to_owned(), "verify".to_owned()],
    );
    println!(
        "audit verify over their log: {:.2} ms",
        millis(started.elapsed())
    );
}

fn subject(name: &str, argv: &[&str]) -> Subject {
    Subject {
        name: name.to_owned(),
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        times: Vec::new(),
    }
}

fn run(folder: &Path, argv: &[String]) {
    let status = Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{argv:?}: {error}"));
    assert!(status.success(), "{argv:?} ended with {status}");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A repository with a queue of 100 tasks.
fn set_up(scratch: &Path, programs: &Path) -> PathBuf {
    let repository = scratch.join("repo");
    std::fs::create_dir(&repository).unwrap();
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    run(&repository, &words("git init -q -b main"));
    run(
        &repository,
        &words(
            "git -c user.name=bench -c user.email=bench@baton.example commit -q --allow-empty -m first",
        ),
    );
    let baton = programs.join("baton").to_string_lossy().into_owned();
    run(&repository, &[baton, "init".to_owned()]);
    for number in 0..100 {
        let folder = repository.join(format!(".autodev_queue/inbox/T-{number:03}"));
        std::fs::create_dir(&folder).unwrap();
        let task = format!(
            "{{\"task_id\":\"T-{number:03}\",\"title\":\"t\",\"goal\":\"g\",\"scope\":{{\"allow_patch_on_files\":[\"a\"]}}}}"
        );
        std::fs::write(folder.join("task.json"), task).unwrap();
    }
    repository
}
