//! The DSSE envelope: bytes, what they are, and who signed both.

use data_encoding::{BASE64, BASE64URL};
use serde::{Deserialize, Serialize};

use super::statement::Statement;
use crate::bounds;
use crate::problem::Problem;
use crate::wire;

/// The type of every statement that baton makes.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The largest envelope that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 20;

const CODE: &str = "ATTESTATION_INVALID";
const MOST_SIGNATURES: usize = 64;
const LONGEST_TYPE: usize = 256;
const LONGEST_KEYID: usize = 1024;
/// Room for a signature of any scheme in use, in bytes.
const LONGEST_SIGNATURE: usize = 64 << 10;

/// What a signature covers: the type and the payload, each with its length in bytes, so that no
/// signature over one type can pass for one over another.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// One signature. The key's id is a hint that nothing vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which key to try first; empty when the signer said nothing.
    pub keyid: String,
    /// The signature's bytes.
    pub sig: Vec<u8>,
}

/// A payload and its signatures; none is a valid number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// Who signed it.
    pub signatures: Vec<Signature>,
}

/// What the signatures of an envelope prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// There is no signature.
    Unsigned,
    /// There are signatures, and no trusted key made any of them.
    Untrusted,
    /// These trusted keys signed, each named once, sorted.
    Signed {
        /// The names that the verifier gave the keys.
        by: Vec<String>,
    },
}

/// The JSON form. Fields that are not known are passed over, as the specification demands.
#[derive(Serialize, Deserialize)]
struct Written {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSignature {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Wraps a statement, not signed yet.
    ///
    /// # Errors
    /// `ATTESTATION_INVALID` when the statement breaks its own rules.
    pub fn of(statement: &Statement) -> Result<Self, Problem> {
        Ok(Self {
            payload_type: IN_TOTO.to_owned(),
            payload: statement.to_bytes()?,
            signatures: Vec::new(),
        })
    }

    /// Reads an envelope. Base64 must be padded and canonical, in the standard or the URL-safe
    /// alphabet; a key that stands twice in an object is refused.
    ///
    /// # Errors
    /// `ATTESTATION_INVALID`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let written: Written = wire::parse_unique(bytes, MAX_BYTES, "DSSE envelope", CODE)?;
        read(&written).map_err(|why| Problem::fail(CODE, format!("DSSE envelope: {why}")))
    }

    /// The file's bytes: one line of JSON.
    ///
    /// # Errors
    /// `ATTESTATION_INVALID` when it would be larger than what is read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        let signatures = self.signatures.iter().map(|signature| WrittenSignature {
            keyid: signature.keyid.clone(),
            sig: BASE64.encode(&signature.sig),
        });
        let written = Written {
            payload: BASE64.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: signatures.collect(),
        };
        super::statement::bounded(&written, "DSSE envelope", MAX_BYTES)
    }

    /// The statement inside. Look at [`Self::verify`] first: this says nothing of who wrote it.
    ///
    /// # Errors
    /// `ATTESTATION_INVALID`, also for a payload of another type.
    pub fn statement(&self) -> Result<Statement, Problem> {
        if self.payload_type != IN_TOTO {
            let got = self.payload_type.escape_debug();
            return Err(Problem::fail(
                CODE,
                format!("DSSE envelope: the payload is \"{got}\", expected \"{IN_TOTO}\""),
            ));
        }
        Statement::parse(&self.payload)
    }

    /// Adds a signature: `sign` gets the bytes to sign and returns the signature.
    ///
    /// # Errors
    /// What `sign` says; `ATTESTATION_INVALID` when the key's id or the signature is empty, too
    /// long, or the key has signed already.
    pub fn sign(
        &mut self,
        keyid: &str,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Problem>,
    ) -> Result<(), Problem> {
        let refuse = |why: String| Err(Problem::fail(CODE, format!("DSSE signature: {why}")));
        if let Err(why) = bounds::text("keyid", keyid, 1, LONGEST_KEYID) {
            return refuse(why);
        }
        if self.signatures.iter().any(|known| known.keyid == keyid) {
            let keyid = keyid.escape_debug();
            return refuse(format!("the key \"{keyid}\" has signed already"));
        }
        if self.signatures.len() >= MOST_SIGNATURES {
            return refuse(format!("there are {MOST_SIGNATURES} already, the most"));
        }
        let sig = sign(&pae(&self.payload_type, &self.payload))?;
        if sig.is_empty() || sig.len() > LONGEST_SIGNATURE {
            let length = sig.len();
            return refuse(format!(
                "it has {length} bytes, expected 1 to {LONGEST_SIGNATURE}"
            ));
        }
        self.signatures.push(Signature {
            keyid: keyid.to_owned(),
            sig,
        });
        Ok(())
    }

    /// Checks every signature. `key_of(keyid, pae, sig)` returns the name of the trusted key that
    /// made `sig` over `pae`, if one did. The name must come from the verifier's own list: `keyid`
    /// is whatever the envelope says, and one key that signs under two ids is still one.
    #[must_use]
    pub fn verify(&self, key_of: impl Fn(&str, &[u8], &[u8]) -> Option<String>) -> Verified {
        if self.signatures.is_empty() {
            return Verified::Unsigned;
        }
        let covered = pae(&self.payload_type, &self.payload);
        let signers = self.signatures.iter();
        let mut by: Vec<_> = signers
            .filter_map(|signature| key_of(&signature.keyid, &covered, &signature.sig))
            .collect();
        by.sort();
        by.dedup();
        if by.is_empty() {
            Verified::Untrusted
        } else {
            Verified::Signed { by }
        }
    }
}

fn read(written: &Written) -> Result<Envelope, String> {
    bounds::text("payloadType", &written.payload_type, 1, LONGEST_TYPE)?;
    let signatures = &written.signatures;
    bounds::list("signatures", signatures, 0, MOST_SIGNATURES, |signature| {
        bounds::text("keyid", &signature.keyid, 0, LONGEST_KEYID)?;
        // Four letters hold three bytes.
        bounds::text("sig", &signature.sig, 1, LONGEST_SIGNATURE / 3 * 4)
    })?;
    let signatures = signatures.iter().map(|signature| {
        Ok(Signature {
            keyid: signature.keyid.clone(),
            sig: decode("sig", &signature.sig)?,
        })
    });
    Ok(Envelope {
        payload_type: written.payload_type.clone(),
        payload: decode("payload", &written.payload)?,
        signatures: signatures.collect::<Result<_, String>>()?,
    })
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>, String> {
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let encoding = if url_safe { BASE64URL } else { BASE64 };
    let decoded = encoding.decode(text.as_bytes());
    // The decoder also takes several padded texts in a row.
    let canonical = decoded.ok().filter(|bytes| encoding.encode(bytes) == text);
    canonical.ok_or_else(|| format!("{field} is no canonical, padded base64 in one alphabet"))
}
