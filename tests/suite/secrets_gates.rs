//! What gates and models see and say: reports of tests and what is made of them, and the prompt.

use serde_json::json;

use crate::secrets::{lines, planted, tokens};
use crate::secrets_entrances::{check, run};
use crate::support::Bench;

#[test]
fn reports_of_tests_and_what_is_made_of_them() {
    let tokens = tokens();
    let junit: String = tokens
        .iter()
        .map(|token| format!("<testcase classname=\"{token}\" name=\"{token}\"><failure message=\"{token}\">{token}</failure></testcase>"))
        .collect();
    let junit = format!(
        "<testsuite name=\"s\" tests=\"{0}\" failures=\"{0}\">{junit}</testsuite>",
        tokens.len()
    );
    let tap: String = (1..)
        .zip(&tokens)
        .map(|(at, token)| format!("not ok {at} - {token}\n"))
        .collect();
    let cargo: String = tokens
        .iter()
        .map(|token| format!("test {token} ... FAILED\n"))
        .collect();
    let go: String = tokens
        .iter()
        .map(|token| {
            format!(
                "{}\n",
                json!({"Action": "fail", "Package": token, "Test": token})
            )
        })
        .collect();
    let pytest: String = tokens
        .iter()
        .map(|token| format!("FAILED tests/{token}.py::{token} - {token}\n"))
        .collect();
    let count = tokens.len();
    for (parser, report, printed) in [
        ("junit", junit, String::new()),
        (
            "tap",
            String::new(),
            format!("TAP version 13\n1..{count}\n{tap}"),
        ),
        (
            "cargo",
            String::new(),
            format!(
                "running {count} tests\n{cargo}\ntest result: FAILED. 0 passed; {count} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
            ),
        ),
        ("go", String::new(), go),
        (
            "pytest",
            String::new(),
            format!("{pytest}==== {count} failed in 0.10s ====\n"),
        ),
    ] {
        let bench = Bench::new();
        bench.write("printed", &printed);
        bench.write("report", &report);
        bench.write("Makefile", "check:\n\t@true\ntest:\n\t@mkdir -p out; cp report out/junit.xml; cat printed; grep -q 'echo 1' src/app.sh\n");
        bench.commit("a talkative suite");
        if parser == "junit" {
            bench.policy(|policy| {
                policy["gates"][5]["parser"] = json!("junit");
                policy["gates"][5]["reports"] = json!(["out/*.xml"]);
            });
        }
        bench.submit("T-1", "src/**");
        let patch =
            bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
        let mut said = vec![run(&bench, "T-1", &patch)];
        let (xml, sarif) = (bench.scratch("gates.xml"), bench.scratch("gates.sarif"));
        let path = bench.scratch("T-1.patch");
        said.push(bench.baton([
            "gate-runner",
            "--patch",
            path.to_str().unwrap(),
            "--base",
            "main",
            "--junit",
            xml.to_str().unwrap(),
            "--sarif",
            sarif.to_str().unwrap(),
            "-v",
        ]));
        for written in [xml, sarif] {
            let text = std::fs::read_to_string(&written).unwrap();
            for (line, secret) in planted() {
                assert!(
                    !text.contains(&secret),
                    "{parser}: {} holds {line}",
                    written.display()
                );
            }
        }
        said.push(bench.baton(["approve", "T-1"]));
        said.push(bench.baton(["run", "T-1"]));
        check(&bench, said, "T-1", parser);
    }
}

/// A branch for review tells its reviewers which tests failed, and how.
#[test]
fn the_description_of_a_branch_that_leaves_the_machine() {
    let bench = Bench::new();
    let failed: String = tokens()
        .iter()
        .map(|token| format!("test {token} ... FAILED\n"))
        .collect();
    let count = tokens().len();
    let printed = format!(
        "running {count} tests\n{failed}\ntest result: FAILED. 0 passed; {count} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
    );
    bench.write("printed", &printed);
    bench.write(
        "Makefile",
        "check:\n\t@true\ntest:\n\t@cat printed; false\n",
    );
    bench.commit("a suite that fails before and after");
    let remote = bench.pushes(&json!({}));
    bench.submit("T-1", "**");
    let patch =
        bench.patch(|root| std::fs::write(root.join("Cargo.lock"), "version = 4\n").unwrap());
    let mut said = vec![run(&bench, "T-1", &patch)];
    said.push(bench.baton(["approve", "T-1"]));
    let landed = bench.baton(["run", "T-1"]);
    assert_eq!(landed.code, 0, "{}{}", landed.stdout, landed.stderr);
    said.push(landed);
    let described = bench.task("done", "T-1").join("evidence/review.md");
    let described = std::fs::read_to_string(described).unwrap();
    assert!(described.contains("| G5 |"), "{described}");
    let sent = bench.git(&[
        "--git-dir",
        &remote,
        "log",
        "-1",
        "--format=%B",
        "baton/T-1",
    ]);
    for (line, secret) in planted() {
        assert!(!sent.contains(&secret), "the pushed commit holds {line}");
    }
    check(&bench, said, "T-1", "a branch for review");
}

#[test]
fn what_a_prompt_shows_of_the_repository() {
    let bench = Bench::new();
    bench.write("src/app.sh", &format!("echo 1\n{}", lines("# ")));
    bench.commit("somebody was careless");
    let seen = bench.scratch("prompt");
    let line = format!("cat > {}; echo '# NEED_INPUT'", seen.display());
    bench.policy(|policy| policy["draft"]["command"] = json!(["sh", "-c", line]));
    let task = json!({"task_id": "T-1", "title": "A change", "goal": "Change it",
        "scope": {"allow_patch_on_files": ["src/**"], "target_files": ["src/app.sh"]}});
    let file = bench.patch_file("task.json", &task.to_string());
    bench.baton(["submit", file.to_str().unwrap()]).expect(0);
    let ran = bench.baton(["run", "T-1", "--producer", "command"]);
    let prompt = std::fs::read_to_string(seen).unwrap();
    assert!(prompt.contains("echo 1"), "{prompt}");
    for (line, secret) in planted() {
        assert!(!prompt.contains(&secret), "the prompt holds {line}");
    }
    check(&bench, vec![ran], "T-1", "a prompt");
}
