use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer as _};
use sha2::{Digest as _, Sha256};

use super::signature::SignatureLine;
use crate::error::Error;
use crate::lines;

const PRIVATE: &str = "PRIVATE+KEY+";

/// Bytes that a key's text form may have.
const MAX_KEY_BYTES: usize = 4096;

/// What a key signs. It is part of the key's id, so that one cannot stand in for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyKind {
    /// A log's: Ed25519 over the note's text.
    Log = 0x01,
    /// A witness's: Ed25519 over a time and the checkpoint's text (cosignature/v1).
    Cosigner = 0x04,
}

impl KeyKind {
    fn of(byte: u8) -> Result<Self, Error> {
        match byte {
            0x01 => Ok(Self::Log),
            0x04 => Ok(Self::Cosigner),
            other => {
                let expected = "1 (Ed25519) or 4 (Ed25519 cosignature)";
                Err(Error::new("kind of the key", other, expected))
            }
        }
    }
}

/// A public key with its name, in the text form `name+id+base64` ("vkey").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: [u8; 4],
    kind: KeyKind,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    fn new(name: &str, kind: KeyKind, key: ed25519_dalek::VerifyingKey) -> Result<Self, Error> {
        check_name(name)?;
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', kind as u8]);
        let digest: [u8; 32] = digest.chain_update(key.as_bytes()).finalize().into();
        let [a, b, c, d, ..] = digest;
        Ok(Self {
            name: name.to_owned(),
            id: [a, b, c, d],
            kind,
            key,
        })
    }

    /// For a log's key, the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> [u8; 4] {
        self.id
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The 32 bytes of RFC 8032, for tools that know nothing of notes.
    pub fn bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Checks one signature line that names this key.
    ///
    /// # Errors
    /// If the signature is not this key's over `text`.
    pub fn verify(&self, text: &str, line: &SignatureLine) -> Result<(), Error> {
        let wrong = || {
            let got = format!("{line}, which does not verify");
            Error::new("signature", got, format!("one by {self}"))
        };
        if !line.names(self) {
            return Err(wrong());
        }
        let (message, signature) = match self.kind {
            KeyKind::Log => (text.to_owned(), line.signature()),
            KeyKind::Cosigner => {
                let (time, signature) = stamped(line.signature()).ok_or_else(wrong)?;
                (cosigned(time, text), signature)
            }
        };
        let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
        let verified = self.key.verify_strict(message.as_bytes(), &signature);
        verified.map_err(|_| wrong())
    }

    /// Checks a log's signature over the bytes that a DSSE envelope covers.
    ///
    /// # Errors
    /// As [`SigningKey::attest`], and if the signature is not this key's.
    pub fn verify_attested(&self, pae: &[u8], signature: &[u8]) -> Result<(), Error> {
        attestable(&self.kind, pae)?;
        let wrong = || {
            Error::new(
                "signature",
                "one that does not verify",
                format!("one by {self}"),
            )
        };
        let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
        let verified = self.key.verify_strict(pae, &signature);
        verified.map_err(|_| wrong())
    }

    /// When a cosigner signed, in seconds since 1970, once the line is verified.
    ///
    /// # Errors
    /// If it does not verify, or the key is not a cosigner's.
    pub fn cosigned_at(&self, text: &str, line: &SignatureLine) -> Result<u64, Error> {
        self.verify(text, line)?;
        let time = stamped(line.signature()).filter(|_| self.kind == KeyKind::Cosigner);
        let time = time.map(|(time, _)| time);
        time.ok_or_else(|| Error::new("key", self, "a cosigner's"))
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encoded(
            &self.name,
            self.id,
            self.kind,
            self.key.as_bytes(),
        ))
    }
}

impl FromStr for VerifyingKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Parts {
            name,
            id,
            kind,
            bytes,
        } = parts("public key", text)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok();
        // A weak key would "sign" whatever anybody likes.
        let key = key.filter(|key| !key.is_weak() && key.as_bytes() == &bytes);
        let key = key.ok_or_else(|| Error::new("public key", text, "a point of Ed25519"))?;
        Self::new(name, kind, key)?.with_id(id)
    }
}

/// A key that signs. Its text form is a secret; it is never shown by `Debug`.
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key that a secret of 32 random bytes makes, under a name: for a log, its origin.
    ///
    /// # Errors
    /// If the name is empty, or holds white space, a plus sign or a control character.
    pub fn from_seed(seed: &[u8; 32], name: &str, kind: KeyKind) -> Result<Self, Error> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = VerifyingKey::new(name, kind, secret.verifying_key())?;
        Ok(Self { secret, public })
    }

    /// Reads the secret text form. No error repeats any of it.
    ///
    /// # Errors
    /// If it is another form, or its id is not that of the key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let hidden = || {
            let expected = "PRIVATE+KEY+name+id+base64, its id that of the key";
            Error::new("private key", "another text", expected)
        };
        let text = text.strip_prefix(PRIVATE).ok_or_else(hidden)?;
        let Parts {
            name,
            id,
            kind,
            bytes,
        } = parts("private key", text).map_err(|_| hidden())?;
        let key = Self::from_seed(&bytes, name, kind).map_err(|_| hidden())?;
        let public = key.public.with_id(id).map_err(|_| hidden())?;
        Ok(Self { public, ..key })
    }

    /// The secret text form, for the key's own file and nowhere else.
    pub fn to_secret_text(&self) -> String {
        let Self { secret, public } = self;
        let text = encoded(&public.name, public.id, public.kind, secret.as_bytes());
        format!("{PRIVATE}{text}")
    }

    /// What verifies this key's signatures.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    pub(super) fn sign(&self, text: &str) -> Result<SignatureLine, Error> {
        if self.public.kind != KeyKind::Log {
            return Err(Error::new("key", &self.public, "a log's"));
        }
        let signature = self.secret.sign(text.as_bytes()).to_bytes().to_vec();
        Ok(SignatureLine::new(
            &self.public.name,
            self.public.id,
            signature,
        ))
    }

    /// A log's signature over a statement in a DSSE envelope: 64 bytes of Ed25519 over `pae`, the type
    /// and the payload with their lengths. These must be one line, and a checkpoint has three at least,
    /// so that no signature over one can pass for one over the other.
    ///
    /// # Errors
    /// If the bytes are of another form, or the key is not a log's.
    pub fn attest(&self, pae: &[u8]) -> Result<Vec<u8>, Error> {
        attestable(&self.public.kind, pae)?;
        Ok(self.secret.sign(pae).to_bytes().to_vec())
    }

    /// A witness's word that it saw the checkpoint `text` at `time`, in seconds since 1970.
    ///
    /// # Errors
    /// If the key is not a cosigner's, or the time is 0 or beyond 2^63 - 1.
    pub fn cosign(&self, text: &str, time: u64) -> Result<SignatureLine, Error> {
        if self.public.kind != KeyKind::Cosigner {
            return Err(Error::new("key", &self.public, "a cosigner's"));
        }
        if !timely(time) {
            let expected = format!("from 1 to {}", i64::MAX);
            return Err(Error::new("time of a cosignature", time, expected));
        }
        let signature = self.secret.sign(cosigned(time, text).as_bytes());
        let stamped = [&time.to_be_bytes()[..], &signature.to_bytes()].concat();
        Ok(SignatureLine::new(
            &self.public.name,
            self.public.id,
            stamped,
        ))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

/// Whether a key of this kind may sign these bytes as a statement's.
fn attestable(kind: &KeyKind, pae: &[u8]) -> Result<(), Error> {
    if *kind != KeyKind::Log {
        return Err(Error::new("key", format!("{kind:?}"), "a log's"));
    }
    let line = pae.strip_suffix(b"\n").unwrap_or(pae);
    if !line.starts_with(b"DSSEv1 ") || line.contains(&b'\n') {
        let expected = "DSSEv1, type and payload, in one line";
        return Err(Error::new("statement to sign", "another text", expected));
    }
    Ok(())
}

/// What a cosigner signs.
fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Zero would mean that nothing is said about when.
fn timely(time: u64) -> bool {
    time != 0 && i64::try_from(time).is_ok()
}

/// The time before a cosigner's signature, and the signature.
fn stamped(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = bytes.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    timely(time).then_some((time, signature))
}

/// The four things that a key's text form holds.
struct Parts<'a> {
    name: &'a str,
    id: [u8; 4],
    kind: KeyKind,
    bytes: [u8; 32],
}

fn parts<'a>(what: &str, text: &'a str) -> Result<Parts<'a>, Error> {
    let wrong = || Error::new(what, text, "name+id+base64 of a kind and 32 bytes");
    if text.len() > MAX_KEY_BYTES {
        return Err(wrong());
    }
    // Base64 may have plus signs of its own.
    let mut fields = text.splitn(3, '+');
    let (Some(name), Some(id), Some(data)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(wrong());
    };
    let id = HEXLOWER.decode(id.as_bytes()).map_err(|_| wrong())?;
    let id = id.try_into().map_err(|_| wrong())?;
    let data = lines::base64(what, data)?;
    let (kind, bytes) = data.split_first().ok_or_else(wrong)?;
    let kind = KeyKind::of(*kind)?;
    let bytes = bytes.try_into().map_err(|_| wrong())?;
    Ok(Parts {
        name,
        id,
        kind,
        bytes,
    })
}

fn encoded(name: &str, id: [u8; 4], kind: KeyKind, bytes: &[u8; 32]) -> String {
    let data = [&[kind as u8][..], bytes].concat();
    format!("{name}+{}+{}", HEXLOWER.encode(&id), BASE64.encode(&data))
}

impl VerifyingKey {
    /// Itself, if its id is the one that was written beside it.
    fn with_id(self, id: [u8; 4]) -> Result<Self, Error> {
        if self.id == id {
            return Ok(self);
        }
        let expected = HEXLOWER.encode(&self.id);
        Err(Error::new("id of the key", HEXLOWER.encode(&id), expected))
    }
}

/// What may name a key.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let bad = |one: char| one.is_whitespace() || one.is_control() || one == '+';
    if name.is_empty() || name.contains(bad) {
        let expected = "at least one character, no white space, control character or plus sign";
        return Err(Error::new("name of a key", name, expected));
    }
    Ok(())
}
