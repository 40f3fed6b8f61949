//! What a change, a repository or a neighbour does to the preparation of a gate and to what is kept
//! of it. What goes on behind the walls is tried where the walls are built.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::changes::{gate, take, write};
use crate::support::Bench;

/// The number of G4 among the gates of the policy.
const G4: usize = 4;

/// Every file below a folder, by path and content.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
        }
    }
    found
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// A search path of the caller's that leads into the working folder first.
fn careless_path() -> String {
    format!(".:{}:", std::env::var("PATH").unwrap())
}

#[test]
fn the_change_does_not_choose_the_program_of_a_gate() {
    let bench = Bench::new();
    bench.policy(|policy| policy["gates"][G4]["argv"] = json!(["my-own-lint"]));
    let patch = bench.patch(|root| program(&root.join("my-own-lint"), "#!/bin/sh\necho fine\n"));
    let path = bench.patch_file("lint.patch", &patch);
    let mut command = bench.command(["gate-runner", "--patch", path.to_str().unwrap()]);
    let ran = command.env("PATH", careless_path()).output().unwrap();
    let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let gate = &answer["data"]["gates"][G4];
    assert_eq!(gate["status"], "SKIP", "{gate}");
    assert!(gate["note"].as_str().unwrap().starts_with("TOOL_MISSING:"));
}

#[test]
fn the_checkout_does_not_choose_which_git_is_run() {
    let bench = Bench::new();
    let mark = bench.scratch("mark");
    let patch = bench.patch(write("src/app.sh", "echo 2\n"));
    let path = bench.patch_file("fix.patch", &patch);
    let script = format!("#!/bin/sh\necho >> {}\nexit 1\n", mark.display());
    program(&bench.root().join("git"), &script);
    let only = ["--only", "G1"];
    let arguments = ["gate-runner", "--patch", path.to_str().unwrap()];
    let mut command = bench.command(arguments.iter().chain(&only));
    let ran = command.env("PATH", careless_path()).output().unwrap();
    assert!(!mark.exists(), "a program of the checkout was run");
    let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(answer["data"]["gates"][1]["status"], "PASS", "{answer}");
}

#[test]
fn a_borrowed_link_does_not_show_the_queue() {
    let bench = Bench::new();
    bench.policy(|policy| {
        policy["gates"][G4]["argv"] = json!(["ls", "deps/"]);
        policy["gates"][G4]["borrow"] = json!(["deps"]);
    });
    bench.write(".git/info/exclude", "/deps\n.autodev_queue\n");
    let deps = bench.root().join("deps");
    for (number, target) in [".autodev_queue", ".autodev_queue/audit", ".git/refs"]
        .into_iter()
        .enumerate()
    {
        let id = format!("T-{number}");
        let text = bench.patch(write("src/app.sh", &format!("echo 2{number}\n")));
        bench.submit(&id, "**");
        let path = bench.patch_file("fix.patch", &text);
        // Whatever lies there now, the link is the user's.
        let _ = std::fs::remove_file(&deps);
        symlink(target, &deps).unwrap();
        bench
            .baton(["run", &id, "--from", path.to_str().unwrap()])
            .expect(0);
        let (status, note) = gate(&bench, &id, "G4");
        assert_eq!(status, "SKIP", "{target}: {note}");
        assert!(note.starts_with("GATE_PLACE:"), "{target}: {note}");
    }
}

#[test]
fn no_colour_and_no_name_carries_a_secret_into_what_is_kept() {
    let bench = Bench::new();
    // The key is put together by the script, so that the change itself holds none.
    bench.write(
        "tests/loud.py",
        "key = 'AKIA' + 'QYLPMN5HHHFPZAM2'\n\
         print('\\x1b[31m' + key + '\\x1b[0m')\n\
         print('a ' + key[:9] + '\\x1b[1m' + key[9:])\n\
         print('b ' + key[:9] + '\\u200b' + key[9:])\n\
         print('FAILED tests/a.py::test_x[' + key + ']')\n\
         print('FAILED tests/a.py::test_y[' + key + ']')\n\
         print('2 failed, 1 passed in 0.1s')\n\
         raise SystemExit(1)\n",
    );
    bench.commit("a loud test");
    bench.policy(|policy| {
        policy["gates"][5]["argv"] = json!(["python3", "tests/loud.py"]);
        policy["gates"][5]["parser"] = json!("pytest");
    });
    take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL", "{note}");
    assert!(note.contains("failed=2"), "{note}");
    let mut names = 0;
    for (path, bytes) in files(&bench.queue()) {
        let text = String::from_utf8_lossy(&bytes);
        let shown = path.display();
        assert!(!text.contains("QYLPMN5HHHF"), "{shown} holds the key");
        assert!(!text.contains("N5HHHFPZAM2"), "{shown} holds half the key");
        names += text.matches("test_x[secret masked] #").count();
    }
    assert!(names > 0, "the names of the tests are kept, masked");
}

#[test]
fn one_bad_moment_of_the_base_does_not_excuse_every_change_after_it() {
    let bench = Bench::new();
    // What the gate leans on beside the tree, and how it is, which nothing that is looked at tells.
    let place = bench.scratch("place/inner");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("mood"), "bad.\n").unwrap();
    let outer = bench.scratch("place").to_str().unwrap().to_owned();
    let script = format!("grep good {outer}/inner/mood && sh -n src/app.sh");
    bench.policy(|policy| {
        policy["gates"][G4]["argv"] = json!(["sh", "-c", script]);
        policy["gates"][G4]["read_only"] = json!([outer]);
    });
    take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    let (status, note) = gate(&bench, "T-1", "G4");
    assert_eq!(status, "FAIL", "{note}");
    assert!(note.contains("base=FAIL"), "{note}");
    std::fs::write(place.join("mood"), "good\n").unwrap();
    let done = take(&bench, "T-2", write("src/app.sh", "if\n")).expect(0);
    let (_, note) = gate(&bench, "T-2", "G4");
    assert!(note.contains("base=PASS"), "{note}");
    assert_eq!(done["decision"], "PR_ONLY", "{done}");
}

#[test]
fn a_small_patch_does_not_fill_the_memory() {
    let bench = Bench::new();
    bench.write("blob", &"0".repeat(65_536));
    bench.commit("something to copy from");
    let id = bench.git(&["rev-parse", "HEAD:blob"]);
    // 24,000 times "copy 64 KiB": one and a half gigabytes from 24 kilobytes that zlib makes 52 of.
    let patch = format!(
        "diff --git a/blob b/blob\nindex {id}..{new} 100644\nGIT binary patch\ndelta 24008\n\
         zc-rm3K@9*f2mrCq@O_HWKr$U|>s31e0000000000000000000000000008hEjBw^E\n\n\
         delta 8\nPc${{l!Xn4oU$e0KK52ymy\n\n",
        new = "1".repeat(40)
    );
    let ran = bench.pipe(patch.as_bytes(), ["gate-runner", "--patch", "-"]);
    let answer = ran.expect(1);
    let said = answer["findings"][0]["message"].as_str().unwrap();
    assert!(said.contains("Out of memory"), "{said}");
}

#[test]
fn many_short_lines_take_little_more_memory_than_their_bytes() {
    let bench = Bench::new();
    bench.policy(|policy| {
        for cap in ["max_patch_bytes", "max_file_bytes"] {
            policy["caps"][cap] = json!(64 << 20);
        }
    });
    let lines = 5 << 20;
    let (zero, one) = ("0".repeat(40), "1".repeat(40));
    let patch = format!(
        "diff --git a/a.sh b/a.sh\nnew file mode 100644\nindex {zero}..{one}\n--- /dev/null\n\
         +++ b/a.sh\n@@ -0,0 +1,{lines} @@\n{}",
        "+#\n".repeat(lines)
    );
    let path = bench.patch_file("long.patch", &patch);
    let scan = bench.command(["diff-risk-scan", "--patch", path.to_str().unwrap()]);
    let mut command = std::process::Command::new("sh");
    // 16 MB of lines in 100 MB, with the program and its rules.
    command.args(["-c", "ulimit -v 100000; exec \"$@\"", "sh"]);
    command.arg(scan.get_program()).args(scan.get_args());
    let named = scan.get_envs();
    command.envs(named.filter_map(|(name, value)| Some((name, value?))));
    let output = command.current_dir(bench.root()).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said["status"], "OK", "{said}");
}

#[test]
fn nobody_else_can_hold_the_locks_of_a_queue() {
    let bench = Bench::with_waiting();
    let mut locks = 0;
    for (path, _) in files(&bench.queue()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let parent = path.parent().unwrap().file_name().unwrap();
        if name.contains("lock") && parent == "audit" || name.contains("mutex") {
            locks += 1;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    }
    assert!(locks > 0);
}

#[test]
fn nobody_else_gets_at_what_a_gate_makes_while_it_runs() {
    let bench = Bench::new();
    // In a tree that others can enter, this file runs as whoever started the gate.
    let script = "cp /bin/sh mine && chmod 4755 mine && sleep 1";
    bench.policy(|policy| policy["gates"][G4]["argv"] = json!(["sh", "-c", script]));
    let patch = bench.patch(write("src/app.sh", "echo 2\n"));
    let path = bench.patch_file("fix.patch", &patch);
    let temporary = bench.scratch("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = bench.command(["gate-runner", "--patch", path.to_str().unwrap()]);
    command.env("TMPDIR", &temporary);
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = std::collections::BTreeMap::new();
    let ended = loop {
        for entry in std::fs::read_dir(&temporary).unwrap().flatten() {
            // One that is gone meanwhile is none.
            if let Ok(status) = entry.metadata() {
                seen.insert(entry.file_name(), status.permissions().mode() & 0o7777);
            }
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    assert!(ended.success());
    let is_gate = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("baton-run-");
    assert!(seen.keys().any(is_gate), "{seen:?}");
    for (name, mode) in &seen {
        assert_eq!(*mode, 0o700, "{}", name.display());
    }
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}
