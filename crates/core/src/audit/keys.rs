//! The log's key. The secret lies in the queue, for its owner's eyes only; the public key is committed
//! beside the policy, so that whoever changes the queue cannot also change whom it is checked against.

use std::io;
use std::sync::Arc;

use baton_transparency::{KeyKind, SigningKey, VerifyingKey};

use super::Log;
use crate::attestation::Envelope as Dsse;
use crate::envelope::QUEUE_ROOT;
use crate::files::Folder;
use crate::ids;
use crate::manifest::SSOT;
use crate::problem::Problem;
use crate::store::Directory;

/// The file of the public keys in the single source of truth, one a line: each copy of a repository
/// that has a queue has a log and a key of its own.
pub const PUBLIC_KEYS: &str = "LOG_KEY.pub";
/// The secret key's name in the `audit` folder.
pub(super) const SECRET_KEY: &str = "signing.key";
/// The folder of what belongs to the log in a database.
const AUDIT: &str = "audit";
/// The largest key file that is read, in bytes.
const MAX_BYTES: usize = 256 << 10;

/// The public keys' path as messages write it.
#[must_use]
pub fn public_keys_path() -> String {
    format!("{SSOT}/{PUBLIC_KEYS}")
}

fn secret_path() -> String {
    format!("{QUEUE_ROOT}/audit/{SECRET_KEY}")
}

impl Log {
    /// The key that signs this log's heads.
    ///
    /// # Errors
    /// `LOG_KEY_MISSING`, `LOG_KEY_EXPOSED` when others could read it, `LOG_KEY_FOREIGN` when it is not
    /// the one whose public half is committed.
    pub(super) fn signing_key(&self) -> Result<&SigningKey, Problem> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = self.secret_key()?.ok_or_else(|| missing(&secret_path()))?;
        let ours = key.verifying_key();
        match self
            .public_keys()?
            .iter()
            .find(|key| key.name() == ours.name())
        {
            Some(public) if public == ours => {}
            Some(_) => return Err(foreign(ours)),
            None => return Err(missing(&public_keys_path())),
        }
        Ok(self.key.get_or_init(|| key))
    }

    /// The public keys that are committed.
    ///
    /// # Errors
    /// `LOG_KEY_MISSING`, `LOG_KEY_INVALID`.
    pub fn public_keys(&self) -> Result<Vec<VerifyingKey>, Problem> {
        let keys = self.public_keys_if_any()?;
        if keys.is_empty() {
            return Err(missing(&public_keys_path()));
        }
        Ok(keys)
    }

    /// Signs a statement with this log's key, so that it stands for itself where the log is not at hand.
    ///
    /// # Errors
    /// As those of signing a head; `ATTESTATION_INVALID`.
    pub fn sign(&self, envelope: &mut Dsse) -> Result<(), Problem> {
        let key = self.signing_key()?;
        let name = key.verifying_key().name();
        envelope.sign(name, |covered| Ok(key.attest(covered)?))
    }

    fn public_keys_if_any(&self) -> Result<Vec<VerifyingKey>, Problem> {
        let text = match self.public_text() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Problem::io(public_keys_path(), &error)),
        };
        let key = |line: &str| {
            line.parse().map_err(|error| {
                Problem::fail(
                    "LOG_KEY_INVALID",
                    format!("{}: {error}", public_keys_path()),
                )
                .hint("restore it from the commit that is trusted")
            })
        };
        text.lines().map(key).collect()
    }

    fn public_text(&self) -> io::Result<String> {
        let bytes = Folder::open(&self.ssot)?.read(PUBLIC_KEYS, MAX_BYTES)?;
        String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn secret_key(&self) -> Result<Option<SigningKey>, Problem> {
        let failed = |error: &io::Error| Problem::io(secret_path(), error);
        let status = match self.folder.stat(SECRET_KEY) {
            Ok(status) => status,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        if status.st_mode & 0o077 != 0 {
            let mode = status.st_mode & 0o777;
            return Err(Problem::fail(
                "LOG_KEY_EXPOSED",
                format!(
                    "{} has mode {mode:03o}, expected 600: others can use it",
                    secret_path()
                ),
            )
            .hint("find out who read it, then: chmod 600, or move it away and run baton init for a new one"));
        }
        let bytes = self.folder.read(SECRET_KEY, MAX_BYTES);
        let text = String::from_utf8(bytes.map_err(|error| failed(&error))?).unwrap_or_default();
        SigningKey::parse(text.trim_end())
            .map(Some)
            .map_err(|error| {
                Problem::fail("LOG_KEY_INVALID", format!("{}: {error}", secret_path())).hint(
                    "restore it from a copy, or move it away and run baton init for a new one",
                )
            })
    }

    /// Makes what is missing of the key: a fresh secret under a fresh origin, its public half. Says
    /// whether anything was made. Only `init` does that.
    pub(super) fn make_key(&self) -> Result<bool, Problem> {
        let failed = |what: String| move |error: io::Error| Problem::io(what, &error);
        let here = self.secret_key()?;
        let is_new = here.is_none();
        let key = match here {
            Some(key) => key,
            None => self.shared_key()?.map_or_else(fresh_key, Ok)?,
        };
        self.share_key(&key)?;
        if is_new {
            let text = key.to_secret_text() + "\n";
            let made = self.folder.write_new_secret(SECRET_KEY, text.as_bytes());
            made.map_err(failed(secret_path()))?;
        }
        let ours = key.verifying_key();
        match self
            .public_keys_if_any()?
            .iter()
            .find(|key| key.name() == ours.name())
        {
            Some(public) if public == ours => return Ok(is_new),
            Some(_) => return Err(foreign(ours)),
            None => {}
        }
        std::fs::create_dir_all(&self.ssot).map_err(failed(SSOT.to_owned()))?;
        let before = self.public_text().unwrap_or_default();
        let text = format!("{before}{ours}\n");
        let folder = Folder::open(&self.ssot).map_err(failed(SSOT.to_owned()))?;
        let written = folder.replace(PUBLIC_KEYS, text.as_bytes());
        written.map_err(failed(public_keys_path()))?;
        Ok(true)
    }
}

/// Where the queue lies in a database, its key does too: every machine signs heads of one and the same log.
impl Log {
    fn shared_key(&self) -> Result<Option<SigningKey>, Problem> {
        let Some(database) = &self.shared else {
            return Ok(None);
        };
        let audit = Directory::in_database(Arc::clone(database)).sub(AUDIT);
        let bytes = match audit.and_then(|audit| audit.read(SECRET_KEY, MAX_BYTES)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Problem::io("the store's key", &error)),
        };
        let text = String::from_utf8(bytes).unwrap_or_default();
        let key = SigningKey::parse(text.trim_end());
        key.map(Some)
            .map_err(|error| Problem::fail("LOG_KEY_INVALID", format!("the store's key: {error}")))
    }

    fn share_key(&self, key: &SigningKey) -> Result<(), Problem> {
        let Some(database) = &self.shared else {
            return Ok(());
        };
        let text = key.to_secret_text() + "\n";
        let audit = Directory::in_database(Arc::clone(database)).sub_or_new(AUDIT);
        match audit.and_then(|audit| audit.write_new(SECRET_KEY, text.as_bytes())) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let theirs = self.shared_key()?;
                match theirs.filter(|theirs| theirs.verifying_key() != key.verifying_key()) {
                    Some(theirs) => Err(foreign(theirs.verifying_key())),
                    None => Ok(()),
                }
            }
            Err(error) => Err(Problem::io("the store's key", &error)),
        }
    }
}

/// The name of the key among `keys` that made a signature over a statement, as [`Dsse::verify`] asks it.
#[must_use]
pub fn signer_of(keys: &[VerifyingKey], covered: &[u8], signature: &[u8]) -> Option<String> {
    let logs = keys.iter().filter(|key| key.kind() == KeyKind::Log);
    let signer = logs
        .into_iter()
        .find(|key| key.verify_attested(covered, signature).is_ok())?;
    Some(signer.name().to_owned())
}

/// A key whose name is the log's origin: the machine, and an id that no other queue has.
fn fresh_key() -> Result<SigningKey, Problem> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        Problem::fail(
            "NO_RANDOMNESS",
            format!("the system gave no random bytes: {error}"),
        )
    })?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let host: String = ids::host().chars().filter(|c| plain(*c)).take(64).collect();
    let origin = format!("baton/{host}/{}", ids::random_hex()?);
    Ok(SigningKey::from_seed(&seed, &origin, KeyKind::Log)?)
}

fn missing(what: &str) -> Problem {
    Problem::fail(
        "LOG_KEY_MISSING",
        format!("{what} is not there: the log's heads cannot be signed or checked"),
    )
    .hint("a person runs: baton init; it adds what is missing, overwrites nothing and records it")
}

fn foreign(ours: &VerifyingKey) -> Problem {
    Problem::fail(
        "LOG_KEY_FOREIGN",
        format!(
            "{} names another key for {} than the queue has",
            public_keys_path(),
            ours.name()
        ),
    )
    .hint("one of the two was changed: restore the queue's key, or the committed file")
}
