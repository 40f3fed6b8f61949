//! What a gate finds behind its walls, and what happens where walls cannot be built.

use std::process::Command;

use serde_json::{Value, json};

use crate::changes::{gate, rules, take, write};
use crate::support::{Bench, program};

/// The number of G5 among the gates of the policy.
const G5: usize = 5;

fn record(bench: &Bench, id: &str, gate: &str) -> Value {
    let folder = ["pr", "done", "blocked"]
        .iter()
        .map(|state| bench.task(state, id))
        .find(|folder| folder.is_dir())
        .unwrap();
    let path = folder.join(format!("evidence/{gate}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Runs `baton` where the kernel gives no further user namespaces, which is what containers do.
fn without_namespaces(bench: &Bench, arguments: &[&str]) -> (i32, String, String) {
    const NEST: &str = include_str!("../../crates/sandbox/tests/common/without_namespaces.py");
    let inner = bench.command(arguments);
    let mut outer = Command::new("python3");
    outer
        .args(["-c", NEST, "0"])
        .arg(program())
        .args(inner.get_args());
    outer.current_dir(bench.root()).env_clear();
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap());
    }
    let output = outer.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn submit_fix(bench: &Bench, id: &str) -> String {
    bench.submit(id, "**");
    let text = bench.patch(write("src/app.sh", "echo 2\n"));
    bench
        .patch_file(&format!("{id}.patch"), &text)
        .to_string_lossy()
        .into_owned()
}

#[test]
fn behind_whole_walls_an_honest_change_lands_without_a_person_but_the_approver() {
    let bench = Bench::new();
    let done = take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    assert_eq!(
        (done["decision"].as_str(), rules(&bench, "T-1")),
        (Some("AUTO_MERGE"), vec!["D9".to_owned()])
    );
    let kept = record(&bench, "T-1", "G5");
    let sandbox = &kept["candidate"]["sandbox"];
    assert_eq!(sandbox["level"], "I3");
    assert_eq!(sandbox["aspects"]["network"]["cover"], "enforced");
    assert_eq!(sandbox["aspects"]["network"]["verified"], true);
    assert!(!sandbox["canary"].as_array().unwrap().is_empty());
    assert_eq!(sandbox["ended_by"], "exit:0");
    assert!(
        kept["tools"]["program"]["file"]["sha256"].is_string(),
        "{kept}"
    );
}

#[test]
fn where_walls_cannot_be_built_no_gate_runs_and_a_person_decides() {
    let bench = Bench::new();
    let path = submit_fix(&bench, "T-1");
    let (code, stdout, stderr) = without_namespaces(&bench, &["run", "T-1", "--from", &path]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let done: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(done["decision"], "PR_ONLY");
    assert!(rules(&bench, "T-1").contains(&"D6".to_owned()));
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "SKIP");
    assert!(note.starts_with("ISOLATION_UNAVAILABLE: I3:"), "{note}");
    assert!(note.contains("(next: "), "{note}");
    let kept = record(&bench, "T-1", "G5");
    assert_eq!(kept["not_run"]["tried"][0]["level"], "I3", "{kept}");
    let (code, stdout, _) = without_namespaces(&bench, &["doctor"]);
    assert_eq!(code, 1);
    assert!(stdout.contains("below I3 they are not run"), "{stdout}");
}

#[test]
fn a_weaker_level_is_taken_only_when_the_policy_names_it() {
    let bench = Bench::bare();
    bench.baton(["init", "--minimum-isolation", "I1"]).expect(0);
    bench.commit("ssot");
    let path = submit_fix(&bench, "T-1");
    let (code, stdout, stderr) = without_namespaces(&bench, &["run", "T-1", "--from", &path]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let kept = record(&bench, "T-1", "G5");
    let level = kept["candidate"]["isolation"].as_str().unwrap();
    assert!(["I1", "I2"].contains(&level), "{kept}");
    let tried = &kept["candidate"]["sandbox"]["fallback_from"];
    assert_eq!(
        tried[0]["level"], "I3",
        "the step down is on record: {tried}"
    );
    assert!(stdout.contains("AUTO_MERGE"), "{stdout}");
    // Results got behind weaker walls are not kept for another time.
    let path = submit_fix(&bench, "T-2");
    let (_, _, _) = without_namespaces(&bench, &["run", "T-2", "--from", &path]);
    assert!(record(&bench, "T-2", "G5")["cached"].is_null());
}

#[test]
fn a_gate_runs_only_when_the_change_concerns_it() {
    let bench = Bench::new();
    bench.policy(|policy| policy["gates"][G5]["paths"] = json!(["src/**"]));
    let done = take(&bench, "T-1", write("NOTES.md", "more\n")).expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "SKIP");
    assert!(note.starts_with("NOT_TOUCHED"), "{note}");
    assert_eq!(done["decision"], "AUTO_MERGE", "{done}");
    let done = take(&bench, "T-2", write("src/other.sh", "echo 1\n")).expect(0);
    assert_eq!(gate(&bench, "T-2", "G5").0, "PASS", "{done}");
}

#[test]
fn tests_of_the_base_are_run_on_the_candidates_code() {
    let bench = Bench::new();
    bench.write("tests/check.sh", "test \"$(sh src/app.sh)\" = 1 && echo '1 passed, 0 failed' || { echo '0 passed, 1 failed'; exit 1; }\n");
    bench.write("Makefile", "check:\n\t@true\ntest:\n\t@sh tests/check.sh\n");
    bench.commit("a test of its own");
    bench.policy(|policy| policy["gates"][G5]["protected_base"] = json!(["tests/**"]));
    // The change breaks the code and bends the test to it.
    let done = take(&bench, "T-1", |root| {
        std::fs::write(root.join("src/app.sh"), "echo 3\n").unwrap();
        std::fs::write(root.join("tests/check.sh"), "echo '1 passed, 0 failed'\n").unwrap();
    })
    .expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL");
    assert!(note.starts_with("BASE_TESTS_FAILED"), "{note}");
    assert_eq!(done["decision"], "PR_ONLY");
    assert!(rules(&bench, "T-1").contains(&"D6".to_owned()));
    // An honest change of code and test passes with both.
    take(&bench, "T-2", |root| {
        std::fs::write(root.join("src/app.sh"), "echo 1 # the same\n").unwrap();
        std::fs::write(root.join("tests/more.sh"), "true\n").unwrap();
    })
    .expect(0);
    assert_eq!(gate(&bench, "T-2", "G5").0, "PASS");
}

#[test]
fn fewer_tests_than_the_base_has_is_no_pass() {
    let bench = Bench::new();
    bench.write(
        "Makefile",
        "check:\n\t@true\ntest:\n\t@echo '5 passed, 0 failed'\n",
    );
    bench.commit("five tests");
    let recipe = "check:\n\t@true\ntest:\n\t@echo '3 passed, 0 failed'\n";
    let done = take(&bench, "T-1", write("Makefile", recipe)).expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert_eq!(status, "FAIL");
    assert!(
        note.starts_with("FEWER_TESTS") && note.contains("base_tests=5"),
        "{note}"
    );
    assert_eq!(done["decision"], "PR_ONLY");
}

#[test]
fn a_failure_that_does_not_come_back_is_called_flaky_and_is_a_failure() {
    let bench = Bench::new();
    let mut seen = false;
    for round in 100..140 {
        // The tree is the same each time it is run, and the coin is not.
        let recipe = format!(
            "check:\n\t@true\ntest:\n\t@n=$$(cat /proc/sys/kernel/random/uuid | tr -cd 0-9 | tail -c1); echo '1 passed, 0 failed'; [ $$n -ge 5 ] # {round}\n"
        );
        let id = format!("T-{round}");
        take(&bench, &id, write("Makefile", &recipe)).expect(0);
        let (status, note) = gate(&bench, &id, "G5");
        if note.contains("flaky=yes") {
            assert_eq!(status, "FAIL", "{note}");
            seen = true;
            break;
        }
    }
    assert!(seen, "forty coins and never a failure that went away");
}

#[test]
fn tools_that_ask_git_find_a_repository_that_is_nobodys() {
    let bench = Bench::new();
    let recipe = "check:\n\t@git status --porcelain; git log --format=%s; git diff --name-only base; git remote; git config --list --local\ntest:\n\t@echo '1 passed, 0 failed'\n";
    bench.write("Makefile", recipe);
    bench.commit("asks git");
    bench.policy(|policy| policy["gates"][4]["repository"] = json!(true));
    take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    let log = std::fs::read_to_string(bench.task("pr", "T-1").join("evidence/G4.log")).unwrap();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| !line.starts_with("core."))
        .collect();
    assert_eq!(lines, ["candidate", "base", "src/app.sh"], "{log}");
    // Without being asked for there is none, and the one around the scratch folder is out of sight.
    bench.policy(|policy| policy["gates"][4]["repository"] = json!(false));
    take(&bench, "T-2", write("src/app.sh", "echo 3\n")).expect(0);
    let log = std::fs::read_to_string(bench.task("pr", "T-2").join("evidence/G4.log")).unwrap();
    assert!(log.contains("not a git repository"), "{log}");
}

#[test]
fn packages_of_the_checkout_are_borrowed_and_stay_as_they_are() {
    let bench = Bench::new();
    let recipe = "check:\n\t@cat node_modules/left/index.js; echo spoiled > node_modules/left/index.js || true\ntest:\n\t@echo '1 passed, 0 failed'\n";
    bench.write("Makefile", recipe);
    bench.write(".gitignore", "node_modules\n");
    bench.commit("packages");
    bench.write("node_modules/left/index.js", "whole\n");
    bench.policy(|policy| policy["gates"][4]["borrow"] = json!(["node_modules"]));
    take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    let log = std::fs::read_to_string(bench.task("pr", "T-1").join("evidence/G4.log")).unwrap();
    assert!(log.starts_with("whole\n"), "{log}");
    let after = std::fs::read_to_string(bench.root().join("node_modules/left/index.js")).unwrap();
    assert_eq!(after, "whole\n");
    // A change that brings the folder itself is not laid over.
    let _ = take(&bench, "T-2", |root| {
        std::fs::write(root.join(".gitignore"), "other\n").unwrap();
        std::fs::remove_dir_all(root.join("node_modules")).unwrap();
        std::fs::create_dir(root.join("node_modules")).unwrap();
        std::fs::write(root.join("node_modules/mine.js"), "x\n").unwrap();
    });
    std::fs::create_dir_all(bench.root().join("node_modules")).unwrap();
    let (status, note) = gate(&bench, "T-2", "G4");
    assert_eq!(status, "SKIP");
    assert!(note.starts_with("GATE_PLACE"), "{note}");
}

#[test]
fn a_result_is_not_used_again_when_anything_below_a_borrowed_folder_changed() {
    let bench = Bench::new();
    let recipe = "check:\n\t@grep -q whole node_modules/left/lib/index.js\ntest:\n\t@echo '1 passed, 0 failed'\n";
    bench.write("Makefile", recipe);
    bench.write(".gitignore", "node_modules\n");
    bench.commit("packages");
    let module = bench.root().join("node_modules/left/lib/index.js");
    bench.write("node_modules/left/lib/index.js", "whole\n");
    bench.policy(|policy| policy["gates"][4]["borrow"] = json!(["node_modules"]));
    let change = || write("src/app.sh", "echo 2\n");
    take(&bench, "T-1", change()).expect(0);
    take(&bench, "T-2", change()).expect(0);
    assert!(gate(&bench, "T-2", "G4").1.ends_with("cached=yes"));
    // What an installation does: another file in the old one's place.
    std::fs::remove_file(&module).unwrap();
    std::fs::write(&module, "other\n").unwrap();
    take(&bench, "T-3", change()).expect(0);
    let (status, note) = gate(&bench, "T-3", "G4");
    assert_eq!(status, "FAIL", "{note}");
}

#[test]
fn a_place_that_would_show_the_home_or_the_repository_is_refused() {
    let bench = Bench::new();
    for place in ["/", "~/../..", "$HOME", "~/"] {
        bench.policy(|policy| policy["gates"][4]["read_only"] = json!([place]));
        let said = bench.baton(["gate-runner", "--list"]);
        let refused = said.code == 1 && said.stdout.contains("POLICY_INVALID");
        if !refused {
            let id = format!("T-{}", place.len());
            let _ = take(&bench, &id, write("src/app.sh", "echo 2\n"));
            let (status, note) = gate(&bench, &id, "G4");
            assert_eq!(status, "SKIP", "{place}: {note}");
            assert!(note.starts_with("GATE_PLACE"), "{place}: {note}");
        }
        bench.git(&["revert", "--no-edit", "HEAD"]);
    }
}

#[test]
fn further_gates_run_after_what_they_need() {
    let bench = Bench::new();
    bench.policy(|policy| {
        let mut more = policy["gates"][G5].clone();
        more["id"] = json!("G10");
        more["name"] = json!("end to end");
        more["needs"] = json!(["G5"]);
        policy["gates"].as_array_mut().unwrap().push(more);
    });
    take(&bench, "T-1", write("src/app.sh", "echo broken\n")).expect(0);
    let (status, note) = gate(&bench, "T-1", "G10");
    assert_eq!(status, "SKIP");
    assert!(note.starts_with("DEPENDENCY_FAILED: G5"), "{note}");
    take(&bench, "T-2", write("src/app.sh", "echo 2\n")).expect(0);
    assert_eq!(gate(&bench, "T-2", "G10").0, "PASS");
    // One that the change does not concern does not stand in the way.
    bench.policy(|policy| policy["gates"][G5]["paths"] = json!(["docs/**"]));
    take(&bench, "T-3", write("src/app.sh", "echo 3\n")).expect(0);
    assert!(gate(&bench, "T-3", "G5").1.starts_with("NOT_TOUCHED"));
    assert_eq!(gate(&bench, "T-3", "G10").0, "PASS");
    for (needs, what) in [
        (json!(["G10"]), "circle"),
        (json!(["G1"]), "only command gates"),
        (json!(["G77"]), "only command gates"),
    ] {
        bench.policy(|policy| policy["gates"][7]["needs"] = needs.clone());
        let said = bench.baton(["gate-runner", "--list"]);
        assert!(said.stdout.contains(what), "{needs}: {}", said.stdout);
        bench.git(&["revert", "--no-edit", "HEAD"]);
    }
}

#[test]
fn a_program_that_is_not_there_is_told_and_kept_on_record() {
    let bench = Bench::new();
    bench.policy(|policy| policy["gates"][4]["argv"] = json!(["no-such-program-anywhere"]));
    take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    let (status, note) = gate(&bench, "T-1", "G4");
    assert_eq!(status, "SKIP");
    assert!(note.starts_with("TOOL_MISSING"), "{note}");
    assert_eq!(
        record(&bench, "T-1", "G4")["not_run"]["code"],
        "TOOL_MISSING"
    );
}

#[test]
fn results_are_written_for_other_programs_and_told_to_people() {
    let bench = Bench::new();
    let patch = bench.patch(write("src/app.sh", "echo broken\n"));
    let junit = bench.scratch("gates.xml");
    let sarif = bench.scratch("gates.sarif");
    let line = [
        "gate-runner",
        "-v",
        "--patch",
        "-",
        "--base",
        "HEAD",
        "--junit",
        junit.to_str().unwrap(),
        "--sarif",
        sarif.to_str().unwrap(),
    ];
    let ran = bench.pipe(patch.as_bytes(), line);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("G5 failed (COMMAND_FAILED) after"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("  | 0 passed, 1 failed"),
        "{}",
        ran.stderr
    );
    let text = std::fs::read_to_string(&junit).unwrap();
    assert!(
        text.contains("<testcase") && text.contains("COMMAND_FAILED"),
        "{text}"
    );
    let log: Value = serde_json::from_slice(&std::fs::read(&sarif).unwrap()).unwrap();
    let rules: Vec<_> = log["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["ruleId"].as_str().unwrap())
        .collect();
    assert!(rules.contains(&"G5"), "{log}");
    let again = bench.pipe(patch.as_bytes(), line);
    assert!(
        again.findings().contains(&"FILE_EXISTS".to_owned()),
        "{}",
        again.stdout
    );
    let listed = bench.baton(["gate-runner", "--list", "-v"]);
    assert!(
        listed
            .stderr
            .contains("would run: make test (in .; at most 900 s; isolation I3 or more)"),
        "{}",
        listed.stderr
    );
}

#[test]
fn tests_are_held_against_the_base_by_name() {
    let bench = Bench::new();
    let tests = |a: &str, b: &str, c: &str| {
        format!(
            "check:\n\t@true\ntest:\n\t@printf 'TAP version 13\\n1..3\\n{a} 1 sum\\n{b} 2 product\\nok 3 {c}\\n'\n"
        )
    };
    bench.write("Makefile", &tests("not ok", "ok", "share"));
    bench.commit("sum is broken");
    // What was broken before is not blamed on the change.
    take(&bench, "T-1", write("src/app.sh", "echo 2\n")).expect(0);
    let (status, note) = gate(&bench, "T-1", "G5");
    assert!(
        status == "FAIL" && note.contains("base=FAIL") && !note.contains("new=yes"),
        "{note}"
    );
    // As many fail as before, and another one: one was mended and one broken.
    take(
        &bench,
        "T-2",
        write("Makefile", &tests("ok", "not ok", "share")),
    )
    .expect(0);
    let (status, note) = gate(&bench, "T-2", "G5");
    assert!(status == "FAIL" && note.contains("new=yes"), "{note}");
    let beside = record(&bench, "T-2", "G5")["beside_base"].clone();
    assert_eq!(
        beside["new_failures"]["names"],
        json!(["product"]),
        "{beside}"
    );
    assert_eq!(beside["mended"]["names"], json!(["sum"]), "{beside}");
    // A test that is gone, though as many ran.
    bench.write("Makefile", &tests("ok", "ok", "share"));
    bench.commit("all is well");
    take(
        &bench,
        "T-3",
        write("Makefile", &tests("ok", "ok", "trivial")),
    )
    .expect(0);
    assert_eq!(gate(&bench, "T-3", "G5").0, "PASS");
    let kept = crate::changes::kept(&bench, "T-3", "gate-runner");
    let codes: Vec<_> = kept["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    assert!(codes.contains(&"TESTS_MISSING"), "{codes:?}");
}

#[test]
fn a_program_in_the_home_is_found_only_where_the_policy_shows_it() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let tools = bench.home().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let lint = tools.join("mylint");
    std::fs::write(&lint, "#!/bin/sh\necho linted\n").unwrap();
    std::fs::set_permissions(&lint, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let baton = |arguments: &[&str]| {
        let output = bench
            .command(arguments)
            .env("PATH", &path)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = bench.patch(write("src/app.sh", "echo 2\n"));
    let patch = bench.patch_file("x.patch", &text);
    let line = [
        "gate-runner",
        "--patch",
        patch.to_str().unwrap(),
        "--base",
        "HEAD",
        "--only",
        "G0,G1,G2,G3,G4",
    ];
    bench.policy(|policy| policy["gates"][4]["argv"] = json!(["mylint"]));
    assert!(baton(&["doctor"]).contains("mylint is nowhere on the PATH that the gate sees"));
    assert!(baton(&line).contains("TOOL_MISSING"));
    bench.policy(|policy| policy["gates"][4]["read_only"] = json!(["~/tools"]));
    assert!(baton(&["doctor"]).contains(&format!("mylint (by {})", lint.display())));
    let answer: Value = serde_json::from_str(&baton(&line)).unwrap();
    assert_eq!(answer["data"]["gates"][4]["status"], "PASS", "{answer}");
}
