//! Where the checkouts of the target are, whose they are, and what a landing leaves of them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::races::with_front;
use crate::support::{Bench, Ran};

fn left(ran: &Ran) -> bool {
    ran.findings().contains(&"CHECKOUT_LEFT_ALONE".to_owned())
}

/// Says what git says in another folder.
fn git_in(bench: &Bench, folder: &Path, line: &[&str]) -> String {
    let mut all = vec!["-C", folder.to_str().unwrap()];
    all.extend(line);
    bench.git(&all)
}

/// A worktree of main beside the repository, which goes to a branch of its own.
fn beside(bench: &Bench) -> std::path::PathBuf {
    bench.git(&["checkout", "-q", "-b", "mine"]);
    let other = bench.scratch("other");
    bench.git(&["worktree", "add", "-q", other.to_str().unwrap(), "main"]);
    other
}

/// The head of a worktree as its repository keeps it.
fn head_of_other(bench: &Bench) -> String {
    std::fs::read_to_string(bench.root().join(".git/worktrees/other/HEAD")).unwrap()
}

#[test]
fn the_checkout_follows_wherever_its_git_folder_lies() {
    for layout in ["file", "link"] {
        let bench = Bench::with_approved();
        let away = bench.scratch("git-folder");
        let dot_git = bench.root().join(".git");
        std::fs::rename(&dot_git, &away).unwrap();
        if layout == "file" {
            std::fs::write(&dot_git, format!("gitdir: {}\n", away.display())).unwrap();
        } else {
            std::os::unix::fs::symlink(&away, &dot_git).unwrap();
        }
        let ran = bench.baton(["run", "T-1"]);
        ran.expect(0);
        assert!(!left(&ran), "{layout}: {}", ran.stdout);
        assert_eq!(bench.git(&["status", "--porcelain"]), "", "{layout}");
        assert_eq!(bench.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
        let app = std::fs::read_to_string(bench.root().join("src/app.sh")).unwrap();
        assert_eq!(app, "echo T-1\n", "{layout}");
    }
}

#[test]
fn a_submodule_on_its_branch_follows() {
    let bench = Bench::with_approved();
    // As git lays a submodule out: its folder is kept by the repository around it.
    let around = bench.scratch("modules/repo");
    std::fs::create_dir_all(around.parent().unwrap()).unwrap();
    let dot_git = bench.root().join(".git");
    std::fs::rename(&dot_git, &around).unwrap();
    std::fs::write(&dot_git, "gitdir: ../modules/repo\n").unwrap();
    bench.git(&["config", "core.worktree", "../../repo"]);
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(!left(&ran), "{}", ran.stdout);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    assert_eq!(bench.git(&["show", "HEAD:src/app.sh"]), "echo T-1");
}

#[test]
fn a_worktree_of_another_repository_is_not_touched() {
    for how in ["copied", "cloned", "renamed"] {
        let bench = Bench::with_approved();
        let other = beside(&bench);
        let base = bench.git(&["rev-parse", "main"]);
        std::fs::write(other.join("README.md"), "mine\n").unwrap();
        let away = bench.scratch("original");
        let dot_git = bench.root().join(".git");
        match how {
            // The folder still leads to the repository that this one was copied from.
            "copied" => {
                let copied = Command::new("cp")
                    .arg("-a")
                    .arg(&dot_git)
                    .arg(&away)
                    .status();
                assert!(copied.unwrap().success());
                std::fs::write(
                    other.join(".git"),
                    format!("gitdir: {}/worktrees/other\n", away.display()),
                )
                .unwrap();
                std::fs::write(
                    away.join("worktrees/other/gitdir"),
                    format!("{}/.git\n", other.display()),
                )
                .unwrap();
            }
            "cloned" => {
                std::fs::remove_dir_all(&other).unwrap();
                let (from, to) = (bench.root(), other.display().to_string());
                bench.git(&[
                    "clone",
                    "-q",
                    "-s",
                    "-b",
                    "main",
                    from.to_str().unwrap(),
                    &to,
                ]);
                std::fs::write(other.join("README.md"), "mine\n").unwrap();
            }
            _ => {
                std::fs::write(other.join(".git"), "gitdir: /gone/.git/worktrees/other\n").unwrap()
            }
        }
        let ran = bench.baton(["run", "T-1"]);
        ran.expect(0);
        assert!(left(&ran), "{how}: {}", ran.stdout);
        assert!(ran.stdout.contains("git worktree repair"), "{}", ran.stdout);
        assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
        assert_eq!(
            std::fs::read_to_string(other.join("src/app.sh")).unwrap(),
            "echo 1\n"
        );
        // What this repository keeps of it does not wait with a trap.
        assert_eq!(head_of_other(&bench).trim(), base, "{how}");
        if how != "renamed" {
            let head = git_in(&bench, &other, &["symbolic-ref", "HEAD"]);
            assert_eq!(head, "refs/heads/main", "{how}");
            let status = git_in(&bench, &other, &["status", "--porcelain"]);
            assert_eq!(status, " M README.md", "{how}");
        }
    }
}

#[test]
fn a_worktree_that_is_away_is_set_aside_until_it_is_back() {
    for locked in [true, false] {
        let bench = Bench::with_approved();
        let other = beside(&bench);
        if locked {
            bench.git(&["worktree", "lock", other.to_str().unwrap()]);
        }
        let away = bench.scratch("away");
        std::fs::rename(&other, &away).unwrap();
        let ran = bench.baton(["run", "T-1"]);
        ran.expect(0);
        assert!(left(&ran), "{}", ran.stdout);
        std::fs::rename(&away, &other).unwrap();
        assert_eq!(git_in(&bench, &other, &["status", "--porcelain"]), "");
        let head = git_in(&bench, &other, &["rev-parse", "HEAD"]);
        assert_eq!(head, bench.git(&["rev-parse", "main^"]));
    }
}

#[test]
fn a_step_that_fails_takes_those_before_it_back() {
    let bench = Bench::with_approved();
    let other = bench.scratch("other");
    let path = other.to_str().unwrap();
    bench.git(&["worktree", "add", "-q", "-f", path, "main"]);
    bench.write("README.md", "mine\n");
    std::fs::write(other.join("README.md"), "mine\n").unwrap();
    // The second one's head cannot be written.
    let lock = bench.root().join(".git/worktrees/other/HEAD.lock");
    std::fs::write(&lock, "").unwrap();
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(ran.findings(), ["BRANCH_NOT_MOVED"], "{}", ran.stdout);
    assert_eq!(bench.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    std::fs::remove_file(&lock).unwrap();
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(left(&ran), "{}", ran.stdout);
}

#[test]
fn a_head_is_not_put_back_on_a_branch_that_somebody_else_moved() {
    let bench = Bench::with_approved();
    bench.write("README.md", "mine\n");
    let base = bench.git(&["rev-parse", "main"]);
    let theirs = bench.git(&["commit-tree", "-p", "main", "-m", "theirs", "main^{tree}"]);
    let real = format!(
        "case \"$*\" in *create-reflog*refs/heads/main*) git --git-dir '{}/.git' update-ref refs/heads/main {theirs} ;; esac",
        bench.root().display()
    );
    let ran = with_front(&bench, &["run", "T-1"], &real, "");
    assert!(ran.stderr.contains("left alone"), "{}", ran.stderr);
    let head = bench.git(&["rev-parse", "HEAD"]);
    assert_eq!(head, base, "{}", ran.stderr);
    assert_eq!(bench.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
}

#[test]
fn a_landing_of_another_queue_of_the_repository_waits() {
    let bench = Bench::with_approved();
    let store = baton_core::git::Repository::open(&bench.root()).unwrap();
    let alone = store.alone().unwrap().unwrap();
    let mut command = bench.command(["run", "T-1"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(child.try_wait().unwrap().is_none(), "it did not wait");
    assert_ne!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
    drop(alone);
    assert!(child.wait().unwrap().success());
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo T-1");
}

#[test]
fn a_run_that_is_killed_before_the_move_leaves_nobody_without_a_branch() {
    for next in [&["run", "T-1"][..], &["reject", "T-1"], &["retry", "T-1"]] {
        let bench = Bench::with_approved();
        let base = bench.git(&["rev-parse", "main"]);
        bench.write("README.md", "mine\n");
        let kill = "case \"$*\" in *create-reflog*refs/heads/main*) kill -9 $PPID; exit 1 ;; esac";
        let line = ["pr-merge-orchestrator", "--task", "T-1", "--execute"];
        let run = with_front(&bench, &line, kill, "");
        assert_eq!(run.code, -1, "{}", run.stderr);
        assert_eq!(bench.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
        assert_eq!(bench.git(&["rev-parse", "main"]), base);
        let ran = bench.baton(next);
        ran.expect(0);
        if next[0] == "run" {
            assert!(left(&ran), "{}", ran.stdout);
            assert_eq!(bench.git(&["rev-parse", "main^"]), base);
        } else {
            let head = bench.git(&["symbolic-ref", "HEAD"]);
            assert_eq!(head, "refs/heads/main", "{next:?}");
        }
        assert_eq!(bench.git(&["status", "--porcelain"]), " M README.md");
    }
}

#[test]
fn a_rebase_or_a_bisect_of_the_target_is_not_pulled_away_from_under() {
    for what in ["rebase", "bisect"] {
        let bench = Bench::with_approved();
        let main = bench.git(&["rev-parse", "main"]);
        if what == "rebase" {
            bench.git(&[
                "-c",
                "sequence.editor=sed -i s/pick/edit/",
                "rebase",
                "-q",
                "-i",
                "HEAD~1",
            ]);
        } else {
            bench.git(&["bisect", "start", "main", "main~1"]);
        }
        assert_eq!(bench.git(&["rev-parse", "main"]), main);
        let ran = bench.baton(["run", "T-1"]);
        assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
        assert_eq!(ran.findings(), ["BRANCH_IN_USE"], "{}", ran.stdout);
        assert_eq!(bench.git(&["rev-parse", "main"]), main);
        let end = if what == "rebase" {
            ["rebase", "--abort"]
        } else {
            ["bisect", "reset"]
        };
        bench.git(&end);
        bench.baton(["run", "T-1"]).expect(0);
        assert_eq!(bench.git(&["rev-parse", "main^"]), main);
        assert_eq!(bench.git(&["status", "--porcelain"]), "");
    }
}

#[test]
fn a_checkout_under_another_name_of_the_target_is_one_of_the_target() {
    for (linked, hops, is_mine) in [
        (false, 1, false),
        (false, 2, true),
        (true, 1, true),
        (true, 2, false),
    ] {
        let bench = Bench::with_approved();
        let base = bench.git(&["rev-parse", "main"]);
        bench.git(&["symbolic-ref", "refs/heads/master", "refs/heads/main"]);
        bench.git(&["symbolic-ref", "refs/heads/trunk", "refs/heads/master"]);
        let at = if linked { beside(&bench) } else { bench.root() };
        let name = ["refs/heads/master", "refs/heads/trunk"][hops - 1];
        git_in(&bench, &at, &["symbolic-ref", "HEAD", name]);
        if is_mine {
            std::fs::write(at.join("README.md"), "mine\n").unwrap();
        }
        let ran = bench.baton(["run", "T-1"]);
        ran.expect(0);
        let what = format!("{linked} {hops} {is_mine}: {}", ran.stdout);
        assert_eq!(left(&ran), is_mine, "{what}");
        assert_eq!(bench.git(&["rev-parse", "main^"]), base, "{what}");
        let status = git_in(&bench, &at, &["status", "--porcelain"]);
        let head = git_in(&bench, &at, &["rev-parse", "HEAD"]);
        if is_mine {
            assert_eq!((status.as_str(), head), (" M README.md", base), "{what}");
        } else {
            let main = bench.git(&["rev-parse", "main"]);
            assert_eq!((status.as_str(), head), ("", main), "{what}");
        }
    }
}

#[test]
fn a_rebase_under_another_name_of_the_target_is_one_of_the_target() {
    let bench = Bench::with_approved();
    let main = bench.git(&["rev-parse", "main"]);
    bench.git(&["symbolic-ref", "refs/heads/master", "refs/heads/main"]);
    let edit = "sequence.editor=sed -i s/pick/edit/";
    bench.git(&["-c", edit, "rebase", "-q", "-i", "HEAD~1", "master"]);
    let name = bench.root().join(".git/rebase-merge/head-name");
    std::fs::write(name, "refs/heads/master\n").unwrap();
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(ran.findings(), ["BRANCH_IN_USE"], "{}", ran.stdout);
    assert_eq!(bench.git(&["rev-parse", "main"]), main);
}

#[test]
fn an_index_of_the_users_stays_one_that_git_and_others_can_read() {
    let bench = Bench::with_approved();
    bench.git(&["config", "core.splitIndex", "true"]);
    bench.git(&["config", "splitIndex.maxPercentChange", "0"]);
    bench.git(&["update-index", "--split-index"]);
    let ran = bench.baton(["run", "T-1"]);
    ran.expect(0);
    assert!(!left(&ran), "{}", ran.stdout);
    let tree = bench.git(&["ls-tree", "-r", "--name-only", "HEAD"]);
    assert_eq!(bench.git(&["ls-files"]), tree);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    // The digest at its end is there; some programs refuse an index without.
    let index = std::fs::read(bench.root().join(".git/index")).unwrap();
    assert_ne!(index[index.len() - 20..], [0; 20]);
}

#[test]
fn a_folder_that_cannot_be_written_to_leaves_every_file_as_it_is() {
    let bench = Bench::with_approved();
    bench.submit("T-2", "**");
    let text = bench.patch(|root| {
        std::fs::write(root.join("README.md"), "# other\n").unwrap();
        std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap();
    });
    let path = bench.patch_file("two.patch", &text);
    bench
        .baton(["run", "T-2", "--from", path.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-2"]).expect(0);
    let src = bench.root().join("src");
    // Root may write anywhere but where it is told not to by the file system.
    let attribute = |sign: &str| Command::new("chattr").arg(sign).arg(&src).status();
    if !attribute("+i").is_ok_and(|done| done.success()) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
        std::fs::set_permissions(&src, mode).unwrap();
    }
    let ran = bench.baton(["run", "T-2"]);
    let _ = attribute("-i");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&src, mode).unwrap();
    ran.expect(0);
    // Nothing keeps root from writing where there are no such attributes; then it follows.
    if left(&ran) {
        assert_eq!(bench.git(&["status", "--porcelain"]), "");
        bench.git(&["switch", "-q", "--no-overwrite-ignore", "main"]);
    }
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    assert_eq!(bench.git(&["show", "HEAD:src/app.sh"]), "echo 2");
}

#[test]
fn a_checkout_that_git_gives_up_half_way_is_taken_back() {
    let bench = Bench::with_approved();
    // git changes one file and makes another, and cannot go on.
    bench.submit("T-2", "**");
    let text = bench.patch(|root| {
        std::fs::write(root.join("README.md"), "# other\n").unwrap();
        std::fs::write(root.join("new.sh"), "echo new\n").unwrap();
        std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap();
    });
    let path = bench.patch_file("three.patch", &text);
    bench
        .baton(["run", "T-2", "--from", path.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-2"]).expect(0);
    let half = "case \"$*\" in *'read-tree -m -u --no-recurse-submodules -n'*) ;; *'read-tree -m -u'*) for NEW; do :; done; \
        git cat-file blob \"$NEW:README.md\" >README.md; git cat-file blob \"$NEW:new.sh\" >new.sh; exit 128 ;; esac";
    let ran = with_front(&bench, &["run", "T-2"], half, "");
    ran.expect(0);
    assert!(left(&ran), "{}", ran.stdout);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    let head = bench.git(&["rev-parse", "HEAD"]);
    assert_eq!(head, bench.git(&["rev-parse", "main^"]));
    bench.git(&["switch", "-q", "--no-overwrite-ignore", "main"]);
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    assert_eq!(bench.git(&["show", "HEAD:new.sh"]), "echo new");
}

#[test]
fn a_checkout_that_a_killed_landing_left_behind_keeps_no_other_up() {
    let bench = Bench::with_approved();
    let line = ["pr-merge-orchestrator", "--task", "T-1", "--execute"];
    let kill = "case \"$*\" in *create-reflog*refs/heads/main*) kill -9 $PPID; exit 1 ;; esac";
    assert_eq!(with_front(&bench, &line, "", kill).code, -1);
    let base = bench.git(&["rev-parse", "main^"]);
    // Somebody goes on there before anybody looks.
    bench.write("src/app.sh", "echo mine\n");
    let text = "diff --git a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# demo\n+# other\n";
    let path = bench.patch_file("x.patch", text);
    bench.submit("T-2", "**");
    bench
        .baton(["run", "T-2", "--from", path.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-2"]).expect(0);
    let ran = bench.baton(["run", "T-2"]);
    ran.expect(0);
    assert!(left(&ran), "{}", ran.stdout);
    assert!(bench.task("done", "T-2").is_dir(), "{}", ran.stderr);
    assert_eq!(bench.git(&["rev-parse", "HEAD"]), base);
    assert_eq!(bench.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    assert_eq!(bench.git(&["status", "--porcelain"]), " M src/app.sh");
    bench.baton(["run", "T-1"]).expect(0);
    assert!(bench.task("done", "T-1").is_dir());
}
