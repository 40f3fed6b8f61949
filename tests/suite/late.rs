//! The rescue race: an owner who finishes after the watchdog gave its task to another.

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use baton_core::clock::Moment;
use baton_core::envelope::ArtifactKind;
use baton_core::state::State;
use baton_core::store::{Store, Watch};
use baton_core::task::TaskId;
use serde_json::Value;

use crate::support::Bench;

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut all: Vec<_> = files
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    all.sort();
    all
}

/// The owner writes and moves again and again, with the number it once had, while the watchdog takes the
/// task back and gives it to another: whatever comes first, nothing changes for the other one.
#[test]
fn an_owner_who_finishes_late_changes_nothing_for_the_next_one() {
    const ROUNDS: usize = 40;
    let bench = Bench::new();
    let (mut before, mut after) = (0, 0);
    for round in 0..ROUNDS {
        let id = format!("T-{round}");
        bench.submit(&id, "src/**");
        bench
            .baton([
                "claim-lock",
                "--task",
                &id,
                "--owner",
                "anna",
                "--lease",
                "1ms",
            ])
            .expect(0);
        let both = Barrier::new(2);
        let task = TaskId::parse(&id).unwrap();
        let (moved, seen) = std::thread::scope(|scope| {
            let late = scope.spawn(|| late_owner(&bench, &task, &both, round));
            let next = scope.spawn(|| next_owner(&bench, &task, &both));
            (late.join().unwrap(), next.join().unwrap())
        });
        let folder = bench.task("claimed", &id);
        assert!(folder.is_dir(), "{id}: the late owner moved it");
        assert_eq!(contents(&folder), seen, "{id}: the late owner changed it");
        let held: Value =
            serde_json::from_slice(&std::fs::read(folder.join(".lock")).unwrap()).unwrap();
        assert_eq!(held["owner"], "bert", "{id}");
        if moved { before += 1 } else { after += 1 }
    }
    assert!(
        after > 0,
        "the owner was never late: {before} of {ROUNDS} came first"
    );
}

/// Goes on until it is refused; says whether its first move was made.
fn late_owner(bench: &Bench, id: &TaskId, both: &Barrier, round: usize) -> bool {
    let store = Store::open(&bench.root()).unwrap();
    let mut task = store.task(id).unwrap();
    let fence = task.lease().unwrap().map(|lease| lease.fence);
    task.bind(fence);
    both.wait();
    std::thread::sleep(Duration::from_micros(300 * (round as u64 % 12)));
    let mut moved = false;
    for number in 0..2000 {
        // Leaves the others a gap, as work between two writes does.
        std::thread::sleep(Duration::from_micros(500));
        let written = task.write_new(ArtifactKind::Other, &format!("late-{number}"), b"late");
        let went = written.and_then(|_| match moved {
            true => Ok(()),
            false => store.transition(&mut task, State::Work, fence, false),
        });
        match went {
            Ok(()) => moved = true,
            Err(problem) => {
                assert_eq!(problem.code, "LEASE_LOST", "{problem}");
                return moved;
            }
        }
    }
    panic!("{id}: nobody ever refused the late owner")
}

/// Takes the task back until that has come about, claims it, and says what it got.
fn next_owner(bench: &Bench, id: &TaskId, both: &Barrier) -> Vec<(String, Vec<u8>)> {
    let store = Store::open(&bench.root()).unwrap();
    both.wait();
    while store.find(id).unwrap() != Some(State::Inbox) {
        let watch = Watch {
            store: &store,
            approvals: Vec::new(),
            max_attempts: 3,
            length: Duration::from_secs(60),
            now: Moment::now() + Duration::from_secs(1),
            plan: false,
        };
        watch.pass(&|| Ok(())).unwrap();
    }
    let line = [
        "claim-lock",
        "--task",
        id.as_str(),
        "--owner",
        "bert",
        "--lease",
        "1h",
    ];
    bench.baton(line).expect(0);
    contents(&bench.task("claimed", id.as_str()))
}
