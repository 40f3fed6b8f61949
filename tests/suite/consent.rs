//! What a person sees and types before an approval counts, whose it may not be, and taking it back.

use std::process::Command;

use serde_json::json;

use crate::signing::{
    BOB, approvals, code, does_not_land, key, lands, plant, plant_by, read, rule, waiting,
};
use crate::support::{Bench, Ran, program, ran};

/// Runs the program in a session of the operating system that is its own, as another terminal does.
fn elsewhere(bench: &Bench, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let script = "import os,sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])";
    let mut words = vec![
        "-c".to_owned(),
        script.to_owned(),
        program().display().to_string(),
    ];
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let mut command = Command::new("python3");
    command
        .args(words)
        .current_dir(bench.root())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", bench.home())
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null());
    ran(command.output().unwrap())
}

/// Runs the program as a container does whose session began outside: there that process is number 0.
fn contained(bench: &Bench, arguments: &[&str]) -> Ran {
    let inside = bench.command(arguments);
    let mut command = Command::new("bwrap");
    command
        .args(["--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc"])
        .arg(inside.get_program())
        .args(inside.get_args())
        .current_dir(bench.root())
        .env_clear()
        .envs(
            inside
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(std::process::Stdio::null());
    ran(command.output().unwrap())
}

#[test]
fn a_session_that_began_outside_the_container_is_one_session() {
    let eyes = rule(
        json!({"signed": false, "proposer_may_not_approve": true, "tool_classes": ["MERGE", "PR"]}),
    );
    let bench = waiting(json!([eyes]), |_| String::new());
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let patch = bench.patch_file("2.patch", &text);
    let submit = [
        "submit",
        "--id",
        "T-2",
        "--title",
        "A change",
        "--goal",
        "Change it",
    ];
    contained(&bench, &[&submit[..], &["--allow", "src/**"]].concat()).expect(0);
    contained(&bench, &["run", "T-2", "--from", patch.to_str().unwrap()]).expect(0);
    bench.git(&["config", "user.email", BOB]);
    let refused = contained(&bench, &["approve", "T-2"]);
    assert_eq!(
        code(&refused),
        "PROPOSER",
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    assert!(
        refused.stdout.contains("in the session"),
        "{}",
        refused.stdout
    );
    elsewhere(&bench, &["approve", "T-2"], &[]).expect(0);
}

#[test]
fn who_proposed_does_not_approve() {
    let eyes = rule(json!({"signed": false, "proposer_may_not_approve": true}));
    let bench = waiting(json!([eyes]), |_| String::new());
    let refused = bench.baton(["approve", "T-1"]);
    assert_eq!((refused.code, code(&refused)), (3, "PROPOSER".to_owned()));
    assert!(
        refused.stdout.contains("in the session"),
        "{}",
        refused.stdout
    );
    let refused = elsewhere(&bench, &["approve", "T-1"], &[]);
    assert_eq!(code(&refused), "PROPOSER");
    assert!(
        refused.stdout.contains("Op <op@baton.example> proposed"),
        "{}",
        refused.stdout
    );
    bench.git(&["config", "user.email", BOB]);
    let refused = bench.baton(["approve", "T-1"]);
    assert_eq!(
        code(&refused),
        "PROPOSER",
        "another name in the same session"
    );
    for name in ["CLAUDECODE", "CURSOR_AGENT", "AI_AGENT"] {
        let refused = elsewhere(&bench, &["approve", "T-1"], &[(name, "1")]);
        assert_eq!((refused.code, code(&refused)), (3, "HUMAN_ONLY".to_owned()));
    }
    let refused = elsewhere(&bench, &["approve", "T-1"], &[("BATON_ACTOR", "openclaw")]);
    assert_eq!(code(&refused), "HUMAN_ONLY");
    assert!(approvals(&bench).is_empty());
    elsewhere(&bench, &["approve", "T-1"], &[]).expect(0);
    lands(&bench);
}

#[test]
fn a_planted_approval_of_the_proposer_does_not_count_at_the_landing() {
    let eyes = rule(json!({"signed": false, "proposer_may_not_approve": true}));
    let bench = waiting(json!([eyes]), |_| String::new());
    bench.git(&["config", "user.email", BOB]);
    elsewhere(&bench, &["approve", "T-1"], &[]).expect(0);
    let mut given = read(&approvals(&bench)[0]);
    bench.baton(["revoke-approval", "T-1"]).expect(0);
    given.approval_id.push_str("-2");
    given.approved_by = "Somebody Else <else@x.example>".to_owned();
    let planted = bench.copy();
    plant_by(&planted, &given, "Op <op@baton.example>");
    let said = does_not_land(&planted);
    assert!(
        said.contains("Op <op@baton.example> proposed the change"),
        "{said}"
    );
    // The same by somebody else counts: it is the name that is refused.
    plant(&bench, &given);
    lands(&bench);
}

#[test]
fn an_approval_is_withdrawn_before_the_landing() {
    let bench = waiting(json!([]), |_| String::new());
    assert_eq!(
        code(&bench.baton(["revoke-approval", "T-1"])),
        "APPROVAL_MISSING"
    );
    let given = bench.baton(["approve", "T-1"]).expect(0);
    let other = bench.baton(["approve", "T-1"]).expect(0);
    let id = given["approval_id"].as_str().unwrap();
    let refused = ran(bench
        .command(["revoke-approval", "T-1"])
        .env("BATON_ACTOR", "cursor")
        .output()
        .unwrap());
    assert_eq!(code(&refused), "HUMAN_ONLY");
    let done = bench
        .baton([
            "revoke-approval",
            "T-1",
            "--approval",
            id,
            "--reason",
            "not yet",
        ])
        .expect(0);
    assert_eq!(done["revoked"], json!([id]));
    let done = bench.baton(["revoke-approval", "T-1"]).expect(0);
    assert_eq!(done["revoked"], json!([other["approval_id"]]));
    assert!(does_not_land(&bench).contains("was withdrawn"));
    let status = bench.baton(["status"]).expect(0);
    assert!(
        status["tasks"][0]["waits_for"]
            .as_str()
            .unwrap()
            .contains("withdrawn"),
        "{status}"
    );
    bench.baton(["approve", "T-1"]).expect(0);
    lands(&bench);
    assert_eq!(
        code(&bench.baton(["revoke-approval", "T-1"])),
        "APPROVAL_USED"
    );
}

#[test]
fn an_approval_is_spent_by_its_landing() {
    let bench = waiting(json!([]), |_| String::new());
    bench.baton(["approve", "T-1"]).expect(0);
    let before = bench.git(&["rev-parse", "main"]);
    lands(&bench);
    // Somebody takes the branch and the queue back to where they were, and not the log.
    bench.git(&["reset", "-q", "--hard", &before]);
    std::fs::rename(bench.task("done", "T-1"), bench.task("pr", "T-1")).unwrap();
    let said = does_not_land(&bench);
    assert!(said.contains("was used by the landing"), "{said}");
}

#[test]
fn an_approval_is_withdrawn_in_the_middle_of_the_landing() {
    use std::os::unix::fs::PermissionsExt;
    let bench = waiting(json!([]), |bench| {
        key(bench, "ada");
        String::new()
    });
    bench.policy(|policy| policy["landing"]["sign"] = "ssh".into());
    bench.baton(["retry", "T-1"]).expect(0);
    bench.run_with("T-1", "T-1").expect(0);
    // The commit is signed between the first look at the approvals and the last one.
    let script = bench.scratch("signer");
    let text = format!(
        "#!/bin/sh\ncd {} && {} revoke-approval T-1 --reason 'second thoughts' >{} 2>&1 </dev/null\nexec ssh-keygen \"$@\"\n",
        bench.root().display(),
        program().display(),
        bench.scratch("said").display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.git(&[
        "config",
        "--global",
        "user.signingKey",
        bench.scratch("ada").to_str().unwrap(),
    ]);
    bench.git(&[
        "config",
        "--global",
        "gpg.ssh.program",
        script.to_str().unwrap(),
    ]);
    bench.baton(["approve", "T-1"]).expect(0);
    let said = does_not_land(&bench);
    let withdrawn = std::fs::read_to_string(bench.scratch("said")).unwrap();
    assert!(withdrawn.contains("\"status\":\"OK\""), "{withdrawn}");
    assert!(
        said.contains("does not count any more") && said.contains("was withdrawn"),
        "{said}"
    );
}

/// Approves on a terminal of its own and types this where the question comes, once others did something.
pub(crate) fn on_a_terminal(bench: &Bench, typed: &str, meanwhile: &str) -> (i32, String) {
    let script = r#"
import os, pty, subprocess, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "approve", "T-1"])
seen = b""
typed = False
while True:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
    if not typed and b"type the code" in seen and seen.endswith(b"\n"):
        subprocess.run(["sh", "-c", sys.argv[3]], stdout=2, stdin=subprocess.DEVNULL)
        os.write(fd, sys.argv[2].encode() + b"\n")
        typed = True
sys.stdout.write(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(program())
        .args([typed, meanwhile])
        .current_dir(bench.root())
        .env_clear()
        .env("BATON", program())
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", bench.home())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

pub(crate) fn shown_code(text: &str) -> String {
    let after = text.split("code of this candidate: ").nth(1).unwrap();
    after.lines().next().unwrap().trim().to_owned()
}

#[test]
fn on_a_terminal_the_code_is_typed() {
    let bench = waiting(json!([]), |_| String::new());
    let text = bench.baton(["show", "T-1", "--diff"]).stderr;
    let right = shown_code(&text);
    assert_eq!(right.len(), 9, "{right}");
    for wrong in ["", "y", "yes", "aaaa-aaaa", &right[..8]] {
        let (ended, seen) = on_a_terminal(&bench, wrong, "true");
        assert_eq!(ended, 3, "{seen}");
        assert!(
            seen.contains("nothing was approved") && shown_code(&seen) == right,
            "{seen}"
        );
    }
    assert!(approvals(&bench).is_empty());
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    assert_eq!(log.matches("APPROVAL_REFUSED").count(), 5);
    assert!(!log.contains("APPROVAL_GRANTED"));
    let (ended, seen) = on_a_terminal(&bench, &right.to_uppercase(), "true");
    assert_eq!(ended, 0, "{seen}");
    lands(&bench);
}

/// A change that waits under a policy that asks for the code so.
fn asking(typed_code: &str) -> Bench {
    let bench = Bench::new();
    bench.policy(|policy| policy["approvals"] = json!({"typed_code": typed_code}));
    bench.waiting("T-1");
    bench
}

#[test]
fn the_policy_says_when_a_code_is_needed() {
    let bench = asking("always");
    let right = shown_code(&bench.baton(["show", "T-1", "--diff"]).stderr);
    let refused = bench.baton(["approve", "T-1"]);
    assert_eq!(
        (refused.code, code(&refused)),
        (3, "CODE_REQUIRED".to_owned())
    );
    assert!(
        shown_code(&refused.stderr) == right,
        "it is shown all the same"
    );
    let agent = ran(bench
        .command(["approve", "T-1", "--code", &right])
        .env("CLAUDECODE", "1")
        .output()
        .unwrap());
    assert_eq!(code(&agent), "HUMAN_ONLY");
    bench.baton(["approve", "T-1", "--code", &right]).expect(0);
    let bench = asking("never");
    // A code that is given is looked at, whatever the policy says.
    let wrong = bench.baton(["approve", "T-1", "--code", "aaaa-aaaa"]);
    assert_eq!((wrong.code, code(&wrong)), (3, "CODE_WRONG".to_owned()));
    let (ended, seen) = on_a_terminal(&bench, "", "true");
    assert_eq!(ended, 0, "{seen}");
    assert!(!seen.contains("type the code"));
}

#[test]
fn what_was_not_checked_is_said() {
    let bench = Bench::new();
    bench.policy(|policy| {
        for gate in policy["gates"].as_array_mut().unwrap() {
            if gate["id"] == "G4" {
                gate["argv"] = json!([]);
            }
        }
    });
    bench.submit("T-1", "src/**");
    let text = bench.patch(|root| {
        std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap();
        std::fs::write(root.join("src/logo.bin"), b"\0\x01\x02\xff").unwrap();
    });
    let path = bench.patch_file("T-1.patch", &text);
    bench
        .baton(["run", "T-1", "--from", path.to_str().unwrap()])
        .json();
    let shown = bench.baton(["show", "T-1", "--diff"]).stderr;
    let end = shown.split("NOT shown or NOT checked:").nth(1).unwrap();
    assert!(
        end.contains("src/logo.bin: the content of a binary file"),
        "{shown}"
    );
    assert!(end.contains("gate G4"), "{shown}");
    assert!(shown.find("code of this candidate").unwrap() > shown.find("gate G4").unwrap());
}
