//! What `baton init` says and refuses: flags that a policy contradicts, branches that are not there.

use crate::support::Bench;

fn check(bench: &Bench, name: &str) -> String {
    let said = bench.baton(["doctor"]).json();
    let checks = said["checks"].as_array().unwrap().iter();
    let mut named = checks.filter(|check| check["check"] == name);
    named.next().unwrap()["health"].as_str().unwrap().to_owned()
}

#[test]
fn flags_do_not_change_a_policy_that_is_there() {
    let bench = Bench::new();
    bench.git(&["branch", "other"]);
    for line in [
        ["init", "--target", "other"],
        ["init", "--minimum-isolation", "I2"],
    ] {
        let refused = bench.baton(line);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("POLICY.json"), "{refused:?}");
    }
    let again = bench
        .baton(["init", "--target", "main", "--minimum-isolation", "I3"])
        .expect(0);
    assert_eq!(again["ready"], true, "{again}");
}

#[test]
fn a_policy_that_nobody_accepted_is_not_ready() {
    let bench = Bench::new();
    let path = bench.root().join(".autodev_ssot/POLICY.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "\n").unwrap();
    let again = bench.baton(["init"]);
    assert_eq!(again.expect(0)["ready"], false, "{again:?}");
    assert!(again.stderr.contains("policy accept"), "{again:?}");
}

#[test]
fn a_branch_that_is_not_there_is_said_so() {
    let bench = Bench::bare();
    // The other two name a commit, and no branch that could move.
    for target in ["nosuch", "main@{0}", "main~0"] {
        let refused = bench.baton(["init", "--target", target]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(!bench.queue().exists());
    }
    bench.baton(["init"]).expect(0);
    assert_eq!(check(&bench, "target"), "good");
    bench.git(&["branch", "-m", "main", "trunk"]);
    let again = bench.baton(["init"]);
    assert_eq!(again.expect(0)["ready"], false, "{again:?}");
    assert_eq!(check(&bench, "target"), "warn");
}

/// The branch that is checked out may have its first commit still to come.
#[test]
fn a_repository_without_commits_is_set_up_and_not_ready() {
    let bench = Bench::bare();
    bench.git(&["checkout", "-q", "--orphan", "fresh"]);
    for target in [None, Some("fresh")] {
        let mut line = vec!["init"];
        line.extend(target.iter().flat_map(|target| ["--target", target]));
        let set_up = bench.baton(line);
        assert_eq!(set_up.expect(0)["ready"], false, "{set_up:?}");
    }
    bench.commit("first");
    assert_eq!(bench.baton(["init"]).expect(0)["ready"], true);
}

#[test]
fn a_path_that_is_no_text_is_a_path() {
    use std::os::unix::ffi::OsStrExt;

    let bench = Bench::new();
    bench.policy(|policy| {
        policy["gates"][4]["borrow"] = serde_json::json!(["node_modules"]);
        policy["gates"][4]["required"] = false.into();
    });
    std::fs::create_dir(bench.root().join("node_modules")).unwrap();
    let folder = bench.scratch("odd");
    let root = folder.join(std::ffi::OsStr::from_bytes(b"r\xff:\"x"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(bench.root(), &root).unwrap();
    let baton = |line: &[&str]| {
        let ran = bench.command(line).current_dir(&root).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{line:?}: {said}");
        said
    };
    let line = "submit --id T-1 --title t --goal mended --allow **";
    baton(&line.split(' ').collect::<Vec<_>>());
    let patch = bench.scratch("fix.patch");
    let change = "diff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-echo 1\n+echo 2\n";
    std::fs::write(&patch, change).unwrap();
    baton(&["run", "T-1", "--from", patch.to_str().unwrap()]);
    baton(&["approve", "T-1"]);
    let said = baton(&["run", "T-1"]);
    assert!(said.contains("landed"), "{said}");
    baton(&["verify", "T-1"]);
    // What a gate would be shown is told to it as text.
    let gate = root.join(".autodev_queue/done/T-1/evidence/G4.json");
    let gate = std::fs::read_to_string(gate).unwrap();
    assert!(gate.contains("the checkout is not UTF-8"), "{gate}");
    let app = std::fs::read_to_string(root.join("src/app.sh")).unwrap();
    assert_eq!(app, "echo 2\n");
}

#[test]
fn a_partial_clone_is_refused_before_anything_is_claimed() {
    let up = Bench::bare();
    up.write("big/file", "x\n");
    up.commit("a file that is not wanted everywhere");
    up.git(&["config", "uploadpack.allowFilter", "true"]);
    let bench = Bench::bare();
    std::fs::remove_dir_all(bench.root()).unwrap();
    let from = format!("file://{}", up.root().display());
    let to = bench.root();
    up.git(&[
        "clone",
        "-q",
        "--filter=blob:none",
        "--sparse",
        &from,
        to.to_str().unwrap(),
    ]);
    bench.git(&["sparse-checkout", "set", "src", ".autodev_ssot"]);
    bench.git(&["config", "user.name", "Op"]);
    bench.git(&["config", "user.email", "op@baton.example"]);
    bench.baton(["init"]).expect(0);
    bench.git(&["add", "--sparse", "-A"]);
    bench.git(&["commit", "-q", "-m", "ssot"]);
    bench.submit("T-1", "**");
    let text = bench.patch(crate::changes::write("src/app.sh", "echo 2\n"));
    let path = bench.patch_file("T-1.patch", &text);
    let line = ["run", "T-1", "--from", path.to_str().unwrap()];
    let refused = bench.baton(line);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stdout.contains("OBJECTS_MISSING"), "{refused:?}");
    assert!(refused.stdout.contains("--refetch"), "{refused:?}");
    assert!(bench.task("inbox", "T-1").is_dir(), "nothing was claimed");
    assert_eq!(check(&bench, "files"), "BAD");
    // What is said to do next helps.
    bench.git(&["fetch", "-q", "--refetch", "--no-filter"]);
    bench.baton(line).expect(0);
}
