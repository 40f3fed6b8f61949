//! Checkpoints handed to second places, and this program as a witness for others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use baton_transparency::witness::{self, Answer, Memory, Seen};
use baton_transparency::{Checkpoint, KeyKind, SignedNote, SigningKey, VerifyingKey};
use serde_json::{Value, json};

use crate::support::remote::bare;
use crate::support::{Bench, server};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench
}

fn log_key(bench: &Bench) -> VerifyingKey {
    let text = std::fs::read_to_string(bench.root().join(".autodev_ssot/LOG_KEY.pub")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn note(path: PathBuf) -> SignedNote {
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn size(note: &SignedNote) -> u64 {
    Checkpoint::parse(&note.text).unwrap().size
}

/// Lets a person send things to this host.
fn allow(bench: &Bench, host: &str) {
    bench.policy(|policy| {
        policy["actors"]["human"]["EXTERNAL"] = "allow".into();
        policy["external_exceptions"] =
            json!([{"id": "seen", "host": host, "purpose": "witness", "reason": "checkpoints"}]);
    });
}

fn add(bench: &Bench, arguments: &[&str]) -> Value {
    bench
        .baton([&["audit", "witness", "add"][..], arguments].concat())
        .expect(0)
}

fn push(bench: &Bench, code: i32) -> Value {
    bench.baton(["audit", "witness", "push"]).expect(code)
}

/// Puts an old copy of the queue back, with the list of witnesses of today.
fn roll_back(bench: &Bench, old: &Bench) {
    let list = std::fs::read(bench.queue().join("audit/witnesses.json")).unwrap();
    std::fs::remove_dir_all(bench.queue()).unwrap();
    let mut copy = std::process::Command::new("cp");
    assert!(
        copy.arg("-a")
            .arg(old.queue())
            .arg(bench.queue())
            .status()
            .unwrap()
            .success()
    );
    std::fs::write(bench.queue().join("audit/witnesses.json"), list).unwrap();
}

#[test]
fn a_folder_keeps_every_checkpoint_it_was_handed() {
    let bench = bench();
    let folder = bench.scratch("kept");
    std::fs::create_dir(&folder).unwrap();
    add(&bench, &[folder.to_str().unwrap()]);
    let first = push(&bench, 0)["size"].as_u64().unwrap();
    bench.submit("T-2", "src/**");
    let second = push(&bench, 0)["size"].as_u64().unwrap();
    let log = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut names: Vec<_> = std::fs::read_dir(&log)
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.ends_with(".checkpoint"));
    names.sort();
    assert_eq!(
        names,
        [
            format!("{first:020}.checkpoint"),
            format!("{second:020}.checkpoint")
        ]
    );
    for name in &names {
        let path = log.join(name);
        Checkpoint::open(&note(path.clone()), &log_key(&bench)).unwrap();
        bench
            .baton(["audit", "verify", "--against", path.to_str().unwrap()])
            .expect(0);
    }
    // What was handed out is in the log before it goes out.
    let asked = bench.baton(["audit", "search", "--action", "WITNESS_ASKED"]);
    assert_eq!(asked.stdout.lines().count(), 2);
}

#[test]
fn a_place_takes_no_log_that_was_rolled_back() {
    let bench = bench();
    let old = bench.copy();
    let file = bench.scratch("head");
    let folder = bench.scratch("kept");
    std::fs::create_dir(&folder).unwrap();
    add(&bench, &[file.to_str().unwrap()]);
    add(&bench, &[folder.to_str().unwrap()]);
    push(&bench, 0);
    bench.submit("T-2", "src/**");
    push(&bench, 0);
    let before = std::fs::read(&file).unwrap();
    for story in ["shorter", "longer"] {
        roll_back(&bench, &old);
        if story == "longer" {
            for id in ["X-1", "X-2", "X-3", "X-4", "X-5", "X-6", "X-7", "X-8"] {
                bench.submit(id, "src/**");
            }
        }
        bench.baton(["audit", "verify"]).expect(0);
        let said = push(&bench, 1);
        for place in said["places"].as_array().unwrap() {
            assert_eq!(place["code"], "LOG_REWRITTEN", "{said}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), before);
        let failed = bench.baton([
            "audit",
            "search",
            "--action",
            "ERROR",
            "--text",
            "LOG_REWRITTEN",
        ]);
        assert_eq!(failed.stdout.lines().count(), 2);
    }
}

#[test]
fn places_are_listed_and_let_go() {
    let bench = bench();
    let file = bench.scratch("head");
    let file = file.to_str().unwrap();
    let said = bench.baton(["audit", "witness", "push"]).expect(1);
    assert_eq!(said["code"], "WITNESS_UNKNOWN");
    add(&bench, &[file]);
    let twice = bench.baton(["audit", "witness", "add", file]).expect(1);
    assert_eq!(twice["code"], "WITNESS_KNOWN");
    assert_eq!(
        bench.baton(["audit", "witness", "list"]).expect(0)["places"],
        json!([file])
    );
    let agent = bench.baton(["--actor", "openclaw", "audit", "witness", "remove", file]);
    assert_ne!(agent.code, 0);
    let agent = bench
        .baton(["audit", "witness", "remove", file, "--actor", "openclaw"])
        .expect(3);
    assert_eq!(agent["code"], "HUMAN_ONLY");
    bench.baton(["audit", "witness", "remove", file]).expect(0);
    assert_eq!(
        bench.baton(["audit", "witness", "list"]).expect(0)["places"],
        json!([])
    );
    bench.baton(["audit", "witness", "remove", file]).expect(1);
    for action in ["WITNESS_ADDED", "WITNESS_REMOVED"] {
        let found = bench.baton(["audit", "search", "--action", action, "--text", file]);
        assert_eq!(found.stdout.lines().count(), 1);
    }
}

#[test]
fn a_branch_of_a_remote_gets_a_commit_for_each_checkpoint() {
    let bench = bench();
    let remote = bare(&bench.scratch(""));
    bench.git(&["remote", "add", "away", remote.to_str().unwrap()]);
    let refused = bench
        .baton(["audit", "witness", "add", "--git", "away"])
        .expect(3);
    assert_eq!(refused["code"], "EXTERNAL_DENIED");
    allow(&bench, "localhost");
    add(&bench, &["--git", "away"]);
    let old = bench.copy();
    let first = push(&bench, 0)["size"].as_u64().unwrap();
    bench.submit("T-2", "src/**");
    let second = push(&bench, 0)["size"].as_u64().unwrap();
    let show =
        |what: &str| bench.git(&["--git-dir", remote.to_str().unwrap(), "show", what]) + "\n";
    for (what, lines) in [
        ("baton/checkpoints:checkpoint", second),
        ("baton/checkpoints~1:checkpoint", first),
    ] {
        let note: SignedNote = show(what).parse().unwrap();
        let head = Checkpoint::open(&note, &log_key(&bench)).unwrap();
        assert_eq!(head.size, lines);
    }
    let count = [
        "--git-dir",
        remote.to_str().unwrap(),
        "rev-list",
        "--count",
        "baton/checkpoints",
    ];
    assert_eq!(bench.git(&count), "2");
    // Another story ends here, from this place and from one that never saw the branch.
    roll_back(&bench, &old);
    for id in ["X-1", "X-2", "X-3", "X-4"] {
        bench.submit(id, "src/**");
    }
    assert_eq!(push(&bench, 1)["places"][0]["code"], "LOG_REWRITTEN");
    assert_eq!(bench.git(&count), "2");
    // A branch that is for something else is left alone.
    bench.git(&["push", "-q", "away", "main:other"]);
    add(&bench, &["--git", "away", "--branch", "other"]);
    let said = push(&bench, 1);
    assert_eq!(said["places"][1]["code"], "WITNESS_BRANCH_OTHER");
}

/// A witness behind HTTP, whose memory the test sees.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<SignedNote>>>);

impl Memory for Kept {
    type Error = std::convert::Infallible;

    fn latest(&self, _: &str) -> Result<Seen, Self::Error> {
        let kept = self.0.lock().unwrap();
        Ok(kept.last().map_or_else(Seen::nothing, |note| {
            let Checkpoint { size, root, .. } = Checkpoint::parse(&note.text).unwrap();
            Seen { size, root }
        }))
    }

    fn swap(&mut self, origin: &str, from: &Seen, to: &SignedNote) -> Result<bool, Self::Error> {
        if self.latest(origin)? != *from {
            return Ok(false);
        }
        self.0.lock().unwrap().push(to.clone());
        Ok(true)
    }
}

fn witness_key(name: &str) -> SigningKey {
    SigningKey::from_seed(&[5; 32], name, KeyKind::Cosigner).unwrap()
}

fn answered(answer: &Answer) -> server::Answer {
    let kind = ("Content-Type".to_owned(), answer.content_type().to_owned());
    Some((answer.status(), vec![kind], answer.body().into_bytes()))
}

#[test]
fn a_witness_at_a_url_signs_what_only_grows() {
    let bench = bench();
    let (kept, log) = (Kept::default(), log_key(&bench));
    let memory = kept.clone();
    let address = server::serve(move |request| {
        if (request.method.as_str(), request.path.as_str()) != ("POST", "/w/add-checkpoint") {
            return Some((404, Vec::new(), Vec::new()));
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let key = witness_key("witness.example/w1");
        let answer = witness::answer(
            &body,
            std::slice::from_ref(&log),
            &key,
            &mut memory.clone(),
            1_800_000_000,
        );
        answered(&answer.unwrap())
    });
    let url = format!("http://{address}/w");
    let key = witness_key("witness.example/w1").verifying_key().clone();
    let named = ["audit", "witness", "add", &url, "--key", &key.to_string()];
    assert_eq!(bench.baton(named).expect(3)["code"], "EXTERNAL_DENIED");
    allow(&bench, "127.0.0.1");
    add(&bench, &[&url, "--key", &key.to_string()]);
    let old = bench.copy();
    for round in 1..=3 {
        let said = push(&bench, 0);
        assert_eq!(said["places"][0]["said"], "signed it");
        let (latest, witnessed) = (
            note(bench.queue().join("audit/checkpoint")),
            note(bench.queue().join("audit/witnessed")),
        );
        assert_eq!(latest, witnessed);
        assert_eq!(size(&latest), said["size"]);
        assert_eq!(
            latest.verified_by(std::slice::from_ref(&key)).unwrap(),
            [&key]
        );
        assert_eq!(kept.0.lock().unwrap().len(), round);
        bench.submit(&format!("T-1{round}"), "src/**");
    }
    // The next line has a head of its own; what was witnessed stays, and proofs carry it.
    let proof = bench.scratch("proof");
    bench
        .baton(["audit", "prove", "1", "--out", proof.to_str().unwrap()])
        .expect(0);
    let log = log_key(&bench).to_string();
    let check = [
        "audit",
        "check-proof",
        proof.to_str().unwrap(),
        "--key",
        &log,
        "--witness",
        &key.to_string(),
    ];
    let said = bench.baton(check).expect(0);
    assert_eq!(said["witnesses"][0]["time"], "2027-01-15T08:00:00.000Z");
    let stranger = witness_key("witness.example/w2")
        .verifying_key()
        .to_string();
    bench
        .baton([&check[..6], &[stranger.as_str()]].concat())
        .expect(1);
    // A place that forgot what the witness knows asks again from there.
    std::fs::remove_file(bench.queue().join("audit/witnessed")).unwrap();
    push(&bench, 0);
    // A log that was rolled back gets no signature, not even when it is longer.
    roll_back(&bench, &old);
    let said = push(&bench, 1);
    assert_eq!(said["places"][0]["code"], "LOG_REWRITTEN", "{said}");
    for at in 0..30 {
        bench.submit(&format!("X-{at}"), "src/**");
    }
    let signed = kept.0.lock().unwrap().len();
    let said = push(&bench, 1);
    assert_eq!(said["places"][0]["code"], "WITNESS_FAILED", "{said}");
    assert!(
        said["places"][0]["message"]
            .as_str()
            .unwrap()
            .contains("422"),
        "{said}"
    );
    assert_eq!(kept.0.lock().unwrap().len(), signed);
}

#[test]
fn a_witness_that_lies_changes_nothing() {
    let lies: [(&str, u16, fn() -> String); 6] = [
        ("another key", 200, || {
            let line = witness_key("witness.example/other")
                .cosign("x\n", 5)
                .unwrap();
            format!("{line}\n")
        }),
        ("another text", 200, || {
            let line = witness_key("witness.example/w1").cosign("x\n", 5).unwrap();
            format!("{line}\n")
        }),
        ("no signature", 200, || "fine, thank you\n".to_owned()),
        ("a huge answer", 200, || "\u{2014} ".repeat(2_000_000)),
        ("a size that is none", 409, || "many\n".to_owned()),
        ("a size for ever", 409, || "1\n".to_owned()),
    ];
    for (what, status, body) in lies {
        let bench = bench();
        let address = server::serve(move |_| Some((status, Vec::new(), body().into_bytes())));
        allow(&bench, "127.0.0.1");
        let key = witness_key("witness.example/w1")
            .verifying_key()
            .to_string();
        add(&bench, &[&format!("http://{address}"), "--key", &key]);
        let said = push(&bench, 1);
        let code = &said["places"][0]["code"];
        assert!(
            code == "PROOF_REFUSED" || code == "WITNESS_FAILED",
            "{what}: {said}"
        );
        assert!(!bench.queue().join("audit/witnessed").exists(), "{what}");
        bench.baton(["audit", "verify"]).expect(0);
    }
}

#[test]
fn another_machine_is_a_witness_by_standard_input_and_output() {
    let bench = bench();
    let (key, state) = (bench.scratch("witness.key"), bench.scratch("state"));
    let (key, state) = (key.to_str().unwrap(), state.to_str().unwrap());
    let made = bench
        .baton([
            "audit",
            "witness",
            "new-key",
            "ci.example/baton",
            "--out",
            key,
        ])
        .expect(0);
    let public = made["public_key"].as_str().unwrap().to_owned();
    assert_eq!(
        bench
            .baton([
                "audit",
                "witness",
                "new-key",
                "ci.example/baton",
                "--out",
                key
            ])
            .code,
        1
    );
    let log = log_key(&bench).to_string();
    let serve = [
        "audit", "witness", "serve", "--key", key, "--state", state, "--log", &log,
    ];
    let request = |bench: &Bench, old: &str| {
        let ran = bench.baton(["audit", "witness", "request", "--old", old]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let asked = request(&bench, "0");
    let answer = bench.pipe(asked.as_bytes(), serve);
    assert_eq!(answer.code, 0, "{answer:?}");
    let accept = ["audit", "witness", "accept", "--key", &public];
    let said = bench.pipe(answer.stdout.as_bytes(), accept).expect(0);
    let first = said["size"].as_u64().unwrap();
    let latest = note(bench.queue().join("audit/checkpoint"));
    let witness: VerifyingKey = public.parse().unwrap();
    assert_eq!(
        latest.verified_by(std::slice::from_ref(&witness)).unwrap(),
        [&witness]
    );
    // It says where it stands, and the answer to a request from there counts although the log grew.
    bench.submit("T-2", "src/**");
    let conflict = bench.pipe(request(&bench, "0").as_bytes(), serve);
    assert_eq!((conflict.code, conflict.stdout), (1, format!("{first}\n")));
    let refused = bench
        .pipe(format!("{first}\n").as_bytes(), accept)
        .expect(1);
    assert!(
        refused["next"][0]
            .as_str()
            .unwrap()
            .contains(&format!("--old {first}"))
    );
    let asked = request(&bench, &first.to_string());
    let path = bench.scratch("request");
    std::fs::write(&path, &asked).unwrap();
    let answer = bench.pipe(asked.as_bytes(), serve);
    bench.submit("T-3", "src/**");
    bench.pipe(answer.stdout.as_bytes(), accept).expect(1);
    let with_request = [&accept[..], &["--request", path.to_str().unwrap()]].concat();
    let said = bench.pipe(answer.stdout.as_bytes(), with_request).expect(0);
    assert_eq!(
        said["size"].as_u64().unwrap(),
        size(&note(bench.queue().join("audit/witnessed")))
    );
    // Asked twice at the same place it signs again, and for a log it does not know never.
    let again = asked.replacen(
        &format!("old {first}\n"),
        &format!("old {}\n", said["size"]),
        1,
    );
    let again: String = {
        let (head, rest) = again.split_once("\n\n").unwrap();
        format!("{}\n\n{rest}", head.lines().next().unwrap())
    };
    assert_eq!(bench.pipe(again.as_bytes(), serve).code, 0);
    let other = self::bench();
    let stranger = bench.pipe(request(&other, "0").as_bytes(), serve);
    assert_eq!(stranger.code, 1);
    assert!(stranger.stdout.contains("origin"), "{}", stranger.stdout);
    assert_eq!(bench.pipe(b"rubbish", serve).code, 1);
    // A key that others can read, and a state that somebody changed, sign nothing.
    let kept = std::fs::read_dir(state)
        .unwrap()
        .map(|one| one.unwrap().path());
    let kept = kept
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".checkpoint"))
        .unwrap();
    let text = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(
        &kept,
        text.replacen(&format!("\n{}\n", said["size"]), "\n1\n", 1),
    )
    .unwrap();
    let broken = bench.pipe(request(&bench, "1").as_bytes(), serve).expect(1);
    assert_eq!(broken["code"], "WITNESS_STATE_BROKEN");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(bench.pipe(b"", serve).expect(1)["code"], "KEY_EXPOSED");
}
