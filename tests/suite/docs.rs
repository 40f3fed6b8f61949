//! The commands in README and docs are real: every one parses, and the quick start is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Bench;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Splits a line as a shell splits plain words and single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The commands of baton in the indented blocks of a page: comments cut off, pipes taken apart.
fn commands(page: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(top().join(page)).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("    "));
    let parts = lines.flat_map(|line| {
        line.split(" #")
            .next()
            .unwrap()
            .split('|')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let known = |words: &Vec<String>| {
        let first = words.first().map(String::as_str).unwrap_or_default();
        first == "baton"
            || baton::SKILLS.iter().any(|skill| {
                skill.name == first
                    && words.len() > 1
                    && !words[1].chars().next().unwrap().is_uppercase()
            })
    };
    parts.map(|part| words(part.trim())).filter(known).collect()
}

#[test]
fn every_command_in_the_documents_parses() {
    let mut checked = 0;
    for page in [
        "README.md",
        "docs/agents.md",
        "docs/approvals.md",
        "docs/audit.md",
        "docs/operating.md",
        "docs/codes.md",
        "docs/orchestrating.md",
        "docs/evidence.md",
        "docs/verifying.md",
        "docs/gates.md",
        "docs/landing.md",
        "docs/models.md",
        "docs/risk.md",
        "docs/worker.md",
        "docs/watchdog.md",
        "docs/stores.md",
        "docs/skills/TRACE_EVALS_PLAN.md",
        "docs/drafting.md",
    ] {
        for words in commands(page) {
            // The picture of the way through names tools beside what they do.
            if words.get(1).is_some_and(|word| !word.starts_with('-')) && words[0] != "baton" {
                continue;
            }
            let mut line = words.clone();
            if words[0] != "baton" {
                line.insert(0, "baton".to_owned());
            }
            let parsed = baton::command().try_get_matches_from(&line);
            assert!(
                parsed.is_ok(),
                "{page}: {words:?}: {}",
                parsed.err().unwrap()
            );
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} commands were found");
}

#[test]
fn the_quick_start_of_the_readme_works_as_written() {
    let bench = Bench::bare();
    let fix = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let text = std::fs::read_to_string(top().join("README.md")).unwrap();
    let section = text
        .split("## On your repository")
        .nth(1)
        .unwrap()
        .split("## ")
        .next()
        .unwrap();
    let mut ran = 0;
    for line in section
        .lines()
        .filter(|line| line.starts_with("    baton "))
    {
        let words = words(line.split(" #").next().unwrap().trim());
        let given = std::fs::write(bench.root().join("fix.patch"), &fix);
        given.unwrap();
        bench.baton(&words[1..]).expect(0);
        std::fs::remove_file(bench.root().join("fix.patch")).unwrap();
        if words[1] == "init" {
            bench.commit("ssot");
        }
        ran += 1;
    }
    assert_eq!(ran, 7);
    assert_eq!(bench.git(&["show", "main:src/app.sh"]), "echo 2");
}

#[test]
fn the_rows_of_the_page_are_worked_on_as_written() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(top().join("docs/orchestrating.md")).unwrap();
    let mut ran = 0;
    for title in ["## The queue as rows", "## While others work"] {
        if title == "## While others work" {
            bench.submit("T-1", "src/**");
        }
        let section = text.split(title).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for line in section
            .lines()
            .filter(|line| line.starts_with("    baton "))
        {
            bench.baton(&words(line)[1..]).expect(0);
            ran += 1;
        }
    }
    assert_eq!(ran, 15);
    let rows = std::fs::read_to_string(bench.queue().join("QUEUE.md")).unwrap();
    let head = text
        .lines()
        .find(|line| line.starts_with("    | id |"))
        .unwrap();
    assert!(rows.contains(head.trim()), "{rows}");
    bench.baton(["audit", "verify"]).expect(0);
}

#[test]
fn the_reply_of_the_page_becomes_a_candidate() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(top().join("docs/drafting.md")).unwrap();
    let section = text.split("## An example").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let (commands, reply): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("baton "));
    let reply = reply.join("\n") + "\n";
    let path = bench.patch_file("reply.txt", &reply);
    bench.submit("T-1", "src/**");
    for line in &commands {
        let mut words = words(line);
        for word in words.iter_mut().filter(|word| *word == "reply.txt") {
            *word = path.to_string_lossy().into_owned();
        }
        bench.baton(&words[1..]).expect(0);
    }
    let patch = std::fs::read_to_string(bench.task("pr", "T-1").join("draft.patch")).unwrap();
    assert!(patch.ends_with("-echo 1\n+echo 2\n"), "{patch}");
    assert_eq!(commands.len(), 3);
}

#[test]
fn the_page_names_every_repair_and_every_refusal() {
    let text = std::fs::read_to_string(top().join("docs/drafting.md")).unwrap();
    for word in patch_draft::reply::words() {
        assert!(text.contains(word.id), "{}", word.id);
    }
}

#[test]
fn the_evidence_is_checked_by_hand_as_the_page_says() {
    let bench = Bench::with_waiting();
    bench.baton(["verify", "T-1"]).expect(0);
    let text = std::fs::read_to_string(top().join("docs/evidence.md")).unwrap();
    let section = text.split("## Checking by hand").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let task = bench.task("pr", "T-1");
    let said: Vec<_> = lines
        .map(|line| {
            let shell = Command::new("sh")
                .args(["-euc", line])
                .current_dir(&task)
                .output();
            let output = shell.unwrap();
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{line}: {output:?}"
            );
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    let [manifest, sums, result, provenance] = said.try_into().unwrap();
    let sums: Vec<_> = sums
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(sums.len(), 3);
    assert!(manifest.contains(sums[0]) && manifest.contains(sums[1]));
    assert!(provenance.contains(sums[2]), "{provenance}");
    assert!(result.contains("\"passedTests\":["), "{result}");
    // The page names every file that is there.
    for entry in std::fs::read_dir(task.join("evidence")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_gate = name.starts_with('G') && name.ends_with(".json");
        assert!(is_gate || text.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn a_signed_approval_is_checked_by_hand_as_the_page_says() {
    let bench = Bench::new();
    let key = bench.scratch("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let line = format!("op@baton.example {public}");
    bench.write(".autodev_ssot/ALLOWED_SIGNERS", &line);
    bench.commit("signers");
    bench.waiting("T-1");
    let key = key.to_str().unwrap();
    let arguments = [
        "approve",
        "T-1",
        "--sign",
        "--key",
        key,
        "--reason",
        "schön, 漢字",
    ];
    bench.baton(arguments).expect(0);
    let text = std::fs::read_to_string(top().join("docs/approvals.md")).unwrap();
    let section = text.split("## Checking by hand").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let script = lines.collect::<Vec<_>>().join("\n");
    let folder = bench.queue().join("approved");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let check = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(&folder);
        shell.env("F", file.path()).output().unwrap()
    };
    let good = check();
    let said = String::from_utf8_lossy(&good.stdout);
    assert!(said.starts_with("Good \"baton-approval@"), "{good:?}");
    let changed = std::fs::read_to_string(file.path()).unwrap();
    std::fs::write(file.path(), changed.replace("\"MERGE\"", "\"EXTERNAL\"")).unwrap();
    let bad = check();
    assert!(
        !String::from_utf8_lossy(&bad.stdout).starts_with("Good"),
        "{bad:?}"
    );
}

#[test]
fn the_log_is_proven_and_checked_by_hand_as_the_page_says() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.submit("T-2", "src/**");
    let text = std::fs::read_to_string(top().join("docs/audit.md")).unwrap();
    let programs = crate::support::program();
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(programs.parent().unwrap().to_owned());
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
    let mut ran = 0;
    for title in ["## Proving to a stranger", "## With openssl alone"] {
        let section = text.split(title).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for line in section.lines().filter_map(|line| line.strip_prefix("    ")) {
            let shell = Command::new("sh")
                .args(["-euc", line])
                .current_dir(bench.root())
                .env_clear()
                .env("PATH", &path)
                .env("HOME", bench.home())
                .output()
                .unwrap();
            assert!(shell.status.success(), "{line}: {shell:?}");
            ran += 1;
        }
    }
    assert_eq!(ran, 11);
}

#[test]
fn every_help_text_says_what_the_command_is_for() {
    let bench = Bench::bare();
    for skill in baton::SKILLS {
        let ran = bench.baton([skill.name, "--help"]);
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.starts_with(skill.about), "{}", ran.stdout);
        assert!(
            skill
                .examples
                .iter()
                .all(|example| ran.stdout.contains(example)),
            "{}",
            ran.stdout
        );
        assert!(ran.stdout.contains("Exit codes"), "{}", ran.stdout);
    }
    let command = baton::command();
    let mut texts: Vec<_> = command
        .get_subcommands()
        .map(|sub| sub.get_about().unwrap().to_string())
        .collect();
    texts.sort();
    let all = texts.len();
    texts.dedup();
    assert_eq!(texts.len(), all, "two commands say the same of themselves");
}

#[test]
fn the_manual_and_the_completions_come_from_the_command_line() {
    let bench = Bench::bare();
    let page = bench.baton(["man", "claim-lock"]);
    assert!(
        page.code == 0 && page.stdout.contains(".TH claim-lock") && page.stdout.contains("lease"),
        "{}",
        page.stdout
    );
    assert!(
        bench
            .baton(["man"])
            .stdout
            .contains("pr\\-merge\\-orchestrator")
    );
    let audit = bench.baton(["man", "audit"]).stdout;
    assert!(audit.contains(".TH baton-audit 1"), "{audit}");
    assert!(audit.contains("baton\\-audit\\-verify(1)"), "{audit}");
    let verify = bench.baton(["man", "audit", "verify"]).stdout;
    assert!(verify.contains(".TH baton-audit-verify 1"), "{verify}");
    assert_eq!(bench.baton(["man", "nothing"]).code, 2);
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.baton(["completions", shell]);
        assert!(
            script.code == 0 && script.stdout.contains("claim-lock"),
            "{shell}"
        );
    }
}

/// The threat model says which test shows a thing; it must not name one that is gone.
#[test]
fn the_tests_that_the_threat_model_names_are_there() {
    let page = std::fs::read_to_string(top().join("docs/security/threat-model.md")).unwrap();
    let mut checked = 0;
    for name in page.split('`').skip(1).step_by(2) {
        let Some((place, test)) = name.rsplit_once("::") else {
            continue;
        };
        let file = match place.strip_suffix(".rs") {
            Some(_) => top().join(place),
            None => top().join(format!("tests/suite/{place}.rs")),
        };
        let source = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{name}: {}: {error}", file.display()));
        let there = source.contains(&format!("fn {test}(")) || source.contains(&format!("({test}"));
        assert!(there, "{name} is not in {}", file.display());
        checked += 1;
    }
    assert!(checked >= 40, "only {checked} tests are named");
}

/// The page's own words for it, as a program says them to SQLite.
#[test]
fn the_copy_of_a_sqlite_queue_is_a_queue() {
    let page = std::fs::read_to_string(top().join("docs/stores.md")).unwrap();
    let (_, rest) = page
        .split_once("sqlite3 .autodev_queue/queue.db \"")
        .unwrap();
    let (words, _) = rest.split_once('"').unwrap();
    let bench = Bench::bare();
    bench
        .baton(["init", "--store", "sqlite:.autodev_queue/queue.db"])
        .expect(0);
    bench.submit("T-1", "src/**");
    let file = bench.queue().join("queue.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    let copy = bench.queue().join("copy.db");
    let in_place = words.replace(".autodev_queue/copy.db", copy.to_str().unwrap());
    connection.execute_batch(&in_place).unwrap();
    drop(connection);
    let audit = bench.queue().join("audit");
    let kept = bench.scratch("audit");
    let copied = Command::new("cp").arg("-a").args([&audit, &kept]).status();
    assert!(copied.unwrap().success());
    bench.submit("T-2", "src/**");
    for name in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        let _ = std::fs::remove_file(bench.queue().join(name));
    }
    std::fs::rename(&copy, &file).unwrap();
    // One that others may read is refused.
    assert_ne!(bench.baton(["status"]).code, 0);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    assert_ne!(bench.baton(["audit", "verify"]).code, 0, "it knows of T-2");
    std::fs::remove_dir_all(&audit).unwrap();
    std::fs::rename(&kept, &audit).unwrap();
    bench.baton(["audit", "verify"]).expect(0);
    let ids = bench.baton(["status"]).expect(0)["tasks"].to_string();
    assert!(ids.contains("T-1") && !ids.contains("T-2"), "{ids}");
}
