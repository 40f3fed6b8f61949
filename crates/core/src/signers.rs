//! Signatures over approvals: made and checked by the system's `ssh-keygen`, so that keys of an agent
//! and of a security token work as well, against the keys that `.autodev_ssot` names.
//!
//! Both files are ssh's own: `ALLOWED_SIGNERS` as ssh-keygen(1) describes it under ALLOWED SIGNERS,
//! and `REVOKED_KEYS`, public keys line by line or a revocation list that `ssh-keygen -k` wrote.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::approval::{Approval, instant};
use crate::git::Repository;
use crate::manifest::SSOT;
use crate::problem::Problem;
use crate::process::{self, Finished, Spec};
use crate::{bounds, clock, digest, environment, files};

/// What every signature over an approval is made for; a key's entry may name it under `namespaces`.
pub const NAMESPACE: &str = "baton-approval@project-baton-v1";
/// The keys that count, beside the policy.
pub const ALLOWED: &str = "ALLOWED_SIGNERS";
/// The keys that do not count any more, beside the policy.
pub const REVOKED: &str = "REVOKED_KEYS";

/// The largest of both files that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// A person has to find the token and touch it.
const SIGN_TIMEOUT: Duration = Duration::from_secs(180);
const VERIFY_TIMEOUT: Duration = Duration::from_secs(30);
const OUTPUT: usize = 64 << 10;

/// A name in `ALLOWED_SIGNERS`: no pattern, no list, nothing that ssh-keygen reads as either.
///
/// # Errors
/// What is wrong with it.
pub fn check_principal(name: &str) -> bounds::Checked {
    bounds::text("principal", name, 1, 200)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._%+@-".contains(c);
    if name.starts_with('-') || !name.chars().all(plain) {
        return Err(format!(
            "principal is \"{}\", expected a plain name such as person@example.com",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// The key that made a signature, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Its name in `ALLOWED_SIGNERS`.
    pub principal: String,
    /// The key, as `SHA256:…`.
    pub fingerprint: String,
}

/// The keys that count, read once.
#[derive(Clone, Debug)]
pub struct Signers {
    allowed: Vec<u8>,
    revoked: Option<Vec<u8>>,
}

impl Signers {
    /// Reads both files from the policy's folder; none where nobody is allowed to sign.
    ///
    /// # Errors
    /// `SIGNERS_INVALID` for files that cannot be read, and for a pattern as a name: it would let one
    /// key speak for many people.
    pub fn read(folder: &Path) -> Result<Option<Self>, Problem> {
        let Some(allowed) = read_if_any(&folder.join(ALLOWED))? else {
            return Ok(None);
        };
        check_names(&allowed)?;
        let revoked = read_if_any(&folder.join(REVOKED))?;
        Ok(Some(Self { allowed, revoked }))
    }

    /// SHA-256 over both files, for the log.
    #[must_use]
    pub fn sha256(&self) -> String {
        let revoked = digest::sha256(self.revoked.as_deref().unwrap_or_default());
        digest::sha256(format!("{} {revoked}", digest::sha256(&self.allowed)).as_bytes())
    }

    /// Demands the committed file of keys that count, where there is one: whoever can write in the checkout
    /// could let a key of their own speak for somebody.
    ///
    /// # Errors
    /// `SIGNERS_DIFFER`.
    pub(crate) fn check_allowed(
        &self,
        committed: Option<&[u8]>,
        branch: &str,
    ) -> Result<(), Problem> {
        // A checkout may end its lines in another way, and ssh reads both.
        let lines = |text: &[u8]| -> Vec<Vec<u8>> {
            let lines = text.split(|byte| *byte == b'\n');
            lines
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
                .collect()
        };
        if committed.is_none_or(|committed| lines(committed) == lines(&self.allowed)) {
            return Ok(());
        }
        let why = format!("{ALLOWED} in the checkout is not the one on {branch}");
        Err(Problem::fail("SIGNERS_DIFFER", why).hint(format!(
            "look at what differs: git diff {branch} -- {SSOT}/{ALLOWED}; put it back: git restore --source {branch} {SSOT}/{ALLOWED}; one that is meant so is committed to {branch} first"
        )))
    }

    /// Demands that every key which the committed file revokes is revoked here too.
    ///
    /// # Errors
    /// `SIGNERS_INVALID`.
    pub(crate) fn check_revoked(
        &self,
        committed: Option<&[u8]>,
        branch: &str,
    ) -> Result<(), Problem> {
        if revokes_all(self.revoked.as_deref(), committed) {
            return Ok(());
        }
        let why = match &self.revoked {
            None => format!("{REVOKED} is on {branch} and not in the checkout"),
            Some(_) => format!(
                "{REVOKED} revokes less than the one on {branch}, or is a list that cannot be compared with it"
            ),
        };
        Err(Problem::fail("SIGNERS_INVALID", why).hint(format!(
            "put it back: git restore --source {branch} {SSOT}/{REVOKED}; one that is meant so is committed to {branch} first"
        )))
    }

    /// SHA-256 of the file of revoked keys, for the log; none where there is no such file.
    #[must_use]
    pub fn revoked_sha256(&self) -> Option<String> {
        self.revoked.as_deref().map(digest::sha256)
    }

    /// Checks the signature of an approval. The key must be allowed to its name when the approval was
    /// given and now, and not be revoked. `Err` inside says why the signature does not count.
    ///
    /// # Errors
    /// `TOOL_MISSING`, `IO_ERROR`.
    pub fn verify(
        &self,
        approval: &Approval,
        now: SystemTime,
    ) -> Result<Result<Signer, String>, Problem> {
        let (Some(signature), Some(principal)) = (&approval.signature, &approval.principal) else {
            return Ok(Err("it has no signature".to_owned()));
        };
        let Some(then) = instant(&approval.approved_at) else {
            return Ok(Err("the time it was given at cannot be read".to_owned()));
        };
        let mut signer = Err(String::new());
        for time in [then, now] {
            let statement = approval.statement();
            let check = |revoked| self.verify_at(&statement, signature, principal, time, revoked);
            signer = check(self.revoked.as_deref())?;
            // ssh-keygen says the same of a revoked key as of a wrong signature.
            if signer.is_err() && self.revoked.is_some() && check(None)?.is_ok() {
                signer = Err(format!("{REVOKED} names the key, or cannot be read"));
            }
            if signer.is_err() {
                break;
            }
        }
        Ok(signer)
    }

    fn verify_at(
        &self,
        statement: &[u8],
        signature: &str,
        principal: &str,
        time: SystemTime,
        revoked: Option<&[u8]>,
    ) -> Result<Result<Signer, String>, Problem> {
        let folder = files::temporary_folder("baton-sig-")?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).map_err(|error| Problem::io(path.display(), &error))?;
            Ok::<_, Problem>(path)
        };
        let mut argv: Vec<OsString> = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE]
            .map(Into::into)
            .into();
        argv.extend(["-I".into(), principal.into()]);
        argv.extend(["-f".into(), put("allowed", &self.allowed)?.into()]);
        argv.extend(["-s".into(), put("signature", signature.as_bytes())?.into()]);
        if let Some(revoked) = revoked {
            argv.extend(["-r".into(), put("revoked", revoked)?.into()]);
        }
        argv.extend(["-O".into(), format!("verify-time={}", stamp(time)).into()]);
        let mut spec = spec(argv, VERIFY_TIMEOUT, statement);
        // Times in ALLOWED_SIGNERS mean the same on every machine.
        spec.environment.push(("TZ".into(), "UTC".into()));
        let done = process::run(&spec, &|| false).map_err(missing)?;
        if !done.ended.is_success() {
            return Ok(Err(complaint(&done)));
        }
        Ok(fingerprint(&done.stdout.bytes).map(|fingerprint| Signer {
            principal: principal.to_owned(),
            fingerprint,
        }))
    }
}

/// Whether one file of revoked keys revokes whatever another one does. Lists that `ssh-keygen -k` wrote do so
/// when they are the same.
#[must_use]
pub fn revokes_all(here: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    let (here, other) = (here.unwrap_or_default(), other.unwrap_or_default());
    let keys = |bytes| std::str::from_utf8(bytes).ok().map(keys_of);
    here == other
        || other.is_empty()
        || match (keys(here), keys(other)) {
            (Some(here), Some(other)) => other.is_subset(&here),
            _ => false,
        }
}

/// The keys of a file that names them line by line, each by its kind and itself, without the comment.
fn keys_of(text: &str) -> HashSet<Vec<&str>> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_whitespace().take(2).collect())
        .collect()
}

/// `Good "NAMESPACE" signature for NAME with ED25519 key SHA256:…`
fn fingerprint(said: &[u8]) -> Result<String, String> {
    let said = String::from_utf8_lossy(said);
    let word = said
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"));
    match word {
        Some(word) if said.starts_with("Good \"") => Ok(word.to_owned()),
        _ => Err("ssh-keygen does not say which key made it".to_owned()),
    }
}

/// Where the key is that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A file: a private key, or a public one whose private part an agent or a token holds.
    File(PathBuf),
    /// A public key as text; an agent holds the private part.
    Text(String),
}

impl Key {
    /// The key that was named, or the one that git signs with here.
    ///
    /// # Errors
    /// `SIGNING_FAILED` where neither names one.
    pub fn find(named: Option<&Path>, repository: &Repository) -> Result<Self, Problem> {
        if let Some(path) = named {
            return Ok(Self::File(path.to_owned()));
        }
        let Some(known) = repository.signing_key() else {
            return Err(failed("no key was named, and git knows none".to_owned()).hint(
                "name one with --key FILE, or: git config --global user.signingKey ~/.ssh/id_ed25519.pub",
            ));
        };
        let text = known.strip_prefix("key::").unwrap_or(&known);
        let is_text = ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|kind| text.starts_with(kind));
        Ok(if is_text {
            Self::Text(text.to_owned())
        } else {
            Self::File(PathBuf::from(known))
        })
    }

    /// Signs a statement; gives the armored signature. ssh-keygen may ask for a passphrase or a touch.
    ///
    /// # Errors
    /// `SIGNING_FAILED` with ssh-keygen's own words, `TOOL_MISSING`.
    pub fn sign(&self, statement: &[u8]) -> Result<String, Problem> {
        let folder = files::temporary_folder("baton-sig-")?;
        let path = match self {
            Self::File(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            Self::Text(text) => {
                let path = folder.path().join("key.pub");
                std::fs::write(&path, format!("{text}\n"))
                    .map_err(|error| Problem::io(path.display(), &error))?;
                path
            }
        };
        let mut argv: Vec<OsString> = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE]
            .map(Into::into)
            .into();
        argv.extend(["-f".into(), path.into()]);
        let mut spec = spec(argv, SIGN_TIMEOUT, statement);
        let names = [environment::HOME, environment::SSH_AUTH_SOCK];
        for name in names.into_iter().chain(environment::SSH_ASKPASS) {
            let value = environment::read(name);
            spec.environment
                .extend(value.map(|value| (name.into(), value)));
        }
        let done = process::run_attended(&spec).map_err(missing)?;
        let armored = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
        if done.ended.is_success() && armored.starts_with("-----BEGIN SSH SIGNATURE-----") {
            return Ok(armored);
        }
        Err(failed(complaint(&done))
            .hint("name the key with --key FILE; for a key in an agent name its .pub file"))
    }
}

fn spec(argv: Vec<OsString>, timeout: Duration, input: &[u8]) -> Spec {
    let mut environment: Vec<(OsString, OsString)> = vec![("LC_ALL".into(), "C".into())];
    environment.extend(environment::search_path().map(|path| (environment::PATH.into(), path)));
    Spec {
        argv,
        folder: "/".into(),
        environment,
        input: input.to_vec(),
        timeout,
        output_limit: OUTPUT,
        all_or_nothing: false,
        merge: false,
        memory: None,
        leash: false,
    }
}

fn failed(why: String) -> Problem {
    Problem::fail(
        "SIGNING_FAILED",
        format!("the approval is not signed: {why}"),
    )
}

fn missing(problem: Problem) -> Problem {
    Problem {
        hints: vec!["install OpenSSH's client, version 8.2 or later".to_owned()],
        ..problem
    }
}

fn complaint(done: &Finished) -> String {
    let said = [&done.stderr.bytes[..], &done.stdout.bytes[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect();
    let words = lines.join("; ").escape_debug().to_string();
    format!("ssh-keygen ended with {}: {words}", done.ended)
}

/// `YYYYMMDDHHMMSS`, which ssh-keygen reads in the time zone it runs in.
fn stamp(time: SystemTime) -> String {
    let text = clock::rfc3339(time);
    text.chars().take(19).filter(char::is_ascii_digit).collect()
}

fn read_if_any(path: &Path) -> Result<Option<Vec<u8>>, Problem> {
    match files::read_placed(path, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(invalid(format!("{}: {error}", path.display()))),
    }
}

fn invalid(why: String) -> Problem {
    Problem::fail("SIGNERS_INVALID", why).hint(format!(
        "correct the file in {SSOT}; docs/approvals.md shows its form"
    ))
}

/// A certificate names its holder itself, so only there a pattern stands for one person at a time.
fn check_names(allowed: &[u8]) -> Result<(), Problem> {
    let text =
        std::str::from_utf8(allowed).map_err(|_| invalid(format!("{ALLOWED} is no UTF-8 text")))?;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let names = words.next().unwrap_or_default().trim_matches('"');
        let options = words.next().unwrap_or_default();
        let by_certificate = options
            .split(',')
            .any(|one| one.eq_ignore_ascii_case("cert-authority"));
        for name in names.split(',').filter(|_| !by_certificate) {
            check_principal(name)
                .map_err(|why| invalid(format!("{ALLOWED} line {}: {why}", at + 1)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_revoked_stays_so_unless_every_key_is_there() {
        let (one, two) = ("ssh-ed25519 AAAA1 bob\n", "ssh-ed25519 AAAA2\n");
        let both = format!("# lost\n{two}\nssh-ed25519 AAAA1 in another hand\n");
        let holds =
            |here: &str, other: &str| revokes_all(Some(here.as_bytes()), Some(other.as_bytes()));
        assert!(holds(one, one) && holds(&both, one) && holds(&both, two));
        assert!(!holds(one, two) && !holds(one, &both) && !holds("", one));
        assert!(revokes_all(Some(one.as_bytes()), None) && revokes_all(None, Some(b"")));
        assert!(!revokes_all(None, Some(one.as_bytes())));
        // A list of ssh-keygen's own is no text.
        let list = b"SSHKRL\n\0\xff";
        assert!(revokes_all(Some(list), Some(list)) && revokes_all(Some(list), None));
        assert!(!revokes_all(Some(list), Some(one.as_bytes())));
        assert!(!revokes_all(Some(one.as_bytes()), Some(list)));
    }
}
