//! Idempotency keys: under one key there is one task, however it comes.

use serde_json::json;

use crate::support::Bench;

fn next(bench: &Bench) -> String {
    bench.baton(["claim-lock", "--next"]).expect(0)["task"]["task_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A task file with an idempotency key, as it is dropped into the inbox.
fn drop_in(bench: &Bench, name: &str, id: &str, goal: &str) {
    let task = json!({"task_id": id, "title": "t", "goal": goal, "idempotency_key": "k-1",
        "scope": {"allow_patch_on_files": ["a"]}});
    std::fs::write(bench.queue().join("inbox").join(name), task.to_string()).unwrap();
}

#[test]
fn a_key_brings_the_first_task_back_and_refuses_other_content() {
    let bench = Bench::new();
    let line = |goal: &'static str| {
        [
            "submit", "--title", "t", "--goal", goal, "--allow", "a", "--key", "k-1",
        ]
    };
    let first = bench.baton(line("g")).expect(0);
    let again = bench.baton(line("g")).expect(0);
    assert_eq!(
        (first["task_id"].as_str(), again["known"].as_bool()),
        (again["task_id"].as_str(), Some(true))
    );
    assert_eq!(
        bench.baton(line("other")).json()["code"],
        "IDEMPOTENCY_CONFLICT"
    );
    assert_eq!(
        std::fs::read_dir(bench.queue().join("inbox"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn keys_that_were_lost_are_made_again_from_the_tasks() {
    let bench = Bench::new();
    let line = |goal: &'static str| {
        let line = ["submit", "--title", "t", "--goal", goal, "--allow", "a"];
        [&line[..], &["--key", "k-1"]].concat()
    };
    let first = bench.baton(line("g")).expect(0)["task_id"].clone();
    std::fs::remove_dir_all(bench.queue().join("keys")).unwrap();
    std::fs::create_dir(bench.queue().join("keys")).unwrap();
    let again = bench.baton(line("g")).expect(0);
    assert_eq!((&again["task_id"], &again["known"]), (&first, &json!(true)));
    let other = bench.baton(line("other")).json();
    assert_eq!(other["code"], "IDEMPOTENCY_CONFLICT");
}

#[test]
fn a_key_counts_for_dropped_files_too() {
    let bench = Bench::new();
    drop_in(&bench, "one.json", "T-1", "g");
    assert_eq!(next(&bench), "T-1");
    // The same again, under another id, and something else.
    drop_in(&bench, "again.json", "T-2", "g");
    drop_in(&bench, "other.json", "T-3", "another");
    assert_eq!(bench.baton(["claim-lock", "--next"]).code, 1);
    let names = |state: &str| {
        std::fs::read_dir(bench.queue().join(state))
            .unwrap()
            .count()
    };
    assert_eq!(
        (names("inbox"), names("claimed"), names("blocked")),
        (0, 1, 1)
    );
    let events = crate::worker::events(&bench, "T-1");
    let skipped = events
        .iter()
        .find(|event| event["action"] == "TASK_SKIPPED");
    assert_eq!(skipped.unwrap()["meta"]["loose_file"], "again.json");
    let line = [
        "submit", "--title", "t", "--goal", "g", "--allow", "a", "--key", "k-1",
    ];
    let ran = bench.baton(line).expect(0);
    assert_eq!(
        (&ran["task_id"], &ran["known"]),
        (&json!("T-1"), &json!(true))
    );
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn a_key_of_a_task_that_never_came_is_free_and_then_stays_with_the_new_one() {
    let bench = Bench::new();
    let line = [
        "submit", "--title", "t", "--goal", "g", "--allow", "a", "--key", "k-1",
    ];
    let first = bench.baton(line).expect(0)["task_id"].clone();
    std::fs::remove_dir_all(bench.task("inbox", first.as_str().unwrap())).unwrap();
    let second = bench.baton(line).expect(0);
    assert_eq!(second["known"], false);
    let third = bench.baton(line).expect(0);
    assert_eq!(
        (&third["task_id"], &third["known"]),
        (&second["task_id"], &json!(true))
    );
}

#[test]
fn a_task_whose_key_is_done_is_skipped_at_pick_and_said_to_be() {
    let bench = Bench::new();
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let patch = bench.patch_file("fix", &patch);
    let line = [
        "submit", "--id", "T-1", "--title", "t", "--goal", "g", "--allow", "src/**", "--key", "k-1",
    ];
    bench.baton(line).expect(0);
    // A second folder of that key, as no command makes it.
    let twin = bench.task("inbox", "T-2");
    let task = std::fs::read_to_string(bench.task("inbox", "T-1").join("task.json")).unwrap();
    std::fs::create_dir(&twin).unwrap();
    std::fs::write(twin.join("task.json"), task.replace("T-1", "T-2")).unwrap();
    let stuck = || {
        let said = bench.baton(["status"]).expect(0)["stuck"].clone();
        let codes = said
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["code"].clone());
        codes.collect::<Vec<_>>()
    };
    assert!(!stuck().contains(&json!("KEY_DONE")));
    bench
        .baton(["run", "T-1", "--from", patch.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(
        bench.baton(["claim-lock", "--next"]).findings(),
        ["TASK_NOT_FOUND"]
    );
    assert!(twin.is_dir() && stuck().contains(&json!("KEY_DONE")));
    bench.submit("T-3", "src/**");
    assert_eq!(next(&bench), "T-3");
    // By its name a person takes it all the same.
    bench.baton(["claim-lock", "--task", "T-2"]).expect(0);
}

/// Somebody who writes a file piece by piece is waited for; a file that stays half is nobody's task.
#[test]
fn a_file_that_is_only_begun_is_left_until_it_is_whole() {
    let bench = Bench::new();
    drop_in(&bench, "one.json", "T-1", "g");
    let path = bench.queue().join("inbox/one.json");
    let whole = std::fs::read(&path).unwrap();
    for begun in [&b""[..], &whole[..whole.len() / 2]] {
        std::fs::write(&path, begun).unwrap();
        assert_eq!(bench.baton(["claim-lock", "--next"]).code, 1);
        assert!(path.exists(), "it was taken in by half");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(next(&bench), "T-1");
    std::fs::write(&path, "{").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(old).unwrap();
    assert_eq!(bench.baton(["claim-lock", "--next"]).code, 1);
    assert!(!path.exists());
    bench.baton(["audit", "verify"]).expect(0);
}
