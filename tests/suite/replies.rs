//! Replies in each form through the whole program: candidate, envelope, report, exit codes.

use serde_json::{Value, json};

use crate::support::{Bench, Ran};

/// A task in work that may change `src/`, on a file with some lines.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write(
        "src/long.py",
        "import os\n\ndef one():\n    return 1\n\n\ndef two():\n    return 2\n",
    );
    bench.commit("a longer file");
    ready(&bench, "T-1");
    bench
}

fn ready(bench: &Bench, id: &str) {
    bench.submit(id, "src/**");
    bench.baton(["claim-lock", "--task", id]).expect(0);
    bench.baton(["intake-validate", "--task", id]).expect(0);
}

fn draft(bench: &Bench, format: &str, reply: &str, more: &[&str]) -> Ran {
    let path = bench.patch_file("reply.txt", reply);
    let path = path.to_string_lossy().into_owned();
    let flags = [
        "patch-draft",
        "--task",
        "T-1",
        "--from",
        &path,
        "--reply-format",
        format,
    ];
    bench.baton(flags.into_iter().chain(more.iter().copied()))
}

fn read(bench: &Bench, name: &str) -> Value {
    let bytes = std::fs::read(bench.task("work", "T-1").join(name)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// What the candidate's patch changes, as git says it.
fn changed(bench: &Bench) -> String {
    let patch = bench.task("work", "T-1").join("draft.patch");
    bench.git(&["apply", "--numstat", &patch.to_string_lossy()])
}

#[test]
fn each_form_becomes_a_candidate_that_tells_how() {
    let whole = "src/app.sh\n```sh\necho 2\n```\n";
    let blocks = "src/app.sh\n<<<<<<< SEARCH\necho 1\n=======\necho 2\n>>>>>>> REPLACE\n";
    let clean = "diff --git a/src/app.sh b/src/app.sh\n--- a/src/app.sh\n+++ b/src/app.sh\n@@ -1 +1 @@\n-echo 1\n+echo 2\n";
    let mended =
        "Sure!\n```diff\n--- src/app.sh\n+++ src/app.sh\n@@ ... @@\n-echo 1\n+echo 2\n```\n";
    let start = bench();
    let mut trees = Vec::new();
    for (format, reply, matched, repairs) in [
        ("whole", whole, "clean", vec![]),
        ("search-replace", blocks, "clean", vec![]),
        ("udiff", clean, "clean", vec![]),
        (
            "udiff",
            mended,
            "repaired",
            vec![
                "R03-prose",
                "R02-fence",
                "R05-git-header",
                "R08-no-numbers",
                "R04-prefix",
            ],
        ),
    ] {
        let bench = start.copy();
        let ran = draft(&bench, format, reply, &[]);
        ran.expect(0);
        let candidate = read(&bench, "candidate.json");
        assert_eq!(candidate["match"], matched);
        trees.push(candidate["tree"].clone());
        assert_eq!(changed(&bench), "1\t1\tsrc/app.sh");
        let report = read(&bench, "report.json");
        assert_eq!(
            (&report["reply_format"], &report["match"]),
            (&json!(format), &json!(matched))
        );
        let ids: Vec<_> = report["repairs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, repairs);
        let found = ran
            .findings()
            .iter()
            .filter(|code| *code == "REPLY_REPAIRED")
            .count();
        assert_eq!(found, repairs.len());
        let attempts = report["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0]["outcome"], matched);
        assert_eq!(
            attempts[0]["reply_sha256"],
            baton_core::digest::sha256(reply.as_bytes())
        );
        bench.baton(["diff-risk-scan", "--task", "T-1"]).expect(0);
    }
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:?}");
}

#[test]
fn a_mode_and_an_end_stay_and_a_new_file_is_plain() {
    let bench = Bench::new();
    bench.write("src/run.sh", "echo 1");
    bench.git(&["add", "-A"]);
    bench.git(&["update-index", "--chmod=+x", "src/run.sh"]);
    bench.git(&["commit", "-qm", "a program"]);
    bench.git(&["checkout", "-q", "."]);
    ready(&bench, "T-1");
    let reply = "src/run.sh\n```\necho 2\n```\n\nsrc/deep/new.txt\n```\nx\n```\n";
    draft(&bench, "whole", reply, &[]).expect(0);
    let tree = read(&bench, "candidate.json")["tree"]
        .as_str()
        .unwrap()
        .to_owned();
    let objects = bench.queue().join("git");
    let objects = objects.to_string_lossy().into_owned();
    let listed = bench.git(&[
        "--git-dir",
        &objects,
        "ls-tree",
        "-r",
        &tree,
        "src/run.sh",
        "src/deep/new.txt",
    ]);
    let modes: Vec<_> = listed
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(modes, ["100644", "100755"]);
    assert_eq!(
        bench.git(&[
            "--git-dir",
            &objects,
            "cat-file",
            "-s",
            &format!("{tree}:src/run.sh")
        ]),
        "6"
    );
}

#[test]
fn a_refused_reply_leaves_no_candidate_and_says_what_to_do() {
    let start = bench();
    let block = |path: &str, old: &str, new: &str| {
        format!("{path}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n")
    };
    for (format, reply, code) in [
        (
            "whole",
            "../out.txt\n```\nx\n```\n".to_owned(),
            "REPLY_PATH_UNSAFE",
        ),
        (
            "whole",
            ".git/hooks/x\n```\nx\n```\n".to_owned(),
            "REPLY_PATH_UNSAFE",
        ),
        (
            "whole",
            "README.md\n````\nx\n````\n".to_owned(),
            "REPLY_PATH_NOT_OFFERED",
        ),
        (
            "whole",
            "src/app.sh/x\n```\nx\n```\n".to_owned(),
            "REPLY_PATH_IS_LINK",
        ),
        (
            "search-replace",
            block("src/long.py", "    return 9\n", "x\n"),
            "HUNK_REMOVES_UNKNOWN",
        ),
        (
            "search-replace",
            block("src/long.py", "\n", "\nx\n"),
            "HUNK_NOT_UNIQUE",
        ),
        (
            "udiff",
            "--- a/src/app.sh\n+++ /dev/null\n@@ -1 +0,0 @@\n-echo 1\n".to_owned(),
            "REPLY_DELETE_REFUSED",
        ),
        ("udiff", "nothing".to_owned(), "REPLY_EMPTY"),
    ] {
        let bench = start.copy();
        let ran = draft(&bench, format, &reply, &[]);
        let envelope = ran.expect(1);
        assert_eq!(envelope["status"], "FAIL");
        assert_eq!(ran.findings()[0], code, "{}", ran.stdout);
        let folder = bench.task("work", "T-1");
        assert!(!folder.join("candidate.json").exists() && !folder.join("draft.patch").exists());
        let report = read(&bench, "evidence/refused.json");
        assert_eq!(report["status"], "REFUSED");
        assert_eq!(report["attempts"][0]["refusals"][0]["code"], code);
        let kept = std::fs::read_to_string(folder.join("evidence/refused.txt")).unwrap();
        assert_eq!(kept, reply);
        let told = bench.baton(["explain", code]).expect(0);
        assert_eq!(told["source"], "patch-draft");
        // A better reply is taken as if nothing had been.
        draft(&bench, "whole", "src/app.sh\n```\necho 2\n```\n", &[]).expect(0);
    }
}

#[test]
fn a_guess_needs_the_policys_leave_and_goes_to_a_person() {
    let bench = bench();
    let reply = "src/long.py\n<<<<<<< SEARCH\ndef one():\n return 1\n=======\ndef one():\n return 11\n>>>>>>> REPLACE\n";
    let reply = reply
        .replace("def one():\n return", "def one():\n    return")
        .replace("def one", "    def one")
        .replace("    return", "        return");
    let denied = draft(&bench, "search-replace", &reply, &["--fuzz"]);
    denied.expect(3);
    assert_eq!(denied.findings()[0], "FUZZ_DENIED");
    draft(&bench, "search-replace", &reply, &[]).expect(1);
    bench.policy(|policy| policy["draft"]["fuzzy"] = json!("allow"));
    let ran = draft(&bench, "search-replace", &reply, &["--fuzz"]);
    ran.expect(0);
    assert!(
        ran.findings().contains(&"REPLY_FUZZY".to_owned()),
        "{}",
        ran.stdout
    );
    assert_eq!(read(&bench, "candidate.json")["match"], "fuzzy");
    let scan = bench.baton(["diff-risk-scan", "--task", "T-1"]);
    assert_eq!(scan.expect(0)["data"]["risk_level"], "MEDIUM");
    assert!(scan.findings().contains(&"FUZZY_DRAFT".to_owned()));
    let other = bench.copy();
    let done = bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(done["decision"], "PR_ONLY", "{done}");
    // Whoever edits the word away, before or after the scan, has no candidate any more.
    let path = other.task("work", "T-1").join("candidate.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"fuzzy\"", "\"clean\"")).unwrap();
    let ran = other.baton(["run", "T-1"]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        said.contains("EVIDENCE_CHANGED") || said.contains("D4"),
        "{said}"
    );
}

#[test]
fn a_guess_stays_one_when_the_change_is_made_anew() {
    let bench = bench();
    bench.policy(|policy| policy["draft"]["fuzzy"] = json!("allow"));
    let reply = "src/long.py\n<<<<<<< SEARCH\n        return 1\n=======\n        return 11\n>>>>>>> REPLACE\n";
    draft(&bench, "search-replace", reply, &["--fuzz"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench.write("docs.txt", "moved\n");
    bench.commit("the target moves");
    bench.baton(["approve", "T-1"]).expect(0);
    let ran = bench.baton(["run", "T-1"]);
    let folder = ["pr", "work", "done"].map(|state| bench.task(state, "T-1"));
    let folder = folder.into_iter().find(|folder| folder.exists()).unwrap();
    assert!(
        folder.join("attempts").exists(),
        "it was not made anew: {}",
        ran.stdout
    );
    let text = std::fs::read_to_string(folder.join("candidate.json")).unwrap();
    assert!(
        text.contains("\"match\": \"fuzzy\""),
        "{text}\n{}",
        ran.stdout
    );
}

#[test]
fn a_producer_is_asked_again_with_what_was_wrong() {
    let bench = Bench::new();
    let replies = bench.scratch("replies");
    std::fs::create_dir(&replies).unwrap();
    let block = |old: &str| {
        format!("src/app.sh\n<<<<<<< SEARCH\n{old}\n=======\necho 2\n>>>>>>> REPLACE\n")
    };
    std::fs::write(replies.join("1"), block("echo 9")).unwrap();
    std::fs::write(
        replies.join("2"),
        block("echo 1").replace(">>>>>>> REPLACE\n", ""),
    )
    .unwrap();
    std::fs::write(replies.join("3"), block("echo 1")).unwrap();
    let line = format!(
        "cd {}; n=$(ls prompt.* 2>/dev/null | wc -l); n=$((n + 1)); cat > prompt.$n; cat $n",
        replies.display()
    );
    bench.policy(|policy| policy["draft"]["command"] = json!(["sh", "-c", line]));
    ready(&bench, "T-1");
    let flags = [
        "patch-draft",
        "--task",
        "T-1",
        "--producer",
        "command",
        "--reply-format",
        "search-replace",
    ];
    bench.baton(flags).expect(0);
    let report = read(&bench, "report.json");
    let attempts = report["attempts"].as_array().unwrap();
    let outcomes: Vec<_> = attempts
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["refused", "refused", "clean"]);
    assert_eq!(attempts[0]["refusals"][0]["code"], "HUNK_REMOVES_UNKNOWN");
    assert_eq!(attempts[1]["refusals"][0]["code"], "REPLY_CUT");
    assert_eq!(attempts[2]["call"]["model"], "command:sh");
    let prompt = |n: &str| std::fs::read_to_string(replies.join(format!("prompt.{n}"))).unwrap();
    assert!(prompt("1").contains("<<<<<<< SEARCH") && !prompt("1").contains("could not be used"));
    for part in [
        "could not be used",
        "-echo 9",
        "\necho 1\nFILE ",
        "HUNK_REMOVES_UNKNOWN",
    ] {
        assert!(prompt("2").contains(part), "{part}: {}", prompt("2"));
    }
    assert!(prompt("3").contains("REPLY_CUT") && !prompt("3").contains("echo 9"));
    // No more often than the policy says.
    bench.policy(|policy| policy["caps"]["draft_retries"] = json!(0));
    for n in ["1", "2", "3"] {
        std::fs::remove_file(replies.join(format!("prompt.{n}"))).unwrap();
    }
    bench.submit("T-2", "src/**");
    bench.baton(["claim-lock", "--task", "T-2"]).expect(0);
    bench.baton(["intake-validate", "--task", "T-2"]).expect(0);
    let flags = [
        "patch-draft",
        "--task",
        "T-2",
        "--producer",
        "command",
        "--reply-format",
        "search-replace",
    ];
    bench.baton(flags).expect(1);
    assert!(replies.join("prompt.1").exists() && !replies.join("prompt.2").exists());
}

#[test]
fn a_secret_in_a_reply_is_kept_nowhere() {
    let bench = bench();
    let key = format!("AKIA{}", "QYLPMN5HFIQR7XYA");
    let reply =
        format!("src/long.py\n<<<<<<< SEARCH\nkey = '{key}'\n=======\nx\n>>>>>>> REPLACE\n");
    let ran = draft(&bench, "search-replace", &reply, &[]);
    ran.expect(1);
    assert!(
        !ran.stdout.contains(&key) && !ran.stderr.contains(&key),
        "{}",
        ran.stdout
    );
    for name in ["evidence/refused.txt", "evidence/refused.json"] {
        let text = std::fs::read_to_string(bench.task("work", "T-1").join(name)).unwrap();
        assert!(!text.contains(&key), "{text}");
    }
}
