//! Signed approvals with the keys that people really have: behind a passphrase, under a certificate,
//! on a security token.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use baton_core::approval::Approval;
use baton_core::signers::NAMESPACE;
use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256, Sha512};

use crate::signing::{
    BOB, approvals, code, does_not_land, key, lands, plant, read, rule, sign, waiting,
};
use crate::support::{Bench, Ran, ran};

const ADA: &str = "ada@baton.example";

fn keygen(arguments: &[&str], paths: &[&Path]) {
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").args(arguments).args(paths);
    assert!(command.status().unwrap().success(), "{arguments:?}");
}

fn text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.trim_end().to_owned()
}

#[test]
fn a_passphrase_is_asked_for_by_ssh_itself() {
    let bench = waiting(json!([rule(json!({}))]), |bench| {
        let path = bench.scratch("ada");
        keygen(
            &["-t", "ed25519", "-N", "open sesame", "-C", "ada", "-f"],
            &[&path],
        );
        format!("{ADA} {}\n", text(&path.with_extension("pub")))
    });
    let asks = bench.scratch("asks");
    let signs = |answer: &str| -> Ran {
        std::fs::write(&asks, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
        std::fs::set_permissions(&asks, PermissionsExt::from_mode(0o755)).unwrap();
        let key = bench.scratch("ada");
        let mut command = bench.command(["approve", "T-1", "--sign", "--as", ADA]);
        command.arg("--key").arg(&key).env("SSH_ASKPASS", &asks);
        ran(command
            .env("SSH_ASKPASS_REQUIRE", "force")
            .output()
            .unwrap())
    };
    let refused = signs("guessed");
    assert_eq!(code(&refused), "SIGNING_FAILED", "{}", refused.stdout);
    assert!(approvals(&bench).is_empty());
    signs("open sesame").expect(0);
    lands(&bench);
}

#[test]
fn a_certificate_says_whose_the_key_is() {
    let bench = waiting(json!([rule(json!({}))]), |bench| {
        let authority = key(bench, "authority");
        let stranger = key(bench, "stranger");
        let sealed = |by: &Path, name: &str, principal: &str| {
            let public = key(bench, name).with_extension("pub");
            keygen(
                &["-s", by.to_str().unwrap(), "-I", name, "-n", principal],
                &[&public],
            );
        };
        sealed(&authority, "ada", ADA);
        sealed(&authority, "bob", BOB);
        sealed(&stranger, "eve", ADA);
        let authority = text(&authority.with_extension("pub"));
        format!("*@baton.example cert-authority {authority}\n")
    });
    // Signed with the certificate: the key alone is nobody's.
    assert_eq!(code(&sign(&bench, ADA, "ada")), "SIGNATURE_REFUSED");
    assert_eq!(
        code(&sign(&bench, ADA, "bob-cert.pub")),
        "SIGNATURE_REFUSED"
    );
    assert_eq!(
        code(&sign(&bench, ADA, "eve-cert.pub")),
        "SIGNATURE_REFUSED"
    );
    assert!(approvals(&bench).is_empty());
    sign(&bench, ADA, "ada-cert.pub").expect(0);
    lands(&bench);
}

/// A security token in software: what `sk-ssh-ed25519@openssh.com` signs is not the message but the
/// digest of what the key is for, flags, a counter and the digest of the message (OpenSSH's
/// PROTOCOL.u2f, and PROTOCOL.sshsig for what stands around it).
struct Token(SigningKey);

const APPLICATION: &[u8] = b"ssh:";
const KIND: &[u8] = b"sk-ssh-ed25519@openssh.com";
const TOUCHED: u8 = 1;

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

impl Token {
    fn public(&self) -> Vec<u8> {
        let key = string(self.0.verifying_key().as_bytes());
        [string(KIND), key, string(APPLICATION)].concat()
    }

    fn line(&self) -> String {
        let kind = String::from_utf8(KIND.to_vec()).unwrap();
        format!("{kind} {}", BASE64.encode(&self.public()))
    }

    fn sign(&self, statement: &[u8]) -> String {
        let head = [string(NAMESPACE.as_bytes()), string(b""), string(b"sha512")].concat();
        let message = [
            b"SSHSIG".to_vec(),
            head.clone(),
            string(&Sha512::digest(statement)),
        ]
        .concat();
        let counter = 7_u32.to_be_bytes();
        let signed = [
            &Sha256::digest(APPLICATION)[..],
            &[TOUCHED],
            &counter,
            &Sha256::digest(&message)[..],
        ]
        .concat();
        let signature = string(&self.0.sign(&signed).to_bytes());
        let signature = [string(KIND), signature, vec![TOUCHED], counter.to_vec()].concat();
        let blob = [
            b"SSHSIG".to_vec(),
            1_u32.to_be_bytes().to_vec(),
            string(&self.public()),
            head,
            string(&signature),
        ]
        .concat();
        let lines: Vec<String> = BASE64
            .encode(&blob)
            .as_bytes()
            .chunks(70)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        format!(
            "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
            lines.join("\n")
        )
    }
}

#[test]
fn a_security_token_signs_like_any_other_key() {
    let token = Token(SigningKey::from_bytes(&[7; 32]));
    let other = Token(SigningKey::from_bytes(&[8; 32]));
    let bench = waiting(json!([rule(json!({}))]), |bench| {
        let bob = text(&key(bench, "bob").with_extension("pub"));
        format!("{ADA} {}\n{BOB} {bob}\n", token.line())
    });
    sign(&bench, BOB, "bob").expect(0);
    let mut given = read(&approvals(&bench)[0]);
    bench.baton(["revoke-approval", "T-1"]).expect(0);
    given.approval_id = format!("{}-2", given.approval_id);
    given.principal = Some(ADA.to_owned());
    ADA.clone_into(&mut given.approved_by);
    let with = |change: &dyn Fn(&mut Approval)| {
        let fresh: Bench = bench.copy();
        let mut approval = given.clone();
        change(&mut approval);
        plant(&fresh, &approval);
        fresh
    };
    let by = |token: &Token| {
        let signature = token.sign(&given.statement());
        with(&|one| one.signature = Some(signature.clone()))
    };
    for refused in [
        by(&other),
        with(&|one| {
            one.signature = Some(token.sign(&given.statement()));
            "another".clone_into(&mut one.reason);
        }),
    ] {
        let said = does_not_land(&refused);
        assert!(said.contains("signature that does not count"), "{said}");
    }
    lands(&by(&token));
}
