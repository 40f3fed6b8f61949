//! Proofs that a stranger checks: in an empty folder, with nothing but proof, checkpoint and public key.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Bench, Ran, program, ran};

/// A bench whose log has some lines, and its public key.
fn bench() -> (Bench, String) {
    let bench = Bench::new();
    for id in ["T-1", "T-2", "T-3"] {
        bench.submit(id, "src/**");
    }
    let key = std::fs::read_to_string(bench.root().join(".autodev_ssot/LOG_KEY.pub")).unwrap();
    (bench, key.trim_end().to_owned())
}

/// Runs in an empty folder, with no environment at all.
fn elsewhere(arguments: &[&str], files: &[(&str, &[u8])]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let mut command = std::process::Command::new(program());
    let command = command
        .args(arguments)
        .current_dir(folder.path())
        .env_clear();
    ran(command.stdin(std::process::Stdio::null()).output().unwrap())
}

fn prove(bench: &Bench, seq: &str) -> Vec<u8> {
    let folder = tempfile::tempdir_in(bench.scratch("")).unwrap();
    let path = folder.path().join("line.tlog-proof");
    let path = path.to_str().unwrap();
    bench
        .baton(["audit", "prove", seq, "--out", path])
        .expect(0);
    std::fs::read(path).unwrap()
}

fn checkpoint(bench: &Bench) -> Vec<u8> {
    std::fs::read(bench.queue().join("audit/checkpoint")).unwrap()
}

fn lines(bench: &Bench) -> Vec<String> {
    let text = std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn kept(bench: &Bench, name: &str, bytes: &[u8]) -> PathBuf {
    let path = bench.scratch(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_line_is_proven_to_somebody_with_nothing_but_the_key() {
    let (bench, key) = bench();
    let lines = lines(&bench);
    for (at, line) in lines.iter().enumerate() {
        let seq = (at + 1).to_string();
        let proof = prove(&bench, &seq);
        let arguments = ["audit", "check-proof", "proof", "--key", &key];
        let said = elsewhere(&arguments, &[("proof", &proof)]).expect(0);
        assert_eq!(said["seq"], at + 1);
        assert_eq!(said["line"], line.as_str());
        assert_eq!(said["size"], lines.len());
        // The line from elsewhere, with and without its newline, and the checkpoint beside it.
        let arguments = [&arguments[..], &["--line", "line", "--checkpoint", "head"]].concat();
        for line in [line.clone(), format!("{line}\n")] {
            let files = [
                ("proof", &proof[..]),
                ("line", line.as_bytes()),
                ("head", &checkpoint(&bench)),
            ];
            elsewhere(&arguments, &files).expect(0);
        }
        let other = lines[(at + 1) % lines.len()].as_bytes();
        let files = [
            ("proof", &proof[..]),
            ("line", other),
            ("head", &checkpoint(&bench)),
        ];
        assert_eq!(
            elsewhere(&arguments, &files).expect(1)["code"],
            "PROOF_REFUSED"
        );
    }
    let beyond = (lines.len() + 1).to_string();
    assert_eq!(
        bench.baton(["audit", "prove", &beyond]).expect(1)["code"],
        "LINE_MISSING"
    );
    assert_eq!(bench.baton(["audit", "prove", "0"]).code, 2);
    assert_eq!(bench.baton(["audit", "prove"]).code, 2);
}

#[test]
fn a_proof_goes_to_standard_output_or_to_a_new_file() {
    let (bench, key) = bench();
    let proof = prove(&bench, "2");
    let said = bench.baton(["audit", "prove", "2"]);
    assert_eq!((said.code, said.stdout.as_bytes()), (0, &proof[..]));
    let path = kept(&bench, "2.tlog-proof", &proof);
    let again = bench.baton(["audit", "prove", "2", "--out", path.to_str().unwrap()]);
    assert_eq!(again.expect(1)["code"], "FILE_EXISTS");
    assert_eq!(std::fs::read(&path).unwrap(), proof);
    let piped = bench.pipe(&proof, ["audit", "check-proof", "-", "--key", &key]);
    piped.expect(0);
}

#[test]
fn a_damaged_proof_or_another_log_s_key_is_refused() {
    let (bench, key) = bench();
    let (other, foreign) = self::bench();
    let proof = String::from_utf8(prove(&bench, "2")).unwrap();
    let refused = |proof: &str, key: &str| {
        let said = elsewhere(
            &["audit", "check-proof", "proof", "--key", key],
            &[("proof", proof.as_bytes())],
        );
        assert!(said.code == 1 || said.code == 2, "{said:?}");
        said.json()["message"].as_str().unwrap().to_owned()
    };
    assert!(refused(&proof, &foreign).contains("the checkpoint is of"));
    refused(&String::from_utf8(prove(&other, "2")).unwrap(), &key);
    refused(&proof.replace("index 1", "index 2"), &key);
    refused(&proof.replacen("extra ", "extra AAAA", 1), &key);
    refused(&proof.replace("tlog-proof@v1", "tlog-proof@v2"), &key);
    refused(proof.trim_end(), &key);
    refused("", &key);
    refused(&proof, "nonsense");
    refused(&proof, "");
    // A proof without its line asks for the line.
    let bare: Vec<&str> = proof
        .lines()
        .filter(|line| !line.starts_with("extra "))
        .collect();
    assert!(refused(&(bare.join("\n") + "\n"), &key).contains("--line"));
    // Another head of the same log is not the head that was kept.
    let before = checkpoint(&bench);
    bench.submit("T-4", "src/**");
    let proof = prove(&bench, "2");
    let arguments = [
        "audit",
        "check-proof",
        "proof",
        "--key",
        &key,
        "--checkpoint",
        "head",
    ];
    let said = elsewhere(&arguments, &[("proof", &proof), ("head", &before)]).expect(1);
    assert!(
        said["next"][0].as_str().unwrap().contains("--consistency"),
        "{said}"
    );
}

#[test]
fn a_log_that_grew_is_proven_to_begin_with_what_somebody_kept() {
    let (bench, key) = bench();
    let before = checkpoint(&bench);
    let old = kept(&bench, "old", &before);
    bench.submit("T-4", "src/**");
    bench.submit("T-5", "src/**");
    let proof = bench.baton(["audit", "prove", "--consistency", old.to_str().unwrap()]);
    assert_eq!(proof.code, 0, "{proof:?}");
    let arguments = [
        "audit",
        "check-proof",
        "proof",
        "--key",
        &key,
        "--checkpoint",
        "head",
    ];
    let check = |proof: &str, head: &[u8]| {
        elsewhere(&arguments, &[("proof", proof.as_bytes()), ("head", head)])
    };
    let said = check(&proof.stdout, &before).expect(0);
    assert_eq!(
        (&said["kind"], said["size"].as_u64()),
        (
            &Value::from("consistency"),
            Some(lines(&bench).len() as u64)
        )
    );
    check(&proof.stdout, &checkpoint(&bench)).expect(1);
    let first = proof.stdout.lines().nth(1).unwrap();
    check(
        &proof.stdout.replacen(&format!("{first}\n"), "", 1),
        &before,
    )
    .expect(1);
    assert_eq!(
        elsewhere(&arguments[..5], &[("proof", proof.stdout.as_bytes())]).code,
        2
    );
    let said = bench
        .baton(["audit", "verify", "--against", old.to_str().unwrap()])
        .expect(0);
    assert_eq!(said["against"], serde_json::json!([before_size(&before)]));
}

fn before_size(checkpoint: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(checkpoint);
    text.lines().nth(1).unwrap().parse().unwrap()
}

/// Puts an old copy of the queue back, as somebody with the key can, and writes another story.
fn another_story(bench: &Bench, old: &Bench) {
    std::fs::remove_dir_all(bench.queue()).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(old.queue())
        .arg(bench.queue())
        .status();
    assert!(copied.unwrap().success());
}

#[test]
fn whoever_holds_the_key_is_found_out_by_a_kept_checkpoint_only() {
    let (bench, _) = bench();
    let old = bench.copy();
    for id in ["T-4", "T-5"] {
        bench.submit(id, "src/**");
    }
    let head = kept(&bench, "head", &checkpoint(&bench));
    let against = ["audit", "verify", "--against", head.to_str().unwrap()];
    bench.baton(against).expect(0);
    // Rolled back: a shorter log, all of it rightly signed.
    another_story(&bench, &old);
    bench.baton(["audit", "verify"]).expect(0);
    let said = bench.baton(against).expect(1);
    assert_eq!(said["code"], "LOG_REWRITTEN");
    assert!(said["message"].as_str().unwrap().contains("cut"), "{said}");
    // And made longer than before.
    for id in ["X-1", "X-2", "X-3"] {
        bench.submit(id, "src/**");
    }
    bench.baton(["audit", "verify"]).expect(0);
    assert_eq!(bench.baton(against).expect(1)["code"], "LOG_REWRITTEN");
    let said = bench
        .baton(["audit", "prove", "--consistency", head.to_str().unwrap()])
        .expect(1);
    assert_eq!(said["code"], "LOG_REWRITTEN");
}

#[test]
fn a_checkpoint_of_another_log_proves_nothing_here() {
    let (bench, _) = bench();
    let (other, _) = self::bench();
    let head = kept(&bench, "head", &checkpoint(&other));
    let head = head.to_str().unwrap();
    assert_ne!(bench.baton(["audit", "verify", "--against", head]).code, 0);
    assert_ne!(
        bench.baton(["audit", "prove", "--consistency", head]).code,
        0
    );
    let none = Path::new("/nonexistent");
    let said = bench
        .baton(["audit", "verify", "--against", none.to_str().unwrap()])
        .expect(1);
    assert_eq!(said["code"], "FILE_UNREADABLE");
}
