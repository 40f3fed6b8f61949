//! What happens between the steps of a landing: the target moves, objects are swapped, an approval is
//! withdrawn, others land too, the process is killed. A git of our own in front of the real one is
//! called for each step, and acts there.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::moved::actions;
use crate::support::{Bench, Ran, program, ran};

/// A folder with a `git` that runs `before` and `after` around the real one. `$N` is the number of the
/// call, counted by folders as calls come at one time, `$*` its arguments, `$PPID` the process that lands.
fn in_front(bench: &Bench, before: &str, after: &str) -> PathBuf {
    let folder = bench.scratch("front");
    std::fs::create_dir_all(&folder).unwrap();
    let path = std::env::var("PATH").unwrap();
    let count = bench.scratch("count");
    let script = format!(
        "#!/bin/sh\nPATH='{path}'\nCOUNT='{}'\nN=$(($(ls \"$COUNT\" | wc -l) + 1))\nuntil mkdir \"$COUNT/$N\" 2>/dev/null; do N=$((N + 1)); done\n{before}\ngit \"$@\"\nCODE=$?\n{after}\nexit $CODE\n",
        count.display()
    );
    // A test may have put one there before, and its count.
    drop(std::fs::remove_dir_all(&count));
    std::fs::create_dir(&count).unwrap();
    let file = folder.join("git");
    std::fs::write(&file, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, mode).unwrap();
    folder
}

pub(crate) fn with_front(bench: &Bench, line: &[&str], before: &str, after: &str) -> Ran {
    let folder = in_front(bench, before, after);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = bench.command(line);
    ran(command.env("PATH", path).output().unwrap())
}

/// Runs something in the shell once, when a landing comes to this step.
pub(crate) fn at(step: &str, what: &str) -> String {
    format!(
        "case \" $* \" in *\" {step} \"*) [ -e \"$COUNT.once\" ] || {{ : > \"$COUNT.once\"; {what}; }} ;; esac"
    )
}

#[test]
fn a_target_that_moves_between_decision_and_merge_is_never_overwritten() {
    let bench = Bench::with_approved();
    let real = format!(
        "cd '{}' && git -c user.name=N -c user.email=e@x commit -q --allow-empty -m meanwhile",
        bench.root().display()
    );
    let run = with_front(&bench, &["run", "T-1"], &at("update-ref", &real), "");
    // What somebody else committed is there; the change was made anew on it and waits for a person.
    assert_eq!(
        bench.git(&["log", "-1", "--format=%s", "main"]),
        "meanwhile"
    );
    assert_eq!(run.expect(0)["task"]["state_after"], "pr", "{}", run.stderr);
    assert!(actions(&bench, "T-1").contains(&"TASK_REBASED".to_owned()));
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(
        bench.git(&["log", "-1", "--format=%s", "main^"]),
        "meanwhile"
    );
}

#[test]
fn an_approval_that_is_withdrawn_in_the_middle_stops_the_landing() {
    let bench = Bench::with_approved();
    let main = bench.git(&["rev-parse", "main"]);
    // It waits for the denial to be there, and not for the task to be blocked: the landing holds that.
    let deny = format!(
        "( cd '{}' && '{}' reject T-1 >/dev/null 2>&1 & ) ; until grep -q DENIED '{}'/approved/*; do sleep 0.02; done",
        bench.root().display(),
        program().display(),
        bench.queue().display()
    );
    let run = with_front(&bench, &["run", "T-1"], &at("commit-tree", &deny), "");
    assert_ne!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("denied exactly this change"),
        "{}",
        run.stderr
    );
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    // Whoever came first moved the task; it lies in one place.
    while !bench.task("blocked", "T-1").is_dir() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!bench.task("pr", "T-1").exists());
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn stop_in_the_middle_stops_the_landing() {
    let bench = Bench::with_approved();
    let main = bench.git(&["rev-parse", "main"]);
    let stop = format!(": > '{}/STOP'", bench.queue().display());
    let run = with_front(&bench, &["run", "T-1"], &at("unpack-objects", &stop), "");
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
}

#[test]
fn objects_that_are_swapped_land_nowhere() {
    // Before the landing, and while it is under way.
    for step in ["diff-tree", "pack-objects"] {
        let bench = Bench::new();
        // By hand: git would write the new file's bytes into the user's repository as well.
        let text = "diff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-echo 1\n+echo 2\n";
        let path = bench.patch_file("x.patch", text);
        bench.submit("T-1", "src/**");
        bench
            .baton(["run", "T-1", "--from", path.to_str().unwrap()])
            .expect(0);
        bench.baton(["approve", "T-1"]).expect(0);
        let main = bench.git(&["rev-parse", "main"]);
        let candidate = std::fs::read(bench.task("pr", "T-1").join("candidate.json")).unwrap();
        let candidate: Value = serde_json::from_slice(&candidate).unwrap();
        let tree = candidate["tree"].as_str().unwrap();
        let store = bench.queue().join("git");
        let blob = bench.git(&[
            "--git-dir",
            store.to_str().unwrap(),
            "rev-parse",
            &format!("{tree}:src/app.sh"),
        ]);
        bench.write("evil", "echo evil\n");
        let evil = bench.git(&["hash-object", "-w", "evil"]);
        std::fs::remove_file(bench.root().join("evil")).unwrap();
        let loose = |root: PathBuf, id: &str| root.join("objects").join(&id[..2]).join(&id[2..]);
        assert!(loose(store.clone(), &blob).is_file());
        let swap = format!(
            "chmod u+w '{0}'; cp '{1}' '{0}'",
            loose(store, &blob).display(),
            loose(bench.root().join(".git"), &evil).display()
        );
        let run = with_front(&bench, &["run", "T-1"], &at(step, &swap), "");
        assert_ne!(run.code, 0, "{step}: {}", run.stderr);
        assert_eq!(bench.git(&["rev-parse", "main"]), main, "{step}");
        assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo 1");
        bench.git(&["fsck", "--no-dangling"]);
    }
}

#[test]
fn a_branch_that_is_taken_away_at_once_stops_the_queue() {
    let bench = Bench::with_approved();
    let other = bench.git(&["commit-tree", "-m", "other", "main^{tree}"]);
    let away = format!(
        "git --git-dir '{}/.git' update-ref refs/heads/main {other}",
        bench.root().display()
    );
    let run = with_front(&bench, &["run", "T-1"], "", &at("update-ref", &away));
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.findings().contains(&"LANDED_TREE_DIFFERS".to_owned()));
    let stop = std::fs::read_to_string(bench.queue().join("STOP")).unwrap();
    assert!(stop.contains("should be in it"), "{stop}");
}

#[test]
fn a_landing_that_was_overtaken_moves_nothing() {
    let bench = Bench::with_approved();
    let main = bench.git(&["rev-parse", "main"]);
    let lock = bench.queue().join("landing.lock");
    // As if its lease had ended, and another landing had taken the lock over.
    let overtake = format!(
        "sed 's/\"fence\":[0-9]*/\"fence\":99999/' '{0}' > '{0}.new' && mv '{0}.new' '{0}'",
        lock.display()
    );
    let run = with_front(&bench, &["run", "T-1"], &at("commit-tree", &overtake), "");
    assert!(
        run.findings().contains(&"LANDING_FENCED".to_owned()),
        "{}",
        run.stdout
    );
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    assert!(
        bench.task("pr", "T-1").is_dir(),
        "what only waits is not blocked"
    );
    assert!(lock.exists(), "the other one's lock is left to it");
    // Its process is gone, so nobody has to wait for it.
    bench.baton(["run", "T-1"]).expect(0);
    assert!(!lock.exists());
}

#[test]
fn many_processes_land_the_same_and_other_tasks_each_once() {
    const TASKS: usize = 4;
    let bench = Bench::new();
    bench.policy(|policy| {
        policy["landing"]["carry_approvals"] = true.into();
        policy["landing"]["max_rebases"] = 10.into();
    });
    for number in 0..TASKS {
        bench.write(&format!("src/{number}.sh"), "echo 1\n");
    }
    bench.commit("files");
    let ids: Vec<_> = (0..TASKS).map(|number| format!("T-{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        bench.submit(id, "src/**");
        let path = format!("src/{number}.sh");
        let text = bench.patch(|root| std::fs::write(root.join(path), "echo 2\n").unwrap());
        let path = bench.patch_file(&format!("{id}.patch"), &text);
        bench
            .baton(["run", id, "--from", path.to_str().unwrap()])
            .expect(0);
        bench.baton(["approve", id]).expect(0);
    }
    let start = |id: &String| {
        let mut command = bench.command(["run", id]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let children: Vec<_> = ids.iter().chain(&ids).map(start).collect();
    for mut child in children {
        child.wait().unwrap();
    }
    // A second run of a task may have come too late, and a busy one is simply run again.
    for id in &ids {
        if !bench.task("done", id).is_dir() {
            bench.baton(["run", id]).expect(0);
        }
    }
    let landed = bench.git(&[
        "log",
        "--format=%(trailers:key=Baton-Task,valueonly)",
        "main",
    ]);
    let mut landed: Vec<_> = landed.lines().filter(|line| !line.is_empty()).collect();
    landed.sort_unstable();
    assert_eq!(landed, ids, "each once");
    for number in 0..TASKS {
        assert_eq!(
            bench.git(&["show", &format!("main:src/{number}.sh")]),
            "echo 2"
        );
    }
    for id in &ids {
        let ended = actions(&bench, id);
        assert_eq!(
            ended
                .iter()
                .filter(|action| *action == "CHANGE_LANDED")
                .count(),
            1
        );
        bench.baton(["verify", id]).expect(0);
    }
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    bench.baton(["audit", "verify"]).expect(0);
}

/// Lands T-1 with a process that is killed before the given call of git, then once more without.
fn killed_at(start: &Bench, call: usize) -> bool {
    let bench = start.copy();
    let before = bench.git(&["rev-parse", "main"]);
    let kill = format!("[ $N -eq {call} ] && {{ kill -9 $PPID; exit 1; }}");
    let line = ["pr-merge-orchestrator", "--task", "T-1", "--execute"];
    let run = with_front(&bench, &line, &kill, "");
    let killed = run.code == -1;
    if killed {
        bench.baton(["run", "T-1"]).expect(0);
    } else {
        run.expect(0);
    }
    assert!(bench.task("done", "T-1").is_dir(), "call {call}");
    assert_eq!(
        bench.git(&["rev-parse", "main^"]),
        before,
        "call {call}: not exactly once"
    );
    let head = bench.git(&["symbolic-ref", "-q", "HEAD"]);
    assert_eq!(head, "refs/heads/main", "call {call}");
    assert_eq!(bench.git(&["status", "--porcelain"]), "", "call {call}");
    let ended = actions(&bench, "T-1");
    let landed = ended.iter().filter(|action| *action == "CHANGE_LANDED");
    assert_eq!(landed.count(), 1, "call {call}");
    bench.baton(["audit", "verify"]).expect(0);
    killed
}

/// What comes after the last call of git, in `kills.rs`, is killed at moments of chance.
#[test]
fn a_landing_that_is_killed_at_any_call_of_git_is_finished_exactly_once() {
    let start = Bench::with_approved();
    let mut call = 1;
    while killed_at(&start, call) {
        call += 1;
    }
    assert!(
        call > 10,
        "a landing calls git more often than {call} times"
    );
}

#[test]
fn a_killed_landing_leaves_no_checkout_that_would_undo_it() {
    let bench = Bench::with_approved();
    // Killed right after the reference moved: the files are still those of before.
    let run = with_front(
        &bench,
        &["pr-merge-orchestrator", "--task", "T-1", "--execute"],
        "",
        &at("update-ref", "kill -9 $PPID; exit 1"),
    );
    assert_eq!(run.code, -1, "{}", run.stderr);
    assert_eq!(bench.git(&["status", "--porcelain"]), "M  src/app.sh");
    // Another task lands before anybody runs the first one again.
    let text = "diff --git a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# demo\n+# other\n";
    let path = bench.patch_file("x.patch", text);
    bench
        .baton([
            "submit", "--id", "T-3", "--title", "A change", "--goal", "x", "--allow", "**",
        ])
        .expect(0);
    bench
        .baton(["run", "T-3", "--from", path.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-3"]).expect(0);
    bench.baton(["run", "T-3"]).expect(0);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
}
