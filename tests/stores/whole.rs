//! Whole programs over each store: the way of a task, single tools in a pipe, two checkouts, kills.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{Place, databases, everywhere, silence};
use crate::support::{Bench, program, ran};

mod all {
    use super::*;
    everywhere!(a_change_lands_and_is_verified, killed_runs_lose_no_task);
}
mod databases_only {
    use super::*;
    databases!(
        single_tools_hand_over_to_the_front_door,
        one_checkout_drafts_and_another_lands,
        a_policy_that_one_checkout_accepted_counts_for_all,
        a_queue_moves_to_a_database_and_goes_on,
        a_store_that_does_not_answer_halts_this_machine,
    );
}

fn bench(place: &Place) -> Bench {
    let bench = Bench::bare();
    bench.baton(["init", "--store", &place.address]).expect(0);
    bench.commit("ssot");
    bench
}

fn text(bench: &Bench, word: &str) -> String {
    bench.patch(|root| std::fs::write(root.join("src/app.sh"), format!("echo {word}\n")).unwrap())
}

fn land(bench: &Bench, id: &str) {
    bench.baton(["approve", id]).expect(0);
    let done = bench.baton(["run", id]).expect(0);
    assert_eq!(done["task"]["state_after"], "done", "{done}");
}

fn a_change_lands_and_is_verified(place: &Place) {
    let bench = bench(place);
    bench.waiting("T-1");
    land(&bench, "T-1");
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
    bench.baton(["status"]).expect(0);
    bench.baton(["show", "T-1"]).expect(0);
    let doctor = bench.baton(["doctor"]).json();
    let checks = doctor["checks"].as_array().unwrap().iter();
    let said: Vec<_> = checks.filter(|check| check["check"] == "store").collect();
    assert_eq!(said[0]["health"], "good", "{doctor}");
    let bundle = bench.scratch("T-1.bundle");
    bench
        .baton([
            "bundle".as_ref(),
            "T-1".as_ref(),
            "--out".as_ref(),
            bundle.as_os_str(),
        ])
        .expect(0);
    let key = std::fs::read_to_string(bench.root().join(".autodev_ssot/LOG_KEY.pub")).unwrap();
    let file = bundle.to_str().unwrap();
    // Somewhere else, with no repository and no way to the store.
    let mut stranger = bench.command(["verify", "--bundle", file, "--key", key.trim()]);
    let checked = ran(stranger.current_dir(bench.home()).output().unwrap());
    assert_eq!(checked.code, 0, "{checked:?}");
    assert_eq!(place.is_folder(), bench.queue().join("done/T-1").exists());
}

/// `baton run` is killed at moments that differ, and run again until the task is through.
fn killed_runs_lose_no_task(place: &Place) {
    let bench = bench(place);
    bench.submit("T-1", "src/**");
    let patch = bench.patch_file("T-1.patch", &text(&bench, "killed"));
    let arguments = [
        "run".as_ref(),
        "T-1".as_ref(),
        "--from".as_ref(),
        patch.as_os_str(),
    ];
    let mut killed = 0;
    for step in 1..=20_u64 {
        let mut child = bench
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(step * 23));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += u32::from(ended.is_none());
        if ended.is_some_and(|status| status.success()) {
            break;
        }
        bench.baton(["watchdog", "--once"]).expect(0);
    }
    bench.baton(arguments).expect(0);
    assert!(killed >= 5, "only {killed} runs were killed in the middle");
    let status = bench.baton(["status"]).expect(0);
    assert_eq!(status["counts"]["pr"], 1, "{status}");
    land(&bench, "T-1");
    bench.baton(["audit", "verify"]).expect(0);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
}

fn single_tools_hand_over_to_the_front_door(place: &Place) {
    let bench = bench(place);
    bench.submit("T-1", "src/**");
    let patch = bench.patch_file("T-1.patch", &text(&bench, "piped"));
    let folder = program().parent().unwrap().to_owned();
    let script = format!(
        "set -o pipefail; claim-lock --next | intake-validate | patch-draft --from {} | \
         diff-risk-scan | gate-runner | decision-router | audit-append",
        patch.display()
    );
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let piped = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(bench.root())
        .env_clear()
        .envs([("PATH", path.as_str()), ("USER", "tester")])
        .env("HOME", bench.home())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let envelope: Value = ran(piped).expect(0);
    assert_eq!(envelope["skill"], "audit-append", "{envelope}");
    let status = bench.baton(["status"]).expect(0);
    assert_eq!(status["counts"]["pr"], 1, "{status}");
    // Without the front door beside it a tool says what is missing.
    let alone = bench.scratch("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::copy(folder.join("queue-scan"), alone.join("queue-scan")).unwrap();
    let refused = std::process::Command::new(alone.join("queue-scan"))
        .current_dir(bench.root())
        .env_clear()
        .output()
        .unwrap();
    let refused = ran(refused);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(refused.findings(), ["STORE_UNKNOWN"]);
}

/// The second checkout never saw the patch: it makes the candidate again from base and canonical patch.
fn one_checkout_drafts_and_another_lands(place: &Place) {
    let first = bench(place);
    let second = first.copy();
    std::fs::remove_dir_all(second.queue()).unwrap();
    second.baton(["init"]).expect(0);
    first.waiting("T-1");
    let seen = second.baton(["status"]).expect(0);
    assert_eq!(seen["counts"]["pr"], 1, "{seen}");
    land(&second, "T-1");
    assert_eq!(second.git(&["show", "main:src/app.sh"]), "echo T-1");
    for bench in [&first, &second] {
        bench.baton(["audit", "verify"]).expect(0);
        assert_eq!(bench.baton(["status"]).expect(0)["counts"]["done"], 1);
    }
    second.baton(["verify", "T-1", "--strict"]).expect(0);
    // The first one never fetched the commit: that is no mismatch, and nothing that it could prove.
    first.baton(["verify", "T-1"]).expect(0);
    let unproven = first.baton(["verify", "T-1", "--strict"]).expect(1);
    assert!(unproven.to_string().contains("is not here"), "{unproven}");
    let second = second.root().display().to_string();
    first.git(&["fetch", "--quiet", &second, "main"]);
    first.git(&["merge", "--quiet", "--ff-only", "FETCH_HEAD"]);
    first.baton(["verify", "T-1", "--strict"]).expect(0);
}

fn a_policy_that_one_checkout_accepted_counts_for_all(place: &Place) {
    let first = bench(place);
    let second = first.copy();
    std::fs::remove_dir_all(second.queue()).unwrap();
    second.baton(["init"]).expect(0);
    let path = first.root().join(".autodev_ssot/POLICY.json");
    let mut policy: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    policy["caps"]["lease_seconds"] = 901.into();
    std::fs::write(&path, policy.to_string()).unwrap();
    first.baton(["policy", "accept"]).expect(0);
    first.commit("another policy");
    first.submit("T-1", "src/**");
    let behind = second.baton(["claim-lock", "--task", "T-1"]);
    assert_eq!(behind.findings(), ["POLICY_NOT_ACCEPTED"]);
    assert!(behind.stdout.contains("git pull"), "{}", behind.stdout);
    let first = first.root().display().to_string();
    second.git(&["fetch", "--quiet", &first, "main"]);
    second.git(&["merge", "--quiet", "--ff-only", "FETCH_HEAD"]);
    second.baton(["claim-lock", "--task", "T-1"]).expect(0);
}

fn a_queue_moves_to_a_database_and_goes_on(place: &Place) {
    let bench = Bench::new();
    bench.waiting("T-1");
    let early = bench.baton(["store", "copy", "--to", &place.address]);
    assert_eq!(early.expect(1)["code"], "STOP_NEEDED");
    bench.baton(["stop"]).expect(0);
    let copied = bench
        .baton(["store", "copy", "--to", &place.address])
        .expect(0);
    assert_eq!(copied["tasks"], 1, "{copied}");
    let path = bench.root().join(".autodev_ssot/MANIFEST.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["store"] = place.address.clone().into();
    std::fs::write(&path, manifest.to_string()).unwrap();
    bench.commit("the queue lies in a database");
    let unsaid = bench.baton(["status"]);
    assert_eq!(unsaid.expect(1)["code"], "STORE_UNTRUSTED");
    bench.baton(["init"]).expect(0);
    bench.baton(["resume"]).expect(0);
    assert_eq!(
        bench.baton(["store", "show"]).expect(0)["store"],
        place.address
    );
    bench.baton(["store", "migrate"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
    // The commit of the manifest moved the target, so the candidate is made anew before it is approved.
    bench.baton(["run", "T-1"]).expect(0);
    land(&bench, "T-1");
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    assert!(
        bench.queue().join("pr/T-1").exists(),
        "the old queue is as it was"
    );
}

fn a_store_that_does_not_answer_halts_this_machine(place: &Place) {
    let bench = bench(place);
    let silent = silence(place);
    let began = Instant::now();
    let said = bench.baton(["stop"]).expect(5);
    assert!(began.elapsed() < Duration::from_secs(15), "{said}");
    assert_eq!(said["everywhere"], false, "{said}");
    assert!(bench.queue().join("STOP").exists());
    drop(silent);
    bench.baton(["stop"]).expect(0);
    bench.baton(["resume"]).expect(0);
    bench.baton(["stop-check"]).expect(0);
}
