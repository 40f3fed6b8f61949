use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use super::keys::{VerifyingKey, check_name};
use crate::error::Error;
use crate::lines;

/// What a signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// One signature under a note: the key's name and id, and what the key's algorithm made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl SignatureLine {
    pub(super) fn new(name: &str, id: [u8; 4], signature: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            id,
            signature,
        }
    }

    /// Whose signature it says it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it says that `key` made it; whether that is so, [`super::SignedNote::verified_by`] says.
    pub fn names(&self, key: &VerifyingKey) -> bool {
        self.name == key.name() && self.id == key.id()
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.signature].concat();
        write!(f, "{DASH}{} {}", self.name, BASE64.encode(&bytes))
    }
}

impl FromStr for SignatureLine {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        let expected = "an em dash, a key's name and base64, one space apart";
        let (name, encoded) = line
            .strip_prefix(DASH)
            .and_then(|rest| rest.split_once(' '))
            .ok_or_else(|| Error::new("signature line", line, expected))?;
        check_name(name)?;
        let bytes = lines::base64("signature", encoded)?;
        match bytes.split_first_chunk::<4>() {
            Some((id, signature)) if !signature.is_empty() => {
                Ok(Self::new(name, *id, signature.to_vec()))
            }
            _ => {
                let got = format!("{} bytes", bytes.len());
                Err(Error::new("signature", got, "a key id of 4 bytes and more"))
            }
        }
    }
}
