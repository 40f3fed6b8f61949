//! Which store a checkout follows, and what it refuses: one that was put away, is lost, is half a copy, or lies
//! where its key would be committed.

use serde_json::{Value, json};

use crate::place::{Place, databases};
use crate::support::Bench;

databases!(
    what_was_put_away_is_not_gone_back_to,
    one_machine_that_halts_is_not_all_of_them,
    a_copy_halts_until_a_person_lifts_it,
    a_queue_without_tasks_is_a_queue,
);

/// Lets the manifest name another store, in a commit of its own.
fn follow(bench: &Bench, address: &str) {
    let path = bench.root().join(".autodev_ssot/MANIFEST.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["store"] = address.into();
    std::fs::write(&path, manifest.to_string()).unwrap();
    bench.commit("the queue lies elsewhere");
}

fn moved(bench: &Bench, address: &str) {
    bench.baton(["stop"]).expect(0);
    bench.baton(["store", "copy", "--to", address]).expect(0);
    follow(bench, address);
    bench.baton(["init"]).expect(0);
    bench.baton(["resume"]).expect(0);
}

fn what_was_put_away_is_not_gone_back_to(place: &Place) {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    moved(&bench, &place.address);
    bench.git(&["checkout", "-q", "HEAD~1"]);
    let claimed = bench.baton(["claim-lock", "--next"]);
    assert_eq!(claimed.code, 1, "{claimed:?}");
    assert_eq!(claimed.findings(), ["STORE_UNTRUSTED"]);
    let chosen = bench.baton(["init"]).expect(1);
    assert_eq!(chosen["code"], "STORE_OTHER", "{chosen}");
    // It cannot be told to everybody from here.
    let halted = bench.baton(["stop"]).expect(5);
    assert_eq!(halted["everywhere"], false, "{halted}");
    let away = bench.baton([
        "store",
        "copy",
        "--from",
        "folder",
        "--to",
        "sqlite:../x.db",
    ]);
    assert_eq!(away.expect(1)["code"], "STORE_UNTRUSTED");
    bench.git(&["checkout", "-q", "main"]);
    bench.baton(["resume"]).expect(0);
    bench.baton(["audit", "verify"]).expect(0);
    // And back: the old folders have to go first, and then it is the database that was put away.
    bench.baton(["stop"]).expect(0);
    let full = bench.baton(["store", "copy", "--to", "folder"]).expect(1);
    assert_eq!(full["code"], "STORE_NOT_EMPTY");
    assert!(full["next"].to_string().contains(": inbox keys"), "{full}");
    for name in ["inbox", "keys", "order"] {
        let old = bench.scratch(&format!("old-{name}"));
        std::fs::rename(bench.queue().join(name), old).unwrap();
    }
    moved(&bench, "folder");
    follow(&bench, &place.address);
    let refused = bench.baton(["status"]).expect(1);
    assert_eq!(refused["code"], "STORE_UNTRUSTED", "{refused}");
}

fn one_machine_that_halts_is_not_all_of_them(place: &Place) {
    let bench = Bench::bare();
    bench.baton(["init", "--store", &place.address]).expect(0);
    std::fs::write(bench.queue().join("STOP"), "").unwrap();
    let copy = ["store", "copy", "--to", "sqlite:.autodev_queue/copy.db"];
    assert_eq!(bench.baton(copy).expect(1)["code"], "STOP_NEEDED");
    bench.baton(["stop"]).expect(0);
    bench.baton(copy).expect(0);
}

fn a_copy_halts_until_a_person_lifts_it(place: &Place) {
    let bench = Bench::bare();
    bench
        .baton(["init", "--store", "sqlite:.autodev_queue/queue.db"])
        .expect(0);
    bench.baton(["stop", "--reason", "moving"]).expect(0);
    bench
        .baton(["store", "copy", "--to", &place.address])
        .expect(0);
    follow(&bench, &place.address);
    bench.baton(["init"]).expect(0);
    assert_eq!(bench.baton(["stop-check"]).code, 4);
    let lifted = bench.baton(["resume"]).expect(0);
    assert_eq!(lifted["was_on"], true, "{lifted}");
    assert_eq!(bench.baton(["stop-check"]).code, 0);
}

/// Somebody was there first: its log would be mixed with this one.
fn a_queue_without_tasks_is_a_queue(place: &Place) {
    let theirs = Bench::bare();
    theirs.baton(["init", "--store", &place.address]).expect(0);
    let ours = Bench::new();
    ours.baton(["stop"]).expect(0);
    let refused = ours
        .baton(["store", "copy", "--to", &place.address])
        .expect(1);
    assert_eq!(refused["code"], "STORE_NOT_EMPTY", "{refused}");
}

#[test]
fn a_queue_that_is_lost_is_not_made_anew() {
    let bench = Bench::bare();
    let file = bench.queue().join("queue.db");
    let init = ["init", "--store", "sqlite:.autodev_queue/queue.db"];
    bench.baton(init).expect(0);
    bench.submit("T-1", "src/**");
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(bench.queue().join(format!("queue.db{end}")));
    }
    for line in [
        &["status"][..],
        &["init"],
        &init,
        &["status"],
        &["ops", "status"],
    ] {
        let refused = bench.baton(line).expect(1);
        assert_eq!(refused["code"], "STORE_MISSING", "{line:?}: {refused}");
        assert!(!file.exists(), "{line:?}");
    }
    // What is left of the old one was put away: a person wants a new one.
    std::fs::rename(bench.queue().join("audit"), bench.scratch("old")).unwrap();
    bench.baton(["init"]).expect(0);
    bench.baton(["status"]).expect(0);
}

#[test]
fn a_database_lies_where_git_does_not_take_it_up_and_no_task_lies() {
    let bench = Bench::bare();
    for path in ["queue.db", ".autodev_queue/inbox/q.db", "src/../src/q.db"] {
        let refused = bench.baton(["init", "--store", &format!("sqlite:{path}")]);
        let code = refused.json()["code"].clone();
        // The folder of the second is not there yet.
        assert!(
            code == "STORE_PLACE" || code == "STORE_UNREACHABLE",
            "{path}: {refused:?}"
        );
        assert_eq!(bench.git(&["status", "--porcelain"]), "", "{path}");
    }
    bench.write(".gitignore", "queue.db*\n");
    bench
        .baton(["init", "--store", "sqlite:queue.db"])
        .expect(0);
    bench.git(&["add", "-A"]);
    let staged = bench.git(&["diff", "--cached", "--name-only"]);
    assert!(!staged.contains("queue.db"), "{staged}");
    bench.baton(["stop"]).expect(0);
    let among = ["store", "copy", "--to", "sqlite:.autodev_queue/audit/q.db"];
    assert_eq!(bench.baton(among).expect(1)["code"], "STORE_PLACE");
    assert!(!bench.queue().join("audit/q.db").exists());
}

#[test]
fn a_store_that_cannot_be_used_leaves_nothing_behind() {
    let bench = Bench::bare();
    for address in [
        "postgres://baton@127.0.0.1:1/x",
        "sqlite:nowhere/q.db",
        "mysql:x",
    ] {
        let refused = bench.baton(["init", "--store", address]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(!bench.root().join(".autodev_ssot").exists(), "{address}");
        assert!(!bench.queue().exists(), "{address}");
    }
    bench.baton(["init", "--store", "folder"]).expect(0);
    // What was there before stays.
    let other = bench
        .baton(["init", "--store", "sqlite:nowhere/q.db"])
        .expect(1);
    assert_eq!(other["code"], "STORE_OTHER");
    assert_eq!(
        bench.baton(["status"]).expect(0)["counts"]["inbox"],
        json!(0)
    );
}
