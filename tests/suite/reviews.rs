//! Branches for review that leave the machine: pushed to real repositories, and asked about at
//! servers that follow the forges' APIs.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::changes::{take, write};
use crate::support::remote::bare;
use crate::support::server::{Answer, Request, json as answer, serve, serve_git};
use crate::support::{Bench, Ran, ran};

const TOKEN: &str = "tok-4f1d7f0c-in-no-file";

/// A bench whose branches for review go to `url`, with a change that waits for a landing.
fn bench(url: &str, landing: &Value) -> Bench {
    let bench = Bench::new();
    bench.pushes_to(url, landing);
    take(&bench, "T-1", write("Cargo.lock", "version = 4\n")).expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench
}

fn tip(folder: &Path, branch: &str) -> Option<String> {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(folder)
        .args([
            "rev-parse",
            "--verify",
            "-q",
            &format!("refs/heads/{branch}"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn run(bench: &Bench) -> Ran {
    let mut command = bench.command(["run", "T-1"]);
    ran(command.env("REVIEW_TOKEN", TOKEN).output().unwrap())
}

/// Every file of the queue, and nothing of it holds the token.
fn assert_not_told(bench: &Bench, ran: &Ran) {
    assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN));
    let mut folders = vec![bench.queue()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let told = bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes());
            assert!(!told, "{} holds the token", path.display());
        }
    }
}

#[test]
fn a_branch_is_pushed_to_a_bare_repository_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let remote = bare(folder.path());
    let bench = bench(&format!("file://{}", remote.display()), &json!({}));
    let done = run(&bench).expect(0);
    assert_eq!(
        tip(&remote, "baton/T-1").unwrap(),
        bench.git(&["rev-parse", "baton/T-1"])
    );
    assert_eq!(tip(&remote, "main"), None, "only the branch goes out");
    let text =
        std::fs::read_to_string(bench.task("done", "T-1").join("evidence/review.md")).unwrap();
    for part in [
        "## Summary",
        "## Risk",
        "## Gates",
        "## Evidence",
        "| draft.patch |",
        "D5",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(
        done["data"]["plan"]
            .to_string()
            .contains("pushed to localhost"),
        "{done}"
    );
    bench.baton(["verify", "T-1"]).expect(0);
}

#[test]
fn nothing_goes_out_to_a_host_that_the_policy_does_not_name() {
    let folder = tempfile::tempdir().unwrap();
    let remote = bare(folder.path());
    let bench = bench(&format!("file://{}", remote.display()), &json!({}));
    bench.git(&["remote", "set-url", "origin", "https://git.example/a/b.git"]);
    let refused = run(&bench);
    assert_eq!(refused.code, 3, "{}", refused.stdout);
    assert!(refused.findings().contains(&"EXTERNAL_DENIED".to_owned()));
    assert!(bench.task("pr", "T-1").is_dir());
    // Not even here is a branch made that could not go where the policy wants it.
    assert_eq!(bench.git(&["branch", "--list", "baton/*"]), "");
    bench.git(&["remote", "set-url", "origin", "ext::touch /tmp/x"]);
    assert!(
        run(&bench)
            .findings()
            .contains(&"REMOTE_REFUSED".to_owned())
    );
}

#[test]
fn an_approval_says_that_it_lets_the_branch_out() {
    let folder = tempfile::tempdir().unwrap();
    let remote = bare(folder.path());
    let bench = bench(&format!("file://{}", remote.display()), &json!({}));
    let approved = std::fs::read_dir(bench.queue().join("approved")).unwrap();
    let path = approved.map(|entry| entry.unwrap().path()).next().unwrap();
    let approval: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(approval["tool_classes"], json!(["PR", "EXTERNAL"]));
}

#[test]
fn a_branch_of_somebody_else_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let remote = bare(folder.path());
    let url = format!("file://{}", remote.display());
    let bench = bench(&url, &json!({}));
    bench.git(&["push", "-q", &url, "main:refs/heads/baton/T-1"]);
    let before = tip(&remote, "baton/T-1");
    let refused = run(&bench);
    assert!(
        refused.findings().contains(&"BRANCH_EXISTS".to_owned()),
        "{}",
        refused.stdout
    );
    assert_eq!(tip(&remote, "baton/T-1"), before);
    assert!(bench.task("pr", "T-1").is_dir());
}

#[test]
fn a_push_over_http_shows_the_token_to_the_server_only() {
    let folder = tempfile::tempdir().unwrap();
    let remote = bare(folder.path());
    let address = serve_git(folder.path().to_owned(), TOKEN);
    let bench = bench(
        &format!("http://{address}/remote.git"),
        &json!({"push_token": {"env": "REVIEW_TOKEN"}}),
    );
    let without = bench.baton(["run", "T-1"]);
    assert!(
        without.findings().contains(&"TOKEN_MISSING".to_owned()),
        "{}",
        without.stdout
    );
    let mut command = bench.command(["run", "T-1"]);
    let wrong = ran(command.env("REVIEW_TOKEN", "wrong-one").output().unwrap());
    assert!(
        wrong.findings().contains(&"PUSH_FAILED".to_owned()),
        "{}",
        wrong.stdout
    );
    assert!(
        wrong.stdout.contains("no: ***") && !wrong.stdout.contains("d3Jvbmct"),
        "{}",
        wrong.stdout
    );
    assert!(
        bench.task("pr", "T-1").is_dir(),
        "what only waits is not blocked"
    );
    let made = bench.git(&["rev-parse", "baton/T-1"]);
    let done = run(&bench);
    done.expect(0);
    assert_eq!(
        tip(&remote, "baton/T-1").unwrap(),
        made,
        "the branch was made twice"
    );
    assert_not_told(&bench, &done);
}

/// A forge that keeps its open reviews, in the words of one of the APIs.
#[derive(Default)]
struct Forge {
    reviews: Vec<Value>,
    requests: u32,
    /// Fails like this once: by status, or by making the review and hanging up.
    trouble: Option<Option<u16>>,
}

fn forge(kind: &'static str, state: Arc<Mutex<Forge>>) -> String {
    serve(move |request| {
        let mut forge = state.lock().unwrap();
        forge.requests += 1;
        let key = match kind {
            "github" => ("authorization", format!("Bearer {TOKEN}")),
            "gitlab" => ("private-token", TOKEN.to_owned()),
            _ => ("authorization", format!("token {TOKEN}")),
        };
        if request.headers.get(key.0) != Some(&key.1) {
            return answer(401, &json!({"message": "Bad credentials"}));
        }
        let reviews = match kind {
            "github" | "gitea" => "/api/repos/team/app/pulls",
            _ => "/api/projects/team%2Fapp/merge_requests",
        };
        match (request.method.as_str(), request.path.strip_prefix(reviews)) {
            ("GET", Some(rest)) => listed(kind, rest, request, &forge),
            ("POST", Some("")) => {
                let trouble = forge.trouble.take();
                if let Some(Some(status)) = trouble {
                    return answer(status, &json!({"message": format!("not now, {}", key.1)}));
                }
                let made = made(kind, request, &mut forge);
                if trouble.is_some() { None } else { made }
            }
            _ => answer(404, &json!({"message": "Not Found"})),
        }
    })
}

fn listed(kind: &str, rest: &str, request: &Request, forge: &Forge) -> Answer {
    match kind {
        "gitea" => {
            assert_eq!(rest, "/main/baton%2FT-1");
            match forge.reviews.first() {
                Some(review) => answer(200, review),
                None => answer(404, &json!({"message": "not found"})),
            }
        }
        "github" => {
            assert_eq!(request.query, "state=open&head=team:baton%2FT-1&base=main");
            assert_eq!(request.headers["accept"], "application/vnd.github+json");
            answer(200, &Value::from(forge.reviews.clone()))
        }
        _ => {
            let expected = "state=opened&source_branch=baton%2FT-1&target_branch=main";
            assert_eq!(request.query, expected);
            answer(200, &Value::from(forge.reviews.clone()))
        }
    }
}

fn made(kind: &str, request: &Request, forge: &mut Forge) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let (head, base, text) = match kind {
        "gitlab" => ("source_branch", "target_branch", "description"),
        _ => ("head", "base", "body"),
    };
    if body[head] != "baton/T-1" || body[base] != "main" || body["title"] != "A change" {
        return answer(422, &json!({"message": "Validation Failed"}));
    }
    assert!(body[text].as_str().unwrap().contains("## Gates"));
    if !forge.reviews.is_empty() {
        return answer(409, &json!({"message": "already exists"}));
    }
    let address = "https://forge.example/team/app/7";
    let mut review = json!({"number": 7, "state": "open", "html_url": address});
    if kind == "gitlab" {
        review = json!({"iid": 7, "state": "opened", "web_url": address});
    }
    forge.reviews.push(review.clone());
    answer(201, &review)
}

#[test]
fn each_forge_is_asked_for_one_review_whatever_happens_in_between() {
    for kind in ["github", "gitlab", "gitea"] {
        for trouble in [None, Some(Some(502)), Some(None)] {
            let folder = tempfile::tempdir().unwrap();
            let remote = bare(folder.path());
            let state = Arc::new(Mutex::new(Forge {
                trouble,
                ..Forge::default()
            }));
            let address = forge(kind, Arc::clone(&state));
            let bench = bench(
                &format!("file://{}", remote.display()),
                &json!({"forge": {
                    "kind": kind, "via": "api", "project": "team/app",
                    "api": format!("http://{address}/api"), "token": {"env": "REVIEW_TOKEN"},
                }}),
            );
            let mut done = run(&bench);
            if trouble.is_some() {
                assert!(
                    done.findings().contains(&"FORGE_FAILED".to_owned()),
                    "{}",
                    done.stdout
                );
                assert!(bench.task("pr", "T-1").is_dir());
                done = run(&bench);
            }
            let envelope = done.expect(0);
            assert_eq!(
                envelope["data"]["pr_url"],
                "https://forge.example/team/app/7"
            );
            assert_eq!(state.lock().unwrap().reviews.len(), 1, "{kind}");
            assert!(tip(&remote, "baton/T-1").is_some());
            assert_not_told(&bench, &done);
        }
    }
}

#[test]
fn a_redirect_takes_the_token_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let remote = bare(folder.path());
    let thief = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&thief);
    let elsewhere = serve(move |_| {
        *seen.lock().unwrap() += 1;
        answer(200, &json!([]))
    });
    let address = serve(move |_| {
        let to = ("Location".to_owned(), format!("http://{elsewhere}/"));
        Some((302, vec![to], Vec::new()))
    });
    let bench = bench(
        &format!("file://{}", remote.display()),
        &json!({"forge": {
            "kind": "github", "via": "api", "project": "team/app",
            "api": format!("http://{address}/api"), "token": {"env": "REVIEW_TOKEN"},
        }}),
    );
    assert!(run(&bench).findings().contains(&"FORGE_FAILED".to_owned()));
    assert_eq!(*thief.lock().unwrap(), 0);
}

#[test]
fn the_forges_own_tools_are_asked_where_the_policy_names_them() {
    for (via, kind, words) in [
        (
            "gh",
            "github",
            "pr create --repo team/app --head baton/T-1 --base main",
        ),
        (
            "glab",
            "gitlab",
            "mr create --repo team/app --source-branch baton/T-1 --target-branch main",
        ),
        (
            "tea",
            "gitea",
            "pulls create --repo team/app --head baton/T-1 --base main",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let remote = bare(folder.path());
        let programs = folder.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        let said = folder.path().join("said");
        let script = format!(
            "#!/bin/sh\necho \"$@\" > {0}\ncat >> {0}\necho made:\necho https://forge.example/1\n",
            said.display()
        );
        let program = programs.join(via);
        std::fs::write(&program, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let bench = bench(
            &format!("file://{}", remote.display()),
            &json!({"forge": {
                "kind": kind, "via": via, "project": "team/app", "api": "https://127.0.0.1",
            }}),
        );
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", programs.display());
        let mut command = bench.command(["run", "T-1"]);
        let done = ran(command.env("PATH", path).output().unwrap()).expect(0);
        assert_eq!(done["data"]["pr_url"], "https://forge.example/1");
        let said = std::fs::read_to_string(said).unwrap();
        assert!(said.starts_with(words), "{said}");
        assert!(said.contains("## Gates"), "{said}");
    }
}
