//! What we sign and prove, checked by programs that hold none of our code: openssl and python3.

use std::path::Path;
use std::process::Command;

use super::{Stored, log_key, witness_key};
use crate::*;

/// Runs a program; one that is missing fails the test, it does not pass it.
fn run(program: &str, arguments: &[&str], folder: &Path) -> (bool, String) {
    let done = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output();
    let done = done.unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    (done.status.success(), said)
}

/// Has openssl check a signature line with nothing but the text form of the key.
fn openssl_verifies(vkey: &str, message: &str, line: &str, prefix: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let base64 = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).unwrap();
    // The public key behind its kind; RFC 8410 says what stands before it in a PEM file.
    let key = base64(vkey.splitn(3, '+').nth(2).unwrap());
    let mut info = vec![
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    info.extend(&key[1..]);
    let info = data_encoding::BASE64.encode(&info);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{info}\n-----END PUBLIC KEY-----\n");
    let signature = base64(line.rsplit(' ').next().unwrap());
    std::fs::write(path.join("key.pem"), pem).unwrap();
    std::fs::write(path.join("text"), message).unwrap();
    std::fs::write(path.join("signature"), &signature[prefix..]).unwrap();
    let arguments = "pkeyutl -verify -pubin -inkey key.pem -rawin -in text -sigfile signature";
    let (held, said) = run("openssl", &arguments.split(' ').collect::<Vec<_>>(), path);
    assert_eq!(held, said.contains("Verified Successfully"), "{said}");
    held
}

#[test]
fn openssl_alone_verifies_a_checkpoint() {
    let key = log_key();
    let head = Checkpoint::new("baton/host/queue", 12, leaf_hash(b"root"));
    let note = head.sign(&key).unwrap().to_string();
    let vkey = key.verifying_key().to_string();
    let (text, line) = note.split_once("\n\n").unwrap();
    let text = format!("{text}\n");
    assert!(openssl_verifies(&vkey, &text, line.trim_end(), 4));
    let changed = text.replace("\n12\n", "\n13\n");
    assert!(!openssl_verifies(&vkey, &changed, line.trim_end(), 4));
}

#[test]
fn openssl_alone_verifies_a_cosignature() {
    let witness = witness_key();
    let text = Checkpoint::new("baton/host/queue", 12, leaf_hash(b"root")).to_text();
    let line = witness.cosign(&text, 1_679_315_147).unwrap().to_string();
    let vkey = witness.verifying_key().to_string();
    let message = |time: u64| format!("cosignature/v1\ntime {time}\n{text}");
    assert!(openssl_verifies(&vkey, &message(1_679_315_147), &line, 12));
    assert!(!openssl_verifies(&vkey, &message(1_679_315_148), &line, 12));
}

/// The definitions of RFC 6962 section 2.1, written as they stand there.
const DEFINITIONS: &str = r#"
from hashlib import sha256
from base64 import b64encode
def split(n):
    k = 1
    while 2 * k < n: k *= 2
    return k
def mth(d):
    if not d: return sha256(b"").digest()
    if len(d) == 1: return sha256(b"\0" + d[0]).digest()
    k = split(len(d))
    return sha256(b"\1" + mth(d[:k]) + mth(d[k:])).digest()
def path(m, d):
    if len(d) == 1: return []
    k = split(len(d))
    return path(m, d[:k]) + [mth(d[k:])] if m < k else path(m - k, d[k:]) + [mth(d[:k])]
def subproof(m, d, whole):
    if m == len(d): return [] if whole else [mth(d)]
    k = split(len(d))
    if m <= k: return subproof(m, d[:k], whole) + [mth(d[k:])]
    return subproof(m - k, d[k:], False) + [mth(d[:k])]
def show(*words):
    print(*[b64encode(w).decode() if isinstance(w, bytes) else w for w in words])
lines = open("lines", "rb").read().split(b"\n")[:-1]
for n in range(len(lines) + 1):
    d = lines[:n]
    show("root", n, mth(d))
    for m in range(n): show("path", m, n, *path(m, d))
    for m in range(1, n): show("proof", m, n, *subproof(m, d, True))
"#;

#[test]
fn python_finds_the_same_roots_and_proofs() {
    let count = 40;
    let lines = super::lines(count);
    let stored = Stored::of(&lines);
    let mut ours = String::new();
    let shown = |hashes: Vec<Hash>| {
        hashes
            .iter()
            .map(|hash| format!(" {hash}"))
            .collect::<String>()
    };
    for n in 0..=count {
        ours += &format!("root {n} {}\n", root(n, &stored).unwrap());
        for m in 0..n {
            ours += &format!("path {m} {n}{}\n", shown(inclusion(m, n, &stored).unwrap()));
        }
        for m in 1..n {
            ours += &format!(
                "proof {m} {n}{}\n",
                shown(consistency(m, n, &stored).unwrap())
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = lines.join(&b'\n');
    bytes.push(b'\n');
    std::fs::write(folder.path().join("lines"), bytes).unwrap();
    let (ran, theirs) = run("python3", &["-c", DEFINITIONS], folder.path());
    assert!(ran && theirs == ours, "python3 says otherwise");
}
