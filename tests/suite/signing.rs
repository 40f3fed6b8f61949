//! Signed approvals, with real keys and a real agent: who counts, how many, and what is refused.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use baton_core::approval::{Approval, Way};
use baton_core::audit::{Action, Draft};
use baton_core::clock;
use baton_core::policy::Actor;
use baton_core::signers::{Key, NAMESPACE};
use baton_core::store::Store;
use serde_json::{Value, json};

use crate::support::{Bench, Ran, ran};

pub(crate) const ADA: &str = "ada@baton.example";
pub(crate) const BOB: &str = "bob@baton.example";

/// Makes a key, and gives the path of its private part.
pub(crate) fn key(bench: &Bench, name: &str) -> PathBuf {
    let path = bench.scratch(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    path
}

pub(crate) fn public(key: &Path) -> String {
    let text = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    text.trim_end().to_owned()
}

pub(crate) fn rule(more: Value) -> Value {
    let mut rule = json!({"id": "two-eyes", "tool_classes": ["MERGE"], "signed": true, "reason": "Signed only."});
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

/// A queue whose policy has this rule, these lines in ALLOWED_SIGNERS, and a change that waits.
pub(crate) fn waiting(rules: Value, signers: impl FnOnce(&Bench) -> String) -> Bench {
    let bench = Bench::new();
    let text = signers(&bench);
    bench.write(".autodev_ssot/ALLOWED_SIGNERS", &text);
    bench.policy(|policy| {
        policy["approvals"] = json!({"roles": {"keeper": [ADA, BOB]}, "rules": rules})
    });
    bench.waiting("T-1");
    bench
}

/// Ada and Bob, with a key each.
pub(crate) fn two(bench: &Bench) -> String {
    let (ada, bob) = (public(&key(bench, "ada")), public(&key(bench, "bob")));
    format!("{ADA} {ada}\n{BOB} namespaces=\"{NAMESPACE},git\" {bob}\n")
}

pub(crate) fn sign(bench: &Bench, name: &str, key: &str) -> Ran {
    let key = bench.scratch(key);
    bench.baton([
        "approve",
        "T-1",
        "--sign",
        "--as",
        name,
        "--key",
        key.to_str().unwrap(),
    ])
}

pub(crate) fn code(ran: &Ran) -> String {
    ran.json()["code"].as_str().unwrap_or_default().to_owned()
}

fn head(bench: &Bench) -> String {
    bench.git(&["rev-parse", "main"])
}

/// Runs the task and demands that nothing lands; gives what was said.
pub(crate) fn does_not_land(bench: &Bench) -> String {
    let before = head(bench);
    let ran = bench.baton(["run", "T-1"]);
    assert_eq!(head(bench), before, "{}", ran.stdout);
    format!("{} {}", ran.stdout, ran.stderr)
}

pub(crate) fn lands(bench: &Bench) {
    let before = head(bench);
    bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(bench.git(&["rev-parse", "main^"]), before);
}

pub(crate) fn approvals(bench: &Bench) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(bench.queue().join("approved")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub(crate) fn read(path: &Path) -> Approval {
    Approval::parse(&std::fs::read(path).unwrap()).unwrap()
}

/// Keeps an approval as somebody would who can write into the queue and its log.
pub(crate) fn plant(bench: &Bench, approval: &Approval) {
    plant_by(bench, approval, "Mallory <m@x.example>");
}

pub(crate) fn plant_by(bench: &Bench, approval: &Approval, by: &str) {
    let store = Store::open(&bench.root()).unwrap();
    let written = store.write_approval(approval, |sha256| {
        let mut draft = Draft::new(Actor::Human, Action::ApprovalGranted, "baton")?
            .task(approval.task_id.as_str(), None, None)
            .meta("approval_id", approval.approval_id.clone())
            .meta("by", by)
            .meta("sitting", "0000000000000000");
        draft.repo_ref.clone_from(&approval.base);
        draft.inputs_sha256.clone_from(&approval.patch_sha256);
        sha256.clone_into(&mut draft.outputs_sha256);
        store.log()?.append(draft)
    });
    written.unwrap();
}

#[test]
fn a_signed_approval_lands_and_the_log_holds_the_signature() {
    let bench = waiting(json!([rule(json!({}))]), two);
    let refused = bench.baton(["approve", "T-1"]);
    assert_eq!(
        (refused.code, code(&refused)),
        (3, "SIGNATURE_REQUIRED".to_owned())
    );
    let done = sign(&bench, ADA, "ada").expect(0);
    assert_eq!(done["signed_by"], ADA);
    assert_eq!(done["missing"], json!([]));
    let approval = read(&approvals(&bench)[0]);
    let log = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    let line: Value = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .find(|line: &Value| line["action"] == "APPROVAL_GRANTED")
        .unwrap();
    assert_eq!(
        line["meta"]["signature"].as_str(),
        approval.signature.as_deref()
    );
    assert!(line["meta"]["key"].as_str().unwrap().starts_with("SHA256:"));
    lands(&bench);
    let text = bench.git(&["log", "-1", "--format=%B", "main"]);
    assert!(
        text.contains(&format!("Baton-Approved-By: {ADA}")),
        "{text}"
    );
    bench.baton(["verify", "T-1"]).expect(0);
    // The change's base has the key's line, whoever takes it away later.
    bench.write(".autodev_ssot/ALLOWED_SIGNERS", "# nobody\n");
    bench.baton(["verify", "T-1"]).expect(0);
}

#[test]
fn the_key_is_gits_own_or_in_an_agent() {
    struct Agent(u32);
    impl Drop for Agent {
        fn drop(&mut self) {
            let _ = Command::new("kill").arg(self.0.to_string()).status();
        }
    }
    let bench = waiting(json!([rule(json!({}))]), two);
    let none = bench.baton(["approve", "T-1", "--sign", "--as", ADA]);
    assert_eq!(code(&none), "SIGNING_FAILED", "{}", none.stdout);
    let socket = bench.scratch("agent");
    let started = Command::new("ssh-agent")
        .arg("-s")
        .arg("-a")
        .arg(&socket)
        .output()
        .unwrap();
    let said = String::from_utf8(started.stdout).unwrap();
    let pid = said
        .split("SSH_AGENT_PID=")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let _agent = Agent(pid.parse().unwrap());
    let private = bench.scratch("ada");
    let added = Command::new("ssh-add")
        .arg("-q")
        .arg(&private)
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());
    std::fs::remove_file(&private).unwrap();
    // The repository may not say which key signs.
    let own = bench.scratch("bob");
    bench.git(&["config", "user.signingKey", own.to_str().unwrap()]);
    let ignored = bench.baton(["approve", "T-1", "--sign", "--as", BOB]);
    assert_eq!(code(&ignored), "SIGNING_FAILED", "{}", ignored.stdout);
    bench.git(&[
        "config",
        "--global",
        "user.signingKey",
        &format!("key::{}", public(&private)),
    ]);
    bench.git(&["config", "user.email", ADA]);
    let with_agent = |arguments: &[&str]| {
        ran(bench
            .command(arguments)
            .env("SSH_AUTH_SOCK", &socket)
            .output()
            .unwrap())
    };
    with_agent(&["approve", "T-1", "--sign"]).expect(0);
    let file = private.with_extension("pub");
    with_agent(&["approve", "T-1", "--sign", "--key", file.to_str().unwrap()]).expect(0);
    lands(&bench);
}

#[test]
fn what_is_signed_by_another_key_or_for_something_else_is_refused() {
    let bench = waiting(json!([rule(json!({}))]), |bench| {
        let (ada, bob) = (public(&key(bench, "ada")), public(&key(bench, "bob")));
        let (old, new) = (public(&key(bench, "old")), public(&key(bench, "new")));
        key(bench, "unknown");
        format!(
            "{ADA} {ada}\n{BOB} namespaces=\"git\" {bob}\nold@x.example valid-before=\"20200101\" {old}\nnew@x.example valid-after=\"20990101\" {new}\n"
        )
    });
    for (name, key) in [
        (ADA, "unknown"),
        (ADA, "bob"),
        (BOB, "ada"),
        (BOB, "bob"),
        ("old@x.example", "old"),
        ("new@x.example", "new"),
        ("nobody@x.example", "ada"),
    ] {
        let refused = sign(&bench, name, key);
        assert_eq!(
            (refused.code, code(&refused)),
            (3, "SIGNATURE_REFUSED".to_owned()),
            "{name} {key}: {}",
            refused.stdout
        );
    }
    assert_eq!(sign(&bench, "*@baton.example", "ada").code, 2);
    assert!(approvals(&bench).is_empty());
    // A pattern as a name would let one key speak for many people.
    bench.write(
        ".autodev_ssot/ALLOWED_SIGNERS",
        &format!("*@baton.example {}\n", public(&bench.scratch("ada"))),
    );
    assert_eq!(code(&sign(&bench, ADA, "ada")), "SIGNERS_INVALID");
    std::fs::remove_file(bench.root().join(".autodev_ssot/ALLOWED_SIGNERS")).unwrap();
    assert_eq!(code(&sign(&bench, ADA, "ada")), "SIGNERS_MISSING");
}

#[test]
fn a_signer_that_was_written_into_the_checkout_by_hand_is_none() {
    let bench = waiting(json!([rule(json!({}))]), two);
    let file = ".autodev_ssot/ALLOWED_SIGNERS";
    let text = std::fs::read_to_string(bench.root().join(file)).unwrap();
    let own = format!("{text}{ADA} {}\n", public(&key(&bench, "own")));
    bench.write(file, &own);
    assert_eq!(code(&sign(&bench, ADA, "own")), "SIGNERS_DIFFER");
    assert_eq!(code(&sign(&bench, ADA, "ada")), "SIGNERS_DIFFER");
    bench.write(file, &text);
    sign(&bench, ADA, "ada").expect(0);
    bench.write(file, &own);
    let said = does_not_land(&bench);
    assert!(said.contains("is not the one on main"), "{said}");
    assert!(said.contains("git restore --source main"), "{said}");
    let stuck = bench.baton(["status"]).expect(0)["stuck"].to_string();
    assert!(stuck.contains("git restore --source main"), "{stuck}");
    // Lines that end in another way are the same lines.
    bench.write(file, &text.replace('\n', "\r\n"));
    sign(&bench, ADA, "ada").expect(0);
    bench.write(file, &own);
    // On the branch somebody answers for it.
    bench.commit("a new key");
    sign(&bench, ADA, "own").expect(0);
    bench.write(file, &text);
    assert_eq!(code(&sign(&bench, ADA, "ada")), "SIGNERS_DIFFER");
}

#[test]
fn a_key_that_is_revoked_takes_its_approvals_with_it() {
    let bench = waiting(json!([rule(json!({}))]), two);
    sign(&bench, ADA, "ada").expect(0);
    let list = bench.root().join(".autodev_ssot/REVOKED_KEYS");
    bench.write(
        ".autodev_ssot/REVOKED_KEYS",
        &format!("{}\n", public(&bench.scratch("ada"))),
    );
    let said = does_not_land(&bench);
    assert!(said.contains("REVOKED_KEYS names the key"), "{said}");
    assert_eq!(code(&sign(&bench, ADA, "ada")), "SIGNATURE_REFUSED");
    // The same as a list in ssh's binary form, of the other key.
    std::fs::remove_file(&list).unwrap();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-k", "-f"])
        .arg(&list)
        .arg(bench.scratch("bob.pub"))
        .status();
    assert!(made.unwrap().success());
    assert_eq!(code(&sign(&bench, BOB, "bob")), "SIGNATURE_REFUSED");
    lands(&bench);
}

#[test]
fn an_approval_that_was_changed_or_is_over_does_not_count() {
    let bench = waiting(json!([rule(json!({"max_seconds": 7200}))]), two);
    assert_eq!(
        bench
            .baton(["approve", "T-1", "--sign", "--as", ADA, "--for", "3h"])
            .code,
        2
    );
    sign(&bench, ADA, "ada").expect(0);
    let path = &approvals(&bench)[0];
    let given = read(path);
    assert_eq!(given.length(), Some(Duration::from_secs(7200)));
    bench.baton(["revoke-approval", "T-1"]).expect(0);
    let key = Key::File(bench.scratch("ada"));
    let again = |change: &dyn Fn(&mut Approval), sign: bool| {
        let fresh = bench.copy();
        let mut approval = given.clone();
        approval.approval_id = format!("{}-2", given.approval_id);
        if sign {
            approval.signature = Some(key.sign(&approval.statement()).unwrap());
        }
        change(&mut approval);
        if !sign {
            approval.signature = Some(key.sign(&approval.statement()).unwrap());
        }
        plant(&fresh, &approval);
        fresh
    };
    lands(&again(&|_| {}, true));
    let later = clock::rfc3339(SystemTime::now() + Duration::from_secs(7000));
    for change in [
        &|one: &mut Approval| one.until.clone_from(&later),
        &|one: &mut Approval| one.nonce = Some("0".repeat(32)),
        &|one: &mut Approval| one.reason = "another".to_owned(),
        &|one: &mut Approval| {
            (one.principal, one.approved_by) = (Some(BOB.to_owned()), BOB.to_owned())
        },
    ] as [&dyn Fn(&mut Approval); 4]
    {
        let said = does_not_land(&again(change, true));
        assert!(said.contains("signature that does not count"), "{said}");
    }
    let ago = |seconds| clock::rfc3339(SystemTime::now() - Duration::from_secs(seconds));
    for (change, why) in [
        (
            &|one: &mut Approval| (one.approved_at, one.until) = (ago(100), ago(50)),
            "only",
        ),
        (
            &|one: &mut Approval| {
                one.until = clock::rfc3339(SystemTime::now() + Duration::from_secs(9000))
            },
            "longer than 7200 s",
        ),
        (
            &|one: &mut Approval| one.evidence_sha256 = Some("0".repeat(64)),
            "other evidence",
        ),
        (
            &|one: &mut Approval| one.queue = Some("0".repeat(64)),
            "another queue",
        ),
    ] as [(&dyn Fn(&mut Approval), &str); 4]
    {
        let said = does_not_land(&again(change, false));
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn an_approval_counts_for_its_own_task_and_queue_only() {
    let bench = waiting(json!([rule(json!({}))]), two);
    // The same commits with another queue: the same task, change and candidate.
    let other = bench.copy();
    std::fs::remove_dir_all(other.queue()).unwrap();
    other.baton(["init"]).expect(0);
    // Not by way of a commit: the commits stay the same, and its own log's key lies in the checkout.
    other.submit("T-1", "src/**");
    let patch = bench.scratch("T-1.patch");
    let run = ["run", "T-1", "--from", patch.to_str().unwrap()];
    other.baton(run).expect(0);
    sign(&bench, ADA, "ada").expect(0);
    let given = read(&approvals(&bench)[0]);
    assert_eq!(given.way, Way::Signed);
    plant(&other, &given);
    let said = does_not_land(&other);
    assert!(said.contains("another queue"), "{said}");
    // The same bytes under another task of the same queue.
    bench.submit("T-2", "src/**");
    bench.run_with("T-2", "T-1").expect(0);
    let before = head(&bench);
    let ran = bench.baton(["run", "T-2"]);
    assert_eq!(head(&bench), before, "{}", ran.stdout);
    let mut forged = given.clone();
    forged.task_id = "T-2".parse_id();
    forged.approval_id = format!("{}-2", given.approval_id);
    plant(&bench, &forged);
    let ran = bench.baton(["run", "T-2"]);
    assert_eq!(head(&bench), before, "{}", ran.stdout);
    // What is recorded a second time was written by somebody else.
    let folder = bench.queue().join("approved");
    let name = format!("{}.json", given.approval_id);
    std::fs::rename(folder.join(&name), bench.scratch("kept")).unwrap();
    plant(&bench, &given);
    assert!(does_not_land(&bench).contains("twice"));
}

trait ParseId {
    fn parse_id(&self) -> baton_core::task::TaskId;
}

impl ParseId for str {
    fn parse_id(&self) -> baton_core::task::TaskId {
        baton_core::task::TaskId::parse(self).unwrap()
    }
}

#[test]
fn two_of_the_people_that_the_policy_names() {
    let two_keepers = json!([rule(json!({"count": 2, "roles": ["keeper"]}))]);
    let bench = waiting(two_keepers, |bench| {
        let eve = public(&key(bench, "eve"));
        let text = two(bench);
        let (ada, twin) = (public(&bench.scratch("ada")), public(&key(bench, "twin")));
        // Ada has a second key, her first one stands under Bob's name as well, and Eve is no keeper.
        format!("{text}{ADA} {twin}\n{BOB} {ada}\neve@baton.example {eve}\n")
    });
    let eve = sign(&bench, "eve@baton.example", "eve");
    assert_eq!((eve.code, code(&eve)), (3, "NOT_AN_APPROVER".to_owned()));
    let first = sign(&bench, ADA, "ada").expect(0);
    assert!(
        first["missing"][0].as_str().unwrap().contains("1 there"),
        "{first}"
    );
    let status = bench.baton(["status"]).expect(0);
    assert!(
        status["tasks"][0]["waits_for"]
            .as_str()
            .unwrap()
            .contains("1 there"),
        "{status}"
    );
    assert!(does_not_land(&bench).contains("1 there"));
    sign(&bench, ADA, "twin").expect(0);
    assert!(
        does_not_land(&bench).contains("1 there"),
        "one person with two keys is one"
    );
    sign(&bench, BOB, "ada").expect(0);
    assert!(
        does_not_land(&bench).contains("1 there"),
        "one key under two names is one"
    );
    let done = sign(&bench, BOB, "bob").expect(0);
    assert_eq!(done["missing"], json!([]));
    lands(&bench);
    let text = bench.git(&["log", "-1", "--format=%B", "main"]);
    assert!(text.contains(ADA) && text.contains(BOB), "{text}");
}
