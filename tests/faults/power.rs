//! The power goes: the image of a file system is copied while it is mounted, and what was synced is in it (the
//! drive's own cache is taken to be kept). What was acknowledged is there on the copy, in one state.

use std::path::Path;
use std::process::Command;

use crate::disks::{Mount, command};
use crate::queue::{SQLITE, count, is_whole, number};
use crate::support::Bench;

macro_rules! cut {
    ($($name:ident: $kind:literal),* $(,)?) => {
        mod folder {
            $(#[test]
            #[ignore = "mounts images of file systems: make faults"]
            fn $name() { super::acknowledged_work_is_there_after_a_power_cut($kind, "folder"); })*
        }
        mod sqlite {
            $(#[test]
            #[ignore = "mounts images of file systems: make faults"]
            fn $name() { super::acknowledged_work_is_there_after_a_power_cut($kind, super::SQLITE); })*
        }
    };
}

cut!(ext4: "ext4", xfs: "xfs", btrfs: "btrfs");

/// The queue's file system, as it is now, in place of the one that goes on.
fn cut(mount: Mount, image: &Path, place: &Path) -> Mount {
    let copy = image.with_extension("copy");
    // A copy takes a while, and the file system may write meanwhile. No moment looked like that copy; one
    // that is still the same as the image afterwards is of one moment.
    let mut tries = 0..20;
    let is_of_one_moment = tries.any(|_| {
        let mut copies = Command::new("cp");
        copies.arg("--sparse=always").args([image, &copy]);
        command(&mut copies).unwrap();
        command(Command::new("cmp").args([image, &copy])).is_ok()
    });
    drop(mount);
    assert!(is_of_one_moment, "{} never rests", image.display());
    std::fs::rename(&copy, image).unwrap();
    Mount::new(&["-o", "loop"], &image.to_string_lossy(), place).unwrap()
}

fn acknowledged_work_is_there_after_a_power_cut(kind: &str, address: &str) {
    let most = number("BATON_PUTS", 50);
    let bench = Bench::bare();
    let image = bench.scratch("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(400 << 20)
        .unwrap();
    let made = command(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
    let mounted =
        made.and_then(|()| Mount::new(&["-o", "loop"], &image.to_string_lossy(), &bench.queue()));
    let mut mount = match mounted {
        Ok(mount) => mount,
        Err(why) => return eprintln!("not run: {kind}: {why}"),
    };
    bench.baton(["init", "--store", address]).expect(0);
    bench.commit("ssot");
    command(&mut Command::new("sync")).unwrap();
    (0..most).for_each(|number| bench.submit(&format!("T-{number}"), "src/**"));
    mount = cut(mount, &image, &bench.queue());
    let put = there(&bench, "inbox");
    for number in 0..most {
        let id = format!("T-{number}");
        bench
            .baton(["claim-lock", "--task", &id, "--owner", "me"])
            .expect(0);
    }
    mount = cut(mount, &image, &bench.queue());
    let claimed = there(&bench, "claimed");
    let lines = count(&bench, "TASK_CLAIMED");
    drop(mount);
    eprintln!(
        "{kind}, {address}: {put} of {most} puts, {claimed} of {most} claims, {lines} lines of claims"
    );
    assert_eq!((put, claimed), (most, most));
}

/// How many lie in this state after the recovery, and none in two.
fn there(bench: &Bench, state: &str) -> u64 {
    let watched = bench.baton(["watchdog", "--once"]).expect(0);
    eprintln!("acts of the watchdog: {}", watched["acts"]);
    is_whole(bench).unwrap();
    bench.baton(["audit", "verify"]).expect(0);
    let status = bench.baton(["status"]).expect(0);
    let tasks = status["tasks"].as_array().unwrap();
    let mut ids: Vec<_> = tasks
        .iter()
        .map(|task| task["task_id"].as_str().unwrap())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "a task lies in two states");
    status["counts"][state].as_u64().unwrap()
}
