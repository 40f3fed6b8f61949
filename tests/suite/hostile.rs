//! Names and patches that try to lead elsewhere: refused, and nothing of the user's is touched.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Bench;

/// What a tool says that must not wait for anybody.
fn at_once(bench: &Bench, arguments: &[&str]) -> String {
    let mut command = bench.command(arguments);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > patience {
            child.kill().unwrap();
            panic!("{arguments:?} waits");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn a_pipe_in_place_of_a_policy_is_refused_and_not_waited_for() {
    for (name, code) in [
        ("POLICY.json", "POLICY_MISSING"),
        ("POLICY_ACCEPTED.json", "POLICY_NOT_ACCEPTED"),
        ("MANIFEST.json", "MANIFEST_INVALID"),
        ("SECRET_RULES.toml", "SECRET_RULES_MISSING"),
    ] {
        let bench = Bench::new();
        let path = bench.root().join(".autodev_ssot").join(name);
        std::fs::remove_file(&path).unwrap();
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let text = format!(
            "diff --git a/a b/a\nnew file mode 100644\nindex {}..{}\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+a\n",
            "0".repeat(40),
            "78981922613b2afb6025042ff6bd878ac1994e85"
        );
        let patch = bench.patch_file("x.patch", &text);
        let scan = at_once(
            &bench,
            &["diff-risk-scan", "--patch", patch.to_str().unwrap()],
        );
        let submit = ["submit", "--title", "t", "--goal", "g", "--allow", "a"];
        let submit = at_once(&bench, &submit);
        assert!(
            [scan.as_str(), submit.as_str()].concat().contains(code),
            "{name}: {scan} {submit}"
        );
        at_once(&bench, &["stop-check"]);
        at_once(&bench, &["doctor"]);
    }
}

#[test]
fn names_that_could_lead_elsewhere_are_refused() {
    let bench = Bench::new();
    let long = "x".repeat(300);
    for id in [
        "..",
        "../x",
        "a/b",
        "/abs",
        ".git",
        "",
        "a..b",
        "x\n",
        "ünïcode",
        "-x",
        &long,
    ] {
        for skill in [
            "claim-lock",
            "intake-validate",
            "gate-runner",
            "incident-brief",
            "stop-check",
        ] {
            let ran = bench.baton([skill, &format!("--task={id}")]);
            assert_eq!(ran.code, 1, "{skill} {id:?}: {}", ran.stdout);
            assert!(
                ran.findings().contains(&"TASK_ID_INVALID".to_owned()),
                "{skill} {id:?}: {}",
                ran.stdout
            );
        }
        let task = serde_json::json!({"task_id": id, "title": "t", "goal": "g", "scope": {"allow_patch_on_files": ["a"]}});
        assert_eq!(
            bench
                .pipe(task.to_string().as_bytes(), ["submit", "-"])
                .code,
            1,
            "{id:?}"
        );
    }
    for path in [
        "../x",
        "/etc/passwd",
        "a//b",
        "./a",
        "a/../b",
        "a\\b",
        "a\0b",
    ] {
        let task = serde_json::json!({"task_id": "T-1", "title": "t", "goal": "g", "scope": {"allow_patch_on_files": [path]}});
        assert_eq!(
            bench
                .pipe(task.to_string().as_bytes(), ["submit", "-"])
                .code,
            1,
            "{path:?}"
        );
    }
    assert_eq!(
        std::fs::read_dir(bench.queue().join("inbox"))
            .unwrap()
            .count(),
        0
    );
}

/// Hashes everything of the user's: work tree, index, references, objects.
fn users_own(bench: &Bench) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![bench.root()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".autodev_queue") {
                continue;
            }
            match path.symlink_metadata().unwrap() {
                kind if kind.is_dir() => open.push(path),
                kind if kind.is_symlink() => found.push((
                    path.clone(),
                    std::fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes(),
                )),
                _ => found.push((path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

fn new_file(path: &str, mode: &str, line: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode {mode}\nindex 0000000..1111111\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n"
    )
}

#[test]
fn hostile_patches_touch_nothing_of_the_users() {
    let bench = Bench::new();
    let long = format!("src/{}", "n".repeat(300));
    let mut patches: Vec<(String, String)> = [
        "../outside",
        "/abs",
        ".git/config",
        ".GIT/hooks/x",
        "git~1/x",
        "src/../../x",
        &long,
    ]
    .iter()
    .map(|path| ((*path).to_owned(), new_file(path, "100644", "x")))
    .collect();
    patches.push(("mode 040000".into(), new_file("src/folder", "040000", "x")));
    patches.push((
        "submodule".into(),
        new_file(
            "src/sub",
            "160000",
            &format!("Subproject commit {}", "a".repeat(40)),
        ),
    ));
    patches.push((
        "link out".into(),
        new_file("src/link", "120000", "/etc/passwd").replace(
            "+/etc/passwd\n",
            "+/etc/passwd\n\\ No newline at end of file\n",
        ),
    ));
    patches.push((
        "link, then below it".into(),
        new_file("src/l", "120000", "/tmp")
            .replace("+/tmp\n", "+/tmp\n\\ No newline at end of file\n")
            + &new_file("src/l/x", "100644", "y"),
    ));
    patches.push(("binary without data".into(), "diff --git a/src/b b/src/b\nindex 1111111..2222222 100644\nBinary files a/src/b and b/src/b differ\n".into()));
    patches.push(("does not apply".into(), "diff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-nothing like it\n+x\n".into()));
    patches.push(("empty".into(), " \n".into()));
    patches.push(("huge".into(), "x".repeat(5 << 20)));
    let before = users_own(&bench);
    for (number, (what, text)) in patches.iter().enumerate() {
        let id = format!("H-{number}");
        bench.submit(&id, "**");
        let path = bench.patch_file("hostile.patch", text);
        let ran = bench.baton(["run", &id, "--from", path.to_str().unwrap()]);
        assert!(
            ran.code == 1 || ran.code == 4,
            "{what}: {} {}",
            ran.code,
            ran.stdout
        );
        assert!(
            users_own(&bench) == before,
            "{what}: something of the user's changed"
        );
        assert!(
            bench.task("blocked", &id).is_dir(),
            "{what}: {}",
            ran.stdout
        );
    }
    let kept = std::fs::read_to_string(bench.task("blocked", "H-12").join("evidence/refused.txt"))
        .unwrap();
    assert!(kept.contains("nothing like it"), "the refused text is kept");
    assert!(!bench.scratch("outside").exists());
}

#[test]
fn a_refusal_names_the_file_that_does_not_apply() {
    let bench = Bench::new();
    bench.submit("T-1", "**");
    let text = "diff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-nothing like it\n+x\n";
    let path = bench.patch_file("x.patch", text);
    let ran = bench.baton(["run", "T-1", "--from", path.to_str().unwrap()]);
    assert!(
        ran.stdout.contains("patch failed: src/app.sh:1"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_secret_is_masked_wherever_it_is_written() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let secret = format!("AKIA{}", "QYLPMN5HFIQR7XYA");
    let text = bench
        .patch(|root| std::fs::write(root.join("src/app.sh"), format!("key={secret}\n")).unwrap());
    let path = bench.patch_file("x.patch", &text);
    let ran = bench.baton(["run", "T-1", "--from", path.to_str().unwrap()]);
    assert_eq!(ran.code, 4, "{}", ran.stdout);
    assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret));
    let mut open = vec![bench.queue()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("draft.patch") && !path.to_string_lossy().contains("/git/") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(
                    !text.contains(&secret),
                    "{} holds the secret",
                    path.display()
                );
            }
        }
    }
}
