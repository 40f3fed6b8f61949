//! What is decided on real changes, what gates see, and what keeps a change from landing.

use crate::changes::{rules, take, write};
use crate::support::Bench;

#[test]
fn an_approved_candidate_lands_and_the_clean_checkout_follows() {
    let bench = Bench::with_waiting();
    let before = bench.git(&["rev-parse", "HEAD"]);
    bench.baton(["approve", "T-1"]).expect(0);
    let done = bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(done["decision"], "AUTO_MERGE");
    assert_eq!(bench.git(&["rev-parse", "HEAD^"]), before);
    assert_eq!(
        std::fs::read_to_string(bench.root().join("src/app.sh")).unwrap(),
        "echo T-1\n"
    );
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    let message = bench.git(&["log", "-1", "--format=%B"]);
    for trailer in [
        "Baton-Task: T-1",
        "Baton-Decision: AUTO_MERGE",
        "Baton-Event: EVT-",
    ] {
        assert!(message.contains(trailer), "{message}");
    }
    assert_eq!(
        bench.baton(["verify", "T-1"]).expect(0)["status"],
        "VERIFIED"
    );
}

#[test]
fn without_an_approval_nothing_lands() {
    let bench = Bench::with_waiting();
    let before = bench.git(&["rev-parse", "main"]);
    bench.baton(["run", "T-1"]).expect(0);
    let refused = bench.baton(["pr-merge-orchestrator", "--task", "T-1", "--execute"]);
    refused.expect(3);
    assert!(refused.findings().contains(&"APPROVAL_REQUIRED".to_owned()));
    assert_eq!(bench.git(&["rev-parse", "main"]), before);
}

#[test]
fn a_lockfile_becomes_a_branch_for_review() {
    let bench = Bench::new();
    let main = bench.git(&["rev-parse", "main"]);
    let done = take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    assert_eq!(done["decision"], "PR_ONLY");
    assert_eq!(rules(&bench, "T-1"), ["D5", "D7"]);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
    assert_eq!(bench.git(&["rev-parse", "baton/T-1^"]), main);
    assert_eq!(bench.git(&["show", "baton/T-1:Cargo.lock"]), "version = 4");
    assert_eq!(
        bench.baton(["verify", "T-1"]).expect(0)["status"],
        "VERIFIED"
    );
}

#[test]
fn what_a_task_does_not_allow_is_stopped_with_an_incident() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let text = bench.patch(write("README.md", "# other\n"));
    let path = bench.patch_file("x.patch", &text);
    let ran = bench.baton(["run", "T-1", "--from", path.to_str().unwrap()]);
    let envelope = ran.expect(4);
    assert_eq!(
        (
            envelope["skill"].as_str(),
            envelope["data"]["severity"].as_str()
        ),
        (Some("incident-brief"), Some("SEV1"))
    );
    assert!(rules(&bench, "T-1").contains(&"D2".to_owned()));
    let report =
        std::fs::read_to_string(bench.task("blocked", "T-1").join("incident/incident.md")).unwrap();
    assert!(report.contains("README.md"), "{report}");
}

#[test]
fn deleting_and_emptying_are_stopped_and_a_protected_zone_is_for_people() {
    let bench = Bench::new();
    assert_eq!(
        take(&bench, "T-1", |root| std::fs::remove_file(
            root.join("README.md")
        )
        .unwrap())
        .code,
        4
    );
    assert_eq!(take(&bench, "T-2", write("README.md", "")).code, 4);
    let done = take(&bench, "T-3", write("AGENTS.md", "obey\n")).expect(0);
    assert_eq!(done["decision"], "PR_ONLY");
    assert!(rules(&bench, "T-3").contains(&"D5".to_owned()));
}

#[test]
fn a_dirty_checkout_is_left_alone_and_said_so() {
    let bench = Bench::with_approved();
    let before = bench.git(&["rev-parse", "main"]);
    bench.write("README.md", "my own words\n");
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(
        ran.findings().contains(&"CHECKOUT_LEFT_ALONE".to_owned()),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("git switch --no-overwrite-ignore main"),
        "{}",
        ran.stderr
    );
    assert_eq!(bench.git(&["rev-parse", "main^"]), before);
    // What git shows is the user's own change and nothing else, so no commit can undo the landing.
    assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
    assert_eq!(bench.git(&["rev-parse", "HEAD"]), before);
    assert_eq!(read(&bench, "src/app.sh"), "echo 1\n");
    bench.git(&["switch", "-q", "--no-overwrite-ignore", "main"]);
    assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
    assert_eq!(read(&bench, "README.md"), "my own words\n");
    assert_eq!(read(&bench, "src/app.sh"), "echo T-1\n");
}

fn read(bench: &Bench, path: &str) -> String {
    std::fs::read_to_string(bench.root().join(path)).unwrap()
}

#[test]
fn a_worktree_of_the_target_follows_when_clean_and_is_left_alone_when_not() {
    let bench = Bench::new();
    bench.git(&["checkout", "-q", "-b", "mine"]);
    let other = bench.scratch("other");
    bench.git(&["worktree", "add", "-q", other.to_str().unwrap(), "main"]);
    for (id, own) in [("T-1", None), ("T-2", Some("my own words\n"))] {
        bench.git(&["reset", "-q", "--hard", "main"]);
        bench.waiting(id);
        bench.baton(["approve", id]).expect(0);
        if let Some(own) = own {
            std::fs::write(other.join("README.md"), own).unwrap();
        }
        let ran = bench.baton(["run", id]);
        ran.expect(0);
        let left = ran.findings().contains(&"CHECKOUT_LEFT_ALONE".to_owned());
        assert_eq!(left, own.is_some(), "{}", ran.stdout);
        assert_eq!(
            bench.git(&["show", "main:src/app.sh"]),
            format!("echo {id}")
        );
        // The second landing left the files at the first.
        let there = std::fs::read_to_string(other.join("src/app.sh")).unwrap();
        assert_eq!(there, "echo T-1\n");
        let status = bench.git(&["-C", other.to_str().unwrap(), "status", "--porcelain"]);
        assert_eq!(status, own.map_or("", |_| " M README.md"));
    }
}

#[test]
fn another_branch_that_is_checked_out_is_not_touched() {
    let bench = Bench::with_approved();
    bench.git(&["checkout", "-q", "-b", "mine"]);
    bench.write("README.md", "my own words\n");
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    assert_eq!(
        std::fs::read_to_string(bench.root().join("src/app.sh")).unwrap(),
        "echo 1\n"
    );
}

#[test]
fn an_untracked_file_in_the_way_is_left_alone() {
    let bench = Bench::new();
    take(&bench, "T-1", write("src/new.sh", "echo new\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    let main = bench.git(&["rev-parse", "main"]);
    bench.write("src/new.sh", "mine\n");
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert_eq!(ran.findings(), ["CHECKOUT_LEFT_ALONE"]);
    assert_eq!(bench.git(&["rev-parse", "main^"]), main);
    assert_eq!(bench.git(&["rev-parse", "HEAD"]), main);
    assert_eq!(read(&bench, "src/new.sh"), "mine\n");
}

#[test]
fn an_ignored_file_in_the_way_is_nobody_elses_to_write_over() {
    let bench = Bench::bare();
    bench.write(".gitignore", "local/\n");
    bench.baton(["init", "--minimum-isolation", "I1"]).expect(0);
    bench.commit("ssot");
    bench.submit("T-1", "**");
    let text = bench.patch(|root| {
        std::fs::create_dir(root.join("local")).unwrap();
        std::fs::write(root.join("local/settings.sh"), "theirs\n").unwrap();
        let add = ["add", "-f", "local/settings.sh"];
        bench.git(&add);
    });
    let path = bench.patch_file("x.patch", &text);
    bench
        .baton(["run", "T-1", "--from", path.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    let main = bench.git(&["rev-parse", "main"]);
    bench.write("local/settings.sh", "mine\n");
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(
        ran.findings().contains(&"CHECKOUT_LEFT_ALONE".to_owned()),
        "{}",
        ran.stdout
    );
    assert_eq!(bench.git(&["rev-parse", "main^"]), main);
    assert_eq!(bench.git(&["rev-parse", "HEAD"]), main);
    assert_eq!(read(&bench, "local/settings.sh"), "mine\n");
}

/// Plants whatever git can be made to run: each leaves a file behind.
fn plant(bench: &Bench) -> std::path::PathBuf {
    let ran = bench.scratch("ran");
    std::fs::create_dir(&ran).unwrap();
    let script = |name: &str| format!("#!/bin/sh\ntouch {}/{name}\ncat\n", ran.display());
    let write = |path: std::path::PathBuf, name: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, script(name)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        path.display().to_string()
    };
    for hook in [
        "pre-commit",
        "post-commit",
        "reference-transaction",
        "post-checkout",
        "post-index-change",
        "post-merge",
        "pre-push",
        "pre-merge-commit",
        "post-rewrite",
    ] {
        write(bench.root().join(".git/hooks").join(hook), hook);
        write(bench.scratch("hooks").join(hook), &format!("other-{hook}"));
    }
    let hooks = bench.scratch("hooks").display().to_string();
    let program = |name: &str| write(bench.scratch("programs").join(name), name);
    for (key, value) in [
        ("core.hooksPath", hooks),
        ("core.fsmonitor", program("fsmonitor")),
        ("core.pager", program("pager")),
        ("core.editor", program("editor")),
        ("core.sshCommand", program("ssh")),
        ("filter.evil.clean", program("clean")),
        ("filter.evil.smudge", program("smudge")),
        ("filter.evil.process", program("process")),
        ("filter.evil.required", "true".to_owned()),
        ("filter.a=b.clean", program("clean-2")),
        ("filter.a=b.smudge", program("smudge-2")),
        ("merge.evil.driver", program("merge")),
        ("merge.default", "evil".to_owned()),
        ("diff.evil.textconv", program("textconv")),
        ("diff.external", program("external")),
        ("gpg.program", program("gpg")),
        ("gpg.ssh.program", program("gpg-ssh")),
        ("commit.gpgSign", "true".to_owned()),
        ("credential.helper", program("credential")),
        ("gc.auto", "1".to_owned()),
    ] {
        bench.git(&["config", key, &value]);
    }
    std::fs::write(
        bench.root().join(".git/info/attributes"),
        "* filter=evil merge=evil diff=evil\nREADME.md filter=a=b\n",
    )
    .unwrap();
    ran
}

#[test]
fn nothing_that_is_planted_in_the_repository_runs() {
    let bench = Bench::new();
    bench.pushes(&serde_json::json!({}));
    let text = |from: &str, to: &str| {
        format!(
            "diff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-echo {from}\n+echo {to}\n"
        )
    };
    let lock = "diff --git a/Cargo.lock b/Cargo.lock\nnew file mode 100644\n--- /dev/null\n+++ b/Cargo.lock\n@@ -0,0 +1 @@\n+version = 4\n";
    let meanwhile = "diff --git a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# demo\n+# other\n";
    // Drafted before, so that the second one meets a target that moved.
    let drafts = [
        ("T-1", text("1", "2")),
        ("T-2", meanwhile.to_owned()),
        ("T-3", lock.to_owned()),
    ];
    for (id, patch) in &drafts {
        bench.submit(id, "**");
        bench.patch_file(&format!("{id}.patch"), patch);
    }
    let ran = plant(&bench);
    for (id, _) in &drafts {
        let path = bench.scratch(&format!("{id}.patch"));
        bench
            .baton(["run", id, "--from", path.to_str().unwrap()])
            .expect(0);
    }
    for id in ["T-1", "T-2", "T-3"] {
        bench.baton(["run", id]).expect(0);
        bench.baton(["approve", id]).expect(0);
        bench.baton(["run", id]).expect(0);
        assert!(bench.task("done", id).is_dir());
    }
    let done = bench.baton(["rollback", "T-1"]);
    done.expect(0);
    let left: Vec<_> = std::fs::read_dir(&ran).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // The control: git itself runs them.
    let mut git = std::process::Command::new("git");
    let git = git.args(["checkout", "-q", "-f", "HEAD", "--", "."]);
    drop(
        git.current_dir(bench.root())
            .env("HOME", bench.home())
            .output(),
    );
    assert!(
        std::fs::read_dir(&ran).unwrap().next().is_some(),
        "the trap does not work"
    );
}

#[test]
fn a_branch_that_exists_is_not_overwritten() {
    let bench = Bench::new();
    take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.git(&["branch", "baton/T-1"]);
    let before = bench.git(&["rev-parse", "baton/T-1"]);
    let ran = bench.baton(["run", "T-1"]);
    assert!(
        ran.findings().contains(&"BRANCH_EXISTS".to_owned()),
        "{}",
        ran.stdout
    );
    assert_eq!(bench.git(&["rev-parse", "baton/T-1"]), before);
}
